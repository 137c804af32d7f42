//! Pre-training: from files of text to a model folder.

mod initial;
mod prepare;
pub mod settings;

use crate::error::{Error, Result};
use crate::objective::mlm;
use crate::observer::{Event, Observer, Stop};
use crate::run_setup::{self, Before};
use crate::sampler::Sampler;
use crate::state::{self, Begun, RunState};
use crate::training_loop::{End, Plan, Training};
use polyseme_formats::ModelFolder;
use polyseme_formats::folder::write_sentence_modules;
use polyseme_formats::run::RunFolder;
use polyseme_models::HeadKind;
use polyseme_tensor::{Device, Stream};
use prepare::{Checkpoint, Prepared};
use serde::{Deserialize, Serialize};
pub use settings::{
    DataSettings, DocumentSettings, InitialEmbeddings, Length, MaskingSettings, ModelSettings, OptimizerSettings,
    PretrainSettings, Recipe, TokenizerSettings,
};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// What came out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PretrainOutcome {
    /// The model folder.
    pub model: PathBuf,
    /// Steps done; 0 if it was interrupted before the loop began.
    pub steps: u64,
    /// Tokens seen.
    pub tokens: u64,
    /// Seconds spent.
    pub seconds: f64,
    /// Masked-token loss on held-out documents, in nats; of a student that is asked for no token, how far it is from its
    /// teacher. Not a number if it was interrupted
    /// before it was measured.
    pub valid_loss: f64,
    /// Masked-token accuracy there. Not a number likewise, or where no token is asked for.
    pub valid_accuracy: f64,
    /// Share of held-out pieces whose parts' order was told, where that was learned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_accuracy: Option<f64>,
    /// Entropy of the unigram distribution of the corpus in nats: what knowing only word
    /// frequencies gives; the loss must fall below it for the model to have learned context. Not a
    /// number if it was interrupted before it was counted.
    pub unigram_entropy: f64,
    /// Whether it was stopped before its end (`Stop`); it can be resumed.
    pub interrupted: bool,
}

impl PretrainOutcome {
    /// Whether it is a student that was asked for no hidden token.
    pub fn predicts_nothing(&self) -> bool {
        self.valid_loss.is_finite() && self.valid_accuracy.is_nan()
    }
}

/// Settings that a resumed run may have otherwise than at its beginning: they change no weight.
const MAY_CHANGE: [&str; 6] = [
    "out",
    "data.gradient_checkpointing",
    "data.keep",
    "data.log_every",
    "data.save_every_seconds",
    "data.save_every_steps",
];

/// For a resumed run whose data are not those it began with.
const WHAT_CHANGED: &str = "the corpus or its tokenizer";

/// Runs (or, with `resume`, goes on with) a pre-training.
///
/// In `settings.out` it leaves a model folder (`config.json`, `model.safetensors`, the tokenizer's
/// files) and in `run/` beside them settings, log, token store and checkpoints. Stages reported:
/// "train tokenizer", "build token store", "pre-train".
///
/// # Errors
/// Contradicting settings, an unreadable corpus or checkpoint, an output folder that cannot be
/// written or holds a run already: all before anything is left there. Too little text, and a
/// training that diverges, later.
pub fn pretrain(
    settings: &PretrainSettings,
    resume: bool,
    device: &Device,
    observer: &mut dyn Observer,
    stop: &Stop,
) -> Result<PretrainOutcome> {
    settings.check()?;
    let corpus = polyseme_text::CorpusReader::open(&settings.corpus, settings.text_column.as_deref())?;
    let stream = Stream::new(settings.seed);
    let device = device.clone().autodiff();
    let from = Checkpoint::open(settings, stream.named("init"), &device)?;
    let before = Before::look(&settings.out);
    let need = prepare::disk_bytes(settings, from.as_ref(), corpus.bytes());
    let folder = run_setup::open(&settings.out, settings, resume, need, &MAY_CHANGE)?;
    match prepare::prepare(settings, resume, &corpus, from, &folder, &device, observer, stop) {
        Ok(prepared) => train(settings, prepared, folder, observer, stop),
        Err(Error::Stopped | Error::Text(polyseme_text::Error::Stopped)) => Ok(stopped_early(settings)),
        Err(error) => {
            // The lock goes first. A resumed run keeps what it has.
            drop(folder);
            if !resume {
                before.restore();
            }
            Err(error)
        }
    }
}

/// What there is to say of a run that was stopped before the loop.
fn stopped_early(settings: &PretrainSettings) -> PretrainOutcome {
    PretrainOutcome {
        model: settings.out.clone(),
        steps: 0,
        tokens: 0,
        seconds: 0.0,
        valid_loss: f64::NAN,
        valid_accuracy: f64::NAN,
        order_accuracy: None,
        unigram_entropy: f64::NAN,
        interrupted: true,
    }
}

/// The loop and what comes after it.
fn train(
    settings: &PretrainSettings,
    prepared: Prepared,
    mut folder: RunFolder,
    observer: &mut dyn Observer,
    stop: &Stop,
) -> Result<PretrainOutcome> {
    let Prepared { tokenizer, store, held_out, masker, objective, unigram_entropy, mut model, fingerprint } = prepared;
    let stream = Stream::new(settings.seed);
    let data = &settings.data;
    let specials = masker.specials();
    let short = (data.short_share > 0.0).then(|| data.short_seq_len - specials);
    let sampler = Sampler::new(&store, &held_out, short, data.seq_len - specials, stream.named("order"));

    let fresh = RunState { data: fingerprint, position: sampler.start(), ..RunState::default() };
    let Begun { state, optimizer, .. } =
        state::resume_or_begin(&mut folder, &mut model, fresh, WHAT_CHANGED, &|_, _| (), observer)?;
    let lengthen = Arc::new(AtomicBool::new(state.lengthened));
    let at = (state.step, state.position);
    let masks = stream.named("mask");
    let steps = mlm::Steps::new(&store, &sampler, &masker, data, settings.length, masks, lengthen.clone(), at);
    let plan = plan(settings, stream);
    observer.event(Event::Stage("pre-train"));
    let mut training = Training {
        plan: &plan,
        saved_best: None,
        model: &mut model,
        optimizer,
        behind: None,
        state,
        folder: &mut folder,
        observer,
        stop,
        lengthen,
    };
    let end = training.run(&objective, steps)?;
    let state = training.state;
    if end == End::Finished {
        model.save(&settings.out)?;
        tokenizer.save(&settings.out)?;
        if let (HeadKind::None, Some(teacher)) = (model.head(), &settings.distil.teacher)
            && let Some(modules) = ModelFolder::open(teacher)?.sentence_modules()?
        {
            write_sentence_modules(&settings.out, &modules, model.config().hidden_size)?;
        }
    }
    let measured = |name: &str| state.valid.get(name).map_or(f64::NAN, |v| *v);
    Ok(PretrainOutcome {
        model: settings.out.clone(),
        steps: state.step,
        tokens: state.tokens,
        seconds: state.seconds,
        valid_loss: measured("loss"),
        valid_accuracy: measured("accuracy"),
        order_accuracy: state.valid.get("order_accuracy").copied(),
        unigram_entropy,
        interrupted: end == End::Interrupted,
    })
}

/// What the loop is told.
fn plan(settings: &PretrainSettings, stream: Stream) -> Plan {
    let data = &settings.data;
    let (budget, total_steps) = match settings.length {
        Length::Budget(seconds) => (Some(seconds), None),
        Length::Steps(steps) => (None, Some(steps)),
        Length::Epochs(_) => (None, None),
    };
    Plan {
        optimizer: settings.optimizer.clone(),
        budget,
        total_steps,
        short_share: data.short_share,
        valid_every: data.valid_every,
        save_every_seconds: data.save_every_seconds,
        save_every_steps: data.save_every_steps,
        keep: data.keep,
        log_every: data.log_every,
        selection: None,
        stages: None,
        stream,
    }
}
