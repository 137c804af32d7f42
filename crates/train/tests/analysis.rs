//! A fine-tuning tells what its model gets wrong, with the rows' own texts, and an evaluation tells the same.

mod common;

use common::{bytes, corpus, device, pretraining, sentence};
use polyseme_infer::Encoder;
use polyseme_train::analysis::{Analysis, FILE, Mistake, What};
use polyseme_train::metrics::Metrics;
use polyseme_train::observer::Silent;
use polyseme_train::pretrain::Length;
use polyseme_train::{EvaluateSettings, FinetuneSettings, Stop, evaluate, finetune, pretrain};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// A model that has learned next to nothing, so that much is wrong.
fn model(dir: &Path) -> PathBuf {
    let model = dir.join("model");
    let settings = pretraining(corpus(dir, 40), model.clone(), Length::Steps(2));
    pretrain(&settings, false, &device(), &mut Silent, &Stop::default()).unwrap();
    model
}

fn rows(head: &str, line: impl Fn(u64) -> String) -> String {
    (0..40).fold(format!("{head}\n"), |mut text, i| {
        _ = writeln!(text, "{}", line(i));
        text
    })
}

/// Fine-tunes on a file, measures on it, and gives what is wrong as the run folder and an evaluation tell it.
fn analysed(model: &Path, task: &str, file: &str, content: &str) -> (Analysis, Metrics) {
    let dir = model.parent().unwrap();
    let path = dir.join(file);
    std::fs::write(&path, content).unwrap();
    let mut settings = FinetuneSettings::of_task(task, model, &path, dir.join(task));
    settings.valid = Some(path.clone());
    (settings.max_length, settings.epochs, settings.seeds) = (40, 1, 2);
    (settings.optimizer.learning_rate, settings.probe_first) = (1e-5, false);
    if ["similarity", "retrieval"].contains(&task) {
        (settings.text, settings.pair) = (Some("one".into()), Some("two".into()));
        settings.label = (task == "similarity").then(|| "score".into());
    }
    if task == "choice" {
        settings.choices = vec!["a".into(), "b".into()];
    }
    let outcome = finetune(&settings, false, &device(), &mut Silent, &Stop::default()).unwrap();
    let run = settings.out.join("run");
    let kept = Analysis::read(&run.join(FILE)).unwrap();
    assert!(bytes(run.join(FILE)) == bytes(run.join(format!("seed-{}", outcome.chosen)).join(FILE)));
    let how = EvaluateSettings {
        columns: settings.columns(),
        max_length: Some(40),
        stride: settings.stride,
        analyse: true,
        ..Default::default()
    };
    let encoder = Encoder::open(&settings.out).unwrap();
    let found = evaluate(&encoder, &path, &how, &mut |_, _| (), &Stop::default()).unwrap().unwrap();
    let measured = found.analysis.unwrap();
    assert_eq!((measured.rows, measured.wrong), (kept.rows, kept.wrong), "{task}");
    assert_eq!(measured.worst.len(), kept.worst.len(), "{task}");
    let most = kept.wrong.unwrap_or(kept.rows).min(20);
    assert_eq!(kept.worst.len() as u64, most, "{task}");
    assert!(kept.worst.iter().all(|m| !m.place.is_empty() && m.loss.is_finite()), "{task}: {:?}", kept.worst);
    let chosen = outcome.results.into_iter().find(|r| r.seed == outcome.chosen).unwrap();
    (kept, chosen.valid)
}

fn falling(worst: &[Mistake]) -> bool {
    worst.windows(2).all(|pair| pair[0].loss >= pair[1].loss)
}

/// The sentence that stands in a row of a file, counted from 1.
fn row(place: &str) -> u64 {
    place.strip_prefix("row ").unwrap().parse::<u64>().unwrap() - 1
}

#[test]
fn labels_and_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let model = model(dir.path());
    let text = |i: u64| sentence((i % 2) as usize, i);
    let (found, metrics) =
        analysed(&model, "classify", "classify.csv", &rows("text,label", |i| format!("{},l{}", text(i), i % 4)));
    let Metrics::Classify(m) = &metrics else { panic!("{metrics:?}") };
    assert_eq!(found.wrong, Some((40.0 * (1.0 - m.accuracy)).round() as u64));
    assert!(found.calibration.is_some() && falling(&found.worst));
    assert_eq!(found.precision_recall.unwrap().labels.len(), 4);
    for mistake in &found.worst {
        let What::Label { texts, truth, said } = &mistake.what else { panic!("{mistake:?}") };
        let i = row(&mistake.place);
        assert_eq!((texts.as_slice(), &truth.label), (&[text(i)][..], &format!("l{}", i % 4)));
        assert!(truth.label != said.label && truth.probability <= said.probability);
        assert!((truth.probability - (-mistake.loss).exp()).abs() < 1e-4, "{mistake:?}");
    }

    let labels = |i: u64| [i.is_multiple_of(2), i.is_multiple_of(3)];
    let cell = |i: u64| {
        let of = labels(i);
        ["x", "y"].into_iter().zip(of).filter(|(_, is)| *is).map(|(l, _)| l).collect::<Vec<_>>().join(",")
    };
    let content = rows("text,label", |i| format!("{},\"{}\"", text(i), cell(i)));
    let (found, metrics) = analysed(&model, "multilabel", "multilabel.csv", &content);
    let Metrics::Multilabel(m) = &metrics else { panic!("{metrics:?}") };
    assert_eq!(found.wrong, Some((40.0 * (1.0 - m.exact_match)).round() as u64));
    let chosen: Vec<f64> = found.precision_recall.unwrap().labels.iter().map(|c| c.chosen.unwrap()[0]).collect();
    assert_eq!(chosen, m.thresholds);
    for mistake in &found.worst {
        let What::Labels { labels: told, .. } = &mistake.what else { panic!("{mistake:?}") };
        assert!(told.iter().any(|l| l.truth != l.said), "{mistake:?}");
        let true_ones = told.iter().filter(|l| l.truth).count();
        assert_eq!(true_ones, labels(row(&mistake.place)).into_iter().filter(|is| *is).count());
    }

    let content = rows("text,score", |i| format!("{},{}", text(i), i as f64 / 4.0));
    let content = content.replace("score", "label");
    let (found, _) = analysed(&model, "regress", "regress.csv", &content);
    let scatter = found.scatter.unwrap();
    assert_eq!((scatter.points.len(), found.wrong), (40, None));
    let What::Number { truth, said, .. } = found.worst[0].what else { panic!("{:?}", found.worst) };
    assert_eq!(truth, row(&found.worst[0].place) as f32 / 4.0);
    assert!(scatter.points.iter().all(|p| (p[1] - p[0]).abs() <= (said - truth).abs()));
}

#[test]
fn words_and_answers() {
    let dir = tempfile::tempdir().unwrap();
    let model = model(dir.path());
    let text = |i: u64| sentence((i % 2) as usize, i);
    let tagged = |tag: &dyn Fn(usize) -> &'static str| {
        (0..30).fold(String::new(), |mut out, i| {
            text(i).split(' ').enumerate().for_each(|(w, word)| _ = writeln!(out, "{word}\t{}", tag(w)));
            out + "\n"
        })
    };
    for (task, tag) in [
        ("names", &(|w: usize| ["O", "B-X", "I-X", "B-Y"][w % 4]) as &dyn Fn(usize) -> &'static str),
        ("parts", &|w: usize| ["DET", "NOUN"][w % 2]),
    ] {
        let content = tagged(tag);
        let (found, metrics) = analysed(&model, "tag", &format!("{task}.conll"), &content);
        std::fs::remove_dir_all(dir.path().join("tag")).unwrap();
        assert_eq!((found.rows, falling(&found.worst)), (30, true));
        let Metrics::Tag(m) = &metrics else { panic!("{metrics:?}") };
        assert!(m.accuracy < 1.0 && found.wrong > Some(0), "{metrics:?}");
        for mistake in &found.worst {
            let What::Tags { passage, wrong, right } = &mistake.what else { panic!("{mistake:?}") };
            let whole: String = passage.iter().map(|p| p.text.as_str()).collect();
            let line: usize = mistake.place.strip_prefix("line ").unwrap().parse().unwrap();
            let words: Vec<&str> = content
                .lines()
                .skip(line - 1)
                .take_while(|l| !l.is_empty())
                .map(|l| &l[..l.find('\t').unwrap()])
                .collect();
            assert_eq!(whole, words.join(" "));
            let missed = passage.iter().filter(|p| p.truth.is_some() && !p.right).count();
            assert!(*wrong > 0 && missed + passage.iter().filter(|p| p.said.is_some()).count() > 0, "{mistake:?}");
            if task == "parts" {
                assert_eq!((*wrong + *right) as usize, words.len());
                assert!(passage.iter().all(|p| p.truth.is_some() == p.said.is_some() && !p.right));
            }
        }
    }

    let questions = (0..30).fold(String::new(), |mut out, i| {
        let context = text(i);
        let answer = context.split(' ').nth(1).unwrap();
        _ = writeln!(
            out,
            "{{\"id\": \"q{i}\", \"question\": \"the and the\", \"context\": \"{context}\", \"answers\": [{{\"text\": \"{answer}\", \"answer_start\": 4}}]}}"
        );
        out
    });
    let (found, metrics) = analysed(&model, "qa", "questions.jsonl", &questions);
    let Metrics::Answer(m) = &metrics else { panic!("{metrics:?}") };
    assert_eq!(found.wrong, Some((30.0 * (1.0 - m.exact_match)).round() as u64));
    for mistake in &found.worst {
        let What::Answer { passage, answers, said, f1, .. } = &mistake.what else { panic!("{mistake:?}") };
        let i: u64 = mistake.place.strip_prefix("question q").unwrap().parse().unwrap();
        let whole: String = passage.iter().map(|p| p.text.as_str()).collect();
        assert_eq!((whole.as_str(), *f1 < 1.0), (text(i).as_str(), true));
        let marked = |of: fn(&polyseme_train::analysis::Piece) -> bool| {
            passage.iter().filter(|p| of(p)).map(|p| p.text.as_str()).collect::<String>()
        };
        assert_eq!(marked(|p| p.truth.is_some()), answers[0]);
        assert_eq!(&marked(|p| p.said.is_some()), said);
    }
}

#[test]
fn choices_and_partners() {
    let dir = tempfile::tempdir().unwrap();
    let model = model(dir.path());
    let text = |i: u64| sentence((i % 2) as usize, i);
    let content = rows("text,a,b,label", |i| format!("{},{},{},{}", text(i), text(i + 50), text(i + 90), i % 2));
    let (found, _) = analysed(&model, "choice", "choices.csv", &content);
    assert!(found.calibration.is_some() && falling(&found.worst));
    for mistake in &found.worst {
        let What::Choice { text: asked, choices, truth, said } = &mistake.what else { panic!("{mistake:?}") };
        let i = row(&mistake.place);
        assert_eq!((asked, *truth, *said), (&text(i), (i % 2) as usize, 1 - (i % 2) as usize));
        assert_eq!((&choices[0].text, &choices[1].text), (&text(i + 50), &text(i + 90)));
        assert!(choices[*said].probability >= choices[*truth].probability);
    }

    let scored = rows("one,two,score", |i| format!("{},{},{}", text(i), text(i + 50), 1 + i % 5));
    let (found, _) = analysed(&model, "similarity", "scored.csv", &scored);
    let What::Number { texts, .. } = &found.worst[0].what else { panic!("{:?}", found.worst) };
    assert_eq!(texts.len(), 2);
    // A model that never saw scores: cosines from 0 to 1 stand for the scores from 1 to 5, and none of them are below 0 here.
    let points = found.scatter.unwrap().points;
    assert!(points.iter().all(|p| p[1] > 1.0 && p[1] < 5.0001) && points[3][0] == 4.0, "{points:?}");

    let pairs = rows("one,two", |i| format!("{},{}", text(i), text(i + 50)));
    let (found, metrics) = analysed(&model, "retrieval", "pairs.csv", &pairs);
    let Metrics::Retrieval(m) = &metrics else { panic!("{metrics:?}") };
    assert_eq!(found.wrong, Some((40.0 * (1.0 - m.accuracy_at_1)).round() as u64));
    let ranks: Vec<u64> = found
        .worst
        .iter()
        .map(|mistake| {
            let What::Partner { text: query, partner, first } = &mistake.what else { panic!("{mistake:?}") };
            let i = row(&mistake.place);
            assert_eq!((query, &partner.text), (&text(i), &text(i + 50)));
            assert!(first.cosine >= partner.cosine && first.rank == 1);
            partner.rank
        })
        .collect();
    assert!(ranks.is_sorted_by(|a, b| a >= b) && ranks.iter().all(|&r| r > 1), "{ranks:?}");
}
