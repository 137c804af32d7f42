//! A chain of ways to make a model smaller, by the real program: within a gate, to the same bytes after a kill.
#![cfg(unix)]

mod support;

use serde_json::Value;
use std::path::Path;
use support::{bytes, encoder_and_rows, interrupt, json, kill, labelled, newest, ok, write};

/// How what is made smaller learns again.
const LEARNS: &str =
    "epochs = 12\npatience = 0\nbatch_size = 8\nlearning_rate = 5e-3\nset = { save_every_steps = 3 }\n";

/// A classifier in `classifier`, and the recipe `recipe.toml` with this gate and these steps.
fn classifier(dir: &Path, gate: &str, steps: &[&str]) {
    encoder_and_rows(dir);
    write(dir, "test.csv", &labelled(30, 3));
    let how = ["--epochs", "20", "--patience", "0", "--batch-size", "8", "--learning-rate", "5e-3", "--quiet"];
    let rows = ["--train", "train.csv", "--valid", "valid.csv"];
    ok(dir, &[&["finetune", "encoder", "--task", "classify", "--out", "classifier"][..], &rows, &how].concat());
    let mut text =
        format!("[gate]\n{gate}\n[data]\ntrain = \"train.csv\"\nvalid = \"valid.csv\"\ntest = \"test.csv\"\n");
    for step in steps {
        let learns = if step.contains("vocab") { "" } else { LEARNS };
        text += &format!("[[step]]\n{step}\n{learns}");
    }
    write(dir, "recipe.toml", &text);
}

const CUT: &str = "way = 'prune'\nkeep_units = [0.75, 0.5]\nkeep_heads = [1.0, 0.5]";

fn recipe(out: &str) -> [&str; 9] {
    ["shrink", "recipe", "classifier", "--recipe", "recipe.toml", "--out", out, "--threads", "2"]
}

fn worth(candidate: &Value, what: &str) -> f64 {
    candidate["measured"][what].as_f64().unwrap_or_else(|| panic!("{what} in {candidate}"))
}

/// Numbers of the candidates that no other beats, from the numbers that the result gives.
fn front_of(candidates: &[Value]) -> Vec<u64> {
    let beaten = |one: &Value| {
        candidates.iter().filter(|c| !c["measured"].is_null()).any(|other| {
            let quartile = |c: &Value, which: &str| c["measured"]["speed"][which].as_f64().unwrap();
            let better = worth(other, "score") - worth(one, "score");
            let saved = worth(one, "weights_bytes") - worth(other, "weights_bytes");
            let slower = quartile(other, "high") < quartile(one, "low");
            let faster = quartile(other, "low") > quartile(one, "high");
            better >= 0.0 && saved >= 0.0 && !slower && (better > 0.0 || saved > 0.0 || faster)
        })
    };
    let made = candidates.iter().filter(|c| !c["measured"].is_null());
    made.filter(|c| !beaten(c)).map(|c| c["number"].as_u64().unwrap()).collect()
}

/// Errors unless every candidate of a result is there, usable and as large as the result says.
fn check(dir: &Path, outcome: &Value) {
    let candidates = outcome["candidates"].as_array().unwrap();
    let whole = worth(&candidates[0], "score");
    for (number, candidate) in candidates.iter().enumerate() {
        assert_eq!(candidate["number"], number as u64);
        if candidate["measured"].is_null() {
            continue;
        }
        let folder = candidate["folder"].as_str().unwrap();
        let found = json(dir, &["eval", folder, "--data", "valid.csv", "--quiet"]);
        assert_eq!(found["accuracy"], candidate["measured"]["score"], "{folder}");
        let file = bytes(dir, &format!("{folder}/model.safetensors")).len() as f64;
        let tensors = worth(candidate, "weights_bytes");
        assert!(tensors <= file && file < tensors + 20_000.0, "{folder} has {file} bytes, said are {tensors}");
        assert!(worth(candidate, "folder_bytes") > file && worth(candidate, "rows_per_second") > 0.0);
        assert_eq!(candidate["within"], worth(candidate, "score") >= outcome["limit"].as_f64().unwrap() - 1e-9);
        assert!(cfg!(not(target_os = "linux")) || worth(candidate, "peak_memory_bytes") > tensors, "{candidate}");
    }
    let front: Vec<u64> = outcome["front"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).collect();
    assert_eq!(front, front_of(candidates));
    let best = &candidates[outcome["best"].as_u64().unwrap() as usize];
    assert_eq!(best["within"], true);
    assert!(outcome["limit"].as_f64().unwrap() <= whole);
    let folder = best["folder"].as_str().unwrap();
    for file in ["model.safetensors", "config.json", "tokenizer.json"] {
        if dir.join(folder).join(file).exists() {
            let out = outcome["model"].as_str().unwrap();
            assert!(bytes(dir, &format!("{out}/{file}")) == bytes(dir, &format!("{folder}/{file}")), "{file}");
        }
    }
}

#[test]
fn a_chain_within_its_gate_leaves_the_smallest_and_tells_of_all() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let distil = "way = 'distil'\nkeep_layers = [0]";
    classifier(dir, "max_loss = 0.15", &["way = 'vocab'", distil, CUT]);
    let plan = ok(dir, &[&recipe("small")[..], &["--dry-run"]].concat());
    assert!(plan.contains("\"--keep-layers=0\"") && !dir.join("small").exists(), "{plan}");
    let outcome = json(dir, &[&recipe("small")[..], &["--quiet"]].concat());
    check(dir, &outcome);
    let candidates = outcome["candidates"].as_array().unwrap();
    assert_eq!((candidates.len(), outcome["wanted"].as_bool()), (5, Some(true)), "{outcome}");
    let best = outcome["best"].as_u64().unwrap() as usize;
    let size = |c: &Value| worth(c, "weights_bytes");
    assert!(size(&candidates[best]) < 0.6 * size(&candidates[0]), "{outcome}");
    let within = candidates.iter().filter(|c| c["within"] == true);
    assert_eq!(within.map(size).fold(f64::INFINITY, f64::min), size(&candidates[best]), "the smallest within the gate");
    // Test rows are looked at once, for both.
    let test = json(dir, &["eval", "small", "--data", "test.csv", "--quiet"]);
    assert_eq!(test["accuracy"], outcome["test"]["best"]);
    let test = json(dir, &["eval", "classifier", "--data", "test.csv", "--quiet"]);
    assert_eq!(test["accuracy"], outcome["test"]["whole"]);
    let written: Value = serde_json::from_slice(&bytes(dir, "small/run/results.json")).unwrap();
    assert_eq!(written, outcome);
    // A recipe that is at its end is shown again, and nothing is made.
    let again = json(dir, &["shrink", "recipe", "--out", "small", "--resume", "--quiet"]);
    assert_eq!(again, outcome);
    ok(dir, &["predict", "small", "valid.csv", "--quiet"]);
}

#[test]
fn a_gate_that_nothing_meets_ends_with_a_copy_of_the_whole_model() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    // One epoch from random weights, at a rate at which nothing is learned.
    let ruined = "way = 'prune'\nkeep_width = [16, 16]\nfrom_scratch = true";
    classifier(dir, "max_loss = 0.0\nsize = 0.1", &[ruined]);
    let text = String::from_utf8(bytes(dir, "recipe.toml")).unwrap();
    write(dir, "recipe.toml", &text.replace("epochs = 12", "epochs = 1").replace("5e-3", "1e-9"));
    let said = ok(dir, &recipe("small"));
    assert!(said.contains("step 1 is skipped: none of its candidates is within the gate"), "{said}");
    assert!(said.contains("nothing smaller or faster is within the gate") && said.contains("a copy of"), "{said}");
    assert!(said.contains("wanted was at most 10.0 % of the bytes, which nothing within the gate has"), "{said}");
    let outcome: Value = serde_json::from_slice(&bytes(dir, "small/run/results.json")).unwrap();
    assert_eq!((&outcome["best"], &outcome["wanted"]), (&0.into(), &false.into()));
    assert_eq!(outcome["candidates"].as_array().unwrap().len(), 2, "the harder one is not tried");
    let page = String::from_utf8(bytes(dir, "small/run/report.html")).unwrap();
    assert!(page.contains("Nothing smaller or faster is within the gate") && page.contains("class=\"outside\""));
    check(dir, &outcome);
    assert!(bytes(dir, "small/model.safetensors") == bytes(dir, "classifier/model.safetensors"));
}

#[test]
fn a_killed_recipe_goes_on_to_the_same_bytes_and_makes_nothing_again() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    classifier(dir, "max_loss = 0.15", &["way = 'distil'\nkeep_layers = [0]", CUT, "way = 'vocab'"]);
    let whole = json(dir, &[&recipe("whole")[..], &["--quiet"]].concat());
    let resume = ["shrink", "recipe", "--out", "killed", "--resume", "--threads", "2", "--quiet"];
    let mut words = recipe("killed").to_vec();
    // While a student learns, after it, in a round of cutting.
    let checkpoints = |of: &str| newest(&dir.join(format!("killed/candidates/{of}/run/seed-0/run/checkpoints")));
    kill(dir, &words, 0, || checkpoints("1") > 0);
    assert!(bytes(dir, "killed/model.safetensors") == bytes(dir, "classifier/model.safetensors"), "the best so far");
    words = resume.to_vec();
    kill(dir, &words, 0, || dir.join("killed/candidates/2").exists());
    let first = bytes(dir, "killed/run/candidates.jsonl");
    kill(dir, &words, 3, || checkpoints("3/rounds/1") > 0);
    let outcome = json(dir, &resume);
    check(dir, &outcome);
    assert!(bytes(dir, "killed/run/candidates.jsonl").starts_with(&first), "what was finished is not made again");
    let models = ["", "candidates/1/", "candidates/2/", "candidates/3/", "candidates/4/"];
    for file in models.into_iter().flat_map(|of| ["model.safetensors", "config.json"].map(|f| format!("{of}{f}"))) {
        assert!(bytes(dir, &format!("whole/{file}")) == bytes(dir, &format!("killed/{file}")), "{file} differs");
    }
    assert_eq!(whole["best"], outcome["best"]);
    let scores = |of: &Value| -> Vec<Value> {
        of["candidates"].as_array().unwrap().iter().map(|c| c["measured"]["score"].clone()).collect()
    };
    assert_eq!(scores(&whole), scores(&outcome));
}

#[test]
fn the_recipe_that_comes_with_the_program_is_understood() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    classifier(dir, "max_loss = 0.1", &["way = 'vocab'"]);
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/recipes/shrink/classifier.toml");
    let plan = json(dir, &["shrink", "recipe", "classifier", "--recipe", file, "--out", "small", "--dry-run"]);
    let ways: Vec<&str> = plan["step"].as_array().unwrap().iter().map(|step| step["way"].as_str().unwrap()).collect();
    assert_eq!(ways, ["vocab", "distil", "prune", "quantize"]);
    assert_eq!(plan["step"][2]["alternatives"].as_array().unwrap().len(), 2, "{plan}");
    assert!(!dir.join("small").exists());
}

#[test]
fn what_cannot_be_made_is_told_and_the_rest_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let shorter = "way = 'prune'\nkeep_layers = [[1], [0]]";
    // The second cut asks for a layer that the first has left none of.
    classifier(dir, "max_loss = 0.9", &["way = 'prune'\nkeep_layers = [0]", shorter, "way = 'vocab'"]);
    let outcome = json(dir, &[&recipe("small")[..], &["--quiet"]].concat());
    let candidates = outcome["candidates"].as_array().unwrap();
    let why = candidates[2]["failed"].as_str().unwrap();
    assert!(why.contains("layers is [1]"), "{why}");
    assert!(candidates[1]["failed"].is_null() && candidates[3]["failed"].is_null(), "{outcome}");
    check(dir, &outcome);
}

#[test]
fn ctrl_c_leaves_the_best_model_so_far() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    classifier(dir, "max_loss = 0.5", &[CUT]);
    // Longer than anyone waits.
    let text = String::from_utf8(bytes(dir, "recipe.toml")).unwrap();
    write(dir, "recipe.toml", &text.replace("epochs = 12", "epochs = 100000"));
    let (said, code) = interrupt(dir, &recipe("small"), "fine-tune");
    assert_eq!(code, Some(130), "{said}");
    assert!(said.contains("small holds the best model so far, candidate 0"), "{said}");
    assert!(said.contains("hint: go on with `polyseme shrink recipe --out small --resume`"), "{said}");
    let measured = |model| json(dir, &["eval", model, "--data", "test.csv", "--quiet"]);
    assert_eq!(measured("small"), measured("classifier"));
}
