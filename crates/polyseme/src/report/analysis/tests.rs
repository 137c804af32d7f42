//! Pages with everything a model can get wrong: balanced, escaped, small, unmoved by broken numbers.

use super::super::tests::{EVIL, check, finetune_outcome, finetune_settings, made, show};
use super::super::{evaluation, finetune};
use polyseme_train::analysis::{
    Analysis, Choice, JudgedLabel, Marked, Mistake, Ranked, Scatter, Scored, What, begin, marked,
};
use polyseme_train::evaluate::Evaluation;
use polyseme_train::metrics::Metrics;
use polyseme_train::metrics::calibration::Calibration;
use polyseme_train::metrics::precision::PrecisionRecalls;
use std::path::Path;

fn probability(row: usize, label: usize) -> f32 {
    ((row * 7919 + label * 104_729) % 1000) as f32 / 999.0
}

fn calibration() -> Calibration {
    let rows: Vec<Vec<f32>> = (0..300).map(|r| vec![probability(r, 0), 1.0 - probability(r, 0)]).collect();
    let said: Vec<usize> = rows.iter().map(|p| usize::from(p[1] > p[0])).collect();
    let truth: Vec<usize> = (0..300).map(|r| usize::from(r % 3 == 0)).collect();
    Calibration::of_classes(&truth, &said, &rows)
}

fn curves(labels: usize, thresholds: bool) -> PrecisionRecalls {
    let names: Vec<String> = (0..labels).map(|c| if c == 0 { EVIL.into() } else { format!("label {c}") }).collect();
    let rows: Vec<Vec<f32>> = (0..500).map(|r| (0..labels).map(|c| probability(r, c)).collect()).collect();
    let chosen = vec![0.4; labels];
    let has = |row: usize, c: usize| row.is_multiple_of(c + 2);
    PrecisionRecalls::new(&names, &has, &rows, thresholds.then_some(&chosen)).expect("labels occur")
}

fn span(start: usize, end: usize, label: &str) -> Marked {
    Marked { bytes: start..end, label: label.into() }
}

/// One of each kind.
fn kinds() -> Vec<What> {
    let texts = vec![format!("{EVIL} in a text"), "the other <i>text</i>".into()];
    let scored = |label: &str, probability| Scored { label: label.into(), probability };
    let judged = |label: &str, truth, said| JudgedLabel { label: label.into(), probability: 0.4, truth, said };
    let ranked = |text: &str, rank| Ranked { text: text.into(), rank, cosine: 0.5 };
    let choice = |name: &str| Choice { name: name.into(), text: EVIL.into(), probability: 0.5 };
    let sentence = format!("Ada saw New York City and {EVIL} there");
    let (truth, said) =
        ([span(0, 3, "PER"), span(8, 21, EVIL)], [span(0, 3, "PER"), span(8, 16, "ORG"), span(26, 40, "X")]);
    vec![
        What::Label { texts: texts.clone(), truth: scored(EVIL, 0.02), said: scored("b", 0.9) },
        What::Labels {
            texts: texts.clone(),
            labels: vec![judged(EVIL, true, false), judged("b", false, true), judged("c", true, true)],
        },
        What::Number { texts, truth: 4.0, said: 0.2 },
        What::Tags { passage: marked(&sentence, &truth, &said, true), wrong: 3, right: 1 },
        What::Answer {
            question: EVIL.into(),
            passage: marked(&sentence, &[span(8, 16, "answer")], &[span(12, 21, "answer")], false),
            answers: vec!["New York".into(), EVIL.into()],
            said: String::new(),
            f1: 0.5,
        },
        What::Choice { text: EVIL.into(), choices: vec![choice("a"), choice(EVIL), choice("c")], truth: 0, said: 1 },
        What::Partner { text: EVIL.into(), partner: ranked(EVIL, 7), first: ranked("b", 1) },
    ]
}

fn page(analysis: &Analysis) -> String {
    finetune(&[], &finetune_settings(), &finetune_outcome(), Some(analysis), &made())
}

#[test]
fn every_kind_of_error_is_shown_as_text() {
    for (i, what) in kinds().into_iter().enumerate() {
        let place = format!("question {EVIL}");
        let worst = (0..20).map(|_| Mistake { place: place.clone(), loss: 1.5, what: what.clone() }).collect();
        let page = page(&Analysis::new(300, Some(57), worst));
        check(&page);
        show(&format!("analysis-{i}.html"), &page);
        assert!(!page.contains("<script") && page.contains("&lt;script&gt;alert(&#39;x&#39;)"));
        assert_eq!(page.matches("class=\"place\"").count(), 20);
        assert!(page.contains("57 of 300 validation") && page.contains("<summary>12 more</summary>"));
    }
}

#[test]
fn what_is_marked_is_said_in_words() {
    let with = |what: What| page(&Analysis::new(9, Some(1), vec![Mistake { place: "line 3".into(), loss: 2.0, what }]));
    let tags = with(kinds().remove(3));
    for part in [
        "<mark class=\"right\">Ada<small>✓ PER</small></mark>",
        "said ORG</small></mark>",
        "<mark class=\"missed\"> City<small>missed &lt;/script",
        "<mark class=\"spurious\">",
    ] {
        assert!(tags.contains(part), "{part}");
    }
    let same = marked("New York City", &[span(0, 13, "LOC")], &[span(0, 8, "LOC")], true);
    assert!(with(What::Tags { passage: same, wrong: 2, right: 0 }).contains("LOC of another extent"));
    let answer = with(kinds().remove(4));
    for part in ["New <small>right", "York<small>both", " City<small>said", "no answer"] {
        assert!(answer.contains(part), "{part}");
    }
    assert!(with(kinds().remove(2)).contains("too low"));
    let none = page(&Analysis::new(9, Some(0), vec![]));
    assert!(none.contains("All 9 validation rows are right"));
}

#[test]
fn drawings_of_probabilities_and_numbers() {
    let mut all = Analysis::new(500, None, vec![]);
    all.calibration = Some(calibration());
    all.precision_recall = Some(curves(30, true));
    let said: Vec<f32> = (0..900).map(|i| i as f32 / 300.0 + probability(i, 3)).collect();
    let truth: Vec<f32> = (0..900).map(|i| i as f32 / 300.0).collect();
    all.scatter = Some(Scatter::new(&truth, &said));
    all.worst = vec![Mistake { place: "row 1".into(), loss: 1.0, what: kinds().remove(2) }];
    let page = page(&all);
    check(&page);
    show("analysis.html", &page);
    for part in
        ["expected calibration error", "Brier score", "all together", "10 most frequent of 30", "Said beside true"]
    {
        assert!(page.contains(part), "{part}");
    }
    assert_eq!(page.matches("class=\"under\"").count(), 11);
    assert_eq!(page.matches("class=\"ring\"").count(), 11);
    all.precision_recall = Some(curves(3, false));
    let few = self::page(&all);
    assert_eq!((few.matches("class=\"under\"").count(), few.contains("all together")), (3, false));
}

#[test]
fn numbers_that_are_none_are_left_out() {
    let mut all = Analysis::new(0, None, vec![]);
    let mut broken = calibration();
    (broken.ece, broken.brier) = (f64::NAN, f64::INFINITY);
    broken.bins.iter_mut().for_each(|bin| bin.said = f64::NAN);
    all.calibration = Some(broken);
    let mut lines = curves(2, true);
    lines.labels[0].points = vec![[f64::NAN, 0.5], [0.5, f64::INFINITY]];
    lines.labels[1].chosen = Some([f64::NAN; 3]);
    lines.macro_average = f64::NAN;
    all.precision_recall = Some(lines);
    all.scatter = Some(Scatter { points: vec![[f32::NAN, 1.0], [1.0, 1.0]] });
    let number = What::Number { texts: vec![], truth: f32::NAN, said: f32::INFINITY };
    all.worst = vec![Mistake { place: String::new(), loss: f64::NAN, what: number }];
    check(&page(&all));
    all.scatter = Some(Scatter { points: vec![] });
    check(&page(&all));
}

#[test]
fn long_texts_stay_small_and_an_evaluation_has_the_same_sections() {
    let long = begin(&"word ".repeat(100_000));
    let choice = Choice { name: "n".repeat(1_000), text: long.clone(), probability: 0.1 };
    let what = What::Choice { text: long, choices: vec![choice; 5], truth: 0, said: 1 };
    let worst = (0..20).map(|_| Mistake { place: "p".repeat(5_000), loss: 1.0, what: what.clone() }).collect();
    let analysis = Analysis { calibration: Some(calibration()), ..Analysis::new(900, Some(40), worst) };
    assert!(page(&analysis).len() < 250_000);
    let metrics = finetune_outcome().results.remove(0).valid;
    assert!(matches!(metrics, Metrics::Classify(_)));
    let found = Evaluation { task: "classify", metrics, truncated: 0, analysis: Some(analysis) };
    let page = evaluation(Path::new(EVIL), Path::new("test.csv"), &found, &made());
    check(&page);
    for part in ["Confusion", "Classes", "Calibration", "The worst errors", "measured on test.csv"] {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("<script"));
}
