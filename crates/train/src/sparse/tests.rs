//! Compared with PyTorch (`tests/fixtures/sparse.py`), and what is saved for a resume.

use super::*;
use polyseme_tensor::closeness::{Level, assert_close};
use polyseme_tensor::ops::optimizer::{AdamWState, ParamRates, adamw_step};

#[derive(Deserialize)]
struct Golden {
    settings: SparseSettings,
    rate: f64,
    decay: f64,
    fall: f64,
    shape: Vec<usize>,
    begin: Vec<f32>,
    gradients: Vec<Vec<f32>>,
    magnitude: Vec<Vec<f32>>,
    movement: Vec<Vec<f32>>,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("../../tests/fixtures/sparse.json")).unwrap()
}

fn tensor(values: &[f32]) -> Tensor<1> {
    Tensor::from_floats(values, &polyseme_tensor::device::parse("cpu").unwrap())
}

fn values(tensor: &Tensor<1>) -> Vec<f32> {
    tensor.clone().into_data_as::<f32>().try_into_vec().unwrap()
}

/// The masked weights after each step, with settings that may be changed.
fn learned(golden: &Golden, settings: &SparseSettings) -> Vec<Vec<f32>> {
    let info = |name: &str, group| ParamInfo {
        name: name.into(),
        shape: golden.shape.clone(),
        group,
        decay: true,
        trainable: true,
    };
    // A head's matrix beside it stays whole.
    let trained = [info("head", ParamGroup::Head), info("matrix", ParamGroup::Layer(0))];
    let steps = golden.gradients.len() as u64;
    let mut model = vec![tensor(&golden.begin); 2];
    let mut sparse = Sparse::new(settings, steps, &trained, &model);
    let mut moments = AdamWState::default();
    let mut found = Vec::new();
    for (done, gradient) in golden.gradients.iter().enumerate() {
        let mut gradients = vec![tensor(gradient); 2];
        sparse.gradients(&mut gradients);
        let share = 1.0 - golden.fall * done as f64;
        let step = AdamWStep {
            learning_rate: golden.rate * share,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: golden.decay,
            gradient_scale: 1.0,
        };
        sparse.before(&mut model, step, share);
        model = adamw_step(model, gradients, &[ParamRates::from(true); 2], &mut moments, step);
        sparse.after(&mut model, done as u64 + 1);
        assert!(values(&model[0]).iter().all(|&v| v != 0.0));
        found.push(values(&model[1]));
    }
    assert!(sparse.is_settled());
    found
}

#[test]
fn weights_become_zero_and_come_back_as_in_pytorch() {
    let golden = golden();
    let mut returned = false;
    for (by, wanted) in [(By::Magnitude, &golden.magnitude), (By::Movement, &golden.movement)] {
        for across in [Across::Matrix, Across::Model] {
            let found = learned(&golden, &SparseSettings { by, across, ..golden.settings.clone() });
            for (step, (found, wanted)) in found.iter().zip(wanted).enumerate() {
                assert_close(&format!("{by:?} after step {step}"), found, wanted, Level::Rounding);
                let zeros = |values: &[f32]| values.iter().map(|&v| v == 0.0).collect::<Vec<_>>();
                assert_eq!(zeros(found), zeros(wanted), "{by:?} after step {step}");
            }
            let pairs = found.windows(2).flat_map(|pair| pair[0].iter().zip(&pair[1]));
            returned |= pairs.into_iter().any(|(before, after)| *before == 0.0 && *after != 0.0);
            let last = found.last().unwrap().iter().filter(|v| **v == 0.0).count();
            assert_eq!(last, 18);
        }
    }
    assert!(returned, "a weight comes back");
}
