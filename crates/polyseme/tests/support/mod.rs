//! A small world of text for tests, and the real program run on it.

#![allow(dead_code)] // not every test file uses all of it

use serde_json::Value;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Three topics that share their grammar and no nouns.
const TOPICS: [(&str, [&str; 6], [&str; 4]); 3] = [
    ("sea", ["ship", "sailor", "harbour", "wave", "anchor", "island"], ["sails", "drifts", "sinks", "floats"]),
    ("farm", ["cow", "barn", "farmer", "field", "tractor", "horse"], ["grazes", "ploughs", "feeds", "grows"]),
    ("music", ["violin", "song", "drummer", "choir", "piano", "melody"], ["plays", "sings", "rings", "echoes"]),
];

/// Numbers that look random and are always the same.
pub struct Dice(pub u64);

impl Dice {
    /// One of `n`.
    pub fn roll(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((self.0 >> 33) as usize) % n
    }
}

/// A sentence of a topic.
pub fn sentence(topic: usize, dice: &mut Dice) -> String {
    let (_, nouns, verbs) = TOPICS[topic];
    let adjectives = ["old", "small", "quiet", "bright"];
    let (a, b) = (nouns[dice.roll(6)], nouns[dice.roll(6)]);
    format!("the {} {a} {} near the {} {b} .", adjectives[dice.roll(4)], verbs[dice.roll(4)], adjectives[dice.roll(4)])
}

/// Documents of one topic each, a blank line between them.
pub fn corpus(documents: usize) -> String {
    let mut dice = Dice(7);
    let mut text = String::new();
    for d in 0..documents {
        for _ in 0..6 {
            text += &sentence(d % 3, &mut dice);
            text.push(' ');
        }
        text += "\n\n";
    }
    text
}

/// Labelled rows with a header.
pub fn labelled(rows: usize, seed: u64) -> String {
    let mut dice = Dice(seed);
    let mut text = "text,label\n".to_owned();
    for r in 0..rows {
        _ = writeln!(text, "{},{}", sentence(r % 3, &mut dice), TOPICS[r % 3].0);
    }
    text
}

/// The program with these words, in this folder.
pub fn command(dir: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_polyseme"));
    command.current_dir(dir).args(words).stdin(Stdio::null());
    command
}

/// Runs it.
pub fn run(dir: &Path, words: &[&str]) -> Output {
    command(dir, words).output().expect("the program starts")
}

/// Runs it, wants exit code 0, and gives back stdout.
pub fn ok(dir: &Path, words: &[&str]) -> String {
    let output = run(dir, words);
    assert!(output.status.success(), "{words:?} ended with {}:\n{}", output.status, stderr(&output));
    String::from_utf8(output.stdout).expect("stdout is UTF-8")
}

/// Runs it with `--json`, wants exit code 0, and gives back the result.
pub fn json(dir: &Path, words: &[&str]) -> Value {
    let text = ok(dir, &[words, &["--json"]].concat());
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{words:?} printed no JSON ({e}):\n{text}"))
}

/// Runs it, wants this exit code, and gives back stderr.
pub fn fails(dir: &Path, code: i32, words: &[&str]) -> String {
    let output = run(dir, words);
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{words:?}:\n{text}");
    assert!(output.stdout.is_empty(), "{words:?} failed and yet wrote to stdout");
    assert!(!text.contains("panicked"), "{words:?} panicked:\n{text}");
    text
}

/// What it said.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// JSON lines as values.
pub fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{e}: {l}"))).collect()
}

/// Writes a file of a test.
pub fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, text).expect("the test's folder can be written");
    path
}

/// What is in a file.
pub fn bytes(dir: &Path, name: &str) -> Vec<u8> {
    std::fs::read(dir.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// The newest checkpoint's step; 0 if there is none.
pub fn newest(checkpoints: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(checkpoints) else { return 0 };
    let step = |name: String| name.strip_prefix("step-").and_then(|n| n.parse().ok());
    entries.flatten().filter_map(|e| step(e.file_name().to_string_lossy().into_owned())).max().unwrap_or(0)
}

/// Runs the program, waits for a moment and some milliseconds more, and kills it with signal 9.
pub fn kill(dir: &Path, words: &[&str], milliseconds: u64, moment: impl Fn() -> bool) {
    let mut child = command(dir, words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let begun = Instant::now();
    while !moment() {
        assert!(begun.elapsed().as_secs() < 60, "the run does not get on");
        assert!(child.try_wait().unwrap().is_none(), "the run ended before it could be killed");
        std::thread::sleep(Duration::from_millis(1));
    }
    std::thread::sleep(Duration::from_millis(milliseconds));
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Runs the program, presses Ctrl-C once it tells that a stage has begun, and gives back all that it
/// said after it was pressed, and its exit code.
pub fn interrupt(dir: &Path, words: &[&str], stage: &str) -> (String, Option<i32>) {
    let mut child = command(dir, words).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.starts_with(stage) {
        line.clear();
        assert!(said.read_line(&mut line).unwrap() > 0, "{words:?} ended before {stage:?}");
    }
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    (rest, child.wait().unwrap().code())
}

/// Writes an encoder of a few steps, and rows to learn from and to validate on.
pub fn encoder_and_rows(dir: &Path) {
    write(dir, "corpus.txt", &corpus(60));
    write(dir, "train.csv", &labelled(60, 1));
    write(dir, "valid.csv", &labelled(30, 2));
    let small = ["--set", "model.config.hidden_size=32", "--set", "model.config.intermediate_size=64"];
    let encoder = ["pretrain", "corpus.txt", "--out", "encoder", "--recipe", "tiny", "--vocab-size", "200", "--quiet"];
    ok(dir, &[&encoder[..], &small, &["--steps", "5", "--seq-len", "32", "--threads", "2"]].concat());
}
