//! Where the sources of the crates in our own `Cargo.lock` lie on this machine.

use std::path::{Path, PathBuf};

/// The lock this program was built with.
const LOCK: &str = include_str!("../../../../Cargo.lock");

/// Sources of a crate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrateSource {
    /// Its name.
    pub name: String,
    /// Where its sources lie.
    pub folder: PathBuf,
}

/// Crates of the lock that are here, sorted by name and version, and how many are not.
#[derive(Debug, Default)]
pub struct Registry {
    /// Those that are here.
    pub crates: Vec<CrateSource>,
    /// How many are named in the lock but not here: those for other systems and features.
    pub absent: usize,
}

/// Looks up every crate of the lock in `<cargo_home>/registry/src/*/`.
pub fn find(cargo_home: &Path) -> Registry {
    find_locked(&locked(LOCK), cargo_home)
}

fn find_locked(locked: &[(String, String)], cargo_home: &Path) -> Registry {
    let mut registries: Vec<PathBuf> = std::fs::read_dir(cargo_home.join("registry/src"))
        .map(|entries| entries.filter_map(|e| Some(e.ok()?.path())).collect())
        .unwrap_or_default();
    registries.sort();
    let mut found = Registry::default();
    for (name, version) in locked {
        let folder = registries.iter().map(|r| r.join(format!("{name}-{version}"))).find(|f| f.is_dir());
        match folder {
            Some(folder) => found.crates.push(CrateSource { name: name.clone(), folder }),
            None => found.absent += 1,
        }
    }
    found
}

/// Name and version of each package of a lock that comes from a registry, sorted.
fn locked(lock: &str) -> Vec<(String, String)> {
    let parsed: toml::Table = lock.parse().unwrap_or_default();
    let packages = parsed.get("package").and_then(toml::Value::as_array).cloned().unwrap_or_default();
    let text = |package: &toml::Value, key: &str| package.get(key).and_then(toml::Value::as_str).map(str::to_owned);
    let mut out: Vec<(String, String)> = packages
        .iter()
        .filter(|p| text(p, "source").is_some_and(|s| s.starts_with("registry+") || s.starts_with("sparse+")))
        .filter_map(|p| Some((text(p, "name")?, text(p, "version")?)))
        .collect();
    out.sort();
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_registry_packages_of_the_lock_count() {
        let lock = "version = 4\n[[package]]\nname = \"ours\"\nversion = \"0.1.0\"\n\
                    [[package]]\nname = \"b\"\nversion = \"1.0.0\"\nsource = \"registry+x\"\n\
                    [[package]]\nname = \"a\"\nversion = \"2.0.0\"\nsource = \"registry+x\"\n";
        let names = locked(lock);
        assert_eq!(names, [("a".to_owned(), "2.0.0".to_owned()), ("b".to_owned(), "1.0.0".to_owned())]);
        let home = tempfile::tempdir().expect("a folder");
        std::fs::create_dir_all(home.path().join("registry/src/index-1/a-2.0.0")).expect("made");
        std::fs::create_dir_all(home.path().join("registry/src/index-1/c-1.0.0")).expect("made");
        let found = find_locked(&names, home.path());
        assert_eq!((found.crates.len(), found.absent), (1, 1));
        assert_eq!(found.crates[0].name, "a");
        assert!(find_locked(&names, Path::new("/nowhere")).crates.is_empty());
    }

    #[test]
    fn our_own_lock_is_read() {
        let names = locked(LOCK);
        assert!(names.len() > 100 && names.iter().any(|n| n.0 == "burn") && names.iter().all(|n| n.0 != "polyseme"));
    }
}
