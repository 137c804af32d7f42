//! The run folder: `<out>/run/` with settings, metrics, TensorBoard events and checkpoints.

mod checkpoint;
mod error;
mod metrics;

pub use checkpoint::CheckpointWriter;
pub use error::RunError;
pub use metrics::StepRow;

use crate::tensors::{Plan, TensorOut};
use crate::{Error, Result, atomic, settings, tensors};
use metrics::Log;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};

/// The newest whole checkpoint, its state and the path of its tensors, if there is one; and a
/// sentence for each newer one that is damaged.
pub type FoundCheckpoint<S> = (Option<(S, PathBuf)>, Vec<String>);

/// An open run folder, locked against a second writer. The lock goes with the process, however it
/// ends.
pub struct RunFolder {
    path: PathBuf,
    log: Log,
    _lock: Lock,
}

impl RunFolder {
    /// Begins a run in `<out>/run`; proves that it can be written and that `need_bytes` are free.
    ///
    /// Errors: a run is there already (say: use `--resume` or another folder), a model is there,
    /// `out` is a file, the folder cannot be written, too little room, another process writes there.
    /// After an error no folder is left that was not there before.
    pub fn create(out: &Path, need_bytes: u64) -> Result<Self> {
        if let Some(there) = out.ancestors().find(|a| a.exists()).filter(|a| !a.is_dir()) {
            return Err(wrong(there, RunError::OutIsFile));
        }
        let path = out.join("run");
        if is_run(&path) {
            return Err(wrong(&path, RunError::Exists));
        }
        if out.join("config.json").exists() {
            return Err(wrong(out, RunError::ModelThere));
        }
        check_space(out, need_bytes)?;
        let made = Made::create(&path.join("checkpoints"))?;
        let lock = lock(&path)?;
        probe(&path)?;
        if is_run(&path) {
            return Err(wrong(&path, RunError::Exists));
        }
        let log = Log::open(&path)?;
        made.keep();
        Ok(Self { path, log, _lock: lock })
    }

    /// Opens an existing run to go on with it, and removes what a killed process left half written.
    /// Rows of metrics after the step of the checkpoint are to be cut with
    /// [`RunFolder::truncate_log`].
    ///
    /// Errors: there is no run, another process writes to it, the folder cannot be written.
    pub fn resume(out: &Path) -> Result<Self> {
        let path = out.join("run");
        if !is_run(&path) {
            return Err(wrong(out, RunError::NoRun));
        }
        let lock = lock(&path)?;
        probe(&path)?;
        atomic::clean(&path)?;
        let checkpoints = path.join("checkpoints");
        std::fs::create_dir_all(&checkpoints).map_err(|e| Error::io("create", &checkpoints, e))?;
        checkpoint::clean(&checkpoints)?;
        let log = Log::open(&path)?;
        Ok(Self { path, log, _lock: lock })
    }

    /// `<out>/run`.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Saves the resolved settings as `settings.toml`.
    pub fn write_settings<T: Serialize>(&self, settings: &T) -> Result<()> {
        settings::write(&self.path.join("settings.toml"), settings)
    }

    /// Reads them back.
    pub fn read_settings<T: for<'de> Deserialize<'de>>(&self) -> Result<T> {
        settings::read(&self.path.join("settings.toml"))
    }

    /// Appends a row to `metrics.jsonl` and to the TensorBoard events.
    pub fn log(&mut self, row: &StepRow) -> Result<()> {
        self.log.append(row)
    }

    /// All rows logged so far. A last line that a kill cut in the middle is dropped.
    pub fn rows(&self) -> Result<Vec<StepRow>> {
        self.log.rows()
    }

    /// Drops rows after `step`; used at resume so that the log tells one story.
    pub fn truncate_log(&mut self, step: u64) -> Result<()> {
        self.log.truncate(step)
    }

    /// Saves `checkpoints/step-<n>/{state.toml,tensors.safetensors,complete}`: written under a
    /// temporary name, synced, renamed, so that a half-written one is never taken for whole. Keeps
    /// the newest `keep`; an older one is removed only after the new one is whole. Gives the folder.
    ///
    /// Errors, a full disk among them, leave the earlier checkpoints as they are.
    pub fn save_checkpoint<S: Serialize>(
        &self,
        step: u64,
        state: &S,
        tensors: &[TensorOut],
        keep: usize,
    ) -> Result<PathBuf> {
        let plan = Plan::of_tensors(tensors, &BTreeMap::new()).map_err(|what| tensors::wrong(&self.path, what))?;
        let mut writer = self.begin_checkpoint(step)?;
        writer.file(checkpoint::TENSORS, |out| plan.write(out, &mut |i, out| out.write_all(&tensors[i].bytes)))?;
        writer.finish(state, keep)
    }

    /// Begins a checkpoint whose files of tensors are written one tensor at a time, for models of
    /// which no second copy fits into memory. One file should be named `tensors.safetensors`; others
    /// lie beside it.
    pub fn begin_checkpoint(&self, step: u64) -> Result<CheckpointWriter> {
        self.log.sync()?;
        CheckpointWriter::create(&self.path.join("checkpoints"), step)
    }

    /// The newest whole checkpoint: its state and the path of its `tensors.safetensors`. `None` if
    /// there is none. A damaged one is skipped, and what is wrong with it is said in the returned
    /// warnings. Every byte is read to be sure.
    ///
    /// Errors: the checkpoint is whole but its state is not an `S`.
    pub fn latest_checkpoint<S: for<'de> Deserialize<'de>>(&self) -> Result<FoundCheckpoint<S>> {
        let (folder, warnings) = checkpoint::latest(&self.path.join("checkpoints"))?;
        let found = match folder {
            Some(folder) => Some((checkpoint::state(&folder)?, folder.join(checkpoint::TENSORS))),
            None => None,
        };
        Ok((found, warnings))
    }
}

fn wrong(path: &Path, what: RunError) -> Error {
    Error::Run { path: path.to_path_buf(), what }
}

/// Whether something was begun here: settings, rows or checkpoints.
fn is_run(path: &Path) -> bool {
    let rows = std::fs::metadata(path.join("metrics.jsonl")).is_ok_and(|m| m.len() > 0);
    let checkpoints = std::fs::read_dir(path.join("checkpoints")).is_ok_and(|mut d| d.next().is_some());
    path.join("settings.toml").exists() || rows || checkpoints
}

/// The locked file of a run.
struct Lock(File);

/// A process that this one has begun but that has not yet become another program holds a copy of the
/// file: to close ours would leave the run locked until then. To unlock it frees all copies.
impl Drop for Lock {
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

/// Takes the lock of a run, and writes the number of our process into it for messages.
fn lock(run: &Path) -> Result<Lock> {
    let path = run.join("lock");
    let open = File::options().read(true).write(true).create(true).truncate(false).open(&path);
    let mut file = open.map_err(|source| wrong(run, RunError::NotWritable { source }))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let pid = Some(text.trim().to_owned()).filter(|p| !p.is_empty());
            return Err(wrong(run, RunError::Locked { pid }));
        }
        // Some network disks know no locks; the run is worth more than the protection.
        Err(TryLockError::Error(e)) if e.kind() == io::ErrorKind::Unsupported => {}
        Err(TryLockError::Error(e)) => return Err(Error::io("lock", &path, e)),
    }
    let written = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| write!(file, "{}", std::process::id()));
    written.map_err(|e| Error::io("write", &path, e))?;
    Ok(Lock(file))
}

/// Proves that files can be made and written here.
fn probe(run: &Path) -> Result<()> {
    let tried = tempfile::tempfile_in(run).and_then(|mut f| f.write_all(&[0; 4096]).and_then(|()| f.sync_all()));
    tried.map_err(|source| match Error::io("write", run, source) {
        Error::Io { source, .. } => wrong(run, RunError::NotWritable { source }),
        other => other,
    })
}

/// Errors unless so many bytes are free on the disk of `out`, or of the nearest folder above it that
/// is there already.
fn check_space(out: &Path, needed: u64) -> Result<()> {
    let there = out.ancestors().find(|a| a.is_dir()).unwrap_or(Path::new("."));
    match fs4::available_space(there) {
        Ok(free) if free < needed => Err(wrong(out, RunError::NotEnoughSpace { free, needed })),
        // A system that cannot tell must not stop the run.
        _ => Ok(()),
    }
}

/// Folders that were made, to be unmade if the run does not begin.
struct Made {
    folders: Vec<PathBuf>,
}

impl Made {
    fn create(path: &Path) -> Result<Self> {
        let missing = path.ancestors().take_while(|a| !a.as_os_str().is_empty() && !a.exists());
        let made = Self { folders: missing.map(Path::to_path_buf).collect() };
        std::fs::create_dir_all(path).map_err(|source| match Error::io("create", path, source) {
            Error::Io { source, .. } => wrong(path, RunError::NotWritable { source }),
            other => other,
        })?;
        Ok(made)
    }

    fn keep(mut self) {
        self.folders.clear();
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        // Innermost first; what is not empty stays.
        for folder in &self.folders {
            let _ = std::fs::remove_file(folder.join("lock"));
            let _ = std::fs::remove_dir(folder);
        }
    }
}
