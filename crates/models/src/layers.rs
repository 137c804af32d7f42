//! The one encoder layer.

use crate::EncoderConfig;
use crate::families::{LayerNames, QueryKeyValueNames};
use crate::params::{Builder, LinearIds, NormIds, ParamGroup, ParamId, View};
use polyseme_tensor::ops::{
    AttentionSettings, AttentionWeights, FeedForwardSettings, FeedForwardWeights, LayerCall, LayerSettings,
    LayerWeights, QueryKeyValue, attention_probabilities, encoder_layer, layer_norm, linear,
};
use polyseme_tensor::{Mode, PackedBatch, Tensor};

/// An encoder layer: attention, then feed-forward, each with its residual and its norm.
#[derive(Clone)]
pub(crate) struct Layer {
    index: usize,
    /// The number its parameters have in [`ParamGroup`].
    group: usize,
    gated: bool,
    pre_norm: bool,
    query_key_value: QueryKeyValueIds,
    attention_output: LinearIds,
    attention_norm: Option<NormIds>,
    intermediate: LinearIds,
    output: LinearIds,
    output_norm: NormIds,
}

/// Numbers of a layer's parameters, and which layer it is.
pub(crate) struct LayerIds {
    pub index: usize,
    /// One map, or three.
    pub query_key_value: Vec<LinearIds>,
    pub attention_output: LinearIds,
    pub attention_norm: Option<NormIds>,
    pub intermediate: LinearIds,
    pub output: LinearIds,
    pub output_norm: NormIds,
}

/// What the rows or the columns of a layer's matrix belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// What no cut touches.
    All,
    /// Channels of the hidden states.
    Width,
    /// Heads, in so many blocks below each other.
    Heads(usize),
    /// Units of the feed-forward part, likewise.
    Units(usize),
}

/// A map's weight and bias with what their rows and columns are.
pub(crate) fn of_map(map: LinearIds, sides: [Side; 2]) -> impl Iterator<Item = (ParamId, [Side; 2])> {
    map.both().map(move |id| (id, if id == map.weight { sides } else { [sides[0], Side::All] }))
}

/// A norm's weight and bias with what they are of.
pub(crate) fn of_norm(norm: NormIds, side: Side) -> impl Iterator<Item = (ParamId, [Side; 2])> {
    norm.both().map(move |id| (id, [side, Side::All]))
}

#[derive(Clone)]
enum QueryKeyValueIds {
    Apart([LinearIds; 3]),
    Joined(LinearIds),
}

impl Layer {
    /// Declares the parameters of the `own`-th layer with weights of its own, in the order of the forward pass. Where
    /// several layers share them, they count as the last one's.
    pub fn declare(builder: &mut Builder, names: &LayerNames, config: &EncoderConfig, own: usize) -> Self {
        let shares = |index: &usize| config.own_layer(*index) == own;
        let index = (0..config.num_hidden_layers).rev().find(shares).expect("a layer has these weights");
        let (hidden, variant, size) = (config.hidden_size, &config.variant, config.layer_size(index));
        let (attended, inner) = (size.num_attention_heads * config.head_size(), size.intermediate_size);
        let group = ParamGroup::Layer(index);
        let full = |name: &str| format!("~{}", names.of(own, config, name));
        let attention = |builder: &mut Builder, name: &str, shape: [usize; 2]| {
            builder.linear(&full(name), shape, group, variant.attention_bias)
        };
        let norm = |builder: &mut Builder, name: &str| builder.norm(&full(name), hidden, config, group);
        let before = (variant.pre_norm && index > 0).then(|| norm(builder, names.attention_norm));
        let query_key_value = match &names.query_key_value {
            QueryKeyValueNames::Apart(each) => {
                QueryKeyValueIds::Apart(each.map(|name| attention(builder, name, [attended, hidden])))
            }
            QueryKeyValueNames::Joined(name) => {
                QueryKeyValueIds::Joined(attention(builder, name, [3 * attended, hidden]))
            }
        };
        let attention_output = attention(builder, names.attention_output, [hidden, attended]);
        let after = (!variant.pre_norm).then(|| norm(builder, names.attention_norm));
        let output_norm_first = variant.pre_norm.then(|| norm(builder, names.output_norm));
        let wide = if variant.gated { 2 * inner } else { inner };
        Self {
            index,
            group: index,
            gated: variant.gated,
            pre_norm: variant.pre_norm,
            query_key_value,
            attention_output,
            attention_norm: before.or(after),
            intermediate: builder.linear(&full(names.intermediate), [wide, hidden], group, variant.mlp_bias),
            output: builder.linear(&full(names.output), [hidden, inner], group, variant.mlp_bias),
            output_norm: output_norm_first.unwrap_or_else(|| norm(builder, names.output_norm)),
        }
    }

    /// The same weights at another place.
    pub fn at(&self, index: usize) -> Self {
        Self { index, ..self.clone() }
    }

    /// The maps onto key and value, where they stand apart.
    pub fn key_and_value(&self) -> Option<[LinearIds; 2]> {
        match self.query_key_value {
            QueryKeyValueIds::Apart([_, key, value]) => Some([key, value]),
            QueryKeyValueIds::Joined(_) => None,
        }
    }

    /// Its parameters.
    pub fn ids(&self) -> LayerIds {
        LayerIds {
            index: self.index,
            query_key_value: match self.query_key_value {
                QueryKeyValueIds::Apart(maps) => maps.to_vec(),
                QueryKeyValueIds::Joined(map) => vec![map],
            },
            attention_output: self.attention_output,
            attention_norm: self.attention_norm,
            intermediate: self.intermediate,
            output: self.output,
            output_norm: self.output_norm,
        }
    }

    /// The weights of its maps, with the number of the input each multiplies: that of query, key and value, the context,
    /// that of the feed-forward part, its activations.
    pub fn inputs(&self) -> Vec<(ParamId, usize)> {
        let ids = self.ids();
        let first = ids.query_key_value.iter().map(|map| (map.weight, 0));
        let rest = [(ids.attention_output.weight, 1), (ids.intermediate.weight, 2), (ids.output.weight, 3)];
        first.chain(rest).collect()
    }

    /// The weights of the maps behind the heads and behind the units.
    pub fn maps_behind(&self) -> [ParamId; 2] {
        [self.attention_output.weight, self.output.weight]
    }

    /// Query, key and value of an input, which the norm before the attention goes over where there is one.
    /// `(tokens, hidden)` to `(tokens, heads · size)` each
    pub fn query_key_value(&self, x: Tensor<2>, params: View<'_>) -> [Tensor<2>; 3] {
        let x = match self.attention_norm.filter(|_| self.pre_norm) {
            Some(norm) => layer_norm(x, params.norm(norm)),
            None => x,
        };
        match self.query_key_value {
            QueryKeyValueIds::Apart(maps) => maps.map(|map| linear(x.clone(), params.linear(map))),
            QueryKeyValueIds::Joined(map) => linear(x, params.linear(map)).chunk(3, 1).try_into().expect("three parts"),
        }
    }

    /// What each token attends to, sequence by sequence. `(tokens, hidden)` to `(heads, length, length)` each
    pub fn attention(
        &self,
        x: Tensor<2>,
        params: View<'_>,
        batch: &PackedBatch,
        config: &EncoderConfig,
    ) -> Vec<Tensor<3>> {
        let [query, key, _] = self.query_key_value(x, params);
        attention_probabilities(query, key, batch, self.attention_settings(config))
    }

    fn attention_settings(&self, config: &EncoderConfig) -> AttentionSettings {
        AttentionSettings {
            heads: config.layer_size(self.index).num_attention_heads,
            attention_dropout: config.attention_probs_dropout_prob,
            hidden_dropout: config.hidden_dropout_prob,
            rotary: config.variant.rope_theta(self.index),
            window: config.variant.window(self.index),
        }
    }

    /// Its parameters, with what their rows and columns are.
    pub fn sides(&self) -> Vec<(ParamId, [Side; 2])> {
        let mut sides = Vec::new();
        match self.query_key_value {
            QueryKeyValueIds::Apart(maps) => {
                maps.into_iter().for_each(|map| sides.extend(of_map(map, [Side::Heads(1), Side::Width])));
            }
            QueryKeyValueIds::Joined(map) => sides.extend(of_map(map, [Side::Heads(3), Side::Width])),
        }
        sides.extend(of_map(self.attention_output, [Side::Width, Side::Heads(1)]));
        sides.extend(of_map(self.intermediate, [Side::Units(if self.gated { 2 } else { 1 }), Side::Width]));
        sides.extend(of_map(self.output, [Side::Width, Side::Units(1)]));
        for norm in self.attention_norm.into_iter().chain([self.output_norm]) {
            sides.extend(of_norm(norm, Side::Width));
        }
        sides
    }

    /// What writes into the hidden states: norms behind the sums, or maps into a sum that no norm goes over.
    pub fn writers(&self) -> Vec<ParamId> {
        if self.pre_norm {
            return [self.attention_output, self.output].into_iter().flat_map(LinearIds::both).collect();
        }
        self.attention_norm.into_iter().chain([self.output_norm]).flat_map(NormIds::both).collect()
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
            attention: self.attention_settings(config),
            feed_forward: FeedForwardSettings {
                activation: config.hidden_act,
                gated: config.variant.gated,
                dropout: config.hidden_dropout_prob,
            },
            pre_norm: config.variant.pre_norm,
        };
        let checkpoint = params.gradient_checkpointing();
        let call = LayerCall { asked, cache: params.layer_cache(self.group), checkpoint, bf16: params.bf16() };
        encoder_layer(x, weights, batch, settings, mode, call)
    }
}
