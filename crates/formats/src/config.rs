//! `config.json` with book-keeping: every key is consumed, kept or refused.

use crate::{Error, Result, atomic, impostor, near};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What can be wrong inside a JSON configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is something else altogether.
    #[error("found {found}, expected JSON")]
    Impostor {
        /// What it looks like.
        found: &'static str,
        /// What to do in this case.
        advice: &'static str,
    },
    /// It is no JSON.
    #[error("not valid JSON at line {line}, column {column}: {message}")]
    NotJson {
        /// Line, from 1.
        line: usize,
        /// Column, from 1; 0 when the file ended too early at a line's begin.
        column: usize,
        /// The parser's words.
        message: String,
    },
    /// It is JSON but no object.
    #[error("found {found}, expected a JSON object")]
    NotObject {
        /// What stands there.
        found: String,
    },
    /// A key that must be there is not.
    #[error("key `{key}` is missing")]
    MissingKey {
        /// The key.
        key: String,
        /// A key of the file that is nearly the same.
        near: Option<String>,
    },
    /// A value has the wrong type.
    #[error("key `{key}` is {found}, expected {expected}")]
    WrongType {
        /// The key.
        key: String,
        /// The value found.
        found: String,
        /// The type expected.
        expected: &'static str,
    },
    /// A value asks for something that is not supported.
    #[error("key `{key}` is {found}; only {only} is supported: {why}")]
    Unsupported {
        /// The key.
        key: String,
        /// The value found.
        found: String,
        /// The value supported.
        only: String,
        /// Why.
        why: String,
    },
}

impl ConfigError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Impostor { advice, .. } => Some((*advice).into()),
            Self::NotJson { .. } => Some("open the file at that place; it may be cut short or edited by hand".into()),
            Self::NotObject { .. } => Some("a config.json begins with `{`; take the file of the original model".into()),
            Self::MissingKey { near: Some(near), .. } => Some(format!("did you mean `{near}`, which is there?")),
            Self::MissingKey { key, near: None } => {
                Some(format!("add `{key}`, or take the config.json of the original model"))
            }
            Self::WrongType { key, expected, .. } => Some(format!("write {expected} for `{key}`")),
            Self::Unsupported { only, .. } => Some(format!("use a model for which it is {only}")),
        }
    }
}

/// A configuration file being read. Getters remember which keys they took; what nobody took is
/// *kept*: written back unchanged by [`ConfigJson::merged`].
///
/// A key that changes the computation and is not supported must be refused by the family that
/// reads the file ([`ConfigJson::refuse_unless`]); a key nobody knows is kept and reported.
/// A key with the value `null` counts as absent, as it does in Hugging Face's configurations.
#[derive(Clone, Debug)]
pub struct ConfigJson {
    /// Where it was read from, for messages.
    pub path: PathBuf,
    values: Map<String, Value>,
    consumed: BTreeSet<String>,
}

impl ConfigJson {
    /// Reads a JSON object. Errors: unreadable, not JSON (with line and column), not an object.
    pub fn read(path: &Path) -> Result<Self> {
        match read_json(path)? {
            Value::Object(values) => Ok(Self::from_map(path, values)),
            other => Err(wrong(path, ConfigError::NotObject { found: describe(&other) })),
        }
    }

    /// From values in memory; `path` is only for messages.
    pub fn from_map(path: impl Into<PathBuf>, values: Map<String, Value>) -> Self {
        Self { path: path.into(), values, consumed: Default::default() }
    }

    /// A required whole number. Errors: missing key (with "did you mean"), wrong type, negative.
    pub fn usize(&mut self, key: &str) -> Result<usize> {
        self.opt_usize(key)?.ok_or_else(|| self.missing(key))
    }

    /// A whole number or `default` when the key is absent or null.
    pub fn usize_or(&mut self, key: &str, default: usize) -> Result<usize> {
        Ok(self.opt_usize(key)?.unwrap_or(default))
    }

    /// A whole number if the key is there and not null.
    pub fn opt_usize(&mut self, key: &str) -> Result<Option<usize>> {
        let as_usize = |v: &Value| v.as_u64().and_then(|n| usize::try_from(n).ok());
        self.typed(key, "a whole number of 0 or more", as_usize)
    }

    /// A number or `default`.
    pub fn f64_or(&mut self, key: &str, default: f64) -> Result<f64> {
        Ok(self.opt_f64(key)?.unwrap_or(default))
    }

    /// A number if the key is there and not null.
    pub fn opt_f64(&mut self, key: &str) -> Result<Option<f64>> {
        self.typed(key, "a number", Value::as_f64)
    }

    /// A truth value or `default`.
    pub fn bool_or(&mut self, key: &str, default: bool) -> Result<bool> {
        Ok(self.typed(key, "true or false", Value::as_bool)?.unwrap_or(default))
    }

    /// A string or `default`.
    pub fn str_or(&mut self, key: &str, default: &str) -> Result<String> {
        Ok(self.opt_str(key)?.unwrap_or_else(|| default.to_owned()))
    }

    /// A required string. Errors: missing key (with "did you mean"), wrong type.
    pub fn str(&mut self, key: &str) -> Result<String> {
        self.opt_str(key)?.ok_or_else(|| self.missing(key))
    }

    /// A string if the key is there and not null.
    pub fn opt_str(&mut self, key: &str) -> Result<Option<String>> {
        self.typed(key, "a string", |v| v.as_str().map(str::to_owned))
    }

    /// Any value, marked as consumed.
    pub fn take(&mut self, key: &str) -> Option<Value> {
        let value = self.values.get(key)?.clone();
        self.consumed.insert(key.to_owned());
        Some(value)
    }

    /// A value without marking it as consumed.
    pub fn peek(&self, key: &str) -> Option<&Value> {
        self.values.get(key)
    }

    /// Errors if the key is present with another value than the only supported one, e.g.
    /// `refuse_unless("is_decoder", false.into(), "a decoder attends only to the left")`.
    /// Absent and null are fine; numbers are compared as numbers.
    pub fn refuse_unless(&mut self, key: &str, only: Value, why: &str) -> Result<()> {
        let Some(found) = self.take(key) else { return Ok(()) };
        let same = match (found.as_f64(), only.as_f64()) {
            (Some(a), Some(b)) => a == b,
            _ => found == only,
        };
        if same || found.is_null() {
            return Ok(());
        }
        Err(self.error(ConfigError::Unsupported {
            key: key.to_owned(),
            found: shorten(&found),
            only: only.to_string(),
            why: why.to_owned(),
        }))
    }

    /// An error about this file that only the reader of its values can know, for example a number
    /// out of range.
    pub fn error(&self, what: ConfigError) -> Error {
        wrong(&self.path, what)
    }

    /// Keys that nothing consumed, in file order.
    pub fn unconsumed(&self) -> Vec<String> {
        self.values.keys().filter(|k| !self.consumed.contains(*k)).cloned().collect()
    }

    /// The original object with `updates` laid over it, in the original order, new keys last.
    pub fn merged(&self, updates: Map<String, Value>) -> Map<String, Value> {
        let mut merged = self.values.clone();
        for (key, value) in updates {
            merged.insert(key, value);
        }
        merged
    }

    /// Writes an object as pretty JSON with a final newline, atomically.
    pub fn write(path: &Path, values: &Map<String, Value>) -> Result<()> {
        write_json(path, values)
    }

    fn typed<T>(&mut self, key: &str, expected: &'static str, get: impl Fn(&Value) -> Option<T>) -> Result<Option<T>> {
        match self.take(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match get(&value) {
                Some(value) => Ok(Some(value)),
                None => {
                    let found = describe(&value);
                    Err(self.error(ConfigError::WrongType { key: key.to_owned(), found, expected }))
                }
            },
        }
    }

    fn missing(&self, key: &str) -> Error {
        let unconsumed = self.unconsumed();
        let near = near::nearest(key, unconsumed.iter().map(String::as_str)).map(str::to_owned);
        self.error(ConfigError::MissingKey { key: key.to_owned(), near })
    }
}

/// Reads any JSON file. Errors: unreadable, not JSON (with line and column).
pub fn read_json(path: &Path) -> Result<Value> {
    if path.is_dir() {
        return Err(Error::IsFolder { action: "read", path: path.to_path_buf() });
    }
    let bytes = std::fs::read(path).map_err(|e| Error::io("read", path, e))?;
    parse_json(path, &bytes)
}

/// Parses JSON of a file at `path`; a byte order mark at the beginning is skipped.
pub(crate) fn parse_json(path: &Path, bytes: &[u8]) -> Result<Value> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    serde_json::from_slice(bytes).map_err(|e| {
        let what = match impostor::known(bytes).filter(|_| !bytes.trim_ascii_start().starts_with(b"{")) {
            Some((found, advice)) => ConfigError::Impostor { found, advice },
            None => not_json(&e),
        };
        wrong(path, what)
    })
}

/// Writes any value as pretty JSON with a final newline, atomically.
pub fn write_json<T: serde::Serialize>(path: &Path, value: &T) -> Result<()> {
    atomic::write(path, |out| {
        serde_json::to_writer_pretty(&mut *out, value)?;
        out.write_all(b"\n")
    })
}

/// The parser's message without the place, which has its own fields.
pub(crate) fn not_json(e: &serde_json::Error) -> ConfigError {
    let place = format!(" at line {} column {}", e.line(), e.column());
    let message = e.to_string().replace(&place, "");
    ConfigError::NotJson { line: e.line(), column: e.column(), message }
}

fn wrong(path: &Path, what: ConfigError) -> Error {
    Error::Config { path: path.to_path_buf(), what: Box::new(what) }
}

/// "the string `abc`", "a list", …
fn describe(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(b) => format!("{b}"),
        Value::Number(n) => format!("the number {n}"),
        Value::String(_) => format!("the string {}", shorten(value)),
        Value::Array(_) => format!("the list {}", shorten(value)),
        Value::Object(_) => "an object".into(),
    }
}

/// The value as JSON, cut where a message would get long.
fn shorten(value: &Value) -> String {
    const LONG: usize = 60;
    let text = value.to_string();
    if text.chars().count() <= LONG {
        return text;
    }
    text.chars().take(LONG).chain(['…']).collect()
}
