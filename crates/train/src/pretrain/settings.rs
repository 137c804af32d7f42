//! The settings of a pre-training run: what a recipe holds and what a run saves.

use crate::distil::DistilSettings;
use crate::error::{Error, Result};
use crate::observer::{Event, Observer};
use crate::schedule::Schedule;
use polyseme_models::{Bf16, EncoderConfig, Family, HeadKind, Model, ParamGroup};
use polyseme_tensor::{bf16_is_faster, device::is_cpu};
use polyseme_text::train_tokenizer::TokenizerKind;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// When a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Length {
    /// After this many optimizer steps.
    Steps(u64),
    /// After this many passes over the store.
    Epochs(f64),
    /// After this many seconds of wall-clock (pre-training, validation and saving; not the
    /// tokenizer and the store). The schedule ends when the time does.
    Budget(f64),
}

/// The resolved plan of a pre-training run; a recipe is such a file, saved as `settings.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PretrainSettings {
    /// Files and folders.
    pub corpus: Vec<PathBuf>,
    /// Column or key of the text in tables.
    pub text_column: Option<String>,
    /// Output folder.
    pub out: PathBuf,
    /// Checkpoint to go on from; its tokenizer and shape are kept.
    pub from: Option<PathBuf>,
    /// Seed of everything.
    pub seed: u64,
    /// When it ends.
    pub length: Length,
    /// `mlm`.
    pub objective: String,
    /// The model.
    pub model: ModelSettings,
    /// The tokenizer.
    pub tokenizer: TokenizerSettings,
    /// Masking.
    pub masking: MaskingSettings,
    /// What the first token learns.
    pub document: DocumentSettings,
    /// Optimizer and schedule.
    pub optimizer: OptimizerSettings,
    /// Batches, validation, saving.
    pub data: DataSettings,
    /// Who teaches, and what.
    #[serde(default)]
    pub distil: DistilSettings,
}

/// The model of a recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSettings {
    /// Family written.
    pub family: Family,
    /// What the word embeddings of a new model begin with.
    #[serde(default)]
    pub embeddings: InitialEmbeddings,
    /// Shape; `vocab_size` is set from the tokenizer.
    pub config: EncoderConfig,
}

/// What the word embeddings of a new model begin with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InitialEmbeddings {
    /// Random values.
    #[default]
    Random,
    /// Tokens of the same documents side by side (latent semantic analysis), with random values
    /// beside.
    Documents,
}

/// The tokenizer of a recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct TokenizerSettings {
    pub kind: TokenizerKind,
    pub vocab_size: usize,
    pub lowercase: bool,
    pub min_frequency: u64,
    pub sample_bytes: u64,
}

/// Which tokens are hidden, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MaskingSettings {
    /// Share of tokens chosen.
    pub probability: f64,
    /// Of these, shown as the mask token.
    pub replace_mask: f64,
    /// Of these, shown as a random piece; the rest stays as it is.
    pub replace_random: f64,
    /// Chosen by whole words.
    pub whole_word: bool,
}

/// What the first token of a sequence learns besides, so that its vector is of use to classifiers:
/// masked language modelling asks nothing of it. Training losses count it, validation does not.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DocumentSettings {
    /// Words of its document that it must name; 0: none.
    pub words: usize,
}

/// Optimizer and schedule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct OptimizerSettings {
    /// Peak; 0, in fine-tuning only: by the size of the model
    /// ([`crate::finetune::settings::usual_learning_rate`]).
    pub learning_rate: f64,
    /// Multiple of the learning rate for the embeddings.
    pub embeddings_rate: f64,
    /// Multiple of the learning rate for the head.
    pub head_rate: f64,
    /// From the head down, each layer has this multiple of the rate of the one above, and the embeddings
    /// that of the first layer: what is general stays, what is close to the task moves (Howard & Ruder
    /// 2018; the scheme of Bao et al. 2021).
    pub layer_decay: f64,
    pub beta1: f64,
    pub beta2: f64,
    pub epsilon: f64,
    pub weight_decay: f64,
    /// Gradients are clipped to this norm; 0 turns it off.
    pub max_grad_norm: f64,
    pub schedule: Schedule,
    /// Share of the run.
    pub warmup: f64,
    /// Whether what is multiplied in the layers and by the vocabulary is rounded to bfloat16 first, with sums in f32: faster
    /// where the processor has units for it (AMX, AVX-512 BF16), on the CPU only. Weights, moments and validation stay f32.
    pub bf16: bool,
}

/// Batches, validation, saving.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataSettings {
    /// Longest sequence, special tokens included; long documents are cut into pieces of this, each
    /// with its own begin and end tokens. A short document is a sequence of its own.
    pub seq_len: usize,
    /// For this share of the run sequences are `short_seq_len` long: short sequences first.
    pub short_share: f64,
    /// Length of the short ones.
    pub short_seq_len: usize,
    /// Tokens an optimizer step, reached by accumulation.
    pub tokens_per_step: usize,
    /// Tokens a forward pass at most; bounds memory.
    pub tokens_per_batch: usize,
    /// Keep only each layer's input for the backward pass and compute the layer again there: a third more
    /// time, for a fraction of the memory of long inputs. What is learned is the same.
    pub gradient_checkpointing: bool,
    /// Share of documents held out for validation (at least one, at most `valid_documents`).
    pub valid_share: f64,
    /// Bound on held-out documents. Besides, validation never looks at more than 65,536 tokens
    /// ([`crate::objective::mlm::VALID_TOKENS`]).
    pub valid_documents: usize,
    /// Steps between validations; 0: only at the end.
    pub valid_every: u64,
    /// Seconds between checkpoints.
    pub save_every_seconds: f64,
    /// Steps between checkpoints; 0: by time only.
    pub save_every_steps: u64,
    /// Checkpoints kept.
    pub keep: usize,
    /// Steps between rows of the log.
    pub log_every: u64,
}

/// A recipe: a complete plan but for the corpus, the output folder and the checkpoint to begin
/// with. The files `crates/polyseme/recipes/*.toml` and users' own have this form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// When it ends.
    pub length: Length,
    /// `mlm`, the default.
    #[serde(default = "mlm")]
    pub objective: String,
    /// Seed of everything; 0 unless said.
    #[serde(default)]
    pub seed: u64,
    /// The model.
    pub model: ModelSettings,
    /// The tokenizer.
    #[serde(default)]
    pub tokenizer: TokenizerSettings,
    /// Masking.
    #[serde(default)]
    pub masking: MaskingSettings,
    /// What the first token learns.
    #[serde(default)]
    pub document: DocumentSettings,
    /// Optimizer and schedule.
    #[serde(default)]
    pub optimizer: OptimizerSettings,
    /// Batches, validation, saving.
    #[serde(default)]
    pub data: DataSettings,
}

fn mlm() -> String {
    "mlm".to_owned()
}

impl Recipe {
    /// The plan for a corpus and an output folder.
    pub fn plan(self, corpus: Vec<PathBuf>, out: PathBuf) -> PretrainSettings {
        PretrainSettings {
            corpus,
            text_column: None,
            out,
            from: None,
            seed: self.seed,
            length: self.length,
            objective: self.objective,
            model: self.model,
            tokenizer: self.tokenizer,
            masking: self.masking,
            document: self.document,
            optimizer: self.optimizer,
            data: self.data,
            distil: DistilSettings::default(),
        }
    }
}

impl Default for TokenizerSettings {
    /// WordPiece as `bert-base-uncased`, with the 8,192 pieces that small budgets want.
    fn default() -> Self {
        Self {
            kind: TokenizerKind::WordPiece,
            vocab_size: 8_192,
            lowercase: true,
            min_frequency: 2,
            sample_bytes: 200_000_000,
        }
    }
}

impl Default for MaskingSettings {
    /// BERT's: 15 %, of these 80 % hidden, 10 % random, 10 % kept.
    fn default() -> Self {
        Self { probability: 0.15, replace_mask: 0.8, replace_random: 0.1, whole_word: false }
    }
}

impl Default for OptimizerSettings {
    /// For pre-training a small model: a high rate, warm-up over 6 % of the run, a cosine.
    fn default() -> Self {
        Self {
            learning_rate: 1e-3,
            embeddings_rate: 1.0,
            head_rate: 1.0,
            layer_decay: 1.0,
            beta1: 0.9,
            beta2: 0.98,
            epsilon: 1e-8,
            weight_decay: 0.01,
            max_grad_norm: 1.0,
            schedule: Schedule::Cosine,
            warmup: 0.06,
            bf16: false,
        }
    }
}

impl OptimizerSettings {
    /// For fine-tuning: the rate by the model's size, warm-up over a tenth, then along a line to zero.
    pub fn finetune() -> Self {
        Self {
            learning_rate: 0.0,
            embeddings_rate: 1.0,
            head_rate: 1.0,
            layer_decay: 1.0,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.01,
            max_grad_norm: 1.0,
            schedule: Schedule::Linear,
            warmup: 0.1,
            bf16: false,
        }
    }

    /// The multiple of the learning rate for a part of a model with so many layers.
    pub(crate) fn rate_of(&self, group: ParamGroup, layers: usize) -> f64 {
        let below = |steps: usize| self.layer_decay.powi(i32::try_from(steps).unwrap_or(i32::MAX));
        match group {
            ParamGroup::Head => self.head_rate,
            ParamGroup::Layer(index) => below(layers - index),
            ParamGroup::Embeddings => self.embeddings_rate * below(layers + 1),
        }
    }

    /// When the model that learns rounds what it multiplies.
    pub fn rounding(&self) -> Bf16 {
        if self.bf16 { Bf16::Learning } else { Bf16::Never }
    }

    /// When a teacher does.
    pub(crate) fn rounding_of_teacher(&self) -> Bf16 {
        if self.bf16 { Bf16::Always } else { Bf16::Never }
    }

    /// Lets a model learn in the precision asked for. Errors on a device that has no such products of ours.
    pub(crate) fn choose_precision(&self, model: &mut Model) -> Result<()> {
        if self.bf16 && !is_cpu(model.device()) {
            return Err(setting("optimizer.bf16", true, "false on this device: bfloat16 is for the CPU"));
        }
        model.set_bf16(self.rounding());
        Ok(())
    }

    /// Says so where the precision asked for saves nothing.
    pub(crate) fn tell_precision(&self, observer: &mut dyn Observer) {
        if self.bf16 && !bf16_is_faster() {
            observer.event(Event::Note(
                "this processor has no units for bfloat16: values are rounded, but learning is no faster",
            ));
        }
    }

    pub(crate) fn check(&self) -> Result<()> {
        let key = |k: &str| format!("optimizer.{k}");
        positive(&key("learning_rate"), self.learning_rate)?;
        not_negative(&key("embeddings_rate"), self.embeddings_rate)?;
        not_negative(&key("head_rate"), self.head_rate)?;
        positive(&key("layer_decay"), self.layer_decay)?;
        positive(&key("epsilon"), self.epsilon)?;
        inside(&key("beta1"), self.beta1, 0.0, 1.0)?;
        inside(&key("beta2"), self.beta2, 0.0, 1.0)?;
        inside(&key("warmup"), self.warmup, 0.0, 1.0)?;
        not_negative(&key("weight_decay"), self.weight_decay)?;
        not_negative(&key("max_grad_norm"), self.max_grad_norm)
    }
}

impl Default for DataSettings {
    /// Many small steps of 1,024 tokens, the first third on short sequences.
    fn default() -> Self {
        Self {
            seq_len: 128,
            short_share: 0.3,
            short_seq_len: 64,
            tokens_per_step: 1_024,
            tokens_per_batch: 8_192,
            gradient_checkpointing: false,
            valid_share: 0.01,
            valid_documents: 500,
            valid_every: 0,
            save_every_seconds: 300.0,
            save_every_steps: 0,
            keep: 2,
            log_every: 10,
        }
    }
}

impl PretrainSettings {
    /// The head of the model: none where a teacher is asked for what is inside it only.
    pub(super) fn head(&self) -> HeadKind {
        let silent = self.distil.teacher.is_some() && self.distil.soft == 0.0 && self.distil.hard == 0.0;
        match self.objective.as_str() {
            _ if silent => HeadKind::None,
            "mlm+sop" => HeadKind::PreTraining,
            _ => HeadKind::MaskedLm,
        }
    }

    /// Looks for values that cannot be and for contradictions, before anything is read or written.
    pub fn check(&self) -> Result<()> {
        let objectives = crate::objective::NAMES;
        if !objectives.contains(&self.objective.as_str()) {
            return Err(Error::UnknownObjective { found: self.objective.clone(), known: objectives.join(", ") });
        }
        if self.corpus.is_empty() {
            return Err(setting("corpus", "no file", "at least one file or folder"));
        }
        self.length.check()?;
        self.optimizer.check()?;
        self.masking.check()?;
        self.data.check()?;
        seed(self.seed)?;
        if self.distil.teacher.is_some() {
            self.distil.check()?;
        }
        if self.head() == HeadKind::PreTraining {
            self.check_order()?;
        }
        if self.from.is_none() {
            let longest = self.model.config.max_length();
            if self.data.seq_len > longest {
                return Err(setting(
                    "data.seq_len",
                    self.data.seq_len,
                    format!("at most {longest}, what the model takes"),
                ));
            }
            if self.tokenizer.vocab_size < 16 {
                return Err(setting("tokenizer.vocab_size", self.tokenizer.vocab_size, "at least 16"));
            }
        }
        Ok(())
    }
}

impl PretrainSettings {
    /// Looks for what cannot be where the order of two parts is learned.
    fn check_order(&self) -> Result<()> {
        if self.distil.teacher.is_some() {
            return Err(setting("objective", "mlm+sop", "mlm, where a teacher is learned from"));
        }
        let shortest = if self.data.short_share > 0.0 { self.data.short_seq_len } else { self.data.seq_len };
        if shortest < 16 {
            let expected = "at least 16, so that there are two parts to tell the order of";
            return Err(setting("data.seq_len and data.short_seq_len", shortest, expected));
        }
        if self.from.is_none() && !self.model.family.says_order() {
            let found = format!("mlm+sop for {}", self.model.family.model_type());
            return Err(setting("objective", found, "mlm, or a family of `bert` or `albert`"));
        }
        if self.from.is_none() && self.model.config.type_vocab_size < 2 {
            let (key, found) = ("model.config.type_vocab_size", self.model.config.type_vocab_size);
            return Err(setting(key, found, "at least 2, for two parts"));
        }
        Ok(())
    }
}

impl Length {
    fn check(self) -> Result<()> {
        match self {
            Self::Steps(0) => Err(setting("length.steps", 0, "at least 1")),
            Self::Steps(_) => Ok(()),
            Self::Epochs(epochs) => positive("length.epochs", epochs),
            Self::Budget(seconds) => positive("length.budget", seconds),
        }
    }
}

impl MaskingSettings {
    fn check(&self) -> Result<()> {
        if !(self.probability > 0.0 && self.probability < 1.0) {
            return Err(setting("masking.probability", self.probability, "more than 0 and less than 1"));
        }
        inside("masking.replace_mask", self.replace_mask, 0.0, 1.0)?;
        inside("masking.replace_random", self.replace_random, 0.0, 1.0)?;
        let sum = self.replace_mask + self.replace_random;
        if sum > 1.0 + 1e-9 {
            return Err(setting("masking.replace_mask + masking.replace_random", sum, "at most 1"));
        }
        Ok(())
    }
}

impl DataSettings {
    fn check(&self) -> Result<()> {
        if self.seq_len < 3 {
            return Err(setting("data.seq_len", self.seq_len, "at least 3: one token between begin and end"));
        }
        inside("data.short_share", self.short_share, 0.0, 1.0)?;
        if self.short_share > 0.0 && !(3..=self.seq_len).contains(&self.short_seq_len) {
            return Err(setting(
                "data.short_seq_len",
                self.short_seq_len,
                format!("3 to {} (data.seq_len)", self.seq_len),
            ));
        }
        if self.tokens_per_step == 0 {
            return Err(setting("data.tokens_per_step", 0, "at least 1"));
        }
        if self.tokens_per_batch < self.seq_len {
            return Err(setting(
                "data.tokens_per_batch",
                self.tokens_per_batch,
                format!("at least one sequence: {} (data.seq_len)", self.seq_len),
            ));
        }
        if !(self.valid_share > 0.0 && self.valid_share < 1.0) {
            return Err(setting("data.valid_share", self.valid_share, "more than 0 and less than 1"));
        }
        for (key, value) in [("valid_documents", self.valid_documents), ("keep", self.keep)] {
            if value == 0 {
                return Err(setting(&format!("data.{key}"), 0, "at least 1"));
            }
        }
        if self.log_every == 0 {
            return Err(setting("data.log_every", 0, "at least 1"));
        }
        positive("data.save_every_seconds", self.save_every_seconds)
    }
}

/// An error about one setting.
pub(crate) fn setting(key: &str, found: impl ToString, expected: impl Into<String>) -> Error {
    Error::Setting { key: key.to_owned(), found: found.to_string(), expected: expected.into() }
}

pub(crate) fn seed(seed: u64) -> Result<()> {
    // The settings file is TOML, whose integers have 63 bits.
    if seed > i64::MAX as u64 {
        return Err(setting("seed", seed, format!("at most {}", i64::MAX)));
    }
    Ok(())
}

pub(crate) fn positive(key: &str, value: f64) -> Result<()> {
    if value > 0.0 && value.is_finite() { Ok(()) } else { Err(setting(key, value, "more than 0")) }
}

fn not_negative(key: &str, value: f64) -> Result<()> {
    if value >= 0.0 && value.is_finite() { Ok(()) } else { Err(setting(key, value, "0 or more")) }
}

fn inside(key: &str, value: f64, from: f64, to: f64) -> Result<()> {
    if value >= from && value <= to { Ok(()) } else { Err(setting(key, value, format!("{from} to {to}"))) }
}
