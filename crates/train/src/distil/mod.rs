//! Learning from a teacher that knows the task: what it says of each row, and what is inside it.

pub mod divergence;
mod inside;
pub mod language;
pub mod settings;

use crate::error::{Error, Result};
use crate::observer::{Event, Observer};
use crate::tasks::features::States;
use crate::tasks::rows::RowBatch;
use crate::tasks::{Supervised, Task, says, states, states_of};
use inside::Seen;
pub use language::Language;
use polyseme_formats::ModelFolder;
use polyseme_models::{Bf16, HeadKind, Model};
use polyseme_tensor::{Device, Mode, Stream, Tensor};
use polyseme_text::Tokenizer;
pub use settings::DistilSettings;
use std::path::Path;
use std::sync::OnceLock;

/// A model that knows the task, and what it says of all training rows.
pub struct Teacher {
    model: Model,
    /// Computed when it is first needed; nothing where it would be too much.
    said: OnceLock<Option<States>>,
}

impl Teacher {
    /// Opens a teacher for a task.
    ///
    /// # Errors
    /// A folder that cannot be read, a head for something else, a tokenizer that is not the student's.
    pub fn open(folder: &Path, task: &dyn Task, tokenizer: &Tokenizer, device: &Device) -> Result<Self> {
        let device = device.clone().without_autodiff();
        if Tokenizer::open(folder)?.hash() != tokenizer.hash() {
            return Err(Error::OtherTokenizer { teacher: folder.to_owned() });
        }
        let source = ModelFolder::open(folder)?;
        let (model, report) = Model::open(&source, task.head(), Stream::new(0), &device)?;
        if task.head() != HeadKind::None && report.missing.iter().any(|name| name == model.task_output()) {
            let (found, _) = Model::open(&source, HeadKind::AsFound, Stream::new(0), &device)?;
            return Err(Error::OtherTeacher {
                teacher: folder.to_owned(),
                wanted: Box::new(task.head()),
                found: Box::new(found.head()),
            });
        }
        let mut model = model;
        task.begin(&mut model, true);
        Ok(Self { model, said: OnceLock::new() })
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Chooses when it rounds to bfloat16, once it is measured.
    pub fn set_bf16(&mut self, when: Bf16) {
        self.model.set_bf16(when);
    }

    /// Measures it on the validation rows, and tells how good it is by a metric.
    ///
    /// # Errors
    /// A teacher that knows nothing of them.
    pub fn measure(&self, task: &dyn Task, folder: &Path, metric: &str, observer: &mut dyn Observer) -> Result<()> {
        if task.valid().is_empty() {
            return Ok(());
        }
        let metrics = Supervised::new(task, None).metrics(&self.model);
        let found = metrics.get(metric).unwrap_or(f64::NAN);
        if let Some(why) = metrics.knows_nothing() {
            return Err(Error::IgnorantTeacher { teacher: folder.to_owned(), why });
        }
        observer.event(Event::Note(&format!("the teacher has {metric} {found:.4} on the validation rows")));
        Ok(())
    }

    /// What it says of some training rows. `(rows or tokens, outputs)`
    fn says(&self, task: &dyn Task, batch: &RowBatch) -> Tensor<2> {
        let rows = task.train();
        let of = |rows_of: &[usize]| {
            let sequences = rows.sequences(rows_of);
            says(task.head(), &self.model, states(&self.model, rows, rows_of, &sequences, Mode::Eval), Mode::Eval)
        };
        let width = task.head().outputs().unwrap_or(self.model.state_width());
        match self.said.get_or_init(|| States::kept(rows, width, &of)) {
            Some(said) => said.of_rows(&batch.rows, self.model.device()),
            None => of(&batch.rows),
        }
    }
}

/// A teacher and what is learned from it.
#[derive(Clone, Copy)]
pub struct Taught<'a> {
    /// Who teaches.
    pub teacher: &'a Teacher,
    /// How much each loss weighs.
    pub settings: &'a DistilSettings,
}

impl Taught<'_> {
    /// The loss of a batch, a sum over its targets.
    pub(crate) fn loss(&self, task: &dyn Task, model: &Model, batch: &RowBatch, mode: Mode) -> Tensor<1> {
        let rows = task.train();
        if !self.settings.looks_inside() {
            let states = states(model, rows, &batch.rows, &batch.sequences, mode);
            return self.of_outputs(task, says(task.head(), model, states, mode), batch);
        }
        let packed = rows.packed(&batch.rows, &batch.sequences);
        let mut seen = Vec::new();
        let last = model.hidden_layers_in(&packed, mode, |_, state| seen.push(state.clone()));
        let taught = self.teacher.model.hidden_layers(&packed);
        let student = Seen { model, states: &seen, mode };
        let teacher = Seen { model: &self.teacher.model, states: &taught, mode: Mode::Eval };
        let targets: u64 = batch.rows.iter().map(|&row| rows.targets(row)).sum();
        let inside = inside::loss(self.settings, &student, &teacher, &packed) * targets as f64;
        if self.settings.soft == 0.0 && self.settings.hard == 0.0 {
            return inside;
        }
        let states = states_of(model, rows, &batch.rows, &packed, last);
        inside + self.of_outputs(task, says(task.head(), model, states, mode), batch)
    }

    /// The part of it that what the model says decides on.
    pub(crate) fn of_outputs(&self, task: &dyn Task, said: Tensor<2>, batch: &RowBatch) -> Tensor<1> {
        let DistilSettings { soft, hard, temperature, .. } = *self.settings;
        let imitated = || task.imitation(said.clone(), self.teacher.says(task, batch), temperature, batch) * soft;
        match (soft > 0.0, hard > 0.0) {
            (true, true) => imitated() + task.loss(said.clone(), batch) * hard,
            (true, false) => imitated(),
            (false, _) => task.loss(said, batch) * hard,
        }
    }
}
