//! CPU kernels on plain slices, forward and backward; knows no tensors library.
//!
//! The only crate with `unsafe`: the calls into the matrix product and the choice of instruction
//! set at run time. One-letter sizes: `n` rows (tokens), `h` hidden, `f` inner width of the
//! feed-forward part, `a` heads, `d` head size, `l` length of a sequence.
//!
//! Everything is deterministic at a fixed number of threads: work is cut into one part a thread
//! before it begins, and parts are reduced in their order.

pub mod adamw;
#[cfg(target_arch = "x86_64")]
mod amx;
mod attention;
pub mod dropout;
pub mod embed;
pub mod layer;
pub mod limit;
pub mod masked_loss;
pub mod math;
pub mod norm;
pub mod parallel;
pub mod pool;
pub mod product;
pub mod quantize;
mod simd;

/// Activation between the two feed-forward products.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// Exact, with erf.
    Gelu,
    /// By tanh.
    GeluTanh,
    /// max(0, x)
    Relu,
    /// x · sigmoid(x)
    Silu,
}
