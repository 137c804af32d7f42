//! Words of `polyseme search`.

use clap::Args;
use std::path::PathBuf;

const HELP: &str = "\
The model that made the index makes the query's vector; every vector of the index is compared with it, by cosine. An index
of more than a million vectors has a graph (HNSW), which may miss some; --exact looks at all.

Examples:
  polyseme embed encoder texts.txt --out index
  polyseme search index 'late delivery' --top 5";

/// Words of `polyseme search`.
#[derive(Clone, Debug, Args)]
#[command(after_help = HELP)]
pub struct SearchArgs {
    /// Folder that `polyseme embed --out FOLDER` wrote
    #[arg(value_name = "INDEX")]
    pub index: PathBuf,
    /// What to look for
    #[arg(value_name = "QUERY")]
    pub query: String,
    /// How many to show
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = super::using::parse_top)]
    pub top: usize,
    /// Look at every vector, also where the index has a graph
    #[arg(long)]
    pub exact: bool,
    /// The model's folder, if it was moved since
    #[arg(long, value_name = "MODEL")]
    pub model: Option<PathBuf>,
}
