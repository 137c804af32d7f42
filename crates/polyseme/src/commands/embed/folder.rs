//! Vectors as a folder that can be searched, with the texts or words they stand for.

use super::Sink;
use crate::args::EmbedArgs;
use polyseme_infer::{EmbedOptions, TokenVectors};
use polyseme_inspect::index::{Entry, Head, Writer, weights_hash};
use std::path::Path;

/// An index being written.
pub struct Folder(Writer);

impl Folder {
    /// Begins one of vectors with `width` numbers each.
    pub fn create(path: &Path, args: &EmbedArgs, width: usize, options: &EmbedOptions) -> anyhow::Result<Self> {
        let head = Head {
            model: std::path::absolute(&args.model).unwrap_or_else(|_| args.model.clone()),
            weights: weights_hash(&args.model)?,
            words: args.tokens,
            options: options.clone(),
            dimensions: width,
            count: 0,
            graph: args.approximate,
        };
        Ok(Self(Writer::create(path, head)?))
    }
}

impl Sink for Folder {
    fn texts(&mut self, texts: &[&str], vectors: &[Vec<f32>]) -> anyhow::Result<()> {
        for (text, vector) in texts.iter().zip(vectors) {
            self.0.push(&Entry { text: (*text).to_owned(), word: None }, vector)?;
        }
        Ok(())
    }

    fn words(&mut self, texts: &[&str], words: &[TokenVectors]) -> anyhow::Result<()> {
        for (text, found) in texts.iter().zip(words) {
            for ((word, range), vector) in found.words.iter().zip(&found.ranges).zip(&found.vectors) {
                let word = Some((word.clone(), [range.start, range.end]));
                self.0.push(&Entry { text: (*text).to_owned(), word }, vector)?;
            }
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> anyhow::Result<()> {
        Ok(self.0.finish()?)
    }
}
