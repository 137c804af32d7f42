//! Inverted dropout (Srivastava et al. 2014) whose mask is a hash of the stream, the row and the
//! column: the same mask that our kernels use.

use crate::Mode;
use burn::tensor::{Tensor, TensorData};

/// In training, sets each element to 0 with probability `rate` and divides the others by
/// `1 - rate`; otherwise returns `x` as it is.
///
/// # Shapes
/// - x, output: any
pub fn dropout<const D: usize>(x: Tensor<D>, rate: f64, mode: Mode) -> Tensor<D> {
    dropout_from(x, rate, mode, 0)
}

/// The same, where the tensor's first row is row `first` of the mask. A row is what lies along the
/// last dimension.
pub(super) fn dropout_from<const D: usize>(x: Tensor<D>, rate: f64, mode: Mode, first: usize) -> Tensor<D> {
    let dropout = mode.dropout(rate);
    if dropout.p == 0.0 {
        return x;
    }
    let shape = x.shape();
    let width = shape[D - 1];
    let mask = dropout.mask(first as u64, shape.num_elements() / width, width);
    // The mask needs no gradient of its own.
    x.clone() * Tensor::from_data(TensorData::new(mask, shape), &x.device().without_autodiff())
}
