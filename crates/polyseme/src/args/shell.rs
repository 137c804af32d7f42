//! Words of the commands that serve the shell: completions and manual pages.

use clap::Args;
use clap_complete::Shell;
use std::path::PathBuf;

/// Words of `polyseme completions`.
#[derive(Clone, Debug, Args)]
pub struct CompletionsArgs {
    /// The shell to complete in
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Words of `polyseme man`.
#[derive(Clone, Debug, Args)]
pub struct ManArgs {
    /// Folder to write `polyseme.1`, `polyseme-pretrain.1`, … to
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}
