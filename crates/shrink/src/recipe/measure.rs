//! What a model folder is worth on the validation rows: its score, its size, and its speed beside the whole model.

use super::candidate::{Measured, Speed};
use super::setting;
use super::settings::{Data, RecipeSettings};
use crate::{NOT_THE_MODEL, Result, io};
use polyseme_formats::ModelFolder;
use polyseme_infer::Encoder;
use polyseme_models::HeadKind;
use polyseme_tensor::Device;
use polyseme_train::evaluate::{EvaluateSettings, Evaluation, Measuring};
use polyseme_train::{Columns, Stop};
use std::path::Path;
use std::time::Instant;

/// Pairs of passes at least and at most, and seconds after which no more are made.
const PAIRS: (usize, usize) = (5, 15);
const SECONDS: f64 = 20.0;

/// How rows are read.
fn reading(data: &Data) -> EvaluateSettings {
    let usual = EvaluateSettings::default();
    EvaluateSettings {
        columns: Columns {
            text: data.text.clone(),
            pair: data.pair.clone(),
            label: data.label.clone(),
            choices: data.choices.clone(),
        },
        label_separator: data.label_separator.clone().unwrap_or(usual.label_separator),
        max_length: data.max_length,
        ..usual
    }
}

/// A model's metrics on a file; `None`: it was asked to stop.
///
/// # Errors
/// A folder or rows that cannot be read.
pub fn evaluation(folder: &Path, file: &Path, data: &Data, device: &Device, stop: &Stop) -> Result<Option<Evaluation>> {
    let encoder = Encoder::open_on(folder, HeadKind::AsFound, device)?;
    let measuring = Measuring::open(&encoder, file, &reading(data))?;
    Ok(measuring.outputs(&mut |_, _| (), stop).map(|outputs| measuring.evaluation(&outputs, false)))
}

/// The gate's metric among those found.
///
/// # Errors
/// The model has another task than the one that the metric is of.
pub fn score(settings: &RecipeSettings, found: &Evaluation) -> Result<f64> {
    found.metrics.get(&settings.gate.metric).ok_or_else(|| {
        setting("gate.metric", format!("`{}`", settings.gate.metric), &format!("a metric of the task {}", found.task))
    })
}

/// Measures a model folder on the validation rows; `None`: it was asked to stop.
///
/// # Errors
/// A folder or rows that cannot be read.
pub fn measure(
    settings: &RecipeSettings,
    folder: &Path,
    memory: &mut dyn FnMut(&Path) -> Option<u64>,
    device: &Device,
    stop: &Stop,
) -> Result<Option<Measured>> {
    let encoder = Encoder::open_on(folder, HeadKind::AsFound, device)?;
    let how = reading(&settings.data);
    let one = Measuring::open(&encoder, &settings.data.valid, &how)?;
    let Some(outputs) = one.outputs(&mut |_, _| (), stop) else { return Ok(None) };
    let score = score(settings, &one.evaluation(&outputs, false))?;
    let timed = match folder == settings.model {
        true => paired(&one, None, stop),
        false => {
            let whole = Encoder::open_on(&settings.model, HeadKind::AsFound, device)?;
            paired(&one, Some(&Measuring::open(&whole, &settings.data.valid, &how)?), stop)
        }
    };
    let Some((speed, seconds)) = timed else { return Ok(None) };
    let rows_per_second = one.rows() as f64 / seconds;
    let parameters = encoder.model.parameters().iter().map(|p| p.elements()).sum();
    drop(encoder);
    let (weights_bytes, folder_bytes) = (weights_bytes(folder)?, folder_bytes(folder)?);
    let peak_memory_bytes = memory(folder);
    if stop.requested() {
        return Ok(None);
    }
    Ok(Some(Measured { score, parameters, weights_bytes, folder_bytes, rows_per_second, speed, peak_memory_bytes }))
}

/// The speed of one beside another, passes in turn, and the median seconds of one's; `None`: it was asked to stop.
fn paired(one: &Measuring, whole: Option<&Measuring>, stop: &Stop) -> Option<(Speed, f64)> {
    let pass = |measuring: &Measuring| {
        let begun = Instant::now();
        measuring.outputs(&mut |_, _| (), stop)?;
        Some(begun.elapsed().as_secs_f64().max(1e-9))
    };
    if let Some(whole) = whole {
        pass(whole)?; // what is prepared at the first pass is not timed
    }
    let begun = Instant::now();
    let (mut ratios, mut seconds) = (Vec::new(), Vec::new());
    while seconds.len() < PAIRS.0 || seconds.len() < PAIRS.1 && begun.elapsed().as_secs_f64() < SECONDS {
        let of_whole = whole.map(pass);
        let of_one = pass(one)?;
        seconds.push(of_one);
        if let Some(of_whole) = of_whole {
            ratios.push(of_whole? / of_one);
        }
    }
    seconds.sort_by(f64::total_cmp);
    Some((Speed::of(ratios), seconds[seconds.len() / 2]))
}

/// Bytes of a folder's tensors.
fn weights_bytes(folder: &Path) -> Result<u64> {
    let file = ModelFolder::open(folder)?.tensors()?;
    Ok(file.names().iter().filter_map(|name| file.get(name)).map(|tensor| tensor.bytes.len() as u64).sum())
}

/// Bytes of all files of a model folder, those of its run apart.
fn folder_bytes(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder).map_err(|source| io("read", folder, source))? {
        let entry = entry.map_err(|source| io("read", folder, source))?;
        let path = entry.path();
        if !path.is_dir() {
            bytes += std::fs::metadata(&path).map_err(|source| io("read", &path, source))?.len();
        } else if !NOT_THE_MODEL.iter().any(|name| entry.file_name() == *name) {
            bytes += folder_bytes(&path)?;
        }
    }
    Ok(bytes)
}
