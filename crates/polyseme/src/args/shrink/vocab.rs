//! Words of `polyseme shrink vocab`.

use clap::Args;
use std::path::PathBuf;

const AFTER_HELP: &str = "\
What the model says of texts whose pieces all stay is what it said before. Special tokens, bytes and
what pieces that stay are made of stay too.

Examples:
  polyseme shrink vocab encoder --corpus texts/ --out smaller
  polyseme shrink vocab sentences --corpus pairs.csv --text first,second --min-count 3 --out smaller";

/// Words of `polyseme shrink vocab`.
#[derive(Clone, Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct VocabArgs {
    /// Model folder to drop pieces from
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,
    /// Texts of the domain: files and folders of .txt, .jsonl, .csv, .tsv or .parquet, plain or .gz/.zst
    #[arg(long, value_name = "FILES", num_args = 1.., required = true)]
    pub corpus: Vec<PathBuf>,
    /// Folder to write
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Columns or keys of the text in tables, with commas between them
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    pub text: Vec<String>,
    /// Drop pieces that stand in the texts less often than this
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub min_count: u64,
    /// Keep all pieces of a single character, for texts with letters that these do not have
    #[arg(long)]
    pub keep_characters: bool,
    /// Keep these pieces, with commas between them
    #[arg(long, value_name = "PIECES", value_delimiter = ',')]
    pub keep_pieces: Vec<String>,
    /// Write over a model that is there
    #[arg(long)]
    pub force: bool,
}
