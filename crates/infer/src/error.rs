//! What can go wrong when a model is used.

use polyseme_formats::Fault;

/// What went wrong, where, and what was expected.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of the folder.
    #[error(transparent)]
    Format(#[from] polyseme_formats::Error),
    /// The tokenizer.
    #[error(transparent)]
    Text(#[from] polyseme_text::Error),
    /// The model.
    #[error(transparent)]
    Model(#[from] polyseme_models::Error),
    /// The device.
    #[error(transparent)]
    Tensor(#[from] polyseme_tensor::Error),
    /// Nothing to fill.
    #[error("the text has no mask; this model's mask is `{mask}`")]
    NoMask {
        /// The mask token.
        mask: String,
    },
    /// A text without anything in it.
    #[error("the text has no token besides special ones")]
    NoToken,
    /// The tokenizer knows no mask.
    #[error("the tokenizer of this model has no mask token")]
    NoMaskToken,
    /// The model cannot fill masks.
    #[error("filling masks needs a masked-language-modelling head; this model has {found}")]
    NoMaskedLmHead {
        /// The head it has.
        found: &'static str,
    },
    /// The model has another head than the one asked.
    #[error("{what} need {head}; this model has {found}")]
    WrongHead {
        /// What was asked for: "labels".
        what: &'static str,
        /// The head that gives them, by its name in a sentence.
        head: &'static str,
        /// The head it has.
        found: &'static str,
        /// The task that makes one.
        task: &'static str,
    },
    /// A text that must not be cut is longer than the model can take.
    #[error("the text has {tokens} tokens; this model takes at most {limit}")]
    TooLong {
        /// Its tokens, special ones included.
        tokens: usize,
        /// What the model takes.
        limit: usize,
    },
    /// A maximum length that cannot be.
    #[error("a maximum length of {asked} tokens was asked for; this model takes from 3 to {limit}")]
    MaxLength {
        /// What was asked for.
        asked: usize,
        /// What the model takes.
        limit: usize,
    },
    /// A layer the model has not.
    #[error("layer {asked} was asked for; this model has layers 0 (its embeddings) to {layers}")]
    NoLayer {
        /// What was asked for.
        asked: usize,
        /// Number of its last layer.
        layers: usize,
    },
    /// The tokenizer gives an id the model has no embedding for.
    #[error(
        "the tokenizer does not belong to the model: `{token}` has the id {id}, the tokenizer knows {pieces} \
         pieces, but the model has embeddings for {vocabulary} only"
    )]
    ForeignTokenizer {
        /// The piece.
        token: String,
        /// Its id.
        id: u32,
        /// Embeddings of the model.
        vocabulary: usize,
        /// Pieces of the tokenizer.
        pieces: usize,
    },
    /// The tokenizer marks the second text with a segment the model has not.
    #[error("the tokenizer marks texts with segment {segment}; this model has {segments} segment embeddings")]
    NoSegment {
        /// The segment.
        segment: u32,
        /// How many the model has.
        segments: usize,
    },
}

impl Error {
    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Format(e) => e.fault(),
            Self::Text(e) => e.fault(),
            Self::Model(e) => e.fault(),
            _ => Fault::Input,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Format(e) => return e.hint(),
            Self::Text(e) => return e.hint(),
            Self::Model(e) => return e.hint(),
            Self::Tensor(e) => return e.hint(),
            Self::NoMask { mask } => return Some(format!("write {mask} where a word is to be found")),
            Self::NoToken => "give a text with at least one word",
            Self::NoMaskToken => "the tokenizer's files must name a `mask_token`",
            Self::NoMaskedLmHead { .. } => "use the folder that `polyseme pretrain` wrote, before fine-tuning",
            Self::WrongHead { task, .. } => {
                return Some(format!("make one with `polyseme finetune MODEL --task {task}`"));
            }
            Self::TooLong { .. } => "shorten the text",
            Self::MaxLength { limit, .. } => {
                return Some(format!("choose a length from 3 to {limit}, or leave it out"));
            }
            Self::NoLayer { layers, .. } => return Some(format!("choose a layer from 0 to {layers}, or leave it out")),
            Self::ForeignTokenizer { .. } => {
                "put the tokenizer files the model was trained with into its folder, or train with --from"
            }
            Self::NoSegment { .. } => "this model takes single texts, not pairs",
        };
        Some(hint.into())
    }
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;
