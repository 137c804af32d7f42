//! Logistic regression in f64: what a straight cut through vectors knows of labels.

use crate::dot::dot;

/// Strength of the penalty on squared weights, for the mean loss over rows.
const PENALTY: f64 = 0.003;
/// Steps.
const STEPS: usize = 200;

/// A softmax over classes of linear maps, with a penalty on squared weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Regression {
    /// `(classes, width)`
    pub weight: Vec<f64>,
    /// `(classes)`
    pub bias: Vec<f64>,
}

impl Regression {
    /// Learns from rows of one width with their labels, by Nesterov's accelerated gradient descent. Panics without a row.
    pub fn fit(x: &[Vec<f64>], labels: &[usize], classes: usize) -> Self {
        let (n, width) = (x.len() as f64, x[0].len());
        // The softmax loss curves at most half as much as the mean square of its inputs (bias: 1) says.
        let squares = x.iter().map(|x| dot(x, x)).sum::<f64>() / n;
        let step = 1.0 / (0.5 * (squares + 1.0) + PENALTY);
        // One row a class: weights, then the bias.
        let mut at = vec![vec![0.0; width + 1]; classes];
        let (mut ahead, mut gradient) = (at.clone(), at.clone());
        let mut logits = Vec::with_capacity(classes);
        for t in 0..STEPS {
            gradient.iter_mut().for_each(|g| g.fill(0.0));
            for (x, &label) in x.iter().zip(labels) {
                logits.clear();
                logits.extend(ahead.iter().map(|w| dot(&w[..width], x) + w[width]));
                let greatest = logits.iter().copied().fold(f64::MIN, f64::max);
                let sum: f64 = logits.iter().map(|l| (l - greatest).exp()).sum();
                for (c, (g, logit)) in gradient.iter_mut().zip(&logits).enumerate() {
                    let error = (logit - greatest).exp() / sum - f64::from(u8::from(c == label));
                    g[..width].iter_mut().zip(x).for_each(|(g, x)| *g += error * x / n);
                    g[width] += error / n;
                }
            }
            let momentum = t as f64 / (t as f64 + 3.0);
            for ((at, ahead), g) in at.iter_mut().zip(&mut ahead).zip(&gradient) {
                for i in 0..=width {
                    let penalty = if i < width { PENALTY * ahead[i] } else { 0.0 };
                    let next = ahead[i] - step * (g[i] + penalty);
                    ahead[i] = next + momentum * (next - at[i]);
                    at[i] = next;
                }
            }
        }
        let weight = at.iter().flat_map(|w| &w[..width]).copied().collect();
        Self { weight, bias: at.iter().map(|w| w[width]).collect() }
    }

    /// The logit of a class.
    pub fn logit(&self, x: &[f64], class: usize) -> f64 {
        dot(&self.weight[class * x.len()..(class + 1) * x.len()], x) + self.bias[class]
    }

    /// The class with the greatest logit.
    pub fn best(&self, x: &[f64]) -> usize {
        let classes = 0..self.bias.len();
        classes.max_by(|&a, &b| self.logit(x, a).total_cmp(&self.logit(x, b))).expect("classes")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyseme_tensor::Stream;

    #[test]
    fn the_regression_parts_what_can_be_parted() {
        let x: Vec<Vec<f64>> = (0..90)
            .map(|i| {
                let z = Stream::new(2).at(i).normals(2, 0.1);
                let angle = (i % 3) as f64 * 2.1;
                vec![angle.cos() + f64::from(z[0]), angle.sin() + f64::from(z[1])]
            })
            .collect();
        let labels: Vec<usize> = (0..90).map(|i| i % 3).collect();
        let found = Regression::fit(&x, &labels, 3);
        for (x, &label) in x.iter().zip(&labels) {
            let logit = |c: usize| found.logit(x, c);
            assert!(found.best(x) == label && (0..3).all(|c| c == label || logit(label) > logit(c) + 1.0));
        }
        // The gradient with its penalty is zero at the minimum, so weights sum to zero over classes.
        assert!((found.weight[0] + found.weight[2] + found.weight[4]).abs() < 1e-4);
    }
}
