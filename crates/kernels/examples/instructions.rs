//! A fixed amount of work of one kernel on one thread, for counting its instructions.
//!
//! `scripts/instructions.py` runs it under valgrind: counts do not depend on what else the machine does.

use polyseme_kernels::Activation;
use polyseme_kernels::adamw::{AdamW, step};
use polyseme_kernels::dropout::Dropout;
use polyseme_kernels::layer::{COUNT, LayerDropout, LayerShape, Needs, Rows, backward, forward};
use polyseme_kernels::masked_loss::masked_loss;
use polyseme_kernels::product::{Into, Mat, Precision, product};

fn main() {
    rayon::ThreadPoolBuilder::new().num_threads(1).build_global().expect("the first pool of this process");
    let kernel = std::env::args().nth(1).unwrap_or_default();
    match kernel.as_str() {
        "nothing" => {}
        "product" => {
            let (a, b) = (values(128 * 256), values(256 * 256));
            let mut c = vec![0.0; 128 * 256];
            product(&mut c, 256, Into::Set, 1.0, Mat::new(&a, 128, 256), Mat::new(&b, 256, 256).t());
        }
        "layer" => layer(&[0, 64, 128], 64),
        "short-sequences" => layer(&(0..=12).map(|i| 10 * i).collect::<Vec<_>>(), 64),
        "masked-loss" => {
            let labels: Vec<u32> = (0..32).collect();
            masked_loss(&values(32 * 64), &values(2000 * 64), &values(2000), &labels, true, Precision::F32);
        }
        "adamw" => {
            let (mut p, g, mut m, mut v) = (values(100_000), values(100_000), values(100_000), vec![1.0; 100_000]);
            let (beta1, beta2) = (0.9, 0.98);
            let s = AdamW {
                step_size: 1e-3,
                beta1,
                beta2,
                epsilon: 1e-6,
                inverse_root2: 1.0,
                gradient_scale: 1.0,
                keep: 1.0,
            };
            step(s, &mut p, &g, &mut m, &mut v);
        }
        other => panic!("no kernel `{other}`: nothing, product, layer, short-sequences, masked-loss, adamw"),
    }
}

fn layer(starts: &[usize], hidden: usize) {
    let shape = LayerShape::bert(hidden, 4, 4 * hidden, 1e-12, Activation::Gelu);
    let (h, f) = (hidden, 4 * hidden);
    let sizes = [h * h, h, h * h, h, h * h, h, h * h, h, h, h, f * h, f, h * f, h, h, h];
    let weights = sizes.map(values);
    let slices: [&[f32]; COUNT] = std::array::from_fn(|i| &weights[i][..]);
    let x = values(starts[starts.len() - 1] * h);
    let dropout = LayerDropout {
        probabilities: Dropout { key: 1, p: 0.1 },
        attention: Dropout { key: 2, p: 0.1 },
        output: Dropout { key: 3, p: 0.1 },
    };
    let (y, saved) = forward(shape, &slices, &x, Rows::all(starts), dropout, true);
    backward(shape, &slices, &x, Rows::all(starts), dropout, &saved.expect("asked for"), &y, Needs::ALL);
}

fn values(n: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * 7919 % 1000) as f32 - 500.0) * 1e-3).collect()
}
