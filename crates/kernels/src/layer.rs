//! One encoder layer with the norm after each half (BERT's), forward and backward, over a packed
//! batch: Devlin et al. 2019; Vaswani et al. 2017.
//!
//! Each thread takes its own sequences through the whole layer, chunk by chunk, so that a chunk's
//! activations stay in its cache. Saved for the backward pass: query/key/value, probabilities,
//! context, the two normalised values, the pre-activation. The activation and the outputs of the
//! norms are computed again.

use crate::attention::{self, Heads};
use crate::dropout::Dropout;
use crate::pool::Buffer;
use crate::product::{Into, Mat, product};
use crate::{Activation, math, norm, parallel};
use std::ops::Range;

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

/// What one chunk keeps for the backward pass.
#[derive(Debug)]
struct Saved {
    sequences: Range<usize>,
    qkv: Buffer,
    probabilities: Buffer,
    context: Buffer,
    xhat1: Buffer,
    rstd1: Buffer,
    pre: Buffer,
    xhat2: Buffer,
    rstd2: Buffer,
}

/// What a forward pass keeps for the backward pass.
#[derive(Debug)]
pub struct LayerSaved {
    parts: Vec<Vec<Saved>>,
}

/// Gradients of a layer's weights, in the order of [`WEIGHTS`].
pub type LayerGradients = [Vec<f32>; COUNT];

/// A layer over a packed batch. `x`, result: `(n, h)`; `starts`: first row of each sequence and,
/// last, `n`. With `save` also what [`backward`] needs.
///
/// Panics if sizes do not agree.
pub fn forward(
    shape: LayerShape,
    w: &[&[f32]; COUNT],
    x: &[f32],
    starts: &[usize],
    dropout: LayerDropout,
    save: bool,
) -> (Vec<f32>, Option<LayerSaved>) {
    check(shape, w, x, starts);
    let ranges = parallel::parts(starts, parallel::threads());
    let mut y = vec![0.0; x.len()];
    let outputs = parallel::split_rows(&mut y, starts, &ranges, shape.hidden);
    let items = ranges.into_iter().zip(outputs).collect();
    let parts = parallel::map(items, |(range, y): (Range<usize>, &mut [f32])| {
        let base = starts[range.start];
        let mut kept = Vec::new();
        for sequences in parallel::chunks(starts, range) {
            let rows = (starts[sequences.start] - base) * shape.hidden..(starts[sequences.end] - base) * shape.hidden;
            let saved = forward_chunk(shape, w, x, starts, sequences, dropout, &mut y[rows]);
            if save {
                kept.push(saved);
            }
        }
        kept
    });
    (y, save.then_some(LayerSaved { parts }))
}

/// Gradients through [`forward`]: of `x` `(n, h)` and of the weights.
pub fn backward(
    shape: LayerShape,
    w: &[&[f32]; COUNT],
    x: &[f32],
    starts: &[usize],
    dropout: LayerDropout,
    saved: &LayerSaved,
    dy: &[f32],
) -> (Vec<f32>, LayerGradients) {
    check(shape, w, x, starts);
    let ranges: Vec<_> = saved.parts.iter().map(|p| p[0].sequences.start..p[p.len() - 1].sequences.end).collect();
    let mut dx = vec![0.0; x.len()];
    let outputs = parallel::split_rows(&mut dx, starts, &ranges, shape.hidden);
    let items = saved.parts.iter().zip(outputs).collect();
    let mut gradients = parallel::map(items, |(chunks, dx): (&Vec<Saved>, &mut [f32])| {
        let mut gradients: LayerGradients = std::array::from_fn(|i| vec![0.0; w[i].len()]);
        let base = starts[chunks[0].sequences.start];
        for chunk in chunks {
            let rows = (starts[chunk.sequences.start] - base) * shape.hidden
                ..(starts[chunk.sequences.end] - base) * shape.hidden;
            backward_chunk(shape, w, x, starts, dropout, chunk, dy, &mut dx[rows], &mut gradients);
        }
        gradients
    })
    .into_iter();
    let mut sum = gradients.next().expect("at least one part");
    for part in gradients {
        for (sum, part) in sum.iter_mut().zip(&part) {
            math::add(sum, part);
        }
    }
    (dx, sum)
}

/// The layer over one chunk, on this thread. `y`: the chunk's rows of the result.
fn forward_chunk(
    shape: LayerShape,
    w: &[&[f32]; COUNT],
    x: &[f32],
    starts: &[usize],
    sequences: Range<usize>,
    dropout: LayerDropout,
    y: &mut [f32],
) -> Saved {
    let (h, f) = (shape.hidden, shape.inner);
    let (first, last) = (starts[sequences.start], starts[sequences.end]);
    let n = last - first;
    let x = &x[first * h..last * h];
    let heads = Heads { hidden: h, count: shape.heads };

    let mut qkv = Buffer::new(n * 3 * h);
    for i in 0..3 {
        product(&mut qkv[i * h..], 3 * h, Into::Set, 1.0, Mat::new(x, n, h), Mat::new(w[QUERY + 2 * i], h, h).t());
    }
    for row in qkv.chunks_exact_mut(3 * h) {
        for i in 0..3 {
            math::add(&mut row[i * h..(i + 1) * h], w[QUERY + 2 * i + 1]);
        }
    }
    let mut probabilities = Buffer::new(attention::probabilities_len(heads, starts, sequences.clone()));
    let mut context = Buffer::new(n * h);
    attention::forward(heads, starts, sequences.clone(), &qkv, dropout.probabilities, &mut probabilities, &mut context);

    // The attention's half: project, drop, add, normalise. `xhat1` holds the sum first.
    let mut xhat1 = Buffer::new(n * h);
    product(&mut xhat1, h, Into::Set, 1.0, Mat::new(&context, n, h), Mat::new(w[ATTENTION_OUT], h, h).t());
    residual(&mut xhat1, w[ATTENTION_OUT + 1], dropout.attention, first, x);
    let mut rstd1 = Buffer::new(n);
    let mut middle = Buffer::new(n * h);
    norm::forward(&mut xhat1, w[NORM1], w[NORM1 + 1], shape.eps, &mut rstd1, &mut middle);

    // The feed-forward half.
    let mut pre = Buffer::new(n * f);
    product(&mut pre, f, Into::Set, 1.0, Mat::new(&middle, n, h), Mat::new(w[INNER], f, h).t());
    let mut activated = Buffer::new(n * f);
    math::bias_activate(shape.activation, &mut pre, w[INNER + 1], &mut activated);
    let mut xhat2 = Buffer::new(n * h);
    product(&mut xhat2, h, Into::Set, 1.0, Mat::new(&activated, n, f), Mat::new(w[OUT], h, f).t());
    residual(&mut xhat2, w[OUT + 1], dropout.output, first, &middle);
    let mut rstd2 = Buffer::new(n);
    norm::forward(&mut xhat2, w[NORM2], w[NORM2 + 1], shape.eps, &mut rstd2, y);
    Saved { sequences, qkv, probabilities, context, xhat1, rstd1, pre, xhat2, rstd2 }
}

/// `z = dropout(z + bias) + x`, rows named by their place in the batch.
fn residual(z: &mut [f32], bias: &[f32], dropout: Dropout, first: usize, x: &[f32]) {
    let h = bias.len();
    for (i, (z, x)) in z.chunks_exact_mut(h).zip(x.chunks_exact(h)).enumerate() {
        math::add(z, bias);
        dropout.apply((first + i) as u64, z);
        math::add(z, x);
    }
}

/// Gradients through one chunk, on this thread; weights' gradients are added to `g`.
fn backward_chunk(
    shape: LayerShape,
    w: &[&[f32]; COUNT],
    x: &[f32],
    starts: &[usize],
    dropout: LayerDropout,
    saved: &Saved,
    dy: &[f32],
    dx: &mut [f32],
    g: &mut LayerGradients,
) {
    let (h, f) = (shape.hidden, shape.inner);
    let (first, last) = (starts[saved.sequences.start], starts[saved.sequences.end]);
    let n = last - first;
    let x = &x[first * h..last * h];

    // Second norm; then `d2` is the gradient of the sum before it.
    let mut d2 = Buffer::new(n * h);
    d2.copy_from_slice(&dy[first * h..last * h]);
    let [dw, db] = g.get_disjoint_mut([NORM2, NORM2 + 1]).expect("two weights");
    norm::backward(&saved.xhat2, w[NORM2], &saved.rstd2, &mut d2, dw, db);

    // Feed-forward part.
    let mut dz = Buffer::new(n * h);
    dz.copy_from_slice(&d2);
    dropout.output.apply_rows(first as u64, h, &mut dz);
    let mut dpre = Buffer::new(n * f);
    product(&mut dpre, f, Into::Set, 1.0, Mat::new(&dz, n, h), Mat::new(w[OUT], h, f));
    let mut activated = Buffer::new(n * f);
    math::activate_backward(shape.activation, &saved.pre, &mut dpre, &mut activated);
    weight_gradient(g, OUT, &dz, &activated, n, h, f);
    let mut middle = Buffer::new(n * h);
    norm::affine(&saved.xhat1, w[NORM1], w[NORM1 + 1], &mut middle);
    weight_gradient(g, INNER, &dpre, &middle, n, f, h);
    product(&mut d2, h, Into::Add, 1.0, Mat::new(&dpre, n, f), Mat::new(w[INNER], f, h));

    // First norm; then `d2` is the gradient of the first sum.
    let [dw, db] = g.get_disjoint_mut([NORM1, NORM1 + 1]).expect("two weights");
    norm::backward(&saved.xhat1, w[NORM1], &saved.rstd1, &mut d2, dw, db);

    // Attention.
    dz.copy_from_slice(&d2);
    dropout.attention.apply_rows(first as u64, h, &mut dz);
    weight_gradient(g, ATTENTION_OUT, &dz, &saved.context, n, h, h);
    let mut dcontext = middle;
    product(&mut dcontext, h, Into::Set, 1.0, Mat::new(&dz, n, h), Mat::new(w[ATTENTION_OUT], h, h));
    let mut dqkv = Buffer::new(n * 3 * h);
    let heads = Heads { hidden: h, count: shape.heads };
    attention::backward(
        heads,
        starts,
        saved.sequences.clone(),
        &saved.qkv,
        &saved.probabilities,
        dropout.probabilities,
        &dcontext,
        &mut dqkv,
    );
    dx.copy_from_slice(&d2);
    for i in 0..3 {
        let part = Mat::strided(&dqkv[i * h..], n, h, 3 * h);
        product(&mut g[QUERY + 2 * i], h, Into::Add, 1.0, part.t(), Mat::new(x, n, h));
        for row in dqkv.chunks_exact(3 * h) {
            math::add(&mut g[QUERY + 2 * i + 1], &row[i * h..(i + 1) * h]);
        }
        product(dx, h, Into::Add, 1.0, part, Mat::new(w[QUERY + 2 * i], h, h));
    }
}

/// Adds the gradients of a matrix `(out, in)` and its bias: `dout` `(n, out)`, `input` `(n, in)`.
fn weight_gradient(g: &mut LayerGradients, at: usize, dout: &[f32], input: &[f32], n: usize, out: usize, inner: usize) {
    product(&mut g[at], inner, Into::Add, 1.0, Mat::new(dout, n, out).t(), Mat::new(input, n, inner));
    math::sum_rows(dout, &mut g[at + 1]);
}

/// Panics unless all sizes agree.
fn check(shape: LayerShape, w: &[&[f32]; COUNT], x: &[f32], starts: &[usize]) {
    let (h, f) = (shape.hidden, shape.inner);
    let sizes = [h * h, h, h * h, h, h * h, h, h * h, h, h, h, f * h, f, h * f, h, h, h];
    for ((name, w), size) in WEIGHTS.iter().zip(w).zip(sizes) {
        assert_eq!(w.len(), size, "size of {name}");
    }
    assert!(starts.len() > 1 && starts[0] == 0 && starts.windows(2).all(|s| s[0] < s[1]), "sequences are not empty");
    assert_eq!(x.len(), starts[starts.len() - 1] * h, "rows of the input");
    assert_eq!(h % shape.heads, 0, "heads divide the width");
}
