//! `polyseme shrink`: one file a way.

mod distil;
mod prune;
mod recipe;
mod vocab;

use crate::args::{ShrinkArgs, ShrinkWay};
use crate::commands::Context;
use std::path::Path;

/// Runs the way that was asked for.
pub fn run(args: &ShrinkArgs, context: &Context) -> anyhow::Result<()> {
    match &args.way {
        ShrinkWay::Distil(args) => distil::run(args, context),
        ShrinkWay::Prune(args) => prune::run(args, context),
        ShrinkWay::Vocab(args) => vocab::run(args, context),
        ShrinkWay::Recipe(args) => recipe::run(args, context),
    }
}

/// Errors where a folder holds a model that was not to be written over.
fn check_out(out: &Path, force: bool) -> anyhow::Result<()> {
    if out.join("config.json").exists() && !force {
        return Err(polyseme_shrink::Error::HoldsModel { out: out.to_owned() }.into());
    }
    Ok(())
}
