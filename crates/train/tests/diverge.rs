//! A loss that is not finite: the step is skipped, said, and after a few in a row the run ends.

mod common;

use common::{Listener, config, device};
use polyseme_formats::run::RunFolder;
use polyseme_models::{Family, HeadKind, Model};
use polyseme_tensor::ops::optimizer::AdamWState;
use polyseme_tensor::{Mode, PackedBatch, Sequence, Stream, Tensor};
use polyseme_train::objective::{Objective, StepData};
use polyseme_train::pretrain::OptimizerSettings;
use polyseme_train::state::RunState;
use polyseme_train::training_loop::{End, Plan, Training};
use polyseme_train::{Error, Result, Stop};
use std::collections::BTreeMap;

/// What a batch does to the loss.
#[derive(Clone, Copy)]
enum Kind {
    Good,
    /// The loss is not a number.
    Loss,
    /// The loss is finite, its gradient is not: the square root has no slope at 0.
    Gradient,
}

struct Sometimes;

impl Objective for Sometimes {
    type Batch = Kind;

    fn loss(&self, model: &Model, kind: &Kind, mode: Mode) -> Tensor<1> {
        let sequence = Sequence { ids: vec![2, 7, 8, 3], type_ids: vec![0; 4] };
        let batch = PackedBatch::new(&[sequence]);
        let (loss, _) = model.masked_lm_loss(&batch, &[1], &[9], mode);
        match kind {
            Kind::Good => loss,
            Kind::Loss => loss * f32::NAN,
            Kind::Gradient => loss.clone() + (loss * 0.0).sqrt(),
        }
    }
    fn validate(&self, _: &Model) -> Result<BTreeMap<String, f64>> {
        Ok(BTreeMap::from([("loss".to_owned(), 1.0)]))
    }
    fn validation_seconds(&self, _: &Model) -> Result<f64> {
        Ok(0.0)
    }
}

fn train(kinds: &[Kind]) -> (Result<End>, RunState, Vec<Vec<u8>>, Listener) {
    let dir = tempfile::tempdir().unwrap();
    let config = polyseme_models::EncoderConfig { vocab_size: 30, ..config() };
    let mut model = Model::new(Family::Bert, config, HeadKind::MaskedLm, Stream::new(1), &device().autodiff()).unwrap();
    let mut folder = RunFolder::create(dir.path(), 0).unwrap();
    let plan = Plan {
        optimizer: OptimizerSettings::default(),
        budget: None,
        total_steps: Some(kinds.len() as u64),
        short_share: 0.0,
        valid_every: 0,
        save_every_seconds: 1e9,
        save_every_steps: 0,
        keep: 1,
        log_every: 1,
        selection: None,
        stages: None,
        stream: Stream::new(1),
    };
    let mut listener = Listener::default();
    let mut training = Training {
        plan: &plan,
        saved_best: None,
        model: &mut model,
        optimizer: AdamWState::default(),
        behind: None,
        state: RunState::default(),
        folder: &mut folder,
        observer: &mut listener,
        stop: &Stop::default(),
        lengthen: Default::default(),
    };
    let steps = kinds.iter().map(|&kind| StepData {
        batches: vec![kind],
        tokens: 4,
        targets: 1,
        after: Default::default(),
        progress: Some(0.5),
    });
    let end = training.run(&Sometimes, steps);
    let state = training.state;
    let weights = model.to_tensors().into_iter().map(|t| t.bytes).collect();
    (end, state, weights, listener)
}

#[test]
fn a_bad_step_is_skipped_and_said_and_the_run_goes_on() {
    use Kind::{Good, Gradient, Loss};
    for bad in [Loss, Gradient] {
        let (end, state, weights, listener) = train(&[Good, bad, bad, Good]);
        assert_eq!(end.unwrap(), End::Finished);
        assert_eq!((state.step, state.updates, state.skipped, state.skipped_in_a_row), (4, 2, 2, 0));
        assert_eq!(listener.warnings.len(), 2);
        assert!(listener.warnings[0].starts_with("step 2: the "), "{}", listener.warnings[0]);
        let values = weights.iter().flat_map(|w| w.chunks(4)).map(|b| f32::from_le_bytes(b.try_into().unwrap()));
        assert!(values.into_iter().all(f32::is_finite));
    }
}

#[test]
fn four_in_a_row_are_borne_and_five_end_the_run_with_advice() {
    use Kind::{Good, Gradient, Loss};
    let bad = [Good, Loss, Loss, Gradient, Loss, Good, Loss];
    assert_eq!(train(&bad).0.unwrap(), End::Finished);
    let (end, _, _, listener) = train(&[Good, Loss, Gradient, Loss, Loss, Gradient, Good]);
    let error = end.unwrap_err();
    assert!(matches!(error, Error::Diverged { step: 6, what: "the gradient", in_a_row: 5 }), "{error}");
    assert!(error.hint().unwrap().contains("learning rate"));
    assert_eq!(listener.warnings.len(), 5);
}
