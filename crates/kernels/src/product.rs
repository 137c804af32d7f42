//! Matrix products over views of slices, on the calling thread.

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
    /// Transposed view.
    #[must_use]
    pub fn t(self) -> Self {
        Self { rows: self.cols, cols: self.rows, row: self.col, col: self.row, ..self }
    }
}

/// What becomes of the values a product is written over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Into {
    /// They are replaced.
    Set,
    /// The product is added to them.
    Add,
}

/// `c = alpha · a·b` (or `c +=`), with `stride` values from row to row of `c`.
///
/// Panics if the sizes do not agree.
pub fn product(c: &mut [f32], stride: usize, into: Into, alpha: f32, a: Mat<'_>, b: Mat<'_>) {
    assert_eq!(a.cols, b.rows, "inner sizes of a product");
    assert!(
        fits(c.len(), a.rows, b.cols, stride),
        "product {}x{} (stride {stride}) in {} values",
        a.rows,
        b.cols,
        c.len()
    );
    if a.rows == 0 || b.cols == 0 {
        return;
    }
    // SAFETY: `fits` was checked for `c` here and for `a` and `b` where the views were made, so
    // every index that the product touches lies inside its slice; `c` is borrowed mutably, so it
    // overlaps neither operand.
    unsafe {
        gemm::gemm(
            a.rows,
            b.cols,
            a.cols,
            c.as_mut_ptr(),
            1,
            stride as isize,
            into == Into::Add,
            a.data.as_ptr(),
            a.col as isize,
            a.row as isize,
            b.data.as_ptr(),
            b.col as isize,
            b.row as isize,
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
    #[should_panic(expected = "inner sizes")]
    fn sizes_must_agree() {
        product(&mut [0.0; 4], 2, Into::Set, 1.0, Mat::new(&[0.0; 4], 2, 2), Mat::new(&[0.0; 6], 3, 2));
    }
}
