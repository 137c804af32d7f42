//! One encoder layer, forward and backward, over a packed batch: with the norm after each half (BERT's:
//! Devlin et al. 2019; Vaswani et al. 2017) or before it (ModernBERT's: Warner et al. 2024; Xiong et
//! al. 2020), rotary positions (Su et al. 2021), a window of attention, a gated feed-forward part
//! (Shazeer 2020), biases or none.
//!
//! Each thread takes its own sequences through the whole layer, chunk by chunk, so that a chunk's
//! activations stay in its cache; where threads would be idle and nothing is saved, they take rows instead
//! ([`spread`]). Saved for the backward pass: query, key and value, probabilities of
//! short sequences, context, the two normalised values, the pre-activation. The activation, the outputs
//! of the norms and the probabilities of long sequences are computed again.
//!
//! `n` rows go in, and `m` rows are asked for ([`Rows`]).

mod backward;
mod forward;
mod gradients;
mod rotary;
mod rows;
mod spread;
mod weights;

pub use backward::{Needs, backward};
pub use forward::{LayerSaved, Prepared, forward, forward_prepared};
pub use rows::{Rows, count};
pub use weights::{COUNT, Few, WEIGHTS};

use crate::Activation;
use crate::dropout::Dropout;
use crate::pool::Buffer;
use crate::product::Precision;
use crate::quantize::round_rows;

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
    /// Whether what is multiplied by the matrices is rounded to 8 bits first, row by row, so that a layer learns with
    /// what products of 8 bits will do (Jacob et al. 2018; Zafrir et al. 2019). Gradients pass as if it were not.
    /// Whoever asks for it gives matrices that are rounded already.
    pub rounded: bool,
    /// What is rounded, in the products with the matrices and in those of their gradients (Kalamkar et al. 2019). Norms, softmax,
    /// the attention's own products and all sums are f32.
    pub precision: Precision,
}

impl LayerShape {
    /// BERT's layer: norms after the halves, no gate, no rotary positions, no window.
    pub fn bert(hidden: usize, heads: usize, inner: usize, eps: f32, activation: Activation) -> Self {
        Self {
            hidden,
            heads,
            attention: hidden,
            inner,
            eps,
            activation,
            pre_norm: false,
            gated: false,
            rotary: None,
            window: None,
            rounded: false,
            precision: Precision::F32,
        }
    }

    /// Rows of `k` values as they are multiplied by a matrix, where that is not as they are.
    fn round(&self, x: &[f32], k: usize) -> Option<Buffer> {
        self.rounded.then(|| {
            let mut rounded = Buffer::copy_of(x);
            round_rows(&mut rounded, k, k);
            rounded
        })
    }

    /// Columns of the feed-forward part's first map.
    fn wide(&self) -> usize {
        if self.gated { 2 * self.inner } else { self.inner }
    }
}

/// The three dropouts of a layer.
#[derive(Clone, Copy, Debug, PartialEq)]
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
