//! Steps of masked language modelling on random tokens: forward, backward, clipping, AdamW.

use super::memory::peak_bytes;
use super::{forward_operations, random_sequence};
use polyseme_models::{HeadKind, Model};
use polyseme_tensor::ops::optimizer::{AdamWState, AdamWStep, ParamRates, adamw_step, global_norm};
use polyseme_tensor::{Device, Mode, PackedBatch, Stream};
use polyseme_train::{PretrainSettings, Stop};
use serde::Serialize;
use std::time::Instant;

/// Steps before those that are timed.
const WARM_UP: u32 = 3;

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
    let device = device.clone().autodiff();
    let (family, config) = (settings.model.family, settings.model.config.clone());
    let stream = Stream::new(settings.seed);
    let mut model = Model::new(family, config.clone(), HeadKind::MaskedLm, stream.named("init"), &device)?;
    model.set_gradient_checkpointing(settings.data.gradient_checkpointing);
    let each: Vec<ParamRates> = model.parameters().iter().map(|info| info.decay.into()).collect();
    let o = &settings.optimizer;
    let mut state = AdamWState::default();
    let (mut step_seconds, mut loss, mut asked) = (Vec::new(), f32::NAN, 0);
    for step in 0..u64::from(WARM_UP + steps) {
        if stop.requested() {
            return Ok(None);
        }
        let stream = stream.named("step").at(step);
        let begun = Instant::now();
        let sequences: Vec<_> =
            (0..batch).map(|i| random_sequence(seq_len, config.vocab_size, stream.at(i as u64))).collect();
        let packed = PackedBatch::new(&sequences);
        let masked = |&row: &usize| f64::from(stream.named("mask").uniform(row as u64)) < settings.masking.probability;
        let rows: Vec<usize> = (0..packed.tokens()).filter(masked).collect();
        let labels: Vec<u32> =
            rows.iter().map(|&row| stream.named("label").below(row as u64, config.vocab_size as u64) as u32).collect();
        let (mean, _) = model.masked_lm_loss(&packed, &rows, &labels, Mode::Train(stream.named("dropout")));
        let gradients = model.gradients(&mut mean.backward());
        let norm = global_norm(&gradients);
        let adamw = AdamWStep {
            learning_rate: 1e-4,
            beta1: o.beta1,
            beta2: o.beta2,
            epsilon: o.epsilon,
            weight_decay: o.weight_decay,
            gradient_scale: 1.0 / norm.max(1.0),
        };
        let values = model.take();
        model.put(adamw_step(values, gradients, &each, &mut state, adamw));
        loss = mean.without_autodiff().into_scalar::<f32>();
        if step >= u64::from(WARM_UP) {
            step_seconds.push(begun.elapsed().as_secs_f64());
            asked += rows.len();
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
