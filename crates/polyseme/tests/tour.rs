//! `polyseme tour` through the real program: on texts of one's own, as JSON, and without any text.

mod support;

use std::fmt::Write as _;
use std::path::Path;
use support::{Dice, command, fails, json, ok, stderr, write};

/// Words of five parts that share all others.
const PARTS: [(&str, [&str; 6]); 5] = [
    ("law", ["court", "judge", "witness", "verdict", "clause", "lawyer"]),
    ("sea", ["ship", "anchor", "harbour", "sailor", "island", "storm"]),
    ("farm", ["barn", "field", "tractor", "horse", "harvest", "fence"]),
    ("music", ["violin", "choir", "piano", "melody", "drummer", "song"]),
    ("baking", ["oven", "flour", "butter", "dough", "sugar", "bread"]),
];
const SHARED: [&str; 10] = ["the", "old", "new", "near", "under", "again", "quietly", "stands", "small", "beside"];

/// A file for each of some parts, with paragraphs of 16 words.
fn texts(dir: &Path, parts: usize, paragraphs: usize) {
    std::fs::create_dir(dir.join("texts")).unwrap();
    let mut dice = Dice(4);
    for (part, own) in &PARTS[..parts] {
        let mut text = String::new();
        for _ in 0..paragraphs {
            for _ in 0..16 {
                let word = if dice.roll(3) == 0 { own[dice.roll(6)] } else { SHARED[dice.roll(10)] };
                _ = write!(text, "{word} ");
            }
            text += "\n\n";
        }
        write(dir, &format!("texts/{part}.txt"), &text);
    }
}

#[test]
fn a_tour_of_ones_own_texts_ends_with_a_table_and_a_report() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    texts(dir, 4, 85);
    let tour = json(dir, &["tour", "--corpus", "texts", "--out", "t", "--minutes", "0.05", "--quiet"]);
    assert_eq!((tour["corpus"]["unit"].as_str(), tour["corpus"]["parts"].as_u64()), (Some("part"), Some(4)), "{tour}");
    assert_eq!(tour["task"]["Ok"]["labels"], serde_json::json!(["farm", "law", "music", "sea"]));
    assert!(tour["pretrain"]["steps"].as_u64().unwrap() > 0);
    let arms = tour["task"]["Ok"]["arms"].as_array().unwrap();
    assert_eq!(arms.iter().map(|a| a["name"].as_str().unwrap()).collect::<Vec<_>>(), ["pre-trained", "from scratch"]);
    assert!(arms.iter().all(|a| a["seeds"].as_array().unwrap().len() == 5 && a["median"].as_f64().is_some()), "{tour}");
    // What is printed is what is kept, and both models are whole.
    let kept: serde_json::Value = serde_json::from_slice(&std::fs::read(dir.join("t/tour.json")).unwrap()).unwrap();
    assert_eq!(kept, tour);
    assert!(std::fs::read_to_string(dir.join("t/report.html")).unwrap().contains("from scratch"));
    ok(dir, &["fill", "t/encoder", "the old [MASK] stands"]);
    ok(dir, &["eval", "t/classifier", "--data", "t/task/test.jsonl"]);
    assert!(!dir.join("t/work").exists(), "runs in between are left");
}

#[test]
fn too_few_parts_are_said_and_the_rest_of_the_tour_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    texts(dir.path(), 2, 170);
    let shown = ok(dir.path(), &["tour", "--corpus", "texts", "--out", "t", "--minutes", "0.05", "--quiet"]);
    for part in ["Pre-trained for", "on texts", "There is no labelled task", "report  t/report.html", "next:"] {
        assert!(shown.contains(part), "no {part:?} in:\n{shown}");
    }
}

#[test]
fn without_the_sources_of_crates_it_is_said_where_they_were_looked_for_and_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    for words in [&["tour", "--out", "t"][..], &["tour", "--out", "t", "--json"]] {
        let output = command(dir, words).env("CARGO_HOME", dir.join("no-cargo")).output().unwrap();
        let error = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(output.stdout.is_empty());
        let place = dir.join("no-cargo/registry/src").display().to_string();
        assert!(error.contains("error: no sources of crates in") && error.contains(&place), "{error}");
        assert!(error.contains("hint: ") && error.contains("polyseme tour --corpus"), "{error}");
    }
    fails(dir, 1, &["tour", "--corpus", "nowhere", "--out", "t"]);
    write(dir, "short.txt", "too short to learn from\n");
    let error = fails(dir, 1, &["tour", "--corpus", "short.txt", "--out", "t"]);
    assert!(error.contains("needed to pre-train on") && error.contains("hint: "), "{error}");
    assert!(!dir.join("t").exists(), "something was left behind");
}
