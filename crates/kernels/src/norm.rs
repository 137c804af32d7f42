//! Layer normalisation of rows, forward and backward.

use crate::math::reduce2;
use crate::simd::simd_fn;

simd_fn! {
    /// Normalises a row in place to mean 0 and variance 1 and returns 1 / sqrt(variance + eps).
    pub fn normalize_row(x: &mut [f32], eps: f32) -> f32 {
        let n = x.len() as f32;
        let mean = reduce2(x, x, |a, _| a) / n;
        for v in x.iter_mut() {
            *v -= mean;
        }
        let rstd = 1.0 / (reduce2(x, x, |a, b| a * b) / n + eps).sqrt();
        for v in x.iter_mut() {
            *v *= rstd;
        }
        rstd
    }
}

simd_fn! {
    /// `y = xhat * weight + bias` for one row.
    pub fn affine_row(xhat: &[f32], weight: &[f32], bias: &[f32], y: &mut [f32]) {
        for (((&x, &w), &b), y) in xhat.iter().zip(weight).zip(bias).zip(y.iter_mut()) {
            *y = x * w + b;
        }
    }
}

simd_fn! {
    /// From the gradient `dy` of a row of `xhat * weight + bias`: adds to the gradients of weight
    /// and bias, and turns `dy` in place into the gradient of what was normalised.
    pub fn backward_row(xhat: &[f32], weight: &[f32], rstd: f32, dy: &mut [f32], dweight: &mut [f32], dbias: &mut [f32]) {
        let n = dy.len() as f32;
        for ((((d, &x), &w), dw), db) in dy.iter_mut().zip(xhat).zip(weight).zip(dweight.iter_mut()).zip(dbias.iter_mut()) {
            *dw += *d * x;
            *db += *d;
            *d *= w;
        }
        let mean = reduce2(dy, dy, |a, _| a) / n;
        let along = reduce2(dy, xhat, |a, b| a * b) / n;
        for (d, &x) in dy.iter_mut().zip(xhat) {
            *d = rstd * (*d - mean - x * along);
        }
    }
}

/// Normalises the rows of `x` in place (then it holds the normalised values) and writes the affine
/// result to `y`. `x`, `y`: `(n, h)`; `rstd`: `(n)`
pub fn forward(x: &mut [f32], weight: &[f32], bias: &[f32], eps: f32, rstd: &mut [f32], y: &mut [f32]) {
    let h = weight.len();
    for ((x, y), rstd) in x.chunks_exact_mut(h).zip(y.chunks_exact_mut(h)).zip(rstd) {
        *rstd = normalize_row(x, eps);
        affine_row(x, weight, bias, y);
    }
}

/// The affine part again, from saved normalised values. `xhat`, `y`: `(n, h)`
pub fn affine(xhat: &[f32], weight: &[f32], bias: &[f32], y: &mut [f32]) {
    let h = weight.len();
    for (x, y) in xhat.chunks_exact(h).zip(y.chunks_exact_mut(h)) {
        affine_row(x, weight, bias, y);
    }
}

/// Gradients through [`forward`]; `dy` becomes the gradient of its input. `(n, h)`
pub fn backward(xhat: &[f32], weight: &[f32], rstd: &[f32], dy: &mut [f32], dweight: &mut [f32], dbias: &mut [f32]) {
    let h = weight.len();
    for ((xhat, dy), &rstd) in xhat.chunks_exact(h).zip(dy.chunks_exact_mut(h)).zip(rstd) {
        backward_row(xhat, weight, rstd, dy, dweight, dbias);
    }
}
