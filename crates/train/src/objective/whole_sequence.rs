//! What is said of a whole text or pair: one label of several, or a number.

use super::{Objective, StepData};
use crate::error::Result;
use crate::metrics::{ClassifyMetrics, Metrics, RegressMetrics, mean_and_deviation, score_row};
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

/// What is true of rows.
#[derive(Clone, Debug, PartialEq)]
pub enum Targets {
    /// Numbers of labels.
    Classes(Vec<usize>),
    /// Numbers.
    Numbers(Vec<f32>),
}

impl Targets {
    /// How many.
    pub fn len(&self) -> usize {
        match self {
            Self::Classes(all) => all.len(),
            Self::Numbers(all) => all.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Those of some rows.
    fn of(&self, rows: &[usize]) -> Self {
        match self {
            Self::Classes(all) => Self::Classes(rows.iter().map(|&i| all[i]).collect()),
            Self::Numbers(all) => Self::Numbers(rows.iter().map(|&i| all[i]).collect()),
        }
    }

    /// All of them as whole numbers that differ where they do.
    fn bits(&self) -> Vec<u64> {
        match self {
            Self::Classes(all) => all.iter().map(|&n| n as u64).collect(),
            Self::Numbers(all) => all.iter().map(|n| u64::from(n.to_bits())).collect(),
        }
    }
}

/// What a model is to say of rows.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// One of these labels.
    Labels(Vec<String>),
    /// A number, learned on this scale.
    Number(Scale),
}

/// Mean and deviation of the training rows' numbers: a head learns how many deviations a number is from the
/// mean.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Scale {
    pub mean: f32,
    pub deviation: f32,
}

impl Scale {
    /// Of some numbers. Where they are all alike, the deviation is 1.
    pub fn of(numbers: &[f32]) -> Self {
        let wide: Vec<f64> = numbers.iter().map(|&n| f64::from(n)).collect();
        let (mean, deviation) = mean_and_deviation(&wide);
        Self { mean: mean as f32, deviation: if deviation > 0.0 { deviation as f32 } else { 1.0 } }
    }
}

/// Encoded rows with what is true of them, laid end to end.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows {
    ids: Vec<u32>,
    type_ids: Vec<u8>,
    ends: Vec<usize>,
    targets: Targets,
    /// How many texts were cut to the longest length.
    pub truncated: usize,
}

impl Rows {
    /// Rows whose texts are to follow, as many as there are targets.
    pub fn of(targets: Targets) -> Self {
        Self { ids: Vec::new(), type_ids: Vec::new(), ends: Vec::new(), targets, truncated: 0 }
    }

    /// Adds the text of the next row.
    pub fn push(&mut self, encoding: &Encoding) {
        self.ids.extend_from_slice(&encoding.ids);
        self.type_ids.extend(encoding.type_ids.iter().map(|&t| t as u8));
        self.ends.push(self.ids.len());
        self.truncated += usize::from(encoding.truncated > 0);
    }
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.ends.len()
    }
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
    /// What is true of them.
    pub fn targets(&self) -> &Targets {
        &self.targets
    }
    /// A hash of all ids, lengths and targets (FNV-1a), to notice other rows at a resume.
    pub fn hash(&self) -> u64 {
        let numbers = self.ids.iter().map(|&id| u64::from(id));
        let others = self.ends.iter().map(|&n| n as u64).chain(self.targets.bits());
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
    fn batches(&self, rows: &[usize]) -> Vec<SequenceBatch> {
        let mut parts: Vec<(usize, Vec<usize>)> = vec![(0, Vec::new())];
        for &i in rows {
            let full =
                parts.last().is_some_and(|(tokens, _)| *tokens > 0 && tokens + self.tokens(i) > TOKENS_PER_BATCH);
            if full {
                parts.push((0, Vec::new()));
            }
            let (tokens, part) = parts.last_mut().expect("never empty");
            *tokens += self.tokens(i);
            part.push(i);
        }
        let batch = |(tokens, part): (usize, Vec<usize>)| SequenceBatch {
            sequences: part.iter().map(|&i| self.sequence(i)).collect(),
            targets: self.targets.of(&part),
            tokens,
        };
        parts.into_iter().map(batch).collect()
    }
}

/// Rows of one forward pass.
#[derive(Clone, Debug, PartialEq)]
pub struct SequenceBatch {
    /// Texts.
    pub sequences: Vec<Sequence>,
    /// What is true of them.
    pub targets: Targets,
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
    type Item = StepData<SequenceBatch>;

    fn next(&mut self) -> Option<StepData<SequenceBatch>> {
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
pub struct WholeSequence<'a> {
    valid: &'a Rows,
    valid_batches: Vec<Vec<usize>>,
    output: &'a Output,
}

impl<'a> WholeSequence<'a> {
    /// Validates on `valid`.
    pub fn new(valid: &'a Rows, output: &'a Output) -> Self {
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
        Self { valid, valid_batches, output }
    }

    /// All metrics on the validation rows.
    pub fn metrics(&self, model: &Model) -> Metrics {
        let mut outputs: Vec<Vec<f32>> = vec![Vec::new(); self.valid.len()];
        for rows in &self.valid_batches {
            let sequences: Vec<Sequence> = rows.iter().map(|&i| self.valid.sequence(i)).collect();
            let packed = PackedBatch::new(&sequences);
            let found = model.class_logits(&packed, Mode::Eval);
            let [_, width] = found.dims();
            let found: Vec<f32> = found.into_data().iter::<f32>().collect();
            for (row, &i) in found.chunks(width).zip(rows) {
                outputs[i] = row.to_vec();
            }
        }
        match (self.output, self.valid.targets()) {
            (Output::Labels(labels), Targets::Classes(truth)) => {
                let scored = outputs.iter().zip(truth).map(|(row, &truth)| score_row(row, truth));
                let (predicted, losses): (Vec<usize>, Vec<f64>) = scored.unzip();
                let loss = losses.iter().sum::<f64>() / losses.len() as f64;
                Metrics::Classify(ClassifyMetrics::new(labels, truth, &predicted, loss))
            }
            (Output::Number(scale), Targets::Numbers(truth)) => {
                let predicted: Vec<f32> = outputs.iter().map(|row| row[0] * scale.deviation + scale.mean).collect();
                Metrics::Regress(RegressMetrics::new(truth, &predicted))
            }
            _ => unreachable!("{ALIKE}"),
        }
    }
}

/// Said if rows and output are of two tasks.
const ALIKE: &str = "rows are made for the output";

impl Objective for WholeSequence<'_> {
    type Batch = SequenceBatch;

    fn loss(&self, model: &Model, batch: &SequenceBatch, mode: Mode) -> Tensor<1> {
        let packed = PackedBatch::new(&batch.sequences);
        let found = model.class_logits(&packed, mode);
        let mean = match (self.output, &batch.targets) {
            (Output::Labels(_), Targets::Classes(labels)) => {
                let labels: Vec<u32> = labels.iter().map(|&l| l as u32).collect();
                cross_entropy(found, int_tensor(&labels, model.device()))
            }
            (Output::Number(scale), Targets::Numbers(numbers)) => {
                let wanted: Vec<f32> = numbers.iter().map(|n| (n - scale.mean) / scale.deviation).collect();
                let device = model.device().clone().without_autodiff();
                let wanted = Tensor::<1>::from_floats(wanted.as_slice(), &device);
                let error = found.flatten::<1>(0, 1) - wanted;
                (error.clone() * error).mean()
            }
            _ => unreachable!("{ALIKE}"),
        };
        mean * batch.targets.len() as f32
    }

    fn validate(&self, model: &Model) -> Result<BTreeMap<String, f64>> {
        let m = self.metrics(model);
        let named = |name: &&str| ((*name).to_owned(), m.get(name).expect("a known metric"));
        let names = crate::finetune::metrics_of(match self.output {
            Output::Labels(_) => "classify",
            Output::Number(_) => "regress",
        });
        Ok(names.iter().map(named).collect())
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
        let mut rows = Rows::of(Targets::Classes((0..n).map(|i| i % 3).collect()));
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

    fn ids(step: &StepData<SequenceBatch>) -> Vec<u32> {
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
        let true_of = |b: &SequenceBatch| Targets::Classes(b.sequences.iter().map(label_of).collect());
        assert!(steps.iter().flat_map(|s| &s.batches).all(|b| b.targets == true_of(b)));
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
