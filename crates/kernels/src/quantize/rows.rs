//! The left operand: rows rounded to 8 bits.

use super::tile::Unit;
use super::weights::Input;
use crate::pool::Buffer;
use crate::product::Mat;
use crate::simd::simd_fn;

/// Rows are filled up to as many as a register of AMX holds; the last ones hold anything.
const TOGETHER: usize = 16;

/// Steps of the inner size that one instruction multiplies and adds up.
pub(super) const STEPS: usize = 4;

/// Rows of numbers from 0 to 255, each with what a step of it is worth and which number means 0.
#[derive(Debug)]
pub struct Rows8 {
    numbers: Buffer,
    /// Bytes from row to row, a multiple of [`STEPS`].
    pub(super) stride: usize,
    pub(super) scales: Vec<f32>,
    pub(super) zeros: Vec<i32>,
}

impl Rows8 {
    /// Rounds rows `(m, k)`. Panics where an input is to stay whole, or columns do not lie side by side.
    pub fn new(x: Mat<'_>, input: Input) -> Self {
        let (m, k) = x.size();
        let mut stride = k.next_multiple_of(Unit::of_this_processor().deep());
        if stride.is_multiple_of(2048) {
            // Rows so far apart displace each other in the nearest cache.
            stride += 64;
        }
        let mut rows = Self {
            numbers: Buffer::new((m.next_multiple_of(TOGETHER) * stride).div_ceil(4)),
            stride,
            scales: vec![0.0; m],
            zeros: vec![0; m],
        };
        let bytes = rows.numbers.bytes_mut();
        for (i, to) in bytes.chunks_exact_mut(stride.max(1)).take(m).enumerate() {
            let row = x.row(i);
            let (scale, inverse, zero) = match input {
                Input::Dynamic => range(row),
                Input::Static { scale, zero } => (scale, 1.0 / scale, f32::from(zero)),
                Input::Whole => panic!("an input that stays whole is not rounded"),
            };
            round(row, inverse, zero, &mut to[..k]);
            // Old values of the buffer would do, since they meet zeros; but they would not be the same twice.
            to[k..].fill(0);
            (rows.scales[i], rows.zeros[i]) = (scale, zero as i32);
        }
        rows
    }

    /// The numbers, row by row.
    pub(super) fn bytes(&self) -> &[u8] {
        self.numbers.bytes()
    }

    /// Number of rows.
    pub(super) fn len(&self) -> usize {
        self.scales.len()
    }
}

/// What a step of a row is worth, its inverse, and the number that means 0. The range holds 0, which is then
/// exact.
fn range(row: &[f32]) -> (f32, f32, f32) {
    let (least, greatest) = least_and_greatest(row);
    steps(least, greatest)
}

/// The same of a range that holds 0.
pub(super) fn steps(least: f32, greatest: f32) -> (f32, f32, f32) {
    let width = greatest - least;
    // Below, the inverse would be no number.
    if width.is_nan() || width < 1e-30 {
        return (1.0, 1.0, 0.0);
    }
    let inverse = 255.0 / width;
    (width / 255.0, inverse, (-least * inverse).round_ties_even().clamp(0.0, 255.0))
}

simd_fn! {
    /// The least value, at most 0, and the greatest, at least 0.
    pub(crate) fn least_and_greatest(row: &[f32]) -> (f32, f32) {
        const LANES: usize = 32;
        let Some(last) = row.last_chunk::<LANES>() else {
            return row.iter().fold((0.0, 0.0), |(least, greatest), &v| (lesser(v, least), greater(v, greatest)));
        };
        // The last chunk may go over values once more, which changes nothing. What is indexed by no number known
        // here alone stays in registers.
        let (mut least, mut greatest) = ([0.0f32; LANES], [0.0f32; LANES]);
        let chunks = row.as_chunks::<LANES>().0;
        for at in 0..=chunks.len() {
            let chunk = chunks.get(at).unwrap_or(last);
            for i in 0..LANES {
                least[i] = lesser(chunk[i], least[i]);
                greatest[i] = greater(chunk[i], greatest[i]);
            }
        }
        let eight: [f32; 8] = std::array::from_fn(|i| {
            lesser(lesser(least[i], least[i + 8]), lesser(least[i + 16], least[i + 24]))
        });
        let two: [f32; 2] = std::array::from_fn(|i| lesser(lesser(eight[i], eight[i + 2]), lesser(eight[i + 4], eight[i + 6])));
        let least = lesser(two[0], two[1]);
        let eight: [f32; 8] = std::array::from_fn(|i| {
            greater(greater(greatest[i], greatest[i + 8]), greater(greatest[i + 16], greatest[i + 24]))
        });
        let two: [f32; 2] = std::array::from_fn(|i| greater(greater(eight[i], eight[i + 2]), greater(eight[i + 4], eight[i + 6])));
        (least, greater(two[0], two[1]))
    }
}

/// The first, if it is less; the second, too, where the first is no number.
#[inline(always)]
fn lesser(a: f32, b: f32) -> f32 {
    if a < b { a } else { b }
}

/// The first, if it is greater; the second, too, where the first is no number.
#[inline(always)]
fn greater(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

simd_fn! {
    /// The nearest whole numbers, ties to even.
    fn round(row: &[f32], inverse: f32, zero: f32, to: &mut [u8]) {
        // Adding 1.5 · 2^23 rounds to the nearest whole number, which then stands in the lowest bits.
        const ROUND: f32 = 12_582_912.0;
        for (to, &v) in to.iter_mut().zip(row) {
            *to = ((v * inverse + zero).clamp(0.0, 255.0) + ROUND).to_bits() as u8;
        }
    }
}

simd_fn! {
    /// The same, and what they are worth.
    fn round_back(row: &mut [f32], inverse: f32, zero: f32, scale: f32) {
        const ROUND: f32 = 12_582_912.0;
        for v in row.iter_mut() {
            let number = ((*v * inverse + zero).clamp(0.0, 255.0) + ROUND) - ROUND;
            *v = (number - zero) * scale;
        }
    }
}

/// Rows of `k` values, `stride` apart, become what products of 8 bits make of them: each is rounded by its own range.
pub(crate) fn round_rows(x: &mut [f32], k: usize, stride: usize) {
    for row in x.chunks_mut(stride.max(1)) {
        let row = &mut row[..k];
        let (scale, inverse, zero) = range(row);
        round_back(row, inverse, zero, scale);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_rounded_by_their_own_range() {
        let x = [0.5f32, -1.0, 2.0, 0.0, 0.25, 0.0, 0.0, 0.0, 0.0, 0.0, 3.0, 1.0, 2.0, 2.5, 1.0];
        let rows = Rows8::new(Mat::new(&x, 3, 5), Input::Dynamic);
        assert_eq!((rows.stride % STEPS, rows.len()), (0, 3));
        for (i, row) in x.chunks(5).enumerate() {
            for (j, &v) in row.iter().enumerate() {
                let number = i32::from(rows.bytes()[i * rows.stride + j]) - rows.zeros[i];
                assert!((number as f32 * rows.scales[i] - v).abs() <= 0.501 * rows.scales[i], "row {i}: {v}");
            }
            assert!(rows.bytes()[i * rows.stride..(i + 1) * rows.stride][5..].iter().all(|&b| b == 0));
        }
        assert_eq!(rows.zeros[2], 0, "a row without negative values begins at 0");
    }

    #[test]
    fn rows_that_are_rounded_are_worth_what_their_numbers_are() {
        let x: Vec<f32> = (0..3 * 70).map(|i| (i as f32 * 0.37).sin() * (i % 7) as f32).collect();
        let rows = Rows8::new(Mat::new(&x, 3, 70), Input::Dynamic);
        let mut rounded = x;
        round_rows(&mut rounded, 70, 70);
        for (i, row) in rounded.chunks(70).enumerate() {
            for (j, &v) in row.iter().enumerate() {
                let number = i32::from(rows.bytes()[i * rows.stride + j]) - rows.zeros[i];
                assert_eq!(v, number as f32 * rows.scales[i], "row {i}, column {j}");
            }
        }
    }

    #[test]
    fn one_range_cuts_off_what_is_beyond_it() {
        let input = Input::Static { scale: 0.5, zero: 100 };
        let rows = Rows8::new(Mat::new(&[0.0, -1.0, 1000.0, -1000.0, 0.24, 0.26], 1, 6), input);
        assert_eq!(rows.bytes()[..6], [100, 98, 255, 0, 100, 101]);
    }
}
