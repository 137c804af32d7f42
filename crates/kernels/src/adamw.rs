//! AdamW over flat slices, in one pass (Loshchilov & Hutter 2019, as PyTorch computes it).

use crate::parallel;
use crate::simd::simd_fn;

/// Values a task of the pool takes.
const BLOCK: usize = 1 << 16;

/// Numbers of one step that are the same for all values of a parameter.
#[derive(Clone, Copy, Debug)]
pub struct AdamW {
    /// Learning rate over `1 - beta1^step`.
    pub step_size: f32,
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the root of the corrected second moment.
    pub epsilon: f32,
    /// `1 / sqrt(1 - beta2^step)`
    pub inverse_root2: f32,
    /// Gradients are multiplied by this first.
    pub gradient_scale: f32,
    /// Parameters are multiplied by this first: 1 - learning rate · weight decay.
    pub keep: f32,
}

/// Updates `p`, `m`, `v` in place from the gradient `g`. All of one length.
pub fn step(s: AdamW, p: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32]) {
    assert!(p.len() == g.len() && p.len() == m.len() && p.len() == v.len(), "lengths of a parameter and its moments");
    let blocks = p.chunks_mut(BLOCK).zip(g.chunks(BLOCK)).zip(m.chunks_mut(BLOCK)).zip(v.chunks_mut(BLOCK));
    parallel::map(blocks.collect(), |(((p, g), m), v)| block(s, p, g, m, v));
}

simd_fn! {
    fn block(s: AdamW, p: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32]) {
        for (((p, &g), m), v) in p.iter_mut().zip(g).zip(m.iter_mut()).zip(v.iter_mut()) {
            let g = g * s.gradient_scale;
            *m = *m * s.beta1 + g * (1.0 - s.beta1);
            *v = *v * s.beta2 + g * g * (1.0 - s.beta2);
            let denominator = v.sqrt() * s.inverse_root2 + s.epsilon;
            *p = *p * s.keep - s.step_size * (*m / denominator);
        }
    }
}

/// Sum of squares, in f64 over blocks in a fixed order.
pub fn sum_of_squares(g: &[f32]) -> f64 {
    parallel::map(g.chunks(BLOCK).collect(), |g: &[f32]| g.chunks(1024).map(|g| f64::from(squares(g))).sum::<f64>())
        .into_iter()
        .sum()
}

simd_fn! {
    fn squares(g: &[f32]) -> f32 {
        crate::math::reduce2(g, g, |a, b| a * b)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_steps_by_the_book_in_f64() {
        let n = BLOCK + 77;
        let mut p: Vec<f32> = (0..n).map(|i| ((i % 17) as f32 - 8.0) * 0.1).collect();
        let g: Vec<f32> = (0..n).map(|i| ((i % 29) as f32 - 14.0) * 0.03).collect();
        let (mut m, mut v) = (vec![0.0; n], vec![0.0; n]);
        let mut want: Vec<[f64; 3]> = p.iter().map(|&p| [f64::from(p), 0.0, 0.0]).collect();
        let (lr, b1, b2, eps, decay) = (1e-2_f64, 0.9_f64, 0.99_f64, 1e-6, 0.1);
        for t in 1..=3 {
            let (c1, c2) = (1.0 - b1.powi(t), 1.0 - b2.powi(t));
            let s = AdamW {
                step_size: (lr / c1) as f32,
                beta1: b1 as f32,
                beta2: b2 as f32,
                epsilon: eps as f32,
                inverse_root2: (1.0 / c2.sqrt()) as f32,
                gradient_scale: 0.5,
                keep: (1.0 - lr * decay) as f32,
            };
            step(s, &mut p, &g, &mut m, &mut v);
            for (w, &g) in want.iter_mut().zip(&g) {
                let g = f64::from(g) * 0.5;
                w[0] *= 1.0 - lr * decay;
                w[1] = b1 * w[1] + (1.0 - b1) * g;
                w[2] = b2 * w[2] + (1.0 - b2) * g * g;
                w[0] -= lr / c1 * w[1] / ((w[2] / c2).sqrt() + eps);
            }
        }
        for (p, w) in p.iter().zip(&want) {
            assert!((f64::from(*p) - w[0]).abs() < 1e-6, "{p} against {}", w[0]);
        }
    }

    #[test]
    fn squares_of_many() {
        let g: Vec<f32> = (0..200_000).map(|i| (i % 10) as f32).collect();
        assert!((sum_of_squares(&g) - 285.0 * 20_000.0).abs() < 1.0);
    }
}
