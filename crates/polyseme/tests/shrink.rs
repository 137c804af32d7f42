//! Models that are made smaller by the real program: they learn, are measured and used as any other.
#![cfg(unix)]

mod support;

use std::path::Path;
use support::{bytes, encoder_and_rows, json, kill, lines, newest, ok};

const LEARNS: [&str; 13] = [
    "--train",
    "train.csv",
    "--valid",
    "valid.csv",
    "--epochs",
    "20",
    "--patience",
    "0",
    "--batch-size",
    "8",
    "--learning-rate",
    "5e-3",
    "--quiet",
];

/// A classifier of two layers in `classifier`.
fn classifier(dir: &Path) {
    encoder_and_rows(dir);
    ok(dir, &[&["finetune", "encoder", "--task", "classify", "--out", "classifier"][..], &LEARNS].concat());
}

/// Errors unless a folder can be measured, asked and turned into vectors; gives the accuracy.
fn used(dir: &Path, model: &str) -> f64 {
    let found = json(dir, &["eval", model, "--data", "valid.csv", "--quiet"]);
    let said = lines(&ok(dir, &["predict", model, "valid.csv", "--quiet"]));
    assert_eq!(said.len(), 30);
    ok(dir, &["embed", model, "valid.csv", "--text", "text", "--out", "vectors.npy", "--quiet"]);
    found["accuracy"].as_f64().unwrap()
}

#[test]
fn half_a_classifier_knows_what_the_whole_one_knows() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    classifier(dir);
    let whole = used(dir, "classifier");
    assert!(whole > 0.9, "{whole}");
    ok(dir, &[&["shrink", "distil", "classifier", "--out", "half"][..], &LEARNS].concat());
    assert!(used(dir, "half") > 0.9 * whole);
    let config: serde_json::Value = serde_json::from_slice(&bytes(dir, "half/config.json")).unwrap();
    let before: serde_json::Value = serde_json::from_slice(&bytes(dir, "classifier/config.json")).unwrap();
    let layers = |config: &serde_json::Value| config["num_hidden_layers"].as_u64().unwrap();
    assert_eq!(layers(&config), layers(&before).div_ceil(2));
    assert_eq!(config["id2label"], before["id2label"]);
    let settings = String::from_utf8(bytes(dir, "half/run/settings.toml")).unwrap();
    assert!(settings.contains("teacher = \"classifier\""), "{settings}");
    // Layers can be cut without learning, too.
    ok(dir, &["shrink", "prune", "classifier", "--keep-layers", "0", "--out", "short", "--quiet"]);
    used(dir, "short");
}

#[test]
fn what_matters_stays_and_a_killed_pruning_goes_on_to_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    classifier(dir);
    let shown = json(dir, &["shrink", "prune", "classifier", "--show", "--train", "train.csv", "--quiet"]);
    let layers = shown["layers"].as_array().unwrap();
    assert!(layers.iter().all(|l| l["units"].as_array().unwrap().len() == 64), "{shown}");
    assert!(!dir.join("classifier/run/importance").exists());

    let pruning = |out| {
        let how = ["--keep-heads", "0.5", "--keep-units", "0.25", "--rounds", "2", "--threads", "2"];
        let saving = ["--set", "save_every_steps=3"];
        [&["shrink", "prune", "classifier", "--out", out][..], &how, &saving, &LEARNS].concat()
    };
    let outcome = json(dir, &pruning("whole"));
    let rounds = outcome["rounds"].as_array().unwrap();
    let left = |round: usize, what: &str| -> u64 {
        rounds[round][what].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).sum()
    };
    let all = layers.len() as u64;
    assert_eq!((left(0, "units"), left(1, "units")), (32 * all, 16 * all));
    assert!(left(1, "heads") < left(0, "heads") || left(0, "heads") == all, "{outcome}");
    assert!(used(dir, "whole") > 0.8, "{outcome}");

    let resume = ["shrink", "prune", "--out", "killed", "--resume", "--threads", "2", "--quiet"];
    let mut words = pruning("killed");
    for round in 1..=2 {
        kill(dir, &words, 3, || newest(&dir.join(format!("killed/rounds/{round}/run/seed-0/run/checkpoints"))) > 0);
        words = resume.to_vec();
    }
    ok(dir, &resume);
    for file in ["model.safetensors", "config.json", "rounds/1/model.safetensors"] {
        assert!(bytes(dir, &format!("whole/{file}")) == bytes(dir, &format!("killed/{file}")), "{file} differs");
    }
}

#[test]
fn a_narrower_model_learns_again() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    classifier(dir);
    let how = ["shrink", "prune", "classifier", "--keep-width", "16", "--out", "narrow"];
    let outcome = json(dir, &[&how[..], &LEARNS].concat());
    assert_eq!(outcome["rounds"][0]["width"], 16, "{outcome}");
    let config: serde_json::Value = serde_json::from_slice(&bytes(dir, "narrow/config.json")).unwrap();
    assert_eq!((&config["hidden_size"], &config["num_attention_heads"]), (&16.into(), &1.into()));
    assert_eq!(config["layer_sizes"][0]["num_attention_heads"], 2, "{config}");
    assert!(used(dir, "narrow") > 0.8, "{outcome}");
}

#[test]
fn gates_learn_what_is_needed_and_a_killed_run_goes_on_to_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    classifier(dir);
    let pruning = |out| {
        let how = ["--keep-heads", "0.5", "--keep-units", "0.25", "--by", "l0", "--threads", "2"];
        let saving = ["--set", "save_every_steps=3"];
        [&["shrink", "prune", "classifier", "--out", out][..], &how, &saving, &LEARNS].concat()
    };
    let outcome = json(dir, &pruning("whole"));
    let left = |what: &str| -> u64 {
        outcome["rounds"][0][what].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).sum()
    };
    assert_eq!((left("heads"), left("units")), (2, 32), "{outcome}");
    assert!(used(dir, "whole") > 0.8, "{outcome}");
    // Most of the gates that were to close did.
    let text = bytes(dir, "whole/rounds/1/gates/run/seed-0/gates.json");
    let gates: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let units = gates.as_array().unwrap().iter().flat_map(|layer| layer["units"].as_array().unwrap());
    let open: Vec<f64> = units.map(|v| v.as_f64().unwrap()).collect();
    let share = open.iter().sum::<f64>() / open.len() as f64;
    assert!((0.05..0.4).contains(&share), "{share}: {gates}");

    let resume = ["shrink", "prune", "--out", "killed", "--resume", "--threads", "2", "--quiet"];
    let mut words = pruning("killed");
    for run in ["gates/run", "run"] {
        kill(dir, &words, 3, || newest(&dir.join(format!("killed/rounds/1/{run}/seed-0/run/checkpoints"))) > 20);
        words = resume.to_vec();
    }
    ok(dir, &resume);
    for file in ["model.safetensors", "config.json", "rounds/1/gates/run/seed-0/gates.json"] {
        assert!(bytes(dir, &format!("whole/{file}")) == bytes(dir, &format!("killed/{file}")), "{file} differs");
    }
}

#[test]
fn single_weights_become_zero_and_a_killed_run_goes_on_to_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    classifier(dir);
    for by in ["movement", "magnitude"] {
        let learns = |out| {
            let how = ["--sparsity", "0.75", "--by", by, "--threads", "2", "--set", "save_every_steps=3"];
            [&["shrink", "prune", "classifier", "--out", out][..], &how, &LEARNS].concat()
        };
        let (whole, killed) = (format!("whole-{by}"), format!("killed-{by}"));
        let outcome = json(dir, &learns(&whole));
        // As many of each matrix as were asked for, exactly.
        let zeros = outcome["zeros"]["matrices"].as_object().unwrap();
        assert_eq!(zeros.len(), 12, "{outcome}");
        assert!(zeros.values().all(|share| share == 0.75), "{outcome}");
        let epoch = outcome["results"][0]["epoch"].as_u64().unwrap();
        assert!(epoch >= 14, "the best epoch is one at the final sparsity: {outcome}");
        assert!(used(dir, &whole) > 0.8, "{outcome}");

        let resume = ["shrink", "prune", "--out", &killed, "--resume", "--threads", "2", "--quiet"];
        let mut words = learns(&killed);
        // In the rise, and behind it.
        for step in [30, 120] {
            let at = dir.join(format!("{killed}/run/seed-0/run/checkpoints"));
            kill(dir, &words, 3, || newest(&at) >= step);
            words = resume.to_vec();
        }
        ok(dir, &resume);
        for file in ["model.safetensors", "config.json", "run/results.json"] {
            let [a, b] = [&whole, &killed].map(|of| {
                let text = bytes(dir, &format!("{of}/{file}"));
                String::from_utf8_lossy(&text).replace(&killed, &whole)
            });
            assert!(a == b, "{file} differs");
        }
    }
}

#[test]
fn a_vocabulary_without_what_a_domain_never_says_changes_nothing_there() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    classifier(dir);
    let one_topic: String = String::from_utf8(bytes(dir, "valid.csv"))
        .unwrap()
        .lines()
        .filter(|line| line.ends_with(",label") || line.ends_with(",sea"))
        .map(|line| format!("{line}\n"))
        .collect();
    support::write(dir, "sea.csv", &one_topic);
    let dropping = ["shrink", "vocab", "classifier", "--corpus", "sea.csv", "--out", "sea", "--quiet"];
    let outcome = json(dir, &dropping);
    let number = |what: &str, when: &str| outcome[what][when].as_u64().unwrap();
    assert!(number("pieces", "after") < number("pieces", "before"), "{outcome}");
    assert_eq!(number("bytes", "after"), 4 * number("parameters", "after"));
    assert_eq!(outcome["cut_otherwise"], 0);
    assert_eq!(outcome["compared"], 10);
    assert!(outcome["lowest_cosine"].as_f64().unwrap() > 0.999_999, "{outcome}");
    let said = |model: &str| lines(&ok(dir, &["predict", model, "sea.csv", "--quiet"]));
    assert_eq!(said("sea"), said("classifier"));
    used(dir, "sea");
    // Pieces that are rare are cut into smaller ones, and that is told.
    let outcome = json(dir, &[&dropping[..], &["--force", "--min-count", "5"]].concat());
    assert!(outcome["cut_otherwise"].as_u64().unwrap() > 0, "{outcome}");
}

#[test]
fn layers_that_share_their_weights_learn_again_and_a_killed_run_goes_on_to_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    classifier(dir);
    // Nothing shared: the same scores.
    let exact = json(dir, &["shrink", "share", "classifier", "--groups", "2", "--out", "exact", "--quiet"]);
    assert_eq!(exact["layers"]["before"], exact["layers"]["after"]);
    let score = |model: &str| -> Vec<f64> {
        lines(&ok(dir, &["predict", model, "valid.csv", "--quiet"]))
            .iter()
            .map(|l| l["score"].as_f64().unwrap())
            .collect()
    };
    let (before, after) = (score("classifier"), score("exact"));
    assert!(before.iter().zip(&after).all(|(a, b)| (a - b).abs() < 1e-5), "{before:?} {after:?}");

    let sharing = |out| {
        let how = ["--embedding-size", "16", "--threads", "2", "--set", "save_every_steps=3"];
        [&["shrink", "share", "classifier", "--out", out][..], &how, &LEARNS].concat()
    };
    let outcome = json(dir, &sharing("whole"));
    let number = |what: &str, when: &str| outcome[what][when].as_u64().unwrap();
    assert_eq!(number("layers", "before"), 2 * number("layers", "after"));
    assert!(number("embeddings", "after") < number("embeddings", "before"), "{outcome}");
    assert!(used(dir, "whole") > 0.9, "{outcome}");
    let config: serde_json::Value = serde_json::from_slice(&bytes(dir, "whole/config.json")).unwrap();
    assert_eq!((&config["model_type"], &config["num_hidden_groups"]), (&"albert".into(), &1.into()));

    let resume = ["shrink", "share", "--out", "killed", "--resume", "--threads", "2", "--quiet"];
    let saved = || newest(&dir.join("killed/rounds/1/run/seed-0/run/checkpoints")) > 0;
    kill(dir, &sharing("killed"), 3, saved);
    ok(dir, &resume);
    for file in ["model.safetensors", "config.json"] {
        assert!(bytes(dir, &format!("whole/{file}")) == bytes(dir, &format!("killed/{file}")), "{file} differs");
    }
}
