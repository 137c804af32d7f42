//! Keys of `config.json` that families have in common.

use crate::{EncoderConfig, Error, LayerSize, Result, Sharing, Variant};
use polyseme_formats::ConfigJson;
use polyseme_tensor::ops::Activation;
use serde_json::{Map, Value, json};

/// Names of activations as the reference library has them, with the first as the one written.
const ACTIVATIONS: [(&str, Activation); 9] = [
    ("gelu", Activation::Gelu),
    ("gelu_new", Activation::GeluTanh),
    ("gelu_pytorch_tanh", Activation::GeluTanh),
    ("gelu_python", Activation::Gelu),
    ("gelu_fast", Activation::GeluTanh),
    ("relu", Activation::Relu),
    ("silu", Activation::Silu),
    ("swish", Activation::Silu),
    ("tanh", Activation::Tanh),
];

/// Reads an activation by its name.
pub(crate) fn activation(config: &mut ConfigJson, key: &'static str) -> Result<Activation> {
    let found = config.str_or(key, "gelu")?;
    match ACTIVATIONS.iter().find(|(name, _)| *name == found) {
        Some((_, activation)) => Ok(*activation),
        None => {
            let known: Vec<_> = ACTIVATIONS.iter().map(|(name, _)| format!("`{name}`")).collect();
            Err(Error::UnknownActivation { path: config.path.clone(), key, found, known: known.join(", ") })
        }
    }
}

/// The name an activation is written under.
pub(crate) fn activation_name(activation: Activation) -> &'static str {
    ACTIVATIONS.iter().find(|(_, known)| *known == activation).map_or("gelu", |(name, _)| name)
}

/// A token id.
pub(crate) fn token_id(config: &mut ConfigJson, key: &'static str, default: usize) -> Result<u32> {
    let found = config.usize_or(key, default)?;
    u32::try_from(found).map_err(|_| Error::BadKey {
        path: config.path.clone(),
        key,
        found: found.to_string(),
        expected: "a token id".into(),
    })
}

/// `layer_sizes`: what each layer has left where some were cut, a key of our own.
pub(crate) fn layer_sizes(config: &mut ConfigJson) -> Result<Vec<LayerSize>> {
    let Some(value) = config.take(LAYER_SIZES).filter(|value| !value.is_null()) else { return Ok(Vec::new()) };
    serde_json::from_value(value).map_err(|error| Error::BadKey {
        path: config.path.clone(),
        key: LAYER_SIZES,
        found: error.to_string(),
        expected: "a list of objects with `num_attention_heads` and `intermediate_size`".into(),
    })
}

/// The key of [`layer_sizes`].
pub(crate) const LAYER_SIZES: &str = "layer_sizes";

/// Refuses what an encoder of these families does not compute.
pub(crate) fn refuse_unsupported(config: &mut ConfigJson) -> Result<()> {
    config.refuse_unless("is_decoder", false.into(), "a decoder attends only to the left")?;
    config.refuse_unless("add_cross_attention", false.into(), "an encoder has nothing to attend across to")?;
    config.refuse_unless("is_encoder_decoder", false.into(), "an encoder has no decoder")?;
    config.refuse_unless("pruned_heads", json!({}), "all layers have the same heads")?;
    Ok(())
}

/// Reads what BERT, RoBERTa and ELECTRA name alike. `embedding_size` and `position_offset` are as
/// in BERT; the family changes them.
pub(crate) fn read_bert_like(config: &mut ConfigJson, pad: usize) -> Result<EncoderConfig> {
    refuse_unsupported(config)?;
    config.refuse_unless(
        "position_embedding_type",
        "absolute".into(),
        "only learned absolute positions are supported",
    )?;
    let hidden_size = config.usize("hidden_size")?;
    let hidden_dropout_prob = config.f64_or("hidden_dropout_prob", 0.1)?;
    Ok(EncoderConfig {
        vocab_size: config.usize("vocab_size")?,
        hidden_size,
        num_hidden_layers: config.usize("num_hidden_layers")?,
        num_attention_heads: config.usize("num_attention_heads")?,
        intermediate_size: config.usize("intermediate_size")?,
        hidden_act: activation(config, "hidden_act")?,
        max_position_embeddings: config.usize_or("max_position_embeddings", 512)?,
        position_offset: 0,
        type_vocab_size: config.usize_or("type_vocab_size", 2)?,
        embedding_size: hidden_size,
        layer_norm_eps: config.f64_or("layer_norm_eps", 1e-12)?,
        hidden_dropout_prob,
        attention_probs_dropout_prob: config.f64_or("attention_probs_dropout_prob", 0.1)?,
        classifier_dropout: config.opt_f64("classifier_dropout")?.unwrap_or(hidden_dropout_prob),
        initializer_range: config.f64_or("initializer_range", 0.02)?,
        pad_token_id: token_id(config, "pad_token_id", pad)?,
        tie_word_embeddings: config.bool_or("tie_word_embeddings", true)?,
        variant: Variant::default(),
        layer_sizes: layer_sizes(config)?,
        sharing: Sharing::default(),
    })
}

/// The reverse of [`read_bert_like`].
pub(crate) fn write_bert_like(config: &EncoderConfig) -> Map<String, Value> {
    // null means the hidden dropout, and that is how the reference writes it.
    let classifier_dropout =
        (config.classifier_dropout != config.hidden_dropout_prob).then_some(config.classifier_dropout);
    object(json!({
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "num_hidden_layers": config.num_hidden_layers,
        "num_attention_heads": config.num_attention_heads,
        "intermediate_size": config.intermediate_size,
        "hidden_act": activation_name(config.hidden_act),
        "max_position_embeddings": config.max_position_embeddings,
        "type_vocab_size": config.type_vocab_size,
        "layer_norm_eps": config.layer_norm_eps,
        "hidden_dropout_prob": config.hidden_dropout_prob,
        "attention_probs_dropout_prob": config.attention_probs_dropout_prob,
        "classifier_dropout": classifier_dropout,
        "initializer_range": config.initializer_range,
        "pad_token_id": config.pad_token_id,
        "tie_word_embeddings": config.tie_word_embeddings,
    }))
}

/// The object in a JSON value that is one.
pub(crate) fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// Errors unless the layers are those of BERT.
pub(crate) fn only_berts_layers(config: &EncoderConfig, family: &str) -> Result<()> {
    own_weights(config, family)?;
    if config.variant == Variant::default() {
        return Ok(());
    }
    Err(Error::setting("variant", "other layers than BERT's", format!("none in {family}; `modernbert` has them")))
}

/// Errors if layers share their weights.
pub(crate) fn own_weights(config: &EncoderConfig, family: &str) -> Result<()> {
    if config.sharing.is_none() {
        return Ok(());
    }
    let expected = format!("0 in {family}; `albert` shares weights");
    Err(Error::setting("num_hidden_groups", config.sharing.num_hidden_groups, expected))
}

/// Errors unless a setting has the only value a family can express.
pub(crate) fn only<T: PartialEq + ToString>(key: &str, found: T, only: T, family: &str) -> Result<()> {
    if found == only {
        return Ok(());
    }
    Err(Error::setting(key, found, format!("{} in {family}", only.to_string())))
}
