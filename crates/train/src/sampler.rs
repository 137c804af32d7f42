//! Which piece of which document comes when: any position of any epoch without those before it.

use crate::permutation::Permutation;
use polyseme_formats::store::TokenStore;
use polyseme_tensor::Stream;
use serde::{Deserialize, Serialize};

/// Documents as token ids; the token store, or a list in memory.
pub trait Documents: Sync {
    /// Number of documents.
    fn count(&self) -> usize;
    /// Tokens of document `i`.
    fn length(&self, i: usize) -> usize;
    /// Appends `tokens[from..to]` of document `i` to `out`.
    fn read(&self, i: usize, from: usize, to: usize, out: &mut Vec<u32>);
}

impl Documents for TokenStore {
    fn count(&self) -> usize {
        self.len()
    }
    fn length(&self, i: usize) -> usize {
        self.doc_len(i)
    }
    fn read(&self, i: usize, from: usize, to: usize, out: &mut Vec<u32>) {
        self.read_into(i, from, to, out);
    }
}

impl Documents for Vec<Vec<u32>> {
    fn count(&self) -> usize {
        self.len()
    }
    fn length(&self, i: usize) -> usize {
        self[i].len()
    }
    fn read(&self, i: usize, from: usize, to: usize, out: &mut Vec<u32>) {
        out.extend_from_slice(&self[i][from..to]);
    }
}

/// Chooses the documents to validate on: `share` of them, at least one, at most `bound`, never
/// all. Sorted. Empty if there are fewer than two documents.
pub fn hold_out(documents: usize, share: f64, bound: usize, stream: Stream) -> Vec<usize> {
    if documents < 2 {
        return Vec::new();
    }
    let wanted = ((documents as f64 * share).round() as usize).max(1).min(bound).min(documents - 1);
    let order = Permutation::new(stream.named("hold out"), documents as u64);
    let mut chosen: Vec<usize> = (0..wanted as u64).map(|i| order.get(i) as usize).collect();
    chosen.sort_unstable();
    chosen
}

/// A piece of a document: `tokens[from..to]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The document.
    pub document: usize,
    /// First token.
    pub from: usize,
    /// One past the last.
    pub to: usize,
}

/// All documents cut into pieces of one length; what is left at a document's end is a shorter
/// piece, and a short document is one piece.
#[derive(Clone, Debug)]
pub struct Cut {
    /// Longest piece.
    len: usize,
    /// Pieces up to and with each document. 8 bytes a document.
    ends: Vec<u64>,
}

impl Cut {
    /// Cuts all documents but those `held_out` (sorted) into pieces of at most `len` tokens.
    pub fn new(documents: &impl Documents, held_out: &[usize], len: usize) -> Self {
        let mut total = 0;
        let ends = (0..documents.count())
            .map(|i| {
                if held_out.binary_search(&i).is_err() {
                    total += documents.length(i).div_ceil(len) as u64;
                }
                total
            })
            .collect();
        Self { len, ends }
    }

    /// Number of pieces.
    pub fn pieces(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0)
    }

    /// Piece number `k`, in document order.
    pub fn piece(&self, documents: &impl Documents, k: u64) -> Piece {
        let document = self.ends.partition_point(|&end| end <= k);
        let before = if document == 0 { 0 } else { self.ends[document - 1] };
        let from = (k - before) as usize * self.len;
        Piece { document, from, to: (from + self.len).min(documents.length(document)) }
    }
}

/// Where in the data a run stands: how many whole epochs are behind it, and how many pieces of the
/// next one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// Whether the run has come to the long sequences.
    pub long: bool,
    /// Whole epochs done.
    pub epoch: u64,
    /// Pieces (or batches) of this epoch done.
    pub index: u64,
}

/// The training pieces in their order: for each epoch a permutation of its own.
pub struct Sampler<'a, D> {
    documents: &'a D,
    short: Option<Cut>,
    long: Cut,
    order: Stream,
}

impl<'a, D: Documents> Sampler<'a, D> {
    /// Over all documents but those `held_out`, cut into pieces of `long` tokens and, for the
    /// first part of the run, of `short` tokens.
    pub fn new(documents: &'a D, held_out: &[usize], short: Option<usize>, long: usize, order: Stream) -> Self {
        Self {
            documents,
            short: short.map(|len| Cut::new(documents, held_out, len)),
            long: Cut::new(documents, held_out, long),
            order,
        }
    }

    /// Where a run begins.
    pub fn start(&self) -> Position {
        Position { long: self.short.is_none(), epoch: 0, index: 0 }
    }

    fn cut(&self, long: bool) -> &Cut {
        match &self.short {
            Some(short) if !long => short,
            _ => &self.long,
        }
    }

    /// Pieces in an epoch.
    pub fn pieces(&self, long: bool) -> u64 {
        self.cut(long).pieces()
    }

    /// The piece at a position.
    pub fn piece(&self, at: Position) -> Piece {
        let cut = self.cut(at.long);
        let stream = self.order.at(u64::from(at.long)).at(at.epoch);
        cut.piece(self.documents, Permutation::new(stream, cut.pieces()).get(at.index))
    }

    /// The position after one.
    pub fn after(&self, mut at: Position) -> Position {
        at.index += 1;
        if at.index >= self.pieces(at.long) {
            at.index = 0;
            at.epoch += 1;
        }
        at
    }

    /// Epochs done at a position, with their fraction.
    pub fn epochs(&self, at: Position) -> f64 {
        at.epoch as f64 + at.index as f64 / self.pieces(at.long) as f64
    }

    /// The position at which `epochs` are done.
    pub fn at_epochs(&self, long: bool, epochs: f64) -> Position {
        let pieces = self.pieces(long);
        let whole = epochs.floor();
        let index = ((epochs - whole) * pieces as f64).round() as u64;
        let carried = u64::from(index >= pieces);
        Position { long, epoch: whole as u64 + carried, index: if carried == 1 { 0 } else { index } }
    }

    /// From short to long sequences at the same share of the epoch.
    pub fn lengthen(&self, at: Position) -> Position {
        if at.long { at } else { self.at_epochs(true, self.epochs(at)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn documents() -> Vec<Vec<u32>> {
        [10, 3, 0, 25, 8, 1].iter().enumerate().map(|(d, &n)| (0..n).map(|t| d as u32 * 100 + t).collect()).collect()
    }

    #[test]
    fn an_epoch_has_every_token_once_and_none_held_out() {
        let docs = documents();
        let sampler = Sampler::new(&docs, &[4], Some(4), 10, Stream::new(1));
        for long in [false, true] {
            for epoch in 0..2 {
                let mut seen = Vec::new();
                let mut at = Position { long, epoch, index: 0 };
                while at.epoch == epoch {
                    let p = sampler.piece(at);
                    assert!(p.to > p.from && p.to - p.from <= if long { 10 } else { 4 });
                    docs.read(p.document, p.from, p.to, &mut seen);
                    at = sampler.after(at);
                }
                seen.sort_unstable();
                let mut expected: Vec<u32> = [0, 1, 3, 5].iter().flat_map(|&d: &usize| docs[d].clone()).collect();
                expected.sort_unstable();
                assert_eq!(seen, expected);
            }
        }
    }

    #[test]
    fn epochs_differ_and_repeat_by_seed() {
        let docs: Vec<Vec<u32>> = (0..50).map(|d| vec![d; 5]).collect();
        let order = |seed, epoch| {
            let sampler = Sampler::new(&docs, &[], None, 8, Stream::new(seed));
            (0..50).map(|index| sampler.piece(Position { long: true, epoch, index }).document).collect::<Vec<_>>()
        };
        assert_eq!(order(1, 0), order(1, 0));
        assert_ne!(order(1, 0), order(1, 1));
        assert_ne!(order(1, 0), order(2, 0));
    }

    #[test]
    fn positions_keep_their_share_when_sequences_lengthen() {
        let docs: Vec<Vec<u32>> = (0..100).map(|_| vec![0; 40]).collect();
        let sampler = Sampler::new(&docs, &[], Some(4), 20, Stream::new(1));
        assert_eq!((sampler.pieces(false), sampler.pieces(true)), (1_000, 200));
        let long = sampler.lengthen(Position { long: false, epoch: 3, index: 500 });
        assert_eq!(long, Position { long: true, epoch: 3, index: 100 });
        assert_eq!(sampler.at_epochs(true, 1.9999), Position { long: true, epoch: 2, index: 0 });
    }

    #[test]
    fn held_out_documents_are_some_never_all() {
        let s = Stream::new(4);
        assert!(hold_out(1, 0.1, 100, s).is_empty());
        assert_eq!(hold_out(2, 0.01, 100, s).len(), 1);
        assert_eq!(hold_out(2, 0.99, 100, s).len(), 1);
        assert_eq!(hold_out(1_000, 0.1, 100, s).len(), 100);
        assert_eq!(hold_out(1_000, 0.5, 20, s).len(), 20);
        let a = hold_out(1_000, 0.1, 100, s);
        assert!(a.windows(2).all(|w| w[0] < w[1]));
        assert_ne!(a, hold_out(1_000, 0.1, 100, Stream::new(5)));
    }
}
