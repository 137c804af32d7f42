//! The encoder layer by our kernels beside its plain twin, forward and backward: first that they agree,
//! then how long they take.

use super::layer_operations;
use polyseme_models::EncoderConfig;
use polyseme_tensor::closeness::values;
use polyseme_tensor::ops::{
    Activation, AttentionSettings, AttentionWeights, FeedForwardSettings, FeedForwardWeights, LayerCall, LayerSettings,
    LayerWeights, Linear, Norm, QueryKeyValue, encoder_layer, encoder_layer_plain,
};
use polyseme_tensor::{Device, Mode, PackedBatch, Sequence, Stream, Tensor, TensorData};
use polyseme_train::Stop;
use serde::Serialize;
use std::time::Instant;

/// Dropout of all rows.
const DROPOUT: f64 = 0.1;

/// One shape of layer.
#[derive(Debug, Serialize)]
pub struct KernelRow {
    /// What kind of layer it is.
    pub name: &'static str,
    /// Hidden width.
    pub hidden_size: usize,
    /// Sequences and their length.
    pub batch: usize,
    /// Tokens of a sequence.
    pub seq_len: usize,
    /// Seconds forward and backward, by our kernels.
    pub seconds: f64,
    /// The same by the plain twin.
    pub plain_seconds: f64,
    /// Matrix products done per second over what the processor does at best.
    pub share_of_peak: f64,
    /// Largest difference of the two outputs.
    pub largest_difference: f32,
}

/// All of them.
#[derive(Debug, Serialize)]
pub struct Kernels {
    /// The processor's best, in operations per second.
    pub peak_operations_per_second: f64,
    /// A row a shape.
    pub layers: Vec<KernelRow>,
}

/// A kind of layer and its work.
struct Shape {
    name: &'static str,
    hidden: usize,
    heads: usize,
    inner: usize,
    batch: usize,
    seq_len: usize,
    /// Which layer of the recipe `modern` it is; else it is BERT's.
    modern: Option<usize>,
}

/// Usual layers, and those that could be slow: odd sizes, long texts, windows.
#[rustfmt::skip]
const SHAPES: [Shape; 7] = [
    Shape { name: "mini", hidden: 256, heads: 4, inner: 1024, batch: 32, seq_len: 128, modern: None },
    Shape { name: "MiniLM", hidden: 384, heads: 12, inner: 1536, batch: 64, seq_len: 32, modern: None },
    Shape { name: "BERT-base", hidden: 768, heads: 12, inner: 3072, batch: 4, seq_len: 128, modern: None },
    Shape { name: "odd sizes", hidden: 249, heads: 3, inner: 1001, batch: 33, seq_len: 123, modern: None },
    Shape { name: "long", hidden: 256, heads: 4, inner: 1024, batch: 2, seq_len: 2048, modern: None },
    Shape { name: "ModernBERT", hidden: 256, heads: 4, inner: 688, batch: 32, seq_len: 128, modern: Some(0) },
    Shape { name: "ModernBERT, a window", hidden: 256, heads: 4, inner: 688, batch: 2, seq_len: 2048, modern: Some(1) },
];

/// Measures layers; `modern` has the variants. `None` if it was asked to stop.
pub fn kernels(
    bert: &EncoderConfig,
    modern: &EncoderConfig,
    steps: u32,
    peak: f64,
    device: &Device,
    stop: &Stop,
) -> Option<Kernels> {
    let device = device.clone().autodiff();
    let mut layers = Vec::new();
    for shape in &SHAPES {
        if stop.requested() {
            return None;
        }
        let mut config = if shape.modern.is_some() { modern } else { bert }.clone();
        config.hidden_size = shape.hidden;
        (config.num_attention_heads, config.intermediate_size) = (shape.heads, shape.inner);
        let (index, batch, seq_len) = (shape.modern.unwrap_or(0), shape.batch, shape.seq_len);
        let case = Case::new(&config, index, (batch, seq_len), &device);
        let (ours, plain) = (values(&case.forward(true)), values(&case.forward(false)));
        let difference = ours.iter().zip(&plain).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        let seconds = case.seconds(true, steps);
        let operations = 3.0 * batch as f64 * layer_operations(&config, index, seq_len, seq_len);
        layers.push(KernelRow {
            name: shape.name,
            hidden_size: shape.hidden,
            batch,
            seq_len,
            seconds,
            plain_seconds: case.seconds(false, steps.div_ceil(4)),
            share_of_peak: operations / seconds / peak,
            largest_difference: difference,
        });
    }
    Some(Kernels { peak_operations_per_second: peak, layers })
}

/// A layer with its input.
struct Case {
    weights: LayerWeights,
    x: Tensor<2>,
    batch: PackedBatch,
    settings: LayerSettings,
}

impl Case {
    /// Layer `index` of an encoder, with random weights and input.
    fn new(config: &EncoderConfig, index: usize, (count, length): (usize, usize), device: &Device) -> Self {
        let (h, f, variant) = (config.hidden_size, config.intermediate_size, &config.variant);
        let tensor = |n: usize, name: &str, deviation: f64| Stream::new(1).named(name).normals(n, deviation);
        let matrix = |rows: usize, columns: usize, name: &str| {
            let data = TensorData::new(tensor(rows * columns, name, 0.05), [rows, columns]);
            Tensor::<2>::from_data(data, device).require_grad()
        };
        let vector = |n: usize, name: &str| {
            Tensor::<1>::from_data(TensorData::new(tensor(n, name, 0.5), [n]), device).require_grad()
        };
        let map = |out: usize, inner: usize, name: &str| Linear {
            weight: matrix(out, inner, name).into(),
            bias: variant.attention_bias.then(|| vector(out, &format!("{name} bias"))),
        };
        let norm = |name: &str| Norm {
            weight: vector(h, name),
            bias: variant.norm_bias.then(|| vector(h, &format!("{name} bias"))),
            epsilon: config.layer_norm_eps,
        };
        let sequences = vec![Sequence { ids: vec![0; length], type_ids: vec![0; length] }; count];
        Self {
            weights: LayerWeights {
                attention: AttentionWeights {
                    query_key_value: match variant.pre_norm {
                        true => QueryKeyValue::Joined(Box::new(map(3 * h, h, "query, key and value"))),
                        false => QueryKeyValue::Apart(Box::new(["query", "key", "value"].map(|name| map(h, h, name)))),
                    },
                    output: map(h, h, "projection"),
                },
                attention_norm: Some(norm("norm 1")),
                feed_forward: FeedForwardWeights {
                    intermediate: map(if variant.gated { 2 * f } else { f }, h, "inner"),
                    output: map(h, f, "output"),
                },
                output_norm: norm("norm 2"),
            },
            x: matrix(count * length, h, "x"),
            batch: PackedBatch::new(&sequences),
            settings: LayerSettings {
                attention: AttentionSettings {
                    heads: config.num_attention_heads,
                    attention_dropout: DROPOUT,
                    hidden_dropout: DROPOUT,
                    rotary: variant.rope_theta(index),
                    window: variant.window(index),
                },
                feed_forward: FeedForwardSettings {
                    activation: Activation::Gelu,
                    gated: variant.gated,
                    dropout: DROPOUT,
                },
                pre_norm: variant.pre_norm,
            },
        }
    }

    fn forward(&self, ours: bool) -> Tensor<2> {
        let layer = if ours { encoder_layer } else { encoder_layer_plain };
        let mode = Mode::Train(Stream::new(2));
        layer(self.x.clone(), self.weights.clone(), &self.batch, self.settings, mode, LayerCall::default())
    }

    /// Median seconds of a forward and a backward pass.
    fn seconds(&self, ours: bool, steps: u32) -> f64 {
        let mut seconds: Vec<f64> = (0..=steps)
            .map(|_| {
                let begun = Instant::now();
                let _gradients = self.forward(ours).sum().backward();
                begun.elapsed().as_secs_f64()
            })
            .skip(1) // the first one makes the buffers
            .collect();
        seconds.sort_by(f64::total_cmp);
        seconds[seconds.len() / 2]
    }
}
