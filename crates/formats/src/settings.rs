//! TOML files of settings: recipes and the resolved plan of a run.
//!
//! TOML, unlike JSON, holds infinities and gives back every f64 to the last bit.

use crate::{Error, Fault, Result, atomic, near};
use serde::{Serialize, de::DeserializeOwned};
use std::path::Path;

/// What can be wrong with a TOML file.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// It is no TOML, or a value does not fit.
    #[error("line {line}, column {column}: {message}")]
    Invalid {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What is wrong there.
        message: String,
    },
    /// A key nobody knows.
    #[error("line {line}: unknown key `{key}`")]
    UnknownKey {
        /// The key.
        key: String,
        /// Line, from 1.
        line: usize,
        /// The known key that is nearest.
        near: Option<String>,
        /// All keys known at this place.
        known: Vec<String>,
    },
    /// Our own settings cannot be said in TOML.
    #[error("these settings cannot be written as TOML: {message}")]
    Unwritable {
        /// The library's words.
        message: String,
    },
}

impl SettingsError {
    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Invalid { .. } | Self::UnknownKey { .. } => Fault::Input,
            Self::Unwritable { .. } => Fault::System,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Invalid { .. } => Some("correct that line; the built-in recipes show every key".into()),
            Self::UnknownKey { near: Some(near), .. } => Some(format!("did you mean `{near}`?")),
            Self::UnknownKey { known, .. } => Some(format!("known here: {}", known.join(", "))),
            Self::Unwritable { .. } => Some("this is a bug in Polyseme; please report it".into()),
        }
    }
}

/// Reads a TOML file. Errors: unreadable, not TOML, a value that does not fit, an unknown key
/// (where `T` refuses them) with the nearest known one.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    if path.is_dir() {
        return Err(Error::IsFolder { action: "read", path: path.to_path_buf() });
    }
    let bytes = std::fs::read(path).map_err(|e| Error::io("read", path, e))?;
    match String::from_utf8(bytes) {
        Ok(text) => parse(path, &text),
        Err(e) => {
            let good = e.utf8_error().valid_up_to();
            let (line, column) = place(&String::from_utf8_lossy(&e.as_bytes()[..good]), good);
            let message = "not UTF-8".into();
            Err(wrong(path, SettingsError::Invalid { line, column, message }))
        }
    }
}

/// Parses TOML; `path` is only for messages. Errors as [`read`].
pub fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T> {
    toml::from_str(text).map_err(|e: toml::de::Error| {
        let (line, column) = place(text, e.span().map_or(0, |s| s.start));
        wrong(path, unknown_key(e.message(), line).unwrap_or(invalid(e.message(), line, column)))
    })
}

/// The settings as TOML text, the same for the same settings.
pub fn to_toml<T: Serialize>(settings: &T) -> std::result::Result<String, SettingsError> {
    toml::to_string(settings).map_err(|e| SettingsError::Unwritable { message: e.to_string() })
}

/// Writes settings as a TOML file, atomically.
pub fn write<T: Serialize>(path: &Path, settings: &T) -> Result<()> {
    let text = to_toml(settings).map_err(|what| wrong(path, what))?;
    atomic::write(path, |out| out.write_all(text.as_bytes()))
}

fn wrong(path: &Path, what: SettingsError) -> Error {
    Error::Settings { path: path.to_path_buf(), what }
}

fn invalid(message: &str, line: usize, column: usize) -> SettingsError {
    SettingsError::Invalid { line, column, message: message.trim().replace('\n', "; ") }
}

/// Serde says "unknown field `x`, expected one of `a`, `b`": the parts between backquotes.
fn unknown_key(message: &str, line: usize) -> Option<SettingsError> {
    let quoted = message.strip_prefix("unknown field ")?;
    let mut names = quoted.split('`').skip(1).step_by(2).map(str::to_owned);
    let key = names.next()?;
    let known: Vec<String> = names.collect();
    let near = near::nearest(&key, known.iter().map(String::as_str)).map(str::to_owned);
    Some(SettingsError::UnknownKey { key, line, near, known })
}

/// Line and column, from 1, of a byte position.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |l| l.chars().count()) + 1;
    (line, column)
}
