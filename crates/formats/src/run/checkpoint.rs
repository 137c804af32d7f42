//! Checkpoints: folders that are whole or not there, and proof that they are whole.
//!
//! `checkpoints/step-<n>/` holds `state.toml`, `tensors.safetensors` and whatever further files of
//! tensors were added, and `complete`, which lists size and CRC-32C of each and is written last. All
//! of it is written under a temporary name, synced and renamed. TOML rather than JSON holds the
//! state because it gives every f64 back to the last bit, and infinities.

use super::{RunError, wrong};
use crate::atomic::sync_folder;
use crate::tensors::{Plan, TensorInfo};
use crate::{Error, Result, settings, tensors};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

pub(super) const STATE: &str = "state.toml";
pub(super) const TENSORS: &str = "tensors.safetensors";
const COMPLETE: &str = "complete";
/// Being written; removed at resume.
const TEMPORARY: &str = ".tmp-";
/// Being replaced by another of the same step; put back at resume if that one did not come.
const REPLACED: &str = ".old-";
/// Being removed; removed at resume.
const REMOVED: &str = ".removed-";

/// What `complete` says.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Complete {
    step: u64,
    files: BTreeMap<String, Sum>,
}

/// Size and checksum of a file.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Sum {
    bytes: u64,
    crc32c: u32,
}

/// A checkpoint being written; dropped before [`CheckpointWriter::finish`] it disappears.
pub struct CheckpointWriter {
    checkpoints: PathBuf,
    folder: PathBuf,
    step: u64,
    files: BTreeMap<String, Sum>,
}

impl CheckpointWriter {
    pub(super) fn create(checkpoints: &Path, step: u64) -> Result<Self> {
        let folder = checkpoints.join(format!("{TEMPORARY}step-{step}"));
        let io = |e| Error::io("create", &folder, e);
        if folder.exists() {
            std::fs::remove_dir_all(&folder).map_err(io)?;
        }
        std::fs::create_dir_all(&folder).map_err(io)?;
        Ok(Self { checkpoints: checkpoints.to_path_buf(), folder, step, files: BTreeMap::new() })
    }

    /// Adds a safetensors file whose tensors are made one at a time: `fill` is called once for each,
    /// with its number in `infos`, in the order of the file, and writes its bytes. So no second copy
    /// of the model or of the optimizer's state need ever be in memory.
    pub fn tensors(
        &mut self,
        file_name: &str,
        infos: &[TensorInfo],
        fill: &mut dyn FnMut(usize, &mut dyn Write) -> io::Result<()>,
    ) -> Result<()> {
        let plan = Plan::new(infos, &BTreeMap::new()).map_err(|what| tensors::wrong(&self.folder, what))?;
        self.file(file_name, |out| plan.write(out, fill))
    }

    pub(super) fn file(&mut self, name: &str, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
        let plain = Path::new(name).file_name() == Some(name.as_ref()) && !name.starts_with('.');
        if !plain || name == COMPLETE || self.files.contains_key(name) {
            return Err(wrong(&self.folder, RunError::FileName { name: name.into() }));
        }
        let path = self.folder.join(name);
        let sum = write_summed(&path, fill).map_err(|e| Error::io("write", &path, e))?;
        self.files.insert(name.to_owned(), sum);
        Ok(())
    }

    /// Writes the state, marks the checkpoint as whole, moves it into place, then removes the oldest
    /// ones beyond `keep` (at least one is kept). Gives the folder of the checkpoint.
    pub fn finish<S: Serialize>(mut self, state: &S, keep: usize) -> Result<PathBuf> {
        let text = settings::to_toml(state).map_err(|what| Error::Settings { path: self.folder.join(STATE), what })?;
        self.file(STATE, |out| out.write_all(text.as_bytes()))?;
        let complete = Complete { step: self.step, files: std::mem::take(&mut self.files) };
        let path = self.folder.join(COMPLETE);
        write_summed(&path, |out| {
            serde_json::to_writer_pretty(&mut *out, &complete)?;
            out.write_all(b"\n")
        })
        .map_err(|e| Error::io("write", &path, e))?;
        sync_folder(&self.folder)?;
        let place = self.checkpoints.join(format!("step-{}", self.step));
        replace(&self.checkpoints, &self.folder, &place, self.step)?;
        remove_others(&self.checkpoints, self.step, keep)?;
        Ok(place)
    }
}

impl Drop for CheckpointWriter {
    fn drop(&mut self) {
        // After `finish` the folder has another name and this finds nothing.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Renames a finished folder into place; one of the same step that is there already gives way.
fn replace(checkpoints: &Path, new: &Path, place: &Path, step: u64) -> Result<()> {
    let rename = |from: &Path, to: &Path| std::fs::rename(from, to).map_err(|e| Error::io("rename", from, e));
    let old = checkpoints.join(format!("{REPLACED}step-{step}"));
    let there = place.exists();
    if there {
        remove(&old)?;
        rename(place, &old)?;
    }
    rename(new, place)?;
    sync_folder(checkpoints)?;
    if there { remove(&old) } else { Ok(()) }
}

/// Keeps the `keep` newest up to `step`. Later ones are left over from a part of the run that was
/// given up (damaged, and the run went on from before them), so they go too.
fn remove_others(checkpoints: &Path, step: u64, keep: usize) -> Result<()> {
    let steps = steps(checkpoints)?;
    let (later, kept): (Vec<u64>, Vec<u64>) = steps.into_iter().partition(|&s| s > step);
    for s in later.into_iter().chain(kept.into_iter().skip(keep.max(1))) {
        let from = checkpoints.join(format!("step-{s}"));
        let to = checkpoints.join(format!("{REMOVED}step-{s}"));
        remove(&to)?;
        // Renamed first, so that a kill leaves nothing that looks like a checkpoint.
        std::fs::rename(&from, &to).map_err(|e| Error::io("rename", &from, e))?;
        remove(&to)?;
    }
    Ok(())
}

fn remove(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", folder, e)),
        _ => Ok(()),
    }
}

/// Tidies up what a killed process left.
pub(super) fn clean(checkpoints: &Path) -> Result<()> {
    for name in names(checkpoints)? {
        let path = checkpoints.join(&name);
        if let Some(step) = name.strip_prefix(REPLACED) {
            let place = checkpoints.join(step);
            match place.exists() {
                true => remove(&path)?,
                false => std::fs::rename(&path, &place).map_err(|e| Error::io("rename", &path, e))?,
            }
        } else if name.starts_with(TEMPORARY) || name.starts_with(REMOVED) {
            remove(&path)?;
        }
    }
    Ok(())
}

/// Steps of all checkpoints, the newest first.
fn steps(checkpoints: &Path) -> Result<Vec<u64>> {
    let mut steps: Vec<u64> =
        names(checkpoints)?.iter().filter_map(|n| n.strip_prefix("step-")?.parse().ok()).collect();
    steps.sort_unstable_by(|a, b| b.cmp(a));
    Ok(steps)
}

fn names(checkpoints: &Path) -> Result<Vec<String>> {
    let io = |e| Error::io("read", checkpoints, e);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(checkpoints).map_err(io)? {
        names.push(entry.map_err(io)?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// The folder of the newest whole checkpoint, and a sentence for each newer one that is damaged.
pub(super) fn latest(checkpoints: &Path) -> Result<(Option<PathBuf>, Vec<String>)> {
    let mut warnings = Vec::new();
    for step in steps(checkpoints)? {
        let folder = checkpoints.join(format!("step-{step}"));
        match damage(&folder, step) {
            None => return Ok((Some(folder), warnings)),
            Some(what) => warnings.push(format!("skipped the damaged checkpoint {}: {what}", folder.display())),
        }
    }
    Ok((None, warnings))
}

/// What is wrong with a checkpoint, if anything.
fn damage(folder: &Path, step: u64) -> Option<String> {
    let text = match std::fs::read(folder.join(COMPLETE)) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Some(format!("the file `{COMPLETE}` is missing")),
        Err(e) => return Some(format!("the file `{COMPLETE}` cannot be read: {e}")),
    };
    let complete: Complete = match serde_json::from_slice(&text) {
        Ok(complete) => complete,
        Err(e) => return Some(format!("the file `{COMPLETE}` is garbled: {e}")),
    };
    if complete.step != step {
        return Some(format!("it is of step {}, not of step {step}", complete.step));
    }
    if !complete.files.contains_key(STATE) {
        return Some(format!("`{COMPLETE}` does not list `{STATE}`"));
    }
    complete.files.iter().find_map(|(name, expected)| {
        let found = match sum_of(&folder.join(name)) {
            Ok(found) => found,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Some(format!("`{name}` is missing")),
            Err(e) => return Some(format!("`{name}` cannot be read: {e}")),
        };
        if found.bytes != expected.bytes {
            return Some(format!("`{name}` has {} bytes, expected {}", found.bytes, expected.bytes));
        }
        let (a, b) = (found.crc32c, expected.crc32c);
        (a != b).then(|| format!("`{name}` has the checksum {a:08x}, expected {b:08x}"))
    })
}

/// Reads the state of a whole checkpoint.
pub(super) fn state<S: for<'de> Deserialize<'de>>(folder: &Path) -> Result<S> {
    let path = folder.join(STATE);
    settings::read(&path).map_err(|e| match e {
        Error::Settings { what, .. } => wrong(&path, RunError::State { message: what.to_string() }),
        other => other,
    })
}

/// Writes and syncs a file, summing on the way.
fn write_summed(path: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<Sum> {
    let file = File::create(path)?;
    let mut out = Summing { out: BufWriter::with_capacity(1 << 20, file), sum: Sum { bytes: 0, crc32c: 0 } };
    fill(&mut out)?;
    out.flush()?;
    out.out.get_ref().sync_all()?;
    Ok(out.sum)
}

fn sum_of(path: &Path) -> io::Result<Sum> {
    let mut file = File::open(path)?;
    let mut piece = vec![0; 1 << 18];
    let mut sum = Sum { bytes: 0, crc32c: 0 };
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(sum),
            n => sum.add(&piece[..n]),
        }
    }
}

impl Sum {
    fn add(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.crc32c = crc32c::crc32c_append(self.crc32c, bytes);
    }
}

struct Summing<W> {
    out: W,
    sum: Sum,
}

impl<W: Write> Write for Summing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.out.write(bytes)?;
        self.sum.add(&bytes[..n]);
        Ok(n)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
