//! Inference: batches of random tokens through a model, and one text at a time.

use super::memory::peak_bytes;
use super::{forward_operations, random_sequence};
use polyseme_infer::{EmbedOptions, Encoder};
use polyseme_tensor::{Mode, PackedBatch, Stream};
use polyseme_text::Encoding;
use polyseme_train::Stop;
use serde::Serialize;
use std::time::Instant;

/// Calls before those that are timed.
const WARM_UP: u32 = 5;

/// What batches came to.
#[derive(Debug, Serialize)]
pub struct Inference {
    /// Tokens of all sequences, per second.
    pub tokens_per_second: f64,
    /// Matrix products done per second over what the processor does at best.
    pub share_of_peak: f64,
    /// The processor's best, in operations per second.
    pub peak_operations_per_second: f64,
    /// Peak resident memory.
    pub peak_memory_bytes: Option<u64>,
    /// Sequences of a batch.
    pub batch: usize,
    /// Tokens of a sequence.
    pub seq_len: usize,
}

/// What single texts came to.
#[derive(Debug, Serialize)]
pub struct Latency {
    /// Median of the seconds from token ids to a vector.
    pub p50_seconds: f64,
    /// The slowest twentieth takes longer.
    pub p95_seconds: f64,
    /// Calls that were timed.
    pub calls: u32,
    /// Tokens of the text.
    pub seq_len: usize,
}

/// Last hidden states of batches; `None` if it was asked to stop.
pub fn inference(
    encoder: &Encoder,
    (batch, seq_len): (usize, usize),
    steps: u32,
    peak: f64,
    stop: &Stop,
) -> Option<Inference> {
    let model = &encoder.model;
    let stream = Stream::new(0);
    let sequences: Vec<_> =
        (0..batch).map(|i| random_sequence(seq_len, model.config().vocab_size, stream.at(i as u64))).collect();
    let mut begun = Instant::now();
    for step in 0..WARM_UP + steps {
        if stop.requested() {
            return None;
        }
        if step == WARM_UP {
            begun = Instant::now();
        }
        let packed = PackedBatch::new(&sequences);
        // Reading a value waits for a device.
        let _values = model.hidden(&packed, Mode::Eval).into_data();
    }
    let seconds = begun.elapsed().as_secs_f64();
    let sequences = batch as f64 * f64::from(steps);
    Some(Inference {
        tokens_per_second: sequences * seq_len as f64 / seconds,
        share_of_peak: sequences * forward_operations(model.config(), seq_len, seq_len) / seconds / peak,
        peak_operations_per_second: peak,
        peak_memory_bytes: peak_bytes(),
        batch,
        seq_len,
    })
}

/// Vectors of one text at a time; `None` if it was asked to stop.
///
/// # Errors
/// A length the model cannot take.
pub fn latency(encoder: &Encoder, seq_len: usize, calls: u32, stop: &Stop) -> anyhow::Result<Option<Latency>> {
    let sequence = random_sequence(seq_len, encoder.model.config().vocab_size, Stream::new(0));
    let encoding = [Encoding { ids: sequence.ids, type_ids: sequence.type_ids, ..Encoding::default() }];
    let options = EmbedOptions::default();
    let mut seconds = Vec::with_capacity(calls as usize);
    for call in 0..WARM_UP + calls {
        if stop.requested() {
            return Ok(None);
        }
        let begun = Instant::now();
        let _vectors = encoder.embed_encoded(&encoding, &options)?;
        if call >= WARM_UP {
            seconds.push(begun.elapsed().as_secs_f64());
        }
    }
    seconds.sort_by(f64::total_cmp);
    let at = |share: f64| seconds[((seconds.len() - 1) as f64 * share).round() as usize];
    Ok(Some(Latency { p50_seconds: at(0.5), p95_seconds: at(0.95), calls, seq_len }))
}
