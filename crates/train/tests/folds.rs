//! Cross-validation end to end: every row is measured once, the model learns from all of them, and a stop or a kill
//! anywhere changes nothing.

mod common;

use common::{Listener, bytes, corpus, device, finetuning, pretraining, question, sentence, story, table};
use polyseme_formats::ModelFolder;
use polyseme_infer::Encoder;
use polyseme_train::metrics::Metrics;
use polyseme_train::observer::Silent;
use polyseme_train::pretrain::Length;
use polyseme_train::{EvaluateSettings, FinetuneOutcome, FinetuneSettings, Stop, evaluate, finetune, pretrain};
use std::path::{Path, PathBuf};

fn model(folder: &Path) -> PathBuf {
    let model = folder.join("model");
    let settings = pretraining(corpus(folder, 60), model.clone(), Length::Steps(5));
    pretrain(&settings, false, &device(), &mut Silent, &Stop::default()).unwrap();
    model
}

/// Three folds of 41 rows.
fn settings(folder: &Path, out: &str) -> FinetuneSettings {
    let mut settings = finetuning(&folder.join("model"), &folder.join("train.csv"), &folder.join(out));
    (settings.folds, settings.epochs, settings.save_every_steps) = (3, 3, 2);
    settings
}

fn run(settings: &FinetuneSettings, resume: bool) -> (FinetuneOutcome, Listener) {
    let mut listener = Listener::default();
    let outcome = finetune(settings, resume, &device(), &mut listener, &Stop::default());
    (outcome.unwrap_or_else(|e| panic!("{e}")), listener)
}

#[test]
fn every_row_is_measured_once_and_a_stop_anywhere_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    model(folder);
    table(&folder.join("train.csv"), 41, 0);
    let whole = settings(folder, "whole");
    let (done, listener) = run(&whole, false);
    assert!(listener.said("each of 41 rows is measured in one of 3 folds"), "{:?}", listener.notes);
    let support = |label: usize| -> Vec<u64> {
        done.results.iter().map(|r| r.valid.classes().unwrap().classes[label].support).collect()
    };
    assert_eq!((support(0), support(1)), (vec![7, 7, 7], vec![7, 7, 6]));
    assert_eq!(done.results.iter().map(|r| r.fold).collect::<Vec<_>>(), [Some(1), Some(2), Some(3)]);
    let values: Vec<f64> = done.results.iter().map(|r| r.valid.get("accuracy").unwrap()).collect();
    let found = done.cross_validation.clone().unwrap();
    assert!((found.mean - values.iter().sum::<f64>() / 3.0).abs() < 1e-12);
    let mut epochs: Vec<u64> = done.results.iter().map(|r| r.epoch).collect();
    epochs.sort_unstable();
    assert_eq!(found.epochs, epochs[1]);
    let results: FinetuneOutcome = serde_json::from_slice(&bytes(whole.out.join("run/results.json"))).unwrap();
    assert_eq!(results.cross_validation.as_ref().unwrap().note, found.note);

    // The last run: 6 steps an epoch of all rows, at the rates of a run of all epochs, without a measurement.
    let rows = story(&whole.out);
    assert_eq!(rows.last().unwrap().step, 6 * found.epochs);
    assert!(rows.iter().all(|row| row.valid.is_empty()));
    let fold = story(&whole.out.join("run/fold-1"));
    let rate = |rows: &[polyseme_formats::run::StepRow], step: u64, of: f64| {
        let row = rows.iter().find(|row| row.step == step).unwrap();
        (row.learning_rate, (step as f64 - 0.5) / of)
    };
    // Of a fold 4 steps an epoch. The rate falls in a line to nothing at the end of the last epoch.
    let ((a, at), (b, then)) = (rate(&rows, 6, 18.0), rate(&fold, 4, 12.0));
    assert!((a / (1.0 - at) - b / (1.0 - then)).abs() < 1e-9, "{a} at {at} and {b} at {then}");

    // Each fold has 12 steps: inside of two folds, at the end of one, inside of the run on all rows.
    for after in [3, 12, 17, 24, 36 + 2, 36 + 6 * found.epochs - 1] {
        let parts = settings(folder, &format!("parts-{after}"));
        let stop = Stop::default();
        let mut listener = Listener::stopping(after, &stop);
        let first = finetune(&parts, false, &device(), &mut listener, &stop).unwrap();
        assert!(first.interrupted && !parts.out.join("model.safetensors").exists());
        assert_eq!(first.cross_validation.is_some(), after > 36);
        let (resumed, _) = run(&parts, true);
        assert_eq!(FinetuneOutcome { model: whole.out.clone(), ..resumed }, done, "stopped after {after}");
        assert!(bytes(whole.out.join("model.safetensors")) == bytes(parts.out.join("model.safetensors")), "{after}");
        assert_eq!(story(&whole.out), story(&parts.out), "{after}");
    }

    // The model is better on the rows it learned from than the folds were on those they had not.
    let how = EvaluateSettings { max_length: Some(whole.max_length), ..Default::default() };
    let encoder = Encoder::open(&whole.out).unwrap();
    let found = evaluate(&encoder, &whole.train, &how, &mut |_, _| (), &Stop::default()).unwrap().unwrap();
    assert!(found.metrics.get("accuracy").unwrap() >= done.median, "{found:?}");
}

/// The child of the next test: runs until it is killed.
#[test]
#[ignore = "run by another test, which kills it"]
fn child() {
    let Some(folder) = std::env::var_os("POLYSEME_TEST_CHILD") else { return };
    let folder = Path::new(&folder);
    let begun = folder.join("out/run/settings.toml").exists();
    let _ = finetune(&killed(folder, "out"), begun, &device(), &mut Silent, &Stop::default());
}

/// Enough epochs that it can be killed in each run.
fn killed(folder: &Path, out: &str) -> FinetuneSettings {
    FinetuneSettings { epochs: 30, patience: 0, ..settings(folder, out) }
}

#[test]
fn killed_in_a_fold_and_in_the_last_run_it_ends_in_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    model(folder);
    table(&folder.join("train.csv"), 41, 0);
    let whole = killed(folder, "whole");
    let (done, _) = run(&whole, false);
    for (run, milliseconds) in [("fold-1", 3), ("fold-3", 0), ("all", 2), ("all", 0)] {
        let checkpoints = folder.join(format!("out/run/{run}/run/checkpoints"));
        let before = common::newest(&checkpoints);
        common::kill_child(folder, milliseconds, || common::newest(&checkpoints) > before);
    }
    let out = folder.join("out");
    assert!(!out.join("model.safetensors").exists(), "killed before the end");
    let (resumed, _) = run(&killed(folder, "out"), true);
    assert_eq!(resumed.results, done.results);
    assert!(bytes(whole.out.join("model.safetensors")) == bytes(out.join("model.safetensors")));
}

#[test]
fn every_kind_of_task_has_folds() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    let model = model(folder);
    let file = |name: &str, text: String| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let lines = |of: &dyn Fn(u64) -> String| (0..24).map(of).collect::<String>();
    let said = |i: u64| sentence((i % 2) as usize, i);
    let table = |of: &dyn Fn(u64) -> String| "text,label\n".to_owned() + &lines(of);
    let rows = [
        ("multilabel", file("several.csv", table(&|i| format!("{},l{}\n", said(i), i % 2)))),
        ("regress", file("numbers.csv", table(&|i| format!("{},{}\n", said(i), 50 + 10 * (i % 2))))),
        ("tag", file("tags.conll", lines(&|i| format!("the O\n{} B-X\n\n", said(i).split(' ').nth(1).unwrap())))),
        ("qa", file("answers.jsonl", lines(&question))),
    ];
    for (task, rows) in rows {
        let mut settings = FinetuneSettings::of_task(task, &model, &rows, folder.join(task));
        (settings.folds, settings.epochs, settings.max_length) = (4, 2, 40);
        let (outcome, _) = run(&settings, false);
        assert_eq!(outcome.results.len(), 4, "{task}");
        let encoder = Encoder::open(&settings.out).unwrap();
        let how = EvaluateSettings { max_length: Some(40), ..Default::default() };
        let found = evaluate(&encoder, &rows, &how, &mut |_, _| (), &Stop::default()).unwrap().unwrap().metrics;
        match found {
            // Numbers on their own scale, though nothing measured the model.
            Metrics::Regress(m) => assert!(m.rmse < 20.0 && (m.mean - 55.0).abs() < 1e-9, "{m:?}"),
            Metrics::Multilabel(_) => {
                let of = |r: &polyseme_train::finetune::SeedResult| match &r.valid {
                    Metrics::Multilabel(m) => m.thresholds[0],
                    other => panic!("{other:?}"),
                };
                let mut all: Vec<f64> = outcome.results.iter().map(of).collect();
                all.sort_by(f64::total_cmp);
                assert_eq!(encoder.several_labels().unwrap().1[0], 0.5 * (all[1] + all[2]));
            }
            _ => {}
        }
        assert!(ModelFolder::open(&settings.out).is_ok());
    }
}
