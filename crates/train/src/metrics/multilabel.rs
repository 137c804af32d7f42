//! Scores of any number of labels a row, equal to scikit-learn's, and the thresholds they are given by.

use super::ClassScores;
use serde::{Deserialize, Serialize};

/// Scores of a classifier that gives each row every label whose probability is at least the label's
/// threshold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MultilabelMetrics {
    /// F1 of all pairs of row and label.
    pub micro_f1: f64,
    /// Mean over all labels of each label's F1, 0 for those that occur nowhere.
    pub macro_f1: f64,
    /// Share of rows with all labels right.
    pub exact_match: f64,
    /// Mean loss.
    pub loss: f64,
    /// Rows.
    pub rows: u64,
    /// Each label's scores.
    pub classes: Vec<ClassScores>,
    /// Each label's threshold.
    pub thresholds: Vec<f64>,
}

impl MultilabelMetrics {
    /// From `truth[row][label]`, `probabilities[row][label]` and the mean loss. Panics if there are
    /// no rows or labels, or the lists differ in length.
    pub fn new(
        labels: &[String],
        truth: &[Vec<bool>],
        probabilities: &[Vec<f32>],
        thresholds: &[f64],
        loss: f64,
    ) -> Self {
        check(labels.len(), truth, probabilities);
        assert_eq!(labels.len(), thresholds.len());
        let mut counts = vec![[0_u64; 3]; labels.len()]; // right, given, true
        let mut exact = 0_u64;
        for (truth, probabilities) in truth.iter().zip(probabilities) {
            let mut all_right = true;
            for (c, count) in counts.iter_mut().enumerate() {
                let given = f64::from(probabilities[c]) >= thresholds[c];
                count[0] += u64::from(given && truth[c]);
                count[1] += u64::from(given);
                count[2] += u64::from(truth[c]);
                all_right &= given == truth[c];
            }
            exact += u64::from(all_right);
        }
        let classes: Vec<ClassScores> =
            labels.iter().zip(&counts).map(|(label, &[r, g, t])| ClassScores::of_counts(label, r, g, t)).collect();
        let sum = |i: usize| counts.iter().map(|count| count[i]).sum();
        Self {
            micro_f1: ClassScores::of_counts("", sum(0), sum(1), sum(2)).f1,
            macro_f1: classes.iter().map(|c| c.f1).sum::<f64>() / classes.len() as f64,
            exact_match: exact as f64 / truth.len() as f64,
            loss,
            rows: truth.len() as u64,
            classes,
            thresholds: thresholds.to_vec(),
        }
    }

    /// A metric by its name: `micro_f1`, `macro_f1`, `exact_match`, `loss`.
    pub fn get(&self, name: &str) -> Option<f64> {
        match name {
            "micro_f1" => Some(self.micro_f1),
            "macro_f1" => Some(self.macro_f1),
            "exact_match" => Some(self.exact_match),
            "loss" => Some(self.loss),
            _ => None,
        }
    }
}

/// For each label the threshold with the best F1 on these rows; 0.5 for a label that all rows have
/// or none. It lies midway between neighbouring probabilities, or between 0 and the lowest where
/// every row is best given the label. Of equally good ones the nearest to 0.5 is taken, then the
/// higher. Panics if there are no rows or labels, or the lists differ in length.
pub fn choose_thresholds(truth: &[Vec<bool>], probabilities: &[Vec<f32>]) -> Vec<f64> {
    let labels = truth.first().map_or(0, Vec::len);
    check(labels, truth, probabilities);
    (0..labels).map(|c| choose_threshold(truth.iter().map(|t| t[c]).zip(probabilities.iter().map(|p| p[c])))).collect()
}

fn choose_threshold(rows: impl Iterator<Item = (bool, f32)>) -> f64 {
    let mut rows: Vec<(bool, f64)> = rows.map(|(truth, p)| (truth, f64::from(p))).collect();
    let support = rows.iter().filter(|row| row.0).count();
    if support == 0 || support == rows.len() {
        return 0.5;
    }
    rows.sort_by(|a, b| b.1.total_cmp(&a.1));
    let (mut right, mut given) = (0, 0);
    let (mut best, mut best_f1) = (0.5, 0.0);
    for equal in rows.chunk_by(|a, b| a.1 == b.1) {
        right += equal.iter().filter(|row| row.0).count();
        given += equal.len();
        let f1 = (2 * right) as f64 / (given + support) as f64;
        let threshold = (equal[0].1 + rows.get(given).map_or(0.0, |next| next.1)) / 2.0;
        let nearer = (threshold - 0.5).abs() < (best - 0.5_f64).abs();
        if f1 > best_f1 || f1 == best_f1 && nearer {
            (best, best_f1) = (threshold, f1);
        }
    }
    best
}

fn check(labels: usize, truth: &[Vec<bool>], probabilities: &[Vec<f32>]) {
    assert_eq!(truth.len(), probabilities.len());
    assert!(labels > 0 && !truth.is_empty(), "metrics of no rows or labels");
    assert!(truth.iter().all(|t| t.len() == labels) && probabilities.iter().all(|p| p.len() == labels));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Fixture {
        cases: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        truth: Vec<Vec<u8>>,
        probabilities: Vec<Vec<f32>>,
        thresholds: Vec<f64>,
        micro_f1: f64,
        macro_f1: f64,
        exact_match: f64,
        precision: Vec<f64>,
        recall: Vec<f64>,
        f1: Vec<f64>,
        support: Vec<u64>,
        chosen: Vec<f64>,
    }

    impl Case {
        fn truth(&self) -> Vec<Vec<bool>> {
            self.truth.iter().map(|row| row.iter().map(|&t| t == 1).collect()).collect()
        }
    }

    fn cases() -> Vec<Case> {
        let fixture: Fixture = serde_json::from_str(include_str!("../../tests/fixtures/multilabel.json")).unwrap();
        assert!(fixture.cases.len() >= 6);
        fixture.cases
    }

    fn near(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-9, "{a} is not {b}");
    }

    /// Values by scikit-learn: tests/fixtures/task_metrics.py.
    #[test]
    fn metrics_equal_to_scikit_learn() {
        for case in cases() {
            let labels: Vec<String> = (0..case.thresholds.len()).map(|c| format!("label {c}")).collect();
            let m = MultilabelMetrics::new(&labels, &case.truth(), &case.probabilities, &case.thresholds, 0.5);
            let expected = [case.micro_f1, case.macro_f1, case.exact_match, 0.5];
            let names = ["micro_f1", "macro_f1", "exact_match", "loss"];
            names.iter().zip(expected).for_each(|(name, value)| near(m.get(name).unwrap(), value));
            assert_eq!(m.rows as usize, case.truth.len());
            for (c, scores) in m.classes.iter().enumerate() {
                assert_eq!((&scores.label, scores.support), (&labels[c], case.support[c]));
                near(scores.precision, case.precision[c]);
                near(scores.recall, case.recall[c]);
                near(scores.f1, case.f1[c]);
            }
        }
    }

    /// Values by trying every threshold with scikit-learn's `f1_score`.
    #[test]
    fn chosen_thresholds_are_the_best() {
        for case in cases() {
            let chosen = choose_thresholds(&case.truth(), &case.probabilities);
            assert_eq!(chosen.len(), case.chosen.len());
            chosen.iter().zip(&case.chosen).for_each(|(&ours, &theirs)| near(ours, theirs));
        }
    }

    #[test]
    fn neighbouring_floats_are_told_apart() {
        let (low, high) = (0.3_f32, 0.3_f32.next_up());
        let threshold = choose_thresholds(&[vec![false], vec![true]], &[vec![low], vec![high]])[0];
        assert!(f64::from(low) < threshold && threshold <= f64::from(high));
    }
}
