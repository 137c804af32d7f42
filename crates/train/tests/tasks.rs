//! Every task learns, resumes to the same bytes, and leaves a folder that scores and answers the same.

mod common;

use common::bench::{Bench, measured, run};
use common::{Listener, bytes, device, sentence};
use polyseme_infer::{Encoder, GenerateOptions};
use polyseme_train::finetune::data::Columns;
use polyseme_train::metrics::Metrics;
use polyseme_train::observer::Silent;
use polyseme_train::{FinetuneSettings, Stop, finetune};
use std::fmt::Write as _;

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
    assert_eq!(thresholds, found.thresholds);
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
fn a_text_from_another() {
    let bench = Bench::new();
    // What is done, a word of the source, behind one that tells the kind: texts of two lengths.
    let rows = |from: u64, n: u64| {
        (from..from + n).fold("text,short\n".to_owned(), |mut text, i| {
            let sentence = sentence((i % 2) as usize, 600_000 + i);
            let verb = sentence.split(' ').nth(5).unwrap();
            _ = writeln!(text, "{sentence},{}{verb}", ["the ", ""][(i % 2) as usize]);
            text
        })
    };
    let (train, valid) = (bench.file("train.csv", &rows(0, 240)), bench.file("valid.csv", &rows(5_000, 40)));
    let mut settings = bench.settings("generate", &train, &valid);
    (settings.label, settings.max_new_tokens) = (Some("short".into()), 8);
    (settings.epochs, settings.patience) = (40, 0);
    let outcome = bench.learns(&settings);
    let Metrics::Sequence(found) = &outcome.results[0].valid else { panic!("{outcome:?}") };
    assert!(found.exact_match > 0.8 && found.rouge_l > 0.9, "{found:?}");
    let config = String::from_utf8(bytes(settings.out.join("config.json"))).unwrap();
    assert!(config.contains("ForMaskedLM") && config.contains("prefix_lm"), "{config}");

    let encoder = Encoder::open(&settings.out).unwrap();
    let sources: Vec<String> = (0..6).map(|i| sentence(i as usize % 2, 800_000 + i)).collect();
    let said = |sources: &[String], beams: usize| {
        let options = GenerateOptions { beams, max_new_tokens: 8, ..GenerateOptions::default() };
        encoder.generate(sources, &options).unwrap().0
    };
    let (greedy, beams) = (said(&sources, 1), said(&sources, 4));
    for (i, source) in sources.iter().enumerate() {
        let alone = said(std::slice::from_ref(source), 4).remove(0);
        assert_eq!(alone.0, beams[i].0, "alone as beside others");
        assert!((alone.1 - beams[i].1).abs() < 1e-4, "{} {}", alone.1, beams[i].1);
        assert!(beams[i].1 >= greedy[i].1 - 1e-6, "more beams find nothing worse: {beams:?} {greedy:?}");
    }
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

#[test]
fn a_finished_seed_knows_its_rows() {
    let bench = Bench::new();
    let (train, valid) = (bench.dir.path().join("train.csv"), bench.dir.path().join("valid.csv"));
    common::table(&train, 40, 0);
    common::table(&valid, 20, 1_000);
    let settings = FinetuneSettings { epochs: 1, ..bench.settings("classify", &train, &valid) };
    run(&settings);
    let more = FinetuneSettings { seeds: 2, ..settings };
    assert!(finetune(&more, true, &device(), &mut Silent, &Stop::default()).is_ok());
    common::table(&train, 40, 7);
    let error = finetune(&more, true, &device(), &mut Silent, &Stop::default()).unwrap_err();
    assert!(error.to_string().contains("changed since the run"), "{error}");
}

#[test]
fn vectors_of_pairs() {
    let bench = Bench::new();
    // Two sentences are as alike as they are about the same.
    let scored = |from: u64, n: u64| {
        (from..from + n).fold("one,two,score\n".to_owned(), |mut text, i| {
            let (a, b) = ((i % 2) as usize, (i / 2 % 2) as usize);
            let score = if a == b { 5.0 } else { 1.0 };
            _ = writeln!(text, "{},{},{score}", sentence(a, 5_000 + i), sentence(b, 6_000 + i));
            text
        })
    };
    let (train, valid) = (bench.file("train.csv", &scored(0, 60)), bench.file("valid.csv", &scored(3_000, 40)));
    let mut settings = bench.settings("similarity", &train, &valid);
    (settings.text, settings.pair, settings.label) = (Some("one".into()), Some("two".into()), Some("score".into()));
    let outcome = bench.learns(&settings);
    assert!(outcome.median > 0.8, "{outcome:?}");
    let by_order = FinetuneSettings {
        similarity_loss: "cosent".into(),
        out: bench.dir.path().join("by-order"),
        ..settings.clone()
    };
    assert!(run(&by_order).median > 0.8);
    // The folder says how its vectors are made, and they are alike where they should be.
    let encoder = Encoder::open(&settings.out).unwrap();
    let [a, b, c] = [sentence(0, 1), sentence(0, 2), sentence(1, 3)];
    let vectors = encoder.embed(&[&a, &b, &c], &Default::default()).unwrap();
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    assert!((dot(&vectors[0], &vectors[0]) - 1.0).abs() < 1e-5, "vectors have length 1");
    assert!(dot(&vectors[0], &vectors[1]) > dot(&vectors[0], &vectors[2]) + 0.3);

    // Partners: a sentence and itself with other words around.
    let partners = |from: u64, n: u64| {
        (from..from + n).fold("one,two\n".to_owned(), |mut text, i| {
            let s = sentence((i % 2) as usize, 40_000 + i);
            _ = writeln!(text, "{s},{}", s.replace("the ", ""));
            text
        })
    };
    let (train, valid) = (bench.file("pairs.csv", &partners(0, 80)), bench.file("others.csv", &partners(3_000, 30)));
    let mut settings = bench.settings("retrieval", &train, &valid);
    (settings.text, settings.pair, settings.batch_size) = (Some("one".into()), Some("two".into()), 16);
    let outcome = bench.learns(&settings);
    let Metrics::Retrieval(found) = &outcome.results[0].valid else { panic!("{outcome:?}") };
    assert!(found.mrr > 0.5 && found.candidates == 30 && found.accuracy_at_1 <= found.mrr, "{found:?}");
    let wrong = FinetuneSettings { pair: None, ..settings };
    assert!(wrong.check().unwrap_err().to_string().contains("`pair`"));
}

#[test]
fn an_adapter_says_the_same_when_it_is_read_back() {
    let bench = Bench::new();
    let (train, valid) = (bench.dir.path().join("train.csv"), bench.dir.path().join("valid.csv"));
    common::table(&train, 40, 0);
    common::table(&valid, 20, 1_000);
    let of = |name: &str, change: &dyn Fn(&mut FinetuneSettings)| {
        let mut settings = bench.settings("classify", &train, &valid);
        settings.out = bench.dir.path().join(name);
        (settings.probe_first, settings.optimizer.learning_rate, settings.patience) = (false, 2e-2, 0);
        change(&mut settings);
        settings
    };
    let scores = (0..40).fold("text,score\n".to_owned(), |mut text, i| {
        _ = writeln!(text, "{},{}", sentence((i % 2) as usize, 70_000 + i), i % 2);
        text
    });
    let scores = bench.file("scores.csv", &scores);
    let scored = bench.settings("regress", &scores, &scores);
    assert!(run(&scored).median > 0.8);
    let kinds = [
        of("low-rank", &|s| s.lora.rank = 2),
        of("bottleneck", &|s| (s.adapter_size, s.epochs) = (8, 60)),
        // A prefix makes nothing of an encoder that has hardly learned, so this one has learned another task.
        of("prefix", &|s| (s.prefix_length, s.max_length, s.model) = (4, 36, scored.out.clone())),
    ];
    for settings in kinds {
        let parts = settings.out.with_extension("parts");
        let whole = run(&settings);
        assert!(whole.median > 0.9, "{whole:?}");
        assert!(!settings.out.join("model.safetensors").exists());
        let found = measured(&settings);
        assert_eq!(found.classes().unwrap().confusion, whole.results[0].valid.classes().unwrap().confusion);

        let stop = Stop::default();
        let interrupted = FinetuneSettings { out: parts.clone(), ..settings.clone() };
        finetune(&interrupted, false, &device(), &mut Listener::stopping(7, &stop), &stop).unwrap();
        finetune(&interrupted, true, &device(), &mut Silent, &Stop::default()).unwrap();
        let vectors = (settings.prefix_length > 0).then_some("polyseme_prefix.safetensors");
        for file in ["adapter_model.safetensors", "adapter_config.json", "config.json"].into_iter().chain(vectors) {
            assert!(bytes(parts.join(file)) == bytes(settings.out.join(file)), "{file}");
        }
        // An adapter is no model to begin with.
        let again = FinetuneSettings { model: settings.out.clone(), out: parts.with_extension("again"), ..settings };
        let error = finetune(&again, false, &device(), &mut Silent, &Stop::default()).unwrap_err().to_string();
        assert!(error.contains("a whole model") && error.contains("merge"), "{error}");
    }
}

#[test]
fn an_encoder_that_stays_as_it_is_is_asked_once() {
    let bench = Bench::new();
    let (train, valid) = (bench.dir.path().join("train.csv"), bench.dir.path().join("valid.csv"));
    common::table(&train, 40, 0);
    common::table(&valid, 20, 1_000);
    let mut settings = bench.settings("classify", &train, &valid);
    (settings.freeze, settings.seeds) = (polyseme_train::finetune::Freeze::Encoder, 2);
    let mut listener = Listener::default();
    let outcome = finetune(&settings, false, &device(), &mut listener, &Stop::default()).unwrap();
    assert_eq!(listener.notes.iter().filter(|n| n.contains("computed once")).count(), 1);
    let chosen = outcome.results.iter().find(|r| r.seed == outcome.chosen).unwrap();
    let found = measured(&settings);
    let (found, kept) = (found.classes().unwrap(), chosen.valid.classes().unwrap());
    assert_eq!(found.confusion, kept.confusion);
    assert!((found.loss - kept.loss).abs() < 1e-4, "{} {}", found.loss, kept.loss);
}

#[test]
fn a_head_may_look_at_all_layers() {
    let bench = Bench::new();
    let (train, valid) = (bench.dir.path().join("train.csv"), bench.dir.path().join("valid.csv"));
    common::table(&train, 40, 0);
    common::table(&valid, 20, 1_000);
    let mut settings = bench.settings("classify", &train, &valid);
    settings.mix_layers = true;
    let outcome = bench.learns(&settings);
    assert!(outcome.median > 0.9, "{outcome:?}");
    let config = String::from_utf8(bytes(settings.out.join("config.json"))).unwrap();
    assert!(config.contains("\"scalar_mix\": true"), "{config}");

    // With an encoder that stays as it is: the mix is learned on what was computed once.
    settings.freeze = polyseme_train::finetune::Freeze::Encoder;
    settings.out = bench.dir.path().join("frozen");
    let frozen = bench.learns(&settings);
    let chosen = frozen.results[0].valid.classes().unwrap();
    assert_eq!(measured(&settings).classes().unwrap().confusion, chosen.confusion);

    // Tokens, too; and the head goes on as it is.
    let tokens = |from: u64, n: u64| {
        (from..from + n).fold(String::new(), |mut text, i| {
            for word in sentence((i % 2) as usize, i).split(' ') {
                _ = writeln!(text, "{word} {}", if word == "the" { "DET" } else { "O" });
            }
            text + "\n"
        })
    };
    let (train, valid) = (bench.file("train.conll", &tokens(0, 30)), bench.file("valid.conll", &tokens(900, 10)));
    let mut settings = bench.settings("tag", &train, &valid);
    (settings.mix_layers, settings.metric) = (true, "accuracy".into());
    assert!(bench.learns(&settings).median > 0.8);
    let again = FinetuneSettings { model: settings.out.clone(), out: bench.dir.path().join("again"), ..settings };
    assert!(run(&FinetuneSettings { epochs: 1, ..again }).median > 0.8);
}
