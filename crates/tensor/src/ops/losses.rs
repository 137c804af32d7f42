//! Losses over logits.

use burn::tensor::{Int, Tensor};

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

/// Sum over rows of `Σ wanted · (log Σ exp(logits) - logits)`: a label may have a weight, or be shared out.
///
/// # Shapes
/// - logits, wanted: `(rows, classes)`
/// - output: `(1)`
pub fn soft_cross_entropy(logits: Tensor<2>, wanted: Tensor<2>) -> Tensor<1> {
    let shifted = logits.clone() - logits.detach().max_dim(1);
    // (rows, 1)
    let normalizer = shifted.clone().exp().sum_dim(1).log();
    ((normalizer - shifted) * wanted).sum()
}

/// Sum over all logits of `-ln σ(logit)` where `wanted` is 1 and `-ln (1 - σ(logit))` where it is 0.
///
/// # Shapes
/// - logits, wanted: `(rows, labels)`
/// - output: `(1)`
pub fn binary_cross_entropy(logits: Tensor<2>, wanted: Tensor<2>) -> Tensor<1> {
    // max(x, 0) - x · wanted + ln(1 + exp(-|x|)), which no logit makes overflow.
    let certain = logits.clone().clamp_min(0.0) - logits.clone() * wanted;
    (certain + (logits.abs().neg().exp() + 1.0).log()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device;

    fn tensor(values: [[f32; 3]; 2]) -> Tensor<2> {
        Tensor::from_floats(values, &device::parse("cpu").unwrap())
    }

    fn value(x: Tensor<1>) -> f64 {
        f64::from(x.into_scalar::<f32>())
    }

    #[test]
    fn a_whole_share_for_one_class_is_the_usual_cross_entropy() {
        let logits = [[0.3, -1.2, 2.0], [50.0, -80.0, 1.0]];
        let labels = crate::packed::int_tensor(&[1, 2], &device::parse("cpu").unwrap());
        let usual = value(cross_entropy(tensor(logits), labels)) * 2.0;
        let soft = value(soft_cross_entropy(tensor(logits), tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])));
        assert!((usual - soft).abs() < 1e-5, "{usual} {soft}");
    }

    #[test]
    fn binary_cross_entropy_by_the_book_and_of_large_logits() {
        let (logits, wanted) = ([[0.3, -1.2, 2.0], [100.0, -100.0, 0.0]], [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]);
        let each = |x: f64, y: f64| if y == 1.0 { (1.0 + (-x).exp()).ln() } else { (1.0 + x.exp()).ln() };
        let pairs = logits.iter().flatten().zip(wanted.iter().flatten());
        let book: f64 = pairs.map(|(&x, &y)| each(f64::from(x), f64::from(y))).sum();
        let found = value(binary_cross_entropy(tensor(logits), tensor(wanted)));
        assert!((book - found).abs() < 1e-4, "{book} {found}");
    }
}
