//! The tour: the whole life of an encoder in a few minutes, on text that is already on the machine.
//!
//! Read → pre-train → learn a task from few labels, beside the same model from scratch → look at words
//! in context → report. Each stage gets its share of the minutes; what a stage leaves, the next has.

mod compare;
mod docs;
mod error;
mod files;
mod markdown;
mod mask;
pub mod outcome;
mod recipe;
mod registry;
mod senses;
mod task;
mod texts;

pub use error::Error;

use crate::report::{self, Made};
use compare::Comparison;
use files::Files;
use outcome::{CorpusFacts, TaskOutcome, TourOutcome, WordSenses};
use polyseme_infer::Encoder;
use polyseme_models::HeadKind;
use polyseme_tensor::Device;
use polyseme_text::Tokenizer;
use polyseme_train::{Event, Observer, PretrainOutcome, Stop};
use std::path::{Path, PathBuf};
use std::time::Instant;
use task::Task;
use texts::Texts;

/// Less text than this teaches nothing.
const LEAST_TEXT: usize = 20_000;
/// Seconds that looking at words in context and writing the report take.
const ENDING: f64 = 12.0;

/// What a tour is to do.
pub struct Plan<'a> {
    /// Texts of the user's own; empty: the documentation of the crates this program is built from.
    pub corpus: &'a [PathBuf],
    /// Where cargo keeps their sources.
    pub cargo_home: &'a Path,
    /// The folder for everything.
    pub out: &'a Path,
    /// Seconds in all.
    pub seconds: f64,
    /// First seed.
    pub seed: u64,
    /// Where to compute.
    pub device: &'a Device,
    /// How it was asked for.
    pub made: &'a Made,
}

/// Takes the tour; `None` if it was asked to stop.
///
/// # Errors
/// No text, a folder that is taken, and whatever can be wrong with a run.
pub fn run(plan: &Plan<'_>, observer: &mut dyn Observer, stop: &Stop) -> anyhow::Result<Option<TourOutcome>> {
    let mut clock = Clock { began: Instant::now(), last: 0.0, stages: Vec::new() };

    // Read.
    observer.event(Event::Stage("read"));
    let (texts, mut facts) = read(plan)?;
    texts.warnings.iter().for_each(|w| observer.event(Event::Warning(w)));
    let task = task::make(&texts);
    let files = Files::prepare(plan.out)?;
    write_corpus(&files, &texts, task.as_ref().ok(), &mut facts)?;
    observer.event(Event::Note(&sentence(&facts)));
    if let Err(why) = &task {
        observer.event(Event::Note(why));
    }
    clock.stage("reading the text");

    // Pre-train.
    let settings = recipe::pretraining(&files, plan.seconds, plan.seed)?;
    let pretrained = polyseme_train::pretrain(&settings, false, plan.device, observer, stop)?;
    if pretrained.interrupted {
        return Ok(None);
    }
    clock.stage("tokenizer, token store and pre-training");

    // Learn the task, from the encoder and from scratch.
    let task = match &task {
        Ok(task) => {
            let epochs = epochs(plan, &files, task, &pretrained, &clock)?;
            let comparison = Comparison { files: &files, task, epochs, seed: plan.seed, device: plan.device, stop };
            let Some(mut outcome) = comparison.run(observer)? else { return Ok(None) };
            outcome.question = question(&facts);
            clock.stage(&format!("learning the task: {} runs of {epochs} passes", recipe::runs()));
            Ok(outcome)
        }
        Err(why) => Err(why.clone()),
    };

    // Words in context.
    let Some(senses) = look(&files, plan.device, &texts, observer, stop)? else { return Ok(None) };
    clock.stage("words in context");

    let seconds = clock.last;
    let stages = clock.stages;
    let (model, page) = (files.encoder.clone(), files.report.clone());
    let outcome = TourOutcome {
        model,
        report: page,
        corpus: facts,
        pretrain: pretrained,
        pretrain_settings: settings,
        task,
        senses,
        stages,
        seconds,
    };
    finish(&files, &outcome, plan.made)?;
    Ok(Some(outcome))
}

/// How long each stage took.
struct Clock {
    began: Instant,
    last: f64,
    stages: Vec<(String, f64)>,
}

impl Clock {
    fn stage(&mut self, name: &str) {
        let now = self.began.elapsed().as_secs_f64();
        self.stages.push((name.to_owned(), now - self.last));
        self.last = now;
    }
}

fn read(plan: &Plan<'_>) -> anyhow::Result<(Texts, CorpusFacts)> {
    let (texts, facts) = if plan.corpus.is_empty() {
        let registry = registry::find(plan.cargo_home);
        if registry.crates.is_empty() {
            return Err(Error::NoRegistry { searched: plan.cargo_home.join("registry/src") }.into());
        }
        let source = format!("documentation of the {} crates this program is built from", registry.crates.len());
        let facts = CorpusFacts {
            source,
            unit: "crate".to_owned(),
            parts: registry.crates.len(),
            absent: registry.absent,
            ..CorpusFacts::default()
        };
        (texts::read_crates(&registry.crates), facts)
    } else {
        let texts = texts::read_own(plan.corpus)?;
        let named: Vec<String> = plan.corpus.iter().map(|p| p.display().to_string()).collect();
        let (source, unit, parts) = (named.join(", "), "part".to_owned(), texts.parts.len());
        (texts, CorpusFacts { source, unit, parts, ..CorpusFacts::default() })
    };
    let found: usize = texts.passages.iter().map(|p| p.text.len()).sum();
    if found < LEAST_TEXT {
        let (found, needed) = (report::bytes(found as u64), report::bytes(LEAST_TEXT as u64));
        return Err(Error::TooLittleText { what: facts.source, found, needed }.into());
    }
    Ok((texts, facts))
}

fn write_corpus(files: &Files, texts: &Texts, task: Option<&Task>, facts: &mut CorpusFacts) -> anyhow::Result<()> {
    let (corpus, documents) = texts.corpus(task.map_or(&[], |t| &t.held_out));
    (facts.documents, facts.bytes, facts.duplicates) = (documents, corpus.len() as u64, texts.duplicates);
    files::write(&files.corpus, corpus.as_bytes())?;
    task.map_or(Ok(()), |t| files.write_task(t))
}

fn sentence(facts: &CorpusFacts) -> String {
    let absent = if facts.absent > 0 {
        format!(" ({} more are for other systems and features, and not here)", facts.absent)
    } else {
        String::new()
    };
    format!("{}: {} documents, {}{absent}", facts.source, facts.documents, report::bytes(facts.bytes))
}

fn question(facts: &CorpusFacts) -> String {
    match facts.unit.as_str() {
        "crate" => {
            "Which crate does this documentation belong to? The names of the crates are hidden in the texts.".to_owned()
        }
        _ => "Which folder or file is this paragraph from? Their names are hidden in the texts.".to_owned(),
    }
}

/// Passes over the labelled rows that the time left allows.
fn epochs(
    plan: &Plan<'_>,
    files: &Files,
    task: &Task,
    pretrained: &PretrainOutcome,
    clock: &Clock,
) -> anyhow::Result<u64> {
    let tokenizer = Tokenizer::open(&files.encoder)?;
    let tokens = |rows: &[task::Row]| recipe::count_tokens(rows.iter().map(|r| r.text.as_str()), &tokenizer);
    let sizes = (tokens(&task.train)?, tokens(&task.valid)?, tokens(&task.test)?);
    Ok(recipe::epochs(pretrained, sizes, plan.seconds - clock.last - ENDING))
}

fn look(
    files: &Files,
    device: &Device,
    texts: &Texts,
    observer: &mut dyn Observer,
    stop: &Stop,
) -> anyhow::Result<Option<Vec<WordSenses>>> {
    observer.event(Event::Stage("look at words in context"));
    let encoder = Encoder::open_on(&files.encoder, HeadKind::None, device)?;
    let mut progress = |done, total| {
        observer.event(Event::Progress { done, total });
        !stop.requested()
    };
    Ok(senses::find(&encoder, texts, &mut progress)?)
}

/// Report and result.
fn finish(files: &Files, outcome: &TourOutcome, made: &Made) -> anyhow::Result<()> {
    let rows = report::read_rows(&files.encoder.join("run/metrics.jsonl"));
    report::write(&files.report, &report::tour(&rows, outcome, made))?;
    let json = serde_json::to_string_pretty(outcome)? + "\n";
    Ok(files::write(&files.mark, json.as_bytes())?)
}

/// The table at the end.
pub fn table(task: &TaskOutcome) -> Vec<Vec<String>> {
    let percent = |v: f64| format!("{:.1} %", 100.0 * v);
    task.arms
        .iter()
        .map(|arm| {
            let seeds = arm.seeds.iter().map(|s| format!("{:.1}", 100.0 * s.1)).collect::<Vec<_>>().join(" ");
            vec![arm.name.clone(), percent(arm.median), percent(arm.spread.0), percent(arm.spread.1), seeds]
        })
        .collect()
}
