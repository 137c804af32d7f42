//! Numbers of fewer bits in the place of a model's values: 8 bits with products of 8-bit integers, blocks of 4 bits,
//! half precision. What it costs is measured on texts; what costs too much stays as it was, and so does a layer that
//! would not be faster.

mod choose;
mod sample;
mod speed;

use crate::{Error, Result, io};
use choose::Chooser;
pub use choose::{Form, MatrixOutcome};
use polyseme_formats::ModelFolder;
use polyseme_infer::Encoder;
use polyseme_models::{HeadKind, MatrixRole, Precision};
use polyseme_tensor::Device;
use polyseme_train::evaluate::{EvaluateSettings, evaluate};
use polyseme_train::metrics::metrics_of;
use polyseme_train::{Columns, Event, Observer, Stop};
use sample::Sample;
use serde::Serialize;
pub use speed::{LayerSpeed, Timing};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What a model's values become.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum To {
    /// 8 bits with a scale a row; products of 8-bit integers.
    Int8,
    /// 4 bits with a scale a block; products in f32.
    Int4,
    /// Half precision.
    F16,
    /// Half precision with the range of f32.
    Bf16,
}

impl To {
    /// All of them, by name.
    pub const ALL: [(&'static str, Self); 4] =
        [("int8", Self::Int8), ("int4", Self::Int4), ("f16", Self::F16), ("bf16", Self::Bf16)];
}

/// The plan of a quantization.
#[derive(Clone, Debug)]
pub struct QuantizeSettings {
    /// The model folder.
    pub model: PathBuf,
    /// Where the smaller one goes.
    pub out: PathBuf,
    /// What values become.
    pub to: To,
    /// Labelled rows that the metric is measured on before and after; its texts are what is compared if they are in
    /// columns.
    pub data: Option<PathBuf>,
    /// Which of its columns hold what.
    pub columns: Columns,
    /// Texts by which the ranges of activations are found beforehand; without them each row has its own.
    pub calibrate: Option<PathBuf>,
    /// Layers that stay as they are, from 0.
    pub keep: Vec<usize>,
    /// The least mean cosine of token vectors to those of the whole model.
    pub cosine: f64,
    /// Columns that share a scale, of 4 bits.
    pub group: usize,
    /// Whether to measure speed, by which layers may stay in f32.
    pub timing: bool,
    /// Seed of the tokens that are looked at where no texts are given.
    pub seed: u64,
}

/// What a quantization came to.
#[derive(Clone, Debug, Serialize)]
pub struct QuantizeOutcome {
    /// The folder.
    pub model: PathBuf,
    /// What values became.
    pub to: To,
    /// Bytes of the weights in f32.
    pub bytes_before: u64,
    /// Bytes of the weights in the folder.
    pub bytes_after: u64,
    /// What became of each matrix; empty where all values were rounded alike.
    pub matrices: Vec<MatrixOutcome>,
    /// What texts the rest was measured on: a file, or `random tokens`.
    pub measured_on: String,
    /// Tokens of these.
    pub tokens: usize,
    /// Mean cosine of token vectors to those of the whole model.
    pub cosine: f64,
    /// How fast each layer is beside f32.
    pub speed: Vec<LayerSpeed>,
    /// How fast the whole encoder is.
    pub timings: Vec<Timing>,
    /// The metric of the labelled rows.
    pub metric: Option<MetricOutcome>,
}

/// A metric before and after.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct MetricOutcome {
    pub name: String,
    pub before: f64,
    pub after: f64,
}

impl QuantizeSettings {
    /// Looks for values that cannot be.
    ///
    /// # Errors
    /// A cosine or a size of blocks that is none.
    pub fn check(&self) -> Result<()> {
        let setting = |key: &str, found: String, expected: &str| {
            Err(polyseme_train::Error::Setting { key: key.into(), found, expected: expected.into() }.into())
        };
        if !(0.0..1.0).contains(&self.cosine) {
            return setting("cosine", self.cosine.to_string(), "at least 0 and below 1");
        }
        if self.group < 8 || !self.group.is_multiple_of(8) {
            return setting("group", self.group.to_string(), "a multiple of 8");
        }
        if self.calibrate.is_some() && self.to != To::Int8 {
            return setting("calibrate", "given".into(), "given for int8 only: nothing else rounds activations");
        }
        Ok(())
    }
}

/// Writes a model of fewer bits. `None`: it was asked to stop; then nothing was written.
///
/// # Errors
/// Settings that cannot be, a folder that cannot be read or written or that is in few bits already, a layer that is
/// not there, a file without texts.
pub fn quantize(
    settings: &QuantizeSettings,
    device: &Device,
    observer: &mut dyn Observer,
    stop: &Stop,
) -> Result<Option<QuantizeOutcome>> {
    settings.check()?;
    let open = |folder: &Path| Encoder::open_on(folder, HeadKind::AsFound, device);
    let whole = open(&settings.model)?;
    whole.model.check_learns(&settings.model)?;
    let layers = whole.model.config().num_hidden_layers;
    if let Some(&layer) = settings.keep.iter().find(|&&layer| layer >= layers) {
        return Err(Error::NoLayer { layer, layers });
    }
    let sample = Sample::read(settings, &whole)?;
    let metric = settings.data.as_deref().map(|data| measure(&whole, data, settings, observer, stop)).transpose()?;
    if stop.requested() {
        return Ok(None);
    }
    let mut few = open(&settings.model)?;
    let expected = sample.vectors(&whole.model);
    let (mut matrices, mut speed, mut timings) = (Vec::new(), Vec::new(), Vec::new());
    match settings.to {
        To::F16 => few.model.round_to(Precision::F16)?,
        To::Bf16 => few.model.round_to(Precision::Bf16)?,
        To::Int8 | To::Int4 => {
            let ranges = ranges(settings, &mut few, observer)?;
            let mut chooser = Chooser::new(settings, &whole.model, ranges);
            chooser.form_all(&mut few.model);
            if settings.timing && settings.to == To::Int8 {
                observer.event(Event::Stage("how fast each layer is"));
                (speed, timings) = speed::measure(&whole.model, &few.model);
                chooser.slower(&mut few.model, &speed);
            }
            observer.event(Event::Stage("what each matrix costs"));
            let done = chooser.until_near(&mut few.model, &sample, &expected, observer, stop);
            if !done {
                return Ok(None);
            }
            matrices = chooser.outcome();
        }
    }
    let cosine = sample::cosine(&sample.vectors(&few.model), &expected, whole.model.config().hidden_size);
    std::fs::create_dir_all(&settings.out).map_err(|source| io("create", &settings.out, source))?;
    few.model.save(&settings.out)?;
    few.tokenizer.save(&settings.out)?;
    if let Some(modules) = ModelFolder::open(&settings.model)?.sentence_modules()? {
        polyseme_formats::folder::write_sentence_modules(&settings.out, &modules, whole.model.config().hidden_size)?;
    }
    let metric = match (metric, &settings.data) {
        (Some(Some((name, before))), Some(data)) => {
            let again = open(&settings.out)?;
            let after = measure(&again, data, settings, observer, stop)?;
            after.map(|(_, after)| MetricOutcome { name, before, after })
        }
        _ => None,
    };
    let weights = settings.out.join("model.safetensors");
    let bytes_after = std::fs::metadata(&weights).map_err(|source| io("read", &weights, source))?.len();
    let elements: usize = whole.model.parameters().iter().map(polyseme_models::ParamInfo::elements).sum();
    Ok(Some(QuantizeOutcome {
        model: settings.out.clone(),
        to: settings.to,
        bytes_before: 4 * elements as u64,
        bytes_after,
        matrices,
        measured_on: sample.name,
        tokens: sample.tokens,
        cosine,
        speed,
        timings,
        metric,
    }))
}

/// The ranges of what the maps of layers multiply, if they are to be found beforehand.
fn ranges(
    settings: &QuantizeSettings,
    encoder: &mut Encoder,
    observer: &mut dyn Observer,
) -> Result<BTreeMap<String, (f32, f32)>> {
    /// Rows beyond a range, at either end: a few extreme ones would cost all others their precision.
    const BEYOND: f64 = 0.001;
    let Some(file) = &settings.calibrate else { return Ok(BTreeMap::new()) };
    observer.event(Event::Stage("ranges of activations"));
    let texts = Sample::of_file(file, settings, encoder, sample::CALIBRATION_TOKENS)?;
    Ok(encoder.model.input_ranges(BEYOND, |model| {
        texts.vectors(model);
    }))
}

/// The first metric of the model's task on labelled rows; `None`: it was asked to stop.
fn measure(
    encoder: &Encoder,
    data: &Path,
    settings: &QuantizeSettings,
    observer: &mut dyn Observer,
    stop: &Stop,
) -> Result<Option<(String, f64)>> {
    observer.event(Event::Stage("the metric"));
    let how = EvaluateSettings { columns: settings.columns.clone(), ..EvaluateSettings::default() };
    let Some(found) = evaluate(encoder, data, &how, &mut |_, _| (), stop)? else { return Ok(None) };
    let name = metrics_of(found.task)[0];
    Ok(Some((name.to_owned(), found.metrics.get(name).unwrap_or(f64::NAN))))
}

/// Whether a matrix is a map of this layer.
fn is_of(role: MatrixRole, layer: usize) -> bool {
    role == MatrixRole::Layer(layer)
}
