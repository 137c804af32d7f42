//! What the processor can do at best: fused multiply-adds on registers, nothing else.

use crate::parallel;
use pulp::{Arch, Simd, WithSimd};
use std::hint::black_box;
use std::time::Instant;

/// Sums that are independent of each other: more than latency times width of any processor we know.
const SUMS: usize = 16;

/// Steps of one measurement, some ten milliseconds.
const STEPS: usize = 1 << 20;

/// Floating-point operations per second of all threads together, the best of some tries.
pub fn fma_limit() -> f64 {
    (0..10).map(|_| all_threads()).fold(0.0, f64::max)
}

fn all_threads() -> f64 {
    let threads = parallel::threads();
    let begin = Instant::now();
    let done: usize = parallel::map(vec![(); threads], |()| Arch::new().dispatch(Chain)).into_iter().sum();
    done as f64 / begin.elapsed().as_secs_f64()
}

/// A chain of multiply-adds for each sum; gives the operations done.
struct Chain;

impl WithSimd for Chain {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> usize {
        let (factor, term) = (simd.splat_f32s(black_box(0.999)), simd.splat_f32s(black_box(1e-3)));
        let mut sums = [simd.splat_f32s(black_box(1.0)); SUMS];
        for _ in 0..STEPS {
            for sum in &mut sums {
                *sum = simd.mul_add_e_f32s(*sum, factor, term);
            }
        }
        black_box(sums);
        2 * STEPS * SUMS * S::F32_LANES
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_processor_does_a_billion_operations_a_second_at_least() {
        assert!(super::fma_limit() > 1e9);
    }
}
