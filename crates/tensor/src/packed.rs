//! Packed batches: sequences of different lengths laid end to end, no padding anywhere.

use burn::tensor::{Device, Int, Tensor, TensorData};
use std::sync::Arc;

/// One sequence of a batch, special tokens included.
#[derive(Clone, Debug, PartialEq)]
pub struct Sequence {
    /// Token ids.
    pub ids: Vec<u32>,
    /// Segment of each token.
    pub type_ids: Vec<u32>,
}

/// What the tokens of a sequence see of it. Tokens that others see stand at their own positions, from 0 on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// Position of each token.
    pub positions: Vec<u32>,
    /// How many first tokens each token sees, besides itself.
    pub seen: Vec<u32>,
}

impl View {
    /// Of a source that all tokens see, `known` tokens of a target behind it that see no further than themselves,
    /// and masks in the places of some tokens of the target, which see what is before these (Bao et al. 2020).
    pub fn of_target(source: usize, known: usize, masks: impl IntoIterator<Item = usize>) -> Self {
        let own = (0..source + known).map(|t| (t, source.max(t + 1)));
        let masks = masks.into_iter().map(|t| (source + t, source + t));
        let (positions, seen) = own.chain(masks).map(|(position, seen)| (position as u32, seen as u32)).unzip();
        Self { positions, seen }
    }
}

/// Sequences of a batch. Inside, they are sorted by length (stable), so that equal lengths lie
/// side by side and attention runs over each run of equal lengths without padding or gathering.
/// [`PackedBatch::order`] leads back to the caller's order.
#[derive(Clone, Debug)]
pub struct PackedBatch {
    /// Token ids. `(tokens)`
    pub ids: Arc<[u32]>,
    /// Segment of each token. `(tokens)`
    pub type_ids: Arc<[u32]>,
    /// Position of each token in its sequence, from 0. `(tokens)`
    pub positions: Arc<[u32]>,
    /// Where each packed sequence begins; one more than there are sequences.
    pub starts: Vec<usize>,
    /// Runs of equal length: `(first packed sequence, count, length)`.
    pub runs: Vec<(usize, usize, usize)>,
    /// `order[packed] = index the caller gave`.
    pub order: Vec<usize>,
    /// `place[index the caller gave] = packed`.
    place: Vec<usize>,
    /// How many first tokens of its sequence each token sees, besides itself; `None`: all see all. `(tokens)`
    pub seen: Option<Arc<[u32]>>,
}

impl PackedBatch {
    /// Packs sequences. Panics on an empty batch, an empty sequence, or segments that are not as
    /// many as the ids: callers never make one.
    pub fn new(sequences: &[Sequence]) -> Self {
        assert!(!sequences.is_empty(), "a batch has at least one sequence");
        let mut order: Vec<usize> = (0..sequences.len()).collect();
        order.sort_by_key(|&i| sequences[i].ids.len());
        let mut place = vec![0; order.len()];
        let (mut ids, mut type_ids, mut positions) = (Vec::new(), Vec::new(), Vec::new());
        let mut starts = vec![0];
        let mut runs: Vec<(usize, usize, usize)> = Vec::new();
        for (packed, &given) in order.iter().enumerate() {
            let sequence = &sequences[given];
            let length = sequence.ids.len();
            assert!(length > 0, "a sequence has at least one token");
            assert_eq!(length, sequence.type_ids.len(), "a segment for each token");
            place[given] = packed;
            ids.extend_from_slice(&sequence.ids);
            type_ids.extend_from_slice(&sequence.type_ids);
            positions.extend(0..length as u32);
            starts.push(ids.len());
            match runs.last_mut() {
                Some((_, count, of_length)) if *of_length == length => *count += 1,
                _ => runs.push((packed, 1, length)),
            }
        }
        Self {
            ids: ids.into(),
            type_ids: type_ids.into(),
            positions: positions.into(),
            starts,
            runs,
            order,
            place,
            seen: None,
        }
    }

    /// Packs sequences whose tokens see a part of them only. Panics as [`PackedBatch::new`], or unless there is a
    /// view for each sequence with a position and a number for each token.
    pub fn with_views(sequences: &[Sequence], views: &[View]) -> Self {
        assert_eq!(sequences.len(), views.len(), "a view for each sequence");
        let mut batch = Self::new(sequences);
        let in_order = || batch.order.iter().map(|&given| &views[given]);
        let positions: Arc<[u32]> = in_order().flat_map(|view| view.positions.iter().copied()).collect();
        let seen: Arc<[u32]> = in_order().flat_map(|view| view.seen.iter().copied()).collect();
        assert!(positions.len() == batch.tokens() && seen.len() == batch.tokens(), "a view for each token");
        (batch.positions, batch.seen) = (positions, Some(seen));
        batch
    }

    /// Number of tokens.
    pub fn tokens(&self) -> usize {
        *self.starts.last().expect("never empty")
    }

    /// Number of sequences.
    pub fn sequences(&self) -> usize {
        self.order.len()
    }

    /// The row of token `t` of the sequence the caller gave as number `i`.
    pub fn row(&self, i: usize, t: usize) -> usize {
        let packed = self.place[i];
        let row = self.starts[packed] + t;
        debug_assert!(row < self.starts[packed + 1], "token {t} of sequence {i} is not there");
        row
    }

    /// Rows of the tokens of the sequence the caller gave as number `i`.
    pub fn rows(&self, i: usize) -> std::ops::Range<usize> {
        let packed = self.place[i];
        self.starts[packed]..self.starts[packed + 1]
    }
}

impl PackedBatch {
    /// The mean of each sequence's rows, in the caller's order. `(tokens, width)` to `(sequences, width)`
    pub fn means(&self, x: Tensor<2>) -> Tensor<2> {
        let width = x.dims()[1];
        let runs = self.runs.iter().map(|&(first, count, length)| {
            let rows = x.clone().narrow(0, self.starts[first], count * length);
            rows.reshape([count, length, width]).mean_dim(1).reshape([count, width])
        });
        Tensor::cat(runs.collect(), 0).select(0, row_tensor(&self.place, &x.device()))
    }
}

/// Whole numbers on a device. `(values)`
pub fn int_tensor(values: &[u32], device: &Device) -> Tensor<1, Int> {
    let values: Vec<i64> = values.iter().map(|&value| i64::from(value)).collect();
    let count = values.len();
    Tensor::from_data(TensorData::new(values, [count]), device)
}

/// Row numbers on a device. `(rows)`
pub fn row_tensor(rows: &[usize], device: &Device) -> Tensor<1, Int> {
    let rows: Vec<i64> = rows.iter().map(|&row| row as i64).collect();
    let count = rows.len();
    Tensor::from_data(TensorData::new(rows, [count]), device)
}
