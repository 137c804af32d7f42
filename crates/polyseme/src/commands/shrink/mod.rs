//! `polyseme shrink`: one file a way.

mod distil;
mod prune;
mod quantize;
mod recipe;
mod share;
mod vocab;

use crate::args::{ShrinkArgs, ShrinkWay};
use crate::commands::Context;
use crate::render::numbers::group;
use polyseme_shrink::Both;
use std::path::Path;

/// Runs the way that was asked for.
pub fn run(args: &ShrinkArgs, context: &Context) -> anyhow::Result<()> {
    match &args.way {
        ShrinkWay::Distil(args) => distil::run(args, context),
        ShrinkWay::Prune(args) => prune::run(args, context),
        ShrinkWay::Quantize(args) => quantize::run(args, context),
        ShrinkWay::Share(args) => share::run(args, context),
        ShrinkWay::Vocab(args) => vocab::run(args, context),
        ShrinkWay::Recipe(args) => recipe::run(args, context),
    }
}

/// A line of a table: a number before and after, and the share that is gone.
fn row(what: &str, both: Both) -> Vec<String> {
    let number = |n: usize| group(n as u64);
    let saved = format!("{:.1} %", 100.0 * both.saved());
    vec![what.to_owned(), number(both.before), number(both.after), saved]
}

/// Errors where a folder holds a model that was not to be written over.
fn check_out(out: &Path, force: bool) -> anyhow::Result<()> {
    if out.join("config.json").exists() && !force {
        return Err(polyseme_shrink::Error::HoldsModel { out: out.to_owned() }.into());
    }
    Ok(())
}
