//! Embeddings of tokens, positions and segments, their norm and dropout.

use super::{Norm, dropout, layer_norm};
use crate::{Mode, PackedBatch};
use burn::tensor::Tensor;

/// Tables of embeddings and their norm.
#[derive(Clone, Debug)]
pub struct EmbeddingWeights {
    /// `(vocabulary, width)`
    pub word: Tensor<2>,
    /// `(positions, width)`; none where layers turn by positions instead.
    pub position: Option<Tensor<2>>,
    /// `(segments, width)`; none in DistilBERT.
    pub token_type: Option<Tensor<2>>,
    /// Over `width`.
    pub norm: Norm,
}

/// What is not a weight.
#[derive(Clone, Copy, Debug)]
pub struct EmbeddingSettings {
    /// Row of the position table that belongs to position 0.
    pub position_offset: usize,
    /// Rate of dropout after the norm.
    pub dropout: f64,
}

/// Looks up and adds the embeddings of each token, then norm and dropout.
///
/// # Shapes
/// - output: `(tokens, width)`
pub fn embed_norm(
    batch: &PackedBatch,
    weights: EmbeddingWeights,
    settings: EmbeddingSettings,
    mode: Mode,
) -> Tensor<2> {
    // (tokens, width)
    let mut sum = weights.word.select(0, batch.ids.clone());
    if let Some(table) = weights.token_type {
        sum = sum + table.select(0, batch.type_ids.clone());
    }
    if let Some(table) = weights.position {
        let positions = match settings.position_offset {
            0 => batch.positions.clone(),
            offset => batch.positions.clone() + offset as i64,
        };
        sum = sum + table.select(0, positions);
    }
    dropout(layer_norm(sum, weights.norm), settings.dropout, mode.named("embeddings"))
}
