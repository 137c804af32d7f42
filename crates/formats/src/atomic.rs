//! Files that are whole or not there at all.

use crate::{Error, Result};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// What the names of unfinished files begin with, so that [`clean`] finds those of a killed process.
const PREFIX: &str = ".polyseme-tmp-";

/// Writes a file under a temporary name in the same folder, syncs it, then renames it into place.
///
/// Errors: the folder does not exist or cannot be written, the disk is full, `path` is a folder.
/// Whatever was at `path` before stays there until the new file is whole.
pub fn write(path: &Path, fill: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> Result<()> {
    let mut file = Pending::create(path)?;
    let io = |e| Error::io("write", path, e);
    {
        let mut out = BufWriter::with_capacity(1 << 20, file.file_mut());
        fill(&mut out).map_err(io)?;
        out.flush().map_err(io)?;
    }
    file.commit()
}

/// Removes unfinished files that a killed process left in `folder`. Call it only where nobody else
/// can be writing, as under the lock of a run folder.
pub fn clean(folder: &Path) -> Result<()> {
    let io = |e| Error::io("read", folder, e);
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let entry = entry.map_err(io)?;
        let name = entry.file_name();
        if name.to_string_lossy().starts_with(PREFIX) && entry.path().is_file() {
            std::fs::remove_file(entry.path()).map_err(|e| Error::io("remove", &entry.path(), e))?;
        }
    }
    Ok(())
}

/// Makes a rename or a new file in `folder` survive a power failure. Does nothing where the system
/// cannot sync a folder.
pub(crate) fn sync_folder(folder: &Path) -> Result<()> {
    if cfg!(unix) {
        let io = |e| Error::io("sync", folder, e);
        File::open(folder).map_err(io)?.sync_all().map_err(io)?;
    }
    Ok(())
}

/// The folder a file stands in; `.` for a bare name.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    }
}

/// A file being written under a temporary name beside its final one; dropped, it disappears.
pub struct Pending {
    path: PathBuf,
    temp: tempfile::NamedTempFile,
}

impl Pending {
    /// Begins a file that is to stand at `path`. Errors: the folder does not exist or cannot be
    /// written, `path` is a folder.
    pub fn create(path: &Path) -> Result<Self> {
        if path.is_dir() {
            return Err(Error::IsFolder { action: "write", path: path.to_path_buf() });
        }
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let prefix = format!("{PREFIX}{name}-");
        let mut builder = tempfile::Builder::new();
        builder.prefix(&prefix);
        #[cfg(unix)]
        let everyone = {
            // Temporary files are private by default; a model is to be read like any other file,
            // and the process's mask still applies.
            use std::os::unix::fs::PermissionsExt;
            std::fs::Permissions::from_mode(0o666)
        };
        #[cfg(unix)]
        builder.permissions(everyone);
        let temp = builder.tempfile_in(parent(path)).map_err(|e| Error::io("write", path, plain(e)))?;
        Ok(Self { path: path.to_path_buf(), temp })
    }

    /// The file, to be written.
    pub fn file_mut(&mut self) -> &mut File {
        self.temp.as_file_mut()
    }

    /// Where it lies until it is committed.
    pub fn written(&self) -> &Path {
        self.temp.path()
    }

    /// Its final name.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Syncs, renames, syncs the folder.
    pub fn commit(self) -> Result<()> {
        let io = |e| Error::io("write", &self.path, e);
        self.temp.as_file().sync_all().map_err(io)?;
        self.temp.persist(&self.path).map_err(|e| io(e.error))?;
        sync_folder(parent(&self.path))
    }
}

/// The tempfile crate puts its random name into the error; the final name says more.
fn plain(e: std::io::Error) -> std::io::Error {
    match e.raw_os_error() {
        Some(code) => std::io::Error::from_raw_os_error(code),
        None => e.kind().into(),
    }
}
