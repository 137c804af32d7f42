//! Prefixes (Li & Liang 2021; P-tuning v2, Liu et al. 2022): at each layer a few virtual tokens stand before every
//! sequence. All others attend to them, their vectors are learned, and what the layer makes of them is dropped.
//!
//! Reference: `peft`, which hands keys and values of such tokens to transformers, whose positions then begin after
//! them. Deviations: learned is the vector that a layer's own maps make a key and a value of, so that the layer needs
//! to know nothing of it; at the end key and value are constants, which is what `peft` reads.

use crate::EncoderConfig;
use crate::encoder::Encoder;
use crate::params::{ParamGroup, ParamId, ParamInfo, View};
use polyseme_tensor::ops::linear;
use polyseme_tensor::packed::row_tensor;
use polyseme_tensor::{Int, PackedBatch, Tensor};

/// What the name of a layer's virtual tokens ends with.
pub(super) const NAME: &str = ".prefix";

/// Tokens that a sequence must have room for beside its prefix: two special ones and one of its own.
pub(super) const LEAST: usize = 3;

/// What the virtual tokens of layer `index` are. `(length, hidden)`
pub(super) fn parameters(layers: &str, config: &EncoderConfig, index: usize, length: usize) -> Vec<ParamInfo> {
    vec![ParamInfo {
        name: format!("{layers}.{index}{NAME}"),
        shape: vec![length, config.hidden_size],
        group: ParamGroup::Layer(index),
        decay: true,
        trainable: true,
    }]
}

/// Virtual tokens before each layer.
pub(crate) struct Prefixes {
    /// Of each layer. `(length, hidden)`
    pub vectors: Vec<ParamId>,
    /// How many there are.
    pub length: usize,
}

impl Prefixes {
    /// How a batch lies with them. They stand before each sequence.
    pub fn lay(&self, batch: &PackedBatch) -> Laid<'_> {
        let (n, tokens) = (self.length, batch.tokens());
        let mut moved = batch.clone();
        moved.positions = batch.positions.iter().map(|&position| position + n as u32).collect();
        let mut wide = batch.clone();
        wide.starts = batch.starts.iter().enumerate().map(|(i, start)| start + i * n).collect();
        wide.runs = batch.runs.iter().map(|&(first, count, length)| (first, count, length + n)).collect();
        let (mut sources, mut real) = (Vec::new(), Vec::with_capacity(tokens));
        let (mut ids, mut type_ids, mut positions) = (Vec::new(), Vec::new(), Vec::new());
        let mut seen = Vec::new();
        for rows in batch.starts.windows(2).map(|ends| ends[0]..ends[1]) {
            sources.extend((tokens..tokens + n).chain(rows.clone()));
            real.extend(ids.len() + n..ids.len() + n + rows.len());
            // Nobody reads those of virtual tokens.
            ids.extend(std::iter::repeat_n(0, n).chain(batch.ids[rows.clone()].iter().copied()));
            type_ids.extend(std::iter::repeat_n(0, n).chain(batch.type_ids[rows.clone()].iter().copied()));
            positions.extend((0..n as u32).chain(moved.positions[rows.clone()].iter().copied()));
            if let Some(all) = &batch.seen {
                // Virtual tokens stand before all that a token sees.
                let more = all[rows].iter().map(|&seen| seen + n as u32);
                seen.extend(std::iter::repeat_n(n as u32, n).chain(more));
            }
        }
        wide.seen = batch.seen.is_some().then(|| seen.into());
        (wide.ids, wide.type_ids, wide.positions) = (ids.into(), type_ids.into(), positions.into());
        Laid { prefixes: self, moved, wide, sources, real }
    }
}

/// A batch with virtual tokens.
pub(crate) struct Laid<'a> {
    prefixes: &'a Prefixes,
    /// The caller's batch, with positions after the virtual tokens.
    pub moved: PackedBatch,
    /// The batch as a layer sees it.
    pub wide: PackedBatch,
    /// For each of its rows the row of the caller's batch, or behind those of the virtual tokens.
    sources: Vec<usize>,
    /// Rows of the caller's tokens in it.
    real: Vec<usize>,
}

impl Laid<'_> {
    /// The input of layer `index`. `(tokens, hidden)` to `(tokens + sequences · length, hidden)`
    pub fn before(&self, x: Tensor<2>, index: usize, params: View<'_>) -> Tensor<2> {
        let sources: Tensor<1, Int> = row_tensor(&self.sources, &x.device());
        Tensor::cat(vec![x, params.matrix(self.prefixes.vectors[index])], 0).select(0, sources)
    }

    /// The rows to ask the layer for: all of the caller's, or some.
    pub fn asked(&self, rows: Option<&[usize]>) -> Vec<usize> {
        rows.map_or_else(|| self.real.clone(), |rows| rows.iter().map(|&row| self.real[row]).collect())
    }
}

/// Keys and values of the virtual tokens: of each token the key and the value at each layer, as `peft` has them.
/// `(length, layers · 2 · hidden)`
pub(super) fn keys_and_values(prefixes: &Prefixes, encoder: &Encoder, params: View<'_>) -> Tensor<2> {
    let of_layer = |(layer, &vectors): (usize, &ParamId)| {
        let maps = encoder.key_and_value(layer).expect("layers that take a prefix have maps of their own");
        maps.map(|map| linear(params.matrix(vectors), params.linear(map)))
    };
    Tensor::cat(prefixes.vectors.iter().enumerate().flat_map(of_layer).collect(), 1)
}
