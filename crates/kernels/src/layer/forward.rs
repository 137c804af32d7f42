//! The layer forward.

use super::{ATTENTION_OUT, COUNT, INNER, LayerDropout, LayerShape, NORM1, NORM2, OUT, QUERY, Rows, check};
use crate::attention::{self, Heads};
use crate::dropout::Dropout;
use crate::pool::Buffer;
use crate::product::{Into, Mat, Packed, multiply_by};
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
    /// `(m, h)`
    pub query: Buffer,
    /// Key beside value. `(n, 2h)`
    pub key_value: Buffer,
    /// For each sequence and head `(m, l)`.
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

/// A layer over a packed batch. `x`: `(n, h)`; result: `(m, h)`, for the rows asked for. With `save`
/// also what [`super::backward`] needs.
///
/// Panics if sizes do not agree.
pub fn forward(
    shape: LayerShape,
    w: &[&[f32]; COUNT],
    x: &[f32],
    rows: Rows<'_>,
    dropout: LayerDropout,
    save: bool,
) -> (Vec<f32>, Option<LayerSaved>) {
    check(shape, w, x, rows);
    forward_prepared(shape, w, &Prepared::new(shape, w), x, rows, dropout, save)
}

/// [`forward`] with matrices that are prepared already.
pub fn forward_prepared(
    shape: LayerShape,
    w: &[&[f32]; COUNT],
    prepared: &Prepared,
    x: &[f32],
    rows: Rows<'_>,
    dropout: LayerDropout,
    save: bool,
) -> (Vec<f32>, Option<LayerSaved>) {
    check(shape, w, x, rows);
    let mut y = vec![0.0; rows.asked() * shape.hidden];
    let mut rest = &mut y[..];
    let mut items = Vec::new();
    for range in parallel::parts(rows.starts(), parallel::threads()) {
        let mut part = Vec::new();
        for sequences in parallel::chunks(rows.starts(), range) {
            let len = rows.asked_in(sequences.clone()).len() * shape.hidden;
            part.push((sequences, rest.split_off_mut(..len).expect("a row of the result for each asked for")));
        }
        items.push(part);
    }
    // One chunk is the work of one thread, unless its products are shared out.
    let threads = if items.len() == 1 && items[0].len() == 1 { parallel::threads() } else { 1 };
    let parts = parallel::map(items, |part| {
        let mut kept = Vec::new();
        for (sequences, y) in part {
            let saved = chunk(shape, w, prepared, x, rows, sequences, dropout, y, threads);
            if save {
                kept.push(saved);
            }
        }
        kept
    });
    (y, save.then_some(LayerSaved { parts }))
}

/// The layer over one chunk. `y`: the chunk's rows of the result; `threads`: how many share its products.
fn chunk(
    shape: LayerShape,
    w: &[&[f32]; COUNT],
    prepared: &Prepared,
    x: &[f32],
    rows: Rows<'_>,
    sequences: Range<usize>,
    dropout: LayerDropout,
    y: &mut [f32],
    threads: usize,
) -> Saved {
    let (h, f) = (shape.hidden, shape.inner);
    let all = rows.range(sequences.clone());
    let (n, m) = (all.len(), y.len() / h);
    let asked = gather(x, h, rows, sequences.clone());
    let x = &x[all.start * h..all.end * h];
    let asked = asked.as_deref().unwrap_or(x);
    let heads = Heads { hidden: h, count: shape.heads };

    let mut query = Buffer::new(m * h);
    let [to_query, to_key, to_value] = &prepared.query_key_value;
    multiply_by(threads, &mut query, h, Into::Bias(w[QUERY + 1]), Mat::new(asked, m, h), to_query);
    let mut key_value = Buffer::new(n * 2 * h);
    for (i, right) in [to_key, to_value].into_iter().enumerate() {
        multiply_by(
            threads,
            &mut key_value[i * h..],
            2 * h,
            Into::Bias(w[QUERY + 2 * i + 3]),
            Mat::new(x, n, h),
            right,
        );
    }
    let mut probabilities = Buffer::new(attention::probabilities_len(heads, rows, sequences.clone()));
    let mut context = Buffer::new(m * h);
    let inputs = (&*query, &*key_value);
    attention::forward(heads, rows, sequences.clone(), inputs, dropout.probabilities, &mut probabilities, &mut context);

    // The attention's half: project, drop, add, normalise. `xhat1` holds the sum first.
    let mut xhat1 = Buffer::new(m * h);
    let bias = Into::Bias(w[ATTENTION_OUT + 1]);
    multiply_by(threads, &mut xhat1, h, bias, Mat::new(&context, m, h), &prepared.attention_output);
    let first = rows.asked_in(sequences.clone()).start;
    residual(&mut xhat1, h, dropout.attention, rows, first, asked);
    let mut rstd1 = Buffer::new(m);
    let mut middle = Buffer::new(m * h);
    norm::forward(&mut xhat1, w[NORM1], w[NORM1 + 1], shape.eps, &mut rstd1, &mut middle);

    // The feed-forward half.
    let mut pre = Buffer::new(m * f);
    multiply_by(threads, &mut pre, f, Into::Bias(w[INNER + 1]), Mat::new(&middle, m, h), &prepared.inner);
    let mut activated = Buffer::new(m * f);
    math::activate(shape.activation, &pre, &mut activated);
    let mut xhat2 = Buffer::new(m * h);
    multiply_by(threads, &mut xhat2, h, Into::Bias(w[OUT + 1]), Mat::new(&activated, m, f), &prepared.output);
    residual(&mut xhat2, h, dropout.output, rows, first, &middle);
    let mut rstd2 = Buffer::new(m);
    norm::forward(&mut xhat2, w[NORM2], w[NORM2 + 1], shape.eps, &mut rstd2, y);
    Saved { sequences, query, key_value, probabilities, context, xhat1, rstd1, pre, xhat2, rstd2 }
}

/// The rows of `x` that are asked for in some sequences; `None`: all of them.
pub(super) fn gather(x: &[f32], h: usize, rows: Rows<'_>, sequences: Range<usize>) -> Option<Buffer> {
    if rows.is_all() {
        return None;
    }
    let asked = rows.asked_in(sequences);
    let mut gathered = Buffer::new(asked.len() * h);
    for (to, i) in gathered.chunks_exact_mut(h).zip(asked) {
        let row = rows.row(i);
        to.copy_from_slice(&x[row * h..(row + 1) * h]);
    }
    Some(gathered)
}

/// `z = dropout(z) + x`, rows of `h` named by their place in the batch; `first`: number of the first
/// of those asked for.
fn residual(z: &mut [f32], h: usize, dropout: Dropout, rows: Rows<'_>, first: usize, x: &[f32]) {
    for (i, (z, x)) in z.chunks_exact_mut(h).zip(x.chunks_exact(h)).enumerate() {
        dropout.apply(rows.row(first + i) as u64, z);
        math::add(z, x);
    }
}
