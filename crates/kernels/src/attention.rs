//! Self-attention inside each sequence of a packed chunk; no padding, no masks.
//!
//! `qkv` is `(n, 3h)`: query, key and value side by side; a head's columns are `d` wide.

use crate::dropout::Dropout;
use crate::math::{max_of, reduce2};
use crate::pool::Buffer;
use crate::product::{Into, Mat, product};
use crate::simd::simd_fn;
use std::ops::Range;

/// Sizes of the attention.
#[derive(Clone, Copy, Debug)]
pub struct Heads {
    /// Hidden width `h`.
    pub hidden: usize,
    /// Heads `a`; `h = a · d`.
    pub count: usize,
}

impl Heads {
    fn size(self) -> usize {
        self.hidden / self.count
    }
    fn scale(self) -> f32 {
        1.0 / (self.size() as f32).sqrt()
    }
}

/// Probabilities a range of sequences needs: heads × the sum of squared lengths.
pub fn probabilities_len(heads: Heads, starts: &[usize], sequences: Range<usize>) -> usize {
    heads.count * sequences.map(|s| (starts[s + 1] - starts[s]).pow(2)).sum::<usize>()
}

/// The context of a chunk of sequences, and the probabilities before dropout.
///
/// `starts` are the batch's; `qkv`, `context` hold the chunk's rows only. `probabilities`: for each
/// sequence and head `(l, l)`. The dropout's row is named by its place in the whole batch, so that
/// chunks and threads do not matter.
pub fn forward(
    heads: Heads,
    starts: &[usize],
    sequences: Range<usize>,
    qkv: &[f32],
    dropout: Dropout,
    probabilities: &mut [f32],
    context: &mut [f32],
) {
    let (h, d) = (heads.hidden, heads.size());
    let base = starts[sequences.start];
    let mut rest = probabilities;
    for s in sequences {
        let (start, l) = (starts[s], starts[s + 1] - starts[s]);
        let rows = &qkv[(start - base) * 3 * h..];
        let out = &mut context[(start - base) * h..];
        let mut dropped = Buffer::new(if dropout.p > 0.0 { l * l } else { 0 });
        for head in 0..heads.count {
            let (p, tail) = rest.split_at_mut(l * l);
            rest = tail;
            let [q, k, v] = [0, 1, 2].map(|i| Mat::strided(&rows[i * h + head * d..], l, d, 3 * h));
            product(p, l, Into::Set, heads.scale(), q, k.t());
            softmax_rows(p, l);
            let p: &[f32] = if dropout.p > 0.0 {
                dropped.copy_from_slice(p);
                dropout.apply_rows((start * heads.count + head * l) as u64, l, &mut dropped);
                &dropped
            } else {
                p
            };
            product(&mut out[head * d..], h, Into::Set, 1.0, Mat::new(p, l, l), v);
        }
    }
}

/// Gradients through [`forward`]: from `dcontext` `(n, h)` to `dqkv` `(n, 3h)`, both of the chunk.
pub fn backward(
    heads: Heads,
    starts: &[usize],
    sequences: Range<usize>,
    qkv: &[f32],
    probabilities: &[f32],
    dropout: Dropout,
    dcontext: &[f32],
    dqkv: &mut [f32],
) {
    let (h, d) = (heads.hidden, heads.size());
    let base = starts[sequences.start];
    let mut rest = probabilities;
    for s in sequences {
        let (start, l) = (starts[s], starts[s + 1] - starts[s]);
        let rows = &qkv[(start - base) * 3 * h..];
        let drows = &mut dqkv[(start - base) * 3 * h..];
        let mut dropped = Buffer::new(if dropout.p > 0.0 { l * l } else { 0 });
        let mut dp = Buffer::new(l * l);
        for head in 0..heads.count {
            let (p, tail) = rest.split_at(l * l);
            rest = tail;
            let [q, k, v] = [0, 1, 2].map(|i| Mat::strided(&rows[i * h + head * d..], l, d, 3 * h));
            let dc = Mat::strided(&dcontext[(start - base) * h + head * d..], l, d, h);
            let row = (start * heads.count + head * l) as u64;
            product(&mut dp, l, Into::Set, 1.0, dc, v.t());
            let used: &[f32] = if dropout.p > 0.0 {
                dropped.copy_from_slice(p);
                dropout.apply_rows(row, l, &mut dropped);
                dropout.apply_rows(row, l, &mut dp);
                &dropped
            } else {
                p
            };
            product(&mut drows[2 * h + head * d..], 3 * h, Into::Set, 1.0, Mat::new(used, l, l).t(), dc);
            softmax_backward_rows(p, &mut dp, l);
            let ds = Mat::new(&dp, l, l);
            product(&mut drows[head * d..], 3 * h, Into::Set, heads.scale(), ds, k);
            product(&mut drows[h + head * d..], 3 * h, Into::Set, heads.scale(), ds.t(), q);
        }
    }
}

simd_fn! {
    /// Softmax of each row of length `l`, in place.
    fn softmax_rows(x: &mut [f32], l: usize) {
        for row in x.chunks_exact_mut(l) {
            let max = max_of(row);
            for v in row.iter_mut() {
                *v = crate::math::exp(*v - max);
            }
            let inverse = 1.0 / reduce2(row, row, |a, _| a);
            for v in row.iter_mut() {
                *v *= inverse;
            }
        }
    }
}

simd_fn! {
    /// `dx = p * (dp - sum(p * dp))` row by row; `dp` becomes `dx`.
    fn softmax_backward_rows(p: &[f32], dp: &mut [f32], l: usize) {
        for (p, dp) in p.chunks_exact(l).zip(dp.chunks_exact_mut(l)) {
            let along = reduce2(p, dp, |a, b| a * b);
            for (d, &p) in dp.iter_mut().zip(p) {
                *d = p * (*d - along);
            }
        }
    }
}
