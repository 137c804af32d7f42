//! Bottleneck adapters (Houlsby et al. 2019; Pfeiffer et al. 2021): after each layer a map down to a few numbers, a
//! GELU, a map up again, and what it says is added to the layer's output.
//!
//! Reference: google-research/adapter-bert, `modeling.py`. Deviations: as in Pfeiffer et al. there is one after a whole
//! layer and none after its attention, behind the layer's own norm; norms stay as they are.

use crate::EncoderConfig;
use crate::params::{LinearIds, ParamGroup, ParamId, ParamInfo, View};
use polyseme_tensor::Tensor;
use polyseme_tensor::ops::{Activation, activate, linear};

/// What the name of the matrix that begins at random ends with; all else begins as zeros.
pub(super) const DOWN: &str = "adapter.down.weight";

/// What the parameters after layer `index` are: the map down, the map up.
pub(super) fn parameters(layers: &str, config: &EncoderConfig, index: usize, size: usize) -> Vec<ParamInfo> {
    let hidden = config.hidden_size;
    let info = |part: &str, shape: Vec<usize>| ParamInfo {
        name: format!("{layers}.{index}.adapter.{part}"),
        decay: shape.len() == 2,
        shape,
        group: ParamGroup::Layer(index),
        trainable: true,
    };
    vec![
        info("down.weight", vec![size, hidden]),
        info("down.bias", vec![size]),
        info("up.weight", vec![hidden, size]),
        info("up.bias", vec![hidden]),
    ]
}

/// A bottleneck after a layer.
pub(crate) struct Bottleneck {
    down: LinearIds,
    up: LinearIds,
}

impl Bottleneck {
    /// From the numbers of its four parameters.
    pub(super) fn of(ids: &[ParamId]) -> Self {
        let map = |i: usize| LinearIds { weight: ids[i], bias: Some(ids[i + 1]) };
        Self { down: map(0), up: map(2) }
    }

    /// `(rows, hidden)` to `(rows, hidden)`
    pub fn forward(&self, x: Tensor<2>, params: View<'_>) -> Tensor<2> {
        let inner = activate(linear(x.clone(), params.linear(self.down)), Activation::Gelu); // (rows, size)
        x + linear(inner, params.linear(self.up))
    }
}
