//! Vocabularies and layers that cannot be made smaller in the way that was asked for.

use crate::check::{Case, Odd};
use crate::fixture::{Bench, Head};

/// Dropping pieces of the model `m` by `corpus.txt` with more flags.
macro_rules! vocab {
    ($($flag:literal),* $(,)?) => {
        &["shrink", "vocab", "m", "--corpus", "corpus.txt", "--out", "c" $(, $flag)*]
    };
}

fn encoder(b: &Bench) {
    b.model("m", Head::MaskedLm);
}

/// Sharing the weights of the model `m` with more flags.
macro_rules! share {
    ($($flag:literal),* $(,)?) => {
        &["shrink", "share", "m", "--out", "c" $(, $flag)*]
    };
}

fn classifier(b: &Bench) {
    b.model("m", Head::Classify);
}

pub const CASES: &[Case] = &[
    Case {
        name: "more groups than layers",
        make: encoder,
        run: share!["--groups", "3"],
        exit: 1,
        says: &["groups is 3", "from 1 to 2"],
    },
    Case {
        name: "more groups than layers, with rows",
        make: classifier,
        run: share!["--groups", "3", "--train", "train.csv"],
        exit: 1,
        says: &["groups is 3", "from 1 to 2"],
    },
    Case {
        name: "no groups",
        make: encoder,
        run: share!["--groups", "0"],
        exit: 1,
        says: &["groups is 0", "from 1 to 2"],
    },
    Case {
        name: "embeddings wider than layers",
        make: encoder,
        run: share!["--embedding-size", "9"],
        exit: 1,
        says: &["embedding_size is 9", "from 2 to 8"],
    },
    Case {
        name: "a layer to share that is not there",
        make: encoder,
        run: share!["--layers", "2"],
        exit: 1,
        says: &["layers is [2]", "0 to 1"],
    },
    Case {
        name: "layers to share that are not of their groups",
        make: encoder,
        run: share!["--groups", "2", "--layers", "1,0"],
        exit: 1,
        says: &["layers is [1, 0]", "a layer of each group"],
    },
    Case {
        name: "sharing without a folder to write",
        make: encoder,
        run: &["shrink", "share", "m"],
        exit: 1,
        says: &["--out", "name the folder to write"],
    },
    Case {
        name: "sharing on rows of a task that nobody knows",
        make: encoder,
        run: share!["--train", "train.csv"],
        exit: 1,
        says: &["no head of a task"],
    },
    Case {
        name: "weights to learn again by that nobody knows",
        make: classifier,
        run: share!["--train", "train.csv", "--preset", "nanobert"],
        exit: 1,
        says: &["preset", "nanobert", "`tinybert`"],
    },
    Case {
        name: "sharing over the model itself",
        make: encoder,
        run: &["shrink", "share", "m", "--out", "m"],
        exit: 1,
        says: &["m holds a model already", "--force"],
    },
    Case {
        name: "no texts to drop pieces by",
        make: encoder,
        run: &["shrink", "vocab", "m", "--out", "c"],
        exit: 1,
        says: &["--corpus <FILES>...", "usage"],
    },
    Case {
        name: "an empty corpus to drop pieces by",
        make: |b| {
            encoder(b);
            b.write("corpus.txt", "");
        },
        run: vocab![],
        exit: 1,
        says: &["corpus.txt is empty"],
    },
    Case {
        name: "a corpus of blanks to drop pieces by",
        make: |b| {
            encoder(b);
            b.write("corpus.txt", "\n  \n\n");
        },
        run: vocab![],
        exit: 1,
        says: &["no document", "the corpus is empty"],
    },
    Case {
        name: "a corpus to drop pieces by that is not there",
        make: encoder,
        run: &["shrink", "vocab", "m", "--corpus", "nowhere.txt", "--out", "c"],
        exit: 1,
        says: &["no file or folder nowhere.txt"],
    },
    Case {
        name: "a column of the corpus that is not there",
        make: encoder,
        run: &["shrink", "vocab", "m", "--corpus", "train.csv", "--text", "txet", "--out", "c"],
        exit: 1,
        says: &["txet", "`text`"],
    },
    Case {
        name: "a piece to keep that is none",
        make: encoder,
        run: vocab!["--keep-pieces", "the,zzzzz"],
        exit: 1,
        says: &["the tokenizer in m has no piece `zzzzz`", "tokenizer.json"],
    },
    Case {
        name: "a vocabulary of a model that is not there",
        make: |_| (),
        run: vocab![],
        exit: 1,
        says: &["m: no such folder", "model folder"],
    },
    Case {
        name: "dropping pieces over the model itself",
        make: encoder,
        run: &["shrink", "vocab", "m", "--corpus", "corpus.txt", "--out", "m"],
        exit: 1,
        says: &["m holds a model already", "--force"],
    },
];

pub const ODD_BUT_FINE: &[Odd] = &[Odd {
    name: "pieces that must stand in the texts more often than any does",
    make: encoder,
    run: vocab!["--min-count", "1000000000"],
    says: &[],
    leaves: "c/vocab.txt",
}];
