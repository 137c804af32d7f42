//! The feed-forward half of an encoder layer.

use super::{Activation, Linear, Norm, activate, dropout, layer_norm, linear};
use crate::Mode;
use burn::tensor::Tensor;

/// Weights of the block.
#[derive(Clone, Debug)]
pub struct FeedForwardWeights {
    /// `(inner, width)`
    pub intermediate: Linear,
    /// `(width, inner)`
    pub output: Linear,
    /// Over `width`, after the residual.
    pub norm: Norm,
}

/// What is not a weight.
#[derive(Clone, Copy, Debug)]
pub struct FeedForwardSettings {
    /// Between the two maps.
    pub activation: Activation,
    /// Rate of dropout before the residual is added.
    pub dropout: f64,
}

/// `norm(x + dropout(output(activation(intermediate(x)))))`
///
/// # Shapes
/// - x, output: `(tokens, width)`
pub fn feed_forward_block(
    x: Tensor<2>,
    weights: FeedForwardWeights,
    settings: FeedForwardSettings,
    mode: Mode,
) -> Tensor<2> {
    // (tokens, inner)
    let inner = activate(linear(x.clone(), weights.intermediate), settings.activation);
    // (tokens, width)
    let out = dropout(linear(inner, weights.output), settings.dropout, mode.named("feed_forward"));
    layer_norm(out + x, weights.norm)
}
