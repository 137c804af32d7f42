//! What a model can be fine-tuned for. A file a task: what is true of its rows, the head it needs, the loss,
//! the metrics. All else is the same for all of them.
//!
//! To add a task: a file here that implements [`Task`], its metrics in [`crate::metrics`], its name in
//! [`crate::finetune::settings::TASKS`] and an arm where [`crate::finetune`] reads its rows.

pub mod answer;
pub mod choice;
pub mod classify;
pub mod features;
pub mod generate;
pub mod multilabel;
pub mod r_drop;
pub mod regress;
pub mod rows;
pub mod similarity;
pub mod tag;

use crate::analysis::{Analysis, Shown};
use crate::distil::Taught;
use crate::error::Result;
use crate::metrics::{Metrics, metrics_of};
use crate::objective::Objective;
use crate::objective::joint::Joint;
use crate::observer::Stop;
use features::Features;
use polyseme_models::{ClassifierPooling, HeadKind, Model};
use polyseme_tensor::packed::row_tensor;
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
    /// What a reader is shown of them, or of the sentences they are windows of; of rows to learn from nothing is
    /// kept.
    pub shown: Vec<Shown>,
}

impl<T> Part<T> {
    /// No rows: an evaluation has none to learn from.
    pub fn none() -> Self {
        Self { rows: Rows::new(1, LooksAt::Sequences), targets: Vec::new(), shown: Vec::new() }
    }

    /// With what a reader is shown of each row.
    pub fn showing(mut self, shown: Vec<Shown>) -> Self {
        self.shown = shown;
        self
    }

    /// What a reader is shown of a row: place and texts.
    fn shown(&self, row: usize) -> (String, Vec<String>) {
        let Shown { place, texts } = self.shown.get(row).cloned().unwrap_or_default();
        (place, texts)
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
    /// order. Not asked of a task that has a [`Task::loss_of_states`] of its own.
    fn loss(&self, outputs: Tensor<2>, batch: &RowBatch) -> Tensor<1> {
        let _ = (outputs, batch);
        unreachable!("a task has one of the two losses")
    }

    /// The same from the hidden states that it looks at, `(rows or tokens, hidden)`.
    fn loss_of_states(&self, model: &Model, states: Tensor<2>, batch: &RowBatch, mode: Mode) -> Tensor<1> {
        self.loss(says(self.head(), model, states, mode), batch)
    }

    /// What is kept of validation rows, by a task for which the head's outputs are not enough.
    fn measured(&self, model: &Model, rows: &[usize]) -> Option<Vec<Vec<f32>>> {
        let _ = (model, rows);
        None
    }

    /// How far what the model says in two passes disagrees, a sum over the same targets as the loss. Asked of
    /// [`crate::finetune::settings::R_DROP_TASKS`] only.
    fn disagreement(&self, first: Tensor<2>, second: Tensor<2>, batch: &RowBatch) -> Tensor<1> {
        let _ = (first, second, batch);
        unreachable!("refused with the settings")
    }

    /// How far what the model says is from what its teacher says, a sum over the same targets as the loss. Asked of
    /// [`crate::distil::settings::TASKS`] only.
    fn imitation(&self, said: Tensor<2>, taught: Tensor<2>, temperature: f64, batch: &RowBatch) -> Tensor<1> {
        let _ = (said, taught, temperature, batch);
        unreachable!("refused with the settings")
    }

    /// Whether the loss of a row depends on the other rows of its step, so that all must be there at once.
    fn compares_rows(&self) -> bool {
        false
    }

    /// What is kept of the outputs for a validation row.
    fn keep(&self, outputs: &[f32], row: usize) -> Vec<f32> {
        let _ = row;
        outputs.to_vec()
    }

    /// Metrics from what was kept of all validation rows.
    fn metrics(&self, kept: &[Vec<f32>]) -> Metrics;

    /// What is wrong with it, beside the metrics that it has.
    fn analysis(&self, kept: &[Vec<f32>], metrics: &Metrics) -> Analysis;

    /// Before the training; `known` if the folder's own head goes on.
    fn begin(&self, model: &mut Model, known: bool) {
        let _ = (model, known);
    }

    /// After the training: what goes into the model's files besides, and the metrics it then has.
    fn finish(&self, model: &mut Model, kept: &[Vec<f32>]) -> Metrics {
        let _ = model;
        self.metrics(kept)
    }

    /// The same after a training on all rows, of which none measured it, by what cross-validation measured.
    fn finish_unmeasured(&self, model: &mut Model, folds: &[&Metrics]) {
        let _ = (model, folds);
    }

    /// For the head's linear probe: the class of each training row.
    fn classes(&self) -> Option<(&[usize], usize)> {
        None
    }
}

/// The hidden states of rows that their task looks at, in order. `(rows or tokens, state_width)`
pub(crate) fn states(model: &Model, rows: &Rows, batch: &[usize], sequences: &[Sequence], mode: Mode) -> Tensor<2> {
    let packed = rows.packed(batch, sequences);
    match (&rows.looks_at, tokens(rows, batch, &packed)) {
        (LooksAt::Sequences, _) => model.sequence_states(&packed, mode),
        (_, Some(tokens)) => model.token_states(&packed, &tokens, mode),
        (_, None) => packed.means(model.hidden(&packed, mode)),
    }
}

/// The same from the last hidden states of all tokens, of a model that looks at these only. `(tokens, hidden)` to
/// `(rows or tokens, hidden)`
pub(crate) fn states_of(
    model: &Model,
    rows: &Rows,
    batch: &[usize],
    packed: &PackedBatch,
    last: Tensor<2>,
) -> Tensor<2> {
    let pooling = model.config().variant.classifier_pooling;
    let chosen = match (&rows.looks_at, pooling) {
        (LooksAt::Sequences, ClassifierPooling::Mean) => None,
        _ => tokens(rows, batch, packed),
    };
    match chosen {
        Some(tokens) => {
            let tokens = row_tensor(&tokens, &last.device());
            last.select(0, tokens)
        }
        None => packed.means(last),
    }
}

/// The tokens that a task looks at, as rows of a packed batch; `None`: the means of all.
fn tokens(rows: &Rows, batch: &[usize], packed: &PackedBatch) -> Option<Vec<usize>> {
    match &rows.looks_at {
        LooksAt::Means => None,
        LooksAt::Sequences | LooksAt::Firsts => Some((0..packed.sequences()).map(|i| packed.row(i, 0)).collect()),
        LooksAt::AllTokens => Some((0..packed.sequences()).flat_map(|i| packed.rows(i)).collect()),
        LooksAt::Tokens(tokens) => {
            let of = |(i, &row): (usize, &usize)| tokens[row].iter().map(move |&t| (i, t as usize)).collect::<Vec<_>>();
            let places = batch.iter().enumerate().flat_map(of);
            Some(places.map(|(i, t)| packed.row(i, t)).collect())
        }
    }
}

/// What a model says by its head; a task of vectors has none, and one that generates asks it itself.
pub(crate) fn says(head: HeadKind, model: &Model, states: Tensor<2>, mode: Mode) -> Tensor<2> {
    match head {
        HeadKind::None | HeadKind::Generate => states,
        _ => model.head_outputs(states, mode),
    }
}

/// A task as the training loop sees it.
pub struct Supervised<'a> {
    task: &'a dyn Task,
    /// Hidden states, where the encoder stays as it is.
    features: Option<&'a Features>,
    /// Weight of the disagreement of two passes (R-Drop); 0: one pass.
    r_drop: f64,
    /// Who teaches, if anybody does.
    taught: Option<Taught<'a>>,
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
        Self { task, features, r_drop: 0.0, taught: None, valid: rows.parts(&order, TOKENS_PER_BATCH / 2) }
    }

    /// The same with two passes over each batch, whose disagreement weighs this much; 0: one pass.
    pub fn twice(self, r_drop: f64) -> Self {
        Self { r_drop, ..self }
    }

    /// The same with a teacher, if there is one.
    pub fn taught(self, taught: Option<Taught<'a>>) -> Self {
        Self { taught, ..self }
    }

    /// The hidden states of a batch to learn from that its task looks at.
    fn learned_states(&self, model: &Model, batch: &RowBatch, mode: Mode) -> Tensor<2> {
        match self.features {
            Some(features) => features.train.of_rows(&batch.rows, model.device()),
            None => states(model, self.task.train(), &batch.rows, &batch.sequences, mode),
        }
    }

    /// What the model says of a batch to learn from.
    pub(crate) fn outputs(&self, model: &Model, batch: &RowBatch, mode: Mode) -> Tensor<2> {
        says(self.task.head(), model, self.learned_states(model, batch, mode), mode)
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
            if let Some(found) = self.task.measured(model, part) {
                part.iter().zip(found).for_each(|(&row, found)| kept[row] = found);
                done += part.len() as u64;
                progress(done, total);
                continue;
            }
            let states = match self.features {
                Some(features) => features.valid.of_rows(part, model.device()),
                None => states(model, rows, part, &rows.sequences(part), Mode::Eval),
            };
            let found = says(self.task.head(), model, states, Mode::Eval);
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

    /// What the model says of the first few validation rows, or training rows where there are none.
    pub fn glance(&self, model: &Model) -> Vec<f32> {
        let (rows, first): (_, Vec<usize>) = match self.valid.first() {
            Some(part) => (self.task.valid(), part[..part.len().min(16)].to_vec()),
            None => (self.task.train(), (0..self.task.train().len().min(16)).collect()),
        };
        if !self.valid.is_empty()
            && let Some(found) = self.task.measured(model, &first)
        {
            return found.concat();
        }
        let states = states(model, rows, &first, &rows.sequences(&first), Mode::Eval);
        says(self.task.head(), model, states, Mode::Eval).into_data().iter::<f32>().collect()
    }

    /// All metrics on the validation rows.
    pub fn metrics(&self, model: &Model) -> Metrics {
        let kept = self.kept(model, &mut |_, _| {}, &Stop::default());
        self.task.metrics(&kept.expect("nobody asked to stop"))
    }

    /// Puts what the validation rows tell into the model, and gives the metrics it then has and what is wrong.
    pub fn finish(&self, model: &mut Model) -> (Metrics, Analysis) {
        let kept = self.kept(model, &mut |_, _| {}, &Stop::default()).expect("nobody asked to stop");
        let metrics = self.task.finish(model, &kept);
        let analysis = self.task.analysis(&kept, &metrics);
        (metrics, analysis)
    }
}

impl Objective for Supervised<'_> {
    type Batch = RowBatch;

    fn loss(&self, model: &Model, batch: &RowBatch, mode: Mode) -> Tensor<1> {
        if let Some(taught) = self.taught {
            return taught.loss(self.task, model, batch, mode);
        }
        match self.r_drop {
            0.0 => self.task.loss_of_states(model, self.learned_states(model, batch, mode), batch, mode),
            alpha => self.loss_of_two(model, batch, mode, alpha),
        }
    }

    fn joint(&self, model: &Model, batches: &[RowBatch], modes: &[Mode]) -> Option<Joint> {
        if !self.task.compares_rows() || batches.len() < 2 {
            return None;
        }
        let said = |(batch, &mode): (&RowBatch, &Mode)| self.outputs(model, batch, mode).without_autodiff();
        let parts = batches.iter().zip(modes).map(said).collect();
        Some(Joint::of(parts, |outputs| match self.taught {
            Some(taught) => taught.of_outputs(self.task, outputs, &RowBatch::of_all(batches)),
            None => self.task.loss(outputs, &RowBatch::of_all(batches)),
        }))
    }

    fn surrogate(&self, model: &Model, batch: &RowBatch, mode: Mode, gradient: Tensor<2>) -> Tensor<1> {
        (self.outputs(model, batch, mode) * gradient).sum()
    }

    /// Nothing where no rows are kept for it.
    fn validate(&self, model: &Model) -> Result<BTreeMap<String, f64>> {
        if self.valid.is_empty() {
            return Ok(BTreeMap::new());
        }
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
