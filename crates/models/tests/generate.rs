//! A source with its target and the masks of that, beside the reference library given what each token sees.
//! `generate/make.py` made the values.

mod common;

use common::{Golden, cpu, goldens};
use polyseme_formats::ModelFolder;
use polyseme_models::{HeadKind, Model};
use polyseme_tensor::closeness::{Level, assert_close, values};
use polyseme_tensor::{Device, Mode, PackedBatch, Stream, View};

/// The base, its batch and the rows of all masks.
fn given(golden: &Golden, device: &Device) -> (Model, PackedBatch, Vec<usize>) {
    let folder = ModelFolder::open(&goldens().join("bert-mlm")).unwrap();
    let (model, report) = Model::open(&folder, HeadKind::Generate, Stream::new(0), device).unwrap();
    assert!(report.missing.is_empty(), "{report:?}");
    let sources = golden.ints("sources");
    // A source, so many tokens of a target, a mask for each and one more.
    let known = |i: usize| (golden.sequences[i].ids.len() - sources[i] as usize) / 2;
    let views: Vec<View> =
        (0..sources.len()).map(|i| View::of_target(sources[i] as usize, known(i), 0..=known(i))).collect();
    let batch = PackedBatch::with_views(&golden.sequences, &views);
    let masks = |i: usize| sources[i] as usize + known(i)..golden.sequences[i].ids.len();
    let rows = (0..sources.len()).flat_map(|i| masks(i).map(move |t| (i, t)));
    let rows = rows.map(|(i, t)| batch.row(i, t)).collect();
    (model, batch, rows)
}

#[test]
fn logits_loss_and_gradients() {
    let golden = Golden::open("../generate");
    let (model, batch, rows) = given(&golden, &cpu());
    assert_eq!(model.head(), HeadKind::Generate);
    let logits = model.masked_lm_logits(&batch, &rows);
    assert_close("logits", &values(&logits), &golden.floats("logits"), Level::Output);

    let (model, batch, rows) = given(&golden, &cpu().autodiff());
    let mode = Mode::Train(Stream::new(0));
    let states = model.token_states(&batch, &rows, mode);
    let (loss, _) = model.masked_lm_loss_of(states, &golden.ints("labels"), mode);
    assert_close("loss", &values(&loss), &golden.floats("loss"), Level::Loss);
    let gradients = model.gradients(&mut loss.backward());
    for (info, gradient) in model.parameters().iter().zip(&gradients) {
        let expected = golden.floats(&format!("gradient.{}", info.name));
        assert_close(&info.name, &values(gradient), &expected, Level::Gradient);
    }
}

#[test]
fn a_folder_that_generates_is_told_from_one_that_fills_masks() {
    let golden = Golden::open("../generate");
    let (model, ..) = given(&golden, &cpu());
    let head = |folder: &std::path::Path, wanted: HeadKind| {
        let folder = ModelFolder::open(folder).unwrap();
        Model::open(&folder, wanted, Stream::new(0), &cpu()).unwrap().0
    };
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    model.save(one.path()).unwrap();
    assert_eq!(head(one.path(), HeadKind::AsFound).head(), HeadKind::Generate);
    let filler = head(one.path(), HeadKind::MaskedLm);
    assert_eq!(filler.head(), HeadKind::MaskedLm);
    filler.save(other.path()).unwrap();
    assert_eq!(head(other.path(), HeadKind::AsFound).head(), HeadKind::MaskedLm);
}
