//! What can go wrong when a model is looked into.

use polyseme_formats::Fault;
use std::path::PathBuf;

/// What went wrong, where, and what was expected.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file.
    #[error(transparent)]
    Format(#[from] polyseme_formats::Error),
    /// A text.
    #[error(transparent)]
    Text(#[from] polyseme_text::Error),
    /// Labelled rows.
    #[error(transparent)]
    Train(#[from] polyseme_train::Error),
    /// The model with its tokenizer.
    #[error(transparent)]
    Infer(#[from] polyseme_infer::Error),
    /// The model.
    #[error(transparent)]
    Model(#[from] polyseme_models::Error),
    /// A layer the model has not.
    #[error("layer {asked} was asked for; this model has layers 1 to {layers}")]
    NoLayer {
        /// What was asked for.
        asked: usize,
        /// Number of its last layer.
        layers: usize,
    },
    /// Models that cannot be compared number by number.
    #[error("{} is {found}, {} is {expected}: they have no weights in common", path.display(), other.display())]
    OtherModel {
        /// The one.
        path: PathBuf,
        /// What it is.
        found: String,
        /// The other.
        other: PathBuf,
        /// What that is.
        expected: String,
    },
    /// Another head than the fine-tuned model's.
    #[error("{} has not the head of {}, or not its labels", path.display(), other.display())]
    OtherHead {
        /// The folder.
        path: PathBuf,
        /// The fine-tuned model.
        other: PathBuf,
    },
    /// Other parameters than the fine-tuned model's.
    #[error("{} has not the parameters of the fine-tuned model: it was made from another one", path.display())]
    OtherShape {
        /// The folder.
        path: PathBuf,
    },
    /// Nothing to tell apart.
    #[error("{} has one label only{}; a probe tells two or more apart", path.display(), label.as_ref().map(|l| format!(", `{l}`")).unwrap_or_default())]
    OneLabel {
        /// The file.
        path: PathBuf,
        /// The label.
        label: Option<String>,
    },
    /// Too few labelled examples.
    #[error("{} gives {found} example(s); a probe needs {least} at least", path.display())]
    FewExamples {
        /// The file.
        path: PathBuf,
        /// How many there are.
        found: usize,
        /// How many there must be.
        least: usize,
    },
    /// No index.
    #[error("{} is no index: it has no index.json", path.display())]
    NoIndex {
        /// The folder.
        path: PathBuf,
    },
    /// An index that cannot be used.
    #[error("{} is damaged: {what}", path.display())]
    DamagedIndex {
        /// The folder.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The graph beside an index.
    #[error("{}: {what}", path.display())]
    Graph {
        /// Its file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A folder with other things in it.
    #[error("{} holds {found}: it is no folder for an index", path.display())]
    NotAnIndex {
        /// The folder.
        path: PathBuf,
        /// What is there.
        found: String,
    },
    /// An index whose vectors mean nothing to this model.
    #[error("{} was made by {}, whose weights are not those of {}", path.display(), made_by.display(), model.display())]
    OtherWeights {
        /// The index.
        path: PathBuf,
        /// The model at hand.
        model: PathBuf,
        /// The one that made it.
        made_by: PathBuf,
    },
    /// A row that is not there.
    #[error("row {asked} was asked for; {} has rows 1 to {count}", path.display())]
    NoRow {
        /// What was asked for, from 1.
        asked: usize,
        /// How many there are.
        count: usize,
        /// The index.
        path: PathBuf,
    },
    /// A word that is none.
    #[error("`{word}` is no word: it has no letter and no digit")]
    NoWord {
        /// What was given.
        word: String,
    },
    /// The word does not occur.
    #[error("`{word}` occurs in none of the {texts} texts of {}", path.display())]
    NeverOccurs {
        /// The word.
        word: String,
        /// Texts that were looked through.
        texts: u64,
        /// Where.
        path: PathBuf,
    },
    /// Too few to tell anything.
    #[error("`{word}` occurs {found} time(s) in {}; at least {least} are needed to compare", path.display())]
    TooFew {
        /// The word.
        word: String,
        /// How often it occurs.
        found: usize,
        /// How often it must.
        least: usize,
        /// Where.
        path: PathBuf,
    },
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Format(e) => e.fault(),
            Self::Text(e) => e.fault(),
            Self::Train(e) => e.fault(),
            Self::Infer(e) => e.fault(),
            Self::Model(e) => e.fault(),
            _ => Fault::Input,
        }
    }

    /// What to do, where more than the message can be said.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Format(e) => e.hint(),
            Self::Text(e) => e.hint(),
            Self::Train(e) => e.hint(),
            Self::Infer(e) => e.hint(),
            Self::Model(e) => e.hint(),
            Self::NeverOccurs { .. } => {
                Some("other forms of a word are named with --also, as in `--also apples,Apple's`".into())
            }
            Self::NoLayer { layers, .. } => Some(format!("choose layers from 1 to {layers}, or leave --layer out")),
            Self::NoWord { .. } => Some("give a word as it stands in the texts".into()),
            Self::TooFew { .. } => Some("give more texts with it, or name other forms with --also".into()),
            Self::OtherModel { .. } => Some("compare a model with the one it was made from".into()),
            Self::OtherHead { .. } | Self::OtherShape { .. } => {
                Some("give folders of one task and one architecture, as `polyseme finetune` writes them".into())
            }
            Self::OneLabel { .. } => Some("name the column of the labels with --label".into()),
            Self::NoIndex { .. } => Some("make one with `polyseme embed MODEL FILE --out FOLDER`".into()),
            Self::DamagedIndex { .. } => Some("make it anew with `polyseme embed MODEL FILE --out FOLDER`".into()),
            Self::Graph { .. } => Some("search without it, by --exact, or make the index anew".into()),
            Self::NotAnIndex { .. } => Some("name a folder that is empty or not there".into()),
            Self::OtherWeights { made_by, .. } => {
                Some(format!("name the model that made it with --model (it was {})", made_by.display()))
            }
            Self::NoRow { count, .. } => Some(format!("choose a row from 1 to {count}")),
            Self::FewExamples { .. } => Some("give more labelled texts".into()),
        }
    }
}
