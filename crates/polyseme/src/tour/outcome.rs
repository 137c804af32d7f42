//! What a tour came to: the numbers behind its table, its report and its `--json`.

use crate::report::median;
use polyseme_train::metrics::ClassifyMetrics;
use polyseme_train::{PretrainOutcome, PretrainSettings};
use serde::Serialize;
use std::path::PathBuf;

/// A whole tour.
#[derive(Clone, Debug, Serialize)]
pub struct TourOutcome {
    /// The model folder.
    pub model: PathBuf,
    /// The report.
    pub report: PathBuf,
    /// What was read.
    pub corpus: CorpusFacts,
    /// The pre-training.
    pub pretrain: PretrainOutcome,
    /// Its plan.
    #[serde(skip)]
    pub pretrain_settings: PretrainSettings,
    /// The labelled task, or why there is none.
    pub task: Result<TaskOutcome, String>,
    /// Words in two contexts each.
    pub senses: Vec<WordSenses>,
    /// Stages and their seconds, in order.
    pub stages: Vec<(String, f64)>,
    /// Seconds in all.
    pub seconds: f64,
}

/// What was read.
#[derive(Clone, Debug, Default, Serialize)]
pub struct CorpusFacts {
    /// In a few words, for people.
    pub source: String,
    /// What the parts are: `crate`, `file`, `folder`.
    pub unit: String,
    /// Parts read.
    pub parts: usize,
    /// Parts that are named but not on this machine (crates for other systems).
    pub absent: usize,
    /// Documents for pre-training.
    pub documents: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Documents left out because the same one was there before.
    pub duplicates: usize,
}

/// The labelled task and both ways of learning it.
#[derive(Clone, Debug, Serialize)]
pub struct TaskOutcome {
    /// The question that a label answers.
    pub question: String,
    /// Labels, sorted.
    pub labels: Vec<String>,
    /// Rows to learn from, to choose by, to measure on.
    pub rows: (usize, usize, usize),
    /// A few test rows: text and label.
    pub examples: Vec<(String, String)>,
    /// Pre-trained first, from scratch second.
    pub arms: Vec<ArmOutcome>,
    /// Test answers of the pre-trained arm's median seed.
    pub metrics: ClassifyMetrics,
}

/// One way of learning the task.
#[derive(Clone, Debug, Serialize)]
pub struct ArmOutcome {
    /// `pre-trained` or `from scratch`.
    pub name: String,
    /// Learning rates tried, with their accuracy on validation rows.
    pub tried: Vec<(f64, f64)>,
    /// The one taken.
    pub learning_rate: f64,
    /// Seed, accuracy on test rows, macro F1 there.
    pub seeds: Vec<(u64, f64, f64)>,
    /// Median test accuracy.
    pub median: f64,
    /// Lowest and highest.
    pub spread: (f64, f64),
}

impl ArmOutcome {
    /// From results of each seed.
    pub fn new(name: &str, tried: Vec<(f64, f64)>, learning_rate: f64, seeds: Vec<(u64, f64, f64)>) -> Self {
        let values: Vec<f64> = seeds.iter().map(|s| s.1).collect();
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Self { name: name.to_owned(), tried, learning_rate, seeds, median: median(&values), spread: (low, high) }
    }
}

/// A word in two contexts.
#[derive(Clone, Debug, Serialize)]
pub struct WordSenses {
    /// The word.
    pub word: String,
    /// Cosine between its two vectors.
    pub similarity: f32,
    /// Both contexts.
    pub senses: Vec<Sense>,
}

/// One context of a word and what lies near it there.
#[derive(Clone, Debug, Serialize)]
pub struct Sense {
    /// Text before the word.
    pub before: String,
    /// The word as it stands.
    pub word: String,
    /// Text after it.
    pub after: String,
    /// Where it is from.
    pub source: String,
    /// Nearest other words, nearest first.
    pub nearest: Vec<Near>,
}

/// A word that lies near.
#[derive(Clone, Debug, Serialize)]
pub struct Near {
    /// The word.
    pub word: String,
    /// Cosine of the two contextual vectors, the mean of all vectors taken off first.
    pub similarity: f32,
    /// A few words around it.
    pub context: String,
}
