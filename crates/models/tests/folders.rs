//! Model folders: what we write is what was read, heads are found or made, old names are known.

mod common;

use common::{CASES, Golden, cpu, sequences, three_labels, tiny_model};
use polyseme_formats::tensors::{TensorFile, TensorOut, hf_metadata, write_safetensors};
use polyseme_formats::{LoadReport, ModelFolder};
use polyseme_models::{Family, HeadKind, Model};
use polyseme_tensor::closeness::{Level, assert_close, values};
use polyseme_tensor::{Mode, PackedBatch, Stream};
use serde_json::{Value, json};
use std::path::Path;

fn open(path: &Path, head: HeadKind) -> polyseme_models::Result<(Model, LoadReport)> {
    Model::open(&ModelFolder::open(path).expect("a model folder"), head, Stream::new(7), &cpu())
}

/// All tensors of a file, to be written again.
fn tensors(path: &Path) -> Vec<TensorOut> {
    let file = TensorFile::open(&path.join("model.safetensors")).expect("tensors");
    file.names().iter().map(|name| file.require(name).expect("a listed tensor").to_out()).collect()
}

fn config(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path.join("config.json")).expect("config.json")).expect("JSON")
}

/// A copy of a golden case, to be changed.
fn copy(case: &str, change: impl FnOnce(&mut Value, &mut Vec<TensorOut>)) -> tempfile::TempDir {
    let from = common::goldens().join(case);
    let to = tempfile::tempdir().expect("a folder");
    let (mut config, mut tensors) = (config(&from), tensors(&from));
    change(&mut config, &mut tensors);
    std::fs::write(to.path().join("config.json"), config.to_string()).expect("written");
    write_safetensors(&to.path().join("model.safetensors"), &tensors, &hf_metadata()).expect("written");
    to
}

fn rename(tensors: &mut [TensorOut], change: impl Fn(&str) -> String) {
    tensors.iter_mut().for_each(|tensor| tensor.name = change(&tensor.name));
}

#[test]
fn reading_then_writing_gives_the_same_tensors_and_settings() {
    for case in CASES {
        let golden = Golden::open(case);
        let to = tempfile::tempdir().expect("a folder");
        golden.model(&cpu()).save(to.path()).expect("saved");
        let (ours, theirs) = (tensors(to.path()), tensors(&golden.folder.path));
        let names = |list: &[TensorOut]| list.iter().map(|tensor| tensor.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&ours), names(&theirs), "{case}");
        for (ours, theirs) in ours.iter().zip(&theirs) {
            // The reference leaves its unused second bias; we write the one that is used.
            let unused = case.ends_with("mlm-untied") && ours.name.ends_with("predictions.bias");
            assert!(unused || ours.bytes == theirs.bytes, "{case}: {}", ours.name);
        }
        let (ours, theirs) = (config(to.path()), config(&golden.folder.path));
        for (key, value) in theirs.as_object().expect("an object") {
            assert_eq!(ours[key], *value, "{case}: {key}");
        }
        let again = tempfile::tempdir().expect("a folder");
        open(to.path(), HeadKind::AsFound).expect("it opens").0.save(again.path()).expect("saved");
        for file in ["config.json", "model.safetensors"] {
            let read = |path: &Path| std::fs::read(path.join(file)).expect("a file");
            assert!(read(to.path()) == read(again.path()), "{case}: {file}");
        }
    }
}

#[test]
fn a_new_model_is_written_and_opened_again() {
    for family in Family::ALL {
        for head in [HeadKind::None, HeadKind::MaskedLm, three_labels()] {
            let model = tiny_model(family, head.clone(), &cpu());
            let to = tempfile::tempdir().expect("a folder");
            model.save(to.path()).expect("saved");
            let (again, report) = open(to.path(), HeadKind::AsFound).expect("it opens");
            assert_eq!((again.family(), again.config(), again.head()), (family, model.config(), head));
            assert_eq!(again.parameters(), model.parameters());
            assert_eq!(report.applied.len(), model.parameters().len());
            let bytes = |model: &Model| model.to_tensors().into_iter().map(|tensor| tensor.bytes).collect::<Vec<_>>();
            assert!(bytes(&model) == bytes(&again), "{family:?}");
        }
    }
}

#[test]
fn new_weights_are_normal_biases_zero_norms_one_padding_zero() {
    let model = tiny_model(Family::Roberta, HeadKind::MaskedLm, &cpu());
    let width = model.config().hidden_size;
    for (info, tensor) in model.parameters().iter().zip(model.to_tensors()) {
        let numbers: Vec<f32> = bytemuck::pod_collect_to_vec(&tensor.bytes);
        if info.decay {
            let deviation = (numbers.iter().map(|x| x * x).sum::<f32>() / numbers.len() as f32).sqrt();
            assert!((deviation - 0.4).abs() < 0.1, "{}: {deviation}", info.name);
            // Row 1 is padding in the tables of words and of positions, and an ordinary row elsewhere.
            let row_of_zeros = numbers.chunks(width).nth(1).is_some_and(|row| row.iter().all(|&x| x == 0.0));
            let has_padding = info.name.contains("word_embeddings") || info.name.contains("position_embeddings");
            assert_eq!(has_padding, row_of_zeros, "{}", info.name);
        } else {
            let value = if info.name.ends_with("weight") { 1.0 } else { 0.0 };
            assert!(numbers.iter().all(|&x| x == value), "{}", info.name);
        }
    }
}

#[test]
fn an_encoder_begins_the_same_with_any_head() {
    let of = |head| tiny_model(Family::Bert, head, &cpu()).to_tensors();
    let (alone, with_head) = (of(HeadKind::None), of(HeadKind::MaskedLm));
    assert!(alone.iter().zip(&with_head).all(|(a, b)| a.bytes == b.bytes && b.name == format!("bert.{}", a.name)));
}

#[test]
fn the_prefix_may_be_there_or_not() {
    let bare = copy("bert-mlm", |_, tensors| rename(tensors, |name| name.replace("bert.", "")));
    let prefixed = common::goldens().join("bert-mlm");
    let batch = PackedBatch::new(&sequences(&[5, 3], Stream::new(3)));
    let hidden = |path: &Path, head| values(&open(path, head).expect("it opens").0.hidden(&batch, Mode::Eval));
    let expected = hidden(&prefixed, HeadKind::MaskedLm);
    assert_close("bare", &hidden(bare.path(), HeadKind::MaskedLm), &expected, Level::Bits);
    assert_close("encoder of prefixed", &hidden(&prefixed, HeadKind::None), &expected, Level::Bits);
}

#[test]
fn old_names_of_norms_and_numbers_saved_as_tensors() {
    let old = copy("bert-mlm", |_, tensors| {
        rename(tensors, |name| {
            name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
        });
        let mut positions = TensorOut::f32("bert.embeddings.position_ids", vec![1, 19], &[0.0; 19]);
        positions.dtype = polyseme_formats::tensors::DType::I32;
        tensors.push(positions);
    });
    let (model, report) = open(old.path(), HeadKind::AsFound).expect("it opens");
    assert_eq!(report.ignored, ["bert.embeddings.position_ids"]);
    assert!(report.missing.is_empty() && report.unused.is_empty(), "{report:?}");
    let expected = Golden::open("bert-mlm").model(&cpu());
    assert!(model.to_tensors().iter().zip(expected.to_tensors()).all(|(a, b)| a.bytes == b.bytes && a.name == b.name));
}

#[test]
fn the_old_file_of_pytorch() {
    // It holds tied tensors twice, as old versions wrote them.
    let from = common::goldens().join("bert-mlm");
    let to = tempfile::tempdir().expect("a folder");
    for file in ["config.json", "pytorch_model.bin"] {
        std::fs::copy(from.join(file), to.path().join(file)).expect("copied");
    }
    let (model, report) = open(to.path(), HeadKind::AsFound).expect("it opens");
    assert_eq!(report.ignored, ["cls.predictions.decoder.bias", "cls.predictions.decoder.weight"]);
    assert!(report.missing.is_empty() && report.unused.is_empty(), "{report:?}");
    let expected = Golden::open("bert-mlm").model(&cpu());
    assert!(model.to_tensors().iter().zip(expected.to_tensors()).all(|(a, b)| a.bytes == b.bytes && a.name == b.name));
}

#[test]
fn copies_of_tied_tensors_must_be_copies() {
    let add_copy = |change: f32| {
        copy("bert-mlm", move |_, tensors| {
            let word = tensors.iter().find(|tensor| tensor.name.ends_with("word_embeddings.weight")).expect("words");
            let mut copy = word.clone();
            copy.name = "cls.predictions.decoder.weight".into();
            let first = f32::from_le_bytes(copy.bytes[..4].try_into().expect("4 bytes")) + change;
            copy.bytes[..4].copy_from_slice(&first.to_le_bytes());
            tensors.push(copy);
        })
    };
    let (_, report) = open(add_copy(0.0).path(), HeadKind::AsFound).expect("it opens");
    assert_eq!(report.ignored, ["cls.predictions.decoder.weight"]);
    let message = open(add_copy(1.0).path(), HeadKind::AsFound).map(|_| ()).unwrap_err().to_string();
    assert!(message.contains("`cls.predictions.decoder.weight` differs from `bert.embeddings.word_embeddings"));
}

#[test]
fn heads_are_found_wanted_or_made_new() {
    let mlm = common::goldens().join("bert-mlm");
    let (model, report) = open(&mlm, HeadKind::None).expect("it opens");
    assert_eq!(model.head(), HeadKind::None);
    assert!(report.unused.iter().all(|name| name.starts_with("cls.")) && report.unused.len() == 5, "{report:?}");

    let (model, report) = open(&mlm, three_labels()).expect("it opens");
    assert_eq!(model.head(), three_labels());
    assert_eq!(
        report.missing,
        ["bert.pooler.dense.weight", "bert.pooler.dense.bias", "classifier.weight", "classifier.bias"]
    );

    let classify = common::goldens().join("bert-classify");
    let (_, report) = open(&classify, three_labels()).expect("it opens");
    assert!(report.missing.is_empty());
    let other = HeadKind::Classify(["ham", "spam"].map(str::to_owned).to_vec());
    let (_, report) = open(&classify, other).expect("it opens");
    assert_eq!(report.missing, ["classifier.weight", "classifier.bias"], "the pooler belongs to the encoder");
    assert_eq!(report.unused, ["classifier.bias", "classifier.weight"]);

    let (model, report) = open(&classify, HeadKind::MaskedLm).expect("it opens");
    assert_eq!(model.head(), HeadKind::MaskedLm);
    assert_eq!(report.missing.len(), 5, "{report:?}");
}

#[test]
fn labels_are_written_and_change_the_folder() {
    let (model, _) = open(&common::goldens().join("bert-mlm"), three_labels()).expect("it opens");
    let to = tempfile::tempdir().expect("a folder");
    model.save(to.path()).expect("saved");
    let config = config(to.path());
    assert_eq!(config["architectures"], json!(["BertForSequenceClassification"]));
    assert_eq!(config["id2label"], json!({ "0": "sad", "1": "merry", "2": "so-so" }));
    assert_eq!(config["label2id"], json!({ "sad": 0, "merry": 1, "so-so": 2 }));
    assert_eq!(config["bos_token_id"], Value::Null, "what nobody knows is kept");
    assert_eq!(open(to.path(), HeadKind::AsFound).expect("it opens").0.head(), three_labels());
}

#[test]
fn keys_nobody_knows_are_kept() {
    let folder = copy("electra-mlm", |config, _| config["my_own_key"] = json!({ "a": [1, 2] }));
    let (model, _) = open(folder.path(), HeadKind::AsFound).expect("it opens");
    let to = tempfile::tempdir().expect("a folder");
    model.save(to.path()).expect("saved");
    assert_eq!(config(to.path())["my_own_key"], json!({ "a": [1, 2] }));
}

#[test]
fn a_checkpoint_gives_the_bytes_back() {
    let model = tiny_model(Family::Electra, three_labels(), &cpu());
    let to = tempfile::tempdir().expect("a folder");
    let path = to.path().join("tensors.safetensors");
    write_safetensors(&path, &model.to_tensors(), &hf_metadata()).expect("written");
    let config = model.config().clone();
    let mut other =
        Model::new(Family::Electra, config, three_labels(), Stream::new(99), &cpu()).expect("possible settings");
    let bytes = |model: &Model| model.to_tensors().into_iter().map(|tensor| tensor.bytes).collect::<Vec<_>>();
    assert!(bytes(&other) != bytes(&model));
    other.load_tensors(&TensorFile::open(&path).expect("tensors")).expect("loaded");
    assert!(bytes(&other) == bytes(&model));
    // One of another shape is refused.
    let mut wrong = tiny_model(Family::Bert, three_labels(), &cpu());
    assert!(wrong.load_tensors(&TensorFile::open(&path).expect("tensors")).is_err());
}

#[test]
fn half_precision_is_read() {
    let folder = copy("roberta-mlm", |config, tensors| {
        config["dtype"] = json!("bfloat16");
        for tensor in tensors {
            let values: Vec<f32> = bytemuck::pod_collect_to_vec(&tensor.bytes);
            tensor.bytes = values.iter().flat_map(|&x| half::bf16::from_f32(x).to_le_bytes()).collect();
            tensor.dtype = polyseme_formats::tensors::DType::BF16;
        }
    });
    let (model, _) = open(folder.path(), HeadKind::AsFound).expect("it opens");
    let expected = Golden::open("roberta-mlm").model(&cpu());
    for (ours, full) in model.to_tensors().iter().zip(expected.to_tensors()) {
        let (ours, full): (Vec<f32>, Vec<f32>) =
            (bytemuck::pod_collect_to_vec(&ours.bytes), bytemuck::pod_collect_to_vec(&full.bytes));
        assert!(ours.iter().zip(&full).all(|(a, &b)| *a == half::bf16::from_f32(b).to_f32()));
    }
    let to = tempfile::tempdir().expect("a folder");
    model.save(to.path()).expect("saved");
    assert_eq!(config(to.path())["dtype"], "bfloat16", "as long as no value has changed");
    let weights = |folder: &Path| TensorFile::open(&folder.join("model.safetensors")).expect("its weights");
    for name in weights(to.path()).names() {
        let (saved, read) = (weights(to.path()), weights(folder.path()));
        assert!(saved.require(&name).unwrap().bytes == read.require(&name).unwrap().bytes, "{name}");
    }
    let (mut model, _) = open(folder.path(), HeadKind::AsFound).expect("it opens");
    model.set_word_embeddings(model.word_embeddings());
    model.save(to.path()).expect("saved");
    assert_eq!(config(to.path())["dtype"], "float32");
}
