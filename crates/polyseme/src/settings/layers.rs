//! Settings as TOML tables laid over each other, with every key known and every flag remembered.

use super::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::Path;
use toml::{Table, Value};

/// A value that a flag sets.
#[derive(Clone, Debug, PartialEq)]
pub struct Override {
    /// How the user said it, for messages: `--seq-len`.
    pub flag: String,
    /// Where it goes: `data.seq_len`.
    pub key: String,
    /// What it sets.
    pub value: Value,
}

impl Override {
    /// An override if the flag was given. Error: a value no settings file can hold, such as a path
    /// that is not UTF-8.
    pub fn given<T: Serialize>(flag: &str, key: &str, value: Option<T>) -> Result<Option<Self>> {
        let Some(value) = value else { return Ok(None) };
        let value =
            Value::try_from(value).map_err(|e| Error::Shape { place: flag.into(), what: one_line(&e.to_string()) })?;
        Ok(Some(Self { flag: flag.into(), key: key.into(), value }))
    }
}

/// Keys whose value is one of several tables, replaced as a whole.
const WHOLE: &[&str] = &["length", "freeze"];

/// Overrides of `--set key=value`; a value that is no TOML is taken as a string.
pub fn parse_set(given: &[String]) -> Result<Vec<Override>> {
    given
        .iter()
        .map(|s| {
            let (key, value) = s.split_once('=').ok_or_else(|| Error::BadSet { given: s.clone() })?;
            let (key, value) = (key.trim(), value.trim());
            if key.is_empty() || value.is_empty() {
                return Err(Error::BadSet { given: s.clone() });
            }
            let parsed = toml::from_str::<Table>(&format!("v = {value}")).ok().and_then(|mut t| t.remove("v"));
            let value = parsed.unwrap_or_else(|| Value::String(value.into()));
            Ok(Override { flag: format!("--set {key}"), key: key.into(), value })
        })
        .collect()
}

/// Parses a table; `place` names it in messages.
pub fn parse(place: &str, text: &str) -> Result<Table> {
    toml::from_str(text).map_err(|source| Error::Toml { place: place.into(), source })
}

/// Reads a file as a table.
pub fn read(path: &Path) -> Result<Table> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.into(), source })?;
    parse(&path.display().to_string(), &text)
}

/// Errors at the first key of `table` that `known` has not, naming the nearest one.
pub fn check_keys(place: &str, table: &Table, known: &Table) -> Result<()> {
    let mut names = Vec::new();
    list_keys("", known, &mut names);
    check_under(place, "", table, known, &names)
}

fn check_under(place: &str, prefix: &str, table: &Table, known: &Table, names: &[String]) -> Result<()> {
    for (key, value) in table {
        let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        let Some(expected) = known.get(key) else {
            return Err(Error::UnknownKey { place: place.into(), nearest: nearest(&path, names), key: path });
        };
        if WHOLE.contains(&path.as_str()) {
            continue;
        }
        match (expected, value) {
            (Value::Table(known), Value::Table(table)) => check_under(place, &path, table, known, names)?,
            (Value::Table(_), _) => {
                return Err(Error::NotATable { place: place.into(), key: path, expected: "a table" });
            }
            (_, Value::Table(_)) => {
                return Err(Error::NotATable { place: place.into(), key: path, expected: "a single value" });
            }
            _ => {}
        }
    }
    Ok(())
}

fn list_keys(prefix: &str, table: &Table, out: &mut Vec<String>) {
    for (key, value) in table {
        let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match value {
            Value::Table(t) if !WHOLE.contains(&path.as_str()) => list_keys(&path, t, out),
            _ => out.push(path),
        }
    }
}

/// The known key nearest to `key`: by its whole path, or by its last part where the table is wrong
/// or missing.
fn nearest(key: &str, names: &[String]) -> Option<String> {
    let last = |s: &str| s.rsplit('.').next().unwrap_or(s).to_owned();
    let score = |name: &String| {
        let whole = strsim::normalized_damerau_levenshtein(key, name);
        let tail = strsim::normalized_damerau_levenshtein(&last(key), &last(name));
        whole.max(tail - 0.01)
    };
    let best = names.iter().max_by(|a, b| score(a).total_cmp(&score(b)))?;
    (score(best) > 0.6).then(|| best.clone())
}

/// Lays `upper` over `lower`.
pub fn merge(lower: &mut Table, upper: Table) {
    merge_under("", lower, upper);
}

fn merge_under(prefix: &str, lower: &mut Table, upper: Table) {
    for (key, value) in upper {
        let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match (lower.get_mut(&key), value) {
            (Some(Value::Table(l)), Value::Table(u)) if !WHOLE.contains(&path.as_str()) => merge_under(&path, l, u),
            (_, value) => {
                lower.insert(key, value);
            }
        }
    }
}

/// The value at a dotted key.
pub fn get<'a>(table: &'a Table, key: &str) -> Option<&'a Value> {
    let (first, rest) = key.split_once('.').map_or((key, None), |(f, r)| (f, Some(r)));
    match (table.get(first)?, rest) {
        (value, None) => Some(value),
        (Value::Table(t), Some(rest)) => get(t, rest),
        _ => None,
    }
}

/// Sets the value at a dotted key.
pub fn put(table: &mut Table, key: &str, value: Value) {
    merge(table, nested(key, value));
}

/// A table that holds only `value` at a dotted key.
fn nested(key: &str, value: Value) -> Table {
    match key.split_once('.') {
        None => Table::from_iter([(key.to_owned(), value)]),
        Some((first, rest)) => Table::from_iter([(first.to_owned(), Value::Table(nested(rest, value)))]),
    }
}

/// Lays flags over a table after checking their keys.
pub fn apply(table: &mut Table, overrides: &[Override], known: &Table) -> Result<()> {
    for o in overrides {
        let upper = nested(&o.key, o.value.clone());
        check_keys(&o.flag, &upper, known)?;
        merge(table, upper);
    }
    Ok(())
}

/// Errors at the first flag that says something else than the settings a run was begun with.
pub fn agree(stored: &Table, overrides: &[Override], known: &Table, run: &Path) -> Result<()> {
    for o in overrides {
        check_keys(&o.flag, &nested(&o.key, o.value.clone()), known)?;
        let was = get(stored, &o.key);
        if !was.is_some_and(|was| same(was, &o.value)) {
            return Err(Error::ResumeDiffers {
                flag: o.flag.clone(),
                given: o.value.to_string(),
                stored: was.map_or("nothing there".into(), Value::to_string),
                run: run.into(),
            });
        }
    }
    Ok(())
}

/// Equality that takes `1` and `1.0` for the same.
fn same(a: &Value, b: &Value) -> bool {
    let number = |v: &Value| v.as_float().or_else(|| v.as_integer().map(|i| i as f64));
    match (a, b) {
        (Value::Table(a), Value::Table(b)) => {
            a.len() == b.len() && a.iter().all(|(k, v)| b.get(k).is_some_and(|w| same(v, w)))
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        _ => match (number(a), number(b)) {
            (Some(a), Some(b)) => a == b,
            _ => a == b,
        },
    }
}

/// The table as typed settings.
pub fn typed<T: DeserializeOwned>(place: &str, table: &Table) -> Result<T> {
    T::deserialize(table.clone()).map_err(|e| Error::Shape { place: place.into(), what: one_line(&e.to_string()) })
}

fn one_line(message: &str) -> String {
    message.lines().map(str::trim).filter(|l| !l.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Settings as a table.
pub fn table_of<T: Serialize>(settings: &T) -> Table {
    Table::try_from(settings).expect("settings are plain data")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Table {
        parse("known", "seed = 1\n[length]\nsteps = 1\n[optimizer]\nlearning_rate = 1.0\nwarmup = 0.1").unwrap()
    }

    fn problem(text: &str) -> String {
        let e = check_keys("mine.toml", &parse("mine.toml", text).unwrap(), &known()).unwrap_err();
        format!("{e}; {}", e.hint().unwrap_or_default())
    }

    #[test]
    fn an_unknown_key_names_the_nearest() {
        assert_eq!(
            problem("[optimizer]\nlearning_rat = 2"),
            "unknown key `optimizer.learning_rat` in mine.toml; did you mean `optimizer.learning_rate`?"
        );
        assert_eq!(
            problem("learning_rate = 2"),
            "unknown key `learning_rate` in mine.toml; did you mean `optimizer.learning_rate`?"
        );
        assert!(problem("zzzz = 2").contains("--dry-run"));
        assert_eq!(problem("optimizer = 3"), "`optimizer` in mine.toml must be a table; ");
    }

    #[test]
    fn one_way_to_end_replaces_another() {
        let mut table = known();
        merge(&mut table, parse("x", "[length]\nbudget = 30.0").unwrap());
        assert_eq!(get(&table, "length.steps"), None);
        assert_eq!(get(&table, "length.budget"), Some(&Value::Float(30.0)));
    }

    #[test]
    fn set_takes_numbers_truths_and_bare_words() {
        let got = parse_set(&["optimizer.warmup=0.2".into(), "a.b = true".into(), "c=cosine".into()]).unwrap();
        assert_eq!(got[0].value, Value::Float(0.2));
        assert_eq!(got[1].value, Value::Boolean(true));
        assert_eq!(got[2].value, Value::String("cosine".into()));
        assert!(parse_set(&["nothing".into()]).is_err());
    }

    #[test]
    fn a_flag_beside_resume_must_agree() {
        let flags = |v: f64| vec![Override { flag: "--w".into(), key: "optimizer.warmup".into(), value: v.into() }];
        assert!(agree(&known(), &flags(0.1), &known(), Path::new("x")).is_ok());
        let e = agree(&known(), &flags(0.2), &known(), Path::new("x")).unwrap_err();
        assert_eq!(e.to_string(), "--w is 0.2, but the run in x was begun with 0.1");
    }
}
