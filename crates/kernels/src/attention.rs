//! Self-attention inside each sequence of a packed chunk; no padding. A row sees itself and a range: all of its
//! sequence, a window around itself, or what stands before some row.
//!
//! Key and value lie side by side, `(n, 2a)`; a head's columns are `d` wide. Probabilities of short
//! sequences are kept for the backward pass. Long ones, and those in a window, are done in blocks of
//! rows whose probabilities stay in the cache and are computed again, so that memory grows with the
//! length and not with its square (Rabe & Staats 2021; Dao et al. 2022).

use crate::dropout::Dropout;
use crate::layer::Rows;
use crate::math::{max_of, reduce2};
use crate::pool::Buffer;
use crate::product::{self, Into, Mat, Packed, Precision, part};
use crate::simd::simd_fn;
use crate::{math, parallel};
use std::ops::Range;

/// Length from which probabilities are computed again instead of kept.
const LONG: usize = 512;

/// Probabilities of a block of rows: a quarter of a mebibyte, which stays in the second cache beside the
/// keys and values.
const BLOCK: usize = 64 * 1024;

/// The attention of one chunk of sequences.
#[derive(Clone, Debug)]
pub(crate) struct Attention<'a> {
    /// Width `a` of query, key and value: heads times `d`.
    pub width: usize,
    pub heads: usize,
    /// How many neighbours on either side a token sees; all if `None`.
    pub window: Option<usize>,
    /// Of probabilities.
    pub dropout: Dropout,
    pub rows: Rows<'a>,
    pub sequences: Range<usize>,
    /// How many threads share the heads.
    pub threads: usize,
}

/// One sequence of a chunk.
#[derive(Clone)]
struct Sequence {
    /// Its first row in the batch and its length.
    start: usize,
    l: usize,
    /// Which of the rows asked for are its own.
    asked: Range<usize>,
    /// Where they begin among the chunk's, and where its own rows begin.
    first: usize,
    base: usize,
    /// How many neighbours on either side a row sees, where that leaves something out.
    window: Option<usize>,
}

impl Sequence {
    /// Whether probabilities are kept.
    fn keeps(&self) -> bool {
        self.l < LONG && self.window.is_none()
    }
}

/// Rows asked for of a sequence, counted from its first, and the keys they are compared with.
struct Block {
    rows: Range<usize>,
    keys: Range<usize>,
}

/// Keys seen by a row: a range, and its own.
#[derive(Clone, Copy)]
struct Seen {
    begin: usize,
    end: usize,
    own: usize,
}

/// A gradient's rows where a head's columns begin, and values from row to row.
type Out<'a> = (&'a mut [f32], usize);

impl Attention<'_> {
    fn size(&self) -> usize {
        self.width / self.heads
    }

    fn scale(&self) -> f32 {
        1.0 / (self.size() as f32).sqrt()
    }

    /// Probabilities that are kept: for each sequence heads × rows asked for × length.
    pub fn kept(&self) -> usize {
        self.each().filter(Sequence::keeps).map(|s| self.heads * s.asked.len() * s.l).sum()
    }

    /// The sequences with a row asked for.
    fn each(&self) -> impl Iterator<Item = Sequence> + '_ {
        let (rows, starts) = (self.rows, self.rows.starts());
        let (row, first) = (starts[self.sequences.start], rows.asked_in(self.sequences.clone()).start);
        self.sequences
            .clone()
            .map(move |s| {
                let asked = rows.asked_in(s..s + 1);
                let (start, l) = (starts[s], starts[s + 1] - starts[s]);
                Sequence {
                    start,
                    l,
                    first: asked.start - first,
                    base: start - row,
                    asked,
                    window: self.window.filter(|window| window + 1 < l),
                }
            })
            .filter(|s| !s.asked.is_empty())
    }

    /// Position in its sequence of the row asked for as its number `i`.
    fn position(&self, s: &Sequence, i: usize) -> usize {
        self.rows.row(s.asked.start + i) - s.start
    }

    /// The blocks of a sequence; one if its probabilities are kept.
    fn blocks<'s>(&'s self, s: &'s Sequence) -> impl Iterator<Item = Block> + 's {
        let (m, l) = (s.asked.len(), s.l);
        let height = match s.window {
            _ if s.keeps() => m,
            Some(_) => 2 * product::tall(),
            None => (BLOCK / l).next_multiple_of(product::tall()),
        };
        (0..m).step_by(height).map(move |first| {
            let rows = first..m.min(first + height);
            let keys = match s.keeps() {
                true => 0..l,
                false => {
                    let seen = || rows.clone().map(|i| self.seen(s, i));
                    let begin = seen().map(|seen| seen.begin.min(seen.own)).min().unwrap_or(0);
                    let end = seen().map(|seen| seen.end.max(seen.own + 1)).max().unwrap_or(l);
                    begin / product::wide() * product::wide()..end
                }
            };
            Block { rows, keys }
        })
    }

    /// What the row asked for as number `i` of a sequence sees of it.
    fn seen(&self, s: &Sequence, i: usize) -> Seen {
        let own = self.position(s, i);
        let (position, before) = self.rows.view(s.start + own).unwrap_or((own, s.l));
        let near = s.window.map_or(0..s.l, |w| position.saturating_sub(w)..s.l.min(position + w + 1));
        let end = near.end.min(before);
        Seen { begin: near.start.min(end), end, own }
    }

    /// Keys each row of a block sees, counted from the block's first; empty if all.
    fn seen_in(&self, s: &Sequence, block: &Block) -> Vec<Seen> {
        if s.window.is_none() && self.rows.view(s.start).is_none() {
            return Vec::new();
        }
        let from = block.keys.start;
        let seen = |i| {
            let Seen { begin, end, own } = self.seen(s, i);
            Seen { begin: begin.max(from) - from, end: end.max(from) - from, own: own - from }
        };
        block.rows.clone().map(seen).collect()
    }

    /// Drops probabilities of a block and head, in place. A row of the mask is named by its place in the
    /// whole batch, so that chunks, threads and what else is asked for do not matter.
    fn drop(&self, s: &Sequence, head: usize, block: &Block, p: &mut [f32]) {
        for (p, i) in p.chunks_exact_mut(block.keys.len()).zip(block.rows.clone()) {
            let row = s.start * self.heads + head * s.l + self.position(s, i);
            self.dropout.apply_from(row as u64, block.keys.start, p);
        }
    }

    /// What is used of a head's inputs.
    fn head<'i>(&self, s: &Sequence, head: usize, (query, key_value): (&'i [f32], &'i [f32])) -> [Mat<'i>; 3] {
        let (a, d) = (self.width, self.size());
        let [k, v] = [0, 1].map(|i| Mat::strided(&key_value[s.base * 2 * a + i * a + head * d..], s.l, d, 2 * a));
        [Mat::strided(&query[s.first * a + head * d..], s.asked.len(), d, a), k, v]
    }

    /// Probabilities of a block before dropout. `keys`: the head's keys, transposed.
    fn probabilities(&self, s: &Sequence, block: &Block, q: Mat<'_>, keys: &Packed, p: &mut [f32]) {
        let l = block.keys.len();
        part(p, l, Into::Set, self.scale(), q.rows(block.rows.clone()), keys, 0, block.keys.clone());
        softmax_rows(p, l, &self.seen_in(s, block));
    }

    /// The context of the chunk, and the probabilities before dropout that are kept.
    ///
    /// `query`, `context`: the rows asked for `(m, a)`; `key_value`: all rows `(n, 2a)`. `kept`: as many
    /// values as [`Attention::kept`].
    pub fn forward(&self, inputs: (&[f32], &[f32]), kept: &mut [f32], context: &mut [f32]) {
        let (a, d) = (self.width, self.size());
        let mut rest = kept;
        for s in self.each() {
            let (m, len) = (s.asked.len(), if s.keeps() { s.asked.len() * s.l } else { 0 });
            let heads = 0..self.heads;
            if self.threads == 1 {
                for head in heads {
                    let kept = rest.split_off_mut(..len).expect("room for all that is kept");
                    self.forward_head(&s, head, inputs, kept, (&mut context[s.first * a + head * d..], a));
                }
                continue;
            }
            let items =
                heads.map(|head| (head, rest.split_off_mut(..len).expect("room for all that is kept"))).collect();
            let parts = parallel::map(items, |(head, kept): (usize, &mut [f32])| {
                let mut part = Buffer::new(m * d);
                self.forward_head(&s, head, inputs, kept, (&mut part, d));
                part
            });
            for (head, part) in parts.iter().enumerate() {
                put(part, d, 0, (&mut context[s.first * a + head * d..], a), d);
            }
        }
    }

    /// One head of one sequence.
    fn forward_head(&self, s: &Sequence, head: usize, inputs: (&[f32], &[f32]), kept: &mut [f32], out: Out<'_>) {
        let [q, k, v] = self.head(s, head, inputs);
        let (keys, values) = (packed(k.t()), packed(v));
        let mut kept = kept;
        for block in self.blocks(s) {
            let (m, l) = (block.rows.len(), block.keys.len());
            let mut again = Buffer::new(if s.keeps() { 0 } else { m * l });
            let p = if s.keeps() { &mut *kept } else { &mut *again };
            self.probabilities(s, &block, q, &keys, p);
            let mut dropped = Buffer::new(if self.dropout.p > 0.0 { m * l } else { 0 });
            let used = self.dropped(s, head, &block, p, &mut dropped);
            let to = &mut out.0[block.rows.start * out.1..];
            part(to, out.1, Into::Set, 1.0, Mat::new(used, m, l), &values, block.keys.start, 0..values.len());
            kept = &mut [];
        }
    }

    /// The probabilities after dropout, which are put into `dropped` if there is any.
    fn dropped<'p>(&self, s: &Sequence, head: usize, block: &Block, p: &'p [f32], dropped: &'p mut [f32]) -> &'p [f32] {
        if self.dropout.p == 0.0 {
            return p;
        }
        dropped.copy_from_slice(p);
        self.drop(s, head, block, dropped);
        dropped
    }

    /// Gradients through [`Attention::forward`]: from `dcontext` `(m, a)` to those of the query `(m, a)`
    /// and of key and value `(n, 2a)`, all of the chunk.
    pub fn backward(
        &self,
        inputs: (&[f32], &[f32]),
        kept: &[f32],
        dcontext: &[f32],
        (dquery, dkey_value): (&mut [f32], &mut [f32]),
    ) {
        let (a, d) = (self.width, self.size());
        if !self.rows.is_all() {
            // Sequences without a row asked for have no gradient.
            dkey_value.fill(0.0);
        }
        let mut rest = kept;
        for s in self.each() {
            let (m, len) = (s.asked.len(), if s.keeps() { s.asked.len() * s.l } else { 0 });
            let heads = 0..self.heads;
            let (at, kv) = (s.first * a, s.base * 2 * a);
            if self.threads == 1 {
                for head in heads {
                    let kept = rest.split_off(..len).expect("all that is kept");
                    let dc = Mat::strided(&dcontext[at + head * d..], m, d, a);
                    let to = (&mut dkey_value[kv + head * d..], 2 * a);
                    self.backward_head(&s, head, inputs, kept, dc, (&mut dquery[at + head * d..], a), to, a);
                }
                continue;
            }
            let items = heads.map(|head| (head, rest.split_off(..len).expect("all that is kept"))).collect();
            let parts = parallel::map(items, |(head, kept): (usize, &[f32])| {
                let (mut dq, mut dkv) = (Buffer::new(m * d), Buffer::new(s.l * 2 * d));
                let dc = Mat::strided(&dcontext[at + head * d..], m, d, a);
                self.backward_head(&s, head, inputs, kept, dc, (&mut dq, d), (&mut dkv, 2 * d), d);
                (dq, dkv)
            });
            for (head, (dq, dkv)) in parts.iter().enumerate() {
                put(dq, d, 0, (&mut dquery[at + head * d..], a), d);
                put(dkv, 2 * d, 0, (&mut dkey_value[kv + head * d..], 2 * a), d);
                put(dkv, 2 * d, d, (&mut dkey_value[kv + a + head * d..], 2 * a), d);
            }
        }
    }

    /// One head of one sequence. `dc`: gradient of its context `(m, d)`; that of the value begins
    /// `apart` values after that of the key.
    fn backward_head(
        &self,
        s: &Sequence,
        head: usize,
        inputs: (&[f32], &[f32]),
        kept: &[f32],
        dc: Mat<'_>,
        dquery: Out<'_>,
        (dkey_value, stride): Out<'_>,
        apart: usize,
    ) {
        let [q, k, v] = self.head(s, head, inputs);
        let d = self.size();
        let (keys, values, right_k) = (packed(k.t()), packed(v.t()), packed(k));
        let whole = s.keeps();
        if !whole {
            for row in dkey_value.chunks_mut(stride).take(s.l) {
                row[..d].fill(0.0);
                row[apart..apart + d].fill(0.0);
            }
        }
        // One block sees everything, so that nothing needs to be added up.
        let into = if whole { Into::Set } else { Into::Add };
        for block in self.blocks(s) {
            let (m, l) = (block.rows.len(), block.keys.len());
            let mut again = Buffer::new(if whole { 0 } else { m * l });
            let p = if whole {
                kept
            } else {
                self.probabilities(s, &block, q, &keys, &mut again);
                &again
            };
            let (q, dc) = (q.rows(block.rows.clone()), dc.rows(block.rows.clone()));
            let mut dp = Buffer::new(m * l);
            part(&mut dp, l, Into::Set, 1.0, dc, &values, 0, block.keys.clone());
            let mut dropped = Buffer::new(if self.dropout.p > 0.0 { m * l } else { 0 });
            if self.dropout.p > 0.0 {
                self.drop(s, head, &block, &mut dp);
            }
            let used = self.dropped(s, head, &block, p, &mut dropped);
            let to = &mut dkey_value[block.keys.start * stride..];
            product::product(&mut to[apart..], stride, into, 1.0, Mat::new(used, m, l).t(), dc);
            softmax_backward_rows(p, &mut dp, l);
            let ds = Mat::new(&dp, m, l);
            let dq = &mut dquery.0[block.rows.start * dquery.1..];
            part(dq, dquery.1, Into::Set, self.scale(), ds, &right_k, block.keys.start, 0..d);
            product::product(to, stride, into, self.scale(), ds.t(), q);
        }
    }
}

/// Writes columns of `part`, whose rows are `width` values long, from column `first`.
fn put(part: &[f32], width: usize, first: usize, (to, stride): Out<'_>, columns: usize) {
    for (to, row) in to.chunks_mut(stride).zip(part.chunks_exact(width)) {
        to[..columns].copy_from_slice(&row[first..first + columns]);
    }
}

simd_fn! {
    /// Softmax of each row of length `l`, in place; with `seen`, over those columns, and zeros elsewhere.
    fn softmax_rows(x: &mut [f32], l: usize, seen: &[Seen]) {
        for (i, row) in x.chunks_exact_mut(l).enumerate() {
            let Some(&Seen { begin, end, own }) = seen.get(i) else {
                softmax(row, None);
                continue;
            };
            let own_score = row[own];
            row[..begin].fill(0.0);
            row[end..].fill(0.0);
            // Its own key may stand apart from the others.
            let apart = !(begin..end).contains(&own);
            let own_share = softmax(&mut row[begin..end], apart.then_some(own_score));
            if apart {
                row[own] = own_share;
            }
        }
    }
}

/// Softmax of scores, in place, and of one more that stands elsewhere, whose probability is returned.
#[inline(always)]
fn softmax(row: &mut [f32], apart: Option<f32>) -> f32 {
    let max = apart.map_or(f32::NEG_INFINITY, |score| score).max(max_of(row));
    for v in row.iter_mut() {
        *v = math::exp(*v - max);
    }
    let apart = apart.map_or(0.0, |score| math::exp(score - max));
    let inverse = 1.0 / (reduce2(row, row, |a, _| a) + apart);
    for v in row.iter_mut() {
        *v *= inverse;
    }
    apart * inverse
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

/// Keys, values or their gradients as a right operand.
fn packed(b: Mat<'_>) -> Packed {
    Packed::right(b, Precision::F32)
}
