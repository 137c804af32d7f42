//! Words of `polyseme pretrain`.

use clap::{ArgGroup, Args};
use std::path::PathBuf;

const AFTER_HELP: &str = "\
Recipes: tiny (2 layers × 128), mini (4 × 256), small (4 × 512) for a laptop, base (12 × 768) for a
GPU; modern and albert are mini with the layers of ModernBERT and ALBERT. `--dry-run` prints one as a
file; change it and give it back with `--recipe FILE`.

Examples:
  polyseme pretrain texts/ --out encoder --budget 30m
  polyseme pretrain reviews.csv --text body --recipe tiny --steps 2000 --out encoder
  polyseme pretrain --out encoder --resume
  polyseme pretrain texts/ --recipe small --dry-run > mine.toml";

/// Words of `polyseme pretrain`.
#[derive(Clone, Debug, Default, Args)]
#[command(after_help = AFTER_HELP)]
#[command(group = ArgGroup::new("length").args(["budget", "steps", "epochs"]).multiple(false))]
pub struct PretrainArgs {
    /// Files and folders of .txt, .jsonl, .csv, .tsv or .parquet, plain or .gz/.zst
    #[arg(value_name = "CORPUS")]
    pub corpus: Vec<PathBuf>,
    /// Folder for the model and, in DIR/run, for all that is needed to go on
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Go on from this model folder; its tokenizer and its shape are kept
    #[arg(long, value_name = "MODEL")]
    pub from: Option<PathBuf>,
    /// tiny, mini, small, base, modern, albert, or a settings file [default: mini]
    #[arg(long, value_name = "NAME|FILE")]
    pub recipe: Option<String>,
    /// Train for this long by the clock: 90s, 30m, 1h30m
    #[arg(long, value_name = "TIME")]
    pub budget: Option<String>,
    /// Train for this many optimizer steps
    #[arg(long, value_name = "N")]
    pub steps: Option<u64>,
    /// Train for this many passes over the corpus
    #[arg(long, value_name = "N")]
    pub epochs: Option<f64>,
    /// What is learned: mlm, masked language modelling; mlm+sop, besides in which order two parts of a text stand (BERT
    /// and ALBERT)
    #[arg(long, value_name = "NAME")]
    pub objective: Option<String>,
    /// Number of pieces the new tokenizer learns
    #[arg(long, value_name = "N")]
    pub vocab_size: Option<u64>,
    /// Longest sequence in tokens
    #[arg(long, value_name = "N")]
    pub seq_len: Option<u64>,
    /// Peak learning rate
    #[arg(long, value_name = "F")]
    pub learning_rate: Option<f64>,
    /// Round what is multiplied in the layers to bfloat16 while learning: faster where the processor has units for it
    /// (AMX, AVX-512 BF16)
    #[arg(long)]
    pub bf16: bool,
    /// Column or key of the text in tables
    #[arg(long, value_name = "COL")]
    pub text: Option<String>,
    /// Set any key of the recipe, such as masking.whole_word=true (may be given several times)
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Go on with the run in --out, with the settings it was begun with
    #[arg(long)]
    pub resume: bool,
    /// Print the resolved settings as a recipe file and stop
    #[arg(long, conflicts_with = "resume")]
    pub dry_run: bool,
}
