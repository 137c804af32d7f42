//! Folders that are no model folders, and configurations that cannot be.

use crate::check::Case;
use crate::fixture::{Bench, Head};
use serde_json::json;

const EMBED: &[&str] = &["embed", "m", "texts.txt", "--out", "v.npy"];

fn config(b: &Bench, content: &str) {
    b.model("m", Head::MaskedLm);
    b.write("m/config.json", content);
}

fn with(b: &Bench, keys: serde_json::Value) {
    b.model_with("m", Head::MaskedLm, keys);
}

pub const CASES: &[Case] = &[
    Case {
        name: "a model folder that is not there",
        make: |_| (),
        run: EMBED,
        exit: 1,
        says: &["m", "no such|not there|does not exist|no folder|not found"],
    },
    Case {
        name: "a file where a model folder should be",
        make: |b| b.write("m", "text"),
        run: EMBED,
        exit: 1,
        says: &["m", "file", "folder"],
    },
    Case {
        name: "an empty folder as a model",
        make: |b| b.folder("m"),
        run: EMBED,
        exit: 1,
        says: &["m", "config.json"],
    },
    Case {
        name: "a run folder as a model",
        make: |b| {
            b.write("m/settings.toml", "seed = 1\n");
            b.write("m/metrics.jsonl", "");
        },
        run: EMBED,
        exit: 1,
        says: &["m", "run folder", "model folder", "--resume"],
    },
    Case {
        name: "config.json empty",
        make: |b| config(b, ""),
        run: EMBED,
        exit: 1,
        says: &["m/config.json", "json|empty"],
    },
    Case {
        name: "config.json that is no JSON",
        make: |b| config(b, "{\n  \"model_type\": \"bert\",\n  hidden_size: 8\n}\n"),
        run: EMBED,
        exit: 1,
        says: &["m/config.json", "line 3"],
    },
    Case {
        name: "config.json that is a list",
        make: |b| config(b, "[1, 2]"),
        run: EMBED,
        exit: 1,
        says: &["m/config.json", "object"],
    },
    Case {
        name: "config.json that is not UTF-8",
        make: |b| {
            b.model("m", Head::MaskedLm);
            b.write("m/config.json", b"{\"model_type\": \"b\xffrt\"}");
        },
        run: EMBED,
        exit: 1,
        says: &["m/config.json", "utf-8|unicode|json"],
    },
    Case {
        name: "an alien model_type",
        make: |b| with(b, json!({"model_type": "gpt2"})),
        run: EMBED,
        exit: 1,
        says: &["m/config.json", "gpt2", "bert", "roberta"],
    },
    Case {
        name: "no model_type",
        make: |b| with(b, json!({"model_type": null, "architectures": null})),
        run: EMBED,
        exit: 1,
        says: &["m/config.json", "model_type", "bert"],
    },
    Case {
        name: "an unknown activation",
        make: |b| with(b, json!({"hidden_act": "wobble"})),
        run: EMBED,
        exit: 1,
        says: &["m/config.json", "hidden_act", "wobble", "gelu"],
    },
    Case {
        name: "heads that do not divide the width",
        make: |b| with(b, json!({"num_attention_heads": 3})),
        run: EMBED,
        exit: 1,
        says: &["3", "8", "num_attention_heads|heads"],
    },
    Case {
        name: "no heads",
        make: |b| with(b, json!({"num_attention_heads": 0})),
        run: EMBED,
        exit: 1,
        says: &["num_attention_heads", "0"],
    },
    Case {
        name: "a negative width",
        make: |b| with(b, json!({"hidden_size": -8})),
        run: EMBED,
        exit: 1,
        says: &["m/config.json", "hidden_size", "-8"],
    },
    Case {
        name: "a width in words",
        make: |b| with(b, json!({"hidden_size": "eight"})),
        run: EMBED,
        exit: 1,
        says: &["m/config.json", "hidden_size", "eight"],
    },
    Case {
        name: "a width that fits in no memory",
        make: |b| with(b, json!({"intermediate_size": 9_000_000_000_000_000_000u64})),
        run: EMBED,
        exit: 1,
        says: &["parameters", "config"],
    },
    Case {
        name: "no hidden_size",
        make: |b| with(b, json!({"hidden_size": null, "hiden_size": 8})),
        run: EMBED,
        exit: 1,
        says: &["m/config.json", "hidden_size", "hiden_size"],
    },
    Case {
        name: "more layers in the configuration than in the weights",
        make: |b| with(b, json!({"num_hidden_layers": 3})),
        run: EMBED,
        exit: 1,
        says: &["encoder.layer.2."],
    },
    Case {
        name: "a decoder",
        make: |b| with(b, json!({"is_decoder": true})),
        run: EMBED,
        exit: 1,
        says: &["m/config.json", "is_decoder", "true"],
    },
    Case {
        name: "relative positions",
        make: |b| with(b, json!({"position_embedding_type": "relative_key"})),
        run: EMBED,
        exit: 1,
        says: &["m/config.json", "position_embedding_type", "relative_key", "absolute"],
    },
    Case {
        name: "a dropout above one",
        make: |b| with(b, json!({"hidden_dropout_prob": 1.5})),
        run: &["finetune", "m", "--task", "classify", "--train", "train.csv", "--valid", "valid.csv", "--out", "c"],
        exit: 1,
        says: &["hidden_dropout_prob", "1.5"],
    },
    Case {
        name: "another number of labels than the head has",
        make: |b| {
            let labels = json!({"0": "cold", "1": "warm", "2": "hot"});
            b.model_with("m", Head::Classify, json!({"id2label": labels, "label2id": null}));
        },
        run: &["predict", "m", "texts.txt"],
        exit: 1,
        says: &["classifier", "[2, 8]", "[3, 8]"],
    },
    Case {
        name: "labels with a gap in their numbers",
        make: |b| {
            b.model_with("m", Head::Classify, json!({"id2label": {"0": "cold", "2": "warm"}, "label2id": null}));
        },
        run: &["predict", "m", "texts.txt"],
        exit: 1,
        says: &["m/config.json", "id2label"],
    },
    Case {
        name: "a module of sentence-transformers nobody knows",
        make: |b| {
            b.model("m", Head::MaskedLm);
            let modules = json!([
                {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
                {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
                {"idx": 2, "name": "2", "path": "2_Dense", "type": "sentence_transformers.models.Dense"},
            ]);
            b.write("m/modules.json", modules.to_string());
            b.write("m/1_Pooling/config.json", r#"{"word_embedding_dimension": 8, "pooling_mode_mean_tokens": true}"#);
        },
        run: EMBED,
        exit: 1,
        says: &["modules.json", "Dense"],
    },
    Case {
        name: "a pooling nobody knows",
        make: |b| {
            b.model("m", Head::MaskedLm);
            let modules = json!([
                {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
                {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
            ]);
            b.write("m/modules.json", modules.to_string());
            b.write(
                "m/1_Pooling/config.json",
                r#"{"word_embedding_dimension": 8, "pooling_mode_mean_tokens": false, "pooling_mode_weightedmean_tokens": true}"#,
            );
        },
        run: EMBED,
        exit: 1,
        says: &["1_Pooling/config.json", "weightedmean"],
    },
    Case {
        name: "masks to fill with a model that has no head for it",
        make: |b| b.model("m", Head::Classify),
        run: &["fill", "m", "the [MASK] is cold"],
        exit: 1,
        says: &["m", "masked|mlm", "head"],
    },
    Case {
        name: "labels from a model that has no head for it",
        make: |b| b.model("m", Head::MaskedLm),
        run: &["predict", "m", "texts.txt"],
        exit: 1,
        says: &["m", "classif", "finetune"],
    },
    Case {
        name: "measuring an encoder alone",
        make: |b| b.model("m", Head::None),
        run: &["eval", "m", "--data", "valid.csv"],
        exit: 1,
        says: &["need a head of a task", "has no head", "polyseme finetune"],
    },
    Case {
        name: "labels for a model that is measured without",
        make: |b| b.model("m", Head::MaskedLm),
        run: &["eval", "m", "--data", "valid.csv", "--label", "label"],
        exit: 1,
        says: &["--label", "a masked-language-modelling head", "without labels", "polyseme finetune"],
    },
    Case {
        name: "texts of which nothing is hidden",
        make: |b| {
            b.model("m", Head::MaskedLm);
            b.write("short.txt", "the\n");
        },
        run: &["eval", "m", "--data", "short.txt", "--seed", "1"],
        exit: 1,
        says: &["no token was hidden among 1", "more text"],
    },
    Case {
        name: "a language model that is measured on nothing",
        make: |b| {
            b.model("m", Head::MaskedLm);
            b.write("empty.txt", "");
        },
        run: &["eval", "m", "--data", "empty.txt"],
        exit: 1,
        says: &["empty.txt is empty"],
    },
    Case {
        name: "hidden tokens where the tokenizer has no mask",
        make: |b| {
            b.model("m", Head::MaskedLm);
            b.write("m/vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\nthe\n");
        },
        run: &["eval", "m", "--data", "valid.csv"],
        exit: 1,
        says: &["the tokenizer of this model has no mask token", "`mask_token`"],
    },
    Case {
        name: "no mask in the text",
        make: |b| b.model("m", Head::MaskedLm),
        run: &["fill", "m", "the sun is cold"],
        exit: 1,
        says: &["[MASK]", "the sun is cold|no mask|text"],
    },
    Case {
        name: "a text too long for its masks",
        make: |b| b.model("m", Head::MaskedLm),
        run: &["fill", "m", "a b c d e f g h i j k l m n o p q r s t u v w x y z a b c d e f g h i j [MASK]"],
        exit: 1,
        says: &["32", "token"],
    },
    Case {
        name: "a layer out of range",
        make: |b| b.model("m", Head::MaskedLm),
        run: &["embed", "m", "texts.txt", "--layer", "7", "--out", "v.npy"],
        exit: 1,
        says: &["7", "2", "layer"],
    },
    Case {
        name: "vectors into a file of unknown kind",
        make: |b| b.model("m", Head::MaskedLm),
        run: &["embed", "m", "texts.txt", "--out", "v.xyz"],
        exit: 1,
        says: &["xyz", ".npy", ".parquet", ".jsonl"],
    },
    Case {
        name: "an input of no tokens at all",
        make: |b| b.model("m", Head::MaskedLm),
        run: &["embed", "m", "texts.txt", "--max-length", "0", "--out", "v.npy"],
        exit: 1,
        says: &["max-length|max_length|length", "0"],
    },
    Case {
        name: "an input longer than the positions",
        make: |b| b.model("m", Head::MaskedLm),
        run: &["embed", "m", "texts.txt", "--max-length", "500", "--out", "v.npy"],
        exit: 1,
        says: &["500", "32"],
    },
];
