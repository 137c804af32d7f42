//! Heads: masked language modelling, sequence classification, and BERT's pooler.

use crate::EncoderConfig;
use crate::families::{ClassifierForm, MaskedLmForm};
use crate::params::{Builder, LinearIds, NormIds, ParamGroup, ParamId, View};
use polyseme_tensor::ops::{Activation, Linear, activate, dropout, layer_norm, linear, masked_lm_loss};
use polyseme_tensor::{Mode, Tensor};

/// Transformation and projection onto the vocabulary.
pub(crate) struct MaskedLmHead {
    dense: LinearIds,
    activation: Activation,
    norm: NormIds,
    decoder: LinearIds,
    output_bias: ParamId,
}

impl MaskedLmHead {
    /// Declares the head; `word` is the table a tied decoder uses.
    pub fn declare(builder: &mut Builder, form: &MaskedLmForm, config: &EncoderConfig, word: ParamId) -> Self {
        let (hidden, width) = (config.hidden_size, config.embedding_size);
        let dense = builder.linear(form.dense, [width, hidden], ParamGroup::Head, config.variant.classifier_bias);
        let norm = builder.norm(form.norm, width, config, ParamGroup::Head);
        let output_bias;
        let decoder = if config.tie_word_embeddings {
            output_bias = builder.bias(form.bias, config.vocab_size, ParamGroup::Head);
            LinearIds { weight: word, bias: Some(output_bias) }
        } else {
            // The reference then uses the decoder's own bias, and writes the other one too.
            let weight = format!("{}.weight", form.decoder);
            let bias = format!("{}.bias", form.decoder);
            let weight = builder.matrix(&weight, [config.vocab_size, width], ParamGroup::Head);
            output_bias = builder.bias(&bias, config.vocab_size, ParamGroup::Head);
            if bias != form.bias {
                builder.also(output_bias, form.bias);
            }
            LinearIds { weight, bias: Some(output_bias) }
        };
        Self { dense, activation: form.activation.unwrap_or(config.hidden_act), norm, decoder, output_bias }
    }

    /// `(rows, hidden)` to `(rows, embedding)`
    fn transform(&self, x: Tensor<2>, params: View<'_>) -> Tensor<2> {
        let x = activate(linear(x, params.linear(self.dense)), self.activation);
        layer_norm(x, params.norm(self.norm))
    }

    /// Number of the decoder's bias.
    pub fn output_bias(&self) -> ParamId {
        self.output_bias
    }

    fn decoder(&self, params: View<'_>) -> Linear {
        params.linear(self.decoder)
    }

    /// `(rows, hidden)` to `(rows, vocabulary)`
    pub fn logits(&self, x: Tensor<2>, params: View<'_>) -> Tensor<2> {
        linear(self.transform(x, params), self.decoder(params))
    }

    /// Mean cross-entropy and number right over rows. x: `(rows, hidden)`, labels: `(rows)`
    pub fn loss(&self, x: Tensor<2>, params: View<'_>, labels: &[u32]) -> (Tensor<1>, Tensor<1>) {
        masked_lm_loss(self.transform(x, params), self.decoder(params), labels)
    }
}

/// A dense layer with activation, then a linear map onto the classes.
pub(crate) struct ClassifierHead {
    dense: LinearIds,
    activation: Activation,
    norm: Option<NormIds>,
    dropout_before: bool,
    output: LinearIds,
}

impl ClassifierHead {
    pub fn declare(builder: &mut Builder, form: &ClassifierForm, config: &EncoderConfig, labels: usize) -> Self {
        let hidden = config.hidden_size;
        Self {
            dense: builder.linear(form.dense, [hidden, hidden], ParamGroup::Head, config.variant.classifier_bias),
            activation: form.activation,
            norm: form.norm.map(|name| builder.norm(name, hidden, config, ParamGroup::Head)),
            dropout_before: form.dropout_before,
            output: builder.linear(form.output, [labels, hidden], ParamGroup::Head, true),
        }
    }

    /// Numbers of the map onto the classes.
    pub fn output(&self) -> LinearIds {
        self.output
    }

    /// What follows the dense layer, if a norm does not follow that.
    pub fn activation(&self) -> Option<Activation> {
        self.norm.is_none().then_some(self.activation)
    }

    /// Numbers of the dense layer.
    pub fn dense(&self) -> LinearIds {
        self.dense
    }

    /// First tokens or means `(sequences, hidden)` to `(sequences, labels)`.
    pub fn logits(&self, x: Tensor<2>, params: View<'_>, rate: f64, mode: Mode) -> Tensor<2> {
        let mode = mode.named("classifier");
        let x = if self.dropout_before { dropout(x, rate, mode.named("before")) } else { x };
        let mut x = activate(linear(x, params.linear(self.dense)), self.activation);
        if let Some(norm) = self.norm {
            x = layer_norm(x, params.norm(norm));
        }
        linear(dropout(x, rate, mode), params.linear(self.output))
    }
}
