//! Activations by their names in the field.

use burn::tensor::{Tensor, activation};
use serde::{Deserialize, Serialize};

/// Activation of the feed-forward part and of heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// Exact, with erf.
    Gelu,
    /// By tanh (`gelu_new`, `gelu_pytorch_tanh`).
    GeluTanh,
    /// `relu`
    Relu,
    /// `silu`, `swish`
    Silu,
    /// `tanh`
    Tanh,
}

/// Applies an activation to each element.
///
/// # Shapes
/// - x, output: `(rows, width)`
pub fn activate(x: Tensor<2>, activation: Activation) -> Tensor<2> {
    match activation {
        Activation::Gelu => activation::gelu(x),
        Activation::GeluTanh => gelu_tanh(x),
        Activation::Relu => activation::relu(x),
        Activation::Silu => activation::silu(x),
        Activation::Tanh => activation::tanh(x),
    }
}

/// Softmax of a vector. `(values)`
pub fn softmax(x: Tensor<1>) -> Tensor<1> {
    activation::softmax(x, 0)
}

/// 0.5 x (1 + tanh(√(2/π) (x + 0.044715 x³))), with x³ by products: a general power is slow.
fn gelu_tanh(x: Tensor<2>) -> Tensor<2> {
    let root = (2.0 / std::f64::consts::PI).sqrt();
    let inner = (x.clone() * x.clone() * (0.044715 * root) + root) * x.clone();
    x * ((inner.tanh() + 1.0) * 0.5)
}
