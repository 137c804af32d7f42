//! Teachers that cannot teach, students that cannot learn, and cuts of what is not there.

use crate::check::Case;
use crate::fixture::{Bench, Head};

/// Distillation from the model `m` on `train.csv` with more flags.
macro_rules! distil {
    ($($flag:literal),* $(,)?) => {
        &["shrink", "distil", "m", "--train", "train.csv", "--valid", "valid.csv", "--out", "c" $(, $flag)*]
    };
}

/// Pruning of the model `m` with more flags.
macro_rules! prune {
    ($($flag:literal),* $(,)?) => {
        &["shrink", "prune", "m", "--out", "c" $(, $flag)*]
    };
}

/// Distillation from the model `m` on texts without labels with more flags.
macro_rules! general {
    ($($flag:literal),* $(,)?) => {
        &["shrink", "distil", "m", "--out", "c" $(, $flag)*]
    };
}

fn classifier(b: &Bench) {
    b.model("m", Head::Classify);
}

fn encoder(b: &Bench) {
    b.model("m", Head::MaskedLm);
}

pub const CASES: &[Case] = &[
    Case {
        name: "a teacher that has learned no task",
        make: encoder,
        run: distil![],
        exit: 1,
        says: &["--task", "no head of a task", "fine-tune it first"],
    },
    Case {
        name: "a teacher without a head for the task that is named",
        make: encoder,
        run: distil!["--task", "classify"],
        exit: 1,
        says: &["the teacher in m has a masked-language-modelling head", "wanted: a classification head", "cold, warm"],
    },
    Case {
        name: "a teacher of language that predicts nothing, asked for what it says",
        make: classifier,
        run: general!["--corpus", "corpus.txt", "--steps", "2", "--max-length", "16"],
        exit: 1,
        says: &["--preset hinton", "predicts no hidden tokens", "minilm"],
    },
    Case {
        name: "texts to learn from that are not there",
        make: encoder,
        run: general!["--corpus", "nothing.txt", "--steps", "2", "--max-length", "16"],
        exit: 1,
        says: &["no file or folder nothing.txt"],
    },
    Case {
        name: "a corpus without a word",
        make: |b| {
            encoder(b);
            b.write("empty.txt", "");
        },
        run: general!["--corpus", "empty.txt", "--preset", "minilm", "--steps", "2", "--max-length", "16"],
        exit: 1,
        says: &["empty.txt is empty"],
    },
    Case {
        name: "a new student that is wider than its teacher",
        make: encoder,
        run: general!["--corpus", "corpus.txt", "--student", "small", "--preset", "minilm", "--steps", "2"],
        exit: 1,
        says: &["of the student", "a student is the smaller one"],
    },
    Case {
        name: "a student of no recipe and no folder",
        make: encoder,
        run: general!["--corpus", "corpus.txt", "--student", "dwarf", "--steps", "2"],
        exit: 1,
        says: &["dwarf", "tiny"],
    },
    Case {
        name: "a share of heads above one",
        make: encoder,
        run: general!["--corpus", "corpus.txt", "--preset", "minilm", "--keep-heads", "1.5", "--steps", "2"],
        exit: 1,
        says: &["distil.keep_heads", "at most 1"],
    },
    Case {
        name: "texts without labels that are not there",
        make: classifier,
        run: distil!["--unlabelled", "more.txt"],
        exit: 1,
        says: &["more.txt"],
    },
    Case {
        name: "texts without labels without a text",
        make: |b| {
            classifier(b);
            b.write("blank.txt", "\n\n");
        },
        run: distil!["--unlabelled", "blank.txt"],
        exit: 1,
        says: &["blank.txt"],
    },
    Case {
        name: "a share of words above one",
        make: classifier,
        run: distil!["--augment", "1", "--augment-share", "2"],
        exit: 1,
        says: &["distil.augment_share", "at most 1"],
    },
    Case {
        name: "a model for other words that is not there",
        make: classifier,
        run: distil!["--augment", "1", "--augment-with", "nobody"],
        exit: 1,
        says: &["nobody", "no such folder"],
    },
    Case {
        name: "steps where rows are learned",
        make: classifier,
        run: distil!["--steps", "5"],
        exit: 1,
        says: &["--corpus"],
    },
    Case {
        name: "a teacher that is not there",
        make: |_| (),
        run: distil![],
        exit: 1,
        says: &["m: no such folder", "model folder"],
    },
    Case {
        name: "no teacher",
        make: |_| (),
        run: &["shrink", "distil", "--train", "train.csv", "--out", "c"],
        exit: 1,
        says: &["TEACHER", "name the folder"],
    },
    Case {
        name: "a teacher of numbers where labels are learned",
        make: |b| b.model("m", Head::Regress),
        run: distil!["--task", "classify"],
        exit: 1,
        says: &["the teacher in m has a regression head", "fine-tuned for this task"],
    },
    Case {
        name: "weights of a paper nobody knows",
        make: classifier,
        run: distil!["--preset", "nanobert"],
        exit: 1,
        says: &["preset", "nanobert", "`tinybert`"],
    },
    Case {
        name: "a layer beyond the teacher's depth",
        make: classifier,
        run: distil!["--keep-layers", "0,7"],
        exit: 1,
        says: &["layers", "[0, 7]", "0 to 1"],
    },
    Case {
        name: "layers in another order",
        make: classifier,
        run: distil!["--keep-layers", "1,0"],
        exit: 1,
        says: &["layers", "[1, 0]", "ascending"],
    },
    Case {
        name: "a temperature of nothing",
        make: classifier,
        run: distil!["--temperature", "0"],
        exit: 1,
        says: &["distil.temperature", "above 0"],
    },
    Case {
        name: "a weight that is no number",
        make: classifier,
        run: distil!["--soft", "nan"],
        exit: 1,
        says: &["distil.soft", "0 or more"],
    },
    Case {
        name: "losses of which none weighs anything",
        make: classifier,
        run: distil!["--soft", "0", "--hard", "0"],
        exit: 1,
        says: &["at least one loss"],
    },
    Case {
        name: "relation heads that divide nothing",
        make: classifier,
        run: distil!["--preset", "minilm", "--relation-heads", "3"],
        exit: 1,
        says: &["distil.relation_heads", "divides 8"],
    },
    Case {
        name: "two passes beside a teacher",
        make: classifier,
        run: distil!["--r-drop", "1"],
        exit: 1,
        says: &["r_drop", "teacher is imitated"],
    },
    Case {
        name: "a student that would be written over its teacher",
        make: classifier,
        run: &["shrink", "distil", "m", "--train", "train.csv", "--out", "m"],
        exit: 1,
        says: &["--out", "written over"],
    },
    Case {
        name: "a distillation to go on with that never began",
        make: classifier,
        run: &["shrink", "distil", "--out", "c", "--resume"],
        exit: 1,
        says: &["c", "settings.toml"],
    },
    Case {
        name: "nothing to cut",
        make: classifier,
        run: prune![],
        exit: 1,
        says: &["nothing would be cut", "--keep-layers"],
    },
    Case {
        name: "heads to cut without rows that tell their importance",
        make: classifier,
        run: prune!["--keep-heads", "0.5"],
        exit: 1,
        says: &["--train", "important is measured on rows"],
    },
    Case {
        name: "no heads left",
        make: classifier,
        run: prune!["--keep-heads", "0", "--train", "train.csv"],
        exit: 1,
        says: &["keep_heads", "above 0 and at most 1"],
    },
    Case {
        name: "more units than there are",
        make: classifier,
        run: prune!["--keep-units", "1.5", "--train", "train.csv"],
        exit: 1,
        says: &["keep_units", "above 0 and at most 1"],
    },
    Case {
        name: "all kept, with rows",
        make: classifier,
        run: prune!["--train", "train.csv"],
        exit: 1,
        says: &["nothing would be cut"],
    },
    Case {
        name: "no rounds",
        make: classifier,
        run: prune!["--keep-heads", "0.5", "--train", "train.csv", "--rounds", "0"],
        exit: 1,
        says: &["rounds", "at least 1"],
    },
    Case {
        name: "a layer to keep that is not there",
        make: classifier,
        run: prune!["--keep-layers", "5"],
        exit: 1,
        says: &["layers is [5]", "0 to 1"],
    },
    Case {
        name: "a layer to keep that is not there, with rows",
        make: classifier,
        run: prune!["--keep-layers", "5", "--train", "train.csv"],
        exit: 1,
        says: &["layers is [5]", "0 to 1"],
    },
    Case {
        name: "cutting a model over itself",
        make: classifier,
        run: &["shrink", "prune", "m", "--keep-layers", "0", "--out", "m"],
        exit: 1,
        says: &["m holds a model already", "--force"],
    },
    Case {
        name: "all weights to become zero",
        make: classifier,
        run: prune!["--train", "train.csv", "--sparsity", "1"],
        exit: 1,
        says: &["sparse.sparsity", "less than 1"],
    },
    Case {
        name: "fewer than no zeros",
        make: classifier,
        run: prune!["--train", "train.csv", "--sparsity=-0.5"],
        exit: 1,
        says: &["sparse.sparsity", "-0.5"],
    },
    Case {
        name: "a sparsity that is no number",
        make: classifier,
        run: prune!["--train", "train.csv", "--sparsity", "nan"],
        exit: 1,
        says: &["sparse.sparsity", "from 0 to less than 1"],
    },
    Case {
        name: "a schedule of zeros longer than the run",
        make: classifier,
        run: prune![
            "--train",
            "train.csv",
            "--sparsity",
            "0.9",
            "--sparsity-warmup",
            "0.6",
            "--sparsity-cooldown",
            "0.5"
        ],
        exit: 1,
        says: &["sparse.cooldown", "less than 0.4", "the rest of the run"],
    },
    Case {
        name: "a warm-up of more than the run",
        make: classifier,
        run: prune!["--train", "train.csv", "--sparsity", "0.9", "--sparsity-warmup", "2"],
        exit: 1,
        says: &["sparse.warmup", "a share of the run"],
    },
    Case {
        name: "weights chosen in a way nobody knows",
        make: classifier,
        run: prune!["--train", "train.csv", "--sparsity", "0.9", "--by", "luck"],
        exit: 1,
        says: &["--by", "luck", "`movement` or `magnitude`"],
    },
    Case {
        name: "weights chosen among nothing known",
        make: classifier,
        run: prune!["--train", "train.csv", "--sparsity", "0.9", "--across", "layers"],
        exit: 1,
        says: &["--across", "`matrix` or `model`"],
    },
    Case {
        name: "scores that do not learn",
        make: classifier,
        run: prune!["--train", "train.csv", "--sparsity", "0.9", "--score-rate", "0"],
        exit: 1,
        says: &["sparse.score_rate", "more than 0"],
    },
    Case {
        name: "more zeros at the beginning than at the end",
        make: classifier,
        run: prune!["--train", "train.csv", "--sparsity", "0.5", "--by", "magnitude", "--set", "sparse.initial=0.6"],
        exit: 1,
        says: &["sparse.initial", "from 0 to 0.5"],
    },
    Case {
        name: "zeros in layers that stay as they are",
        make: classifier,
        run: prune!["--train", "train.csv", "--sparsity", "0.5", "--freeze", "1"],
        exit: 1,
        says: &["freeze", "left out"],
    },
    Case {
        name: "zeros without rows to learn from",
        make: classifier,
        run: prune!["--sparsity", "0.5"],
        exit: 1,
        says: &["--train", "rows to learn from"],
    },
    Case {
        name: "zeros and cuts at once",
        make: classifier,
        run: prune!["--train", "train.csv", "--sparsity", "0.5", "--keep-heads", "0.5"],
        exit: 1,
        says: &["--sparsity", "cannot be used with", "--keep-heads"],
    },
    Case {
        name: "a width that is no whole heads",
        make: classifier,
        run: prune!["--train", "train.csv", "--keep-width", "3"],
        exit: 1,
        says: &["keep_width", "a multiple of"],
    },
    Case {
        name: "a model wider than it is",
        make: classifier,
        run: prune!["--train", "train.csv", "--keep-width", "4096"],
        exit: 1,
        says: &["keep_width", "4096", "up to"],
    },
    Case {
        name: "channels to cut without rows that tell their importance",
        make: classifier,
        run: prune!["--keep-width", "4"],
        exit: 1,
        says: &["--train", "channels are important"],
    },
    Case {
        name: "heads chosen in a way of single weights",
        make: classifier,
        run: prune!["--train", "train.csv", "--keep-heads", "0.5", "--by", "movement"],
        exit: 1,
        says: &["--by", "movement", "`taylor` or `l0`"],
    },
    Case {
        name: "gates before channels",
        make: classifier,
        run: prune!["--train", "train.csv", "--keep-width", "4", "--by", "l0"],
        exit: 1,
        says: &["keep_width", "channels have none"],
    },
    Case {
        name: "gates that have nothing to close",
        make: classifier,
        run: prune!["--train", "train.csv", "--keep-layers", "0", "--by", "l0"],
        exit: 1,
        says: &["by", "nothing would have gates"],
    },
    Case {
        name: "gates that do not learn",
        make: classifier,
        run: prune!["--train", "train.csv", "--keep-heads", "0.5", "--by", "l0", "--set", "gates.rate=0"],
        exit: 1,
        says: &["gates.rate", "more than 0"],
    },
];
