//! The masked positions' cross-entropy with its gradients made in the same pass.
//!
//! Logits of a block of rows never leave the cache's neighbourhood: each thread owns a slice of the
//! vocabulary, so the gradient of the (tied) table needs no reduction and is the same on any number
//! of threads up to rounding.

use crate::math::{exp, max_of, reduce2};
use crate::pool::Buffer;
use crate::product::{Into, Mat, product};
use crate::simd::simd_fn;
use crate::{math, parallel};
use std::ops::Range;

/// Rows whose logits exist at the same time.
const ROWS: usize = 256;

/// What the loss of some rows came to.
#[derive(Debug)]
pub struct MaskedLoss {
    /// Mean cross-entropy in nats.
    pub loss: f32,
    /// Rows whose largest logit is the label.
    pub correct: usize,
    /// Gradients of the mean, when asked for.
    pub gradients: Option<Gradients>,
}

/// Gradients of the mean loss.
#[derive(Debug)]
pub struct Gradients {
    /// Of the transformed rows. `(m, h)`
    pub rows: Vec<f32>,
    /// Of the table. `(vocabulary, h)`
    pub table: Vec<f32>,
    /// Of the bias. `(vocabulary)`
    pub bias: Vec<f32>,
}

/// A thread's slice of the vocabulary.
struct Slice<'a> {
    words: Range<usize>,
    logits: Buffer,
    table_gradient: &'a mut [f32],
    bias_gradient: &'a mut [f32],
}

/// Cross-entropy of `rows · tableᵀ + bias` against `labels`. `rows`: `(m, h)`, `table`:
/// `(vocabulary, h)`, `bias`: `(vocabulary)`.
///
/// Panics if sizes do not agree or a label lies outside the vocabulary.
pub fn masked_loss(rows: &[f32], table: &[f32], bias: &[f32], labels: &[u32], with_gradients: bool) -> MaskedLoss {
    let (m, vocabulary) = (labels.len(), bias.len());
    assert!(m > 0 && vocabulary > 0, "a loss needs rows and a vocabulary");
    let h = rows.len() / m;
    assert!(rows.len() == m * h && table.len() == vocabulary * h, "sizes of the masked loss");
    assert!(labels.iter().all(|&l| (l as usize) < vocabulary), "a label outside the vocabulary");

    let mut gradients = with_gradients.then(|| Gradients {
        rows: vec![0.0; m * h],
        table: vec![0.0; vocabulary * h],
        bias: vec![0.0; vocabulary],
    });
    let mut slices = Vec::new();
    let (mut table_rest, mut bias_rest, mut row_gradients) = match &mut gradients {
        Some(g) => (&mut g.table[..], &mut g.bias[..], &mut g.rows[..]),
        None => (&mut [][..], &mut [][..], &mut [][..]),
    };
    for words in parallel::even(vocabulary, parallel::threads()) {
        let (t, b) = if with_gradients { (words.len() * h, words.len()) } else { (0, 0) };
        let (table_gradient, rest) = table_rest.split_at_mut(t);
        table_rest = rest;
        let (bias_gradient, rest) = bias_rest.split_at_mut(b);
        bias_rest = rest;
        slices.push(Slice { logits: Buffer::new(ROWS.min(m) * words.len()), words, table_gradient, bias_gradient });
    }

    let (mut loss, mut correct) = (0.0f64, 0);
    for (block, labels) in rows.chunks(ROWS * h).zip(labels.chunks(ROWS)) {
        let (sums, block_correct, block_loss) = logits_of(&mut slices, block, table, bias, labels, h);
        loss += block_loss;
        correct += block_correct;
        if with_gradients {
            let (out, rest) = row_gradients.split_at_mut(block.len());
            row_gradients = rest;
            gradients_of(&mut slices, block, table, labels, h, &sums, 1.0 / m as f32, out);
        }
    }
    drop(slices);
    MaskedLoss { loss: (loss / m as f64) as f32, correct, gradients }
}

/// Computes the logits of a block of rows, slice by slice; gives each row's maximum and log-sum,
/// the number right and the summed loss.
fn logits_of(
    slices: &mut [Slice<'_>],
    block: &[f32],
    table: &[f32],
    bias: &[f32],
    labels: &[u32],
    h: usize,
) -> (Vec<f32>, usize, f64) {
    let m = labels.len();
    let partial = parallel::map(slices.iter_mut().collect(), |slice: &mut Slice<'_>| {
        let w = slice.words.len();
        let logits = &mut slice.logits[..m * w];
        let table = Mat::new(&table[slice.words.start * h..slice.words.end * h], w, h);
        product(logits, w, Into::Set, 1.0, Mat::new(block, m, h), table.t());
        let bias = &bias[slice.words.clone()];
        logits.chunks_exact_mut(w).map(|row| max_and_sum(row, bias)).collect::<Vec<_>>()
    });
    let (mut log_sums, mut correct, mut loss) = (Vec::with_capacity(m), 0, 0.0);
    for (r, &label) in labels.iter().enumerate() {
        let max = partial.iter().map(|p| p[r].0).fold(f32::NEG_INFINITY, f32::max);
        let sum: f32 = partial.iter().map(|p| p[r].1 * exp(p[r].0 - max)).sum();
        let log_sum = max + sum.ln();
        let slice = slices.iter().find(|s| s.words.contains(&(label as usize))).expect("labels were checked");
        let logit = slice.logits[r * slice.words.len() + label as usize - slice.words.start];
        correct += usize::from(logit == max);
        loss += f64::from(log_sum - logit);
        log_sums.push(log_sum);
    }
    (log_sums, correct, loss)
}

/// Turns the logits of a block into gradients of the mean loss and multiplies them out.
fn gradients_of(
    slices: &mut [Slice<'_>],
    block: &[f32],
    table: &[f32],
    labels: &[u32],
    h: usize,
    log_sums: &[f32],
    scale: f32,
    out: &mut [f32],
) {
    let m = labels.len();
    let partial = parallel::map(slices.iter_mut().collect(), |slice: &mut Slice<'_>| {
        let w = slice.words.len();
        let logits = &mut slice.logits[..m * w];
        for ((row, &label), &log_sum) in logits.chunks_exact_mut(w).zip(labels).zip(log_sums) {
            softmax_scaled(row, log_sum, scale);
            if let Some(at) = (label as usize).checked_sub(slice.words.start).filter(|&at| at < w) {
                row[at] -= scale;
            }
        }
        let d = Mat::new(logits, m, w);
        product(slice.table_gradient, h, Into::Add, 1.0, d.t(), Mat::new(block, m, h));
        math::sum_rows(logits, slice.bias_gradient.len(), slice.bias_gradient);
        let mut rows = Buffer::new(m * h);
        product(&mut rows, h, Into::Set, 1.0, d, Mat::new(&table[slice.words.start * h..slice.words.end * h], w, h));
        rows
    });
    for part in &partial {
        math::add(out, part);
    }
}

simd_fn! {
    /// Adds the bias in place; the row's maximum and the sum of exponentials relative to it.
    fn max_and_sum(row: &mut [f32], bias: &[f32]) -> (f32, f32) {
        for (v, &b) in row.iter_mut().zip(bias) {
            *v += b;
        }
        let max = max_of(row);
        (max, reduce2(row, row, |a, _| exp(a - max)))
    }
}

simd_fn! {
    fn softmax_scaled(row: &mut [f32], log_sum: f32, scale: f32) {
        for v in row.iter_mut() {
            *v = exp(*v - log_sum) * scale;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(n: usize, seed: u32) -> Vec<f32> {
        (0..n as u32)
            .map(|i| ((i.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 8) % 2001) as f32 * 1e-3 - 1.0)
            .collect()
    }

    /// The loss by the book, in f64.
    fn loss64(rows: &[f32], table: &[f32], bias: &[f32], labels: &[u32]) -> f64 {
        let (m, v) = (labels.len(), bias.len());
        let h = rows.len() / m;
        let mut sum = 0.0;
        for r in 0..m {
            let logits: Vec<f64> = (0..v)
                .map(|w| {
                    (0..h).map(|i| f64::from(rows[r * h + i]) * f64::from(table[w * h + i])).sum::<f64>()
                        + f64::from(bias[w])
                })
                .collect();
            sum += logits.iter().map(|l| l.exp()).sum::<f64>().ln() - logits[labels[r] as usize];
        }
        sum / m as f64
    }

    #[test]
    fn loss_and_gradients_against_f64_differences() {
        for (m, v, h) in [(1, 1, 1), (3, 71, 5), (300, 19, 8)] {
            let (rows, table, bias) = (values(m * h, 1), values(v * h, 2), values(v, 3));
            let labels: Vec<u32> = (0..m).map(|i| (i * 7 % v) as u32).collect();
            let got = masked_loss(&rows, &table, &bias, &labels, true);
            assert!((f64::from(got.loss) - loss64(&rows, &table, &bias, &labels)).abs() < 1e-5);
            let g = got.gradients.unwrap();
            let numeric = |which: usize, at: usize| {
                let mut side = [0.0; 2];
                for (k, side) in side.iter_mut().enumerate() {
                    let mut x = [rows.clone(), table.clone(), bias.clone()];
                    x[which][at] += if k == 0 { 1e-2 } else { -1e-2 };
                    *side = loss64(&x[0], &x[1], &x[2], &labels);
                }
                (side[0] - side[1]) / 2e-2
            };
            for (which, g) in [&g.rows, &g.table, &g.bias].into_iter().enumerate() {
                for at in [0, g.len() / 2, g.len() - 1] {
                    let want = numeric(which, at);
                    assert!(
                        (f64::from(g[at]) - want).abs() < 2e-5,
                        "({m},{v},{h}) input {which} at {at}: {} against {want}",
                        g[at]
                    );
                }
            }
            let without = masked_loss(&rows, &table, &bias, &labels, false);
            assert_eq!((without.loss, without.correct), (got.loss, got.correct));
        }
    }

    #[test]
    fn counts_what_is_right() {
        let table = [1.0, 0.0, 0.0, 1.0];
        let got = masked_loss(&[5.0, 0.0, 0.0, 5.0, 5.0, 0.0], &table, &[0.0, 0.0], &[0, 1, 1], false);
        assert_eq!(got.correct, 2);
    }
}
