//! Fine-tuning on labelled rows for a task, over one or several seeds.

mod adapter;
pub mod data;
mod freeze;
mod head;
pub mod read;
mod seed;
pub mod settings;

use crate::error::{Error, Result};
pub use crate::metrics::metrics_of;
use crate::observer::{Event, Observer, Stop};
use crate::run_setup::{self, Before};
use crate::tasks::Task;
use crate::tasks::features::Features;
use crate::tasks::rows::LooksAt;
pub use freeze::Freeze;
use head::Probe;
use polyseme_formats::ModelFolder;
use polyseme_formats::folder::{Pooling, SentenceModules, write_sentence_modules};
use polyseme_formats::run::RunFolder;
use polyseme_models::adapters::FILES;
use polyseme_models::{HeadKind, Model};
use polyseme_tensor::{Device, Stream};
use polyseme_text::Tokenizer;
use read::Reading;
use settings::usual_learning_rate;
pub use settings::{FinetuneOutcome, FinetuneSettings, SeedResult};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Settings that a resumed run may have otherwise than at its beginning: they change no weight.
const MAY_CHANGE: [&str; 5] = ["out", "seeds", "gradient_checkpointing", "save_every_seconds", "save_every_steps"];

/// Everything the seeds share.
struct Shared {
    /// With the learning rate resolved.
    settings: FinetuneSettings,
    tokenizer: Tokenizer,
    task: Box<dyn Task>,
    device: Device,
    /// Names rows and model.
    fingerprint: String,
    /// Hidden states of the rows, where no seed changes the encoder. They are made when they are first needed.
    features: OnceLock<Option<Features>>,
}

impl Shared {
    /// The hidden states of all rows, if the encoder stays as it is.
    fn features(&self, model: &Model, observer: &mut dyn Observer) -> Option<&Features> {
        if self.settings.freeze != Freeze::Encoder {
            return None;
        }
        let features = self.features.get_or_init(|| {
            observer.event(Event::Note("the encoder stays as it is: its hidden states are computed once"));
            Features::of(model, &*self.task)
        });
        features.as_ref()
    }
}

/// Runs (or, with `resume`, goes on with) a fine-tuning.
///
/// In `settings.out` it leaves a model folder with `id2label`, the tokenizer's files, and
/// `run/results.json`; each seed has `run/seed-<n>/`, a model folder with a run of its own.
/// Stages reported: "encode", "fine-tune, seed n".
///
/// # Errors
/// Contradicting settings, a model or a table that cannot be read, rows that lack something, labels
/// that do not fit, an output folder that cannot be written: all before anything is left there.
pub fn finetune(
    settings: &FinetuneSettings,
    resume: bool,
    device: &Device,
    observer: &mut dyn Observer,
    stop: &Stop,
) -> Result<FinetuneOutcome> {
    settings.check()?;
    let device = device.clone().autodiff();
    let shared = prepare(settings, &device, observer)?;
    let settings = &shared.settings;
    let before = Before::look(&settings.out);
    let (first, new) = seed::model(&shared, settings.seed)?;
    let parameters: usize = first.parameters().iter().map(|p| p.shape.iter().product::<usize>()).sum();
    // Of one seed at a time checkpoints with moments and best weights; of each seed a model.
    let need = (11 + settings.seeds) * 4 * parameters as u64;
    let mut folder = run_setup::open(&settings.out, settings, resume, need, &MAY_CHANGE)?;
    // Random features know nothing worth beginning with.
    let probes = new && settings.probe_first && !settings.from_scratch;
    let probe = shared.task.classes().filter(|_| probes);
    let probe = probe.and_then(|(labels, classes)| Probe::new(&first, shared.task.train(), labels, classes));
    drop(first);
    if let Some(probe) = &probe {
        observer.event(Event::Note(&format!(
            "the head begins as a linear probe that knows {:.0} % of the rows it has not seen",
            100.0 * probe.known
        )));
    }
    let mut results = Vec::new();
    for n in settings.seed..settings.seed + settings.seeds {
        observer.event(Event::Stage(&format!("fine-tune, seed {n}")));
        let found = seed::run(&shared, n, probe.as_ref(), resume, &seed_folder(&folder, n), observer, stop);
        match found {
            Ok(Some(result)) => {
                if let Some(said) = result.valid.stuck() {
                    let text = format!("seed {n} is stuck: it says {said} of all validation rows");
                    observer.event(Event::Warning(&text));
                }
                results.push(result);
            }
            Ok(None) => return Ok(outcome(settings, results, true)),
            Err(error) => {
                drop(folder);
                if !resume && results.is_empty() && !matches!(error, Error::Diverged { .. }) {
                    before.restore();
                }
                return Err(error);
            }
        }
    }
    let outcome = outcome(settings, results, false);
    publish(&shared, &mut folder, &outcome)?;
    Ok(outcome)
}

fn seed_folder(folder: &RunFolder, n: u64) -> PathBuf {
    folder.path().join(format!("seed-{n}"))
}

/// Reads model folder and rows, and encodes these.
fn prepare(settings: &FinetuneSettings, device: &Device, observer: &mut dyn Observer) -> Result<Shared> {
    adapter::check_folder(settings)?;
    let tokenizer = Tokenizer::open(&settings.model)?;
    let source = ModelFolder::open(&settings.model)?;
    let (model, _) = Model::open(&source, HeadKind::None, Stream::new(settings.seed), device)?;
    check_model(settings, &tokenizer, &model)?;
    let longest = adapter::longest(settings, &model)?;
    let settings = with_rate(settings, &model, observer);
    let config = model.config().clone();
    drop(model);

    let columns = settings.columns();
    let reading = Reading {
        columns: &columns,
        label_separator: &settings.label_separator,
        tokenizer: &tokenizer,
        longest,
        stride: settings.stride,
        vectors: vectors_of(source.sentence_modules()?.map(|modules| modules.pooling))?,
    };
    let task = reading.to_learn(&settings, &|labels| like_the_model(labels, &source), observer)?;
    reading.fits(task.train(), &config)?;
    reading.fits(task.valid(), &config)?;
    let cut = task.train().truncated + task.valid().truncated;
    if cut > 0 {
        let all = task.train().len() + task.valid().len();
        let whose = if longest < settings.max_length { "the most this model takes" } else { "max_length" };
        observer.event(Event::Note(&format!("{cut} of {all} texts were cut to {longest} tokens ({whose})")));
    }
    let (train, valid, targets) = (task.train().hash(), task.valid().hash(), task.targets_hash());
    let fingerprint = format!("{train:016x} {valid:016x} {targets:016x}");
    Ok(Shared { settings, tokenizer, task, device: device.clone(), fingerprint, features: OnceLock::new() })
}

/// What a sentence vector is made of, by how a folder pools: the mean where it says nothing.
pub(crate) fn vectors_of(pooling: Option<Pooling>) -> Result<LooksAt> {
    match pooling {
        None | Some(Pooling::Mean) => Ok(LooksAt::Means),
        Some(Pooling::Cls) => Ok(LooksAt::Firsts),
        Some(Pooling::Max) => Err(Error::Setting {
            key: "pooling".into(),
            found: "max".into(),
            expected: "mean or cls, in 1_Pooling/config.json of the model".into(),
        }),
    }
}

/// The settings with a learning rate: by the model's size, if none was given.
fn with_rate(settings: &FinetuneSettings, model: &Model, observer: &mut dyn Observer) -> FinetuneSettings {
    let mut settings = settings.clone();
    if settings.optimizer.learning_rate == 0.0 {
        let adapter = adapter::rate(&settings);
        let rate = usual_learning_rate(model.config()) * adapter.map_or(1.0, |(_, times)| times);
        let (layers, width) = (model.config().num_hidden_layers, model.config().hidden_size);
        let how = adapter.map(|(name, _)| format!(" and for {name}")).unwrap_or_default();
        let text = format!("learning rate {rate:e}, by the model's size ({layers} layers × {width}){how}");
        observer.event(Event::Note(&text));
        settings.optimizer.learning_rate = rate;
    }
    settings
}

/// What of the settings the model cannot do.
fn check_model(settings: &FinetuneSettings, tokenizer: &Tokenizer, model: &Model) -> Result<()> {
    let folder = settings.model.clone();
    let config = model.config();
    if tokenizer.vocab_size() > config.vocab_size {
        return Err(Error::VocabularyMismatch { folder, tokenizer: tokenizer.vocab_size(), model: config.vocab_size });
    }
    Ok(())
}

/// The labels in the order of the model's `id2label`, if they are the same set, so that its head is
/// kept; else in their own order.
fn like_the_model(labels: Vec<String>, source: &ModelFolder) -> Result<Vec<String>> {
    let known = source.config()?.take("id2label");
    let Some(serde_json::Value::Object(known)) = known else { return Ok(labels) };
    let mut known: Vec<(usize, String)> =
        known.iter().filter_map(|(id, l)| Some((id.parse().ok()?, l.as_str()?.to_owned()))).collect();
    known.sort();
    let known: Vec<String> = known.into_iter().map(|(_, label)| label).collect();
    let sorted = |mut l: Vec<String>| {
        l.sort();
        l
    };
    Ok(if sorted(known.clone()) == sorted(labels.clone()) { known } else { labels })
}

/// Median, spread and the seed in the middle.
fn outcome(settings: &FinetuneSettings, results: Vec<SeedResult>, interrupted: bool) -> FinetuneOutcome {
    let metric = |r: &SeedResult| r.valid.get(&settings.metric).expect("checked with the settings");
    let mut order: Vec<&SeedResult> = results.iter().collect();
    order.sort_by(|a, b| metric(a).total_cmp(&metric(b)).then(a.seed.cmp(&b.seed)));
    let n = order.len();
    let (median, spread, chosen) = if n == 0 {
        (f64::NAN, (f64::NAN, f64::NAN), settings.seed)
    } else {
        let middle = 0.5 * (metric(order[(n - 1) / 2]) + metric(order[n / 2]));
        (middle, (metric(order[0]), metric(order[n - 1])), order[(n - 1) / 2].seed)
    };
    let learning_rate = settings.optimizer.learning_rate;
    FinetuneOutcome { model: settings.out.clone(), learning_rate, results, chosen, median, spread, interrupted }
}

/// Copies the chosen seed's model and rows to the output folder and writes the results.
fn publish(shared: &Shared, folder: &mut RunFolder, outcome: &FinetuneOutcome) -> Result<()> {
    let chosen = seed_folder(folder, outcome.chosen);
    let out = &shared.settings.out;
    for name in FILES.into_iter().chain(["model.safetensors", "config.json"]) {
        if chosen.join(name).exists() {
            copy(&chosen.join(name), &out.join(name))?;
        }
    }
    shared.tokenizer.save(out)?;
    write_modules(shared, out)?;
    let rows = RunFolder::resume(&chosen)?.rows()?;
    folder.truncate_log(0)?;
    rows.iter().try_for_each(|row| folder.log(row))?;
    write_json(&folder.path().join("results.json"), outcome)
}

/// Says how the vectors of an encoder that learned them are made, so that sentence-transformers opens it.
fn write_modules(shared: &Shared, out: &Path) -> Result<()> {
    let pooling = match shared.task.train().looks_at {
        LooksAt::Means => Pooling::Mean,
        LooksAt::Firsts => Pooling::Cls,
        _ => return Ok(()),
    };
    let config = ModelFolder::open(out)?.config()?;
    let width = ["hidden_size", "dim"].iter().find_map(|key| config.peek(key)?.as_u64()).unwrap_or(0) as usize;
    let modules = SentenceModules { pooling, normalize: true, max_seq_length: Some(shared.settings.max_length) };
    Ok(write_sentence_modules(out, &modules, width)?)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let mut source = std::fs::File::open(from).map_err(|source| polyseme_formats::Error::Io {
        action: "read",
        path: from.to_owned(),
        source,
    })?;
    Ok(polyseme_formats::atomic::write(to, |file| std::io::copy(&mut source, file).map(drop))?)
}

fn write_json<T: serde::Serialize>(path: &Path, value: &T) -> Result<()> {
    Ok(polyseme_formats::atomic::write(path, |file| {
        serde_json::to_writer_pretty(&mut *file, value)?;
        file.write_all(b"\n")
    })?)
}
