//! Bottlenecks beside plain PyTorch, prefixes beside `peft`, mixed layers beside plain PyTorch: logits, gradients, ten
//! steps; what is written is read back. `tuning/make.py` made the values.

mod common;

use common::{Golden, cpu, goldens, learns_as_the_reference, put, three_labels, tiny_model};
use polyseme_formats::ModelFolder;
use polyseme_formats::tensors::TensorFile;
use polyseme_models::{Error, Family, HeadKind, Model, ParamGroup};
use polyseme_tensor::closeness::{Level, assert_close, values};
use polyseme_tensor::{Device, Mode, PackedBatch, Sequence, Stream};
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
        "prefix" => model.add_prefix(3, Stream::new(1)).unwrap(),
        "mix" => assert!(model.mix_layers(Stream::new(1)) && !model.mix_layers(Stream::new(1))),
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

const BOTTLENECKS: [&str; 2] = ["bottleneck-bert", "bottleneck-modernbert"];
const PREFIXES: [&str; 2] = ["prefix-bert", "prefix-roberta"];
const MIXES: [&str; 2] = ["mix-bert", "mix-modernbert"];

#[test]
fn logits_gradients_and_ten_steps() {
    for case in [BOTTLENECKS, PREFIXES, MIXES].concat() {
        let (golden, mut model) = tuned(case, &cpu().autodiff());
        let batch = PackedBatch::new(&golden.sequences);
        assert_close(case, &said(&model, &batch), &golden.floats("logits"), Level::Output);
        model.set_trainable(&|p| p.is_adapter() || p.group == ParamGroup::Head);
        learns_as_the_reference(&golden, &batch, &mut model);
    }
}

#[test]
fn new_bottlenecks_change_nothing() {
    for case in BOTTLENECKS {
        let golden = Golden::open(&format!("../tuning/{case}"));
        let batch = PackedBatch::new(&golden.sequences);
        let plain = open(&base(case), &cpu()).unwrap();
        assert_close(case, &said(&new(case, &cpu()), &batch), &said(&plain, &batch), Level::Bits);
    }
    assert!(open(&base(BOTTLENECKS[0]), &cpu()).unwrap().add_bottlenecks(0, Stream::new(0)).is_err());
}

#[test]
fn what_is_written_is_read_back() {
    for case in [BOTTLENECKS, PREFIXES].concat() {
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

        if case.starts_with("prefix") {
            // What `peft` is told are the reference's own keys and values.
            let file = TensorFile::open(&dir.path().join("adapter_model.safetensors")).unwrap();
            let written = file.require("prompt_embeddings").unwrap().to_f32().unwrap();
            assert_close(case, &written, &golden.floats("prompt_embeddings"), Level::Output);
        }
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

#[test]
fn a_prefix_takes_room_and_is_seen_from_everywhere_alone_and_in_a_batch() {
    for case in PREFIXES {
        let (golden, model) = tuned(case, &cpu());
        let whole = said(&model, &PackedBatch::new(&golden.sequences));
        let alone: Vec<f32> =
            golden.sequences.iter().flat_map(|s| said(&model, &PackedBatch::new(std::slice::from_ref(s)))).collect();
        assert_close(case, &alone, &whole, Level::Output);
        // Rows are those of the caller's tokens.
        let batch = PackedBatch::new(&golden.sequences);
        let hidden = model.hidden(&batch, Mode::Eval);
        assert_eq!(hidden.dims(), [batch.tokens(), model.config().hidden_size]);
        let (rows, width) = (batch.rows(2), model.config().hidden_size);
        let some: Vec<usize> = rows.clone().rev().collect();
        let asked = values(&model.token_states(&batch, &some, Mode::Eval));
        assert_close(case, &asked, &common::pick(&values(&hidden), width, &some), Level::Output);

        assert_eq!(model.max_length(), model.config().max_length() - 3);
        let sequence = |n: usize| Sequence { ids: vec![5; n], type_ids: vec![0; n] };
        assert!(model.check_sequences(&[sequence(model.max_length())]).is_ok());
        let longest = PackedBatch::new(&[sequence(model.max_length())]);
        assert!(said(&model, &longest).iter().all(|value| value.is_finite()));
        assert!(model.check_sequences(&[sequence(model.max_length() + 1)]).is_err());
    }
    // The other families that have positions in a table.
    for family in [Family::DistilBert, Family::Electra] {
        let mut model = tiny_model(family, three_labels(), &cpu());
        model.add_prefix(2, Stream::new(0)).unwrap();
        let batch = PackedBatch::new(&common::sequences(&[4, 9, 4], Stream::new(3)));
        let dir = tempfile::tempdir().unwrap();
        let base = tempfile::tempdir().unwrap();
        tiny_model(family, three_labels(), &cpu()).save(base.path()).unwrap();
        model.save_adapter(dir.path(), base.path()).unwrap();
        assert_close("again", &said(&open(dir.path(), &cpu()).unwrap(), &batch), &said(&model, &batch), Level::Bits);
    }
    let mut modern = tiny_model(Family::ModernBert, three_labels(), &cpu());
    let error = modern.add_prefix(2, Stream::new(0)).unwrap_err();
    assert!(error.to_string().contains("modernbert") && error.to_string().contains("windows"), "{error}");
    let mut bert = tiny_model(Family::Bert, three_labels(), &cpu());
    for length in [0, 14, 1 << 40] {
        assert!(bert.add_prefix(length, Stream::new(0)).unwrap_err().to_string().contains("from 1 to 13"));
    }
}

#[test]
fn a_prefix_without_vectors_or_with_others_is_refused() {
    let (_, model) = tuned("prefix-bert", &cpu());
    let dir = tempfile::tempdir().unwrap();
    model.save_adapter(dir.path(), &base("prefix-bert")).unwrap();
    let error = || open(dir.path(), &cpu()).map(drop).unwrap_err();
    let config = dir.path().join("adapter_config.json");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("\"num_virtual_tokens\": 3", "\"num_virtual_tokens\": 4")).unwrap();
    assert!(error().to_string().contains("layer.0.prefix"), "{}", error());
    std::fs::write(&config, text.replace("\"prefix_projection\": false", "\"prefix_projection\": true")).unwrap();
    assert!(error().to_string().contains("prefix_projection"));
    std::fs::write(&config, text).unwrap();
    std::fs::remove_file(dir.path().join("polyseme_prefix.safetensors")).unwrap();
    assert!(error().to_string().contains("keys and values") && error().hint().unwrap().contains("whole folder"));
}

#[test]
fn a_mix_is_of_all_layers_and_is_read_back() {
    for case in MIXES {
        let (golden, model) = tuned(case, &cpu());
        let batch = PackedBatch::new(&golden.sequences);
        let rows: Vec<usize> = vec![7, 0, 3];
        let states = model.token_states(&batch, &rows, Mode::Eval);
        assert_eq!(states.dims(), [3, model.state_width()]);
        let layers = model.hidden_layers(&batch);
        assert_eq!(layers.len() * model.config().hidden_size, model.state_width());
        // By hand.
        let (w, gamma) =
            (golden.floats("parameter.scalar_mix.weights"), golden.floats("parameter.scalar_mix.gamma")[0]);
        let sum: f32 = w.iter().map(|w| w.exp()).sum();
        let mut mixed = vec![0.0; 3 * model.config().hidden_size];
        for (layer, w) in layers.iter().zip(&w) {
            let of_rows = common::pick(&values(layer), model.config().hidden_size, &rows);
            mixed.iter_mut().zip(of_rows).for_each(|(m, h)| *m += gamma * w.exp() / sum * h);
        }
        assert_close(case, &values(&model.head_inputs(states, Mode::Eval)), &mixed, Level::Output);

        let dir = tempfile::tempdir().unwrap();
        model.save(dir.path()).unwrap();
        let again = open(dir.path(), &cpu()).unwrap();
        assert!(again.mixes_layers() && again.head() == model.head());
        assert_close(case, &said(&again, &batch), &said(&model, &batch), Level::Bits);
        // No tensor has a name under which another reader would take it for a head of the last layer.
        let plain = open(&base(case), &cpu()).unwrap();
        let heads = plain.parameters().into_iter().filter(|p| p.group == ParamGroup::Head);
        let file = TensorFile::open(&dir.path().join("model.safetensors")).unwrap();
        heads.for_each(|p| assert!(file.get(&p.name).is_none(), "{}", p.name));
        // A new head of the same folder mixes nothing, nor does an encoder alone.
        let whole = ModelFolder::open(dir.path()).unwrap();
        for head in [HeadKind::Regress, HeadKind::None] {
            let (other, report) = Model::open(&whole, head, Stream::new(0), &cpu()).unwrap();
            assert!(!other.mixes_layers() && report.applied.iter().all(|name| !name.starts_with("scalar_mix")));
        }
    }
}

#[test]
fn an_adapter_and_a_mix_go_together() {
    let base = goldens().join("bert-classify");
    let golden = Golden::open("bert-classify");
    let batch = PackedBatch::new(&golden.sequences);
    let adds: [&dyn Fn(&mut Model); 3] = [
        &|m| m.add_lora(&polyseme_models::LoraSettings { rank: 2, ..Default::default() }, Stream::new(3)).unwrap(),
        &|m| m.add_bottlenecks(2, Stream::new(3)).unwrap(),
        &|m| m.add_prefix(2, Stream::new(3)).unwrap(),
    ];
    for add in adds {
        let mut model = open(&base, &cpu()).unwrap();
        model.mix_layers(Stream::new(2));
        add(&mut model);
        let dir = tempfile::tempdir().unwrap();
        model.save_adapter(dir.path(), &base).unwrap();
        let again = open(dir.path(), &cpu()).unwrap();
        assert!(again.mixes_layers());
        assert_close("both", &said(&again, &batch), &said(&model, &batch), Level::Output);
    }
}
