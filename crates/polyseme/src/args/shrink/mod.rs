//! Words of `polyseme shrink` and its commands.

mod distil;
mod prune;
mod quantize;
mod recipe;
mod share;
mod vocab;

pub use distil::DistilArgs;
pub use prune::PruneArgs;
pub use quantize::QuantizeArgs;
pub use recipe::RecipeArgs;
pub use share::ShareArgs;
pub use vocab::VocabArgs;

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
    /// Let a smaller model learn from one that knows a task
    Distil(Box<DistilArgs>),
    /// Cut parts out of a model
    Prune(Box<PruneArgs>),
    /// Write a model's values in fewer bits
    Quantize(QuantizeArgs),
    /// Let layers share their weights, and make embeddings narrow
    Share(Box<ShareArgs>),
    /// Drop the pieces of the vocabulary that a domain never uses
    Vocab(VocabArgs),
    /// Try a chain of these ways, and keep the smallest model that is still good enough
    Recipe(RecipeArgs),
}
