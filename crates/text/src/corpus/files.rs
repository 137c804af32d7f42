//! Finds the files of a corpus, in an order that does not depend on the file system.

use super::{CorpusWarning, unreadable};
use crate::source::{ENDINGS, by_ending, by_ending_or_error, open_file};
use crate::{Error, Result};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Files with their sizes, sorted by path, each once. Oddities of folders go to `found`.
pub(super) fn resolve(paths: &[PathBuf], found: &mut Vec<CorpusWarning>) -> Result<Vec<(PathBuf, u64)>> {
    if paths.is_empty() {
        return Err(Error::NothingGiven);
    }
    let mut files: Vec<(PathBuf, u64)> = Vec::new();
    for path in paths {
        let meta = path.metadata().map_err(|e| unreadable(path, e))?;
        if !meta.is_dir() {
            by_ending_or_error(path, ENDINGS)?;
            open_file(path)?;
            if meta.len() == 0 {
                return Err(Error::EmptyFile { path: path.clone() });
            }
            files.push((path.clone(), meta.len()));
            continue;
        }
        let mut walk = Walk { files: Vec::new(), other: 0, seen: BTreeSet::new() };
        walk.folder(path)?;
        if walk.files.iter().all(|(_, size)| *size == 0) {
            return Err(Error::EmptyFolder { path: path.clone(), files: walk.other });
        }
        for (file, size) in walk.files {
            open_file(&file)?;
            if size == 0 {
                found.push(CorpusWarning::EmptyFile { file });
            } else {
                files.push((file, size));
            }
        }
    }
    files.sort();
    files.dedup();
    Ok(files)
}

struct Walk {
    files: Vec<(PathBuf, u64)>,
    /// Files whose ending is not known.
    other: usize,
    /// Folders walked, by their true path: a link to a folder above must not go round for ever.
    seen: BTreeSet<PathBuf>,
}

impl Walk {
    fn folder(&mut self, folder: &Path) -> Result<()> {
        let failed = |e| unreadable(folder, e);
        if !self.seen.insert(folder.canonicalize().map_err(failed)?) {
            return Ok(());
        }
        let mut entries: Vec<PathBuf> = std::fs::read_dir(folder)
            .map_err(failed)?
            .map(|e| e.map(|e| e.path()))
            .collect::<std::io::Result<_>>()
            .map_err(failed)?;
        entries.sort();
        for path in entries {
            if path.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(b".")) {
                continue;
            }
            // A link that leads nowhere counts as a file of no known kind.
            let Ok(meta) = path.metadata() else {
                self.other += 1;
                continue;
            };
            if meta.is_dir() {
                self.folder(&path)?;
            } else if meta.is_file() && by_ending(&path).is_some() {
                self.files.push((path, meta.len()));
            } else {
                self.other += 1;
            }
        }
        Ok(())
    }
}
