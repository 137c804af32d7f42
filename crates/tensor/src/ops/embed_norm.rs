//! Embeddings of tokens, positions and segments, their norm and dropout.

use super::{Norm, dropout, layer_norm};
use crate::fused::{self, EmbedPlan};
use crate::packed::int_tensor;
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

/// Looks up and adds the embeddings of each token, then norm and dropout: by our kernel on the CPU and by
/// [`embed_norm_plain`] elsewhere.
///
/// # Shapes
/// - output: `(tokens, width)`
pub fn embed_norm(
    batch: &PackedBatch,
    weights: EmbeddingWeights,
    settings: EmbeddingSettings,
    mode: Mode,
) -> Tensor<2> {
    if !fused::on_cpu(&weights.word.device()) {
        return embed_norm_plain(batch, weights, settings, mode);
    }
    let EmbeddingWeights { word, position, token_type, norm } = weights;
    let plan = EmbedPlan {
        rows: [&batch.ids, &batch.positions, &batch.type_ids].map(Clone::clone),
        position_offset: settings.position_offset,
        epsilon: norm.epsilon as f32,
        dropout: mode.named("embeddings").dropout(settings.dropout),
    };
    fused::embed_norm(word, position, token_type, norm.weight, norm.bias, plan)
}

/// The plain twin of [`embed_norm`].
pub fn embed_norm_plain(
    batch: &PackedBatch,
    weights: EmbeddingWeights,
    settings: EmbeddingSettings,
    mode: Mode,
) -> Tensor<2> {
    let device = weights.word.device();
    let rows = |rows: &[u32]| int_tensor(rows, &device);
    // (tokens, width)
    let mut sum = weights.word.select(0, rows(&batch.ids));
    if let Some(table) = weights.position {
        sum = sum + table.select(0, rows(&batch.positions) + settings.position_offset as i64);
    }
    if let Some(table) = weights.token_type {
        sum = sum + table.select(0, rows(&batch.type_ids));
    }
    dropout(layer_norm(sum, weights.norm), settings.dropout, mode.named("embeddings"))
}
