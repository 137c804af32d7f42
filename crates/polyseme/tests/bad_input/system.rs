//! Folders that cannot be written, disks that are full, runs that were damaged.

use crate::check::{Case, Odd};
use crate::fixture::{Bench, Head, PRETRAIN};

/// Cuts the tensors of the newest checkpoint in `out` in half and spoils all others.
fn spoil_checkpoints(b: &Bench) {
    let mut spoiled = 0;
    for entry in std::fs::read_dir(b.at("out/run/checkpoints")).expect("checkpoints").flatten() {
        let tensors = entry.path().join("tensors.safetensors");
        let content = std::fs::read(&tensors).expect("tensors");
        std::fs::write(&tensors, &content[..content.len() / 2]).expect("written");
        spoiled += 1;
    }
    assert!(spoiled > 0, "the run left no checkpoint");
}

pub const CASES: &[Case] = &[
    Case {
        name: "an output folder below a file",
        make: |_| (),
        run: &["pretrain", "corpus.txt", "--out", "texts.txt/o", "--recipe", "tiny", "--steps", "2"],
        exit: 1,
        says: &["texts.txt/o", "folder|directory"],
    },
    Case {
        name: "an output folder that is a file",
        make: |_| (),
        run: &["pretrain", "corpus.txt", "--out", "texts.txt", "--recipe", "tiny", "--steps", "2"],
        exit: 1,
        says: &["texts.txt", "folder|directory"],
    },
    Case {
        name: "an output folder where the system allows none",
        make: |_| (),
        run: &["pretrain", "corpus.txt", "--out", "/sys/polyseme", "--recipe", "tiny", "--steps", "2"],
        exit: 2,
        says: &["/sys/polyseme", "create|write|0 bytes are free"],
    },
    Case {
        name: "a fine-tuned model where the system allows none",
        make: |b| b.model("m", Head::MaskedLm),
        run: &[
            "finetune",
            "m",
            "--task",
            "classify",
            "--train",
            "train.csv",
            "--valid",
            "valid.csv",
            "--out",
            "/sys/c",
        ],
        exit: 2,
        says: &["/sys/c", "create|write|0 bytes are free"],
    },
    Case {
        name: "vectors where the system allows none",
        make: |b| b.model("m", Head::MaskedLm),
        run: &["embed", "m", "texts.txt", "--out", "/sys/v.npy"],
        exit: 2,
        says: &["/sys/v.npy", "create|write"],
    },
    Case {
        name: "a report into a folder that is not there",
        make: |b| b.model("m", Head::Classify),
        run: &["eval", "m", "--data", "valid.csv", "--report", "nowhere/r.html"],
        exit: 1,
        says: &["nowhere"],
    },
    Case {
        name: "a report onto a folder",
        make: |b| {
            b.model("m", Head::Classify);
            b.folder("r.html");
        },
        run: &["eval", "m", "--data", "valid.csv", "--report", "r.html"],
        exit: 1,
        says: &["r.html", "folder|directory"],
    },
    Case {
        name: "vectors into a folder that is not there",
        make: |b| b.model("m", Head::MaskedLm),
        run: &["embed", "m", "texts.txt", "--out", "nowhere/v.npy"],
        exit: 1,
        says: &["nowhere"],
    },
    Case {
        name: "vectors onto a folder",
        make: |b| {
            b.model("m", Head::MaskedLm);
            b.folder("v.npy");
        },
        run: &["embed", "m", "texts.txt", "--out", "v.npy"],
        exit: 1,
        says: &["v.npy", "folder|directory"],
    },
    Case {
        name: "a disk that is full while vectors are written",
        make: |b| {
            b.model("m", Head::MaskedLm);
            b.write("texts.txt", "the sun is warm\n".repeat(2000));
        },
        run: &["limited", "16", "embed", "m", "texts.txt", "--out", "v.npy"],
        exit: 2,
        says: &["v.npy", "too large|space|write"],
    },
    Case {
        name: "a disk that is full while a model is trained",
        make: |_| (),
        run: &[
            "limited",
            "200",
            "pretrain",
            "corpus.txt",
            "--out",
            "o",
            "--recipe",
            "tiny",
            "--steps",
            "2",
            "--vocab-size",
            "120",
        ],
        exit: 2,
        says: &["o/", "too large|space|write"],
    },
    Case {
        name: "a disk that is full while a classifier is trained",
        make: |b| b.model("m", Head::MaskedLm),
        run: &[
            "limited",
            "4",
            "finetune",
            "m",
            "--task",
            "classify",
            "--train",
            "train.csv",
            "--valid",
            "valid.csv",
            "--out",
            "c",
            "--epochs",
            "1",
            "--max-length",
            "16",
        ],
        exit: 2,
        says: &["c/", "too large|space|write"],
    },
    Case {
        name: "going on with a run whose settings were spoilt",
        make: |b| {
            b.pretrained();
            b.cut("out/run/settings.toml", 40);
        },
        run: &["pretrain", "--out", "out", "--resume"],
        exit: 1,
        says: &["out/run/settings.toml"],
    },
    Case {
        name: "going on with a run whose corpus has gone",
        make: |b| {
            b.polyseme(PRETRAIN);
            b.remove("out/model.safetensors");
            b.remove("corpus.txt");
        },
        run: &["pretrain", "--out", "out", "--resume"],
        exit: 1,
        says: &["corpus.txt"],
    },
    Case {
        name: "manual pages below a file",
        make: |_| (),
        run: &["man", "--out", "texts.txt/man"],
        exit: 1,
        says: &["texts.txt/man"],
    },
];

pub const ODD_BUT_FINE: &[Odd] = &[Odd {
    name: "going on with a run whose checkpoints were spoilt begins it anew",
    make: |b| {
        b.polyseme(PRETRAIN);
        b.remove("out/model.safetensors");
        spoil_checkpoints(b);
    },
    run: &["pretrain", "--out", "out", "--resume"],
    says: &["warning", "damaged checkpoint", "step-2", "tensors.safetensors"],
    leaves: "out/model.safetensors",
}];
