//! Layers and embeddings in few bits against their plain twins.

use polyseme_tensor::closeness::{Level, assert_close, values};
use polyseme_tensor::ops::{
    Activation, AttentionSettings, AttentionWeights, EmbeddingSettings, EmbeddingWeights, FeedForwardSettings,
    FeedForwardWeights, FewBits, LayerCache, LayerCall, LayerSettings, LayerWeights, Linear, Matrix, Norm,
    QueryKeyValue, embed_norm, embed_norm_plain, encoder_layer, encoder_layer_plain, rounded,
};
use polyseme_tensor::{Device, Input, Mode, PackedBatch, Quantized, Sequence, Stream, Tensor, TensorData, device};

fn cpu() -> Device {
    device::parse("cpu").expect("always there")
}

fn tensor<const D: usize>(stream: Stream, shape: [usize; D], deviation: f64) -> Tensor<D> {
    Tensor::from_data(TensorData::new(stream.normals(shape.iter().product(), deviation), shape), &cpu())
}

fn few(stream: Stream, [rows, columns]: [usize; 2], bits: u32, group: Option<usize>, input: Input) -> Matrix {
    let numbers = stream.normals(rows * columns, 0.3);
    Matrix::Few(FewBits::new(Quantized::new(&numbers, columns, bits, group, input)))
}

/// The same matrix without rounding of anything it meets.
fn weights_only(map: &Linear) -> Linear {
    Linear { weight: map.weight.whole(&cpu()).into(), bias: map.bias.clone() }
}

fn batch(lengths: &[usize]) -> PackedBatch {
    let sequences: Vec<_> =
        lengths.iter().map(|&n| Sequence { ids: (0..n as u32).collect(), type_ids: vec![0; n] }).collect();
    PackedBatch::new(&sequences)
}

/// The squared distance of two lists, of the square of the second.
fn distance(a: &[f32], b: &[f32]) -> f64 {
    let square = |v: f32| f64::from(v) * f64::from(v);
    let apart: f64 = a.iter().zip(b).map(|(a, b)| square(a - b)).sum();
    apart / b.iter().map(|&b| square(b)).sum::<f64>()
}

/// A layer with all matrices, or some, in few bits, and the same with their inputs left whole.
fn layer(stream: Stream, modern: bool, h: usize, f: usize, some: bool) -> [LayerWeights; 2] {
    let norm = |name: &str| Norm { weight: tensor(stream.named(name), [h], 0.8), bias: None, epsilon: 1e-5 };
    let map = |name: &str, [out, inner]: [usize; 2], input: Input| {
        let stream = stream.named(name);
        let weight = match name {
            "query" if some => tensor(stream, [out, inner], 0.3).into(),
            "inner" if some => few(stream, [out, inner], 4, Some(16), Input::Whole),
            _ => few(stream, [out, inner], 8, None, input),
        };
        Linear { weight, bias: (!modern).then(|| tensor(stream.named("bias"), [out], 0.3)) }
    };
    let fixed = Input::Static { scale: 0.03, zero: 120 };
    let maps = [
        map("query", if modern { [3 * h, h] } else { [h, h] }, Input::Dynamic),
        map("key", [h, h], Input::Dynamic),
        map("value", [h, h], fixed),
        map("attention", [h, h], Input::Dynamic),
        map("inner", [if modern { 2 * f } else { f }, h], Input::Dynamic),
        map("output", [h, f], Input::Dynamic),
    ];
    let build = |maps: [Linear; 6]| {
        let [query, key, value, attention, inner, output] = maps;
        LayerWeights {
            attention: AttentionWeights {
                query_key_value: match modern {
                    true => QueryKeyValue::Joined(Box::new(query)),
                    false => QueryKeyValue::Apart(Box::new([query, key, value])),
                },
                output: attention,
            },
            attention_norm: Some(norm("first")),
            feed_forward: FeedForwardWeights { intermediate: inner, output },
            output_norm: norm("second"),
        }
    };
    [build(maps.clone()), build(maps.each_ref().map(weights_only))]
}

#[test]
fn the_layer_rounds_as_its_twin_does() {
    for (number, (modern, h, f, some)) in
        [(false, 48, 96, false), (false, 20, 37, true), (true, 32, 50, false), (true, 44, 64, true)]
            .into_iter()
            .enumerate()
    {
        let stream = Stream::new(3).at(number as u64);
        let settings = LayerSettings {
            attention: AttentionSettings {
                heads: 4,
                attention_dropout: 0.0,
                hidden_dropout: 0.0,
                rotary: None,
                window: None,
            },
            feed_forward: FeedForwardSettings { activation: Activation::Gelu, gated: modern, dropout: 0.0 },
            pre_norm: modern,
        };
        let batch = batch(&[9, 1, 30, 12]);
        let x: Tensor<2> = tensor(stream.named("x"), [batch.tokens(), h], 1.0);
        let asked: Vec<usize> = (0..batch.tokens()).step_by(3).collect();
        let asked = (number % 2 == 1).then_some(&asked[..]);
        let cache = LayerCache::default();
        let call = LayerCall { asked, cache: Some(&cache), checkpoint: false, bf16: false };
        let [weights, whole] = layer(stream, modern, h, f, some);
        let run = |layer: fn(_, _, _, _, _, _) -> _, weights: &LayerWeights, call| -> Vec<f32> {
            values(&layer(x.clone(), weights.clone(), &batch, settings, Mode::Eval, call))
        };
        let fused = run(encoder_layer, &weights, call);
        assert_eq!(fused, run(encoder_layer, &weights, call), "the same bits from what was kept");
        let no_cache = LayerCall { cache: None, ..call };
        assert_eq!(fused, run(encoder_layer, &weights, no_cache), "and from what was not");
        let plain = run(encoder_layer_plain, &weights, no_cache);
        let unrounded = run(encoder_layer_plain, &whole, no_cache);
        // Numbers that lie between two steps may go to either; that moves few values by little.
        let (same, rounding) = (distance(&fused, &plain), distance(&fused, &unrounded));
        assert!(same < 0.05 * rounding && rounding < 1e-2, "case {number}: {same} from the twin, {rounding} unrounded");
    }
}

#[test]
fn tables_in_few_bits_give_the_rows_they_hold() {
    let stream = Stream::new(4);
    let batch = batch(&[5, 2, 17]);
    let weights = EmbeddingWeights {
        word: few(stream.named("word"), [17, 24], 8, None, Input::Whole),
        position: Some(few(stream.named("position"), [20, 24], 4, Some(7), Input::Whole)),
        token_type: Some(tensor(stream.named("segment"), [2, 24], 0.3).into()),
        norm: Norm { weight: tensor(stream.named("norm"), [24], 0.8), bias: None, epsilon: 1e-5 },
    };
    let settings = EmbeddingSettings { position_offset: 1, dropout: 0.0 };
    let found = embed_norm(&batch, weights.clone(), settings, Mode::Eval);
    let expected = embed_norm_plain(&batch, weights, settings, Mode::Eval);
    assert_close("embeddings", &values(&found), &values(&expected), Level::Twin);
}

#[test]
fn rounded_rows_are_whole_steps_from_zero() {
    let x: Tensor<2> = Tensor::from_floats([[0.0, 1.0, -0.5, 2.0], [0.0; 4]], &cpu());
    let found = values(&rounded(x.clone(), Input::Dynamic));
    let step = 2.5 / 255.0;
    for (value, was) in found.iter().zip([0.0, 1.0, -0.5, 2.0]) {
        assert!((value / step - (value / step).round()).abs() < 1e-3 && (value - was).abs() <= 0.501 * step, "{value}");
    }
    assert_eq!(found[4..], [0.0; 4]);
    assert_eq!(values(&rounded(x.clone(), Input::Whole)), values(&x));
}

/// Leaves of the graph, and a layer that learns in eight bits of them.
fn learning(stream: Stream, modern: bool, h: usize, f: usize) -> (Vec<Tensor<2>>, Vec<Tensor<1>>, LayerWeights) {
    let leaf = |name: &str, shape: [usize; 2]| {
        let values = stream.named(name).normals(shape[0] * shape[1], 0.3);
        Tensor::<2>::from_data(TensorData::new(values, shape), &cpu().autodiff()).require_grad()
    };
    let vector = |name: &str, n: usize, deviation: f64| {
        let values = stream.named(name).normals(n, deviation);
        Tensor::<1>::from_data(TensorData::new(values, [n]), &cpu().autodiff()).require_grad()
    };
    let wide = if modern { 2 * f } else { f };
    let names =
        if modern { vec![("query", [3 * h, h])] } else { vec![("query", [h, h]), ("key", [h, h]), ("value", [h, h])] };
    let rest = [("attention", [h, h]), ("inner", [wide, h]), ("output", [h, f])];
    let all: Vec<_> = names.into_iter().chain(rest).collect();
    let matrices: Vec<Tensor<2>> = all.iter().map(|(name, shape)| leaf(name, *shape)).collect();
    let biases: Vec<Tensor<1>> =
        all.iter().map(|(name, shape)| vector(&format!("{name} bias"), shape[0], 0.3)).collect();
    let map = |i: usize| Linear { weight: Matrix::Learning(matrices[i].clone()), bias: Some(biases[i].clone()) };
    let norm = |name: &str| Norm { weight: vector(name, h, 0.8), bias: None, epsilon: 1e-5 };
    let next = matrices.len() - 3;
    let weights = LayerWeights {
        attention: AttentionWeights {
            query_key_value: match modern {
                true => QueryKeyValue::Joined(Box::new(map(0))),
                false => QueryKeyValue::Apart(Box::new([map(0), map(1), map(2)])),
            },
            output: map(next),
        },
        attention_norm: Some(norm("first")),
        feed_forward: FeedForwardWeights { intermediate: map(next + 1), output: map(next + 2) },
        output_norm: norm("second"),
    };
    (matrices, biases, weights)
}

#[test]
fn gradients_pass_straight_through_as_in_the_twin() {
    for (number, (modern, h, f)) in [(false, 24, 40), (true, 32, 50), (false, 12, 64)].into_iter().enumerate() {
        let stream = Stream::new(8).at(number as u64);
        let settings = LayerSettings {
            attention: AttentionSettings {
                heads: 4,
                attention_dropout: 0.1,
                hidden_dropout: 0.1,
                rotary: None,
                window: None,
            },
            feed_forward: FeedForwardSettings { activation: Activation::Gelu, gated: modern, dropout: 0.1 },
            pre_norm: modern,
        };
        let batch = batch(&[9, 1, 30, 12]);
        let asked: Vec<usize> = (0..batch.tokens()).step_by(3).collect();
        let asked = (number == 2).then_some(&asked[..]);
        let call = LayerCall { asked, cache: None, checkpoint: number == 1, bf16: false };
        let rows = asked.map_or(batch.tokens(), <[usize]>::len);
        let upstream: Tensor<2> = tensor(stream.named("upstream"), [rows, h], 1.0).autodiff();
        let run = |layer: fn(_, _, _, _, _, _) -> Tensor<2>, whole: bool| {
            let (matrices, biases, mut weights) = learning(stream, modern, h, f);
            if whole {
                let plain = |map: &mut Linear| {
                    if let Matrix::Learning(tensor) = &map.weight {
                        map.weight = tensor.clone().into();
                    }
                };
                match &mut weights.attention.query_key_value {
                    QueryKeyValue::Apart(maps) => maps.iter_mut().for_each(plain),
                    QueryKeyValue::Joined(map) => plain(map),
                }
                [
                    &mut weights.attention.output,
                    &mut weights.feed_forward.intermediate,
                    &mut weights.feed_forward.output,
                ]
                .into_iter()
                .for_each(plain);
            }
            let x: Tensor<2> = tensor::<2>(stream.named("x"), [batch.tokens(), h], 1.0).autodiff().require_grad();
            let y = layer(x.clone(), weights, &batch, settings, Mode::Train(stream.named("dropout")), call);
            let mut grads = (y.clone() * upstream.clone()).sum().backward();
            let mut all = vec![values(&y), values(&x.grad_remove(&mut grads).expect("x"))];
            all.extend(matrices.iter().map(|w| values(&w.grad_remove(&mut grads).expect("a matrix"))));
            // Together: the gradient of a key's bias is zero but for rounding.
            all.push(biases.iter().flat_map(|b| values(&b.grad_remove(&mut grads).expect("a bias"))).collect());
            all
        };
        let (fused, plain, whole) =
            (run(encoder_layer, false), run(encoder_layer_plain, false), run(encoder_layer, true));
        for (i, ((fused, plain), whole)) in fused.iter().zip(&plain).zip(&whole).enumerate() {
            // Numbers that lie between two steps may go to either; that moves few values by little.
            let (same, rounding) = (distance(fused, plain), distance(fused, whole));
            assert!(
                same < 0.1 * rounding && rounding > 0.0,
                "case {number}, {i}: {same} from the twin, {rounding} unrounded"
            );
        }
    }
}
