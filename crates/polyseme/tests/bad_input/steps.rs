//! Ways to take the steps of fine-tuning that contradict something.

use crate::check::{Case, Odd};
use crate::fixture::Head;
use serde_json::json;

/// Fine-tuning of the model `m` on `train.csv` with more flags.
macro_rules! finetune {
    ($task:literal $(, $flag:literal)* $(,)?) => {
        &["finetune", "m", "--task", $task, "--train", "train.csv", "--out", "c" $(, $flag)*]
    };
}

pub const CASES: &[Case] = &[
    Case {
        name: "layers that are frozen for good and unfrozen",
        make: |_| (),
        run: finetune!["classify", "--unfreeze-every", "1", "--freeze", "embeddings"],
        exit: 1,
        says: &["`freeze`", "`nothing`", "unfreeze_every"],
    },
    Case {
        name: "layers that are unfrozen under low-rank changes",
        make: |_| (),
        run: finetune!["classify", "--unfreeze-every", "1", "--lora", "4"],
        exit: 1,
        says: &["`lora.rank` is 4", "expected 0", "unfreeze_every"],
    },
    Case {
        name: "random layers that are unfrozen",
        make: |_| (),
        run: finetune!["classify", "--unfreeze-every", "2", "--from-scratch"],
        exit: 1,
        says: &["`from_scratch`", "know nothing yet", "unfreeze_every"],
    },
    Case {
        name: "layers that are unfrozen under no head",
        make: |_| (),
        run: finetune!["retrieval", "--text", "a", "--pair", "b", "--unfreeze-every", "2"],
        exit: 1,
        says: &["`task` is retrieval", "one with a head", "unfreeze_every"],
    },
    Case {
        name: "layers that are unfrozen after less than an epoch",
        make: |_| (),
        run: finetune!["classify", "--unfreeze-every", "0.5"],
        exit: 1,
        says: &["0.5", "--unfreeze-every"],
    },
    Case {
        name: "less than no disagreement",
        make: |_| (),
        run: finetune!["classify", "--set", "r_drop=-1"],
        exit: 1,
        says: &["`r_drop` is -1", "0 or more"],
    },
    Case {
        name: "endless disagreement",
        make: |_| (),
        run: finetune!["classify", "--r-drop", "inf"],
        exit: 1,
        says: &["`r_drop` is inf", "0 or more"],
    },
    Case {
        name: "disagreement of vectors of pairs that belong together",
        make: |_| (),
        run: finetune!["retrieval", "--text", "a", "--pair", "b", "--r-drop", "1"],
        exit: 1,
        says: &["`r_drop`", "retrieval", "leave --r-drop out"],
    },
    Case {
        name: "disagreement of an order",
        make: |_| (),
        run: finetune!["similarity", "--text", "a", "--pair", "b", "--similarity-loss", "cosent", "--r-drop", "1"],
        exit: 1,
        says: &["`similarity_loss` is cosent", "`cosine`", "r_drop"],
    },
    Case {
        name: "disagreement of hidden states that are computed once",
        make: |_| (),
        run: finetune!["classify", "--freeze", "encoder", "--r-drop", "1"],
        exit: 1,
        says: &["`r_drop` is 1", "computed once, without dropout"],
    },
    Case {
        name: "disagreement without dropout",
        make: |b| {
            let none = json!({"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0});
            b.model_with("m", Head::MaskedLm, none);
        },
        run: finetune!["classify", "--r-drop", "1"],
        exit: 1,
        says: &["`r_drop` is 1", "without dropout", "say the same"],
    },
    Case {
        name: "a single fold",
        make: |_| (),
        run: finetune!["classify", "--folds", "1"],
        exit: 1,
        says: &["`folds` is 1", "2 or more"],
    },
    Case {
        name: "folds beside a validation file",
        make: |_| (),
        run: finetune!["classify", "--folds", "5", "--valid", "valid.csv"],
        exit: 1,
        says: &["`valid` is valid.csv", "nothing where folds"],
    },
    Case {
        name: "folds of several seeds",
        make: |_| (),
        run: finetune!["classify", "--folds", "5", "--seeds", "3"],
        exit: 1,
        says: &["`seeds` is 3", "1 where each fold is a run of its own"],
    },
    Case {
        name: "more folds than rows",
        make: |b| b.model("m", Head::MaskedLm),
        run: finetune!["classify", "--folds", "13"],
        exit: 1,
        says: &["train.csv has 12 row(s), fewer than 13 folds", "ask for fewer folds"],
    },
    Case {
        name: "more folds than can be counted",
        make: |b| b.model("m", Head::MaskedLm),
        run: finetune!["classify", "--folds", "9223372036854775807"],
        exit: 1,
        says: &["train.csv has 12 row(s), fewer than 9223372036854775807 folds"],
    },
    Case {
        name: "more folds than sentences",
        make: |b| {
            b.model("m", Head::MaskedLm);
            b.write("tags.conll", "the O\nsun B-X\n\nthe O\nsnow B-X\n");
        },
        run: &["finetune", "m", "--task", "tag", "--train", "tags.conll", "--out", "c", "--folds", "3"],
        exit: 1,
        says: &["tags.conll has 2 sentence(s), fewer than 3 folds"],
    },
];

pub const ODD_BUT_FINE: &[Odd] = &[
    Odd {
        name: "fewer epochs than layers wait for",
        make: |b| b.model("m", Head::MaskedLm),
        run: finetune!["classify", "--unfreeze-every", "3", "--epochs", "2"],
        says: &["2 epochs end while the head alone is tuned"],
        leaves: "c/model.safetensors",
    },
    Odd {
        name: "labels of fewer rows than folds",
        make: |b| {
            b.model("m", Head::MaskedLm);
            let more =
                "the sun,warm\nthe snow,cold\nthe heat,warm\nthe ice,cold\nthe rain,wet\nthe fog,grey\nmist,grey\n";
            b.write("train.csv", format!("text,label\n{more}"));
        },
        run: finetune!["classify", "--folds", "3", "--epochs", "1"],
        says: &[
            "each of 7 rows is measured in one of 3 folds",
            "label `wet` has 1 row(s), fewer than folds: the fold that measures it has not learned from any",
            "label `grey` has 2 row(s), fewer than folds: 1 of 3 folds measure without it",
            "the median of the folds' best",
        ],
        leaves: "c/model.safetensors",
    },
];
