//! How far what a student says is from what its teacher says.

use polyseme_tensor::Tensor;
use polyseme_tensor::ops::soft_cross_entropy;

/// `T² Σ KL(teacher ‖ student)` over rows of logits of one class of several, both divided by the temperature `T`;
/// by its square gradients are as large at any temperature (Hinton et al. 2015).
///
/// # Shapes
/// - said, taught: `(rows, classes)`
/// - output: `(1)`
pub fn of_classes(said: Tensor<2>, taught: Tensor<2>, temperature: f64) -> Tensor<1> {
    let taught = taught * (1.0 / temperature);
    let shifted = taught.clone() - taught.max_dim(1);
    let shares = shifted.clone().exp();
    let sums = shares.clone().sum_dim(1);
    let shares = shares / sums.clone();
    // What the cross-entropy is at least.
    let entropy = ((sums.log() - shifted) * shares.clone()).sum();
    let cross = soft_cross_entropy(said * (1.0 / temperature), shares);
    (cross - entropy) * (temperature * temperature)
}

/// The same of labels of which any may be true: the sum over labels.
///
/// # Shapes
/// - said, taught: `(rows, labels)`
/// - output: `(1)`
pub fn of_labels(said: Tensor<2>, taught: Tensor<2>, temperature: f64) -> Tensor<1> {
    let scale = 1.0 / temperature;
    let (said, taught) = (said * scale, taught * scale);
    // By tanh, which no logit makes overflow.
    let shares = (taught.clone() * 0.5).tanh() * 0.5 + 0.5;
    // ln(1 + exp(x)) - p x, of the student's logits less that of the teacher's.
    let cost = |x: Tensor<2>| {
        let certain = x.clone().clamp_min(0.0) - x.clone() * shares.clone();
        (certain + (x.abs().neg().exp() + 1.0).log()).sum()
    };
    (cost(said) - cost(taught)) * (temperature * temperature)
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyseme_tensor::Device;

    const SAID: [[f32; 3]; 2] = [[0.3, -1.2, 2.0], [4.0, 0.0, -3.0]];
    const TAUGHT: [[f32; 3]; 2] = [[0.5, -1.0, 1.1], [-2.0, 1.0, 3.0]];

    fn value(f: impl Fn(Tensor<2>, Tensor<2>) -> Tensor<1>, said: [[f32; 3]; 2]) -> f64 {
        let device: Device = polyseme_tensor::device::parse("cpu").unwrap();
        let [said, taught] = [said, TAUGHT].map(|values| Tensor::from_floats(values, &device));
        f64::from(f(said, taught).into_scalar::<f32>())
    }

    /// By the book, in f64.
    fn classes(temperature: f64) -> f64 {
        let shares = |row: [f32; 3]| {
            let exps = row.map(|x| (f64::from(x) / temperature).exp());
            exps.map(|e| e / exps.iter().sum::<f64>())
        };
        let of_row = |(s, t): ([f32; 3], [f32; 3])| {
            let (q, p) = (shares(s), shares(t));
            (0..3).map(|i| p[i] * (p[i] / q[i]).ln()).sum::<f64>()
        };
        temperature * temperature * SAID.into_iter().zip(TAUGHT).map(of_row).sum::<f64>()
    }

    fn labels(temperature: f64) -> f64 {
        let share = |x: f32| 1.0 / (1.0 + (-f64::from(x) / temperature).exp());
        let of = |(&s, &t): (&f32, &f32)| {
            let (q, p) = (share(s), share(t));
            p * (p / q).ln() + (1.0 - p) * ((1.0 - p) / (1.0 - q)).ln()
        };
        temperature * temperature * SAID.as_flattened().iter().zip(TAUGHT.as_flattened()).map(of).sum::<f64>()
    }

    #[test]
    fn divergences_are_those_of_the_book() {
        for temperature in [1.0, 2.0, 5.0] {
            let found = value(|s, t| of_classes(s, t, temperature), SAID);
            assert!((found - classes(temperature)).abs() < 1e-4, "{found} for {}", classes(temperature));
            let found = value(|s, t| of_labels(s, t, temperature), SAID);
            assert!((found - labels(temperature)).abs() < 1e-4, "{found} for {}", labels(temperature));
        }
    }

    #[test]
    fn who_says_the_same_is_not_far() {
        assert!(value(|s, t| of_classes(s, t, 2.0), TAUGHT).abs() < 1e-5);
        assert!(value(|s, t| of_labels(s, t, 2.0), TAUGHT).abs() < 1e-5);
    }
}
