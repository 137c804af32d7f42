//! A model that was made, and what it is worth.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// One model of a recipe. Number 0 is the whole one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// Its number, from 0.
    pub number: u64,
    /// The step that made it, from 1; 0: none, it is the whole model.
    pub step: u64,
    /// Which of the step's alternatives, from 1; 0: none.
    pub alternative: u64,
    /// The way it was made.
    pub way: String,
    /// What the way was told.
    pub words: Vec<String>,
    /// The candidate it was made from.
    pub from: Option<u64>,
    /// Its folder.
    pub folder: PathBuf,
    /// Seconds that making it took, since the last time it was begun.
    pub seconds: f64,
    /// What it is worth; none where it could not be made.
    pub measured: Option<Measured>,
    /// Why it could not be made.
    pub failed: Option<String>,
    /// Whether its score is within the gate of its step.
    pub within: bool,
}

/// What a model is worth.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The metric of the gate on the validation rows.
    pub score: f64,
    /// Numbers in the model.
    pub parameters: usize,
    /// Bytes of its tensors.
    pub weights_bytes: u64,
    /// Bytes of all files of its folder, its run apart.
    pub folder_bytes: u64,
    /// Validation rows per second, the median of the passes.
    pub rows_per_second: f64,
    /// How many times the whole model's.
    pub speed: Speed,
    /// The most memory that a process had which did nothing but measure it, where the system tells.
    pub peak_memory_bytes: Option<u64>,
}

/// Rows per second over those of the whole model, from passes in turn.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Speed {
    /// The median pair.
    pub median: f64,
    /// The lowest quartile.
    pub low: f64,
    /// The highest quartile.
    pub high: f64,
    /// Pairs of passes.
    pub pairs: usize,
}

impl Speed {
    /// Of the ratios of pairs; the whole model's own, without any.
    pub fn of(mut ratios: Vec<f64>) -> Self {
        ratios.sort_by(f64::total_cmp);
        let last = ratios.len().saturating_sub(1) as f64;
        let at = |place: f64| ratios.get(place as usize).copied().unwrap_or(1.0);
        let median = 0.5 * (at((0.5 * last).floor()) + at((0.5 * last).ceil()));
        Self { median, low: at((0.25 * last).floor()), high: at((0.75 * last).ceil()), pairs: ratios.len() }
    }

    /// Whether it is faster than another beyond what both vary.
    pub fn clearly_above(&self, other: &Self) -> bool {
        self.low > other.high
    }
}

/// Numbers of the candidates that no other one beats: none has as good a score, as few bytes and as much speed, and
/// more of one of the three. Speeds that overlap in their quartiles count as the same. `good` turns a score into one of
/// which more is better.
pub fn front(candidates: &[Candidate], good: impl Fn(f64) -> f64) -> Vec<u64> {
    let made: Vec<(u64, &Measured)> = candidates
        .iter()
        .filter_map(|c| Some((c.number, c.measured.as_ref()?)))
        .filter(|c| !c.1.score.is_nan())
        .collect();
    let beats = |a: &Measured, b: &Measured| {
        let (score, bytes) = (good(a.score).total_cmp(&good(b.score)), b.weights_bytes.cmp(&a.weights_bytes));
        let (faster, slower) = (a.speed.clearly_above(&b.speed), b.speed.clearly_above(&a.speed));
        score.is_ge() && bytes.is_ge() && !slower && (score.is_gt() || bytes.is_gt() || faster)
    };
    made.iter().filter(|(_, one)| !made.iter().any(|(_, other)| beats(other, one))).map(|(number, _)| *number).collect()
}
