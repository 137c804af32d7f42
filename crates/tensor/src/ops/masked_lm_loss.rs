//! Projection onto the vocabulary with its cross-entropy, over masked rows only.

use super::encoder_layer::precision;
use super::{Linear, cross_entropy, linear};
use crate::fused;
use crate::packed::int_tensor;
use burn::tensor::Tensor;

/// Mean cross-entropy of the decoder's logits against `labels`, and how many it got right: by our
/// kernel on the CPU and by [`masked_lm_loss_plain`] elsewhere. With `bf16` the kernel rounds what it multiplies to bfloat16; the
/// plain twin does not.
///
/// # Shapes
/// - x: `(rows, width)`, the head's output at masked rows
/// - decoder: `(vocabulary, width)` with bias `(vocabulary)`
/// - labels: one a row
/// - output: `(1)` each; the number of right ones carries no gradient
pub fn masked_lm_loss(x: Tensor<2>, decoder: Linear, labels: &[u32], bf16: bool) -> (Tensor<1>, Tensor<1>) {
    match decoder {
        Linear { weight, bias: Some(bias) } if fused::on_cpu(&x.device()) => {
            let weight = weight.whole(&x.device());
            fused::masked_loss(x, weight, bias, labels, precision(bf16))
        }
        decoder => masked_lm_loss_plain(x, decoder, labels),
    }
}

/// The plain twin of [`masked_lm_loss`].
pub fn masked_lm_loss_plain(x: Tensor<2>, decoder: Linear, labels: &[u32]) -> (Tensor<1>, Tensor<1>) {
    let labels = int_tensor(labels, &x.device());
    let logits = linear(x, decoder);
    let guesses = logits.clone().inner().argmax(1).flatten::<1>(0, 1);
    let right = guesses.equal(labels.clone().inner()).float().sum();
    (cross_entropy(logits, labels), right)
}
