//! Runs of the real program that are killed or stopped, and end as if nothing had happened.
#![cfg(unix)]

mod support;

use std::fmt::Write as _;
use support::{Dice, bytes, encoder_and_rows, interrupt, kill, newest, ok, write};

#[test]
fn a_killed_finetuning_goes_on_to_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    encoder_and_rows(dir);

    let tuning = |out| {
        let data = ["--task", "classify", "--train", "train.csv", "--valid", "valid.csv"];
        let how = ["--epochs", "10", "--patience", "0", "--batch-size", "8", "--seeds", "2", "--learning-rate", "1e-3"];
        let saving = ["--set", "save_every_steps=3", "--threads", "2", "--quiet"];
        [&["finetune", "encoder", "--out", out][..], &data, &how, &saving].concat()
    };
    let resume = ["finetune", "--out", "killed", "--resume", "--threads", "2", "--quiet"];
    ok(dir, &tuning("whole"));

    // Right after checkpoints of both seeds, and a little later: while a step is made or one is saved.
    let mut words = tuning("killed");
    for (seed, milliseconds) in [(0, 0), (0, 7), (0, 19), (1, 2), (1, 13)] {
        let checkpoints = dir.join(format!("killed/run/seed-{seed}/run/checkpoints"));
        let before = newest(&checkpoints);
        kill(dir, &words, milliseconds, || newest(&checkpoints) > before);
        words = resume.to_vec();
    }
    assert!(!dir.join("killed/model.safetensors").exists(), "killed before the end");
    ok(dir, &resume);
    for file in ["model.safetensors", "config.json", "tokenizer.json", "run/seed-0/model.safetensors"] {
        assert!(bytes(dir, &format!("whole/{file}")) == bytes(dir, &format!("killed/{file}")), "{file} differs");
    }
}

#[test]
fn killed_folds_of_stages_and_two_passes_go_on_to_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    encoder_and_rows(dir);
    let tuning = |out| {
        let how = ["--epochs", "12", "--batch-size", "8", "--learning-rate", "1e-3", "--patience", "0"];
        let steps = ["--folds", "2", "--unfreeze-every", "3", "--r-drop", "1"];
        let saving = ["--set", "save_every_steps=1", "--threads", "2", "--quiet", "--metric", "loss"];
        [
            &["finetune", "encoder", "--out", out, "--task", "classify", "--train", "train.csv"][..],
            &how,
            &steps,
            &saving,
        ]
        .concat()
    };
    let resume = ["finetune", "--out", "killed", "--resume", "--threads", "2", "--quiet"];
    ok(dir, &tuning("whole"));
    // 4 steps an epoch of a fold, 8 of all rows: in the second stage and at the end of the third, then of the last run.
    let mut words = tuning("killed");
    for (run, step) in [("fold-1", 14), ("fold-2", 36), ("all", 5)] {
        kill(dir, &words, 0, || newest(&dir.join(format!("killed/run/{run}/run/checkpoints"))) >= step);
        words = resume.to_vec();
    }
    assert!(!dir.join("killed/model.safetensors").exists(), "killed before the end");
    let said = ok(dir, &resume);
    assert!(said.contains("over 2 folds") && said.contains("learned from all rows"), "{said}");
    for file in ["model.safetensors", "config.json", "run/fold-2/model.safetensors"] {
        assert!(bytes(dir, &format!("whole/{file}")) == bytes(dir, &format!("killed/{file}")), "{file} differs");
    }
    let page = String::from_utf8(bytes(dir, "killed/run/report.html")).unwrap();
    assert!(page.contains("learned from all rows") && page.contains("each on a fold"), "the report says whose numbers");
}

/// Text in which most words are new: much to do for a tokenizer.
fn many_words(documents: usize) -> String {
    let mut dice = Dice(3);
    let mut text = String::new();
    for _ in 0..documents {
        for _ in 0..200 {
            let letter = |dice: &mut Dice| char::from(b'a' + dice.roll(26) as u8);
            let word: String = (0..3 + dice.roll(6)).map(|_| letter(&mut dice)).collect();
            _ = write!(text, "{word} ");
        }
        text += "\n\n";
    }
    text
}

#[test]
fn ctrl_c_before_the_training_ends_at_once_and_resume_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write(dir, "corpus.txt", &many_words(1500));
    let small = ["--set", "model.config.hidden_size=16", "--set", "model.config.intermediate_size=32"];
    let pretrain = |out| {
        let words = ["pretrain", "corpus.txt", "--out", out, "--recipe", "tiny", "--steps", "2"];
        [&words[..], &small, &["--vocab-size", "4000", "--seq-len", "32", "--threads", "2"]].concat()
    };
    let resume = ["pretrain", "--out", "stopped", "--resume", "--threads", "2"];

    let (said, code) = interrupt(dir, &pretrain("stopped"), "train tokenizer");
    assert_eq!(code, Some(130), "{said}");
    assert!(said.contains("stopped before the training began") && !said.contains("build token store"), "{said}");
    assert!(said.contains("hint: go on with `polyseme pretrain --out stopped --resume`"), "{said}");
    assert!(!dir.join("stopped/run/tokenizer").exists(), "half a tokenizer");

    let (said, code) = interrupt(dir, &resume, "build token store");
    assert_eq!(code, Some(130), "{said}");
    assert!(said.contains("stopped before the training began") && !said.contains("pre-train …"), "{said}");
    assert!(dir.join("stopped/run/tokenizer/tokenizer.json").exists(), "what is finished is kept");
    // Whether the store was finished just before the signal or not: no half of one is left, which the
    // comparison at the end would find in its bytes.
    let left = std::fs::read_dir(dir.join("stopped/run")).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<String> = left.map(|name| name.to_string_lossy().into_owned()).collect();
    assert!(left.iter().all(|name| !name.contains("-tmp-")), "half a token store: {left:?}");
    assert!(!dir.join("stopped/config.json").exists() && !dir.join("stopped/model.safetensors").exists());

    ok(dir, &resume);
    ok(dir, &[&pretrain("whole")[..], &["--quiet"]].concat());
    for file in ["model.safetensors", "tokenizer.json", "run/tokens.store"] {
        assert!(bytes(dir, &format!("whole/{file}")) == bytes(dir, &format!("stopped/{file}")), "{file} differs");
    }
}
