//! Runs the binary on each case and collects everything that is not as it must be.

use crate::fixture::Bench;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// An input that is wrong, and what the user must be told.
pub struct Case {
    /// What is wrong, in a few words.
    pub name: &'static str,
    /// Lays the files out.
    pub make: fn(&Bench),
    /// The command line after `polyseme`.
    pub run: &'static [&'static str],
    /// 1: what was given is wrong; 2: the system, or we ourselves.
    pub exit: i32,
    /// What stderr must contain, upper or lower case: what was found and what was expected. `a|b`
    /// is either.
    pub says: &'static [&'static str],
}

/// An input that is odd but must work.
pub struct Odd {
    /// What is odd.
    pub name: &'static str,
    /// Lays the files out.
    pub make: fn(&Bench),
    /// The command line after `polyseme`.
    pub run: &'static [&'static str],
    /// What stderr must contain, a warning for example.
    pub says: &'static [&'static str],
    /// A file that must be there afterwards.
    pub leaves: &'static str,
}

/// Runs every case and fails with all that was wrong in any of them.
pub fn refused(cases: &[Case]) {
    report(cases.len(), cases.iter().map(|case| (case.name, complaints(case))));
}

/// Runs every odd input and fails with all that was wrong in any of them.
pub fn accepted(cases: &[Odd]) {
    report(cases.len(), cases.iter().map(|case| (case.name, odd_complaints(case))));
}

fn report(total: usize, found: impl Iterator<Item = (&'static str, Vec<String>)>) {
    let only = std::env::var("CASE").ok();
    let wrong: Vec<String> = found
        .filter(|(name, complaints)| !complaints.is_empty() && only.as_ref().is_none_or(|o| name.contains(o)))
        .map(|(name, complaints)| format!("{name}:\n    {}\n", complaints.join("\n    ")))
        .collect();
    assert!(wrong.is_empty(), "{} of {total} cases:\n\n{}", wrong.len(), wrong.join("\n"));
}

fn complaints(case: &Case) -> Vec<String> {
    let bench = Bench::new();
    (case.make)(&bench);
    let before = listing(bench.path());
    let output = run(bench.path(), case.run);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let mut wrong = common(&output, &stderr, case.says);
    if output.status.code() != Some(case.exit) {
        wrong.push(format!("{}, expected exit code {}", output.status, case.exit));
    }
    if !output.stdout.is_empty() {
        wrong.push(format!("stdout is not empty: {}", shorten(&String::from_utf8_lossy(&output.stdout))));
    }
    if !stderr.contains("error:") {
        wrong.push("no line begins with `error:`".into());
    }
    if !["hint:", "Usage:", "it must be", "try '--help'"].iter().any(|word| stderr.contains(word)) {
        wrong.push("nothing says what to do: no `hint:`, no usage, no `it must be …`".into());
    }
    let new: Vec<_> = listing(bench.path()).difference(&before).filter(|p| !may_stay(p)).cloned().collect();
    if !new.is_empty() {
        wrong.push(format!("left behind: {new:?}"));
    }
    finish(wrong, case.run, &stderr)
}

fn odd_complaints(case: &Odd) -> Vec<String> {
    let bench = Bench::new();
    (case.make)(&bench);
    let output = run(bench.path(), case.run);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let mut wrong = common(&output, &stderr, case.says);
    if !output.status.success() {
        wrong.push(format!("{}, expected success", output.status));
    }
    if !bench.at(case.leaves).exists() {
        wrong.push(format!("{} is not there", case.leaves));
    }
    finish(wrong, case.run, &stderr)
}

fn common(output: &Output, stderr: &str, says: &[&str]) -> Vec<String> {
    let mut wrong = Vec::new();
    let lower = stderr.to_lowercase();
    for words in says {
        if !words.split('|').any(|word| lower.contains(&word.to_lowercase())) {
            wrong.push(format!("does not say `{words}`"));
        }
    }
    if stderr.contains("panicked") || stderr.contains("RUST_BACKTRACE") {
        wrong.push("panicked".into());
    }
    if output.status.code().is_none() {
        wrong.push(format!("killed: {}", output.status));
    }
    wrong
}

fn finish(mut wrong: Vec<String>, arguments: &[&str], stderr: &str) -> Vec<String> {
    if !wrong.is_empty() {
        wrong.push(format!("$ polyseme {}", arguments.join(" ")));
        wrong.push(shorten(stderr).replace('\n', "\n    "));
    }
    wrong
}

/// The start of a long text.
fn shorten(text: &str) -> String {
    text.trim_end().chars().take(2000).collect()
}

/// `polyseme` in a folder, on one thread, without colour. A first word `limited` runs it under a
/// limit on the size of files, with the signal ignored, so that writes fail as on a full disk.
fn run(folder: &Path, arguments: &[&str]) -> Output {
    let binary = env!("CARGO_BIN_EXE_polyseme");
    let mut command = match arguments {
        ["limited", blocks, rest @ ..] => {
            let mut shell = Command::new("bash");
            let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
            shell.arg("-c").arg(script).arg(binary).args(rest);
            shell
        }
        _ => {
            let mut command = Command::new(binary);
            command.args(arguments);
            command
        }
    };
    command.current_dir(folder).env("NO_COLOR", "1").env_remove("RUST_BACKTRACE").env("RAYON_NUM_THREADS", "1");
    command.stdin(Stdio::null()).output().expect("the binary runs")
}

/// Every file below a folder, relative to it.
fn listing(folder: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).expect("readable").flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                _ => {
                    found.insert(entry.path().strip_prefix(folder).expect("below").to_path_buf());
                }
            }
        }
    }
    found
}

/// A run that stopped may leave its run folder (settings, log, store); nothing else, and nothing
/// under a temporary name.
fn may_stay(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.components().any(|c| c.as_os_str() == "run") && !name.contains("tmp") && !name.starts_with('.')
}
