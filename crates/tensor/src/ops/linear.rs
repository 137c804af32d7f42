//! `y = x Wᵀ + b`.

use super::Matrix;
use burn::tensor::Tensor;

/// Weights of a linear map as Hugging Face lays them out.
#[derive(Clone, Debug)]
pub struct Linear {
    /// `(out, in)`
    pub weight: Matrix,
    /// `(out)`
    pub bias: Option<Tensor<1>>,
}

/// Applies a linear map to each row, which is rounded first if the matrix says so.
///
/// # Shapes
/// - x: `(rows, in)`
/// - output: `(rows, out)`
pub fn linear(x: Tensor<2>, map: Linear) -> Tensor<2> {
    let x = map.weight.rounded(x);
    let weight = map.weight.whole(&x.device());
    // The transposition is a view; the matrix product reads it by its strides.
    burn::tensor::module::linear(x, weight.transpose(), map.bias)
}
