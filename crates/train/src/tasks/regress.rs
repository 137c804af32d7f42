//! A number for a text or a pair.

use super::rows::{RowBatch, Rows, hash};
use super::{Part, Task, beside, r_drop};
use crate::analysis::{Analysis, Mistake, Scatter, What, rounded, worst};
use crate::metrics::{Metrics, RegressMetrics, mean_and_deviation};
use polyseme_models::{HeadKind, Model};
use polyseme_tensor::Tensor;

/// Mean and deviation of the training rows' numbers: a head learns how many deviations a number is from the
/// mean.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Scale {
    pub mean: f32,
    pub deviation: f32,
}

impl Scale {
    /// Numbers as they are.
    pub const NONE: Self = Self { mean: 0.0, deviation: 1.0 };

    /// Of some numbers. Where they are all alike, the deviation is 1.
    pub fn of(numbers: &[f32]) -> Self {
        let wide: Vec<f64> = numbers.iter().map(|&n| f64::from(n)).collect();
        let (mean, deviation) = mean_and_deviation(&wide);
        Self { mean: mean as f32, deviation: if deviation > 0.0 { deviation as f32 } else { 1.0 } }
    }
}

/// The task, with rows whose targets are numbers.
pub struct Regress {
    scale: Scale,
    train: Part<f32>,
    valid: Part<f32>,
}

impl Regress {
    /// A model learns on this scale and is written to give the numbers themselves.
    pub fn new(scale: Scale, train: Part<f32>, valid: Part<f32>) -> Self {
        Self { scale, train, valid }
    }

    fn said(&self, kept: &[Vec<f32>]) -> Vec<f32> {
        kept.iter().map(|k| k[0] * self.scale.deviation + self.scale.mean).collect()
    }
}

/// Numbers beside those that were said.
pub(super) fn of_numbers(valid: &Part<f32>, said: &[f32]) -> Analysis {
    let truth = &valid.targets;
    let error = |row: usize| f64::from(said[row]) - f64::from(truth[row]);
    let told = worst((0..said.len()).map(|row| (row, error(row).abs()))).into_iter().map(|row| {
        let (place, texts) = valid.shown(row);
        let what = What::Number { texts, truth: truth[row], said: said[row] };
        Mistake { place, loss: rounded(error(row).powi(2)), what }
    });
    Analysis { scatter: Some(Scatter::new(truth, said)), ..Analysis::new(said.len(), None, told.collect()) }
}

impl Task for Regress {
    fn name(&self) -> &'static str {
        "regress"
    }

    fn head(&self) -> HeadKind {
        HeadKind::Regress
    }

    fn train(&self) -> &Rows {
        &self.train.rows
    }

    fn valid(&self) -> &Rows {
        &self.valid.rows
    }

    fn targets_hash(&self) -> u64 {
        hash(self.train.targets.iter().chain(&self.valid.targets).map(|t| u64::from(t.to_bits())))
    }

    fn loss(&self, outputs: Tensor<2>, batch: &RowBatch) -> Tensor<1> {
        let scaled = |&row: &usize| (self.train.targets[row] - self.scale.mean) / self.scale.deviation;
        let wanted: Vec<f32> = batch.rows.iter().map(scaled).collect();
        let error = outputs.clone() - beside(&outputs, &wanted, 1);
        (error.clone() * error).sum()
    }

    fn disagreement(&self, first: Tensor<2>, second: Tensor<2>, _: &RowBatch) -> Tensor<1> {
        r_drop::of_numbers(first, second)
    }

    fn imitation(&self, said: Tensor<2>, taught: Tensor<2>, _: f64, _: &RowBatch) -> Tensor<1> {
        r_drop::of_numbers(said, taught)
    }

    fn metrics(&self, kept: &[Vec<f32>]) -> Metrics {
        Metrics::Regress(RegressMetrics::new(&self.valid.targets, &self.said(kept)))
    }

    fn analysis(&self, kept: &[Vec<f32>], _: &Metrics) -> Analysis {
        of_numbers(&self.valid, &self.said(kept))
    }

    fn begin(&self, model: &mut Model, known: bool) {
        if known {
            // The folder's head gives the numbers themselves.
            model.rescale_output(1.0 / self.scale.deviation, -self.scale.mean / self.scale.deviation);
        }
    }

    fn finish(&self, model: &mut Model, kept: &[Vec<f32>]) -> Metrics {
        self.finish_unmeasured(model, &[]);
        self.metrics(kept)
    }

    /// Whoever opens the folder gets the numbers themselves.
    fn finish_unmeasured(&self, model: &mut Model, _: &[&Metrics]) {
        model.rescale_output(self.scale.deviation, self.scale.mean);
    }
}
