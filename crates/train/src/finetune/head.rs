//! A new head that begins where the encoder's features are.
//!
//! The first tokens' vectors of a small encoder have most of their variance along one direction
//! (running prose against lists of names, say), and what parts the classes lies in others, a hundred
//! times weaker. A random head sees that one direction only, and before some hundred steps have
//! changed it, its gradients have spoilt the features. So the dense layer begins as a whitening map
//! of the training rows' own vectors (Su et al. 2021), in which every direction counts alike, and the
//! map onto the classes as the logistic regression on what the dense layer makes of them: linear
//! probing, then fine-tuning (Kumar et al. 2022). Both are ordinary weights, tuned with the rest.

use crate::dot::dot;
use crate::regression::Regression;
use crate::tasks::rows::Rows;
use polyseme_models::Model;
use polyseme_tensor::ops::Activation;
use polyseme_tensor::{Mode, PackedBatch};

/// Rows looked at, spread evenly over the training set.
const ROWS: usize = 2_000;
/// Tokens a forward pass.
const TOKENS: usize = 4_096;
/// Share of the mean variance that is added to every direction: few rows know little of many
/// directions.
const SHRINKAGE: f64 = 0.05;
/// Likewise of the mean square: where nearly all of the vectors is the same for all rows, what is left
/// is not blown up so far that the first steps of the encoder break it.
const FLOOR: f64 = 1e-3;
/// Deviation of what goes into the activation: where tanh is still nearly straight.
const DEVIATION: f64 = 0.5;

/// A head that was computed, not drawn: the same for every seed.
pub(super) struct Probe {
    dense: (Vec<f64>, Vec<f64>),
    output: (Vec<f64>, Vec<f64>),
    /// Share of unseen rows that it knows.
    pub known: f64,
}

impl Probe {
    /// The whitening map of the first tokens' vectors of `rows` and the regression on top; `None` if
    /// the regression knows nothing of rows it has not seen: then what parts the classes is not in the
    /// features yet, and a head that is sure of itself would only be in the way. `None`, too, for a head that
    /// cannot be computed like this (ModernBERT's has a norm and no bias).
    /// Panics without a classification head.
    pub fn new(model: &Model, rows: &Rows, labels: &[usize], classes: usize) -> Option<Self> {
        let (_, activation) = model.plain_head()?;
        let (features, chosen) = features(model, rows);
        let labels: Vec<usize> = chosen.into_iter().map(|i| labels[i]).collect();
        let (weight, bias) = whitening(&features);
        let dense = |x: &Vec<f64>| -> Vec<f64> {
            weight
                .chunks_exact(x.len())
                .zip(&bias)
                .map(|(row, bias)| activate(activation, dot(row, x) + bias))
                .collect()
        };
        let activated: Vec<Vec<f64>> = features.iter().map(dense).collect();
        let known = known_unseen(&activated, &labels, classes)?;
        let output = Regression::fit(&activated, &labels, classes);
        Some(Self { dense: (weight, bias), output: (output.weight, output.bias), known })
    }

    /// Puts it into a model.
    pub fn give(&self, model: &mut Model) {
        let f32s = |values: &[f64]| values.iter().map(|&v| v as f32).collect::<Vec<f32>>();
        let both = |(weight, bias): &(Vec<f64>, Vec<f64>)| (f32s(weight), f32s(bias));
        model.set_plain_head(both(&self.dense), both(&self.output));
    }
}

/// Share of rows that a regression on the other half of the rows knows; `None` if that is no more than
/// the most frequent class would, within two standard errors.
fn known_unseen(x: &[Vec<f64>], labels: &[usize], classes: usize) -> Option<f64> {
    let half = |odd: usize| (0..x.len()).filter(move |i| i / 2 % 2 == odd);
    let mut right = 0;
    for odd in 0..2 {
        let (seen, of): (Vec<_>, Vec<_>) = half(odd).map(|i| (x[i].clone(), labels[i])).unzip();
        if seen.is_empty() {
            return None;
        }
        let learned = Regression::fit(&seen, &of, classes);
        right += half(1 - odd).filter(|&i| learned.best(&x[i]) == labels[i]).count();
    }
    let n = x.len() as f64;
    let most = (0..classes).map(|c| labels.iter().filter(|&&l| l == c).count()).max()? as f64 / n;
    let known = right as f64 / n;
    (known > most + 2.0 * (most * (1.0 - most) / n).sqrt()).then_some(known)
}

/// The head's activation. GELU by its tanh form, which is near enough to begin with.
fn activate(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::Relu => x.max(0.0),
        Activation::Tanh => x.tanh(),
        Activation::Silu => x / (1.0 + (-x).exp()),
        Activation::Gelu | Activation::GeluTanh => {
            0.5 * x * (1.0 + (0.797_884_560_8 * (x + 0.044_715 * x * x * x)).tanh())
        }
    }
}

/// What a head makes its first map of: first tokens' hidden states of some rows, and which rows they are.
fn features(model: &Model, rows: &Rows) -> (Vec<Vec<f64>>, Vec<usize>) {
    let chosen: Vec<usize> = (0..rows.len()).step_by(rows.len().div_ceil(ROWS).max(1)).collect();
    let mut features = Vec::with_capacity(chosen.len());
    for part in rows.parts(&chosen, TOKENS) {
        let packed = PackedBatch::new(&rows.sequences(&part));
        // (rows, hidden)
        let looked_at = model.head_inputs(model.sequence_states(&packed, Mode::Eval), Mode::Eval);
        let [_, width] = looked_at.dims();
        let values: Vec<f32> = looked_at.into_data().iter::<f32>().collect();
        features.extend(values.chunks_exact(width).map(|row| row.iter().map(|&v| f64::from(v)).collect()));
    }
    (features, chosen)
}

/// Weight `(width, width)` and bias of `x -> d · L⁻¹ (x - mean)`, where `L Lᵀ` is the covariance of
/// the features with some shrinkage and `d` the deviation wanted.
fn whitening(features: &[Vec<f64>]) -> (Vec<f64>, Vec<f64>) {
    let (rows, width) = (features.len() as f64, features[0].len());
    let mut mean = vec![0.0; width];
    features.iter().for_each(|x| mean.iter_mut().zip(x).for_each(|(m, x)| *m += x / rows));
    // The lower half of the covariance, then of its root.
    let mut root = vec![vec![0.0; width]; width];
    for x in features {
        let x: Vec<f64> = x.iter().zip(&mean).map(|(x, m)| x - m).collect();
        for (i, row) in root.iter_mut().enumerate() {
            row[..=i].iter_mut().zip(&x).for_each(|(c, y)| *c += x[i] * y / rows);
        }
    }
    let variance = (0..width).map(|i| root[i][i]).sum::<f64>() / width as f64;
    let square = features.iter().map(|x| dot(x, x)).sum::<f64>() / rows / width as f64;
    (0..width).for_each(|i| root[i][i] += SHRINKAGE * variance + FLOOR * square + 1e-12);
    cholesky(&mut root);
    let inverse = inverse_of_lower(&root);
    let bias = inverse.iter().map(|row| -DEVIATION * dot(row, &mean)).collect();
    (inverse.iter().flatten().map(|&v| DEVIATION * v).collect(), bias)
}

/// The lower triangular root of a positive definite matrix, in place; only the lower half is read.
fn cholesky(a: &mut [Vec<f64>]) {
    for i in 0..a.len() {
        let (done, rest) = a.split_at_mut(i);
        let row = &mut rest[0];
        for (j, other) in done.iter().enumerate() {
            row[j] = (row[j] - dot(&row[..j], &other[..j])) / other[j];
        }
        row[i] = (row[i] - dot(&row[..i], &row[..i])).max(1e-30).sqrt();
    }
}

/// The inverse of a lower triangular matrix, itself one.
fn inverse_of_lower(l: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let width = l.len();
    let mut inverse: Vec<Vec<f64>> = Vec::with_capacity(width);
    for i in 0..width {
        // l[i][i] · row = unit - Σ l[i][j] · inverse[j]
        let mut row = vec![0.0; width];
        row[i] = 1.0;
        for (j, other) in inverse.iter().enumerate() {
            row[..=j].iter_mut().zip(other).for_each(|(r, o)| *r -= l[i][j] * o);
        }
        row[..=i].iter_mut().for_each(|r| *r /= l[i][i]);
        inverse.push(row);
    }
    inverse
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyseme_tensor::Stream;

    #[test]
    fn whitened_features_are_uncorrelated_and_of_one_deviation() {
        // Three directions of very different strength, turned into each other.
        let features: Vec<Vec<f64>> = (0..3_000)
            .map(|i| {
                let z = Stream::new(1).at(i).normals(3, 1.0);
                let [a, b, c] = [f64::from(z[0]), f64::from(z[1]) * 0.5, f64::from(z[2]) * 0.4];
                vec![5.0 + a + b, a - b + c, 2.0 - a + c]
            })
            .collect();
        let (weight, bias) = whitening(&features);
        let y: Vec<Vec<f64>> = features
            .iter()
            .map(|x| (0..3).map(|i| bias[i] + (0..3).map(|j| weight[3 * i + j] * x[j]).sum::<f64>()).collect())
            .collect();
        for i in 0..3 {
            let mean = y.iter().map(|y| y[i]).sum::<f64>() / y.len() as f64;
            assert!(mean.abs() < 1e-3, "{mean}");
            for j in 0..3 {
                let found = y.iter().map(|y| y[i] * y[j]).sum::<f64>() / y.len() as f64;
                let (least, most) = if i == j { (0.6 * 0.25, 0.25) } else { (-0.03, 0.03) };
                assert!((least..=most).contains(&found), "{found} at {i}, {j}");
            }
        }
    }

    #[test]
    fn what_no_line_parts_is_left_alone() {
        let point = |i: u64| [0, 1].map(|k| f64::from(Stream::new(3).at(i).normals(2, 1.0)[k]));
        let x: Vec<Vec<f64>> = (0..200).map(|i| point(i).to_vec()).collect();
        let labels = |of: fn(&[f64]) -> bool| x.iter().map(|x| usize::from(of(x))).collect::<Vec<_>>();
        assert_eq!(known_unseen(&x, &labels(|x| x[0] * x[1] > 0.0), 2), None);
        assert!(known_unseen(&x, &labels(|x| x[0] + x[1] > 0.0), 2).unwrap() > 0.9);
        assert_eq!(known_unseen(&x[..1], &[0], 2), None);
    }

    #[test]
    fn fewer_rows_than_directions_are_no_error() {
        let features = vec![vec![1.0, 2.0, 3.0, 4.0], vec![2.0, 2.0, 1.0, 0.0]];
        let (weight, bias) = whitening(&features);
        assert!(weight.iter().chain(&bias).all(|v| v.is_finite()));
        let (weight, _) = whitening(&features[..1]);
        assert!(weight.iter().all(|v| v.is_finite()));
    }
}
