//! Resolves the plan of a fine-tuning run.

use super::layers::{Override, agree, apply, parse_set, table_of, typed};
use super::pretrain::{same_folder, stored};
use super::{Error, Plan, Result};
use crate::args::FinetuneArgs;
use polyseme_train::FinetuneSettings;
use polyseme_train::finetune::Freeze;
use polyseme_train::finetune::settings::TASKS;
use toml::{Table, Value};

const PLACE: &str = "the settings of finetune";

fn defaults() -> Table {
    table_of(&FinetuneSettings::classify("", "", ""))
}

fn known_keys() -> Table {
    let mut table = defaults();
    for optional in ["valid", "text", "pair", "label"] {
        table.insert(optional.into(), "".into());
    }
    if let Some(Value::Table(distil)) = table.get_mut("distil") {
        distil.insert("teacher".into(), "".into());
        distil.insert("augment_with".into(), "".into());
    }
    table
}

/// The plan that the words come to. With `--resume` it is the run's own, and any flag that says
/// something else is an error.
pub fn resolve_finetune(args: &FinetuneArgs, seed: Option<u64>) -> Result<Plan<FinetuneSettings>> {
    check_task(args)?;
    let overrides = overrides(args, seed)?;
    if args.resume {
        let out = args.out.as_deref().ok_or(Error::Missing { what: "--out", hint: "name the folder of the run" })?;
        let (path, stored) = stored(out)?;
        agree(&stored, &overrides, &known_keys(), &path)?;
        let mut settings: FinetuneSettings = typed(&path.display().to_string(), &stored)?;
        settings.out = out.into();
        return Ok(Plan { settings, resume: true });
    }
    let mut table = table_of(&FinetuneSettings::of_task(args.task.as_deref().unwrap_or("classify"), "", "", ""));
    apply(&mut table, &overrides, &known_keys())?;
    let settings: FinetuneSettings = typed(PLACE, &table)?;
    if !args.dry_run {
        require(args)?;
        settings.check()?;
    }
    if same_folder(&settings.model, &settings.out) {
        return Err(Error::Contradiction {
            first: "MODEL".into(),
            second: "--out".into(),
            why: "the model would be written over".into(),
        });
    }
    Ok(Plan { settings, resume: false })
}

fn check_task(args: &FinetuneArgs) -> Result<()> {
    match args.task.as_deref() {
        Some(other) if !TASKS.contains(&other) => {
            let expected = TASKS.map(|task| format!("`{task}`")).join(", ");
            Err(Error::UnknownValue { what: "task", found: other.into(), expected })
        }
        _ => Ok(()),
    }
}

fn require(args: &FinetuneArgs) -> Result<()> {
    let missing = |what, hint| Err(Error::Missing { what, hint });
    if args.model.is_none() {
        return missing("MODEL", "name the model folder to begin with");
    }
    if args.task.is_none() {
        return missing("--task", "say what is to be learned: --task classify, regress, tag, …");
    }
    if args.train.is_none() {
        return missing("--train", "name the file with labelled rows to learn from");
    }
    if args.out.is_none() {
        return missing("--out", "name the folder to write, as in `--out classifier`");
    }
    Ok(())
}

fn overrides(args: &FinetuneArgs, seed: Option<u64>) -> Result<Vec<Override>> {
    let freeze = args.freeze.as_deref().map(parse_freeze).transpose()?;
    let tune_only =
        args.tune_only.as_deref().map(|given| names("--tune-only", given).map(Freeze::AllBut)).transpose()?;
    let out = args.out.as_ref().filter(|_| !args.resume);
    let mut all: Vec<Override> = [
        Override::given("MODEL", "model", args.model.as_ref())?,
        Override::given("--task", "task", args.task.as_ref())?,
        Override::given("--train", "train", args.train.as_ref())?,
        Override::given("--valid", "valid", args.valid.as_ref())?,
        Override::given("--out", "out", out)?,
        Override::given("--text", "text", args.text.as_ref())?,
        Override::given("--pair", "pair", args.pair.as_ref())?,
        Override::given("--label", "label", args.label.as_ref())?,
        Override::given("--choices", "choices", args.choices.as_ref())?,
        Override::given("--label-separator", "label_separator", args.label_separator.as_ref())?,
        Override::given("--max-new-tokens", "max_new_tokens", args.max_new_tokens)?,
        Override::given("--class-weights", "class_weights", args.class_weights.as_ref())?,
        Override::given("--label-smoothing", "label_smoothing", args.label_smoothing)?,
        Override::given("--similarity-loss", "similarity_loss", args.similarity_loss.as_ref())?,
        Override::given("--r-drop", "r_drop", args.r_drop)?,
        Override::given("--freeze", "freeze", freeze)?,
        Override::given("--tune-only", "freeze", tune_only)?,
        Override::given("--unfreeze-every", "unfreeze_every", args.unfreeze_every)?,
        Override::given("--lora", "lora.rank", args.lora)?,
        Override::given("--lora-alpha", "lora.alpha", args.lora_alpha)?,
        Override::given("--lora-targets", "lora.targets", args.lora_targets.as_ref())?,
        Override::given("--adapter-size", "adapter_size", args.adapter_size)?,
        Override::given("--prefix-length", "prefix_length", args.prefix_length)?,
        Override::given("--mix-layers", "mix_layers", args.mix_layers.then_some(true))?,
        Override::given("--epochs", "epochs", args.epochs)?,
        Override::given("--patience", "patience", args.patience)?,
        Override::given("--metric", "metric", args.metric.as_ref())?,
        Override::given("--batch-size", "batch_size", args.batch_size)?,
        Override::given("--learning-rate", "optimizer.learning_rate", args.learning_rate)?,
        Override::given("--head-rate", "optimizer.head_rate", args.head_rate)?,
        Override::given("--layer-decay", "optimizer.layer_decay", args.layer_decay)?,
        Override::given("--bf16", "optimizer.bf16", args.bf16.then_some(true))?,
        Override::given("--max-length", "max_length", args.max_length)?,
        Override::given("--quantize", "quantize", args.quantize.as_ref())?,
        Override::given("--seeds", "seeds", args.seeds)?,
        Override::given("--folds", "folds", args.folds)?,
        Override::given("--from-scratch", "from_scratch", args.from_scratch.then_some(true))?,
        Override::given("--seed", "seed", seed)?,
    ]
    .into_iter()
    .flatten()
    .collect();
    all.extend(parse_set(&args.set)?);
    Ok(all)
}

fn parse_freeze(given: &str) -> Result<Value> {
    let freeze = match given {
        "nothing" => Freeze::Nothing,
        "embeddings" => Freeze::Embeddings,
        "encoder" => Freeze::Encoder,
        other => match other.parse() {
            Ok(layers) => Freeze::Layers(layers),
            Err(_) => Freeze::Names(names("--freeze", other)?),
        },
    };
    Ok(Value::try_from(freeze).expect("freeze is plain data"))
}

/// Patterns of names: letters, digits, dots, underscores, stars; commas between them.
fn names(flag: &'static str, given: &str) -> Result<Vec<String>> {
    let names: Vec<String> = given.split(',').map(|name| name.trim().to_owned()).collect();
    let good =
        |name: &String| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "._*-".contains(c));
    // A word without a dot or a star is more likely a slip than the end of a name.
    if names.iter().all(good) && names.iter().all(|name| name.contains(['.', '*'])) {
        return Ok(names);
    }
    Err(Error::UnknownValue {
        what: flag,
        found: given.into(),
        expected: match flag {
            "--freeze" => "`nothing`, `embeddings`, a number of layers, `encoder`, or names such as `layer.0.*`".into(),
            _ => "names of parameters such as `*.bias,layer.5.*`".into(),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};
    use clap::Parser;

    fn resolve(words: &str) -> Result<Plan<FinetuneSettings>> {
        let cli = Cli::try_parse_from(["polyseme", "finetune"].into_iter().chain(words.split_whitespace())).unwrap();
        let Command::Finetune(args) = cli.command else { unreachable!() };
        resolve_finetune(&args, cli.global.seed)
    }

    const WHOLE: &str = "m --task classify --train t.csv --out o ";

    #[test]
    fn flags_lie_over_the_defaults() {
        let s =
            resolve(&format!("{WHOLE} --freeze 2 --seeds 5 --label y --set optimizer.warmup=0.2")).unwrap().settings;
        assert_eq!(s.freeze, Freeze::Layers(2));
        assert_eq!((s.seeds, s.label.as_deref(), s.optimizer.warmup), (5, Some("y"), 0.2));
        assert_eq!(resolve(&format!("{WHOLE} --freeze encoder")).unwrap().settings.freeze, Freeze::Encoder);
    }

    #[test]
    fn each_task_has_its_usual_settings() {
        let found = |task: &str| {
            let s = resolve(&format!("m --task {task} --train t.csv --out o")).unwrap().settings;
            (s.metric, s.max_length)
        };
        assert_eq!(found("tag"), ("f1".into(), 256));
        assert_eq!(found("qa"), ("f1".into(), 384));
        assert_eq!(found("multilabel"), ("micro_f1".into(), 256));
        let s = resolve("m --task choice --train t.csv --out o --choices a,b").unwrap().settings;
        assert_eq!(s.choices, ["a", "b"]);
        assert!(resolve("m --task choice --train t.csv --out o").is_err());
    }

    #[test]
    fn what_is_missing_or_unknown_is_named() {
        assert!(matches!(resolve("m --task nonsense --train t --out o"), Err(Error::UnknownValue { .. })));
        assert!(matches!(resolve("m --train t --out o"), Err(Error::Missing { what: "--task", .. })));
        assert!(matches!(resolve(&format!("{WHOLE} --freeze head")), Err(Error::UnknownValue { .. })));
    }
}
