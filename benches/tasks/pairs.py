"""Pairs of sentences without scores, for `silver.py`: where sentences come from, and which of them stand together."""

import csv
import re

import numpy as np
import sets

WORDS = range(5, 19)  # as long as those of STS-B are
# Of each sentence: from which ranks by cosine come how many partners.
NEAR = {
    "stsb": ((1, 9, 4), (9, 200, 4), (0, None, 2)),
    "brown": ((1, 9, 2), (9, 200, 1), (0, None, 1)),
    "mails": ((1, 9, 1), (9, 200, 1), (0, None, 1)),
}
MOST = 16_000  # sentences of a source that is not the task's own


def read(path):
    """The pairs of a file with their scores."""
    with open(path, newline="", encoding="utf-8") as file:
        return [(row["one"], row["two"], float(row["score"])) for row in csv.DictReader(file)]


def stsb(rows):
    """The sentences of the training pairs."""
    return sorted({text for one, two, _ in rows for text in (one, two)})


def brown(place):
    """Sentences of the Brown corpus as one would type them."""
    found = set()
    for path in sorted(sets.fetched(place, "brown", "brown").iterdir()):
        for line in path.read_text(encoding="latin-1").splitlines():
            words = [word.rpartition("/")[0] for word in line.split()]
            if len(words) in WORDS:
                text = " ".join(words).replace("`` ", '"').replace(" ''", '"')
                found.add(re.sub(r" ([,.;:?!])", r"\1", text))
    return sorted(found)


def mails(place):
    """Sentences of the mails that a spam filter would learn from."""
    found = set()
    for text, _ in sets.spam(place)["train"]:
        for sentence in re.split(r"(?<=[.?!])\s+", text):
            sentence = " ".join(sentence.split())
            if len(sentence.split()) in WORDS and re.match(r"[A-Z].*[.?!]$", sentence) and not re.search(r"[|<>@=_*#\\]|--", sentence):
                found.add(sentence)
    return sorted(found)


def sentences(place, rows, seed):
    """The sentences of each source, by its name."""
    rng = np.random.default_rng(seed)
    found = {"stsb": stsb(rows)}
    for name, texts in (("brown", brown(place)), ("mails", mails(place))):
        found[name] = [texts[i] for i in rng.permutation(len(texts))[:MOST]]
    return found


def partners(vectors, ranks, rng):
    """Places of different sentences that stand together, each two once, with their cosine. `vectors` are of length 1."""
    found = {}
    for begin in range(0, len(vectors), 1024):
        cosines = vectors[begin : begin + 1024] @ vectors.T
        for i, row in enumerate(cosines, begin):
            last = min(len(row) - 1, max(end for _, end, _ in ranks if end))
            near = np.argpartition(-row, last)[: last + 1]
            near = near[np.argsort(-row[near])]
            for first, end, count in ranks:
                drawn = rng.choice(near[first:end], count, replace=False) if end else rng.integers(0, len(row), count)
                found |= {(min(i, j), max(i, j)): float(row[j]) for j in map(int, drawn) if i != j}
    return found


def write(path, texts, vectors, scored, seed):
    """Writes a file of pairs with their cosine times five as the score; those that are scored already are left out."""
    scored = {frozenset(row[:2]) for row in scored}
    rng = np.random.default_rng(seed)
    rows = []
    for name, of in texts.items():
        for (i, j), cosine in partners(vectors[name], NEAR[name], rng).items():
            if frozenset((of[i], of[j])) not in scored:
                rows.append((of[i], of[j], round(5 * max(0.0, cosine), 3)))
    put(path, [rows[i] for i in rng.permutation(len(rows))])
    return len(rows)


def mix(path, scores, out):
    """Writes the pairs of a file with the mean of their scores and these."""
    put(out, [(one, two, round((score + other) / 2, 3)) for (one, two, score), other in zip(read(path), scores, strict=True)])


def among(path, texts, out):
    """Writes the pairs of a file whose sentences are both among these."""
    texts = set(texts)
    put(out, [row for row in read(path) if row[0] in texts and row[1] in texts])


def put(path, rows):
    """Writes a file of pairs, whole or not at all."""
    temporary = path.with_suffix(".tmp")
    with open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["one", "two", "score"])
        writer.writerows(rows)
    temporary.rename(path)
