//! Words of the document that the first token of a sequence must name.
//!
//! Masked language modelling alone asks nothing of the first token, though a classifier will read
//! it. Here its vector, through the same head as the masked tokens, must also say which words its
//! whole document has: a small autoencoder beside the masks, as the bag-of-words part of DupMAE
//! (Xiao & Liu 2022), without any parameter of its own. Words outside the sequence count too, so
//! the vector must tell what the text is about, not only what it has seen.

use crate::masking::Vocabulary;
use crate::sampler::{Documents, Piece};
use polyseme_tensor::Stream;
use std::collections::BTreeMap;

/// Tokens before and behind a sequence whose words count as its document's. A book is not about
/// one thing.
const REACH: usize = 512;

/// Share of the text beyond which a token is drawn less often than it stands there (word2vec's
/// subsampling, Mikolov et al. 2013).
const FREQUENT: f64 = 1e-4;

/// Draws words of documents, rare ones rather than frequent ones.
pub struct DocumentWords {
    /// For each sequence.
    number: usize,
    /// By id: how gladly an occurrence is drawn; 0 for special tokens.
    weights: Vec<f64>,
}

impl DocumentWords {
    /// `counts`: how often each id stands in the texts learned from.
    pub fn new(number: usize, counts: &[u64], vocabulary: &Vocabulary) -> Self {
        let total = counts.iter().sum::<u64>().max(1) as f64;
        let weight = |(id, &count): (usize, &u64)| match vocabulary.is_special(id as u32) {
            true => 0.0,
            false => (FREQUENT * total / count.max(1) as f64).sqrt().min(1.0),
        };
        Self { number, weights: counts.iter().enumerate().map(weight).collect() }
    }

    /// Distinct ids from the surroundings of `piece`, at most as many as were asked for. The same
    /// stream draws the same.
    pub fn draw(&self, documents: &impl Documents, piece: Piece, stream: Stream) -> Vec<u32> {
        let from = piece.from.saturating_sub(REACH);
        let to = (piece.to + REACH).min(documents.length(piece.document));
        let mut ids = Vec::with_capacity(to - from);
        documents.read(piece.document, from, to, &mut ids);
        // A race: each occurrence arrives after an exponential time of its weight, first come first
        // served. That is drawing without replacement in proportion to the weights.
        let stream = stream.named("document words");
        let mut arrivals: BTreeMap<u32, f64> = BTreeMap::new();
        for (t, &id) in ids.iter().enumerate() {
            let weight = self.weights.get(id as usize).copied().unwrap_or(0.0);
            if weight > 0.0 {
                let time = -(1.0 - f64::from(stream.uniform(t as u64))).ln() / weight;
                arrivals.entry(id).and_modify(|first| *first = first.min(time)).or_insert(time);
            }
        }
        let mut order: Vec<(f64, u32)> = arrivals.into_iter().map(|(id, time)| (time, id)).collect();
        order.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        order.into_iter().take(self.number).map(|(_, id)| id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vocabulary() -> Vocabulary {
        Vocabulary::new(100, 4, |id| id < 5, |_| false)
    }

    fn piece(from: usize, to: usize) -> Piece {
        Piece { document: 0, from, to }
    }

    #[test]
    fn words_are_distinct_ordinary_and_from_the_document_only() {
        let words = DocumentWords::new(4, &[10; 100], &vocabulary());
        let documents = vec![vec![2, 7, 8, 7, 9, 3], vec![50; 10]];
        for i in 0..50 {
            let mut drawn = words.draw(&documents, piece(0, 2), Stream::new(i));
            drawn.sort_unstable();
            assert_eq!(drawn, [7, 8, 9], "there are no more than three, and two of them lie outside the piece");
        }
    }

    #[test]
    fn rare_words_come_before_frequent_ones() {
        let mut counts = [20; 100];
        counts[7] = 1_000_000;
        let words = DocumentWords::new(1, &counts, &vocabulary());
        let documents = vec![[vec![7; 10], (10..20).collect()].concat()];
        let frequent = (0..1_000).filter(|&i| words.draw(&documents, piece(0, 20), Stream::new(i)) == [7]).count();
        // Ten occurrences of weight 0.01 beside ten of weight 1.
        assert!((2..30).contains(&frequent), "{frequent} of 1,000");
    }

    #[test]
    fn far_words_of_a_long_document_do_not_count() {
        let words = DocumentWords::new(100, &[10; 100], &vocabulary());
        let mut long = vec![10; 4 * REACH];
        long[3 * REACH] = 11;
        let documents = vec![long];
        assert_eq!(words.draw(&documents, piece(0, 100), Stream::new(1)), [10]);
        assert_eq!(words.draw(&documents, piece(3 * REACH - 9, 3 * REACH), Stream::new(1)).len(), 2);
    }
}
