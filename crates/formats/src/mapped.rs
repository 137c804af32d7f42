//! A file mapped into memory, read only: the only `unsafe` of this crate.

use crate::{Error, Result};
use std::fs::File;
use std::ops::Deref;
use std::path::{Path, PathBuf};

/// The bytes of a file, loaded by the system page by page as they are touched.
pub struct Mapped {
    pub(crate) path: PathBuf,
    map: memmap2::Mmap,
}

impl Mapped {
    /// Maps a file. A folder or a missing file is an error that says so.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn open(path: &Path) -> Result<Self> {
        let io = |e| Error::io("read", path, e);
        let file = File::open(path).map_err(io)?;
        if file.metadata().map_err(io)?.is_dir() {
            return Err(Error::IsFolder { action: "read", path: path.to_path_buf() });
        }
        // SAFETY: the map is read only and private to this value, and everything is read through
        // slices of its length. What remains is that another process shortens the file while it is
        // mapped, which stops the program (SIGBUS) as it would with every memory-mapped reader of
        // such files; our own writers never change a file in place, they rename a new one over it.
        #[allow(unsafe_code)]
        let map = unsafe { memmap2::Mmap::map(&file) }.map_err(io)?;
        Ok(Self { path: path.to_path_buf(), map })
    }
}

impl Deref for Mapped {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.map
    }
}
