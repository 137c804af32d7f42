//! Projection onto the vocabulary with its cross-entropy, over masked rows only.

use super::{Linear, linear};
use crate::fused;
use crate::packed::int_tensor;
use burn::tensor::{Int, Tensor};

/// Mean cross-entropy of the decoder's logits against `labels`, and how many it got right: by our
/// kernel on the CPU and by [`masked_lm_loss_plain`] elsewhere.
///
/// # Shapes
/// - x: `(rows, width)`, the head's output at masked rows
/// - decoder: `(vocabulary, width)` with bias `(vocabulary)`
/// - labels: one a row
/// - output: `(1)` each; the number of right ones carries no gradient
pub fn masked_lm_loss(x: Tensor<2>, decoder: Linear, labels: &[u32]) -> (Tensor<1>, Tensor<1>) {
    match decoder {
        Linear { weight, bias: Some(bias) } if fused::on_cpu(&x.device()) => {
            fused::masked_loss(x, weight, bias, labels)
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

/// Mean over rows of `log Σ exp(logits) - logits[label]`.
///
/// # Shapes
/// - logits: `(rows, classes)`
/// - labels: `(rows)`
/// - output: `(1)`
pub fn cross_entropy(logits: Tensor<2>, labels: Tensor<1, Int>) -> Tensor<1> {
    // The greatest logit is taken off so that no exponential overflows; the loss does not depend
    // on it, so it needs no gradient.
    let greatest = logits.clone().detach().max_dim(1);
    // (rows, classes)
    let shifted = logits - greatest;
    // (rows, 1)
    let of_label = shifted.clone().gather(1, labels.unsqueeze_dim(1));
    let normalizer = shifted.exp().sum_dim(1).log();
    (normalizer - of_label).mean()
}
