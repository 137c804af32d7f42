//! What a head looks at, and what it says.

use crate::ClassifierPooling;
use crate::model::Model;
use crate::params::{ParamGroup, ParamInfo, View, kaiming};
use polyseme_tensor::packed::row_tensor;
use polyseme_tensor::{Mode, PackedBatch, Stream, Tensor};

/// What the name of a map to a teacher's width begins with.
pub(crate) const PROJECTION: &str = "distil.projection.";

impl Model {
    /// What a head over whole sequences looks at, in the caller's order: the first token's last hidden state, or
    /// the mean of all; of all layers side by side where it mixes them. `(sequences, state_width)`
    pub fn sequence_states(&self, batch: &PackedBatch, mode: Mode) -> Tensor<2> {
        match self.config.variant.classifier_pooling {
            ClassifierPooling::Cls => {
                let first_tokens: Vec<usize> = (0..batch.sequences()).map(|i| batch.row(i, 0)).collect();
                self.token_states(batch, &first_tokens, mode)
            }
            ClassifierPooling::Mean if self.mixes_layers() => {
                let mut means = Vec::new();
                self.hidden_layers_in(batch, mode, |_, state| means.push(batch.means(state.clone())));
                Tensor::cat(means, 1)
            }
            ClassifierPooling::Mean => batch.means(self.hidden(batch, mode)),
        }
    }

    /// Width of the states that a head looks at: that of a layer, or of all of them side by side.
    pub fn state_width(&self) -> usize {
        let states = if self.mixes_layers() { self.config.num_hidden_layers + 1 } else { 1 };
        states * self.config.hidden_size
    }

    /// What a head makes of states before all else: their mix, if it mixes layers. `(rows, state_width)` to
    /// `(rows, hidden)`
    pub fn head_inputs(&self, states: Tensor<2>, mode: Mode) -> Tensor<2> {
        match &self.parts.mix {
            Some(mix) => mix.forward(states, self.params.view(mode)),
            None => states,
        }
    }

    /// Last hidden states of some rows (packed row numbers), or of all layers side by side where the head mixes
    /// them. The last layer is computed for these rows only. `(rows, state_width)`
    pub fn token_states(&self, batch: &PackedBatch, rows: &[usize], mode: Mode) -> Tensor<2> {
        self.rows(batch, rows, mode).0
    }

    /// What the head of a task says of states `(rows, state_width)`: logits of labels, a number, how well a
    /// choice fits, logits of the beginning and the end of an answer. `(rows, outputs)` Panics without such a
    /// head.
    pub fn head_outputs(&self, states: Tensor<2>, mode: Mode) -> Tensor<2> {
        self.task_head().logits(self.head_inputs(states, mode), self.params.view(mode), mode)
    }

    /// What a head over whole sequences says of each, in the caller's order. `(sequences, outputs)` Panics
    /// without a task's head.
    pub fn sequence_outputs(&self, batch: &PackedBatch, mode: Mode) -> Tensor<2> {
        self.head_outputs(self.sequence_states(batch, mode), mode)
    }

    /// What a head over tokens says of some rows (packed row numbers). `(rows, outputs)` Panics without a task's
    /// head.
    pub fn token_outputs(&self, batch: &PackedBatch, rows: &[usize], mode: Mode) -> Tensor<2> {
        self.head_outputs(self.token_states(batch, rows, mode), mode)
    }

    /// What each token attends to in some layers (from 0, ascending), by head: for each layer, for each sequence in the
    /// caller's order `(heads, length, length)`, of which rows sum to one; before a sequence's tokens stand the virtual
    /// ones of a prefix, if there is one. All layers run as ever; only for those asked for are probabilities kept. Panics
    /// on a layer that is not there.
    pub fn attention(&self, batch: &PackedBatch, layers: &[usize]) -> Vec<Vec<Tensor<3>>> {
        let params = self.params.view(Mode::Eval);
        let mut found = Vec::with_capacity(layers.len());
        self.hidden_layers_in(batch, Mode::Eval, |index, state| {
            if layers.contains(&index) {
                found.push(self.parts.encoder.attention(index, state.clone(), params, batch, &self.config));
            }
        });
        assert_eq!(found.len(), layers.len(), "layers of the model");
        found
    }

    /// Query, key and value that a layer (from 0) makes of its input. Positions do not turn them.
    /// `(tokens, hidden)` to `(tokens, heads · size)` each
    pub fn query_key_value(&self, layer: usize, input: Tensor<2>, mode: Mode) -> [Tensor<2>; 3] {
        self.parts.encoder.layers()[layer].query_key_value(input, self.params.view(mode))
    }

    /// Hidden states as wide as a teacher's: as they are, or through the map that was added. `(tokens, hidden)` to
    /// `(tokens, teacher's hidden)`
    pub fn projected(&self, states: Tensor<2>, mode: Mode) -> Tensor<2> {
        match self.projection {
            Some(id) => states.matmul(self.params.view(mode).matrix(id).transpose()),
            None => states,
        }
    }

    /// Adds a map of hidden states to those of a teacher of another width. It learns with the head, and is no part of
    /// what is saved.
    pub fn add_projection(&mut self, width: usize, stream: Stream) {
        let input = self.config.hidden_size;
        let name = format!("{PROJECTION}weight");
        let values = kaiming(stream.named(&name), width * input, input);
        let (shape, group) = (vec![width, input], ParamGroup::Head);
        let info = ParamInfo { name, shape, group, decay: true, trainable: true };
        self.projection = Some(self.params.add(info, values));
    }

    /// Some rows of the last hidden state, in any order and as often as they are named, and the parameters
    /// for what follows. The last layer is computed for them only. `(rows, hidden)`
    pub(crate) fn rows(&self, batch: &PackedBatch, rows: &[usize], mode: Mode) -> (Tensor<2>, View<'_>) {
        let mut asked = rows.to_vec();
        asked.sort_unstable();
        asked.dedup();
        let params = self.params.view(mode);
        let (mut below, layers) = (Vec::new(), self.config.num_hidden_layers);
        let see = |state: &Tensor<2>| {
            if self.mixes_layers() && below.len() < layers {
                below.push(state.clone().select(0, row_tensor(&asked, &state.device())));
            }
        };
        // (asked, hidden)
        let mut hidden = self.parts.encoder.forward(params, batch, &self.config, mode, Some(&asked), see);
        if !below.is_empty() {
            below.push(hidden);
            hidden = Tensor::cat(below, 1);
        }
        let places: Vec<usize> = rows.iter().map(|row| asked.binary_search(row).expect("asked for")).collect();
        let places = row_tensor(&places, &hidden.device());
        (hidden.select(0, places), params)
    }
}
