//! The best candidate so far is always in the output folder.

use super::setting;
use crate::{NOT_THE_MODEL, Result, io};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;

/// Puts the model of a folder into the output folder. All files are written under other names first, so that the
/// moment in which some are the old model's and some the new one's is as short as their renaming. Files that only
/// `others`, whose models may have been there before, have are removed.
///
/// # Errors
/// A file that cannot be read or written.
pub fn publish(from: &Path, out: &Path, others: &[&Path]) -> Result<()> {
    let names = names(from)?;
    let next = out.join("run").join("next");
    let _ = std::fs::remove_dir_all(&next);
    crate::copy_model(from, &next)?;
    for name in &names {
        let (new, old) = (next.join(name), out.join(name));
        if new.is_dir() {
            let _ = std::fs::remove_dir_all(&old);
        }
        std::fs::rename(&new, &old).map_err(|source| io("rename", &new, source))?;
    }
    let _ = std::fs::remove_dir_all(&next);
    for other in others {
        for name in self::names(other)?.difference(&names) {
            let old = out.join(name);
            let _ = if old.is_dir() { std::fs::remove_dir_all(&old) } else { std::fs::remove_file(&old) };
        }
    }
    Ok(())
}

/// Names of a model folder's files and folders.
fn names(folder: &Path) -> Result<BTreeSet<OsString>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        entries => entries.map_err(|source| io("read", folder, source))?,
    };
    let names = entries.flatten().map(|entry| entry.file_name());
    Ok(names.filter(|name| !NOT_THE_MODEL.iter().any(|ours| name == ours)).collect())
}

/// Removes weights that making a candidate has left in its run: what it came to stands in its own folder.
pub fn forget(folder: &Path) {
    for run in NOT_THE_MODEL {
        without_weights(&folder.join(run));
    }
}

fn without_weights(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            without_weights(&path);
        } else if path.extension().is_some_and(|extension| extension == "safetensors") {
            let _ = std::fs::remove_file(&path);
        }
    }
}

/// Errors where a folder's weights are not all there is to its model.
///
/// # Errors
/// An adapter beside another model; a folder that lies in the output folder, or is it.
pub fn check_folder(model: &Path, out: &Path) -> Result<()> {
    if model.join("adapter_config.json").is_file() {
        let expected = "a whole model: fold the adapter in with `polyseme merge`";
        return Err(setting("MODEL", format!("{}, an adapter", model.display()), expected));
    }
    let whole = |path: &Path| std::fs::canonicalize(path).ok();
    if let (Some(model), Some(out)) = (whole(model), whole(out))
        && model.starts_with(&out)
    {
        return Err(setting("--out", out.display(), "a folder that does not hold MODEL: it would be written over"));
    }
    Ok(())
}
