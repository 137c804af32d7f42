//! A loaded encoder with its tokenizer: embed, fill, predict.
//!
//! Everything here works on batches chosen by a token budget, with texts sorted by length inside a
//! window, and gives results back in the caller's order. A text's result does not depend on what
//! else is in the batch: batches are packed, nothing is padded.

mod batches;
mod embed;
mod encoder;
mod error;
mod fill;
mod pooling;
mod predict;
mod words;

pub use embed::{EmbedOptions, TokenVectors};
pub use encoder::{Encoder, TextPair};
pub use error::{Error, Result};
pub use fill::{Fill, FillCandidate};
pub use predict::Prediction;
