//! The encoder layer, in all its variants, against a plain f64 version and against finite differences of
//! that version.

use polyseme_kernels::Activation;
use polyseme_kernels::dropout::Dropout;
use polyseme_kernels::layer::{COUNT, LayerDropout, LayerShape, Needs, Rows, WEIGHTS, backward, count, forward};
use polyseme_kernels::product::Precision;

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

/// Which weights a layer is given.
#[derive(Clone, Copy, Debug)]
struct Form {
    /// Query, key and value in one matrix.
    fused: bool,
    biases: bool,
    first_norm: bool,
}

const BERT: Form = Form { fused: false, biases: true, first_norm: true };

fn sizes(s: LayerShape, form: Form) -> [usize; COUNT] {
    let (h, a, f) = (s.hidden, s.attention, s.inner);
    let wide = if s.gated { 2 * f } else { f };
    let mut sizes = [a * h, a, a * h, a, a * h, a, h * a, h, h, h, wide * h, wide, h * f, h, h, h];
    if form.fused {
        sizes[..6].copy_from_slice(&[3 * a * h, 3 * a, 0, 0, 0, 0]);
    }
    for bias in sizes.iter_mut().skip(1).step_by(2).filter(|_| !form.biases) {
        *bias = 0;
    }
    if !form.first_norm {
        sizes[8..10].fill(0);
    }
    sizes
}

fn weights(s: LayerShape, form: Form) -> Vec<Vec<f32>> {
    sizes(s, form)
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

/// Rows times a matrix, and a bias if there is one.
fn linear64(x: &[f64], w: &[f64], b: &[f64], inner: usize) -> Vec<f64> {
    let out = w.len() / inner;
    let row = |x: &[f64]| -> Vec<f64> {
        let product = |o: usize| x.iter().zip(&w[o * inner..]).map(|(x, w)| x * w).sum::<f64>();
        (0..out).map(|o| b.get(o).unwrap_or(&0.0) + product(o)).collect()
    };
    x.chunks(inner).flat_map(row).collect()
}

/// A norm of rows; rows as they are where there is none.
fn norm64(x: &[f64], w: &[f64], b: &[f64], eps: f32) -> Vec<f64> {
    let h = w.len();
    if h == 0 {
        return x.to_vec();
    }
    let row = |x: &[f64]| -> Vec<f64> {
        let mean = x.iter().sum::<f64>() / h as f64;
        let var = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / h as f64;
        let one = |(i, v): (usize, &f64)| (v - mean) / (var + f64::from(eps)).sqrt() * w[i] + b.get(i).unwrap_or(&0.0);
        x.iter().enumerate().map(one).collect()
    };
    x.chunks(h).flat_map(row).collect()
}

fn drop64(x: &mut [f64], d: Dropout, row: usize, width: usize) {
    let mask = d.mask(row as u64, x.len() / width, width);
    for (v, m) in x.iter_mut().zip(mask) {
        *v *= f64::from(m);
    }
}

/// The context, in f64: rows × heads, one sequence at a time.
fn attention64(
    s: LayerShape,
    qkv: &[Vec<f64>; 3],
    (starts, (positions, seen)): Places<'_>,
    dropout: Dropout,
) -> Vec<f64> {
    let (a, d) = (s.attention, s.attention / s.heads);
    let mut context = vec![0.0; qkv[0].len()];
    for seq in starts.windows(2) {
        let l = seq[1] - seq[0];
        let place = |row: usize| positions.get(seq[0] + row).map_or(row, |&p| p as usize);
        for head in 0..s.heads {
            // A column of a head, turned by the row's position.
            let at = |which: usize, row: usize, c: usize| {
                let plain = |c: usize| qkv[which][(seq[0] + row) * a + head * d + c];
                let Some(base) = s.rotary.filter(|_| which < 2) else { return plain(c) };
                let pair = c % (d / 2);
                let angle = place(row) as f64 * f64::from(base).powf(-2.0 * pair as f64 / d as f64);
                let other = if c < d / 2 { -plain(c + d / 2) } else { plain(c - d / 2) };
                plain(c) * angle.cos() + other * angle.sin()
            };
            let turned: [Vec<f64>; 3] =
                std::array::from_fn(|which| (0..l * d).map(|i| at(which, i / d, i % d)).collect());
            for i in 0..l {
                let near = |j: usize| s.window.is_none_or(|w| place(i).abs_diff(place(j)) <= w);
                let before = |j: usize| seen.get(seq[0] + i).is_none_or(|&n| j < n as usize);
                let sees = |j: usize| i == j || near(j) && before(j);
                let dot = |j: usize| (0..d).map(|c| turned[0][i * d + c] * turned[1][j * d + c]).sum::<f64>();
                let score = |j: usize| if sees(j) { (dot(j) / (d as f64).sqrt()).exp() } else { 0.0 };
                let mut p: Vec<f64> = (0..l).map(score).collect();
                let sum: f64 = p.iter().sum();
                p.iter_mut().for_each(|p| *p /= sum);
                drop64(&mut p, dropout, seq[0] * s.heads + head * l + i, l);
                for c in 0..d {
                    context[(seq[0] + i) * a + head * d + c] = (0..l).map(|j| p[j] * turned[2][j * d + c]).sum();
                }
            }
        }
    }
    context
}

/// The layer by the book, in f64.
fn layer64(s: LayerShape, w: &[Vec<f64>], x: &[f64], places: Places<'_>, dropout: LayerDropout) -> Vec<f64> {
    let (h, f) = (s.hidden, s.inner);
    let add = |a: &[f64], b: &[f64]| -> Vec<f64> { a.iter().zip(b).map(|(a, b)| a + b).collect() };
    let attention = |x: &[f64]| {
        let fused = w[2].is_empty();
        let part = |w: &'_ [f64], i: usize| -> Vec<f64> { w[w.len() / 3 * i..w.len() / 3 * (i + 1)].to_vec() };
        let qkv = std::array::from_fn(|i| match fused {
            true => linear64(x, &part(&w[0], i), &part(&w[1], i), h),
            false => linear64(x, &w[2 * i], &w[2 * i + 1], h),
        });
        let context = attention64(s, &qkv, places, dropout.probabilities);
        let mut out = linear64(&context, &w[6], &w[7], s.attention);
        drop64(&mut out, dropout.attention, 0, h);
        out
    };
    let feed_forward = |x: &[f64]| {
        let pre = linear64(x, &w[10], &w[11], h);
        let inner: Vec<f64> = match s.gated {
            true => pre
                .chunks(2 * f)
                .flat_map(|row| (0..f).map(|i| activate(s.activation, row[i]) * row[f + i]).collect::<Vec<_>>())
                .collect(),
            false => pre.into_iter().map(|x| activate(s.activation, x)).collect(),
        };
        let mut out = linear64(&inner, &w[12], &w[13], f);
        drop64(&mut out, dropout.output, 0, h);
        out
    };
    if s.pre_norm {
        let middle = add(&attention(&norm64(x, &w[8], &w[9], s.eps)), x);
        return add(&feed_forward(&norm64(&middle, &w[14], &w[15], s.eps)), &middle);
    }
    let middle = norm64(&add(&attention(x), x), &w[8], &w[9], s.eps);
    norm64(&add(&feed_forward(&middle), &middle), &w[14], &w[15], s.eps)
}

fn widen(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&v| f64::from(v)).collect()
}

/// Positions of rows and how many first rows of its sequence each sees; empty where all see all.
type Views = (Vec<u32>, Vec<u32>);

/// Where sequences begin, and what their rows see.
type Places<'a> = (&'a [usize], &'a Views);

/// A layer, the weights it has, where its sequences begin, what rows see, its dropout.
type Case = (LayerShape, Form, Vec<usize>, Views, LayerDropout);

const ALL: Views = (Vec::new(), Vec::new());

/// Sequences with a source of so many rows that see each other, rows behind it that see no further than
/// themselves, and in their second half masks, each in the place of one of these.
fn targets(starts: &[usize], mut source: impl FnMut() -> usize) -> Views {
    let sequence = |s: &[usize]| {
        let l = s[1] - s[0];
        let source = source().min(l);
        let known = (l - source) / 2;
        (0..l).map(move |i| match i {
            i if i < source => (i, source),
            i if i < source + known => (i, i + 1),
            i => (i - known, i - known),
        })
    };
    starts.windows(2).flat_map(sequence).map(|(position, seen)| (position as u32, seen as u32)).unzip()
}

fn rows<'a>((starts, views): Places<'a>) -> Rows<'a> {
    view(Rows::all(starts), views)
}

fn view<'a>(rows: Rows<'a>, (positions, seen): &'a Views) -> Rows<'a> {
    if seen.is_empty() { rows } else { rows.with_views(positions, seen) }
}

fn dropout(p: f32) -> LayerDropout {
    LayerDropout {
        probabilities: Dropout { key: 1, p },
        attention: Dropout { key: 2, p: p / 2.0 },
        output: Dropout { key: 3, p },
    }
}

/// Layers as BERT has them.
fn berts() -> Vec<Case> {
    let shape = |hidden, heads, inner, act| LayerShape::bert(hidden, heads, inner, 1e-5, act);
    vec![
        (shape(6, 2, 10, Activation::Gelu), BERT, vec![0, 3, 4, 9], ALL, LayerDropout::NONE),
        (shape(20, 4, 37, Activation::Gelu), BERT, vec![0, 1, 2, 19], ALL, dropout(0.2)),
        (shape(15, 3, 7, Activation::GeluTanh), BERT, vec![0, 11], ALL, dropout(0.1)),
        (shape(8, 1, 12, Activation::Relu), BERT, vec![0, 5, 10], ALL, dropout(0.3)),
        (shape(6, 2, 512, Activation::Relu), BERT, vec![0, 20, 31], ALL, dropout(0.1)),
        (shape(12, 4, 33, Activation::Silu), BERT, vec![0, 300, 301, 640], ALL, dropout(0.1)),
    ]
}

/// Random layers of all variants with random sequences, of at most `longest` tokens.
fn variants(count: u64, longest: usize) -> Vec<Case> {
    let activations = [Activation::Gelu, Activation::GeluTanh, Activation::Relu, Activation::Silu];
    (0..count)
        .map(|number| {
            let mut drawn = values(64, 1000 + number, 0.5).into_iter().map(|v| v + 0.5);
            let mut below = |n: usize| ((drawn.next().unwrap() * n as f32) as usize).min(n - 1);
            let (heads, pre_norm, rotary) = (1 + below(4), below(2) == 0, below(3) > 0);
            let size = if rotary { 2 * (1 + below(5)) } else { 1 + below(9) };
            let shape = LayerShape {
                hidden: heads * size,
                heads,
                attention: heads * size,
                inner: 1 + below(24),
                eps: 1e-5,
                activation: activations[below(4)],
                pre_norm,
                gated: below(2) == 0,
                rotary: rotary.then_some([10_000.0, 50.0][below(2)]),
                window: (below(3) > 0).then(|| below(7)),
                rounded: false,
                precision: Precision::F32,
            };
            let form = Form { fused: below(2) == 0, biases: below(2) == 0, first_norm: !pre_norm || below(3) > 0 };
            let mut starts = vec![0];
            for _ in 0..1 + below(4) {
                starts.push(starts[starts.len() - 1] + 1 + below(longest));
            }
            let p = [0.0, 0.1, 0.3][below(3)];
            // A third of the layers has views and targets.
            let views = if below(3) == 0 { targets(&starts, || below(longest)) } else { ALL };
            // A layer without some of its heads is wider than they are.
            let hidden = if below(3) == 0 { 8 + below(30) } else { shape.hidden };
            (LayerShape { hidden, ..shape }, form, starts, views, dropout(p))
        })
        .collect()
}

/// Sequences so long that probabilities are computed again, with and without a window.
fn long() -> Vec<Case> {
    let bert = LayerShape::bert(8, 2, 5, 1e-5, Activation::Gelu);
    let window = LayerShape { window: Some(70), rotary: Some(10_000.0), pre_norm: true, ..bert };
    vec![
        (bert, BERT, vec![0, 3, 903], ALL, dropout(0.1)),
        (window, BERT, vec![0, 700, 760], ALL, dropout(0.1)),
        (LayerShape { window: Some(0), ..window }, BERT, vec![0, 90], ALL, LayerDropout::NONE),
        (bert, BERT, vec![0, 3, 903, 1600], targets(&[0, 3, 903, 1600], || 400), dropout(0.1)),
        (window, BERT, vec![0, 700, 760], targets(&[0, 700, 760], || 100), dropout(0.1)),
    ]
}

fn all_cases() -> Vec<Case> {
    [berts(), variants(40, 60), long()].concat()
}

#[test]
fn forward_equals_the_book() {
    for (s, form, starts, views, dropout) in all_cases() {
        let w = weights(s, form);
        let x = values(starts[starts.len() - 1] * s.hidden, 5, 1.0);
        let slices: [&[f32]; COUNT] = std::array::from_fn(|i| &w[i][..]);
        let (y, saved) = forward(s, &slices, &x, rows((&starts, &views)), dropout, false);
        assert!(saved.is_none());
        let want = layer64(s, &w.iter().map(|w| widen(w)).collect::<Vec<_>>(), &widen(&x), (&starts, &views), dropout);
        let worst = y.iter().zip(&want).map(|(y, w)| (f64::from(*y) - w).abs()).fold(0.0, f64::max);
        assert!(worst < 5e-6, "{s:?}: {worst:e}");
    }
}

#[test]
fn backward_equals_finite_differences() {
    let few = berts().into_iter().filter(|c| c.2[c.2.len() - 1] < 100);
    for (s, form, starts, views, dropout) in few.chain(variants(30, 9)) {
        let w = weights(s, form);
        let n = starts[starts.len() - 1] * s.hidden;
        let (x, dy) = (values(n, 5, 1.0), values(n, 6, 1.0));
        let slices: [&[f32]; COUNT] = std::array::from_fn(|i| &w[i][..]);
        let (_, saved) = forward(s, &slices, &x, rows((&starts, &views)), dropout, true);
        let (dx, dw) = backward(s, &slices, &x, rows((&starts, &views)), dropout, &saved.unwrap(), &dy, Needs::ALL);
        let wide: Vec<Vec<f64>> = w.iter().map(|w| widen(w)).collect();
        let objective = |w: &[Vec<f64>], x: &[f64]| -> f64 {
            layer64(s, w, x, (&starts, &views), dropout).iter().zip(&dy).map(|(y, d)| y * f64::from(*d)).sum()
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
fn in_bfloat16_all_is_near_what_it_is_in_f32_and_the_same_bits_twice() {
    let far = |got: &[f32], want: &[f32]| {
        let (mut apart, mut size) = (0.0, 0.0);
        for (a, b) in got.iter().zip(want) {
            apart += f64::from(a - b).powi(2);
            size += f64::from(*b).powi(2);
        }
        if size == 0.0 { apart } else { (apart / size).sqrt() }
    };
    let wide = LayerShape::bert(96, 3, 200, 1e-5, Activation::Gelu);
    let wide: Case = (wide, BERT, vec![0, 70, 71, 403, 500], ALL, dropout(0.1));
    for (s, form, starts, views, dropout) in berts().into_iter().chain(variants(20, 60)).chain([wide]) {
        let w = weights(s, form);
        let slices: [&[f32]; COUNT] = std::array::from_fn(|i| &w[i][..]);
        let x = values(starts[starts.len() - 1] * s.hidden, 5, 1.0);
        let dy = values(x.len(), 6, 1.0);
        let run = |precision: Precision| {
            let s = LayerShape { precision, ..s };
            let (y, saved) = forward(s, &slices, &x, rows((&starts, &views)), dropout, true);
            let (dx, dw) = backward(s, &slices, &x, rows((&starts, &views)), dropout, &saved.unwrap(), &dy, Needs::ALL);
            (y, dx, dw)
        };
        let (whole, half) = (run(Precision::F32), run(Precision::Bf16));
        assert!(run(Precision::Bf16) == half, "{s:?}: the same bits twice");
        let (y, dx) = (far(&half.0, &whole.0), far(&half.1, &whole.1));
        assert!(half.0 != whole.0, "{s:?}: something is rounded");
        assert!(y < 1e-2 && dx < 3e-2, "{s:?}: output {y:e}, gradient {dx:e} apart");
        for (i, (half, whole)) in half.2.iter().zip(&whole.2).enumerate() {
            let size = whole.iter().map(|v| v.abs()).fold(0.0, f32::max);
            // The gradient of a key's bias is nothing but rounding: softmax does not see it.
            if size > 1e-3 {
                let apart = far(half, whole);
                // Where a value changes its side, the slope of ReLU jumps.
                let most = if s.activation == Activation::Relu { 0.1 } else { 0.05 };
                assert!(apart < most, "{s:?}: gradient of {} {apart:e} apart", WEIGHTS[i]);
            }
        }
    }
}

#[test]
fn a_document_never_sees_its_neighbour() {
    let (s, form, starts, views, dropout) = berts().pop().unwrap();
    let w = weights(s, form);
    let slices: [&[f32]; COUNT] = std::array::from_fn(|i| &w[i][..]);
    let mut x = values(starts[3] * s.hidden, 5, 1.0);
    let (before, _) = forward(s, &slices, &x, rows((&starts, &views)), dropout, false);
    for v in &mut x[starts[1] * s.hidden..starts[2] * s.hidden] {
        *v += 1.0;
    }
    let (after, _) = forward(s, &slices, &x, rows((&starts, &views)), dropout, false);
    let changed = starts[1] * s.hidden..starts[2] * s.hidden;
    for i in 0..before.len() {
        assert_eq!(before[i] == after[i], !changed.contains(&i), "value {i}");
    }
}

#[test]
fn the_same_bits_twice_and_up_to_rounding_on_any_number_of_threads() {
    // One sequence is one part: its products and heads are then shared out.
    let one_long = |case: &Case| (case.0, case.1, vec![0, case.2[1] + 600], ALL, case.4);
    let long = long();
    let cases = berts().into_iter().skip(5).chain(variants(10, 60)).chain(long.iter().map(one_long));
    for (s, form, starts, views, dropout) in cases {
        let w = weights(s, form);
        let slices: [&[f32]; COUNT] = std::array::from_fn(|i| &w[i][..]);
        let x = values(starts[starts.len() - 1] * s.hidden, 5, 1.0);
        let run = |threads: usize| {
            rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| {
                let (y, saved) = forward(s, &slices, &x, rows((&starts, &views)), dropout, true);
                let (dx, dw) =
                    backward(s, &slices, &x, rows((&starts, &views)), dropout, &saved.unwrap(), &y, Needs::ALL);
                (y, dx, dw)
            })
        };
        let (one, two) = (run(1), run(2));
        assert!(run(2) == two && run(1) == one, "the same bits at a fixed number of threads");
        let all = |r: &(Vec<f32>, Vec<f32>, [Vec<f32>; COUNT])| {
            r.0.iter().chain(&r.1).chain(r.2.iter().flatten()).copied().collect::<Vec<f32>>()
        };
        for (a, b) in all(&one).into_iter().zip(all(&two)) {
            assert!((a - b).abs() <= 1e-4 * (1.0 + a.abs()), "{s:?}: {a} against {b}");
        }
    }
}

/// Uneven sequences, some rows asked for or all: threads then take rows.
#[test]
fn rows_shared_out_to_threads_are_those_of_one() {
    let cases = all_cases();
    let spread = cases.iter().filter(|(_, _, starts, ..)| starts[starts.len() - 1] > 16).count();
    assert!(spread > 30, "so many rows that threads share them: {spread} cases");
    for (s, form, starts, views, _) in cases {
        for rounded in [false, true] {
            let s = LayerShape { rounded, ..s };
            let (w, n) = (weights(s, form), starts[starts.len() - 1]);
            let slices: [&[f32]; COUNT] = std::array::from_fn(|i| &w[i][..]);
            let x = values(n * s.hidden, 5, 1.0);
            let asked: Vec<usize> = (0..n).filter(|row| row % 3 == 1 || *row == 0).collect();
            let counts = count(&starts, &asked);
            for rows in [rows((&starts, &views)), view(Rows::some(&starts, &asked, &counts), &views)] {
                let run = |threads: usize| {
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                    pool.install(|| forward(s, &slices, &x, rows, LayerDropout::NONE, false).0)
                };
                let one = run(1);
                for threads in [2, 3, 7] {
                    for (i, (a, b)) in run(threads).iter().zip(&one).enumerate() {
                        assert!((a - b).abs() <= 2e-5 * (1.0 + b.abs()), "{s:?} {threads} at {i}: {a} against {b}");
                    }
                }
            }
        }
    }
}

#[test]
fn some_rows_are_those_of_all_and_so_are_their_gradients() {
    for (s, form, starts, views, dropout) in all_cases() {
        let (w, h, n) = (weights(s, form), s.hidden, starts[starts.len() - 1]);
        let slices: [&[f32]; COUNT] = std::array::from_fn(|i| &w[i][..]);
        let x = values(n * h, 5, 1.0);
        // Every sequence but the last has a row that is asked for, some have several.
        let asked: Vec<usize> = (0..starts[starts.len() - 2].max(1)).filter(|row| row % 3 == 0).collect();
        let counts = count(&starts, &asked);
        let some = view(Rows::some(&starts, &asked, &counts), &views);
        let (all, all_saved) = forward(s, &slices, &x, rows((&starts, &views)), dropout, true);
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
        let (want_x, want_w) =
            backward(s, &slices, &x, rows((&starts, &views)), dropout, &all_saved.unwrap(), &spread, Needs::ALL);
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
