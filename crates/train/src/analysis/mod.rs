//! What a fine-tuned model gets wrong on the rows it is measured on, beside its metrics: what a report shows.

mod answers;
mod passage;

pub(crate) use answers::Answers;
pub use passage::{Marked, Piece, begin, marked};

use crate::error::Result;
use crate::metrics::calibration::Calibration;
use crate::metrics::precision::PrecisionRecalls;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Its name in the run folder.
pub const FILE: &str = "analysis.json";
/// Errors that are told, the worst ones.
pub const WORST: usize = 20;
/// Points of a scatter plot.
const POINTS: usize = 600;

/// An error analysis.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Analysis {
    /// Rows that were measured: texts, sentences, questions.
    pub rows: u64,
    /// How many of them are not wholly right; `None` of numbers.
    pub wrong: Option<u64>,
    /// Of the probabilities, where there are some.
    pub calibration: Option<Calibration>,
    /// Of the labels, where these have probabilities.
    pub precision_recall: Option<PrecisionRecalls>,
    /// Of numbers.
    pub scatter: Option<Scatter>,
    /// The worst first.
    pub worst: Vec<Mistake>,
}

/// True numbers beside those that were said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scatter {
    /// What is true and what was said, of rows at even distances.
    pub points: Vec<[f32; 2]>,
}

/// A row that a model is wrong about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mistake {
    /// Where it stands in its file.
    pub place: String,
    /// Its loss.
    pub loss: f64,
    /// What is true, and what was said.
    #[serde(flatten)]
    pub what: What,
}

/// What is true, and what was said. Texts are cut.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum What {
    /// A label of several.
    Label { texts: Vec<String>, truth: Scored, said: Scored },
    /// Labels that are true or were said, the least likely true ones and likeliest others first.
    Labels { texts: Vec<String>, labels: Vec<JudgedLabel> },
    /// A number.
    Number { texts: Vec<String>, truth: f32, said: f32 },
    /// Labels of words: how many entities or words are wrong, and how many right.
    Tags { passage: Vec<Piece>, wrong: u64, right: u64 },
    /// An answer; empty for none.
    Answer { question: String, passage: Vec<Piece>, answers: Vec<String>, said: String, f1: f64 },
    /// A choice, with the texts of all.
    Choice { text: String, choices: Vec<Choice>, truth: usize, said: usize },
    /// A generated text, with the share of words that it has in common with the one wanted.
    Text { texts: Vec<String>, wanted: String, said: String, rouge_l: f64 },
    /// A text that was to find its partner.
    Partner { text: String, partner: Ranked, first: Ranked },
}

/// A label with its probability.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Scored {
    pub label: String,
    pub probability: f64,
}

/// One of any number of labels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct JudgedLabel {
    pub label: String,
    pub probability: f64,
    pub truth: bool,
    pub said: bool,
}

/// A choice with its probability.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Choice {
    pub name: String,
    pub text: String,
    pub probability: f64,
}

/// A text found by its vector, with its rank and cosine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Ranked {
    pub text: String,
    pub rank: u64,
    pub cosine: f64,
}

/// What a reader is shown of a row: its place in the file and its texts, or the words of a sentence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Shown {
    pub place: String,
    pub texts: Vec<String>,
}

impl Analysis {
    /// Of rows with as many wrong among them, and what was found wrong.
    pub fn new(rows: usize, wrong: Option<usize>, worst: Vec<Mistake>) -> Self {
        Self { rows: rows as u64, wrong: wrong.map(|n| n as u64), worst, ..Self::default() }
    }

    /// Writes it whole or not at all.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        Ok(polyseme_formats::atomic::write(path, |file| {
            serde_json::to_writer(&mut *file, self)?;
            file.write_all(b"\n")
        })?)
    }

    /// Reads one; `None` where there is none that can be read.
    pub fn read(path: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(path).ok()?).ok()
    }
}

impl Scatter {
    /// Of true numbers and what was said of them.
    pub fn new(truth: &[f32], said: &[f32]) -> Self {
        let count = truth.len().min(POINTS);
        let row = |i: usize| i * truth.len() / count;
        let points = (0..count).map(row).map(|row| [truth[row], said[row]]).collect();
        Self { points }
    }
}

/// The worst of some rows: those with the greatest values, the first of equals first.
pub fn worst(rows: impl Iterator<Item = (usize, f64)>) -> Vec<usize> {
    let mut rows: Vec<(usize, f64)> = rows.collect();
    rows.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    rows.truncate(WORST);
    rows.into_iter().map(|row| row.0).collect()
}

/// A probability or loss in six digits.
pub fn rounded(x: impl Into<f64>) -> f64 {
    (x.into() * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_come_first_and_equals_in_order() {
        assert_eq!(worst([(4, 1.0), (2, 3.0), (9, 1.0), (0, 2.0)].into_iter()), [2, 0, 4, 9]);
        assert_eq!(worst((0..100).map(|i| (i, 0.5))).len(), WORST);
    }

    #[test]
    fn what_is_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        let scored = |label: &str| Scored { label: label.into(), probability: rounded(1.0 / 3.0) };
        let texts = vec!["a <b>".to_owned()];
        let what = [
            What::Label { texts: texts.clone(), truth: scored("x"), said: scored("y") },
            What::Number { texts, truth: 0.1, said: 2.5 },
            What::Tags { passage: marked("a b", &[], &[], true), wrong: 1, right: 0 },
        ];
        let worst = what.into_iter().map(|what| Mistake { place: "row 1".into(), loss: 0.5, what }).collect();
        let scatter = Some(Scatter::new(&[1.0; 2_000], &[0.1; 2_000]));
        let analysis = Analysis { scatter, ..Analysis::new(9, Some(3), worst) };
        analysis.write(&path).unwrap();
        assert_eq!(Analysis::read(&path), Some(analysis.clone()));
        assert!(analysis.scatter.unwrap().points.len() <= POINTS);
        assert_eq!(Analysis::read(&dir.path().join("none")), None);
    }
}
