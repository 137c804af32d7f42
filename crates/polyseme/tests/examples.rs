//! The four programs in `examples/` on a small world of text: each runs, and prints what it promises.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use support::{corpus, labelled, stderr, write};

/// An example beside this test program. `cargo test` builds them all before it runs anything; with
/// `--test examples` alone they are as they were built last.
fn example(name: &str) -> PathBuf {
    let this = std::env::current_exe().unwrap();
    let path = this.parent().and_then(Path::parent).unwrap().join("examples").join(name);
    let path = path.with_extension(std::env::consts::EXE_EXTENSION);
    assert!(path.exists(), "{} is not built; `cargo build --release --workspace --examples` does it", path.display());
    path
}

fn run(dir: &Path, name: &str, words: &[&str]) -> String {
    let output = Command::new(example(name)).args(words).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "{name} ended with {}:\n{}", output.status, stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn each_runs_and_prints_what_it_promises() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write(dir, "corpus.txt", &(corpus(120) + "He sat on the bank .\n"));
    write(dir, "train.csv", &labelled(45, 1));

    let said = run(dir, "pretrain", &["corpus.txt", "encoder", "2"]);
    for part in ["train tokenizer …", "pre-train …", "step ", "loss on held-out text", "nats", "encoder"] {
        assert!(said.contains(part), "pretrain: no {part:?} in:\n{said}");
    }
    let said = run(dir, "finetune", &["encoder", "train.csv", "classifier"]);
    for part in ["seed 0: best epoch", "seed 2: ", "median ", "labels: farm, music, sea", "\"a text of your own\""] {
        assert!(said.contains(part), "finetune: no {part:?} in:\n{said}");
    }
    // Pieces of a tiny vocabulary make no word `bank`; the words of a sentence are whole all the same.
    let said = run(dir, "embed", &["encoder"]);
    assert_eq!(said.matches("  1.00").count(), 8, "each is like itself, four words and four sentences:\n{said}");
    let said = run(dir, "fill", &["encoder", "the old [MASK] sinks near the [MASK] ."]);
    assert!(said.contains("mask 1 (token 3):") && said.contains("mask 2 (token 7):"), "fill:\n{said}");
    assert_eq!(said.matches(" %  ").count(), 10, "five candidates a mask:\n{said}");
}

#[test]
fn without_words_each_says_what_it_wants() {
    for name in ["pretrain", "finetune", "embed", "fill"] {
        let output = Command::new(example(name)).output().unwrap();
        assert!(!output.status.success() && stderr(&output).contains(&format!("usage: {name} ")), "{name}");
    }
}
