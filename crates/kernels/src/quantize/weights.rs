//! A matrix in few bits: from values and back.

use super::product::Right;
use crate::parallel;
use crate::product::{Mat, Packed, Precision};
use std::ops::Range;
use std::sync::OnceLock;

/// How what is multiplied by a matrix is rounded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Input {
    /// Not at all: the matrix is made whole again, and products are in f32.
    Whole,
    /// To 8 bits, each row by its own range.
    Dynamic,
    /// To 8 bits by one range: `x` becomes the whole number nearest to `x / scale + zero`, from 0 to 255.
    Static {
        /// What a step is worth.
        scale: f32,
        /// The number that means 0.
        zero: u8,
    },
}

impl Input {
    /// By one range, from a least to a greatest value; 0 is always in it.
    pub fn of_range(least: f32, greatest: f32) -> Self {
        let (scale, _, zero) = super::rows::steps(least.min(0.0), greatest.max(0.0));
        Self::Static { scale, zero: zero as u8 }
    }
}

/// A matrix `(rows, columns)` of whole numbers of few bits, and what they are worth.
#[derive(Debug)]
pub struct Quantized {
    rows: usize,
    columns: usize,
    bits: u32,
    group: usize,
    codes: Vec<i8>,
    scales: Vec<f32>,
    input: Input,
    right: OnceLock<Right>,
}

impl Quantized {
    /// Rounds values `(rows, columns)` to 8 bits with a scale for each row, or to 4 bits with one for each block of
    /// `group` columns; the last block of a row may be shorter.
    ///
    /// Panics on other bits, a group of none, or values that are not as many.
    pub fn new(values: &[f32], columns: usize, bits: u32, group: Option<usize>, input: Input) -> Self {
        let rows = values.len() / columns.max(1);
        let group = group.unwrap_or(columns);
        assert!(matches!(bits, 4 | 8) && group > 0 && values.len() == rows * columns, "a matrix of 4 or 8 bits");
        let blocks = columns.div_ceil(group);
        let (mut codes, mut scales) = (vec![0; values.len()], vec![0.0; rows * blocks]);
        let mut items = Vec::new();
        let (mut rest_codes, mut rest_scales) = (&mut codes[..], &mut scales[..]);
        for part in parallel::even(rows, parallel::threads()) {
            let of_part = rest_codes.split_off_mut(..part.len() * columns).expect("a code for each value");
            let scales = rest_scales.split_off_mut(..part.len() * blocks).expect("a scale for each block");
            items.push((part, of_part, scales));
        }
        parallel::map(items, |(part, codes, scales): (Range<usize>, &mut [i8], &mut [f32])| {
            let values = &values[part.start * columns..part.end * columns];
            let rows = values.chunks_exact(columns).zip(codes.chunks_exact_mut(columns));
            for ((values, codes), scales) in rows.zip(scales.chunks_exact_mut(blocks)) {
                for ((values, codes), scale) in values.chunks(group).zip(codes.chunks_mut(group)).zip(scales) {
                    *scale = round(values, bits, codes);
                }
            }
        });
        Self::of(rows, columns, bits, group, codes, scales, input)
    }

    /// From numbers `(rows, columns)` and scales `(rows, blocks)` that are known. Panics unless they are as many.
    pub fn of(
        rows: usize,
        columns: usize,
        bits: u32,
        group: usize,
        codes: Vec<i8>,
        scales: Vec<f32>,
        input: Input,
    ) -> Self {
        assert_eq!(codes.len(), rows * columns, "a number for each value");
        assert_eq!(scales.len(), rows * columns.div_ceil(group), "a scale for each block");
        Self { rows, columns, bits, group, codes, scales, input, right: OnceLock::new() }
    }

    /// Rows: outputs of a map, entries of a table.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns: the inner size of products with it.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Bits of a number.
    pub fn bits(&self) -> u32 {
        self.bits
    }

    /// Columns that share a scale.
    pub fn group(&self) -> usize {
        self.group
    }

    /// The numbers. `(rows, columns)`
    pub fn codes(&self) -> &[i8] {
        &self.codes
    }

    /// What they are worth. `(rows, blocks)`
    pub fn scales(&self) -> &[f32] {
        &self.scales
    }

    /// How what is multiplied by it is rounded.
    pub fn input(&self) -> Input {
        self.input
    }

    /// The same matrix with other inputs.
    #[must_use]
    pub fn with_input(&self, input: Input) -> Self {
        let (codes, scales) = (self.codes.clone(), self.scales.clone());
        Self::of(self.rows, self.columns, self.bits, self.group, codes, scales, input)
    }

    /// Some of the rows.
    #[must_use]
    pub fn part(&self, rows: Range<usize>) -> Self {
        let blocks = self.columns.div_ceil(self.group);
        let codes = self.codes[rows.start * self.columns..rows.end * self.columns].to_vec();
        let scales = self.scales[rows.start * blocks..rows.end * blocks].to_vec();
        Self::of(rows.len(), self.columns, self.bits, self.group, codes, scales, self.input)
    }

    /// The values of a row. `(columns)`
    pub fn row(&self, row: usize, to: &mut [f32]) {
        let blocks = self.columns.div_ceil(self.group);
        let codes = &self.codes[row * self.columns..(row + 1) * self.columns];
        let scales = &self.scales[row * blocks..(row + 1) * blocks];
        for ((to, codes), &scale) in to.chunks_mut(self.group).zip(codes.chunks(self.group)).zip(scales) {
            to.iter_mut().zip(codes).for_each(|(to, &code)| *to = f32::from(code) * scale);
        }
    }

    /// All values. `(rows, columns)`
    pub fn values(&self) -> Vec<f32> {
        let mut values = vec![0.0; self.codes.len()];
        for (row, to) in values.chunks_exact_mut(self.columns.max(1)).enumerate() {
            self.row(row, to);
        }
        values
    }

    /// The matrix as products read it, made at the first call and kept.
    pub fn right(&self) -> &Right {
        self.right.get_or_init(|| match self.input {
            Input::Dynamic | Input::Static { .. } if self.bits == 8 && self.group == self.columns => {
                Right::Few(super::pack::Panels::new(self))
            }
            _ => Right::Whole(Packed::right_by_all(
                Mat::new(&self.values(), self.rows, self.columns).t(),
                Precision::F32,
            )),
        })
    }
}

/// Rounds values that share a scale, and gives the scale.
fn round(values: &[f32], bits: u32, codes: &mut [i8]) -> f32 {
    let greatest = values.iter().fold(0.0f32, |greatest, v| greatest.max(v.abs()));
    // Below, the inverse would be no number.
    if greatest < 1e-30 {
        codes.fill(0);
        return 1.0;
    }
    if bits == 8 {
        let scale = greatest / 127.0;
        round_by(values, scale, (-127.0, 127.0), codes);
        return scale;
    }
    // With so few steps it pays to cut the greatest values off: the scale with the least error is taken.
    let mut best = (f64::INFINITY, 1.0);
    for steps in [7.0, 7.5, 8.0, 8.5, 9.0, 10.0] {
        let scale = greatest / steps;
        round_by(values, scale, (-8.0, 7.0), codes);
        let error = |(v, &code): (&f32, &i8)| f64::from(v - f32::from(code) * scale).powi(2);
        let error: f64 = values.iter().zip(&*codes).map(error).sum();
        if error < best.0 {
            best = (error, scale);
        }
    }
    round_by(values, best.1, (-8.0, 7.0), codes);
    best.1
}

fn round_by(values: &[f32], scale: f32, (least, greatest): (f32, f32), codes: &mut [i8]) {
    for (code, &v) in codes.iter_mut().zip(values) {
        *code = (v / scale).round_ties_even().clamp(least, greatest) as i8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(n: usize) -> Vec<f32> {
        (0..n).map(|i| (i as f32 * 0.37).sin() * (1 + i % 5) as f32).collect()
    }

    #[test]
    fn values_come_back_within_half_a_step() {
        let values = wave(7 * 50);
        let q = Quantized::new(&values, 50, 8, None, Input::Dynamic);
        assert_eq!((q.rows(), q.scales().len()), (7, 7));
        for (i, (a, b)) in values.iter().zip(q.values()).enumerate() {
            assert!((a - b).abs() <= 0.5001 * q.scales()[i / 50], "{a} became {b}");
        }
        // Rounding what was rounded changes nothing.
        let again = Quantized::new(&q.values(), 50, 8, None, Input::Dynamic);
        assert_eq!(again.codes(), q.codes());
    }

    #[test]
    fn blocks_of_four_bits_have_a_scale_each_and_the_last_may_be_short() {
        let values = wave(3 * 50);
        let q = Quantized::new(&values, 50, 4, Some(32), Input::Whole);
        assert_eq!((q.scales().len(), q.group()), (6, 32));
        assert!(q.codes().iter().all(|c| (-8..8).contains(c)));
        let error: f32 = values.iter().zip(q.values()).map(|(a, b)| (a - b).powi(2)).sum();
        let whole: f32 = values.iter().map(|v| v * v).sum();
        assert!(error < 0.02 * whole, "{error} of {whole}");
        // The plain way, without a search for the scale, is no better.
        let plain: f32 = values
            .chunks(50)
            .flat_map(|row| row.chunks(32))
            .flat_map(|block| {
                let scale = block.iter().fold(0.0f32, |m, v| m.max(v.abs())) / 7.0;
                block.iter().map(move |v| (v - (v / scale).round_ties_even().clamp(-8.0, 7.0) * scale).powi(2))
            })
            .sum();
        assert!(error <= plain, "{error} for {plain}");
    }

    #[test]
    fn a_row_of_zeros_stays_one() {
        let q = Quantized::new(&[0.0; 12], 4, 8, None, Input::Dynamic);
        assert!(q.values().iter().all(|&v| v == 0.0) && q.scales().iter().all(|s| s.is_finite()));
    }
}
