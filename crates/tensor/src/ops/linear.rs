//! `y = x Wᵀ + b`.

use burn::tensor::Tensor;

/// Weights of a linear map as Hugging Face lays them out.
#[derive(Clone, Debug)]
pub struct Linear {
    /// `(out, in)`
    pub weight: Tensor<2>,
    /// `(out)`
    pub bias: Option<Tensor<1>>,
}

/// Applies a linear map to each row.
///
/// # Shapes
/// - x: `(rows, in)`
/// - output: `(rows, out)`
pub fn linear(x: Tensor<2>, map: Linear) -> Tensor<2> {
    // The transposition is a view; the matrix product reads it by its strides.
    burn::tensor::module::linear(x, map.weight.transpose(), map.bias)
}
