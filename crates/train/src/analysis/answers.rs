//! Answers of a model that says one of several.

use super::{Analysis, Mistake, What, rounded, worst};
use crate::metrics::calibration::Calibration;
use crate::metrics::score_row;
use polyseme_infer::softmax;

/// What was said of each row, beside what is true.
pub(crate) struct Answers<'a> {
    pub truth: &'a [usize],
    pub said: Vec<usize>,
    pub losses: Vec<f64>,
    pub probabilities: Vec<Vec<f32>>,
}

impl<'a> Answers<'a> {
    /// From logits.
    pub fn new(logits: &[Vec<f32>], truth: &'a [usize]) -> Self {
        let (said, losses) = logits.iter().zip(truth).map(|(logits, &truth)| score_row(logits, truth)).unzip();
        Self { truth, said, losses, probabilities: logits.iter().map(|row| softmax(row)).collect() }
    }

    /// The probability of a label of a row.
    pub fn probability(&self, row: usize, label: usize) -> f64 {
        rounded(self.probabilities[row][label])
    }

    /// With the wrong rows of greatest loss, each told with its place.
    pub fn analysis(&self, tell: impl Fn(usize) -> (String, What)) -> Analysis {
        let wrong = || (0..self.truth.len()).filter(|&row| self.said[row] != self.truth[row]);
        let mistake = |row: usize| {
            let (place, what) = tell(row);
            Mistake { place, loss: rounded(self.losses[row]), what }
        };
        let worst = worst(wrong().map(|row| (row, self.losses[row]))).into_iter().map(mistake).collect();
        let calibration = Some(Calibration::of_classes(self.truth, &self.said, &self.probabilities));
        Analysis { calibration, ..Analysis::new(self.truth.len(), Some(wrong().count()), worst) }
    }
}
