//! What an encoder is, in the field's words.

use crate::{Error, Result};
pub use polyseme_tensor::ops::Activation;
use serde::{Deserialize, Serialize};

/// Layers beyond which a configuration is taken for damaged.
const MAX_LAYERS: usize = 4096;
/// Parameters beyond which a configuration is taken for damaged (256 GiB of f32).
const MAX_PARAMETERS: usize = 1 << 36;

/// The shape of an encoder. Field names as in Hugging Face's `BertConfig`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct EncoderConfig {
    pub vocab_size: usize,
    pub hidden_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub intermediate_size: usize,
    pub hidden_act: Activation,
    pub max_position_embeddings: usize,
    /// Rows of the position table before position 0 (RoBERTa: pad + 1).
    pub position_offset: usize,
    /// 0: no segment embeddings (DistilBERT).
    pub type_vocab_size: usize,
    /// Width of the embeddings; other than `hidden_size` in ELECTRA, with a projection.
    pub embedding_size: usize,
    pub layer_norm_eps: f64,
    pub hidden_dropout_prob: f64,
    pub attention_probs_dropout_prob: f64,
    /// Dropout before the classifier.
    pub classifier_dropout: f64,
    pub initializer_range: f64,
    pub pad_token_id: u32,
    pub tie_word_embeddings: bool,
    /// In what its layers differ from BERT's.
    #[serde(default)]
    pub variant: Variant,
    /// What each layer has left where heads or units were cut out of some; empty: all are alike.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layer_sizes: Vec<LayerSize>,
    /// Which layers have the same weights.
    #[serde(default, skip_serializing_if = "Sharing::is_none")]
    pub sharing: Sharing,
}

/// Which layers share their weights (ALBERT). Names as in Hugging Face's `AlbertConfig`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Sharing {
    /// Layers go by groups, one group after the other; 0: each layer has its own weights.
    pub num_hidden_groups: usize,
    /// Layers of a group with weights of their own, which are gone through in turn.
    pub inner_group_num: usize,
}

impl Default for Sharing {
    fn default() -> Self {
        Self { num_hidden_groups: 0, inner_group_num: 1 }
    }
}

impl Sharing {
    /// Whether each layer has its own weights.
    pub fn is_none(&self) -> bool {
        self.num_hidden_groups == 0
    }
}

/// What a layer has left of its heads and units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct LayerSize {
    pub num_attention_heads: usize,
    pub intermediate_size: usize,
}

/// In what an encoder's layers differ from BERT's; the default is BERT. Names as in Hugging Face's
/// `ModernBertConfig` where it has them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Variant {
    /// Norms before the halves of a layer and after the last layer, instead of after the halves. The
    /// first layer has no norm before its attention: that of the embeddings stands there.
    pub pre_norm: bool,
    /// A gate in the feed-forward half: its first map is twice as wide.
    pub gated: bool,
    /// Base of rotary positions in layers that attend to the whole sequence; 0: positions are learned,
    /// in a table.
    pub global_rope_theta: f64,
    /// The same in layers that attend to a window.
    pub local_rope_theta: f64,
    /// Tokens of a window, half of them on either side; 0: there are no windows.
    pub local_attention: usize,
    /// Every so many layers, from the first, one attends to the whole sequence.
    pub global_attn_every_n_layers: usize,
    pub attention_bias: bool,
    pub mlp_bias: bool,
    pub norm_bias: bool,
    /// Bias of the heads' dense layer.
    pub classifier_bias: bool,
    /// What a classifier looks at.
    pub classifier_pooling: ClassifierPooling,
}

impl Default for Variant {
    fn default() -> Self {
        Self {
            pre_norm: false,
            gated: false,
            global_rope_theta: 0.0,
            local_rope_theta: 0.0,
            local_attention: 0,
            global_attn_every_n_layers: 1,
            attention_bias: true,
            mlp_bias: true,
            norm_bias: true,
            classifier_bias: true,
            classifier_pooling: ClassifierPooling::Cls,
        }
    }
}

/// What of a sequence a classifier looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClassifierPooling {
    /// The first token.
    Cls,
    /// The mean of all tokens.
    Mean,
}

impl Variant {
    /// Whether positions are rotary.
    pub fn is_rotary(&self) -> bool {
        self.global_rope_theta > 0.0
    }

    /// Neighbours on either side that tokens of a layer attend to; all if `None`.
    pub fn window(&self, layer: usize) -> Option<usize> {
        let local = self.local_attention > 0 && !layer.is_multiple_of(self.global_attn_every_n_layers);
        local.then_some(self.local_attention / 2)
    }

    /// Base of the rotary positions of a layer.
    pub fn rope_theta(&self, layer: usize) -> Option<f64> {
        let theta = if self.window(layer).is_some() { self.local_rope_theta } else { self.global_rope_theta };
        self.is_rotary().then_some(theta)
    }
}

impl EncoderConfig {
    /// Heads and inner width of a layer.
    pub fn layer_size(&self, layer: usize) -> LayerSize {
        let whole =
            LayerSize { num_attention_heads: self.num_attention_heads, intermediate_size: self.intermediate_size };
        self.layer_sizes.get(layer).copied().unwrap_or(whole)
    }

    /// Number of layers with weights of their own.
    pub fn own_layers(&self) -> usize {
        let sharing = &self.sharing;
        if sharing.is_none() { self.num_hidden_layers } else { sharing.num_hidden_groups * sharing.inner_group_num }
    }

    /// Which of those a layer's weights are.
    pub fn own_layer(&self, layer: usize) -> usize {
        let (groups, inner) = (self.sharing.num_hidden_groups, self.sharing.inner_group_num);
        if self.sharing.is_none() {
            return layer;
        }
        // As the reference reckons it, roundings included, where groups are not of one size.
        let rounds = (self.num_hidden_layers / inner) as f64;
        let group = ((layer / inner) as f64 / (rounds / groups as f64)) as usize;
        group * inner + layer % inner
    }

    /// Width of a head.
    pub fn head_size(&self) -> usize {
        self.hidden_size / self.num_attention_heads
    }

    /// Longest sequence, special tokens included.
    pub fn max_length(&self) -> usize {
        self.max_position_embeddings.saturating_sub(self.position_offset)
    }

    /// Errors unless a tokenizer with this many ids fits the embeddings.
    pub fn check_vocabulary(&self, tokens: usize) -> Result<()> {
        if tokens > self.vocab_size {
            return Err(Error::VocabularyTooLarge { tokens, embeddings: self.vocab_size });
        }
        Ok(())
    }

    /// Errors on settings no encoder can have: a size of 0, heads that do not divide the width, a
    /// rate that is no probability, sizes beyond all memory.
    pub fn check(&self) -> Result<()> {
        let sizes = [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("intermediate_size", self.intermediate_size),
            ("max_position_embeddings", self.max_position_embeddings),
            ("embedding_size", self.embedding_size),
        ];
        if let Some((key, _)) = sizes.iter().find(|(_, size)| *size == 0) {
            return Err(Error::setting(key, 0, "at least 1"));
        }
        if !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            return Err(Error::HeadsDoNotDivide { heads: self.num_attention_heads, hidden: self.hidden_size });
        }
        if self.num_hidden_layers > MAX_LAYERS {
            return Err(Error::setting("num_hidden_layers", self.num_hidden_layers, format!("at most {MAX_LAYERS}")));
        }
        if self.position_offset >= self.max_position_embeddings {
            let least = format!("more than the {} rows before position 0", self.position_offset);
            return Err(Error::setting("max_position_embeddings", self.max_position_embeddings, least));
        }
        if self.pad_token_id as usize >= self.vocab_size {
            let below = format!("below the vocabulary's size, {}", self.vocab_size);
            return Err(Error::setting("pad_token_id", self.pad_token_id, below));
        }
        self.check_layer_sizes()?;
        self.check_sharing()?;
        self.check_rates()?;
        self.check_variant()?;
        match self.parameters() {
            Some(count) if count <= MAX_PARAMETERS => Ok(()),
            _ => Err(Error::TooLarge { limit: MAX_PARAMETERS }),
        }
    }

    fn check_layer_sizes(&self) -> Result<()> {
        let sizes = &self.layer_sizes;
        if !sizes.is_empty() && sizes.len() != self.num_hidden_layers {
            let expected = format!("one for each of {} layers, or none", self.num_hidden_layers);
            return Err(Error::setting("layer_sizes", format!("{} sizes", sizes.len()), expected));
        }
        for (layer, size) in sizes.iter().enumerate() {
            for (what, found, most) in [
                // Where the hidden width was cut, heads are wider than it together.
                ("num_attention_heads", size.num_attention_heads, 64 * self.num_attention_heads),
                ("intermediate_size", size.intermediate_size, self.intermediate_size),
            ] {
                if !(1..=most).contains(&found) {
                    let key = format!("{what} of layer {layer}");
                    return Err(Error::setting(&key, found, format!("from 1 to {most}")));
                }
            }
        }
        Ok(())
    }

    fn check_sharing(&self) -> Result<()> {
        let (Sharing { num_hidden_groups: groups, inner_group_num: inner }, depth) =
            (self.sharing, self.num_hidden_layers);
        if inner == 0 || self.sharing.is_none() && inner != 1 || !depth.is_multiple_of(inner) {
            let expected = format!("1, or with groups what divides the {depth} layers");
            return Err(Error::setting("inner_group_num", inner, expected));
        }
        if groups > depth / inner {
            return Err(Error::setting(
                "num_hidden_groups",
                groups,
                format!("at most {}, a layer each", depth / inner),
            ));
        }
        if !self.sharing.is_none() && !self.layer_sizes.is_empty() {
            return Err(Error::setting("layer_sizes", "given", "none where layers share their weights"));
        }
        Ok(())
    }

    fn check_rates(&self) -> Result<()> {
        let rates = [
            ("hidden_dropout_prob", self.hidden_dropout_prob),
            ("attention_probs_dropout_prob", self.attention_probs_dropout_prob),
            ("classifier_dropout", self.classifier_dropout),
        ];
        if let Some((key, rate)) = rates.iter().find(|(_, rate)| !(0.0..1.0).contains(rate)) {
            return Err(Error::setting(key, rate, "from 0 to less than 1"));
        }
        let positive = [("layer_norm_eps", self.layer_norm_eps), ("initializer_range", self.initializer_range)];
        match positive.iter().find(|(_, value)| !value.is_finite() || *value < 0.0) {
            Some((key, value)) => Err(Error::setting(key, value, "a number that is not negative")),
            None => Ok(()),
        }
    }

    fn check_variant(&self) -> Result<()> {
        let variant = &self.variant;
        if variant.global_attn_every_n_layers == 0 {
            return Err(Error::setting("variant.global_attn_every_n_layers", 0, "at least 1"));
        }
        for (key, theta) in [
            ("variant.global_rope_theta", variant.global_rope_theta),
            ("variant.local_rope_theta", variant.local_rope_theta),
        ] {
            if !theta.is_finite() || theta < 0.0 {
                return Err(Error::setting(key, theta, "a number that is not negative"));
            }
        }
        let windows = (0..self.num_hidden_layers).any(|layer| variant.window(layer).is_some());
        if variant.is_rotary() && windows && variant.local_rope_theta == 0.0 {
            return Err(Error::setting("variant.local_rope_theta", 0, "above 0, as `global_rope_theta` is"));
        }
        let size = self.hidden_size / self.num_attention_heads;
        if variant.is_rotary() && !size.is_multiple_of(2) {
            return Err(Error::setting("the width of a head", size, "even, for rotary positions"));
        }
        Ok(())
    }

    /// Numbers in the encoder's matrices; `None` beyond what a word can count.
    fn parameters(&self) -> Option<usize> {
        let rows = self.vocab_size.checked_add(self.max_position_embeddings)?.checked_add(self.type_vocab_size)?;
        let embeddings = rows.checked_mul(self.embedding_size.max(self.hidden_size))?;
        let heads = (0..self.num_hidden_layers).map(|layer| self.layer_size(layer).num_attention_heads).max()?;
        let attended = heads.checked_mul(self.head_size())?;
        let attention = self.hidden_size.checked_mul(attended)?.checked_mul(4)?;
        let maps = if self.variant.gated { 3 } else { 2 };
        let feed_forward = self.hidden_size.checked_mul(self.intermediate_size)?.checked_mul(maps)?;
        let layers = attention.checked_add(feed_forward)?.checked_mul(self.own_layers())?;
        embeddings.checked_add(layers)
    }
}
