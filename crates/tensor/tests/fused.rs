//! Our kernels against their plain twins: the same values, the same gradients, the same ten steps,
//! on random shapes, with and without dropout.

use polyseme_tensor::closeness::{Level, assert_close, values};
use polyseme_tensor::ops::optimizer::{AdamWState, AdamWStep, ParamRates, adamw_step, adamw_step_plain};
use polyseme_tensor::ops::{
    Activation, AttentionSettings, AttentionWeights, EmbeddingSettings, EmbeddingWeights, FeedForwardSettings,
    FeedForwardWeights, LayerCall, LayerSettings, LayerWeights, Linear, Norm, QueryKeyValue, embed_norm,
    embed_norm_plain, encoder_layer, encoder_layer_plain, masked_lm_loss, masked_lm_loss_plain,
};
use polyseme_tensor::{Device, Mode, PackedBatch, Sequence, Stream, Tensor, TensorData, View, device};

/// Sizes and settings of one random case.
#[derive(Clone, Copy, Debug)]
struct Case {
    heads: usize,
    per_head: usize,
    /// Width beyond that of all heads.
    more: usize,
    inner: usize,
    sequences: usize,
    longest: usize,
    dropout: f64,
    activation: Activation,
    pre_norm: bool,
    gated: bool,
    rotary: bool,
    window: Option<usize>,
    biases: bool,
    joined: bool,
    first_norm: bool,
    checkpoint: bool,
}

/// BERT's layer in a third of the cases, and else any variant.
fn cases() -> Vec<Case> {
    let activations = [Activation::Gelu, Activation::GeluTanh, Activation::Relu, Activation::Silu];
    (0..36)
        .map(|i| {
            let stream = Stream::new(17).at(i);
            let pick = |place: u64, n: u64| stream.below(place, n) as usize;
            let bert = i % 3 == 0;
            let (pre_norm, rotary) = (!bert && pick(7, 2) == 0, !bert && pick(8, 3) > 0);
            Case {
                heads: 1 + pick(0, 5),
                per_head: if rotary { 2 * (1 + pick(1, 9)) } else { 1 + pick(1, 17) },
                more: [0, 0, 7][pick(16, 3)],
                inner: 1 + pick(2, 70),
                sequences: 1 + pick(3, 9),
                // Some are so long that probabilities are not kept.
                longest: if i % 9 == 4 { 700 } else { 1 + pick(4, 90) },
                dropout: [0.0, 0.1, 0.4][pick(5, 3)],
                activation: activations[i as usize % 4],
                pre_norm,
                gated: !bert && pick(9, 2) == 0,
                rotary,
                window: (!bert && pick(10, 2) == 0).then(|| pick(11, 30)),
                biases: bert || pick(12, 2) == 0,
                joined: !bert && pick(13, 2) == 0,
                first_norm: !pre_norm || pick(14, 2) == 0,
                checkpoint: pick(15, 2) == 0,
            }
        })
        .collect()
}

fn cpu() -> Device {
    device::parse("cpu").expect("always there").autodiff()
}

/// Random values; leaves of the graph.
fn leaf<const D: usize>(stream: Stream, shape: [usize; D], deviation: f64) -> Tensor<D> {
    let values = stream.normals(shape.iter().product(), deviation);
    Tensor::from_data(TensorData::new(values, shape), &cpu()).require_grad()
}

/// The weights in one order, so that both ways can be asked for all gradients.
struct Weights {
    maps: Vec<(Tensor<2>, Option<Tensor<1>>)>,
    norms: Vec<(Tensor<1>, Option<Tensor<1>>)>,
}

impl Weights {
    fn new(case: Case, stream: Stream) -> Self {
        let (a, f) = (case.heads * case.per_head, case.inner);
        let h = a + case.more;
        let first = if case.joined { vec![[3 * a, h]] } else { vec![[a, h]; 3] };
        let rest = [[h, a], [if case.gated { 2 * f } else { f }, h], [h, f]];
        let maps = first.into_iter().chain(rest).enumerate().map(|(i, shape)| {
            let stream = stream.named("map").at(i as u64);
            let bias = case.biases.then(|| leaf(stream.at(1), [shape[0]], 0.3));
            (leaf(stream.at(0), shape, 0.3), bias)
        });
        let norms = (usize::from(!case.first_norm)..2).map(|i| {
            let stream = stream.named("norm").at(i as u64);
            (leaf(stream.at(0), [h], 0.8), case.biases.then(|| leaf(stream.at(1), [h], 0.3)))
        });
        Self { maps: maps.collect(), norms: norms.collect() }
    }

    fn layer(&self, epsilon: f64) -> LayerWeights {
        let map = |i: usize| Linear { weight: self.maps[i].0.clone().into(), bias: self.maps[i].1.clone() };
        let norm = |i: usize| Norm { weight: self.norms[i].0.clone(), bias: self.norms[i].1.clone(), epsilon };
        let (query_key_value, next) = match self.maps.len() {
            4 => (QueryKeyValue::Joined(Box::new(map(0))), 1),
            _ => (QueryKeyValue::Apart(Box::new([map(0), map(1), map(2)])), 3),
        };
        LayerWeights {
            attention: AttentionWeights { query_key_value, output: map(next) },
            attention_norm: (self.norms.len() == 2).then(|| norm(0)),
            feed_forward: FeedForwardWeights { intermediate: map(next + 1), output: map(next + 2) },
            output_norm: norm(self.norms.len() - 1),
        }
    }
}

fn settings_of(case: Case) -> LayerSettings {
    LayerSettings {
        attention: AttentionSettings {
            heads: case.heads,
            attention_dropout: case.dropout,
            hidden_dropout: case.dropout / 2.0,
            rotary: case.rotary.then_some(1000.0),
            window: case.window,
        },
        feed_forward: FeedForwardSettings {
            activation: case.activation,
            gated: case.gated,
            dropout: case.dropout / 2.0,
        },
        pre_norm: case.pre_norm,
    }
}

#[test]
fn the_layer_equals_its_twin_with_all_gradients() {
    for (number, case) in cases().into_iter().enumerate() {
        let stream = Stream::new(5).at(number as u64);
        let h = case.heads * case.per_head + case.more;
        let lengths: Vec<usize> = (0..case.sequences)
            .map(|i| 1 + stream.named("length").below(i as u64, case.longest as u64) as usize)
            .collect();
        let sequences: Vec<Sequence> =
            lengths.iter().map(|&n| Sequence { ids: vec![0; n], type_ids: vec![0; n] }).collect();
        // A quarter of the cases has sources with a target behind, which sees no further than itself.
        let view = |i: usize| {
            let (length, source) =
                (lengths[i] as u32, 1 + stream.named("source").below(i as u64, lengths[i] as u64) as u32);
            View { positions: (0..length).collect(), seen: (0..length).map(|t| source.max(t + 1)).collect() }
        };
        let views: Vec<View> = (0..sequences.len()).map(view).collect();
        let batch = match number % 4 {
            2 => PackedBatch::with_views(&sequences, &views),
            _ => PackedBatch::new(&sequences),
        };
        let settings = settings_of(case);
        let mode = Mode::Train(stream.named("dropout"));
        // Every other case is asked for some rows only.
        let some: Vec<usize> = (0..batch.tokens()).filter(|row| row % 4 == 0).collect();
        let asked = (number % 2 == 1).then_some(&some[..]);
        let call = LayerCall { asked, cache: None, checkpoint: case.checkpoint, bf16: false };
        let rows = asked.map_or(batch.tokens(), <[usize]>::len);
        let upstream = leaf(stream.named("upstream"), [rows, h], 1.0).detach();
        let run = |fused: bool| {
            let weights = Weights::new(case, stream);
            let x = leaf(stream.named("x"), [batch.tokens(), h], 1.0);
            let layer = if fused { encoder_layer } else { encoder_layer_plain };
            let y = layer(x.clone(), weights.layer(1e-5), &batch, settings, mode, call);
            let mut grads = (y.clone() * upstream.clone()).sum().backward();
            let mut all = vec![
                ("output".to_owned(), values(&y)),
                ("x".to_owned(), values(&x.grad_remove(&mut grads).expect("x"))),
            ];
            for (i, (weight, bias)) in weights.maps.iter().enumerate() {
                // Together, since the gradient of a key's bias is zero but for rounding.
                let mut both = values(&weight.grad_remove(&mut grads).expect("weight"));
                both.extend(bias.iter().flat_map(|bias| values(&bias.grad_remove(&mut grads).expect("bias"))));
                all.push((format!("map {i}"), both));
            }
            for (i, (weight, bias)) in weights.norms.iter().enumerate() {
                all.push((format!("weight of norm {i}"), values(&weight.grad_remove(&mut grads).expect("weight"))));
                let bias = bias.as_ref().map(|bias| values(&bias.grad_remove(&mut grads).expect("bias")));
                all.push((format!("bias of norm {i}"), bias.unwrap_or_default()));
            }
            all
        };
        for ((name, got), (_, want)) in run(true).iter().zip(&run(false)) {
            assert_close(&format!("{case:?} {name}"), got, want, Level::Twin);
        }
    }
}

#[test]
fn embeddings_equal_their_twin_with_all_gradients_a_tied_table_included() {
    let stream = Stream::new(9);
    for (number, (segments, positions, bias, dropout)) in
        [(true, true, true, 0.0), (true, true, true, 0.3), (false, true, false, 0.1), (false, false, false, 0.2)]
            .into_iter()
            .enumerate()
    {
        let stream = stream.at(number as u64);
        let width = 3 + 14 * number;
        let sequences: Vec<Sequence> = [5usize, 1, 17, 5]
            .into_iter()
            .enumerate()
            .map(|(i, n)| Sequence {
                ids: (0..n).map(|t| stream.named("id").at(i as u64).below(t as u64, 13) as u32).collect(),
                type_ids: (0..n).map(|t| u32::from(t > n / 2)).collect(),
            })
            .collect();
        let batch = PackedBatch::new(&sequences);
        let upstream = leaf(stream.named("upstream"), [batch.tokens(), width], 1.0).detach();
        let run = |fused: bool| {
            let word = leaf(stream.named("word"), [13, width], 0.7);
            let position = positions.then(|| leaf(stream.named("position"), [20, width], 0.7));
            let token_type = segments.then(|| leaf(stream.named("segment"), [2, width], 0.7));
            let (weight, bias) =
                (leaf(stream.named("weight"), [width], 0.8), bias.then(|| leaf(stream.named("bias"), [width], 0.3)));
            let norm = Norm { weight: weight.clone(), bias: bias.clone(), epsilon: 1e-5 };
            let weights = EmbeddingWeights {
                word: word.clone().into(),
                position: position.clone().map(Into::into),
                token_type: token_type.clone().map(Into::into),
                norm,
            };
            let embed = if fused { embed_norm } else { embed_norm_plain };
            let settings = EmbeddingSettings { position_offset: 2, dropout };
            let y = embed(&batch, weights, settings, Mode::Train(stream.named("dropout")));
            // The table is used a second time, as by a tied decoder; once before in the backward pass, and
            // in every other case not at all.
            let again = if number % 2 == 0 {
                (y.clone().matmul(word.clone().transpose()) * 0.1).sum()
            } else {
                y.clone().sum()
            };
            let mut grads = ((y.clone() * upstream.clone()).sum() + again).backward();
            let mut all = vec![values(&y), values(&word.grad_remove(&mut grads).expect("word"))];
            let tables = [position, token_type].into_iter().flatten();
            all.extend(tables.map(|table| values(&table.grad_remove(&mut grads).expect("a table"))));
            let vectors = [Some(weight), bias].into_iter().flatten();
            all.extend(vectors.map(|vector| values(&vector.grad_remove(&mut grads).expect("a vector"))));
            all
        };
        for (i, (got, want)) in run(true).iter().zip(&run(false)).enumerate() {
            assert_close(&format!("case {number}, result {i}"), got, want, Level::Twin);
        }
    }
}

#[test]
fn the_masked_loss_equals_its_twin_with_all_gradients() {
    for (number, (rows, width, vocabulary)) in
        [(1, 1, 2), (7, 5, 31), (300, 12, 97), (500, 9, 3011)].into_iter().enumerate()
    {
        let stream = Stream::new(6).at(number as u64);
        let labels: Vec<u32> =
            (0..rows).map(|i| stream.named("labels").below(i as u64, vocabulary as u64) as u32).collect();
        let run = |fused: bool| {
            let x = leaf(stream.named("x"), [rows, width], 1.0);
            let weight = leaf(stream.named("weight"), [vocabulary, width], 0.7);
            let bias = leaf(stream.named("bias"), [vocabulary], 0.5);
            let decoder = Linear { weight: weight.clone().into(), bias: Some(bias.clone()) };
            let (loss, right) = match fused {
                true => masked_lm_loss(x.clone(), decoder, &labels, false),
                false => masked_lm_loss_plain(x.clone(), decoder, &labels),
            };
            // A factor shows that what comes from above is heeded.
            let mut grads = (loss.clone() * 3.0).backward();
            let mut of = |t: &Tensor<2>| values(&t.grad_remove(&mut grads).expect("a gradient"));
            let (x, weight) = (of(&x), of(&weight));
            [values(&loss), values(&right), x, weight, values(&bias.grad_remove(&mut grads).expect("bias"))]
        };
        for (i, (got, want)) in run(true).iter().zip(&run(false)).enumerate() {
            assert_close(&format!("{rows} rows, result {i}"), got, want, Level::Twin);
        }
    }
}

#[test]
fn ten_steps_of_the_optimizer_equal_its_twin() {
    let sizes = [1usize, 77, 70_000];
    let run = |fused: bool| {
        let start = |i: usize| leaf(Stream::new(7).at(i as u64), [sizes[i]], 0.5).inner();
        let mut params: Vec<Tensor<1>> = (0..3).map(start).collect();
        let mut state = AdamWState::default();
        for step in 0..10u64 {
            let grads = (0..3).map(|i| leaf(Stream::new(8).at(step).at(i), [sizes[i as usize]], 1.0).inner()).collect();
            let numbers = AdamWStep {
                learning_rate: 1e-2 / (step + 1) as f64,
                beta1: 0.9,
                beta2: 0.98,
                epsilon: 1e-6,
                weight_decay: 0.1,
                gradient_scale: if step % 2 == 0 { 1.0 } else { 0.3 },
            };
            let each = [true, false, true].map(|decay| ParamRates { rate: if decay { 1.0 } else { 0.2 }, decay });
            let one = if fused { adamw_step } else { adamw_step_plain };
            params = one(params, grads, &each, &mut state, numbers);
        }
        params.into_iter().chain(state.m).chain(state.v).map(|t| values(&t)).collect::<Vec<_>>()
    };
    for (i, (got, want)) in run(true).iter().zip(&run(false)).enumerate() {
        assert_close(&format!("tensor {i}"), got, want, Level::Rounding);
    }
}

/// Everything of a small model, each tensor a leaf.
struct Net {
    layers: Vec<Weights>,
    word: Tensor<2>,
    position: Tensor<2>,
    norm: (Tensor<1>, Tensor<1>),
    decoder_bias: Tensor<1>,
}

impl Net {
    fn new(case: Case, stream: Stream) -> Self {
        let width = case.heads * case.per_head + case.more;
        Self {
            layers: (0..2).map(|i| Weights::new(case, stream.named("layer").at(i))).collect(),
            word: leaf(stream.named("word"), [61, width], 0.3),
            position: leaf(stream.named("position"), [40, width], 0.3),
            norm: (leaf(stream.named("weight"), [width], 1.0), leaf(stream.named("bias"), [width], 0.1)),
            decoder_bias: leaf(stream.named("decoder"), [61], 0.1),
        }
    }

    /// Each tensor as a flat one, through `f`, which is given it and gives its successor.
    fn each(&mut self, mut f: impl FnMut(Tensor<1>) -> Tensor<1>) {
        fn vector(t: &mut Tensor<1>, f: &mut impl FnMut(Tensor<1>) -> Tensor<1>) {
            *t = f(t.clone());
        }
        fn matrix(t: &mut Tensor<2>, f: &mut impl FnMut(Tensor<1>) -> Tensor<1>) {
            let shape = t.dims();
            *t = f(t.clone().flatten(0, 1)).inner().reshape(shape).autodiff().require_grad();
        }
        for layer in &mut self.layers {
            for (weight, bias) in &mut layer.maps {
                matrix(weight, &mut f);
                bias.iter_mut().for_each(|bias| vector(bias, &mut f));
            }
            for (weight, bias) in &mut layer.norms {
                vector(weight, &mut f);
                bias.iter_mut().for_each(|bias| vector(bias, &mut f));
            }
        }
        matrix(&mut self.word, &mut f);
        matrix(&mut self.position, &mut f);
        for t in [&mut self.norm.0, &mut self.norm.1, &mut self.decoder_bias] {
            vector(t, &mut f);
        }
    }

    /// Gradients of all tensors, flat, in the order of [`Net::each`].
    fn gradients(&self, grads: &mut polyseme_tensor::Gradients) -> Vec<Tensor<1>> {
        fn of<const D: usize>(t: &Tensor<D>, grads: &mut polyseme_tensor::Gradients) -> Tensor<1> {
            let size = t.shape().num_elements();
            t.grad_remove(grads).expect("a gradient").reshape([size])
        }
        let mut all = Vec::new();
        for layer in &self.layers {
            for (weight, bias) in &layer.maps {
                all.push(of(weight, grads));
                all.extend(bias.iter().map(|bias| of(bias, grads)));
            }
            for (weight, bias) in &layer.norms {
                all.push(of(weight, grads));
                all.extend(bias.iter().map(|bias| of(bias, grads)));
            }
        }
        all.extend([of(&self.word, grads), of(&self.position, grads)]);
        all.extend([&self.norm.0, &self.norm.1, &self.decoder_bias].map(|t| of(t, grads)));
        all
    }
}

#[test]
fn ten_steps_of_training_equal_those_of_plain_operations() {
    let bert = Case { heads: 4, per_head: 6, more: 0, inner: 40, dropout: 0.1, ..cases()[0] };
    let modern = Case {
        pre_norm: true,
        gated: true,
        rotary: true,
        window: Some(4),
        biases: false,
        joined: true,
        first_norm: false,
        ..bert
    };
    for case in [bert, modern] {
        let stream = Stream::new(31);
        let ids = |i: u64, n: usize| (0..n).map(|t| stream.named("id").at(i).below(t as u64, 61) as u32).collect();
        let lengths = [9, 3, 30, 1, 12].into_iter().enumerate();
        let sequences: Vec<_> =
            lengths.map(|(i, n)| Sequence { ids: ids(i as u64, n), type_ids: vec![0; n] }).collect();
        let batch = PackedBatch::new(&sequences);
        let rows: Vec<usize> = (0..batch.tokens()).filter(|row| row % 3 == 0).collect();
        let labels: Vec<u32> = rows.iter().map(|&row| batch.ids[row]).collect();
        let settings = settings_of(case);
        let run = |fused: bool| {
            let mut net = Net::new(case, stream.named("net"));
            let embed = if fused { embed_norm } else { embed_norm_plain };
            let layer = if fused { encoder_layer } else { encoder_layer_plain };
            let adamw = if fused { adamw_step } else { adamw_step_plain };
            let mut state = AdamWState::default();
            let step = |step: u64, net: &mut Net, state: &mut AdamWState| -> f32 {
                let mode = Mode::Train(stream.named("dropout").at(step));
                let norm = Norm { weight: net.norm.0.clone(), bias: Some(net.norm.1.clone()), epsilon: 1e-5 };
                let weights = EmbeddingWeights {
                    word: net.word.clone().into(),
                    position: Some(net.position.clone().into()),
                    token_type: None,
                    norm,
                };
                let mut x: Tensor<2> =
                    embed(&batch, weights, EmbeddingSettings { position_offset: 0, dropout: case.dropout }, mode);
                for (i, weights) in net.layers.iter().enumerate() {
                    let call = LayerCall { asked: (i == 1).then_some(&rows[..]), ..LayerCall::default() };
                    x = layer(x, weights.layer(1e-5), &batch, settings, mode.named("layer").at(i), call);
                }
                let decoder = Linear { weight: net.word.clone().into(), bias: Some(net.decoder_bias.clone()) };
                let (mean, _): (Tensor<1>, Tensor<1>) = match fused {
                    true => masked_lm_loss(x, decoder, &labels, false),
                    false => masked_lm_loss_plain(x, decoder, &labels),
                };
                let gradients = net.gradients(&mut mean.backward());
                let mut values = Vec::new();
                net.each(|value| {
                    values.push(value.clone().inner());
                    value
                });
                let numbers = AdamWStep {
                    learning_rate: 3e-3,
                    beta1: 0.9,
                    beta2: 0.98,
                    epsilon: 1e-6,
                    weight_decay: 0.1,
                    gradient_scale: 1.0,
                };
                let each = vec![ParamRates { rate: 1.0, decay: true }; values.len()];
                let mut values = adamw(values, gradients, &each, state, numbers).into_iter();
                net.each(|_| values.next().expect("a value for each").autodiff().require_grad());
                mean.into_scalar::<f32>()
            };
            (0..10).map(|i| step(i, &mut net, &mut state)).collect::<Vec<f32>>()
        };
        let (fused, plain) = (run(true), run(false));
        assert!(fused[9] < fused[0] - 0.3, "it learns: {fused:?}");
        assert_close(&format!("{case:?}"), &fused, &plain, Level::Loss);
    }
}
