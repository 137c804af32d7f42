//! Words of `polyseme tour`.

use clap::Args;
use std::path::PathBuf;

/// Words of `polyseme tour`.
#[derive(Clone, Debug, Args)]
pub struct TourArgs {
    /// Texts to pre-train on instead of the embedded default (files or folders)
    #[arg(long, value_name = "PATH", num_args = 1..)]
    pub corpus: Vec<PathBuf>,
    /// Folder for everything the tour makes, its report included
    #[arg(long, value_name = "DIR", default_value = "polyseme-tour")]
    pub out: PathBuf,
    /// Minutes it may take in all; a tenth of one shows how it goes, and learns next to nothing
    #[arg(long, value_name = "N", default_value = "6", value_parser = minutes)]
    pub minutes: f64,
}

fn minutes(given: &str) -> Result<f64, String> {
    let minutes: f64 = given.parse().map_err(|_| "a number of minutes was expected".to_owned())?;
    if (0.05..=600.0).contains(&minutes) { Ok(minutes) } else { Err("from 0.05 to 600 minutes".to_owned()) }
}
