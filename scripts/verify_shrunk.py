"""Folders that `polyseme shrink` makes of tiny models, for verify_transformers.py: what the reference can represent."""

# What is made of the classifier of each family: a name, the way, its words; those that learn again get rows.
WAYS = {
    "half": ("distil", ("--keep-layers", "0,2", "--preset", "distilbert"), True),
    "shallow": ("prune", ("--keep-layers", "0,1"), False),
    "thin": ("prune", ("--keep-units", "0.5", "--even"), True),
    "narrow": ("prune", ("--keep-width", "16"), True),
    "sparse": ("prune", ("--sparsity", "0.8", "--by", "magnitude"), True),
    "pieces": ("vocab", (), False),
    "shared": ("share", ("--embedding-size", "12"), True),
}


def folders(polyseme, work, family):
    """Makes them: (folder, the name of its head)."""
    rows = ("--train", work / "classify-train.csv", "--valid", work / "classify-valid.csv", "--epochs", "2", "--max-length", "32",
            "--seed", "3")
    made = []
    for name, (way, words, learns) in WAYS.items():
        out = work / f"{family}-{name}"
        more = rows if learns else ("--corpus", work / "corpus.txt") if way == "vocab" else ()
        polyseme("shrink", way, work / f"{family}-classify", "--out", out, *words, *more)
        made.append((out, "classify"))
    out = work / f"{family}-general"
    polyseme("shrink", "distil", work / f"{family}-on", "--corpus", work / "corpus.txt", "--keep-layers", "0,2", "--out", out, "--steps", "8",
             "--seed", "3")
    made.append((out, "masked"))
    return made
