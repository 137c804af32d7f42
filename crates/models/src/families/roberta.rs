//! RoBERTa (Liu et al. 2019); reference: transformers `models/roberta/modeling_roberta.py`.
//!
//! Deviations: a padding token *inside* a text gets a position like any other (the reference skips
//! it); packed batches hold no padding, so this concerns only texts that contain it literally.

use super::keys::{object, only, only_berts_layers, read_bert_like, write_bert_like};
use super::{Architectures, Dropout, Form, MaskedLmForm, TaskForm, bert};
use crate::{EncoderConfig, Result};
use polyseme_formats::ConfigJson;
use polyseme_tensor::ops::Activation;
use serde_json::json;

/// What RoBERTa is.
pub(crate) const FORM: Form = Form {
    model_type: "roberta",
    prefix: "roberta.",
    encoder: bert::ENCODER,
    masked_lm: MaskedLmForm {
        dense: "lm_head.dense",
        // Always the exact one, whatever `hidden_act` says.
        activation: Some(Activation::Gelu),
        norm: "lm_head.layer_norm",
        bias: "lm_head.bias",
        decoder: "lm_head.decoder",
    },
    classifier: TaskForm {
        dense: Some("classifier.dense"),
        activation: Activation::Tanh,
        norm: None,
        dropout_before: true,
        dropout: Dropout::Classifier,
        output: "classifier.out_proj",
    },
    tags: TaskForm::map("classifier", Dropout::Classifier),
    answer: TaskForm::map("qa_outputs", Dropout::None),
    choice: TaskForm { dropout: Dropout::Hidden, ..bert::POOLED },
    order: None,
    pooler: Some("~pooler.dense"),
    architectures: Architectures {
        base: "RobertaModel",
        masked_lm: "RobertaForMaskedLM",
        classify: "RobertaForSequenceClassification",
        tags: "RobertaForTokenClassification",
        answer: "RobertaForQuestionAnswering",
        choice: "RobertaForMultipleChoice",
    },
    read,
    write: write_bert_like,
    extra: || object(json!({ "use_cache": true, "is_decoder": false, "add_cross_attention": false })),
    choice_keys: serde_json::Map::new,
    check,
};

fn read(json: &mut ConfigJson) -> Result<EncoderConfig> {
    let mut config = read_bert_like(json, 1)?;
    config.position_offset = config.pad_token_id as usize + 1;
    Ok(config)
}

fn check(config: &EncoderConfig) -> Result<()> {
    only_berts_layers(config, "RoBERTa")?;
    only("embedding_size", config.embedding_size, config.hidden_size, "RoBERTa")?;
    only("position_offset", config.position_offset, config.pad_token_id as usize + 1, "RoBERTa")?;
    only("type_vocab_size above 0", config.type_vocab_size > 0, true, "RoBERTa")
}
