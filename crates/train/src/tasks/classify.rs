//! One label of several for a text or a pair.

use super::rows::{RowBatch, Rows, hash};
use super::{Part, Task, beside, r_drop};
use crate::analysis::{Analysis, Answers, Scored, What};
use crate::distil::divergence;
use crate::metrics::precision::PrecisionRecalls;
use crate::metrics::{ClassifyMetrics, Metrics};
use polyseme_models::HeadKind;
use polyseme_tensor::Tensor;
use polyseme_tensor::ops::soft_cross_entropy;

/// The task, with rows whose targets are numbers of labels.
pub struct Classify {
    labels: Vec<String>,
    train: Part<usize>,
    valid: Part<usize>,
    /// Weight of each label in the loss, 1 in the mean over training rows.
    weights: Vec<f32>,
    /// Share of the wanted probability that all labels have alike.
    smoothing: f32,
}

impl Classify {
    /// With labels that all weigh the same, and no smoothing.
    pub fn new(labels: Vec<String>, train: Part<usize>, valid: Part<usize>) -> Self {
        let weights = vec![1.0; labels.len()];
        Self { labels, train, valid, weights, smoothing: 0.0 }
    }

    /// Rare labels weigh more: each label's rows as much as every other's, as scikit-learn's "balanced".
    pub fn balanced(mut self) -> Self {
        let (rows, classes) = (self.train.targets.len() as f32, self.labels.len() as f32);
        let count = |c: usize| self.train.targets.iter().filter(|&&t| t == c).count() as f32;
        self.weights = (0..self.labels.len()).map(|c| rows / (classes * count(c).max(1.0))).collect();
        self
    }

    /// All labels share this much of the wanted probability (Szegedy et al. 2016).
    pub fn smoothed(mut self, share: f64) -> Self {
        self.smoothing = share as f32;
        self
    }
}

impl Task for Classify {
    fn name(&self) -> &'static str {
        "classify"
    }

    fn head(&self) -> HeadKind {
        HeadKind::Classify(self.labels.clone())
    }

    fn train(&self) -> &Rows {
        &self.train.rows
    }

    fn valid(&self) -> &Rows {
        &self.valid.rows
    }

    fn targets_hash(&self) -> u64 {
        let labels = self.labels.join("\u{1f}");
        let targets = self.train.targets.iter().chain(&self.valid.targets);
        hash(labels.bytes().map(u64::from).chain(targets.map(|&t| t as u64)))
    }

    fn loss(&self, outputs: Tensor<2>, batch: &RowBatch) -> Tensor<1> {
        let classes = self.labels.len();
        let rest = self.smoothing / classes as f32;
        let mut wanted = vec![rest; batch.rows.len() * classes];
        for (row, line) in batch.rows.iter().zip(wanted.chunks_exact_mut(classes)) {
            let label = self.train.targets[*row];
            line[label] += 1.0 - self.smoothing;
            line.iter_mut().for_each(|w| *w *= self.weights[label]);
        }
        let wanted = beside(&outputs, &wanted, classes);
        soft_cross_entropy(outputs, wanted)
    }

    fn disagreement(&self, first: Tensor<2>, second: Tensor<2>, _: &RowBatch) -> Tensor<1> {
        r_drop::of_classes(first, second)
    }

    fn imitation(&self, said: Tensor<2>, taught: Tensor<2>, temperature: f64, _: &RowBatch) -> Tensor<1> {
        divergence::of_classes(said, taught, temperature)
    }

    fn metrics(&self, kept: &[Vec<f32>]) -> Metrics {
        Metrics::Classify(ClassifyMetrics::of_logits(&self.labels, &self.valid.targets, kept))
    }

    fn analysis(&self, kept: &[Vec<f32>], _: &Metrics) -> Analysis {
        let truth = &self.valid.targets;
        let answers = Answers::new(kept, truth);
        let tell = |row: usize| {
            let (place, texts) = self.valid.shown(row);
            let of = |c: usize| Scored { label: self.labels[c].clone(), probability: answers.probability(row, c) };
            (place, What::Label { texts, truth: of(truth[row]), said: of(answers.said[row]) })
        };
        let has = |row: usize, label: usize| truth[row] == label;
        let precision_recall = PrecisionRecalls::new(&self.labels, &has, &answers.probabilities, None);
        Analysis { precision_recall, ..answers.analysis(tell) }
    }

    fn classes(&self) -> Option<(&[usize], usize)> {
        Some((&self.train.targets, self.labels.len()))
    }
}
