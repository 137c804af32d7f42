//! `metrics.jsonl`: a row a step, appended, and its copy for TensorBoard.

use super::{RunError, wrong};
use crate::tensorboard::EventWriter;
use crate::{Error, Result, atomic};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// One optimizer step, a line of `metrics.jsonl`.
///
/// Numbers are written with 9 significant digits, which is what an f32 holds; one that is not finite
/// is written as null and read as not-a-number.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StepRow {
    /// Optimizer steps done, counted from 1.
    pub step: u64,
    /// Tokens seen since the beginning, padding never counted.
    pub tokens: u64,
    /// Mean training loss since the last row.
    #[serde(with = "logged")]
    pub loss: f64,
    /// Learning rate of this step.
    #[serde(with = "logged")]
    pub learning_rate: f64,
    /// Norm of all gradients before clipping.
    #[serde(with = "logged")]
    pub grad_norm: f64,
    /// Tokens per second since the last row.
    #[serde(with = "logged")]
    pub tokens_per_second: f64,
    /// Seconds of training since the beginning, earlier parts of a resumed run included.
    #[serde(with = "logged")]
    pub seconds: f64,
    /// Validation metrics when they were measured at this step: name to value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", with = "logged_map")]
    pub valid: BTreeMap<String, f64>,
}

/// Numbers of a log: shortened when written, null when not finite. The JSON reader gives every
/// number of up to 15 digits back exactly, longer ones not always.
mod logged {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn short(value: f64) -> Option<f64> {
        value.is_finite().then(|| format!("{value:.8e}").parse().unwrap_or(value))
    }
    pub fn serialize<S: Serializer>(value: &f64, s: S) -> Result<S::Ok, S::Error> {
        short(*value).serialize(s)
    }
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<f64, D::Error> {
        Ok(Option::deserialize(d)?.unwrap_or(f64::NAN))
    }
}

/// The same for a map.
mod logged_map {
    use serde::{Deserialize, Deserializer, Serializer};
    use std::collections::BTreeMap;

    pub fn serialize<S: Serializer>(map: &BTreeMap<String, f64>, s: S) -> Result<S::Ok, S::Error> {
        s.collect_map(map.iter().map(|(k, v)| (k, super::logged::short(*v))))
    }
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<BTreeMap<String, f64>, D::Error> {
        let map = BTreeMap::<String, Option<f64>>::deserialize(d)?;
        Ok(map.into_iter().map(|(k, v)| (k, v.unwrap_or(f64::NAN))).collect())
    }
}

/// The log of a run, open for appending.
pub(super) struct Log {
    folder: PathBuf,
    path: PathBuf,
    file: File,
    events: EventWriter,
    /// When the run began, in seconds since 1970.
    began: f64,
}

impl Log {
    /// Opens the log in `folder` after cutting a last line that a kill left half written. The
    /// events are written anew from the rows, so that both tell the same story.
    pub(super) fn open(folder: &Path) -> Result<Self> {
        let path = folder.join("metrics.jsonl");
        let lines = match path.exists() {
            true => read_lines(&path)?,
            false => Vec::new(),
        };
        Self::with_lines(folder, path, &lines)
    }

    /// Appends a row to both.
    pub(super) fn append(&mut self, row: &StepRow) -> Result<()> {
        let io = |e| Error::io("write", &self.path, e);
        let mut line = serde_json::to_vec(row).map_err(|e| io(e.into()))?;
        line.push(b'\n');
        // One write, so that a kill cuts at most this line.
        self.file.write_all(&line).map_err(io)?;
        self.events.scalars(self.began + row.seconds, row.step, &scalars(row))
    }

    /// All whole rows.
    pub(super) fn rows(&self) -> Result<Vec<StepRow>> {
        Ok(read_lines(&self.path)?.into_iter().map(|(_, row)| row).collect())
    }

    /// Drops rows after `step`, keeping the bytes of the others.
    pub(super) fn truncate(&mut self, step: u64) -> Result<()> {
        let mut lines = read_lines(&self.path)?;
        lines.retain(|(_, row)| row.step <= step);
        *self = Self::with_lines(&self.folder, self.path.clone(), &lines)?;
        Ok(())
    }

    /// Makes what was appended survive a power failure.
    pub(super) fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(|e| Error::io("sync", &self.path, e))
    }

    fn with_lines(folder: &Path, path: PathBuf, lines: &[(String, StepRow)]) -> Result<Self> {
        atomic::write(&path, |out| lines.iter().try_for_each(|(line, _)| writeln!(out, "{line}")))?;
        let file = File::options().append(true).open(&path).map_err(|e| Error::io("write", &path, e))?;
        let (events, began) = new_events(folder, lines)?;
        Ok(Self { folder: folder.to_path_buf(), path, file, events, began })
    }
}

/// Reads lines with their rows. A last line that is cut or garbled is what a kill leaves: dropped.
fn read_lines(path: &Path) -> Result<Vec<(String, StepRow)>> {
    let bytes = std::fs::read(path).map_err(|e| Error::io("read", path, e))?;
    let text = String::from_utf8_lossy(&bytes);
    let mut lines = Vec::new();
    let mut all = text.split_inclusive('\n').enumerate().peekable();
    while let Some((number, line)) = all.next() {
        let last = all.peek().is_none();
        match serde_json::from_str(line) {
            Ok(row) if line.ends_with('\n') => lines.push((line.trim_end().to_owned(), row)),
            _ if last => {}
            Ok(_) => unreachable!("only the last line has no end"),
            Err(e) => {
                let what = RunError::Metrics { line: number + 1, message: e.to_string() };
                return Err(wrong(path, what));
            }
        }
    }
    Ok(lines)
}

/// Begins a new event file with all rows so far and removes the old ones. Its name holds the time
/// at which the run began, as TensorBoard's own do, and a number so that an open TensorBoard sees
/// that it is another file.
fn new_events(folder: &Path, lines: &[(String, StepRow)]) -> Result<(EventWriter, f64)> {
    const PREFIX: &str = "events.out.tfevents.";
    let io = |e| Error::io("read", folder, e);
    let mut old = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let name = entry.map_err(io)?.file_name().to_string_lossy().into_owned();
        let numbers = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once(".polyseme."));
        if let Some((seconds, number)) = numbers
            && let (Ok(seconds), Ok(number)) = (seconds.parse::<u64>(), number.parse::<u64>())
        {
            old.push((seconds, number, folder.join(name)));
        }
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let began = old.iter().map(|o| o.0).min().unwrap_or(now);
    let number = old.iter().map(|o| o.1 + 1).max().unwrap_or(0);
    let path = folder.join(format!("{PREFIX}{began:010}.polyseme.{number}"));
    let mut events = EventWriter::create(&path, began as f64)?;
    let rows: Vec<_> = lines.iter().map(|(_, row)| (row, scalars(row))).collect();
    events.many(rows.iter().map(|(row, values)| (began as f64 + row.seconds, row.step, values.as_slice())))?;
    for (_, _, path) in old {
        std::fs::remove_file(&path).map_err(|e| Error::io("remove", &path, e))?;
    }
    Ok((events, began as f64))
}

/// A row by TensorBoard's tags.
fn scalars(row: &StepRow) -> Vec<(String, f64)> {
    let train = [
        ("loss", row.loss),
        ("learning_rate", row.learning_rate),
        ("grad_norm", row.grad_norm),
        ("tokens_per_second", row.tokens_per_second),
    ];
    let train = train.into_iter().map(|(name, value)| (format!("train/{name}"), value));
    train.chain(row.valid.iter().map(|(name, value)| (format!("valid/{name}"), *value))).collect()
}
