//! How far probabilities can be trusted: calibration and the Brier score.

use serde::{Deserialize, Serialize};

/// Bins of equal width from 0 to 1 (Guo et al. 2017).
pub const BINS: usize = 15;

/// Probabilities of one bin beside what came true.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Bin {
    /// How many probabilities lie in it.
    pub count: u64,
    /// Their mean; 0 if there are none.
    pub said: f64,
    /// The share that came true; 0 if there are none.
    pub came_true: f64,
}

/// Calibration of probabilities that were said, by bins as scikit-learn's `calibration_curve` has them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Expected calibration error: mean distance of the bins' probabilities from what came true, by count.
    pub ece: f64,
    /// Mean squared distance from what is true, as scikit-learn's `brier_score_loss`: over all classes of a row
    /// together, half of that for two.
    pub brier: f64,
    /// [`BINS`] of them, from 0 to 1.
    pub bins: Vec<Bin>,
}

impl Calibration {
    /// Of the answers of a classifier: `said[row]` with the probability it has of `probabilities[row][class]`.
    /// Panics if there are no rows, or the lists differ in length.
    pub fn of_classes(truth: &[usize], said: &[usize], probabilities: &[Vec<f32>]) -> Self {
        assert!(truth.len() == said.len() && truth.len() == probabilities.len());
        let classes = probabilities.first().map_or(0, Vec::len);
        let far = |(row, &truth): (&Vec<f32>, &usize)| {
            row.iter().enumerate().map(|(c, &p)| (f64::from(p) - f64::from(u8::from(c == truth))).powi(2)).sum::<f64>()
        };
        let half = if classes == 2 { 0.5 } else { 1.0 };
        let brier = half * probabilities.iter().zip(truth).map(far).sum::<f64>() / truth.len() as f64;
        let answers = said.iter().zip(truth).zip(probabilities);
        Self::new(answers.map(|((&said, &truth), row)| (f64::from(row[said]), said == truth)), brier)
    }

    /// Of all labels of all rows, each a question of its own. Panics if there are none, or the lists differ in
    /// length.
    pub fn of_labels(truth: &[Vec<bool>], probabilities: &[Vec<f32>]) -> Self {
        assert_eq!(truth.len(), probabilities.len());
        let pairs = || probabilities.iter().flatten().map(|&p| f64::from(p)).zip(truth.iter().flatten().copied());
        let far = |(p, truth): (f64, bool)| (p - f64::from(u8::from(truth))).powi(2);
        let brier = pairs().map(far).sum::<f64>() / pairs().count() as f64;
        Self::new(pairs(), brier)
    }

    fn new(said: impl Iterator<Item = (f64, bool)>, brier: f64) -> Self {
        let mut sums = [(0_u64, 0.0, 0_u64); BINS];
        for (p, came_true) in said {
            // A probability on an edge belongs below it.
            let bin = ((p * BINS as f64).ceil() as usize).clamp(1, BINS) - 1;
            sums[bin].0 += 1;
            sums[bin].1 += p;
            sums[bin].2 += u64::from(came_true);
        }
        let all: u64 = sums.iter().map(|s| s.0).sum();
        assert!(all > 0, "calibration of nothing");
        let bin = |&(count, said, right): &(u64, f64, u64)| {
            let n = count.max(1) as f64;
            Bin { count, said: said / n, came_true: right as f64 / n }
        };
        let bins: Vec<Bin> = sums.iter().map(bin).collect();
        let ece = bins.iter().map(|b| b.count as f64 * (b.said - b.came_true).abs()).sum::<f64>() / all as f64;
        Self { ece, brier, bins }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Fixture {
        classes: Vec<Case<usize>>,
        labels: Vec<Case<Vec<u8>>>,
    }

    #[derive(Deserialize)]
    struct Case<T> {
        truth: Vec<T>,
        probabilities: Vec<Vec<f32>>,
        #[serde(default)]
        said: Vec<usize>,
        ece: f64,
        brier: f64,
        /// Count, mean probability and share of the bins that are not empty.
        bins: Vec<(u64, f64, f64)>,
    }

    fn near(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-9, "{a} is not {b}");
    }

    fn same<T>(found: &Calibration, case: &Case<T>) {
        near(found.ece, case.ece);
        near(found.brier, case.brier);
        let filled: Vec<&Bin> = found.bins.iter().filter(|b| b.count > 0).collect();
        assert_eq!((found.bins.len(), filled.len()), (BINS, case.bins.len()));
        for (bin, &(count, said, came_true)) in filled.into_iter().zip(&case.bins) {
            assert_eq!(bin.count, count);
            near(bin.said, said);
            near(bin.came_true, came_true);
        }
    }

    /// Values by scikit-learn: tests/fixtures/calibration.py.
    #[test]
    fn equal_to_scikit_learn() {
        let fixture: Fixture = serde_json::from_str(include_str!("../../tests/fixtures/calibration.json")).unwrap();
        assert!(fixture.classes.len() >= 4 && fixture.labels.len() >= 2);
        for case in &fixture.classes {
            same(&Calibration::of_classes(&case.truth, &case.said, &case.probabilities), case);
        }
        for case in &fixture.labels {
            let truth: Vec<Vec<bool>> = case.truth.iter().map(|row| row.iter().map(|&t| t == 1).collect()).collect();
            same(&Calibration::of_labels(&truth, &case.probabilities), case);
        }
    }

    #[test]
    fn certainty_and_its_opposite() {
        let right = Calibration::of_classes(&[0, 1], &[0, 1], &[vec![1.0, 0.0], vec![0.0, 1.0]]);
        assert_eq!((right.ece, right.brier, right.bins[BINS - 1].count), (0.0, 0.0, 2));
        let wrong = Calibration::of_labels(&[vec![true, false]], &[vec![0.0, 1.0]]);
        assert_eq!((wrong.ece, wrong.brier, wrong.bins[0].count), (1.0, 1.0, 1));
    }
}
