//! The settings of a tour's runs, and how its minutes are shared out.

use super::files::Files;
use crate::settings::recipe;
use polyseme_text::Tokenizer;
use polyseme_train::pretrain::Length;
use polyseme_train::{FinetuneSettings, PretrainOutcome, PretrainSettings};

/// Share of the whole that goes into pre-training.
const PRETRAIN_SHARE: f64 = 0.5;
/// Seeds of each arm.
pub const SEEDS: u64 = 5;
/// Learning rates that both arms may choose from.
pub const RATES: [f64; 3] = [3e-4, 1e-3, 3e-3];
/// Passes over the labelled rows, as the time allows.
const EPOCHS: (f64, f64) = (4.0, 20.0);
/// Longest labelled text in tokens.
pub const MAX_LENGTH: usize = 96;
/// Share of the cost of a training pass over rows that one forward pass over them has.
const FORWARD: f64 = 0.35;
/// Seconds a run takes besides its steps: reading, encoding, writing.
const RUN_OVERHEAD: f64 = 0.7;

/// The pre-training of a tour of `seconds` in all.
pub fn pretraining(files: &Files, seconds: f64, seed: u64) -> crate::settings::Result<PretrainSettings> {
    let mut settings = recipe("tiny")?;
    settings.corpus = vec![files.corpus.clone()];
    settings.out = files.encoder.clone();
    settings.seed = seed;
    settings.length = Length::Budget(seconds * PRETRAIN_SHARE);
    Ok(settings)
}

/// One way of learning the task: from the encoder, or from random weights in its shape.
pub fn finetuning(files: &Files, from_scratch: bool, rate: f64, epochs: u64, seed: u64) -> FinetuneSettings {
    let name = if from_scratch { "scratch" } else { "pretrained" };
    let out = files.work.join(format!("{name}-{rate:e}"));
    let mut settings = FinetuneSettings::classify(&files.encoder, &files.train, out);
    settings.from_scratch = from_scratch;
    settings.valid = Some(files.valid.clone());
    settings.text = Some("text".to_owned());
    settings.label = Some("label".to_owned());
    settings.epochs = epochs;
    settings.patience = 0;
    settings.batch_size = 16;
    settings.max_length = MAX_LENGTH;
    settings.optimizer.learning_rate = rate;
    settings.seed = seed;
    settings
}

/// Runs of both arms: each rate once, the best one with all seeds.
pub fn runs() -> u64 {
    2 * (RATES.len() as u64 + SEEDS - 1)
}

/// Tokens of rows as the model sees them.
pub fn count_tokens<'a>(texts: impl Iterator<Item = &'a str>, tokenizer: &Tokenizer) -> polyseme_text::Result<f64> {
    let mut sum = 0;
    for text in texts {
        sum += tokenizer.encode(text, None, MAX_LENGTH)?.ids.len();
    }
    Ok(sum as f64)
}

/// Passes over the rows that fit into the seconds left, from the speed that pre-training had. The same
/// for both arms.
pub fn epochs(pretrain: &PretrainOutcome, (train, valid, test): (f64, f64, f64), seconds_left: f64) -> u64 {
    let speed = pretrain.tokens as f64 / pretrain.seconds.max(1e-3);
    let measuring = 2.0 * SEEDS as f64 * test * FORWARD / speed;
    let each_run = (seconds_left - measuring) / runs() as f64 - RUN_OVERHEAD;
    let epoch = (train + valid * FORWARD) / speed;
    (each_run / epoch).clamp(EPOCHS.0, EPOCHS.1).floor() as u64
}
