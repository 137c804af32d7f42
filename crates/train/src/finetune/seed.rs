//! One seed of a fine-tuning run, or one fold: a model folder with a run of its own.

use super::{SeedResult, Shared, adapter, write_json};
use crate::analysis;
use crate::behind::Behind;
use crate::error::{Error, Result};
use crate::gates::Gates;
use crate::metrics::{Metrics, is_error};
use crate::observer::{Event, Observer, Stop};
use crate::sparse::Sparse;
use crate::state::{self, Begun, RunState};
use crate::tasks::Supervised;
use crate::tasks::rows::Steps;
use crate::training_loop::{End, Plan, Selection, Training, best_path};
use polyseme_formats::ModelFolder;
use polyseme_formats::run::RunFolder;
use polyseme_formats::tensors::TensorFile;
use polyseme_models::{HeadKind, Model};
use polyseme_tensor::Stream;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// For a resumed run whose data are not those it began with.
const WHAT_CHANGED: &str = "the labelled rows, their labels or the tokenizer";

/// How open gates are in the end, in a seed's folder.
pub const GATES: &str = "gates.json";

/// The model a seed begins with: the folder's encoder (or one like it with random weights) and a
/// head, with what is frozen; and whether its head has a dense layer that is new.
pub(super) fn model(shared: &Shared, seed: u64) -> Result<(Model, bool)> {
    let settings = &shared.settings;
    let init = Stream::new(seed).named("init");
    let head = shared.task.head();
    let source = ModelFolder::open(&settings.model)?;
    let (mut model, new) = if settings.from_scratch {
        let (like, _) = Model::open(&source, HeadKind::None, init, &shared.device)?;
        let mut model = Model::new(like.family(), like.config().clone(), head, init, &shared.device)?;
        if settings.mix_layers {
            model.mix_layers(init);
        }
        (model, true)
    } else {
        let (mut model, report) = Model::open(&source, head, init, &shared.device)?;
        let other = settings.mix_layers && model.mix_layers(init);
        let is_new = |of: &str| other || report.missing.iter().any(|name| name == of);
        model = settings.distil.student_of(model)?;
        let known = model.head().outputs().is_some() && !is_new(model.task_output());
        let new = model.head().outputs().is_some() && model.plain_head().is_some_and(|(dense, _)| is_new(dense));
        shared.task.begin(&mut model, known);
        (model, new)
    };
    if !adapter::add(settings, &mut model, init)? {
        settings.freeze.check(&model, &settings.model)?;
        let freeze = settings.freeze.clone();
        model.set_trainable(&|p| freeze.tunes(p));
    }
    if let Some(teacher) = &shared.teacher
        && settings.distil.compares_states()
        && teacher.model().config().hidden_size != model.config().hidden_size
    {
        model.add_projection(teacher.model().config().hidden_size, init);
    }
    model.set_gradient_checkpointing(settings.gradient_checkpointing);
    settings.optimizer.choose_precision(&mut model)?;
    if settings.quantizes() {
        model.learn_in_few();
    }
    Ok((model, new))
}

/// Which run it is, and where.
pub(super) struct One {
    /// Names its random streams.
    pub seed: u64,
    /// The fold that measures, from 1.
    pub fold: Option<u64>,
    /// Its folder.
    pub out: PathBuf,
}

/// Trains a seed or a fold, or goes on with it, or takes its result if it is there already. `None`: it was
/// asked to stop.
pub(super) fn run(
    shared: &Shared,
    one: &One,
    resume: bool,
    observer: &mut dyn Observer,
    stop: &Stop,
) -> Result<Option<SeedResult>> {
    let result_path = one.out.join("result.json");
    if resume && let Some(Finished { result, data }) = finished(&result_path) {
        same_data(shared, &data, &one.out)?;
        let which = one.fold.map_or(format!("seed {}", one.seed), |fold| format!("fold {fold}"));
        observer.event(Event::Note(&format!("{which} was finished before")));
        return Ok(Some(result));
    }
    let Some(mut trained) = train(shared, one, shared.settings.epochs, resume, observer, stop)? else {
        return Ok(None);
    };
    let best = trained.state.best.as_ref().expect("every run validates at its end").step;
    let best_weights = best_path(&trained.folder, best);
    trained.model.load_tensors(&TensorFile::open(&best_weights)?)?;
    if shared.settings.quantizes() {
        // What is measured and written is what will be used.
        trained.model.round_what_learned();
    }
    let features = shared.features(&trained.model, observer);
    let (valid, analysis) = Supervised::new(&*shared.task, features).finish(&mut trained.model);
    analysis.write(&one.out.join(analysis::FILE))?;
    let result = SeedResult { seed: one.seed, fold: one.fold, epoch: best.div_ceil(trained.per_epoch), valid };
    write(shared, &trained.model, &one.out)?;
    let result = Finished { result, data: shared.fingerprint.clone() };
    write_json(&result_path, &result)?;
    // As it is read back: a resumed run must compare the same digits.
    let Finished { result, .. } = finished(&result_path).unwrap_or(result);
    // The result is whole: what was kept for a resume is needed no more.
    let _ = std::fs::remove_dir_all(trained.folder.path().join("checkpoints"));
    let _ = std::fs::remove_file(best_weights);
    Ok(Some(result))
}

/// Trains on all rows for so many epochs, where `folds` have measured; or goes on with it, or finds it done. `false`:
/// it was asked to stop.
pub(super) fn run_on_all(
    shared: &Shared,
    one: &One,
    (epochs, folds): (u64, &[SeedResult]),
    resume: bool,
    observer: &mut dyn Observer,
    stop: &Stop,
) -> Result<bool> {
    let result_path = one.out.join("result.json");
    if resume && let Some(FinishedOnAll { data, .. }) = read(&result_path) {
        return same_data(shared, &data, &one.out).map(|()| true);
    }
    let Some(mut trained) = train(shared, one, epochs, resume, observer, stop)? else { return Ok(false) };
    let measured: Vec<&Metrics> = folds.iter().map(|fold| &fold.valid).collect();
    if shared.settings.quantizes() {
        trained.model.round_what_learned();
    }
    shared.task.finish_unmeasured(&mut trained.model, &measured);
    write(shared, &trained.model, &one.out)?;
    write_json(&result_path, &FinishedOnAll { epochs, data: shared.fingerprint.clone() })?;
    let _ = std::fs::remove_dir_all(trained.folder.path().join("checkpoints"));
    Ok(true)
}

/// A model after its last step.
struct Trained {
    model: Model,
    folder: RunFolder,
    state: RunState,
    per_epoch: u64,
}

/// Trains for so many epochs of those that the schedule is for, or goes on with it. `None`: it was asked to stop.
fn train(
    shared: &Shared,
    one: &One,
    epochs: u64,
    resume: bool,
    observer: &mut dyn Observer,
    stop: &Stop,
) -> Result<Option<Trained>> {
    let (seed, out) = (one.seed, &one.out);
    let mut settings = shared.settings.clone();
    (settings.seed, settings.seeds, settings.out) = (seed, 1, out.to_owned());
    // The run that holds all seeds has compared settings; here a run may or may not have begun.
    let begun = resume && out.join("run").join("settings.toml").is_file();
    let mut folder = if begun {
        RunFolder::resume(out)?
    } else {
        let _ = std::fs::remove_dir_all(out);
        let folder = RunFolder::create(out, 0)?;
        folder.write_settings(&settings)?;
        folder
    };
    let (mut model, new) = model(shared, seed)?;
    if let Some(probe) = shared.probe(&model, new, observer) {
        probe.give(&mut model);
    }
    let fresh = RunState { data: shared.fingerprint.clone(), ..RunState::default() };
    let enter = |model: &mut Model, state: &RunState| {
        if let Some(stages) = settings.stages() {
            stages.enter(state.stage, model);
        }
    };
    let begun = state::resume_or_begin(&mut folder, &mut model, fresh, WHAT_CHANGED, &enter, observer)?;
    let Begun { state, optimizer, checkpoint } = begun;

    let stream = Stream::new(seed);
    let features = shared.features(&model, observer);
    let objective = Supervised::new(&*shared.task, features).twice(settings.r_drop).taught(shared.taught());
    let order = stream.named("order");
    let steps = Steps::new(shared.task.train(), settings.batch_size, settings.epochs, order, state.position);
    let per_epoch = Steps::per_epoch(shared.task.train().len(), settings.batch_size);
    let (all, at) = (settings.epochs * per_epoch, checkpoint.as_deref());
    let sparse = settings.sparse.is_on().then(|| Sparse::begin(&settings.sparse, all, &mut model, &state, at));
    let mut sparse = sparse.transpose()?;
    let gates = settings.gates.is_on().then(|| Gates::begin(&settings.gates, (all, stream), &mut model, &state, at));
    let mut gates = gates.transpose()?;
    let behind = sparse.as_mut().map(|sparse| sparse as &mut dyn Behind);
    let left = (epochs * per_epoch).saturating_sub(state.position.epoch * per_epoch + state.position.index);
    let plan = plan(shared, per_epoch, epochs, stream);
    let mut training = Training {
        plan: &plan,
        saved_best: None,
        model: &mut model,
        optimizer,
        behind: behind.or(gates.as_mut().map(|gates| gates as &mut dyn Behind)),
        state,
        folder: &mut folder,
        observer,
        stop,
        lengthen: Default::default(),
    };
    if training.run(&objective, steps.take(left as usize))? == End::Interrupted {
        return Ok(None);
    }
    let state = training.state;
    if let Some(gates) = &gates {
        write_json(&out.join(GATES), &gates.importance(&model))?;
    }
    Ok(Some(Trained { model, folder, state, per_epoch }))
}

/// Writes a model folder and looks whether it says what the model says.
fn write(shared: &Shared, model: &Model, out: &Path) -> Result<()> {
    match model.adapter() {
        None => model.save(out)?,
        Some(_) => model.save_adapter(out, &shared.settings.model)?,
    }
    shared.tokenizer.save(out)?;
    read_back(shared, model, out)
}

/// Errors where a run that was finished learned from other rows.
fn same_data(shared: &Shared, data: &str, out: &Path) -> Result<()> {
    match data == shared.fingerprint {
        true => Ok(()),
        false => Err(Error::DataChanged { run: out.to_owned(), what: WHAT_CHANGED }),
    }
}

/// Errors unless the folder that was written says what the model says.
fn read_back(shared: &Shared, model: &Model, out: &Path) -> Result<()> {
    let (again, _) = Model::open(&ModelFolder::open(out)?, model.head(), Stream::new(0), &shared.device)?;
    let glance = |model: &Model| Supervised::new(&*shared.task, None).glance(model);
    let (said, found) = (glance(model), glance(&again));
    let far = |(a, b): (&f32, &f32)| (a - b).abs() > 1e-3 * a.abs().max(1.0);
    match said.len() == found.len() && !said.iter().zip(&found).any(far) {
        true => Ok(()),
        false => Err(Error::NotReadBack { folder: out.to_owned() }),
    }
}

/// A seed that came to its end.
#[derive(Serialize, Deserialize)]
struct Finished {
    #[serde(flatten)]
    result: SeedResult,
    /// Names the rows it learned from.
    data: String,
}

/// A run on all rows that came to its end.
#[derive(Serialize, Deserialize)]
struct FinishedOnAll {
    /// Epochs it learned for.
    epochs: u64,
    /// Names the rows it learned from.
    data: String,
}

fn finished(path: &Path) -> Option<Finished> {
    read(path)
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// What the loop is told: validate after each epoch, keep the best; or only go through where no rows are kept for it.
fn plan(shared: &Shared, per_epoch: u64, epochs: u64, stream: Stream) -> Plan {
    let settings = &shared.settings;
    let selection = Selection {
        metric: settings.metric.clone(),
        more_is_better: !is_error(&settings.metric),
        patience: settings.patience,
    };
    let measures = !shared.task.valid().is_empty();
    Plan {
        optimizer: settings.optimizer.clone(),
        budget: None,
        total_steps: Some(epochs * per_epoch),
        short_share: 0.0,
        valid_every: if measures { per_epoch } else { 0 },
        save_every_seconds: settings.save_every_seconds,
        save_every_steps: settings.save_every_steps,
        keep: 2,
        log_every: (per_epoch / 10).clamp(1, 10),
        selection: measures.then_some(selection),
        stages: settings.stages(),
        stream,
    }
}
