//! What each command does: open, run, show. One file a command; none of them computes anything.

pub mod bench;
pub mod completions;
mod context;
pub mod embed;
pub mod eval;
pub mod export;
pub mod fill;
pub mod finetune;
pub mod inspect;
pub mod man;
pub mod merge;
pub mod predict;
pub mod pretrain;
pub mod search;
pub mod shrink;
mod stream;
pub mod sweep;
pub mod tour;

pub use context::{Context, Interrupted};
