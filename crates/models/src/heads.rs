//! Heads: masked language modelling, and one for all tasks.

use crate::EncoderConfig;
use crate::families::{MaskedLmForm, TaskForm};
use crate::layers::{Side, of_map, of_norm};
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

    /// Its parts: dense layer, activation, norm, decoder.
    pub fn ids(&self) -> (LinearIds, Activation, NormIds, LinearIds) {
        (self.dense, self.activation, self.norm, self.decoder)
    }

    /// Numbers of the decoder's weight and bias.
    pub fn over_vocabulary(&self) -> [ParamId; 2] {
        [self.decoder.weight, self.output_bias]
    }

    /// Its parameters, with what their rows and columns are; `narrow` is what the embeddings' width is.
    pub fn sides(&self, narrow: Side) -> Vec<(ParamId, [Side; 2])> {
        let dense = of_map(self.dense, [narrow, Side::Width]).chain(of_norm(self.norm, narrow));
        dense.chain([(self.decoder.weight, [Side::All, narrow])]).collect()
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
        masked_lm_loss(self.transform(x, params), self.decoder(params), labels, params.bf16())
    }
}

/// A head of a task: perhaps a dense layer with activation and norm, then a linear map.
pub(crate) struct TaskHead {
    dense: Option<LinearIds>,
    activation: Activation,
    norm: Option<NormIds>,
    dropout_before: bool,
    /// Rate of dropout.
    dropout: f64,
    output: LinearIds,
}

impl TaskHead {
    /// `dropout` is the rate before the last map.
    pub fn declare(
        builder: &mut Builder,
        form: &TaskForm,
        config: &EncoderConfig,
        outputs: usize,
        dropout: f64,
    ) -> Self {
        let hidden = config.hidden_size;
        let dense = form
            .dense
            .map(|name| builder.linear(name, [hidden, hidden], ParamGroup::Head, config.variant.classifier_bias));
        Self {
            dense,
            activation: form.activation,
            norm: form.norm.map(|name| builder.norm(name, hidden, config, ParamGroup::Head)),
            dropout_before: form.dropout_before,
            dropout,
            output: builder.linear(form.output, [outputs, hidden], ParamGroup::Head, true),
        }
    }

    /// Its parameters, with what their rows and columns are.
    pub fn sides(&self) -> Vec<(ParamId, [Side; 2])> {
        let mut sides: Vec<(ParamId, [Side; 2])> = of_map(self.output, [Side::All, Side::Width]).collect();
        sides.extend(self.dense.into_iter().flat_map(|map| of_map(map, [Side::Width; 2])));
        sides.extend(self.norm.into_iter().flat_map(|norm| of_norm(norm, Side::Width)));
        sides
    }

    /// Numbers of the last map.
    pub fn output(&self) -> LinearIds {
        self.output
    }

    /// What stands before the last map: a dense layer with an activation, and a norm.
    pub fn before_output(&self) -> (Option<LinearIds>, Activation, Option<NormIds>) {
        (self.dense, self.activation, self.norm)
    }

    /// Rate of dropout before the last map.
    pub fn dropout(&self) -> f64 {
        self.dropout
    }

    /// Drops nothing.
    pub fn without_dropout(&mut self) {
        self.dropout = 0.0;
    }

    /// The dense layer and what follows it, if there is one and no norm follows that.
    pub fn plain(&self) -> Option<(LinearIds, Activation)> {
        self.dense.filter(|_| self.norm.is_none()).map(|dense| (dense, self.activation))
    }

    /// Hidden states `(rows, hidden)` to `(rows, outputs)`.
    pub fn logits(&self, mut x: Tensor<2>, params: View<'_>, mode: Mode) -> Tensor<2> {
        let mode = mode.named("classifier");
        if self.dropout_before {
            x = dropout(x, self.dropout, mode.named("before"));
        }
        if let Some(dense) = self.dense {
            x = activate(linear(x, params.linear(dense)), self.activation);
        }
        if let Some(norm) = self.norm {
            x = layer_norm(x, params.norm(norm));
        }
        linear(dropout(x, self.dropout, mode), params.linear(self.output))
    }
}
