//! `polyseme man`: manual pages made from the argument definitions.

use crate::args::{Cli, ManArgs};
use clap::CommandFactory;
use polyseme_formats::Error;

/// Writes `polyseme.1` and one page a command.
pub fn run(args: &ManArgs) -> anyhow::Result<()> {
    let io = |action| move |source| Error::Io { action, path: args.out.clone(), source };
    std::fs::create_dir_all(&args.out).map_err(io("create"))?;
    clap_mangen::generate_to(Cli::command(), &args.out).map_err(io("write to"))?;
    Ok(())
}
