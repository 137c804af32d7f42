//! The feed-forward half of an encoder layer.

use super::{Activation, Linear, activate, dropout, linear};
use crate::Mode;
use burn::tensor::Tensor;

/// Weights of the half.
#[derive(Clone, Debug)]
pub struct FeedForwardWeights {
    /// `(inner, width)`, or `(2 · inner, width)` with a gate
    pub intermediate: Linear,
    /// `(width, inner)`
    pub output: Linear,
}

/// What is not a weight.
#[derive(Clone, Copy, Debug)]
pub struct FeedForwardSettings {
    /// Between the two maps.
    pub activation: Activation,
    /// Whether the second half of the first map's columns is what the first half is multiplied by, once
    /// that is activated (Shazeer 2020).
    pub gated: bool,
    /// Rate of dropout after the second map.
    pub dropout: f64,
}

/// `dropout(output(activation(intermediate(x))))`
///
/// # Shapes
/// - x, output: `(tokens, width)`
pub fn feed_forward(x: Tensor<2>, weights: FeedForwardWeights, settings: FeedForwardSettings, mode: Mode) -> Tensor<2> {
    let pre = linear(x, weights.intermediate);
    // (tokens, inner)
    let inner = if settings.gated {
        let halves = pre.chunk(2, 1);
        activate(halves[0].clone(), settings.activation) * halves[1].clone()
    } else {
        activate(pre, settings.activation)
    };
    // (tokens, width)
    dropout(linear(inner, weights.output), settings.dropout, mode.named("feed_forward"))
}
