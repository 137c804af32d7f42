//! Tests of the files that Polyseme reads and writes, against files made by the reference libraries
//! (`tests/fixtures/make.py`) and against files that are wrong in one way each.

mod atomic;
mod common;
mod config;
mod folder;
mod memory;
mod pickle_errors;
mod reference;
mod run;
mod run_damage;
mod run_kill;
mod safetensors_errors;
mod safetensors_round_trip;
mod settings;
mod store;
mod tensorboard;
