//! The same numbers as the reference library: hidden states, logits, gradients of all parameters,
//! ten training steps, for all families. `goldens/make.py` made the values.

mod common;

use common::{CASES, Golden, cpu, goldens, pick};
use polyseme_models::{HeadKind, Model};
use polyseme_tensor::closeness::{Level, assert_close, values};
use polyseme_tensor::ops::optimizer::{AdamWState, AdamWStep, ParamRates, adamw_step};
use polyseme_tensor::ops::{binary_cross_entropy, cross_entropy};
use polyseme_tensor::packed::int_tensor;
use polyseme_tensor::{Mode, PackedBatch, Stream, Tensor};

#[test]
fn no_case_is_left_out() {
    let mut found: Vec<_> = std::fs::read_dir(goldens())
        .expect("the folder of goldens")
        .map(|entry| entry.expect("an entry"))
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().into_string().expect("a plain name"))
        .collect();
    found.sort();
    let mut cases = CASES.to_vec();
    cases.sort_unstable();
    assert_eq!(found, cases);
}

#[test]
fn hidden_states_of_all_layers() {
    for case in CASES {
        let golden = Golden::open(case);
        let model = golden.model(&cpu());
        let batch = PackedBatch::new(&golden.sequences);
        let states = model.hidden_layers(&batch);
        let depth = model.config().num_hidden_layers;
        assert_eq!(states.len(), depth + 1);
        for (n, state) in states.iter().enumerate() {
            let found = pick(&values(state), model.config().hidden_size, &golden.rows(&batch));
            for run in ["padded", "alone"] {
                let expected = golden.floats(&format!("hidden.{run}.{n}"));
                assert_close(&format!("{case}, {run}, layer {n}"), &found, &expected, Level::Output);
            }
        }
        assert_close(case, &values(&model.hidden(&batch, Mode::Eval)), &values(&states[depth]), Level::Bits);
    }
}

#[test]
fn logits() {
    for case in CASES {
        let golden = Golden::open(case);
        let model = golden.model(&cpu());
        let batch = PackedBatch::new(&golden.sequences);
        let logits = match model.head() {
            HeadKind::MaskedLm => model.masked_lm_logits(&batch, &looked_at(&golden, &batch)),
            HeadKind::Tag(_) | HeadKind::Answer => model.token_outputs(&batch, &looked_at(&golden, &batch), Mode::Eval),
            _ => model.sequence_outputs(&batch, Mode::Eval),
        };
        assert_close(case, &values(&logits), &golden.floats("logits"), Level::Output);
    }
}

#[test]
fn loss_and_gradients_of_all_parameters() {
    for case in CASES {
        let golden = Golden::open(case);
        let device = cpu().autodiff();
        let model = golden.model(&device);
        let batch = PackedBatch::new(&golden.sequences);
        let loss = loss(&golden, &model, &batch);
        assert_close(case, &values(&loss), &golden.floats("loss"), Level::Output);
        let gradients = model.gradients(&mut loss.backward());
        let parameters = model.parameters();
        assert_eq!(gradients.len(), parameters.len());
        for (info, gradient) in parameters.iter().zip(&gradients) {
            let expected = golden.floats(&format!("gradient.{}", info.name));
            assert_close(&format!("{case}, {}", info.name), &values(gradient), &expected, Level::Gradient);
        }
        let known = golden.values.names().iter().filter(|name| name.starts_with("gradient.")).count();
        assert_eq!(known, parameters.len(), "{case}: a gradient of the reference for each parameter and no more");
    }
}

#[test]
fn ten_steps_of_adamw() {
    for case in CASES {
        let golden = Golden::open(case);
        let device = cpu().autodiff();
        let mut model = golden.model(&device);
        let batch = PackedBatch::new(&golden.sequences);
        let each: Vec<ParamRates> = model.parameters().iter().map(|info| info.decay.into()).collect();
        let mut state = AdamWState::default();
        let mut losses = Vec::new();
        for _ in 0..10 {
            let loss = loss(&golden, &model, &batch);
            losses.extend(values(&loss));
            let gradients = model.gradients(&mut loss.backward());
            let values = model.take();
            model.put(adamw_step(values, gradients, &each, &mut state, settings(&golden)));
        }
        assert!(losses[9] < losses[0], "{case}: it learns");
        assert_close(case, &losses, &golden.floats("losses"), Level::Loss);
    }
}

/// Training mode; no case has dropout, so the stream is never asked.
fn train() -> Mode {
    Mode::Train(Stream::new(0))
}

/// Packed numbers of the rows with a label of their own: masked ones, words' first pieces, or all.
fn looked_at(golden: &Golden, batch: &PackedBatch) -> Vec<usize> {
    let rows = golden.rows(batch);
    let named = ["mask_rows", "tag_rows"].into_iter().find(|name| golden.values.get(name).is_some());
    named.map_or(rows.clone(), |name| golden.ints(name).into_iter().map(|row| rows[row as usize]).collect())
}

/// The loss the reference computed.
fn loss(golden: &Golden, model: &Model, batch: &PackedBatch) -> Tensor<1> {
    let labels = |name: &str| int_tensor(&golden.ints(name), &cpu());
    match model.head() {
        HeadKind::MaskedLm => {
            model.masked_lm_loss(batch, &looked_at(golden, batch), &golden.ints("mask_labels"), train()).0
        }
        HeadKind::Regress => {
            let numbers = Tensor::<1>::from_floats(golden.floats("numbers").as_slice(), &cpu());
            let error = model.sequence_outputs(batch, train()).flatten::<1>(0, 1) - numbers;
            (error.clone() * error).mean()
        }
        HeadKind::MultiLabel(_) => {
            let wanted = golden.floats("multilabels");
            let count = wanted.len();
            let wanted = Tensor::<1>::from_floats(wanted.as_slice(), &cpu()).reshape([count / 3, 3]);
            binary_cross_entropy(model.sequence_outputs(batch, train()), wanted) / count as f32
        }
        HeadKind::Tag(_) => {
            cross_entropy(model.token_outputs(batch, &looked_at(golden, batch), train()), labels("tag_labels"))
        }
        HeadKind::Answer => {
            // Each sequence's own tokens only.
            let of = |(i, (start, end)): (usize, (u32, u32))| {
                let rows: Vec<usize> = batch.rows(i).collect();
                let logits = model.token_outputs(batch, &rows, train()).transpose();
                cross_entropy(logits, int_tensor(&[start, end], &cpu()))
            };
            let places = golden.ints("starts").into_iter().zip(golden.ints("ends")).enumerate();
            Tensor::cat(places.map(of).collect(), 0).mean()
        }
        HeadKind::Choice => {
            let logits = model.sequence_outputs(batch, train()).reshape([batch.sequences() / 2, 2]);
            cross_entropy(logits, labels("choice_labels"))
        }
        _ => cross_entropy(model.sequence_outputs(batch, train()), labels("class_labels")),
    }
}

/// The reference's settings of AdamW.
fn settings(golden: &Golden) -> AdamWStep {
    let adamw = &golden.record["adamw"];
    let number = |value: &serde_json::Value| value.as_f64().expect("a number");
    AdamWStep {
        learning_rate: number(&adamw["lr"]),
        beta1: number(&adamw["betas"][0]),
        beta2: number(&adamw["betas"][1]),
        epsilon: number(&adamw["eps"]),
        weight_decay: number(&adamw["weight_decay"]),
        gradient_scale: 1.0,
    }
}
