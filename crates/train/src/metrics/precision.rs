//! Precision against recall over all thresholds, equal to scikit-learn's.

use serde::{Deserialize, Serialize};

/// Labels whose curves are drawn, the most frequent ones.
pub const DRAWN: usize = 10;
/// Points a drawn curve has at most.
const POINTS: usize = 120;
/// More pairs of row and label than this are not sorted together.
const MOST_PAIRS: usize = 20_000_000;

/// The curve of one label.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PrecisionRecall {
    /// The label.
    pub label: String,
    /// Rows that have it.
    pub support: u64,
    /// Sum of the precisions, each by the recall it adds: the area under the curve as steps.
    pub average_precision: f64,
    /// Recall and precision, from the highest threshold down; thinned, and of a label that is not drawn none.
    pub points: Vec<[f64; 2]>,
    /// The threshold that was chosen, with the recall and precision it gives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chosen: Option<[f64; 3]>,
}

/// The curves of all labels that occur.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PrecisionRecalls {
    /// Mean of the labels' average precisions.
    pub macro_average: f64,
    /// All pairs of row and label as those of one label; `None` where they are too many.
    pub micro: Option<PrecisionRecall>,
    /// Label order.
    pub labels: Vec<PrecisionRecall>,
}

impl PrecisionRecalls {
    /// From `has(row, label)`, `probabilities[row][label]` and, where there are some, thresholds. `None` if no
    /// label occurs.
    pub fn new(
        labels: &[String],
        has: &dyn Fn(usize, usize) -> bool,
        probabilities: &[Vec<f32>],
        thresholds: Option<&[f64]>,
    ) -> Option<Self> {
        let of = |c: usize| probabilities.iter().enumerate().map(move |(row, p)| (has(row, c), f64::from(p[c])));
        let mut curves: Vec<PrecisionRecall> = Vec::new();
        for (c, label) in labels.iter().enumerate() {
            let Some(mut curve) = PrecisionRecall::new(label, of(c).collect()) else { continue };
            curve.chosen = thresholds.map(|t| {
                let given = of(c).filter(|row| row.1 >= t[c]).count();
                let right = of(c).filter(|row| row.1 >= t[c] && row.0).count() as f64;
                // Where nothing is given nothing is wrong, as at the end of scikit-learn's curve.
                let precision = if given > 0 { right / given as f64 } else { 1.0 };
                [t[c], right / curve.support as f64, precision]
            });
            curves.push(curve);
        }
        let mut supports: Vec<u64> = curves.iter().map(|c| c.support).collect();
        supports.sort_unstable_by(|a, b| b.cmp(a));
        let (mut left, least) = (DRAWN, supports.get(DRAWN - 1).copied().unwrap_or(0));
        for curve in &mut curves {
            if curve.support < least || left == 0 {
                curve.points.clear();
            } else {
                left -= 1;
            }
        }
        let few = labels.len() * probabilities.len() <= MOST_PAIRS;
        let all = || (0..labels.len()).flat_map(of).collect();
        let macro_average = curves.iter().map(|c| c.average_precision).sum::<f64>() / curves.len() as f64;
        let micro = few.then(|| PrecisionRecall::new("all together", all())).flatten();
        (!curves.is_empty()).then_some(Self { macro_average, micro, labels: curves })
    }
}

impl PrecisionRecall {
    /// From rows that have a label or not, with its probability. `None` if no row has it.
    pub fn new(label: &str, mut rows: Vec<(bool, f64)>) -> Option<Self> {
        let support = rows.iter().filter(|row| row.0).count();
        if support == 0 {
            return None;
        }
        rows.sort_unstable_by(|a, b| b.1.total_cmp(&a.1));
        let (mut right, mut given, mut average_precision) = (0, 0, 0.0);
        let mut points = Vec::new();
        for equal in rows.chunk_by(|a, b| a.1 == b.1) {
            let more = equal.iter().filter(|row| row.0).count();
            right += more;
            given += equal.len();
            if more > 0 {
                let precision = right as f64 / given as f64;
                average_precision += precision * more as f64 / support as f64;
                points.push([right as f64 / support as f64, precision]);
            }
        }
        let points = thinned(&points);
        Some(Self { label: label.to_owned(), support: support as u64, average_precision, points, chosen: None })
    }
}

/// Some of the points, first and last among them, in four digits.
fn thinned(points: &[[f64; 2]]) -> Vec<[f64; 2]> {
    let round = |[x, y]: [f64; 2]| [(x * 1e4).round() / 1e4, (y * 1e4).round() / 1e4];
    let count = points.len().min(POINTS);
    (0..count).map(|i| round(points[if count > 1 { i * (points.len() - 1) / (count - 1) } else { 0 }])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Fixture {
        labels: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        truth: Vec<Vec<u8>>,
        probabilities: Vec<Vec<f32>>,
        /// By label; `None` for one that does not occur.
        average_precision: Vec<Option<f64>>,
        micro: f64,
        /// Recall and precision by label, from the highest threshold down, where recall grows.
        curves: Vec<Vec<[f64; 2]>>,
    }

    fn near(a: f64, b: f64, within: f64) {
        assert!((a - b).abs() < within, "{a} is not {b}");
    }

    /// Values by scikit-learn: tests/fixtures/calibration.py.
    #[test]
    fn equal_to_scikit_learn() {
        let fixture: Fixture = serde_json::from_str(include_str!("../../tests/fixtures/calibration.json")).unwrap();
        for case in fixture.labels {
            let names: Vec<String> = (0..case.truth[0].len()).map(|c| c.to_string()).collect();
            let has = |row: usize, c: usize| case.truth[row][c] == 1;
            let found = PrecisionRecalls::new(&names, &has, &case.probabilities, None).unwrap();
            let known: Vec<(usize, f64)> =
                case.average_precision.iter().enumerate().filter_map(|(c, ap)| Some((c, (*ap)?))).collect();
            assert_eq!(found.labels.len(), known.len());
            for (curve, &(c, ap)) in found.labels.iter().zip(&known) {
                assert_eq!(curve.label, names[c]);
                near(curve.average_precision, ap, 1e-9);
                assert_eq!(curve.points.len(), case.curves[c].len());
                for (ours, theirs) in curve.points.iter().zip(&case.curves[c]) {
                    near(ours[0], theirs[0], 1e-4);
                    near(ours[1], theirs[1], 1e-4);
                }
            }
            near(found.micro.unwrap().average_precision, case.micro, 1e-9);
            near(found.macro_average, known.iter().map(|k| k.1).sum::<f64>() / known.len() as f64, 1e-9);
        }
    }

    #[test]
    fn a_chosen_threshold_lies_on_the_curve() {
        let p = [vec![0.9], vec![0.8], vec![0.4], vec![0.1]];
        let truth = [true, false, true, false];
        let found = PrecisionRecalls::new(&["a".into()], &|row, _| truth[row], &p, Some(&[0.3])).unwrap();
        assert_eq!(found.labels[0].chosen, Some([0.3, 1.0, 2.0 / 3.0]));
        assert_eq!(found.labels[0].points, [[0.5, 1.0], [1.0, 0.6667]]);
        let nothing = PrecisionRecalls::new(&["a".into()], &|row, _| truth[row], &p, Some(&[0.95])).unwrap();
        assert_eq!(nothing.labels[0].chosen, Some([0.95, 0.0, 1.0]));
        assert_eq!(PrecisionRecalls::new(&["a".into()], &|_, _| false, &p, None), None);
    }

    #[test]
    fn long_curves_are_thinned_and_rare_labels_are_not_drawn() {
        let labels: Vec<String> = (0..30).map(|c| format!("label {c}")).collect();
        let p = |row: usize, c: usize| ((row * 7919 + c * 104_729) % 1000) as f32 / 1000.0;
        let rows: Vec<Vec<f32>> = (0..900).map(|row| (0..30).map(|c| p(row, c)).collect()).collect();
        let found = PrecisionRecalls::new(&labels, &|row, c| row % (c + 2) == 0, &rows, None).unwrap();
        let drawn: Vec<&PrecisionRecall> = found.labels.iter().filter(|c| !c.points.is_empty()).collect();
        assert_eq!((found.labels.len(), drawn.len()), (30, DRAWN));
        assert!(drawn.iter().all(|c| c.points.len() <= POINTS && c.points.last().unwrap()[0] == 1.0));
        assert_eq!(drawn[9].label, "label 9");
    }
}
