//! The encoder layer against a plain f64 version and against finite differences of that version.

use polyseme_kernels::Activation;
use polyseme_kernels::dropout::Dropout;
use polyseme_kernels::layer::{COUNT, LayerDropout, LayerShape, Needs, Rows, WEIGHTS, backward, count, forward};

/// Deterministic values in [-1, 1) times `scale`.
fn values(n: usize, seed: u64, scale: f32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..n)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 40) as f32 / 8_388_608.0 - 1.0) * scale
        })
        .collect()
}

fn sizes(s: LayerShape) -> [usize; COUNT] {
    let (h, f) = (s.hidden, s.inner);
    [h * h, h, h * h, h, h * h, h, h * h, h, h, h, f * h, f, h * f, h, h, h]
}

fn weights(s: LayerShape) -> Vec<Vec<f32>> {
    sizes(s)
        .iter()
        .enumerate()
        .map(|(i, &n)| values(n, i as u64 + 10, if WEIGHTS[i].contains("norm") { 1.0 } else { 0.3 }))
        .collect()
}

fn activate(act: Activation, x: f64) -> f64 {
    match act {
        Activation::Relu => x.max(0.0),
        Activation::Silu => x / (1.0 + (-x).exp()),
        Activation::GeluTanh => {
            0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x)).tanh())
        }
        Activation::Gelu => {
            // The distribution function by Simpson's rule.
            let n = 2000;
            let step = x / f64::from(n);
            let pdf = |t: f64| (-0.5 * t * t).exp() / (2.0 * std::f64::consts::PI).sqrt();
            let sum: f64 = (0..n)
                .map(|i| {
                    let t = f64::from(i) * step;
                    step / 6.0 * (pdf(t) + 4.0 * pdf(t + step / 2.0) + pdf(t + step))
                })
                .sum();
            x * (0.5 + sum)
        }
    }
}

/// The layer by the book, in f64: rows × weights, one sequence at a time.
fn layer64(s: LayerShape, w: &[Vec<f64>], x: &[f64], starts: &[usize], dropout: LayerDropout) -> Vec<f64> {
    let (h, f) = (s.hidden, s.inner);
    let n = x.len() / h;
    let linear = |x: &[f64], w: &[f64], b: &[f64]| -> Vec<f64> {
        let (out, inner) = (b.len(), w.len() / b.len());
        x.chunks(inner)
            .flat_map(|x| {
                (0..out)
                    .map(|o| b[o] + x.iter().zip(&w[o * inner..]).map(|(x, w)| x * w).sum::<f64>())
                    .collect::<Vec<_>>()
            })
            .collect()
    };
    let norm = |x: &[f64], w: &[f64], b: &[f64]| -> Vec<f64> {
        x.chunks(h)
            .flat_map(|x| {
                let mean = x.iter().sum::<f64>() / h as f64;
                let var = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / h as f64;
                x.iter()
                    .enumerate()
                    .map(|(i, v)| (v - mean) / (var + f64::from(s.eps)).sqrt() * w[i] + b[i])
                    .collect::<Vec<_>>()
            })
            .collect()
    };
    let drop = |x: &mut [f64], d: Dropout, row: usize, width: usize| {
        let mask = d.mask(row as u64, x.len() / width, width);
        for (v, m) in x.iter_mut().zip(mask) {
            *v *= f64::from(m);
        }
    };
    let [q, k, v] = [0, 2, 4].map(|i| linear(x, &w[i], &w[i + 1]));
    let d = h / s.heads;
    let mut context = vec![0.0; n * h];
    for seq in starts.windows(2) {
        let l = seq[1] - seq[0];
        for head in 0..s.heads {
            for i in 0..l {
                let at = |m: &[f64], row: usize, c: usize| m[(seq[0] + row) * h + head * d + c];
                let scores: Vec<f64> = (0..l)
                    .map(|j| (0..d).map(|c| at(&q, i, c) * at(&k, j, c)).sum::<f64>() / (d as f64).sqrt())
                    .collect();
                let sum: f64 = scores.iter().map(|s| s.exp()).sum();
                let mut p: Vec<f64> = scores.iter().map(|s| s.exp() / sum).collect();
                drop(&mut p, dropout.probabilities, seq[0] * s.heads + head * l + i, l);
                for c in 0..d {
                    context[(seq[0] + i) * h + head * d + c] = (0..l).map(|j| p[j] * at(&v, j, c)).sum();
                }
            }
        }
    }
    let mut a = linear(&context, &w[6], &w[7]);
    drop(&mut a, dropout.attention, 0, h);
    let sum: Vec<f64> = a.iter().zip(x).map(|(a, x)| a + x).collect();
    let middle = norm(&sum, &w[8], &w[9]);
    let inner: Vec<f64> = linear(&middle, &w[10], &w[11]).into_iter().map(|x| activate(s.activation, x)).collect();
    assert_eq!(inner.len(), n * f);
    let mut z = linear(&inner, &w[12], &w[13]);
    drop(&mut z, dropout.output, 0, h);
    let sum: Vec<f64> = z.iter().zip(&middle).map(|(a, x)| a + x).collect();
    norm(&sum, &w[14], &w[15])
}

fn widen(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&v| f64::from(v)).collect()
}

fn cases() -> Vec<(LayerShape, Vec<usize>, LayerDropout)> {
    let dropout = |p| LayerDropout {
        probabilities: Dropout { key: 1, p },
        attention: Dropout { key: 2, p: p / 2.0 },
        output: Dropout { key: 3, p },
    };
    let shape = |hidden, heads, inner, activation| LayerShape { hidden, heads, inner, eps: 1e-5, activation };
    vec![
        (shape(6, 2, 10, Activation::Gelu), vec![0, 3, 4, 9], LayerDropout::NONE),
        (shape(20, 4, 37, Activation::Gelu), vec![0, 1, 2, 19], dropout(0.2)),
        (shape(15, 3, 7, Activation::GeluTanh), vec![0, 11], dropout(0.1)),
        (shape(8, 1, 12, Activation::Relu), vec![0, 5, 10], dropout(0.3)),
        (shape(12, 4, 33, Activation::Silu), vec![0, 300, 301, 640], dropout(0.1)),
    ]
}

#[test]
fn forward_equals_the_book() {
    for (s, starts, dropout) in cases() {
        let w = weights(s);
        let x = values(starts[starts.len() - 1] * s.hidden, 5, 1.0);
        let slices: [&[f32]; COUNT] = std::array::from_fn(|i| &w[i][..]);
        let (y, saved) = forward(s, &slices, &x, Rows::all(&starts), dropout, false);
        assert!(saved.is_none());
        let want = layer64(s, &w.iter().map(|w| widen(w)).collect::<Vec<_>>(), &widen(&x), &starts, dropout);
        let worst = y.iter().zip(&want).map(|(y, w)| (f64::from(*y) - w).abs()).fold(0.0, f64::max);
        assert!(worst < 5e-6, "{s:?}: {worst:e}");
    }
}

#[test]
fn backward_equals_finite_differences() {
    for (s, starts, dropout) in cases().into_iter().filter(|c| c.1.len() != 4 || c.1[3] < 100) {
        let w = weights(s);
        let n = starts[starts.len() - 1] * s.hidden;
        let (x, dy) = (values(n, 5, 1.0), values(n, 6, 1.0));
        let slices: [&[f32]; COUNT] = std::array::from_fn(|i| &w[i][..]);
        let (_, saved) = forward(s, &slices, &x, Rows::all(&starts), dropout, true);
        let (dx, dw) = backward(s, &slices, &x, Rows::all(&starts), dropout, &saved.unwrap(), &dy, Needs::ALL);
        let wide: Vec<Vec<f64>> = w.iter().map(|w| widen(w)).collect();
        let objective = |w: &[Vec<f64>], x: &[f64]| -> f64 {
            layer64(s, w, x, &starts, dropout).iter().zip(&dy).map(|(y, d)| y * f64::from(*d)).sum()
        };
        let step = 1e-5;
        let check = |name: &str, got: f32, plus: f64, minus: f64| {
            let want = (plus - minus) / (2.0 * step);
            assert!((f64::from(got) - want).abs() < 2e-4 * (1.0 + want.abs()), "{s:?} {name}: {got} against {want}");
        };
        for at in (0..n).step_by(1 + n / 12) {
            let mut sides = [widen(&x), widen(&x)];
            sides[0][at] += step;
            sides[1][at] -= step;
            check("x", dx[at], objective(&wide, &sides[0]), objective(&wide, &sides[1]));
        }
        for i in 0..COUNT {
            for at in (0..w[i].len()).step_by(1 + w[i].len() / 6) {
                let mut sides = [wide.clone(), wide.clone()];
                sides[0][i][at] += step;
                sides[1][i][at] -= step;
                check(WEIGHTS[i], dw[i][at], objective(&sides[0], &widen(&x)), objective(&sides[1], &widen(&x)));
            }
        }
    }
}

#[test]
fn a_document_never_sees_its_neighbour() {
    let (s, starts, dropout) = cases().pop().unwrap();
    let w = weights(s);
    let slices: [&[f32]; COUNT] = std::array::from_fn(|i| &w[i][..]);
    let mut x = values(starts[3] * s.hidden, 5, 1.0);
    let (before, _) = forward(s, &slices, &x, Rows::all(&starts), dropout, false);
    for v in &mut x[starts[1] * s.hidden..starts[2] * s.hidden] {
        *v += 1.0;
    }
    let (after, _) = forward(s, &slices, &x, Rows::all(&starts), dropout, false);
    let changed = starts[1] * s.hidden..starts[2] * s.hidden;
    for i in 0..before.len() {
        assert_eq!(before[i] == after[i], !changed.contains(&i), "value {i}");
    }
}

#[test]
fn the_same_bits_twice_and_up_to_rounding_on_any_number_of_threads() {
    let (s, starts, dropout) = cases().pop().unwrap();
    let w = weights(s);
    let slices: [&[f32]; COUNT] = std::array::from_fn(|i| &w[i][..]);
    let x = values(starts[3] * s.hidden, 5, 1.0);
    let run = |threads: usize| {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| {
            let (y, saved) = forward(s, &slices, &x, Rows::all(&starts), dropout, true);
            let (dx, dw) = backward(s, &slices, &x, Rows::all(&starts), dropout, &saved.unwrap(), &y, Needs::ALL);
            (y, dx, dw)
        })
    };
    let (one, two) = (run(1), run(2));
    assert!(run(2) == two && run(1) == one, "the same bits at a fixed number of threads");
    let all = |r: &(Vec<f32>, Vec<f32>, [Vec<f32>; COUNT])| {
        r.0.iter().chain(&r.1).chain(r.2.iter().flatten()).copied().collect::<Vec<f32>>()
    };
    for (a, b) in all(&one).into_iter().zip(all(&two)) {
        assert!((a - b).abs() <= 1e-4 * (1.0 + a.abs()), "{a} against {b}");
    }
}

#[test]
fn some_rows_are_those_of_all_and_so_are_their_gradients() {
    for (s, starts, dropout) in cases() {
        let (w, h, n) = (weights(s), s.hidden, starts[starts.len() - 1]);
        let slices: [&[f32]; COUNT] = std::array::from_fn(|i| &w[i][..]);
        let x = values(n * h, 5, 1.0);
        // Every sequence but the last has a row that is asked for, some have several.
        let asked: Vec<usize> = (0..starts[starts.len() - 2].max(1)).filter(|row| row % 3 == 0).collect();
        let counts = count(&starts, &asked);
        let some = Rows::some(&starts, &asked, &counts);
        let (all, all_saved) = forward(s, &slices, &x, Rows::all(&starts), dropout, true);
        let (y, saved) = forward(s, &slices, &x, some, dropout, true);
        let want: Vec<f32> = asked.iter().flat_map(|&row| &all[row * h..(row + 1) * h]).copied().collect();
        let close = |name: &str, got: &[f32], want: &[f32]| {
            assert_eq!(got.len(), want.len(), "{name}");
            for (i, (a, b)) in got.iter().zip(want).enumerate() {
                assert!((a - b).abs() <= 2e-5 * (1.0 + b.abs()), "{s:?} {name} at {i}: {a} against {b}");
            }
        };
        close("output", &y, &want);
        let dy = values(asked.len() * h, 6, 1.0);
        let mut spread = vec![0.0; n * h];
        for (row, dy) in asked.iter().zip(dy.chunks(h)) {
            spread[row * h..(row + 1) * h].copy_from_slice(dy);
        }
        let rows = Rows::all(&starts);
        let (want_x, want_w) = backward(s, &slices, &x, rows, dropout, &all_saved.unwrap(), &spread, Needs::ALL);
        let (dx, dw) = backward(s, &slices, &x, some, dropout, saved.as_ref().unwrap(), &dy, Needs::ALL);
        close("dx", &dx, &want_x);
        for i in 0..COUNT {
            close(WEIGHTS[i], &dw[i], &want_w[i]);
        }
        let needs = Needs { x: false, weights: std::array::from_fn(|i| i == 10) };
        let (dx, few) = backward(s, &slices, &x, some, dropout, &saved.unwrap(), &dy, needs);
        assert!(dx.is_empty() && few[0].is_empty() && few[10] == dw[10], "only what is asked for");
    }
}
