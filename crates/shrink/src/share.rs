//! Layers come to share their weights and embeddings become narrow, as in ALBERT; what is left learns again from the
//! whole model.

use crate::{Both, Error, Result, copy_model, io, write_model};
use polyseme_formats::ModelFolder;
use polyseme_models::{HeadKind, Model, ParamGroup, Share};
use polyseme_tensor::{Device, Stream};
use polyseme_text::Tokenizer;
use polyseme_train::{Event, FinetuneSettings, Observer, Stop, finetune, run_setup};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The resolved plan of sharing with learning again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShareSettings {
    /// Groups of neighbouring layers that share one layer's weights.
    pub groups: usize,
    /// Width of the embeddings; 0: as they are.
    pub embedding_size: usize,
    /// Of each group the layer, from 0, whose weights all take; empty: the mean.
    pub layers: Vec<usize>,
    /// How what is left learns again. `model` is what is shared, `out` where it goes.
    pub finetune: FinetuneSettings,
}

/// What sharing came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShareOutcome {
    /// The model folder.
    pub model: PathBuf,
    /// Numbers in the layers.
    pub layers: Both,
    /// Numbers in the embeddings, their norm and the map behind them.
    pub embeddings: Both,
    /// Numbers in the model.
    pub parameters: Both,
    /// The metric that validation rows were measured by, where it learned again.
    pub metric: Option<String>,
    /// Its median on them.
    pub score: Option<f64>,
    /// Whether it was stopped before its end.
    pub interrupted: bool,
}

/// Settings that a resumed run may have otherwise than at its beginning.
const MAY_CHANGE: [&str; 3] = ["finetune.out", "finetune.save_every_seconds", "finetune.save_every_steps"];

impl ShareSettings {
    fn how(&self) -> Share {
        Share {
            groups: self.groups,
            embedding_size: (self.embedding_size > 0).then_some(self.embedding_size),
            layers: (!self.layers.is_empty()).then(|| self.layers.clone()),
        }
    }
}

/// Writes a folder with the shared model, which has learned nothing again.
///
/// # Errors
/// A folder that cannot be read or written; what cannot be shared, as [`Model::share`] says.
pub fn convert(model: &Path, how: &Share, out: &Path, device: &Device) -> Result<ShareOutcome> {
    let source = ModelFolder::open(model)?;
    let tokenizer = Tokenizer::open(model)?;
    let whole = open(&source, device)?;
    let shared = whole.share(how)?;
    write_model(&shared, &tokenizer, &source, out)?;
    Ok(counted(&whole, &shared, out))
}

/// Runs (or, with `resume`, goes on with) sharing and learning again.
///
/// # Errors
/// As [`convert`] and [`polyseme_train::finetune()`].
pub fn share(
    settings: &ShareSettings,
    resume: bool,
    device: &Device,
    observer: &mut dyn Observer,
    stop: &Stop,
) -> Result<ShareOutcome> {
    settings.finetune.check()?;
    let out = &settings.finetune.out;
    // What cannot be shared is found before anything is written.
    let source = ModelFolder::open(&settings.finetune.model)?;
    let whole = open(&source, device)?;
    let mut outcome = counted(&whole, &whole.share(&settings.how())?, out);
    drop(whole);
    let before = run_setup::Before::look(out);
    let folder = run_setup::open(out, settings, resume, 8 * outcome.parameters.before as u64, &MAY_CHANGE)?;
    let place = out.join("rounds").join("1");
    match learn(settings, &place, device, observer, stop) {
        Ok(Some(score)) => {
            outcome.metric = Some(settings.finetune.metric.clone());
            outcome.score = Some(score);
        }
        Ok(None) => return Ok(ShareOutcome { interrupted: true, ..outcome }),
        Err(error) => {
            drop(folder);
            if !resume && !place.join("run").exists() {
                before.restore();
            }
            return Err(error);
        }
    }
    copy_model(&place, out)?;
    let text = serde_json::to_vec_pretty(&outcome).expect("plain data");
    polyseme_formats::atomic::write(&folder.path().join("results.json"), |file| file.write_all(&text))?;
    Ok(outcome)
}

/// Converts the model, unless that is done, and lets it learn; `None`: it was asked to stop.
fn learn(
    settings: &ShareSettings,
    place: &Path,
    device: &Device,
    observer: &mut dyn Observer,
    stop: &Stop,
) -> Result<Option<f64>> {
    let shared = place.join("shared");
    if !shared.join("config.json").is_file() {
        // Under another name until it is whole.
        let unfinished = place.join("unfinished");
        let _ = std::fs::remove_dir_all(&unfinished);
        convert(&settings.finetune.model, &settings.how(), &unfinished, device)?;
        std::fs::rename(&unfinished, &shared).map_err(|source| io("rename", &unfinished, source))?;
    }
    observer.event(Event::Stage("what is left learns"));
    let resume = place.join("run").join("settings.toml").is_file();
    let learns = FinetuneSettings { model: shared, out: place.to_owned(), ..settings.finetune.clone() };
    let learned = finetune(&learns, resume, device, observer, stop).map_err(Error::from)?;
    Ok((!learned.interrupted).then_some(learned.median))
}

fn open(source: &ModelFolder, device: &Device) -> Result<Model> {
    let (model, _) = Model::open(source, HeadKind::AsFound, Stream::new(0), device)?;
    model.check_learns(&source.path)?;
    Ok(model)
}

fn counted(whole: &Model, shared: &Model, out: &Path) -> ShareOutcome {
    let both = |counts: &dyn Fn(ParamGroup) -> bool| {
        let of = |model: &Model| {
            model.parameters().iter().filter(|p| counts(p.group)).map(polyseme_models::ParamInfo::elements).sum()
        };
        Both { before: of(whole), after: of(shared) }
    };
    ShareOutcome {
        model: out.to_owned(),
        layers: both(&|group| matches!(group, ParamGroup::Layer(_))),
        embeddings: both(&|group| group == ParamGroup::Embeddings),
        parameters: both(&|_| true),
        metric: None,
        score: None,
        interrupted: false,
    }
}
