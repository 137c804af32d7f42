//! The best of several choices.

use super::rows::{RowBatch, Rows, hash};
use super::{Part, Task, r_drop};
use crate::analysis::{Analysis, Answers, Choice, What};
use crate::distil::divergence;
use crate::metrics::{ClassifyMetrics, Metrics};
use polyseme_models::HeadKind;
use polyseme_tensor::Tensor;
use polyseme_tensor::ops::cross_entropy;
use polyseme_tensor::packed::int_tensor;

/// The task, with rows of as many sequences as there are choices, whose targets are numbers of choices.
pub struct Choose {
    /// Names of the choices.
    names: Vec<String>,
    train: Part<usize>,
    valid: Part<usize>,
}

impl Choose {
    /// With names for the choices.
    pub fn new(names: Vec<String>, train: Part<usize>, valid: Part<usize>) -> Self {
        Self { names, train, valid }
    }
}

impl Task for Choose {
    fn name(&self) -> &'static str {
        "choice"
    }

    fn head(&self) -> HeadKind {
        HeadKind::Choice
    }

    fn train(&self) -> &Rows {
        &self.train.rows
    }

    fn valid(&self) -> &Rows {
        &self.valid.rows
    }

    fn targets_hash(&self) -> u64 {
        hash(self.train.targets.iter().chain(&self.valid.targets).map(|&t| t as u64))
    }

    fn loss(&self, outputs: Tensor<2>, batch: &RowBatch) -> Tensor<1> {
        let rows = batch.rows.len();
        let labels: Vec<u32> = batch.rows.iter().map(|&row| self.train.targets[row] as u32).collect();
        let labels = int_tensor(&labels, &outputs.device().without_autodiff());
        cross_entropy(outputs.reshape([rows, self.names.len()]), labels) * rows as f32
    }

    fn disagreement(&self, first: Tensor<2>, second: Tensor<2>, batch: &RowBatch) -> Tensor<1> {
        let beside = |outputs: Tensor<2>| outputs.reshape([batch.rows.len(), self.names.len()]);
        r_drop::of_classes(beside(first), beside(second))
    }

    fn imitation(&self, said: Tensor<2>, taught: Tensor<2>, temperature: f64, batch: &RowBatch) -> Tensor<1> {
        let beside = |outputs: Tensor<2>| outputs.reshape([batch.rows.len(), self.names.len()]);
        divergence::of_classes(beside(said), beside(taught), temperature)
    }

    fn metrics(&self, kept: &[Vec<f32>]) -> Metrics {
        Metrics::Classify(ClassifyMetrics::of_logits(&self.names, &self.valid.targets, kept))
    }

    fn analysis(&self, kept: &[Vec<f32>], _: &Metrics) -> Analysis {
        let answers = Answers::new(kept, &self.valid.targets);
        answers.analysis(|row| {
            let (place, texts) = self.valid.shown(row);
            let mut texts = texts.into_iter();
            let text = texts.next().unwrap_or_default();
            let of = |(c, name): (usize, &String)| Choice {
                name: name.clone(),
                text: texts.next().unwrap_or_default(),
                probability: answers.probability(row, c),
            };
            let choices = self.names.iter().enumerate().map(of).collect();
            (place, What::Choice { text, choices, truth: answers.truth[row], said: answers.said[row] })
        })
    }
}
