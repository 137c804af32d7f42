//! A loaded encoder with its tokenizer: embed, fill, predict.
//!
//! Everything here works on batches chosen by a token budget, with texts sorted by length inside a
//! window, and gives results back in the caller's order. A text's result does not depend on what
//! else is in the batch: batches are packed, nothing is padded.

mod answering;
mod batches;
mod embed;
mod encoder;
mod error;
mod exchange;
mod fill;
mod generate;
mod pooling;
mod predict;
mod spans;
mod tagging;
mod words;

pub use answering::{FoundAnswer, LONGEST_ANSWER, QuestionContext, SpanScore, best_span, trimmed};
pub use embed::{EmbedOptions, TokenVectors};
pub use encoder::{Encoder, TextPair};
pub use error::{Error, Result};
pub use exchange::Exchange;
pub use fill::head_name;
pub use fill::{Fill, FillCandidate, Guess};
pub use generate::{GenerateOptions, Generated, generate};
pub use predict::{Prediction, first_of_best, sigmoid, softmax};
pub use spans::SpanVectors;
pub use tagging::{Entity, TagWindow, TaggedSpan, WordTag, joined, spans, tag_windows};
