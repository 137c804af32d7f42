//! The layer forward.

use super::rotary::{Angles, asked_positions, positions};
use super::weights::{
    ATTENTION_OUT, COUNT, Few, INNER, NORM1, NORM2, OUT, QUERY, biases, check, is_fused, matrix, third, with,
};
use super::{LayerDropout, LayerShape, Rows, spread};
use crate::attention::Attention;
use crate::dropout::Dropout;
use crate::pool::Buffer;
use crate::product::{self, Mat, Packed, Precision};
use crate::quantize::{Operand, Quantized, Right, Watch, round_rows};
use crate::{math, norm, parallel};
use std::ops::Range;
use std::sync::Arc;

/// The matrices of a layer as the forward pass multiplies by them. Whoever runs a layer more than
/// once with the same weights keeps them.
#[derive(Debug)]
pub struct Prepared {
    query_key_value: [Map; 3],
    attention_output: Map,
    inner: Map,
    output: Map,
    /// Whether query, key and value stand in one matrix.
    joined: bool,
    /// Which weights are in few bits, and have no slice.
    few: [bool; COUNT],
    watch: Option<Arc<Watch>>,
}

/// A matrix that is ready for products.
#[derive(Debug)]
enum Map {
    Own(Right),
    Shared(Arc<Quantized>),
}

impl Map {
    fn right(&self) -> &Right {
        match self {
            Self::Own(right) => right,
            Self::Shared(matrix) => matrix.right(),
        }
    }
}

impl Prepared {
    /// Packs the matrices, on all threads. Those in few bits come in `few`, and their slices are empty.
    ///
    /// Panics if sizes do not agree.
    pub fn new(shape: LayerShape, w: &[&[f32]; COUNT], few: &Few) -> Self {
        let (h, a, f) = (shape.hidden, shape.attention, shape.inner);
        let map = |at: usize, out: usize, inner: usize| match &few[matrix(at)] {
            Some(matrix) => {
                assert_eq!((matrix.rows(), matrix.columns()), (out, inner), "sizes of a matrix in few bits");
                Map::Shared(matrix.clone())
            }
            None => whole(w[at], out, inner, shape.precision),
        };
        let joined = is_fused(w) && few[1].is_none();
        let query_key_value = match (joined, &few[0]) {
            (false, _) => std::array::from_fn(|i| map(QUERY + 2 * i, a, h)),
            (true, None) => std::array::from_fn(|i| whole(third(w[QUERY], i), a, h, shape.precision)),
            (true, Some(matrix)) => {
                assert_eq!((matrix.rows(), matrix.columns()), (3 * a, h), "sizes of a matrix in few bits");
                std::array::from_fn(|i| Map::Shared(Arc::new(matrix.part(i * a..(i + 1) * a))))
            }
        };
        let mut is_few = [false; COUNT];
        (0..COUNT).for_each(|at| is_few[at] = at % 2 == 0 && few.get(matrix(at)).is_some_and(Option::is_some));
        Self {
            query_key_value,
            attention_output: map(ATTENTION_OUT, h, a),
            inner: map(INNER, shape.wide(), h),
            output: map(OUT, h, f),
            joined,
            few: is_few,
            watch: None,
        }
    }

    /// The same where what is multiplied by the matrices is watched.
    #[must_use]
    pub fn watched(self, watch: Arc<Watch>) -> Self {
        Self { watch: Some(watch), ..self }
    }

    /// Rows that are to be multiplied by the matrices of an input.
    fn operand<'a>(&self, input: usize, x: Mat<'a>) -> Operand<'a> {
        if let Some(watch) = &self.watch {
            watch.see(input, x);
        }
        Operand::new(x)
    }
}

/// Packs a matrix `(out, inner)`.
fn whole(matrix: &[f32], out: usize, inner: usize, precision: Precision) -> Map {
    Map::Own(Right::Whole(Packed::right_by_all(Mat::new(matrix, out, inner).t(), precision)))
}

/// What one chunk keeps for the backward pass.
#[derive(Debug)]
pub(super) struct Saved {
    pub sequences: Range<usize>,
    /// Query and key are turned already, where they are. `(m, a)`
    pub query: Buffer,
    /// Key beside value. `(n, 2a)`
    pub key_value: Buffer,
    /// For each short sequence and head `(m, l)`.
    pub probabilities: Buffer,
    pub context: Buffer,
    /// Of the sum before the attention's norm `(m, h)`, or of the input `(n, h)`.
    pub attention_norm: Normed,
    pub pre: Buffer,
    pub output_norm: Normed,
}

/// Normalised rows and the inverse of their deviations; empty where there is no norm.
#[derive(Debug, Default)]
pub(super) struct Normed {
    pub xhat: Buffer,
    pub rstd: Buffer,
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
    check(shape, w, x, rows, &[false; COUNT]);
    forward_prepared(shape, w, &Prepared::new(shape, w, &Few::default()), x, rows, dropout, save)
}

/// [`forward`] with matrices that are prepared already. Nothing can be saved where some are in few bits.
pub fn forward_prepared(
    shape: LayerShape,
    w: &[&[f32]; COUNT],
    prepared: &Prepared,
    x: &[f32],
    rows: Rows<'_>,
    dropout: LayerDropout,
    save: bool,
) -> (Vec<f32>, Option<LayerSaved>) {
    check(shape, w, x, rows, &prepared.few);
    assert!(!save || prepared.few == [false; COUNT], "a layer in few bits has no gradients");
    let mut y = vec![0.0; rows.asked() * shape.hidden];
    let angles = Angles::of(shape, rows.starts());
    let layer = Layer { shape, w, prepared, x, rows, dropout, angles: angles.as_ref(), key_value: None, threads: 1 };
    let ranges = parallel::parts(rows.starts(), parallel::threads());
    let greatest = ranges.iter().map(|range| rows.range(range.clone()).len()).max().unwrap_or(0);
    let infers = !save && dropout == LayerDropout::NONE && prepared.watch.is_none();
    if infers && let Some(threads) = spread::threads(rows.len(), greatest) {
        spread::forward(&layer, threads, &mut y);
        return (y, None);
    }
    let mut rest = &mut y[..];
    let mut items = Vec::new();
    for range in ranges {
        let mut part = Vec::new();
        for sequences in parallel::chunks(rows.starts(), range) {
            let len = rows.asked_in(sequences.clone()).len() * shape.hidden;
            part.push((sequences, rest.split_off_mut(..len).expect("a row of the result for each asked for")));
        }
        items.push(part);
    }
    // Of rows too few to be shared out, a product of bytes takes less time than to wake a thread for half of it.
    let bytes = infers && prepared.few.contains(&true);
    let threads = if bytes { 1 } else { parallel::threads_of_a_part(items.len()) };
    let layer = Layer { threads, ..layer };
    let parts = parallel::map(items, |part| {
        let mut kept = Vec::new();
        for (sequences, y) in part {
            let saved = layer.chunk(sequences, y);
            if save {
                kept.push(saved);
            }
        }
        kept
    });
    (y, save.then_some(LayerSaved { parts }))
}

/// What is the same for all chunks.
#[derive(Clone, Copy)]
pub(super) struct Layer<'a> {
    pub shape: LayerShape,
    pub w: &'a [&'a [f32]; COUNT],
    pub prepared: &'a Prepared,
    pub x: &'a [f32],
    pub rows: Rows<'a>,
    pub dropout: LayerDropout,
    pub angles: Option<&'a Angles>,
    /// Key beside value of all rows of the batch, where they are known.
    pub key_value: Option<&'a [f32]>,
    /// How many threads share the products of a chunk.
    pub threads: usize,
}

impl Layer<'_> {
    /// The layer over one chunk. `y`: the chunk's rows of the result.
    pub fn chunk(&self, sequences: Range<usize>, y: &mut [f32]) -> Saved {
        let Self { shape, rows, .. } = *self;
        let h = shape.hidden;
        let all = rows.range(sequences.clone());
        let x = &self.x[all.start * h..all.end * h];
        let asked = gather(self.x, h, rows, sequences.clone());
        let asked = asked.as_deref().unwrap_or(x);
        if shape.pre_norm {
            return self.norms_before(sequences, x, asked, y);
        }
        let (mut sum, attention) = self.attention(sequences.clone(), x, asked);
        self.residual(&mut sum, self.dropout.attention, &sequences, asked);
        let mut middle = Buffer::new(asked.len());
        let attention_norm = self.normalized(NORM1, sum, &mut middle);

        let mut sum = Buffer::new(asked.len());
        let pre = self.feed_forward(&middle, &mut sum);
        self.residual(&mut sum, self.dropout.output, &sequences, &middle);
        let output_norm = self.normalized(NORM2, sum, y);
        let (query, key_value, probabilities, context) = attention;
        Saved { sequences, query, key_value, probabilities, context, attention_norm, pre, output_norm }
    }

    /// The layer with a norm before each half. `x`: the chunk's rows; `asked`: those asked for.
    fn norms_before(&self, sequences: Range<usize>, x: &[f32], asked: &[f32], y: &mut [f32]) -> Saved {
        let h = self.shape.hidden;
        // Where keys and values are known, no row matters but those asked for.
        let (x, rows) = match self.key_value {
            Some(_) => (asked, None),
            None => (x, Some(self.rows)),
        };
        let mut input = Buffer::default();
        let attention_norm = if self.w[NORM1].is_empty() {
            Normed::default()
        } else {
            input = Buffer::new(x.len());
            self.normalized(NORM1, Buffer::copy_of(x), &mut input)
        };
        let input = if self.w[NORM1].is_empty() { x } else { &input };
        let first = self.rows.range(sequences.clone()).start;
        let picked = rows.and_then(|rows| pick(input, h, rows, sequences.clone(), first));
        let (mut middle, attention) = self.attention(sequences.clone(), input, picked.as_deref().unwrap_or(input));
        self.residual(&mut middle, self.dropout.attention, &sequences, asked);

        let mut normed = Buffer::new(middle.len());
        let output_norm = self.normalized(NORM2, Buffer::copy_of(&middle), &mut normed);
        let pre = self.feed_forward(&normed, y);
        self.residual(y, self.dropout.output, &sequences, &middle);
        let (query, key_value, probabilities, context) = attention;
        Saved { sequences, query, key_value, probabilities, context, attention_norm, pre, output_norm }
    }

    /// The attention half without residual: its projected result `(m, h)`, and query, key beside value,
    /// probabilities, context (no key and value where they were known). `x`: `(n, h)`; `asked`: `(m, h)`.
    fn attention(
        &self,
        sequences: Range<usize>,
        x: &[f32],
        asked: &[f32],
    ) -> (Buffer, (Buffer, Buffer, Buffer, Buffer)) {
        let Self { shape, w, prepared, rows, threads, .. } = *self;
        let (h, a) = (shape.hidden, shape.attention);
        let (n, m) = (x.len() / h, asked.len() / h);
        let bias = with(biases(w, prepared.joined)[0]);
        let rounded = if self.key_value.is_none() { shape.round(x, h) } else { None };
        let all = prepared.operand(0, Mat::new(rounded.as_deref().unwrap_or(x), n, h));
        let rounded = (!rows.is_all()).then(|| shape.round(asked, h)).flatten();
        let some = (!rows.is_all()).then(|| Operand::new(Mat::new(rounded.as_deref().unwrap_or(asked), m, h)));
        let mut query = Buffer::new(m * a);
        some.as_ref().unwrap_or(&all).times(threads, &mut query, a, bias, prepared.query_key_value[0].right());
        let range = rows.range(sequences.clone());
        let mut own = Buffer::new(if self.key_value.is_none() { n * 2 * a } else { 0 });
        let key_value = match self.key_value {
            Some(known) => &known[range.start * 2 * a..range.end * 2 * a],
            None => {
                self.keys_and_values(&all, range, &mut own);
                &own
            }
        };
        if let Some(angles) = self.angles {
            angles.turn(&mut query, a, a, asked_positions(rows, sequences.clone()), false);
        }
        let attention = attention(shape, rows, sequences, self.dropout.probabilities, threads);
        let mut probabilities = Buffer::new(attention.kept());
        let mut context = Buffer::new(m * a);
        attention.forward((&query, key_value), &mut probabilities, &mut context);
        if shape.rounded {
            // So it is kept, too: the projection's gradient is made of it.
            round_rows(&mut context, a, a);
        }
        let mut projected = Buffer::new(m * h);
        let bias = with(w[ATTENTION_OUT + 1]);
        let rows_of_context = prepared.operand(1, Mat::new(&context, m, a));
        rows_of_context.times(threads, &mut projected, h, bias, prepared.attention_output.right());
        drop(rows_of_context);
        (projected, (query, own, probabilities, context))
    }

    /// Key beside value of some rows, from what is multiplied, into `out` `(n, 2a)`.
    fn keys_and_values(&self, x: &Operand<'_>, range: Range<usize>, out: &mut [f32]) {
        let Self { shape, w, prepared, rows, threads, .. } = *self;
        let a = shape.attention;
        let [_, to_key, to_value] = &prepared.query_key_value;
        let [_, bk, bv] = biases(w, prepared.joined);
        for (i, (map, bias)) in [(to_key, bk), (to_value, bv)].into_iter().enumerate() {
            x.times(threads, &mut out[i * a..], 2 * a, with(bias), map.right());
        }
        if let Some(angles) = self.angles {
            angles.turn(out, a, 2 * a, positions(rows, range), false);
        }
    }

    /// The same from the rows of the layer's input.
    pub fn key_value_of(&self, range: Range<usize>, out: &mut [f32]) {
        let Self { shape, prepared, .. } = *self;
        let (h, n) = (shape.hidden, range.len());
        let x = &self.x[range.start * h..range.end * h];
        let mut normed = Buffer::default();
        if shape.pre_norm && !self.w[NORM1].is_empty() {
            normed = Buffer::new(x.len());
            self.normalized(NORM1, Buffer::copy_of(x), &mut normed);
        }
        let x = if normed.is_empty() { x } else { &normed };
        let rounded = shape.round(x, h);
        let x = prepared.operand(0, Mat::new(rounded.as_deref().unwrap_or(x), n, h));
        self.keys_and_values(&x, range, out);
    }

    /// The feed-forward half without residual into `out`; gives the pre-activation. `x`, `out`: `(m, h)`
    fn feed_forward(&self, x: &[f32], out: &mut [f32]) -> Buffer {
        let Self { shape, w, prepared, threads, .. } = *self;
        let (h, f, wide) = (shape.hidden, shape.inner, shape.wide());
        let m = x.len() / h;
        let mut pre = Buffer::new(m * wide);
        let rounded = shape.round(x, h);
        let x = prepared.operand(2, Mat::new(rounded.as_deref().unwrap_or(x), m, h));
        x.times(threads, &mut pre, wide, with(w[INNER + 1]), prepared.inner.right());
        let stride = product::stride(f);
        let mut activated = Buffer::new(m * stride);
        for (pre, activated) in pre.chunks_exact(wide).zip(activated.chunks_exact_mut(stride)) {
            match shape.gated {
                true => math::gate(shape.activation, pre, &mut activated[..f]),
                false => math::activate(shape.activation, pre, &mut activated[..f]),
            }
        }
        if shape.rounded {
            round_rows(&mut activated, f, stride);
        }
        let activated = prepared.operand(3, Mat::strided(&activated, m, f, stride));
        activated.times(threads, out, h, with(w[OUT + 1]), prepared.output.right());
        pre
    }

    /// A norm of `sum` into `y`.
    fn normalized(&self, at: usize, sum: Buffer, y: &mut [f32]) -> Normed {
        let (mut xhat, mut rstd) = (sum, Buffer::new(y.len() / self.shape.hidden));
        norm::forward(&mut xhat, self.w[at], self.w[at + 1], self.shape.eps, &mut rstd, y);
        Normed { xhat, rstd }
    }

    /// `z = dropout(z) + x`, rows named by their place in the batch.
    fn residual(&self, z: &mut [f32], dropout: Dropout, sequences: &Range<usize>, x: &[f32]) {
        let (h, rows) = (self.shape.hidden, self.rows);
        if dropout.p == 0.0 {
            math::add(z, x);
            return;
        }
        let first = rows.asked_in(sequences.clone()).start;
        for (i, (z, x)) in z.chunks_exact_mut(h).zip(x.chunks_exact(h)).enumerate() {
            dropout.apply(rows.row(first + i) as u64, z);
            math::add(z, x);
        }
    }
}

/// The attention of a layer.
pub(super) fn attention(
    shape: LayerShape,
    rows: Rows<'_>,
    sequences: Range<usize>,
    dropout: Dropout,
    threads: usize,
) -> Attention<'_> {
    let (width, heads, window) = (shape.attention, shape.heads, shape.window);
    Attention { width, heads, window, dropout, rows, sequences, threads }
}

/// The rows of `x` that are asked for in some sequences; `None`: all of them.
pub(super) fn gather(x: &[f32], h: usize, rows: Rows<'_>, sequences: Range<usize>) -> Option<Buffer> {
    pick(x, h, rows, sequences, 0)
}

/// The same, where `x` begins with row `first` of the batch.
pub(super) fn pick(x: &[f32], h: usize, rows: Rows<'_>, sequences: Range<usize>, first: usize) -> Option<Buffer> {
    if rows.is_all() {
        return None;
    }
    let asked = rows.asked_in(sequences);
    let mut gathered = Buffer::new(asked.len() * h);
    for (to, i) in gathered.chunks_exact_mut(h).zip(asked) {
        let row = rows.row(i) - first;
        to.copy_from_slice(&x[row * h..(row + 1) * h]);
    }
    Some(gathered)
}
