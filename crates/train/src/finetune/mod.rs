//! Fine-tuning on labelled rows for a task, over one or several seeds or folds.

mod adapter;
pub mod data;
mod folds;
mod freeze;
mod head;
mod importance;
mod more_rows;
pub mod read;
mod seed;
pub mod settings;
mod shown;
mod steps;

use crate::analysis;
use crate::distil::{Taught, Teacher};
use crate::error::{Error, Result};
pub use crate::metrics::metrics_of;
use crate::observer::{Event, Observer, Silent, Stop};
use crate::run_setup::{self, Before};
use crate::sparse::Zeros;
use crate::tasks::Task;
use crate::tasks::features::Features;
use crate::tasks::rows::LooksAt;
pub use freeze::Freeze;
use head::Probe;
pub use importance::importance;
use polyseme_formats::ModelFolder;
use polyseme_formats::folder::{Pooling, SentenceModules, write_sentence_modules};
use polyseme_formats::run::RunFolder;
use polyseme_models::adapters::FILES;
use polyseme_models::{HeadKind, Model};
use polyseme_tensor::{Device, Stream};
use polyseme_text::Tokenizer;
use read::Reading;
pub use seed::GATES;
use seed::One;
use settings::usual_learning_rate;
pub use settings::{CrossValidation, FinetuneOutcome, FinetuneSettings, SeedResult};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// Settings that a resumed run may have otherwise than at its beginning: they change no weight.
const MAY_CHANGE: [&str; 5] = ["out", "seeds", "gradient_checkpointing", "save_every_seconds", "save_every_steps"];

/// Everything the seeds share; each fold has its own.
struct Shared {
    /// With the learning rate resolved.
    settings: FinetuneSettings,
    tokenizer: Arc<Tokenizer>,
    task: Box<dyn Task>,
    device: Device,
    /// Names rows and model.
    fingerprint: String,
    /// Hidden states of the rows, where no seed changes the encoder. They are made when they are first needed.
    features: OnceLock<Option<Features>>,
    /// How a new head begins, computed when it is first needed.
    probe: OnceLock<Option<Probe>>,
    /// Who teaches, if anybody does.
    teacher: Option<Teacher>,
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

    /// The teacher with what is learned from it.
    fn taught(&self) -> Option<Taught<'_>> {
        self.teacher.as_ref().map(|teacher| Taught { teacher, settings: &self.settings.distil })
    }

    /// How a head that is new begins where it is not by chance; the same for every seed.
    fn probe(&self, model: &Model, new: bool, observer: &mut dyn Observer) -> Option<&Probe> {
        // Random features know nothing worth beginning with.
        let probes = new && self.settings.probe_first && !self.settings.from_scratch;
        let (labels, classes) = self.task.classes().filter(|_| probes)?;
        let probe = self.probe.get_or_init(|| {
            let probe = Probe::new(model, self.task.train(), labels, classes)?;
            observer.event(Event::Note(&format!(
                "the head begins as a linear probe that knows {:.0} % of the rows it has not seen",
                100.0 * probe.known
            )));
            Some(probe)
        });
        probe.as_ref()
    }
}

/// Runs (or, with `resume`, goes on with) a fine-tuning.
///
/// In `settings.out` it leaves a model folder with `id2label`, the tokenizer's files, and
/// `run/results.json` and `run/analysis.json`; each seed has `run/seed-<n>/`, a model folder with a run of its own. So
/// has each fold, `run/fold-<n>/`, and the run on all rows after them, `run/all/`.
/// Stages reported: "encode", "fine-tune, seed n"; "fine-tune, fold n", "fine-tune on all rows".
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
    let mut all = prepare(settings, &device, observer)?;
    let settings = &all[0].settings.clone();
    let before = Before::look(&settings.out);
    let (first, _) = seed::model(&all[0], settings.seed)?;
    settings.check_dropout(&first, &*all[0].task)?;
    if let (Some(teacher), Some(folder)) = (&all[0].teacher, &settings.distil.teacher) {
        settings.distil.check_sizes(first.config(), teacher.model().config())?;
        if !resume {
            teacher.measure(&*all[0].task, folder, &settings.metric, observer)?;
        }
    }
    for teacher in all.iter_mut().filter_map(|shared| shared.teacher.as_mut()) {
        teacher.set_bf16(settings.optimizer.rounding_of_teacher());
    }
    let parameters: usize = first.parameters().iter().map(|p| p.shape.iter().product::<usize>()).sum();
    // Of one run at a time checkpoints with moments and best weights; of each a model.
    let runs = if settings.folds > 0 { settings.folds + 1 } else { settings.seeds };
    let need = (11 + runs) * 4 * parameters as u64;
    let mut folder = run_setup::open(&settings.out, settings, resume, need, &MAY_CHANGE)?;
    if let Some(text) = settings.told_of_stages(&first) {
        observer.event(Event::Note(&text));
    }
    settings.optimizer.tell_precision(observer);
    drop(first);
    let mut results = Vec::new();
    for (which, fold, seed) in ones(settings) {
        let (name, number) = fold.map_or(("seed", seed), |fold| ("fold", fold));
        let one = One { seed, fold, out: folder.path().join(format!("{name}-{number}")) };
        observer.event(Event::Stage(&format!("fine-tune, {name} {number}")));
        match seed::run(&all[which], &one, resume, observer, stop) {
            Ok(Some(result)) => {
                if let Some(said) = result.valid.stuck() {
                    let text = format!("{name} {number} is stuck: it says {said} of all validation rows");
                    observer.event(Event::Warning(&text));
                }
                results.push(result);
                if fold.is_some() {
                    all[which].features.take(); // nobody else needs them
                }
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
    if settings.folds > 0 {
        let epochs = folds::epochs(&results);
        observer.event(Event::Stage("fine-tune on all rows"));
        observer.event(Event::Note(&format!("for {epochs} epoch(s), the median of the folds' best")));
        let one = One { seed: settings.seed, fold: None, out: folder.path().join("all") };
        if !seed::run_on_all(&all[0], &one, (epochs, &results), resume, observer, stop)? {
            return Ok(outcome(settings, results, true));
        }
    }
    let mut outcome = outcome(settings, results, false);
    if settings.sparse.is_on() {
        let source = ModelFolder::open(&kept_folder(&folder, &outcome))?;
        let (model, _) = Model::open(&source, HeadKind::AsFound, Stream::new(0), &all[0].device)?;
        outcome.zeros = Some(Zeros::of(&model));
    }
    publish(&all[0], &mut folder, &outcome)?;
    Ok(outcome)
}

/// The runs that measure: number of what they share, fold and seed.
fn ones(settings: &FinetuneSettings) -> Vec<(usize, Option<u64>, u64)> {
    let (seed, seeds) = (settings.seed, settings.seed..settings.seed + settings.seeds);
    match settings.folds {
        0 => seeds.map(|n| (0, None, n)).collect(),
        folds => (1..=folds).map(|fold| (fold as usize, Some(fold), seed)).collect(),
    }
}

/// The folder of the run whose model is kept.
fn kept_folder(folder: &RunFolder, outcome: &FinetuneOutcome) -> PathBuf {
    match outcome.cross_validation {
        None => folder.path().join(format!("seed-{}", outcome.chosen)),
        Some(_) => folder.path().join("all"),
    }
}

/// Reads model folder and rows, and encodes these: of cross-validation all rows, then those of each fold.
fn prepare(settings: &FinetuneSettings, device: &Device, observer: &mut dyn Observer) -> Result<Vec<Shared>> {
    adapter::check_folder(settings)?;
    let tokenizer = Tokenizer::open(&settings.model)?;
    let source = ModelFolder::open(&settings.model)?;
    let (model, _) = Model::open(&source, HeadKind::None, Stream::new(settings.seed), device)?;
    if !settings.from_scratch {
        model.check_learns(&settings.model)?;
    }
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
        max_new_tokens: settings.max_new_tokens,
        vectors: vectors_of(source.sentence_modules()?.map(|modules| modules.pooling))?,
    };
    // A teacher's labels stand in its order.
    let known = match &settings.distil.teacher {
        Some(teacher) => ModelFolder::open(teacher)?,
        None => source.clone(),
    };
    let like_known = |labels| like_the_model(labels, &known);
    let mut tasks: Vec<Box<dyn Task>> = Vec::new();
    for which in settings.splits() {
        // What there is to say of the rows is said once.
        let observer: &mut dyn Observer = if tasks.is_empty() { observer } else { &mut Silent };
        let task = reading.to_learn(&settings, which, &like_known, observer)?;
        reading.fits(task.train(), &config)?;
        reading.fits(task.valid(), &config)?;
        let cut = task.train().truncated + task.valid().truncated;
        if cut > 0 {
            let all = task.train().len() + task.valid().len();
            let whose = if longest < settings.max_length { "the most this model takes" } else { "max_length" };
            observer.event(Event::Note(&format!("{cut} of {all} texts were cut to {longest} tokens ({whose})")));
        }
        tasks.push(task);
    }
    let tokenizer = Arc::new(tokenizer);
    let shared = |task: Box<dyn Task>| {
        let teacher = settings.distil.teacher.as_ref();
        let teacher = teacher.map(|folder| Teacher::open(folder, &*task, &tokenizer, device)).transpose()?;
        Ok(Shared {
            teacher,
            settings: settings.clone(),
            tokenizer: tokenizer.clone(),
            device: device.clone(),
            fingerprint: format!(
                "{:016x} {:016x} {:016x}",
                task.train().hash(),
                task.valid().hash(),
                task.targets_hash()
            ),
            task,
            features: OnceLock::new(),
            probe: OnceLock::new(),
        })
    };
    tasks.into_iter().map(shared).collect()
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

/// Median, spread and the seed in the middle; of folds once all are measured also their mean.
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
    let chosen = if settings.folds > 0 { settings.seed } else { chosen };
    let values: Vec<f64> = results.iter().map(metric).collect();
    let cross_validation =
        (settings.folds > 0 && n as u64 == settings.folds).then(|| CrossValidation::new(&values, &results));
    FinetuneOutcome {
        model: settings.out.clone(),
        learning_rate: settings.optimizer.learning_rate,
        results,
        chosen,
        median,
        spread,
        cross_validation,
        zeros: None,
        interrupted,
    }
}

/// Copies the kept run's model and rows to the output folder and writes the results.
fn publish(shared: &Shared, folder: &mut RunFolder, outcome: &FinetuneOutcome) -> Result<()> {
    let chosen = kept_folder(folder, outcome);
    let out = &shared.settings.out;
    for name in FILES.into_iter().chain(["model.safetensors", "config.json"]) {
        if chosen.join(name).exists() {
            copy(&chosen.join(name), &out.join(name))?;
        }
    }
    shared.tokenizer.save(out)?;
    write_modules(shared, out)?;
    // What is wrong is told of a run that was measured.
    let fold = outcome.in_the_middle(&shared.settings.metric).and_then(|result| result.fold);
    let measured = fold.map_or(chosen.clone(), |fold| folder.path().join(format!("fold-{fold}")));
    if measured.join(analysis::FILE).exists() {
        copy(&measured.join(analysis::FILE), &folder.path().join(analysis::FILE))?;
    }
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
