//! The layer backward: first the gradients of the activations, sequence by sequence as in the forward
//! pass; then those of the weights, over all rows at once ([`super::gradients`]).

use super::forward::{LayerSaved, Saved};
use super::gradients::{Outer, of_matrices};
use super::{ATTENTION_OUT, COUNT, INNER, LayerDropout, LayerGradients, LayerShape, NORM1, NORM2, OUT, QUERY, check};
use crate::attention::{self, Heads};
use crate::pool::Buffer;
use crate::product::{Into, Mat, Packed, multiply};
use crate::{math, norm, parallel};

/// The matrices of a layer as the backward pass multiplies by them.
struct Prepared {
    query_key_value: [Packed; 3],
    attention_output: Packed,
    inner: Packed,
    output: Packed,
}

impl Prepared {
    fn new(shape: LayerShape, w: &[&[f32]; COUNT]) -> Self {
        let (h, f) = (shape.hidden, shape.inner);
        let packed = |at: usize, out: usize, inner: usize| Packed::right_by_all(Mat::new(w[at], out, inner));
        Self {
            query_key_value: std::array::from_fn(|i| packed(QUERY + 2 * i, h, h)),
            attention_output: packed(ATTENTION_OUT, h, h),
            inner: packed(INNER, f, h),
            output: packed(OUT, h, f),
        }
    }
}

/// Per row of the whole batch, what the gradients of the matrices are made of: for each product its
/// input and the gradient of its output.
struct Rows<T> {
    /// Gradient of query, key and value. `(n, 3h)`
    dqkv: T,
    /// Gradient of the attention's output projection. `(n, h)`
    dprojected: T,
    /// Input of the feed-forward part. `(n, h)`
    middle: T,
    /// Gradient of the pre-activation. `(n, f)`
    dpre: T,
    /// The activation. `(n, f)`
    activated: T,
    /// Gradient of the feed-forward part's output. `(n, h)`
    dout: T,
}

impl Rows<Buffer> {
    fn new(n: usize, h: usize, f: usize) -> Self {
        Self {
            dqkv: Buffer::new(n * 3 * h),
            dprojected: Buffer::new(n * h),
            middle: Buffer::new(n * h),
            dpre: Buffer::new(n * f),
            activated: Buffer::new(n * f),
            dout: Buffer::new(n * h),
        }
    }

    fn all(&mut self) -> Rows<&mut [f32]> {
        Rows {
            dqkv: &mut self.dqkv,
            dprojected: &mut self.dprojected,
            middle: &mut self.middle,
            dpre: &mut self.dpre,
            activated: &mut self.activated,
            dout: &mut self.dout,
        }
    }
}

impl<'a> Rows<&'a mut [f32]> {
    /// Takes the first `n` rows off.
    fn take(&mut self, n: usize, h: usize, f: usize) -> Self {
        fn first<'a>(rest: &mut &'a mut [f32], len: usize) -> &'a mut [f32] {
            rest.split_off_mut(..len).expect("as many rows as the batch has")
        }
        Rows {
            dqkv: first(&mut self.dqkv, n * 3 * h),
            dprojected: first(&mut self.dprojected, n * h),
            middle: first(&mut self.middle, n * h),
            dpre: first(&mut self.dpre, n * f),
            activated: first(&mut self.activated, n * f),
            dout: first(&mut self.dout, n * h),
        }
    }
}

/// Gradients through [`super::forward`]: of `x` `(n, h)` and of the weights.
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
    let (h, f, n) = (shape.hidden, shape.inner, starts[starts.len() - 1]);
    let prepared = Prepared::new(shape, w);
    let mut rows = Rows::new(n, h, f);
    let mut dx = vec![0.0; x.len()];

    let (mut rest, mut rest_dx, mut rest_dy) = (rows.all(), &mut dx[..], dy);
    let mut items = Vec::with_capacity(saved.parts.len());
    for chunks in &saved.parts {
        let mut part = Vec::with_capacity(chunks.len());
        for chunk in chunks {
            let n = starts[chunk.sequences.end] - starts[chunk.sequences.start];
            let dx = rest_dx.split_off_mut(..n * h).expect("a row of dx for each of x");
            let dy = rest_dy.split_off(..n * h).expect("a row of dy for each of x");
            part.push((chunk, rest.take(n, h, f), dx, dy));
        }
        items.push(part);
    }
    let mut vectors = parallel::map(items, |chunks| {
        let mut vectors: LayerGradients =
            std::array::from_fn(|i| if is_matrix(i) { Vec::new() } else { vec![0.0; w[i].len()] });
        for (saved, rows, dx, dy) in chunks {
            chunk(shape, w, &prepared, starts, dropout, saved, dy, dx, rows, &mut vectors);
        }
        vectors
    })
    .into_iter();
    drop(prepared);
    let mut gradients = vectors.next().expect("at least one part");
    for part in vectors {
        for (sum, part) in gradients.iter_mut().zip(&part) {
            math::add(sum, part);
        }
    }

    let context = join(saved.parts.iter().flatten().map(|chunk| &*chunk.context), n * h);
    let square = |dout, input| Outer { dout, input };
    let part = |i: usize| Mat::strided(&rows.dqkv[i * h..], n, h, 3 * h);
    let input = Mat::new(x, n, h);
    let outers = [
        (QUERY, square(part(0), input)),
        (QUERY + 2, square(part(1), input)),
        (QUERY + 4, square(part(2), input)),
        (ATTENTION_OUT, square(Mat::new(&rows.dprojected, n, h), Mat::new(&context, n, h))),
        (INNER, square(Mat::new(&rows.dpre, n, f), Mat::new(&rows.middle, n, h))),
        (OUT, square(Mat::new(&rows.dout, n, h), Mat::new(&rows.activated, n, f))),
    ];
    for ((at, _), gradient) in outers.iter().zip(of_matrices(&outers.each_ref().map(|(_, outer)| *outer))) {
        gradients[*at] = gradient;
    }
    (dx, gradients)
}

/// Whether weight `i` is a matrix and not a vector.
fn is_matrix(i: usize) -> bool {
    [QUERY, QUERY + 2, QUERY + 4, ATTENTION_OUT, INNER, OUT].contains(&i)
}

/// Buffers of rows end to end.
fn join<'a>(parts: impl Iterator<Item = &'a [f32]>, len: usize) -> Buffer {
    let mut all = Buffer::new(len);
    let mut rest = &mut all[..];
    for part in parts {
        rest.split_off_mut(..part.len()).expect("no more rows than the batch has").copy_from_slice(part);
    }
    all
}

/// Gradients through one chunk, on this thread; those of vectors are added to `g`.
fn chunk(
    shape: LayerShape,
    w: &[&[f32]; COUNT],
    prepared: &Prepared,
    starts: &[usize],
    dropout: LayerDropout,
    saved: &Saved,
    dy: &[f32],
    dx: &mut [f32],
    rows: Rows<&mut [f32]>,
    g: &mut LayerGradients,
) {
    let (h, f) = (shape.hidden, shape.inner);
    let first = starts[saved.sequences.start] as u64;
    let n = dy.len() / h;
    let Rows { dqkv, dprojected, middle, dpre, activated, dout } = rows;

    // Second norm; then `dx` is the gradient of the sum before it.
    dx.copy_from_slice(dy);
    let [dw, db] = g.get_disjoint_mut([NORM2, NORM2 + 1]).expect("two weights");
    norm::backward(&saved.xhat2, w[NORM2], &saved.rstd2, dx, dw, db);

    // Feed-forward part.
    dout.copy_from_slice(dx);
    dropout.output.apply_rows(first, h, dout);
    math::sum_rows(dout, &mut g[OUT + 1]);
    multiply(dpre, f, Into::Set, 1.0, Mat::new(dout, n, h), &prepared.output);
    math::activate_backward(shape.activation, &saved.pre, dpre, activated);
    math::sum_rows(dpre, &mut g[INNER + 1]);
    norm::affine(&saved.xhat1, w[NORM1], w[NORM1 + 1], middle);
    multiply(dx, h, Into::Add, 1.0, Mat::new(dpre, n, f), &prepared.inner);

    // First norm; then `dx` is the gradient of the first sum.
    let [dw, db] = g.get_disjoint_mut([NORM1, NORM1 + 1]).expect("two weights");
    norm::backward(&saved.xhat1, w[NORM1], &saved.rstd1, dx, dw, db);

    // Attention.
    dprojected.copy_from_slice(dx);
    dropout.attention.apply_rows(first, h, dprojected);
    math::sum_rows(dprojected, &mut g[ATTENTION_OUT + 1]);
    let mut dcontext = Buffer::new(n * h);
    multiply(&mut dcontext, h, Into::Set, 1.0, Mat::new(dprojected, n, h), &prepared.attention_output);
    let heads = Heads { hidden: h, count: shape.heads };
    let sequences = saved.sequences.clone();
    attention::backward(
        heads,
        starts,
        sequences,
        &saved.qkv,
        &saved.probabilities,
        dropout.probabilities,
        &dcontext,
        dqkv,
    );
    for (i, right) in prepared.query_key_value.iter().enumerate() {
        for row in dqkv.chunks_exact(3 * h) {
            math::add(&mut g[QUERY + 2 * i + 1], &row[i * h..(i + 1) * h]);
        }
        multiply(dx, h, Into::Add, 1.0, Mat::strided(&dqkv[i * h..], n, h, 3 * h), right);
    }
}
