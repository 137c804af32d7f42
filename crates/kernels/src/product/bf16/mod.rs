//! Products of values that are rounded to bfloat16: 8 bits of exponent as f32, 8 of significand. Sums are f32.
//!
//! Two steps of the inner size lie in one word of 32 bits ("a pair"). A right operand is in panels of 32 columns, pair by
//! pair; a left one row by row. That is how AMX reads both, and how AVX-512 does with one word of a row spread over all
//! lanes. Units add products up in other orders, so that last bits differ from processor to processor. Where there is no
//! unit, values are rounded all the same and multiplied in f32: as good, but no faster.

mod pack;
mod tile;

pub(super) use pack::{pack_left, pack_right};

use super::{Into, LEFT, Packed, STEPS};
use std::ops::Range;
use tile::{Block, Unit};

/// Columns of a panel.
pub(super) const WIDE: usize = 32;

/// Rows of a tile, and what the rows of a left operand are filled up to parts of.
pub(super) const TALL: usize = 32;

/// Rows that a left operand is filled up to multiples of.
const SIDE: usize = 16;

/// Pairs that rows and panels are filled up to multiples of: a row of a register.
const DEEP: usize = 16;

/// Pairs of an inner size, filled up.
pub(super) fn pairs(k: usize) -> usize {
    k.div_ceil(2).next_multiple_of(DEEP)
}

/// Words of a left operand.
pub(super) fn words_left(rows: usize, k: usize) -> usize {
    rows.next_multiple_of(SIDE) * pairs(k)
}

/// Words of a right operand.
pub(super) fn words_right(columns: usize, k: usize) -> usize {
    columns.next_multiple_of(WIDE) * pairs(k)
}

/// Whether this processor has units that multiply bfloat16 faster than f32.
pub fn is_faster() -> bool {
    Unit::of_this_processor() != Unit::Portable
}

/// The nearest bfloat16, of two that are as near the even one, in the upper half of the bits; what is no number stays none.
#[inline(always)]
fn rounded(bits: u32) -> u32 {
    let up = bits.wrapping_add(0x7fff + (bits >> 16 & 1));
    let none = bits & 0x7fff_ffff > 0x7f80_0000;
    (if none { bits | 0x40_0000 } else { up }) & 0xffff_0000
}

/// Two values in one word, the first in the lower half. A word is kept as the f32 of its bits, and only ever moved.
#[inline(always)]
fn pair(first: f32, second: f32) -> f32 {
    f32::from_bits(rounded(first.to_bits()) >> 16 | rounded(second.to_bits()))
}

/// The two values of a word.
#[inline(always)]
fn apart(word: f32) -> [f32; 2] {
    [f32::from_bits(word.to_bits() << 16), f32::from_bits(word.to_bits() & 0xffff_0000)]
}

/// [`super::part`] of operands in bfloat16: of the inner size as many pairs at once as leave a panel in the nearest cache.
pub(super) fn part(
    c: &mut [f32],
    stride: usize,
    into: Into<'_>,
    alpha: f32,
    a: &Packed,
    b: &Packed,
    columns: Range<usize>,
) {
    let (apart, height) = (pairs(b.k), a.len());
    assert!(columns.start.is_multiple_of(WIDE) && columns.end <= b.len(), "columns begin with a panel and are there");
    // An empty sum is still written.
    for from in (0..apart.max(1)).step_by(STEPS / 2) {
        Block {
            size: (height, columns.len(), apart.min(from + STEPS / 2) - from),
            left: (&a.values()[from..], apart),
            right: (&b.values()[columns.start * apart + from * WIDE..], apart * WIDE),
            out: &mut *c,
            stride,
            into: if from == 0 { into } else { Into::Add },
            alpha,
        }
        .run();
    }
}

/// [`super::sum_of_products`] of operands in bfloat16.
pub(super) fn sum_of_products<'a>(
    c: &mut [f32],
    rows: Range<usize>,
    products: impl Iterator<Item = (&'a Packed, &'a Packed)> + Clone,
) {
    assert!(rows.start.is_multiple_of(TALL), "rows begin at a tile");
    for first in rows.clone().step_by(LEFT / STEPS) {
        let m = (LEFT / STEPS).min(rows.end - first);
        for (i, (a, b)) in products.clone().enumerate() {
            assert!(a.k == b.k && rows.end <= a.len(), "sizes of a product");
            let (n, words) = (b.len(), pairs(a.k));
            Block {
                size: (m, n, words),
                left: (&a.values()[first * words..], words),
                right: (b.values(), words * WIDE),
                out: &mut c[(first - rows.start) * n..],
                stride: n,
                into: if i == 0 { Into::Set } else { Into::Add },
                alpha: 1.0,
            }
            .run();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Mat, Precision, multiply, multiply_by, product};
    use super::*;

    #[test]
    fn values_become_the_nearest_and_what_is_none_stays_none() {
        // Between 1 and the next bfloat16 lie 2^16 values; in the middle the even one is taken.
        let (one, next) = (0x3f80_0000, 0x3f81_0000);
        for (bits, expected) in [
            (one, one),
            (one + 0x7fff, one),
            (one + 0x8000, one),
            (one + 0x8001, next),
            (next + 0x8000, next + 0x1_0000),
        ] {
            assert_eq!(rounded(bits), expected, "{bits:x}");
        }
        assert_eq!(f32::from_bits(rounded(f32::MAX.to_bits())), f32::INFINITY);
        assert!(f32::from_bits(rounded(0x7f80_0001)).is_nan() && f32::from_bits(rounded(f32::NAN.to_bits())).is_nan());
        assert_eq!(apart(pair(-1.5, f32::NEG_INFINITY)), [-1.5, f32::NEG_INFINITY]);
    }

    fn wave(n: usize, step: f32) -> Vec<f32> {
        (0..n).map(|i| (i as f32 * step).sin() * (1 + i % 3) as f32).collect()
    }

    /// `(rows, columns)` by columns.
    fn turned(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
        (0..rows * columns).map(|i| values[i % rows * columns + i / rows]).collect()
    }

    #[test]
    fn every_unit_gives_the_product_of_rounded_values_however_operands_lie() {
        let half = |values: &[f32]| values.iter().map(|v| f32::from_bits(rounded(v.to_bits()))).collect::<Vec<_>>();
        for (m, n, k) in
            [(1, 1, 1), (3, 5, 7), (17, 33, 9), (64, 64, 31), (29, 100, 384), (50, 70, 1100), (2, 32, 64), (5, 4, 0)]
        {
            let (a, b, bias) = (wave(m * k, 0.37), wave(k * n, 0.73), wave(n, 1.1));
            let (at, bt) = (turned(&a, m, k), turned(&b, k, n));
            let (exact_a, exact_b) = (half(&a), half(&b));
            let lefts = [Mat::new(&a, m, k), Mat::new(&at, k, m).t()];
            let rights = [Mat::new(&b, k, n), Mat::new(&bt, n, k).t()];
            let (stride, most) = (n + 3, 1e-6 * 9.0 * (k + 1) as f32);
            for (into, alpha) in [(Into::Set, 1.0), (Into::Bias(&bias[..]), 1.0), (Into::Add, -0.5)] {
                let mut expected = vec![0.25; m * stride];
                product(&mut expected, stride, into, alpha, Mat::new(&exact_a, m, k), Mat::new(&exact_b, k, n));
                let near = |what: &str, c: &[f32]| {
                    let worst = c.iter().zip(&expected).map(|(c, e)| (c - e).abs()).fold(0.0, f32::max);
                    assert!(worst <= most, "{what} ({m}, {n}, {k}) {into:?}: {worst}");
                };
                for (left, right) in lefts.iter().flat_map(|a| rights.iter().map(move |b| (*a, *b))) {
                    let (left, right) = (Packed::left(left, Precision::Bf16), Packed::right(right, Precision::Bf16));
                    for unit in Unit::all_of_this_processor() {
                        let mut c = vec![0.25; m * stride];
                        let words = pairs(k);
                        let block = Block {
                            size: (m, n, words),
                            left: (left.values(), words),
                            right: (right.values(), words * WIDE),
                            out: &mut c,
                            stride,
                            into,
                            alpha,
                        };
                        block.run_by(unit);
                        near(&format!("{unit:?}"), &c);
                    }
                }
                // In pieces of the inner size, and with the columns shared out.
                let mut c = vec![0.25; m * stride];
                let right = Packed::right(rights[1], Precision::Bf16);
                multiply(&mut c, stride, into, alpha, lefts[0], &right);
                near("pieces", &c);
                if alpha == 1.0 {
                    let mut shared = vec![0.25; m * stride];
                    multiply_by(3, &mut shared, stride, into, lefts[0], &right);
                    assert_eq!(shared, c, "columns shared out");
                }
            }
        }
    }
}
