//! Beginning a run in its folder, going on with one, and leaving nothing behind where that failed.

use crate::error::{Error, Result};
use polyseme_formats::run::RunFolder;
use serde::{Serialize, de::DeserializeOwned};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Begins a run in `<out>/run` and saves its settings; or, with `resume`, opens the one there and
/// compares its settings with those given. Keys of `may_change` may differ.
pub fn open<S>(out: &Path, settings: &S, resume: bool, need_bytes: u64, may_change: &[&str]) -> Result<RunFolder>
where
    S: Serialize + DeserializeOwned,
{
    if !resume {
        let folder = RunFolder::create(out, need_bytes)?;
        folder.write_settings(settings)?;
        return Ok(folder);
    }
    let folder = RunFolder::resume(out)?;
    let saved: S = folder.read_settings()?;
    match first_difference(&saved, settings, may_change) {
        Some((key, saved, found)) => Err(Error::SettingsChanged { run: folder.path().to_owned(), key, saved, found }),
        None => Ok(folder),
    }
}

/// The first dotted key whose values differ, with both values as TOML.
fn first_difference<S: Serialize>(saved: &S, given: &S, may_change: &[&str]) -> Option<(String, String, String)> {
    let flat = |settings: &S| {
        let mut values = BTreeMap::new();
        if let Ok(value) = toml::Value::try_from(settings) {
            flatten("", &value, &mut values);
        }
        values
    };
    let (saved, given) = (flat(saved), flat(given));
    let keys: BTreeSet<&String> = saved.keys().chain(given.keys()).collect();
    let shown = |value: Option<&String>| value.cloned().unwrap_or_else(|| "nothing".to_owned());
    keys.into_iter()
        .find(|key| !may_change.contains(&key.as_str()) && saved.get(*key) != given.get(*key))
        .map(|key| (key.clone(), shown(saved.get(key)), shown(given.get(key))))
}

fn flatten(prefix: &str, value: &toml::Value, into: &mut BTreeMap<String, String>) {
    match value {
        toml::Value::Table(table) => {
            for (key, value) in table {
                let key = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                flatten(&key, value, into);
            }
        }
        value => drop(into.insert(prefix.to_owned(), value.to_string())),
    }
}

/// What an output folder held before a run began in it.
pub struct Before {
    out: PathBuf,
    existed: bool,
    entries: BTreeSet<OsString>,
}

impl Before {
    /// Looks at a folder that may not be there.
    pub fn look(out: &Path) -> Self {
        Self { out: out.to_owned(), existed: out.is_dir(), entries: names(out) }
    }

    /// Removes what is new, so that the command can be given again once its cause is mended.
    /// Called only where no step was made, so that nothing of worth is lost.
    pub fn restore(self) {
        for name in names(&self.out).difference(&self.entries) {
            let path = self.out.join(name);
            let _ = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
        }
        if !self.existed {
            let _ = std::fs::remove_dir(&self.out);
        }
    }
}

fn names(folder: &Path) -> BTreeSet<OsString> {
    std::fs::read_dir(folder).map(|entries| entries.flatten().map(|e| e.file_name()).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finetune::FinetuneSettings;

    #[test]
    fn names_the_key_that_changed() {
        let a = FinetuneSettings::classify("m", "t.csv", "o");
        let mut b = a.clone();
        assert_eq!(first_difference(&a, &b, &[]), None);
        b.optimizer.learning_rate = 1e-3;
        b.out = "elsewhere".into();
        let found = first_difference(&a, &b, &["out"]).unwrap();
        assert_eq!(found, ("optimizer.learning_rate".into(), "0.0".into(), "0.001".into()));
        b = a.clone();
        b.text = Some("body".into());
        assert_eq!(first_difference(&a, &b, &[]).unwrap(), ("text".into(), "nothing".into(), "\"body\"".into()));
    }

    #[test]
    fn a_failed_beginning_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        let before = Before::look(&out);
        std::fs::create_dir_all(out.join("run/checkpoints")).unwrap();
        std::fs::write(out.join("vocab.txt"), "a").unwrap();
        before.restore();
        assert!(!out.exists());

        std::fs::create_dir(&out).unwrap();
        std::fs::write(out.join("mine.txt"), "b").unwrap();
        let before = Before::look(&out);
        std::fs::create_dir(out.join("run")).unwrap();
        before.restore();
        assert_eq!(names(&out).into_iter().collect::<Vec<_>>(), [OsString::from("mine.txt")]);
    }
}
