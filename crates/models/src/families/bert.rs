//! BERT (Devlin et al. 2019); reference: transformers `models/bert/modeling_bert.py`.
//!
//! Deviations: none. Positions other than absolute and decoders are refused.

use super::keys::{object, only, only_berts_layers, read_bert_like, write_bert_like};
use super::{
    Architectures, Dropout, EncoderNames, Form, LayerNames, MaskedLmForm, OrderForm, QueryKeyValueNames, TaskForm,
};
use crate::{EncoderConfig, Result};
use polyseme_tensor::ops::Activation;
use serde_json::json;

/// Names that BERT, RoBERTa and ELECTRA share.
pub(crate) const ENCODER: EncoderNames = EncoderNames {
    word: "embeddings.word_embeddings",
    position: "embeddings.position_embeddings",
    token_type: "embeddings.token_type_embeddings",
    norm: "embeddings.LayerNorm",
    projection: "embeddings_project",
    always_projects: false,
    layer: LayerNames {
        prefix: "encoder.layer",
        inner: None,
        query_key_value: QueryKeyValueNames::Apart([
            "attention.self.query",
            "attention.self.key",
            "attention.self.value",
        ]),
        attention_output: "attention.output.dense",
        attention_norm: "attention.output.LayerNorm",
        intermediate: "intermediate.dense",
        output: "output.dense",
        output_norm: "output.LayerNorm",
    },
    // Norms stand after the halves.
    final_norm: "",
};

/// A head on the pooler, which stands inside the encoder.
pub(crate) const POOLED: TaskForm = TaskForm {
    dense: Some("~pooler.dense"),
    activation: Activation::Tanh,
    norm: None,
    dropout_before: false,
    dropout: Dropout::Classifier,
    output: "classifier",
};

/// What BERT is.
pub(crate) const FORM: Form = Form {
    model_type: "bert",
    prefix: "bert.",
    encoder: ENCODER,
    masked_lm: MaskedLmForm {
        dense: "cls.predictions.transform.dense",
        activation: None,
        norm: "cls.predictions.transform.LayerNorm",
        bias: "cls.predictions.bias",
        decoder: "cls.predictions.decoder",
    },
    classifier: POOLED,
    tags: TaskForm::map("classifier", Dropout::Classifier),
    answer: TaskForm::map("qa_outputs", Dropout::None),
    choice: POOLED,
    order: Some(OrderForm {
        form: TaskForm { dropout: Dropout::None, output: "cls.seq_relationship", ..POOLED },
        architecture: "BertForPreTraining",
    }),
    pooler: Some("~pooler.dense"),
    architectures: Architectures {
        base: "BertModel",
        masked_lm: "BertForMaskedLM",
        classify: "BertForSequenceClassification",
        tags: "BertForTokenClassification",
        answer: "BertForQuestionAnswering",
        choice: "BertForMultipleChoice",
    },
    read: |config| read_bert_like(config, 0),
    write: write_bert_like,
    extra: || object(json!({ "use_cache": true, "is_decoder": false, "add_cross_attention": false })),
    choice_keys: serde_json::Map::new,
    check,
};

fn check(config: &EncoderConfig) -> Result<()> {
    only_berts_layers(config, "BERT")?;
    only("embedding_size", config.embedding_size, config.hidden_size, "BERT")?;
    only("position_offset", config.position_offset, 0, "BERT")?;
    only("type_vocab_size above 0", config.type_vocab_size > 0, true, "BERT")
}
