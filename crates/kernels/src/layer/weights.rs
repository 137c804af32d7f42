//! The weights of a layer: their order, their sizes, which of them may be absent.

use super::{LayerShape, Rows};
use crate::product::Into;
use crate::quantize::Quantized;
use std::sync::Arc;

/// How many weights a layer has; their order is that of [`WEIGHTS`].
pub const COUNT: usize = 16;

/// Names of a layer's weights, in the order in which slices of them are passed. Matrices are
/// `(out, in)`, row-major. An empty slice is a weight that is not there: any bias, and the norm before
/// the attention. Query, key and value may stand below each other in `query.weight` and `query.bias`;
/// the other four are then empty.
pub const WEIGHTS: [&str; COUNT] = [
    "query.weight",
    "query.bias",
    "key.weight",
    "key.bias",
    "value.weight",
    "value.bias",
    "attention.output.weight",
    "attention.output.bias",
    "attention.norm.weight",
    "attention.norm.bias",
    "inner.weight",
    "inner.bias",
    "output.weight",
    "output.bias",
    "output.norm.weight",
    "output.norm.bias",
];
/// Matrices that are in few bits instead of in f32, in the order of [`WEIGHTS`]: query (or all three below each
/// other), key, value, the attention's output, the two of the feed-forward part.
pub type Few = [Option<Arc<Quantized>>; 6];

pub(super) const QUERY: usize = 0;
pub(super) const ATTENTION_OUT: usize = 6;
pub(super) const NORM1: usize = 8;
pub(super) const INNER: usize = 10;
pub(super) const OUT: usize = 12;
pub(super) const NORM2: usize = 14;

/// Whether query, key and value stand in one matrix.
pub(super) fn is_fused(w: &[&[f32]; COUNT]) -> bool {
    w[QUERY + 2].is_empty()
}

/// Weight and bias of query, key and value.
pub(super) fn query_key_value<'a>(w: &[&'a [f32]; COUNT]) -> [(&'a [f32], &'a [f32]); 3] {
    if !is_fused(w) {
        return std::array::from_fn(|i| (w[QUERY + 2 * i], w[QUERY + 2 * i + 1]));
    }
    std::array::from_fn(|i| (third(w[QUERY], i), third(w[QUERY + 1], i)))
}

/// The biases of query, key and value.
pub(super) fn biases<'a>(w: &[&'a [f32]; COUNT], joined: bool) -> [&'a [f32]; 3] {
    std::array::from_fn(|i| if joined { third(w[QUERY + 1], i) } else { w[QUERY + 2 * i + 1] })
}

/// Where a weight's matrix stands among those of [`Few`]; beyond it for a norm.
pub(super) fn matrix(at: usize) -> usize {
    match at {
        ..NORM1 => at / 2,
        INNER..NORM2 => at / 2 - 1,
        _ => COUNT,
    }
}

pub(super) fn third(values: &[f32], i: usize) -> &[f32] {
    let len = values.len() / 3;
    &values[i * len..(i + 1) * len]
}

/// What a product is written with: the bias, if there is one.
pub(super) fn with(bias: &[f32]) -> Into<'_> {
    if bias.is_empty() { Into::Set } else { Into::Bias(bias) }
}

/// Panics unless all sizes agree. Those in few bits have no slice here.
pub(super) fn check(shape: LayerShape, w: &[&[f32]; COUNT], x: &[f32], rows: Rows<'_>, few: &[bool; COUNT]) {
    let (h, a, f, wide) = (shape.hidden, shape.attention, shape.inner, shape.wide());
    let mut sizes = [a * h, a, a * h, a, a * h, a, h * a, h, h, h, wide * h, wide, h * f, h, h, h];
    if is_fused(w) && !few[QUERY + 2] {
        sizes[QUERY..ATTENTION_OUT].copy_from_slice(&[3 * a * h, 3 * a, 0, 0, 0, 0]);
    }
    for (i, ((name, w), size)) in WEIGHTS.iter().zip(w).zip(sizes).enumerate() {
        let may_be_absent = few[i] || i % 2 == 1 || i == NORM1 && shape.pre_norm;
        assert!(w.len() == size || w.is_empty() && may_be_absent, "size of {name}: {} for {size}", w.len());
    }
    assert!(!w[NORM1].is_empty() || w[NORM1 + 1].is_empty(), "a norm without a weight has no bias");
    assert_eq!(x.len(), rows.len() * h, "rows of the input");
    assert_eq!(a % shape.heads, 0, "heads divide the attention's width");
    assert!(shape.rotary.is_none() || (a / shape.heads).is_multiple_of(2), "heads that are turned are of even size");
}
