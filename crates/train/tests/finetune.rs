//! Fine-tuning end to end on a made-up language: resume, freezing, seeds, errors.

mod common;

use common::{Listener, bytes, corpus, device, finetuning, pretraining, story, table};
use polyseme_formats::tensors::TensorFile;
use polyseme_infer::Encoder;
use polyseme_train::finetune::Freeze;
use polyseme_train::metrics::Metrics;
use polyseme_train::observer::Silent;
use polyseme_train::pretrain::Length;
use polyseme_train::{
    Columns, Error, EvaluateSettings, FinetuneOutcome, FinetuneSettings, Result, Stop, evaluate, finetune, pretrain,
};
use std::path::{Path, PathBuf};

struct Bench {
    dir: tempfile::TempDir,
    model: PathBuf,
    train: PathBuf,
    valid: PathBuf,
}

impl Bench {
    /// A model of a few steps, 40 rows to learn from and 20 to validate on.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let model = dir.path().join("model");
        let settings = pretraining(corpus(dir.path(), 60), model.clone(), Length::Steps(5));
        pretrain(&settings, false, &device(), &mut Silent, &Stop::default()).unwrap();
        let (train, valid) = (dir.path().join("train.csv"), dir.path().join("valid.csv"));
        table(&train, 40, 0);
        table(&valid, 20, 1_000);
        Self { dir, model, train, valid }
    }
    fn settings(&self, out: &str) -> FinetuneSettings {
        let mut settings = finetuning(&self.model, &self.train, &self.dir.path().join(out));
        settings.valid = Some(self.valid.clone());
        settings
    }
}

fn run(settings: &FinetuneSettings, resume: bool) -> Result<(FinetuneOutcome, Listener)> {
    let mut listener = Listener::default();
    finetune(settings, resume, &device(), &mut listener, &Stop::default()).map(|outcome| (outcome, listener))
}

fn tensor(folder: &Path, name: &str) -> Vec<f32> {
    let file = TensorFile::open(&folder.join("model.safetensors")).unwrap();
    let found = file.get(name).unwrap_or_else(|| panic!("no {name} among {:?}", file.names()));
    found.to_f32().unwrap()
}

#[test]
fn it_learns_and_leaves_a_folder_that_scores_the_same() {
    let bench = Bench::new();
    let mut settings = bench.settings("out");
    settings.epochs = 8;
    let (outcome, listener) = run(&settings, false).unwrap();
    assert!(outcome.median >= 0.9, "{outcome:?}");
    assert!(!outcome.interrupted && outcome.results.len() == 1);
    let config = String::from_utf8(bytes(settings.out.join("config.json"))).unwrap();
    assert!(config.contains("\"0\": \"animal\"") && config.contains("\"1\": \"thing\""), "{config}");
    let results: FinetuneOutcome = serde_json::from_slice(&bytes(settings.out.join("run/results.json"))).unwrap();
    assert_eq!(results.results.len(), 1);
    assert_eq!(story(&settings.out).len(), listener.rows.len());

    let encoder = Encoder::open(&settings.out).unwrap();
    let mut done = 0;
    let how = EvaluateSettings { max_length: Some(settings.max_length), ..Default::default() };
    let scores = evaluate(&encoder, &bench.valid, &how, &mut |n, _| done = n, &Stop::default()).unwrap().unwrap();
    let scores = scores.metrics;
    let stop = Stop::default();
    stop.request();
    assert_eq!(evaluate(&encoder, &bench.valid, &how, &mut |_, _| (), &stop).unwrap(), None);
    let valid = &outcome.results[0].valid;
    assert_eq!(done, 20);
    let (scores, valid) = (scores.classes().unwrap(), valid.classes().unwrap());
    assert_eq!((&scores.confusion, scores.accuracy), (&valid.confusion, valid.accuracy));
    assert!((scores.loss - valid.loss).abs() < 1e-4, "{} and {}", scores.loss, valid.loss);
}

#[test]
fn stopped_anywhere_and_resumed_ends_in_the_same_bytes() {
    let bench = Bench::new();
    let settings = |out: &str| FinetuneSettings { seeds: 2, ..bench.settings(out) };
    let whole = settings("whole");
    let (done, _) = run(&whole, false).unwrap();
    // 5 steps an epoch, 15 a seed: inside an epoch, between two, inside the second seed.
    for after in [3, 5, 19] {
        let parts = settings(&format!("parts-{after}"));
        let stop = Stop::default();
        let mut listener = Listener::stopping(after, &stop);
        let first = finetune(&parts, false, &device(), &mut listener, &stop).unwrap();
        assert!(first.interrupted && first.results.len() == usize::from(after > 15));
        assert!(!parts.out.join("model.safetensors").exists());
        let (resumed, _) = run(&parts, true).unwrap();
        assert_eq!(resumed.results, done.results);
        assert_eq!((resumed.chosen, resumed.median, resumed.spread), (done.chosen, done.median, done.spread));
        assert!(bytes(whole.out.join("model.safetensors")) == bytes(parts.out.join("model.safetensors")));
        for seed in ["run/seed-0", "run/seed-1"] {
            assert_eq!(story(&whole.out.join(seed)), story(&parts.out.join(seed)));
        }
    }
}

#[test]
fn in_bfloat16_it_learns_as_much_by_other_bytes_and_resumes_to_the_same() {
    let bench = Bench::new();
    let settings = |out: &str, bf16: bool, gradient_checkpointing: bool| {
        let mut settings = FinetuneSettings { gradient_checkpointing, epochs: 8, ..bench.settings(out) };
        settings.optimizer.bf16 = bf16;
        settings
    };
    let whole = settings("whole", false, false);
    let (in_f32, _) = run(&whole, false).unwrap();
    let half = settings("half", true, false);
    let (in_bf16, _) = run(&half, false).unwrap();
    assert!(in_bf16.median >= 0.9, "{in_bf16:?}");
    let model = |settings: &FinetuneSettings| bytes(settings.out.join("model.safetensors"));
    assert!(model(&whole) != model(&half), "products are rounded");
    let (a, b) = (&in_f32.results[0].valid, &in_bf16.results[0].valid);
    let (a, b) = (a.classes().unwrap().loss, b.classes().unwrap().loss);
    assert!((a - b).abs() < 0.05, "validation loss {a} and {b}");

    let again = settings("again", true, true);
    run(&again, false).unwrap();
    assert!(model(&again) == model(&half), "layers that are computed again round in the same way");

    let parts = settings("parts", true, false);
    let stop = Stop::default();
    let first = finetune(&parts, false, &device(), &mut Listener::stopping(7, &stop), &stop).unwrap();
    assert!(first.interrupted);
    run(&parts, true).unwrap();
    assert!(model(&parts) == model(&half), "resumed");
}

/// The child of the next test: runs until it is killed.
#[test]
#[ignore = "run by another test, which kills it"]
fn child() {
    let Some(folder) = std::env::var_os("POLYSEME_TEST_CHILD") else { return };
    let folder = Path::new(&folder);
    let _ = run(&killed_settings(folder), folder.join("out/run/settings.toml").exists());
}

fn killed_settings(folder: &Path) -> FinetuneSettings {
    let mut settings = finetuning(&folder.join("model"), &folder.join("train.csv"), &folder.join("out"));
    (settings.epochs, settings.patience, settings.seeds) = (15, 0, 2);
    settings.save_every_steps = 3;
    settings
}

#[test]
fn killed_and_resumed_ends_in_the_same_bytes() {
    let bench = Bench::new();
    let settings = killed_settings(bench.dir.path());
    let whole = FinetuneSettings { out: bench.dir.path().join("whole"), ..settings.clone() };
    let (done, _) = run(&whole, false).unwrap();
    common::kill_child(bench.dir.path(), 20, || true);
    let checkpoints = settings.out.join("run/seed-0/run/checkpoints");
    for milliseconds in [0, 3, 11] {
        let before = common::newest(&checkpoints);
        common::kill_child(bench.dir.path(), milliseconds, || common::newest(&checkpoints) > before);
    }
    assert!(!settings.out.join("model.safetensors").exists(), "killed before the end");
    let begun = settings.out.join("run/settings.toml").exists();
    let (resumed, _) = run(&settings, begun).unwrap();
    assert_eq!(resumed.results, done.results);
    assert!(bytes(whole.out.join("model.safetensors")) == bytes(settings.out.join("model.safetensors")));
}

#[test]
fn what_is_frozen_keeps_its_bytes_and_the_rest_learns() {
    let bench = Bench::new();
    let word = "bert.embeddings.word_embeddings.weight";
    let layer = |i: usize| format!("bert.encoder.layer.{i}.intermediate.dense.weight");
    let begin = [tensor(&bench.model, word), tensor(&bench.model, &layer(0)), tensor(&bench.model, &layer(1))];
    let cases = [
        (Freeze::Nothing, [false, false, false]),
        (Freeze::Embeddings, [true, false, false]),
        (Freeze::Layers(0), [true, false, false]),
        (Freeze::Layers(1), [true, true, false]),
        (Freeze::Layers(2), [true, true, true]),
        (Freeze::Encoder, [true, true, true]),
        (Freeze::Names(vec!["layer.0.*".into(), "position_embeddings.weight".into()]), [false, true, false]),
        (Freeze::AllBut(vec!["*.bias".into()]), [true, true, true]),
    ];
    for (i, (freeze, kept)) in cases.into_iter().enumerate() {
        let settings = FinetuneSettings { freeze: freeze.clone(), epochs: 1, ..bench.settings(&format!("out-{i}")) };
        run(&settings, false).unwrap();
        let end = [tensor(&settings.out, word), tensor(&settings.out, &layer(0)), tensor(&settings.out, &layer(1))];
        let same: Vec<bool> = begin.iter().zip(&end).map(|(a, b)| a == b).collect();
        assert_eq!(same, kept, "{freeze:?}");
    }
    let settings = FinetuneSettings { freeze: Freeze::Layers(3), ..bench.settings("too-many") };
    let error = run(&settings, false).unwrap_err();
    assert!(matches!(error, Error::TooManyFrozen { found: 3, depth: 2, .. }), "{error}");
    let refused = |freeze| run(&FinetuneSettings { freeze, ..bench.settings("refused") }, false).unwrap_err();
    let error = refused(Freeze::Names(vec!["layer.7.*".into()]));
    assert!(matches!(&error, Error::NoSuchParameter { pattern, .. } if pattern == "layer.7.*"), "{error}");
    assert!(matches!(refused(Freeze::Names(vec!["*".into()])), Error::NothingToTune { .. }));
    assert!(!bench.settings("refused").out.exists(), "nothing is left there");
}

#[test]
fn only_biases_are_tuned_in_bitfit_and_lower_layers_move_less() {
    let bench = Bench::new();
    let bias = |i: usize| format!("bert.encoder.layer.{i}.output.dense.bias");
    let settings =
        FinetuneSettings { freeze: Freeze::AllBut(vec!["*.bias".into()]), epochs: 1, ..bench.settings("bitfit") };
    run(&settings, false).unwrap();
    assert_ne!(tensor(&bench.model, &bias(0)), tensor(&settings.out, &bias(0)));

    let mut settings = FinetuneSettings { epochs: 1, ..bench.settings("decay") };
    settings.optimizer.layer_decay = 0.1;
    run(&settings, false).unwrap();
    let moved = |name: &str| -> f32 {
        let (old, new) = (tensor(&bench.model, name), tensor(&settings.out, name));
        old.iter().zip(&new).map(|(a, b)| (a - b).abs()).sum::<f32>() / old.len() as f32
    };
    // Adam's steps are as long as the rate: a tenth for each layer further down.
    let ratio = moved(&bias(0)) / moved(&bias(1));
    assert!((0.05..0.2).contains(&ratio), "{ratio}");
}

#[test]
fn from_scratch_begins_with_other_weights_of_the_same_shape() {
    let bench = Bench::new();
    let name = "bert.embeddings.word_embeddings.weight";
    let settings =
        FinetuneSettings { from_scratch: true, freeze: Freeze::Encoder, epochs: 1, ..bench.settings("scratch") };
    run(&settings, false).unwrap();
    let (old, new) = (tensor(&bench.model, name), tensor(&settings.out, name));
    assert_eq!(old.len(), new.len());
    assert!(old.iter().zip(&new).filter(|(a, b)| a == b).count() < old.len() / 10);
}

#[test]
fn seeds_give_a_median_and_a_spread_and_early_stopping_ends_sooner() {
    let bench = Bench::new();
    let mut settings = FinetuneSettings { seeds: 3, metric: "loss".into(), ..bench.settings("seeds") };
    settings.epochs = 40;
    settings.patience = 2;
    // So high that it stops learning at once.
    settings.optimizer.learning_rate = 0.5;
    let (outcome, listener) = run(&settings, false).unwrap();
    let mut values: Vec<f64> = outcome.results.iter().map(|r| r.valid.get("loss").unwrap()).collect();
    values.sort_by(f64::total_cmp);
    assert_eq!((outcome.median, outcome.spread), (values[1], (values[0], values[2])));
    let chosen = outcome.results.iter().find(|r| r.seed == outcome.chosen).unwrap();
    assert_eq!(chosen.valid.get("loss").unwrap(), values[1]);
    let seed = settings.out.join(format!("run/seed-{}", outcome.chosen));
    assert!(bytes(seed.join("model.safetensors")) == bytes(settings.out.join("model.safetensors")));
    for result in &outcome.results {
        let rows = story(&settings.out.join(format!("run/seed-{}", result.seed)));
        let last = rows.last().unwrap().step;
        // 5 steps an epoch; two epochs after the best one.
        assert!(last == 5 * (result.epoch + 2) || last == 200, "best epoch {}, last step {last}", result.epoch);
    }
    assert!(outcome.results.iter().any(|r| r.epoch < 38));
    let stuck = outcome.results.iter().filter(|r| r.valid.stuck().is_some()).count();
    assert_eq!(listener.warnings.iter().filter(|w| w.contains("is stuck: it says `")).count(), stuck);
}

#[test]
fn without_a_validation_file_a_part_is_kept_and_said_and_cut_texts_are_counted() {
    let bench = Bench::new();
    let mut settings = FinetuneSettings { valid: None, epochs: 1, ..bench.settings("split") };
    settings.max_length = 8;
    let (outcome, listener) = run(&settings, false).unwrap();
    assert!(listener.said("4 of 40 rows, a tenth of each label, are kept for validation"), "{:?}", listener.notes);
    assert!(listener.said("40 of 40 texts were cut to 8 tokens"), "{:?}", listener.notes);
    assert_eq!(
        outcome.results[0].valid.classes().unwrap().classes.iter().map(|c| c.support).collect::<Vec<_>>(),
        [2, 2]
    );
}

/// Rows of a labelled table with a number for each label: 70 and 30, and a little that goes with the row.
fn with_numbers(from: &Path, to: &Path) {
    let text = std::fs::read_to_string(from).unwrap();
    let mut lines = text.lines();
    let mut out = format!("{}\n", lines.next().unwrap());
    for (i, line) in lines.enumerate() {
        let (text, label) = line.rsplit_once(',').unwrap();
        let number = if label == "animal" { 70.0 } else { 30.0 } + (i % 5) as f32 / 10.0;
        out += &format!("{text},{number}\n");
    }
    std::fs::write(to, out).unwrap();
}

#[test]
fn numbers_are_learned_on_their_own_scale_and_the_folder_gives_them() {
    let bench = Bench::new();
    let (train, valid) = (bench.dir.path().join("numbers.csv"), bench.dir.path().join("numbers-valid.csv"));
    with_numbers(&bench.train, &train);
    with_numbers(&bench.valid, &valid);
    let like = bench.settings("numbers");
    let mut settings = FinetuneSettings {
        task: "regress".into(),
        metric: "rmse".into(),
        train,
        valid: Some(valid.clone()),
        epochs: 12,
        patience: 0,
        ..like
    };
    let (outcome, _) = run(&settings, false).unwrap();
    let Metrics::Regress(found) = &outcome.results[0].valid else { panic!("{outcome:?}") };
    assert!(found.pearson > 0.9 && found.rmse < 0.5 * found.deviation, "{found:?}");
    assert!((found.mean - 50.0).abs() < 2.0 && found.deviation > 15.0, "{found:?}");
    assert_eq!(outcome.median, found.rmse);

    let encoder = Encoder::open(&settings.out).unwrap();
    let how = EvaluateSettings { max_length: Some(settings.max_length), ..Default::default() };
    let again = evaluate(&encoder, &valid, &how, &mut |_, _| (), &Stop::default()).unwrap().unwrap();
    let Metrics::Regress(again) = again.metrics else { panic!("a number") };
    assert!((again.rmse - found.rmse).abs() < 1e-3 && (again.spearman - found.spearman).abs() < 1e-6, "{again:?}");
    let config = String::from_utf8(bytes(settings.out.join("config.json"))).unwrap();
    assert!(config.contains("\"problem_type\": \"regression\""), "{config}");

    // Going on from it begins where it ended, on the numbers' own scale.
    let on = bench.settings("on");
    settings = FinetuneSettings { model: settings.out, out: on.out, epochs: 1, ..settings };
    settings.optimizer.learning_rate = 1e-9;
    let (outcome, _) = run(&settings, false).unwrap();
    let Metrics::Regress(unmoved) = &outcome.results[0].valid else { panic!("{outcome:?}") };
    assert!((unmoved.rmse - found.rmse).abs() < 1e-2, "{unmoved:?} and {found:?}");

    // A classifier's folder has a dense layer but no number: a new one begins at the training rows' mean.
    let classifier = bench.settings("classifier");
    run(&FinetuneSettings { epochs: 1, ..classifier.clone() }, false).unwrap();
    let fresh = FinetuneSettings { model: classifier.out, out: bench.settings("fresh").out, ..settings.clone() };
    let (outcome, _) = run(&fresh, false).unwrap();
    let Metrics::Regress(begins) = &outcome.results[0].valid else { panic!("{outcome:?}") };
    assert!((begins.rmse - begins.deviation).abs() < 0.1 * begins.deviation, "{begins:?}");

    let words = FinetuneSettings { task: "regress".into(), metric: "rmse".into(), ..bench.settings("words") };
    let error = run(&words, false).unwrap_err();
    assert!(matches!(&error, Error::NotANumber { row: 1, column, .. } if column == "label"), "{error}");
    let metric = FinetuneSettings { task: "regress".into(), ..bench.settings("metric") };
    assert!(matches!(run(&metric, false).unwrap_err(), Error::UnknownMetric { .. }));
}

#[test]
fn pairs_are_classified_by_both_texts() {
    let bench = Bench::new();
    // Whether two sentences are about the same: neither text alone tells.
    let row = |i: u64| {
        let (a, b) = ((i % 2) as usize, (i / 2 % 2) as usize);
        format!("{},{},{}\n", common::sentence(a, 5_000 + i), common::sentence(b, 6_000 + i), i32::from(a == b))
    };
    let pairs = bench.dir.path().join("pairs.csv");
    std::fs::write(&pairs, format!("one,two,label\n{}", (0..64).map(row).collect::<String>())).unwrap();
    let mut settings = FinetuneSettings { train: pairs.clone(), valid: Some(pairs.clone()), ..bench.settings("pairs") };
    (settings.text, settings.pair) = (Some("one".into()), Some("two".into()));
    (settings.max_length, settings.epochs, settings.patience) = (40, 30, 0);
    let (outcome, _) = run(&settings, false).unwrap();
    assert!(outcome.median >= 0.95, "these few rows can be learned by heart: {}", outcome.median);
    assert_eq!(outcome.results[0].valid.classes().unwrap().labels, ["0", "1"]);
    let columns = Columns { text: settings.text, pair: settings.pair, ..Columns::default() };
    let how = EvaluateSettings { columns, ..Default::default() };
    let encoder = Encoder::open(&settings.out).unwrap();
    let scores = evaluate(&encoder, &pairs, &how, &mut |_, _| (), &Stop::default()).unwrap().unwrap().metrics;
    assert_eq!(scores.classes().unwrap().confusion, outcome.results[0].valid.classes().unwrap().confusion);
}

#[test]
fn errors_name_what_was_found_and_leave_nothing() {
    let bench = Bench::new();
    let file = |name: &str, text: &str| {
        let path = bench.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let one = file("one.csv", "text,label\na,x\nb,x\n");
    let hole = file("hole.csv", "text,label\na,x\n,y\n");
    let unseen = file("unseen.csv", "text,label\na cat,animal\na rock,stone\n");
    let pairless = bench.train.clone();
    type Change = Box<dyn Fn(&mut FinetuneSettings)>;
    let cases: Vec<(Change, &str)> = vec![
        (
            Box::new(|s| s.task = "juggle".into()),
            "no task `juggle`; there is: classify, multilabel, regress, tag, qa, choice",
        ),
        (Box::new(|s| s.metric = "f2".into()), "no metric `f2`; there is: accuracy, macro_f1, loss"),
        (Box::new(|s| s.epochs = 0), "`epochs` is 0"),
        (Box::new(|s| s.seeds = 0), "`seeds` is 0"),
        (Box::new(|s| s.max_length = 3), "`max_length` is 3, expected at least 4"),
        (Box::new(move |s| s.train = one.clone()), "one label only (`x`)"),
        (Box::new(move |s| s.train = hole.clone()), "row 2: column `text` is empty"),
        (
            Box::new(move |s| s.valid = Some(unseen.clone())),
            "row 2: label `stone` is unknown; known labels: `animal`, `thing`",
        ),
        (Box::new(|s| s.text = Some("txet".into())), "txet"),
        (Box::new(|s| s.pair = Some("text".into())), "was named both as text and as pair"),
        (Box::new(move |s| s.model = pairless.clone()), "train.csv"),
    ];
    for (change, part) in cases {
        let mut settings = bench.settings("bad");
        change(&mut settings);
        let error = run(&settings, false).err().unwrap_or_else(|| panic!("no error: {part}"));
        assert!(error.to_string().contains(part), "{error}");
        assert!(!settings.out.exists(), "{part}: something was left");
    }
}
