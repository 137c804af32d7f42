//! Models in few bits: what they say is near what they said, and folders keep them to the byte.

mod common;

use common::{cpu, sequences, three_labels, tiny_model};
use polyseme_formats::ModelFolder;
use polyseme_formats::tensors::{DType, TensorFile, TensorOut, hf_metadata, write_safetensors};
use polyseme_models::{Family, HeadKind, MatrixRole, Model};
use polyseme_tensor::closeness::values;
use polyseme_tensor::{Input, Mode, PackedBatch, Quantized, Stream};
use serde_json::{Value, json};
use std::path::Path;

fn batch() -> PackedBatch {
    PackedBatch::new(&sequences(&[5, 9, 1, 7], Stream::new(3)))
}

fn hidden(model: &Model) -> Vec<f32> {
    values(&model.hidden(&batch(), Mode::Eval))
}

fn open(folder: &Path) -> Result<Model, polyseme_models::Error> {
    let folder = ModelFolder::open(folder).expect("a model folder");
    Model::open(&folder, HeadKind::AsFound, Stream::new(0), &cpu()).map(|(model, report)| {
        assert!(report.missing.is_empty() && report.unused.is_empty(), "{report:?}");
        model
    })
}

fn quantize(model: &mut Model, how: impl Fn(usize, MatrixRole) -> (u32, Option<usize>, Input)) {
    for (i, matrix) in model.matrices().into_iter().enumerate() {
        let (bits, group, input) = how(i, matrix.role);
        let input = if matches!(matrix.role, MatrixRole::Layer(_)) { input } else { Input::Whole };
        let values = model.values(&matrix.name);
        model.quantize(&matrix.name, Quantized::new(&values, matrix.shape[1], bits, group, input));
    }
}

/// All kinds side by side.
fn mixed(i: usize, _: MatrixRole) -> (u32, Option<usize>, Input) {
    match i % 5 {
        0 => (8, None, Input::Dynamic),
        1 => (8, None, Input::Static { scale: 0.05, zero: 100 }),
        2 => (8, None, Input::Whole),
        3 => (4, Some(8), Input::Whole),
        _ => (4, None, Input::Whole),
    }
}

fn correlation(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[test]
fn every_family_in_eight_bits_says_nearly_the_same() {
    for family in Family::ALL {
        for head in [HeadKind::None, HeadKind::MaskedLm, three_labels()] {
            let mut model = tiny_model(family, head.clone(), &cpu());
            let before = hidden(&model);
            quantize(&mut model, |_, _| (8, None, Input::Dynamic));
            assert!(model.is_quantized());
            let near = correlation(&hidden(&model), &before);
            assert!(near > 0.999 && near < 1.0, "{family:?} {head:?}: {near}");
        }
    }
}

#[test]
fn folders_keep_numbers_scales_and_ranges_to_the_byte() {
    for family in Family::ALL {
        for head in [HeadKind::None, HeadKind::MaskedLm, three_labels()] {
            let mut model = tiny_model(family, head.clone(), &cpu());
            quantize(&mut model, mixed);
            let dir = tempfile::tempdir().expect("a folder");
            let (first, second) = (dir.path().join("1"), dir.path().join("2"));
            for folder in [&first, &second] {
                std::fs::create_dir(folder).expect("a new folder");
            }
            model.save(&first).expect("it is written");
            let again = open(&first).expect("it opens");
            assert_eq!(again.head(), head);
            assert_eq!(hidden(&model), hidden(&again), "{family:?}: the same bits");
            again.save(&second).expect("it is written");
            for file in ["model.safetensors", "config.json"] {
                let read = |folder: &Path| std::fs::read(folder.join(file)).expect("it was written");
                assert!(read(&first) == read(&second), "{family:?} {head:?}: {file} differs");
            }
            assert!(again.check_learns(&first).is_err());
        }
    }
}

#[test]
fn a_model_made_whole_again_is_written_as_any_other() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut model = tiny_model(Family::Bert, HeadKind::None, &cpu());
    quantize(&mut model, |_, _| (8, None, Input::Dynamic));
    model.save(dir.path()).expect("it is written");
    let mut model = open(dir.path()).expect("it opens");
    for matrix in model.matrices() {
        let values = model.values(&matrix.name);
        model.make_whole(&matrix.name, values);
    }
    model.save(dir.path()).expect("it is written");
    let config: Value = serde_json::from_slice(&std::fs::read(dir.path().join("config.json")).unwrap()).unwrap();
    assert!(config.get("quantization_config").is_none());
    assert!(!open(dir.path()).expect("it opens").is_quantized());
}

#[test]
fn eight_bits_lie_in_the_file_as_they_are() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut model = tiny_model(Family::Bert, HeadKind::None, &cpu());
    quantize(&mut model, |i, _| (if i == 0 { 4 } else { 8 }, None, Input::Static { scale: 0.25, zero: 28 }));
    model.save(dir.path()).expect("it is written");
    let file = TensorFile::open(&dir.path().join("model.safetensors")).expect("it opens");
    let module = "encoder.layer.0.attention.self.query";
    let matrix = model.quantized(&format!("{module}.weight")).expect("in few bits");
    let tensor = |what: &str| file.require(&format!("{module}.{what}")).expect("it is there");
    assert_eq!(tensor("weight").dtype, DType::I8);
    assert!(tensor("weight").bytes.iter().map(|&b| b as i8).eq(matrix.codes().iter().copied()));
    assert_eq!(tensor("weight_scale").to_f32().unwrap(), matrix.scales());
    assert_eq!(tensor("input_scale").to_f32().unwrap(), [0.25]);
    assert_eq!(tensor("input_zero_point").bytes[0] as i8, -100, "counted from the middle of the range");
    // Eight numbers a word, the first in the lowest bits, each raised by eight.
    let table = model.quantized("embeddings.word_embeddings.weight").expect("in few bits");
    let packed = file.require("embeddings.word_embeddings.weight_packed").expect("packed");
    let word = u32::from_le_bytes(packed.bytes[..4].try_into().unwrap());
    let numbers: Vec<i8> = (0..8).map(|i| (word >> (4 * i) & 15) as i8 - 8).collect();
    assert_eq!(numbers, table.codes()[..8]);
}

/// A folder whose configuration and tensors were changed.
fn changed(
    config: impl Fn(&mut Value),
    tensors: impl Fn(&mut Vec<TensorOut>),
) -> Result<Model, polyseme_models::Error> {
    let dir = tempfile::tempdir().expect("a folder");
    let mut model = tiny_model(Family::Bert, HeadKind::None, &cpu());
    quantize(&mut model, |_, _| (8, None, Input::Dynamic));
    model.save(dir.path()).expect("it is written");
    let path = dir.path().join("config.json");
    let mut json: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    config(&mut json["quantization_config"]);
    std::fs::write(&path, json.to_string()).unwrap();
    let path = dir.path().join("model.safetensors");
    let file = TensorFile::open(&path).expect("it opens");
    let mut all: Vec<TensorOut> = file.names().iter().map(|name| file.require(name).unwrap().to_out()).collect();
    drop(file);
    tensors(&mut all);
    write_safetensors(&path, &all, &hf_metadata()).expect("it is written");
    open(dir.path())
}

#[test]
fn groups_are_found_by_class_and_by_pattern_too() {
    let only = |targets: Value| {
        move |config: &mut Value| {
            let mut groups = config["config_groups"].clone();
            groups["group_0"]["targets"] = json!(["Embedding"]);
            groups["group_1"]["targets"] = targets.clone();
            config["config_groups"] = groups;
        }
    };
    let expected = changed(|_| (), |_| ()).expect("it opens");
    for targets in [json!(["Linear"]), json!(["re:encoder.*"])] {
        let model = changed(only(targets), |_| ()).expect("it opens");
        assert_eq!(hidden(&model), hidden(&expected));
    }
}

#[test]
fn what_cannot_be_computed_is_refused() {
    let says = |result: Result<Model, polyseme_models::Error>, words: &[&str]| {
        let Err(error) = result else { panic!("it opened, though {words:?}") };
        let said = error.to_string();
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
    };
    says(changed(|c| c["quant_method"] = "gptq".into(), |_| ()), &["config.json", "gptq", "compressed-tensors"]);
    let asymmetric = |c: &mut Value| c["config_groups"]["group_0"]["weights"]["symmetric"] = false.into();
    says(changed(asymmetric, |_| ()), &["group_0", "symmetric"]);
    let three = |c: &mut Value| c["config_groups"]["group_0"]["weights"]["num_bits"] = 3.into();
    says(changed(three, |_| ()), &["group_0", "4 or 8 bits"]);
    let none = |c: &mut Value| c["config_groups"] = json!({});
    says(changed(none, |_| ()), &["without a group for"]);
    let output = |c: &mut Value| c["config_groups"]["group_0"]["output_activations"] = json!({"num_bits": 8});
    says(changed(output, |_| ()), &["rounded outputs"]);
    let no_scale = |t: &mut Vec<TensorOut>| t.retain(|t| !t.name.ends_with("query.weight_scale"));
    says(changed(|_| (), no_scale), &["query.weight_scale", "missing"]);
    let nan = |t: &mut Vec<TensorOut>| {
        let scale = t.iter_mut().find(|t| t.name.ends_with("query.weight_scale")).unwrap();
        scale.bytes[..4].copy_from_slice(&f32::NAN.to_le_bytes());
    };
    says(changed(|_| (), nan), &["query.weight_scale", "NaN"]);
    let short = |t: &mut Vec<TensorOut>| {
        let weight = t.iter_mut().find(|t| t.name.ends_with("query.weight")).unwrap();
        weight.shape[0] -= 1;
        weight.bytes.truncate(weight.shape[0] * weight.shape[1]);
    };
    says(changed(|_| (), short), &["query.weight", "shape"]);
}
