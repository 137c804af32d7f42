//! Each operation with its gradients against PyTorch (`goldens/make.py`).

use polyseme_tensor::closeness::{Level, assert_close, values};
use polyseme_tensor::ops::optimizer::{AdamWState, AdamWStep, ParamRates, adamw_step, adamw_step_plain, global_norm};
use polyseme_tensor::ops::{self, Activation, LayerCall, Linear, Norm};
use polyseme_tensor::packed::int_tensor;
use polyseme_tensor::{Device, Mode, PackedBatch, Sequence, Stream, Tensor, TensorData, device};
use serde_json::Value;

fn cpu() -> Device {
    device::parse("cpu").expect("there is always a CPU")
}

fn golden(name: &str) -> Value {
    let all: Value = serde_json::from_str(include_str!("goldens/ops.json")).expect("JSON");
    all[name].clone()
}

fn floats(value: &Value) -> Vec<f32> {
    let list = value.as_array().expect("a list");
    list.iter().map(|number| number.as_f64().expect("a number") as f32).collect()
}

/// A leaf of the golden case `(rows, width)`; a vector gets one row.
fn leaf(case: &Value, i: usize) -> Tensor<2> {
    let shape: Vec<usize> =
        case["shapes"][i].as_array().expect("a shape").iter().map(|n| n.as_u64().expect("a size") as usize).collect();
    let shape = if shape.len() == 1 { [1, shape[0]] } else { [shape[0], shape[1]] };
    Tensor::from_data(TensorData::new(floats(&case["inputs"][i]), shape), &cpu().autodiff()).require_grad()
}

/// Runs an operation and compares its output and the gradients of all inputs.
fn check(name: &str, operation: impl FnOnce(&[Tensor<2>]) -> Tensor<2>) {
    let case = golden(name);
    let leaves: Vec<_> = (0..case["inputs"].as_array().expect("inputs").len()).map(|i| leaf(&case, i)).collect();
    let output = operation(&leaves);
    assert_close(name, &values(&output), &floats(&case["output"]), Level::Output);
    let weights = Tensor::from_data(TensorData::new(floats(&case["weights"]), output.dims()), &cpu());
    let mut grads = (output * weights).sum().backward();
    for (i, leaf) in leaves.iter().enumerate() {
        let gradient = leaf.grad_remove(&mut grads).expect("a gradient");
        assert_close(
            &format!("{name}, gradient {i}"),
            &values(&gradient),
            &floats(&case["gradients"][i]),
            Level::Gradient,
        );
    }
}

/// A row as a vector.
fn vector(x: &Tensor<2>) -> Tensor<1> {
    x.clone().flatten(0, 1)
}

#[test]
fn activations() {
    for (name, activation) in [
        ("gelu", Activation::Gelu),
        ("gelu_tanh", Activation::GeluTanh),
        ("relu", Activation::Relu),
        ("silu", Activation::Silu),
        ("tanh", Activation::Tanh),
    ] {
        check(name, |x| ops::activate(x[0].clone(), activation));
    }
}

#[test]
fn the_two_gelus_are_two() {
    let (exact, tanh) = (floats(&golden("gelu")["output"]), floats(&golden("gelu_tanh")["output"]));
    let greatest = exact.iter().zip(&tanh).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(greatest > 1e-4, "a golden that could not tell them apart");
}

#[test]
fn linear() {
    check("linear", |x| ops::linear(x[0].clone(), Linear { weight: x[1].clone().into(), bias: Some(vector(&x[2])) }));
}

#[test]
fn layer_norm_with_its_own_epsilon() {
    check("layer_norm", |x| {
        ops::layer_norm(x[0].clone(), Norm { weight: vector(&x[1]), bias: Some(vector(&x[2])), epsilon: 1e-3 })
    });
}

#[test]
fn cross_entropy() {
    let labels: Vec<u32> =
        golden("labels").as_array().expect("labels").iter().map(|n| n.as_u64().unwrap() as u32).collect();
    check("cross_entropy", |x| ops::cross_entropy(x[0].clone(), int_tensor(&labels, &cpu())).unsqueeze());
}

#[test]
fn cross_entropy_of_huge_logits_is_finite() {
    let logits = Tensor::<2>::from_floats([[3e38, -3e38, 0.0], [-1e30, -1e30, -1e30]], &cpu());
    let loss = values(&ops::cross_entropy(logits, int_tensor(&[0, 2], &cpu())))[0];
    assert!((loss - 3f32.ln() / 2.0).abs() < 1e-6, "{loss}");
}

#[test]
fn masked_loss_counts_the_right_ones() {
    // Logits are x itself: the decoder is the identity.
    let x = Tensor::<2>::from_floats([[1.0, 0.0, 0.0], [0.0, 0.0, 2.0], [0.0, 3.0, 0.0]], &cpu());
    let decoder = || Linear {
        weight: Tensor::from_floats([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], &cpu()).into(),
        bias: Some(Tensor::zeros([3], &cpu())),
    };
    let labels = [0, 1, 1];
    let expected = values(&ops::cross_entropy(x.clone(), int_tensor(&labels, &cpu())));
    let by_kernel = ops::masked_lm_loss(x.clone(), decoder(), &labels, false);
    for (loss, right) in [by_kernel, ops::masked_lm_loss_plain(x, decoder(), &labels)] {
        assert_close("loss", &values(&loss), &expected, Level::Rounding);
        assert_eq!(values(&right), [2.0]);
    }
}

#[test]
fn adamw_is_pytorchs() {
    let case = golden("adamw");
    let lists = |value: &Value| -> Vec<Tensor<1>> {
        value
            .as_array()
            .expect("lists")
            .iter()
            .map(|list| Tensor::from_floats(floats(list).as_slice(), &cpu()))
            .collect()
    };
    let settings = AdamWStep {
        learning_rate: 0.02,
        beta1: 0.8,
        beta2: 0.95,
        epsilon: 1e-6,
        weight_decay: 0.4,
        // Gradients are given tenfold below.
        gradient_scale: 0.1,
    };
    for step in [adamw_step, adamw_step_plain] {
        let (mut params, mut state) = (lists(&case["start"]), AdamWState::default());
        for (number, expected) in case["steps"].as_array().expect("steps").iter().enumerate() {
            let grads = lists(&expected["gradients"]).into_iter().map(|grad| grad * 10.0).collect();
            params = step(params, grads, &[true, true, false].map(ParamRates::from), &mut state, settings);
            for (param, expected) in params.iter().zip(lists(&expected["params"])) {
                assert_close(&format!("step {number}"), &values(param), &values(&expected), Level::Rounding);
            }
        }
        assert_eq!(state.step, 4);
    }
}

#[test]
fn the_global_norm_is_over_all_together() {
    let of = |numbers: &[f32]| Tensor::<1>::from_floats(numbers, &cpu());
    assert_eq!(global_norm(&[of(&[3.0]), of(&[0.0, 4.0])]), 5.0);
    assert_eq!(global_norm(&[]), 0.0);
    // Large enough to be summed in parts.
    let norm = global_norm(&[Tensor::ones([5_000_000], &cpu()) * 0.5]);
    assert!((norm - 1_250_000f64.sqrt()).abs() < 1e-3, "{norm}");
}

/// A layer that only attends: one head, no query, key and feed-forward, value `v` for each token.
fn attention_only() -> ops::LayerWeights {
    let zeros = |out: usize, input: usize| Linear {
        weight: Tensor::zeros([out, input], &cpu()).into(),
        bias: Some(Tensor::zeros([out], &cpu())),
    };
    let norm = || Norm { weight: Tensor::ones([4], &cpu()), bias: Some(Tensor::zeros([4], &cpu())), epsilon: 1e-6 };
    let identity =
        Tensor::from_floats([[1.0, 0., 0., 0.], [0., 1., 0., 0.], [0., 0., 1., 0.], [0., 0., 0., 1.]], &cpu());
    let value = Linear { bias: Some(Tensor::from_floats([1.0, -2.0, 3.0, 0.5], &cpu())), ..zeros(4, 4) };
    ops::LayerWeights {
        attention: ops::AttentionWeights {
            query_key_value: ops::QueryKeyValue::Apart(Box::new([zeros(4, 4), zeros(4, 4), value])),
            output: Linear { weight: identity.into(), ..zeros(4, 4) },
        },
        attention_norm: Some(norm()),
        feed_forward: ops::FeedForwardWeights { intermediate: zeros(6, 4), output: zeros(4, 6) },
        output_norm: norm(),
    }
}

#[test]
fn dropout_of_attention_and_of_hidden_states_have_their_rates() {
    const COUNT: usize = 20_000;
    let sequences = vec![Sequence { ids: vec![0], type_ids: vec![0] }; COUNT];
    let batch = PackedBatch::new(&sequences);
    let x = || Tensor::zeros([COUNT, 4], &cpu());
    let settings = |attention_dropout, hidden_dropout| ops::LayerSettings {
        attention: ops::AttentionSettings { heads: 1, attention_dropout, hidden_dropout, rotary: None, window: None },
        feed_forward: ops::FeedForwardSettings { activation: Activation::Relu, gated: false, dropout: 0.0 },
        pre_norm: false,
    };
    for layer in [ops::encoder_layer, ops::encoder_layer_plain] {
        let share = |settings, zero: fn(&[f32]) -> bool| {
            let mode = Mode::Train(Stream::new(4));
            let rows = values(&layer(x(), attention_only(), &batch, settings, mode, LayerCall::default()));
            rows.chunks(4).filter(|row| zero(row)).count() as f64 / COUNT as f64
        };
        // A sequence of one token has one probability; where it is dropped, nothing is left.
        let rate = share(settings(0.3, 0.0), |row| row.iter().all(|&value| value == 0.0));
        assert!((rate - 0.3).abs() < 0.015, "attention: {rate}");
        // Of hidden states, all four are dropped with probability rate to the fourth.
        let rate = share(settings(0.0, 0.7), |row| row.iter().all(|&value| value == 0.0)).powf(0.25);
        assert!((rate - 0.7).abs() < 0.01, "hidden: {rate}");
        assert_eq!(share(settings(0.0, 0.0), |row| row.iter().all(|&value| value == 0.0)), 0.0);
    }
}

#[test]
fn dropout_has_its_rate_and_keeps_the_mean() {
    let x = Tensor::<2>::ones([500, 301], &cpu());
    for rate in [0.1, 0.5, 0.9] {
        let found = values(&ops::dropout(x.clone(), rate, Mode::Train(Stream::new(2))));
        let zeros = found.iter().filter(|&&value| value == 0.0).count() as f64 / found.len() as f64;
        assert!((zeros - rate).abs() < 0.007, "{rate}: {zeros}");
        let kept = 1.0 / (1.0 - rate) as f32;
        assert!(found.iter().all(|&value| value == 0.0 || (value - kept).abs() < 1e-5 * kept));
    }
    assert_close("inference", &values(&ops::dropout(x.clone(), 0.5, Mode::Eval)), &values(&x), Level::Bits);
}
