//! One encoder layer: the attention block, then the feed-forward block.

use super::{
    Activation, AttentionSettings, AttentionWeights, FeedForwardSettings, FeedForwardWeights, attention_block,
    feed_forward_block,
};
use crate::fused::{self, AskedRows, LayerPlan};
use crate::packed::row_tensor;
use crate::{Mode, PackedBatch};
use burn::tensor::Tensor;
use polyseme_kernels::layer::{LayerDropout, LayerShape, Prepared, count};
use std::sync::{Arc, OnceLock};

/// Weights of a layer.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct LayerWeights {
    pub attention: AttentionWeights,
    pub feed_forward: FeedForwardWeights,
}

/// What is not a weight.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct LayerSettings {
    pub attention: AttentionSettings,
    pub feed_forward: FeedForwardSettings,
}

/// A layer's matrices as the kernel multiplies by them, kept from call to call. It belongs to one
/// state of the weights: whoever changes them takes a new one.
#[derive(Clone, Debug, Default)]
pub struct LayerCache(Arc<OnceLock<Prepared>>);

/// What a call of [`encoder_layer`] may save.
#[derive(Clone, Copy, Debug, Default)]
pub struct LayerCall<'a> {
    /// Rows whose output is asked for, ascending; all if `None`. Much of the layer is then computed
    /// for these only.
    pub asked: Option<&'a [usize]>,
    /// Where the prepared matrices are kept.
    pub cache: Option<&'a LayerCache>,
}

/// The layer, by our kernels on the CPU and by [`encoder_layer_plain`] elsewhere.
///
/// # Shapes
/// - x: `(tokens, width)`
/// - output: `(tokens, width)`, or `(asked, width)`
pub fn encoder_layer(
    x: Tensor<2>,
    weights: LayerWeights,
    batch: &PackedBatch,
    settings: LayerSettings,
    mode: Mode,
    call: LayerCall<'_>,
) -> Tensor<2> {
    match plan(&x, &weights, batch, settings, mode, call) {
        Some(plan) => {
            let LayerWeights { attention: a, feed_forward: f } = weights;
            let maps = [a.query, a.key, a.value, a.output, f.intermediate, f.output].map(|l| (l.weight, l.bias));
            let norms = [a.norm, f.norm].map(|n| (n.weight, n.bias));
            fused::encoder_layer(x, maps, norms, plan)
        }
        None => encoder_layer_plain(x, weights, batch, settings, mode, call),
    }
}

/// The plain twin of [`encoder_layer`].
pub fn encoder_layer_plain(
    x: Tensor<2>,
    weights: LayerWeights,
    batch: &PackedBatch,
    settings: LayerSettings,
    mode: Mode,
    call: LayerCall<'_>,
) -> Tensor<2> {
    let x = attention_block(x, weights.attention, batch, settings.attention, mode);
    let x = feed_forward_block(x, weights.feed_forward, settings.feed_forward, mode);
    match call.asked {
        Some(rows) => {
            let rows = row_tensor(rows, &x.device());
            x.select(0, rows)
        }
        None => x,
    }
}

/// How the kernel is to run, if it can: on the CPU, with one epsilon and an activation it has.
fn plan(
    x: &Tensor<2>,
    weights: &LayerWeights,
    batch: &PackedBatch,
    settings: LayerSettings,
    mode: Mode,
    call: LayerCall<'_>,
) -> Option<LayerPlan> {
    let (attention, feed_forward) = (settings.attention, settings.feed_forward);
    let epsilon = weights.attention.norm.epsilon;
    if !fused::on_cpu(&x.device()) || epsilon != weights.feed_forward.norm.epsilon {
        return None;
    }
    let shape = LayerShape {
        hidden: x.dims()[1],
        heads: attention.heads,
        inner: weights.feed_forward.intermediate.bias.dims()[0],
        eps: epsilon as f32,
        activation: match feed_forward.activation {
            Activation::Gelu => polyseme_kernels::Activation::Gelu,
            Activation::GeluTanh => polyseme_kernels::Activation::GeluTanh,
            Activation::Relu => polyseme_kernels::Activation::Relu,
            Activation::Silu => polyseme_kernels::Activation::Silu,
            Activation::Tanh => return None,
        },
    };
    let dropout = LayerDropout {
        probabilities: mode.named("attention").dropout(attention.attention_dropout),
        attention: mode.named("attention_output").dropout(attention.hidden_dropout),
        output: mode.named("feed_forward").dropout(feed_forward.dropout),
    };
    let asked = call.asked.map(|rows| AskedRows { rows: rows.into(), counts: count(&batch.starts, rows).into() });
    let cache = call.cache.map(|cache| cache.0.clone());
    Some(LayerPlan { shape, starts: batch.starts.as_slice().into(), asked, dropout, cache })
}
