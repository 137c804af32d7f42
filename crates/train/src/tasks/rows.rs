//! Encoded rows of a task, and the steps of training over them.

use crate::objective::StepData;
use crate::sampler::Position;
use polyseme_tensor::{PackedBatch, Sequence, Stream, View};
use polyseme_text::Encoding;

/// A forward pass takes at most this many tokens; a larger batch is taken in parts.
pub const TOKENS_PER_BATCH: usize = 16_384;

/// Rows are sorted by length inside windows of this many batches.
const WINDOW: usize = 4;

/// What of its rows a task looks at.
#[derive(Clone, Debug, PartialEq)]
pub enum LooksAt {
    /// What a head over sequences looks at.
    Sequences,
    /// The first token of each sequence, without a head.
    Firsts,
    /// The mean of all tokens of each sequence, without a head.
    Means,
    /// These tokens of each, at least one.
    Tokens(Vec<Vec<u32>>),
    /// All tokens.
    AllTokens,
}

/// Encoded rows, each of one sequence or of several, laid end to end.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows {
    ids: Vec<u32>,
    type_ids: Vec<u8>,
    ends: Vec<usize>,
    /// Sequences of a row.
    per_row: usize,
    /// What the task looks at.
    pub looks_at: LooksAt,
    /// How many tokens of each sequence are its source, where a target and masks of that stand behind it.
    pub sources: Vec<usize>,
    /// How many texts were cut to the longest length.
    pub truncated: usize,
}

impl Rows {
    /// No rows yet; each is to have as many sequences.
    pub fn new(per_row: usize, looks_at: LooksAt) -> Self {
        Self {
            ids: Vec::new(),
            type_ids: Vec::new(),
            ends: Vec::new(),
            per_row,
            looks_at,
            sources: Vec::new(),
            truncated: 0,
        }
    }

    /// Adds the next sequence.
    pub fn push(&mut self, encoding: &Encoding) {
        self.ids.extend_from_slice(&encoding.ids);
        self.type_ids.extend(encoding.type_ids.iter().map(|&t| t as u8));
        self.ends.push(self.ids.len());
        self.truncated += usize::from(encoding.truncated > 0);
    }
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.ends.len() / self.per_row
    }
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
    /// Sequences of a row.
    pub fn per_row(&self) -> usize {
        self.per_row
    }
    /// A hash of all ids and lengths (FNV-1a), to notice other rows at a resume.
    pub fn hash(&self) -> u64 {
        let numbers = self.ids.iter().map(|&id| u64::from(id));
        hash(numbers.chain(self.ends.iter().map(|&n| n as u64)))
    }
    /// Tokens of a row.
    pub(crate) fn tokens(&self, row: usize) -> usize {
        self.ends[(row + 1) * self.per_row - 1] - self.begin(row * self.per_row)
    }
    /// What of a row a mean loss is over: its tokens that are looked at, or 1.
    pub(crate) fn targets(&self, row: usize) -> u64 {
        match &self.looks_at {
            LooksAt::Tokens(tokens) => tokens[row].len() as u64,
            _ => 1,
        }
    }
    /// How many hidden states of a row the task looks at.
    pub(crate) fn states(&self, row: usize) -> usize {
        match &self.looks_at {
            LooksAt::Sequences | LooksAt::Firsts | LooksAt::Means => self.per_row,
            LooksAt::AllTokens => self.tokens(row),
            LooksAt::Tokens(tokens) => tokens[row].len(),
        }
    }
    fn begin(&self, sequence: usize) -> usize {
        if sequence == 0 { 0 } else { self.ends[sequence - 1] }
    }
    /// The sequences of some rows.
    pub(crate) fn sequences(&self, rows: &[usize]) -> Vec<Sequence> {
        let numbers = rows.iter().flat_map(|row| row * self.per_row..(row + 1) * self.per_row);
        let sequence = |i: usize| {
            let range = self.begin(i)..self.ends[i];
            let type_ids = self.type_ids[range.clone()].iter().map(|&t| u32::from(t)).collect();
            Sequence { ids: self.ids[range].to_vec(), type_ids }
        };
        numbers.map(sequence).collect()
    }

    /// The sequences of some rows, packed. Those with sources see what [`View::of_target`] says.
    pub(crate) fn packed(&self, rows: &[usize], sequences: &[Sequence]) -> PackedBatch {
        let (false, LooksAt::Tokens(masks)) = (self.sources.is_empty(), &self.looks_at) else {
            return PackedBatch::new(sequences);
        };
        let view = |&row: &usize| {
            let (source, count) = (self.sources[row], masks[row].len());
            View::of_target(source, count - 1, 0..count)
        };
        PackedBatch::with_views(sequences, &rows.iter().map(view).collect::<Vec<_>>())
    }

    /// Rows in order, in parts of at most so many tokens, or of one row.
    pub(crate) fn parts(&self, rows: &[usize], most: usize) -> Vec<Vec<usize>> {
        let mut parts: Vec<Vec<usize>> = Vec::new();
        let mut tokens = usize::MAX;
        for &row in rows {
            tokens = tokens.saturating_add(self.tokens(row));
            if tokens > most {
                parts.push(Vec::new());
                tokens = self.tokens(row);
            }
            parts.last_mut().expect("pushed above").push(row);
        }
        parts
    }

    /// Rows in batches of at most [`TOKENS_PER_BATCH`] tokens.
    fn batches(&self, rows: &[usize]) -> Vec<RowBatch> {
        let batch = |rows: Vec<usize>| RowBatch { sequences: self.sequences(&rows), rows };
        self.parts(rows, TOKENS_PER_BATCH).into_iter().map(batch).collect()
    }
}

/// FNV-1a.
pub(crate) fn hash(numbers: impl Iterator<Item = u64>) -> u64 {
    numbers.fold(0xcbf2_9ce4_8422_2325, |h, n| (h ^ n).wrapping_mul(0x0000_0100_0000_01b3))
}

/// Rows of one forward pass.
#[derive(Clone, Debug, PartialEq)]
pub struct RowBatch {
    /// Their sequences.
    pub sequences: Vec<Sequence>,
    /// Their numbers.
    pub rows: Vec<usize>,
}

impl RowBatch {
    /// The rows of several batches, in order.
    pub(crate) fn of_all(batches: &[Self]) -> Self {
        let sequences = batches.iter().flat_map(|b| b.sequences.iter().cloned()).collect();
        Self { sequences, rows: batches.iter().flat_map(|b| b.rows.iter().copied()).collect() }
    }
}

/// The optimizer steps of a fine-tuning run, one after the other.
pub struct Steps<'a> {
    rows: &'a Rows,
    batch_size: usize,
    epochs: u64,
    order: Stream,
    at: Position,
    /// Row numbers of the epoch at hand, in order.
    epoch: Vec<usize>,
}

impl<'a> Steps<'a> {
    /// From a position on (`index` counts optimizer steps of the epoch).
    pub fn new(rows: &'a Rows, batch_size: usize, epochs: u64, order: Stream, at: Position) -> Self {
        let mut steps = Self { rows, batch_size, epochs, order, at, epoch: Vec::new() };
        steps.arrange();
        steps
    }

    /// Optimizer steps an epoch.
    pub fn per_epoch(rows: usize, batch_size: usize) -> u64 {
        rows.div_ceil(batch_size) as u64
    }

    /// The order of an epoch: shuffled, sorted by length inside windows, and the batches of a
    /// window shuffled again, so that long ones do not always come last.
    fn arrange(&mut self) {
        let stream = self.order.at(self.at.epoch);
        self.epoch = (0..self.rows.len()).collect();
        stream.named("rows").shuffle(&mut self.epoch);
        let rows = self.rows;
        let mut arranged = Vec::with_capacity(self.epoch.len());
        for (w, window) in self.epoch.chunks_mut(self.batch_size * WINDOW).enumerate() {
            window.sort_by_key(|&i| rows.tokens(i));
            let mut batches: Vec<&[usize]> = window.chunks(self.batch_size).collect();
            // The smaller batch at the end of the epoch stays there: batches lie at multiples of
            // the batch size.
            let whole = window.len() / self.batch_size;
            stream.named("batches").at(w as u64).shuffle(&mut batches[..whole]);
            arranged.extend(batches.concat());
        }
        self.epoch = arranged;
    }
}

impl Iterator for Steps<'_> {
    type Item = StepData<RowBatch>;

    fn next(&mut self) -> Option<StepData<RowBatch>> {
        if self.at.epoch >= self.epochs {
            return None;
        }
        let steps = Self::per_epoch(self.rows.len(), self.batch_size);
        let from = self.at.index as usize * self.batch_size;
        let chosen = &self.epoch[from..(from + self.batch_size).min(self.epoch.len())];
        let batches = self.rows.batches(chosen);
        let done = self.at.epoch * steps + self.at.index;
        let targets = chosen.iter().map(|&row| self.rows.targets(row)).sum();
        let tokens = chosen.iter().map(|&row| self.rows.tokens(row) as u64).sum();
        self.at.index += 1;
        if self.at.index == steps {
            self.at = Position { epoch: self.at.epoch + 1, index: 0, ..self.at };
            self.arrange();
        }
        Some(StepData {
            tokens,
            targets,
            batches,
            after: self.at,
            progress: Some((done as f64 + 0.5) / (self.epochs * steps) as f64),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(n: usize) -> Rows {
        let mut rows = Rows::new(1, LooksAt::Sequences);
        for i in 0..n {
            let len = 3 + (i * 7) % 20;
            let encoding = Encoding {
                ids: vec![i as u32; len],
                type_ids: vec![0; len],
                offsets: Vec::new(),
                words: Vec::new(),
                truncated: i % 2,
            };
            rows.push(&encoding);
        }
        rows
    }

    fn ids(step: &StepData<RowBatch>) -> Vec<u32> {
        step.batches.iter().flat_map(|b| b.sequences.iter().map(|s| s.ids[0])).collect()
    }

    #[test]
    fn an_epoch_has_every_row_once_in_batches_of_one_size_but_the_last() {
        let rows = rows(107);
        assert_eq!(rows.truncated, 53);
        let steps: Vec<_> = Steps::new(&rows, 10, 2, Stream::new(1), Position::default()).collect();
        assert_eq!(steps.len(), 22);
        for epoch in steps.chunks(11) {
            let sizes: Vec<u64> = epoch.iter().map(|s| s.targets).collect();
            assert_eq!(sizes, [10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 7]);
            let mut seen: Vec<u32> = epoch.iter().flat_map(ids).collect();
            seen.sort_unstable();
            assert_eq!(seen, (0..107).collect::<Vec<_>>());
        }
        assert_ne!(ids(&steps[0]), ids(&steps[11]));
        let numbers = |b: &RowBatch| b.sequences.iter().map(|s| s.ids[0] as usize).collect::<Vec<_>>();
        assert!(steps.iter().flat_map(|s| &s.batches).all(|b| b.rows == numbers(b)));
    }

    #[test]
    fn going_on_from_a_position_gives_the_same_steps() {
        let rows = rows(45);
        let all: Vec<_> = Steps::new(&rows, 8, 3, Stream::new(1), Position::default()).collect();
        for cut in [1, 5, 6, 7, 12] {
            let rest: Vec<_> = Steps::new(&rows, 8, 3, Stream::new(1), all[cut - 1].after).collect();
            assert_eq!(rest, all[cut..]);
        }
        assert!(Steps::new(&rows, 8, 3, Stream::new(1), all[17].after).next().is_none());
    }

    #[test]
    fn a_row_may_have_several_sequences() {
        let mut choices = Rows::new(2, LooksAt::Sequences);
        for i in 0..6 {
            choices.push(&Encoding {
                ids: vec![i; 1 + i as usize],
                type_ids: vec![0; 1 + i as usize],
                ..Default::default()
            });
        }
        assert_eq!((choices.len(), choices.tokens(1), choices.targets(1)), (3, 3 + 4, 1));
        let found: Vec<u32> = choices.sequences(&[2, 0]).iter().map(|s| s.ids[0]).collect();
        assert_eq!(found, [4, 5, 0, 1]);
        assert_eq!(choices.parts(&[0, 1, 2], 10), [vec![0, 1], vec![2]]);
    }
}
