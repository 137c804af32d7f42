//! Embeddings of tokens, positions and segments, added, normalised and dropped in one pass; and the
//! gradients of the tables, which are added row by row to what is there already.

use crate::dropout::Dropout;
use crate::pool::Buffer;
use crate::quantize::Quantized;
use crate::{math, norm, parallel};
use std::ops::Range;

/// A table and the row of it that each token takes.
#[derive(Clone, Copy, Debug)]
pub struct Lookup<'a> {
    /// `(rows of the table, h)`
    pub table: Table<'a>,
    /// One a token.
    pub rows: &'a [u32],
    /// Added to each of `rows`.
    pub offset: usize,
}

/// A table of embeddings.
#[derive(Clone, Copy, Debug)]
pub enum Table<'a> {
    /// In f32.
    Whole(&'a [f32]),
    /// In few bits.
    Few(&'a Quantized),
}

impl Lookup<'_> {
    /// Adds a token's row; `room` is for a row in few bits.
    fn add_to(&self, sum: &mut [f32], token: usize, room: &mut [f32]) {
        let (row, h) = (self.rows[token] as usize + self.offset, sum.len());
        match self.table {
            Table::Whole(table) => math::add(sum, &table[row * h..(row + 1) * h]),
            Table::Few(table) => {
                table.row(row, room);
                math::add(sum, room);
            }
        }
    }

    /// Copies a token's row.
    fn set(&self, sum: &mut [f32], token: usize) {
        let (row, h) = (self.rows[token] as usize + self.offset, sum.len());
        match self.table {
            Table::Whole(table) => sum.copy_from_slice(&table[row * h..(row + 1) * h]),
            Table::Few(table) => table.row(row, sum),
        }
    }
}

/// The norm over the sum. A norm without a bias has an empty one.
#[derive(Clone, Copy, Debug)]
pub struct Norm<'a> {
    /// `(h)`
    pub weight: &'a [f32],
    /// `(h)`
    pub bias: &'a [f32],
    /// Added to the variance.
    pub eps: f32,
}

/// What a forward pass keeps for the backward pass: for each thread its tokens.
#[derive(Debug)]
pub struct EmbedSaved {
    parts: Vec<Part>,
}

#[derive(Debug)]
struct Part {
    tokens: Range<usize>,
    xhat: Buffer,
    rstd: Buffer,
}

/// Embeddings of the tokens, `(n, h)`, and with `save` what [`backward`] needs.
///
/// Panics unless there is a lookup and each has a row for each token.
pub fn forward(lookups: &[Lookup<'_>], norm: Norm<'_>, dropout: Dropout, save: bool) -> (Vec<f32>, Option<EmbedSaved>) {
    let (n, h) = (lookups[0].rows.len(), norm.weight.len());
    assert!(lookups.iter().all(|l| l.rows.len() == n), "a row of each table for each token");
    let mut y = vec![0.0; n * h];
    let mut rest = &mut y[..];
    let mut items = Vec::new();
    for tokens in parallel::even(n, parallel::threads()) {
        let part = rest.split_off_mut(..tokens.len() * h).expect("a row for each token");
        items.push((tokens, part));
    }
    let parts = parallel::map(items, |(tokens, y): (Range<usize>, &mut [f32])| {
        let (mut xhat, mut rstd) = (Buffer::new(y.len()), Buffer::new(tokens.len()));
        let mut room = vec![0.0; h];
        for (sum, token) in xhat.chunks_exact_mut(h).zip(tokens.clone()) {
            lookups[0].set(sum, token);
            for lookup in &lookups[1..] {
                lookup.add_to(sum, token, &mut room);
            }
        }
        norm::forward(&mut xhat, norm.weight, norm.bias, norm.eps, &mut rstd, y);
        dropout.apply_rows(tokens.start as u64, h, y);
        Part { tokens, xhat, rstd }
    });
    (y, save.then_some(EmbedSaved { parts }))
}

/// Gradients through [`forward`] from `dy` `(n, h)`: of the sums before the norm `(n, h)`, of the norm's
/// weight and of its bias (empty if it has none).
pub fn backward(saved: &EmbedSaved, norm: Norm<'_>, dropout: Dropout, dy: &[f32]) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let h = norm.weight.len();
    let mut d = dy.to_vec();
    let mut rest = &mut d[..];
    let mut items = Vec::new();
    for part in &saved.parts {
        items.push((part, rest.split_off_mut(..part.tokens.len() * h).expect("a row for each token")));
    }
    let sums = parallel::map(items, |(part, d): (&Part, &mut [f32])| {
        let (mut dweight, mut dbias) = (vec![0.0; h], vec![0.0; norm.bias.len()]);
        dropout.apply_rows(part.tokens.start as u64, h, d);
        norm::backward(&part.xhat, norm.weight, &part.rstd, d, &mut dweight, &mut dbias);
        (dweight, dbias)
    });
    let (mut dweight, mut dbias) = (vec![0.0; h], vec![0.0; norm.bias.len()]);
    for (weight, bias) in &sums {
        math::add(&mut dweight, weight);
        math::add(&mut dbias, bias);
    }
    (d, dweight, dbias)
}

/// Adds the rows of `d` `(n, h)` to the rows of a table's gradient that they came from. Each thread takes
/// some rows of the table, so that sums are in the order of the tokens whatever the number of threads.
pub fn scatter(d: &[f32], rows: &[u32], offset: usize, gradient: &mut [f32]) {
    let h = d.len() / rows.len();
    let mut rest = gradient;
    let mut items = Vec::new();
    for part in parallel::even(rest.len() / h, parallel::threads()) {
        items.push((part.clone(), rest.split_off_mut(..part.len() * h).expect("all rows of the table")));
    }
    parallel::map(items, |(part, gradient): (Range<usize>, &mut [f32])| {
        for (d, &row) in d.chunks_exact(h).zip(rows) {
            let row = row as usize + offset;
            if part.contains(&row) {
                math::add(&mut gradient[(row - part.start) * h..][..h], d);
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(n: usize, seed: u32) -> Vec<f32> {
        let one = |i: u32| ((i.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 8) % 2001) as f32 * 1e-3 - 1.0;
        (0..n as u32).map(one).collect()
    }

    /// Sum, norm and dropout by the book, in f64.
    fn embed64(tables: &[Vec<f64>], rows: &[&[u32]], offset: usize, norm: (&[f64], &[f64]), d: Dropout) -> Vec<f64> {
        let h = norm.0.len();
        let mask = d.mask(0, rows[0].len(), h);
        (0..rows[0].len())
            .flat_map(|t| {
                let at = |table: usize| rows[table][t] as usize + if table == 1 { offset } else { 0 };
                let sum: Vec<f64> = (0..h).map(|c| (0..tables.len()).map(|i| tables[i][at(i) * h + c]).sum()).collect();
                let mean = sum.iter().sum::<f64>() / h as f64;
                let var = sum.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / h as f64;
                let one = |c: usize| (sum[c] - mean) / (var + 1e-5).sqrt() * norm.0[c] + norm.1.get(c).unwrap_or(&0.0);
                (0..h).map(|c| one(c) * f64::from(mask[t * h + c])).collect::<Vec<_>>()
            })
            .collect()
    }

    #[test]
    fn values_and_gradients_against_the_book_and_its_differences() {
        for (h, bias, p) in [(7, true, 0.0), (33, false, 0.2), (1, true, 0.1)] {
            let (ids, positions): (Vec<u32>, Vec<u32>) =
                ((0..23).map(|i| i * i % 11).collect(), (0..23).map(|i| i % 9).collect());
            let tables = [values(11 * h, 1), values(12 * h, 2)];
            let (weight, bias) = (values(h, 3), if bias { values(h, 4) } else { Vec::new() });
            let norm = Norm { weight: &weight, bias: &bias, eps: 1e-5 };
            let dropout = Dropout { key: 5, p };
            let lookups = [
                Lookup { table: Table::Whole(&tables[0]), rows: &ids, offset: 0 },
                Lookup { table: Table::Whole(&tables[1]), rows: &positions, offset: 2 },
            ];
            let (y, saved) = forward(&lookups, norm, dropout, true);
            let wide = |x: &[f32]| x.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
            let all = [wide(&tables[0]), wide(&tables[1]), wide(&weight), wide(&bias)];
            let book = |all: &[Vec<f64>; 4]| embed64(&all[..2], &[&ids, &positions], 2, (&all[2], &all[3]), dropout);
            for (a, b) in y.iter().zip(book(&all)) {
                assert!((f64::from(*a) - b).abs() < 1e-5, "{a} against {b}");
            }
            let dy = values(23 * h, 6);
            let (d, dweight, dbias) = backward(&saved.unwrap(), norm, dropout, &dy);
            let mut of_tables = [vec![0.5; 11 * h], vec![0.0; 12 * h]];
            scatter(&d, &ids, 0, &mut of_tables[0]);
            scatter(&d, &positions, 2, &mut of_tables[1]);
            let objective =
                |all: &[Vec<f64>; 4]| book(all).iter().zip(&dy).map(|(y, d)| y * f64::from(*d)).sum::<f64>();
            // What stood there before is still there.
            let there = [0.5, 0.0, 0.0, 0.0];
            for (i, got) in [&of_tables[0], &of_tables[1], &dweight, &dbias].into_iter().enumerate() {
                for at in (0..got.len()).step_by(1 + got.len() / 9) {
                    let mut sides = [all.clone(), all.clone()];
                    sides[0][i][at] += 1e-5;
                    sides[1][i][at] -= 1e-5;
                    let want = there[i] + (objective(&sides[0]) - objective(&sides[1])) / 2e-5;
                    assert!(
                        (f64::from(got[at]) - want).abs() < 3e-4 * (1.0 + want.abs()),
                        "{i}, {at}: {} {want}",
                        got[at]
                    );
                }
            }
        }
    }
}
