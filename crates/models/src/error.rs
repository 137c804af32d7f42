//! What can be wrong with a model folder or a model's settings.

use polyseme_formats::Fault;
use std::path::PathBuf;

/// What went wrong, where, and what was expected.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of the folder.
    #[error(transparent)]
    Format(#[from] polyseme_formats::Error),
    /// `config.json` does not say what kind of model it is.
    #[error("{}: no `model_type`; expected one of {known}", path.display())]
    NoModelType {
        /// The configuration file.
        path: PathBuf,
        /// The families there are.
        known: String,
    },
    /// A model of another kind.
    #[error("{}: model_type is `{found}`; expected one of {known}", path.display())]
    AlienModelType {
        /// The configuration file.
        path: PathBuf,
        /// What it says.
        found: String,
        /// The families there are.
        known: String,
    },
    /// An activation nobody knows.
    #[error("{}: {key} is `{found}`; expected one of {known}", path.display())]
    UnknownActivation {
        /// The configuration file.
        path: PathBuf,
        /// The key.
        key: &'static str,
        /// What it says.
        found: String,
        /// The names there are.
        known: String,
    },
    /// A key whose value has the wrong form.
    #[error("{}: {key} is {found}; expected {expected}", path.display())]
    BadKey {
        /// The configuration file.
        path: PathBuf,
        /// The key.
        key: &'static str,
        /// What it says.
        found: String,
        /// What it may say.
        expected: String,
    },
    /// A model in few bits where one in f32 is needed.
    #[error("{}: the model has matrices in few bits, which do not learn", path.display())]
    FewBits {
        /// The folder, or its configuration.
        path: PathBuf,
    },
    /// A model that is not written as an ONNX graph.
    #[error("ONNX graphs are not written of {what}")]
    NotInOnnx {
        /// What of it.
        what: &'static str,
    },
    /// A value that a precision has no room for.
    #[error("{name} holds {found}, which is beyond {precision}")]
    BeyondPrecision {
        /// The parameter.
        name: String,
        /// The value.
        found: f32,
        /// The precision's name.
        precision: &'static str,
    },
    /// Weights of a training that went wrong.
    #[error("{}: `{name}` holds {found}; expected finite numbers", path.display())]
    NotFinite {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// The first such value.
        found: f32,
    },
    /// A setting no encoder can have.
    #[error("{key} is {found}; expected {expected}")]
    BadSetting {
        /// The setting's name in `config.json` of BERT.
        key: String,
        /// Its value.
        found: String,
        /// What it may be.
        expected: String,
    },
    /// The width cannot be shared among the heads.
    #[error("{heads} attention heads do not divide the hidden size {hidden}")]
    HeadsDoNotDivide {
        /// Number of heads.
        heads: usize,
        /// Width.
        hidden: usize,
    },
    /// Sizes beyond all memory.
    #[error("the sizes make more than {limit} parameters")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// The tokenizer knows more ids than the model has embeddings.
    #[error("the tokenizer has {tokens} ids, the model embeddings for {embeddings}")]
    VocabularyTooLarge {
        /// Ids of the tokenizer.
        tokens: usize,
        /// Rows of the embedding table.
        embeddings: usize,
    },
    /// A sequence the model cannot take.
    #[error("sequence {index}: {what} is {found}; the model takes {limit} at most")]
    BadSequence {
        /// Number of the sequence, from 0.
        index: usize,
        /// Length, greatest token id or greatest segment.
        what: &'static str,
        /// What it is.
        found: usize,
        /// What it may be.
        limit: usize,
    },
    /// A head without labels, or with one twice.
    #[error("labels {labels:?}; expected at least one, each once")]
    BadLabels {
        /// What was given.
        labels: Vec<String>,
    },
    /// A part of the encoder is not in the file.
    #[error("{}: no tensor `{name}`{}", path.display(), did_you_mean(nearest))]
    MissingTensor {
        /// The model folder.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// The unused tensor whose name is nearest.
        nearest: Option<String>,
    },
    /// No map of the model is one of those that are to change.
    #[error("no map of the model is named {}", targets.join(", "))]
    NoTarget {
        /// The ends of names that were given.
        targets: Vec<String>,
        /// Names there are.
        like: Vec<String>,
    },
    /// The model that an adapter changes is not there.
    #[error("{}: the adapter is for `{base}`, where no model is", adapter.display())]
    NoBase {
        /// The adapter's folder.
        adapter: PathBuf,
        /// The base it names.
        base: String,
    },
    /// The model that an adapter names is not the one it was made for.
    #[error("{}: the adapter was made for another model than the one in {}", adapter.display(), base.display())]
    OtherBase {
        /// The adapter's folder.
        adapter: PathBuf,
        /// The base it names.
        base: PathBuf,
    },
    /// A tensor of an adapter that belongs to nothing in its base.
    #[error("{}: `{name}` belongs to nothing in the adapter's base model", path.display())]
    ForeignAdapter {
        /// The adapter's file.
        path: PathBuf,
        /// The tensor.
        name: String,
    },
    /// An adapter that no weights can take up.
    #[error("{what} are an adapter that stays beside its base model: nothing of it can be folded into the weights")]
    NotFolded {
        /// What they are.
        what: &'static str,
    },
    /// A family whose layers cannot have virtual tokens before them.
    #[error(
        "a model of type `{family}` cannot have virtual tokens before a text: its layers with windows would not see them"
    )]
    NoPrefix {
        /// Its `model_type`.
        family: &'static str,
    },
    /// Virtual tokens of which there are but keys and values.
    #[error("{}: there is no {file}; keys and values of virtual tokens do not tell their vectors", adapter.display())]
    NoVectors {
        /// The adapter's folder.
        adapter: PathBuf,
        /// The file.
        file: &'static str,
    },
    /// `config.json` says that two tensors are one, and the file has them different.
    #[error(
        "{}: `{name}` differs from `{of}`, but tie_word_embeddings says that they are one",
        path.display()
    )]
    TiedDiffer {
        /// The model folder.
        path: PathBuf,
        /// The copy.
        name: String,
        /// What it should equal.
        of: String,
    },
}

/// `; did you mean …?` where there is something to mean.
fn did_you_mean(nearest: &Option<String>) -> String {
    nearest.as_ref().map(|name| format!("; did you mean `{name}`?")).unwrap_or_default()
}

impl Error {
    pub(crate) fn setting(key: &str, found: impl ToString, expected: impl Into<String>) -> Self {
        Self::BadSetting { key: key.into(), found: found.to_string(), expected: expected.into() }
    }

    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Format(error) => error.fault(),
            _ => Fault::Input,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Format(error) => return error.hint(),
            Self::NoModelType { .. } => "add `model_type` if you know the family of this checkpoint",
            Self::AlienModelType { .. } => "only encoders of these families can be opened",
            Self::UnknownActivation { .. } => "the file may be damaged, or the model computes something we do not",
            Self::BadKey { .. } => "compare the file with the one the checkpoint was published with",
            Self::BadSetting { .. } => "change this setting",
            Self::NotInOnnx { .. } => "use the folder with this program, or a model of BERT's kind",
            Self::BeyondPrecision { .. } => "bf16 has the range of f32, and int8 scales every row",
            Self::FewBits { .. } => "take the model it was made of, and quantize what that becomes",
            Self::NotFinite { .. } => "the training that wrote it had diverged; take an earlier checkpoint",
            Self::HeadsDoNotDivide { .. } => {
                "choose a number of heads that divides the hidden size; 64 per head is usual"
            }
            Self::TooLarge { .. } => "the configuration may be damaged; check vocabulary, width and number of layers",
            Self::VocabularyTooLarge { .. } => "use the tokenizer the model was trained with",
            Self::BadSequence { .. } => "shorten the text, or use the tokenizer the model was trained with",
            Self::BadLabels { .. } => "give each class one name",
            Self::MissingTensor { .. } => "the file may be incomplete or of another family than `model_type` says",
            Self::NoTarget { like, .. } => {
                return Some(format!("maps are named by the ends of their names, as in {}", like.join(", ")));
            }
            Self::NoBase { .. } => "put the base model there, or name its folder in adapter_config.json",
            Self::OtherBase { .. } => "give the adapter the model it was trained on",
            Self::ForeignAdapter { .. } => "the adapter may be for a model of another size or family",
            Self::NotFolded { .. } => {
                "use the adapter's folder as it is: every command opens it, and finds its base by adapter_config.json"
            }
            Self::NoPrefix { .. } => "learn low-rank changes or bottlenecks (--lora, --adapter-size)",
            Self::NoVectors { .. } => "copy the whole folder; one that `peft` trained itself cannot be opened",
            Self::TiedDiffer { .. } => "set `tie_word_embeddings` to false in config.json to use both",
        };
        Some(hint.into())
    }
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;
