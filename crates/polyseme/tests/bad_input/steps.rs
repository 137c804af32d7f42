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
        run: finetune!["classify", "--r-drop", "-1"],
        exit: 1,
        says: &["--r-drop|r_drop", "-1"],
    },
    Case {
        name: "endless disagreement",
        make: |_| (),
        run: finetune!["classify", "--r-drop", "inf"],
        exit: 1,
        says: &["`r_drop` is inf", "0 or more"],
    },
    Case {
        name: "disagreement of vectors",
        make: |_| (),
        run: finetune!["similarity", "--text", "a", "--pair", "b", "--r-drop", "1"],
        exit: 1,
        says: &["`r_drop`", "similarity", "leave --r-drop out"],
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
];

pub const ODD_BUT_FINE: &[Odd] = &[Odd {
    name: "fewer epochs than layers wait for",
    make: |b| b.model("m", Head::MaskedLm),
    run: finetune!["classify", "--unfreeze-every", "3", "--epochs", "2"],
    says: &["2 epochs end while the head alone is tuned"],
    leaves: "c/model.safetensors",
}];
