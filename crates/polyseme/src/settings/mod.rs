//! From words to a plan: a recipe or file with flags over it, resolved once, then immutable.

mod distil;
mod duration;
mod error;
mod finetune;
mod layers;
mod pretrain;
mod prune;
mod quantize;
mod recipe;
mod share;
mod shrink_recipe;
mod sweep;
mod words;

pub use distil::{resolve_distil, resolve_general_distil};
pub use duration::{parse_duration, spell_duration};
pub use error::{Error, Result};
pub use finetune::resolve_finetune;
pub use pretrain::{resolve_pretrain, spell_length, stored};
pub use prune::{is_sparse, resolve_prune, resolve_sparse};
pub use quantize::resolve_quantize;
pub use recipe::{RECIPES, recipe};
pub use share::resolve_share;
pub use shrink_recipe::{resolve_shrink_recipe, resolve_step};
pub use sweep::resolve_sweep;

/// A plan and whether it goes on with an earlier run.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan<T> {
    /// The resolved settings.
    pub settings: T,
    /// Whether they were read from a run that is to be gone on with.
    pub resume: bool,
}
