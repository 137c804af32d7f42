//! Models that cannot be put into few bits, and folders in few bits that cannot be what they say.

use crate::check::Case;
use crate::fixture::{Bench, Head};
use serde_json::json;

/// Quantization of the model `m` with more flags.
macro_rules! quantize {
    ($($flag:literal),* $(,)?) => {
        &["shrink", "quantize", "m", "--out", "c", "--no-timing" $(, $flag)*]
    };
}

fn classifier(b: &Bench) {
    b.model("m", Head::Classify);
}

/// A folder whose configuration says this of its matrices.
fn said(b: &Bench, config: serde_json::Value) {
    b.model_with("m", Head::Classify, json!({ "quantization_config": config }));
}

/// The model in 8 bits in `q`.
fn few(b: &Bench) {
    classifier(b);
    b.polyseme(&["shrink", "quantize", "m", "--out", "q", "--no-timing", "--quiet"]);
}

/// The same with other words in its configuration.
fn few_but(b: &Bench, from: &str, to: &str) {
    few(b);
    let config = String::from_utf8(b.read("q/config.json")).expect("JSON");
    assert!(config.contains(from), "{config}");
    b.write("q/config.json", config.replace(from, to));
}

const EMBED: &[&str] = &["embed", "q", "texts.txt", "--quiet"];

pub const CASES: &[Case] = &[
    Case {
        name: "bits nobody knows",
        make: classifier,
        run: quantize!["--to", "int3"],
        exit: 1,
        says: &["unknown kind `int3`", "`int8`, `int4`, `f16`, `bf16`"],
    },
    Case {
        name: "a cosine above all",
        make: classifier,
        run: quantize!["--cosine", "1"],
        exit: 1,
        says: &["`cosine` is 1", "below 1"],
    },
    Case {
        name: "blocks of three",
        make: classifier,
        run: quantize!["--to", "int4", "--group", "3"],
        exit: 1,
        says: &["`group` is 3", "multiple of 8"],
    },
    Case {
        name: "ranges for what has none",
        make: classifier,
        run: quantize!["--to", "f16", "--calibrate", "texts.txt"],
        exit: 1,
        says: &["calibrate", "int8 only"],
    },
    Case {
        name: "calibration on an empty file",
        make: |b| {
            classifier(b);
            b.write("nothing.txt", "");
        },
        run: quantize!["--calibrate", "nothing.txt"],
        exit: 1,
        says: &["nothing.txt", "empty"],
    },
    Case {
        name: "calibration on empty lines",
        make: |b| {
            classifier(b);
            b.write("nothing.txt", "\n\n\n");
        },
        run: quantize!["--calibrate", "nothing.txt"],
        exit: 1,
        says: &["nothing.txt has no texts", "like those the model will see"],
    },
    Case {
        name: "calibration on a file that is not there",
        make: classifier,
        run: quantize!["--calibrate", "gone.txt"],
        exit: 1,
        says: &["gone.txt"],
    },
    Case {
        name: "a layer to keep whole that is not there",
        make: classifier,
        run: quantize!["--keep", "0,5"],
        exit: 1,
        says: &["no layer 5", "has 2"],
    },
    Case {
        name: "labelled rows for a model without a task",
        make: |b| b.model("m", Head::MaskedLm),
        run: quantize!["--data", "train.csv"],
        exit: 1,
        says: &["head"],
    },
    Case {
        name: "few bits over the model itself",
        make: classifier,
        run: &["shrink", "quantize", "m", "--out", "m"],
        exit: 1,
        says: &["m holds a model already", "--force"],
    },
    Case {
        name: "few bits of few bits",
        make: few,
        run: &["shrink", "quantize", "q", "--out", "c"],
        exit: 1,
        says: &["q", "few bits", "the model it was made of"],
    },
    Case {
        name: "learning in few bits",
        make: few,
        run: &["finetune", "q", "--task", "classify", "--train", "train.csv", "--valid", "valid.csv", "--out", "c"],
        exit: 1,
        says: &["q", "do not learn"],
    },
    Case {
        name: "matrices in few bits by a method of others",
        make: |b| said(b, json!({ "quant_method": "gptq", "bits": 4 })),
        run: &["embed", "m", "texts.txt"],
        exit: 1,
        says: &["m/config.json", "gptq", "compressed-tensors"],
    },
    Case {
        name: "matrices in few bits without groups",
        make: |b| said(b, json!({ "quant_method": "compressed-tensors" })),
        run: &["embed", "m", "texts.txt"],
        exit: 1,
        says: &["m/config.json", "config_groups"],
    },
    Case {
        name: "floating-point numbers of eight bits",
        make: |b| few_but(b, "\"type\": \"int\"", "\"type\": \"float\""),
        run: EMBED,
        exit: 1,
        says: &["q/config.json", "group_0", "4 or 8 bits"],
    },
    Case {
        name: "matrices in few bits that no group is for",
        make: |b| few_but(b, "\"bert.encoder.layer.0.attention.self.query\"", "\"bert.encoder.layer.0.nothing\""),
        run: EMBED,
        exit: 1,
        says: &["q/config.json", "bert.encoder.layer.0.attention.self.query"],
    },
    Case {
        name: "a pattern that is none",
        make: |b| few_but(b, "\"ignore\": []", "\"ignore\": [\"re:(\"]"),
        run: EMBED,
        exit: 1,
        says: &["q/config.json", "re:(", "regular expressions"],
    },
    Case {
        name: "weights in few bits that are cut off",
        make: |b| {
            few(b);
            b.cut("q/model.safetensors", 100);
        },
        run: EMBED,
        exit: 1,
        says: &["q/model.safetensors", "header of"],
    },
    Case {
        name: "whole numbers without a word of them in the configuration",
        make: |b| few_but(b, "\"quantization_config\"", "\"what_was_there\""),
        run: EMBED,
        exit: 1,
        says: &["q/model.safetensors", "I8", "floating-point"],
    },
];
