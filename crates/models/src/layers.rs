//! The one encoder layer.

use crate::EncoderConfig;
use crate::families::LayerNames;
use crate::params::{Builder, LinearIds, NormIds, ParamGroup, View};
use polyseme_tensor::ops::{
    AttentionSettings, AttentionWeights, FeedForwardSettings, FeedForwardWeights, LayerCall, LayerSettings,
    LayerWeights, encoder_layer,
};
use polyseme_tensor::{Mode, PackedBatch, Tensor};

/// An encoder layer: attention, then feed-forward, each with residual and norm after it.
pub(crate) struct Layer {
    index: usize,
    query: LinearIds,
    key: LinearIds,
    value: LinearIds,
    attention_output: LinearIds,
    attention_norm: NormIds,
    intermediate: LinearIds,
    output: LinearIds,
    output_norm: NormIds,
}

impl Layer {
    /// Declares the parameters of layer `index`.
    pub fn declare(builder: &mut Builder, names: &LayerNames, config: &EncoderConfig, index: usize) -> Self {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let group = ParamGroup::Layer(index);
        let full = |name: &str| format!("~{}.{index}.{name}", names.prefix);
        Self {
            index,
            query: builder.linear(&full(names.query), [hidden, hidden], group),
            key: builder.linear(&full(names.key), [hidden, hidden], group),
            value: builder.linear(&full(names.value), [hidden, hidden], group),
            attention_output: builder.linear(&full(names.attention_output), [hidden, hidden], group),
            attention_norm: builder.norm(&full(names.attention_norm), hidden, config.layer_norm_eps, group),
            intermediate: builder.linear(&full(names.intermediate), [inner, hidden], group),
            output: builder.linear(&full(names.output), [hidden, inner], group),
            output_norm: builder.norm(&full(names.output_norm), hidden, config.layer_norm_eps, group),
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
        let attention = AttentionWeights {
            query: params.linear(self.query),
            key: params.linear(self.key),
            value: params.linear(self.value),
            output: params.linear(self.attention_output),
            norm: params.norm(self.attention_norm),
        };
        let feed_forward = FeedForwardWeights {
            intermediate: params.linear(self.intermediate),
            output: params.linear(self.output),
            norm: params.norm(self.output_norm),
        };
        let settings = LayerSettings {
            attention: AttentionSettings {
                heads: config.num_attention_heads,
                attention_dropout: config.attention_probs_dropout_prob,
                hidden_dropout: config.hidden_dropout_prob,
            },
            feed_forward: FeedForwardSettings { activation: config.hidden_act, dropout: config.hidden_dropout_prob },
        };
        let call = LayerCall { asked, cache: params.layer_cache(self.index) };
        encoder_layer(x, LayerWeights { attention, feed_forward }, batch, settings, mode, call)
    }
}
