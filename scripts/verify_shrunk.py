"""Folders that `polyseme shrink` makes of tiny models, for verify_transformers.py: what the reference can represent."""

# What is made of a classifier: a name, the way, its words; those that learn again get rows.
WAYS = {
    "half": ("distil", ("--keep-layers", "0,2", "--preset", "distilbert"), True),
    "shallow": ("prune", ("--keep-layers", "0,1"), False),
    "thin": ("prune", ("--keep-units", "0.5", "--even"), True),
    "narrow": ("prune", ("--keep-width", "16", "--keep-heads", "0.67", "--even"), True),
    "sparse": ("prune", ("--sparsity", "0.8", "--by", "magnitude"), True),
    "pieces": ("vocab", (), False),
    "shared": ("share", ("--embedding-size", "12"), True),
}


def folders(polyseme, work, family):
    """Makes them: (folder, the name of its head)."""
    rows = ("--train", work / "classify-train.csv", "--valid", work / "classify-valid.csv", "--max-length", "32", "--seed", "3")
    teacher = work / f"{family}-teacher"
    # A teacher that knows nothing is refused.
    polyseme("finetune", work / f"{family}-on", "--task", "classify", "--out", teacher, *rows, "--epochs", "20", "--learning-rate", "1e-2")
    made = []
    for name, (way, words, learns) in WAYS.items():
        out = work / f"{family}-{name}"
        more = (*rows, "--epochs", "2") if learns else ("--corpus", work / "corpus.txt") if way == "vocab" else ()
        polyseme("shrink", way, teacher, "--out", out, *words, *more)
        made.append((out, "classify"))
    teacher, out = work / "new-teacher", work / "new-general"
    polyseme("pretrain", work / "corpus.txt", "--out", teacher, "--recipe", "tiny", "--vocab-size", "400", "--seq-len", "64", "--steps", "200",
             "--seed", "3")
    polyseme("shrink", "distil", teacher, "--corpus", work / "corpus.txt", "--keep-layers", "0", "--out", out, "--steps", "8",
             "--max-length", "64", "--seed", "3")
    made.append((out, "masked"))
    return made
