//! The innermost loops: a tile of sums in registers while the inner size runs.

use super::{TALL, WIDE, apart};
use crate::pool::Buffer;
use crate::product::{self, Into, Mat};
use crate::simd::simd_fn;

/// What multiplies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// Tiles of AMX.
    #[cfg(target_arch = "x86_64")]
    Amx,
    /// AVX-512's sums of two products in each lane.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// Products in f32.
    Portable,
}

impl Unit {
    /// The best that this processor has; the standard library caches the detection.
    pub fn of_this_processor() -> Self {
        #[cfg(target_arch = "x86_64")]
        if crate::simd::level() == crate::simd::Level::V4 {
            if crate::amx::available().bf16 {
                return Self::Amx;
            }
            if is_x86_feature_detected!("avx512bf16") {
                return Self::Avx512;
            }
        }
        Self::Portable
    }

    /// The best for so many rows: a register of AMX is multiplied whole, however few of its rows are there.
    fn for_rows(rows: usize) -> Self {
        match Self::of_this_processor() {
            #[cfg(target_arch = "x86_64")]
            Self::Amx if rows < 4 && is_x86_feature_detected!("avx512bf16") => Self::Avx512,
            unit => unit,
        }
    }

    /// All that this processor has.
    #[cfg(test)]
    pub fn all_of_this_processor() -> Vec<Self> {
        let mut all = vec![Self::Portable];
        #[cfg(target_arch = "x86_64")]
        {
            let best = Self::of_this_processor();
            if best != Self::Portable && is_x86_feature_detected!("avx512bf16") {
                all.push(Self::Avx512);
            }
            if best == Self::Amx {
                all.push(best);
            }
        }
        all
    }
}

/// A block of a product: every tile of it.
pub(super) struct Block<'a> {
    /// Rows, columns, pairs of the inner size.
    pub size: (usize, usize, usize),
    /// The left operand, row by row, and words from row to row; rows are filled up to whole registers.
    pub left: (&'a [f32], usize),
    /// Right panels `(pairs, 32)`, and words from one to the next.
    pub right: (&'a [f32], usize),
    /// The result's rows.
    pub out: &'a mut [f32],
    /// Values from row to row of the result.
    pub stride: usize,
    /// What becomes of the values there.
    pub into: Into<'a>,
    /// The product is multiplied by this.
    pub alpha: f32,
}

impl Block<'_> {
    /// Computes the block.
    pub fn run(self) {
        let unit = Unit::for_rows(self.size.0);
        self.run_by(unit);
    }

    /// The same by a unit of this processor.
    pub fn run_by(self, unit: Unit) {
        let (m, n, words) = self.size;
        let ((left, apart), (right, next)) = (self.left, self.right);
        if m == 0 || n == 0 {
            return;
        }
        let rows = m.next_multiple_of(super::SIDE);
        assert!(words <= apart && left.len() >= (rows - 1) * apart + words, "rows that fill whole registers");
        assert!(
            words.is_multiple_of(super::DEEP) && right.len() >= (n.div_ceil(WIDE) - 1) * next + words * WIDE,
            "whole panels"
        );
        assert!(!matches!(self.into, Into::Bias(bias) if bias.len() != n), "a bias for each column");
        assert!(n <= self.stride && self.out.len() >= (m - 1) * self.stride + n, "product {m}x{n}");
        match unit {
            // SAFETY: whoever names a unit found it on this processor; the sizes were asserted.
            #[cfg(target_arch = "x86_64")]
            Unit::Amx => unsafe { x86::amx(self) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Unit::Avx512 => unsafe { x86::avx512(self) },
            Unit::Portable => self.portable(),
        }
    }

    /// Both operands apart again, and a product in f32.
    fn portable(self) {
        let (m, n, words) = self.size;
        let ((left, from_row), (right, next)) = (self.left, self.right);
        let k = 2 * words;
        let (mut a, mut b) = (Buffer::new(m * k), Buffer::new(k * n));
        for (i, a) in a.chunks_exact_mut(k.max(1)).enumerate() {
            for (both, &word) in a.as_chunks_mut::<2>().0.iter_mut().zip(&left[i * from_row..]) {
                *both = apart(word);
            }
        }
        for first in (0..n).step_by(WIDE) {
            let panel = &right[first / WIDE * next..];
            for p in 0..words {
                for j in first..n.min(first + WIDE) {
                    let both = apart(panel[p * WIDE + j - first]);
                    (b[2 * p * n + j], b[(2 * p + 1) * n + j]) = (both[0], both[1]);
                }
            }
        }
        product::product(self.out, self.stride, self.into, self.alpha, Mat::new(&a, m, k), Mat::new(&b, k, n));
    }

    /// Writes some rows of sums, from row and column `at`.
    #[inline(always)]
    fn finish(&mut self, at: (usize, usize), rows: usize, sums: &[[f32; WIDE]; TALL]) {
        let (row, first) = at;
        let columns = WIDE.min(self.size.1 - first);
        let into = match self.into {
            Into::Bias(bias) => Into::Bias(&bias[first..first + columns]),
            other => other,
        };
        write(&sums[..rows], self.alpha, into, columns, &mut self.out[row * self.stride + first..], self.stride);
    }
}

simd_fn! {
    /// Sums become values.
    fn write(sums: &[[f32; WIDE]], alpha: f32, into: Into<'_>, columns: usize, out: &mut [f32], stride: usize) {
        let mut bias = [0.0; WIDE];
        if let Into::Bias(given) = into {
            bias[..columns].copy_from_slice(given);
        }
        for (i, sums) in sums.iter().enumerate() {
            let out = &mut out[i * stride..][..columns];
            let mut values = [0.0; WIDE];
            for j in 0..WIDE {
                values[j] = sums[j] * alpha + bias[j];
            }
            match (out.as_mut_array::<WIDE>(), into == Into::Add) {
                (Some(out), true) => (0..WIDE).for_each(|j| out[j] += values[j]),
                (Some(out), false) => *out = values,
                (None, true) => out.iter_mut().zip(values).for_each(|(out, value)| *out += value),
                (None, false) => out.copy_from_slice(&values[..columns]),
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::super::{DEEP, SIDE};
    use super::{Block, TALL, WIDE};
    use crate::amx::{self, Operands, Registers, Sums};
    use crate::product::Into;
    use crate::product::tile::each;
    use crate::simd::fetch_rows;
    use std::arch::x86_64::*;

    /// # Safety
    /// AMX with bfloat16 is available; the block's sizes were looked at.
    pub unsafe fn amx(mut block: Block<'_>) {
        let (m, n, words) = block.size;
        let ((left, apart), (right, next)) = (block.left, block.right);
        let mut sums = Sums::ZERO;
        // SAFETY: AMX is available.
        let _registers = unsafe { Registers::set_up() };
        for first in (0..n).step_by(WIDE) {
            // Tiles that are whole begin with what they are added to, and are stored where they belong.
            let whole_columns = first + WIDE <= n && block.alpha == 1.0;
            for row in (0..m).step_by(TALL) {
                let rows = TALL.min(m - row);
                let whole = whole_columns && rows.is_multiple_of(SIDE);
                // SAFETY: registers are set up; rows up to the next sixteenth and the panel are there, and of a whole tile
                // all of the result and of the bias.
                unsafe {
                    let left = (left.as_ptr().add(row * apart).cast(), 4 * apart);
                    let panel = right.as_ptr().add(first / WIDE * next).cast();
                    let given = Operands { left, panel, steps: words / DEEP };
                    if !whole {
                        amx::tile_of_pairs(rows, given, amx::from_nothing(), sums.place());
                        block.finish((row, first), rows, sums.floats());
                        continue;
                    }
                    let to = (block.out.as_mut_ptr().add(row * block.stride + first), 4 * block.stride);
                    let from = match block.into {
                        Into::Set => amx::from_nothing(),
                        // The same row for all.
                        Into::Bias(bias) => (bias.as_ptr().add(first), 0),
                        Into::Add => (to.0.cast_const(), to.1),
                    };
                    amx::tile_of_pairs(rows, given, from, to);
                }
            }
        }
    }

    /// # Safety
    /// AVX-512 with bfloat16; the block's sizes were looked at.
    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx512bf16")]
    pub unsafe fn avx512(mut block: Block<'_>) {
        const ROWS: usize = 14;
        let (m, n, words) = block.size;
        let ((left, apart), (right, next)) = (block.left, block.right);
        for first in (0..n).step_by(WIDE) {
            let panel = &right[first / WIDE * next..][..words * WIDE];
            for row in (0..m).step_by(ROWS) {
                let rows = ROWS.min(m - row);
                fetch_rows(&block.out[row * block.stride + first..], rows, WIDE.min(n - first), block.stride);
                // SAFETY: so many rows and the panel are there, and the processor has the instructions.
                unsafe {
                    let left = left.as_ptr().add(row * apart);
                    macro_rules! tile {
                        ($($rows:literal)*) => {
                            match rows {
                                $($rows => tile::<$rows>(left, apart, panel, &mut block, (row, first)),)*
                                _ => unreachable!("a tile has at most {ROWS} rows"),
                            }
                        };
                    }
                    tile!(1 2 3 4 5 6 7 8 9 10 11 12 13 14);
                }
            }
        }
    }

    /// A tile whose sums never leave their registers: from there they go to the result, but for its last columns.
    ///
    /// # Safety
    /// The left operand has `M` rows as deep as the panel, `apart` words from row to row; the result has as many from
    /// row and column `at`; AVX-512 with bfloat16.
    #[inline]
    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx512bf16")]
    unsafe fn tile<const M: usize>(
        left: *const f32,
        apart: usize,
        panel: &[f32],
        block: &mut Block<'_>,
        at: (usize, usize),
    ) {
        let mut sums = [[_mm512_setzero_ps(); 2]; M];
        for (p, line) in panel.as_chunks::<WIDE>().0.iter().enumerate() {
            // SAFETY: a line is two vectors; rows are as long as the caller promises. Any bits are a vector.
            unsafe {
                let w: [__m512bh; 2] =
                    std::array::from_fn(|j| std::mem::transmute(_mm512_loadu_ps(line.as_ptr().add(16 * j))));
                for (i, sums) in sums.iter_mut().enumerate() {
                    let x: __m512bh = std::mem::transmute(_mm512_set1_ps(*left.add(i * apart + p)));
                    for (sum, w) in sums.iter_mut().zip(w) {
                        *sum = _mm512_dpbf16_ps(*sum, x, w);
                    }
                }
            }
        }
        let (row, first) = at;
        if first + WIDE > block.size.1 {
            let mut rows = [[0.0; WIDE]; TALL];
            // SAFETY: a row is two vectors.
            each(&sums, |i, j, sum| unsafe { _mm512_storeu_ps(rows[i].as_mut_ptr().add(16 * j), sum) });
            return block.finish(at, M, &rows);
        }
        let (stride, alpha) = (block.stride, _mm512_set1_ps(block.alpha));
        let out = &mut block.out[row * stride + first..];
        assert!(out.len() >= (M - 1) * stride + WIDE, "a row of the result for each of the left operand");
        let out = out.as_mut_ptr();
        // As in the product of f32, a short loop for each way; the arithmetic is that of `write`.
        // SAFETY: row i is two vectors at i times stride, as was asserted, and so is a panel's part of the bias.
        unsafe {
            match block.into {
                Into::Set => each(&sums, |i, j, sum| {
                    let value = _mm512_add_ps(_mm512_mul_ps(sum, alpha), _mm512_setzero_ps());
                    _mm512_storeu_ps(out.add(i * stride + 16 * j), value);
                }),
                Into::Add => each(&sums, |i, j, sum| {
                    let to = out.add(i * stride + 16 * j);
                    _mm512_storeu_ps(to, _mm512_add_ps(_mm512_loadu_ps(to), _mm512_mul_ps(sum, alpha)));
                }),
                Into::Bias(bias) => {
                    let bias = &bias[first..first + WIDE];
                    each(&sums, |i, j, sum| {
                        let bias = _mm512_loadu_ps(bias.as_ptr().add(16 * j));
                        let value = _mm512_add_ps(_mm512_mul_ps(sum, alpha), bias);
                        _mm512_storeu_ps(out.add(i * stride + 16 * j), value);
                    });
                }
            }
        }
    }
}
