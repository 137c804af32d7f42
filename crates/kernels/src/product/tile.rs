//! The innermost loops of a product: a tile of the result held in registers while the inner
//! dimension runs.
//!
//! A tile is `M` rows by `N` vectors. Each step takes `N` vectors of the right panel, and spreads one
//! value of the left panel for each row. Sizes are chosen so that all sums, a row of the right panel
//! and one spread value fill the registers: 14 × 2 with 32 registers of 16 lanes, 6 × 2 with 16 of 8,
//! 6 × 4 with 32 of 4.

use super::Into;
use crate::simd::fetch_rows;
use pulp::{Arch, Simd, WithSimd};

/// Rows and columns of a tile on this processor; `None` where no vector unit with fused
/// multiply-add is known, and the portable product serves.
pub(super) fn sizes() -> Option<(usize, usize)> {
    struct Sizes;
    impl WithSimd for Sizes {
        type Output = Option<(usize, usize)>;
        fn with_simd<S: Simd>(self, _: S) -> Self::Output {
            match S::F32_LANES {
                16 => Some((14, 32)),
                8 => Some((6, 16)),
                4 => Some((6, 16)),
                _ => None,
            }
        }
    }
    Arch::new().dispatch(Sizes)
}

/// The left operand of a block: in panels, or as it lies.
#[derive(Clone, Copy)]
pub(super) enum Left<'a> {
    /// Panels `(k, rows of a tile)`, so many values apart; the last one is filled up with zeros.
    Panels(&'a [f32], usize),
    /// Rows, so many values apart, each with its steps side by side.
    Rows(&'a [f32], usize),
}

/// A block of a product: every tile of it.
pub(super) struct Block<'a> {
    /// Rows, columns and inner size of the block.
    pub size: (usize, usize, usize),
    /// The left operand.
    pub left: Left<'a>,
    /// Right panels `(k, columns of a tile)`; the last one is filled up with zeros.
    pub right: &'a [f32],
    /// Values from one right panel to the next.
    pub right_stride: usize,
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
        Arch::new().dispatch(self);
    }
}

impl WithSimd for Block<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match S::F32_LANES {
            16 => all::<S, 2>(simd, self, 14),
            8 => all::<S, 2>(simd, self, 6),
            _ => all::<S, 4>(simd, self, 6),
        }
    }
}

/// All tiles: right panel by right panel, since a right panel is what stays in the nearest cache.
#[inline(always)]
fn all<S: Simd, const N: usize>(simd: S, block: Block<'_>, tall: usize) {
    let (m, n, k) = block.size;
    let wide = N * S::F32_LANES;
    let Block { left, right, right_stride, out, stride, into, alpha, .. } = block;
    for first in (0..n).step_by(wide) {
        let columns = wide.min(n - first);
        let panel = &right[first / wide * right_stride..][..k * wide];
        let into = match into {
            Into::Bias(bias) => Into::Bias(&bias[first..first + columns]),
            other => other,
        };
        for row in (0..m).step_by(tall) {
            let rows = tall.min(m - row);
            let out = &mut out[row * stride + first..];
            macro_rules! tile {
                ($left:expr, $direct:literal: $($rows:literal)*) => {
                    match rows {
                        $($rows => tile::<S, $rows, N, $direct>(simd, k, $left, panel, out, stride, columns, into, alpha),)*
                        _ => unreachable!("a tile has at most {tall} rows"),
                    }
                };
            }
            match left {
                Left::Panels(left, apart) => {
                    let left = (&left[row / tall * apart..][..k * tall], tall);
                    if S::F32_LANES == 16 {
                        tile!(left, false: 1 2 3 4 5 6 7 8 9 10 11 12 13 14)
                    } else {
                        tile!(left, false: 1 2 3 4 5 6)
                    }
                }
                Left::Rows(left, apart) => {
                    let left = (&left[row * apart..], apart);
                    if S::F32_LANES == 16 {
                        tile!(left, true: 1 2 3 4 5 6 7 8 9 10 11 12 13 14)
                    } else {
                        tile!(left, true: 1 2 3 4 5 6)
                    }
                }
            }
        }
    }
}

/// One tile: `out (M, columns)` from `left` and `right (k, N vectors)`. Values of the left operand lie
/// row beside row with `apart` values from step to step, or (`DIRECT`) step beside step with `apart`
/// values from row to row.
#[inline(always)]
fn tile<S: Simd, const M: usize, const N: usize, const DIRECT: bool>(
    simd: S,
    k: usize,
    (left, apart): (&[f32], usize),
    right: &[f32],
    out: &mut [f32],
    stride: usize,
    columns: usize,
    into: Into<'_>,
    alpha: f32,
) {
    let lanes = S::F32_LANES;
    let reach = if DIRECT { (M - 1) * apart + k } else { k * apart };
    assert!((DIRECT || apart >= M) && left.len() >= reach && right.len() == k * N * lanes);
    assert!(out.len() >= (M - 1) * stride + columns);
    fetch_rows(out, M, columns, stride);
    let mut sums = [[simd.splat_f32s(0.0); N]; M];
    let (mut a, mut b) = (left.as_ptr(), right.as_ptr());
    for _ in 0..k {
        // SAFETY: `left` has M values for each of k steps, and `right` N vectors (asserted above).
        unsafe {
            let row: [S::f32s; N] = std::array::from_fn(|j| load::<S>(b.add(j * lanes)));
            for (i, sums) in sums.iter_mut().enumerate() {
                let value = simd.splat_f32s(*a.add(if DIRECT { i * apart } else { i }));
                for (sum, &row) in sums.iter_mut().zip(&row) {
                    *sum = simd.mul_add_f32s(value, row, *sum);
                }
            }
            a = a.add(if DIRECT { 1 } else { apart });
            b = b.add(N * lanes);
        }
    }
    if alpha != 1.0 {
        let alpha = simd.splat_f32s(alpha);
        for sum in sums.as_flattened_mut() {
            *sum = simd.mul_f32s(*sum, alpha);
        }
    }
    if columns == N * lanes {
        let out = out.as_mut_ptr();
        // One short loop for each way, so that it is unrolled and the sums never leave their registers.
        // SAFETY: row i has `columns` values, N vectors, at i · stride in `out`, and as many in the bias.
        unsafe {
            match into {
                Into::Set => each(&sums, |i, j, sum| store::<S>(out.add(i * stride + j * lanes), sum)),
                Into::Add => each(&sums, |i, j, sum| {
                    let at = out.add(i * stride + j * lanes);
                    store::<S>(at, simd.add_f32s(sum, load::<S>(at)));
                }),
                Into::Bias(bias) => each(&sums, |i, j, sum| {
                    let bias = load::<S>(bias.as_ptr().add(j * lanes));
                    store::<S>(out.add(i * stride + j * lanes), simd.add_f32s(sum, bias));
                }),
            }
        }
        return;
    }
    // The last columns: through rows that are as wide as a tile.
    let mut rows = [[0.0f32; 32]; M];
    // SAFETY: N vectors are at most 32 values.
    each(&sums, |i, j, sum| unsafe { store::<S>(rows[i].as_mut_ptr().add(j * lanes), sum) });
    for (i, row) in rows.iter().enumerate() {
        let out = &mut out[i * stride..][..columns];
        match into {
            Into::Set => out.copy_from_slice(&row[..columns]),
            Into::Add => out.iter_mut().zip(row).for_each(|(o, &v)| *o += v),
            Into::Bias(bias) => out.iter_mut().zip(row).zip(bias).for_each(|((o, &v), &b)| *o = v + b),
        }
    }
}

/// Calls `f` with row, vector and value of each sum.
#[inline(always)]
pub(super) fn each<V: Copy, const M: usize, const N: usize>(sums: &[[V; N]; M], mut f: impl FnMut(usize, usize, V)) {
    for (i, row) in sums.iter().enumerate() {
        for (j, &value) in row.iter().enumerate() {
            f(i, j, value);
        }
    }
}

/// # Safety
/// A vector's values can be read there.
#[inline(always)]
unsafe fn load<S: Simd>(at: *const f32) -> S::f32s {
    // SAFETY: the caller's promise.
    unsafe { at.cast::<S::f32s>().read_unaligned() }
}

/// # Safety
/// A vector's values can be written there.
#[inline(always)]
unsafe fn store<S: Simd>(at: *mut f32, value: S::f32s) {
    // SAFETY: the caller's promise.
    unsafe { at.cast::<S::f32s>().write_unaligned(value) }
}
