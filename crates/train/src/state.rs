//! All the state of a run in one struct, saved with the weights.
//!
//! Checkpoints hold it as TOML, which gives every f64 back to the last bit: the last digit of a
//! metric can decide which epoch is the best.

use crate::error::{Error, Result};
use crate::observer::{Event, Observer};
use crate::sampler::Position;
use polyseme_formats::run::RunFolder;
use polyseme_formats::tensors::{DType, TensorFile, TensorInfo};
use polyseme_models::{Model, ParamInfo};
use polyseme_tensor::Tensor;
use polyseme_tensor::ops::optimizer::AdamWState;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Sums since the last row of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Window {
    /// Sum of losses over targets.
    pub loss: f64,
    /// Targets.
    pub targets: u64,
    /// Norm of the last finite gradient.
    pub norm: f64,
    /// Tokens.
    pub tokens: u64,
    /// Seconds of training, validation and saving not counted.
    pub seconds: f64,
}

/// The best validation so far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// After which step.
    pub step: u64,
    /// The chosen metric, turned so that more is better.
    pub score: f64,
    /// The loss: among equal scores the lower one is better.
    pub loss: f64,
}

/// Everything a run knows besides weights and optimizer moments.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunState {
    /// Fingerprint of the data: a run goes on only with those it began with.
    pub data: String,
    /// Optimizer steps done, skipped ones included.
    pub step: u64,
    /// Updates done with the moments at hand: steps less skipped steps, since the stage began where there are stages.
    pub updates: u64,
    /// The stage of gradual unfreezing.
    #[serde(default)]
    pub stage: u64,
    /// The share of weights that are zero, where some become so.
    #[serde(default)]
    pub sparsity: f64,
    /// Tokens seen.
    pub tokens: u64,
    /// Seconds spent in the loop.
    pub seconds: f64,
    /// Where in the data.
    pub position: Position,
    /// Whether a run by the clock has come to its long sequences.
    pub lengthened: bool,
    /// Steps skipped because of a loss or gradient that was not finite.
    pub skipped: u64,
    /// Those of them since the last good step.
    pub skipped_in_a_row: u64,
    /// Sums since the last row.
    pub window: Window,
    /// The last validation.
    pub valid: BTreeMap<String, f64>,
    /// After which step it was.
    pub valid_step: Option<u64>,
    /// The best validation, where one is chosen.
    pub best: Option<Best>,
    /// Validations since the best.
    pub since_best: u64,
    /// What a validation takes, in seconds, as last measured.
    pub validation_seconds: f64,
    /// What saving a checkpoint takes, in seconds, as last measured.
    pub saving_seconds: f64,
}

/// Where a run begins or goes on.
pub struct Begun {
    /// Its state.
    pub state: RunState,
    /// Its moments.
    pub optimizer: AdamWState,
    /// The tensors of the checkpoint it goes on after.
    pub checkpoint: Option<PathBuf>,
}

/// The state of the newest checkpoint, with its weights put into the model and its moments; or
/// `fresh`, where there is none. Rows of the log after it are cut. `enter` chooses what the model trains in a state.
///
/// # Errors
/// The checkpoint began with other data than `fresh` names; `what` says which.
pub fn resume_or_begin(
    folder: &mut RunFolder,
    model: &mut Model,
    fresh: RunState,
    what: &'static str,
    enter: &dyn Fn(&mut Model, &RunState),
    observer: &mut dyn Observer,
) -> Result<Begun> {
    let (found, warnings) = folder.latest_checkpoint::<RunState>()?;
    for warning in &warnings {
        observer.event(Event::Warning(warning));
    }
    let Some((state, tensors)) = found else {
        folder.truncate_log(0)?;
        enter(model, &fresh);
        return Ok(Begun { state: fresh, optimizer: AdamWState::default(), checkpoint: None });
    };
    if state.data != fresh.data {
        return Err(Error::DataChanged { run: folder.path().to_owned(), what });
    }
    folder.truncate_log(state.step)?;
    enter(model, &state);
    let optimizer = unpack(&tensors, model, state.updates)?;
    observer.event(Event::Note(&format!("going on after step {}", state.step)));
    Ok(Begun { state, optimizer, checkpoint: Some(tensors) })
}

const M: &str = "optimizer.m.";
const V: &str = "optimizer.v.";

/// Saves state, weights, moments and more tensors by name as a checkpoint, one tensor in memory at a time.
pub fn save(
    folder: &RunFolder,
    state: &RunState,
    model: &Model,
    optimizer: &AdamWState,
    more: &[(String, Tensor<1>)],
    keep: usize,
) -> Result<PathBuf> {
    let weights = model.to_tensors();
    let trained = trained(model);
    let mut infos: Vec<TensorInfo> =
        weights.iter().map(|t| TensorInfo { name: t.name.clone(), dtype: t.dtype, shape: t.shape.clone() }).collect();
    let mut moments = Vec::new();
    for (prefix, of) in [(M, &optimizer.m), (V, &optimizer.v)] {
        for (p, tensor) in trained.iter().zip(of) {
            infos.push(TensorInfo { name: format!("{prefix}{}", p.name), dtype: DType::F32, shape: p.shape.clone() });
            moments.push(tensor);
        }
    }
    for (name, tensor) in more {
        infos.push(TensorInfo { name: name.clone(), dtype: DType::F32, shape: tensor.dims().to_vec() });
        moments.push(tensor);
    }
    let mut writer = folder.begin_checkpoint(state.step)?;
    writer.tensors("tensors.safetensors", &infos, &mut |i, out| match weights.get(i) {
        Some(weight) => out.write_all(&weight.bytes),
        None => {
            let values = moments[i - weights.len()].to_data();
            let bytes: Vec<u8> = values.iter::<f32>().flat_map(f32::to_le_bytes).collect();
            out.write_all(&bytes)
        }
    })?;
    Ok(writer.finish(state, keep)?)
}

/// Puts the weights of a checkpoint into the model and gives its moments.
pub fn unpack(path: &Path, model: &mut Model, updates: u64) -> Result<AdamWState> {
    let file = TensorFile::open(path)?;
    model.load_tensors(&file)?;
    if updates == 0 {
        return Ok(AdamWState::default());
    }
    let device = model.device().clone().without_autodiff();
    let trained = trained(model);
    let all = |prefix: &str| -> Result<Vec<Tensor<1>>> {
        trained
            .iter()
            .map(|p| {
                let values = read(&file, path, &format!("{prefix}{}", p.name), p.elements())?;
                Ok(Tensor::from_floats(values.as_slice(), &device))
            })
            .collect()
    };
    Ok(AdamWState { step: updates, m: all(M)?, v: all(V)? })
}

/// The values of a tensor of a checkpoint.
pub(crate) fn read(file: &TensorFile, path: &Path, tensor: &str, expected: usize) -> Result<Vec<f32>> {
    let wrong = |found: String| Error::Checkpoint {
        path: path.to_owned(),
        tensor: tensor.to_owned(),
        found,
        expected: format!("{expected} values"),
    };
    let values = file.get(tensor).ok_or_else(|| wrong("is missing".to_owned()))?.to_f32()?;
    match values.len() == expected {
        true => Ok(values),
        false => Err(wrong(format!("has {} values", values.len()))),
    }
}

/// The trained parameters, in the order of [`Model::take`].
pub fn trained(model: &Model) -> Vec<ParamInfo> {
    model.parameters().into_iter().filter(|p| p.trainable).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_bit_for_bit() {
        let dir = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(dir.path(), 0).unwrap();
        let mut state = RunState::default();
        for (step, value) in
            [0.1 + 0.2, 1.0 / 3.0, f64::MIN_POSITIVE, 1e300, f64::INFINITY, -0.0, 5.0].into_iter().enumerate()
        {
            state.step = step as u64;
            state.best = Some(Best { step: 1, score: value, loss: -value });
            state.valid = BTreeMap::from([("loss".to_owned(), value)]);
            folder.save_checkpoint(state.step, &state, &[], 1).unwrap();
            let (back, _) = folder.latest_checkpoint::<RunState>().unwrap();
            assert_eq!(back.unwrap().0, state);
        }
    }
}
