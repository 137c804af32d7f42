//! What an encoder holds, in numbers that pictures are drawn from.
//!
//! Nothing here draws: every function gives plain data, which serializes. The pages, the drawings and the command are in
//! the crate `polyseme`.

pub mod attention;
pub mod cluster;
mod error;
pub mod facts;
mod graph;
pub mod index;
pub mod landscape;
pub mod map;
pub mod neighbours;
pub mod probe;
pub mod said;
pub mod senses;

pub use error::{Error, Result};
