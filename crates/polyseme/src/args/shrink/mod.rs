//! Words of `polyseme shrink` and its commands.

mod prune;

pub use prune::PruneArgs;

use clap::{Args, Subcommand};

/// Words of `polyseme shrink`.
#[derive(Clone, Debug, Args)]
pub struct ShrinkArgs {
    /// In which way.
    #[command(subcommand)]
    pub way: ShrinkWay,
}

/// The ways to make a model smaller.
#[derive(Clone, Debug, Subcommand)]
pub enum ShrinkWay {
    /// Cut parts out of a model
    Prune(PruneArgs),
}
