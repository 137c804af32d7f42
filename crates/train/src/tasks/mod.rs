//! What a model can be fine-tuned for. A file a task: what is true of its rows, the head it needs, the loss,
//! the metrics. All else is the same for all of them.
//!
//! To add a task: a file here that implements [`Task`], its metrics in [`crate::metrics`], its name in
//! [`crate::finetune::settings::TASKS`] and an arm where [`crate::finetune`] reads its rows.

pub mod answer;
pub mod choice;
pub mod classify;
pub mod features;
pub mod multilabel;
pub mod regress;
pub mod rows;
pub mod similarity;
pub mod tag;

use crate::error::Result;
use crate::metrics::{Metrics, metrics_of};
use crate::objective::Objective;
use crate::observer::Stop;
use features::Features;
use polyseme_models::{HeadKind, Model};
use polyseme_tensor::{Mode, PackedBatch, Sequence, Tensor};
use rows::{LooksAt, RowBatch, Rows, TOKENS_PER_BATCH};
use std::collections::BTreeMap;
use std::time::Instant;

/// Encoded rows with what is true of each.
#[derive(Clone, Debug, PartialEq)]
pub struct Part<T> {
    /// The rows.
    pub rows: Rows,
    /// What is true of them.
    pub targets: Vec<T>,
}

impl<T> Part<T> {
    /// No rows: an evaluation has none to learn from.
    pub fn none() -> Self {
        Self { rows: Rows::new(1, LooksAt::Sequences), targets: Vec::new() }
    }
}

/// What a model is fine-tuned for, with the rows to learn from and to measure on.
pub trait Task: Send + Sync {
    /// Its name in the settings.
    fn name(&self) -> &'static str;

    /// The head it needs.
    fn head(&self) -> HeadKind;

    /// Rows to learn from.
    fn train(&self) -> &Rows;

    /// Rows to measure on.
    fn valid(&self) -> &Rows;

    /// A hash of what is true of the rows, to notice other data at a resume.
    fn targets_hash(&self) -> u64;

    /// Sum of the losses of training rows from what the model says of them, `(rows or tokens, outputs)`, in
    /// order.
    fn loss(&self, outputs: Tensor<2>, batch: &RowBatch) -> Tensor<1>;

    /// What is kept of the outputs for a validation row.
    fn keep(&self, outputs: &[f32], row: usize) -> Vec<f32> {
        let _ = row;
        outputs.to_vec()
    }

    /// Metrics from what was kept of all validation rows.
    fn metrics(&self, kept: &[Vec<f32>]) -> Metrics;

    /// Before the training; `known` if the folder's own head goes on.
    fn begin(&self, model: &mut Model, known: bool) {
        let _ = (model, known);
    }

    /// After the training: what goes into the model's files besides, and the metrics it then has.
    fn finish(&self, model: &mut Model, kept: &[Vec<f32>]) -> Metrics {
        let _ = model;
        self.metrics(kept)
    }

    /// For the head's linear probe: the class of each training row.
    fn classes(&self) -> Option<(&[usize], usize)> {
        None
    }
}

/// The hidden states of rows that their task looks at, in order. `(rows or tokens, state_width)`
fn states(model: &Model, rows: &Rows, batch: &[usize], sequences: &[Sequence], mode: Mode) -> Tensor<2> {
    let packed = PackedBatch::new(sequences);
    match &rows.looks_at {
        LooksAt::Sequences => model.sequence_states(&packed, mode),
        LooksAt::Firsts => {
            let firsts: Vec<usize> = (0..packed.sequences()).map(|i| packed.row(i, 0)).collect();
            model.token_states(&packed, &firsts, mode)
        }
        LooksAt::Means => packed.means(model.hidden(&packed, mode)),
        LooksAt::AllTokens => {
            let tokens: Vec<usize> = (0..packed.sequences()).flat_map(|i| packed.rows(i)).collect();
            model.token_states(&packed, &tokens, mode)
        }
        LooksAt::Tokens(tokens) => {
            let of = |(i, &row): (usize, &usize)| tokens[row].iter().map(move |&t| (i, t as usize)).collect::<Vec<_>>();
            let places = batch.iter().enumerate().flat_map(of);
            let tokens: Vec<usize> = places.map(|(i, t)| packed.row(i, t)).collect();
            model.token_states(&packed, &tokens, mode)
        }
    }
}

/// A task as the training loop sees it.
pub struct Supervised<'a> {
    task: &'a dyn Task,
    /// Hidden states, where the encoder stays as it is.
    features: Option<&'a Features>,
    /// Validation rows of like length together.
    valid: Vec<Vec<usize>>,
}

impl<'a> Supervised<'a> {
    /// Of a task; `features` where the encoder is not tuned.
    pub fn new(task: &'a dyn Task, features: Option<&'a Features>) -> Self {
        let rows = task.valid();
        // Sorted by length: no padding either way, but attention runs over equal lengths at once.
        let mut order: Vec<usize> = (0..rows.len()).collect();
        order.sort_by_key(|&i| rows.tokens(i));
        Self { task, features, valid: rows.parts(&order, TOKENS_PER_BATCH / 2) }
    }

    /// What the model says by its head; a task of vectors has none.
    fn says(&self, model: &Model, states: Tensor<2>, mode: Mode) -> Tensor<2> {
        match self.task.head() {
            HeadKind::None => states,
            _ => model.head_outputs(states, mode),
        }
    }

    /// What the task keeps of the model's outputs for each validation row; `None` if it was asked to stop.
    pub fn kept(&self, model: &Model, progress: &mut dyn FnMut(u64, u64), stop: &Stop) -> Option<Vec<Vec<f32>>> {
        let rows = self.task.valid();
        let mut kept: Vec<Vec<f32>> = vec![Vec::new(); rows.len()];
        let (mut done, total) = (0, rows.len() as u64);
        for part in &self.valid {
            if stop.requested() {
                return None;
            }
            let states = match self.features {
                Some(features) => features.valid.of_rows(part, model.device()),
                None => states(model, rows, part, &rows.sequences(part), Mode::Eval),
            };
            let found = self.says(model, states, Mode::Eval);
            let [_, width] = found.dims();
            let found: Vec<f32> = found.into_data().iter::<f32>().collect();
            let mut rest = found.as_slice();
            for &row in part {
                let (of_row, others) = rest.split_at(rows.states(row) * width);
                kept[row] = self.task.keep(of_row, row);
                rest = others;
            }
            done += part.len() as u64;
            progress(done, total);
        }
        Some(kept)
    }

    /// What the model says of the first few validation rows.
    pub fn glance(&self, model: &Model) -> Vec<f32> {
        let rows = self.task.valid();
        let first: Vec<usize> = self.valid.first().map_or(&[][..], |part| &part[..part.len().min(16)]).to_vec();
        let states = states(model, rows, &first, &rows.sequences(&first), Mode::Eval);
        self.says(model, states, Mode::Eval).into_data().iter::<f32>().collect()
    }

    /// All metrics on the validation rows.
    pub fn metrics(&self, model: &Model) -> Metrics {
        let kept = self.kept(model, &mut |_, _| {}, &Stop::default());
        self.task.metrics(&kept.expect("nobody asked to stop"))
    }

    /// Puts what the validation rows tell into the model, and gives the metrics it then has.
    pub fn finish(&self, model: &mut Model) -> Metrics {
        let kept = self.kept(model, &mut |_, _| {}, &Stop::default());
        self.task.finish(model, &kept.expect("nobody asked to stop"))
    }
}

impl Objective for Supervised<'_> {
    type Batch = RowBatch;

    fn loss(&self, model: &Model, batch: &RowBatch, mode: Mode) -> Tensor<1> {
        let states = match self.features {
            Some(features) => features.train.of_rows(&batch.rows, model.device()),
            None => states(model, self.task.train(), &batch.rows, &batch.sequences, mode),
        };
        self.task.loss(self.says(model, states, mode), batch)
    }

    fn validate(&self, model: &Model) -> Result<BTreeMap<String, f64>> {
        let metrics = self.metrics(model);
        let named = |name: &&str| ((*name).to_owned(), metrics.get(name).expect("a known metric"));
        Ok(metrics_of(self.task.name()).iter().map(named).collect())
    }

    fn validation_seconds(&self, model: &Model) -> Result<f64> {
        let begun = Instant::now();
        self.metrics(model);
        Ok(begun.elapsed().as_secs_f64())
    }
}

/// A matrix of host values beside the outputs it is compared with. `(rows, width)`
pub(crate) fn beside(outputs: &Tensor<2>, values: &[f32], width: usize) -> Tensor<2> {
    let device = outputs.device().without_autodiff();
    Tensor::<1>::from_floats(values, &device).reshape([values.len() / width, width])
}
