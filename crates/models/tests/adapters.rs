//! Bottlenecks beside plain PyTorch: logits, gradients, ten steps; what is written is read back.
//! `tuning/make.py` made the values.

mod common;

use common::{Golden, cpu, goldens, learns_as_the_reference, put};
use polyseme_formats::ModelFolder;
use polyseme_models::{Error, HeadKind, Model, ParamGroup};
use polyseme_tensor::closeness::{Level, assert_close, values};
use polyseme_tensor::{Device, Mode, PackedBatch, Stream};
use std::path::{Path, PathBuf};

fn open(folder: &Path, device: &Device) -> Result<Model, Error> {
    Model::open(&ModelFolder::open(folder).unwrap(), HeadKind::AsFound, Stream::new(0), device).map(|(model, _)| model)
}

fn base(case: &str) -> PathBuf {
    goldens().join(format!("{}-classify", case.split_once('-').unwrap().1))
}

/// The base of a case with an adapter that is new.
fn new(case: &str, device: &Device) -> Model {
    let mut model = open(&base(case), device).unwrap();
    match case.split_once('-').unwrap().0 {
        "bottleneck" => model.add_bottlenecks(3, Stream::new(1)).unwrap(),
        other => panic!("{other}"),
    }
    model
}

/// The same with the reference's values.
fn tuned(case: &str, device: &Device) -> (Golden, Model) {
    let golden = Golden::open(&format!("../tuning/{case}"));
    let mut model = new(case, device);
    let value = |name: &str| golden.values.get(&format!("parameter.{name}")).map(|found| found.to_f32().unwrap());
    put(&mut model, &value);
    (golden, model)
}

fn said(model: &Model, batch: &PackedBatch) -> Vec<f32> {
    values(&model.sequence_outputs(batch, Mode::Eval))
}

const CASES: [&str; 2] = ["bottleneck-bert", "bottleneck-modernbert"];

#[test]
fn logits_gradients_and_ten_steps() {
    for case in CASES {
        let (golden, mut model) = tuned(case, &cpu().autodiff());
        let batch = PackedBatch::new(&golden.sequences);
        assert_close(case, &said(&model, &batch), &golden.floats("logits"), Level::Output);
        model.set_trainable(&|p| p.is_adapter() || p.group == ParamGroup::Head);
        learns_as_the_reference(&golden, &batch, &mut model);
    }
}

#[test]
fn new_bottlenecks_change_nothing() {
    for case in CASES {
        let golden = Golden::open(&format!("../tuning/{case}"));
        let batch = PackedBatch::new(&golden.sequences);
        let plain = open(&base(case), &cpu()).unwrap();
        assert_close(case, &said(&new(case, &cpu()), &batch), &said(&plain, &batch), Level::Bits);
    }
    assert!(open(&base(CASES[0]), &cpu()).unwrap().add_bottlenecks(0, Stream::new(0)).is_err());
}

#[test]
fn what_is_written_is_read_back() {
    for case in CASES {
        let (golden, model) = tuned(case, &cpu());
        let batch = PackedBatch::new(&golden.sequences);
        let dir = tempfile::tempdir().unwrap();
        model.save_adapter(dir.path(), &base(case)).unwrap();
        let again = open(dir.path(), &cpu()).unwrap();
        assert_close(case, &said(&again, &batch), &said(&model, &batch), Level::Bits);
        assert_eq!((again.head(), again.adapter()), (model.head(), model.adapter()));
        // All states, and what is asked for only, are those with the adapter.
        let hidden = values(&again.hidden(&batch, Mode::Eval));
        assert_close(case, &values(again.hidden_layers(&batch).last().unwrap()), &hidden, Level::Bits);
        let whole = ModelFolder::open(dir.path()).unwrap();
        let (bare, _) = Model::open(&whole, HeadKind::None, Stream::new(0), &cpu()).unwrap();
        assert_close(case, &values(&bare.hidden(&batch, Mode::Eval)), &hidden, Level::Bits);

        let other = tempfile::tempdir().unwrap();
        let error = again.save(other.path()).unwrap_err();
        assert!(error.to_string().contains("folded") && error.hint().unwrap().contains("as it is"), "{error}");
        assert!(Model::open(&whole, HeadKind::MaskedLm, Stream::new(0), &cpu()).is_err());
    }
}

#[test]
fn an_adapter_that_does_not_fit_is_refused() {
    let (_, model) = tuned("bottleneck-bert", &cpu());
    let dir = tempfile::tempdir().unwrap();
    model.save_adapter(dir.path(), &base("bottleneck-bert")).unwrap();
    let refused = |file: &str, from: &str, to: &str| {
        let path = dir.path().join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{text}");
        std::fs::write(&path, text.replace(from, to)).unwrap();
        let error = open(dir.path(), &cpu()).map(drop).unwrap_err().to_string();
        std::fs::write(&path, text).unwrap();
        error
    };
    let error = refused("adapter_config.json", "\"bottleneck_size\": 3", "\"bottleneck_size\": 4");
    assert!(error.contains("adapter.down.weight"), "{error}");
    let error = refused("adapter_config.json", "\"activation\": \"gelu\"", "\"activation\": \"relu\"");
    assert!(error.contains("activation"), "{error}");
    let error = refused("config.json", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1");
    assert!(error.contains("layer.1") && error.contains("belongs to nothing"), "{error}");
}
