//! The layer backward: first the gradients of the activations, chunk by chunk as in the forward pass;
//! then those of the matrices, over all chunks at once ([`super::gradients`]).

use super::forward::{LayerSaved, Normed, Saved, attention, pick};
use super::gradients::{Outer, of_matrices};
use super::rotary::{Angles, asked_positions, positions};
use super::weights::{ATTENTION_OUT, COUNT, INNER, NORM1, NORM2, OUT, QUERY, check, is_fused, query_key_value};
use super::{LayerDropout, LayerGradients, LayerShape, Rows};
use crate::dropout::Dropout;
use crate::pool::Buffer;
use crate::product::{self, Into, Mat, Packed, multiply, multiply_by};
use crate::quantize::round_rows;
use crate::{math, norm, parallel};
use std::sync::Arc;

/// What one chunk gives to the gradient of each matrix, in the order of [`MATRICES`].
type Outers = [Option<Outer>; 6];

/// Which gradients are asked for. Others are left empty.
#[derive(Clone, Copy, Debug)]
pub struct Needs {
    /// Of the input.
    pub x: bool,
    /// Of the weights, in the order of [`super::WEIGHTS`].
    pub weights: [bool; COUNT],
}

impl Needs {
    /// All of them.
    pub const ALL: Self = Self { x: true, weights: [true; COUNT] };
}

/// The matrices, in the order of [`super::WEIGHTS`].
const MATRICES: [usize; 6] = [QUERY, QUERY + 2, QUERY + 4, ATTENTION_OUT, INNER, OUT];

/// The matrices of a layer as the backward pass multiplies by them.
struct Prepared {
    query_key_value: Option<[Packed; 3]>,
    attention_output: Packed,
    inner: Packed,
    output: Packed,
}

impl Prepared {
    fn new(shape: LayerShape, w: &[&[f32]; COUNT], into_attention: bool) -> Self {
        let (h, a, f) = (shape.hidden, shape.attention, shape.inner);
        let packed =
            |matrix, out: usize, inner: usize| Packed::right_by_all(Mat::new(matrix, out, inner), shape.precision);
        Self {
            query_key_value: into_attention.then(|| query_key_value(w).map(|(matrix, _)| packed(matrix, a, h))),
            attention_output: packed(w[ATTENTION_OUT], h, a),
            inner: packed(w[INNER], shape.wide(), h),
            output: packed(w[OUT], h, f),
        }
    }
}

/// Gradients through [`super::forward`] from `dy` `(m, h)`: of `x` `(n, h)` and of the weights.
pub fn backward(
    shape: LayerShape,
    w: &[&[f32]; COUNT],
    x: &[f32],
    rows: Rows<'_>,
    dropout: LayerDropout,
    saved: &LayerSaved,
    dy: &[f32],
    needs: Needs,
) -> (Vec<f32>, LayerGradients) {
    check(shape, w, x, rows, &[false; COUNT]);
    assert_eq!(dy.len(), rows.asked() * shape.hidden, "rows of the gradient");
    let h = shape.hidden;
    // A norm before the attention has gradients even where the input needs none.
    let into_attention = needs.x || shape.pre_norm && (needs.weights[NORM1] || needs.weights[NORM1 + 1]);
    let layer = Layer {
        shape,
        w,
        prepared: Prepared::new(shape, w, into_attention),
        x,
        rows,
        dropout,
        needs,
        angles: Angles::of(shape, rows.starts()),
        threads: parallel::threads_of_a_part(saved.parts.len()),
    };
    let mut dx = vec![0.0; if into_attention { x.len() } else { 0 }];
    let (mut rest_dx, mut rest_dy) = (&mut dx[..], dy);
    let mut items = Vec::with_capacity(saved.parts.len());
    for chunks in &saved.parts {
        let mut part = Vec::with_capacity(chunks.len());
        for chunk in chunks {
            let (n, m) = (rows.range(chunk.sequences.clone()).len(), rows.asked_in(chunk.sequences.clone()).len());
            let dx = rest_dx.split_off_mut(..if into_attention { n * h } else { 0 }).expect("a row for each of x");
            let dy = rest_dy.split_off(..m * h).expect("a row for each asked for");
            part.push((chunk, dx, dy));
        }
        items.push(part);
    }
    let parts = parallel::map(items, |chunks| {
        let is_vector = |i: usize| !MATRICES.contains(&i);
        let mut vectors = std::array::from_fn(|i| if is_vector(i) { vec![0.0; w[i].len()] } else { Vec::new() });
        let outers = chunks.into_iter().map(|(saved, dx, dy)| layer.chunk(saved, dy, dx, &mut vectors)).collect();
        (vectors, outers)
    });
    let (vectors, outers): (Vec<LayerGradients>, Vec<Vec<Outers>>) = parts.into_iter().unzip();
    let mut vectors = vectors.into_iter();
    let mut gradients = vectors.next().expect("at least one part");
    for part in vectors {
        for (sum, part) in gradients.iter_mut().zip(&part) {
            math::add(sum, part);
        }
    }
    let mut by_matrix: [Vec<Outer>; 6] = Default::default();
    for chunk in outers.into_iter().flatten() {
        for (matrix, outer) in by_matrix.iter_mut().zip(chunk) {
            matrix.extend(outer);
        }
    }
    for (at, gradient) in MATRICES.into_iter().zip(of_matrices(&by_matrix)) {
        // Where query, key and value are one matrix, they follow each other in its gradient.
        let to = if is_fused(w) && at < ATTENTION_OUT { QUERY } else { at };
        match gradients[to].is_empty() {
            true => gradients[to] = gradient,
            false => gradients[to].extend_from_slice(&gradient),
        }
    }
    if !needs.x {
        dx = Vec::new();
    }
    (dx, gradients)
}

/// What is the same for all chunks.
struct Layer<'a> {
    shape: LayerShape,
    w: &'a [&'a [f32]; COUNT],
    prepared: Prepared,
    x: &'a [f32],
    rows: Rows<'a>,
    dropout: LayerDropout,
    needs: Needs,
    angles: Option<Angles>,
    /// How many threads share the products of a chunk.
    threads: usize,
}

impl Layer<'_> {
    /// Gradients through one chunk: `dx`, if it is asked for; those of vectors are added to `g`; what
    /// those of the matrices are made of is returned, packed while it is in the cache.
    fn chunk(&self, saved: &Saved, dy: &[f32], dx: &mut [f32], g: &mut LayerGradients) -> Outers {
        let Self { shape, rows, dropout, .. } = *self;
        let h = shape.hidden;
        let all = rows.range(saved.sequences.clone());
        let x = &self.x[all.start * h..all.end * h];
        let mut d = Buffer::copy_of(dy);
        if shape.pre_norm {
            // `d` is the gradient of the second sum, and of the first one when the other way to it is added.
            let mut input = Buffer::new(d.len());
            norm::affine(&saved.output_norm.xhat, self.w[NORM2], self.w[NORM2 + 1], &mut input);
            let dout = self.dropped(&d, dropout.output, saved);
            let mut dinput = Buffer::new(d.len());
            let [of_inner, of_out] = self.feed_forward(saved, dout, &input, (&mut dinput, Into::Set), g);
            self.through_norm(NORM2, &saved.output_norm, &mut dinput, g);
            math::add(&mut d, &dinput);

            let mut normed = Buffer::default();
            if !self.w[NORM1].is_empty() {
                normed = Buffer::new(x.len());
                norm::affine(&saved.attention_norm.xhat, self.w[NORM1], self.w[NORM1 + 1], &mut normed);
            }
            let input = if self.w[NORM1].is_empty() { x } else { &normed };
            let dout = self.dropped(&d, dropout.attention, saved);
            let from_query = (&mut *dinput, Into::Set);
            let [q, k, v, of_projection] = self.attention(saved, dout, input, from_query, dx, g);
            if !dx.is_empty() {
                self.add_asked(dx, &dinput, saved);
                if !self.w[NORM1].is_empty() {
                    self.through_norm(NORM1, &saved.attention_norm, dx, g);
                }
                self.add_asked(dx, &d, saved);
            }
            return [q, k, v, of_projection, of_inner, of_out];
        }
        // Through a norm `d` becomes the gradient of the sum before it.
        self.through_norm(NORM2, &saved.output_norm, &mut d, g);
        let mut middle = Buffer::new(d.len());
        norm::affine(&saved.attention_norm.xhat, self.w[NORM1], self.w[NORM1 + 1], &mut middle);
        let dout = self.dropped(&d, dropout.output, saved);
        let [of_inner, of_out] = self.feed_forward(saved, dout, &middle, (&mut d, Into::Add), g);
        drop(middle);
        self.through_norm(NORM1, &saved.attention_norm, &mut d, g);
        let dout = self.dropped(&d, dropout.attention, saved);
        let [q, k, v, of_projection] = self.attention(saved, dout, x, (&mut d, Into::Add), dx, g);
        if !dx.is_empty() {
            self.add_asked(dx, &d, saved);
        }
        [q, k, v, of_projection, of_inner, of_out]
    }

    /// What a matrix's gradient is made of, if it is asked for.
    fn outer(&self, at: usize, dout: Mat<'_>, input: Mat<'_>) -> Option<Outer> {
        self.needs.weights[at].then(|| Outer::new(dout, input, self.shape.precision))
    }

    /// Through a norm: `d` becomes the gradient of its input.
    fn through_norm(&self, at: usize, saved: &Normed, d: &mut [f32], g: &mut LayerGradients) {
        let [dw, db] = g.get_disjoint_mut([at, at + 1]).expect("two weights");
        norm::backward(&saved.xhat, self.w[at], &saved.rstd, d, dw, db);
    }

    /// Through the feed-forward half: from the gradient `dout` of its result to that of its input, which
    /// `input` is. `(m, h)`
    fn feed_forward(
        &self,
        saved: &Saved,
        dout: Buffer,
        input: &[f32],
        (dinput, into): (&mut [f32], Into<'_>),
        g: &mut LayerGradients,
    ) -> [Option<Outer>; 2] {
        let Self { shape, prepared, threads, .. } = self;
        let (h, f, wide) = (shape.hidden, shape.inner, shape.wide());
        let m = dout.len() / h;
        math::sum_rows(&dout, h, &mut g[OUT + 1]);
        let stride = product::stride(wide);
        let mut dpre = Buffer::new(m * stride);
        let mut activated = Buffer::new(m * f);
        if shape.gated {
            let mut dactivated = Buffer::new(m * f);
            multiply_by(*threads, &mut dactivated, f, Into::Set, Mat::new(&dout, m, h), &prepared.output);
            let rows = saved.pre.chunks_exact(wide).zip(dpre.chunks_exact_mut(stride));
            let more = dactivated.chunks_exact(f).zip(activated.chunks_exact_mut(f));
            for ((pre, dpre), (dactivated, activated)) in rows.zip(more) {
                math::gate_backward(shape.activation, pre, dactivated, &mut dpre[..wide], activated);
            }
        } else {
            multiply_by(*threads, &mut dpre, stride, Into::Set, Mat::new(&dout, m, h), &prepared.output);
            let rows = saved.pre.chunks_exact(f).zip(dpre.chunks_exact_mut(stride)).zip(activated.chunks_exact_mut(f));
            for ((pre, dpre), activated) in rows {
                math::activate_backward(shape.activation, pre, &mut dpre[..f], activated);
            }
        }
        if shape.rounded {
            round_rows(&mut activated, f, f);
        }
        let of_out = self.outer(OUT, Mat::new(&dout, m, h), Mat::new(&activated, m, f));
        drop(activated);
        math::sum_rows(&dpre, stride, &mut g[INNER + 1]);
        let dpre = Mat::strided(&dpre, m, wide, stride);
        let rounded = shape.round(input, h);
        let of_inner = self.outer(INNER, dpre, Mat::new(rounded.as_deref().unwrap_or(input), m, h));
        multiply_by(*threads, dinput, h, into, dpre, &prepared.inner);
        [of_inner, of_out]
    }

    /// Through the attention half: from the gradient `dout` of its result `(m, h)` to those of its input
    /// `input` `(n, h)`: by keys and values into `dx` (if that is asked for), by queries into `dasked`
    /// `(m, h)`.
    fn attention(
        &self,
        saved: &Saved,
        dout: Buffer,
        input: &[f32],
        (dasked, into): (&mut [f32], Into<'_>),
        dx: &mut [f32],
        g: &mut LayerGradients,
    ) -> [Option<Outer>; 4] {
        let Self { shape, prepared, rows, threads, .. } = self;
        let (h, a) = (shape.hidden, shape.attention);
        let (n, m) = (input.len() / h, dout.len() / h);
        math::sum_rows(&dout, h, &mut g[ATTENTION_OUT + 1]);
        let of_projection = self.outer(ATTENTION_OUT, Mat::new(&dout, m, h), Mat::new(&saved.context, m, a));
        let mut dcontext = Buffer::new(m * a);
        multiply_by(*threads, &mut dcontext, a, Into::Set, Mat::new(&dout, m, h), &prepared.attention_output);

        let (mut dquery, mut dkey_value) = (Buffer::new(m * a), Buffer::new(n * 2 * a));
        let inputs = (&*saved.query, &*saved.key_value);
        attention(*shape, *rows, saved.sequences.clone(), self.dropout.probabilities, *threads).backward(
            inputs,
            &saved.probabilities,
            &dcontext,
            (&mut dquery, &mut dkey_value),
        );
        if let Some(angles) = &self.angles {
            angles.turn(&mut dquery, a, a, asked_positions(*rows, saved.sequences.clone()), true);
            angles.turn(&mut dkey_value, a, 2 * a, positions(*rows, rows.range(saved.sequences.clone())), true);
        }
        self.biases([(&dquery, a), (&dkey_value, 2 * a), (&dkey_value[a..], 2 * a)], g);
        let parts = [
            Mat::new(&dquery, m, a),
            Mat::strided(&dkey_value, n, a, 2 * a),
            Mat::strided(&dkey_value[a..], n, a, 2 * a),
        ];
        if let Some([query, key, value]) = &prepared.query_key_value {
            multiply_by(*threads, dasked, h, into, parts[0], query);
            multiply_by(*threads, dx, h, Into::Set, parts[1], key);
            multiply(dx, h, Into::Add, 1.0, parts[2], value);
        }
        let matrix = |i: usize| if is_fused(self.w) { QUERY } else { QUERY + 2 * i };
        if !(0..3).any(|i| self.needs.weights[matrix(i)]) {
            return [None, None, None, of_projection];
        }
        let rounded = shape.round(input, h);
        let input = rounded.as_deref().unwrap_or(input);
        // The three are multiplied by the same input, but for rows that are not asked for.
        let first = rows.range(saved.sequences.clone()).start;
        let asked = pick(input, h, *rows, saved.sequences.clone(), first);
        let packed = Arc::new(Packed::right(Mat::new(input, n, h), shape.precision));
        let asked = asked
            .map_or_else(|| packed.clone(), |asked| Arc::new(Packed::right(Mat::new(&asked, m, h), shape.precision)));
        let mut inputs = [asked, packed.clone(), packed].into_iter().enumerate();
        let [q, k, v] = parts.map(|dout| {
            let (i, input) = inputs.next().expect("an input for each");
            self.needs.weights[matrix(i)].then(|| Outer::with(dout, input, shape.precision))
        });
        [q, k, v, of_projection]
    }

    /// Gradients of the biases of query, key and value: sums of rows, with the values from row to row.
    fn biases(&self, gradients: [(&[f32], usize); 3], g: &mut LayerGradients) {
        let a = self.shape.attention;
        for (i, (rows, stride)) in gradients.into_iter().enumerate() {
            let sums = match is_fused(self.w) {
                true if g[QUERY + 1].is_empty() => continue,
                true => &mut g[QUERY + 1][i * a..(i + 1) * a],
                false => &mut g[QUERY + 2 * i + 1][..],
            };
            math::sum_rows(rows, stride, sums);
        }
    }

    /// Adds rows asked for to their places among all rows of the chunk.
    fn add_asked(&self, dx: &mut [f32], d: &[f32], saved: &Saved) {
        let (h, rows) = (self.shape.hidden, self.rows);
        if rows.is_all() {
            math::add(dx, d);
            return;
        }
        let first = rows.range(saved.sequences.clone()).start;
        for (d, i) in d.chunks_exact(h).zip(rows.asked_in(saved.sequences.clone())) {
            let row = rows.row(i) - first;
            math::add(&mut dx[row * h..(row + 1) * h], d);
        }
    }

    /// The rows of `d` with the dropout of their places in the batch.
    fn dropped(&self, d: &[f32], dropout: Dropout, saved: &Saved) -> Buffer {
        let first = self.rows.asked_in(saved.sequences.clone()).start;
        let mut out = Buffer::copy_of(d);
        if dropout.p > 0.0 {
            for (i, row) in out.chunks_exact_mut(self.shape.hidden).enumerate() {
                dropout.apply(self.rows.row(first + i) as u64, row);
            }
        }
        out
    }
}
