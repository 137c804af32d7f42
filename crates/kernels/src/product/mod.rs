//! Matrix products over views of slices, on the calling thread.
//!
//! The right operand is packed into panels ([`Packed`]), the left one too where its rows do not lie
//! side by side; then tiles of the result are computed in registers ([`tile`]). Goto & van de Geijn
//! 2008; blocks are chosen for the products of an encoder: some hundred rows, and inner sizes that
//! mostly need no cutting.

mod bf16;
mod pack;
mod tile;

pub use bf16::is_faster as bf16_is_faster;
pub use pack::Packed;

use crate::parallel;
use crate::pool::Buffer;
use std::ops::Range;
use tile::Left;

/// A read-only matrix: element (i, j) is `data[i * row + j * col]`.
#[derive(Clone, Copy, Debug)]
pub struct Mat<'a> {
    data: &'a [f32],
    rows: usize,
    cols: usize,
    row: usize,
    col: usize,
}

impl<'a> Mat<'a> {
    /// Row-major, with `stride` values from row to row. Panics if the slice is too short.
    pub fn strided(data: &'a [f32], rows: usize, cols: usize, stride: usize) -> Self {
        assert!(
            fits(data.len(), rows, cols, stride),
            "matrix {rows}x{cols} (stride {stride}) in {} values",
            data.len()
        );
        Self { data, rows, cols, row: stride, col: 1 }
    }
    /// Row-major and dense.
    pub fn new(data: &'a [f32], rows: usize, cols: usize) -> Self {
        Self::strided(data, rows, cols, cols)
    }
    /// Some of the rows. Panics if they are not there.
    #[must_use]
    pub fn rows(self, range: Range<usize>) -> Self {
        assert!(range.start <= range.end && range.end <= self.rows, "rows {range:?} of {}", self.rows);
        // A range that is empty may begin behind the last value.
        let data = self.data.get(range.start * self.row..).unwrap_or_default();
        Self { data, rows: range.len(), ..self }
    }
    /// Rows and columns.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.rows, self.cols)
    }
    /// The values of a row. Panics unless they lie side by side.
    pub(crate) fn row(&self, row: usize) -> &'a [f32] {
        assert!(self.col == 1 && row < self.rows, "rows of a view whose columns lie side by side");
        &self.data[row * self.row..][..self.cols]
    }
    /// Transposed view.
    #[must_use]
    pub fn t(self) -> Self {
        Self { rows: self.cols, cols: self.rows, row: self.col, col: self.row, ..self }
    }
}

/// What the values of a product are rounded to before they are multiplied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// Nothing.
    #[default]
    F32,
    /// bfloat16; sums are f32.
    Bf16,
}

/// What becomes of the values a product is written over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Into<'a> {
    /// They are replaced.
    Set,
    /// They are replaced, and this row is added to every row of the product.
    Bias(&'a [f32]),
    /// The product is added to them.
    Add,
}

/// Steps of the inner dimension that are done at once: the panels of a tile then stay in the second
/// cache.
const STEPS: usize = 512;

/// Values of the left operand that stay in the second cache while all right panels pass.
const LEFT: usize = 128 * 1024;

/// Rows of a tile in f32: work that is cut at multiples of it leaves no tile half full.
pub fn tall() -> usize {
    tile::sizes().map_or(1, |(tall, _)| tall)
}

/// Values from row to row at whose multiples rows displace each other: half a page, and a cache of
/// 32 KiB has eight places for what lies a page apart.
const ALIASING: usize = 512;

/// Values from row to row for a left operand of so many columns: as many, or a few more where its rows
/// would displace each other.
pub(crate) fn stride(columns: usize) -> usize {
    if columns.is_multiple_of(ALIASING) { columns + 16 } else { columns }
}

/// `c = alpha · a·b` (or `c +=`), with `stride` values from row to row of `c`.
///
/// Panics if the sizes do not agree.
pub fn product(c: &mut [f32], stride: usize, into: Into<'_>, alpha: f32, a: Mat<'_>, b: Mat<'_>) {
    assert_eq!(a.cols, b.rows, "inner sizes of a product");
    multiply(c, stride, into, alpha, a, &Packed::right(b, Precision::F32));
}

/// The same with a right operand that is packed.
pub fn multiply(c: &mut [f32], stride: usize, into: Into<'_>, alpha: f32, a: Mat<'_>, b: &Packed) {
    assert_eq!(a.cols, b.k, "inner sizes of a product");
    part(c, stride, into, alpha, a, b, 0, 0..b.len());
}

/// Columns at whose multiples a part of an operand that is packed in f32 may begin.
pub(crate) fn wide() -> usize {
    tile::sizes().map_or(1, |(_, wide)| wide)
}

/// The same, with the columns shared out to so many threads: for products too small to share out the
/// rows. The values are those of [`multiply`].
pub fn multiply_by(threads: usize, c: &mut [f32], stride: usize, into: Into<'_>, a: Mat<'_>, b: &Packed) {
    if threads <= 1 || wide() == 1 {
        return multiply(c, stride, into, 1.0, a, b);
    }
    let wide = b.step();
    let ranges = parallel::even(b.len().div_ceil(wide), threads);
    let ranges = ranges.into_iter().map(|panels| panels.start * wide..b.len().min(panels.end * wide)).collect();
    let parts = parallel::map(ranges, |range: Range<usize>| {
        let mut part = Buffer::new(a.rows * range.len());
        let into = match into {
            Into::Bias(bias) => Into::Bias(&bias[range.clone()]),
            _ => Into::Set,
        };
        self::part(&mut part, range.len(), into, 1.0, a, b, 0, range.clone());
        (range, part)
    });
    for (range, part) in parts {
        for (c, part) in c.chunks_mut(stride).zip(part.chunks_exact(range.len())) {
            match into {
                Into::Add => crate::math::add(&mut c[range.clone()], part),
                _ => c[range.clone()].copy_from_slice(part),
            }
        }
    }
}

/// The product with a part of `b`: as many of its rows as `a` has columns, from row `from`, and some of
/// its columns, the first of which is a multiple of [`wide`].
pub(crate) fn part(
    c: &mut [f32],
    stride: usize,
    into: Into<'_>,
    alpha: f32,
    a: Mat<'_>,
    b: &Packed,
    from: usize,
    columns: Range<usize>,
) {
    let (m, n, k) = (a.rows, columns.len(), a.cols);
    assert!(from + k <= b.k, "inner sizes of a product");
    assert!(fits(c.len(), m, n, stride), "product {m}x{n} (stride {stride}) in {} values", c.len());
    if let Into::Bias(bias) = into {
        assert_eq!(bias.len(), n, "a bias for each column");
    }
    if m == 0 || n == 0 {
        return;
    }
    if b.precision == Precision::Bf16 {
        assert_eq!((from, k), (0, b.k), "all steps of an operand in bfloat16");
        return bf16::part(c, stride, into, alpha, &Packed::left(a, Precision::Bf16), b, columns);
    }
    let Some((tall, wide)) = tile::sizes() else {
        return portable(c, stride, into, alpha, a, b, from, columns);
    };
    assert!(columns.start.is_multiple_of(wide) && columns.end <= b.len(), "columns begin with a panel and are there");
    // Rows with their steps side by side are read as they lie, unless they are so far apart that all
    // of a tile fall into the same places of the nearest cache. Columns would be read in pieces.
    let packed = (a.col != 1 || a.row.is_multiple_of(ALIASING) && m > tall).then(|| Packed::left(a, Precision::F32));
    // An empty sum is still written.
    let blocks = k.div_ceil(STEPS).max(1);
    for block in 0..blocks {
        let steps = k * block / blocks..k * (block + 1) / blocks;
        let height = (LEFT / steps.len().max(1) / tall).max(1) * tall;
        for first in (0..m).step_by(height) {
            let left = match &packed {
                Some(left) => Left::Panels(&left.values()[first * k + steps.start * tall..], k * tall),
                // Without steps a row may begin behind the last value.
                None => Left::Rows(a.data.get(first * a.row + steps.start..).unwrap_or_default(), a.row),
            };
            tile::Block {
                size: (height.min(m - first), n, steps.len()),
                left,
                right: &b.values()[columns.start * b.k + (from + steps.start) * wide..],
                right_stride: b.k * wide,
                out: &mut c[first * stride..],
                stride,
                into: if block == 0 { into } else { Into::Add },
                alpha,
            }
            .run();
        }
    }
}

/// Rows `rows` of the sum of the products of packed operands, all in one precision; `c` is dense. A part of `c` stays in the
/// cache while all products pass over it.
pub(crate) fn sum_of_products<'a>(
    c: &mut [f32],
    rows: Range<usize>,
    products: impl Iterator<Item = (&'a Packed, &'a Packed)> + Clone,
) {
    if products.clone().next().is_some_and(|(a, _)| a.precision == Precision::Bf16) {
        return bf16::sum_of_products(c, rows, products);
    }
    let Some((tall, wide)) = tile::sizes() else {
        for (a, b) in products {
            let a = Mat::new(a.values(), a.len(), a.k).rows(rows.clone());
            portable(c, b.len(), Into::Add, 1.0, a, b, 0, 0..b.len());
        }
        return;
    };
    assert!(rows.start.is_multiple_of(tall), "rows begin at a tile");
    let height = (LEFT / STEPS / tall).max(1) * tall;
    for first in rows.clone().step_by(height) {
        let m = height.min(rows.end - first);
        for (i, (a, b)) in products.clone().enumerate() {
            assert!(a.k == b.k && rows.end <= a.len(), "sizes of a product");
            let (n, k) = (b.len(), a.k);
            tile::Block {
                size: (m, n, k),
                left: Left::Panels(&a.values()[first * k..], k * tall),
                right: b.values(),
                right_stride: k * wide,
                out: &mut c[(first - rows.start) * n..],
                stride: n,
                into: if i == 0 { Into::Set } else { Into::Add },
                alpha: 1.0,
            }
            .run();
        }
    }
}

/// Where no vector unit is known that [`tile`] is written for.
fn portable(
    c: &mut [f32],
    stride: usize,
    into: Into<'_>,
    alpha: f32,
    a: Mat<'_>,
    b: &Packed,
    from: usize,
    columns: Range<usize>,
) {
    let (m, n, k) = (a.rows, columns.len(), a.cols);
    // Without steps a column may begin behind the last value.
    let right = b.values().get(columns.start * b.k + from..).unwrap_or_default();
    assert!(fits(right.len(), n, k, b.k), "columns {columns:?} of {} are there", b.len());
    if let Into::Bias(bias) = into {
        for i in 0..m {
            c[i * stride..i * stride + n].copy_from_slice(bias);
        }
    }
    // SAFETY: `fits` was checked for `a` where the view was made and for `c`, which is borrowed mutably,
    // so it overlaps neither operand; and above for the part of `b`, which is dense `(columns, k)`.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.as_mut_ptr(),
            1,
            stride as isize,
            into != Into::Set,
            a.data.as_ptr(),
            a.col as isize,
            a.row as isize,
            right.as_ptr(),
            b.k as isize,
            1,
            1.0,
            alpha,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

/// Whether a row-major matrix lies inside `len` values.
fn fits(len: usize, rows: usize, cols: usize, stride: usize) -> bool {
    rows == 0 || cols == 0 || (cols <= stride && (rows - 1) * stride + cols <= len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_odd_sizes_transposed_and_strided() {
        for (m, n, k) in [(1, 1, 1), (3, 5, 7), (17, 33, 9), (64, 20, 31), (5, 4, 0)] {
            let a: Vec<f32> = (0..m * k).map(|i| ((i * 7 % 13) as f32) - 6.0).collect();
            let b: Vec<f32> = (0..k * n).map(|i| ((i * 5 % 11) as f32) - 5.0).collect();
            let bt: Vec<f32> = (0..n * k).map(|i| b[(i % k.max(1)) * n + i / k.max(1)]).collect();
            let stride = n + 3;
            let mut c = vec![1.0f32; m * stride];
            product(&mut c, stride, Into::Add, 2.0, Mat::new(&a, m, k), Mat::new(&bt, n, k).t());
            for i in 0..m {
                for j in 0..stride {
                    let sum: f32 = if j < n { (0..k).map(|x| a[i * k + x] * b[x * n + j]).sum() } else { 0.0 };
                    assert_eq!(c[i * stride + j], 1.0 + 2.0 * sum, "({m},{n},{k}) at ({i},{j})");
                }
            }
        }
    }

    #[test]
    fn columns_shared_out_give_the_same_bits() {
        let (m, n, k) = (5, 131, 40);
        let a: Vec<f32> = (0..m * k).map(|i| (i as f32 * 0.37).sin()).collect();
        let b: Vec<f32> = (0..n * k).map(|i| (i as f32 * 0.73).cos()).collect();
        let bias: Vec<f32> = (0..n).map(|i| i as f32).collect();
        let packed = Packed::right(Mat::new(&b, n, k).t(), Precision::F32);
        for into in [Into::Set, Into::Bias(&bias), Into::Add] {
            let run = |threads| {
                let mut c = vec![0.5; m * (n + 2)];
                multiply_by(threads, &mut c, n + 2, into, Mat::new(&a, m, k), &packed);
                c
            };
            assert_eq!(run(1), run(3), "{into:?}");
        }
    }

    #[test]
    #[should_panic(expected = "inner sizes")]
    fn sizes_must_agree() {
        product(&mut [0.0; 4], 2, Into::Set, 1.0, Mat::new(&[0.0; 4], 2, 2), Mat::new(&[0.0; 6], 3, 2));
    }
}
