//! Each way in which a model folder or its settings can be wrong, with the message it gives.

mod common;

use common::{cpu, tiny, tiny_model};
use polyseme_formats::tensors::{TensorFile, TensorOut, hf_metadata, write_safetensors};
use polyseme_formats::{Fault, ModelFolder};
use polyseme_models::{EncoderConfig, Error, Family, HeadKind, Model, Sharing, Variant};
use polyseme_tensor::{Sequence, Stream};
use serde_json::{Value, json};

/// Opens a copy of a golden case with a changed `config.json` and changed tensors.
fn open(case: &str, change: impl FnOnce(&mut Value, &mut Vec<TensorOut>)) -> Result<Model, Error> {
    let from = common::goldens().join(case);
    let text = std::fs::read_to_string(from.join("config.json")).expect("config.json");
    let mut config: Value = serde_json::from_str(&text).expect("JSON");
    let file = TensorFile::open(&from.join("model.safetensors")).expect("tensors");
    let mut tensors = file.names().iter().map(|name| file.require(name).expect("listed").to_out()).collect();
    change(&mut config, &mut tensors);
    let to = tempfile::tempdir().expect("a folder");
    std::fs::write(to.path().join("config.json"), config.to_string()).expect("written");
    write_safetensors(&to.path().join("model.safetensors"), &tensors, &hf_metadata()).expect("written");
    let folder = ModelFolder::open(to.path()).expect("a model folder");
    Model::open(&folder, HeadKind::AsFound, Stream::new(0), &cpu()).map(|(model, _)| model)
}

/// Asserts that a change of `config.json` is refused with words.
#[track_caller]
fn refused(case: &str, key: &str, value: Value, words: &[&str]) {
    complains(open(case, |config, _| config[key] = value), words);
}

#[track_caller]
fn complains<T>(result: Result<T, Error>, words: &[&str]) {
    let Err(error) = result else { panic!("accepted; expected {words:?}") };
    let message = error.to_string();
    for word in words {
        assert!(message.contains(word), "`{message}` does not say `{word}`");
    }
    assert_eq!(error.fault(), Fault::Input, "{message}");
    assert!(error.hint().is_some(), "{message}");
}

#[test]
fn a_copy_without_change_opens() {
    assert!(open("bert-mlm", |_, _| ()).is_ok());
}

#[test]
fn other_kinds_of_models() {
    refused("bert-mlm", "model_type", json!("gpt2"), &["`gpt2`", "`bert`, `roberta`, `distilbert`, `electra`"]);
    refused("bert-mlm", "model_type", Value::Null, &["no `model_type`", "`bert`"]);
    refused("bert-mlm", "model_type", json!(5), &["model_type"]);
}

#[test]
fn what_would_change_the_computation() {
    refused("bert-mlm", "position_embedding_type", json!("relative_key"), &["position_embedding_type", "relative_key"]);
    refused("roberta-mlm", "is_decoder", json!(true), &["is_decoder", "true"]);
    refused("bert-mlm", "add_cross_attention", json!(true), &["add_cross_attention"]);
    refused("bert-mlm", "pruned_heads", json!({ "0": [1] }), &["pruned_heads"]);
    refused("distilbert-mlm", "quantization_config", json!({ "bits": 4 }), &["quantization_config"]);
    refused("bert-mlm", "hidden_act", json!("mish"), &["hidden_act", "`mish`", "`gelu`", "`relu`"]);
    refused("distilbert-mlm", "activation", json!("mish"), &["activation", "`mish`"]);
    refused("electra-choice", "summary_type", json!("last"), &["summary_type", "last", "first token"]);
    refused("bert-classify", "problem_type", json!("regression"), &["id2label", "3 labels", "regression"]);
    refused(
        "bert-classify",
        "problem_type",
        json!("ranking"),
        &["problem_type", "ranking", "multi_label_classification"],
    );
}

#[test]
fn what_changes_nothing_is_accepted() {
    for (key, value) in [
        ("position_embedding_type", json!("absolute")),
        ("is_decoder", json!(false)),
        ("use_cache", json!(false)),
        ("torch_dtype", json!("float16")),
        ("classifier_dropout", Value::Null),
        ("gradient_checkpointing", json!(true)),
        ("pruned_heads", json!({})),
        ("chunk_size_feed_forward", json!(3)),
        ("hidden_act", json!("gelu_new")),
    ] {
        assert!(open("bert-mlm", |config, _| config[key] = value).is_ok(), "{key}");
    }
}

#[test]
fn impossible_sizes() {
    refused("bert-mlm", "num_attention_heads", json!(3), &["3 attention heads", "20"]);
    refused("bert-mlm", "num_attention_heads", json!(0), &["num_attention_heads", "at least 1"]);
    refused("bert-mlm", "hidden_size", json!(-20), &["hidden_size", "-20"]);
    refused("bert-mlm", "hidden_size", json!("20"), &["hidden_size"]);
    refused("bert-mlm", "hidden_size", json!(24), &["[71, 20]", "[71, 24]", "word_embeddings"]);
    refused("bert-mlm", "vocab_size", json!(72), &["[71, 20]", "[72, 20]"]);
    refused("bert-mlm", "vocab_size", json!(1u64 << 62), &["parameters"]);
    refused("bert-mlm", "num_hidden_layers", json!(1u64 << 40), &["num_hidden_layers"]);
    refused("bert-mlm", "max_position_embeddings", json!(0), &["max_position_embeddings"]);
    refused("roberta-mlm", "max_position_embeddings", json!(3), &["max_position_embeddings", "more than the 3"]);
    refused("bert-mlm", "pad_token_id", json!(71), &["pad_token_id", "71"]);
    refused("bert-mlm", "pad_token_id", json!(1u64 << 40), &["pad_token_id"]);
    refused("bert-mlm", "type_vocab_size", json!(0), &["type_vocab_size"]);
}

#[test]
fn impossible_rates() {
    refused("bert-mlm", "hidden_dropout_prob", json!(1.0), &["hidden_dropout_prob", "less than 1"]);
    refused("bert-mlm", "attention_probs_dropout_prob", json!(-0.1), &["attention_probs_dropout_prob", "-0.1"]);
    refused("bert-mlm", "layer_norm_eps", json!(-1e-5), &["layer_norm_eps"]);
}

#[test]
fn a_missing_key() {
    let without =
        |key: &'static str| open("bert-mlm", move |config, _| drop(config.as_object_mut().map(|c| c.remove(key))));
    complains(without("hidden_size"), &["hidden_size"]);
    complains(without("vocab_size"), &["vocab_size"]);
}

#[test]
fn a_missing_tensor_and_what_may_have_been_meant() {
    let result = open("bert-mlm", |_, tensors| {
        let tensor = tensors.iter_mut().find(|tensor| tensor.name.ends_with("layer.1.output.dense.weight"));
        tensor.expect("a layer").name = "bert.encoder.layer.1.output.dens.weight".into();
    });
    complains(
        result,
        &[
            "no tensor `bert.encoder.layer.1.output.dense.weight`",
            "did you mean `bert.encoder.layer.1.output.dens.weight`?",
        ],
    );
}

#[test]
fn a_tensor_of_whole_numbers() {
    let result = open("bert-mlm", |_, tensors| {
        let tensor = tensors.iter_mut().find(|tensor| tensor.name.ends_with("word_embeddings.weight"));
        tensor.expect("words").dtype = polyseme_formats::tensors::DType::I32;
    });
    complains(result, &["word_embeddings", "I32"]);
}

#[test]
fn labels_that_are_none() {
    refused("bert-classify", "id2label", json!({ "0": "a", "2": "b", "3": "c" }), &["id2label"]);
    refused("bert-classify", "id2label", json!(["a", "b"]), &["id2label"]);
    refused("bert-classify", "id2label", json!({ "0": "a" }), &["classifier", "[3, 20]", "[1, 20]"]);
    refused("bert-classify", "id2label", json!({ "0": "a", "1": "b", "2": "a" }), &["id2label", "each label once"]);
    refused("bert-classify", "id2label", json!({ "0": "a", "1": "b" }), &["classifier.weight", "[3, 20]", "[2, 20]"]);
    let make = |labels: &[&str]| {
        let labels = labels.iter().map(|&label| label.to_owned()).collect();
        Model::new(Family::Bert, tiny(), HeadKind::Classify(labels), Stream::new(0), &cpu())
    };
    complains(make(&[]), &["labels []"]);
    complains(make(&["one"]), &["one"]);
    complains(make(&["one", "one"]), &["each once"]);
}

#[test]
fn layers_that_are_not_modernberts() {
    let case = "modernbert-mlm";
    let types = |list: &[&str]| json!(list);
    refused(case, "layer_types", types(&["full_attention"]), &["layer_types", "for each layer"]);
    refused(case, "layer_types", types(&["sliding_attention", "full_attention"]), &["layer_types", "the first full"]);
    refused(case, "layer_types", types(&["full_attention", "causal"]), &["layer_types", "causal"]);
    let scaled = json!({ "full_attention": { "rope_type": "yarn", "rope_theta": 700.0 } });
    refused(case, "rope_parameters", scaled, &["rope_parameters", "yarn", "`default`"]);
    let none = json!({ "full_attention": { "rope_theta": 0.0 } });
    refused(case, "rope_parameters", none, &["rope_parameters", "rope_theta"]);
    refused(case, "rope_parameters", json!("default"), &["rope_parameters"]);
    refused(case, "rope_scaling", json!({ "factor": 2.0 }), &["rope_scaling"]);
    refused(case, "decoder_bias", json!(false), &["decoder_bias"]);
    refused(case, "classifier_pooling", json!("max"), &["classifier_pooling", "`max`", "`mean`"]);
    refused(case, "mlp_dropout", json!(0.3), &["mlp_dropout", "one rate"]);
    refused(case, "local_attention", json!(0), &["local_attention", "ModernBERT"]);
    refused(case, "num_attention_heads", json!(8), &["head", "even"]);
}

#[test]
fn settings_a_family_cannot_express() {
    let new = |family, config| Model::new(family, config, HeadKind::None, Stream::new(0), &cpu());
    complains(new(Family::DistilBert, tiny()), &["type_vocab_size", "DistilBERT"]);
    complains(new(Family::Roberta, tiny()), &["position_offset", "RoBERTa"]);
    complains(new(Family::ModernBert, tiny()), &["variant.pre_norm", "ModernBERT"]);
    complains(new(Family::Bert, EncoderConfig { variant: common::modern(), ..tiny() }), &["variant", "modernbert"]);
    let endless = Variant { global_attn_every_n_layers: 0, ..common::modern() };
    complains(new(Family::ModernBert, EncoderConfig { variant: endless, ..tiny() }), &["every_n_layers", "at least 1"]);
    let turned = Variant { local_rope_theta: f64::NAN, ..common::modern() };
    complains(new(Family::ModernBert, EncoderConfig { variant: turned, ..tiny() }), &["local_rope_theta"]);
    complains(new(Family::Albert, tiny()), &["num_hidden_groups", "ALBERT"]);
    let shared = |num_hidden_groups, inner_group_num| EncoderConfig {
        sharing: Sharing { num_hidden_groups, inner_group_num },
        ..tiny()
    };
    complains(new(Family::Bert, shared(1, 1)), &["num_hidden_groups", "BERT", "`albert`"]);
    complains(new(Family::Albert, shared(3, 1)), &["num_hidden_groups is 3", "at most 2"]);
    complains(new(Family::Albert, shared(1, 3)), &["inner_group_num is 3", "2 layers"]);
    complains(new(Family::Albert, shared(1, 0)), &["inner_group_num is 0"]);
    complains(new(Family::Bert, EncoderConfig { embedding_size: 8, ..tiny() }), &["embedding_size", "BERT"]);
    complains(new(Family::Bert, EncoderConfig { num_attention_heads: 5, ..tiny() }), &["5 attention heads", "12"]);
    complains(new(Family::Bert, EncoderConfig { hidden_dropout_prob: f64::NAN, ..tiny() }), &["hidden_dropout_prob"]);
    complains(new(Family::Bert, EncoderConfig { vocab_size: usize::MAX, ..tiny() }), &["parameters"]);
}

#[test]
fn sequences_and_vocabularies_that_do_not_fit() {
    let model = tiny_model(Family::Bert, HeadKind::None, &cpu());
    let sequence = |ids: Vec<u32>, segment| Sequence { type_ids: vec![segment; ids.len()], ids };
    let check = |bad: Sequence| model.check_sequences(&[sequence(vec![1, 2], 0), bad]);
    assert!(check(sequence(vec![40; 16], 1)).is_ok());
    complains(check(sequence(vec![3; 17], 0)), &["sequence 1", "length is 17", "16"]);
    complains(check(sequence(vec![41], 0)), &["sequence 1", "token id is 41", "40"]);
    complains(check(sequence(vec![4], 2)), &["sequence 1", "segment is 2", "1"]);
    complains(model.config().check_vocabulary(42), &["42", "41"]);
    assert!(model.config().check_vocabulary(41).is_ok());
}
