//! Models in fewer bits by the real program: what is written is small, the same twice, and used as any other.

mod support;

use serde_json::Value;
use std::path::Path;
use support::{bytes, encoder_and_rows, fails, json, lines, ok, write};

/// A classifier in `classifier`.
fn classifier(dir: &Path) {
    encoder_and_rows(dir);
    let learns = ["--train", "train.csv", "--valid", "valid.csv", "--epochs", "20", "--patience", "0"];
    let how = ["--batch-size", "8", "--learning-rate", "5e-3", "--quiet"];
    ok(dir, &[&["finetune", "encoder", "--task", "classify", "--out", "classifier"][..], &learns, &how].concat());
}

fn quantize<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["shrink", "quantize", "classifier", "--out", out, "--data", "valid.csv", "--quiet"][..], more].concat()
}

fn config(dir: &Path, model: &str) -> Value {
    serde_json::from_slice(&bytes(dir, &format!("{model}/config.json"))).expect("JSON")
}

/// Measures, asks and embeds with a folder.
fn used(dir: &Path, model: &str) -> f64 {
    let found = json(dir, &["eval", model, "--data", "valid.csv", "--quiet"]);
    assert_eq!(lines(&ok(dir, &["predict", model, "valid.csv", "--quiet"])).len(), 30);
    ok(dir, &["embed", model, "valid.csv", "--text", "text", "--out", "vectors.npy", "--quiet"]);
    found["accuracy"].as_f64().expect("an accuracy")
}

#[test]
fn a_classifier_in_few_bits_is_small_and_says_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    classifier(dir);
    let whole = used(dir, "classifier");
    for (to, smaller, cosine) in [("int8", 2.0, 0.99), ("int4", 2.0, 0.95), ("f16", 1.8, 0.9999), ("bf16", 1.8, 0.99)] {
        let said = json(dir, &quantize(to, &["--to", to, "--no-timing"]));
        let number = |key: &str| said[key].as_f64().unwrap();
        assert!(number("bytes_before") > smaller * number("bytes_after"), "{said}");
        assert!(number("cosine") >= cosine, "{said}");
        let accuracy = used(dir, to);
        assert!(accuracy > 0.9 * whole, "{to}: {accuracy} of {whole}");
        assert_eq!(said["metric"]["after"].as_f64().unwrap(), accuracy);
        assert_eq!(said["metric"]["before"].as_f64().unwrap(), whole);
        // The same once more.
        ok(dir, &quantize("again", &["--to", to, "--no-timing", "--force"]));
        for file in ["model.safetensors", "config.json", "tokenizer.json"] {
            assert!(bytes(dir, &format!("{to}/{file}")) == bytes(dir, &format!("again/{file}")), "{to}: {file}");
        }
        std::fs::remove_dir_all(dir.join("again")).unwrap();
    }
    let groups = |model: &str| config(dir, model)["quantization_config"]["config_groups"].clone();
    assert_eq!(groups("int8")["group_1"]["input_activations"]["dynamic"], true);
    assert_eq!(config(dir, "f16")["dtype"], "float16");
    assert!(config(dir, "f16").get("quantization_config").is_none());
}

#[test]
fn ranges_are_fixed_layers_kept_and_costly_matrices_spared() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    classifier(dir);
    let of_layers = |said: &Value, form: &str| -> Vec<String> {
        let matrices = said["matrices"].as_array().unwrap().iter();
        let of_form = matrices.filter(|m| m["form"] == form && m["name"].as_str().unwrap().contains("layer."));
        of_form.map(|m| m["name"].as_str().unwrap().to_owned()).collect()
    };
    let said = json(dir, &quantize("fixed", &["--calibrate", "train.csv", "--keep", "0", "--no-timing"]));
    let kept = of_layers(&said, "f32");
    assert!(kept.len() == 6 && kept.iter().all(|name| name.contains("layer.0.")), "{said}");
    assert!(!of_layers(&said, "int8").is_empty(), "{said}");
    assert!(used(dir, "fixed") > 0.8);
    let groups = config(dir, "fixed")["quantization_config"]["config_groups"].to_string();
    assert!(groups.contains(r#""strategy":"tensor","dynamic":false"#), "{groups}");
    // Nothing is good enough for this but the whole model.
    let said = json(dir, &quantize("near", &["--cosine", "0.999999999", "--no-timing"]));
    assert!(of_layers(&said, "int8").is_empty(), "{said}");
    assert!(said["cosine"].as_f64().unwrap() >= 0.999999999);
    // Without texts of one's own, tokens at random do.
    let said = json(dir, &["shrink", "quantize", "encoder", "--out", "small", "--quiet"]);
    assert_eq!(said["measured_on"], "random tokens");
    let layers = said["speed"].as_array().unwrap();
    assert!(layers.iter().all(|layer| layer["times"].as_array().unwrap().len() == 4), "{said}");
    for layer in layers {
        let slower = layer["times"].as_array().unwrap().iter().any(|times| times.as_f64().unwrap() < 1.0);
        let name = format!("layer.{}.", layer["layer"]);
        let fast = of_layers(&said, "int8").iter().any(|matrix| matrix.contains(&name));
        assert!(!(slower && fast), "a layer that is slower is not multiplied in 8 bits: {said}");
    }
    ok(dir, &["fill", "small", "the [MASK] sails near the old ship .", "--quiet"]);
}

#[test]
fn a_folder_in_few_bits_does_not_learn_and_is_not_rounded_twice() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    classifier(dir);
    ok(dir, &quantize("small", &["--no-timing"]));
    let learn = ["--train", "train.csv", "--valid", "valid.csv", "--out", "again", "--quiet"];
    let said = fails(dir, 1, &[&["finetune", "small", "--task", "classify"][..], &learn].concat());
    assert!(said.contains("small") && said.contains("do not learn") && said.contains("hint:"), "{said}");
    assert!(!dir.join("again").exists());
    let said = fails(dir, 1, &["shrink", "quantize", "small", "--out", "again", "--quiet"]);
    assert!(said.contains("few bits") && !dir.join("again").exists(), "{said}");
    let said = fails(dir, 1, &quantize("small", &["--no-timing"]));
    assert!(said.contains("small holds a model already") && said.contains("--force"), "{said}");
    let said = fails(dir, 1, &quantize("again", &["--keep", "9"]));
    assert!(said.contains("no layer 9"), "{said}");
    write(dir, "empty.csv", "text,label\n");
    let said = fails(dir, 1, &["shrink", "quantize", "classifier", "--out", "again", "--calibrate", "empty.csv"]);
    assert!(said.contains("empty.csv") && !dir.join("again").exists(), "{said}");
}
