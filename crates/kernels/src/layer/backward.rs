//! The layer backward: first the gradients of the activations, chunk by chunk as in the forward pass;
//! then those of the matrices, over all chunks at once ([`super::gradients`]).

use super::forward::{LayerSaved, Saved, gather};
use super::gradients::{Outer, of_matrices};
use super::{
    ATTENTION_OUT, COUNT, INNER, LayerDropout, LayerGradients, LayerShape, NORM1, NORM2, OUT, QUERY, Rows, check,
};
use crate::attention::{self, Heads};
use crate::dropout::Dropout;
use crate::pool::Buffer;
use crate::product::{Into, Mat, Packed, multiply};
use crate::{math, norm, parallel};

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
    fn new(shape: LayerShape, w: &[&[f32]; COUNT], needs: Needs) -> Self {
        let (h, f) = (shape.hidden, shape.inner);
        let packed = |at: usize, out: usize, inner: usize| Packed::right_by_all(Mat::new(w[at], out, inner));
        Self {
            query_key_value: needs.x.then(|| std::array::from_fn(|i| packed(QUERY + 2 * i, h, h))),
            attention_output: packed(ATTENTION_OUT, h, h),
            inner: packed(INNER, f, h),
            output: packed(OUT, h, f),
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
    check(shape, w, x, rows);
    assert_eq!(dy.len(), rows.asked() * shape.hidden, "rows of the gradient");
    let h = shape.hidden;
    let layer = Layer { shape, w, prepared: Prepared::new(shape, w, needs), x, rows, dropout, needs };
    let mut dx = vec![0.0; if needs.x { x.len() } else { 0 }];
    let (mut rest_dx, mut rest_dy) = (&mut dx[..], dy);
    let mut items = Vec::with_capacity(saved.parts.len());
    for chunks in &saved.parts {
        let mut part = Vec::with_capacity(chunks.len());
        for chunk in chunks {
            let (n, m) = (rows.range(chunk.sequences.clone()).len(), rows.asked_in(chunk.sequences.clone()).len());
            let dx = rest_dx.split_off_mut(..if needs.x { n * h } else { 0 }).expect("a row for each of x");
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
        gradients[at] = gradient;
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
}

impl Layer<'_> {
    /// Gradients through one chunk, on this thread: `dx`, if it is asked for; those of vectors are added
    /// to `g`; what those of the matrices are made of is returned, packed while it is in the cache.
    fn chunk(&self, saved: &Saved, dy: &[f32], dx: &mut [f32], g: &mut LayerGradients) -> Outers {
        let Self { shape, w, prepared, rows, dropout, .. } = self;
        let (h, f, m) = (shape.hidden, shape.inner, dy.len() / shape.hidden);
        let first = rows.asked_in(saved.sequences.clone()).start;
        let outer = |at: usize, dout: Mat<'_>, input: Mat<'_>| self.needs.weights[at].then(|| Outer::new(dout, input));

        // Second norm; then `d` is the gradient of the sum before it.
        let mut d = Buffer::new(m * h);
        d.copy_from_slice(dy);
        let [dw, db] = g.get_disjoint_mut([NORM2, NORM2 + 1]).expect("two weights");
        norm::backward(&saved.xhat2, w[NORM2], &saved.rstd2, &mut d, dw, db);

        // Feed-forward part.
        let mut dout = Buffer::new(m * h);
        dropped(&mut dout, &d, h, dropout.output, *rows, first);
        math::sum_rows(&dout, &mut g[OUT + 1]);
        let mut dpre = Buffer::new(m * f);
        multiply(&mut dpre, f, Into::Set, 1.0, Mat::new(&dout, m, h), &prepared.output);
        let mut activated = Buffer::new(m * f);
        math::activate_backward(shape.activation, &saved.pre, &mut dpre, &mut activated);
        let of_out = outer(OUT, Mat::new(&dout, m, h), Mat::new(&activated, m, f));
        drop(activated);
        math::sum_rows(&dpre, &mut g[INNER + 1]);
        let mut middle = Buffer::new(m * h);
        norm::affine(&saved.xhat1, w[NORM1], w[NORM1 + 1], &mut middle);
        let of_inner = outer(INNER, Mat::new(&dpre, m, f), Mat::new(&middle, m, h));
        multiply(&mut d, h, Into::Add, 1.0, Mat::new(&dpre, m, f), &prepared.inner);
        drop(dpre);

        // First norm; then `d` is the gradient of the first sum.
        let [dw, db] = g.get_disjoint_mut([NORM1, NORM1 + 1]).expect("two weights");
        norm::backward(&saved.xhat1, w[NORM1], &saved.rstd1, &mut d, dw, db);

        // Attention.
        dropped(&mut dout, &d, h, dropout.attention, *rows, first);
        math::sum_rows(&dout, &mut g[ATTENTION_OUT + 1]);
        let of_projection = outer(ATTENTION_OUT, Mat::new(&dout, m, h), Mat::new(&saved.context, m, h));
        let mut dcontext = middle;
        multiply(&mut dcontext, h, Into::Set, 1.0, Mat::new(&dout, m, h), &prepared.attention_output);
        let [of_query, of_key, of_value] = self.attention(saved, &dcontext, d, dx, g);
        [of_query, of_key, of_value, of_projection, of_inner, of_out]
    }

    /// From the gradient of the context to `dx`; `d`: the gradient of the first sum.
    fn attention(
        &self,
        saved: &Saved,
        dcontext: &[f32],
        mut d: Buffer,
        dx: &mut [f32],
        g: &mut LayerGradients,
    ) -> [Option<Outer>; 3] {
        let (h, rows) = (self.shape.hidden, self.rows);
        let all = rows.range(saved.sequences.clone());
        let (n, m) = (all.len(), dcontext.len() / h);
        let asked = gather(self.x, h, rows, saved.sequences.clone());
        let x = &self.x[all.start * h..all.end * h];
        let asked = asked.as_deref().unwrap_or(x);

        let (mut dquery, mut dkey_value) = (Buffer::new(m * h), Buffer::new(n * 2 * h));
        let heads = Heads { hidden: h, count: self.shape.heads };
        let inputs = (&*saved.query, &*saved.key_value);
        attention::backward(
            heads,
            rows,
            saved.sequences.clone(),
            inputs,
            &saved.probabilities,
            self.dropout.probabilities,
            dcontext,
            (&mut dquery, &mut dkey_value),
        );
        math::sum_rows(&dquery, &mut g[QUERY + 1]);
        for row in dkey_value.chunks_exact(2 * h) {
            math::add(&mut g[QUERY + 3], &row[..h]);
            math::add(&mut g[QUERY + 5], &row[h..]);
        }
        let parts = [
            Mat::new(&dquery, m, h),
            Mat::strided(&dkey_value, n, h, 2 * h),
            Mat::strided(&dkey_value[h..], n, h, 2 * h),
        ];
        if let Some([query, key, value]) = &self.prepared.query_key_value {
            multiply(&mut d, h, Into::Add, 1.0, parts[0], query);
            multiply(dx, h, Into::Set, 1.0, parts[1], key);
            multiply(dx, h, Into::Add, 1.0, parts[2], value);
            for (d, i) in d.chunks_exact(h).zip(rows.asked_in(saved.sequences.clone())) {
                let row = rows.row(i) - all.start;
                math::add(&mut dx[row * h..(row + 1) * h], d);
            }
        }
        let inputs = [Mat::new(asked, m, h), Mat::new(x, n, h), Mat::new(x, n, h)];
        std::array::from_fn(|i| self.needs.weights[QUERY + 2 * i].then(|| Outer::new(parts[i], inputs[i])))
    }
}

/// `out`: the rows of `d` with the dropout of their places in the batch.
fn dropped(out: &mut [f32], d: &[f32], h: usize, dropout: Dropout, rows: Rows<'_>, first: usize) {
    out.copy_from_slice(d);
    for (i, row) in out.chunks_exact_mut(h).enumerate() {
        dropout.apply(rows.row(first + i) as u64, row);
    }
}
