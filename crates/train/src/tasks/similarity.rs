//! Sentence vectors: pairs with a score of how alike they are, or pairs that belong together.

use super::r_drop::of_numbers as of_numbers_apart;
use super::regress::of_numbers;
use super::rows::{RowBatch, Rows, hash};
use super::{Part, Task, beside};
use crate::analysis::{Analysis, Mistake, Ranked, What, rounded, worst};
use crate::metrics::ranking::RetrievalMetrics;
use crate::metrics::{Metrics, RegressMetrics, mean_and_deviation};
use polyseme_infer::first_of_best;
use polyseme_models::{HeadKind, Model, ScoreLine};
use polyseme_tensor::Tensor;
use polyseme_tensor::ops::cross_entropy;
use polyseme_tensor::packed::int_tensor;

/// What cosines are multiplied by before the softmax over a batch, as in sentence-transformers.
const SHARPNESS: f32 = 20.0;

/// Each validation text looks for its partner among this many at most.
const CANDIDATES: usize = 2_000;

/// Two texts' vectors with the cosine of their angle near a score: a regression by two vectors.
pub struct Similarity {
    /// The least score is learned as a cosine of 0, the greatest one as 1.
    scale: ScoreLine,
    /// What makes a score of a cosine; `None`: what fits the validation rows.
    line: Option<ScoreLine>,
    train: Part<f32>,
    valid: Part<f32>,
    /// Whether the order of the cosines is learned and not their values.
    by_order: bool,
}

impl Similarity {
    /// With rows of two sequences whose targets are scores.
    pub fn new(train: Part<f32>, valid: Part<f32>) -> Self {
        let scale = from_least_to_greatest(&train.targets);
        Self { scale, line: None, train, valid, by_order: false }
    }

    /// To measure only, by the scores that a model says cosines stand for. Of a model that says nothing, 0 and 1 are the
    /// least and the greatest score of the rows.
    pub fn to_measure(line: Option<ScoreLine>, valid: Part<f32>) -> Self {
        let scale = from_least_to_greatest(&valid.targets);
        Self { scale, line: line.or(Some(scale)), train: Part::none(), valid, by_order: false }
    }

    /// The same, where the more alike pair of any two of a batch is to have the greater cosine (CoSENT, Su 2022).
    pub fn by_order(self) -> Self {
        Self { by_order: true, ..self }
    }

    /// What makes scores of these cosines.
    fn line(&self, kept: &[Vec<f32>]) -> ScoreLine {
        self.line.or_else(|| least_squares(kept, &self.valid.targets)).unwrap_or(self.scale)
    }

    /// The scores that were said.
    fn said(&self, kept: &[Vec<f32>]) -> Vec<f32> {
        let line = self.line(kept);
        kept.iter().map(|k| line.score(k[0])).collect()
    }
}

/// The line on which 0 is the least score and 1 the greatest.
fn from_least_to_greatest(scores: &[f32]) -> ScoreLine {
    let (least, greatest) = scores.iter().fold((f32::MAX, f32::MIN), |(a, b), &x| (a.min(x), b.max(x)));
    ScoreLine { slope: if greatest > least { f64::from(greatest - least) } else { 1.0 }, shift: f64::from(least) }
}

/// The line from which scores are off least, by their squares; `None` where scores do not rise with the cosine.
fn least_squares(kept: &[Vec<f32>], scores: &[f32]) -> Option<ScoreLine> {
    let cosines: Vec<f64> = kept.iter().map(|k| f64::from(k[0])).collect();
    let scores: Vec<f64> = scores.iter().map(|&s| f64::from(s)).collect();
    let ((of_cosines, deviation), (of_scores, _)) = (mean_and_deviation(&cosines), mean_and_deviation(&scores));
    let both =
        cosines.iter().zip(&scores).map(|(c, s)| (c - of_cosines) * (s - of_scores)).sum::<f64>() / scores.len() as f64;
    let slope = both / (deviation * deviation);
    (slope.is_finite() && slope > 0.0).then_some(ScoreLine { slope, shift: of_scores - slope * of_cosines })
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
        let ScoreLine { slope, shift } = self.scale;
        let scaled = |&row: &usize| ((f64::from(self.train.targets[row]) - shift) / slope) as f32;
        let wanted: Vec<f32> = batch.rows.iter().map(scaled).collect();
        if self.by_order {
            return of_order(cosines(outputs), &wanted) * wanted.len() as f32;
        }
        let wanted = beside(&outputs, &wanted, 1);
        of_numbers_apart(cosines(outputs), wanted)
    }

    /// How far the cosines of two passes are from each other.
    fn disagreement(&self, first: Tensor<2>, second: Tensor<2>, _: &RowBatch) -> Tensor<1> {
        of_numbers_apart(cosines(first), cosines(second))
    }

    /// The squared error of the cosine.
    fn imitation(&self, said: Tensor<2>, taught: Tensor<2>, _: f64, _: &RowBatch) -> Tensor<1> {
        of_numbers_apart(cosines(said), cosines(taught))
    }

    /// Pairs are told apart by their order.
    fn compares_rows(&self) -> bool {
        self.by_order
    }

    /// The cosine.
    fn keep(&self, outputs: &[f32], _: usize) -> Vec<f32> {
        let (first, second) = outputs.split_at(outputs.len() / 2);
        vec![cosine(first, second)]
    }

    fn metrics(&self, kept: &[Vec<f32>]) -> Metrics {
        Metrics::Regress(RegressMetrics::new(&self.valid.targets, &self.said(kept)))
    }

    fn analysis(&self, kept: &[Vec<f32>], _: &Metrics) -> Analysis {
        of_numbers(&self.valid, &self.said(kept))
    }

    /// The folder says what scores its cosines stand for.
    fn finish(&self, model: &mut Model, kept: &[Vec<f32>]) -> Metrics {
        model.set_score_line(Some(self.line(kept)));
        self.metrics(kept)
    }

    /// No row measured the cosines: they stand for what they learned.
    fn finish_unmeasured(&self, model: &mut Model, _: &[&Metrics]) {
        model.set_score_line(Some(self.scale));
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

    fn text(&self, row: usize, which: usize) -> String {
        self.valid.shown(row).1.into_iter().nth(which).unwrap_or_default()
    }
}

/// What a text found among the candidates.
struct Found {
    /// Rank of its partner, from 1.
    rank: usize,
    /// The row whose partner came first.
    first: usize,
    /// Cosines of its own partner and of the first.
    cosines: [f32; 2],
    /// Cross-entropy of its own partner among the candidates.
    loss: f64,
}

/// What each text finds, of both texts' vectors of each row.
fn search(kept: &[Vec<f32>]) -> Vec<Found> {
    let mut found = Vec::with_capacity(kept.len());
    for (part, group) in kept.chunks(CANDIDATES).enumerate() {
        for (own, query) in group.iter().enumerate() {
            let width = query.len() / 2;
            let near = |k: &Vec<f32>| dot(&query[..width], &k[width..]);
            let scores: Vec<f32> = group.iter().map(near).collect();
            let (wanted, first) = (scores[own], first_of_best(&scores));
            let sharp = |s: f32| f64::from(SHARPNESS * (s - wanted)).exp();
            found.push(Found {
                rank: 1 + scores.iter().filter(|&&s| s > wanted).count(),
                first: part * CANDIDATES + first,
                cosines: [wanted, scores[first]],
                loss: scores.iter().map(|&s| sharp(s)).sum::<f64>().ln(),
            });
        }
    }
    found
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

    /// Cosines that learn what belongs together stand for no score.
    fn begin(&self, model: &mut Model, _: bool) {
        model.set_score_line(None);
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
        let found = search(kept);
        let ranks: Vec<usize> = found.iter().map(|f| f.rank).collect();
        let loss = found.iter().map(|f| f.loss).sum::<f64>() / kept.len() as f64;
        Metrics::Retrieval(RetrievalMetrics::new(&ranks, loss, kept.len().min(CANDIDATES) as u64))
    }

    /// The worst are those whose partner comes last.
    fn analysis(&self, kept: &[Vec<f32>], _: &Metrics) -> Analysis {
        let found = search(kept);
        let wrong = || (0..found.len()).filter(|&row| found[row].rank > 1);
        let told = worst(wrong().map(|row| (row, found[row].rank as f64))).into_iter().map(|row| {
            let Found { rank, first, cosines, loss } = found[row];
            let ranked = |row: usize, rank: usize, cosine: f32| Ranked {
                text: self.text(row, 1),
                rank: rank as u64,
                cosine: rounded(cosine),
            };
            let (partner, first) = (ranked(row, rank, cosines[0]), ranked(first, 1, cosines[1]));
            let what = What::Partner { text: self.text(row, 0), partner, first };
            Mistake { place: self.valid.shown(row).0, loss: rounded(loss), what }
        });
        Analysis::new(found.len(), Some(wrong().count()), told.collect())
    }
}

/// `ln(1 + Σ exp(λ (c_j - c_i)))` over all pairs of rows of which `i` has the greater score.
///
/// # Shapes
/// - cosines: `(rows, 1)`
/// - output: `(1)`
fn of_order(cosines: Tensor<2>, scores: &[f32]) -> Tensor<1> {
    let rows = scores.len();
    // What is far below all else counts for nothing.
    let counts = |k: usize| if scores[k / rows] > scores[k % rows] { 0.0 } else { -1e9 };
    let mask = beside(&cosines, &(0..rows * rows).map(counts).collect::<Vec<f32>>(), rows);
    let differences = (cosines.clone().transpose() - cosines.clone()) * SHARPNESS + mask;
    let device = cosines.device().without_autodiff();
    let logits = Tensor::cat(vec![Tensor::zeros([1, 1], &device), differences.reshape([1, rows * rows])], 1);
    cross_entropy(logits, int_tensor(&[0], &device))
}

/// The cosine of each row's two vectors. `(2 · rows, width)` to `(rows, 1)`
fn cosines(outputs: Tensor<2>) -> Tensor<2> {
    let (first, second) = pairs(outputs);
    (first * second).sum_dim(1)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loss_of_order_is_that_of_the_book() {
        let cosines = [0.9f32, 0.2, -0.4, 0.35];
        let scores = [0.5f32, 1.0, 0.0, 0.5];
        let device = polyseme_tensor::device::parse("cpu").unwrap();
        let tensor = Tensor::<1>::from_floats(cosines.as_slice(), &device).reshape([4, 1]);
        let found = of_order(tensor, &scores).into_scalar::<f32>();
        let mut sum = 1.0f64;
        for i in 0..4 {
            for j in 0..4 {
                if scores[i] > scores[j] {
                    sum += (20.0 * f64::from(cosines[j] - cosines[i])).exp();
                }
            }
        }
        assert!((f64::from(found) - sum.ln()).abs() < 1e-5, "{found} for {}", sum.ln());
    }
}
