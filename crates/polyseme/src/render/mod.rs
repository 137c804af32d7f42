//! How things are shown: errors, progress, tables.

pub mod confusion;
pub mod errors;
pub mod numbers;
pub mod progress;
pub mod table;
