//! Metrics by their usual names, equal to scikit-learn's.

use serde::{Deserialize, Serialize};

/// Scores of one class, as in scikit-learn's `precision_recall_fscore_support` with
/// `zero_division=0`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassScores {
    /// The class.
    pub label: String,
    /// Of the rows given this label, the share that has it; 0 if none was given it.
    pub precision: f64,
    /// Of the rows that have this label, the share given it; 0 if none has it.
    pub recall: f64,
    /// Harmonic mean of the two; 0 if both are.
    pub f1: f64,
    /// Rows that have this label.
    pub support: u64,
}

/// Scores of a classifier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassifyMetrics {
    /// Share of right answers.
    pub accuracy: f64,
    /// Mean over classes that occur in truth or prediction of each class's F1.
    pub macro_f1: f64,
    /// Mean cross-entropy.
    pub loss: f64,
    /// `confusion[truth][predicted]`, label order.
    pub confusion: Vec<Vec<u64>>,
    /// Label order.
    pub labels: Vec<String>,
    /// Each class's scores, label order.
    pub classes: Vec<ClassScores>,
}

impl ClassifyMetrics {
    /// From the class numbers of each row and the mean cross-entropy.
    /// Panics if there are no rows, or the lists differ in length, or a number is no class.
    pub fn new(labels: &[String], truth: &[usize], predicted: &[usize], loss: f64) -> Self {
        assert_eq!(truth.len(), predicted.len());
        assert!(!truth.is_empty(), "metrics of no rows");
        let n = labels.len();
        let mut confusion = vec![vec![0_u64; n]; n];
        for (&t, &p) in truth.iter().zip(predicted) {
            confusion[t][p] += 1;
        }
        let classes: Vec<ClassScores> =
            labels.iter().enumerate().map(|(c, label)| class_scores(c, label, &confusion)).collect();
        let given = |c: usize| confusion.iter().map(|row| row[c]).sum::<u64>();
        let occurring: Vec<f64> =
            (0..n).filter(|&c| classes[c].support > 0 || given(c) > 0).map(|c| classes[c].f1).collect();
        let right: u64 = (0..n).map(|c| confusion[c][c]).sum();
        Self {
            accuracy: right as f64 / truth.len() as f64,
            macro_f1: occurring.iter().sum::<f64>() / occurring.len() as f64,
            loss,
            confusion,
            labels: labels.to_vec(),
            classes,
        }
    }

    /// A metric by its name: `accuracy`, `macro_f1`, `loss`.
    pub fn get(&self, name: &str) -> Option<f64> {
        match name {
            "accuracy" => Some(self.accuracy),
            "macro_f1" => Some(self.macro_f1),
            "loss" => Some(self.loss),
            _ => None,
        }
    }
}

fn class_scores(class: usize, label: &str, confusion: &[Vec<u64>]) -> ClassScores {
    let right = confusion[class][class] as f64;
    let support: u64 = confusion[class].iter().sum();
    let given: u64 = confusion.iter().map(|row| row[class]).sum();
    let share = |of: f64| if of > 0.0 { right / of } else { 0.0 };
    // 2PR/(P+R) written without the division by zero of P and R.
    let f1 = if support + given > 0 { 2.0 * right / (support + given) as f64 } else { 0.0 };
    ClassScores { label: label.to_owned(), precision: share(given as f64), recall: share(support as f64), f1, support }
}

/// The answer and the cross-entropy of one row of logits: `(class, -ln p(truth))`. The first of
/// equal logits wins, as numpy's `argmax`.
pub fn score_row(logits: &[f32], truth: usize) -> (usize, f64) {
    let mut best = 0;
    for (c, &v) in logits.iter().enumerate() {
        if v > logits[best] {
            best = c;
        }
    }
    let top = f64::from(logits[best]);
    let sum: f64 = logits.iter().map(|&v| (f64::from(v) - top).exp()).sum();
    (best, sum.ln() + top - f64::from(logits[truth]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    struct Case {
        labels: Vec<String>,
        truth: Vec<usize>,
        logits: Vec<Vec<f32>>,
        accuracy: f64,
        macro_f1: f64,
        loss: f64,
        confusion: Vec<Vec<u64>>,
        precision: Vec<f64>,
        recall: Vec<f64>,
        f1: Vec<f64>,
        support: Vec<u64>,
    }

    fn near(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-9, "{a} is not {b}");
    }

    /// Values by scikit-learn: tests/fixtures/metrics.py.
    #[test]
    fn equal_to_scikit_learn() {
        let cases: Vec<Case> = serde_json::from_str(include_str!("../tests/fixtures/metrics.json")).unwrap();
        assert!(cases.len() >= 4);
        for case in cases {
            let rows: Vec<(usize, f64)> = case.logits.iter().zip(&case.truth).map(|(l, &t)| score_row(l, t)).collect();
            let predicted: Vec<usize> = rows.iter().map(|r| r.0).collect();
            let loss = rows.iter().map(|r| r.1).sum::<f64>() / rows.len() as f64;
            let m = ClassifyMetrics::new(&case.labels, &case.truth, &predicted, loss);
            near(m.accuracy, case.accuracy);
            near(m.macro_f1, case.macro_f1);
            near(m.loss, case.loss);
            assert_eq!(m.confusion, case.confusion);
            for (c, scores) in m.classes.iter().enumerate() {
                near(scores.precision, case.precision[c]);
                near(scores.recall, case.recall[c]);
                near(scores.f1, case.f1[c]);
                assert_eq!(scores.support, case.support[c]);
            }
        }
    }

    #[test]
    fn large_logits_do_not_overflow() {
        let (class, loss) = score_row(&[1e30, -1e30, 0.0], 0);
        assert_eq!((class, loss), (0, 0.0));
        assert_eq!(score_row(&[1.0, 1.0], 1).0, 0);
    }
}
