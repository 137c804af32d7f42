"""The data sets of the table, each written once as the files that both sides read (standard library only).

A set is a folder with `train`, `valid` and `test` in one form, and `set.json` with their sizes. What
decides on a part is the text's own hash, the name of a document or a fixed seed, so that the parts are the
same everywhere.
"""

import csv
import hashlib
import json
import random
import re
import shutil

PARTS = ("train", "valid", "test")
QUICK = {"train": 96, "valid": 32, "test": 32}  # rows, sentences or questions of a trial

csv.field_size_limit(1 << 30)


class Missing(Exception):
    """A source that is not there: what to do about it, in one line."""


def bucket(text, of):
    """A number below `of` that depends on the text only."""
    return int.from_bytes(hashlib.sha256(text.encode("utf-8")).digest()[:8], "big") % of


# ---- sources ----------------------------------------------------------------------------------


def fetched(place, name, how):
    path = place.data / name
    if not path.exists():
        raise Missing(f".data/{name} is missing: run `scripts/fetch-data.sh {how}`")
    return path


def shared(place, name):
    path = place.shared / "data" / name
    if not path.exists():
        raise Missing(f"data/{name} is in no package: it was not found in the folder that --shared names")
    return path


def labelled(path):
    """`(text, label)` of a CSV file with that header, without empty texts."""
    with open(path, newline="", encoding="utf-8") as source:
        return [(row["text"], row["label"]) for row in csv.DictReader(source) if row["text"].strip()]


# ---- rows of each set -------------------------------------------------------------------------


def stsb(place):
    """The official parts."""

    def rows(part):
        with open(shared(place, f"stsb-en-{part}.csv"), newline="", encoding="utf-8") as source:
            return [tuple(row) for row in csv.reader(source)]

    return {"train": rows("train"), "valid": rows("dev"), "test": rows("test")}


def official(name, how):
    """An official split; the tenth of the training texts that their hash names is for validation."""

    def parts(place):
        known = labelled(fetched(place, f"{name}-train.csv", how))
        chosen = {True: [], False: []}
        for row in known:
            chosen[bucket(row[0], 10) == 0].append(row)
        return {"train": chosen[False], "valid": chosen[True], "test": labelled(fetched(place, f"{name}-test.csv", how))}

    return parts


def spam(place):
    """Mails, each text once; the tenth that the hash names is the test, another one for validation."""
    rows = [row for part in ("train", "test") for row in labelled(fetched(place, f"spam-{part}.csv", "spam"))]
    classes = {}
    for text, label in rows:
        classes.setdefault(text, set()).add(label)
    parts = {part: [] for part in PARTS}
    for text, labels in classes.items():
        if len(labels) == 1:
            parts[{0: "test", 1: "valid"}.get(bucket(text, 10), "train")].append((text, *labels))
    return parts


def brown(place):
    """60, 15 and 25 of the 500 documents, by the hashes of their names."""
    names = sorted((p.name for p in fetched(place, "brown", "brown").iterdir()), key=lambda name: bucket(name, 1 << 64))
    ends = {"train": (0, 60), "valid": (60, 75), "test": (75, 100)}
    read = lambda name: (place.data / "brown" / name).read_text(encoding="latin-1").splitlines()
    words = lambda line: [(word, part_of_speech(tag)) for word, _, tag in (w.rpartition("/") for w in line.split())]
    return {part: [words(l) for name in names[a:b] for l in read(name) if l.strip()] for part, (a, b) in ends.items()}


def part_of_speech(tag):
    """A tag of Brown's without marks of titles, headlines, quotations, foreign words and negation; of `it's` that of
    `it`."""
    tag = re.sub(r"(-(tl|hl|nc))+$", "", re.sub(r"^fw-", "", tag.lower())).split("+")[0]
    tag = tag.rstrip("*") or "*"
    return "rb" if tag == "rn" else tag


def wnut(place):
    """Eight tenths, a tenth and a tenth of the sentences, by a fixed seed."""
    sentences, open_ = [], []
    for line in [*fetched(place, "entities.txt", "entities").read_text(encoding="utf-8").split("\n"), ""]:
        token, _, tag = line.partition("\t")
        if token.strip():
            open_.append((token, tag))
        elif open_:
            sentences.append(open_)
            open_ = []
    return eight_one_one(sentences, len(sentences) // 10, len(sentences) // 10)


def eight_one_one(items, valid, test):
    items = list(items)
    random.Random("tasks").shuffle(items)
    rest = len(items) - valid - test
    return {"train": items[:rest], "valid": items[rest : rest + valid], "test": items[rest + valid :]}


def xquad(place):
    """36, 4 and 8 of the 48 articles, by a fixed seed."""
    articles = json.loads(shared(place, "xquad.en.json").read_text(encoding="utf-8"))["data"]
    return eight_one_one(articles, 4, 8)


# ---- forms ------------------------------------------------------------------------------------


def write_table(*columns):
    def write(path, rows):
        with open(path.with_suffix(".csv"), "w", newline="", encoding="utf-8") as out:
            writer = csv.writer(out, lineterminator="\n")
            writer.writerow(columns)
            writer.writerows(rows)
        return len(rows)

    return write


def write_tagged(path, sentences):
    lines = ("".join(f"{token}\t{tag}\n" for token, tag in sentence) for sentence in sentences)
    path.with_suffix(".conll").write_text("\n".join(lines), encoding="utf-8")
    return len(sentences)


def write_articles(path, articles):
    path.with_suffix(".json").write_text(json.dumps({"version": "1.1", "data": articles}, ensure_ascii=False), encoding="utf-8")
    return sum(len(p["qas"]) for a in articles for p in a["paragraphs"])


def tags_of(sentence):
    return {tag for _, tag in sentence}


def label_of(row):
    return {row[-1]}


# name: source, form of the files, what of a row is a label (rows with one that training lacks are left out)
SETS = {
    **dict.fromkeys(("stsb", "cosine", "similarity"), (stsb, ".csv", write_table("one", "two", "score"), None)),
    "20news": (official("20newsgroups", "20news"), ".csv", write_table("text", "label"), label_of),
    "r8": (official("reuters-r8", "r8"), ".csv", write_table("text", "label"), label_of),
    "r52": (official("reuters-r52", "r52"), ".csv", write_table("text", "label"), label_of),
    "spam": (spam, ".csv", write_table("text", "label"), label_of),
    "brown": (brown, ".conll", write_tagged, tags_of),
    "wnut": (wnut, ".conll", write_tagged, tags_of),
    "xquad": (xquad, ".json", write_articles, None),
}


def fewer(name, part, items):
    """A few of the items, the same each time; of articles as many as have so many questions."""
    if name == "xquad":
        return items[: QUICK[part] // 24]
    return random.Random("quick").sample(items, min(len(items), QUICK[part]))


def files(place, name, quick):
    """The files of the parts and their sizes; written if they are not there yet."""
    source, ending, write, labels = SETS[name]
    folder = place.work / "sets" / name
    done = folder / "set.json"
    if not done.exists():
        parts = source(place)
        if quick:
            parts = {part: fewer(name, part, items) for part, items in parts.items()}
        left_out = 0
        if labels:
            known = set().union(*map(labels, parts["train"]))
            for part in PARTS[1:]:
                kept = [row for row in parts[part] if labels(row) <= known]
                left_out += len(parts[part]) - len(kept)
                parts[part] = kept
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        sizes = {part: write(folder / part, parts[part]) for part in PARTS}
        sizes["sha256"] = {part: hashlib.sha256((folder / part).with_suffix(ending).read_bytes()).hexdigest() for part in PARTS}
        if labels:
            sizes |= {"labels": len(known), "left_out": left_out}
        done.write_text(json.dumps(sizes) + "\n", encoding="utf-8")
    return {part: (folder / part).with_suffix(ending) for part in PARTS}, json.loads(done.read_text(encoding="utf-8"))
