//! A smaller model learns from one that knows the task, in every task, and is told what it cannot learn from.

mod common;

use common::bench::{Bench, measured, run};
use common::{Listener, device, question, sentence};
use polyseme_infer::{Encoder, Exchange};
use polyseme_tensor::Stream;
use polyseme_train::distil::DistilSettings;
use polyseme_train::observer::Silent;
use polyseme_train::{FinetuneSettings, Stop, finetune};
use std::fmt::Write as _;
use std::path::Path;

/// The settings of a student of the teacher in `of.out`, which keeps one of its two layers.
fn student(of: &FinetuneSettings, preset: &str) -> FinetuneSettings {
    let distil = DistilSettings {
        teacher: Some(of.out.clone()),
        keep_layers: vec![0],
        ..DistilSettings::preset(preset).unwrap()
    };
    FinetuneSettings { model: of.out.clone(), out: of.out.with_extension("student"), distil, ..of.clone() }
}

/// A teacher learns; half of it learns from it, resumes to the same bytes, and knows nearly as much.
fn passes_on(bench: &Bench, teacher: &FinetuneSettings, preset: &str) {
    let teachers = run(teacher).median;
    let settings = student(teacher, preset);
    let students = bench.learns(&settings).median;
    assert!(students > 0.8 * teachers, "{}: {students} after {teachers}", teacher.task);
    let config = std::fs::read_to_string(settings.out.join("config.json")).unwrap();
    assert!(config.contains("\"num_hidden_layers\": 1"), "{config}");
}

/// Labelled sentences, scores of pairs, tags, questions and choices of a made-up language.
fn settings_of(bench: &Bench, task: &str) -> FinetuneSettings {
    let topic = |i: u64| (i % 2) as usize;
    let line = |i: u64| match task {
        "multilabel" => format!("{},{}\n", sentence(topic(i), i), ["animal|alive", "thing"][topic(i)]),
        "regress" => format!("{},{}\n", sentence(topic(i), i), [1.5, 4.0][topic(i)]),
        "similarity" => {
            let (a, b) = (topic(i), topic(i / 2));
            format!("{},{},{}\n", sentence(a, i), sentence(b, i + 7_000), if a == b { 5 } else { 1 })
        }
        "choice" => {
            let texts = if i.is_multiple_of(2) { [0, 1] } else { [1, 0] }.map(|t| sentence(t, i));
            format!("animals,{},{},{}\n", texts[0], texts[1], i % 2)
        }
        "tag" => {
            let words = sentence(topic(i), i);
            let tag = |w: &str| if ["the", "and", "in", "on", "at", "with"].contains(&w) { "O" } else { "B-X" };
            words.split(' ').map(|w| format!("{w}\t{}\n", tag(w))).collect::<String>() + "\n"
        }
        "qa" => question(i),
        _ => format!("{},{}\n", sentence(topic(i), i), ["animal", "thing"][topic(i)]),
    };
    let (header, ending) = match task {
        "multilabel" => ("text,labels\n", "csv"),
        "similarity" => ("one,two,score\n", "csv"),
        "choice" => ("text,a,b,label\n", "csv"),
        "tag" => ("", "conll"),
        "qa" => ("", "jsonl"),
        _ => ("text,label\n", "csv"),
    };
    let file = |name: &str, range: std::ops::Range<u64>| {
        let mut text = header.to_owned();
        range.for_each(|i| _ = write!(text, "{}", line(i)));
        bench.file(&format!("{task}-{name}.{ending}"), &text)
    };
    let mut settings = bench.settings(task, &file("train", 0..120), &file("valid", 5_000..5_040));
    match task {
        "multilabel" => (settings.label, settings.label_separator) = (Some("labels".into()), "|".into()),
        "similarity" => {
            (settings.text, settings.pair, settings.label) =
                (Some("one".into()), Some("two".into()), Some("score".into()));
        }
        "choice" => settings.choices = vec!["a".into(), "b".into()],
        _ => {}
    }
    settings
}

#[test]
fn every_task_is_passed_on() {
    let bench = Bench::new();
    for (task, preset) in [
        ("classify", "hinton"),
        ("regress", "distilbert"),
        ("multilabel", "minilm"),
        ("tag", "tinybert"),
        ("choice", "hinton"),
        ("similarity", "minilm"),
    ] {
        passes_on(&bench, &settings_of(&bench, task), preset);
    }
}

#[test]
fn a_teacher_in_bfloat16_passes_it_on_too() {
    let bench = Bench::new();
    let teacher = settings_of(&bench, "classify");
    let teachers = run(&teacher).median;
    for preset in ["hinton", "tinybert"] {
        let mut settings = student(&teacher, preset);
        settings.out = settings.out.with_file_name(format!("student-{preset}"));
        settings.optimizer.bf16 = true;
        settings.distil.augment = 1;
        let students = bench.learns(&settings).median;
        assert!(students > 0.8 * teachers, "{preset}: {students} after {teachers}");
    }
}

#[test]
fn where_an_answer_stands_is_passed_on() {
    let bench = Bench::new();
    let settings = FinetuneSettings { epochs: 20, ..settings_of(&bench, "qa") };
    passes_on(&bench, &settings, "hinton");
}

#[test]
fn a_narrower_student_learns_through_a_map_that_is_not_kept() {
    let bench = Bench::new();
    let teacher = settings_of(&bench, "classify");
    run(&teacher);
    let narrow = bench.of_width(8);
    let mut settings = student(&teacher, "tinybert");
    (settings.model, settings.distil.keep_layers) = (narrow, Vec::new());
    (settings.distil.attention, settings.distil.relations, settings.distil.relation_heads) = (0.0, 1.0, 4);
    bench.learns(&settings);
    let names = std::fs::read(settings.out.join("model.safetensors")).unwrap();
    assert!(!String::from_utf8_lossy(&names[..4_000]).contains("distil"));
    assert!(measured(&settings).get("accuracy").unwrap() > 0.8);
}

#[test]
fn what_cannot_teach_is_named() {
    let bench = Bench::new();
    let teacher = settings_of(&bench, "classify");
    run(&teacher);
    let refused = |change: &dyn Fn(&mut FinetuneSettings), says: &[&str]| {
        let mut settings = student(&teacher, "hinton");
        change(&mut settings);
        let mut listener = Listener::default();
        let error = finetune(&settings, false, &device(), &mut listener, &Stop::default()).unwrap_err();
        let text = format!("{error} {}", error.hint().unwrap_or_default());
        assert!(says.iter().all(|part| text.contains(part)), "{text}");
        assert!(!settings.out.exists(), "{text}: something was left");
    };
    let path = |name: &str| bench.dir.path().join(name);
    // Labels that it has never heard of, or the other way round.
    let other = |path: &Path, labels: [&str; 2]| {
        let rows = |i: u64| format!("{},{}\n", sentence((i % 2) as usize, i), labels[(i % 2) as usize]);
        std::fs::write(path, format!("text,label\n{}", (0..40).map(rows).collect::<String>())).unwrap();
    };
    other(&path("others.csv"), ["red", "blue"]);
    refused(
        &|s| (s.train, s.valid) = (path("others.csv"), Some(path("others.csv"))),
        &["has a classification head for animal, thing; wanted", "blue, red", "on these labels"],
    );
    other(&path("swapped.csv"), ["thing", "animal"]);
    refused(&|s| s.valid = Some(path("swapped.csv")), &["knows nothing", "0.0 %", "50.0 %", "order of id2label"]);
    refused(&|s| s.distil.teacher = Some(bench.model.clone()), &["wanted: a classification head"]);
    refused(&|s| s.distil.keep_layers = vec![5], &["layers is [5]", "0 to 1"]);
    refused(&|s| s.distil.temperature = 0.0, &["distil.temperature", "above 0"]);
    refused(&|s| s.distil.soft = f64::NAN, &["distil.soft", "0 or more"]);
    refused(&|s| (s.distil.soft, s.distil.hard) = (0.0, 0.0), &["at least one loss"]);
    refused(&|s| s.r_drop = 1.0, &["r_drop", "teacher is imitated"]);
    refused(
        &|s| (s.distil.relations, s.distil.relation_heads) = (1.0, 3),
        &["relation_heads", "divides 16", "student"],
    );
    let wide = bench.of_width(32);
    refused(
        &|s| (s.model, s.distil.keep_layers) = (wide.clone(), Vec::new()),
        &["`hidden_size of the student` is 32", "at most 16"],
    );
    let stranger = Bench::with_words(90);
    refused(
        &|s| (s.model, s.distil.keep_layers) = (stranger.model.clone(), Vec::new()),
        &["another tokenizer than the student"],
    );
    let generates = FinetuneSettings {
        task: "generate".into(),
        metric: "rouge_l".into(),
        max_new_tokens: 8,
        ..student(&teacher, "hinton")
    };
    let error = finetune(&generates, false, &device(), &mut Silent, &Stop::default()).unwrap_err();
    assert!(error.to_string().contains("distil.teacher"), "{error}");
}

#[test]
fn rows_without_labels_and_rows_with_other_words_are_learned_from() {
    let bench = Bench::new();
    for task in ["classify", "multilabel", "regress"] {
        let teacher = settings_of(&bench, task);
        run(&teacher);
        let all = std::fs::read_to_string(&teacher.train).unwrap();
        let mut settings = student(&teacher, "hinton");
        settings.train = bench.file("few.csv", &all.lines().take(7).fold(String::new(), |text, l| text + l + "\n"));
        let few = run(&FinetuneSettings { out: settings.out.with_extension("few"), ..settings.clone() }).median;
        let texts: Vec<String> = (0..150).map(|i| sentence((i % 2) as usize, 40_000 + i)).collect();
        settings.distil.unlabelled = vec![bench.file("texts.txt", &(texts.join("\n") + "\n"))];
        (settings.distil.augment, settings.distil.augment_share) = (2, 0.2);
        let mut listener = Listener::default();
        let again = FinetuneSettings { out: settings.out.with_extension("again"), ..settings.clone() };
        finetune(&again, false, &device(), &mut listener, &Stop::default()).unwrap();
        assert!(listener.said("rows more, with the teacher's labels: 145 without labels"), "{:?}", listener.notes);
        let more = bench.learns(&settings).median;
        assert!(more >= few, "{task}: {more} after {few}");
    }
    let mut tags = student(&settings_of(&bench, "tag"), "hinton");
    tags.distil.augment = 1;
    let error = finetune(&tags, false, &device(), &mut Silent, &Stop::default()).unwrap_err();
    assert!(error.to_string().contains("`augment` was given, but the task tag does not use it"), "{error}");
}

#[test]
fn a_wrong_row_is_named_before_the_teacher_is_asked_for_more() {
    let bench = Bench::new();
    let teacher = settings_of(&bench, "classify");
    run(&teacher);
    let mut settings = student(&teacher, "hinton");
    settings.distil.augment = 2;
    settings.valid = Some(bench.file("strange.csv", "text,label\nthe cat sat,stone\n"));
    let mut listener = Listener::default();
    let error = finetune(&settings, false, &device(), &mut listener, &Stop::default()).unwrap_err();
    assert!(error.to_string().contains("row 1: label `stone` is unknown"), "{error}");
    assert!(!listener.said("rows more"), "{:?}", listener.notes);
    let rows = bench.file("others.csv", "text,label\nthe cat sat,stone\nthe dog ran,water\nthe cup fell,stone\n");
    (settings.train, settings.valid) = (rows.clone(), Some(rows));
    let error = finetune(&settings, false, &device(), &mut listener, &Stop::default()).unwrap_err();
    assert!(error.to_string().contains("wanted: a classification head for stone, water"), "{error}");
    assert!(!listener.said("rows more"), "{:?}", listener.notes);
}

#[test]
fn words_are_exchanged_for_words() {
    let bench = Bench::new();
    let teacher = settings_of(&bench, "classify");
    run(&teacher);
    let texts: Vec<String> = (0..20).map(|i| format!("({})", sentence((i % 2) as usize, i))).collect();
    // One that predicts hidden words, and one that does not.
    for folder in [&bench.model, &teacher.out] {
        let encoder = Encoder::open(folder).unwrap();
        let exchanged =
            |share: f64, seed: u64| Exchange::new(&encoder, share).texts(&texts, Stream::new(seed)).unwrap();
        let some = exchanged(0.3, 1);
        assert_eq!(some, exchanged(0.3, 1));
        assert_ne!(some, exchanged(0.3, 2));
        assert_eq!(exchanged(0.0, 1), texts);
        let counts = |new: &[String]| {
            let of = |(new, old): (&String, &String)| {
                let (new, old): (Vec<&str>, Vec<&str>) = (new.split(' ').collect(), old.split(' ').collect());
                assert_eq!(new.len(), old.len(), "a word for a word: {new:?}");
                assert!(new[0].starts_with('(') && new[new.len() - 1].ends_with(')'), "{new:?}");
                (new.iter().zip(&old).filter(|(a, b)| a != b).count(), old.len())
            };
            new.iter().zip(&texts).map(of).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1))
        };
        let (changed, words) = counts(&some);
        assert!((0.1..0.4).contains(&(changed as f64 / words as f64)), "{changed} of {words}");
        // Words of several pieces stay, all others go.
        let (all, _) = counts(&exchanged(1.0, 1));
        assert!(all > 2 * changed && all as f64 > 0.6 * words as f64, "{all} of {words}");
    }
}
