//! Every task learns, resumes to the same bytes, and leaves a folder that scores and answers the same.

mod common;

use common::{Listener, bytes, corpus, device, pretraining, sentence};
use polyseme_infer::Encoder;
use polyseme_train::finetune::data::Columns;
use polyseme_train::metrics::Metrics;
use polyseme_train::observer::Silent;
use polyseme_train::pretrain::Length;
use polyseme_train::{EvaluateSettings, FinetuneOutcome, FinetuneSettings, Stop, evaluate, finetune, pretrain};
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
        let settings = pretraining(corpus(dir.path(), 60), model.clone(), Length::Steps(20));
        pretrain(&settings, false, &device(), &mut Silent, &Stop::default()).unwrap();
        Self { dir, model }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn settings(&self, task: &str, train: &Path, valid: &Path) -> FinetuneSettings {
        let mut settings = FinetuneSettings::of_task(task, &self.model, train, self.dir.path().join(task));
        settings.valid = Some(valid.to_owned());
        (settings.max_length, settings.batch_size, settings.epochs) = (40, 8, 12);
        settings.optimizer.learning_rate = 5e-3;
        settings
    }

    /// Learns; learns again, interrupted and resumed; measures the folder. All three must agree.
    fn learns(&self, settings: &FinetuneSettings) -> FinetuneOutcome {
        let whole = run(settings);
        let parts = FinetuneSettings { out: settings.out.with_extension("parts"), ..settings.clone() };
        let stop = Stop::default();
        let mut listener = Listener::stopping(7, &stop);
        assert!(finetune(&parts, false, &device(), &mut listener, &stop).unwrap().interrupted);
        let resumed = finetune(&parts, true, &device(), &mut Silent, &Stop::default()).unwrap();
        assert_eq!(resumed.results, whole.results, "{}", settings.task);
        for file in ["model.safetensors", "config.json"] {
            assert!(bytes(parts.out.join(file)) == bytes(settings.out.join(file)), "{}: {file}", settings.task);
        }
        let found = measured(settings);
        for name in polyseme_train::metrics::metrics_of(&settings.task) {
            let (a, b) = (found.get(name).unwrap(), whole.results[0].valid.get(name).unwrap());
            assert!((a - b).abs() < 1e-3, "{} {name}: {a} and {b}", settings.task);
        }
        whole
    }
}

fn run(settings: &FinetuneSettings) -> FinetuneOutcome {
    finetune(settings, false, &device(), &mut Silent, &Stop::default()).unwrap()
}

fn measured(settings: &FinetuneSettings) -> Metrics {
    let encoder = Encoder::open(&settings.out).unwrap();
    let how = EvaluateSettings {
        columns: settings.columns(),
        label_separator: settings.label_separator.clone(),
        max_length: Some(settings.max_length),
        stride: settings.stride,
    };
    let file = settings.valid.as_ref().unwrap();
    evaluate(&encoder, file, &how, &mut |_, _| (), &Stop::default()).unwrap().unwrap().metrics
}

#[test]
fn several_labels() {
    let bench = Bench::new();
    // What a sentence is about, and how it ends: none, one or two labels.
    let rows = |from: u64, n: u64| {
        (from..from + n).fold("text,labels\n".to_owned(), |mut text, i| {
            let sentence = sentence((i % 2) as usize, 900_000 + i);
            let labels = [("animal", i % 2 == 0), ("the", sentence.contains(" the ro") || sentence.contains(" the b"))];
            let labels: Vec<&str> = labels.iter().filter(|(_, is)| *is).map(|(l, _)| *l).collect();
            _ = writeln!(text, "{sentence},{}", labels.join("|"));
            text
        })
    };
    let mut settings = bench.settings(
        "multilabel",
        &bench.file("train.csv", &rows(0, 120)),
        &bench.file("valid.csv", &rows(5_000, 30)),
    );
    (settings.label, settings.label_separator) = (Some("labels".into()), "|".into());
    (settings.epochs, settings.patience) = (30, 0);
    let outcome = bench.learns(&settings);
    let Metrics::Multilabel(found) = &outcome.results[0].valid else { panic!("{outcome:?}") };
    assert!(found.micro_f1 > 0.85, "{found:?}");
    let encoder = Encoder::open(&settings.out).unwrap();
    let (labels, thresholds) = encoder.several_labels().unwrap();
    assert_eq!(labels, ["animal", "the"]);
    assert!(thresholds.iter().zip(&found.thresholds).all(|(a, b)| (f64::from(*a) - b).abs() < 1e-6));
    let config = String::from_utf8(bytes(settings.out.join("config.json"))).unwrap();
    assert!(config.contains("multi_label_classification") && config.contains("thresholds"), "{config}");
}

#[test]
fn a_label_for_each_word() {
    let bench = Bench::new();
    let things = ["ship", "train", "engine", "wagon", "bicycle", "lorry", "boat", "plane"];
    let animals = ["cat", "dog", "horse", "mouse", "sheep", "goat", "hen", "fox"];
    let rows = |from: u64, n: u64| {
        (from..from + n).fold(String::new(), |mut text, i| {
            for word in sentence((i % 2) as usize, 700_000 + i).split(' ') {
                let tag = if things.contains(&word) {
                    "B-THING"
                } else if animals.contains(&word) {
                    "B-ANIMAL"
                } else {
                    "O"
                };
                _ = writeln!(text, "{word}\t{tag}");
            }
            text + "\n"
        })
    };
    let (train, valid) = (bench.file("train.conll", &rows(0, 60)), bench.file("valid.conll", &rows(5_000, 20)));
    let mut settings = bench.settings("tag", &train, &valid);
    // So short that sentences are cut into windows.
    settings.max_length = 10;
    let outcome = bench.learns(&settings);
    let Metrics::Tag(found) = &outcome.results[0].valid else { panic!("{outcome:?}") };
    assert!(found.f1 > 0.9, "{found:?}");
    assert_eq!(found.types.iter().map(|t| t.label.as_str()).collect::<Vec<_>>(), ["ANIMAL", "THING"]);
    let words = std::fs::read_to_string(&valid).unwrap().lines().filter(|l| !l.is_empty()).count();
    assert_eq!(found.tokens as usize, words, "every word is counted once");

    let encoder = Encoder::open(&settings.out).unwrap();
    let text = "the cat and the ship waits";
    let entities = encoder.entities(&[text], None).unwrap().remove(0);
    let said: Vec<(&str, &str)> = entities.iter().map(|e| (e.label.as_str(), e.text.as_str())).collect();
    assert_eq!(said, [("ANIMAL", "cat"), ("THING", "ship")]);
    assert_eq!((entities[1].start, entities[1].end), (16, 20));
    let long = format!("{text} ").repeat(20);
    assert_eq!(encoder.entities(&[&long], Some(12)).unwrap()[0].len(), 40, "nothing is lost in windows");
}

#[test]
fn an_answer_copied_from_a_passage() {
    let bench = Bench::new();
    // Who stands first; in every fourth passage nobody does.
    let rows = |from: u64, n: u64| {
        (from..from + n).fold(String::new(), |mut text, i| {
            let context = sentence((i % 2) as usize, 800_000 + i);
            let first = context.split(' ').nth(1).unwrap();
            let (question, answers) = match i % 4 {
                3 => ("slowly with coal", String::new()),
                _ => ("the and the", format!("{{\"text\": \"{first}\", \"answer_start\": 4}}")),
            };
            _ = writeln!(
                text,
                "{{\"id\": \"{i}\", \"question\": \"{question}\", \"context\": \"{context}\", \"answers\": [{answers}]}}"
            );
            text
        })
    };
    let (train, valid) = (bench.file("train.jsonl", &rows(0, 120)), bench.file("valid.jsonl", &rows(5_000, 24)));
    let mut settings = bench.settings("qa", &train, &valid);
    (settings.epochs, settings.patience, settings.stride) = (16, 0, 2);
    let outcome = bench.learns(&settings);
    let Metrics::Answer(found) = &outcome.results[0].valid else { panic!("{outcome:?}") };
    assert!(found.exact_match > 0.8 && (found.answerable, found.unanswerable) == (18, 6), "{found:?}");

    let encoder = Encoder::open(&settings.out).unwrap();
    let asked = |q: &str, c: &str| encoder.answer(&[(q.into(), c.into())], None, 2, true).unwrap().remove(0);
    let answer = asked("the and the", "the goat and the fox sleeps quietly");
    assert_eq!((answer.answer.as_str(), answer.start, answer.end), ("goat", 4, 8));
    assert_eq!(asked("slowly with coal", "the goat and the fox sleeps quietly").answer, "");
}

#[test]
fn the_best_of_several_choices() {
    let bench = Bench::new();
    // The choice that is about the same.
    let rows = |from: u64, n: u64| {
        (from..from + n).fold("text,a,b,label\n".to_owned(), |mut text, i| {
            let (topic, right) = ((i % 2) as usize, i / 2 % 2);
            let other = |same: bool, k| sentence(if same { topic } else { 1 - topic }, k + i);
            let (a, b) = (other(right == 0, 10_000), other(right == 1, 20_000));
            _ = writeln!(text, "{},{a},{b},{}", sentence(topic, i), ["A", "B"][right as usize]);
            text
        })
    };
    let rows = bench.file("choices.csv", &rows(0, 64));
    let mut settings = bench.settings("choice", &rows, &rows);
    (settings.choices, settings.epochs, settings.patience) = (vec!["a".into(), "b".into()], 25, 0);
    let outcome = bench.learns(&settings);
    assert!(outcome.median > 0.9, "these few rows can be learned by heart: {}", outcome.median);

    let encoder = Encoder::open(&settings.out).unwrap();
    let asked = [(sentence(0, 0), vec![sentence(0, 10_000), sentence(1, 20_000)])];
    let scores = encoder.choose(&asked, None).unwrap().remove(0);
    assert!(scores[0] > scores[1] && (scores[0] + scores[1] - 1.0).abs() < 1e-5, "{scores:?}");
}

#[test]
fn what_is_odd_in_the_rows_is_said_before_the_training() {
    let bench = Bench::new();
    let train = bench.file("train.csv", "text,label\na cat,x\na cat,y\nthe dog,x\nthe dog,x\na hen,y\na ship,x\n");
    let valid = bench.file("valid.csv", "text,label\nthe dog,x\na fox,y\n");
    let settings = FinetuneSettings { epochs: 1, ..bench.settings("classify", &train, &valid) };
    let mut listener = Listener::default();
    finetune(&settings, false, &device(), &mut listener, &Stop::default()).unwrap();
    let said = listener.warnings.join("\n");
    for part in ["2 training rows repeat", "another label", "row 2 against row 1", "validation"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let odd = bench.file("odd.conll", "the O\ncat I-ANIMAL\n\nthe O\nship B-THING\n");
    let settings = FinetuneSettings { epochs: 1, ..bench.settings("tag", &odd, &odd) };
    let mut listener = Listener::default();
    finetune(&settings, false, &device(), &mut listener, &Stop::default()).unwrap();
    assert!(listener.said("begin with `I-`"), "{:?}", listener.warnings);
}

#[test]
fn weights_of_classes_and_smoothing_change_what_is_learned() {
    let bench = Bench::new();
    let rows = |n: u64| {
        (0..n).fold("text,label\n".to_owned(), |mut text, i| {
            let topic = usize::from(i % 8 == 0);
            _ = writeln!(text, "{},{}", sentence(topic, 900_000 + i), ["animal", "thing"][topic]);
            text
        })
    };
    let rows = bench.file("rows.csv", &rows(48));
    let plain = FinetuneSettings { epochs: 2, ..bench.settings("classify", &rows, &rows) };
    let with = |name: &str, change: &dyn Fn(&mut FinetuneSettings)| {
        let mut settings = FinetuneSettings { out: bench.dir.path().join(name), ..plain.clone() };
        change(&mut settings);
        run(&settings);
        bytes(settings.out.join("model.safetensors"))
    };
    let all = [
        with("plain", &|_| ()),
        with("balanced", &|s| s.class_weights = "balanced".into()),
        with("smoothed", &|s| s.label_smoothing = 0.2),
    ];
    assert!(all[0] != all[1] && all[0] != all[2] && all[1] != all[2]);
    let mut wrong = FinetuneSettings { label_smoothing: 0.2, ..bench.settings("regress", &rows, &rows) };
    assert!(wrong.check().unwrap_err().to_string().contains("the task regress does not use it"));
    (wrong.task, wrong.metric, wrong.class_weights) = ("classify".into(), "accuracy".into(), "some".into());
    assert!(wrong.check().unwrap_err().to_string().contains("`none` or `balanced`"));
    assert_eq!(Columns::default().choices, Vec::<String>::new());
}
