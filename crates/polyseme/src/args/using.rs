//! Words of the commands that use a model: eval, predict, embed, fill, merge.

use clap::{Args, ValueEnum};
use std::path::PathBuf;

const EVAL_HELP: &str = "\
A folder of `pretrain` is measured by the tokens it cannot see: 15 % of all texts in FILE (a folder, or
any file that `pretrain` reads) are hidden, the same ones for the same --seed.

Examples:
  polyseme eval classifier --data test.csv
  polyseme eval classifier --data test.jsonl --text body --label topic --json
  polyseme eval tagger --data test.conll --report errors.html
  polyseme eval encoder --data unseen.txt";

/// Words of `polyseme eval`.
#[derive(Clone, Debug, Args)]
#[command(after_help = EVAL_HELP)]
pub struct EvalArgs {
    /// Fine-tuned model folder, or a pre-trained one
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,
    /// Labelled rows: .csv, .tsv, .jsonl or .parquet; .conll for a tagger, .json (SQuAD) for a reader; of a
    /// pre-trained model, texts
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
    /// Columns of the choices, with commas between them
    #[arg(long, value_name = "COLS", value_delimiter = ',')]
    pub choices: Vec<String>,
    /// What stands between the labels of a row [default: a comma; lists in JSON need none]
    #[arg(long, value_name = "TEXT")]
    pub label_separator: Option<String>,
    /// Longest input in tokens; longer ones are cut, read in windows by taggers and readers, or in pieces by a
    /// pre-trained model
    #[arg(long, value_name = "N")]
    pub max_length: Option<usize>,
    /// Tokens of the longest text that is generated [default: 48]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(2..))]
    pub max_new_tokens: Option<u64>,
    /// Page to write: calibration, precision and recall, the worst errors with their texts
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

const PREDICT_HELP: &str = "\
One JSON object a text, in order. By the model's task it has label, score and scores (a probability for
each label); labels and scores; value; entities (label, text, start and end in characters, score); generated and
its score; or, of a question (--text) and its passage (--pair), answer, start, end and score. Of a sentence encoder and
two texts it has the cosine of their vectors and, if it learned from scores, the value that this cosine stands for.

Examples:
  polyseme predict classifier new.csv --text body > labels.jsonl
  echo 'the delivery was late' | polyseme predict classifier
  polyseme predict reader questions.jsonl --text question --pair context
  polyseme predict sentence-encoder pairs.csv --text one --pair two";

/// Words of `polyseme predict`.
#[derive(Clone, Debug, Args)]
#[command(after_help = PREDICT_HELP)]
pub struct PredictArgs {
    /// Fine-tuned model folder
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,
    /// Texts: .txt (one a line), .jsonl, .csv, .tsv or .parquet; - is standard input, one a line
    #[arg(value_name = "FILE", default_value = "-")]
    pub file: PathBuf,
    /// Column of the text [default: guessed from the header]
    #[arg(long, value_name = "COL")]
    pub text: Option<String>,
    /// Column of the second text of a pair
    #[arg(long, value_name = "COL")]
    pub pair: Option<String>,
    /// Columns of the choices, with commas between them
    #[arg(long, value_name = "COLS", value_delimiter = ',')]
    pub choices: Vec<String>,
    /// Give no answer where the model holds that the passage has none
    #[arg(long)]
    pub or_none: bool,
    /// Beginnings kept at each step while a text is generated; 1: the best token each time [default: 4]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=64))]
    pub beams: Option<u64>,
    /// Tokens of the longest text that is generated [default: 48]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(2..))]
    pub max_new_tokens: Option<u64>,
    /// Longest input in tokens; longer ones are cut, or read in windows by taggers and readers
    #[arg(long, value_name = "N")]
    pub max_length: Option<usize>,
}

/// How token vectors become one vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)] // a doc comment here would make --help three times as long
pub enum PoolingArg {
    Auto,
    Mean,
    Cls,
    Max,
}

const EMBED_HELP: &str = "\
Without --out: JSON lines on stdout with the keys text and embedding; with --tokens text, words,
ranges (bytes) and embeddings. The order is that of the input, and memory stays the same however
long the input is.

Examples:
  polyseme embed encoder texts.txt --out vectors.npy
  polyseme embed encoder rows.csv --text body --out vectors.parquet
  polyseme embed encoder texts.txt --out index && polyseme search index 'late delivery'
  echo 'the bank of the river' | polyseme embed encoder --tokens";

/// Words of `polyseme embed`.
#[derive(Clone, Debug, Args)]
#[command(after_help = EMBED_HELP)]
pub struct EmbedArgs {
    /// Model folder
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,
    /// Texts: .txt (one a line), .jsonl, .csv, .tsv or .parquet; - is standard input, one a line
    #[arg(value_name = "FILE", default_value = "-")]
    pub file: PathBuf,
    /// File to write: .npy, .parquet or .jsonl; without an ending a folder for `polyseme search` [default:
    /// JSON lines on stdout]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Give a folder for search a graph in which not every vector is looked at [default: beyond a million]
    #[arg(long, requires = "out")]
    pub approximate: bool,
    /// How token vectors become one: auto is what the model folder says, else mean
    #[arg(long, value_enum, value_name = "NAME", default_value_t = PoolingArg::Auto)]
    pub pooling: PoolingArg,
    /// Layer to take: 0 is the embeddings, 1 the first layer [default: the last]
    #[arg(long, value_name = "N")]
    pub layer: Option<usize>,
    /// One vector a word instead of one a text: the mean of the word's pieces
    #[arg(long, conflicts_with_all = ["pooling"])]
    pub tokens: bool,
    /// Longest input in tokens; longer ones are cut [default: what the model folder says]
    #[arg(long, value_name = "N")]
    pub max_length: Option<usize>,
    /// Scale vectors to length 1, or not [default: what the model folder says, else not]
    #[arg(long, value_name = "true|false", num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_possible_values = true)]
    pub normalize: Option<bool>,
    /// Column of the text in a table [default: guessed from the header]
    #[arg(long, value_name = "COL")]
    pub text: Option<String>,
}

const FILL_HELP: &str = "\
Example:
  polyseme fill encoder 'The [MASK] sat on the mat.' --top 3";

/// Words of `polyseme fill`.
#[derive(Clone, Debug, Args)]
#[command(after_help = FILL_HELP)]
pub struct FillArgs {
    /// Pre-trained model folder
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,
    /// A text with one or more masks
    #[arg(value_name = "TEXT")]
    pub text: String,
    /// Candidates for each mask
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = parse_top)]
    pub top: usize,
}

pub(super) fn parse_top(s: &str) -> Result<usize, String> {
    match s.parse() {
        Ok(0) => Err("at least one candidate must be asked for".into()),
        Ok(n) => Ok(n),
        Err(_) => Err("not a whole number".into()),
    }
}

const EXPORT_HELP: &str = "\
The graph takes input_ids, attention_mask and token_type_ids, filled up at the right, and gives last_hidden_state, or
logits where the model has a head. Matrices of 8 bits stay so (`shrink quantize`): with --calibrate's ranges as QDQ,
whose numbers are ours; without, by the range of a whole batch.

Examples:
  polyseme export classifier --out classifier.onnx
  polyseme shrink quantize classifier --calibrate texts.txt --out small && polyseme export small --out small.onnx";

/// Words of `polyseme export`.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXPORT_HELP)]
pub struct ExportArgs {
    /// Model folder
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,
    /// ONNX file to write
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

const MERGE_HELP: &str = "\
Example:
  polyseme merge adapter --out classifier";

/// Words of `polyseme merge`.
#[derive(Clone, Debug, Args)]
#[command(after_help = MERGE_HELP)]
pub struct MergeArgs {
    /// Folder of the adapter, as finetune --lora or the library peft wrote it
    #[arg(value_name = "ADAPTER")]
    pub adapter: PathBuf,
    /// Folder for the whole model
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Write over a model that is there
    #[arg(long)]
    pub force: bool,
}
