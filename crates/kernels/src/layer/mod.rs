//! One encoder layer, forward and backward, over a packed batch: with the norm after each half (BERT's:
//! Devlin et al. 2019; Vaswani et al. 2017) or before it (ModernBERT's: Warner et al. 2024; Xiong et
//! al. 2020), rotary positions (Su et al. 2021), a window of attention, a gated feed-forward part
//! (Shazeer 2020), biases or none.
//!
//! Each thread takes its own sequences through the whole layer, chunk by chunk, so that a chunk's
//! activations stay in its cache. Saved for the backward pass: query, key and value, probabilities of
//! short sequences, context, the two normalised values, the pre-activation. The activation, the outputs
//! of the norms and the probabilities of long sequences are computed again.
//!
//! `n` rows go in, and `m` rows are asked for ([`Rows`]).

mod backward;
mod forward;
mod gradients;
mod rotary;
mod rows;
mod weights;

pub use backward::{Needs, backward};
pub use forward::{LayerSaved, Prepared, forward, forward_prepared};
pub use rows::{Rows, count};
pub use weights::{COUNT, Few, WEIGHTS};

use crate::Activation;
use crate::dropout::Dropout;

/// Sizes and settings of a layer.
#[derive(Clone, Copy, Debug)]
pub struct LayerShape {
    /// Hidden width `h`.
    pub hidden: usize,
    /// Heads; they divide the attention's width.
    pub heads: usize,
    /// Width `a` of query, key and value: the hidden width, unless heads were cut out.
    pub attention: usize,
    /// Inner width `f` of the feed-forward part.
    pub inner: usize,
    /// Epsilon of both norms.
    pub eps: f32,
    /// Activation.
    pub activation: Activation,
    /// Whether the norms stand before the halves instead of after them.
    pub pre_norm: bool,
    /// Whether the feed-forward part's first map gives `2f` columns, of which the first `f` are
    /// activated and multiplied by the others.
    pub gated: bool,
    /// Base of the rotary positions, where query and key are turned by them; heads are then of even size.
    pub rotary: Option<f32>,
    /// How many neighbours on either side a token sees; all if `None`.
    pub window: Option<usize>,
}

impl LayerShape {
    /// BERT's layer: norms after the halves, no gate, no rotary positions, no window.
    pub fn bert(hidden: usize, heads: usize, inner: usize, eps: f32, activation: Activation) -> Self {
        let (pre_norm, gated, rotary, window) = (false, false, None, None);
        Self { hidden, heads, attention: hidden, inner, eps, activation, pre_norm, gated, rotary, window }
    }

    /// Columns of the feed-forward part's first map.
    fn wide(&self) -> usize {
        if self.gated { 2 * self.inner } else { self.inner }
    }
}

/// The three dropouts of a layer.
#[derive(Clone, Copy, Debug)]
pub struct LayerDropout {
    /// On attention probabilities.
    pub probabilities: Dropout,
    /// After the attention's output projection.
    pub attention: Dropout,
    /// After the feed-forward part.
    pub output: Dropout,
}

impl LayerDropout {
    /// No dropout: inference.
    pub const NONE: Self = {
        let none = Dropout { key: 0, p: 0.0 };
        Self { probabilities: none, attention: none, output: none }
    };
}

/// Gradients of a layer's weights, in the order of [`WEIGHTS`].
pub type LayerGradients = [Vec<f32>; COUNT];
