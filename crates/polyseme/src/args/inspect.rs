//! Words of `polyseme inspect` and its commands.

use clap::{Args, Subcommand, ValueEnum};
use polyseme_inspect::map::MapKind;
use std::path::PathBuf;

/// Words of `polyseme inspect`.
#[derive(Clone, Debug, Args)]
pub struct InspectArgs {
    /// What to look at.
    #[command(subcommand)]
    pub what: InspectWhat,
}

/// What can be looked at.
#[derive(Clone, Debug, Subcommand)]
pub enum InspectWhat {
    /// A word in many sentences: the map of its vectors at each layer, and the senses they fall into
    Senses(SensesArgs),
    /// What each token of a text attends to, by layer and head
    Attention(AttentionArgs),
    /// What the model would have said at each token of a text
    Fill(SaidArgs),
    /// What is near an entry of a folder of vectors, and a map of them
    Neighbours(NeighboursArgs),
    /// Which layer knows what: a linear probe for each, with a control task beside it
    Probe(ProbeArgs),
    /// The loss between pre-trained and fine-tuned weights, and a run from scratch
    Landscape(LandscapeArgs),
    /// What is in a folder, in milliseconds; and how far it is from another model
    Model(FactsArgs),
}

/// How vectors become points of a plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)] // a doc comment here would make --help three times as long
pub enum MapArg {
    Pca,
    Tsne,
}

impl From<MapArg> for MapKind {
    fn from(kind: MapArg) -> Self {
        match kind {
            MapArg::Pca => Self::Pca,
            MapArg::Tsne => Self::Tsne,
        }
    }
}

const OUT_HELP: &str = "\
The ending of --out says what is written: .html (a page that needs no network), .svg or .png (the drawing),
.json (all numbers); --out may be given several times.";

const SENSES_HELP: &str = "\
The file is .txt (a text a line), .jsonl, .csv, .tsv or .parquet; a folder is read as a corpus, whose long documents are
cut to the sentence around the word. A word stands by itself, in any case; Chinese and its like inside of a text, too.
Groups are made by average linkage of cosine distances, as many as the silhouette is best of.

Examples:
  polyseme inspect senses encoder bank texts.txt --out bank.html
  polyseme inspect senses encoder bank rows.csv --also banks --label sense --out bank.svg --layer 4 --out bank.json
  polyseme inspect senses encoder 苹果 corpus/ --map tsne --out apple.html";

/// Words of `polyseme inspect senses`.
#[derive(Clone, Debug, Args)]
#[command(after_help = SENSES_HELP)]
pub struct SensesArgs {
    /// Model folder
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,
    /// The word
    #[arg(value_name = "WORD")]
    pub word: String,
    /// Texts with the word; - is standard input, one a line
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Other forms that count as the word, with commas between them
    #[arg(long, value_name = "FORMS", value_delimiter = ',')]
    pub also: Vec<String>,
    /// Column of the text [default: guessed from the header]
    #[arg(long, value_name = "COL")]
    pub text: Option<String>,
    /// Column of the true sense, to compare with
    #[arg(long, value_name = "COL")]
    pub label: Option<String>,
    /// How many senses there are [default: as many as the vectors fall into]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=64))]
    pub senses: Option<u64>,
    /// How vectors become points
    #[arg(long, value_enum, value_name = "KIND", default_value_t = MapArg::Pca)]
    pub map: MapArg,
    /// Layer that a drawing shows: 0 is the embeddings, 1 the first layer [default: where senses part best]
    #[arg(long, value_name = "N")]
    pub layer: Option<usize>,
    /// Occurrences at most; of more, an even part
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = clap::value_parser!(u64).range(3..=20_000))]
    pub most: u64,
    /// Files to write, by their ending: .html, .svg, .png, .json
    #[arg(long, value_name = "FILE")]
    pub out: Vec<PathBuf>,
}

/// Words of `polyseme inspect attention`.
#[derive(Clone, Debug, Args)]
#[command(after_help = OUT_HELP)]
pub struct AttentionArgs {
    /// Model folder
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,
    /// The text
    #[arg(value_name = "TEXT")]
    pub text: String,
    /// A second text, as of a pair
    #[arg(long, value_name = "TEXT")]
    pub pair: Option<String>,
    /// Layers to look at, from 1, with commas between them [default: all]
    #[arg(long, value_name = "LAYERS", value_delimiter = ',')]
    pub layer: Vec<usize>,
    /// Files to write, by their ending: .html, .svg, .png, .json
    #[arg(long, value_name = "FILE")]
    pub out: Vec<PathBuf>,
}

/// Words of `polyseme inspect fill`.
#[derive(Clone, Debug, Args)]
#[command(after_help = OUT_HELP)]
pub struct SaidArgs {
    /// Pre-trained model folder
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,
    /// A text, with masks or without
    #[arg(value_name = "TEXT")]
    pub text: String,
    /// Candidates at each token
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = super::using::parse_top)]
    pub top: usize,
    /// Files to write, by their ending: .html, .svg, .png, .json
    #[arg(long, value_name = "FILE")]
    pub out: Vec<PathBuf>,
}

const PROBE_HELP: &str = "\
Labels of texts (.csv, .jsonl, …), or with --tags those of tokens (CoNLL, .jsonl). A fourth of the texts measures, unless
--valid names others. Beside it stands a control task: for tags each word has a label by lot (Hewitt & Liang 2019).

Examples:
  polyseme inspect probe encoder topics.csv --out topics.html
  polyseme inspect probe encoder train.conll --valid dev.conll --tags --out tags.html";

/// Words of `polyseme inspect probe`.
#[derive(Clone, Debug, Args)]
#[command(after_help = PROBE_HELP)]
pub struct ProbeArgs {
    /// Model folder
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,
    /// Labelled texts
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Labelled texts that measure [default: a fourth of FILE, by --seed]
    #[arg(long, value_name = "FILE")]
    pub valid: Option<PathBuf>,
    /// Labels are those of tokens
    #[arg(long)]
    pub tags: bool,
    /// Column of the text, or of the tokens [default: guessed]
    #[arg(long, value_name = "COL")]
    pub text: Option<String>,
    /// Column of the label, or of the tags [default: guessed]
    #[arg(long, value_name = "COL")]
    pub label: Option<String>,
    /// Labelled texts, or tokens, at most
    #[arg(long, value_name = "N", default_value_t = 4000, value_parser = clap::value_parser!(u64).range(40..=100_000))]
    pub most: u64,
    /// Files to write, by their ending: .html, .svg, .png, .json
    #[arg(long, value_name = "FILE")]
    pub out: Vec<PathBuf>,
}

const LANDSCAPE_HELP: &str = "\
The loss is computed for every point of the line (--points) and of the plane (--grid, squared), so a file of a hundred or
two rows is enough. The head of the pre-trained weights is random, by --seed; so is where a run from scratch began, whose
seed must be the same.

Examples:
  polyseme inspect landscape encoder classifier --data valid.csv --out landscape.html
  polyseme inspect landscape encoder classifier --scratch from-scratch --data valid.csv --out landscape.html";

/// Words of `polyseme inspect landscape`.
#[derive(Clone, Debug, Args)]
#[command(after_help = LANDSCAPE_HELP)]
pub struct LandscapeArgs {
    /// The model before fine-tuning
    #[arg(value_name = "PRETRAINED")]
    pub pretrained: PathBuf,
    /// The fine-tuned model
    #[arg(value_name = "FINETUNED")]
    pub finetuned: PathBuf,
    /// A model for the same task that was trained from random weights
    #[arg(long, value_name = "MODEL")]
    pub scratch: Option<PathBuf>,
    /// Labelled rows
    #[arg(long, value_name = "FILE")]
    pub data: PathBuf,
    /// Column of the text [default: guessed from the header]
    #[arg(long, value_name = "COL")]
    pub text: Option<String>,
    /// Column of the second text of a pair
    #[arg(long, value_name = "COL")]
    pub pair: Option<String>,
    /// Column of the label [default: guessed from the header]
    #[arg(long, value_name = "COL")]
    pub label: Option<String>,
    /// Longest input in tokens; longer ones are cut [default: what the model folder says]
    #[arg(long, value_name = "N")]
    pub max_length: Option<usize>,
    /// Points of a line, from half its length before the beginning to half behind the end
    #[arg(long, value_name = "N", default_value_t = 25, value_parser = clap::value_parser!(u64).range(3..=401))]
    pub points: u64,
    /// Points a side of the plane, where --scratch gives it; 0: none
    #[arg(long, value_name = "N", default_value_t = 11, value_parser = clap::value_parser!(u64).range(0..=101))]
    pub grid: u64,
    /// Files to write, by their ending: .html, .svg, .png, .json
    #[arg(long, value_name = "FILE")]
    pub out: Vec<PathBuf>,
}

const FACTS_HELP: &str = "\
No tensor is read, but to compare with another model.

Examples:
  polyseme inspect model encoder
  polyseme inspect model classifier --diff encoder --out moved.html";

/// Words of `polyseme inspect model`.
#[derive(Clone, Debug, Args)]
#[command(after_help = FACTS_HELP)]
pub struct FactsArgs {
    /// Model folder
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,
    /// Another model of the same family and width: which layers differ, and how far
    #[arg(long, value_name = "OTHER")]
    pub diff: Option<PathBuf>,
    /// Files to write, by their ending: .html, .svg, .png, .json
    #[arg(long, value_name = "FILE")]
    pub out: Vec<PathBuf>,
}

const NEIGHBOURS_HELP: &str = "\
Every vector is compared, by cosine. The map shows the neighbours among an even part of all entries.

Examples:
  polyseme embed encoder texts.txt --out index
  polyseme inspect neighbours index --query 'late delivery' --out near.html
  polyseme embed encoder texts.txt --tokens --out words && polyseme inspect neighbours words --row 17";

/// Words of `polyseme inspect neighbours`.
#[derive(Clone, Debug, Args)]
#[command(after_help = NEIGHBOURS_HELP)]
pub struct NeighboursArgs {
    /// Folder that `polyseme embed --out FOLDER` wrote
    #[arg(value_name = "INDEX")]
    pub index: PathBuf,
    /// A text whose neighbours are looked for
    #[arg(long, value_name = "TEXT", conflicts_with = "row", required_unless_present = "row")]
    pub query: Option<String>,
    /// An entry whose neighbours are looked for, from 1
    #[arg(long, value_name = "N")]
    pub row: Option<usize>,
    /// Neighbours
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = super::using::parse_top)]
    pub top: usize,
    /// How vectors become points
    #[arg(long, value_enum, value_name = "KIND", default_value_t = MapArg::Pca)]
    pub map: MapArg,
    /// Points of the map at most
    #[arg(long, value_name = "N", default_value_t = 600, value_parser = clap::value_parser!(u64).range(3..=5000))]
    pub most: u64,
    /// The model's folder, if it was moved since
    #[arg(long, value_name = "MODEL")]
    pub model: Option<PathBuf>,
    /// Files to write, by their ending: .html, .svg, .png, .json
    #[arg(long, value_name = "FILE")]
    pub out: Vec<PathBuf>,
}
