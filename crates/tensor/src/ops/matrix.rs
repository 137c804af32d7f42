//! A matrix in f32 or in few bits.

use burn::tensor::{Device, Tensor, TensorData};
use polyseme_kernels::quantize::{Input, Quantized};
use std::sync::{Arc, OnceLock};

/// A matrix that a map multiplies by, or a table of embeddings.
// A tensor is nearly all that there are, and is as large wherever it stands.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, Debug)]
pub enum Matrix {
    /// In f32; it may have gradients.
    Whole(Tensor<2>),
    /// In few bits; it has none.
    Few(FewBits),
    /// In f32, to stand in 8 bits when it has learned: it and what it meets are rounded wherever it is used, and
    /// gradients pass as if they were not (straight through; Bengio et al. 2013). All maps of a layer are so, or none.
    Learning(Tensor<2>),
}

/// A matrix in few bits, with what was made of it. Clones share both.
#[derive(Clone, Debug)]
pub struct FewBits {
    matrix: Arc<Quantized>,
    whole: Arc<OnceLock<Tensor<2>>>,
}

impl FewBits {
    /// Nothing is made of it until it is used.
    pub fn new(matrix: Quantized) -> Self {
        Self { matrix: Arc::new(matrix), whole: Arc::default() }
    }

    /// The numbers and their scales.
    pub fn matrix(&self) -> &Arc<Quantized> {
        &self.matrix
    }

    /// In f32, made at the first call and kept. `(rows, columns)`
    pub fn whole(&self, device: &Device) -> Tensor<2> {
        let make = || {
            let data = TensorData::new(self.matrix.values(), [self.matrix.rows(), self.matrix.columns()]);
            Tensor::from_data(data, &device.clone().without_autodiff())
        };
        self.whole.get_or_init(make).clone()
    }
}

impl From<Tensor<2>> for Matrix {
    fn from(tensor: Tensor<2>) -> Self {
        Self::Whole(tensor)
    }
}

impl Matrix {
    /// Rows and columns.
    pub fn dims(&self) -> [usize; 2] {
        match self {
            Self::Whole(tensor) | Self::Learning(tensor) => tensor.dims(),
            Self::Few(few) => [few.matrix.rows(), few.matrix.columns()],
        }
    }

    /// In f32, on this device if it is in few bits.
    pub fn whole(&self, device: &Device) -> Tensor<2> {
        match self {
            Self::Whole(tensor) => tensor.clone(),
            Self::Few(few) => few.whole(device),
            Self::Learning(tensor) => straight_through(tensor.clone(), rounded_rows(tensor.clone())),
        }
    }

    /// What stands in f32, and what in few bits.
    pub(crate) fn parts(self) -> (Option<Tensor<2>>, Option<Arc<Quantized>>) {
        match self {
            Self::Whole(tensor) | Self::Learning(tensor) => (Some(tensor), None),
            Self::Few(few) => (None, Some(few.matrix)),
        }
    }

    /// What is multiplied by it, rounded as its input is. `(rows, columns)`
    pub(crate) fn rounded(&self, x: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Few(few) => rounded(x, few.matrix.input()),
            Self::Whole(_) => x,
            Self::Learning(_) => straight_through(x.clone(), rounded(x, Input::Dynamic)),
        }
    }
}

/// What was rounded, with the gradients of what it was.
fn straight_through(x: Tensor<2>, rounded: Tensor<2>) -> Tensor<2> {
    x.clone() + (rounded - x).detach()
}

/// A matrix in 8 bits with a scale a row, and back: the plain twin of [`Quantized::new`]. `(rows, columns)`
fn rounded_rows(w: Tensor<2>) -> Tensor<2> {
    let greatest = w.clone().abs().max_dim(1); // (rows, 1)
    let none = greatest.clone().lower_elem(1e-30);
    let scale = (greatest / 127.0).mask_fill(none, 1.0);
    (w / scale.clone()).round().clamp(-127.0, 127.0) * scale
}

/// Rows rounded to 8 bits and back: the plain twin of what products of 8 bits do with them. `(rows, columns)`
pub fn rounded(x: Tensor<2>, input: Input) -> Tensor<2> {
    let (scale, zero) = match input {
        Input::Whole => return x,
        Input::Static { scale, zero } => {
            let like = x.clone().slice([0..x.dims()[0], 0..1]).zeros_like();
            (like.clone() + scale, like + f32::from(zero))
        }
        Input::Dynamic => {
            let least = x.clone().min_dim(1).clamp_max(0.0); // (rows, 1)
            let width = x.clone().max_dim(1).clamp_min(0.0) - least.clone();
            // A row of zeros is rounded to zeros, whatever its step.
            let none = width.clone().lower_elem(1e-30);
            let scale = (width / 255.0).mask_fill(none, 1.0);
            let zero = (least / scale.clone()).neg().round().clamp(0.0, 255.0);
            (scale, zero)
        }
    };
    ((x / scale.clone() + zero.clone()).round().clamp(0.0, 255.0) - zero) * scale
}
