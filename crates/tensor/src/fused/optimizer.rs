//! AdamW and the gradients' norm over the tensors' own memory.

use super::values;
use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::tensor::Tensor;
use polyseme_kernels::adamw::{self, AdamW};

/// One step on a parameter; the tensors' memory is written in place where nobody shares it.
pub(crate) fn adamw(step: AdamW, p: Tensor<1>, g: Tensor<1>, m: Tensor<1>, v: Tensor<1>) -> [Tensor<1>; 3] {
    let [mut p, mut m, mut v] = [p, m, v].map(primitive);
    let g = primitive(g);
    adamw::step(step, p.storage_mut(), &values(&g), m.storage_mut(), v.storage_mut());
    [p, m, v].map(Tensor::from_primitive::<Flex>)
}

/// Sum of squares of a tensor's values.
pub(crate) fn sum_of_squares(g: &Tensor<1>) -> f64 {
    adamw::sum_of_squares(&values(&primitive(g.clone())))
}

/// The tensor's primitive, contiguous from the beginning of its storage.
fn primitive(tensor: Tensor<1>) -> FlexTensor {
    let tensor = tensor.inner().try_into_primitive::<Flex>().expect("on the CPU");
    let whole = tensor.as_slice::<f32>().is_some_and(|s| s.len() == tensor.storage::<f32>().len());
    if whole { tensor } else { tensor.to_contiguous() }
}
