//! A search over the settings of fine-tuning. Validation rows choose; test rows are never seen.

pub mod space;

use crate::error::{Error, Result};
use crate::finetune::{FinetuneSettings, finetune};
use crate::metrics::is_error;
use crate::observer::{Event, Observer, Once, Stop};
use crate::run_setup;
use polyseme_formats::run::RunFolder;
use polyseme_tensor::{Device, Stream};
use serde::{Deserialize, Serialize};
use space::{Point, Space};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// The resolved plan of a search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SweepSettings {
    /// `random`, `tpe` or `halving`.
    pub method: String,
    /// How many settings are tried.
    pub trials: u64,
    /// Of halving: each time a third is kept and has three times the epochs, up to those of `finetune`.
    pub keep_one_of: u64,
    /// What may be chosen.
    pub space: Space,
    /// All else; its `out` is the search's folder.
    pub finetune: FinetuneSettings,
}

/// Ways to search.
pub const METHODS: [&str; 3] = ["random", "tpe", "halving"];

/// One trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// Its number, from 0; its folder is `trials/<number>`.
    pub number: u64,
    /// Where it stands in the space.
    pub point: Point,
    /// The settings it chose.
    pub values: BTreeMap<String, Value>,
    /// Epochs it was given.
    pub epochs: u64,
    /// Median of the chosen metric over its seeds on the validation rows; none if it failed.
    pub score: Option<f64>,
    /// Why it failed.
    pub failed: Option<String>,
}

/// What a search came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SweepOutcome {
    /// The model folder: the best trial's.
    pub model: PathBuf,
    /// The metric that chose.
    pub metric: String,
    /// All trials, in order.
    pub trials: Vec<Trial>,
    /// Number of the best one.
    pub best: Option<u64>,
    /// Whether it was stopped before its end.
    pub interrupted: bool,
}

impl SweepSettings {
    /// Looks for values that cannot be, before anything is read or written.
    ///
    /// # Errors
    /// An unknown method or key, no trials, a space without values.
    pub fn check(&self) -> Result<()> {
        let wrong = |key: &str, found: String, expected: &str| {
            Err(Error::Setting { key: key.into(), found, expected: expected.into() })
        };
        if !METHODS.contains(&self.method.as_str()) {
            return wrong("method", format!("`{}`", self.method), "`random`, `tpe` or `halving`");
        }
        if self.trials == 0 {
            return wrong("trials", "0".into(), "at least 1");
        }
        if self.keep_one_of < 2 {
            return wrong("keep_one_of", self.keep_one_of.to_string(), "at least 2");
        }
        space::check(&self.space)?;
        if self.method == "halving" && self.space.contains_key("epochs") {
            return wrong("space.epochs", "given".into(), "nothing: halving chooses the epochs itself");
        }
        self.finetune.check()?;
        // The middle of the space must be settings.
        let middle: Point = self.space.keys().map(|key| (key.clone(), 0.5)).collect();
        self.settings_of(&middle, 0, self.finetune.epochs).map(drop)
    }

    /// The settings of a trial.
    fn settings_of(&self, point: &Point, number: u64, epochs: u64) -> Result<FinetuneSettings> {
        let unknown = |key: &str, what: String| Error::Setting {
            key: format!("space.{key}"),
            found: what,
            expected: "a setting of finetune and a value it may have".into(),
        };
        let mut table =
            Table::try_from(&FinetuneSettings { epochs, ..self.finetune.clone() }).expect("settings are plain data");
        for (key, value) in self.values_of(point) {
            let (parents, last) = key.rsplit_once('.').map_or((None, key.as_str()), |(p, l)| (Some(p), l));
            let mut at = &mut table;
            for parent in parents.into_iter().flat_map(|p| p.split('.')) {
                at = match at.get_mut(parent) {
                    Some(Value::Table(inner)) => inner,
                    _ => return Err(unknown(&key, "no setting".into())),
                };
            }
            if !at.contains_key(last) {
                return Err(unknown(&key, "no setting".into()));
            }
            at.insert(last.to_owned(), value);
        }
        table.insert("out".into(), Value::String(self.folder_of(number).display().to_string()));
        let settings: FinetuneSettings =
            table.try_into().map_err(|e: toml::de::Error| unknown("", e.message().to_owned()))?;
        settings.check()?;
        Ok(settings)
    }

    fn values_of(&self, point: &Point) -> BTreeMap<String, Value> {
        self.space.iter().map(|(key, dimension)| (key.clone(), dimension.at(point[key]))).collect()
    }

    fn folder_of(&self, number: u64) -> PathBuf {
        self.finetune.out.join("trials").join(number.to_string())
    }

    /// A score of which more is better.
    pub fn score(&self, value: f64) -> f64 {
        if is_error(&self.finetune.metric) { -value } else { value }
    }

    /// The next trial by what was tried; `None` at the end. The same trials give the same next one.
    fn next(&self, tried: &[Trial]) -> Option<(Point, u64)> {
        let stream = Stream::new(self.finetune.seed).named("sweep");
        let number = tried.len() as u64;
        let scored = |t: &Trial| (t.point.clone(), t.score.map_or(f64::MIN, |s| self.score(s)));
        match self.method.as_str() {
            "halving" => self.next_of_halving(tried, stream),
            _ if number >= self.trials => None,
            "tpe" => {
                let tried: Vec<(Point, f64)> = tried.iter().map(scored).collect();
                Some((space::tpe(&self.space, &tried, stream, number), self.finetune.epochs))
            }
            _ => Some((space::random(&self.space, stream, number), self.finetune.epochs)),
        }
    }

    /// Rungs (Jamieson & Talwalkar 2016): all trials with few epochs, then the best of each rung with more, anew.
    fn next_of_halving(&self, tried: &[Trial], stream: Stream) -> Option<(Point, u64)> {
        let mut sizes = vec![self.trials];
        while sizes[sizes.len() - 1] >= self.keep_one_of {
            sizes.push(sizes[sizes.len() - 1] / self.keep_one_of);
        }
        let mut done = tried;
        let mut rung_before: Option<&[Trial]> = None;
        for (rung, &size) in sizes.iter().enumerate() {
            let shrink = self.keep_one_of.pow((sizes.len() - 1 - rung) as u32);
            let epochs = (self.finetune.epochs / shrink).max(1);
            if (done.len() as u64) < size {
                let place = done.len();
                let point = match rung_before {
                    None => space::random(&self.space, stream, place as u64),
                    Some(before) => {
                        let mut order: Vec<&Trial> = before.iter().collect();
                        let score = |t: &Trial| t.score.map_or(f64::MIN, |s| self.score(s));
                        order.sort_by(|a, b| score(b).total_cmp(&score(a)).then(a.number.cmp(&b.number)));
                        order[place].point.clone()
                    }
                };
                return Some((point, epochs));
            }
            let (of_rung, rest) = done.split_at(size as usize);
            (rung_before, done) = (Some(of_rung), rest);
        }
        None
    }

    /// The best trial: of those with the most epochs, the first with the best score.
    fn best<'a>(&self, trials: &'a [Trial]) -> Option<&'a Trial> {
        let most = if self.method == "halving" { trials.iter().map(|t| t.epochs).max()? } else { 0 };
        let good = trials.iter().filter(|t| t.score.is_some() && (most == 0 || t.epochs == most));
        let score = |t: &Trial| self.score(t.score.unwrap_or(f64::NAN));
        good.max_by(|a, b| score(a).total_cmp(&score(b)).then(b.number.cmp(&a.number)))
    }
}

/// Runs (or, with `resume`, goes on with) a search. In the output folder it leaves the best trial's model, the
/// trials in `run/trials.jsonl` and each one's run in `trials/<number>`, without the weights of those that were not
/// the best.
///
/// # Errors
/// Contradicting settings, rows or a model that cannot be read, a folder that cannot be written. A trial whose
/// training fails is a failed trial, no error.
pub fn sweep(
    settings: &SweepSettings,
    resume: bool,
    device: &Device,
    observer: &mut dyn Observer,
    stop: &Stop,
) -> Result<SweepOutcome> {
    settings.check()?;
    // What is odd in the rows is said once, not at every trial.
    let observer = &mut Once::new(observer);
    let out = &settings.finetune.out;
    let folder = run_setup::open(out, settings, resume, 0, &["finetune.out"])?;
    let log = folder.path().join("trials.jsonl");
    let mut trials: Vec<Trial> = read(&log);
    let mut interrupted = false;
    while let Some((point, epochs)) = settings.next(&trials) {
        let number = trials.len() as u64;
        let values = settings.values_of(&point);
        let shown: Vec<String> = values.iter().map(|(key, value)| format!("{key} = {value}")).collect();
        observer.event(Event::Note(&format!("trial {number}: {}", shown.join(", "))));
        let found = settings.settings_of(&point, number, epochs).and_then(|trial| {
            let begun = resume && trial.out.join("run/settings.toml").is_file();
            if !begun {
                let _ = std::fs::remove_dir_all(&trial.out);
            }
            finetune(&trial, begun, device, observer, stop)
        });
        let (score, failed) = match found {
            Ok(outcome) if outcome.interrupted => {
                interrupted = true;
                break;
            }
            Ok(outcome) => (Some(outcome.median), None),
            Err(
                error @ (Error::Diverged { .. }
                | Error::Setting { .. }
                | Error::NothingToTune { .. }
                | Error::TooManyFrozen { .. }),
            ) => {
                observer.event(Event::Warning(&format!("trial {number} failed: {error}")));
                (None, Some(error.to_string()))
            }
            Err(error) => return Err(error),
        };
        trials.push(Trial { number, point, values, epochs, score, failed });
        append(&log, &trials)?;
        forget_weights(settings, &trials);
    }
    let best = settings.best(&trials).map(|t| t.number);
    if let (Some(best), false) = (best, interrupted) {
        publish(&settings.folder_of(best), out)?;
    }
    drop::<RunFolder>(folder);
    let metric = settings.finetune.metric.clone();
    Ok(SweepOutcome { model: out.clone(), metric, trials, best, interrupted })
}

/// Trials that were finished before; a last line that was not written whole is none.
fn read(log: &Path) -> Vec<Trial> {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    text.lines().map_while(|line| serde_json::from_str(line).ok()).collect()
}

fn append(log: &Path, trials: &[Trial]) -> Result<()> {
    Ok(polyseme_formats::atomic::write(log, |file| {
        for trial in trials {
            serde_json::to_writer(&mut *file, trial)?;
            file.write_all(b"\n")?;
        }
        Ok(())
    })?)
}

/// Removes the weights of trials that were not the best: only its model is wanted.
fn forget_weights(settings: &SweepSettings, trials: &[Trial]) {
    let best = settings.best(trials).map(|t| t.number);
    for trial in trials.iter().filter(|t| Some(t.number) != best) {
        let folder = settings.folder_of(trial.number);
        let seeds = std::fs::read_dir(folder.join("run")).into_iter().flatten().flatten().map(|entry| entry.path());
        for folder in seeds.chain([folder.clone()]) {
            for name in ["model.safetensors"].into_iter().chain(polyseme_models::adapters::WEIGHT_FILES) {
                let _ = std::fs::remove_file(folder.join(name));
            }
        }
    }
}

/// Copies the files of a model, not of its run.
fn publish(from: &Path, to: &Path) -> Result<()> {
    let io = |action, path: &Path| {
        let path = path.to_owned();
        move |source| polyseme_formats::Error::Io { action, path, source }
    };
    for entry in std::fs::read_dir(from).map_err(io("read", from))?.flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        if path.is_dir() && name != "run" {
            std::fs::create_dir_all(to.join(&name)).map_err(io("write", &to.join(&name)))?;
            publish(&path, &to.join(&name))?;
        } else if path.is_file() {
            let mut source = std::fs::File::open(&path).map_err(io("read", &path))?;
            polyseme_formats::atomic::write(&to.join(&name), |file| std::io::copy(&mut source, file).map(drop))?;
        }
    }
    Ok(())
}
