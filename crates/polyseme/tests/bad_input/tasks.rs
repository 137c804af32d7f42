//! Rows that a task cannot learn from, and settings that belong to another one.

use crate::check::{Case, Odd};
use crate::fixture::{Bench, Head};
use serde_json::json;

/// Fine-tuning of the model `m` on `train.csv` with more flags.
macro_rules! finetune {
    ($task:literal $(, $flag:literal)* $(,)?) => {
        &["finetune", "m", "--task", $task, "--train", "train.csv", "--out", "c" $(, $flag)*]
    };
}

fn train(b: &Bench, content: &str) {
    b.model("m", Head::MaskedLm);
    b.write("train.csv", content);
}

fn numbers(b: &Bench, bad: &str) {
    train(b, &format!("text,score\nthe sun,1.5\nthe snow,{bad}\nthe ice,2.5\n"));
}

/// Rows of two choices, each with this label.
fn choices(b: &Bench, labels: [&str; 2]) {
    let [first, second] = labels;
    train(b, &format!("question,a,b,label\nthe sun,warm,cold,{first}\nthe snow,warm,cold,{second}\n"));
}

/// An adapter of `m` that these words ask for.
fn adapter(b: &Bench, words: [&str; 2]) {
    b.model("m", Head::MaskedLm);
    let run = ["finetune", "m", "--task", "classify", "--train", "train.csv", "--epochs", "1", "--out", "adapter"];
    b.polyseme(&[&run[..], &words, &["--quiet"]].concat());
}

fn bottleneck(b: &Bench) {
    adapter(b, ["--adapter-size", "2"]);
}

fn prefix(b: &Bench) {
    adapter(b, ["--prefix-length", "5"]);
}

/// A model of several labels that has these thresholds.
fn thresholds(b: &Bench, found: serde_json::Value) {
    let keys = json!({"problem_type": "multi_label_classification", "thresholds": found});
    b.model_with("m", Head::Classify, keys);
}

pub const CASES: &[Case] = &[
    Case {
        name: "a generator without room for the source",
        make: |b| train(b, "text,label\nthe sun,warm\nthe snow,cold\n"),
        run: finetune!["generate", "--max-length", "12", "--max-new-tokens", "10"],
        exit: 1,
        says: &["max_new_tokens", "10", "2 to 8", "room"],
    },
    Case {
        name: "a row without the text that is wanted",
        make: |b| train(b, "text,label\nthe sun,warm\nthe snow,\n"),
        run: finetune!["generate", "--max-length", "16", "--max-new-tokens", "4", "--valid", "train.csv"],
        exit: 1,
        says: &["train.csv", "row 2", "`label`"],
    },
    Case {
        name: "the length of a text that is wanted, for labels",
        make: |b| train(b, "text,label\nthe sun,warm\nthe snow,cold\n"),
        run: finetune!["classify", "--max-new-tokens", "4"],
        exit: 1,
        says: &["max_new_tokens", "classify"],
    },
    Case {
        name: "beams for a model that fills masks",
        make: |b| train(b, "text,label\nthe sun,warm\n"),
        run: &["predict", "m", "train.csv", "--beams", "3"],
        exit: 1,
        says: &["masked-language-modelling head"],
    },
    Case {
        name: "a ragged CSV of several labels",
        make: |b| train(b, "text,label\nthe sun,warm\nthe snow,cold,white\n"),
        run: finetune!["multilabel"],
        exit: 1,
        says: &["train.csv", "line 3", "3 cells", "2", "quotes"],
    },
    Case {
        name: "a quote never closed",
        make: |b| train(b, "text,label\nthe sun,warm\n\"the snow,cold\nthe ice,cold\n"),
        run: finetune!["classify", "--valid", "valid.csv"],
        exit: 1,
        says: &["train.csv", "line 3", "quote", "never closed"],
    },
    Case {
        name: "a quote never closed in the last column, which swallows the rows behind it",
        make: |b| train(b, "text,label\nthe sun,warm\nthe ice,cold\nthe snow,\"cold\nthe lake,cold\n"),
        run: finetune!["classify", "--valid", "valid.csv"],
        exit: 1,
        says: &["train.csv", "line 4", "quote", "never closed"],
    },
    Case {
        name: "a quote never closed in the header",
        make: |b| train(b, "text,\"label\nthe sun,warm\nthe ice,cold\n"),
        run: finetune!["classify", "--valid", "valid.csv"],
        exit: 1,
        says: &["train.csv", "line 1", "quote", "never closed"],
    },
    Case {
        name: "another number in each row for a label",
        make: |b| train(b, "text,score\nthe sun,0.25\nthe snow,0.5\nthe ice,1.75\nthe lake,3\n"),
        run: finetune!["classify", "--valid", "train.csv"],
        exit: 1,
        says: &["`score`", "train.csv", "4 different labels in 4 rows", "--task regress"],
    },
    Case {
        name: "words where numbers should be",
        make: |b| train(b, "text,label\nthe sun,warm\nthe snow,cold\n"),
        run: finetune!["regress", "--valid", "valid.csv"],
        exit: 1,
        says: &["train.csv", "row 1", "`label`", "`warm`", "a number", "--task classify"],
    },
    Case {
        name: "a number that is none",
        make: |b| numbers(b, "NaN"),
        run: finetune!["regress", "--valid", "train.csv"],
        exit: 1,
        says: &["train.csv", "row 2", "`score`", "`NaN`", "a number"],
    },
    Case {
        name: "an infinite number to learn",
        make: |b| numbers(b, "-inf"),
        run: finetune!["regress", "--valid", "train.csv"],
        exit: 1,
        says: &["train.csv", "row 2", "`score`", "`-inf`", "from -1e18 to 1e18"],
    },
    Case {
        name: "a number too large to be squared",
        make: |b| numbers(b, "3e38"),
        run: finetune!["regress", "--valid", "train.csv"],
        exit: 1,
        says: &["train.csv", "row 2", "`score`", "`3e38`", "from -1e18 to 1e18"],
    },
    Case {
        name: "the same number in all rows",
        make: |b| train(b, "text,score\nthe sun,3\nthe snow,3.0\nthe ice,3\n"),
        run: finetune!["regress", "--valid", "train.csv"],
        exit: 1,
        says: &["`score`", "train.csv", "`3`", "at least two"],
    },
    Case {
        name: "one row of which none can be kept",
        make: |b| train(b, "text,score\nthe sun,3\n"),
        run: finetune!["regress"],
        exit: 1,
        says: &["train.csv", "1 row", "validation", "--valid"],
    },
    Case {
        name: "several labels of which no row has one",
        make: |b| train(b, "text,label\nthe sun,\nthe snow,\" , \"\nthe ice,\n"),
        run: finetune!["multilabel"],
        exit: 1,
        says: &["no row", "train.csv", "a label", "column"],
    },
    Case {
        name: "several labels of which no validation row has one",
        make: |b| {
            train(b, "text,label\nthe sun,\"warm,bright\"\nthe snow,cold\n");
            b.write("valid.csv", "text,label\nthe ice,\nthe lake,[]\n");
        },
        run: finetune!["multilabel", "--valid", "valid.csv"],
        exit: 1,
        says: &["no row", "valid.csv", "a label", "column"],
    },
    Case {
        name: "several labels of validation of which training lacks one",
        make: |b| {
            train(b, "text,label\nthe sun,\"warm,bright\"\nthe snow,cold\n");
            b.write("valid.csv", "text,label\nthe ice,cold\nthe rain,\"cold,wet\"\n");
        },
        run: finetune!["multilabel", "--valid", "valid.csv"],
        exit: 1,
        says: &["valid.csv", "row 2", "`wet`", "`bright`, `cold`, `warm`"],
    },
    Case {
        name: "nothing between labels",
        make: |b| b.model("m", Head::MaskedLm),
        run: finetune!["multilabel", "--label-separator", ""],
        exit: 1,
        says: &["label_separator", "empty", "between two labels"],
    },
    Case {
        name: "more than all of the probability smoothed away",
        make: |b| b.model("m", Head::MaskedLm),
        run: finetune!["classify", "--label-smoothing", "1.5"],
        exit: 1,
        says: &["label_smoothing", "1.5", "from 0 to less than 1"],
    },
    Case {
        name: "smoothing of no number",
        make: |b| b.model("m", Head::MaskedLm),
        run: finetune!["classify", "--label-smoothing", "nan"],
        exit: 1,
        says: &["label_smoothing", "nan", "from 0 to less than 1"],
    },
    Case {
        name: "a loss of similarities nobody knows",
        make: |b| b.model("m", Head::MaskedLm),
        run: finetune!["similarity", "--similarity-loss", "angle"],
        exit: 1,
        says: &["similarity_loss", "angle", "`cosine`", "`cosent`"],
    },
    Case {
        name: "a loss of similarities where labels are learned",
        make: |b| b.model("m", Head::MaskedLm),
        run: finetune!["classify", "--similarity-loss", "cosent"],
        exit: 1,
        says: &["`similarity_loss`", "classify", "leave --similarity-loss out"],
    },
    Case {
        name: "weights of labels nobody knows",
        make: |b| b.model("m", Head::MaskedLm),
        run: finetune!["classify", "--class-weights", "heavy"],
        exit: 1,
        says: &["class_weights", "heavy", "`none`", "`balanced`"],
    },
    Case {
        name: "weights of labels where numbers are learned",
        make: |b| b.model("m", Head::MaskedLm),
        run: finetune!["regress", "--class-weights", "balanced"],
        exit: 1,
        says: &["`class_weights`", "regress", "leave --class-weights out"],
    },
    Case {
        name: "smoothing where several labels are learned",
        make: |b| b.model("m", Head::MaskedLm),
        run: finetune!["multilabel", "--label-smoothing", "0.1"],
        exit: 1,
        says: &["`label_smoothing`", "multilabel", "leave --label-smoothing out"],
    },
    Case {
        name: "a separator of labels where each row has one",
        make: |b| b.model("m", Head::MaskedLm),
        run: finetune!["classify", "--label-separator", ";"],
        exit: 1,
        says: &["`label_separator`", "classify", "leave --label-separator out"],
    },
    Case {
        name: "a metric of another task",
        make: |b| b.model("m", Head::MaskedLm),
        run: finetune!["multilabel", "--metric", "spearman"],
        exit: 1,
        says: &["`spearman`", "micro_f1", "exact_match"],
    },
    Case {
        name: "inputs of three tokens",
        make: |b| b.model("m", Head::MaskedLm),
        run: finetune!["regress", "--max-length", "3"],
        exit: 1,
        says: &["max_length", "3", "at least 4"],
    },
    Case {
        name: "choices without the names of their columns",
        make: |b| choices(b, ["0", "1"]),
        run: finetune!["choice"],
        exit: 1,
        says: &["choices", "[]", "two columns or more"],
    },
    Case {
        name: "one choice only",
        make: |b| choices(b, ["0", "1"]),
        run: finetune!["choice", "--choices", "a"],
        exit: 1,
        says: &["choices", "[\"a\"]", "two columns or more"],
    },
    Case {
        name: "a choice in a column that is not there",
        make: |b| choices(b, ["0", "1"]),
        run: finetune!["choice", "--choices", "a,zzz"],
        exit: 1,
        says: &["train.csv", "`zzz`", "`question`, `a`, `b` and `label`", "name one of those"],
    },
    Case {
        name: "a choice named twice",
        make: |b| choices(b, ["0", "1"]),
        run: finetune!["choice", "--choices", "a,a"],
        exit: 1,
        says: &["`a`", "train.csv", "twice as choice"],
    },
    Case {
        name: "a label that names no choice",
        make: |b| choices(b, ["1", "7"]),
        run: finetune!["choice", "--choices", "a,b", "--valid", "train.csv"],
        exit: 1,
        says: &["train.csv", "row 2", "`7`", "2 choices", "from 0"],
    },
    Case {
        name: "a choice that is empty",
        make: |b| train(b, "question,a,b,label\nthe sun,warm,cold,0\nthe snow,,cold,1\n"),
        run: finetune!["choice", "--choices", "a,b"],
        exit: 1,
        says: &["train.csv", "row 2", "`a`", "empty"],
    },
    Case {
        name: "choices where labels are learned",
        make: |b| choices(b, ["cold", "warm"]),
        run: finetune!["classify", "--valid", "train.csv", "--choices", "a,b"],
        exit: 1,
        says: &["`choices`", "classify", "leave --choices out"],
    },
    Case {
        name: "a second text beside choices",
        make: |b| choices(b, ["0", "1"]),
        run: finetune!["choice", "--choices", "a,b", "--pair", "question"],
        exit: 1,
        says: &["`pair`", "choice", "leave --pair out"],
    },
    Case {
        name: "predicting with a model without a head of a task",
        make: |b| b.model("m", Head::MaskedLm),
        run: &["predict", "m", "valid.csv"],
        exit: 1,
        says: &["a masked-language-modelling head", "polyseme finetune"],
    },
    Case {
        name: "measuring a classifier with choices",
        make: |b| {
            b.model("m", Head::Classify);
            b.write("valid.csv", "text,a,b,label\nthe sun,x,y,warm\n");
        },
        run: &["eval", "m", "--data", "valid.csv", "--choices", "a,b"],
        exit: 1,
        says: &["`choices`", "classify", "leave --choices out"],
    },
    Case {
        name: "measuring numbers on words",
        make: |b| b.model("m", Head::Regress),
        run: &["eval", "m", "--data", "valid.csv"],
        exit: 1,
        says: &["valid.csv", "row 1", "`warm`", "a number"],
    },
    Case {
        name: "measuring choices without the names of their columns",
        make: |b| b.model("m", Head::Choice),
        run: &["eval", "m", "--data", "valid.csv"],
        exit: 1,
        says: &["choices", "two columns or more"],
    },
    Case {
        name: "measuring with the tokenizer of another model",
        make: |b| {
            b.model("m", Head::Classify);
            b.write("m/vocab.txt", crate::fixture::vocabulary().join("\n") + "\nwarm\n");
        },
        run: &["eval", "m", "--data", "valid.csv"],
        exit: 1,
        says: &["`warm`", "62", "63", "tokenizer"],
    },
    Case {
        name: "measuring pairs with a model of single texts",
        make: |b| {
            b.model_of("m", Head::Classify, |tensors| {
                let segments = tensors.iter_mut().find(|t| t.0.contains("token_type")).expect("there");
                (segments.1, segments.2) = (vec![1, 8], vec![0.0; 8]);
            });
            let config = String::from_utf8(b.read("m/config.json")).expect("text");
            b.write("m/config.json", config.replace("\"type_vocab_size\": 2", "\"type_vocab_size\": 1"));
            b.write("valid.csv", "one,two,label\nthe sun,the snow,warm\n");
        },
        run: &["eval", "m", "--data", "valid.csv", "--text", "one", "--pair", "two"],
        exit: 1,
        says: &["segment 1", "1 segment embeddings", "single texts"],
    },
    Case {
        name: "fewer thresholds than labels",
        make: |b| thresholds(b, json!([0.5])),
        run: &["predict", "m", "valid.csv"],
        exit: 1,
        says: &["m/config.json", "thresholds", "[0.5]", "each of 2 labels"],
    },
    Case {
        name: "thresholds that are no probabilities",
        make: |b| thresholds(b, json!([0.5, 1.5])),
        run: &["eval", "m", "--data", "valid.csv"],
        exit: 1,
        says: &["m/config.json", "thresholds", "1.5", "from 0 to 1"],
    },
    Case {
        name: "scores that fall where cosines rise",
        make: |b| b.model_with("m", Head::None, json!({"score_of_cosine": {"slope": -1.0, "shift": 0.0}})),
        run: &["predict", "m", "valid.csv", "--pair", "label"],
        exit: 1,
        says: &["m/config.json", "score_of_cosine", "-1.0", "`slope` above 0"],
    },
    Case {
        name: "choosing without the names of the columns",
        make: |b| b.model("m", Head::Choice),
        run: &["predict", "m", "valid.csv", "--choices", "text"],
        exit: 1,
        says: &["--choices", "missing", "two"],
    },
    Case {
        name: "choosing among lines of standard input",
        make: |b| b.model("m", Head::Choice),
        run: &["predict", "m", "--choices", "a,b"],
        exit: 1,
        says: &["FILE", "missing", "table"],
    },
    Case {
        name: "predicting no answer where labels are predicted",
        make: |b| b.model("m", Head::Classify),
        run: &["predict", "m", "texts.txt", "--or-none"],
        exit: 1,
        says: &["--or-none", "a classification head", "leave --or-none out"],
    },
    Case {
        name: "pairs in a file without columns",
        make: |b| b.model("m", Head::Classify),
        run: &["predict", "m", "texts.txt", "--pair", "body"],
        exit: 1,
        says: &["texts.txt", "`body`", "none", ".csv"],
    },
    Case {
        name: "two kinds of adapter",
        make: |b| b.model("m", Head::MaskedLm),
        run: finetune!["classify", "--adapter-size", "4", "--set", "lora.rank=2"],
        exit: 1,
        says: &["adapter_size", "lora.rank", "one kind"],
    },
    Case {
        name: "an adapter of weights that are tuned",
        make: |b| b.model("m", Head::MaskedLm),
        run: finetune!["classify", "--adapter-size", "4", "--set", "freeze=encoder"],
        exit: 1,
        says: &["freeze", "adapter_size", "stay as they are"],
    },
    Case {
        name: "an adapter of random weights",
        make: |b| b.model("m", Head::MaskedLm),
        run: finetune!["classify", "--adapter-size", "4", "--from-scratch"],
        exit: 1,
        says: &["from_scratch", "adapter_size", "learned"],
    },
    Case {
        name: "an adapter of vectors",
        make: |b| train(b, "text,pair\nthe sun,warm\nthe snow,cold\n"),
        run: finetune!["retrieval", "--pair", "pair", "--adapter-size", "4"],
        exit: 1,
        says: &["retrieval", "a head", "vectors"],
    },
    Case {
        name: "a bottleneck wider than the encoder",
        make: |b| b.model("m", Head::MaskedLm),
        run: finetune!["classify", "--adapter-size", "4000000000"],
        exit: 1,
        says: &["4000000000", "from 1 to", "8"],
    },
    Case {
        name: "a prefix that leaves no room for a text",
        make: |b| b.model("m", Head::MaskedLm),
        run: finetune!["classify", "--prefix-length", "30"],
        exit: 1,
        says: &["prefix", "30", "from 1 to 29"],
    },
    Case {
        name: "a prefix beside a bottleneck",
        make: |b| b.model("m", Head::MaskedLm),
        run: finetune!["classify", "--prefix-length", "3", "--set", "adapter_size=4"],
        exit: 1,
        says: &["prefix_length", "adapter_size", "one kind"],
    },
    Case {
        name: "a mix of layers without a head",
        make: |b| train(b, "text,pair\nthe sun,warm\nthe snow,cold\n"),
        run: finetune!["retrieval", "--pair", "pair", "--mix-layers"],
        exit: 1,
        says: &["mix_layers", "a head", "vectors"],
    },
    Case {
        name: "a text longer than what a prefix leaves",
        make: prefix,
        run: &["embed", "adapter", "texts.txt", "--max-length", "30", "--out", "v.npy"],
        exit: 1,
        says: &["30", "27"],
    },
    Case {
        name: "a prefix folded into weights",
        make: prefix,
        run: &["merge", "adapter", "--out", "c"],
        exit: 1,
        says: &["virtual tokens", "folded", "as it is"],
    },
    Case {
        name: "a prefix of which there are but keys and values",
        make: |b| {
            prefix(b);
            std::fs::remove_file(b.at("adapter/polyseme_prefix.safetensors")).unwrap();
        },
        run: &["predict", "adapter", "texts.txt"],
        exit: 1,
        says: &["adapter", "polyseme_prefix.safetensors", "whole folder"],
    },
    Case {
        name: "a mix of layers that is no yes or no",
        make: |b| b.model_with("m", Head::Classify, json!({"scalar_mix": 3})),
        run: &["predict", "m", "texts.txt"],
        exit: 1,
        says: &["scalar_mix", "3", "true or false"],
    },
    Case {
        name: "a bottleneck folded into weights",
        make: bottleneck,
        run: &["merge", "adapter", "--out", "c"],
        exit: 1,
        says: &["bottlenecks", "folded", "as it is"],
    },
    Case {
        name: "an adapter to begin with",
        make: bottleneck,
        run: &["finetune", "adapter", "--task", "classify", "--train", "train.csv", "--out", "c"],
        exit: 1,
        says: &["adapter", "a whole model", "merge"],
    },
    Case {
        name: "pre-training that begins with an adapter",
        make: bottleneck,
        run: &["pretrain", "corpus.txt", "--from", "adapter", "--out", "c", "--steps", "1"],
        exit: 1,
        says: &["bottlenecks", "folded"],
    },
];

pub const ODD_BUT_FINE: &[Odd] = &[
    Odd {
        name: "a label that only a row kept for validation has",
        make: |b| {
            let row = |i: usize| format!("the sun {i},\"l{i},warm\"\n");
            train(b, &("text,label\n".to_owned() + &(0..20).map(row).collect::<String>()));
        },
        run: finetune!["multilabel", "--epochs", "1"],
        says: &["2 of 20 rows"],
        leaves: "c/model.safetensors",
    },
    Odd {
        name: "another word in each row for a label",
        make: |b| train(b, "text,label\nthe sun,warm\nthe snow,cold\nthe rain,wet\n"),
        run: finetune!["classify", "--valid", "valid.csv", "--epochs", "1"],
        says: &["warning", "`label`", "3 different labels in 3 rows"],
        leaves: "c/model.safetensors",
    },
];
