//! Weights that become zero one by one while a model learns (unstructured pruning).
//!
//! The model computes with `W ∘ M`; the weights `W` themselves are kept here, with a mask `M` of those that stay. A
//! weight that is zeroed is not learned meanwhile, but it comes back as it was where the mask does. By magnitude the
//! mask has the largest weights. By movement (Sanh et al. 2020) each weight has a score, learned as if the mask were
//! the score itself (straight through): its gradient is that of the masked weight times the weight, so that scores of
//! weights rise that learning moves away from zero.
//!
//! Deviations from the paper's code, which learns for a hundred thousand steps. Scores begin at the weights' magnitudes and
//! not at 0, and their gradient is divided by its size in the whole matrix and not by each weight's own (Adam's), which
//! lets all scores walk at random equally far, those of weights that hardly count, too: with some thousand steps either
//! one ends in a model that has forgotten everything (`benches/runs/2026-11-27-sparse`). Gradients are clipped by the norm
//! of those of the weights that stay, without that of the scores'.

mod choose;
mod movement;
pub mod settings;
#[cfg(test)]
mod tests;

use crate::behind::Behind;
use crate::error::{Error, Result};
use crate::state::{self, RunState};
use choose::Bar;
use movement::Movement;
use polyseme_formats::tensors::TensorFile;
use polyseme_models::{Model, ParamGroup, ParamInfo};
use polyseme_tensor::ops::optimizer::AdamWStep;
use polyseme_tensor::{Bool, Device, Tensor, TensorData};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
pub use settings::{Across, By, SparseSettings};
use std::collections::BTreeMap;
use std::path::Path;

/// A matrix some weights of which are zero. All tensors are flat.
struct Matrix {
    /// Among the trained parameters.
    at: usize,
    /// Its name.
    name: String,
    /// The weights themselves.
    dense: Tensor<1>,
    /// Whether a weight is zeroed, one for each.
    zeroed: Tensor<1, Bool>,
    movement: Option<Movement>,
}

/// The weights behind a model whose matrices become sparse.
pub struct Sparse {
    settings: SparseSettings,
    /// Steps of the run.
    steps: u64,
    /// The share that is zero now.
    now: f64,
    /// Steps that scores have learned.
    learned: u64,
    matrices: Vec<Matrix>,
}

/// Whether a parameter is one of the matrices of the encoder's layers.
fn is_of_a_layer(info: &ParamInfo) -> bool {
    matches!(info.group, ParamGroup::Layer(_)) && info.shape.len() == 2
}

impl Sparse {
    /// Of a model whose run of `steps` steps begins, or goes on after a checkpoint with this state.
    ///
    /// # Errors
    /// A checkpoint that lacks something.
    pub fn begin(
        settings: &SparseSettings,
        steps: u64,
        model: &mut Model,
        state: &RunState,
        checkpoint: Option<&Path>,
    ) -> Result<Self> {
        let trained = state::trained(model);
        let mut values = model.take();
        let mut sparse = Self::new(settings, steps, &trained, &values);
        let restored = checkpoint.map_or(Ok(()), |path| sparse.restore(state, path));
        sparse.choose();
        sparse.put(&mut values);
        model.put(values);
        restored.map(|()| sparse)
    }

    /// Before anything is zero.
    fn new(settings: &SparseSettings, steps: u64, trained: &[ParamInfo], values: &[Tensor<1>]) -> Self {
        let of_layers = trained.iter().enumerate().filter(|(_, info)| is_of_a_layer(info));
        let matrices = of_layers.map(|(at, info)| Matrix {
            at,
            name: info.name.clone(),
            dense: values[at].clone(),
            zeroed: flags(vec![false; info.elements()], &values[at].device()),
            movement: (settings.by == By::Movement).then(|| Movement::begin(&values[at])),
        });
        Self { settings: settings.clone(), steps, now: settings.initial, learned: 0, matrices: matrices.collect() }
    }

    fn put(&self, values: &mut [Tensor<1>]) {
        for m in &self.matrices {
            values[m.at] = m.dense.clone().mask_fill(m.zeroed.clone(), 0.0);
        }
    }

    /// Makes the masks of the share that is to be zero now.
    fn choose(&mut self) {
        if self.now == 0.0 {
            return;
        }
        let worth = |m: &Matrix| -> Vec<f32> {
            let worth = match &m.movement {
                Some(movement) => movement.scores.clone(),
                None => m.dense.clone().abs(),
            };
            worth.into_data_as::<f32>().try_into_vec().expect("f32 was asked for")
        };
        let worth: Vec<Vec<f32>> = self.matrices.iter().map(worth).collect();
        let keep = |count: usize| count - (self.now * count as f64).round() as usize;
        let passed: Vec<Vec<bool>> = match self.settings.across {
            Across::Matrix => {
                let of_one = |w: &Vec<f32>| Bar::new([w.as_slice()].into_iter(), keep(w.len())).passed(w);
                worth.par_iter().map(of_one).collect()
            }
            Across::Model => {
                let all = worth.iter().map(Vec::len).sum();
                let mut bar = Bar::new(worth.iter().map(Vec::as_slice), keep(all));
                worth.iter().map(|w| bar.passed(w)).collect()
            }
        };
        for (m, passed) in self.matrices.iter_mut().zip(passed) {
            m.zeroed = flags(passed.into_iter().map(|stays| !stays).collect(), &m.dense.device());
        }
    }

    /// What was saved with a state.
    fn restore(&mut self, state: &RunState, path: &Path) -> Result<()> {
        let file = TensorFile::open(path)?;
        self.now = state.sparsity;
        self.learned = state.updates;
        for m in &mut self.matrices {
            let (device, count) = (m.dense.device(), m.dense.dims()[0]);
            let tensor = |prefix: &str, count: usize| {
                let values = state::read(&file, path, &format!("{prefix}{}", m.name), count)?;
                Ok::<_, Error>(Tensor::from_floats(values.as_slice(), &device))
            };
            let dense = tensor(DENSE, count)?;
            if m.movement.is_some() {
                m.movement = Some(Movement::restored(count, tensor)?);
            }
            m.dense = dense;
        }
        Ok(())
    }
}

impl Behind for Sparse {
    fn gradients(&mut self, gradients: &mut [Tensor<1>]) {
        for m in &mut self.matrices {
            let gradient = gradients[m.at].clone();
            if let Some(movement) = &mut m.movement {
                movement.gradient(&gradient, &m.dense);
            }
            gradients[m.at] = gradient.mask_fill(m.zeroed.clone(), 0.0);
        }
    }

    fn before(&mut self, values: &mut [Tensor<1>], step: AdamWStep, factor: f64) {
        for m in &self.matrices {
            values[m.at] = m.dense.clone();
        }
        self.learned += 1;
        let step = AdamWStep { learning_rate: self.settings.score_rate * factor, ..step };
        for movement in self.matrices.iter_mut().filter_map(|m| m.movement.as_mut()) {
            movement.learn(step, self.learned);
        }
    }

    fn after(&mut self, values: &mut [Tensor<1>], done: u64) -> f64 {
        for m in &mut self.matrices {
            m.dense = values[m.at].clone();
        }
        self.now = self.settings.at(done as f64 / self.steps as f64);
        self.choose();
        self.put(values);
        self.now
    }

    fn is_settled(&self) -> bool {
        self.now >= self.settings.sparsity
    }

    fn saved(&self) -> Vec<(String, Tensor<1>)> {
        let mut all = Vec::new();
        for m in &self.matrices {
            all.push((format!("{DENSE}{}", m.name), m.dense.clone()));
            let of_movement = m.movement.iter().flat_map(Movement::saved);
            all.extend(of_movement.map(|(prefix, tensor)| (format!("{prefix}{}", m.name), tensor)));
        }
        all
    }
}

const DENSE: &str = "sparse.dense.";

fn flags(values: Vec<bool>, device: &Device) -> Tensor<1, Bool> {
    let count = values.len();
    Tensor::from_data(TensorData::new(values, [count]), device)
}

/// The share of exact zeros in a model's matrices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Zeros {
    /// In all matrices of the encoder's layers together.
    pub share: f64,
    /// In each, by its name.
    pub matrices: BTreeMap<String, f64>,
}

impl Zeros {
    /// Counts zeros in the matrices of a model's layers.
    pub fn of(model: &Model) -> Self {
        let of_layers: Vec<ParamInfo> = model.parameters().into_iter().filter(is_of_a_layer).collect();
        let (mut zeros, mut all) = (0, 0);
        let mut matrices = BTreeMap::new();
        for tensor in model.to_tensors() {
            if !of_layers.iter().any(|info| info.name == tensor.name) {
                continue;
            }
            let values = tensor.bytes.chunks_exact(4);
            let (count, found) = (values.len(), values.filter(|b| **b == [0; 4]).count());
            (zeros, all) = (zeros + found, all + count);
            matrices.insert(tensor.name, found as f64 / count as f64);
        }
        Self { share: zeros as f64 / all.max(1) as f64, matrices }
    }
}
