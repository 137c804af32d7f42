//! Matrices in few bits, and products of 8-bit integers with them.
//!
//! Weights are whole numbers times a scale, one for each row of a matrix `(out, in)` (each output) or for each
//! block of a row, symmetric about zero (Jacob et al. 2018). What is multiplied by them is cut into 256 steps
//! row by row, from its least value to its greatest (dynamic; Zafrir et al. 2019), or by one range for all rows
//! that was found beforehand (static). Sums are 32-bit integers, which are exact, and all that follows is plain
//! arithmetic in one order: every processor gives the same bits.

#[cfg(target_arch = "x86_64")]
mod amx;
mod pack;
mod product;
mod rows;
mod tile;
mod watch;
mod weights;

pub use product::{Operand, Right, multiply};
pub use rows::Rows8;
pub(crate) use rows::round_rows;
pub use watch::{INPUTS, Watch};
pub use weights::{Input, Quantized};
