//! How fast one layer runs forward and backward, in f32 and in bfloat16.
//!
//! `cargo run --release -p polyseme-kernels --example layer_speed [hidden] [heads] [tokens] [length]`

use polyseme_kernels::Activation;
use polyseme_kernels::dropout::Dropout;
use polyseme_kernels::layer::{COUNT, LayerDropout, LayerShape, Needs, Rows, backward, forward};
use polyseme_kernels::product::Precision;
use std::time::Instant;

fn main() {
    let arg = |i: usize, default: usize| std::env::args().nth(i).and_then(|a| a.parse().ok()).unwrap_or(default);
    let (hidden, heads, tokens, length) = (arg(1, 256), arg(2, 4), arg(3, 1024), arg(4, 128));
    let shape = LayerShape::bert(hidden, heads, 4 * hidden, 1e-12, Activation::Gelu);
    let (h, f) = (hidden, 4 * hidden);
    let sizes = [h * h, h, h * h, h, h * h, h, h * h, h, h, h, f * h, f, h * f, h, h, h];
    let weights: Vec<Vec<f32>> =
        sizes.iter().map(|&n| (0..n).map(|i| ((i * 7919 % 1000) as f32 - 500.0) * 4e-5).collect()).collect();
    let slices: [&[f32]; COUNT] = std::array::from_fn(|i| &weights[i][..]);
    let starts: Vec<usize> = (0..=tokens / length).map(|i| i * length).collect();
    let tokens = *starts.last().expect("a sequence");
    let x: Vec<f32> = (0..tokens * h).map(|i| ((i * 104_729 % 1000) as f32 - 500.0) * 2e-3).collect();
    for (p, precision) in [(0.0, Precision::F32), (0.1, Precision::F32), (0.0, Precision::Bf16), (0.1, Precision::Bf16)]
    {
        let shape = LayerShape { precision, ..shape };
        let d = |key| Dropout { key, p };
        let dropout = LayerDropout { probabilities: d(1), attention: d(2), output: d(3) };
        let (mut ahead, mut back) = (f64::MAX, f64::MAX);
        for _ in 0..30 {
            let begin = Instant::now();
            let (y, saved) = forward(shape, &slices, &x, Rows::all(&starts), dropout, true);
            ahead = ahead.min(begin.elapsed().as_secs_f64());
            let begin = Instant::now();
            let _gradients =
                backward(shape, &slices, &x, Rows::all(&starts), dropout, &saved.expect("saved"), &y, Needs::ALL);
            back = back.min(begin.elapsed().as_secs_f64());
        }
        let flops = 2.0 * tokens as f64 * (12 * h * h + 2 * length * h) as f64;
        println!(
            "{precision:?}, dropout {p}: forward {:.2} ms ({:.0} GFLOP/s), backward {:.2} ms ({:.0} GFLOP/s), {:.0} tokens/s through the layer",
            ahead * 1e3,
            flops / ahead / 1e9,
            back * 1e3,
            2.0 * flops / back / 1e9,
            tokens as f64 / (ahead + back)
        );
    }
}
