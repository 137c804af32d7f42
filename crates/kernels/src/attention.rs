//! Self-attention inside each sequence of a packed chunk; no padding, no masks.
//!
//! Key and value lie side by side, `(n, 2h)`; a head's columns are `d` wide.

use crate::dropout::Dropout;
use crate::layer::Rows;
use crate::math::{max_of, reduce2};
use crate::pool::Buffer;
use crate::product::{Into, Mat, product};
use crate::simd::simd_fn;
use std::ops::Range;

/// Sizes of the attention.
#[derive(Clone, Copy, Debug)]
pub struct Heads {
    /// Hidden width `h`.
    pub hidden: usize,
    /// Heads `a`; `h = a · d`.
    pub count: usize,
}

impl Heads {
    fn size(self) -> usize {
        self.hidden / self.count
    }
    fn scale(self) -> f32 {
        1.0 / (self.size() as f32).sqrt()
    }
}

/// Probabilities a range of sequences needs: heads × rows asked for × the sequence's length.
pub fn probabilities_len(heads: Heads, rows: Rows<'_>, sequences: Range<usize>) -> usize {
    let starts = rows.starts();
    heads.count * sequences.map(|s| rows.asked_in(s..s + 1).len() * (starts[s + 1] - starts[s])).sum::<usize>()
}

/// One sequence of a chunk.
struct Sequence {
    /// Its first row in the batch and its length.
    start: usize,
    l: usize,
    /// Which of the rows asked for are its own.
    asked: Range<usize>,
    /// Where they begin among the chunk's, and where its own rows begin.
    first: usize,
    base: usize,
}

fn each_sequence(rows: Rows<'_>, sequences: Range<usize>) -> impl Iterator<Item = Sequence> + '_ {
    let starts = rows.starts();
    let (row, first) = (starts[sequences.start], rows.asked_in(sequences.clone()).start);
    sequences
        .map(move |s| {
            let asked = rows.asked_in(s..s + 1);
            let (start, l) = (starts[s], starts[s + 1] - starts[s]);
            Sequence { start, l, first: asked.start - first, base: start - row, asked }
        })
        .filter(|s| !s.asked.is_empty())
}

impl Sequence {
    /// Drops probabilities `(m, l)` of a head, in place. A row of the mask is named by its place in the
    /// whole batch, so that chunks, threads and what else is asked for do not matter.
    fn drop(&self, heads: Heads, head: usize, rows: Rows<'_>, dropout: Dropout, p: &mut [f32]) {
        for (p, i) in p.chunks_exact_mut(self.l).zip(self.asked.clone()) {
            let row = self.start * heads.count + head * self.l + rows.row(i) - self.start;
            dropout.apply(row as u64, p);
        }
    }
}

/// The context of a chunk of sequences, and the probabilities before dropout.
///
/// `query`, `context`: the chunk's rows asked for `(m, h)`; `key_value`: all of its rows `(n, 2h)`.
/// `probabilities`: for each sequence and head `(m, l)`.
pub fn forward(
    heads: Heads,
    rows: Rows<'_>,
    sequences: Range<usize>,
    (query, key_value): (&[f32], &[f32]),
    dropout: Dropout,
    probabilities: &mut [f32],
    context: &mut [f32],
) {
    let (h, d) = (heads.hidden, heads.size());
    let mut rest = probabilities;
    for s in each_sequence(rows, sequences) {
        let (m, l) = (s.asked.len(), s.l);
        let mut dropped = Buffer::new(if dropout.p > 0.0 { m * l } else { 0 });
        for head in 0..heads.count {
            let p = rest.split_off_mut(..m * l).expect("room for all probabilities");
            let q = Mat::strided(&query[s.first * h + head * d..], m, d, h);
            let [k, v] = [0, 1].map(|i| Mat::strided(&key_value[s.base * 2 * h + i * h + head * d..], l, d, 2 * h));
            product(p, l, Into::Set, heads.scale(), q, k.t());
            softmax_rows(p, l);
            let p: &[f32] = if dropout.p > 0.0 {
                dropped.copy_from_slice(p);
                s.drop(heads, head, rows, dropout, &mut dropped);
                &dropped
            } else {
                p
            };
            product(&mut context[s.first * h + head * d..], h, Into::Set, 1.0, Mat::new(p, m, l), v);
        }
    }
}

/// Gradients through [`forward`]: from `dcontext` `(m, h)` to those of the query `(m, h)` and of key and
/// value `(n, 2h)`, all of the chunk.
pub fn backward(
    heads: Heads,
    rows: Rows<'_>,
    sequences: Range<usize>,
    (query, key_value): (&[f32], &[f32]),
    probabilities: &[f32],
    dropout: Dropout,
    dcontext: &[f32],
    (dquery, dkey_value): (&mut [f32], &mut [f32]),
) {
    let (h, d) = (heads.hidden, heads.size());
    if !rows.is_all() {
        // Sequences without a row asked for have no gradient.
        dkey_value.fill(0.0);
    }
    let mut rest = probabilities;
    for s in each_sequence(rows, sequences) {
        let (m, l) = (s.asked.len(), s.l);
        let mut dropped = Buffer::new(if dropout.p > 0.0 { m * l } else { 0 });
        let mut dp = Buffer::new(m * l);
        for head in 0..heads.count {
            let p = rest.split_off(..m * l).expect("all probabilities");
            let (at, kv) = (s.first * h + head * d, s.base * 2 * h + head * d);
            let q = Mat::strided(&query[at..], m, d, h);
            let [k, v] = [0, 1].map(|i| Mat::strided(&key_value[kv + i * h..], l, d, 2 * h));
            let dc = Mat::strided(&dcontext[at..], m, d, h);
            product(&mut dp, l, Into::Set, 1.0, dc, v.t());
            let used: &[f32] = if dropout.p > 0.0 {
                dropped.copy_from_slice(p);
                s.drop(heads, head, rows, dropout, &mut dropped);
                s.drop(heads, head, rows, dropout, &mut dp);
                &dropped
            } else {
                p
            };
            product(&mut dkey_value[kv + h..], 2 * h, Into::Set, 1.0, Mat::new(used, m, l).t(), dc);
            softmax_backward_rows(p, &mut dp, l);
            let ds = Mat::new(&dp, m, l);
            product(&mut dquery[at..], h, Into::Set, heads.scale(), ds, k);
            product(&mut dkey_value[kv..], 2 * h, Into::Set, heads.scale(), ds.t(), q);
        }
    }
}

simd_fn! {
    /// Softmax of each row of length `l`, in place.
    fn softmax_rows(x: &mut [f32], l: usize) {
        for row in x.chunks_exact_mut(l) {
            let max = max_of(row);
            for v in row.iter_mut() {
                *v = crate::math::exp(*v - max);
            }
            let inverse = 1.0 / reduce2(row, row, |a, _| a);
            for v in row.iter_mut() {
                *v *= inverse;
            }
        }
    }
}

simd_fn! {
    /// `dx = p * (dp - sum(p * dp))` row by row; `dp` becomes `dx`.
    fn softmax_backward_rows(p: &[f32], dp: &mut [f32], l: usize) {
        for (p, dp) in p.chunks_exact(l).zip(dp.chunks_exact_mut(l)) {
            let along = reduce2(p, dp, |a, b| a * b);
            for (d, &p) in dp.iter_mut().zip(p) {
                *d = p * (*d - along);
            }
        }
    }
}
