//! The steps as plain functions: on the best device there is, silent, to the end.

use polyseme_train::observer::Silent;
use polyseme_train::{FinetuneOutcome, FinetuneSettings, PretrainOutcome, PretrainSettings, Result, Stop};
use std::path::PathBuf;

/// Pre-trains: from files of text to a model folder. [`crate::recipe`] gives settings to begin with;
/// [`crate::train::pretrain`] takes a device, an observer of the progress and a way to stop as well.
///
/// # Errors
/// Whatever is wrong with the corpus, the settings or the disk.
pub fn pretrain(settings: &PretrainSettings) -> Result<PretrainOutcome> {
    polyseme_train::pretrain(settings, false, &best_device(), &mut Silent, &Stop::default())
}

/// Settings for fine-tuning a classifier from the model folder `model` on the labelled rows in
/// `train`, written to `out`; everything else has a sensible value and can be changed.
pub fn finetuning(model: impl Into<PathBuf>, train: impl Into<PathBuf>, out: impl Into<PathBuf>) -> FinetuneSettings {
    FinetuneSettings::classify(model, train, out)
}

/// Fine-tunes a classifier on labelled rows. [`crate::train::finetune`] takes a device, an observer
/// and a way to stop as well.
///
/// # Errors
/// Whatever is wrong with the rows, the model, the settings or the disk.
pub fn finetune(settings: &FinetuneSettings) -> Result<FinetuneOutcome> {
    polyseme_train::finetune(settings, false, &best_device(), &mut Silent, &Stop::default())
}

fn best_device() -> polyseme_tensor::Device {
    polyseme_tensor::device::parse("auto").expect("there is always the processor")
}
