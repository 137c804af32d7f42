//! Text in: tokenizers, corpora, labelled tables and the building of token stores.
//!
//! Knows no tensors. Everything is ordered: the same files give the same documents, the same
//! tokenizer and the same store on any number of threads.

pub mod check;
pub mod corpus;
mod error;
mod names;
pub mod piece_counts;
pub mod questions;
mod quotes;
mod rows;
mod source;
pub mod store_builder;
pub mod table;
pub mod tagged;
pub mod tokenizer;
pub mod train_tokenizer;

pub use check::{TableCheck, check};
pub use corpus::{CorpusReader, CorpusWarning, Document};
pub use error::{Error, Misplaced, Result};
pub use questions::{Answer, Question, Questions};
pub use table::{Column, Table};
pub use tagged::{Scheme, TagOddities, Tagged, TaggedSentence};
pub use tokenizer::{Encoding, Keep, SourceTarget, SpecialTokens, Tokenizer, Trimmed, Window};

/// Bytes as hexadecimal digits.
fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut out, b| {
        let _ = write!(out, "{b:02x}");
        out
    })
}
