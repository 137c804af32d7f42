//! How far a student's hidden states are from its teacher's: their values, their angles, what attends to what.

use super::divergence::of_classes;
use super::settings::DistilSettings;
use polyseme_models::Model;
use polyseme_tensor::{Mode, PackedBatch, Tensor};

/// A model with its hidden states of one batch: the embeddings' first, then each layer's. `(tokens, hidden)` each
pub(super) struct Seen<'a> {
    pub model: &'a Model,
    pub states: &'a [Tensor<2>],
    pub mode: Mode,
}

impl Seen<'_> {
    fn layers(&self) -> usize {
        self.states.len() - 1
    }

    /// Query, key and value of a layer, from 1. `(tokens, width of all heads)` each
    fn query_key_value(&self, layer: usize) -> [Tensor<2>; 3] {
        self.model.query_key_value(layer - 1, self.states[layer - 1].clone(), self.mode)
    }
}

/// The mean over tokens of all losses that compare what is inside, with their weights.
pub(super) fn loss(
    settings: &DistilSettings,
    student: &Seen<'_>,
    teacher: &Seen<'_>,
    batch: &PackedBatch,
) -> Tensor<1> {
    let layers = student.layers();
    // Evenly spread; the last one has the last.
    let of_teacher = |layer: usize| (layer * teacher.layers()).div_ceil(layers);
    let pairs: Vec<(usize, usize)> = (1..=layers).map(|layer| (layer, of_teacher(layer))).collect();
    let mut terms: Vec<Tensor<1>> = Vec::new();
    let mut add = |weight: f64, loss: &dyn Fn() -> Tensor<1>| {
        if weight > 0.0 {
            terms.push(loss() * weight);
        }
    };
    let projected = |layer: usize| student.model.projected(student.states[layer].clone(), student.mode);
    let squared = |(of_student, of_teacher): (usize, usize)| {
        let difference = projected(of_student) - teacher.states[of_teacher].clone();
        (difference.clone() * difference).mean()
    };
    add(settings.embeddings, &|| squared((0, 0)));
    add(settings.hidden, &|| sum(pairs.iter().map(|&pair| squared(pair))));
    add(settings.cosine, &|| {
        let (x, y) = (projected(layers), teacher.states[teacher.layers()].clone());
        let length = |x: Tensor<2>| (x.clone() * x).sum_dim(1).sqrt().clamp_min(1e-12);
        let cosines = (x.clone() * y.clone()).sum_dim(1) / (length(x) * length(y));
        cosines.mean().neg() + 1.0
    });
    add(settings.attention, &|| {
        let heads = student.model.config().num_attention_heads;
        sum(pairs.iter().map(|&(of_student, of_teacher)| {
            let scores = |seen: &Seen<'_>, layer: usize| {
                let [query, key, _] = seen.query_key_value(layer);
                relations(&query, &key, batch, heads)
            };
            let (said, taught) = (scores(student, of_student), scores(teacher, of_teacher));
            let count: usize = said.iter().map(|x| x.dims().iter().product::<usize>()).sum();
            let squares = said.into_iter().zip(taught).map(|(x, y)| ((x.clone() - y.clone()) * (x - y)).sum());
            sum(squares) * (1.0 / count as f64)
        }))
    });
    add(settings.relations, &|| {
        let heads = settings.relation_heads_of(student.model.config());
        let (said, taught) = (student.query_key_value(layers), teacher.query_key_value(teacher.layers()));
        let of = |(x, y): (Tensor<2>, Tensor<2>)| {
            let (said, taught) = (relations(&x, &x, batch, heads), relations(&y, &y, batch, heads));
            let flat = |x: Tensor<4>| {
                let [count, heads, rows, length] = x.dims();
                x.reshape([count * heads * rows, length])
            };
            sum(said.into_iter().zip(taught).map(|(x, y)| of_classes(flat(x), flat(y), 1.0)))
        };
        sum(said.into_iter().zip(taught).map(of)) * (1.0 / (3 * heads * batch.tokens()) as f64)
    });
    sum(terms.into_iter())
}

/// The sum of at least one loss.
fn sum(losses: impl Iterator<Item = Tensor<1>>) -> Tensor<1> {
    losses.reduce(|a, b| a + b).expect("at least one loss")
}

/// `x · yᵀ / √size` inside each sequence and head, for each run of sequences of one length.
///
/// # Shapes
/// - x, y: `(tokens, heads · size)`
/// - output: `(sequences, heads, length, length)` a run
fn relations(x: &Tensor<2>, y: &Tensor<2>, batch: &PackedBatch, heads: usize) -> Vec<Tensor<4>> {
    let size = x.dims()[1] / heads;
    let apart = |x: &Tensor<2>, &(first, count, length): &(usize, usize, usize)| {
        let size = x.dims()[1] / heads;
        let rows = x.clone().narrow(0, batch.starts[first], count * length);
        rows.reshape([count, length, heads, size]).swap_dims(1, 2)
    };
    let of_run = |run| apart(x, run).matmul(apart(y, run).transpose()) * (1.0 / (size as f64).sqrt());
    batch.runs.iter().map(of_run).collect()
}
