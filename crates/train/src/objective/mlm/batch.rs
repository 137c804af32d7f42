//! How pieces of documents become sequences with some tokens hidden.

use super::super::document_words::DocumentWords;
use super::super::order::Order;
use crate::masking::{self, Vocabulary};
use crate::pretrain::MaskingSettings;
use crate::sampler::{Documents, Piece};
use polyseme_tensor::{Sequence, Stream};
use polyseme_text::Tokenizer;

/// Sequences with some tokens hidden.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MlmBatch {
    /// What the model sees.
    pub sequences: Vec<Sequence>,
    /// Where it is asked: `(sequence, position)`; the first position several times, for words of
    /// the document.
    pub places: Vec<(usize, usize)>,
    /// The true ids there.
    pub labels: Vec<u32>,
    /// Sequences of two parts, and whether these stand in their order (0) or not (1).
    pub orders: Vec<(usize, u32)>,
    /// What the order of one sequence weighs beside one hidden token, so that both losses of a step are means.
    pub order_weight: f32,
    /// Tokens in all sequences.
    pub tokens: usize,
}

/// How pieces become masked sequences.
pub struct Masker {
    /// The vocabulary.
    pub vocabulary: Vocabulary,
    /// Shares.
    pub how: MaskingSettings,
    /// Words of the document asked of the first token; never in validation.
    pub words: Option<DocumentWords>,
    /// Where texts are parted to be asked for the order of their parts.
    pub order: Option<Order>,
    /// Begin token.
    pub cls: u32,
    /// End token.
    pub sep: u32,
}

impl Masker {
    /// Of a tokenizer; `orders`: whether texts are parted. `None` if it has no mask token or nothing but special ones.
    pub fn of(tokenizer: &Tokenizer, how: MaskingSettings, orders: bool) -> Option<Self> {
        let (vocabulary, special) = (Vocabulary::of(tokenizer)?, tokenizer.special());
        let order = orders.then(|| Order::of(tokenizer));
        Some(Self { vocabulary, how, words: None, order, cls: special.cls, sep: special.sep })
    }

    /// Special tokens around a piece and, if it is parted, between its parts.
    pub fn specials(&self) -> usize {
        if self.order.is_some() { 3 } else { 2 }
    }

    /// A piece between begin and end tokens, perhaps in two parts, and their order.
    fn set(&self, documents: &impl Documents, piece: Piece, stream: Stream) -> (Sequence, Option<u32>) {
        let mut text = Vec::with_capacity(piece.to - piece.from);
        documents.read(piece.document, piece.from, piece.to, &mut text);
        let parted = self.order.as_ref().and_then(|order| order.part(&text, &self.vocabulary, stream));
        let (first, second) = match parted {
            None => (&text[..], &text[..0]),
            Some(parted) => {
                let (a, b) = text.split_at(parted.at);
                if parted.swapped { (b, a) } else { (a, b) }
            }
        };
        let mut ids = Vec::with_capacity(text.len() + self.specials());
        ids.push(self.cls);
        ids.extend_from_slice(first);
        ids.push(self.sep);
        let mut type_ids = vec![0; ids.len()];
        if parted.is_some() {
            ids.extend_from_slice(second);
            ids.push(self.sep);
            type_ids.resize(ids.len(), 1);
        }
        (Sequence { ids, type_ids }, parted.map(|parted| u32::from(parted.swapped)))
    }

    /// Wraps a piece in begin and end tokens, hides some tokens and adds it to a batch.
    /// The same stream gives the same masks.
    pub fn add(&self, documents: &impl Documents, piece: Piece, stream: Stream, batch: &mut MlmBatch) {
        // Named by document and place, not by position in the epoch: a piece keeps its masks
        // wherever the order of an epoch puts it.
        let stream = stream.at(piece.document as u64).at(piece.from as u64);
        let (mut sequence, order) = self.set(documents, piece, stream);
        let masked = masking::mask(&mut sequence.ids, &self.vocabulary, &self.how, stream);
        let i = batch.sequences.len();
        batch.orders.extend(order.map(|order| (i, order)));
        batch.places.extend(masked.positions.iter().map(|&t| (i, t)));
        batch.labels.extend(masked.labels);
        if let Some(words) = &self.words {
            let words = words.draw(documents, piece, stream);
            batch.places.extend(words.iter().map(|_| (i, 0)));
            batch.labels.extend(words);
        }
        batch.tokens += sequence.ids.len();
        batch.sequences.push(sequence);
    }
}
