//! The speed of training on random tokens.

use super::forward_operations;
use super::memory::peak_bytes;
use super::trainer::{RandomBatch, Trainer};
use polyseme_tensor::{Device, Stream};
use polyseme_train::{PretrainSettings, Stop};
use serde::Serialize;
use std::time::Instant;

/// Steps before those that are timed.
const WARM_UP: u32 = 3;

/// Small: random words are not to be learned.
const LEARNING_RATE: f64 = 1e-4;

/// What training came to.
#[derive(Debug, Serialize)]
pub struct TrainSpeed {
    /// Tokens of all sequences, per second.
    pub tokens_per_second: f64,
    /// Matrix products done per second over what the processor does at best; the optimizer, norms,
    /// activations and all else take time and count nothing.
    pub share_of_peak: f64,
    /// The processor's best, in operations per second.
    pub peak_operations_per_second: f64,
    /// Peak resident memory.
    pub peak_memory_bytes: Option<u64>,
    /// Seconds of each timed step.
    pub step_seconds: Vec<f64>,
    /// Sequences and tokens of a step.
    pub batch: usize,
    /// Tokens of a sequence.
    pub seq_len: usize,
    /// Loss of the last step: random words have none to learn but their frequency.
    pub loss: f32,
}

/// Trains a new model of these settings; `None` if it was asked to stop.
pub fn training(
    settings: &PretrainSettings,
    (batch, seq_len): (usize, usize),
    steps: u32,
    peak: f64,
    device: &Device,
    stop: &Stop,
) -> anyhow::Result<Option<TrainSpeed>> {
    let (family, config) = (settings.model.family, settings.model.config.clone());
    let stream = Stream::new(settings.seed);
    let device = device.clone().autodiff();
    let of = (family, config.clone());
    let mut trainer = Trainer::new(of, (&settings.optimizer, LEARNING_RATE), stream.named("init"), &device)?;
    trainer.model.set_gradient_checkpointing(settings.data.gradient_checkpointing);
    trainer.model.set_bf16(settings.optimizer.rounding());
    let lengths = vec![seq_len; batch];
    let (mut step_seconds, mut loss, mut asked) = (Vec::new(), f32::NAN, 0);
    for step in 0..u64::from(WARM_UP + steps) {
        if stop.requested() {
            return Ok(None);
        }
        let stream = stream.named("step").at(step);
        let begun = Instant::now();
        let random = RandomBatch::new(&lengths, config.vocab_size, settings.masking.probability, stream);
        loss = trainer.step(&random, stream.named("dropout"));
        if step >= u64::from(WARM_UP) {
            step_seconds.push(begun.elapsed().as_secs_f64());
            asked += random.rows.len();
        }
    }
    let seconds: f64 = step_seconds.iter().sum();
    // Each product has two of its size in the backward pass.
    let head = 2.0 * (config.embedding_size * (config.hidden_size + config.vocab_size)) as f64;
    let all_steps = f64::from(steps);
    let mean_asked = asked as f64 / all_steps / batch as f64;
    let body = forward_operations(&config, seq_len, mean_asked.round() as usize) * batch as f64 * all_steps;
    let operations = 3.0 * (body + head * asked as f64);
    Ok(Some(TrainSpeed {
        tokens_per_second: (batch * seq_len) as f64 * all_steps / seconds,
        share_of_peak: operations / seconds / peak,
        peak_operations_per_second: peak,
        peak_memory_bytes: peak_bytes(),
        step_seconds,
        batch,
        seq_len,
        loss,
    }))
}
