//! The layer forward.

use super::{ATTENTION_OUT, COUNT, INNER, LayerDropout, LayerShape, NORM1, NORM2, OUT, QUERY, check};
use crate::attention::{self, Heads};
use crate::dropout::Dropout;
use crate::pool::Buffer;
use crate::product::{Into, Mat, Packed, multiply};
use crate::{math, norm, parallel};
use std::ops::Range;

/// The matrices of a layer as the forward pass multiplies by them. Whoever runs a layer more than
/// once with the same weights keeps them.
#[derive(Debug)]
pub struct Prepared {
    query_key_value: [Packed; 3],
    attention_output: Packed,
    inner: Packed,
    output: Packed,
}

impl Prepared {
    /// Packs the matrices, on all threads. Panics if sizes do not agree.
    pub fn new(shape: LayerShape, w: &[&[f32]; COUNT]) -> Self {
        let (h, f) = (shape.hidden, shape.inner);
        let packed = |at: usize, out: usize, inner: usize| Packed::right_by_all(Mat::new(w[at], out, inner).t());
        Self {
            query_key_value: std::array::from_fn(|i| packed(QUERY + 2 * i, h, h)),
            attention_output: packed(ATTENTION_OUT, h, h),
            inner: packed(INNER, f, h),
            output: packed(OUT, h, f),
        }
    }
}

/// What one chunk keeps for the backward pass.
#[derive(Debug)]
pub(super) struct Saved {
    pub sequences: Range<usize>,
    pub qkv: Buffer,
    pub probabilities: Buffer,
    pub context: Buffer,
    pub xhat1: Buffer,
    pub rstd1: Buffer,
    pub pre: Buffer,
    pub xhat2: Buffer,
    pub rstd2: Buffer,
}

/// What a forward pass keeps for the backward pass: for each thread its chunks.
#[derive(Debug)]
pub struct LayerSaved {
    pub(super) parts: Vec<Vec<Saved>>,
}

/// A layer over a packed batch. `x`, result: `(n, h)`; `starts`: first row of each sequence and,
/// last, `n`. With `save` also what [`super::backward`] needs.
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
    forward_prepared(shape, w, &Prepared::new(shape, w), x, starts, dropout, save)
}

/// [`forward`] with matrices that are prepared already.
pub fn forward_prepared(
    shape: LayerShape,
    w: &[&[f32]; COUNT],
    prepared: &Prepared,
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
            let saved = chunk(shape, w, prepared, x, starts, sequences, dropout, &mut y[rows]);
            if save {
                kept.push(saved);
            }
        }
        kept
    });
    (y, save.then_some(LayerSaved { parts }))
}

/// The layer over one chunk, on this thread. `y`: the chunk's rows of the result.
fn chunk(
    shape: LayerShape,
    w: &[&[f32]; COUNT],
    prepared: &Prepared,
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
    for (i, right) in prepared.query_key_value.iter().enumerate() {
        multiply(&mut qkv[i * h..], 3 * h, Into::Bias(w[QUERY + 2 * i + 1]), 1.0, Mat::new(x, n, h), right);
    }
    let mut probabilities = Buffer::new(attention::probabilities_len(heads, starts, sequences.clone()));
    let mut context = Buffer::new(n * h);
    attention::forward(heads, starts, sequences.clone(), &qkv, dropout.probabilities, &mut probabilities, &mut context);

    // The attention's half: project, drop, add, normalise. `xhat1` holds the sum first.
    let mut xhat1 = Buffer::new(n * h);
    let bias = Into::Bias(w[ATTENTION_OUT + 1]);
    multiply(&mut xhat1, h, bias, 1.0, Mat::new(&context, n, h), &prepared.attention_output);
    residual(&mut xhat1, h, dropout.attention, first, x);
    let mut rstd1 = Buffer::new(n);
    let mut middle = Buffer::new(n * h);
    norm::forward(&mut xhat1, w[NORM1], w[NORM1 + 1], shape.eps, &mut rstd1, &mut middle);

    // The feed-forward half.
    let mut pre = Buffer::new(n * f);
    multiply(&mut pre, f, Into::Bias(w[INNER + 1]), 1.0, Mat::new(&middle, n, h), &prepared.inner);
    let mut activated = Buffer::new(n * f);
    math::activate(shape.activation, &pre, &mut activated);
    let mut xhat2 = Buffer::new(n * h);
    multiply(&mut xhat2, h, Into::Bias(w[OUT + 1]), 1.0, Mat::new(&activated, n, f), &prepared.output);
    residual(&mut xhat2, h, dropout.output, first, &middle);
    let mut rstd2 = Buffer::new(n);
    norm::forward(&mut xhat2, w[NORM2], w[NORM2 + 1], shape.eps, &mut rstd2, y);
    Saved { sequences, qkv, probabilities, context, xhat1, rstd1, pre, xhat2, rstd2 }
}

/// `z = dropout(z) + x`, rows of `h` named by their place in the batch.
fn residual(z: &mut [f32], h: usize, dropout: Dropout, first: usize, x: &[f32]) {
    for (i, (z, x)) in z.chunks_exact_mut(h).zip(x.chunks_exact(h)).enumerate() {
        dropout.apply((first + i) as u64, z);
        math::add(z, x);
    }
}
