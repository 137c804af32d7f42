//! The one encoder layer.

use crate::EncoderConfig;
use crate::families::{LayerNames, QueryKeyValueNames};
use crate::params::{Builder, LinearIds, NormIds, ParamGroup, View};
use polyseme_tensor::ops::{
    AttentionSettings, AttentionWeights, FeedForwardSettings, FeedForwardWeights, LayerCall, LayerSettings,
    LayerWeights, QueryKeyValue, encoder_layer,
};
use polyseme_tensor::{Mode, PackedBatch, Tensor};

/// An encoder layer: attention, then feed-forward, each with its residual and its norm.
pub(crate) struct Layer {
    index: usize,
    query_key_value: QueryKeyValueIds,
    attention_output: LinearIds,
    attention_norm: Option<NormIds>,
    intermediate: LinearIds,
    output: LinearIds,
    output_norm: NormIds,
}

enum QueryKeyValueIds {
    Apart([LinearIds; 3]),
    Joined(LinearIds),
}

impl Layer {
    /// Declares the parameters of layer `index`, in the order of the forward pass.
    pub fn declare(builder: &mut Builder, names: &LayerNames, config: &EncoderConfig, index: usize) -> Self {
        let (hidden, inner, variant) = (config.hidden_size, config.intermediate_size, &config.variant);
        let group = ParamGroup::Layer(index);
        let full = |name: &str| format!("~{}.{index}.{name}", names.prefix);
        let attention = |builder: &mut Builder, name: &str, out: usize| {
            builder.linear(&full(name), [out, hidden], group, variant.attention_bias)
        };
        let norm = |builder: &mut Builder, name: &str| builder.norm(&full(name), hidden, config, group);
        let before = (variant.pre_norm && index > 0).then(|| norm(builder, names.attention_norm));
        let query_key_value = match &names.query_key_value {
            QueryKeyValueNames::Apart(each) => {
                QueryKeyValueIds::Apart(each.map(|name| attention(builder, name, hidden)))
            }
            QueryKeyValueNames::Joined(name) => QueryKeyValueIds::Joined(attention(builder, name, 3 * hidden)),
        };
        let attention_output = attention(builder, names.attention_output, hidden);
        let after = (!variant.pre_norm).then(|| norm(builder, names.attention_norm));
        let output_norm_first = variant.pre_norm.then(|| norm(builder, names.output_norm));
        let wide = if variant.gated { 2 * inner } else { inner };
        Self {
            index,
            query_key_value,
            attention_output,
            attention_norm: before.or(after),
            intermediate: builder.linear(&full(names.intermediate), [wide, hidden], group, variant.mlp_bias),
            output: builder.linear(&full(names.output), [hidden, inner], group, variant.mlp_bias),
            output_norm: output_norm_first.unwrap_or_else(|| norm(builder, names.output_norm)),
        }
    }

    /// The maps onto key and value, where they stand apart.
    pub fn key_and_value(&self) -> Option<[LinearIds; 2]> {
        match self.query_key_value {
            QueryKeyValueIds::Apart([_, key, value]) => Some([key, value]),
            QueryKeyValueIds::Joined(_) => None,
        }
    }

    /// `(tokens, hidden)` to `(tokens, hidden)`, or to the rows asked for
    pub fn forward(
        &self,
        x: Tensor<2>,
        params: View<'_>,
        batch: &PackedBatch,
        config: &EncoderConfig,
        mode: Mode,
        asked: Option<&[usize]>,
    ) -> Tensor<2> {
        let mode = mode.named("layer").at(self.index);
        let weights = LayerWeights {
            attention: AttentionWeights {
                query_key_value: match self.query_key_value {
                    QueryKeyValueIds::Apart(ids) => QueryKeyValue::Apart(Box::new(ids.map(|ids| params.linear(ids)))),
                    QueryKeyValueIds::Joined(ids) => QueryKeyValue::Joined(Box::new(params.linear(ids))),
                },
                output: params.linear(self.attention_output),
            },
            attention_norm: self.attention_norm.map(|ids| params.norm(ids)),
            feed_forward: FeedForwardWeights {
                intermediate: params.linear(self.intermediate),
                output: params.linear(self.output),
            },
            output_norm: params.norm(self.output_norm),
        };
        let settings = LayerSettings {
            attention: AttentionSettings {
                heads: config.num_attention_heads,
                attention_dropout: config.attention_probs_dropout_prob,
                hidden_dropout: config.hidden_dropout_prob,
                rotary: config.variant.rope_theta(self.index),
                window: config.variant.window(self.index),
            },
            feed_forward: FeedForwardSettings {
                activation: config.hidden_act,
                gated: config.variant.gated,
                dropout: config.hidden_dropout_prob,
            },
            pre_norm: config.variant.pre_norm,
        };
        let checkpoint = params.gradient_checkpointing();
        let call = LayerCall { asked, cache: params.layer_cache(self.index), checkpoint };
        encoder_layer(x, weights, batch, settings, mode, call)
    }
}
