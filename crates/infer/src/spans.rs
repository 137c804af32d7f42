//! Vectors of pieces of texts, at every layer.

use crate::batches::WINDOW;
use crate::encoder::values;
use crate::pooling::pool;
use crate::{Encoder, Result, TextPair};
use polyseme_formats::folder::Pooling;
use polyseme_text::Encoding;
use std::ops::Range;

/// The vectors of a piece of a text: the mean of its tokens', at each layer.
#[derive(Clone, Debug, PartialEq)]
pub struct SpanVectors {
    /// Its tokens as the model saw them.
    pub tokens: Vec<String>,
    /// The mean of its rows in the table of word embeddings, which no sentence has touched.
    pub alone: Vec<f32>,
    /// After the embeddings (0) and after each layer. `(layers + 1) × hidden`
    pub layers: Vec<Vec<f32>>,
}

impl Encoder {
    /// Vectors of pieces (byte ranges) of each text; `None` where the text was cut before one, or where it has no
    /// token. What the last layer gives is what [`Encoder::embed_tokens`] gives of a word.
    ///
    /// # Errors
    /// A tokenizer that is not the model's.
    pub fn span_vectors(&self, texts: &[(&str, Vec<Range<usize>>)]) -> Result<Vec<Vec<Option<SpanVectors>>>> {
        let table = self.model.word_embeddings();
        let narrow = table.len() / self.model.config().vocab_size;
        let mut all = vec![Vec::new(); texts.len()];
        for (n, window) in texts.chunks(WINDOW).enumerate() {
            let pairs: Vec<TextPair> = window.iter().map(|(text, _)| ((*text).to_owned(), None)).collect();
            let encodings = self.encode(&pairs, Some(self.limit()))?;
            let found = &mut all[n * WINDOW..];
            self.for_each_batch(&encodings, |members, batch| {
                let states: Vec<(Vec<f32>, usize)> = self
                    .model
                    .hidden_layers(batch)
                    .into_iter()
                    .map(|state| {
                        let [_, width] = state.dims();
                        (values(state), width)
                    })
                    .collect();
                for (i, &member) in members.iter().enumerate() {
                    let encoding = &encodings[member];
                    let of = |range: &Range<usize>| {
                        let tokens = tokens_of(encoding, range)?;
                        let rows = batch.row(i, tokens.start)..batch.row(i, tokens.end - 1) + 1;
                        let mean = |(state, width): &(Vec<f32>, usize)| {
                            pool(&state[rows.start * width..rows.end * width], *width, Pooling::Mean)
                        };
                        let ids = &encoding.ids[tokens];
                        let row = |&id: &u32| table[id as usize * narrow..][..narrow].iter().copied();
                        let alone: Vec<f32> = ids.iter().flat_map(row).collect();
                        Some(SpanVectors {
                            tokens: ids.iter().map(|&id| self.tokenizer.token(id).unwrap_or_default()).collect(),
                            alone: pool(&alone, narrow, Pooling::Mean),
                            layers: states.iter().map(mean).collect(),
                        })
                    };
                    found[member] = window[member].1.iter().map(of).collect();
                }
                Ok(())
            })?;
        }
        Ok(all)
    }
}

/// Tokens that share a byte with a range. They stand side by side.
fn tokens_of(encoding: &Encoding, range: &Range<usize>) -> Option<Range<usize>> {
    let shares = |t: &usize| {
        let of = &encoding.offsets[*t];
        encoding.words[*t].is_some() && of.start < range.end && range.start < of.end
    };
    let first = (0..encoding.ids.len()).find(shares)?;
    let last = (first..encoding.ids.len()).rfind(shares)?;
    // Cut in the middle of it, or right behind it: nobody knows how much of it is left.
    let whole = encoding.truncated == 0 || encoding.offsets[last].end >= range.end;
    whole.then_some(first..last + 1)
}
