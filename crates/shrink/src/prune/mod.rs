//! Parts that do little are cut out of a model, so that its folder is smaller and runs faster anywhere: in rounds,
//! after each of which what is left learns again from the whole model.

mod choose;
mod cut;

use crate::{Error, Result, copy_model, io};
pub use cut::cut;
use polyseme_formats::ModelFolder;
use polyseme_models::cut::Importances;
use polyseme_models::{Cut, EncoderConfig, HeadKind, Model};
use polyseme_tensor::{Device, Stream};
use polyseme_train::finetune::{GATES, importance};
use polyseme_train::gates::GateSettings;
use polyseme_train::{Event, FinetuneSettings, Observer, Stop, finetune, run_setup};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What tells which heads and units of a layer stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// How the loss would change without them, to the first order (Molchanov et al. 2019).
    #[default]
    Taylor,
    /// Gates that learn to close, while the model learns with them ([`polyseme_train::gates`]).
    L0,
}

/// The resolved plan of a pruning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PruneSettings {
    /// Layers that stay, from 0; empty: all.
    pub keep_layers: Vec<usize>,
    /// Share of all heads that stay.
    pub keep_heads: f64,
    /// Share of all units of the feed-forward parts that stay.
    pub keep_units: f64,
    /// Channels of the hidden states that stay; 0: all.
    #[serde(default)]
    pub keep_width: usize,
    /// What tells which heads and units stay.
    #[serde(default)]
    pub by: By,
    /// Whether all layers keep as many; else the most important of all layers stay.
    pub even: bool,
    /// Rounds of cutting and learning again; each cuts the same share of what is left.
    pub rounds: u64,
    /// Training rows that importance is measured on.
    pub importance_rows: usize,
    /// How what is left learns again. `model` is what is cut from, `out` where it goes.
    pub finetune: FinetuneSettings,
}

/// What there is before anything is cut.
struct Whole {
    /// Heads and units of all layers together.
    parts: [usize; 2],
    /// Channels.
    width: usize,
    /// The size of a head.
    head: usize,
}

/// A round that is done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Round {
    /// From 1.
    pub round: u64,
    /// Heads left in each layer.
    pub heads: Vec<usize>,
    /// Units left in each layer.
    pub units: Vec<usize>,
    /// Channels of the hidden states left.
    pub width: usize,
    /// Numbers in the model.
    pub parameters: usize,
    /// Median of the metric on the validation rows after it has learned again.
    pub score: f64,
}

/// What a pruning came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PruneOutcome {
    /// The model folder.
    pub model: PathBuf,
    /// The metric of the rounds.
    pub metric: String,
    /// Numbers in the whole model.
    pub parameters_before: usize,
    /// The rounds, in order.
    pub rounds: Vec<Round>,
    /// Whether it was stopped before its end.
    pub interrupted: bool,
}

/// Settings that a resumed run may have otherwise than at its beginning.
const MAY_CHANGE: [&str; 3] = ["finetune.out", "finetune.save_every_seconds", "finetune.save_every_steps"];

impl PruneSettings {
    /// Looks for values that cannot be, before anything is read or written.
    ///
    /// # Errors
    /// A share that is none, no rounds, settings of the learning that cannot be.
    pub fn check(&self) -> Result<()> {
        for (key, share) in [("keep_heads", self.keep_heads), ("keep_units", self.keep_units)] {
            if !(share > 0.0 && share <= 1.0) {
                return Err(setting(key, share, "above 0 and at most 1, the share that stays"));
            }
        }
        let whole = self.keep_heads == 1.0 && self.keep_units == 1.0 && self.keep_width == 0;
        if whole && self.keep_layers.is_empty() {
            return Err(setting(
                "keep_heads",
                1,
                "less than 1, or less of units, width or layers: nothing would be cut",
            ));
        }
        if self.by == By::L0 && self.keep_width > 0 {
            return Err(setting("keep_width", self.keep_width, "0 where gates learn (l0): channels have none"));
        }
        if self.by == By::L0 && self.keep_heads == 1.0 && self.keep_units == 1.0 {
            return Err(setting(
                "by",
                "l0",
                "`taylor` where neither heads nor units are cut: nothing would have gates",
            ));
        }
        for (key, value) in [("rounds", self.rounds), ("importance_rows", self.importance_rows as u64)] {
            if value == 0 {
                return Err(setting(key, 0, "at least 1"));
            }
        }
        Ok(self.finetune.check()?)
    }

    /// Shares of the whole model's heads and units that are left after a round.
    fn left_after(&self, round: u64) -> [f64; 2] {
        [self.keep_heads, self.keep_units].map(|share| share.powf(round as f64 / self.rounds as f64))
    }

    /// Channels that are left after a round: whole heads of them.
    fn width_after(&self, round: u64, whole: &Whole) -> usize {
        if self.keep_width == 0 {
            return whole.width;
        }
        let (width, head) = (whole.width as f64, whole.head as f64);
        let share = (self.keep_width as f64 / width).powf(round as f64 / self.rounds as f64);
        ((width * share / head).round() as usize * whole.head).max(self.keep_width)
    }

    /// Gates that leave these shares of all heads and units of the whole model, where these are left.
    fn gates_of(&self, shares: [f64; 2], left: Vec<[usize; 2]>, whole: [usize; 2]) -> GateSettings {
        let share = |which: usize| {
            let left: usize = left.iter().map(|size| size[which]).sum();
            (whole[which] as f64 * shares[which] / left as f64).min(1.0)
        };
        GateSettings { heads: share(0), units: share(1), ..self.finetune.gates.clone() }
    }

    /// Errors where the width that is asked for cannot be.
    fn check_width(&self, config: &EncoderConfig) -> Result<()> {
        let (head, whole) = (config.head_size(), config.hidden_size);
        if self.keep_width > whole || !self.keep_width.is_multiple_of(head) {
            let expected = format!("a multiple of {head}, the size of a head, up to {whole}");
            return Err(setting("keep_width", self.keep_width, &expected));
        }
        Ok(())
    }
}

fn setting(key: &str, found: impl ToString, expected: &str) -> Error {
    polyseme_train::Error::Setting { key: key.into(), found: found.to_string(), expected: expected.into() }.into()
}

/// How important heads, units and channels of `settings.finetune.model` are; `None`: it was asked to stop.
///
/// # Errors
/// As [`polyseme_train::finetune()`], before it learns.
pub fn measure(
    settings: &PruneSettings,
    device: &Device,
    observer: &mut dyn Observer,
    stop: &Stop,
) -> Result<Option<Importances>> {
    let mut plain = settings.finetune.clone();
    plain.distil.teacher = None;
    plain.distil.keep_layers = Vec::new();
    Ok(importance(&plain, settings.importance_rows, device, observer, stop)?)
}

/// Runs (or, with `resume`, goes on with) a pruning. In the output folder it leaves the model of the last round; each
/// round has a folder in `rounds`.
///
/// # Errors
/// Contradicting settings, rows or a model that cannot be read, a folder that cannot be written.
pub fn prune(
    settings: &PruneSettings,
    resume: bool,
    device: &Device,
    observer: &mut dyn Observer,
    stop: &Stop,
) -> Result<PruneOutcome> {
    settings.check()?;
    let out = &settings.finetune.out;
    let (whole, config, sizes) = describe(&settings.finetune.model, device)?;
    settings.check_width(&config)?;
    // Parts that are not there are found before anything is written.
    let layers = match settings.keep_layers.is_empty() {
        true => (0..sizes.len()).collect(),
        false => settings.keep_layers.clone(),
    };
    let first = Cut { layers: Some(layers.clone()), ..Cut::default() };
    let model = open(&settings.finetune.model, device)?;
    model.cut(&first)?;
    if settings.keep_heads < 1.0 || settings.keep_units < 1.0 || settings.keep_width > 0 {
        model.check_own_layers()?;
    }
    drop(model);
    let before = run_setup::Before::look(out);
    let folder = run_setup::open(out, settings, resume, 8 * whole as u64, &MAY_CHANGE)?;
    let mut model = settings.finetune.model.clone();
    if layers.len() < sizes.len() {
        let shorter = out.join("rounds").join("0");
        cut(&model, &first, &shorter, device)?;
        model = shorter;
    }
    let total = |which: fn(&[usize; 2]) -> usize| layers.iter().map(|&layer| which(&sizes[layer])).sum::<usize>();
    let parts = [total(|size| size[0]), total(|size| size[1])];
    let all = Whole { parts, width: config.hidden_size, head: config.head_size() };
    let mut outcome = PruneOutcome {
        model: out.clone(),
        metric: settings.finetune.metric.clone(),
        parameters_before: whole,
        rounds: Vec::new(),
        interrupted: false,
    };
    for round in 1..=settings.rounds {
        let place = out.join("rounds").join(round.to_string());
        let done = one_round(settings, (round, &all), (&model, &place), device, observer, stop);
        match done {
            Ok(Some(done)) => outcome.rounds.push(done),
            Ok(None) => return Ok(PruneOutcome { interrupted: true, ..outcome }),
            Err(error) => {
                drop(folder);
                if !resume && outcome.rounds.is_empty() && !place.exists() {
                    before.restore();
                }
                return Err(error);
            }
        }
        model = place;
    }
    copy_model(&model, out)?;
    let path = folder.path().join("results.json");
    let text = serde_json::to_vec_pretty(&outcome).expect("plain data");
    polyseme_formats::atomic::write(&path, |file| file.write_all(&text))?;
    Ok(outcome)
}

/// Cuts a model and lets what is left learn; `None`: it was asked to stop. Parts that are done are not done again.
fn one_round(
    settings: &PruneSettings,
    (round, all): (u64, &Whole),
    (model, place): (&Path, &Path),
    device: &Device,
    observer: &mut dyn Observer,
    stop: &Stop,
) -> Result<Option<Round>> {
    let (smaller, gates) = (place.join("cut"), place.join("gates"));
    if !smaller.join("config.json").is_file() {
        let shares = settings.left_after(round);
        let mut cut_now = Cut::default();
        if shares != [1.0, 1.0] || settings.keep_width > 0 {
            let mut of_model = settings.clone();
            of_model.finetune.model = model.to_owned();
            let found = match settings.by {
                By::Taylor => measure(&of_model, device, observer, stop)?,
                By::L0 => {
                    of_model.finetune.gates = settings.gates_of(shares, describe(model, device)?.2, all.parts);
                    of_model.finetune.out = gates.clone();
                    by_gates(&of_model.finetune, device, observer, stop)?
                }
            };
            let Some(found) = found else { return Ok(None) };
            let [heads, units] = choose::both(&found.layers, all.parts, shares, settings.even);
            let width = match found.width.is_empty() {
                true => None,
                false => Some(choose::channels(&found.width, settings.width_after(round, all))),
            };
            cut_now = Cut { layers: None, heads: Some(heads), units: Some(units), width };
        }
        // Weights that learned behind gates have them inside.
        let model = if settings.by == By::L0 { &gates } else { model };
        // Under another name until it is whole.
        let unfinished = place.join("unfinished");
        let _ = std::fs::remove_dir_all(&unfinished);
        cut(model, &cut_now, &unfinished, device)?;
        std::fs::rename(&unfinished, &smaller).map_err(|source| io("rename", &unfinished, source))?;
    }
    observer.event(Event::Stage(&format!("round {round}: what is left learns")));
    let resume = place.join("run").join("settings.toml").is_file();
    let learns = FinetuneSettings { model: smaller, out: place.to_owned(), ..settings.finetune.clone() };
    let learned = finetune(&learns, resume, device, observer, stop)?;
    if learned.interrupted {
        return Ok(None);
    }
    let (parameters, config, sizes) = describe(place, device)?;
    let (heads, units) = sizes.into_iter().map(|[heads, units]| (heads, units)).unzip();
    Ok(Some(Round { round, heads, units, width: config.hidden_size, parameters, score: learned.median }))
}

/// Lets a model learn behind gates, and tells how open they are in the end; `None`: it was asked to stop.
fn by_gates(
    settings: &FinetuneSettings,
    device: &Device,
    observer: &mut dyn Observer,
    stop: &Stop,
) -> Result<Option<Importances>> {
    let settings = FinetuneSettings { seeds: 1, folds: 0, patience: 0, ..settings.clone() };
    let resume = settings.out.join("run").join("settings.toml").is_file();
    observer.event(Event::Stage("gates learn to close"));
    if finetune(&settings, resume, device, observer, stop)?.interrupted {
        return Ok(None);
    }
    let path = settings.out.join("run").join(format!("seed-{}", settings.seed)).join(GATES);
    let text = std::fs::read(&path).map_err(|source| io("read", &path, source))?;
    let layers = serde_json::from_slice(&text).map_err(|source| io("read", &path, source.into()))?;
    Ok(Some(Importances { layers, width: Vec::new() }))
}

fn open(folder: &Path, device: &Device) -> Result<Model> {
    let source = ModelFolder::open(folder)?;
    Ok(Model::open(&source, HeadKind::AsFound, Stream::new(0), device)?.0)
}

/// Numbers in a model, its configuration, and heads and units of each layer.
fn describe(folder: &Path, device: &Device) -> Result<(usize, EncoderConfig, Vec<[usize; 2]>)> {
    let model = open(folder, device)?;
    let parameters = model.parameters().iter().map(polyseme_models::ParamInfo::elements).sum();
    let config = model.config().clone();
    let size = |layer| config.layer_size(layer);
    let sizes = (0..config.num_hidden_layers).map(size).map(|size| [size.num_attention_heads, size.intermediate_size]);
    let sizes = sizes.collect();
    Ok((parameters, config, sizes))
}
