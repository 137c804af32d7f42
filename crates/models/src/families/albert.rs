//! ALBERT (Lan et al. 2020): layers that share their weights, and narrow embeddings; reference: transformers
//! `models/albert/modeling_albert.py`.
//!
//! Deviations: none. `num_hidden_layers` here counts all layers that are gone through; in `config.json` it counts
//! groups of `inner_group_num` layers, as published checkpoints, which all have 1, never show.

use super::keys::{activation, activation_name, object, only, refuse_unsupported, token_id};
use super::{
    Architectures, Dropout, EncoderNames, Form, LayerNames, MaskedLmForm, OrderForm, QueryKeyValueNames, TaskForm,
};
use crate::{EncoderConfig, Error, Result, Sharing, Variant};
use polyseme_formats::ConfigJson;
use polyseme_tensor::ops::Activation;
use serde_json::{Map, Value, json};

/// A head on the pooler, which is a map inside the encoder.
const POOLED: TaskForm = TaskForm {
    dense: Some("~pooler"),
    activation: Activation::Tanh,
    norm: None,
    dropout_before: false,
    dropout: Dropout::Classifier,
    output: "classifier",
};

/// What ALBERT is.
pub(crate) const FORM: Form = Form {
    model_type: "albert",
    prefix: "albert.",
    encoder: EncoderNames {
        word: "embeddings.word_embeddings",
        position: "embeddings.position_embeddings",
        token_type: "embeddings.token_type_embeddings",
        norm: "embeddings.LayerNorm",
        projection: "encoder.embedding_hidden_mapping_in",
        always_projects: true,
        layer: LayerNames {
            prefix: "encoder.albert_layer_groups",
            inner: Some("albert_layers"),
            query_key_value: QueryKeyValueNames::Apart(["attention.query", "attention.key", "attention.value"]),
            attention_output: "attention.dense",
            attention_norm: "attention.LayerNorm",
            intermediate: "ffn",
            output: "ffn_output",
            output_norm: "full_layer_layer_norm",
        },
        // Norms stand after the halves.
        final_norm: "",
    },
    masked_lm: MaskedLmForm {
        dense: "predictions.dense",
        activation: None,
        norm: "predictions.LayerNorm",
        bias: "predictions.bias",
        decoder: "predictions.decoder",
    },
    classifier: POOLED,
    tags: TaskForm::map("classifier", Dropout::Classifier),
    answer: TaskForm::map("qa_outputs", Dropout::None),
    choice: POOLED,
    order: Some(OrderForm {
        form: TaskForm { output: "sop_classifier.classifier", ..POOLED },
        architecture: "AlbertForPreTraining",
    }),
    pooler: Some("~pooler"),
    architectures: Architectures {
        base: "AlbertModel",
        masked_lm: "AlbertForMaskedLM",
        classify: "AlbertForSequenceClassification",
        tags: "AlbertForTokenClassification",
        answer: "AlbertForQuestionAnswering",
        choice: "AlbertForMultipleChoice",
    },
    read,
    write,
    extra: serde_json::Map::new,
    choice_keys: serde_json::Map::new,
    check,
};

fn read(json: &mut ConfigJson) -> Result<EncoderConfig> {
    refuse_unsupported(json)?;
    json.refuse_unless("position_embedding_type", "absolute".into(), "only learned absolute positions are supported")?;
    let hidden_dropout_prob = json.f64_or("hidden_dropout_prob", 0.0)?;
    let sharing = Sharing {
        num_hidden_groups: json.usize_or("num_hidden_groups", 1)?,
        inner_group_num: json.usize_or("inner_group_num", 1)?,
    };
    let rounds = json.usize("num_hidden_layers")?;
    let num_hidden_layers = rounds.checked_mul(sharing.inner_group_num).ok_or_else(|| Error::BadKey {
        path: json.path.clone(),
        key: "inner_group_num",
        found: sharing.inner_group_num.to_string(),
        expected: "a small number".into(),
    })?;
    Ok(EncoderConfig {
        vocab_size: json.usize("vocab_size")?,
        hidden_size: json.usize("hidden_size")?,
        num_hidden_layers,
        num_attention_heads: json.usize("num_attention_heads")?,
        intermediate_size: json.usize("intermediate_size")?,
        hidden_act: match json.peek("hidden_act").is_none_or(Value::is_null) {
            true => Activation::GeluTanh,
            false => activation(json, "hidden_act")?,
        },
        max_position_embeddings: json.usize_or("max_position_embeddings", 512)?,
        position_offset: 0,
        type_vocab_size: json.usize_or("type_vocab_size", 2)?,
        embedding_size: json.usize_or("embedding_size", 128)?,
        layer_norm_eps: json.f64_or("layer_norm_eps", 1e-12)?,
        hidden_dropout_prob,
        attention_probs_dropout_prob: json.f64_or("attention_probs_dropout_prob", 0.0)?,
        classifier_dropout: json.f64_or("classifier_dropout_prob", 0.1)?,
        initializer_range: json.f64_or("initializer_range", 0.02)?,
        pad_token_id: token_id(json, "pad_token_id", 0)?,
        tie_word_embeddings: json.bool_or("tie_word_embeddings", true)?,
        variant: Variant::default(),
        layer_sizes: Vec::new(),
        sharing,
    })
}

fn write(config: &EncoderConfig) -> Map<String, Value> {
    object(json!({
        "vocab_size": config.vocab_size,
        "embedding_size": config.embedding_size,
        "hidden_size": config.hidden_size,
        "num_hidden_layers": config.num_hidden_layers / config.sharing.inner_group_num,
        "num_hidden_groups": config.sharing.num_hidden_groups,
        "inner_group_num": config.sharing.inner_group_num,
        "num_attention_heads": config.num_attention_heads,
        "intermediate_size": config.intermediate_size,
        "hidden_act": activation_name(config.hidden_act),
        "max_position_embeddings": config.max_position_embeddings,
        "type_vocab_size": config.type_vocab_size,
        "layer_norm_eps": config.layer_norm_eps,
        "hidden_dropout_prob": config.hidden_dropout_prob,
        "attention_probs_dropout_prob": config.attention_probs_dropout_prob,
        "classifier_dropout_prob": config.classifier_dropout,
        "initializer_range": config.initializer_range,
        "pad_token_id": config.pad_token_id,
        "tie_word_embeddings": config.tie_word_embeddings,
    }))
}

fn check(config: &EncoderConfig) -> Result<()> {
    only("variant, other than BERT's,", config.variant != Variant::default(), false, "ALBERT")?;
    only("position_offset", config.position_offset, 0, "ALBERT")?;
    only("num_hidden_groups above 0", !config.sharing.is_none(), true, "ALBERT")?;
    only("type_vocab_size above 0", config.type_vocab_size > 0, true, "ALBERT")
}
