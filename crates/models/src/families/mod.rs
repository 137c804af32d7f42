//! One file a family: its config, its table of tensor names, its heads.
//!
//! All families share one encoder; what a family says of it is data, collected in a [`Form`]. Names
//! are used both ways: a parameter is looked up in a file and written to a file under its name.

pub(crate) mod albert;
pub(crate) mod bert;
pub(crate) mod distilbert;
pub(crate) mod electra;
pub(crate) mod keys;
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
    /// One label of several, several labels, or a number, of a whole sequence.
    pub classifier: TaskForm,
    /// A label of each token.
    pub tags: TaskForm,
    /// How much each token is the beginning, and the end, of an answer.
    pub answer: TaskForm,
    /// How well one choice of several fits.
    pub choice: TaskForm,
    /// In which order two parts of a sequence stand, beside the head over the vocabulary.
    pub order: Option<OrderForm>,
    /// The pooler of an encoder alone; kept when a file has it.
    pub pooler: Option<&'static str>,
    pub architectures: Architectures,
    /// Reads and checks `config.json`.
    pub read: fn(&mut ConfigJson) -> Result<EncoderConfig>,
    /// The keys of `config.json` that say what the configuration says.
    pub write: fn(&EncoderConfig) -> Map<String, Value>,
    /// Keys that a new model's `config.json` gets besides, with their usual values.
    pub extra: fn() -> Map<String, Value>,
    /// Keys of `config.json` that decide how a head of choices computes, with the only values there are here.
    pub choice_keys: fn() -> Map<String, Value>,
    /// Errors on settings this family cannot express.
    pub check: fn(&EncoderConfig) -> Result<()>,
}

impl Form {
    /// What the names of layers begin with where there is a head.
    pub fn layers(&self) -> String {
        format!("{}{}", self.prefix, self.encoder.layer.prefix)
    }
}

/// Tensor names of the encoder, without prefix and without `.weight` or `.bias`.
pub(crate) struct EncoderNames {
    pub word: &'static str,
    pub position: &'static str,
    pub token_type: &'static str,
    pub norm: &'static str,
    pub projection: &'static str,
    /// Whether there is a projection where embeddings are as wide as layers, too.
    pub always_projects: bool,
    pub layer: LayerNames,
    /// The norm after the last layer, where layers have theirs before their halves.
    pub final_norm: &'static str,
}

/// Tensor names of a layer, after `prefix.N.`, or `prefix.GROUP.inner.N.` where layers share their weights.
pub(crate) struct LayerNames {
    pub prefix: &'static str,
    pub inner: Option<&'static str>,
    pub query_key_value: QueryKeyValueNames,
    pub attention_output: &'static str,
    pub attention_norm: &'static str,
    pub intermediate: &'static str,
    pub output: &'static str,
    pub output_norm: &'static str,
}

impl LayerNames {
    /// The name of a part of the `own`-th layer with weights of its own.
    pub fn of(&self, own: usize, config: &EncoderConfig, part: &str) -> String {
        match self.inner {
            None => format!("{}.{own}.{part}", self.prefix),
            Some(inner) => {
                let number = config.sharing.inner_group_num;
                format!("{}.{}.{inner}.{}.{part}", self.prefix, own / number, own % number)
            }
        }
    }
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

/// The head for pre-training that says the order of two parts.
pub(crate) struct OrderForm {
    pub form: TaskForm,
    /// The class of the reference library that has both heads.
    pub architecture: &'static str,
}

/// A head of a task: perhaps a dense layer with activation, then a linear map.
#[derive(Clone, Copy)]
pub(crate) struct TaskForm {
    pub dense: Option<&'static str>,
    pub activation: Activation,
    /// A norm after the activation.
    pub norm: Option<&'static str>,
    /// Whether dropout comes before the dense layer too.
    pub dropout_before: bool,
    pub dropout: Dropout,
    pub output: &'static str,
}

/// Which rate of dropout stands before a head's last map.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Dropout {
    /// `classifier_dropout`.
    Classifier,
    /// `hidden_dropout_prob`.
    Hidden,
    /// Of a key that only this head has, and what it is where the key is not there.
    Key(&'static str, f64),
    None,
}

impl TaskForm {
    /// The rate of dropout before the last map, by what a folder says if there is one.
    pub fn rate(&self, config: &EncoderConfig, json: Option<&mut ConfigJson>) -> Result<f64> {
        match (self.dropout, json) {
            (Dropout::Classifier, _) => Ok(config.classifier_dropout),
            (Dropout::Hidden, _) => Ok(config.hidden_dropout_prob),
            (Dropout::Key(key, usual), Some(json)) => Ok(json.f64_or(key, usual)?),
            (Dropout::Key(_, usual), None) => Ok(usual),
            (Dropout::None, _) => Ok(0.0),
        }
    }

    /// A linear map alone.
    pub const fn map(output: &'static str, dropout: Dropout) -> Self {
        Self { dense: None, activation: Activation::Tanh, norm: None, dropout_before: false, dropout, output }
    }
}

/// Class names of the reference library.
pub(crate) struct Architectures {
    pub base: &'static str,
    pub masked_lm: &'static str,
    pub classify: &'static str,
    pub tags: &'static str,
    pub answer: &'static str,
    pub choice: &'static str,
}
