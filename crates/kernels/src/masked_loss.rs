//! The masked positions' cross-entropy with its gradients made in the same pass.
//!
//! Each thread owns a slice of the vocabulary, so the gradient of the (tied) table needs no reduction,
//! and goes through it block by block: the logits of a block stay in the second cache until their
//! exponentials are taken, relative to the greatest of the row in the block. These wait for the sums over
//! the whole vocabulary, and are then gradients but for a factor.

use crate::math::{exp, max_of, reduce2};
use crate::pool::Buffer;
use crate::product::{Into, Mat, Packed, Precision, multiply};
use crate::simd::simd_fn;
use crate::{math, parallel};
use std::ops::Range;

/// Logits of a block: half a mebibyte.
const BLOCK: usize = 128 * 1024;

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
    /// Exponentials of all blocks, one after the other, each `(m, words of the block)`. Only the last one
    /// where no gradients are asked for.
    exponentials: Buffer,
    table_gradient: &'a mut [f32],
    bias_gradient: &'a mut [f32],
}

/// What a block's rows came to.
#[derive(Clone, Copy)]
struct Sum {
    /// The greatest logit.
    max: f32,
    /// Sum of exponentials relative to it.
    sum: f32,
}

/// What is given.
#[derive(Clone, Copy)]
struct Given<'a> {
    /// `(m, h)`
    rows: &'a [f32],
    /// `(vocabulary, h)`
    table: &'a [f32],
    bias: &'a [f32],
    labels: &'a [u32],
    h: usize,
    with_gradients: bool,
    precision: Precision,
}

/// Cross-entropy of `rows · tableᵀ + bias` against `labels`. `rows`: `(m, h)`, `table`:
/// `(vocabulary, h)`, `bias`: `(vocabulary)`. In `precision` are the products: logits and gradients.
///
/// Panics if sizes do not agree or a label lies outside the vocabulary.
pub fn masked_loss(
    rows: &[f32],
    table: &[f32],
    bias: &[f32],
    labels: &[u32],
    with_gradients: bool,
    precision: Precision,
) -> MaskedLoss {
    let (m, vocabulary) = (labels.len(), bias.len());
    assert!(m > 0 && vocabulary > 0, "a loss needs rows and a vocabulary");
    let h = rows.len() / m;
    assert!(rows.len() == m * h && table.len() == vocabulary * h, "sizes of the masked loss");
    assert!(labels.iter().all(|&l| (l as usize) < vocabulary), "a label outside the vocabulary");
    let given = Given { rows, table, bias, labels, h, with_gradients, precision };

    let mut gradients = with_gradients.then(|| Gradients {
        rows: vec![0.0; m * h],
        table: vec![0.0; vocabulary * h],
        bias: vec![0.0; vocabulary],
    });
    let (mut table_rest, mut bias_rest) = match &mut gradients {
        Some(g) => (&mut g.table[..], &mut g.bias[..]),
        None => (&mut [][..], &mut [][..]),
    };
    let mut slices = Vec::new();
    for words in parallel::even(vocabulary, parallel::threads()) {
        let (t, b) = if with_gradients { (words.len() * h, words.len()) } else { (0, 0) };
        let table_gradient = table_rest.split_off_mut(..t).expect("a row for each word");
        let bias_gradient = bias_rest.split_off_mut(..b).expect("a value for each word");
        let kept = if with_gradients { words.len() } else { words.len().min(given.block()) };
        slices.push(Slice { exponentials: Buffer::new(m * kept), words, table_gradient, bias_gradient });
    }

    let sums = parallel::map(slices.iter_mut().collect(), |slice| given.exponentials(slice));
    let (mut loss, mut correct) = (0.0f64, 0);
    let mut log_sums = Vec::with_capacity(m);
    for r in 0..m {
        let blocks = || sums.iter().flat_map(|(sums, _)| sums.chunks_exact(m)).map(|block| block[r]);
        let max = blocks().map(|s| s.max).fold(f32::NEG_INFINITY, f32::max);
        let sum: f32 = blocks().map(|s| s.sum * exp(s.max - max)).sum();
        let log_sum = max + sum.ln();
        let logit = sums.iter().find_map(|(_, labels)| labels[r]).expect("labels were checked");
        correct += usize::from(logit == max);
        loss += f64::from(log_sum - logit);
        log_sums.push(log_sum);
    }
    if with_gradients {
        // One packing for all threads and blocks.
        let packed = Packed::right_by_all(Mat::new(rows, m, h), precision);
        let items = slices.into_iter().zip(&sums).collect();
        let parts = parallel::map(items, |(slice, (sums, _))| given.gradients(slice, sums, &log_sums, &packed));
        let of_rows = &mut gradients.as_mut().expect("asked for").rows;
        for part in &parts {
            math::add(of_rows, part);
        }
    }
    MaskedLoss { loss: (loss / m as f64) as f32, correct, gradients }
}

impl Given<'_> {
    fn m(&self) -> usize {
        self.labels.len()
    }

    /// Words of a block: whole tiles, and not so many that rows alias in the nearest cache.
    fn block(&self) -> usize {
        let words = (BLOCK / self.m() / 32 * 32).clamp(64, 992);
        if words.is_multiple_of(512) { words - 32 } else { words }
    }

    /// The blocks of a slice.
    fn blocks(&self, words: &Range<usize>) -> impl Iterator<Item = Range<usize>> + use<> {
        let (words, size) = (words.clone(), self.block());
        words.clone().step_by(size).map(move |first| first..words.end.min(first + size))
    }

    /// Exponentials of a slice's logits. Gives, for each block, the rows' sums; and the logits of the
    /// labels that lie in the slice.
    fn exponentials(&self, slice: &mut Slice<'_>) -> (Vec<Sum>, Vec<Option<f32>>) {
        let (m, h) = (self.m(), self.h);
        let mut sums = Vec::new();
        let mut of_labels = vec![None; m];
        let mut rest = &mut slice.exponentials[..];
        for words in self.blocks(&slice.words) {
            let w = words.len();
            let block = match self.with_gradients {
                true => rest.split_off_mut(..m * w).expect("room for all blocks"),
                false => &mut rest[..m * w],
            };
            let table = Packed::right(Mat::new(&self.table[words.start * h..words.end * h], w, h).t(), self.precision);
            let bias = Into::Bias(&self.bias[words.clone()]);
            multiply(block, w, bias, 1.0, Mat::new(self.rows, m, h), &table);
            for ((row, &label), of_label) in block.chunks_exact_mut(w).zip(self.labels).zip(&mut of_labels) {
                if words.contains(&(label as usize)) {
                    *of_label = Some(row[label as usize - words.start]);
                }
                let (max, sum) = exponentials_of_row(row);
                sums.push(Sum { max, sum });
            }
        }
        (sums, of_labels)
    }

    /// Makes gradients of the mean loss of a slice's exponentials and multiplies them out; gives what the
    /// slice adds to the gradient of the rows. `sums`: block by block; `packed`: the rows.
    fn gradients(&self, slice: Slice<'_>, sums: &[Sum], log_sums: &[f32], packed: &Packed) -> Buffer {
        let (m, h, scale) = (self.m(), self.h, 1.0 / self.m() as f32);
        let Slice { words, mut exponentials, mut table_gradient, mut bias_gradient } = slice;
        let mut of_rows = Buffer::zeros(m * h);
        let mut rest = &mut exponentials[..];
        for (words, sums) in self.blocks(&words).zip(sums.chunks_exact(m)) {
            let w = words.len();
            let block = rest.split_off_mut(..m * w).expect("all blocks");
            for (((row, sum), &log_sum), &label) in block.chunks_exact_mut(w).zip(sums).zip(log_sums).zip(self.labels) {
                math::scale(row, exp(sum.max - log_sum) * scale);
                if words.contains(&(label as usize)) {
                    row[label as usize - words.start] -= scale;
                }
            }
            let d = Mat::new(block, m, w);
            let of_table = table_gradient.split_off_mut(..w * h).expect("a row for each word");
            multiply(of_table, h, Into::Set, 1.0, d.t(), packed);
            math::sum_rows(block, w, bias_gradient.split_off_mut(..w).expect("a value for each word"));
            let table = Packed::right(Mat::new(&self.table[words.start * h..words.end * h], w, h), self.precision);
            multiply(&mut of_rows, h, Into::Add, 1.0, d, &table);
        }
        of_rows
    }
}

simd_fn! {
    /// Exponentials of a row relative to its maximum, in place; the maximum and their sum.
    fn exponentials_of_row(row: &mut [f32]) -> (f32, f32) {
        let max = max_of(row);
        for v in row.iter_mut() {
            *v = exp(*v - max);
        }
        (max, reduce2(row, row, |a, _| a))
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
            let got = masked_loss(&rows, &table, &bias, &labels, true, Precision::F32);
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
            let without = masked_loss(&rows, &table, &bias, &labels, false, Precision::F32);
            assert_eq!((without.loss, without.correct), (got.loss, got.correct));
        }
    }

    #[test]
    fn in_bfloat16_loss_and_gradients_are_near() {
        let (m, v, h) = (70, 1000, 48);
        let (rows, table, bias) = (values(m * h, 1), values(v * h, 2), values(v, 3));
        let labels: Vec<u32> = (0..m).map(|i| (i * 7 % v) as u32).collect();
        let [whole, half] =
            [Precision::F32, Precision::Bf16].map(|p| masked_loss(&rows, &table, &bias, &labels, true, p));
        assert!(half.loss != whole.loss && (half.loss - whole.loss).abs() < 1e-2, "{} and {}", half.loss, whole.loss);
        let (half, whole) = (half.gradients.unwrap(), whole.gradients.unwrap());
        for (half, whole) in [(half.rows, whole.rows), (half.table, whole.table), (half.bias, whole.bias)] {
            let apart: f32 = half.iter().zip(&whole).map(|(a, b)| (a - b).powi(2)).sum();
            let size: f32 = whole.iter().map(|v| v.powi(2)).sum();
            assert!(apart < 1e-3 * size, "{apart} of {size}");
        }
    }

    #[test]
    fn counts_what_is_right() {
        let table = [1.0, 0.0, 0.0, 1.0];
        let got = masked_loss(&[5.0, 0.0, 0.0, 5.0, 5.0, 0.0], &table, &[0.0, 0.0], &[0, 1, 1], false, Precision::F32);
        assert_eq!(got.correct, 2);
    }
}
