//! Texts as vectors: one a text, or one a word.

use crate::batches::WINDOW;
use crate::encoder::values;
use crate::pooling::{normalize, pool};
use crate::words::{Word, words};
use crate::{Encoder, Error, Result, TextPair};
use polyseme_formats::folder::{Pooling, SentenceModules};
use polyseme_models::Model;
use polyseme_tensor::{Mode, PackedBatch};
use polyseme_text::Encoding;
use std::ops::Range;

/// How texts become vectors.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct EmbedOptions {
    /// `None`: what `modules.json` says, else mean.
    pub pooling: Option<Pooling>,
    /// `None`: what `modules.json` says, else not.
    pub normalize: Option<bool>,
    /// Hidden state to pool: 0 embeddings, n the n-th layer; `None` the last.
    pub layer: Option<usize>,
    /// Longest input; `None`: what the folder says.
    pub max_length: Option<usize>,
}

/// The contextual vectors of one text's words: a word's vector is the mean of its pieces'.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenVectors {
    /// Words as they stand in the text; what was cut off the text has none.
    pub words: Vec<String>,
    /// Their byte ranges.
    pub ranges: Vec<Range<usize>>,
    /// One vector a word.
    pub vectors: Vec<Vec<f32>>,
}

/// Options with nothing left open.
struct Resolved {
    pooling: Pooling,
    normalize: bool,
    layer: Option<usize>,
    max_length: usize,
}

impl Encoder {
    /// One vector a text, in order.
    ///
    /// # Errors
    /// A layer or length the model has not, a tokenizer that is not the model's.
    pub fn embed(&self, texts: &[&str], options: &EmbedOptions) -> Result<Vec<Vec<f32>>> {
        let mut vectors = Vec::with_capacity(texts.len());
        for window in texts.chunks(WINDOW) {
            vectors.extend(self.embed_encoded(&self.encode_to_embed(window, options)?, options)?);
        }
        Ok(vectors)
    }

    /// Token ids of texts, cut as [`Encoder::embed`] would with these options. What was cut is in
    /// [`Encoding::truncated`].
    ///
    /// # Errors
    /// As [`Encoder::embed`].
    pub fn encode_to_embed(&self, texts: &[&str], options: &EmbedOptions) -> Result<Vec<Encoding>> {
        let pairs: Vec<TextPair> = texts.iter().map(|t| ((*t).to_owned(), None)).collect();
        self.encode(&pairs, Some(self.resolve(options)?.max_length))
    }

    /// One vector an encoding, in order.
    ///
    /// # Errors
    /// As [`Encoder::embed`].
    pub fn embed_encoded(&self, encodings: &[Encoding], options: &EmbedOptions) -> Result<Vec<Vec<f32>>> {
        let how = self.resolve(options)?;
        let mut vectors = vec![Vec::new(); encodings.len()];
        self.for_each_batch(encodings, |members, batch| {
            let hidden = Hidden::new(&self.model, batch, how.layer);
            for (i, &member) in members.iter().enumerate() {
                let mut vector = pool(hidden.of(batch, i, encodings[member].ids.len()), hidden.width, how.pooling);
                if how.normalize {
                    normalize(&mut vector);
                }
                vectors[member] = vector;
            }
            Ok(())
        })?;
        Ok(vectors)
    }

    /// Contextual word vectors of each text. They are normalized only when the options say so:
    /// `modules.json` speaks of whole texts.
    ///
    /// # Errors
    /// As [`Encoder::embed`].
    pub fn embed_tokens(&self, texts: &[&str], options: &EmbedOptions) -> Result<Vec<TokenVectors>> {
        let mut all = Vec::with_capacity(texts.len());
        for window in texts.chunks(WINDOW) {
            let encodings = self.encode_to_embed(window, options)?;
            all.extend(self.embed_tokens_encoded(window, &encodings, options)?);
        }
        Ok(all)
    }

    /// The same for texts that are encoded already.
    ///
    /// # Errors
    /// As [`Encoder::embed`].
    pub fn embed_tokens_encoded(
        &self,
        texts: &[&str],
        encodings: &[Encoding],
        options: &EmbedOptions,
    ) -> Result<Vec<TokenVectors>> {
        let how = self.resolve(options)?;
        let mut all: Vec<Option<TokenVectors>> = vec![None; encodings.len()];
        self.for_each_batch(encodings, |members, batch| {
            let hidden = Hidden::new(&self.model, batch, how.layer);
            for (i, &member) in members.iter().enumerate() {
                let rows = hidden.of(batch, i, encodings[member].ids.len());
                let words = words(texts[member], &encodings[member]);
                let normalize = options.normalize == Some(true);
                all[member] = Some(word_vectors(texts[member], words, rows, hidden.width, normalize));
            }
            Ok(())
        })?;
        Ok(all.into_iter().flatten().collect())
    }

    fn resolve(&self, options: &EmbedOptions) -> Result<Resolved> {
        // With everything said, modules that are not known do no harm.
        let modules: Option<SentenceModules> = match self.sentence_modules() {
            Err(_) if options.pooling.is_some() && options.normalize.is_some() => None,
            found => found?,
        };
        let layers = self.model.config().num_hidden_layers;
        if let Some(asked) = options.layer.filter(|&l| l > layers) {
            return Err(Error::NoLayer { asked, layers });
        }
        let limit = self.limit();
        let max_length = match options.max_length {
            Some(asked) => self.max_length(Some(asked))?,
            None => modules.and_then(|m| m.max_seq_length).map_or(limit, |m| m.min(limit)),
        };
        Ok(Resolved {
            pooling: options.pooling.or(modules.map(|m| m.pooling)).unwrap_or(Pooling::Mean),
            normalize: options.normalize.or(modules.map(|m| m.normalize)).unwrap_or(false),
            layer: options.layer.filter(|&l| l < layers),
            max_length,
        })
    }
}

fn word_vectors(text: &str, words: Vec<Word>, rows: &[f32], width: usize, scale: bool) -> TokenVectors {
    let vector = |w: &Word| {
        let mut v = pool(&rows[w.tokens.start * width..w.tokens.end * width], width, Pooling::Mean);
        if scale {
            normalize(&mut v);
        }
        v
    };
    TokenVectors {
        vectors: words.iter().map(vector).collect(),
        words: words.iter().map(|w| text[w.range.clone()].to_owned()).collect(),
        ranges: words.into_iter().map(|w| w.range).collect(),
    }
}

/// Hidden states of a batch on the host.
struct Hidden {
    /// `(tokens × width)`
    rows: Vec<f32>,
    width: usize,
}

impl Hidden {
    /// The states after `layer` layers; `None`: after the last.
    fn new(model: &Model, batch: &PackedBatch, layer: Option<usize>) -> Self {
        let hidden = match layer {
            None => model.hidden(batch, Mode::Eval),
            Some(n) => model.hidden_layers(batch).swap_remove(n),
        };
        let [_, width] = hidden.dims();
        Self { rows: values(hidden), width }
    }

    /// Those of the sequence that was given as number `i`, which has `length` tokens.
    fn of(&self, batch: &PackedBatch, i: usize, length: usize) -> &[f32] {
        let first = batch.row(i, 0) * self.width;
        &self.rows[first..first + length * self.width]
    }
}
