//! Scores of a fine-tuned model on labelled rows, and of a language model on texts.

mod language;

pub use language::{LanguageMetrics, evaluate_language};

use crate::analysis::Analysis;
use crate::error::Result;
use crate::finetune::data::Columns;
use crate::finetune::read::Reading;
use crate::finetune::vectors_of;
use crate::metrics::Metrics;
use crate::observer::Stop;
use crate::tasks::{Supervised, Task};
use polyseme_infer::Encoder;
use polyseme_models::Model;
use polyseme_tensor::device;
use std::path::Path;

/// Which rows a model is measured on, and how they are read.
#[derive(Clone, Debug, PartialEq)]
pub struct EvaluateSettings {
    /// Which columns hold what; `None` are guessed.
    pub columns: Columns,
    /// Between the labels of a row.
    pub label_separator: String,
    /// Longest input in tokens; `None`: the folder's limit.
    pub max_length: Option<usize>,
    /// Tokens that neighbouring windows of a long passage share.
    pub stride: usize,
    /// Tokens of the longest generated text, its end included.
    pub max_new_tokens: usize,
    /// Whether to tell what is wrong, besides the metrics.
    pub analyse: bool,
}

impl Default for EvaluateSettings {
    fn default() -> Self {
        Self {
            columns: Columns::default(),
            label_separator: ",".into(),
            max_length: None,
            stride: 128,
            max_new_tokens: 48,
            analyse: false,
        }
    }
}

/// What an evaluation came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// The model's task.
    pub task: &'static str,
    /// Metrics over all rows.
    pub metrics: Metrics,
    /// Rows whose texts were cut.
    pub truncated: usize,
    /// What is wrong, if that was asked for.
    pub analysis: Option<Analysis>,
}

/// A model beside the rows it is measured on, which are read and cut into tokens once.
pub struct Measuring<'a> {
    encoder: &'a Encoder,
    task: Box<dyn Task>,
}

impl<'a> Measuring<'a> {
    /// Reads the rows of a file.
    ///
    /// # Errors
    /// The model has no head of a task; a file that cannot be read; a column is missing; a row lacks its text or
    /// label; a label is none of the model's, or no number.
    pub fn open(encoder: &'a Encoder, file: &Path, settings: &EvaluateSettings) -> Result<Self> {
        let reading = Reading {
            columns: &settings.columns,
            label_separator: &settings.label_separator,
            tokenizer: &encoder.tokenizer,
            longest: encoder.max_length(settings.max_length)?,
            stride: settings.stride,
            max_new_tokens: settings.max_new_tokens,
            vectors: vectors_of(encoder.sentence_modules()?.map(|modules| modules.pooling))?,
        };
        let task = reading.to_measure(&encoder.model, file)?;
        Ok(Self { encoder, task })
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.task.valid().len()
    }

    /// What the task keeps of the model's outputs for each row. `progress(done, total)` is called in rows. `None`: it
    /// was asked to stop.
    pub fn outputs(&self, progress: &mut (dyn FnMut(u64, u64) + Send), stop: &Stop) -> Option<Vec<Vec<f32>>> {
        self.outputs_of(&self.encoder.model, progress, stop)
    }

    /// The same of another model with the same head.
    pub fn outputs_of(
        &self,
        model: &Model,
        progress: &mut (dyn FnMut(u64, u64) + Send),
        stop: &Stop,
    ) -> Option<Vec<Vec<f32>>> {
        let measured = Supervised::new(&*self.task, None);
        device::on_pool(|| measured.kept(model, progress, stop))
    }

    /// What outputs are worth, and, with `analyse`, what is wrong with them.
    pub fn evaluation(&self, outputs: &[Vec<f32>], analyse: bool) -> Evaluation {
        let task = &self.task;
        let metrics = task.metrics(outputs);
        let analysis = analyse.then(|| task.analysis(outputs, &metrics));
        Evaluation { task: task.name(), metrics, truncated: task.valid().truncated, analysis }
    }
}

/// Predicts every row of a file and compares. `progress(done, total)` is called in rows. `None`: it was asked to
/// stop.
///
/// # Errors
/// As [`Measuring::open`].
pub fn evaluate(
    encoder: &Encoder,
    file: &Path,
    settings: &EvaluateSettings,
    progress: &mut (dyn FnMut(u64, u64) + Send),
    stop: &Stop,
) -> Result<Option<Evaluation>> {
    let measuring = Measuring::open(encoder, file, settings)?;
    let outputs = measuring.outputs(progress, stop);
    Ok(outputs.map(|outputs| measuring.evaluation(&outputs, settings.analyse)))
}
