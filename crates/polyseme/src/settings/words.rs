//! Keys of a recipe's step as words of its command: what can be said on the command line can be said in a step, in the
//! same way, and nothing else.

use super::{Error, Result};
use clap::{Arg, ArgAction, Command};
use toml::{Table, Value};

/// What a step cannot say, since the recipe says it.
const OF_THE_RECIPE: [&str; 6] = ["model", "out", "resume", "dry_run", "show", "force"];

/// The words of each alternative of a step's keys. `place` names the step in messages.
pub fn alternatives(place: &str, command: &Command, keys: &Table) -> Result<Vec<Vec<String>>> {
    let mut told: Vec<(String, Vec<Vec<String>>)> = Vec::new();
    for (key, value) in keys {
        let arg = argument(place, command, key)?;
        let values = of_alternatives(place, key, arg, value)?;
        let words: Result<Vec<Vec<String>>> = values.iter().map(|value| words_of(place, key, arg, value)).collect();
        told.push((key.clone(), words?));
    }
    let count = told.iter().map(|(_, words)| words.len()).max().unwrap_or(1);
    if let Some((key, words)) = told.iter().find(|(_, words)| words.len() != 1 && words.len() != count) {
        let (most, _) = told.iter().find(|(_, words)| words.len() == count).expect("one has the most");
        let what = format!("`{key}` has {} alternatives and `{most}` has {count}", words.len());
        return Err(wrong(place, what, "alternatives go together: give as many of each, or one for all"));
    }
    let of = |words: &[Vec<String>], number: usize| words[number.min(words.len() - 1)].clone();
    Ok((0..count).map(|number| told.iter().flat_map(|(_, words)| of(words, number)).collect()).collect())
}

/// Whether words have an option.
pub fn has(words: &[String], option: &str) -> bool {
    words.iter().any(|word| word == option || word.strip_prefix(option).is_some_and(|rest| rest.starts_with('=')))
}

fn wrong(place: &str, what: String, hint: &str) -> Error {
    Error::Step { place: place.into(), what, hint: hint.into() }
}

/// The option that a key names.
fn argument<'a>(place: &str, command: &'a Command, key: &str) -> Result<&'a Arg> {
    let name = command.get_name();
    if OF_THE_RECIPE.contains(&key) {
        return Err(wrong(place, format!("`{key}` cannot be given"), "the recipe says this itself: leave it out"));
    }
    let known: Vec<(String, &Arg)> = command
        .get_arguments()
        .filter_map(|arg| Some((arg.get_long()?.replace('-', "_"), arg)))
        .filter(|(known, _)| !OF_THE_RECIPE.contains(&known.as_str()))
        .collect();
    if let Some((_, arg)) = known.iter().find(|(known, _)| known == key) {
        return Ok(arg);
    }
    let ours = ["way", "max_loss", "try_all"];
    let names: Vec<&str> = known.iter().map(|(known, _)| known.as_str()).chain(ours).collect();
    let hint = match nearest(key, &names) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("keys are the options of `polyseme shrink {name}`: see its --help"),
    };
    Err(wrong(place, format!("unknown key `{key}`"), &hint))
}

/// The known name nearest to another, if it is near enough.
pub fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let alike = |other: &&&str| strsim::normalized_damerau_levenshtein(name, other);
    known.iter().max_by(|a, b| alike(a).total_cmp(&alike(b))).filter(|best| alike(best) > 0.6).copied()
}

/// The values of a key, one an alternative.
fn of_alternatives<'a>(place: &str, key: &str, arg: &Arg, value: &'a Value) -> Result<Vec<&'a Value>> {
    let Value::Array(list) = value else { return Ok(vec![value]) };
    if list.is_empty() {
        return Err(wrong(place, format!("`{key}` is an empty list"), "give at least one value, or leave the key out"));
    }
    let lists = list.iter().filter(|value| value.is_array()).count();
    if takes_several(arg) && lists == 0 {
        return Ok(vec![value]);
    }
    if takes_several(arg) && lists < list.len() {
        return Err(wrong(
            place,
            format!("`{key}` mixes values and lists"),
            "alternatives are lists, as in [[0, 2], [0]]",
        ));
    }
    if !takes_several(arg) && lists > 0 {
        return Err(wrong(place, format!("`{key}` is a list of lists"), "it takes one value; alternatives are a list"));
    }
    Ok(list.iter().collect())
}

fn takes_several(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Append)
}

/// One value as words.
fn words_of(place: &str, key: &str, arg: &Arg, value: &Value) -> Result<Vec<String>> {
    let option = format!("--{}", arg.get_long().expect("options are found by their name"));
    if !arg.get_action().takes_values() {
        return match value {
            Value::Boolean(true) => Ok(vec![option]),
            Value::Boolean(false) => Ok(Vec::new()),
            other => Err(wrong(place, format!("`{key}` is {other}"), "it must be true or false")),
        };
    }
    let one = |value: &Value| match value {
        Value::String(text) => Ok(text.clone()),
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) => Ok(value.to_string()),
        other => Err(wrong(place, format!("`{key}` is {other}"), "give a value such as the command takes")),
    };
    let values = match value {
        Value::Array(list) if list.is_empty() => {
            let hint = "give at least one value, or leave the key out";
            return Err(wrong(place, format!("`{key}` has an empty list"), hint));
        }
        Value::Array(list) => list.iter().map(one).collect::<Result<Vec<String>>>()?,
        // `set` as it stands in settings.
        Value::Table(table) if key == "set" => table.iter().map(|(key, value)| format!("{key}={value}")).collect(),
        single => vec![one(single)?],
    };
    Ok(match arg.get_value_delimiter() {
        Some(between) => vec![format!("{option}={}", values.join(&between.to_string()))],
        None => values.into_iter().map(|value| format!("{option}={value}")).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{DistilArgs, PruneArgs};
    use clap::Args;

    fn of(command: Command, text: &str) -> std::result::Result<Vec<String>, String> {
        let table: Table = toml::from_str(text).unwrap();
        let spelled = |e: Error| format!("{e}; {}", e.hint().unwrap_or_default());
        let found = alternatives("step 1", &command, &table).map_err(spelled)?;
        Ok(found.into_iter().map(|words| words.join(" ")).collect())
    }

    fn distil(text: &str) -> std::result::Result<Vec<String>, String> {
        of(DistilArgs::augment_args(Command::new("distil")), text)
    }

    fn prune(text: &str) -> std::result::Result<Vec<String>, String> {
        of(PruneArgs::augment_args(Command::new("prune")), text)
    }

    #[test]
    fn lists_are_alternatives_where_one_value_is_taken() {
        assert_eq!(
            prune("keep_heads = [0.75, 0.5]\nkeep_units = 0.5\neven = true").unwrap(),
            ["--keep-heads=0.75 --keep-units=0.5 --even", "--keep-heads=0.5 --keep-units=0.5 --even"]
        );
        assert_eq!(distil("keep_layers = [0, 2]").unwrap(), ["--keep-layers=0,2"]);
        assert_eq!(distil("keep_layers = [[0, 2], [0]]").unwrap(), ["--keep-layers=0,2", "--keep-layers=0"]);
        assert_eq!(
            distil("learning_rate = 1e-4\nset = { \"optimizer.warmup\" = 0.2 }").unwrap(),
            ["--learning-rate=0.0001 --set=optimizer.warmup=0.2"]
        );
        assert_eq!(prune("even = [false, true]").unwrap(), ["", "--even"]);
    }

    #[test]
    fn what_no_command_knows_is_named() {
        let said = |found: std::result::Result<Vec<String>, String>| found.unwrap_err();
        assert_eq!(said(prune("keep_haeds = 0.5")), "step 1: unknown key `keep_haeds`; did you mean `keep_heads`?");
        assert!(said(prune("zzz = 1")).contains("polyseme shrink prune"));
        assert!(said(prune("out = 'x'")).contains("leave it out"));
        assert!(said(prune("keep_heads = []")).contains("empty list"));
        assert!(said(distil("keep_layers = [[]]")).contains("empty list"));
        assert!(said(distil("keep_layers = [[0], 1]")).contains("mixes"));
        assert!(said(prune("keep_heads = [[0.5]]")).contains("takes one value"));
        assert!(said(prune("keep_heads = [0.5, 0.4]\nkeep_units = [0.5, 0.4, 0.3]")).contains("2 alternatives"));
        assert!(said(prune("even = 3")).contains("true or false"));
    }

    #[test]
    fn an_option_is_found_among_words() {
        let words = ["--train=a".to_owned(), "--even".to_owned()];
        assert!(has(&words, "--train") && has(&words, "--even") && !has(&words, "--tra"));
    }
}
