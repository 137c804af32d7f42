//! A sentence encoder says how alike two texts are.

mod support;

use std::collections::HashMap;
use support::{encoder_and_rows, fails, json, lines, ok, write};

#[test]
fn predict_gives_the_cosine_of_the_vectors_that_embed_gives() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    encoder_and_rows(dir);
    let rows = "one,two,score\nthe warm sun,the warm sun,1\nthe sun,cold rain and snow,0\nsnow,cold snow,0.8\nthe sun,snow,0.1\n";
    write(dir, "pairs.csv", rows);
    let columns = ["--text", "one", "--pair", "two"];
    let learns =
        ["--train", "pairs.csv", "--valid", "pairs.csv", "--label", "score", "--epochs", "3", "--out", "alike"];
    ok(dir, &[&["finetune", "encoder", "--task", "similarity"][..], &learns, &columns].concat());
    let said = lines(&ok(dir, &[&["predict", "alike", "pairs.csv", "--quiet"][..], &columns].concat()));
    write(dir, "texts.txt", "the warm sun\nthe sun\ncold rain and snow\nsnow\ncold snow\n");
    let vectors: HashMap<String, Vec<f64>> =
        lines(&ok(dir, &["embed", "alike", "texts.txt", "--normalize", "--quiet"]))
            .iter()
            .map(|line| {
                let numbers = line["embedding"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap());
                (line["text"].as_str().unwrap().to_owned(), numbers.collect())
            })
            .collect();
    assert_eq!(said.len(), 4);
    for line in &said {
        let [a, b] = ["text", "pair"].map(|side| &vectors[line[side].as_str().unwrap()]);
        let cosine: f64 = a.iter().zip(b).map(|(a, b)| a * b).sum();
        assert!((line["cosine"].as_f64().unwrap() - cosine).abs() < 1e-5, "{line} beside {cosine}");
    }
    assert!(said[0]["cosine"].as_f64().unwrap() > 0.9999, "{}", said[0]);
    let found =
        json(dir, &[&["eval", "alike", "--data", "pairs.csv", "--label", "score", "--quiet"][..], &columns].concat());
    assert_eq!(found["task"], "similarity");
    // One text is like nothing.
    let error = fails(dir, 1, &["predict", "alike", "texts.txt"]);
    assert!(error.contains("no head") && error.contains("hint:"), "{error}");
}
