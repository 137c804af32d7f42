//! The self-attention half of an encoder layer (Vaswani et al. 2017), over packed sequences.

use super::dropout::dropout_from;
use super::{Linear, dropout, linear};
use crate::{Mode, PackedBatch};
use burn::tensor::{Bool, Tensor, TensorData, activation::softmax};

/// Weights of the half.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct AttentionWeights {
    pub query_key_value: QueryKeyValue,
    /// `(width, heads · size)`
    pub output: Linear,
}

/// The maps onto query, key and value.
#[derive(Clone, Debug)]
pub enum QueryKeyValue {
    /// `(heads · size, width)` each.
    Apart(Box<[Linear; 3]>),
    /// Below each other. `(3 · heads · size, width)`
    Joined(Box<Linear>),
}

/// What is not a weight.
#[derive(Clone, Copy, Debug)]
pub struct AttentionSettings {
    /// Number of heads.
    pub heads: usize,
    /// Rate of dropout of attention probabilities.
    pub attention_dropout: f64,
    /// Rate of dropout after the output map.
    pub hidden_dropout: f64,
    /// Base of rotary positions (Su et al. 2021), where there are any; heads are then of even size.
    pub rotary: Option<f64>,
    /// How many neighbours on either side a token attends to; all if `None`.
    pub window: Option<usize>,
}

/// `dropout(output(attention(x)))`, where a token attends to its own sequence only, or to a part of it.
///
/// # Shapes
/// - x, output: `(tokens, width)`
pub fn attention(
    x: Tensor<2>,
    weights: AttentionWeights,
    batch: &PackedBatch,
    settings: AttentionSettings,
    mode: Mode,
) -> Tensor<2> {
    let [query, key, value] = match weights.query_key_value {
        QueryKeyValue::Apart(maps) => maps.map(|map| linear(x.clone(), map)),
        QueryKeyValue::Joined(map) => {
            let all = linear(x, *map).chunk(3, 1);
            all.try_into().expect("three parts")
        }
    };
    let context = attend(query, key, value, batch, settings, mode.named("attention"));
    dropout(linear(context, weights.output), settings.hidden_dropout, mode.named("attention_output"))
}

/// Attention of each sequence to itself, run by run of equal lengths.
fn attend(
    query: Tensor<2>,
    key: Tensor<2>,
    value: Tensor<2>,
    batch: &PackedBatch,
    settings: AttentionSettings,
    mode: Mode,
) -> Tensor<2> {
    let sizes: Vec<usize> = batch.runs.iter().map(|&(_, count, length)| count * length).collect();
    let (queries, keys, values) = (split(query, &sizes), split(key, &sizes), split(value, &sizes));
    let contexts: Vec<Tensor<2>> = queries
        .into_iter()
        .zip(keys)
        .zip(values)
        .zip(&batch.runs)
        .map(|(((query, key), value), &(first, count, length))| {
            attend_run([query, key, value], [count, length], settings, batch, mode, batch.starts[first])
        })
        .collect();
    if contexts.len() == 1 {
        return contexts.into_iter().next().expect("one run");
    }
    Tensor::cat(contexts, 0)
}

/// Attention over `count` sequences of one `length`.
///
/// # Shapes
/// - query, key, value, output: `(count · length, heads · size)`
fn attend_run(
    [query, key, value]: [Tensor<2>; 3],
    [count, length]: [usize; 2],
    settings: AttentionSettings,
    batch: &PackedBatch,
    mode: Mode,
    first_row: usize,
) -> Tensor<2> {
    let [rows, width] = value.dims();
    let probabilities = probabilities([query, key], [count, length], settings, batch, first_row);
    // Rows of the mask are named by their place in the whole batch.
    let first = first_row * settings.heads;
    let probabilities = dropout_from(probabilities, settings.attention_dropout, mode, first);
    let value = by_head(value, [count, length], settings.heads);
    // (count, heads, length, per_head) -> (count · length, width)
    probabilities.matmul(value).swap_dims(1, 2).reshape([rows, width])
}

/// What each token of each sequence attends to, head by head, of a whole batch: what [`attention`] computes on its way,
/// for whoever wants to look at it. In the caller's order of sequences; rows sum to one.
///
/// # Shapes
/// - query, key: `(tokens, heads · size)`
/// - output: `(heads, length, length)` each
pub fn attention_probabilities(
    query: Tensor<2>,
    key: Tensor<2>,
    batch: &PackedBatch,
    settings: AttentionSettings,
) -> Vec<Tensor<3>> {
    let one = |sequence: usize| {
        let rows = batch.rows(sequence);
        let (first, length) = (rows.start, rows.len());
        let cut = |x: &Tensor<2>| x.clone().narrow(0, first, length);
        let found = probabilities([cut(&query), cut(&key)], [1, length], settings, batch, first);
        found.reshape([settings.heads, length, length])
    };
    (0..batch.sequences()).map(one).collect()
}

/// Probabilities over `count` sequences of one `length`, of which the first begins in `first_row` of the batch.
///
/// # Shapes
/// - query, key: `(count · length, heads · size)`
/// - output: `(count, heads, length, length)`
fn probabilities(
    query_key: [Tensor<2>; 2],
    [count, length]: [usize; 2],
    settings: AttentionSettings,
    batch: &PackedBatch,
    first_row: usize,
) -> Tensor<4> {
    let per_head = query_key[0].dims()[1] / settings.heads;
    let [mut query, mut key] = query_key.map(|x| by_head(x, [count, length], settings.heads));
    let rows = first_row..first_row + count * length;
    let positions = &batch.positions[rows.clone()];
    if let Some(base) = settings.rotary {
        query = turn(query, base, positions);
        key = turn(key, base, positions);
    }
    // (count, heads, length, length)
    let mut scores = query.matmul(key.transpose()) * (1.0 / (per_head as f64).sqrt());
    let seen = batch.seen.as_deref().map(|seen| &seen[rows]);
    if settings.window.is_some() || seen.is_some() {
        let unseen = |i: usize| {
            let (row, key) = (i / length, i % length);
            let position = |row: usize| positions[row] as usize;
            let far =
                settings.window.is_some_and(|w| position(row).abs_diff(position(row / length * length + key)) > w);
            let hidden = seen.is_some_and(|seen| key >= seen[row] as usize);
            (far || hidden) && row % length != key
        };
        let unseen: Vec<bool> = (0..count * length * length).map(unseen).collect();
        let unseen =
            Tensor::<4, Bool>::from_data(TensorData::new(unseen, [count, 1, length, length]), &scores.device());
        scores = scores.mask_fill(unseen.expand([count, settings.heads, length, length]), f32::NEG_INFINITY);
    }
    softmax(scores, 3)
}

/// `(count · length, heads · size)` to `(count, heads, length, size)`
fn by_head(x: Tensor<2>, [count, length]: [usize; 2], heads: usize) -> Tensor<4> {
    let size = x.dims()[1] / heads;
    x.reshape([count, length, heads, size]).swap_dims(1, 2)
}

/// Turns pairs of columns, half a head apart, by angles that grow with the position.
///
/// # Shapes
/// - x, output: `(count, heads, length, per_head)`
/// - positions: `(count · length)`
fn turn(x: Tensor<4>, base: f64, positions: &[u32]) -> Tensor<4> {
    let [count, _, length, size] = x.dims();
    let half = size / 2;
    // Products in f32, as the reference library has them.
    let angle = |i: usize| {
        let (position, pair) = (positions[i / size], i % size % half);
        let speed = (1.0 / base.powf(2.0 * pair as f64 / size as f64)) as f32;
        f64::from(position as f32 * speed)
    };
    let table = |f: fn(f64) -> f64| {
        let values: Vec<f32> = (0..count * length * size).map(|i| f(angle(i)) as f32).collect();
        Tensor::<4>::from_data(TensorData::new(values, [count, 1, length, size]), &x.device())
    };
    let halves = x.clone().chunk(2, 3);
    let other = Tensor::cat(vec![halves[1].clone().neg(), halves[0].clone()], 3);
    x.clone() * table(f64::cos) + other * table(f64::sin)
}

/// Cuts rows into parts of these sizes, by halves: the backward pass of a slice fills its whole
/// parent with zeros, which by halves costs `rows · log(parts)` and not `rows · parts`.
fn split(x: Tensor<2>, sizes: &[usize]) -> Vec<Tensor<2>> {
    if sizes.len() == 1 {
        return vec![x];
    }
    let (left, right) = sizes.split_at(sizes.len() / 2);
    let (cut, rest) = (left.iter().sum(), right.iter().sum());
    let mut parts = split(x.clone().narrow(0, 0, cut), left);
    parts.extend(split(x.narrow(0, cut, rest), right));
    parts
}
