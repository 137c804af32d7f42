//! What can go wrong when a model is made smaller.

use polyseme_formats::Fault;
use std::path::PathBuf;

/// What went wrong, where, and what was expected.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of a folder.
    #[error(transparent)]
    Format(#[from] polyseme_formats::Error),
    /// The tokenizer or a table.
    #[error(transparent)]
    Text(#[from] polyseme_text::Error),
    /// A model.
    #[error(transparent)]
    Model(#[from] polyseme_models::Error),
    /// A model in use.
    #[error(transparent)]
    Infer(#[from] polyseme_infer::Error),
    /// Learning.
    #[error(transparent)]
    Train(#[from] polyseme_train::Error),
    /// A layer that is not there.
    #[error("there is no layer {layer}: the model has {layers}, counted from 0")]
    NoLayer {
        /// The layer.
        layer: usize,
        /// How many there are.
        layers: usize,
    },
    /// A file of texts without any.
    #[error("{path} has no texts", path = path.display())]
    NoTexts {
        /// The file.
        path: PathBuf,
    },
    /// A model would be written over.
    #[error("{out} holds a model already", out = out.display())]
    HoldsModel {
        /// The folder.
        out: PathBuf,
    },
    /// A piece that is to stay is none.
    #[error("the tokenizer in {model} has no piece `{piece}`", model = model.display())]
    NoPiece {
        /// The model folder.
        model: PathBuf,
        /// The piece.
        piece: String,
    },
    /// No candidate of a recipe could be made.
    #[error("not one candidate could be made; of the first: {why}")]
    NothingMade {
        /// Why the first one could not.
        why: Box<str>,
    },
    /// A text of pieces that all stay is cut into others.
    #[error("the smaller tokenizer cuts a text otherwise that begins with `{begins}`")]
    CutOtherwise {
        /// Its beginning.
        begins: String,
    },
}

impl Error {
    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Format(e) => e.fault(),
            Self::Text(e) => e.fault(),
            Self::Model(e) => e.fault(),
            Self::Infer(e) => e.fault(),
            Self::Train(e) => e.fault(),
            Self::HoldsModel { .. }
            | Self::NoPiece { .. }
            | Self::NoLayer { .. }
            | Self::NoTexts { .. }
            | Self::NothingMade { .. } => Fault::Input,
            Self::CutOtherwise { .. } => Fault::System,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Format(e) => e.hint(),
            Self::Text(e) => e.hint(),
            Self::Model(e) => e.hint(),
            Self::Infer(e) => e.hint(),
            Self::Train(e) => e.hint(),
            Self::NoLayer { .. } => Some("name layers from 0 on".to_owned()),
            Self::NoTexts { .. } => Some("give a file with texts like those the model will see".to_owned()),
            Self::HoldsModel { .. } => Some("name another folder with --out, or write over it with --force".to_owned()),
            Self::NoPiece { .. } => {
                Some("name pieces as they stand in tokenizer.json, such as `##ing` or `▁the`".to_owned())
            }
            Self::NothingMade { .. } => {
                Some("mend the step, or try it by itself: `polyseme shrink WAY`; nothing was written".to_owned())
            }
            Self::CutOtherwise { .. } => Some(
                "nothing was written: this is a fault of this program, please report it with the folder".to_owned(),
            ),
        }
    }
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;
