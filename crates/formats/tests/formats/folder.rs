//! Paths that are model folders, and those that are something else.

use crate::common::{fixture, folder, names, refused};
use polyseme_formats::folder::{FolderError, ModelFolder, Pooling, SentenceModules, write_sentence_modules};
use polyseme_formats::run::RunFolder;
use polyseme_formats::{Error, Result};
use std::fs::{create_dir, create_dir_all, write};
use std::path::Path;

fn what(error: &Error) -> &FolderError {
    match error {
        Error::Folder { what, .. } => what,
        other => panic!("{other}"),
    }
}

#[test]
fn a_folder_with_weights_in_each_of_its_forms() {
    let dir = folder();
    write(dir.path().join("config.json"), "{\"hidden_size\": 3}").unwrap();
    let model = ModelFolder::open(dir.path()).unwrap();
    assert_eq!(model.config().unwrap().usize("hidden_size").unwrap(), 3);
    std::fs::copy(fixture("module.bin"), dir.path().join("pytorch_model.bin")).unwrap();
    assert_eq!(model.tensors().unwrap().names(), ["0.bias", "0.weight", "1.bias", "1.weight"]);
    // safetensors come first when both are there.
    std::fs::copy(fixture("no_metadata.safetensors"), dir.path().join("model.safetensors")).unwrap();
    assert_eq!(model.tensors().unwrap().names(), ["x"]);
    std::fs::remove_file(dir.path().join("model.safetensors")).unwrap();
    std::fs::remove_file(dir.path().join("pytorch_model.bin")).unwrap();
    std::fs::copy(fixture("module.bin"), dir.path().join("pytorch_model-00001-of-00001.bin")).unwrap();
    let index = r#"{"weight_map": {"0.bias": "pytorch_model-00001-of-00001.bin"}}"#;
    write(dir.path().join("pytorch_model.bin.index.json"), index).unwrap();
    assert_eq!(model.tensors().unwrap().names(), ["0.bias", "0.weight", "1.bias", "1.weight"]);
    assert_eq!(ModelFolder::open(&fixture("sharded")).unwrap().tensors().unwrap().names(), ["a", "b", "c"]);
}

#[test]
fn paths_that_are_no_model_folders() {
    let dir = folder();
    let at = |name: &str| dir.path().join(name);
    refused(ModelFolder::open(&at("bert-base-uncased")), &["bert-base-uncased: no such folder"]);
    write(at("file"), "x").unwrap();
    refused(ModelFolder::open(&at("file")), &["it is a file, expected a model folder"]);
    refused(ModelFolder::open(&at("file/below")), &["cannot read"]);
    create_dir(at("empty")).unwrap();
    refused(ModelFolder::open(&at("empty")), &["the folder is empty"]);
    create_dir_all(at("odd/config.json")).unwrap();
    refused(ModelFolder::open(&at("odd")), &["odd/config.json: it is a folder, expected a file"]);
    create_dir(at("other")).unwrap();
    write(at("other/notes.txt"), "x").unwrap();
    refused(ModelFolder::open(&at("other")), &["there is no config.json", "found `notes.txt`"]);
    write(at("other/adapter_config.json"), "{}").unwrap();
    let error = refused(ModelFolder::open(&at("other")), &["no config.json"]);
    assert!(error.hint().unwrap().contains("adapter"));
}

#[test]
fn runs_and_checkpoints_are_told_apart() {
    let dir = folder();
    let run = RunFolder::create(dir.path(), 0).unwrap();
    run.write_settings(&std::collections::BTreeMap::from([("seed", 1)])).unwrap();
    let checkpoint = run.save_checkpoint(1, &std::collections::BTreeMap::from([("step", 1)]), &[], 1).unwrap();
    let error = refused(ModelFolder::open(dir.path()), &["found a run folder"]);
    assert!(error.hint().unwrap().contains("--resume"));
    refused(ModelFolder::open(run.path()), &["found a run folder"]);
    refused(ModelFolder::open(&checkpoint), &["found a checkpoint of a run"]);
    write(dir.path().join("config.json"), "{}").unwrap();
    ModelFolder::open(dir.path()).unwrap();
    let error = refused(ModelFolder::open(run.path()), &["the run folder of a model"]);
    assert!(error.hint().unwrap().contains(&dir.path().display().to_string()));
}

#[test]
fn weights_that_are_not_there() {
    let dir = folder();
    write(dir.path().join("config.json"), "{}").unwrap();
    let model = ModelFolder::open(dir.path()).unwrap();
    let hint = |name: &str| {
        write(dir.path().join(name), "x").unwrap();
        let error = refused(model.tensors(), &["there are no weights", name]);
        std::fs::remove_file(dir.path().join(name)).unwrap();
        assert!(matches!(what(&error), FolderError::NoWeights { .. }));
        error.hint().unwrap()
    };
    assert!(hint("tf_model.h5").contains("TensorFlow"));
    assert!(hint("model.onnx").contains("exported"));
    assert!(hint("vocab.txt").contains("download"));
}

/// A model folder with these files.
fn sentence(files: &[(&str, &str)]) -> (tempfile::TempDir, ModelFolder) {
    let dir = folder();
    write(dir.path().join("config.json"), "{}").unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        create_dir_all(path.parent().unwrap()).unwrap();
        write(path, text).unwrap();
    }
    let model = ModelFolder::open(dir.path()).unwrap();
    (dir, model)
}

/// `modules.json` with these modules, as versions 2 to 5 wrote it.
fn modules(classes: &[&str]) -> String {
    let item = |(i, class): (usize, &&str)| {
        let path = if i == 0 { String::new() } else { format!("{i}_{class}") };
        format!(r#"{{"idx": {i}, "name": "{i}", "path": "{path}", "type": "sentence_transformers.models.{class}"}}"#)
    };
    format!("[{}]", classes.iter().enumerate().map(item).collect::<Vec<_>>().join(","))
}

fn with_pooling(pooling: &str) -> Result<Option<SentenceModules>> {
    let modules = modules(&["Transformer", "Pooling"]);
    let (_dir, model) = sentence(&[("modules.json", &modules), ("1_Pooling/config.json", pooling)]);
    model.sentence_modules()
}

#[test]
fn what_sentence_transformers_wrote_is_read() {
    assert_eq!(sentence(&[]).1.sentence_modules().unwrap(), None);
    let theirs = ModelFolder::open(&fixture("sentence")).unwrap().sentence_modules().unwrap().unwrap();
    assert_eq!(theirs, SentenceModules { pooling: Pooling::Cls, normalize: true, max_seq_length: None });
    let old = r#"{"word_embedding_dimension": 8, "pooling_mode_cls_token": false, "pooling_mode_mean_tokens": true,
        "pooling_mode_max_tokens": false, "pooling_mode_mean_sqrt_len_tokens": false}"#;
    let expected = SentenceModules { pooling: Pooling::Mean, normalize: false, max_seq_length: None };
    assert_eq!(with_pooling(old).unwrap().unwrap(), expected);
    assert_eq!(with_pooling(r#"{"pooling_mode_max_tokens": true}"#).unwrap().unwrap().pooling, Pooling::Max);
    assert_eq!(with_pooling(r#"{"pooling_mode": ["cls"]}"#).unwrap().unwrap().pooling, Pooling::Cls);
    assert_eq!(with_pooling("{}").unwrap().unwrap().pooling, Pooling::Mean);
}

#[test]
fn what_we_write_is_read_again() {
    for pooling in [Pooling::Mean, Pooling::Cls, Pooling::Max] {
        for normalize in [false, true] {
            let (dir, model) = sentence(&[]);
            let modules = SentenceModules { pooling, normalize, max_seq_length: Some(256) };
            write_sentence_modules(dir.path(), &modules, 384).unwrap();
            assert_eq!(model.sentence_modules().unwrap(), Some(modules));
            assert_eq!(names(dir.path()).contains(&"2_Normalize".to_owned()), normalize);
        }
    }
}

#[test]
fn poolings_that_we_do_not_have_are_named() {
    refused(with_pooling(r#"{"pooling_mode_lasttoken": true}"#), &["the pooling mode is lasttoken"]);
    let both = r#"{"pooling_mode_mean_tokens": true, "pooling_mode_max_tokens": true}"#;
    refused(with_pooling(both), &["the pooling mode is max + mean"]);
    refused(with_pooling(r#"{"pooling_mode": "weightedmean"}"#), &["weightedmean"]);
    refused(with_pooling(r#"{"pooling_mode_mean_tokens": 1}"#), &["expected true or false"]);
}

#[test]
fn modules_that_we_do_not_have_are_named() {
    let read = |json: &str| sentence(&[("modules.json", json), ("1_Pooling/config.json", "{}")]).1.sentence_modules();
    let dense = modules(&["Transformer", "Pooling", "Dense"]);
    refused(read(&dense), &["module 2 of modules.json is `sentence_transformers.models.Dense`"]);
    refused(read(&dense.replace("sentence_transformers.models.Dense", "mine.Normalize")), &["`mine.Normalize`"]);
    refused(read(&modules(&["Transformer"])), &["modules.json has the modules Transformer; expected"]);
    refused(read(&modules(&["Pooling", "Transformer"])), &["Pooling, Transformer"]);
    refused(read("{}"), &["expected a list of modules"]);
    refused(read(r#"[{"path": ""}]"#), &["a module has no `type`"]);
    refused(read(r#"[{"type": "sentence_transformers.models.Transformer"}]"#), &["a module has no `path`"]);
    refused(read("[oops"), &["modules.json", "not valid JSON"]);
    let plain = modules(&["Transformer", "Pooling"]);
    let elsewhere = plain.replacen(r#""path": """#, r#""path": "0_Transformer""#, 1);
    refused(read(&elsewhere), &["puts the Transformer into the folder `0_Transformer`"]);
    refused(read(&plain.replace("1_Pooling", "../../1_Pooling")), &["names the folder `../../1_Pooling`"]);
    refused(read(&plain.replace("1_Pooling", "2_Pooling")), &["cannot read", "2_Pooling"]);
}

#[test]
fn keys_that_would_change_the_vectors_are_refused() {
    let three = modules(&["Transformer", "Pooling", "Normalize"]);
    let with = |name: &str, text: &str| {
        let files = [("modules.json", three.as_str()), ("1_Pooling/config.json", "{}"), (name, text)];
        sentence(&files).1.sentence_modules()
    };
    let bert = "sentence_bert_config.json";
    assert_eq!(
        with(bert, r#"{"max_seq_length": 128, "do_lower_case": false}"#).unwrap().unwrap().max_seq_length,
        Some(128)
    );
    assert_eq!(with(bert, r#"{"max_seq_length": null}"#).unwrap().unwrap().max_seq_length, None);
    refused(with(bert, r#"{"do_lower_case": true}"#), &["`do_lower_case` is true"]);
    refused(with("2_Normalize/config.json", r#"{"module_input_name": "token_embeddings"}"#), &["token_embeddings"]);
    let prompts = "config_sentence_transformers.json";
    with(prompts, r#"{"prompts": {"query": "find: "}, "default_prompt_name": null}"#).unwrap();
    with(prompts, r#"{"prompts": {"query": ""}, "default_prompt_name": "query"}"#).unwrap();
    let default = r#"{"prompts": {"query": "find: "}, "default_prompt_name": "query"}"#;
    refused(with(prompts, default), &["`default_prompt_name` is \"query\"", "a prompt is put before every text"]);
}

#[test]
fn a_real_sentence_model() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.data/all-MiniLM-L6-v2");
    if !path.join("config.json").exists() {
        println!("skipped: {} is not there (see the data script)", path.display());
        return;
    }
    let model = ModelFolder::open(&path).unwrap();
    let modules = model.sentence_modules().unwrap().unwrap();
    assert_eq!(modules, SentenceModules { pooling: Pooling::Mean, normalize: true, max_seq_length: Some(256) });
    let tensors = model.tensors().unwrap();
    assert_eq!(tensors.shape("embeddings.word_embeddings.weight"), Some(&[30522, 384][..]));
}
