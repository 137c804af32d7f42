//! The settings of a fine-tuning run, and what comes out of one.

use super::adapter;
use super::data::Columns;
use super::freeze::Freeze;
use crate::distil::DistilSettings;
use crate::error::{Error, Result};
use crate::gates::GateSettings;
use crate::metrics::{Metrics, metrics_of};
use crate::pretrain::OptimizerSettings;
use crate::pretrain::settings::{positive, seed, setting};
use crate::sparse::{SparseSettings, Zeros};
use polyseme_models::{EncoderConfig, LoraSettings};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The resolved plan of a fine-tuning run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FinetuneSettings {
    /// The model folder to begin with.
    pub model: PathBuf,
    /// Begin with random weights of the same shape instead (the honest baseline).
    pub from_scratch: bool,
    /// One of [`TASKS`].
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
    /// Columns of the choices (`choice`).
    #[serde(default)]
    pub choices: Vec<String>,
    /// Between the labels of a row (`multilabel`), unless they are a list in JSON.
    #[serde(default = "comma")]
    pub label_separator: String,
    /// Tokens that neighbouring windows of a long passage share (`qa`).
    #[serde(default = "usual_stride")]
    pub stride: usize,
    /// Tokens of the longest target, its end included (`generate`).
    #[serde(default = "usual_new_tokens")]
    pub max_new_tokens: usize,
    /// Weights of labels in the loss (`classify`): `none`, or `balanced`, by which rare ones weigh more.
    #[serde(default = "none")]
    pub class_weights: String,
    /// Share of the wanted probability that all labels have alike (`classify`).
    #[serde(default)]
    pub label_smoothing: f64,
    /// How vectors learn scores (`similarity`): `cosine`, by the squared error of the cosine, or `cosent`, by the
    /// order of the cosines of a batch.
    #[serde(default = "cosine")]
    pub similarity_loss: String,
    /// Each batch goes through twice with other dropout, and how far both passes disagree is learned to be little,
    /// with this weight (R-Drop), as a part of the loss; 0: once.
    #[serde(default)]
    pub r_drop: f64,
    /// What is not trained.
    pub freeze: Freeze,
    /// Epochs after which one more layer is tuned, from the top, where first the head is tuned alone and last the
    /// embeddings (gradual unfreezing); 0: everything from the beginning.
    #[serde(default)]
    pub unfreeze_every: u64,
    /// A teacher, and what is learned from it.
    #[serde(default)]
    pub distil: DistilSettings,
    /// Weights that become zero while the model learns.
    #[serde(default)]
    pub sparse: SparseSettings,
    /// Gates that learn which heads and units are needed.
    #[serde(default)]
    pub gates: GateSettings,
    /// Low-rank changes of matrices in place of the encoder's own weights; rank 0: none.
    #[serde(default)]
    pub lora: LoraSettings,
    /// Width of a bottleneck after each layer, in place of the encoder's own weights; 0: there is none.
    #[serde(default)]
    pub adapter_size: usize,
    /// Virtual tokens before each text, in place of the encoder's own weights; 0: there are none.
    #[serde(default)]
    pub prefix_length: usize,
    /// Whether the head looks at all layers, in proportions that are learned, and not at the last one alone.
    #[serde(default)]
    pub mix_layers: bool,
    /// Whether a new head begins as the logistic regression on the encoder's whitened features, and not
    /// with random values.
    #[serde(default = "yes")]
    pub probe_first: bool,
    /// Passes over the training rows.
    pub epochs: u64,
    /// Stop after this many epochs without a better validation metric; 0 never.
    pub patience: u64,
    /// Chooses the best epoch: one of [`metrics_of`](crate::metrics::metrics_of) the task.
    pub metric: String,
    /// Rows an optimizer step.
    pub batch_size: usize,
    /// Longest input in tokens.
    pub max_length: usize,
    /// Keep only each layer's input for the backward pass and compute the layer again there: a third more
    /// time, for a fraction of the memory of long inputs. What is learned is the same.
    #[serde(default)]
    pub gradient_checkpointing: bool,
    /// What the model is written in when it has learned: `none`, as it is, or `int8`; it then learns with the rounding
    /// that comes (quantization-aware training).
    #[serde(default = "none")]
    pub quantize: String,
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
    /// Runs that each measure on a fold of the training rows of their own, before one learns from all rows, for the
    /// median of their best epochs; 0: none.
    #[serde(default)]
    pub folds: u64,
}

fn yes() -> bool {
    true
}

fn five_minutes() -> f64 {
    300.0
}

fn comma() -> String {
    ",".to_owned()
}

fn usual_stride() -> usize {
    128
}

fn usual_new_tokens() -> usize {
    48
}

fn cosine() -> String {
    "cosine".to_owned()
}

fn none() -> String {
    "none".to_owned()
}

/// Tasks that can be learned: one label of several, several labels, a number, a label for each word, an answer
/// copied from a passage, the best of several choices, a short text; and of sentence vectors pairs with a score, and pairs that
/// belong together.
pub const TASKS: [&str; 9] =
    ["classify", "multilabel", "regress", "tag", "qa", "choice", "generate", "similarity", "retrieval"];

/// Those that say something of each row that two passes can disagree about: `similarity` where the cosine itself is learned.
pub const R_DROP_TASKS: [&str; 7] = ["classify", "multilabel", "regress", "tag", "qa", "choice", "similarity"];

impl FinetuneSettings {
    /// The usual settings: the learning rate by the model's size, 10 epochs at most of batches of 32,
    /// at most 256 tokens a row, nothing frozen, one seed, best epoch by accuracy.
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
            choices: Vec::new(),
            label_separator: comma(),
            stride: usual_stride(),
            max_new_tokens: usual_new_tokens(),
            class_weights: none(),
            label_smoothing: 0.0,
            similarity_loss: cosine(),
            r_drop: 0.0,
            freeze: Freeze::Nothing,
            unfreeze_every: 0,
            distil: DistilSettings::default(),
            sparse: SparseSettings::default(),
            gates: GateSettings::default(),
            lora: LoraSettings::default(),
            adapter_size: 0,
            prefix_length: 0,
            mix_layers: false,
            probe_first: true,
            epochs: 10,
            patience: 3,
            metric: "accuracy".to_owned(),
            batch_size: 32,
            max_length: 256,
            gradient_checkpointing: false,
            quantize: none(),
            save_every_seconds: five_minutes(),
            save_every_steps: 0,
            optimizer: OptimizerSettings::finetune(),
            seed: 0,
            seeds: 1,
            folds: 0,
        }
    }

    /// The usual settings of a task: best epoch by the first of its metrics; passages in windows of 384 tokens.
    pub fn of_task(task: &str, model: impl Into<PathBuf>, train: impl Into<PathBuf>, out: impl Into<PathBuf>) -> Self {
        let metric = metrics_of(task)[0].to_owned();
        let max_length = match task {
            "qa" => 384,
            "similarity" | "retrieval" => 128,
            _ => 256,
        };
        Self { task: task.to_owned(), metric, max_length, ..Self::classify(model, train, out) }
    }

    /// Those of [`FinetuneSettings::of_task`] for a number of each row.
    pub fn regress(model: impl Into<PathBuf>, train: impl Into<PathBuf>, out: impl Into<PathBuf>) -> Self {
        Self::of_task("regress", model, train, out)
    }

    /// Which columns hold what.
    pub fn columns(&self) -> Columns {
        Columns {
            text: self.text.clone(),
            pair: self.pair.clone(),
            label: self.label.clone(),
            choices: self.choices.clone(),
        }
    }

    /// Looks for values that cannot be, before anything is read or written.
    pub fn check(&self) -> Result<()> {
        if !TASKS.contains(&self.task.as_str()) {
            return Err(Error::UnknownTask { found: self.task.clone(), known: TASKS.join(", ") });
        }
        let metrics = metrics_of(&self.task);
        if !metrics.contains(&self.metric.as_str()) {
            return Err(Error::UnknownMetric { found: self.metric.clone(), known: metrics.join(", ") });
        }
        for (key, value) in [("epochs", self.epochs), ("batch_size", self.batch_size as u64), ("seeds", self.seeds)] {
            if value == 0 {
                return Err(setting(key, 0, "at least 1"));
            }
        }
        if self.max_length < 4 {
            return Err(setting("max_length", self.max_length, "at least 4"));
        }
        if self.max_new_tokens < 2 || self.task == "generate" && self.max_new_tokens + 4 > self.max_length {
            let expected = format!("2 to {}: the source wants room, too", self.max_length.saturating_sub(4));
            return Err(setting("max_new_tokens", self.max_new_tokens, &expected));
        }
        if !["none", "balanced"].contains(&self.class_weights.as_str()) {
            return Err(setting("class_weights", &self.class_weights, "`none` or `balanced`"));
        }
        if !["cosine", "cosent"].contains(&self.similarity_loss.as_str()) {
            return Err(setting("similarity_loss", &self.similarity_loss, "`cosine` or `cosent`"));
        }
        if !(0.0..1.0).contains(&self.label_smoothing) {
            return Err(setting("label_smoothing", self.label_smoothing, "from 0 to less than 1"));
        }
        if self.label_separator.is_empty() {
            return Err(setting("label_separator", "empty", "what stands between two labels"));
        }
        let usual = [
            ("class_weights", self.class_weights == "none", "classify"),
            ("label_smoothing", self.label_smoothing == 0.0, "classify"),
            ("similarity_loss", self.similarity_loss == cosine(), "similarity"),
            ("label_separator", self.label_separator == comma(), "multilabel"),
            ("max_new_tokens", self.max_new_tokens == usual_new_tokens(), "generate"),
        ];
        if let Some((key, ..)) = usual.into_iter().find(|(_, usual, task)| !usual && self.task != *task) {
            return Err(Error::NotOfTask { key, task: self.task.clone() });
        }
        self.columns().check(&self.task)?;
        if self.task == "choice" && self.choices.len() < 2 {
            return Err(setting("choices", format!("{:?}", self.choices), "the names of two columns or more"));
        }
        adapter::check(self)?;
        let vectors = ["similarity", "retrieval"].contains(&self.task.as_str());
        if vectors && self.pair.is_none() {
            return Err(setting("pair", "missing", "the column of the second text"));
        }
        if vectors && (adapter::rate(self).is_some() || self.freeze == Freeze::Encoder) {
            return Err(setting("task", &self.task, "one with a head: vectors are learned by the encoder itself"));
        }
        if self.mix_layers && (vectors || self.task == "generate") {
            let expected =
                "false: it is a head of a task that looks at all layers; vectors and generated texts have none";
            return Err(setting("mix_layers", true, expected));
        }
        self.check_unfreezing()?;
        self.check_r_drop()?;
        self.check_folds()?;
        self.check_distil()?;
        self.check_sparse()?;
        self.check_quantize()?;
        positive("save_every_seconds", self.save_every_seconds)?;
        seed(self.seed.saturating_add(self.seeds))?;
        let by_size = self.optimizer.learning_rate == 0.0;
        let learning_rate = if by_size { USUAL } else { self.optimizer.learning_rate };
        OptimizerSettings { learning_rate, ..self.optimizer.clone() }.check()
    }
}

impl Columns {
    /// Errors on a column that a task does not look at.
    pub(crate) fn check(&self, task: &str) -> Result<()> {
        let pair = ["classify", "multilabel", "regress", "similarity", "retrieval"].contains(&task);
        let named = [
            ("text", self.text.is_some(), task != "qa"),
            ("pair", self.pair.is_some(), pair),
            ("label", self.label.is_some(), !["qa", "retrieval"].contains(&task)),
            ("choices", !self.choices.is_empty(), task == "choice"),
        ];
        match named.into_iter().find(|(_, given, used)| *given && !used) {
            Some((key, ..)) => Err(Error::NotOfTask { key, task: task.to_owned() }),
            None => Ok(()),
        }
    }
}

/// What is usual for a BERT base, of 12 layers × 768.
const USUAL: f64 = 5e-5;

/// The usual peak learning rate for a model of this size, in two digits: 5e-5 for a BERT base (Devlin
/// et al. 2019 tried 2e-5 to 5e-5), more for smaller models and less for larger ones. What a step of
/// Adam changes in a layer's output grows with the layer's width (Yang et al. 2022), and what it changes
/// in the sum over residual layers with the root of their number (Yang et al. 2023), so the rate falls
/// by as much. With 20 rows a class, 3e-4 was the best of 3e-4, 1e-3 and 3e-3 for five encoders of the shape
/// of `mini`, and for MiniLM of 1e-4, 3e-4 and 1e-3 (`benches/runs/2026-11-24-pretraining-pays`). Random
/// weights want several times more.
pub fn usual_learning_rate(config: &EncoderConfig) -> f64 {
    let (width, depth) = (config.hidden_size as f64, config.num_hidden_layers as f64);
    let rate = USUAL * (768.0 / width) * (12.0 / depth.max(1.0)).sqrt();
    format!("{rate:.1e}").parse().expect("a number as it was written")
}

/// One seed's result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeedResult {
    /// The seed.
    pub seed: u64,
    /// The fold that measured, from 1, in cross-validation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fold: Option<u64>,
    /// Best epoch, from 1.
    pub epoch: u64,
    /// Its validation metrics.
    pub valid: Metrics,
}

impl SeedResult {
    /// The fold, or else the seed, and what is to be known of it: "4 (kept)", "5 (stuck)".
    pub fn marked(&self, kept: bool) -> String {
        let kept = if kept { " (kept)" } else { "" };
        let stuck = if self.valid.stuck().is_some() { " (stuck)" } else { "" };
        format!("{}{kept}{stuck}", self.fold.unwrap_or(self.seed))
    }
}

/// What came out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FinetuneOutcome {
    /// The model folder (of the seed with the median metric; of cross-validation, the one that learned from all rows).
    pub model: PathBuf,
    /// The peak learning rate of all seeds.
    pub learning_rate: f64,
    /// All seeds, or all folds.
    pub results: Vec<SeedResult>,
    /// Seed whose model is kept.
    pub chosen: u64,
    /// Median of the chosen metric over seeds or folds.
    pub median: f64,
    /// Lowest and highest.
    pub spread: (f64, f64),
    /// What else cross-validation came to, once all folds were measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cross_validation: Option<CrossValidation>,
    /// Zeros in the model's matrices, where weights became zero.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zeros: Option<Zeros>,
    /// Whether it was stopped before its end.
    pub interrupted: bool,
}

impl FinetuneOutcome {
    /// The result that stands for all: of the seed whose model is kept, or of the fold in the middle.
    pub fn in_the_middle(&self, metric: &str) -> Option<&SeedResult> {
        if self.results.iter().all(|r| r.fold.is_none()) {
            return self.results.iter().find(|r| r.seed == self.chosen).or(self.results.first());
        }
        let value = |r: &SeedResult| r.valid.get(metric).unwrap_or(f64::NAN);
        let mut order: Vec<&SeedResult> = self.results.iter().collect();
        order.sort_by(|a, b| value(a).total_cmp(&value(b)));
        order.get((order.len().saturating_sub(1)) / 2).copied()
    }
}

/// What cross-validation came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CrossValidation {
    /// Number of folds.
    pub folds: u64,
    /// Mean of the chosen metric over folds.
    pub mean: f64,
    /// Its deviation (of a sample).
    pub deviation: f64,
    /// Epochs for which the model learned from all rows: the median of the folds' best ones.
    pub epochs: u64,
    /// What the numbers are of, in words.
    pub note: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyseme_models::Activation;

    #[test]
    fn the_usual_rate_falls_with_width_and_depth() {
        let rate = |num_hidden_layers, hidden_size| {
            usual_learning_rate(&EncoderConfig {
                vocab_size: 100,
                hidden_size,
                num_hidden_layers,
                num_attention_heads: 2,
                intermediate_size: 4 * hidden_size,
                hidden_act: Activation::Gelu,
                max_position_embeddings: 128,
                position_offset: 0,
                type_vocab_size: 2,
                embedding_size: hidden_size,
                layer_norm_eps: 1e-12,
                hidden_dropout_prob: 0.1,
                attention_probs_dropout_prob: 0.1,
                classifier_dropout: 0.1,
                initializer_range: 0.02,
                pad_token_id: 0,
                tie_word_embeddings: true,
                variant: Default::default(),
                layer_sizes: Vec::new(),
                sharing: Default::default(),
            })
        };
        // BERT base and large, all-MiniLM-L6, our mini and tiny.
        let found = [rate(12, 768), rate(24, 1024), rate(6, 384), rate(4, 256), rate(2, 128)];
        assert_eq!(found, [5e-5, 2.7e-5, 1.4e-4, 2.6e-4, 7.3e-4]);
    }
}
