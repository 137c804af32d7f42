//! Flags that every command takes.

use clap::Args;

/// Flags that every command takes.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Global options")]
pub struct GlobalArgs {
    /// Print one machine-readable result on stdout
    #[arg(long, global = true)]
    pub json: bool,
    /// Show no progress and no notes on stderr, only warnings and errors
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// Threads to compute with [default: all cores]
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub threads: Option<u16>,
    /// Where to compute: auto, cpu, or one this program was built for (cuda:0, vulkan:0, …)
    #[arg(long, global = true, value_name = "NAME", default_value = "auto")]
    pub device: String,
    /// Seed of everything random [default: 0, or what the recipe says]
    #[arg(long, global = true, value_name = "N")]
    pub seed: Option<u64>,
}
