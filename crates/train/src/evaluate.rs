//! Scores of a fine-tuned model on labelled rows.

use crate::analysis::Analysis;
use crate::error::Result;
use crate::finetune::data::Columns;
use crate::finetune::read::Reading;
use crate::finetune::vectors_of;
use crate::metrics::Metrics;
use crate::observer::Stop;
use crate::tasks::Supervised;
use polyseme_infer::Encoder;
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

/// Predicts every row of a file and compares. `progress(done, total)` is called in rows. `None`: it was asked to
/// stop.
///
/// # Errors
/// The model has no head of a task; a file that cannot be read; a column is missing; a row lacks its text or
/// label; a label is none of the model's, or no number.
pub fn evaluate(
    encoder: &Encoder,
    file: &Path,
    settings: &EvaluateSettings,
    progress: &mut (dyn FnMut(u64, u64) + Send),
    stop: &Stop,
) -> Result<Option<Evaluation>> {
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
    let measured = Supervised::new(&*task, None);
    let kept = device::on_pool(|| measured.kept(&encoder.model, progress, stop));
    let Some(kept) = kept else { return Ok(None) };
    let metrics = task.metrics(&kept);
    let analysis = settings.analyse.then(|| task.analysis(&kept, &metrics));
    Ok(Some(Evaluation { task: task.name(), metrics, truncated: task.valid().truncated, analysis }))
}
