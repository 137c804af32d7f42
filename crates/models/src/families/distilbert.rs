//! DistilBERT (Sanh et al. 2019); reference: transformers
//! `models/distilbert/modeling_distilbert.py`.
//!
//! Deviations: `sinusoidal_pos_embds` only says how the position table began; its values are in the
//! file, and like any table it is trained unless frozen.

use super::keys::{
    activation, activation_name, layer_sizes, object, only, only_berts_layers, refuse_unsupported, token_id,
};
use super::{Architectures, Dropout, EncoderNames, Form, LayerNames, MaskedLmForm, QueryKeyValueNames, TaskForm};
use crate::{EncoderConfig, Result, Sharing, Variant};
use polyseme_formats::ConfigJson;
use polyseme_tensor::ops::Activation;
use serde_json::{Map, Value, json};

/// The reference has it in the code and not in the configuration.
const EPSILON: f64 = 1e-12;

const CLASSIFIER: TaskForm = TaskForm {
    dense: Some("pre_classifier"),
    activation: Activation::Relu,
    norm: None,
    dropout_before: false,
    dropout: Dropout::Classifier,
    output: "classifier",
};

/// What DistilBERT is.
pub(crate) const FORM: Form = Form {
    model_type: "distilbert",
    prefix: "distilbert.",
    encoder: EncoderNames {
        word: "embeddings.word_embeddings",
        position: "embeddings.position_embeddings",
        // There are no segments and no projection; `check` sees to it.
        token_type: "",
        norm: "embeddings.LayerNorm",
        projection: "",
        always_projects: false,
        layer: LayerNames {
            prefix: "transformer.layer",
            inner: None,
            query_key_value: QueryKeyValueNames::Apart(["attention.q_lin", "attention.k_lin", "attention.v_lin"]),
            attention_output: "attention.out_lin",
            attention_norm: "sa_layer_norm",
            intermediate: "ffn.lin1",
            output: "ffn.lin2",
            output_norm: "output_layer_norm",
        },
        // Norms stand after the halves.
        final_norm: "",
    },
    masked_lm: MaskedLmForm {
        dense: "vocab_transform",
        activation: None,
        norm: "vocab_layer_norm",
        bias: "vocab_projector.bias",
        decoder: "vocab_projector",
    },
    classifier: CLASSIFIER,
    tags: TaskForm::map("classifier", Dropout::Hidden),
    answer: TaskForm::map("qa_outputs", Dropout::Key("qa_dropout", 0.1)),
    choice: CLASSIFIER,
    order: None,
    pooler: None,
    architectures: Architectures {
        base: "DistilBertModel",
        masked_lm: "DistilBertForMaskedLM",
        classify: "DistilBertForSequenceClassification",
        tags: "DistilBertForTokenClassification",
        answer: "DistilBertForQuestionAnswering",
        choice: "DistilBertForMultipleChoice",
    },
    read,
    write,
    extra: || object(json!({ "qa_dropout": 0.1, "sinusoidal_pos_embds": false })),
    choice_keys: serde_json::Map::new,
    check,
};

fn read(json: &mut ConfigJson) -> Result<EncoderConfig> {
    refuse_unsupported(json)?;
    json.bool_or("sinusoidal_pos_embds", false)?;
    let hidden_size = json.usize("dim")?;
    Ok(EncoderConfig {
        vocab_size: json.usize("vocab_size")?,
        hidden_size,
        num_hidden_layers: json.usize("n_layers")?,
        num_attention_heads: json.usize("n_heads")?,
        intermediate_size: json.usize("hidden_dim")?,
        hidden_act: activation(json, "activation")?,
        max_position_embeddings: json.usize_or("max_position_embeddings", 512)?,
        position_offset: 0,
        type_vocab_size: 0,
        embedding_size: hidden_size,
        layer_norm_eps: EPSILON,
        hidden_dropout_prob: json.f64_or("dropout", 0.1)?,
        attention_probs_dropout_prob: json.f64_or("attention_dropout", 0.1)?,
        classifier_dropout: json.f64_or("seq_classif_dropout", 0.2)?,
        initializer_range: json.f64_or("initializer_range", 0.02)?,
        pad_token_id: token_id(json, "pad_token_id", 0)?,
        tie_word_embeddings: json.bool_or("tie_word_embeddings", true)?,
        variant: Variant::default(),
        layer_sizes: layer_sizes(json)?,
        sharing: Sharing::default(),
    })
}

fn write(config: &EncoderConfig) -> Map<String, Value> {
    object(json!({
        "vocab_size": config.vocab_size,
        "dim": config.hidden_size,
        "n_layers": config.num_hidden_layers,
        "n_heads": config.num_attention_heads,
        "hidden_dim": config.intermediate_size,
        "activation": activation_name(config.hidden_act),
        "max_position_embeddings": config.max_position_embeddings,
        "dropout": config.hidden_dropout_prob,
        "attention_dropout": config.attention_probs_dropout_prob,
        "seq_classif_dropout": config.classifier_dropout,
        "initializer_range": config.initializer_range,
        "pad_token_id": config.pad_token_id,
        "tie_word_embeddings": config.tie_word_embeddings,
    }))
}

fn check(config: &EncoderConfig) -> Result<()> {
    only_berts_layers(config, "DistilBERT")?;
    only("embedding_size", config.embedding_size, config.hidden_size, "DistilBERT")?;
    only("position_offset", config.position_offset, 0, "DistilBERT")?;
    only("type_vocab_size", config.type_vocab_size, 0, "DistilBERT")?;
    only("layer_norm_eps", config.layer_norm_eps, EPSILON, "DistilBERT")
}
