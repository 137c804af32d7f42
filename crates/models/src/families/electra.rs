//! ELECTRA (Clark et al. 2020), generator and encoder; reference: transformers
//! `models/electra/modeling_electra.py`.
//!
//! Deviations: none. The discriminator's head is not read.

use super::keys::{object, only, only_berts_layers, read_bert_like, write_bert_like};
use super::{Architectures, Dropout, Form, MaskedLmForm, TaskForm, bert};
use crate::{EncoderConfig, Result};
use polyseme_formats::ConfigJson;
use polyseme_tensor::ops::Activation;
use serde_json::{Map, Value, json};

/// What ELECTRA is.
pub(crate) const FORM: Form = Form {
    model_type: "electra",
    prefix: "electra.",
    encoder: bert::ENCODER,
    masked_lm: MaskedLmForm {
        dense: "generator_predictions.dense",
        // Always the exact one, whatever `hidden_act` says.
        activation: Some(Activation::Gelu),
        norm: "generator_predictions.LayerNorm",
        bias: "generator_lm_head.bias",
        decoder: "generator_lm_head",
    },
    classifier: TaskForm {
        dense: Some("classifier.dense"),
        activation: Activation::Gelu,
        norm: None,
        dropout_before: true,
        dropout: Dropout::Classifier,
        output: "classifier.out_proj",
    },
    tags: TaskForm::map("classifier", Dropout::Classifier),
    answer: TaskForm::map("qa_outputs", Dropout::None),
    choice: TaskForm {
        dense: Some("sequence_summary.summary"),
        activation: Activation::Gelu,
        norm: None,
        dropout_before: false,
        dropout: Dropout::Key("summary_last_dropout", 0.1),
        output: "classifier",
    },
    order: None,
    pooler: None,
    architectures: Architectures {
        base: "ElectraModel",
        masked_lm: "ElectraForMaskedLM",
        classify: "ElectraForSequenceClassification",
        tags: "ElectraForTokenClassification",
        answer: "ElectraForQuestionAnswering",
        choice: "ElectraForMultipleChoice",
    },
    read,
    write,
    extra: || {
        object(json!({
            "use_cache": true, "is_decoder": false, "add_cross_attention": false,
            "summary_type": "first", "summary_use_proj": true,
            "summary_activation": "gelu", "summary_last_dropout": 0.1,
        }))
    },
    choice_keys: || object(json!({ "summary_type": "first", "summary_use_proj": true, "summary_activation": "gelu" })),
    check,
};

fn read(json: &mut ConfigJson) -> Result<EncoderConfig> {
    let mut config = read_bert_like(json, 0)?;
    config.embedding_size = json.usize_or("embedding_size", 128)?;
    Ok(config)
}

fn write(config: &EncoderConfig) -> Map<String, Value> {
    let mut keys = write_bert_like(config);
    keys.insert("embedding_size".into(), config.embedding_size.into());
    keys
}

fn check(config: &EncoderConfig) -> Result<()> {
    only_berts_layers(config, "ELECTRA")?;
    only("position_offset", config.position_offset, 0, "ELECTRA")?;
    only("type_vocab_size above 0", config.type_vocab_size > 0, true, "ELECTRA")
}
