//! Dropout from a counter-based hash: the same mask again in the backward pass, on any thread.
//!
//! An element is named by a stream's key, a 64-bit row and a column. A row's key comes from a
//! 64-bit mix; within the row a 32-bit hash per element is enough and vectorizes.

use crate::simd::simd_fn;

/// A dropout at rate `p`; kept values are scaled by 1 / (1 - p).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    /// The stream's key.
    pub key: u64,
    /// Probability of zero, in [0, 1).
    pub p: f32,
}

impl Dropout {
    /// Scale of kept values.
    #[inline(always)]
    pub fn keep_scale(&self) -> f32 {
        1.0 / (1.0 - self.p)
    }

    /// A value is dropped when its hash is below this.
    #[inline(always)]
    fn threshold(&self) -> u32 {
        (f64::from(self.p) * 4_294_967_296.0) as u32
    }

    /// The key of a row.
    #[inline(always)]
    fn row_key(&self, row: u64) -> u32 {
        // SplitMix64's finalizer.
        let mut z = self.key ^ row.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) as u32
    }

    /// Multiplies row `row` by its mask, in place.
    pub fn apply(&self, row: u64, x: &mut [f32]) {
        self.apply_from(row, 0, x);
    }

    /// Multiplies a part of row `row`, which begins with column `first`, by its mask, in place.
    pub fn apply_from(&self, row: u64, first: usize, x: &mut [f32]) {
        if self.p > 0.0 {
            apply_row(self.row_key(row), first as u32, self.threshold(), self.keep_scale(), x);
        }
    }

    /// Multiplies consecutive rows, the first of which is `row`, each `width` long, in place.
    pub fn apply_rows(&self, row: u64, width: usize, x: &mut [f32]) {
        for (i, x) in x.chunks_exact_mut(width).enumerate() {
            self.apply(row + i as u64, x);
        }
    }

    /// The mask itself (0 or the scale) of consecutive rows; what the plain twin multiplies by.
    pub fn mask(&self, row: u64, rows: usize, width: usize) -> Vec<f32> {
        let mut mask = vec![1.0; rows * width];
        self.apply_rows(row, width, &mut mask);
        mask
    }
}

simd_fn! {
    fn apply_row(key: u32, first: u32, threshold: u32, keep: f32, x: &mut [f32]) {
        for (i, x) in x.iter_mut().enumerate() {
            let mut z = key.wrapping_add(first.wrapping_add(i as u32).wrapping_mul(0x9E37_79B9));
            z = (z ^ (z >> 16)).wrapping_mul(0x7FEB_352D);
            z = (z ^ (z >> 15)).wrapping_mul(0x846C_A68B);
            z ^= z >> 16;
            *x *= if z >= threshold { keep } else { 0.0 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_is_right_in_all_and_in_rows_and_columns() {
        for p in [0.1f32, 0.5, 0.03] {
            let d = Dropout { key: 77, p };
            let (rows, width) = (2000, 300);
            let mask = d.mask(5, rows, width);
            let dropped = |v: &[f32]| v.iter().filter(|&&m| m == 0.0).count() as f64 / v.len() as f64;
            assert!((dropped(&mask) - f64::from(p)).abs() < 2e-3, "rate {}", dropped(&mask));
            for c in 0..width {
                let column: Vec<f32> = (0..rows).map(|r| mask[r * width + c]).collect();
                let sd = (f64::from(p) * (1.0 - f64::from(p)) / rows as f64).sqrt();
                assert!((dropped(&column) - f64::from(p)).abs() < 5.0 * sd, "column {c}: {}", dropped(&column));
            }
            assert!(mask.iter().all(|&m| m == 0.0 || m == d.keep_scale()));
        }
    }

    #[test]
    fn rows_are_named_by_64_bits_and_keys_differ() {
        let d = Dropout { key: 1, p: 0.5 };
        assert_eq!(d.mask(10, 2, 64)[64..], d.mask(11, 1, 64));
        assert_ne!(d.mask(0, 1, 64), d.mask(1 << 32, 1, 64));
        assert_ne!(d.mask(0, 1, 64), Dropout { key: 2, p: 0.5 }.mask(0, 1, 64));
    }

    #[test]
    fn a_part_of_a_row_has_its_part_of_the_mask() {
        let d = Dropout { key: 9, p: 0.4 };
        let mut part = vec![1.0; 50];
        d.apply_from(3, 14, &mut part);
        assert_eq!(part, d.mask(3, 1, 64)[14..]);
    }

    #[test]
    fn no_dropout_at_rate_zero() {
        let mut x = vec![1.5; 10];
        Dropout { key: 1, p: 0.0 }.apply(0, &mut x);
        assert_eq!(x, vec![1.5; 10]);
    }
}
