//! ModernBERT (Warner et al. 2024); reference: transformers
//! `models/modernbert/modeling_modernbert.py`.
//!
//! Deviations: dropout of the feed-forward half comes after its second map (the reference: before it),
//! and that of the attention's output has the rate of hidden states; published checkpoints have all rates
//! at 0. New weights are normal, not truncated normal.

use super::keys::{activation, activation_name, layer_sizes, object, only, own_weights, refuse_unsupported, token_id};
use super::{Architectures, Dropout, EncoderNames, Form, LayerNames, MaskedLmForm, QueryKeyValueNames, TaskForm};
use crate::{ClassifierPooling, EncoderConfig, Error, Result, Sharing, Variant};
use polyseme_formats::ConfigJson;
use polyseme_tensor::ops::Activation;
use serde_json::{Map, Value, json};

const CLASSIFIER: TaskForm = TaskForm {
    dense: Some("head.dense"),
    activation: Activation::Gelu,
    norm: Some("head.norm"),
    dropout_before: false,
    dropout: Dropout::Classifier,
    output: "classifier",
};

/// What ModernBERT is.
pub(crate) const FORM: Form = Form {
    model_type: "modernbert",
    prefix: "model.",
    encoder: EncoderNames {
        word: "embeddings.tok_embeddings",
        // Positions are rotary, and there are no segments and no projection; `check` sees to it.
        position: "",
        token_type: "",
        norm: "embeddings.norm",
        projection: "",
        always_projects: false,
        layer: LayerNames {
            prefix: "layers",
            inner: None,
            query_key_value: QueryKeyValueNames::Joined("attn.Wqkv"),
            attention_output: "attn.Wo",
            attention_norm: "attn_norm",
            intermediate: "mlp.Wi",
            output: "mlp.Wo",
            output_norm: "mlp_norm",
        },
        final_norm: "final_norm",
    },
    masked_lm: MaskedLmForm {
        dense: "head.dense",
        activation: Some(Activation::Gelu),
        norm: "head.norm",
        bias: "decoder.bias",
        decoder: "decoder",
    },
    classifier: CLASSIFIER,
    tags: CLASSIFIER,
    answer: CLASSIFIER,
    choice: CLASSIFIER,
    order: None,
    pooler: None,
    architectures: Architectures {
        base: "ModernBertModel",
        masked_lm: "ModernBertForMaskedLM",
        classify: "ModernBertForSequenceClassification",
        tags: "ModernBertForTokenClassification",
        answer: "ModernBertForQuestionAnswering",
        choice: "ModernBertForMultipleChoice",
    },
    read,
    write,
    extra: || object(json!({ "initializer_cutoff_factor": 2.0, "sparse_prediction": false })),
    choice_keys: serde_json::Map::new,
    check,
};

/// Bases of the rotary positions where `config.json` says nothing.
const GLOBAL_THETA: f64 = 160_000.0;
const LOCAL_THETA: f64 = 10_000.0;

fn read(json: &mut ConfigJson) -> Result<EncoderConfig> {
    refuse_unsupported(json)?;
    json.refuse_unless("decoder_bias", true.into(), "a masked-language head has a bias over the vocabulary")?;
    json.refuse_unless("classifier_activation", "gelu".into(), "heads have the exact GELU")?;
    let hidden_size = json.usize("hidden_size")?;
    let num_hidden_layers = json.usize("num_hidden_layers")?;
    let hidden_dropout_prob = json.f64_or("embedding_dropout", 0.0)?;
    json.refuse_unless("mlp_dropout", hidden_dropout_prob.into(), "hidden states have one rate of dropout")?;
    let every = pattern(json, num_hidden_layers)?;
    let (global_rope_theta, local_rope_theta) = thetas(json)?;
    Ok(EncoderConfig {
        vocab_size: json.usize("vocab_size")?,
        hidden_size,
        num_hidden_layers,
        num_attention_heads: json.usize("num_attention_heads")?,
        intermediate_size: json.usize("intermediate_size")?,
        hidden_act: activation(json, "hidden_activation")?,
        max_position_embeddings: json.usize_or("max_position_embeddings", 8192)?,
        position_offset: 0,
        type_vocab_size: 0,
        embedding_size: hidden_size,
        layer_norm_eps: json.f64_or("norm_eps", 1e-5)?,
        hidden_dropout_prob,
        attention_probs_dropout_prob: json.f64_or("attention_dropout", 0.0)?,
        classifier_dropout: json.f64_or("classifier_dropout", 0.0)?,
        initializer_range: json.f64_or("initializer_range", 0.02)?,
        pad_token_id: token_id(json, "pad_token_id", 50283)?,
        tie_word_embeddings: json.bool_or("tie_word_embeddings", true)?,
        variant: Variant {
            pre_norm: true,
            gated: true,
            global_rope_theta,
            local_rope_theta,
            local_attention: json.usize_or("local_attention", 128)?,
            global_attn_every_n_layers: every,
            attention_bias: json.bool_or("attention_bias", false)?,
            mlp_bias: json.bool_or("mlp_bias", false)?,
            norm_bias: json.bool_or("norm_bias", false)?,
            classifier_bias: json.bool_or("classifier_bias", false)?,
            classifier_pooling: pooling(json)?,
        },
        layer_sizes: layer_sizes(json)?,
        sharing: Sharing::default(),
    })
}

/// Every how many layers one attends to the whole sequence: said as a number, or layer by layer.
fn pattern(json: &mut ConfigJson, layers: usize) -> Result<usize> {
    let said = json.usize_or("global_attn_every_n_layers", 3)?;
    let Some(types) = json.take("layer_types").filter(|types| !types.is_null()) else { return Ok(said) };
    let bad = || Error::BadKey {
        path: json.path.clone(),
        key: "layer_types",
        found: types.to_string().chars().take(200).collect(),
        expected: "for each layer `full_attention` or `sliding_attention`, the first full and then every n-th".into(),
    };
    let is_full = |value: &Value| match value.as_str() {
        Some("full_attention") => Some(true),
        Some("sliding_attention") => Some(false),
        _ => None,
    };
    let full: Vec<bool> = types.as_array().and_then(|list| list.iter().map(is_full).collect()).ok_or_else(bad)?;
    let every = (1..full.len()).find(|&i| full[i]).unwrap_or(full.len().max(1));
    let follows = full.len() == layers && full.iter().enumerate().all(|(i, &full)| full == i.is_multiple_of(every));
    if follows { Ok(every) } else { Err(bad()) }
}

/// Bases of the rotary positions of full and of sliding attention, under the new keys or the old.
fn thetas(json: &mut ConfigJson) -> Result<(f64, f64)> {
    let global = json.f64_or("global_rope_theta", GLOBAL_THETA)?;
    // Null means the other one.
    let local = match json.peek("local_rope_theta").is_some_and(Value::is_null) {
        true => global,
        false => json.f64_or("local_rope_theta", LOCAL_THETA)?,
    };
    json.take("local_rope_theta");
    json.refuse_unless("rope_scaling", Value::Null, "rotary positions are not scaled")?;
    let Some(all) = json.take("rope_parameters").filter(|all| !all.is_null()) else { return Ok((global, local)) };
    let bad = || Error::BadKey {
        path: json.path.clone(),
        key: "rope_parameters",
        found: all.to_string().chars().take(200).collect(),
        expected: "for `full_attention` and `sliding_attention` a `rope_theta`, of the `rope_type` `default`".into(),
    };
    let kinds = all.as_object().ok_or_else(bad)?;
    let theta = |kind: &str, default: f64| {
        let Some(own) = kinds.get(kind).filter(|own| !own.is_null()) else { return Ok(default) };
        let default_type = own.get("rope_type").is_none_or(|kind| kind == "default");
        match own.get("rope_theta") {
            None if default_type => Ok(default),
            Some(theta) if default_type => theta.as_f64().filter(|&theta| theta > 0.0).ok_or_else(bad),
            _ => Err(bad()),
        }
    };
    Ok((theta("full_attention", global)?, theta("sliding_attention", local)?))
}

fn pooling(json: &mut ConfigJson) -> Result<ClassifierPooling> {
    match json.str_or("classifier_pooling", "cls")?.as_str() {
        "cls" => Ok(ClassifierPooling::Cls),
        "mean" => Ok(ClassifierPooling::Mean),
        other => Err(Error::BadKey {
            path: json.path.clone(),
            key: "classifier_pooling",
            found: format!("`{other}`"),
            expected: "`cls` or `mean`".into(),
        }),
    }
}

/// The reverse of [`read`]; what older and newer versions of the reference name differently stands
/// under both names.
fn write(config: &EncoderConfig) -> Map<String, Value> {
    let variant = &config.variant;
    let kind = |layer| if variant.window(layer).is_some() { "sliding_attention" } else { "full_attention" };
    let types: Vec<_> = (0..config.num_hidden_layers).map(kind).collect();
    let pooling = match variant.classifier_pooling {
        ClassifierPooling::Cls => "cls",
        ClassifierPooling::Mean => "mean",
    };
    object(json!({
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "num_hidden_layers": config.num_hidden_layers,
        "num_attention_heads": config.num_attention_heads,
        "intermediate_size": config.intermediate_size,
        "hidden_activation": activation_name(config.hidden_act),
        "max_position_embeddings": config.max_position_embeddings,
        "norm_eps": config.layer_norm_eps,
        "norm_bias": variant.norm_bias,
        "embedding_dropout": config.hidden_dropout_prob,
        "mlp_dropout": config.hidden_dropout_prob,
        "attention_dropout": config.attention_probs_dropout_prob,
        "classifier_dropout": config.classifier_dropout,
        "classifier_pooling": pooling,
        "classifier_bias": variant.classifier_bias,
        "classifier_activation": "gelu",
        "decoder_bias": true,
        "attention_bias": variant.attention_bias,
        "mlp_bias": variant.mlp_bias,
        "global_attn_every_n_layers": variant.global_attn_every_n_layers,
        "layer_types": types,
        "local_attention": variant.local_attention,
        "global_rope_theta": variant.global_rope_theta,
        "local_rope_theta": variant.local_rope_theta,
        "rope_parameters": {
            "full_attention": { "rope_type": "default", "rope_theta": variant.global_rope_theta },
            "sliding_attention": { "rope_type": "default", "rope_theta": variant.local_rope_theta },
        },
        "initializer_range": config.initializer_range,
        "pad_token_id": config.pad_token_id,
        "tie_word_embeddings": config.tie_word_embeddings,
    }))
}

fn check(config: &EncoderConfig) -> Result<()> {
    let variant = &config.variant;
    own_weights(config, "ModernBERT")?;
    only("variant.pre_norm", variant.pre_norm, true, "ModernBERT")?;
    only("variant.gated", variant.gated, true, "ModernBERT")?;
    only("variant.global_rope_theta above 0", variant.is_rotary(), true, "ModernBERT")?;
    only("variant.local_attention above 0", variant.local_attention > 0, true, "ModernBERT")?;
    only("embedding_size", config.embedding_size, config.hidden_size, "ModernBERT")?;
    only("position_offset", config.position_offset, 0, "ModernBERT")?;
    only("type_vocab_size", config.type_vocab_size, 0, "ModernBERT")
}
