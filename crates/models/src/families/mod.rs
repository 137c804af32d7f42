//! One file a family: its config, its table of tensor names, its heads.
//!
//! All families share one encoder; what a family says of it is data, collected in a [`Form`]. Names
//! are used both ways: a parameter is looked up in a file and written to a file under its name.

pub(crate) mod bert;
pub(crate) mod distilbert;
pub(crate) mod electra;
mod keys;
pub(crate) mod modernbert;
pub(crate) mod roberta;

use crate::{EncoderConfig, Result};
use polyseme_formats::ConfigJson;
use polyseme_tensor::ops::Activation;
use serde_json::{Map, Value};

/// Everything in which one family differs from another.
pub(crate) struct Form {
    /// `model_type` in `config.json`.
    pub model_type: &'static str,
    /// What names inside the encoder begin with when there is a head.
    pub prefix: &'static str,
    pub encoder: EncoderNames,
    pub masked_lm: MaskedLmForm,
    pub classifier: ClassifierForm,
    /// The pooler of an encoder alone; kept when a file has it.
    pub pooler: Option<&'static str>,
    pub architectures: Architectures,
    /// Reads and checks `config.json`.
    pub read: fn(&mut ConfigJson) -> Result<EncoderConfig>,
    /// The keys of `config.json` that say what the configuration says.
    pub write: fn(&EncoderConfig) -> Map<String, Value>,
    /// Keys that a new model's `config.json` gets besides, with their usual values.
    pub extra: fn() -> Map<String, Value>,
    /// Errors on settings this family cannot express.
    pub check: fn(&EncoderConfig) -> Result<()>,
}

/// Tensor names of the encoder, without prefix and without `.weight` or `.bias`.
pub(crate) struct EncoderNames {
    pub word: &'static str,
    pub position: &'static str,
    pub token_type: &'static str,
    pub norm: &'static str,
    pub projection: &'static str,
    pub layer: LayerNames,
    /// The norm after the last layer, where layers have theirs before their halves.
    pub final_norm: &'static str,
}

/// Tensor names of a layer, after `prefix.N.`.
pub(crate) struct LayerNames {
    pub prefix: &'static str,
    pub query_key_value: QueryKeyValueNames,
    pub attention_output: &'static str,
    pub attention_norm: &'static str,
    pub intermediate: &'static str,
    pub output: &'static str,
    pub output_norm: &'static str,
}

/// Names of the maps onto query, key and value.
pub(crate) enum QueryKeyValueNames {
    Apart([&'static str; 3]),
    /// One map whose rows are those of the three, one below the other.
    Joined(&'static str),
}

/// The head for masked language modelling.
pub(crate) struct MaskedLmForm {
    pub dense: &'static str,
    /// The encoder's own where there is none.
    pub activation: Option<Activation>,
    pub norm: &'static str,
    /// Whole name of the bias over the vocabulary.
    pub bias: &'static str,
    /// The projection, tied to the word embeddings or not.
    pub decoder: &'static str,
}

/// The head for sequence classification.
pub(crate) struct ClassifierForm {
    pub dense: &'static str,
    pub activation: Activation,
    /// A norm after the activation.
    pub norm: Option<&'static str>,
    /// Whether dropout comes before the dense layer too.
    pub dropout_before: bool,
    pub output: &'static str,
}

/// Class names of the reference library.
pub(crate) struct Architectures {
    pub base: &'static str,
    pub masked_lm: &'static str,
    pub classify: &'static str,
}
