//! `polyseme completions`: a completion script made from the argument definitions.

use crate::args::{Cli, CompletionsArgs};
use clap::CommandFactory;
use std::io::Write;

/// Prints the script on stdout.
pub fn run(args: &CompletionsArgs) -> anyhow::Result<()> {
    let mut script = Vec::new(); // the generator panics on a closed pipe; a buffer never closes
    clap_complete::generate(args.shell, &mut Cli::command(), "polyseme", &mut script);
    std::io::stdout().write_all(&script)?;
    Ok(())
}
