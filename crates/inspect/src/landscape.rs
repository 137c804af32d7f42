//! Why pre-training helps: the loss between pre-trained and fine-tuned weights, and a run from scratch (Hao et al. 2019).

use crate::{Error, Result};
use polyseme_formats::ModelFolder;
use polyseme_infer::Encoder;
use polyseme_models::{HeadKind, Model};
use polyseme_tensor::{Device, Stream};
use polyseme_train::evaluate::{EvaluateSettings, Measuring};
use polyseme_train::metrics::Metrics;
use polyseme_train::observer::Stop;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// How far beyond both ends a line goes, in distances between them.
const BEYOND: f64 = 0.5;

/// What is drawn.
#[derive(Clone, Debug)]
pub struct LandscapeOptions {
    /// The folder before fine-tuning.
    pub pretrained: PathBuf,
    /// The fine-tuned folder.
    pub finetuned: PathBuf,
    /// A folder with the same head that was trained from random weights.
    pub scratch: Option<PathBuf>,
    /// Labelled rows.
    pub data: PathBuf,
    /// How rows are read.
    pub reading: EvaluateSettings,
    /// Points of a line.
    pub points: usize,
    /// Points a side of the plane; 0: no plane.
    pub grid: usize,
    /// Seed of weights that are random: of the pre-trained model's head, and of where the run from scratch began.
    pub seed: u64,
}

/// Losses along lines and over a plane.
#[derive(Clone, Debug, Serialize)]
pub struct Landscape {
    /// Rows that losses are means over.
    pub rows: usize,
    /// From the pre-trained weights (0) to the fine-tuned ones (1).
    pub line: Vec<Place>,
    /// From random weights (0) to those trained from scratch (1).
    pub scratch_line: Option<Vec<Place>>,
    /// The plane through the pre-trained weights (0, 0), the fine-tuned ones (1, 0) and those from scratch (0, 1).
    pub plane: Option<Plane>,
}

/// A loss on a line.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Place {
    /// Where: 0 begins, 1 ends.
    pub at: f64,
    /// Mean loss over the rows.
    pub loss: f64,
}

/// Losses over a plane.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plane {
    /// Towards the fine-tuned weights.
    pub across: Vec<f64>,
    /// Towards those from scratch.
    pub up: Vec<f64>,
    /// `(up, across)`
    pub losses: Vec<Vec<f64>>,
}

/// Values of all parameters, in order.
type Weights = Vec<Vec<f32>>;

/// Computes losses. `progress(done, total)` in models measured; `None`: it was asked to stop.
///
/// # Errors
/// Folders that cannot be opened, models that have not the same parameters, rows that cannot be read.
pub fn landscape(
    options: &LandscapeOptions,
    device: &Device,
    progress: &mut dyn FnMut(u64, u64),
    stop: &Stop,
) -> Result<Option<Landscape>> {
    let encoder = Encoder::open_on(&options.finetuned, HeadKind::AsFound, device)?;
    let measuring = Measuring::open(&encoder, &options.data, &options.reading)?;
    let head = encoder.model.head();
    let random = Stream::new(options.seed).named("init");
    let (before, _) = Model::open(&ModelFolder::open(&options.pretrained)?, head.clone(), random, device)?;
    let fine = weights(&encoder.model);
    let start = same(&encoder.model, &before, &options.pretrained)?;
    let scratch = match &options.scratch {
        None => None,
        Some(path) => {
            let (trained, _) = Model::open(&ModelFolder::open(path)?, HeadKind::AsFound, random, device)?;
            if trained.head() != head {
                let other = options.finetuned.clone();
                return Err(Error::OtherHead { path: path.clone(), other });
            }
            let config = trained.config().clone();
            let began = Model::new(trained.family(), config, head, random, device)?;
            Some((same(&encoder.model, &began, path)?, same(&encoder.model, &trained, path)?))
        }
    };
    let at = along(options.points);
    let plane_points = if scratch.is_some() { options.grid * options.grid } else { 0 };
    let lines = if scratch.is_some() { 2 } else { 1 };
    let (mut done, total) = (0, (lines * at.len() + plane_points) as u64);
    let mut model = before;
    let names: Vec<String> = model.parameters().into_iter().map(|p| p.name).collect();
    let mut loss = |parts: &[(f64, &Weights)]| -> Option<f64> {
        for (i, name) in names.iter().enumerate() {
            model.make_whole(name, mixed(parts, i));
        }
        let outputs = measuring.outputs_of(&model, &mut |_, _| (), stop)?;
        done += 1;
        progress(done, total);
        Some(loss_of(&measuring.evaluation(&outputs, false).metrics))
    };
    let mut line = |from: &Weights, to: &Weights| -> Option<Vec<Place>> {
        let place = |&at: &f64| Some(Place { at, loss: loss(&[(1.0 - at, from), (at, to)])? });
        at.iter().map(place).collect()
    };
    let Some(first) = line(&start, &fine) else { return Ok(None) };
    let mut found = Landscape { rows: measuring.rows(), line: first, scratch_line: None, plane: None };
    let Some((began, trained)) = scratch else { return Ok(Some(found)) };
    let Some(second) = line(&began, &trained) else { return Ok(None) };
    found.scratch_line = Some(second);
    if options.grid > 1 {
        let sides = along(options.grid);
        let mut losses = Vec::with_capacity(sides.len());
        for &up in &sides {
            let row = sides.iter().map(|&x| loss(&[(1.0 - x - up, &start), (x, &fine), (up, &trained)]));
            let Some(row) = row.collect::<Option<Vec<f64>>>() else { return Ok(None) };
            losses.push(row);
        }
        found.plane = Some(Plane { across: sides.clone(), up: sides, losses });
    }
    Ok(Some(found))
}

/// Places from before the beginning to behind the end of a line; 0 and 1 are among them where their number allows it.
fn along(points: usize) -> Vec<f64> {
    let steps = points.saturating_sub(1).max(1) as f64;
    (0..points).map(|i| -BEYOND + (1.0 + 2.0 * BEYOND) * i as f64 / steps).collect()
}

fn weights(model: &Model) -> Weights {
    model.parameters().iter().map(|p| model.values(&p.name)).collect()
}

/// The weights of a model, if it has the same parameters.
fn same(model: &Model, other: &Model, path: &Path) -> Result<Weights> {
    let shapes = |m: &Model| m.parameters().into_iter().map(|p| (p.name, p.shape)).collect::<Vec<_>>();
    if shapes(model) != shapes(other) {
        return Err(Error::OtherShape { path: path.to_owned() });
    }
    Ok(weights(other))
}

/// A parameter as a sum of parts.
fn mixed(parts: &[(f64, &Weights)], parameter: usize) -> Vec<f32> {
    let count = parts[0].1[parameter].len();
    let value = |i: usize| parts.iter().map(|(share, w)| share * f64::from(w[parameter][i])).sum::<f64>() as f32;
    (0..count).map(value).collect()
}

fn loss_of(metrics: &Metrics) -> f64 {
    metrics.get("loss").unwrap_or(f64::NAN)
}
