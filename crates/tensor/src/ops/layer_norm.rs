//! Layer normalization (Ba, Kiros & Hinton 2016).

use burn::tensor::Tensor;

/// Weights of a layer norm with its own epsilon.
#[derive(Clone, Debug)]
pub struct Norm {
    /// `(width)`
    pub weight: Tensor<1>,
    /// `(width)`
    pub bias: Option<Tensor<1>>,
    /// Added to the variance.
    pub epsilon: f64,
}

/// Scales each row to mean 0 and (biased) variance 1, then applies weight and bias.
///
/// # Shapes
/// - x, output: `(rows, width)`
pub fn layer_norm(x: Tensor<2>, norm: Norm) -> Tensor<2> {
    burn::tensor::module::layer_norm(x, norm.weight, norm.bias, norm.epsilon)
}
