//! The hard concrete distribution (Louizos et al. 2018): between 0 and 1, with some mass at both ends.

/// Temperature.
const BETA: f64 = 2.0 / 3.0;
/// The ends that a concrete variable is stretched to, before it is cut to 0 and 1.
const ENDS: (f64, f64) = (-0.1, 1.1);

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// A gate by its `log α` and a uniform number, and its derivative by `log α`.
pub fn sample(log_alpha: f64, uniform: f64) -> [f64; 2] {
    let u = uniform.clamp(1e-6, 1.0 - 1e-6);
    let s = sigmoid(((u / (1.0 - u)).ln() + log_alpha) / BETA);
    let stretched = s * (ENDS.1 - ENDS.0) + ENDS.0;
    let inside = stretched > 0.0 && stretched < 1.0;
    [stretched.clamp(0.0, 1.0), if inside { (ENDS.1 - ENDS.0) * s * (1.0 - s) / BETA } else { 0.0 }]
}

/// The gate where nothing is left to chance.
pub fn certain(log_alpha: f64) -> f64 {
    (sigmoid(log_alpha) * (ENDS.1 - ENDS.0) + ENDS.0).clamp(0.0, 1.0)
}

/// The probability that it is not 0, and its derivative.
pub fn open(log_alpha: f64) -> [f64; 2] {
    let p = sigmoid(log_alpha - BETA * (-ENDS.0 / ENDS.1).ln());
    [p, p * (1.0 - p)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyseme_tensor::Stream;

    #[test]
    fn derivatives_are_those_of_small_differences() {
        for log_alpha in [-2.0, -0.3, 0.0, 1.5] {
            let by_difference = |f: &dyn Fn(f64) -> f64| (f(log_alpha + 1e-5) - f(log_alpha - 1e-5)) / 2e-5;
            assert!((by_difference(&|a| open(a)[0]) - open(log_alpha)[1]).abs() < 1e-8);
            for u in [0.05, 0.3, 0.6, 0.95] {
                let wanted = by_difference(&|a| sample(a, u)[0]);
                assert!((wanted - sample(log_alpha, u)[1]).abs() < 1e-6, "{log_alpha} {u}");
            }
        }
    }

    #[test]
    fn gates_are_open_as_often_as_is_said() {
        let stream = Stream::new(3);
        for log_alpha in [-3.0, 0.0, 2.0] {
            let opened = (0..20_000).filter(|&i| sample(log_alpha, f64::from(stream.uniform(i)))[0] > 0.0).count();
            assert!((opened as f64 / 20_000.0 - open(log_alpha)[0]).abs() < 0.01, "{log_alpha}");
        }
        assert_eq!([certain(-6.0), certain(6.0)], [0.0, 1.0]);
    }
}
