//! Ways to take the steps of fine-tuning: batches larger than memory, layers that begin to learn one by one, two
//! passes with other dropout.

mod common;

use common::{Listener, bytes, corpus, device, finetuning, pretraining, question, sentence, story, table};
use polyseme_formats::run::RunFolder;
use polyseme_formats::tensors::TensorFile;
use polyseme_infer::Encoder;
use polyseme_tensor::{Mode, PackedBatch, Sequence, Stream};
use polyseme_train::observer::Silent;
use polyseme_train::pretrain::Length;
use polyseme_train::state::RunState;
use polyseme_train::tasks::r_drop;
use polyseme_train::{FinetuneOutcome, FinetuneSettings, Stop, finetune, pretrain};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

struct Bench {
    dir: tempfile::TempDir,
    model: PathBuf,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let model = dir.path().join("model");
        let settings = pretraining(corpus(dir.path(), 60), model.clone(), Length::Steps(5));
        pretrain(&settings, false, &device(), &mut Silent, &Stop::default()).unwrap();
        table(&dir.path().join("train.csv"), 40, 0);
        table(&dir.path().join("valid.csv"), 20, 1_000);
        Self { dir, model }
    }

    /// Of a classifier: 5 steps an epoch.
    fn classify(&self, out: &str) -> FinetuneSettings {
        let folder = self.dir.path();
        let mut settings = finetuning(&self.model, &folder.join("train.csv"), &folder.join(out));
        settings.valid = Some(folder.join("valid.csv"));
        settings
    }
}

fn run(settings: &FinetuneSettings) -> (FinetuneOutcome, Listener) {
    let mut listener = Listener::default();
    let outcome = finetune(settings, false, &device(), &mut listener, &Stop::default());
    (outcome.unwrap_or_else(|e| panic!("{e}")), listener)
}

/// Runs, and runs again stopped after so many steps and resumed: all must end in the same bytes.
fn resumes(settings: &FinetuneSettings, stops: &[u64]) -> FinetuneOutcome {
    let (whole, _) = run(settings);
    for after in stops {
        let parts = FinetuneSettings { out: settings.out.with_extension(format!("parts-{after}")), ..settings.clone() };
        let stop = Stop::default();
        let mut listener = Listener::stopping(*after, &stop);
        assert!(finetune(&parts, false, &device(), &mut listener, &stop).unwrap().interrupted, "after {after}");
        let resumed = finetune(&parts, true, &device(), &mut Silent, &Stop::default()).unwrap();
        assert_eq!(resumed.results, whole.results, "stopped after {after}");
        let model = "model.safetensors";
        assert!(bytes(parts.out.join(model)) == bytes(settings.out.join(model)), "stopped after {after}");
        assert_eq!(story(&parts.out), story(&settings.out), "stopped after {after}");
    }
    whole
}

#[test]
fn partners_are_told_apart_from_all_of_a_batch_that_takes_several_parts() {
    let bench = Bench::new();
    // 400 pairs of some 70 tokens together: a step of all of them takes two parts.
    let pairs = (0..400).fold("one,two\n".to_owned(), |mut text, i| {
        let long =
            |from: u64| (0..4).map(|k| sentence((i % 2) as usize, from + 4 * i + k)).collect::<Vec<_>>().join(" ");
        let one = long(40_000);
        _ = writeln!(text, "{one},{}", one.replace("the ", ""));
        text
    });
    let file = bench.dir.path().join("pairs.csv");
    std::fs::write(&file, &pairs).unwrap();
    let few = bench.dir.path().join("few.csv");
    std::fs::write(&few, pairs.lines().take(21).fold(String::new(), |text, line| text + line + "\n")).unwrap();
    let mut settings = FinetuneSettings::of_task("retrieval", &bench.model, &file, bench.dir.path().join("retrieval"));
    (settings.text, settings.pair, settings.valid) = (Some("one".into()), Some("two".into()), Some(few));
    (settings.max_length, settings.batch_size, settings.epochs) = (40, 400, 2);
    settings.optimizer.learning_rate = 1e-4;
    resumes(&settings, &[1]);
    // Hardly anything is learned yet, and no part holds more than 240 of the partners there are.
    let loss = story(&settings.out)[0].loss;
    assert!(240f64.ln() < loss && loss < 400f64.ln(), "{loss}");
}

#[test]
fn layers_begin_to_learn_from_the_top_and_a_stop_in_any_stage_changes_nothing() {
    let bench = Bench::new();
    let names = ["embeddings.word_embeddings", "encoder.layer.0.output.dense", "encoder.layer.1.output.dense"];
    let weights = |folder: &Path| {
        let file = TensorFile::open(&folder.join("model.safetensors")).unwrap();
        names.map(|name| file.get(&format!("bert.{name}.weight")).unwrap().to_f32().unwrap())
    };
    let begin = weights(&bench.model);
    // Two epochs a stage: the head, the upper layer, the lower one, the embeddings.
    for (epochs, kept) in [(2, [true; 3]), (3, [true, true, false]), (5, [true, false, false]), (7, [false; 3])] {
        let mut settings = FinetuneSettings { unfreeze_every: 2, epochs, ..bench.classify(&format!("e{epochs}")) };
        // The last epoch is the best: otherwise an earlier one, which had not tuned as much, would be kept.
        (settings.metric, settings.probe_first, settings.optimizer.learning_rate) = ("loss".into(), false, 1e-3);
        let (outcome, listener) = run(&settings);
        assert_eq!(outcome.results[0].epoch, epochs);
        let same: Vec<bool> = begin.iter().zip(weights(&settings.out)).map(|(a, b)| *a == b).collect();
        assert_eq!(same, kept, "after {epochs} epochs");
        assert_eq!(listener.said("from epoch 7 on, everything is tuned"), epochs == 7, "{:?}", listener.notes);
        assert_eq!(listener.said("epochs end while"), epochs < 7);
    }
    // Inside of each stage, right before one and at its beginning.
    let mut settings = FinetuneSettings { unfreeze_every: 1, epochs: 6, ..bench.classify("stages") };
    (settings.patience, settings.optimizer.learning_rate) = (1, 2e-3);
    let outcome = resumes(&settings, &[3, 5, 6, 9, 10, 13, 15, 16, 18]);
    assert!(outcome.median >= 0.9, "{outcome:?}");
}

/// A checkpoint of the first stage has moments of the head only, and their bias correction begins anew in each.
#[test]
fn what_waits_for_its_stage_has_no_moments() {
    let bench = Bench::new();
    let settings = FinetuneSettings { unfreeze_every: 1, epochs: 4, ..bench.classify("moments") };
    for (after, layers, updates) in [(3, 0, 3), (5, 0, 5), (8, 1, 3), (12, 2, 2)] {
        let settings = FinetuneSettings { out: settings.out.with_extension(after.to_string()), ..settings.clone() };
        let stop = Stop::default();
        finetune(&settings, false, &device(), &mut Listener::stopping(after, &stop), &stop).unwrap();
        let folder = RunFolder::resume(&settings.out.join("run/seed-0")).or_else(|_| RunFolder::resume(&settings.out));
        let (found, _) = folder.unwrap().latest_checkpoint::<RunState>().unwrap();
        let (state, tensors) = found.unwrap();
        assert_eq!((state.step, state.updates), (after, updates));
        let file = TensorFile::open(&tensors).unwrap();
        let moments: Vec<String> = file.names().into_iter().filter(|name| name.starts_with("optimizer.m.")).collect();
        let of = |part: &str| moments.iter().any(|name| name.contains(part));
        assert!(of("classifier") && !of("embeddings"), "{moments:?}");
        assert_eq!((of("layer.1"), of("layer.0")), (layers > 0, layers > 1), "after {after}");
    }
}

#[test]
fn two_passes_learn_to_say_the_same() {
    let bench = Bench::new();
    let with = |r_drop: f64| {
        let mut settings = FinetuneSettings { r_drop, epochs: 25, ..bench.classify(&format!("r-drop-{r_drop}")) };
        (settings.patience, settings.probe_first, settings.batch_size) = (0, false, 4);
        settings
    };
    // How far two passes with other dropout are from each other, of the model that was learned.
    let disagreement = |settings: &FinetuneSettings| {
        let encoder = Encoder::open(&settings.out).unwrap();
        let ids: Vec<Sequence> = (0..20)
            .map(|i| encoder.tokenizer.encode(&sentence(i % 2, 700 + i as u64), None, 24).unwrap())
            .map(|e| Sequence { ids: e.ids, type_ids: e.type_ids })
            .collect();
        let packed = PackedBatch::new(&ids);
        let said = |seed: u64| encoder.model.sequence_outputs(&packed, Mode::Train(Stream::new(seed)));
        let apart = |seed: u64| r_drop::of_classes(said(2 * seed), said(2 * seed + 1)).into_scalar::<f32>();
        (0..10).map(apart).sum::<f32>()
    };
    let (none, much) = (with(0.0), with(20.0));
    run(&none);
    let outcome = resumes(&much, &[1, 113]);
    assert!(outcome.median >= 0.9, "{outcome:?}");
    let (usual, less) = (disagreement(&none), disagreement(&much));
    assert!(less < 0.7 * usual, "{less} and {usual} without");
}

#[test]
fn every_task_that_says_something_of_a_row_takes_two_passes() {
    let bench = Bench::new();
    let file = |name: &str, text: String| {
        let path = bench.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let lines = |of: &dyn Fn(u64) -> String| (0..12).map(of).collect::<String>();
    let said = |i: u64| sentence((i % 2) as usize, i);
    let rows = [
        (
            "multilabel",
            file("several.csv", "text,label\n".to_owned() + &lines(&|i| format!("{},l{}\n", said(i), i % 2))),
        ),
        ("regress", file("numbers.csv", "text,label\n".to_owned() + &lines(&|i| format!("{},{i}\n", said(i))))),
        (
            "similarity",
            file(
                "alike.csv",
                "text,pair,label\n".to_owned() + &lines(&|i| format!("{},{},{i}\n", said(i), said(2 * i))),
            ),
        ),
        ("tag", file("tags.conll", lines(&|i| format!("the O\n{} B-X\n\n", said(i).split(' ').nth(1).unwrap())))),
        ("qa", file("answers.jsonl", lines(&question))),
        (
            "choice",
            file("choices.csv", "text,a,b,label\n".to_owned() + &lines(&|i| format!("x,{},y,{}\n", said(i), i % 2))),
        ),
    ];
    for (task, rows) in rows {
        let first_loss = |r_drop: f64| {
            let out = bench.dir.path().join(format!("{task}-{r_drop}"));
            let mut settings = FinetuneSettings::of_task(task, &bench.model, &rows, out);
            (settings.r_drop, settings.valid, settings.epochs) = (r_drop, Some(rows.clone()), 1);
            settings.max_length = 40;
            match task {
                "choice" => settings.choices = vec!["a".into(), "b".into()],
                "similarity" => settings.pair = Some("pair".into()),
                _ => (),
            }
            let (outcome, _) = run(&settings);
            assert!(outcome.median.is_finite(), "{task}");
            story(&settings.out)[0].loss
        };
        // The disagreement is part of the loss, and is little at the beginning.
        let (usual, little, much) = (first_loss(0.0), first_loss(1e-9), first_loss(1e3));
        assert!((little - usual).abs() < 0.5 && much > little, "{task}: {usual} {little} {much}");
    }
}
