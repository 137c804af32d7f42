//! Low-rank changes beside the reference library `peft`: logits, gradients, ten steps; what is written is read back,
//! and an adapter finds its base or says what is wrong. `adapter/make.py` made the values.

mod common;

use common::{Golden, cpu, goldens, learns_as_the_reference, pick, put};
use polyseme_formats::ModelFolder;
use polyseme_formats::tensors::TensorFile;
use polyseme_models::{Error, HeadKind, LoraSettings, Model};
use polyseme_tensor::closeness::{Level, assert_close, values};
use polyseme_tensor::{Device, Mode, PackedBatch, Stream};
use std::path::{Path, PathBuf};

fn adapter() -> PathBuf {
    goldens().with_file_name("adapter")
}

fn golden() -> Golden {
    Golden::open("../adapter")
}

fn settings() -> LoraSettings {
    let targets = ["query", "value", "layer.0.output.dense", "layer.1.output.dense"];
    LoraSettings { rank: 3, alpha: 7.0, targets: targets.map(String::from).to_vec() }
}

fn open(folder: &Path, device: &Device) -> Result<Model, Error> {
    Model::open(&ModelFolder::open(folder).unwrap(), HeadKind::AsFound, Stream::new(0), device).map(|(model, _)| model)
}

/// The base with changes beside it, both with the reference's values.
fn beside(device: &Device) -> Model {
    let base = goldens().join("bert-classify");
    let mut model = open(&base, device).unwrap();
    model.add_lora(&settings(), Stream::new(0)).unwrap();
    let file = TensorFile::open(&adapter().join("adapter_model.safetensors")).unwrap();
    put(&mut model, &|name| file.get(&format!("base_model.model.{name}")).map(|found| found.to_f32().unwrap()));
    model
}

fn trained(name: &str) -> bool {
    name.contains(".lora_") || name.contains("classifier") || name.contains("pooler")
}

#[test]
fn logits_folded_in_and_beside() {
    let golden = golden();
    let batch = PackedBatch::new(&golden.sequences);
    for model in [open(&adapter(), &cpu()).unwrap(), beside(&cpu())] {
        let logits = model.sequence_outputs(&batch, Mode::Eval);
        assert_close("logits", &values(&logits), &golden.floats("logits"), Level::Output);
    }
}

#[test]
fn gradients_and_ten_steps() {
    let golden = golden();
    let batch = PackedBatch::new(&golden.sequences);
    let mut model = beside(&cpu().autodiff());
    model.set_trainable(&|p| trained(&p.name));
    learns_as_the_reference(&golden, &batch, &mut model);
}

#[test]
fn a_new_change_changes_nothing_and_what_is_written_is_read_back() {
    let golden = golden();
    let batch = PackedBatch::new(&golden.sequences);
    let base = goldens().join("bert-classify");
    let plain = open(&base, &cpu()).unwrap();
    let mut model = open(&base, &cpu()).unwrap();
    model.add_lora(&settings(), Stream::new(1)).unwrap();
    let said = |model: &Model| values(&model.sequence_outputs(&batch, Mode::Eval));
    assert_close("new", &said(&model), &said(&plain), Level::Output);

    let dir = tempfile::tempdir().unwrap();
    let model = beside(&cpu());
    model.save_adapter(dir.path(), &base).unwrap();
    let again = open(dir.path(), &cpu()).unwrap();
    assert_close("read back", &said(&again), &said(&model), Level::Output);
    assert_eq!(again.head(), plain.head());
    // Merged: a whole model that needs no base.
    let merged = tempfile::tempdir().unwrap();
    again.save(merged.path()).unwrap();
    assert_close("merged", &said(&open(merged.path(), &cpu()).unwrap()), &said(&model), Level::Output);
    let hidden = model.config().hidden_size;
    assert_eq!(pick(&values(&model.hidden(&batch, Mode::Eval)), hidden, &[0]).len(), hidden);
}

#[test]
fn what_does_not_fit_is_said() {
    let mut model = open(&goldens().join("bert-classify"), &cpu()).unwrap();
    let error =
        model.add_lora(&LoraSettings { targets: vec!["qurey".into()], ..settings() }, Stream::new(0)).unwrap_err();
    assert!(error.to_string().contains("qurey") && error.hint().unwrap().contains("query"), "{error}");

    let dir = tempfile::tempdir().unwrap();
    let copy = |change: &dyn Fn(String) -> String| {
        for name in ["adapter_model.safetensors", "config.json"] {
            std::fs::copy(adapter().join(name), dir.path().join(name)).unwrap();
        }
        let text = std::fs::read_to_string(adapter().join("adapter_config.json")).unwrap();
        std::fs::write(dir.path().join("adapter_config.json"), change(text)).unwrap();
        open(dir.path(), &cpu()).map(|_| ()).unwrap_err().to_string()
    };
    let base = |name: &str| {
        let path = goldens().join(name);
        move |text: String| text.replace("../goldens/bert-classify", path.to_str().unwrap())
    };
    assert!(copy(&|text| text).contains("is for `../goldens/bert-classify`, where no model is"));
    let right = base("bert-classify");
    // A head with more labels stands in its base: the adapter's own counts.
    let of_tags = base("bert-tag")(std::fs::read_to_string(adapter().join("adapter_config.json")).unwrap());
    std::fs::write(dir.path().join("adapter_config.json"), of_tags).unwrap();
    assert_eq!(open(dir.path(), &cpu()).unwrap().head().outputs(), Some(3));
    let one_layer = |text: String| text.replace("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1");
    let config = one_layer(std::fs::read_to_string(adapter().join("config.json")).unwrap());
    std::fs::write(dir.path().join("config.json"), config).unwrap();
    let foreign = open(dir.path(), &cpu()).map(|_| ()).unwrap_err().to_string();
    assert!(foreign.contains("layer.1") && foreign.contains("belongs to nothing"), "{foreign}");
    assert!(copy(&|t| right(t).replace("LORA", "IA3")).contains("peft_type"));
    assert!(copy(&|t| right(t).replace("\"use_dora\": false", "\"use_dora\": true")).contains("use_dora"));
    std::fs::write(dir.path().join("polyseme_adapter.json"), "{\"base_hash\": \"00\"}").unwrap();
    assert!(copy(&|t| right(t)).contains("was made for another model"));
}
