//! How fast the products of an encoder run on one thread, beside the same in bfloat16 and in 8
//! bits (both with the rounding of the left operand) and `gemm`.
//!
//! `cargo run --release -p polyseme-kernels --example product_speed`

use polyseme_kernels::product::{Into, Mat, Packed, Precision, multiply, product};
use polyseme_kernels::quantize::{Input, Operand, Quantized};
use std::time::Instant;

fn best(repeats: usize, mut run: impl FnMut()) -> f64 {
    (0..repeats)
        .map(|_| {
            let begin = Instant::now();
            run();
            begin.elapsed().as_secs_f64()
        })
        .fold(f64::MAX, f64::min)
}

fn main() {
    println!(
        "{:>24} {:>10} {:>10} {:>10} {:>10} {:>10}",
        "rows x columns x inner", "packed", "bf16", "8 bits", "product", "gemm"
    );
    let value = |i: usize| ((i * 7919 % 1000) as f32 - 500.0) * 1e-3;
    for (m, n, k) in [
        (256, 768, 256),
        (256, 256, 256),
        (256, 1024, 256),
        (256, 256, 1024),
        (256, 3072, 768),
        (256, 768, 3072),
        (1024, 256, 1024),
        (256, 1024, 4096),
        (128, 128, 64),
        (128, 64, 128),
        (128, 128, 32),
        (16, 1536, 384),
        (16, 384, 1536),
        (256, 384, 384),
        (256, 1536, 384),
        (256, 384, 1536),
    ] {
        let (a, b): (Vec<f32>, Vec<f32>) = ((0..m * k).map(value).collect(), (0..n * k).map(value).collect());
        let mut c = vec![0.0; m * n];
        let repeats = (2_000_000_000 / (m * n * k)).clamp(5, 2000);
        let (x, w) = (Mat::new(&a, m, k), Mat::new(&b, n, k).t());
        let right = Packed::right(w, Precision::F32);
        let flops = 2.0 * (m * n * k) as f64 * 1e-9;
        let packed = best(repeats, || multiply(&mut c, n, Into::Set, 1.0, x, &right));
        let right = Packed::right(w, Precision::Bf16);
        let half = best(repeats, || multiply(&mut c, n, Into::Set, 1.0, x, &right));
        let few = Quantized::new(&b, k, 8, None, Input::Dynamic);
        let few = best(repeats, || Operand::new(x).times(1, &mut c, n, Into::Set, few.right()));
        let none = best(repeats, || product(&mut c, n, Into::Set, 1.0, x, w));
        // SAFETY: the three matrices are dense and as long as these sizes say.
        let other = best(repeats, || unsafe {
            gemm::gemm(
                m,
                n,
                k,
                c.as_mut_ptr(),
                1,
                n as isize,
                false,
                a.as_ptr(),
                1,
                k as isize,
                b.as_ptr(),
                k as isize,
                1,
                1.0,
                1.0,
                false,
                false,
                false,
                gemm::Parallelism::None,
            )
        });
        println!(
            "{:>24} {:>10.1} {:>10.1} {:>10.1} {:>10.1} {:>10.1}",
            format!("{m} x {n} x {k}"),
            flops / packed,
            flops / half,
            flops / few,
            flops / none,
            flops / other
        );
    }
}
