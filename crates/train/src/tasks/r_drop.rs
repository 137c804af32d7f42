//! How far two passes over the same rows, each with other dropout, disagree (R-Drop, Liang et al. 2021): half of
//! the divergence of the one from the other and of the other from the one. Both passes learn from it.

use super::Supervised;
use super::rows::RowBatch;
use polyseme_models::Model;
use polyseme_tensor::{Mode, Stream, Tensor};

/// Sum over rows of the symmetric divergence of what the logits of one class of several say.
///
/// # Shapes
/// - first, second: `(rows, classes)`
/// - output: `(1)`
pub fn of_classes(first: Tensor<2>, second: Tensor<2>) -> Tensor<1> {
    let softmax = |logits: Tensor<2>| {
        let shares = (logits.clone() - logits.detach().max_dim(1)).exp();
        shares.clone() / shares.sum_dim(1)
    };
    between(softmax(first.clone()), softmax(second.clone()), first - second)
}

/// The same of logits of labels of which any may be true, summed over labels too.
///
/// # Shapes
/// - first, second: `(rows, labels)`
/// - output: `(1)`
pub fn of_labels(first: Tensor<2>, second: Tensor<2>) -> Tensor<1> {
    // By tanh, which no logit makes overflow.
    let sigmoid = |logits: Tensor<2>| (logits * 0.5).tanh() * 0.5 + 0.5;
    between(sigmoid(first.clone()), sigmoid(second.clone()), first - second)
}

/// Sum of squared differences of numbers.
///
/// # Shapes
/// - first, second: `(rows, 1)`
/// - output: `(1)`
pub fn of_numbers(first: Tensor<2>, second: Tensor<2>) -> Tensor<1> {
    let difference = first - second;
    (difference.clone() * difference).sum()
}

/// `½ Σ (p - q) · ln(p/q) = ½ Σ (p - q) · (x - y)`: what takes logits to logarithms of probabilities is the same for
/// all classes, and `p - q` sums to nothing over them; of a single label it is the logit's own.
fn between(p: Tensor<2>, q: Tensor<2>, logits: Tensor<2>) -> Tensor<1> {
    ((p - q) * logits).sum() * 0.5
}

impl Supervised<'_> {
    /// The loss by two passes: the mean of both losses and `alpha` times how far they disagree.
    pub(super) fn loss_of_two(&self, model: &Model, batch: &RowBatch, mode: Mode, alpha: f64) -> Tensor<1> {
        let first = self.outputs(model, batch, mode);
        let second = self.outputs(model, batch, mode.named("again"));
        let both = self.task.loss(first.clone(), batch) + self.task.loss(second.clone(), batch);
        both * 0.5 + self.task.disagreement(first, second, batch) * alpha
    }

    /// Whether dropout changes what the model says while it learns.
    pub fn drops(&self, model: &Model) -> bool {
        let rows: Vec<usize> = (0..self.task.train().len().min(4)).collect();
        let batch = RowBatch { sequences: self.task.train().sequences(&rows), rows };
        let said = |seed: u64| {
            let mode = Mode::Train(Stream::new(seed));
            // A head of zeros says nothing of what goes in.
            let states = super::states(model, self.task.train(), &batch.rows, &batch.sequences, mode);
            let all = [states, self.outputs(model, &batch, mode)].map(Tensor::into_data);
            all.iter().flat_map(|data| data.iter::<f32>().collect::<Vec<_>>()).collect::<Vec<_>>()
        };
        said(0) != said(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyseme_tensor::Device;

    const FIRST: [[f64; 3]; 2] = [[0.3, -1.2, 2.0], [4.0, 0.0, -3.0]];
    const SECOND: [[f64; 3]; 2] = [[0.5, -1.0, 1.1], [-2.0, 1.0, 3.0]];

    fn tensor(values: [[f64; 3]; 2]) -> Tensor<2> {
        let device: Device = polyseme_tensor::device::parse("cpu").unwrap();
        Tensor::from_floats(values.map(|row| row.map(|v| v as f32)), &device)
    }

    /// By the book, in f64: `½ (Σ p ln(p/q) + Σ q ln(q/p))`.
    fn divergence(p: &[f64], q: &[f64]) -> f64 {
        p.iter().zip(q).map(|(p, q)| 0.5 * (p * (p / q).ln() + q * (q / p).ln())).sum()
    }

    fn classes(first: [[f64; 3]; 2], second: [[f64; 3]; 2]) -> f64 {
        let softmax = |x: [f64; 3]| {
            let sum: f64 = x.iter().map(|x| x.exp()).sum();
            x.map(|x| x.exp() / sum)
        };
        first.into_iter().zip(second).map(|(a, b)| divergence(&softmax(a), &softmax(b))).sum()
    }

    fn labels(first: [[f64; 3]; 2], second: [[f64; 3]; 2]) -> f64 {
        let bernoulli = |x: f64| [1.0 / (1.0 + (-x).exp()), 1.0 / (1.0 + x.exp())];
        let pairs = first.into_iter().flatten().zip(second.into_iter().flatten());
        pairs.map(|(a, b)| divergence(&bernoulli(a), &bernoulli(b))).sum()
    }

    fn numbers(first: [[f64; 3]; 2], second: [[f64; 3]; 2]) -> f64 {
        first.into_iter().flatten().zip(second.into_iter().flatten()).map(|(a, b)| (a - b).powi(2)).sum()
    }

    type ByBook = fn([[f64; 3]; 2], [[f64; 3]; 2]) -> f64;
    type Ours = fn(Tensor<2>, Tensor<2>) -> Tensor<1>;

    #[test]
    fn by_the_book_with_its_gradients() {
        let all: [(&str, Ours, ByBook); 3] =
            [("classes", of_classes, classes), ("labels", of_labels, labels), ("numbers", of_numbers, numbers)];
        for (name, ours, by_book) in all {
            let (first, second) = (tensor(FIRST).autodiff().require_grad(), tensor(SECOND).autodiff().require_grad());
            let found = ours(first.clone(), second.clone());
            let mut grads = found.backward();
            let (found, expected) = (f64::from(found.into_scalar::<f32>()), by_book(FIRST, SECOND));
            assert!((found - expected).abs() < 1e-5 * expected, "{name}: {found} and {expected}");
            for (which, leaf) in [first, second].into_iter().enumerate() {
                let gradient: Vec<f32> = leaf.grad_remove(&mut grads).unwrap().into_data().iter::<f32>().collect();
                for (i, found) in gradient.into_iter().enumerate() {
                    let at = |step: f64| {
                        let mut both = [FIRST, SECOND];
                        both[which][i / 3][i % 3] += step;
                        by_book(both[0], both[1])
                    };
                    let expected = (at(1e-5) - at(-1e-5)) / 2e-5;
                    let error = (f64::from(found) - expected).abs();
                    assert!(error < 1e-4, "{name}, pass {which}, {i}: {found} and {expected}");
                }
            }
        }
    }

    #[test]
    fn two_that_say_the_same_do_not_disagree_however_sure_they_are() {
        let sure = [[90.0, -90.0, -1e9], [0.0, 100.0, -100.0]];
        for ours in [of_classes, of_labels, of_numbers] as [Ours; 3] {
            let first = tensor(sure).autodiff().require_grad();
            let found = ours(first.clone(), tensor(sure));
            let mut grads = found.backward();
            assert_eq!(found.into_scalar::<f32>(), 0.0);
            let gradient = first.grad_remove(&mut grads).unwrap().into_data();
            assert!(gradient.iter::<f32>().all(|g| g == 0.0), "{gradient:?}");
        }
    }
}
