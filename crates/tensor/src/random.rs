//! Random streams, named by what they are for.
//!
//! A stream is a key; its values are a counter-based hash of (key, index), so any value can be had
//! without the ones before it, on any thread, and again in the backward pass.
//!
//! The hash is the finalizer of SplitMix64 (Steele, Lea & Flood 2014, constants of Stafford's
//! "Mix13") over the index times an odd constant, combined with the key by exclusive or: streams of
//! different keys are then not shifted copies of one sequence.

use polyseme_kernels::dropout::Dropout;
use rayon::prelude::*;

/// 2^64 divided by the golden ratio, odd: spreads neighbouring indices over all bits.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
/// Keeps `at(n)` apart from `named(..)` and from values.
const AT: u64 = 0xd1b5_4a32_d192_ed03;
/// Values made by one task when a whole vector is filled.
const CHUNK: usize = 1 << 14;

/// A named source of random numbers. Copying it copies the name, not a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    key: u64,
}

impl Stream {
    /// The stream of a run.
    pub fn new(seed: u64) -> Self {
        Self { key: mix(seed ^ GOLDEN) }
    }

    /// A stream of its own for a purpose ("dropout", "mask", "init").
    #[must_use]
    pub fn named(self, purpose: &str) -> Self {
        let mut key = mix(self.key ^ purpose.len() as u64);
        for bytes in purpose.as_bytes().chunks(8) {
            let mut word = [0; 8];
            word[..bytes.len()].copy_from_slice(bytes);
            key = mix(key.wrapping_mul(GOLDEN) ^ u64::from_le_bytes(word));
        }
        Self { key }
    }

    /// A stream of its own for a step, an epoch, a layer, a document.
    #[must_use]
    pub fn at(self, index: u64) -> Self {
        Self { key: mix(mix(self.key ^ AT) ^ index.wrapping_mul(GOLDEN)) }
    }

    /// The `i`-th value, 64 uniform bits.
    #[inline]
    pub fn bits(self, i: u64) -> u64 {
        mix(i.wrapping_add(1).wrapping_mul(GOLDEN) ^ self.key)
    }

    /// The `i`-th value, uniform in [0, 1).
    #[inline]
    pub fn uniform(self, i: u64) -> f32 {
        // 24 bits are what an f32 holds exactly, so that 1 is never reached by rounding.
        (self.bits(i) >> 40) as f32 * (1.0 / (1 << 24) as f32)
    }

    /// The `i`-th value, uniform in 0..n without modulo bias worth naming.
    #[inline]
    pub fn below(self, i: u64, n: u64) -> u64 {
        ((u128::from(self.bits(i)) * u128::from(n)) >> 64) as u64
    }

    /// The `i`-th value, standard normal (Box & Muller 1958, one of the pair).
    #[inline]
    pub fn normal(self, i: u64) -> f32 {
        const UNIT: f64 = 1.0 / (1u64 << 32) as f64;
        let bits = self.bits(i);
        let radius = ((bits >> 32) as f64 + 0.5) * UNIT;
        let angle = (bits as u32) as f64 * UNIT * std::f64::consts::TAU;
        ((-2.0 * radius.ln()).sqrt() * angle.cos()) as f32
    }

    /// The first `n` normal values times `deviation`, made on all threads.
    pub fn normals(self, n: usize, deviation: f64) -> Vec<f32> {
        let mut values = vec![0.0; n];
        values.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, values)| {
            for (i, value) in values.iter_mut().enumerate() {
                *value = (f64::from(self.normal((chunk * CHUNK + i) as u64)) * deviation) as f32;
            }
        });
        values
    }

    /// Shuffles in place (Fisher-Yates).
    pub fn shuffle<T>(self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u64, last as u64 + 1) as usize);
        }
    }
}

/// Bijective mixing of 64 bits.
#[inline]
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Whether dropout works, and from which stream.
#[derive(Clone, Copy, Debug)]
pub enum Mode {
    /// Inference: no dropout, and no gradients are recorded.
    Eval,
    /// Training: dropout from this stream, which must be another one at each step.
    Train(Stream),
}

impl Mode {
    /// The same mode with its stream renamed for a part of the model.
    #[must_use]
    pub fn named(self, part: &str) -> Self {
        match self {
            Self::Eval => Self::Eval,
            Self::Train(stream) => Self::Train(stream.named(part)),
        }
    }

    /// Dropout at `rate` from this mode's stream; none in inference.
    pub(crate) fn dropout(self, rate: f64) -> Dropout {
        match self {
            Self::Eval => Dropout { key: 0, p: 0.0 },
            Self::Train(stream) => Dropout { key: stream.key, p: rate as f32 },
        }
    }

    /// The same mode with a stream of its own for layer `index`.
    #[must_use]
    pub fn at(self, index: usize) -> Self {
        match self {
            Self::Eval => Self::Eval,
            Self::Train(stream) => Self::Train(stream.at(index as u64)),
        }
    }
}
