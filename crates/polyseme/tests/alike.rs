//! A sentence encoder says how alike two texts are.

mod support;

use std::collections::HashMap;
use support::{encoder_and_rows, fails, json, lines, ok, write};

#[test]
fn predict_gives_the_cosine_of_the_vectors_that_embed_gives() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    encoder_and_rows(dir);
    let rows = "one,two,score\nthe warm sun,the warm sun,5\nthe sun,cold rain and snow,1\nsnow,cold snow,4.2\nthe sun,snow,1.4\n";
    write(dir, "pairs.csv", rows);
    let columns = ["--text", "one", "--pair", "two"];
    let learns =
        ["--train", "pairs.csv", "--valid", "pairs.csv", "--label", "score", "--epochs", "3", "--out", "alike"];
    let learned = json(dir, &[&["finetune", "encoder", "--task", "similarity"][..], &learns, &columns].concat());
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
    // The line that is nearest to the scores of the validation rows stands in the folder.
    let of = |key: &str| said.iter().map(|line| line[key].as_f64().unwrap()).collect::<Vec<f64>>();
    let (cosines, values, scores) = (of("cosine"), of("value"), [5.0, 1.0, 4.2, 1.4]);
    let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
    let (c, s) = (mean(&cosines), mean(&scores));
    let both: f64 = cosines.iter().zip(&scores).map(|(x, y)| (x - c) * (y - s)).sum();
    let slope = both / cosines.iter().map(|x| (x - c).powi(2)).sum::<f64>();
    for (cosine, value) in cosines.iter().zip(&values) {
        assert!((s + slope * (cosine - c) - value).abs() < 1e-4, "{value} by a slope of {slope}");
    }
    let error = values.iter().zip(&scores).map(|(v, y)| (v - y).powi(2)).sum::<f64>() / 4.0;
    assert!((found["loss"].as_f64().unwrap() - error).abs() < 1e-4, "{found} and {error}");
    assert_eq!(learned["results"][0]["valid"]["loss"], found["loss"], "{learned}");
    // Pairs without scores know nothing of them.
    let pairs = ["--text", "one", "--pair", "two", "--train", "pairs.csv", "--valid", "pairs.csv", "--out", "apart"];
    ok(dir, &[&["finetune", "alike", "--task", "retrieval", "--epochs", "1"][..], &pairs].concat());
    let said = lines(&ok(dir, &[&["predict", "apart", "pairs.csv", "--quiet"][..], &columns].concat()));
    assert!(said[0].get("value").is_none() && said[0].get("cosine").is_some(), "{}", said[0]);
    // One text is like nothing.
    let error = fails(dir, 1, &["predict", "alike", "texts.txt"]);
    assert!(error.contains("no head") && error.contains("hint:"), "{error}");
}
