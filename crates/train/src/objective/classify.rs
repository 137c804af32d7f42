//! Sequence classification: one label of several for a text or a pair.

use super::{Objective, StepData};
use crate::error::Result;
use crate::metrics::{ClassifyMetrics, score_row};
use crate::sampler::Position;
use polyseme_models::Model;
use polyseme_tensor::ops::cross_entropy;
use polyseme_tensor::packed::int_tensor;
use polyseme_tensor::{Mode, PackedBatch, Sequence, Stream, Tensor};
use polyseme_text::Encoding;
use std::collections::BTreeMap;
use std::time::Instant;

/// A forward pass takes at most this many tokens; a larger batch is accumulated.
pub const TOKENS_PER_BATCH: usize = 16_384;

/// Rows are sorted by length inside windows of this many batches.
const WINDOW: usize = 4;

/// Encoded rows with their labels, laid end to end.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    ids: Vec<u32>,
    type_ids: Vec<u8>,
    ends: Vec<usize>,
    labels: Vec<usize>,
    /// How many texts were cut to the longest length.
    pub truncated: usize,
}

impl Rows {
    /// Adds a row.
    pub fn push(&mut self, encoding: &Encoding, label: usize) {
        self.ids.extend_from_slice(&encoding.ids);
        self.type_ids.extend(encoding.type_ids.iter().map(|&t| t as u8));
        self.ends.push(self.ids.len());
        self.labels.push(label);
        self.truncated += usize::from(encoding.truncated > 0);
    }
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.labels.len()
    }
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }
    /// True labels, as numbers.
    pub fn labels(&self) -> &[usize] {
        &self.labels
    }
    /// A hash of all ids, lengths and labels (FNV-1a), to notice other rows at a resume.
    pub fn hash(&self) -> u64 {
        let numbers = self.ids.iter().map(|&id| u64::from(id));
        let others = self.ends.iter().chain(&self.labels).map(|&n| n as u64);
        numbers.chain(others).fold(0xcbf2_9ce4_8422_2325, |h, n| (h ^ n).wrapping_mul(0x0000_0100_0000_01b3))
    }
    pub(crate) fn tokens(&self, i: usize) -> usize {
        self.ends[i] - self.begin(i)
    }
    fn begin(&self, i: usize) -> usize {
        if i == 0 { 0 } else { self.ends[i - 1] }
    }
    pub(crate) fn sequence(&self, i: usize) -> Sequence {
        let range = self.begin(i)..self.ends[i];
        let type_ids = self.type_ids[range.clone()].iter().map(|&t| u32::from(t)).collect();
        Sequence { ids: self.ids[range].to_vec(), type_ids }
    }

    /// Rows in batches of at most [`TOKENS_PER_BATCH`] tokens.
    fn batches(&self, rows: &[usize]) -> Vec<ClassBatch> {
        let mut batches = vec![ClassBatch::default()];
        for &i in rows {
            let full = batches.last().is_some_and(|b| b.tokens > 0 && b.tokens + self.tokens(i) > TOKENS_PER_BATCH);
            if full {
                batches.push(ClassBatch::default());
            }
            let batch = batches.last_mut().expect("never empty");
            batch.sequences.push(self.sequence(i));
            batch.labels.push(self.labels[i]);
            batch.tokens += self.tokens(i);
        }
        batches
    }
}

/// Rows of one forward pass.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClassBatch {
    /// Texts.
    pub sequences: Vec<Sequence>,
    /// Their true labels.
    pub labels: Vec<usize>,
    /// Tokens in all.
    pub tokens: usize,
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
    type Item = StepData<ClassBatch>;

    fn next(&mut self) -> Option<StepData<ClassBatch>> {
        if self.at.epoch >= self.epochs {
            return None;
        }
        let steps = Self::per_epoch(self.rows.len(), self.batch_size);
        let from = self.at.index as usize * self.batch_size;
        let chosen = &self.epoch[from..(from + self.batch_size).min(self.epoch.len())];
        let batches = self.rows.batches(chosen);
        let done = self.at.epoch * steps + self.at.index;
        let targets = chosen.len() as u64;
        self.at.index += 1;
        if self.at.index == steps {
            self.at = Position { epoch: self.at.epoch + 1, index: 0, ..self.at };
            self.arrange();
        }
        Some(StepData {
            tokens: batches.iter().map(|b| b.tokens as u64).sum(),
            targets,
            batches,
            after: self.at,
            progress: Some((done as f64 + 0.5) / (self.epochs * steps) as f64),
        })
    }
}

/// The objective with its validation rows.
pub struct Classify<'a> {
    valid: &'a Rows,
    valid_batches: Vec<Vec<usize>>,
    labels: &'a [String],
}

impl<'a> Classify<'a> {
    /// Validates on `valid`.
    pub fn new(valid: &'a Rows, labels: &'a [String]) -> Self {
        // Sorted by length: no padding either way, but attention runs over equal lengths at once.
        let mut order: Vec<usize> = (0..valid.len()).collect();
        order.sort_by_key(|&i| valid.tokens(i));
        let mut valid_batches: Vec<Vec<usize>> = Vec::new();
        let mut tokens = usize::MAX;
        for i in order {
            tokens = tokens.saturating_add(valid.tokens(i));
            if tokens > TOKENS_PER_BATCH / 2 {
                valid_batches.push(Vec::new());
                tokens = valid.tokens(i);
            }
            valid_batches.last_mut().expect("pushed above").push(i);
        }
        Self { valid, valid_batches, labels }
    }

    /// All metrics on the validation rows.
    pub fn metrics(&self, model: &Model) -> ClassifyMetrics {
        let mut predicted = vec![0; self.valid.len()];
        let mut losses = vec![0.0; self.valid.len()];
        for rows in &self.valid_batches {
            let sequences: Vec<Sequence> = rows.iter().map(|&i| self.valid.sequence(i)).collect();
            let packed = PackedBatch::new(&sequences);
            let logits: Vec<f32> = model.class_logits(&packed, Mode::Eval).into_data().iter::<f32>().collect();
            for (row, &i) in logits.chunks(self.labels.len()).zip(rows) {
                (predicted[i], losses[i]) = score_row(row, self.valid.labels[i]);
            }
        }
        let loss = losses.iter().sum::<f64>() / losses.len() as f64;
        ClassifyMetrics::new(self.labels, &self.valid.labels, &predicted, loss)
    }
}

impl Objective for Classify<'_> {
    type Batch = ClassBatch;

    fn loss(&self, model: &Model, batch: &ClassBatch, mode: Mode) -> Tensor<1> {
        let packed = PackedBatch::new(&batch.sequences);
        let labels: Vec<u32> = batch.labels.iter().map(|&l| l as u32).collect();
        let mean = cross_entropy(model.class_logits(&packed, mode), int_tensor(&labels, model.device()));
        mean * batch.labels.len() as f32
    }

    fn validate(&self, model: &Model) -> Result<BTreeMap<String, f64>> {
        let m = self.metrics(model);
        let named = |name: &str| (name.to_owned(), m.get(name).expect("a known metric"));
        Ok(crate::finetune::METRICS.iter().map(|name| named(name)).collect())
    }

    fn validation_seconds(&self, model: &Model) -> Result<f64> {
        let begun = Instant::now();
        self.metrics(model);
        Ok(begun.elapsed().as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(n: usize) -> Rows {
        let mut rows = Rows::default();
        for i in 0..n {
            let len = 3 + (i * 7) % 20;
            let encoding = Encoding {
                ids: vec![i as u32; len],
                type_ids: vec![0; len],
                offsets: Vec::new(),
                words: Vec::new(),
                truncated: i % 2,
            };
            rows.push(&encoding, i % 3);
        }
        rows
    }

    fn ids(step: &StepData<ClassBatch>) -> Vec<u32> {
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
        let label_of = |s: &Sequence| s.ids[0] as usize % 3;
        assert!(steps.iter().flat_map(|s| &s.batches).all(|b| b.sequences.iter().map(label_of).eq(b.labels.clone())));
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
}
