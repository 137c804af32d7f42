//! Resolves the plan of a pre-training run.

use super::layers::{self, Override, agree, apply, parse_set, table_of, typed};
use super::recipe::{self, DEFAULT_RECIPE, known_keys};
use super::{Error, Plan, Result, parse_duration, spell_duration};
use crate::args::PretrainArgs;
use polyseme_train::PretrainSettings;
use polyseme_train::pretrain::Length;
use std::path::Path;
use toml::{Table, Value};

const HIDDEN_SIZE: &str = "model.config.hidden_size";
const EMBEDDING_SIZE: &str = "model.config.embedding_size";

/// The plan that words and recipe come to. With `--resume` it is the run's own, and any flag that
/// says something else is an error.
pub fn resolve_pretrain(args: &PretrainArgs, seed: Option<u64>) -> Result<Plan<PretrainSettings>> {
    let overrides = overrides(args, seed)?;
    if args.resume { resume(args, &overrides) } else { begin(args, &overrides) }
}

fn begin(args: &PretrainArgs, overrides: &[Override]) -> Result<Plan<PretrainSettings>> {
    let name = args.recipe.as_deref().unwrap_or(DEFAULT_RECIPE);
    let known = known_keys();
    let mut table = recipe::load(name)?;
    let tied = layers::get(&table, EMBEDDING_SIZE) == layers::get(&table, HIDDEN_SIZE);
    apply(&mut table, overrides, &known)?;
    if tied && !overrides.iter().any(|o| o.key == EMBEDDING_SIZE) {
        let hidden_size = layers::get(&table, HIDDEN_SIZE).expect("recipes are filled").clone();
        layers::put(&mut table, EMBEDDING_SIZE, hidden_size);
    }
    if args.seq_len.is_some() {
        fit_positions(&mut table, overrides, args.from.is_none());
    }
    recipe::follow(&mut table);
    let settings: PretrainSettings = typed(&format!("recipe {name} with the flags"), &table)?;
    if !args.dry_run {
        require(&settings)?;
        settings.check()?;
    }
    check(args, &settings)?;
    Ok(Plan { settings, resume: false })
}

fn resume(args: &PretrainArgs, overrides: &[Override]) -> Result<Plan<PretrainSettings>> {
    let out = args.out.as_deref().ok_or(Error::Missing { what: "--out", hint: "name the folder of the run" })?;
    if args.recipe.is_some() {
        return Err(Error::Contradiction {
            first: "--recipe".into(),
            second: "--resume".into(),
            why: "a run goes on with the settings it was begun with".into(),
        });
    }
    let (path, stored) = stored(out)?;
    agree(&stored, overrides, &known_keys(), &path)?;
    let mut settings: PretrainSettings = typed(&path.display().to_string(), &stored)?;
    settings.out = out.into(); // the folder may have been moved
    Ok(Plan { settings, resume: true })
}

/// The settings a run in `out` was begun with, and their file.
pub fn stored(out: &Path) -> Result<(std::path::PathBuf, Table)> {
    let path = out.join("run").join("settings.toml");
    if !path.exists() {
        return Err(Error::NoRun { settings: path });
    }
    let table = layers::read(&path)?;
    Ok((path, table))
}

fn overrides(args: &PretrainArgs, seed: Option<u64>) -> Result<Vec<Override>> {
    let length = match (&args.budget, args.steps, args.epochs) {
        (Some(t), ..) => Some(("--budget", table_of(&Length::Budget(parse_duration(t)?)))),
        (_, Some(n), _) => Some(("--steps", table_of(&Length::Steps(n)))),
        (_, _, Some(n)) => Some(("--epochs", table_of(&Length::Epochs(n)))),
        _ => None,
    };
    let corpus = (!args.corpus.is_empty()).then_some(&args.corpus);
    let out = args.out.as_ref().filter(|_| !args.resume);
    let mut all: Vec<Override> = [
        Override::given("CORPUS", "corpus", corpus)?,
        Override::given("--text", "text_column", args.text.as_ref())?,
        Override::given("--out", "out", out)?,
        Override::given("--from", "from", args.from.as_ref())?,
        Override::given("--objective", "objective", args.objective.as_ref())?,
        Override::given("--vocab-size", "tokenizer.vocab_size", args.vocab_size)?,
        Override::given("--seq-len", "data.seq_len", args.seq_len)?,
        Override::given("--learning-rate", "optimizer.learning_rate", args.learning_rate)?,
        Override::given("--bf16", "optimizer.bf16", args.bf16.then_some(true))?,
        Override::given("--seed", "seed", seed)?,
    ]
    .into_iter()
    .flatten()
    .collect();
    if let Some((flag, table)) = length {
        all.push(Override { flag: flag.into(), key: "length".into(), value: Value::Table(table) });
    }
    all.extend(parse_set(&args.set)?);
    Ok(all)
}

/// Makes a new model's position table as long as the sequences asked for, unless its length was
/// set as well; shortens the short sequences when they would be the longer ones.
fn fit_positions(table: &mut Table, overrides: &[Override], new_model: bool) {
    let int = |table: &Table, key: &str| layers::get(table, key).and_then(Value::as_integer);
    let set = |key: &str| overrides.iter().any(|o| o.key == key);
    let Some(seq_len) = int(table, "data.seq_len") else { return };
    let offset = int(table, "model.config.position_offset").unwrap_or(0);
    if new_model && !set("model.config.max_position_embeddings") {
        layers::put(table, "model.config.max_position_embeddings", seq_len.saturating_add(offset).into());
    }
    if !set("data.short_seq_len") && int(table, "data.short_seq_len").is_some_and(|short| short > seq_len) {
        layers::put(table, "data.short_seq_len", seq_len.into());
    }
}

fn require(settings: &PretrainSettings) -> Result<()> {
    if settings.corpus.is_empty() {
        return Err(Error::Missing {
            what: "CORPUS",
            hint: "name the files or folders to learn from, as in `polyseme pretrain texts/ --out encoder`",
        });
    }
    if settings.out.as_os_str().is_empty() {
        return Err(Error::Missing { what: "--out", hint: "name the folder to write, as in `--out encoder`" });
    }
    Ok(())
}

/// What flags say together must make sense; values by themselves are checked where they are used.
fn check(args: &PretrainArgs, settings: &PretrainSettings) -> Result<()> {
    if args.from.is_some() && args.vocab_size.is_some() {
        return Err(Error::Contradiction {
            first: "--from".into(),
            second: "--vocab-size".into(),
            why: "the checkpoint's tokenizer is kept".into(),
        });
    }
    if let Some((key, _)) = args.set.iter().filter_map(|s| s.split_once('=')).find(|(key, _)| {
        args.from.is_some() && (key.trim().starts_with("model.") || key.trim().starts_with("tokenizer."))
    }) {
        return Err(Error::Contradiction {
            first: "--from".into(),
            second: format!("--set {}", key.trim()),
            why: "the checkpoint's tokenizer and shape are kept".into(),
        });
    }
    if settings.from.as_ref().is_some_and(|from| same_folder(from, &settings.out)) {
        return Err(Error::Contradiction {
            first: "--from".into(),
            second: "--out".into(),
            why: "the checkpoint would be written over".into(),
        });
    }
    Ok(())
}

/// Whether two paths lead to one folder that exists.
pub fn same_folder(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

/// When a run ends, for people.
pub fn spell_length(length: Length) -> String {
    match length {
        Length::Steps(n) => format!("{n} steps"),
        Length::Epochs(n) => format!("{n} epochs"),
        Length::Budget(s) => spell_duration(s),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};
    use clap::Parser;

    fn resolve(words: &str) -> Result<Plan<PretrainSettings>> {
        let cli = Cli::try_parse_from(["polyseme", "pretrain"].into_iter().chain(words.split_whitespace())).unwrap();
        let Command::Pretrain(args) = cli.command else { unreachable!() };
        resolve_pretrain(&args, cli.global.seed)
    }

    #[test]
    fn flags_lie_over_the_recipe() {
        let plan =
            resolve("a.txt b --out o --recipe tiny --budget 90s --vocab-size 500 --seq-len 40 --seed 9").unwrap();
        let s = plan.settings;
        assert_eq!(s.corpus, [Path::new("a.txt"), Path::new("b")]);
        assert_eq!(s.length, Length::Budget(90.0));
        assert_eq!((s.tokenizer.vocab_size, s.model.config.vocab_size), (500, 500));
        assert_eq!((s.data.seq_len, s.model.config.max_position_embeddings, s.data.short_seq_len), (40, 40, 40));
        assert_eq!(s.seed, 9);
    }

    #[test]
    fn set_reaches_every_key_and_knows_them() {
        let s = resolve("a --out o --set masking.whole_word=true --set optimizer.schedule=cosine").unwrap().settings;
        assert!(s.masking.whole_word);
        let e = resolve("a --out o --set masking.whole_words=true").unwrap_err();
        assert_eq!(e.hint().unwrap(), "did you mean `masking.whole_word`?");
        let e = resolve("a --out o --set optimizer.learning_rate=fast").unwrap_err().to_string();
        assert!(e.contains("learning_rate"), "{e}");
    }

    #[test]
    fn what_is_missing_or_contradicts_is_said() {
        assert!(matches!(resolve("--out o"), Err(Error::Missing { what: "CORPUS", .. })));
        assert!(matches!(resolve("a"), Err(Error::Missing { what: "--out", .. })));
        assert!(matches!(resolve("a --out o --objective clm"), Err(Error::Train(_))));
        assert!(matches!(resolve("a --out o --from m --vocab-size 9"), Err(Error::Contradiction { .. })));
        assert!(matches!(resolve("--out /nowhere --resume"), Err(Error::NoRun { .. })));
        assert!(resolve("--recipe tiny --dry-run").is_ok());
    }

    #[test]
    fn resume_takes_the_runs_settings_and_refuses_others() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().to_str().unwrap();
        let plan = resolve(&format!("a.txt --out {out} --recipe tiny --steps 50")).unwrap();
        std::fs::create_dir(dir.path().join("run")).unwrap();
        let text = toml::to_string(&plan.settings).unwrap();
        std::fs::write(dir.path().join("run/settings.toml"), text).unwrap();

        let again = resolve(&format!("--out {out} --resume")).unwrap();
        assert!(again.resume);
        assert_eq!(again.settings, plan.settings);
        assert!(resolve(&format!("a.txt --out {out} --resume --steps 50")).is_ok());
        let e = resolve(&format!("--out {out} --resume --steps 60")).unwrap_err();
        assert!(matches!(&e, Error::ResumeDiffers { flag, .. } if flag == "--steps"), "{e}");
        assert!(matches!(resolve(&format!("--out {out} --resume --recipe tiny")), Err(Error::Contradiction { .. })));
    }
}
