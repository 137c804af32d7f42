//! Tests of the whole crate through its public face; one binary, since linking takes longer than they.

mod corpora;
mod errors;
mod help;
mod stores;
mod tables;
mod tokenizers;
mod training;
