//! A chain of the ways to make a model smaller, with a gate: what its steps may lose. Each step begins from the best
//! candidate so far, tries its alternatives from the gentlest to the hardest, and what is within the gate and nearest to
//! what is wanted goes on. The whole model is a candidate, too, so that a recipe never ends with nothing.

mod candidate;
mod measure;
mod publish;
mod search;
mod settings;

use crate::way::Way;
use crate::{Error, Result};
pub use candidate::{Candidate, Measured, Speed, front};
use polyseme_formats::Fault;
use polyseme_formats::run::RunFolder;
use polyseme_tensor::Device;
use polyseme_text::Tokenizer;
use polyseme_train::observer::Once;
use polyseme_train::run_setup::{self, Before};
use polyseme_train::{Error as TrainError, Event, Observer, Stop};
pub use search::{Order, Standing, share, standing};
use serde::{Deserialize, Serialize};
pub use settings::{Data, Gate, RecipeSettings, Step};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Where a candidate is made.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The step, from 0.
    pub step: usize,
    /// Its alternative, from 0.
    pub alternative: usize,
    /// The folder to make it from.
    pub model: &'a Path,
    /// The folder to learn from: the first of those it was made from that has the same tokenizer.
    pub teacher: &'a Path,
    /// The folder to write.
    pub out: &'a Path,
}

/// What a recipe is done with.
pub struct Tools<'a> {
    /// The settings that the words of a step come to; else what is wrong with them there.
    pub resolve: &'a dyn Fn(&Place) -> std::result::Result<Way, String>,
    /// The most memory of a process that does nothing but measure a folder.
    pub memory: &'a mut dyn FnMut(&Path) -> Option<u64>,
    /// Where to compute.
    pub device: &'a Device,
    /// Who is told.
    pub observer: &'a mut dyn Observer,
    /// Whether to stop.
    pub stop: &'a Stop,
}

/// What a recipe came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecipeOutcome {
    /// The model folder: a copy of the best candidate's.
    pub model: PathBuf,
    /// The metric of the gate.
    pub metric: String,
    /// The worst score that is within the gate.
    pub limit: f64,
    /// All candidates, in order; the first is the whole model.
    pub candidates: Vec<Candidate>,
    /// Number of the best one.
    pub best: u64,
    /// Numbers of those that no other beats in score, size and speed together.
    pub front: Vec<u64>,
    /// What was decided, step by step.
    pub said: Vec<String>,
    /// Whether the best one is as small and as fast as was wanted; `true` where nothing was.
    pub wanted: bool,
    /// The metric on rows that decided nothing.
    pub test: Option<Tested>,
    /// Whether it was stopped before its end.
    pub interrupted: bool,
}

/// The metric on rows that decided nothing.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tested {
    /// The whole model's.
    pub whole: f64,
    /// The best candidate's.
    pub best: f64,
}

fn setting(key: &str, found: impl ToString, expected: &str) -> Error {
    TrainError::Setting { key: key.into(), found: found.to_string(), expected: expected.into() }.into()
}

/// Runs (or, with `resume`, goes on with) a recipe. In the output folder it leaves a copy of the best candidate, the
/// candidates themselves in `candidates/<number>`, and `run/results.json`.
///
/// # Errors
/// Contradicting settings, a model that knows nothing of the validation rows, rows that cannot be read, a folder that
/// cannot be written, or that not one candidate could be made. A single one that cannot be made is no error.
pub fn recipe(settings: &RecipeSettings, resume: bool, tools: &mut Tools) -> Result<RecipeOutcome> {
    settings.check()?;
    publish::check_folder(&settings.model, &settings.out)?;
    if !resume {
        check_whole(settings, tools)?;
    }
    let before = Before::look(&settings.out);
    let run = run_setup::open(&settings.out, settings, resume, 0, &["out"])?;
    let mut work = Work { settings, candidates: Vec::new(), log: run.path().join("candidates.jsonl") };
    work.read();
    let found = work.go_on(tools);
    drop::<RunFolder>(run);
    match found {
        Err(error) if !resume && work.candidates.iter().all(|c| c.number == 0 || c.failed.is_some()) => {
            before.restore();
            Err(error)
        }
        found => found,
    }
}

/// Errors where the whole model knows nothing, or something else than it should.
fn check_whole(settings: &RecipeSettings, tools: &mut Tools) -> Result<()> {
    let (model, data) = (&settings.model, &settings.data);
    std::fs::File::open(&data.train).map_err(|source| crate::io("read", &data.train, source))?;
    if let Some(test) = &data.test {
        std::fs::File::open(test).map_err(|source| crate::io("read", test, source))?;
    }
    tools.observer.event(Event::Stage("measure the whole model"));
    let Some(found) = measure::evaluation(model, &data.valid, data, tools.device, tools.stop)? else {
        return Err(TrainError::Stopped.into());
    };
    if let Some(why) = found.metrics.knows_nothing() {
        return Err(TrainError::IgnorantTeacher { teacher: model.clone(), why }.into());
    }
    measure::score(settings, &found).map(drop)
}

/// A recipe that is being done.
struct Work<'a> {
    settings: &'a RecipeSettings,
    candidates: Vec<Candidate>,
    log: PathBuf,
}

impl Work<'_> {
    /// Candidates that were made before; a last line that was not written whole is none.
    fn read(&mut self) {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        self.candidates = text.lines().map_while(|line| serde_json::from_str(line).ok()).collect();
        for number in 1..self.candidates.len() {
            self.candidates[number].folder = self.folder_of(number as u64);
        }
    }

    fn folder_of(&self, number: u64) -> PathBuf {
        match number {
            0 => self.settings.model.clone(),
            number => self.settings.out.join("candidates").join(number.to_string()),
        }
    }

    /// Makes what is still to be made.
    fn go_on(&mut self, tools: &mut Tools) -> Result<RecipeOutcome> {
        if self.candidates.is_empty() {
            let folder = self.folder_of(0);
            let Some(measured) = measure::measure(self.settings, &folder, tools.memory, tools.device, tools.stop)?
            else {
                return Err(TrainError::Stopped.into());
            };
            self.record(Candidate { measured: Some(measured), within: true, ..begun(&folder) })?;
        }
        let mut published = None;
        let mut told = 0;
        loop {
            let standing = standing(self.settings, &self.candidates);
            if published != Some(standing.best) {
                let others: Vec<PathBuf> = self.candidates.iter().map(|c| self.folder_of(c.number)).collect();
                let others: Vec<&Path> = others.iter().map(PathBuf::as_path).collect();
                publish::publish(&self.folder_of(standing.best), &self.settings.out, &others)?;
                published = Some(standing.best);
            }
            standing.said[told..].iter().for_each(|said| tools.observer.event(Event::Note(said)));
            told = standing.said.len();
            let Some(order) = standing.next.clone() else { return self.end(&standing, tools) };
            if !self.carry_out(&order, tools)? {
                return self.outcome(&standing, None, true);
            }
        }
    }

    /// Makes a candidate and measures it; `false`: it was asked to stop.
    fn carry_out(&mut self, order: &Order, tools: &mut Tools) -> Result<bool> {
        let step = &self.settings.step[order.step];
        let (out, model) = (self.folder_of(order.number), self.folder_of(order.from));
        let of = match step.alternatives.len() {
            1 => String::new(),
            all => format!(", {} of {all}", order.alternative + 1),
        };
        let stage = format!("candidate {}: step {} ({}{of})", order.number, order.step + 1, step.way);
        tools.observer.event(Event::Stage(&stage));
        let words = step.alternatives[order.alternative].clone();
        tools.observer.event(Event::Note(&format!("{stage} of candidate {}: {}", order.from, words.join(" "))));
        let mut candidate = Candidate {
            number: order.number,
            step: order.step as u64 + 1,
            alternative: order.alternative as u64 + 1,
            way: step.way.clone(),
            words,
            from: Some(order.from),
            ..begun(&out)
        };
        let teacher = self.teacher_of(order.from)?;
        let begun = Instant::now();
        let place =
            Place { step: order.step, alternative: order.alternative, model: &model, teacher: &teacher, out: &out };
        match self.made(&place, tools) {
            Ok(None) => return Ok(false),
            Ok(Some((measured, _))) if measured.score.is_nan() => {
                candidate.failed = Some(format!("its {} is no number", self.settings.gate.metric));
            }
            Ok(Some((measured, seconds))) => {
                (candidate.measured, candidate.seconds) = (Some(measured), seconds);
            }
            Err(Failure::Candidate(why)) => candidate.failed = Some(why),
            Err(Failure::Recipe(error)) => return Err(*error),
        }
        if let Some(why) = &candidate.failed {
            candidate.seconds = begun.elapsed().as_secs_f64();
            let text = format!("candidate {} could not be made: {why}", order.number);
            tools.observer.event(Event::Warning(&text));
        }
        candidate.within = candidate.measured.as_ref().is_some_and(|m| self.holds(m, step));
        self.record(candidate)?;
        publish::forget(&out);
        Ok(true)
    }

    /// The candidate's worth and the seconds of its making; `None`: it was asked to stop.
    fn made(&self, place: &Place, tools: &mut Tools) -> std::result::Result<Option<(Measured, f64)>, Failure> {
        let way = (tools.resolve)(place).map_err(Failure::Candidate)?;
        let begun = Instant::now();
        if !way.make(tools.device, &mut Once::new(tools.observer), tools.stop)? {
            return Ok(None);
        }
        let seconds = begun.elapsed().as_secs_f64();
        tools.observer.event(Event::Stage("measure"));
        let measured = measure::measure(self.settings, place.out, tools.memory, tools.device, tools.stop)?;
        Ok(measured.map(|measured| (measured, seconds)))
    }

    /// The first of a candidate and those it was made from whose tokenizer is its own.
    fn teacher_of(&self, number: u64) -> Result<PathBuf> {
        let hash = |number| Ok::<_, Error>(Tokenizer::open(&self.folder_of(number))?.hash());
        let (own, mut teacher) = (hash(number)?, number);
        while let Some(before) = self.candidates[teacher as usize].from {
            if hash(before)? != own {
                break;
            }
            teacher = before;
        }
        Ok(self.folder_of(teacher))
    }

    /// Whether a score is within the gate of a step.
    fn holds(&self, measured: &Measured, step: &Step) -> bool {
        let gate = &self.settings.gate;
        gate.holds(measured.score, gate.limit(self.whole().score, step.max_loss))
    }

    fn whole(&self) -> &Measured {
        self.candidates[0].measured.as_ref().expect("the whole model was measured")
    }

    fn record(&mut self, candidate: Candidate) -> Result<()> {
        self.candidates.push(candidate);
        Ok(polyseme_formats::atomic::write(&self.log, |file| {
            for candidate in &self.candidates {
                serde_json::to_writer(&mut *file, candidate)?;
                file.write_all(b"\n")?;
            }
            Ok(())
        })?)
    }

    /// Looks at the test rows, once, and writes down what it came to.
    fn end(&self, standing: &Standing, tools: &mut Tools) -> Result<RecipeOutcome> {
        let made = self.candidates.iter().any(|c| c.number > 0 && c.measured.is_some());
        if let (false, Some(why)) = (made, self.candidates.iter().find_map(|c| c.failed.clone())) {
            return Err(Error::NothingMade { why: why.into() });
        }
        let mut test = None;
        if let Some(file) = &self.settings.data.test {
            tools.observer.event(Event::Stage("measure on the test rows"));
            let of = |number| {
                let folder = self.folder_of(number);
                let found = measure::evaluation(&folder, file, &self.settings.data, tools.device, tools.stop)?;
                found.map(|found| measure::score(self.settings, &found)).transpose()
            };
            match (of(0)?, of(standing.best)?) {
                (Some(whole), Some(best)) => test = Some(Tested { whole, best }),
                _ => return self.outcome(standing, None, true),
            }
        }
        self.outcome(standing, test, false)
    }

    /// What it came to so far, written to `run/results.json`.
    fn outcome(&self, standing: &Standing, test: Option<Tested>, interrupted: bool) -> Result<RecipeOutcome> {
        let gate = &self.settings.gate;
        let outcome = RecipeOutcome {
            model: self.settings.out.clone(),
            metric: gate.metric.clone(),
            limit: gate.limit(self.whole().score, None),
            candidates: self.candidates.clone(),
            best: standing.best,
            front: front(&self.candidates, |score| gate.good(score)),
            said: standing.said.clone(),
            wanted: standing.wanted,
            test,
            interrupted,
        };
        let text = serde_json::to_vec_pretty(&outcome).expect("plain data");
        let path = self.log.with_file_name("results.json");
        polyseme_formats::atomic::write(&path, |file| file.write_all(&text))?;
        Ok(outcome)
    }
}

/// Why a candidate could not be made: it cannot be, or nothing can.
enum Failure {
    Candidate(String),
    Recipe(Box<Error>),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error.fault() {
            Fault::System => Self::Recipe(Box::new(error)),
            Fault::Input => {
                let hint = error.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
                Self::Candidate(format!("{error}{hint}"))
            }
        }
    }
}

/// The whole model, or a candidate before it is made.
fn begun(folder: &Path) -> Candidate {
    Candidate {
        number: 0,
        step: 0,
        alternative: 0,
        way: "whole".into(),
        words: Vec::new(),
        from: None,
        folder: folder.to_owned(),
        seconds: 0.0,
        measured: None,
        failed: None,
        within: false,
    }
}
