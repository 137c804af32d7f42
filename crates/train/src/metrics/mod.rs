//! Metrics by their usual names, equal to scikit-learn's.

pub mod calibration;
pub mod multilabel;
pub mod precision;
pub mod ranking;
pub mod sequences;
pub mod spans;
pub mod tags;

use multilabel::MultilabelMetrics;
use ranking::RetrievalMetrics;
use sequences::SequenceMetrics;
use serde::{Deserialize, Serialize};
use spans::SpanMetrics;
use tags::TagMetrics;

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

    /// From the logits of each row. Panics as [`ClassifyMetrics::new`].
    pub fn of_logits(labels: &[String], truth: &[usize], logits: &[Vec<f32>]) -> Self {
        let rows = logits.iter().zip(truth).map(|(logits, &truth)| score_row(logits, truth));
        let (predicted, losses): (Vec<usize>, Vec<f64>) = rows.unzip();
        Self::new(labels, truth, &predicted, losses.iter().sum::<f64>() / losses.len() as f64)
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

/// Scores of a regression.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RegressMetrics {
    /// Correlation of ranks, equal values having their mean rank, as scipy's; 0 where one side is constant.
    pub spearman: f64,
    /// Correlation of values; 0 where one side is constant.
    pub pearson: f64,
    /// Root of the mean squared error.
    pub rmse: f64,
    /// Mean absolute error.
    pub mae: f64,
    /// Mean squared error.
    pub loss: f64,
    /// Rows.
    pub rows: u64,
    /// Mean of the true numbers.
    pub mean: f64,
    /// Their deviation: the `rmse` of always giving the mean.
    pub deviation: f64,
}

impl RegressMetrics {
    /// From true and predicted numbers. Panics if there are none, or the lists differ in length.
    pub fn new(truth: &[f32], predicted: &[f32]) -> Self {
        assert_eq!(truth.len(), predicted.len());
        assert!(!truth.is_empty(), "metrics of no rows");
        let wide = |x: &[f32]| x.iter().map(|&v| f64::from(v)).collect::<Vec<f64>>();
        let (truth, predicted) = (wide(truth), wide(predicted));
        let n = truth.len() as f64;
        let of_errors = |f: fn(f64) -> f64| truth.iter().zip(&predicted).map(|(t, p)| f(p - t)).sum::<f64>() / n;
        let (mean, deviation) = mean_and_deviation(&truth);
        let loss = of_errors(|e| e * e);
        Self {
            spearman: correlation(&ranks(&truth), &ranks(&predicted)),
            pearson: correlation(&truth, &predicted),
            rmse: loss.sqrt(),
            mae: of_errors(f64::abs),
            loss,
            rows: truth.len() as u64,
            mean,
            deviation,
        }
    }

    /// A metric by its name: `spearman`, `pearson`, `rmse`, `mae`, `loss`.
    pub fn get(&self, name: &str) -> Option<f64> {
        match name {
            "spearman" => Some(self.spearman),
            "pearson" => Some(self.pearson),
            "rmse" => Some(self.rmse),
            "mae" => Some(self.mae),
            "loss" => Some(self.loss),
            _ => None,
        }
    }
}

/// Scores of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "task", rename_all = "lowercase")]
pub enum Metrics {
    /// One label, or choice, of several.
    Classify(ClassifyMetrics),
    /// Several labels.
    Multilabel(MultilabelMetrics),
    /// A number.
    Regress(RegressMetrics),
    /// A label for each word.
    Tag(TagMetrics),
    /// Answers copied from passages.
    Answer(SpanMetrics),
    /// Partners found by their vectors.
    Retrieval(RetrievalMetrics),
    /// Generated texts.
    Sequence(SequenceMetrics),
}

impl Metrics {
    /// A metric by its name.
    pub fn get(&self, name: &str) -> Option<f64> {
        match self {
            Self::Classify(m) => m.get(name),
            Self::Multilabel(m) => m.get(name),
            Self::Regress(m) => m.get(name),
            Self::Tag(m) => m.get(name),
            Self::Answer(m) => m.get(name),
            Self::Retrieval(m) => m.get(name),
            Self::Sequence(m) => m.get(name),
        }
    }

    /// Whether it says the same of all rows, which is a training that got stuck; the label it says, where there is
    /// one. `None` where rows are all alike themselves.
    pub fn stuck(&self) -> Option<String> {
        match self {
            Self::Classify(m) => {
                let given = |c: usize| m.confusion.iter().map(|row| row[c]).sum::<u64>();
                let said: Vec<usize> = (0..m.labels.len()).filter(|&c| given(c) > 0).collect();
                let true_ones = m.classes.iter().filter(|c| c.support > 0).count();
                (said.len() == 1 && true_ones > 1).then(|| format!("`{}`", m.labels[said[0]]))
            }
            Self::Tag(m) => (m.recall == 0.0 && m.types.iter().any(|t| t.support > 0)).then(|| "nothing".to_owned()),
            Self::Regress(m) => {
                (m.spearman == 0.0 && m.pearson == 0.0 && m.deviation > 0.0).then(|| "one number".to_owned())
            }
            _ => None,
        }
    }

    /// What is wrong with a model that can teach nothing: it says the same of all rows, or is right no more often than
    /// who always says the most frequent label, or its numbers do not rise with the true ones.
    pub fn knows_nothing(&self) -> Option<String> {
        if let Some(said) = self.stuck() {
            return Some(format!("it says {said} of all validation rows"));
        }
        match self {
            Self::Classify(m) => {
                let rows: u64 = m.classes.iter().map(|c| c.support).sum();
                let most = m.classes.iter().map(|c| c.support).max().unwrap_or(0) as f64 / rows.max(1) as f64;
                (m.accuracy <= most).then(|| {
                    let (found, most) = (100.0 * m.accuracy, 100.0 * most);
                    format!("it knows {found:.1} % of the validation rows, and the most frequent label is {most:.1} %")
                })
            }
            Self::Regress(m) => {
                (m.spearman <= 0.0).then(|| format!("its numbers have a rank correlation of {:.3}", m.spearman))
            }
            _ => None,
        }
    }

    /// Those of a classifier.
    pub fn classes(&self) -> Option<&ClassifyMetrics> {
        match self {
            Self::Classify(m) => Some(m),
            _ => None,
        }
    }

    /// How many they were measured on, and of what: rows, words, questions.
    pub fn measured_on(&self) -> (u64, &'static str) {
        match self {
            Self::Classify(m) => (m.confusion.iter().flatten().sum(), "rows"),
            Self::Multilabel(m) => (m.rows, "rows"),
            Self::Regress(m) => (m.rows, "rows"),
            Self::Tag(m) => (m.tokens, "words"),
            Self::Answer(m) => (m.rows, "questions"),
            Self::Retrieval(m) => (m.rows, "pairs"),
            Self::Sequence(m) => (m.rows, "texts"),
        }
    }
}

/// What can choose the best epoch of a task, the usual one first.
pub fn metrics_of(task: &str) -> &'static [&'static str] {
    match task {
        "multilabel" => &["micro_f1", "macro_f1", "exact_match", "loss"],
        "regress" => &["spearman", "pearson", "rmse", "mae", "loss"],
        "tag" => &["f1", "precision", "recall", "macro_f1", "accuracy", "loss"],
        "qa" => &["f1", "exact_match", "loss"],
        "choice" => &["accuracy", "loss"],
        "generate" => &["rouge_l", "exact_match", "loss"],
        "similarity" => &["spearman", "pearson", "loss"],
        "retrieval" => &["mrr", "ndcg_at_10", "accuracy_at_1", "loss"],
        _ => &["accuracy", "macro_f1", "loss"],
    }
}

/// Whether a metric is an error, of which less is better.
pub fn is_error(metric: &str) -> bool {
    ["loss", "rmse", "mae"].contains(&metric)
}

/// Mean and (biased) standard deviation.
pub fn mean_and_deviation(x: &[f64]) -> (f64, f64) {
    let n = x.len() as f64;
    let mean = x.iter().sum::<f64>() / n;
    (mean, (x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt())
}

fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let ((ma, da), (mb, db)) = (mean_and_deviation(a), mean_and_deviation(b));
    let together = a.iter().zip(b).map(|(a, b)| (a - ma) * (b - mb)).sum::<f64>() / a.len() as f64;
    if da > 0.0 && db > 0.0 { together / (da * db) } else { 0.0 }
}

/// Ranks from 1; equal values have the mean of theirs.
fn ranks(x: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..x.len()).collect();
    order.sort_by(|&a, &b| x[a].total_cmp(&x[b]));
    let (mut ranks, mut before) = (vec![0.0; x.len()], 0.0);
    for equal in order.chunk_by(|&a, &b| x[a] == x[b]) {
        let rank = before + (equal.len() as f64 + 1.0) / 2.0;
        equal.iter().for_each(|&i| ranks[i] = rank);
        before += equal.len() as f64;
    }
    ranks
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
        let cases: Vec<Case> = serde_json::from_str(include_str!("../../tests/fixtures/metrics.json")).unwrap();
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

    /// Values by scipy 1.17 (`spearmanr`, `pearsonr`) and scikit-learn.
    #[test]
    fn regression_equal_to_scipy() {
        let truth = [1.0, 2.0, 2.0, 3.5, 0.0, 5.0];
        let m = RegressMetrics::new(&truth, &[1.5, 1.0, 2.5, 3.0, 0.5, 4.0]);
        near(m.spearman, 0.898_645_105_261_295);
        near(m.pearson, 0.924_921_503_433_993_4);
        near(m.mae, 4.0 / 6.0);
        near(m.loss, 3.0 / 6.0);
        near(m.rmse, 0.5f64.sqrt());
        near(m.mean, 2.25);
        // With ties on both sides, and where nothing varies.
        near(RegressMetrics::new(&[1.0, 1.0, 2.0, 3.0], &[2.0, 1.0, 1.0, 3.0]).spearman, 0.5);
        let constant = RegressMetrics::new(&truth, &[1.0; 6]);
        assert_eq!((constant.spearman, constant.pearson), (0.0, 0.0));
        assert_eq!(RegressMetrics::new(&[3.0], &[1.0]).rmse, 2.0);
    }

    #[test]
    fn large_logits_do_not_overflow() {
        let (class, loss) = score_row(&[1e30, -1e30, 0.0], 0);
        assert_eq!((class, loss), (0, 0.0));
        assert_eq!(score_row(&[1.0, 1.0], 1).0, 0);
    }
}
