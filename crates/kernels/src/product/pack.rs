//! Operands of a product laid out as its tiles read them.
//!
//! A panel is as many columns of the right operand (or rows of the left one) as a tile is wide (or
//! tall), stored step by step of the inner dimension, and filled up with zeros. Whoever multiplies by
//! the same matrix again keeps it packed.

use super::{Mat, Precision, bf16, tile};
use crate::parallel;
use crate::pool::Buffer;

/// An operand in panels.
#[derive(Debug)]
pub struct Packed {
    values: Buffer,
    /// Rows of a left operand, columns of a right one.
    len: usize,
    /// Inner size.
    pub(super) k: usize,
    /// Rows or columns of a panel; 0: not in panels but row-major `(len, k)`, for the portable product.
    width: usize,
    pub(super) precision: Precision,
}

/// Which operand.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

impl Packed {
    /// The left operand `(rows, k)`.
    pub(crate) fn left(a: Mat<'_>, precision: Precision) -> Self {
        let mut packed = Self::unfilled(a.rows, a.cols, Side::Left, precision);
        match precision {
            Precision::F32 => packed.fill(a, 1),
            Precision::Bf16 => bf16::pack_left(a, &mut packed.values),
        }
        packed
    }

    /// The right operand `(k, columns)`.
    pub fn right(b: Mat<'_>, precision: Precision) -> Self {
        Self::right_by(b, precision, 1)
    }

    /// The same by all threads: for weights, which are packed once and used by all.
    pub fn right_by_all(b: Mat<'_>, precision: Precision) -> Self {
        Self::right_by(b, precision, parallel::threads())
    }

    fn right_by(b: Mat<'_>, precision: Precision, threads: usize) -> Self {
        let mut packed = Self::unfilled(b.cols, b.rows, Side::Right, precision);
        match precision {
            Precision::F32 => packed.fill(b.t(), threads),
            Precision::Bf16 => bf16::pack_right(b.t(), threads, &mut packed.values),
        }
        packed
    }

    /// Rows of a left operand, columns of a right one.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Rows or columns at whose multiples a part of it may begin.
    pub(crate) fn step(&self) -> usize {
        self.width.max(1)
    }

    fn unfilled(len: usize, k: usize, side: Side, precision: Precision) -> Self {
        let (width, size) = match (precision, side) {
            (Precision::Bf16, Side::Left) => (bf16::TALL, bf16::words_left(len, k)),
            (Precision::Bf16, Side::Right) => (bf16::WIDE, bf16::words_right(len, k)),
            (Precision::F32, side) => {
                let width = tile::sizes().map_or(0, |(tall, wide)| if side == Side::Left { tall } else { wide });
                (width, if width == 0 { len * k } else { len.next_multiple_of(width) * k })
            }
        };
        Self { values: Buffer::new(size), len, k, width, precision }
    }

    pub(super) fn values(&self) -> &[f32] {
        &self.values
    }

    /// From a view whose rows are what panels are made of. `(len, k)`
    fn fill(&mut self, from: Mat<'_>, threads: usize) {
        let (len, k, width) = (self.len, self.k, self.width);
        if k == 0 || len == 0 {
            return;
        }
        if width == 0 {
            for (i, row) in self.values.chunks_exact_mut(k).enumerate() {
                row.iter_mut().enumerate().for_each(|(j, v)| *v = from.data[i * from.row + j * from.col]);
            }
            return;
        }
        let mut tasks = Vec::with_capacity(threads);
        let mut rest = &mut self.values[..];
        for panels in parallel::even(len.div_ceil(width), threads) {
            let (part, tail) = rest.split_at_mut(panels.len() * k * width);
            rest = tail;
            tasks.push((panels, part));
        }
        parallel::map(tasks, |(panels, part): (std::ops::Range<usize>, &mut [f32])| {
            let first = panels.start * width;
            let rows = (panels.end * width).min(len) - first;
            if from.row == 1 {
                copy(&from.data[first..], from.col, rows, width, k, part);
                return;
            }
            for (panel, out) in part.chunks_exact_mut(k * width).enumerate() {
                let rows = width.min(rows - panel * width);
                turn(&from.data[(first + panel * width) * from.row..], from.row, rows, width, k, out);
            }
        });
    }
}

/// Panels whose rows lie side by side, with `stride` values from step to step. Some steps of all panels
/// go before the next steps, since a step's values are neighbours and two steps may be pages apart.
fn copy(data: &[f32], stride: usize, rows: usize, width: usize, k: usize, out: &mut [f32]) {
    /// Copies of a known length are a few instructions.
    #[inline(always)]
    fn whole<const W: usize>(data: &[f32], stride: usize, out: &mut [f32]) {
        for (i, step) in out.as_chunks_mut::<W>().0.iter_mut().enumerate() {
            step.copy_from_slice(&data[i * stride..][..W]);
        }
    }
    const AT_ONCE: usize = 16;
    for begin in (0..k).step_by(AT_ONCE) {
        let steps = begin..k.min(begin + AT_ONCE);
        for (panel, out) in out.chunks_exact_mut(k * width).enumerate() {
            let out = &mut out[steps.start * width..steps.end * width];
            let there = width.min(rows - panel * width);
            let data = &data[begin * stride + panel * width..];
            match (there == width, width) {
                (true, 32) => whole::<32>(data, stride, out),
                (true, 16) => whole::<16>(data, stride, out),
                (true, 14) => whole::<14>(data, stride, out),
                (true, 6) => whole::<6>(data, stride, out),
                _ => {
                    for (i, step) in out.chunks_exact_mut(width).enumerate() {
                        step[..there].copy_from_slice(&data[i * stride..][..there]);
                        step[there..].fill(0.0);
                    }
                }
            }
        }
    }
}

/// A panel whose rows lie `stride` apart, each with its steps side by side.
pub(super) fn turn(data: &[f32], stride: usize, rows: usize, width: usize, k: usize, out: &mut [f32]) {
    assert!(rows <= width && out.len() == k * width && data.len() >= (rows - 1) * stride + k);
    #[cfg(target_arch = "x86_64")]
    if matches!(crate::simd::level(), crate::simd::Level::V4 | crate::simd::Level::V3) {
        // SAFETY: the level has AVX2; the sizes were asserted above.
        unsafe { turn_avx2(data, stride, rows, width, k, out) };
        return;
    }
    turn_rest(data, stride, 0..rows, width, 0..k, out);
    fill_up(rows, width, out);
}

/// The plain way, for a part of the rows and steps.
fn turn_rest(
    data: &[f32],
    stride: usize,
    rows: std::ops::Range<usize>,
    width: usize,
    steps: std::ops::Range<usize>,
    out: &mut [f32],
) {
    for step in steps {
        for row in rows.clone() {
            out[step * width + row] = data[row * stride + step];
        }
    }
}

/// Zeros where a panel has no rows.
fn fill_up(rows: usize, width: usize, out: &mut [f32]) {
    if rows < width {
        for step in out.chunks_exact_mut(width) {
            step[rows..].fill(0.0);
        }
    }
}

/// Eight rows by eight steps at a time, turned in registers.
///
/// # Safety
/// AVX2; `rows <= width`, `out` holds `k · width` values and `data` the rows.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn turn_avx2(data: &[f32], stride: usize, rows: usize, width: usize, k: usize, out: &mut [f32]) {
    use std::arch::x86_64::*;
    let whole_steps = k / 8 * 8;
    for step in (0..whole_steps).step_by(8) {
        for row in (0..rows).step_by(8) {
            let there = (rows - row).min(8);
            let mut r = [_mm256_setzero_ps(); 8];
            for (i, r) in r.iter_mut().enumerate().take(there) {
                // SAFETY: row + i < rows and step + 8 <= k.
                *r = unsafe { _mm256_loadu_ps(data.as_ptr().add((row + i) * stride + step)) };
            }
            let (a0, a1) = (_mm256_unpacklo_ps(r[0], r[1]), _mm256_unpackhi_ps(r[0], r[1]));
            let (a2, a3) = (_mm256_unpacklo_ps(r[2], r[3]), _mm256_unpackhi_ps(r[2], r[3]));
            let (a4, a5) = (_mm256_unpacklo_ps(r[4], r[5]), _mm256_unpackhi_ps(r[4], r[5]));
            let (a6, a7) = (_mm256_unpacklo_ps(r[6], r[7]), _mm256_unpackhi_ps(r[6], r[7]));
            let (b0, b1) = (_mm256_shuffle_ps::<0x44>(a0, a2), _mm256_shuffle_ps::<0xEE>(a0, a2));
            let (b2, b3) = (_mm256_shuffle_ps::<0x44>(a1, a3), _mm256_shuffle_ps::<0xEE>(a1, a3));
            let (b4, b5) = (_mm256_shuffle_ps::<0x44>(a4, a6), _mm256_shuffle_ps::<0xEE>(a4, a6));
            let (b6, b7) = (_mm256_shuffle_ps::<0x44>(a5, a7), _mm256_shuffle_ps::<0xEE>(a5, a7));
            let turned = [
                _mm256_permute2f128_ps::<0x20>(b0, b4),
                _mm256_permute2f128_ps::<0x20>(b1, b5),
                _mm256_permute2f128_ps::<0x20>(b2, b6),
                _mm256_permute2f128_ps::<0x20>(b3, b7),
                _mm256_permute2f128_ps::<0x31>(b0, b4),
                _mm256_permute2f128_ps::<0x31>(b1, b5),
                _mm256_permute2f128_ps::<0x31>(b2, b6),
                _mm256_permute2f128_ps::<0x31>(b3, b7),
            ];
            let room = (width - row).min(8);
            for (i, turned) in turned.into_iter().enumerate() {
                let at = (step + i) * width + row;
                if room == 8 {
                    // SAFETY: step + i < k and row + 8 <= width.
                    unsafe { _mm256_storeu_ps(out.as_mut_ptr().add(at), turned) };
                } else {
                    let mut values = [0.0f32; 8];
                    // SAFETY: eight values.
                    unsafe { _mm256_storeu_ps(values.as_mut_ptr(), turned) };
                    match room {
                        6 => out[at..at + 6].copy_from_slice(&values[..6]),
                        _ => out[at..at + room].copy_from_slice(&values[..room]),
                    }
                }
            }
        }
        // Panels that end before their width in whole groups of eight.
        for at in (rows.next_multiple_of(8)..width).step_by(8) {
            for i in 0..8 {
                out[(step + i) * width + at..(step + i) * width + width.min(at + 8)].fill(0.0);
            }
        }
    }
    turn_rest(data, stride, 0..rows, width, whole_steps..k, out);
    if whole_steps < k {
        fill_up(rows, width, &mut out[whole_steps * width..]);
    }
}
