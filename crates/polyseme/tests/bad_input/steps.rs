//! Ways to take the steps of fine-tuning that contradict something.

use crate::check::{Case, Odd};
use crate::fixture::Head;

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
];

pub const ODD_BUT_FINE: &[Odd] = &[Odd {
    name: "fewer epochs than layers wait for",
    make: |b| b.model("m", Head::MaskedLm),
    run: finetune!["classify", "--unfreeze-every", "3", "--epochs", "2"],
    says: &["2 epochs end while the head alone is tuned"],
    leaves: "c/model.safetensors",
}];
