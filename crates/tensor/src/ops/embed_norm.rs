//! Embeddings of tokens, positions and segments, their norm and dropout.

use super::{Matrix, Norm, dropout, layer_norm};
use crate::fused::{self, EmbedPlan};
use crate::packed::int_tensor;
use crate::{Mode, PackedBatch};
use burn::tensor::Tensor;

/// Tables of embeddings and their norm.
#[derive(Clone, Debug)]
pub struct EmbeddingWeights {
    /// `(vocabulary, width)`
    pub word: Matrix,
    /// `(positions, width)`; none where layers turn by positions instead.
    pub position: Option<Matrix>,
    /// `(segments, width)`; none in DistilBERT.
    pub token_type: Option<Matrix>,
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
    if !fused::on_cpu(&weights.norm.weight.device()) {
        return embed_norm_plain(batch, weights, settings, mode);
    }
    let EmbeddingWeights { word, position, token_type, norm } = weights;
    let mut few = [None, None, None];
    let mut tables = [Some(word), position, token_type].into_iter().zip(&mut few).map(|(table, few)| {
        let (whole, in_few) = table?.parts();
        *few = in_few;
        whole
    });
    let tables = std::array::from_fn(|_| tables.next().expect("three tables"));
    let plan = EmbedPlan {
        rows: [&batch.ids, &batch.positions, &batch.type_ids].map(Clone::clone),
        position_offset: settings.position_offset,
        epsilon: norm.epsilon as f32,
        dropout: mode.named("embeddings").dropout(settings.dropout),
        few,
    };
    fused::embed_norm(tables, norm.weight, norm.bias, plan)
}

/// The plain twin of [`embed_norm`].
pub fn embed_norm_plain(
    batch: &PackedBatch,
    weights: EmbeddingWeights,
    settings: EmbeddingSettings,
    mode: Mode,
) -> Tensor<2> {
    let device = weights.norm.weight.device();
    let rows = |rows: &[u32]| int_tensor(rows, &device);
    // (tokens, width)
    let mut sum = weights.word.whole(&device).select(0, rows(&batch.ids));
    if let Some(table) = weights.position {
        sum = sum + table.whole(&device).select(0, rows(&batch.positions) + settings.position_offset as i64);
    }
    if let Some(table) = weights.token_type {
        sum = sum + table.whole(&device).select(0, rows(&batch.type_ids));
    }
    dropout(layer_norm(sum, weights.norm), settings.dropout, mode.named("embeddings"))
}
