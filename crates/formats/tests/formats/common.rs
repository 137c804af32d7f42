//! What all tests need: folders, errors, random numbers.

use polyseme_formats::{Error, Fault};
use std::path::{Path, PathBuf};

/// A file of `tests/fixtures`.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// A folder that goes away with the value; in memory where the system has such a place, since the
/// tests write thousands of small files and each is synced.
pub fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| folder_on_disk())
}

/// The same on the disk.
pub fn folder_on_disk() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// Checks that this is an error whose text has all these words, that its fault is the user's and
/// that it says what to do.
#[track_caller]
pub fn refused<T>(result: Result<T, Error>, words: &[&str]) -> Error {
    let error = failed(result, words);
    assert_eq!(error.fault(), Fault::Input, "{error}");
    error
}

/// The same for an error that is the system's or our own.
#[track_caller]
pub fn refused_by_system<T>(result: Result<T, Error>, words: &[&str]) -> Error {
    let error = failed(result, words);
    assert_eq!(error.fault(), Fault::System, "{error}");
    error
}

#[track_caller]
fn failed<T>(result: Result<T, Error>, words: &[&str]) -> Error {
    let Err(error) = result else { panic!("expected an error with {words:?}") };
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "`{word}` is not in: {text}");
    }
    let hint = error.hint().unwrap_or_else(|| panic!("no hint for: {text}"));
    assert!(hint.len() > 10, "{hint}");
    error
}

/// SplitMix64: small, seeded, good enough to choose test inputs.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    /// Less than `n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
    pub fn bytes(&mut self, n: usize) -> Vec<u8> {
        (0..n).map(|_| self.next() as u8).collect()
    }
}

/// Names in a folder, sorted.
pub fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .expect("a folder")
        .map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}
