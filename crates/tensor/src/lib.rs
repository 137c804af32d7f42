//! The operations an encoder is made of, on Burn tensors.
//!
//! Every operation that a fused kernel may take over has one entry point here; what stands behind
//! it now is the *plain twin*: readable, true on any device. Only this crate names devices and
//! Burn's back ends; above it, [`Device`] is a value.

pub mod closeness;
pub mod device;
mod error;
mod fused;
pub mod ops;
pub mod packed;
pub mod random;

pub use burn::tensor::{Bool, Device, Gradients, Int, Tensor, TensorData};
pub use error::{Error, Result};
pub use packed::{PackedBatch, Sequence, View};
pub use polyseme_kernels::limit::fma_limit;
pub use polyseme_kernels::product::bf16_is_faster;
pub use polyseme_kernels::quantize::{INPUTS, Input, Quantized, Watch};
pub use random::{Mode, Stream};
