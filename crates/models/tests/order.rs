//! Hidden tokens and the order of two parts, learned at once as the reference library learns them.
//! `order/make.py` made the values.

mod common;

use common::{Golden, cpu, learns_by, tiny_model, tiny_of};
use polyseme_models::{Family, HeadKind, Model};
use polyseme_tensor::closeness::{Level, assert_close, values};
use polyseme_tensor::ops::cross_entropy;
use polyseme_tensor::packed::int_tensor;
use polyseme_tensor::{Mode, PackedBatch, Stream, Tensor};

const CASES: [&str; 2] = ["albert", "bert"];

fn open(case: &str) -> (Golden, Model) {
    let golden = Golden::open(&format!("../order/{case}"));
    let device = cpu().autodiff();
    let (model, report) =
        Model::open(&golden.folder, HeadKind::PreTraining, Stream::new(0), &device).expect("it opens");
    assert!(report.missing.is_empty() && report.unused.is_empty(), "{report:?}");
    (golden, model)
}

/// Rows of the hidden tokens, and all sequences.
fn asked(golden: &Golden, batch: &PackedBatch) -> (Vec<usize>, Vec<usize>) {
    let rows = golden.rows(batch);
    let hidden = golden.ints("mask_rows").into_iter().map(|row| rows[row as usize]).collect();
    (hidden, (0..batch.sequences()).collect())
}

#[test]
fn logits_of_tokens_and_of_orders() {
    for case in CASES {
        let (golden, model) = open(case);
        let batch = PackedBatch::new(&golden.sequences);
        let (rows, sequences) = asked(&golden, &batch);
        let (states, orders) = model.states_and_orders(&batch, &rows, &sequences, Mode::Eval);
        assert_close(
            case,
            &values(&model.masked_lm_logits_of(states, Mode::Eval)),
            &golden.floats("logits"),
            Level::Output,
        );
        assert_close(case, &values(&orders), &golden.floats("order_logits"), Level::Output);
    }
}

#[test]
fn loss_gradients_and_ten_steps() {
    for case in CASES {
        let (golden, mut model) = open(case);
        let batch = PackedBatch::new(&golden.sequences);
        let (rows, sequences) = asked(&golden, &batch);
        let train = Mode::Train(Stream::new(0));
        let loss = |model: &Model| -> Tensor<1> {
            let (states, orders) = model.states_and_orders(&batch, &rows, &sequences, train);
            let wanted = int_tensor(&golden.ints("orders"), &cpu());
            model.masked_lm_loss_of(states, &golden.ints("mask_labels"), train).0 + cross_entropy(orders, wanted)
        };
        assert_close(case, &values(&loss(&model)), &golden.floats("loss"), Level::Output);
        learns_by(&golden, &mut model, &loss);
    }
}

#[test]
fn it_is_written_as_the_reference_has_it_and_opens_for_hidden_tokens() {
    for case in CASES {
        let (_, model) = open(case);
        let to = tempfile::tempdir().unwrap();
        model.save(to.path()).unwrap();
        let read = |folder: &std::path::Path| std::fs::read(folder.join("model.safetensors")).unwrap();
        let folder = polyseme_formats::ModelFolder::open(to.path()).unwrap();
        let own = common::goldens().join("../order").join(case);
        let tensors = |folder: &std::path::Path| {
            let file = polyseme_formats::tensors::TensorFile::open(&folder.join("model.safetensors")).unwrap();
            let of = |name: &String| file.require(name).unwrap().to_f32().unwrap();
            file.names().into_iter().map(|name| (name.clone(), of(&name))).collect::<Vec<_>>()
        };
        assert!(tensors(to.path()) == tensors(&own), "{case}");
        let config = std::fs::read_to_string(to.path().join("config.json")).unwrap();
        assert!(config.contains("ForPreTraining"), "{config}");
        let (found, _) = Model::open(&folder, HeadKind::AsFound, Stream::new(0), &cpu()).unwrap();
        assert_eq!(found.head(), HeadKind::MaskedLm);
        // Read and written again: the same bytes.
        let (again, _) = Model::open(&folder, HeadKind::PreTraining, Stream::new(0), &cpu()).unwrap();
        let twice = tempfile::tempdir().unwrap();
        again.save(twice.path()).unwrap();
        assert!(read(to.path()) == read(twice.path()));
    }
}

#[test]
fn a_new_head_is_made_where_there_is_none_and_other_families_have_none() {
    let to = tempfile::tempdir().unwrap();
    tiny_model(Family::Albert, HeadKind::MaskedLm, &cpu()).save(to.path()).unwrap();
    let folder = polyseme_formats::ModelFolder::open(to.path()).unwrap();
    let (_, report) = Model::open(&folder, HeadKind::PreTraining, Stream::new(0), &cpu()).unwrap();
    assert_eq!(report.missing.len(), 4, "the pooler and the map behind it: {report:?}");
    let roberta = Model::new(Family::Roberta, tiny_of(Family::Roberta), HeadKind::PreTraining, Stream::new(0), &cpu());
    let error = roberta.err().unwrap().to_string();
    assert!(error.contains("roberta") && error.contains("`bert` or `albert`"), "{error}");
}
