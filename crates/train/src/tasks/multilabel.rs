//! Any number of labels for a text or a pair.

use super::rows::{RowBatch, Rows, hash};
use super::{Part, Task, beside, r_drop};
use crate::analysis::{Analysis, JudgedLabel, Mistake, What, rounded, worst};
use crate::distil::divergence;
use crate::metrics::Metrics;
use crate::metrics::calibration::Calibration;
use crate::metrics::multilabel::{MultilabelMetrics, choose_thresholds};
use crate::metrics::precision::PrecisionRecalls;
use polyseme_infer::sigmoid;
use polyseme_models::{HeadKind, Model};
use polyseme_tensor::Tensor;
use polyseme_tensor::ops::binary_cross_entropy;

/// Labels that are told of a wrong row, the worst ones.
const TOLD: usize = 12;

/// The task, with rows whose targets say of each label whether it is true.
pub struct Multilabel {
    labels: Vec<String>,
    train: Part<Vec<bool>>,
    valid: Part<Vec<bool>>,
    /// Probability each label must have, where a model has chosen it.
    thresholds: Option<Vec<f64>>,
}

impl Multilabel {
    /// While learning, a label is said from one half on; at the end each has the threshold that is best on the
    /// validation rows.
    pub fn new(labels: Vec<String>, train: Part<Vec<bool>>, valid: Part<Vec<bool>>) -> Self {
        Self { labels, train, valid, thresholds: None }
    }

    /// With the thresholds that a model has.
    pub fn with_thresholds(mut self, thresholds: Vec<f64>) -> Self {
        self.thresholds = Some(thresholds);
        self
    }

    fn measured(&self, kept: &[Vec<f32>], thresholds: &[f64]) -> Metrics {
        let losses = kept.iter().flat_map(|k| &k[self.labels.len()..]).map(|&l| f64::from(l));
        let loss = losses.sum::<f64>() / kept.len() as f64;
        let probabilities = self.probabilities(kept);
        Metrics::Multilabel(MultilabelMetrics::new(&self.labels, &self.valid.targets, &probabilities, thresholds, loss))
    }

    /// A row with the labels that are true or were said: first those that are wrong, the worst first.
    fn told(&self, row: usize, probabilities: &[f32], thresholds: &[f64], loss: f32) -> Mistake {
        let judged = |(c, label): (usize, &String)| JudgedLabel {
            label: label.clone(),
            probability: rounded(probabilities[c]),
            truth: self.valid.targets[row][c],
            said: f64::from(probabilities[c]) >= thresholds[c],
        };
        let all = self.labels.iter().enumerate().map(judged);
        let mut labels: Vec<JudgedLabel> = all.filter(|l| l.truth || l.said).collect();
        let error = |l: &JudgedLabel| (l.probability - f64::from(u8::from(l.truth))).abs();
        labels.sort_by(|a, b| (a.truth == a.said).cmp(&(b.truth == b.said)).then(error(b).total_cmp(&error(a))));
        labels.truncate(TOLD);
        let (place, texts) = self.valid.shown(row);
        Mistake { place, loss: rounded(loss), what: What::Labels { texts, labels } }
    }

    fn probabilities(&self, kept: &[Vec<f32>]) -> Vec<Vec<f32>> {
        kept.iter().map(|k| k[..self.labels.len()].to_vec()).collect()
    }
}

impl Task for Multilabel {
    fn name(&self) -> &'static str {
        "multilabel"
    }

    fn head(&self) -> HeadKind {
        HeadKind::MultiLabel(self.labels.clone())
    }

    fn train(&self) -> &Rows {
        &self.train.rows
    }

    fn valid(&self) -> &Rows {
        &self.valid.rows
    }

    fn targets_hash(&self) -> u64 {
        let labels = self.labels.join("\u{1f}");
        let targets = self.train.targets.iter().chain(&self.valid.targets).flatten();
        hash(labels.bytes().map(u64::from).chain(targets.map(|&t| u64::from(t))))
    }

    fn loss(&self, outputs: Tensor<2>, batch: &RowBatch) -> Tensor<1> {
        let of_row = |&row: &usize| self.train.targets[row].iter().map(|&t| f32::from(u8::from(t)));
        let wanted: Vec<f32> = batch.rows.iter().flat_map(of_row).collect();
        let wanted = beside(&outputs, &wanted, self.labels.len());
        // The mean over labels, as the reference.
        binary_cross_entropy(outputs, wanted) / self.labels.len() as f32
    }

    /// The mean over labels, as the loss.
    fn disagreement(&self, first: Tensor<2>, second: Tensor<2>, _: &RowBatch) -> Tensor<1> {
        r_drop::of_labels(first, second) / self.labels.len() as f32
    }

    fn imitation(&self, said: Tensor<2>, taught: Tensor<2>, temperature: f64, _: &RowBatch) -> Tensor<1> {
        divergence::of_labels(said, taught, temperature) / self.labels.len() as f32
    }

    /// The probability of each label, then the row's loss.
    fn keep(&self, outputs: &[f32], row: usize) -> Vec<f32> {
        let truth = &self.valid.targets[row];
        let each = |(&x, &t): (&f32, &bool)| x.max(0.0) - if t { x } else { 0.0 } + (-x.abs()).exp().ln_1p();
        let loss = outputs.iter().zip(truth).map(each).sum::<f32>() / truth.len() as f32;
        outputs.iter().map(|&x| sigmoid(x)).chain([loss]).collect()
    }

    fn metrics(&self, kept: &[Vec<f32>]) -> Metrics {
        let usual = vec![0.5; self.labels.len()];
        self.measured(kept, self.thresholds.as_ref().unwrap_or(&usual))
    }

    fn analysis(&self, kept: &[Vec<f32>], metrics: &Metrics) -> Analysis {
        let usual = vec![0.5; self.labels.len()];
        let thresholds = if let Metrics::Multilabel(m) = metrics { &m.thresholds } else { &usual };
        let (truth, probabilities) = (&self.valid.targets, self.probabilities(kept));
        let right = |row: usize| (0..usual.len()).all(|c| truth[row][c] == (f64::from(kept[row][c]) >= thresholds[c]));
        let wrong: Vec<usize> = (0..kept.len()).filter(|&row| !right(row)).collect();
        let loss = |row: usize| kept[row][self.labels.len()];
        let worst = worst(wrong.iter().map(|&row| (row, f64::from(loss(row)))));
        let told = worst.into_iter().map(|row| self.told(row, &kept[row], thresholds, loss(row)));
        let has = |row: usize, label: usize| truth[row][label];
        Analysis {
            calibration: Some(Calibration::of_labels(truth, &probabilities)),
            precision_recall: PrecisionRecalls::new(&self.labels, &has, &probabilities, Some(thresholds)),
            ..Analysis::new(kept.len(), Some(wrong.len()), told.collect())
        }
    }

    fn finish(&self, model: &mut Model, kept: &[Vec<f32>]) -> Metrics {
        let thresholds = choose_thresholds(&self.valid.targets, &self.probabilities(kept));
        model.set_thresholds(thresholds.clone());
        self.measured(kept, &thresholds)
    }

    /// The median of each label's thresholds in the folds.
    fn finish_unmeasured(&self, model: &mut Model, folds: &[&Metrics]) {
        let found: Vec<&Vec<f64>> = folds
            .iter()
            .filter_map(|metrics| match metrics {
                Metrics::Multilabel(m) => Some(&m.thresholds),
                _ => None,
            })
            .collect();
        let median = |label: usize| {
            let mut of_label: Vec<f64> = found.iter().map(|thresholds| thresholds[label]).collect();
            of_label.sort_by(f64::total_cmp);
            let n = of_label.len();
            0.5 * (of_label[(n - 1) / 2] + of_label[n / 2])
        };
        model.set_thresholds((0..self.labels.len()).map(median).collect());
    }
}
