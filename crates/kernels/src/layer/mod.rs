//! One encoder layer with the norm after each half (BERT's), forward and backward, over a packed
//! batch: Devlin et al. 2019; Vaswani et al. 2017.
//!
//! Each thread takes its own sequences through the whole layer, chunk by chunk, so that a chunk's
//! activations stay in its cache. Saved for the backward pass: query, key and value, probabilities,
//! context, the two normalised values, the pre-activation. The activation and the outputs of the
//! norms are computed again.
//!
//! `n` rows go in, and `m` rows are asked for ([`Rows`]).

mod backward;
mod forward;
mod gradients;
mod rows;

pub use backward::{Needs, backward};
pub use forward::{LayerSaved, Prepared, forward, forward_prepared};
pub use rows::{Rows, count};

use crate::Activation;
use crate::dropout::Dropout;

/// Sizes and settings of a layer.
#[derive(Clone, Copy, Debug)]
pub struct LayerShape {
    /// Hidden width `h`.
    pub hidden: usize,
    /// Heads; they divide the width.
    pub heads: usize,
    /// Inner width `f` of the feed-forward part.
    pub inner: usize,
    /// Epsilon of both norms.
    pub eps: f32,
    /// Activation.
    pub activation: Activation,
}

/// How many weights a layer has; their order is that of [`WEIGHTS`].
pub const COUNT: usize = 16;

/// Names of a layer's weights, in the order in which slices of them are passed. Matrices are
/// `(out, in)`, row-major.
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
const QUERY: usize = 0;
const ATTENTION_OUT: usize = 6;
const NORM1: usize = 8;
const INNER: usize = 10;
const OUT: usize = 12;
const NORM2: usize = 14;

/// The three dropouts of a layer.
#[derive(Clone, Copy, Debug)]
pub struct LayerDropout {
    /// On attention probabilities.
    pub probabilities: Dropout,
    /// After the attention's output projection.
    pub attention: Dropout,
    /// After the feed-forward part.
    pub output: Dropout,
}

impl LayerDropout {
    /// No dropout: inference.
    pub const NONE: Self = {
        let none = Dropout { key: 0, p: 0.0 };
        Self { probabilities: none, attention: none, output: none }
    };
}

/// Gradients of a layer's weights, in the order of [`WEIGHTS`].
pub type LayerGradients = [Vec<f32>; COUNT];

/// Panics unless all sizes agree.
fn check(shape: LayerShape, w: &[&[f32]; COUNT], x: &[f32], rows: Rows<'_>) {
    let (h, f) = (shape.hidden, shape.inner);
    let sizes = [h * h, h, h * h, h, h * h, h, h * h, h, h, h, f * h, f, h * f, h, h, h];
    for ((name, w), size) in WEIGHTS.iter().zip(w).zip(sizes) {
        assert_eq!(w.len(), size, "size of {name}");
    }
    assert_eq!(x.len(), rows.len() * h, "rows of the input");
    assert_eq!(h % shape.heads, 0, "heads divide the width");
}
