//! One step of masked language modelling on random tokens: forward, backward, clipping, AdamW.

use super::random_sequence;
use polyseme_models::{EncoderConfig, Family, HeadKind, Model};
use polyseme_tensor::ops::optimizer::{AdamWState, AdamWStep, ParamRates, adamw_step, global_norm};
use polyseme_tensor::{Device, Mode, PackedBatch, Stream};
use polyseme_train::pretrain::OptimizerSettings;

/// A new model with its optimizer.
pub struct Trainer {
    /// The model.
    pub model: Model,
    optimizer: OptimizerSettings,
    learning_rate: f64,
    each: Vec<ParamRates>,
    state: AdamWState,
}

/// Random sequences with some of their tokens to be guessed.
pub struct RandomBatch {
    /// The sequences.
    pub packed: PackedBatch,
    /// Packed rows that are to be guessed.
    pub rows: Vec<usize>,
    labels: Vec<u32>,
}

impl RandomBatch {
    /// Sequences of these lengths; of their tokens about `share` are to be guessed, at least one.
    pub fn new(lengths: &[usize], vocabulary: usize, share: f64, stream: Stream) -> Self {
        let sequences: Vec<_> =
            lengths.iter().enumerate().map(|(i, &n)| random_sequence(n, vocabulary, stream.at(i as u64))).collect();
        let packed = PackedBatch::new(&sequences);
        let masked = |&row: &usize| row == 0 || f64::from(stream.named("mask").uniform(row as u64)) < share;
        let rows: Vec<usize> = (0..packed.tokens()).filter(masked).collect();
        let label = |&row: &usize| stream.named("label").below(row as u64, vocabulary as u64) as u32;
        let labels = rows.iter().map(label).collect();
        Self { packed, rows, labels }
    }
}

impl Trainer {
    /// A new model on a device that records gradients.
    pub fn new(
        (family, config): (Family, EncoderConfig),
        (optimizer, learning_rate): (&OptimizerSettings, f64),
        init: Stream,
        device: &Device,
    ) -> anyhow::Result<Self> {
        let model = Model::new(family, config, HeadKind::MaskedLm, init, device)?;
        let each = model.parameters().iter().map(|info| info.decay.into()).collect();
        Ok(Self { model, optimizer: optimizer.clone(), learning_rate, each, state: AdamWState::default() })
    }

    /// A step; the loss before it.
    pub fn step(&mut self, batch: &RandomBatch, dropout: Stream) -> f32 {
        let (mean, _) = self.model.masked_lm_loss(&batch.packed, &batch.rows, &batch.labels, Mode::Train(dropout));
        let gradients = self.model.gradients(&mut mean.backward());
        let norm = global_norm(&gradients);
        let o = &self.optimizer;
        let adamw = AdamWStep {
            learning_rate: self.learning_rate,
            beta1: o.beta1,
            beta2: o.beta2,
            epsilon: o.epsilon,
            weight_decay: o.weight_decay,
            gradient_scale: 1.0 / norm.max(1.0),
        };
        let values = self.model.take();
        self.model.put(adamw_step(values, gradients, &self.each, &mut self.state, adamw));
        mean.without_autodiff().into_scalar::<f32>()
    }
}
