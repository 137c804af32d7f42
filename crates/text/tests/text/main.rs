//! Tests of the whole crate through its public face; one binary, since linking takes longer than they.

mod check;
mod corpora;
mod errors;
mod help;
mod questions;
mod stores;
mod tables;
mod tagged;
mod tokenizers;
mod training;
mod trim;
