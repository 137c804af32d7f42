//! Layer normalisation of rows, forward and backward (Ba, Kiros & Hinton 2016). A norm without a bias
//! has an empty one.

use crate::math::reduce2;
use crate::simd::simd_fn;

simd_fn! {
    /// Normalises the rows of `x` in place, each to mean 0 and variance 1, and writes
    /// `x * weight + bias` to `y`. `x`, `y`: `(n, h)`; `rstd`: 1 / sqrt(variance + eps) `(n)`
    pub fn forward(x: &mut [f32], weight: &[f32], bias: &[f32], eps: f32, rstd: &mut [f32], y: &mut [f32]) {
        let h = weight.len();
        for ((x, y), rstd) in x.chunks_exact_mut(h).zip(y.chunks_exact_mut(h)).zip(rstd) {
            let n = h as f32;
            let mean = reduce2(x, x, |a, _| a) / n;
            for v in x.iter_mut() {
                *v -= mean;
            }
            *rstd = 1.0 / (reduce2(x, x, |a, b| a * b) / n + eps).sqrt();
            for v in x.iter_mut() {
                *v *= *rstd;
            }
            affine_row(x, weight, bias, y);
        }
    }
}

simd_fn! {
    /// The affine part again, from saved normalised values. `xhat`, `y`: `(n, h)`
    pub fn affine(xhat: &[f32], weight: &[f32], bias: &[f32], y: &mut [f32]) {
        let h = weight.len();
        for (x, y) in xhat.chunks_exact(h).zip(y.chunks_exact_mut(h)) {
            affine_row(x, weight, bias, y);
        }
    }
}

simd_fn! {
    /// Gradients through [`forward`]; `dy` becomes the gradient of its input, and those of weight and bias
    /// are added to. `(n, h)`
    pub fn backward(xhat: &[f32], weight: &[f32], rstd: &[f32], dy: &mut [f32], dweight: &mut [f32], dbias: &mut [f32]) {
        let h = weight.len();
        let n = h as f32;
        for ((xhat, dy), &rstd) in xhat.chunks_exact(h).zip(dy.chunks_exact_mut(h)).zip(rstd) {
            for (&d, db) in dy.iter().zip(dbias.iter_mut()) {
                *db += d;
            }
            for (((d, &x), &w), dw) in dy.iter_mut().zip(xhat).zip(weight).zip(dweight.iter_mut()) {
                *dw += *d * x;
                *d *= w;
            }
            let mean = reduce2(dy, dy, |a, _| a) / n;
            let along = reduce2(dy, xhat, |a, b| a * b) / n;
            for (d, &x) in dy.iter_mut().zip(xhat) {
                *d = rstd * (*d - mean - x * along);
            }
        }
    }
}

#[inline(always)]
fn affine_row(xhat: &[f32], weight: &[f32], bias: &[f32], y: &mut [f32]) {
    if bias.is_empty() {
        for ((&x, &w), y) in xhat.iter().zip(weight).zip(y.iter_mut()) {
            *y = x * w;
        }
    } else {
        for (((&x, &w), &b), y) in xhat.iter().zip(weight).zip(bias).zip(y.iter_mut()) {
            *y = x * w + b;
        }
    }
}
