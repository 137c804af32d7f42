//! Resolves the plan of a chain of ways to make a model smaller, and the settings of each of its steps.

use super::layers::typed;
use super::pretrain::{same_folder, stored};
use super::words::{alternatives, has, nearest};
use super::{
    Error, Plan, Result, is_sparse, resolve_distil, resolve_prune, resolve_quantize, resolve_share, resolve_sparse,
};
use crate::args::{DistilArgs, PruneArgs, QuantizeArgs, RecipeArgs, ShareArgs, VocabArgs};
use clap::{Args, Command, FromArgMatches};
use polyseme_shrink::Way;
use polyseme_shrink::distil::Known;
use polyseme_shrink::recipe::{Data, Gate, Place, RecipeSettings, Step};
use polyseme_shrink::vocab::VocabSettings;
use polyseme_train::metrics::metrics_of;
use serde::Deserialize;
use std::path::Path;
use toml::{Table, Value};

/// A recipe as it stands in its file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    gate: Gate,
    data: Data,
    #[serde(default)]
    step: Vec<Table>,
}

/// Ways that a step may go.
const WAYS: [&str; 5] = ["vocab", "distil", "prune", "share", "quantize"];

/// The plan that the words come to. With `--resume` it is the run's own. `look` tells what a folder holds.
pub fn resolve_shrink_recipe(
    args: &RecipeArgs,
    seed: Option<u64>,
    look: &dyn Fn(&Path) -> anyhow::Result<Known>,
) -> anyhow::Result<Plan<RecipeSettings>> {
    if args.resume {
        let (path, table) = stored(&args.out)?;
        let mut settings: RecipeSettings = typed(&path.display().to_string(), &table)?;
        settings.out.clone_from(&args.out);
        return Ok(Plan { settings, resume: true });
    }
    let (Some(model), Some(file)) = (&args.model, &args.recipe) else {
        let hint = "name the model folder to make smaller, and the file of the recipe with --recipe";
        return Err(Error::Missing { what: "MODEL", hint }.into());
    };
    if same_folder(model, &args.out) {
        let (first, second) = ("MODEL".into(), "--out".into());
        return Err(Error::Contradiction { first, second, why: "the model would be written over".into() }.into());
    }
    let File { mut gate, mut data, step } = polyseme_formats::settings::read(file)?;
    let known = look(model)?;
    if data.task.is_empty() {
        let hint = "this folder has no head of a task: fine-tune it first, or name the task in [data]";
        data.task = known.task.ok_or(Error::Missing { what: "task", hint })?.to_owned();
    }
    if gate.metric.is_empty() {
        gate.metric = metrics_of(&data.task)[0].to_owned();
    }
    let step: Result<Vec<Step>> = step
        .into_iter()
        .enumerate()
        .map(|(number, keys)| resolve_keys(&format!("{}, step {}", file.display(), number + 1), keys))
        .collect();
    let (model, out) = (model.clone(), args.out.clone());
    let settings = RecipeSettings { model, out, seed: seed.unwrap_or(0), gate, data, step: step? };
    settings.check()?;
    check_steps(&settings, &file.display().to_string(), look)?;
    Ok(Plan { settings, resume: false })
}

/// A step of its keys; `place` names it.
fn resolve_keys(place: &str, mut keys: Table) -> Result<Step> {
    let wrong = |what: &str, hint: String| Error::Step { place: place.into(), what: what.into(), hint };
    let known = || WAYS.map(|way| format!("`{way}`")).join(", ");
    let way = match keys.remove("way") {
        Some(Value::String(way)) => way,
        Some(other) => return Err(wrong(&format!("`way` is {other}"), format!("it must be {}", known()))),
        None => return Err(wrong("`way` is missing", format!("it must be {}", known()))),
    };
    if !WAYS.contains(&way.as_str()) {
        let near = nearest(&way, &WAYS).map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
        return Err(wrong(&format!("there is no way `{way}`"), format!("{near}it must be {}", known())));
    }
    let max_loss = match keys.remove("max_loss") {
        None => None,
        Some(Value::Float(share)) => Some(share),
        Some(Value::Integer(share)) => Some(share as f64),
        Some(other) => return Err(wrong(&format!("`max_loss` is {other}"), "it must be a number".into())),
    };
    let try_all = match keys.remove("try_all") {
        None => false,
        Some(Value::Boolean(all)) => all,
        Some(other) => return Err(wrong(&format!("`try_all` is {other}"), "it must be true or false".into())),
    };
    let alternatives = alternatives(&format!("{place} ({way})"), &command(&way), &keys)?;
    Ok(Step { way, max_loss, try_all, alternatives })
}

/// The command of a way.
fn command(way: &str) -> Command {
    let named = |name| Command::new(name).no_binary_name(true);
    match way {
        "distil" => DistilArgs::augment_args(named("distil")),
        "prune" => PruneArgs::augment_args(named("prune")),
        "share" => ShareArgs::augment_args(named("share")),
        "quantize" => QuantizeArgs::augment_args(named("quantize")),
        _ => VocabArgs::augment_args(named("vocab")),
    }
}

/// Errors where an alternative would be refused however the model looks that it is made from.
fn check_steps(
    settings: &RecipeSettings,
    file: &str,
    look: &dyn Fn(&Path) -> anyhow::Result<Known>,
) -> anyhow::Result<()> {
    let model = settings.model.as_path();
    for (step, asked) in settings.step.iter().enumerate() {
        for alternative in 0..asked.alternatives.len() {
            let out = settings.out.join("candidates").join("1");
            let place = Place { step, alternative, model, teacher: model, out: &out };
            resolve_step(settings, &place, look)
                .map_err(|error| error.context(format!("{file}, step {} ({})", step + 1, asked.way)))?;
        }
    }
    Ok(())
}

/// The settings that an alternative of a step comes to at a place in the chain.
pub fn resolve_step(
    settings: &RecipeSettings,
    place: &Place,
    look: &dyn Fn(&Path) -> anyhow::Result<Known>,
) -> anyhow::Result<Way> {
    let step = &settings.step[place.step];
    let command = command(&step.way);
    let own = &step.alternatives[place.alternative];
    let words = words(settings, place, &command, own, look)?;
    let matches = command.try_get_matches_from(&words).map_err(|error| Error::Step {
        place: format!("step {} ({})", place.step + 1, step.way),
        what: first_line(&error.to_string()),
        hint: format!("see `polyseme shrink {} --help`", step.way),
    })?;
    let seed = Some(settings.seed);
    Ok(match step.way.as_str() {
        "distil" => {
            let args = DistilArgs::from_arg_matches(&matches)?;
            if !args.corpus.is_empty() {
                return Err(Error::Step {
                    place: format!("step {} (distil)", place.step + 1),
                    what: "`corpus` has no labels, and a recipe measures each of its models on the task".into(),
                    hint: "make that student first, with `polyseme shrink distil --corpus`, then name its folder \
                           here, as `student`"
                        .into(),
                }
                .into());
            }
            Way::Learn(Box::new(resolve_distil(&args, seed, look)?.settings))
        }
        "prune" => {
            let args = PruneArgs::from_arg_matches(&matches)?;
            match is_sparse(&args)? {
                true => Way::Learn(Box::new(resolve_sparse(&args, seed, look)?.settings)),
                false => Way::Prune(Box::new(resolve_prune(&args, seed, look)?.settings)),
            }
        }
        "share" => {
            let args = ShareArgs::from_arg_matches(&matches)?;
            Way::Share(Box::new(resolve_share(&args, seed, look)?.settings))
        }
        "quantize" => {
            let settings = resolve_quantize(&QuantizeArgs::from_arg_matches(&matches)?, seed)?;
            settings.check()?;
            Way::Quantize(Box::new(settings))
        }
        _ => Way::Vocab(VocabSettings::from(&VocabArgs::from_arg_matches(&matches)?)),
    })
}

fn first_line(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    line.trim_start_matches("error: ").to_owned()
}

/// All words of an alternative: its own, and what the recipe says in their place.
fn words(
    settings: &RecipeSettings,
    place: &Place,
    command: &Command,
    own: &[String],
    look: &dyn Fn(&Path) -> anyhow::Result<Known>,
) -> anyhow::Result<Vec<String>> {
    let data = &settings.data;
    let path = |path: &Path| path.display().to_string();
    let columns = |columns: &[&Option<String>]| {
        let named: Vec<String> = columns.iter().filter_map(|column| (*column).clone()).collect();
        (!named.is_empty()).then(|| named.join(","))
    };
    let of_vocab = settings.step[place.step].way == "vocab";
    let choices = (!data.choices.is_empty()).then(|| data.choices.join(","));
    let mut usual = vec![
        ("--train", Some(path(&data.train))),
        ("--valid", Some(path(&data.valid))),
        ("--task", Some(data.task.clone())),
        ("--metric", Some(settings.gate.metric.clone())),
        ("--pair", data.pair.clone()),
        ("--label", data.label.clone()),
        ("--choices", choices.clone()),
        ("--label-separator", data.label_separator.clone()),
        ("--max-length", data.max_length.map(|n| n.to_string())),
        ("--data", Some(path(&data.valid))),
        ("--out", Some(path(place.out))),
    ];
    if !of_vocab {
        usual.push(("--text", data.text.clone()));
    } else if !has(own, "--corpus") {
        usual.push(("--corpus", Some(path(&data.train))));
        let texts = columns(&[&data.text, &data.pair]);
        usual.push(("--text", texts.map(|texts| choices.map_or(texts.clone(), |more| format!("{texts},{more}")))));
    }
    let mut words = vec![path(place.model)];
    let again = place.teacher != place.model;
    match settings.step[place.step].way.as_str() {
        "distil" if again && !has(own, "--student") => {
            words = vec![path(place.teacher), format!("--student={}", path(place.model))];
            if !has(own, "--keep-layers") && !has(own, "--preset") {
                let layers = look(place.model)?.every_other_layer();
                let layers: Vec<String> = layers.iter().map(usize::to_string).collect();
                words.push(format!("--keep-layers={}", layers.join(",")));
            }
        }
        "distil" => words = vec![path(place.teacher)],
        "prune" | "share" if again && !has(own, "--preset") => {
            words.push(format!("--set=distil.teacher={}", Value::String(path(place.teacher))));
        }
        _ => {}
    }
    let takes = |option: &str| command.get_arguments().any(|arg| arg.get_long() == option.strip_prefix("--"));
    let usual = usual.into_iter().filter_map(|(option, value)| Some((option, value?)));
    words.extend(usual.filter(|(o, _)| takes(o) && !has(own, o)).map(|(option, value)| format!("{option}={value}")));
    words.extend(own.iter().cloned());
    Ok(words)
}

impl From<&VocabArgs> for VocabSettings {
    fn from(args: &VocabArgs) -> Self {
        Self {
            model: args.model.clone(),
            corpus: args.corpus.clone(),
            text: args.text.clone(),
            out: args.out.clone(),
            min_count: args.min_count,
            keep_characters: args.keep_characters,
            keep_pieces: args.keep_pieces.clone(),
        }
    }
}
