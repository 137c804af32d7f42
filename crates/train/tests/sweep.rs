//! A search tries what it should, goes on where it was stopped, and leaves the best trial's model.

mod common;

use common::{Listener, bytes, corpus, device, finetuning, pretraining, table};
use polyseme_infer::Encoder;
use polyseme_train::observer::Silent;
use polyseme_train::pretrain::Length;
use polyseme_train::sweep::space::Dimension;
use polyseme_train::{Stop, SweepOutcome, SweepSettings, pretrain, sweep};
use std::collections::BTreeMap;
use std::path::Path;

fn settings(dir: &Path, out: &str) -> SweepSettings {
    let model = dir.join("model");
    if !model.exists() {
        let settings = pretraining(corpus(dir, 60), model.clone(), Length::Steps(5));
        pretrain(&settings, false, &device(), &mut Silent, &Stop::default()).unwrap();
        table(&dir.join("train.csv"), 40, 0);
        table(&dir.join("valid.csv"), 20, 1_000);
    }
    let mut finetune = finetuning(&model, &dir.join("train.csv"), &dir.join(out));
    finetune.valid = Some(dir.join("valid.csv"));
    let rate = Dimension::Range { low: 1e-6, high: 1e-2, log: true, whole: false };
    let space = BTreeMap::from([
        ("optimizer.learning_rate".to_owned(), rate),
        ("freeze".to_owned(), Dimension::Values(vec!["nothing".into(), "embeddings".into()])),
    ]);
    SweepSettings { method: "random".into(), trials: 6, keep_one_of: 3, space, finetune }
}

fn run(settings: &SweepSettings, resume: bool) -> SweepOutcome {
    sweep(settings, resume, &device(), &mut Silent, &Stop::default()).unwrap()
}

#[test]
fn stopped_and_resumed_it_ends_in_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    for method in ["random", "tpe"] {
        let of = |out: &str| {
            let settings = settings(dir.path(), &format!("{method}-{out}"));
            let trials = if method == "tpe" { 11 } else { 6 };
            SweepSettings { method: method.into(), trials, ..settings }
        };
        let (whole, parts) = (of("whole"), of("parts"));
        let done = run(&whole, false);
        let stop = Stop::default();
        // 15 steps a trial: inside the fourth.
        let first = sweep(&parts, false, &device(), &mut Listener::stopping(50, &stop), &stop).unwrap();
        assert!(first.interrupted && first.trials.len() == 3, "{}", first.trials.len());
        let resumed = run(&parts, true);
        assert_eq!((resumed.trials, resumed.best), (done.trials.clone(), done.best));
        for file in ["model.safetensors", "config.json", "run/trials.jsonl"] {
            let read = |s: &SweepSettings| bytes(s.finetune.out.join(file));
            assert!(read(&whole) == read(&parts), "{method}: {file}");
        }
        let best = done.trials.iter().filter_map(|t| t.score).fold(f64::MIN, f64::max);
        assert_eq!(done.trials[done.best.unwrap() as usize].score, Some(best));
        assert!(Encoder::open(&whole.finetune.out).is_ok());
        let kept = (0..done.trials.len())
            .filter(|n| whole.finetune.out.join(format!("trials/{n}/model.safetensors")).exists());
        assert_eq!(kept.collect::<Vec<_>>(), [done.best.unwrap() as usize], "the others' weights are gone");
    }
}

#[test]
fn halving_gives_the_best_more_epochs() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = SweepSettings { method: "halving".into(), trials: 9, ..settings(dir.path(), "halving") };
    settings.finetune.epochs = 9;
    settings.finetune.patience = 0;
    let done = run(&settings, false);
    let epochs: Vec<u64> = done.trials.iter().map(|t| t.epochs).collect();
    assert_eq!(epochs, [1, 1, 1, 1, 1, 1, 1, 1, 1, 3, 3, 3, 9]);
    let mut first: Vec<f64> = done.trials[..9].iter().filter_map(|t| t.score).collect();
    first.sort_by(|a, b| b.total_cmp(a));
    let of_point =
        |t: &polyseme_train::sweep::Trial| done.trials[..9].iter().find(|f| f.point == t.point).unwrap().score;
    let went_on: Vec<f64> = done.trials[9..12].iter().filter_map(of_point).collect();
    assert_eq!(went_on, first[..3]);
    assert_eq!(done.best, Some(12));
}

#[test]
fn what_cannot_be_is_said_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let good = settings(dir.path(), "bad");
    let refused = |change: &dyn Fn(&mut SweepSettings)| {
        let mut settings = good.clone();
        change(&mut settings);
        let error = sweep(&settings, false, &device(), &mut Silent, &Stop::default()).unwrap_err();
        assert!(!settings.finetune.out.exists());
        error.to_string()
    };
    let with = |key: &str, value: toml::Value| {
        let key = key.to_owned();
        move |s: &mut SweepSettings| drop(s.space.insert(key.clone(), Dimension::Values(vec![value.clone()])))
    };
    assert!(refused(&|s| s.method = "grid".into()).contains("`grid`"));
    assert!(refused(&|s| s.trials = 0).contains("`trials` is 0"));
    assert!(refused(&with("optimizer.learningrate", 1.0.into())).contains("space.optimizer.learningrate"));
    assert!(refused(&with("epochs", "many".into())).contains("many"));
    assert!(refused(&with("epochs", 0.into())).contains("`epochs` is 0"));
    assert!(refused(&|s| s.space.clear()).contains("empty"));
}

#[test]
fn ways_to_take_the_steps_may_be_chosen() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = SweepSettings { trials: 4, ..settings(dir.path(), "steps") };
    let values = |values: Vec<toml::Value>| Dimension::Values(values);
    settings.space = BTreeMap::from([
        ("unfreeze_every".to_owned(), values(vec![0.into(), 1.into()])),
        ("r_drop".to_owned(), values(vec![0.into(), 0.5.into()])),
        ("batch_size".to_owned(), Dimension::Range { low: 4.0, high: 9.0, log: false, whole: true }),
    ]);
    (settings.finetune.epochs, settings.finetune.folds, settings.finetune.valid) = (2, 2, None);
    let done = run(&settings, false);
    assert!(done.trials.iter().all(|t| t.score.is_some()), "{:?}", done.trials);
    let best = settings.finetune.out.join(format!("trials/{}/run/all/model.safetensors", done.best.unwrap()));
    assert!(bytes(best) == bytes(settings.finetune.out.join("model.safetensors")), "the one that learned from all");
}
