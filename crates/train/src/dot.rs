//! The sum of products that the small computations in f64 here are made of.

/// Sum of products; of unlike lengths the common part.
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    // Eight sums at once, in a fixed order, so that the loop vectorizes.
    let mut sums = [0.0; 8];
    let (a8, b8) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f64 = a8.remainder().iter().zip(b8.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in a8.zip(b8) {
        for i in 0..8 {
            sums[i] += x[i] * y[i];
        }
    }
    sums.iter().sum::<f64>() + rest
}
