//! The self-attention half of an encoder layer (Vaswani et al. 2017), over packed sequences.

use super::dropout::dropout_from;
use super::{Linear, Norm, dropout, layer_norm, linear};
use crate::{Mode, PackedBatch};
use burn::tensor::{Tensor, activation::softmax};

/// Weights of the block; all maps are `(width, width)`.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct AttentionWeights {
    pub query: Linear,
    pub key: Linear,
    pub value: Linear,
    pub output: Linear,
    /// Over `width`, after the residual.
    pub norm: Norm,
}

/// What is not a weight.
#[derive(Clone, Copy, Debug)]
pub struct AttentionSettings {
    /// Number of heads; divides the width.
    pub heads: usize,
    /// Rate of dropout of attention probabilities.
    pub attention_dropout: f64,
    /// Rate of dropout before the residual is added.
    pub hidden_dropout: f64,
}

/// `norm(x + dropout(output(attention(x))))`, where a token attends to its own sequence only.
///
/// # Shapes
/// - x, output: `(tokens, width)`
pub fn attention_block(
    x: Tensor<2>,
    weights: AttentionWeights,
    batch: &PackedBatch,
    settings: AttentionSettings,
    mode: Mode,
) -> Tensor<2> {
    let query = linear(x.clone(), weights.query);
    let key = linear(x.clone(), weights.key);
    let value = linear(x.clone(), weights.value);
    let context = attend(query, key, value, batch, settings, mode.named("attention"));
    let out = linear(context, weights.output);
    let out = dropout(out, settings.hidden_dropout, mode.named("attention_output"));
    layer_norm(out + x, weights.norm)
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
            attend_run([query, key, value], [count, length], settings, mode, batch.starts[first])
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
/// - query, key, value, output: `(count · length, width)`
fn attend_run(
    qkv: [Tensor<2>; 3],
    [count, length]: [usize; 2],
    settings: AttentionSettings,
    mode: Mode,
    first_row: usize,
) -> Tensor<2> {
    let width = qkv[0].dims()[1];
    let per_head = width / settings.heads;
    // (count · length, width) -> (count, heads, length, per_head)
    let [query, key, value] = qkv.map(|x| x.reshape([count, length, settings.heads, per_head]).swap_dims(1, 2));
    // (count, heads, length, length)
    let scores = query.matmul(key.transpose()) * (1.0 / (per_head as f64).sqrt());
    let probabilities = softmax(scores, 3);
    // Rows of the mask are named by their place in the whole batch.
    let first = first_row * settings.heads;
    let probabilities = dropout_from(probabilities, settings.attention_dropout, mode, first);
    // (count, heads, length, per_head) -> (count · length, width)
    probabilities.matmul(value).swap_dims(1, 2).reshape([count * length, width])
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
