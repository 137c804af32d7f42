//! One encoder layer: attention, then feed-forward, each with its residual and its norm.

use super::{
    Activation, AttentionSettings, AttentionWeights, FeedForwardSettings, FeedForwardWeights, Linear, Matrix, Norm,
    QueryKeyValue, attention, feed_forward, layer_norm,
};
use crate::fused::{self, AskedRows, LayerPlan};
use crate::packed::row_tensor;
use crate::{Mode, PackedBatch};
use burn::tensor::Tensor;
use polyseme_kernels::layer::{COUNT, Few, LayerDropout, LayerShape, Prepared, count};
use polyseme_kernels::product::Precision;
use polyseme_kernels::quantize::Watch;
use std::sync::{Arc, OnceLock};

/// Weights of a layer.
#[derive(Clone, Debug)]
pub struct LayerWeights {
    /// The attention's maps.
    pub attention: AttentionWeights,
    /// The norm of the attention half; a layer with norms before its halves may lack it.
    pub attention_norm: Option<Norm>,
    /// The feed-forward maps.
    pub feed_forward: FeedForwardWeights,
    /// The norm of the feed-forward half.
    pub output_norm: Norm,
}

/// What is not a weight.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct LayerSettings {
    pub attention: AttentionSettings,
    pub feed_forward: FeedForwardSettings,
    /// Whether the norms stand before the halves (Xiong et al. 2020) instead of after them.
    pub pre_norm: bool,
}

/// A layer's matrices as the kernel multiplies by them, kept from call to call. It belongs to one
/// state of the weights: whoever changes them takes a new one.
#[derive(Clone, Debug, Default)]
pub struct LayerCache {
    prepared: Arc<OnceLock<Prepared>>,
    watch: Option<Arc<Watch>>,
}

impl LayerCache {
    /// One through which what is multiplied by the matrices is watched.
    pub fn watching(watch: Arc<Watch>) -> Self {
        Self { watch: Some(watch), ..Self::default() }
    }
}

/// What a call of [`encoder_layer`] may save.
#[derive(Clone, Copy, Debug, Default)]
pub struct LayerCall<'a> {
    /// Rows whose output is asked for, ascending; all if `None`. Much of the layer is then computed
    /// for these only.
    pub asked: Option<&'a [usize]>,
    /// Where the prepared matrices are kept.
    pub cache: Option<&'a LayerCache>,
    /// Keep nothing but the input for the backward pass, and compute the layer again there (Chen et al.
    /// 2016): a third more work for a tenth of the memory. The plain twin keeps everything.
    pub checkpoint: bool,
    /// Round what is multiplied by the matrices to bfloat16 first, as [`Precision::Bf16`] does. The plain twin does not.
    pub bf16: bool,
}

/// The layer, by our kernels on the CPU and by [`encoder_layer_plain`] elsewhere.
///
/// # Shapes
/// - x: `(tokens, width)`
/// - output: `(tokens, width)`, or `(asked, width)`
///
/// Panics if a layer with norms after its halves lacks one.
pub fn encoder_layer(
    x: Tensor<2>,
    weights: LayerWeights,
    batch: &PackedBatch,
    settings: LayerSettings,
    mode: Mode,
    call: LayerCall<'_>,
) -> Tensor<2> {
    match plan(&x, &weights, batch, settings, mode, call) {
        Some(mut plan) => {
            let (matrices, few, vectors) = in_order(weights);
            plan.few = few;
            fused::encoder_layer(x, (matrices, vectors), plan)
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
    let normed = |x: Tensor<2>, norm: Option<Norm>| match norm {
        Some(norm) => layer_norm(x, norm),
        None => x,
    };
    let LayerWeights { attention: a, attention_norm, feed_forward: f, output_norm } = weights;
    let y = if settings.pre_norm {
        let x = attention(normed(x.clone(), attention_norm), a, batch, settings.attention, mode) + x;
        feed_forward(layer_norm(x.clone(), output_norm), f, settings.feed_forward, mode) + x
    } else {
        let norm = attention_norm.expect(AFTER);
        let x = layer_norm(attention(x.clone(), a, batch, settings.attention, mode) + x, norm);
        layer_norm(feed_forward(x.clone(), f, settings.feed_forward, mode) + x, output_norm)
    };
    match call.asked {
        Some(rows) => {
            let rows = row_tensor(rows, &y.device());
            y.select(0, rows)
        }
        None => y,
    }
}

/// Said when a norm is missing.
const AFTER: &str = "a layer with norms after its halves has both";

/// The weights in the order of the kernel's: matrices, those in few bits, vectors; absent ones are `None`.
fn in_order(weights: LayerWeights) -> (Vec<Option<Tensor<2>>>, Few, Vec<Option<Tensor<1>>>) {
    let LayerWeights { attention: a, attention_norm, feed_forward: f, output_norm } = weights;
    let maps: [Option<Linear>; 6] = match a.query_key_value {
        QueryKeyValue::Apart(maps) => {
            let [query, key, value] = *maps;
            [Some(query), Some(key), Some(value), Some(a.output), Some(f.intermediate), Some(f.output)]
        }
        QueryKeyValue::Joined(map) => [Some(*map), None, None, Some(a.output), Some(f.intermediate), Some(f.output)],
    };
    let (mut matrices, mut few, mut vectors) = (Vec::new(), Few::default(), Vec::with_capacity(COUNT));
    for (map, few) in maps.into_iter().zip(&mut few) {
        let (weight, bias) = map.map_or((None, None), |map| (Some(map.weight), map.bias));
        let (whole, in_few) = weight.map_or((None, None), Matrix::parts);
        *few = in_few;
        matrices.push(whole);
        vectors.push(bias);
    }
    for norm in [attention_norm, Some(output_norm)] {
        let (weight, bias) = norm.map_or((None, None), |norm| (Some(norm.weight), norm.bias));
        vectors.extend([weight, bias]);
    }
    (matrices, few, vectors)
}

/// What products of the kernels round to.
pub(super) fn precision(bf16: bool) -> Precision {
    if bf16 { Precision::Bf16 } else { Precision::F32 }
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
    let epsilon = weights.output_norm.epsilon;
    assert!(settings.pre_norm || weights.attention_norm.is_some(), "{AFTER}");
    let other = weights.attention_norm.as_ref().is_some_and(|norm| norm.epsilon != epsilon);
    if !fused::on_cpu(&x.device()) || other {
        return None;
    }
    let shape = LayerShape {
        hidden: x.dims()[1],
        heads: attention.heads,
        attention: weights.attention.output.weight.dims()[1],
        inner: weights.feed_forward.output.weight.dims()[1],
        eps: epsilon as f32,
        activation: match feed_forward.activation {
            Activation::Gelu => polyseme_kernels::Activation::Gelu,
            Activation::GeluTanh => polyseme_kernels::Activation::GeluTanh,
            Activation::Relu => polyseme_kernels::Activation::Relu,
            Activation::Silu => polyseme_kernels::Activation::Silu,
            Activation::Tanh => return None,
        },
        pre_norm: settings.pre_norm,
        gated: feed_forward.gated,
        rotary: attention.rotary.map(|base| base as f32),
        window: attention.window,
        rounded: matches!(weights.attention.output.weight, Matrix::Learning(_)),
        precision: precision(call.bf16),
    };
    let dropout = LayerDropout {
        probabilities: mode.named("attention").dropout(attention.attention_dropout),
        attention: mode.named("attention_output").dropout(attention.hidden_dropout),
        output: mode.named("feed_forward").dropout(feed_forward.dropout),
    };
    let asked = call.asked.map(|rows| AskedRows { rows: rows.into(), counts: count(&batch.starts, rows).into() });
    let cache = call.cache.map(|cache| cache.prepared.clone());
    let watch = call.cache.and_then(|cache| cache.watch.clone());
    let starts = batch.starts.as_slice().into();
    let views = batch.seen.clone().map(|seen| [batch.positions.clone(), seen]);
    let few = Few::default();
    Some(LayerPlan { shape, starts, asked, views, dropout, few, cache, watch, checkpoint: call.checkpoint })
}
