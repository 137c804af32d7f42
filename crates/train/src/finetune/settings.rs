//! The settings of a fine-tuning run, and what comes out of one.

use crate::error::{Error, Result};
use crate::metrics::ClassifyMetrics;
use crate::pretrain::OptimizerSettings;
use crate::pretrain::settings::{positive, seed, setting};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What is kept as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Freeze {
    /// Nothing: everything is tuned.
    Nothing,
    /// The embeddings.
    Embeddings,
    /// The embeddings and the first N layers.
    Layers(usize),
    /// Everything but the head.
    Encoder,
}

/// The resolved plan of a fine-tuning run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FinetuneSettings {
    /// The model folder to begin with.
    pub model: PathBuf,
    /// Begin with random weights of the same shape instead (the honest baseline).
    pub from_scratch: bool,
    /// `classify`.
    pub task: String,
    /// Labelled rows to learn from.
    pub train: PathBuf,
    /// Labelled rows to choose the epoch by; `None`: a stratified tenth of `train`, said aloud.
    pub valid: Option<PathBuf>,
    /// Output folder.
    pub out: PathBuf,
    /// Columns; `None` are guessed from the header.
    pub text: Option<String>,
    /// Second text.
    pub pair: Option<String>,
    /// Label column.
    pub label: Option<String>,
    /// What is not trained.
    pub freeze: Freeze,
    /// Whether a new head begins as the logistic regression on the encoder's whitened features, and not
    /// with random values.
    #[serde(default = "yes")]
    pub probe_first: bool,
    /// Passes over the training rows.
    pub epochs: u64,
    /// Stop after this many epochs without a better validation metric; 0 never.
    pub patience: u64,
    /// `accuracy` or `macro_f1` or `loss`: chooses the best epoch.
    pub metric: String,
    /// Rows an optimizer step.
    pub batch_size: usize,
    /// Longest input in tokens.
    pub max_length: usize,
    /// Seconds between checkpoints.
    #[serde(default = "five_minutes")]
    pub save_every_seconds: f64,
    /// Steps between checkpoints; 0: by time only.
    #[serde(default)]
    pub save_every_steps: u64,
    /// Optimizer and schedule.
    pub optimizer: OptimizerSettings,
    /// First seed.
    pub seed: u64,
    /// Runs with seeds `seed..seed + seeds`; the median one is the folder's model.
    pub seeds: u64,
}

fn yes() -> bool {
    true
}

fn five_minutes() -> f64 {
    300.0
}

/// Metrics the best epoch can be chosen by.
pub const METRICS: [&str; 3] = ["accuracy", "macro_f1", "loss"];

impl FinetuneSettings {
    /// The usual settings for a real encoder: learning rate 5e-5, 10 epochs at most of batches of
    /// 32, at most 256 tokens a row, nothing frozen, one seed, best epoch by accuracy.
    pub fn classify(model: impl Into<PathBuf>, train: impl Into<PathBuf>, out: impl Into<PathBuf>) -> Self {
        Self {
            model: model.into(),
            from_scratch: false,
            task: "classify".to_owned(),
            train: train.into(),
            valid: None,
            out: out.into(),
            text: None,
            pair: None,
            label: None,
            freeze: Freeze::Nothing,
            probe_first: true,
            epochs: 10,
            patience: 3,
            metric: "accuracy".to_owned(),
            batch_size: 32,
            max_length: 256,
            save_every_seconds: five_minutes(),
            save_every_steps: 0,
            optimizer: OptimizerSettings::finetune(),
            seed: 0,
            seeds: 1,
        }
    }

    /// Looks for values that cannot be, before anything is read or written.
    pub fn check(&self) -> Result<()> {
        if self.task != "classify" {
            return Err(Error::UnknownTask { found: self.task.clone(), known: "classify".to_owned() });
        }
        if !METRICS.contains(&self.metric.as_str()) {
            return Err(Error::UnknownMetric { found: self.metric.clone(), known: METRICS.join(", ") });
        }
        for (key, value) in [("epochs", self.epochs), ("batch_size", self.batch_size as u64), ("seeds", self.seeds)] {
            if value == 0 {
                return Err(setting(key, 0, "at least 1"));
            }
        }
        if self.max_length < 4 {
            return Err(setting("max_length", self.max_length, "at least 4"));
        }
        positive("save_every_seconds", self.save_every_seconds)?;
        seed(self.seed.saturating_add(self.seeds))?;
        self.optimizer.check()
    }
}

/// One seed's result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeedResult {
    /// The seed.
    pub seed: u64,
    /// Best epoch, from 1.
    pub epoch: u64,
    /// Its validation metrics.
    pub valid: ClassifyMetrics,
}

/// What came out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FinetuneOutcome {
    /// The model folder (of the seed with the median metric).
    pub model: PathBuf,
    /// All seeds.
    pub results: Vec<SeedResult>,
    /// Seed whose model is kept.
    pub chosen: u64,
    /// Median of the chosen metric over seeds.
    pub median: f64,
    /// Lowest and highest.
    pub spread: (f64, f64),
    /// Whether it was stopped before its end.
    pub interrupted: bool,
}
