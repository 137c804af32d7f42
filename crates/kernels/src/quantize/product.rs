//! Products of rows with a matrix in few bits, or with one that is whole.

use super::pack::{Panels, WIDE};
use super::rows::Rows8;
use super::tile::{self, Unit};
use super::weights::Input;
use crate::parallel;
use crate::pool::Buffer;
use crate::product::{self, Into, Mat, Packed};
use std::cell::OnceCell;
use std::ops::Range;

/// A matrix as products read it.
#[derive(Debug)]
pub enum Right {
    /// In f32.
    Whole(Packed),
    /// In 8 bits.
    Few(Panels),
}

/// Rows that are multiplied by several matrices: they are rounded once.
#[derive(Debug)]
pub struct Operand<'a> {
    x: Mat<'a>,
    rounded: OnceCell<(Input, Rows8)>,
}

impl<'a> Operand<'a> {
    /// Nothing is rounded until it is needed.
    pub fn new(x: Mat<'a>) -> Self {
        Self { x, rounded: OnceCell::new() }
    }

    /// `c = x · wᵀ (+ bias)`, with `stride` values from row to row of `c`, columns shared out to so many threads.
    ///
    /// Panics if sizes do not agree.
    pub fn times(&self, threads: usize, c: &mut [f32], stride: usize, bias: Into<'_>, right: &Right) {
        let panels = match right {
            Right::Whole(packed) => return product::multiply_by(threads, c, stride, bias, self.x, packed),
            Right::Few(panels) => panels,
        };
        let (input, rows) = self.rounded.get_or_init(|| (panels.input, Rows8::new(self.x, panels.input)));
        match *input == panels.input {
            true => multiply(threads, c, stride, bias, rows, panels),
            // Another range was found for this matrix.
            false => multiply(threads, c, stride, bias, &Rows8::new(self.x, panels.input), panels),
        }
    }
}

/// `c = x · wᵀ (+ bias)` of rows that are rounded. Panics if sizes do not agree, or where something is to be added to.
pub fn multiply(threads: usize, c: &mut [f32], stride: usize, into: Into<'_>, x: &Rows8, w: &Panels) {
    let (m, n) = (x.len(), w.len);
    let bias = match into {
        Into::Set => None,
        Into::Bias(bias) => Some(bias),
        Into::Add => panic!("products of 8 bits are not added to values"),
    };
    assert!(bias.is_none_or(|bias| bias.len() == n), "a bias for each column");
    assert!(m == 0 || n <= stride && (m - 1) * stride + n <= c.len(), "product {m}x{n} in {} values", c.len());
    if m == 0 {
        return;
    }
    let unit = Unit::for_rows(m);
    let panels = n.div_ceil(WIDE);
    if threads <= 1 || panels < 2 {
        return tile::block(unit, c, stride, bias, x, w, 0..panels);
    }
    let parts = parallel::map(parallel::even(panels, threads), |panels: Range<usize>| {
        let columns = panels.start * WIDE..n.min(panels.end * WIDE);
        let mut part = Buffer::new(m * columns.len());
        let bias = bias.map(|bias| &bias[columns.clone()]);
        tile::block(unit, &mut part, columns.len(), bias, x, w, panels);
        (columns, part)
    });
    for (columns, part) in parts {
        for (c, part) in c.chunks_mut(stride).zip(part.chunks_exact(columns.len())) {
            c[columns.clone()].copy_from_slice(part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Quantized;
    use super::*;
    use crate::product::Precision;

    fn wave(n: usize, step: f32) -> Vec<f32> {
        (0..n).map(|i| (i as f32 * step).sin() * (1 + i % 3) as f32).collect()
    }

    /// Every sum by itself, in the words of the definition.
    fn plain(x: &Rows8, w: &Quantized, bias: Option<&[f32]>) -> Vec<f32> {
        let (n, k) = (w.rows(), w.columns());
        let mut c = vec![0.0; x.len() * n];
        for i in 0..x.len() {
            for j in 0..n {
                let number = |s: usize| i32::from(x.bytes()[i * x.stride + s]) - x.zeros[i];
                let sum: i32 = (0..k).map(|s| number(s) * i32::from(w.codes()[j * k + s])).sum();
                let value = sum as f32 * (x.scales[i] * w.scales()[j]);
                c[i * n + j] = bias.map_or(value, |bias| value + bias[j]);
            }
        }
        c
    }

    #[test]
    fn every_unit_gives_the_bits_of_the_plain_sum() {
        for (m, n, k) in [(1, 1, 1), (3, 5, 7), (17, 33, 9), (64, 64, 31), (29, 100, 384), (2, 32, 4)] {
            let (x, w, bias) = (wave(m * k, 0.37), wave(n * k, 0.73), wave(n, 1.1));
            let w = Quantized::new(&w, k, 8, None, Input::Dynamic);
            let rows = Rows8::new(Mat::new(&x, m, k), Input::Dynamic);
            let panels = Panels::new(&w);
            for bias in [None, Some(&bias[..])] {
                let expected = plain(&rows, &w, bias);
                for unit in Unit::all_of_this_processor() {
                    let mut c = vec![f32::NAN; m * (n + 2)];
                    tile::block(unit, &mut c, n + 2, bias, &rows, &panels, 0..n.div_ceil(WIDE));
                    for (i, (c, expected)) in c.chunks(n + 2).zip(expected.chunks(n)).enumerate() {
                        assert_eq!(&c[..n], expected, "{unit:?} ({m}, {n}, {k}) row {i}");
                        assert!(c[n..].iter().all(|v| v.is_nan()), "{unit:?} wrote beside a row");
                    }
                }
            }
        }
    }

    #[test]
    fn the_greatest_sums_do_not_saturate() {
        // All inputs at the top, all weights at one end: sums of pairs that would leave 16 bits.
        let (m, n, k) = (2, 33, 4096);
        let w = Quantized::new(&vec![-1.0; n * k], k, 8, None, Input::Dynamic);
        let input = Input::Static { scale: 1.0, zero: 0 };
        let rows = Rows8::new(Mat::new(&vec![255.0; m * k], m, k), input);
        for unit in Unit::all_of_this_processor() {
            let mut c = vec![0.0; m * n];
            tile::block(unit, &mut c, n, None, &rows, &Panels::new(&w), 0..2);
            let expected = (-127 * 255 * k as i32) as f32 * (1.0 / 127.0);
            assert!(c.iter().all(|&v| v == expected), "{unit:?}: {} for {expected}", c[0]);
        }
    }

    #[test]
    fn products_are_near_those_of_whole_numbers_and_the_same_on_many_threads() {
        let (m, n, k) = (21, 131, 200);
        let (x, w, bias) = (wave(m * k, 0.37), wave(n * k, 0.73), wave(n, 1.1));
        let q = Quantized::new(&w, k, 8, None, Input::Dynamic);
        let operand = Operand::new(Mat::new(&x, m, k));
        let run = |threads: usize, right: &Right| {
            let mut c = vec![0.0; m * n];
            operand.times(threads, &mut c, n, Into::Bias(&bias), right);
            c
        };
        let found = run(1, q.right());
        assert_eq!(found, run(3, q.right()));
        let whole = run(1, &Right::Whole(Packed::right(Mat::new(&w, n, k).t(), Precision::F32)));
        let (mut error, mut size) = (0.0, 0.0);
        for (a, b) in found.iter().zip(&whole) {
            error += (a - b).powi(2);
            size += b * b;
        }
        assert!(error < 1e-3 * size, "{error} of {size}");
        // A matrix whose input stays whole is multiplied in f32.
        assert!(matches!(q.with_input(Input::Whole).right(), Right::Whole(_)));
    }
}
