//! Sentence vectors: pairs with a score of how alike they are, or pairs that belong together.

use super::regress::Scale;
use super::rows::{RowBatch, Rows, hash};
use super::{Part, Task, beside};
use crate::metrics::ranking::RetrievalMetrics;
use crate::metrics::{Metrics, RegressMetrics};
use polyseme_models::HeadKind;
use polyseme_tensor::Tensor;
use polyseme_tensor::ops::cross_entropy;
use polyseme_tensor::packed::int_tensor;

/// What cosines are multiplied by before the softmax over a batch, as in sentence-transformers.
const SHARPNESS: f32 = 20.0;

/// Each validation text looks for its partner among this many at most.
const CANDIDATES: usize = 2_000;

/// Two texts' vectors with the cosine of their angle near a score.
pub struct Similarity {
    /// Least score and the width of the scores: they are learned from 0 to 1.
    scale: Scale,
    train: Part<f32>,
    valid: Part<f32>,
}

impl Similarity {
    /// With rows of two sequences whose targets are scores. `from` are the scores that say what 0 and 1 are.
    pub fn new(from: &[f32], train: Part<f32>, valid: Part<f32>) -> Self {
        let (least, greatest) = from.iter().fold((f32::MAX, f32::MIN), |(a, b), &x| (a.min(x), b.max(x)));
        let deviation = if greatest > least { greatest - least } else { 1.0 };
        Self { scale: Scale { mean: least, deviation }, train, valid }
    }
}

impl Task for Similarity {
    fn name(&self) -> &'static str {
        "similarity"
    }

    fn head(&self) -> HeadKind {
        HeadKind::None
    }

    fn train(&self) -> &Rows {
        &self.train.rows
    }

    fn valid(&self) -> &Rows {
        &self.valid.rows
    }

    fn targets_hash(&self) -> u64 {
        hash(self.train.targets.iter().chain(&self.valid.targets).map(|t| u64::from(t.to_bits())))
    }

    fn loss(&self, outputs: Tensor<2>, batch: &RowBatch) -> Tensor<1> {
        let scaled = |&row: &usize| (self.train.targets[row] - self.scale.mean) / self.scale.deviation;
        let wanted: Vec<f32> = batch.rows.iter().map(scaled).collect();
        let wanted = beside(&outputs, &wanted, 1);
        let (first, second) = pairs(outputs);
        let error = (first * second).sum_dim(1) - wanted;
        (error.clone() * error).sum()
    }

    /// The cosine.
    fn keep(&self, outputs: &[f32], _: usize) -> Vec<f32> {
        let (first, second) = outputs.split_at(outputs.len() / 2);
        vec![cosine(first, second)]
    }

    fn metrics(&self, kept: &[Vec<f32>]) -> Metrics {
        let scaled: Vec<f32> =
            self.valid.targets.iter().map(|t| (t - self.scale.mean) / self.scale.deviation).collect();
        let cosines: Vec<f32> = kept.iter().map(|k| k[0]).collect();
        Metrics::Regress(RegressMetrics::new(&scaled, &cosines))
    }
}

/// Two texts' vectors nearer to each other than to those of the other pairs of a batch (multiple-negatives
/// ranking, Henderson et al. 2017), however many parts its forward pass takes (GradCache, Gao et al. 2021).
pub struct Retrieval {
    train: Part<()>,
    valid: Part<()>,
}

impl Retrieval {
    /// With rows of two sequences.
    pub fn new(train: Part<()>, valid: Part<()>) -> Self {
        Self { train, valid }
    }
}

impl Task for Retrieval {
    fn name(&self) -> &'static str {
        "retrieval"
    }

    fn head(&self) -> HeadKind {
        HeadKind::None
    }

    fn train(&self) -> &Rows {
        &self.train.rows
    }

    fn valid(&self) -> &Rows {
        &self.valid.rows
    }

    fn targets_hash(&self) -> u64 {
        0
    }

    fn loss(&self, outputs: Tensor<2>, batch: &RowBatch) -> Tensor<1> {
        let rows = batch.rows.len();
        let own: Vec<u32> = (0..rows as u32).collect();
        let own = int_tensor(&own, &outputs.device().without_autodiff());
        let (first, second) = pairs(outputs);
        cross_entropy(first.matmul(second.transpose()) * SHARPNESS, own) * rows as f32
    }

    /// All other pairs are what a pair is told apart from.
    fn compares_rows(&self) -> bool {
        true
    }

    /// Both vectors, of length 1.
    fn keep(&self, outputs: &[f32], _: usize) -> Vec<f32> {
        let (first, second) = outputs.split_at(outputs.len() / 2);
        [first, second].into_iter().flat_map(unit).collect()
    }

    fn metrics(&self, kept: &[Vec<f32>]) -> Metrics {
        let (mut ranks, mut loss) = (Vec::with_capacity(kept.len()), 0.0);
        for group in kept.chunks(CANDIDATES) {
            for (own, query) in group.iter().enumerate() {
                let width = query.len() / 2;
                let near = |k: &Vec<f32>| dot(&query[..width], &k[width..]);
                let scores: Vec<f32> = group.iter().map(near).collect();
                let wanted = scores[own];
                ranks.push(1 + scores.iter().filter(|&&s| s > wanted).count());
                let sharp = |s: f32| f64::from(SHARPNESS * (s - wanted)).exp();
                loss += scores.iter().map(|&s| sharp(s)).sum::<f64>().ln();
            }
        }
        let candidates = kept.len().min(CANDIDATES) as u64;
        Metrics::Retrieval(RetrievalMetrics::new(&ranks, loss / kept.len() as f64, candidates))
    }
}

/// First and second vectors of rows of two, each of length 1. `(2 · rows, width)` to `(rows, width)` each
fn pairs(outputs: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
    let [lines, width] = outputs.dims();
    let side_by_side = outputs.reshape([lines / 2, 2 * width]);
    let unit = |x: Tensor<2>| {
        let length = (x.clone() * x.clone()).sum_dim(1).sqrt().clamp_min(1e-12);
        x / length
    };
    (unit(side_by_side.clone().narrow(1, 0, width)), unit(side_by_side.narrow(1, width, width)))
}

fn unit(x: &[f32]) -> Vec<f32> {
    let length = dot(x, x).sqrt().max(1e-12);
    x.iter().map(|v| v / length).collect()
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt().max(1e-12)
}
