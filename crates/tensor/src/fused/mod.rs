//! Our kernels as Burn operations, for the CPU back end: one autodiff node an operation.
//!
//! [`crate::ops`] chooses them where the tensors live on the CPU; everywhere else, and in the tests
//! that compare the two, the plain twins run.

mod embedding;
mod layer;
mod loss;
mod optimizer;

pub(crate) use embedding::{EmbedPlan, embed_norm};
pub(crate) use layer::{AskedRows, LayerPlan, encoder_layer};
pub(crate) use loss::masked_loss;
pub(crate) use optimizer::{adamw, sum_of_squares};

use burn::backend::flex::FlexTensor;
use burn::backend::{DispatchDevice, TensorMetadata};
use burn::tensor::Device;
use burn::tensor::TensorData;
use std::borrow::Cow;

/// Whether tensors of this device can be given to the kernels.
pub(crate) fn on_cpu(device: &Device) -> bool {
    matches!(device.clone().without_autodiff().as_dispatch(), DispatchDevice::Flex(_))
}

/// A tensor's values as one slice; copied only when they do not lie one after the other.
fn values(tensor: &FlexTensor) -> Cow<'_, [f32]> {
    match tensor.as_slice::<f32>() {
        Some(slice) => Cow::Borrowed(slice),
        None => {
            let contiguous = tensor.clone().to_contiguous();
            Cow::Owned(contiguous.as_slice::<f32>().expect("contiguous f32").to_vec())
        }
    }
}

/// A tensor whose storage is its values in their order, so that it may be written to.
fn in_order(tensor: FlexTensor) -> FlexTensor {
    // A view (a transposed product, say) has other strides, or a part of somebody's storage.
    match tensor.as_slice::<f32>() {
        Some(slice) if slice.len() == tensor.storage::<f32>().len() => tensor,
        _ => FlexTensor::from_data(TensorData::new(values(&tensor).into_owned(), tensor.shape())),
    }
}

/// A tensor from values.
fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}
