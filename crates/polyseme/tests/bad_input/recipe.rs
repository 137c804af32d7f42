//! Recipes of shrinking that cannot be followed.

use crate::check::Case;
use crate::fixture::{Bench, Head};

/// The recipe `r.toml` for the model `m`.
const RUN: &[&str] = &["shrink", "recipe", "m", "--recipe", "r.toml", "--out", "c"];

const DATA: &str = "[data]\ntrain = 'train.csv'\nvalid = 'valid.csv'\n";
const VOCAB: &str = "[[step]]\nway = 'vocab'\n";

/// A model that knows no more of the rows than chance does, and a recipe.
fn with(b: &Bench, recipe: &str) {
    b.model("m", Head::Classify);
    b.write("r.toml", recipe);
}

/// A model and a recipe with a gate and these steps.
fn steps(b: &Bench, steps: &str) {
    with(b, &format!("[gate]\nmax_loss = 0.1\n{DATA}{steps}"));
}

/// A model and a recipe with this gate and a good step.
fn gate(b: &Bench, gate: &str) {
    with(b, &format!("[gate]\n{gate}\n{DATA}{VOCAB}"));
}

/// A case of a recipe's text.
macro_rules! case {
    ($name:literal, $make:expr, $says:expr) => {
        Case { name: $name, make: $make, run: RUN, exit: 1, says: $says }
    };
}

pub const CASES: &[Case] = &[
    case!("a recipe that is not there", |b| b.model("m", Head::Classify), &["r.toml"]),
    case!("a recipe of shrinking that is no TOML", |b| with(b, "gate = ["), &["r.toml", "line 1"]),
    case!("a recipe without rows", |b| with(b, &format!("[gate]\nmax_loss = 0.1\n{VOCAB}")), &["r.toml", "data"]),
    case!(
        "a recipe without validation rows",
        |b| with(b, &format!("[gate]\nmax_loss = 0.1\n[data]\ntrain = 'a'\n{VOCAB}")),
        &["valid"]
    ),
    case!("a recipe without steps", |b| steps(b, ""), &["[[step]]", "at least one"]),
    case!("a recipe without a gate", |b| with(b, &format!("{DATA}{VOCAB}")), &["gate.max_loss", "missing", "0.02"]),
    case!(
        "a gate that is negative",
        |b| gate(b, "max_loss = -0.1"),
        &["gate.max_loss is|`gate.max_loss` is -0.1", "from 0"]
    ),
    case!("a gate in per cent", |b| gate(b, "max_loss = 2"), &["gate.max_loss", "0.02 allows a loss of 2 %"]),
    case!("a gate that is no number", |b| gate(b, "max_loss = nan"), &["gate.max_loss", "NaN"]),
    case!(
        "two gates",
        |b| gate(b, "max_loss = 0.1\nmax_loss_points = 0.1"),
        &["gate.max_loss_points", "one of the two"]
    ),
    case!("a gate of negative points", |b| gate(b, "max_loss_points = -1"), &["gate.max_loss_points", "0 or more"]),
    case!("a misspelt key of the gate", |b| gate(b, "max_los = 0.1"), &["max_los", "did you mean `max_loss`"]),
    case!(
        "a gate by the metric of another task",
        |b| gate(b, "max_loss = 0.1\nmetric = 'spearman'"),
        &["spearman", "accuracy"]
    ),
    case!("a wanted size above the whole", |b| gate(b, "max_loss = 0.1\nsize = 1.5"), &["gate.size", "at most 1"]),
    case!("a wanted speed below the whole's", |b| gate(b, "max_loss = 0.1\nspeed = 0.5"), &["gate.speed", "1 or more"]),
    case!("a step without a way", |b| steps(b, "[[step]]\nepochs = 2\n"), &["step 1", "`way` is missing", "`distil`"]),
    case!(
        "an unknown way",
        |b| steps(b, "[[step]]\nway = 'distill'\n"),
        &["step 1", "no way `distill`", "did you mean `distil`"]
    ),
    case!("a way that is a number", |b| steps(b, "[[step]]\nway = 3\n"), &["`way` is 3", "`prune`"]),
    case!(
        "an unknown key of a step",
        |b| steps(b, &format!("{VOCAB}[[step]]\nway = 'distil'\nkeep_layer = [0]\n")),
        &["step 2 (distil)", "keep_layer", "did you mean `keep_layers`"]
    ),
    case!(
        "an empty list of alternatives",
        |b| steps(b, "[[step]]\nway = 'prune'\nkeep_heads = []\n"),
        &["step 1 (prune)", "keep_heads", "empty list"]
    ),
    case!(
        "alternatives that do not go together",
        |b| {
            steps(b, "[[step]]\nway = 'prune'\nkeep_heads = [0.5, 0.4]\nkeep_units = [0.5, 0.4, 0.3]\n");
        },
        &["keep_heads", "2 alternatives", "3", "as many of each"]
    ),
    case!(
        "a step that says where it goes",
        |b| steps(b, "[[step]]\nway = 'vocab'\nout = 'x'\n"),
        &["`out` cannot be given", "leave it out"]
    ),
    case!(
        "a value that the way does not take",
        |b| steps(b, "[[step]]\nway = 'distil'\nepochs = 'many'\n"),
        &["step 1 (distil)", "invalid value 'many'", "--epochs"]
    ),
    case!(
        "a share that a step refuses",
        |b| steps(b, "[[step]]\nway = 'prune'\nkeep_heads = [0.5, 1.5]\n"),
        &["step 1 (prune)", "keep_heads", "at most 1"]
    ),
    case!(
        "a step whose gate is negative",
        |b| steps(b, "[[step]]\nway = 'vocab'\nmax_loss = -1\n"),
        &["step 1, max_loss", "from 0"]
    ),
    case!(
        "texts without labels in a step",
        |b| steps(b, "[[step]]\nway = 'distil'\ncorpus = ['corpus.txt']\ntrain = 'x'\n"),
        &["step 1 (distil)", "cannot be used with|no labels"]
    ),
    case!(
        "a model that knows nothing of the rows",
        |b| {
            steps(b, VOCAB);
            b.write("valid.csv", "text,label\nthe snow is cold,cold\nthe snow is cold,warm\n");
        },
        &["m", "knows|says", "validation rows"]
    ),
    case!(
        "training rows of a recipe that are not there",
        |b| with(b, &format!("[gate]\nmax_loss = 0.1\n[data]\ntrain = 'nowhere.csv'\nvalid = 'valid.csv'\n{VOCAB}")),
        &["nowhere.csv"]
    ),
    case!(
        "validation rows of a recipe that are not there",
        |b| with(b, &format!("[gate]\nmax_loss = 0.1\n[data]\ntrain = 'train.csv'\nvalid = 'nowhere.csv'\n{VOCAB}")),
        &["nowhere.csv"]
    ),
    case!(
        "a recipe for a model without a task",
        |b| {
            steps(b, VOCAB);
            b.model("m", Head::MaskedLm);
        },
        &["task is missing", "fine-tune it first"]
    ),
    case!(
        "a recipe for a model that is not there",
        |b| b.write("r.toml", format!("[gate]\nmax_loss = 0.1\n{DATA}{VOCAB}")),
        &["m: no such folder"]
    ),
    Case {
        name: "a recipe over its own model",
        make: |b| steps(b, VOCAB),
        run: &["shrink", "recipe", "m", "--recipe", "r.toml", "--out", "m"],
        exit: 1,
        says: &["--out", "written over"],
    },
    Case {
        name: "a recipe without a file",
        make: |b| steps(b, VOCAB),
        run: &["shrink", "recipe", "m", "--out", "c"],
        exit: 1,
        says: &["--recipe <FILE>"],
    },
    Case {
        name: "a recipe to go on with that never began",
        make: |b| steps(b, VOCAB),
        run: &["shrink", "recipe", "--out", "c", "--resume"],
        exit: 1,
        says: &["c", "settings.toml"],
    },
];
