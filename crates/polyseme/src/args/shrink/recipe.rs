//! Words of `polyseme shrink recipe`.

use clap::Args;
use std::path::PathBuf;

const AFTER_HELP: &str = "\
A recipe is a TOML file with a gate, rows, and steps:

  [gate]
  max_loss = 0.02                      # of the metric, as a share; or max_loss_points, in its own unit
  size = 0.25                          # wanted: share of the bytes (may be left out)
  speed = 4.0                          # wanted: times the rows per second (may be left out)

  [data]
  train = \"train.csv\"
  valid = \"valid.csv\"                  # these rows decide; `test` is looked at once, at the end

  [[step]]
  way = \"vocab\"

  [[step]]
  way = \"distil\"
  keep_layers = [[0, 2, 4], [0, 3]]    # alternatives: the gentlest first
  epochs = 4

  [[step]]
  way = \"prune\"
  keep_heads = [0.75, 0.5]
  keep_units = [0.75, 0.5]             # as many: they go together

Keys of a step are the options of its command (`polyseme shrink WAY --help`), with `_` for `-`. A list where a command
takes one value, or a list of lists where it takes several, are alternatives.

Each step begins from the best model so far and tries its alternatives until one loses more than the gate allows
(`try_all = true`: all of them). The one within the gate that is nearest to what is wanted goes on, or, where nothing is
wanted, the smallest. A step of which none is within the gate is skipped. `max_loss` in a step is what may be lost up to
there. The recipe ends as soon as size and speed that are wanted are there. The given model is a candidate, too: where
nothing is within the gate, a copy of it is what --out holds, which is said, and the exit code is 0.

Examples:
  polyseme shrink recipe classifier --recipe smaller.toml --out small
  polyseme shrink recipe classifier --recipe smaller.toml --out small --dry-run
  polyseme shrink recipe --out small --resume";

/// Words of `polyseme shrink recipe`.
#[derive(Clone, Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct RecipeArgs {
    /// Model folder to make smaller
    #[arg(value_name = "MODEL", required_unless_present = "resume")]
    pub model: Option<PathBuf>,
    /// File with the gate, the rows and the steps
    #[arg(long, value_name = "FILE", required_unless_present = "resume")]
    pub recipe: Option<PathBuf>,
    /// Folder for the best model, and, in DIR/candidates, for all others
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Go on with the recipe in --out; candidates that are finished are not made again
    #[arg(long, conflicts_with_all = ["model", "recipe"])]
    pub resume: bool,
    /// Print the resolved plan and stop
    #[arg(long, conflicts_with = "resume")]
    pub dry_run: bool,
}
