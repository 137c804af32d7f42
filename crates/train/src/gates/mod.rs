//! Gates before heads and units that learn which of them a task needs (L0 regularization, Louizos et al. 2018; of heads
//! Voita et al. 2019).
//!
//! A gate is a factor on what a part says, so it stands in the map behind the part: the model computes with `W · diag(z)`,
//! and `W` is kept here. A step draws each gate once from a hard concrete distribution; its derivative comes from that
//! of the map's columns. How many gates may be open is held by a Lagrangian (Wang et al. 2020): the share that is open
//! is to be the one wanted, which falls from all along a line over the first half of the run. After the last step
//! nothing is left to chance, and the weights that are written have the gates in them.

mod concrete;

use crate::behind::Behind;
use crate::error::Result;
use crate::pretrain::settings::{positive, setting};
use crate::state::{self, RunState};
use polyseme_formats::tensors::TensorFile;
use polyseme_models::cut::Importance;
use polyseme_models::{Model, ParamInfo};
use polyseme_tensor::ops::optimizer::{AdamWState, AdamWStep, ParamRates, adamw_step};
use polyseme_tensor::{Stream, Tensor};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Shares of heads and units whose gates are to be open in the end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GateSettings {
    /// Of all heads; 1: they have no gates.
    pub heads: f64,
    /// Of all units; 1: they have no gates.
    pub units: f64,
    /// Learning rate of the gates, the same over the whole run: the share that is wanted is met in its second half.
    pub rate: f64,
}

impl Default for GateSettings {
    fn default() -> Self {
        Self { heads: 1.0, units: 1.0, rate: 0.1 }
    }
}

impl GateSettings {
    /// Whether there are any gates.
    pub fn is_on(&self) -> bool {
        self.heads != 1.0 || self.units != 1.0
    }

    /// Looks for values that cannot be.
    pub(crate) fn check(&self) -> Result<()> {
        for (key, share) in [("gates.heads", self.heads), ("gates.units", self.units)] {
            if !(share > 0.0 && share <= 1.0) {
                return Err(setting(key, share, "above 0 and at most 1, the share that stays open"));
            }
        }
        positive("gates.rate", self.rate)
    }
}

/// A gate begins open, nearly always.
const BEGIN: f32 = 2.2;
/// Beyond this a gate is open or shut for good.
const FAR: f32 = 4.6;
/// How fast the Lagrangian's factors rise.
const ASCENT: f64 = 1.0;

/// The map behind the parts of a layer that have gates.
struct Map {
    /// Among the trained parameters.
    at: usize,
    name: String,
    /// Rows and columns.
    shape: [usize; 2],
    /// The weights themselves.
    dense: Tensor<1>,
    /// Columns a part.
    per_part: usize,
    /// Its first gate, among all.
    first: usize,
    /// Which share holds it: 0 of heads, 1 of units.
    kind: usize,
}

/// The gates of a model's heads and units.
pub struct Gates {
    settings: GateSettings,
    steps: u64,
    stream: Stream,
    maps: Vec<Map>,
    /// `log α` of each gate.
    log_alpha: Tensor<1>,
    moments: AdamWState,
    /// Of heads and units: the factors of the distance from the wanted share, and of its square.
    factors: [[f64; 2]; 2],
    /// Steps done; gates drawn for the next one, with their derivatives; the loss's derivatives by them.
    done: u64,
    drawn: Vec<[f64; 2]>,
    gradient: Vec<f64>,
}

impl Gates {
    /// Of a model whose run of `steps` steps begins, or goes on after a checkpoint with this state.
    ///
    /// # Errors
    /// A checkpoint that lacks something.
    pub fn begin(
        settings: &GateSettings,
        (steps, stream): (u64, Stream),
        model: &mut Model,
        state: &RunState,
        checkpoint: Option<&Path>,
    ) -> Result<Self> {
        let trained = state::trained(model);
        let (names, head) = (model.maps_behind(), model.config().head_size());
        let mut values = model.take();
        let mut gates = Self::new(settings, (steps, stream), (&names, head), &trained, &values);
        let restored = checkpoint.map_or(Ok(()), |path| gates.restore(state, path));
        gates.draw();
        gates.put(&mut values);
        model.put(values);
        restored.map(|()| gates)
    }

    fn new(
        settings: &GateSettings,
        (steps, stream): (u64, Stream),
        (names, head): (&[[String; 2]], usize),
        trained: &[ParamInfo],
        values: &[Tensor<1>],
    ) -> Self {
        let mut maps: Vec<Map> = Vec::new();
        let mut count = 0;
        for (kind, per_part) in [head, 1].into_iter().enumerate() {
            if [settings.heads, settings.units][kind] == 1.0 {
                continue;
            }
            for name in names.iter().map(|names| &names[kind]) {
                let at = trained.iter().position(|info| info.name == *name).expect("all layers are trained");
                let shape = [trained[at].shape[0], trained[at].shape[1]];
                maps.push(Map {
                    at,
                    name: name.clone(),
                    shape,
                    dense: values[at].clone(),
                    per_part,
                    first: count,
                    kind,
                });
                count += shape[1] / per_part;
            }
        }
        let device = values[0].device();
        Self {
            settings: settings.clone(),
            steps,
            stream: stream.named("gates"),
            maps,
            log_alpha: Tensor::from_floats(vec![BEGIN; count].as_slice(), &device),
            moments: AdamWState::default(),
            factors: [[0.0; 2]; 2],
            done: 0,
            drawn: Vec::new(),
            gradient: Vec::new(),
        }
    }

    fn restore(&mut self, state: &RunState, path: &Path) -> Result<()> {
        let file = TensorFile::open(path)?;
        let device = self.log_alpha.device();
        let tensor = |name: &str, count: usize| {
            let values = state::read(&file, path, name, count)?;
            Ok::<_, crate::Error>(Tensor::<1>::from_floats(values.as_slice(), &device))
        };
        let count = self.log_alpha.dims()[0];
        self.log_alpha = tensor(LOG_ALPHA, count)?;
        let factors = state::read(&file, path, FACTORS, 4)?;
        self.factors = [0, 2].map(|i| [f64::from(factors[i]), f64::from(factors[i + 1])]);
        if state.updates > 0 {
            self.moments =
                AdamWState { step: state.updates, m: vec![tensor(FIRST, count)?], v: vec![tensor(SECOND, count)?] };
        }
        for map in &mut self.maps {
            map.dense = tensor(&format!("{DENSE}{}", map.name), map.shape[0] * map.shape[1])?;
        }
        self.done = state.step;
        Ok(())
    }

    fn alphas(&self) -> Vec<f32> {
        host(&self.log_alpha)
    }

    /// Gates of the next step; after the last one nothing is drawn.
    fn draw(&mut self) {
        let (last, stream) = (self.done >= self.steps, self.stream.at(self.done));
        let drawn = self.alphas().into_iter().enumerate().map(|(i, log_alpha)| match last {
            true => [concrete::certain(f64::from(log_alpha)), 0.0],
            false => concrete::sample(f64::from(log_alpha), f64::from(stream.uniform(i as u64))),
        });
        self.drawn = drawn.collect();
    }

    /// The gate of each column of a map, as a row. `(1, columns)`
    fn columns(&self, map: &Map) -> Tensor<2> {
        let gates = (0..map.shape[1]).map(|column| self.drawn[map.first + column / map.per_part][0] as f32);
        let gates: Vec<f32> = gates.collect();
        Tensor::<1>::from_floats(gates.as_slice(), &map.dense.device()).reshape([1, map.shape[1]])
    }

    fn gated(&self, map: &Map, values: Tensor<1>) -> Tensor<1> {
        (values.reshape(map.shape) * self.columns(map)).flatten(0, 1)
    }

    fn put(&self, values: &mut [Tensor<1>]) {
        for map in &self.maps {
            values[map.at] = self.gated(map, map.dense.clone());
        }
    }

    /// The derivative of the penalty by each `log α`, after its factors rose for the share that is open now.
    fn penalty(&mut self, alphas: &[f32]) -> Vec<f64> {
        let mut by_alpha = vec![0.0; alphas.len()];
        for kind in 0..2 {
            let of_kind = self.maps.iter().filter(|map| map.kind == kind);
            let ranges: Vec<_> = of_kind.map(|map| map.first..map.first + map.shape[1] / map.per_part).collect();
            let count: usize = ranges.iter().map(ExactSizeIterator::len).sum();
            let all = || ranges.iter().cloned().flatten();
            let share = all().map(|i| concrete::open(f64::from(alphas[i]))[0]).sum::<f64>() / count.max(1) as f64;
            let fallen = (2.0 * self.done as f64 / self.steps as f64).min(1.0);
            let wanted = 1.0 - fallen * (1.0 - [self.settings.heads, self.settings.units][kind]);
            let off = share - wanted;
            let [linear, square] = &mut self.factors[kind];
            // As they will be read back.
            *linear = f64::from((*linear + ASCENT * off) as f32);
            *square = f64::from((*square + ASCENT * off * off) as f32);
            for i in all() {
                by_alpha[i] = (*linear + 2.0 * *square * off) * concrete::open(f64::from(alphas[i]))[1] / count as f64;
            }
        }
        by_alpha
    }

    /// How open the gates of each layer's heads and units are; what has no gates is open.
    pub fn importance(&self, model: &Model) -> Vec<Importance> {
        let (alphas, config) = (self.alphas(), model.config());
        let open = |log_alpha: &f32| concrete::open(f64::from(*log_alpha))[0];
        let layers = model.maps_behind();
        let of = |name: &String, count: usize| match self.maps.iter().find(|map| map.name == *name) {
            Some(map) => alphas[map.first..map.first + count].iter().map(open).collect(),
            None => vec![1.0; count],
        };
        let layer = |(i, [heads, units]): (usize, &[String; 2])| {
            let size = config.layer_size(i);
            Importance { heads: of(heads, size.num_attention_heads), units: of(units, size.intermediate_size) }
        };
        layers.iter().enumerate().map(layer).collect()
    }
}

impl Behind for Gates {
    fn gradients(&mut self, gradients: &mut [Tensor<1>]) {
        let mut by_gate = vec![0.0f64; self.drawn.len()];
        for map in &self.maps {
            let gradient = gradients[map.at].clone();
            let columns = map.shape[1];
            for (i, value) in host(&(gradient.clone() * map.dense.clone())).into_iter().enumerate() {
                by_gate[map.first + i % columns / map.per_part] += f64::from(value);
            }
            gradients[map.at] = self.gated(map, gradient);
        }
        self.gradient = by_gate;
    }

    fn before(&mut self, values: &mut [Tensor<1>], step: AdamWStep, _: f64) {
        for map in &self.maps {
            values[map.at] = map.dense.clone();
        }
        let alphas = self.alphas();
        let penalty = self.penalty(&alphas);
        let parts = self.gradient.iter().zip(&self.drawn).zip(penalty);
        let gradient: Vec<f32> = parts
            .map(|((by_gate, drawn), penalty)| (by_gate * step.gradient_scale * drawn[1] + penalty) as f32)
            .collect();
        let device = self.log_alpha.device();
        let own = AdamWStep { learning_rate: self.settings.rate, gradient_scale: 1.0, weight_decay: 0.0, ..step };
        let gradient = vec![Tensor::from_floats(gradient.as_slice(), &device)];
        let learned =
            adamw_step(vec![self.log_alpha.clone()], gradient, &[ParamRates::from(false)], &mut self.moments, own);
        self.log_alpha = learned.into_iter().next().expect("one was given").clamp(-FAR, FAR);
    }

    fn after(&mut self, values: &mut [Tensor<1>], done: u64) -> f64 {
        for map in &mut self.maps {
            map.dense = values[map.at].clone();
        }
        self.done = done;
        self.draw();
        self.put(values);
        self.drawn.iter().filter(|drawn| drawn[0] == 0.0).count() as f64 / self.drawn.len().max(1) as f64
    }

    /// Only the last weights have the gates in them as they are kept.
    fn is_settled(&self) -> bool {
        false
    }

    fn saved(&self) -> Vec<(String, Tensor<1>)> {
        let factors: Vec<f32> = self.factors.iter().flatten().map(|&factor| factor as f32).collect();
        let factors = Tensor::from_floats(factors.as_slice(), &self.log_alpha.device());
        let mut all = vec![(LOG_ALPHA.to_owned(), self.log_alpha.clone()), (FACTORS.to_owned(), factors)];
        for (name, moments) in [(FIRST, &self.moments.m), (SECOND, &self.moments.v)] {
            all.extend(moments.first().map(|tensor| (name.to_owned(), tensor.clone())));
        }
        all.extend(self.maps.iter().map(|map| (format!("{DENSE}{}", map.name), map.dense.clone())));
        all
    }
}

const LOG_ALPHA: &str = "gates.log_alpha";
const FACTORS: &str = "gates.factors";
const FIRST: &str = "gates.m";
const SECOND: &str = "gates.v";
const DENSE: &str = "gates.dense.";

fn host(tensor: &Tensor<1>) -> Vec<f32> {
    tensor.clone().into_data_as::<f32>().try_into_vec().expect("f32 was asked for")
}
