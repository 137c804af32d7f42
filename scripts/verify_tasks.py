"""Tasks for verify_transformers.py: rows to learn from, and what a head says of texts beside what transformers says.

What is compared, each time on hard texts and plain ones:

- several labels: the sigmoid of the logits, and pipeline("text-classification", top_k=None); the labels given are those
  at or above the thresholds in config.json.
- tags: entities made in this file from the logits of each token with the words of the tokenizer (a word has the tag of
  its first token; BIO), for all texts that fit one window; and those of pipeline("token-classification",
  aggregation_strategy="first") for all texts in which it sees the same words. With WordPiece these are all. With
  byte-level BPE and Unigram it takes what stands between blanks for a word, punctuation with it, where ours end as
  the tokenizer cuts them, and Unigram's token of a lone blank for the first of a word, where ours is the first with a
  letter; so there it is compared for the few texts where that makes no difference, and the logits speak for the rest.
  White space at the ends of its entities (Unigram's tokens hold the blank before them) does not count. Scores are the
  mean over words in both.
- answers: transformers 5 has no question-answering pipeline any more, so the best span of at most 30 tokens over all
  windows (which overlap as Polyseme's) is found in this file from the logits. Its score is the product of two
  softmaxes over the passage and the first token, as in that pipeline with align_to_words=False: answers are made of
  tokens. With --or-none there is none where the first token has more in every window.
- choices: the softmax over the choices of a row, which are padded to one length.
"""

import csv
import json
import random
import warnings

import numpy as np
import torch
import transformers
from transformers.pipelines.token_classification import AggregationStrategy

SUBJECTS = {
    "sea": "ship harbour sailor anchor tide storm island captain rope lighthouse".split(),
    "bakery": "oven bread flour butter kitchen recipe sugar spoon dough pastry".split(),
    "forest": "oak squirrel path moss fern hunter clearing owl mushroom brook".split(),
}

HARD = [
    "", " ", "a", "?", "...", "  two   spaces  ", "Straße, naïve café; Ærøskøbing!", "Résumé IN CAPITALS",
    "don't can't won't it's", "3.14159 and 1,000,000 or 2e-5", "e-mail: someone@example", "C++ / C# & F#",
    "日本語と中文 mixed with English", "Ελληνικά и кириллица", "🙂 emoji 👩‍🔬 joined", "zero\u200bwidth and soft\u00adhyphen",
    "non\u00a0breaking space", "tab\there", "(parentheses) [brackets] {braces} <angles>", "under_score and hy-phen",
    "supercalifragilisticexpialidocious" * 4, "x" * 150, "[MASK] and [SEP] as words", "<mask> and </s> as words",
    "e\u0301 composed é", "ﬁ ligature ﬀ", "½ ⅓ ² ³", "‘single’ “double” «angle»", "— – ‒ dashes", "$5 £5 €5 ¥5", "100% #1 @home",
    "long " * 300,
]

LONGEST_ANSWER = 30  # tokens
STRIDE = 128  # tokens that windows share, but at most half of their room


# Rows.


def sentence(rng, subject):
    words = SUBJECTS[subject]
    parts = [
        f"{rng.choice(['the', 'a', 'this', 'every'])} {rng.choice(words)} {rng.choice(['was', 'is', 'seemed'])} "
        f"{rng.choice(['near', 'behind', 'like', 'without'])} the {rng.choice(words)}"
        for _ in range(rng.randint(1, 3))
    ]
    return f"{', and '.join(parts)}{rng.choice(['.', '!', '?'])}".capitalize()


def make_texts(work):
    """A corpus, labelled rows for each task, and the texts that are compared, one a line."""
    rng = random.Random(7)
    names = sorted(SUBJECTS)
    (work / "corpus.txt").write_text("\n\n".join(sentence(rng, rng.choice(names)) for _ in range(3000)), encoding="utf-8")
    for name, count in (("train", 120), ("valid", 30)):
        rows = [(sentence(rng, names[i % 3]), names[i % 3]) for i in range(count)]
        write_csv(work / f"classify-{name}.csv", ["text", "label"], rows)
        rows = [(sentence(rng, names[i % 3]), 3.0 * (i % 3) - 1.0) for i in range(count)]
        write_csv(work / f"regress-{name}.csv", ["text", "score"], rows)
    texts = HARD + [sentence(rng, rng.choice(names)) for _ in range(300)]
    write_lines(work / "texts.txt", texts)
    write_lines(work / "texts.jsonl", [json.dumps({"text": t}) for t in texts])
    for name, count in (("train", 240), ("valid", 30)):
        write_csv(work / f"multilabel-{name}.csv", ["text", "label"], [labelled(rng) for _ in range(count)])
        pairs = [(rng.choice(names), rng.choice(names)) for _ in range(count)]
        rows = [(sentence(rng, a), sentence(rng, b), 5.0 * (a == b)) for a, b in pairs]
        write_csv(work / f"similarity-{name}.csv", ["text", "pair", "score"], rows)
        rows = [(sentence(rng, names[i % 3]), " ".join(SUBJECTS[names[i % 3]][: 1 + i % 3])) for i in range(count)]
        write_csv(work / f"generate-{name}.csv", ["text", "label"], rows)
        write_lines(work / f"tag-{name}.conll", [tagged(sentence(rng, names[i % 3])) for i in range(count)])
        data = [{"title": str(i), "paragraphs": [paragraph(rng, i)]} for i in range(count)]
        write_lines(work / f"qa-{name}.json", [json.dumps({"version": "2.0", "data": data})])
        rows = [(*choice(rng, right), right) for right in ["a", "b"] * (count // 2)]
        write_csv(work / f"choice-{name}.csv", ["text", "a", "b", "label"], rows)
    plain = [t.translate(str.maketrans("", "", ",.!?")) for t in texts[-100:]]
    write_lines(work / "tag.txt", texts + plain)
    contexts = HARD + [" ".join(sentence(rng, rng.choice(names)) for _ in range(rng.randint(1, 5))) for _ in range(120)]
    asked = [question(rng.choice(names), whole=i % 3 == 0) for i in range(len(contexts))]
    rows = [{"question": q, "context": c} for q, c in zip(asked, contexts, strict=True)]
    write_lines(work / "qa.jsonl", [json.dumps(row) for row in rows])
    rows = [(sentence(rng, names[0]), HARD[i], HARD[-i]) for i in range(len(HARD))]
    rows += [(text, "yes", "no, it was not") for text in HARD if text.strip()]
    write_csv(work / "choice.csv", ["text", "a", "b"], rows + [choice(rng, "ab"[i % 2]) for i in range(120)])
    return texts


def write_csv(path, header, rows):
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


def write_lines(path, lines):
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")


def labelled(rng):
    """A sentence on each of up to three subjects, or on none, and their names."""
    names = rng.sample(sorted(SUBJECTS), rng.choice([0, 1, 1, 2, 3]))
    text = " ".join(sentence(rng, name) for name in names)
    return (text or f"Nothing was {rng.choice(['near', 'behind'])} it.", ",".join(names))


def tagged(text):
    """A sentence as CoNLL: a thing and the article before it are one entity."""
    tokens = text.lower().replace(",", " ,").replace(".", " .").replace("!", " !").replace("?", " ?").split()
    tags = ["O"] * len(tokens)
    for i, token in enumerate(tokens):
        for subject, words in SUBJECTS.items():
            if token in words:
                tags[i - 1 : i + 1] = [f"B-{subject}", f"I-{subject}"]
    return "".join(f"{token} {tag}\n" for token, tag in zip(tokens, tags, strict=True))


def question(subject, whole):
    return f"{'all' if whole else 'what'} of the {subject}?"


def paragraph(rng, i):
    """Two sentences on two subjects, and a question: for a thing in one, for one of them, or for what is not there."""
    names = rng.sample(sorted(SUBJECTS), 3)
    said = [sentence(rng, names[0]), sentence(rng, names[1])]
    context, which, whole = " ".join(said), i % 2, i % 3 == 0
    asked = {"id": str(i), "is_impossible": i % 5 == 0}
    if asked["is_impossible"]:
        return {"context": context, "qas": [asked | {"question": question(names[2], whole), "answers": []}]}
    begin = context.index(said[which])
    places = [(said[which].find(f" {word}"), word) for word in SUBJECTS[names[which]]]
    at, word = min(place for place in places if place[0] >= 0)
    answer = {"text": said[which], "answer_start": begin} if whole else {"text": word, "answer_start": begin + at + 1}
    return {"context": context, "qas": [asked | {"question": question(names[which], whole), "answers": [answer]}]}


def choice(rng, right):
    """A sentence, and what might follow: right is what is said of the sea."""
    other, third = rng.sample(["bakery", "forest"], 2)
    both = [sentence(rng, "sea"), sentence(rng, other)]
    return (sentence(rng, third), *(both if right == "a" else reversed(both)))


# Heads. `c` is a Comparison.


def several(c, model):
    """Several labels: all probabilities of all texts."""
    config = model.config
    assert config.problem_type == "multi_label_classification", config.problem_type
    assert len(config.thresholds) == len(config.id2label), config.thresholds
    pipe = transformers.pipeline("text-classification", model=model, tokenizer=c.tokenizer, top_k=None)
    cut = {"truncation": True, "max_length": c.longest}
    given, by_pipe = 0, pipe(c.texts, **cut, function_to_apply="sigmoid")
    assert pipe(c.texts[:40], **cut) == by_pipe[:40], "the pipeline does not take sigmoids by itself"
    lines = c.polyseme("predict", c.folder, c.work / "texts.jsonl").splitlines()
    for text, line, piped in zip(c.texts, lines, by_pipe, strict=True):
        ours = json.loads(line)
        with torch.no_grad():
            theirs = model(**c.encode(text)).logits[0].double().sigmoid()
        scores = [ours["scores"][config.id2label[i]] for i in range(len(theirs))]
        c.score(scores, theirs)
        piped = {each["label"]: each["score"] for each in piped}
        c.score(scores, [piped[config.id2label[i]] for i in range(len(theirs))])
        labels = [config.id2label[i] for i, s in enumerate(scores) if np.float32(s) >= np.float32(config.thresholds[i])]
        c.same(text, ours["labels"], labels)
        given += len(labels)
    c.row["compared"] = {"texts": len(c.texts), "of them by the pipeline": len(c.texts), "labels given": given}


def tags(c, model):
    """Entities of all texts that fit one window."""
    pipe = transformers.pipeline(
        "token-classification", model=model, tokenizer=c.tokenizer, aggregation_strategy="first"
    )
    texts = by_pipe = entities = 0
    file = c.work / "tag.txt"
    asked = file.read_text(encoding="utf-8").split("\n")[:-1]
    lines = c.polyseme("predict", c.folder, file).splitlines()
    for text, line in zip(asked, lines, strict=True):
        encoded = c.tokenizer(text, return_tensors="pt", return_offsets_mapping=True, return_special_tokens_mask=True)
        offsets, special = encoded.pop("offset_mapping")[0], encoded.pop("special_tokens_mask")[0]
        if len(offsets) > c.longest:
            continue
        with torch.no_grad():
            scores = model(**encoded).logits[0].double().softmax(-1)
        words = words_of(text, encoded.word_ids(), offsets.tolist())
        found = entities_of(model.config.id2label, words, scores)
        ours = json.loads(line)["entities"]
        assert all(each["text"] == text[each["start"] : each["end"]] for each in ours), f"{text!r}: {ours}"
        c.entities(text, ours, found)
        texts, entities = texts + 1, entities + len(ours)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pieces = pipe.gather_pre_entities(
                text, encoded["input_ids"][0], scores.numpy(), offsets, special.numpy(), AggregationStrategy.FIRST
            )
            if words_of_pieces(text, pieces) != words:
                continue
            by_pipe += 1
            found = pipe(text)
        for each in found:
            each["label"] = each["entity_group"]
            each["start"], each["end"] = stripped(text, each["start"], each["end"])
        c.entities(text, ours, found)
    assert entities > texts, f"only {entities} entities in {texts} texts"
    c.row["compared"] = {"texts": texts, "of them by the pipeline": by_pipe, "entities": entities}


def words_of(text, numbers, offsets):
    """The tokenizer's words: the first token with more than white space, and the characters without such around."""
    words = {}
    for token, (number, (start, end)) in enumerate(zip(numbers, offsets, strict=True)):
        start, end = stripped(text, start, end)
        if number is not None and start < end:
            first, begin, _ = words.get(number, (token, start, end))
            words[number] = (first, begin, end)
    return list(words.values())


def words_of_pieces(text, pieces):
    """The pipeline's words, in the same form."""
    words = []
    for piece in pieces:
        if words and piece["is_subword"]:
            words[-1] = (*words[-1][:2], piece["end"])
        else:
            words.append((piece["index"], piece["start"], piece["end"]))
    return [(first, *stripped(text, start, end)) for first, start, end in words]


def stripped(text, start, end):
    """A stretch of a text without white space at its ends."""
    start += len(text[start:end]) - len(text[start:end].lstrip())
    return start, start + len(text[start:end].rstrip())


def entities_of(id2label, words, scores):
    found, before = [], None
    for first, start, end in words:
        score, best = scores[first].max(-1)
        prefix, _, label = id2label[int(best)].partition("-")
        if prefix == "I" and label == before:
            found[-1]["end"] = end
            found[-1]["scores"].append(float(score))
        elif prefix != "O":
            found.append({"label": label, "start": start, "end": end, "scores": [float(score)]})
        before = label or None
    return [{**each, "score": sum(each["scores"]) / len(each["scores"])} for each in found]


def answers(c, model):
    """Answers to all questions, then the same where there may be none."""
    config = model.config
    left = [config.problem_type, getattr(config, "thresholds", None), list(config.id2label.values())]
    assert left == [None, None, ["LABEL_0", "LABEL_1"]], f"a head of before left {left}"
    file = c.work / "qa.jsonl"
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    columns = ("--text", "question", "--pair", "context")
    always = [json.loads(line) for line in c.polyseme("predict", c.folder, file, *columns).splitlines()]
    or_none = [json.loads(line) for line in c.polyseme("predict", c.folder, file, *columns, "--or-none").splitlines()]
    several_windows = nones = 0
    nothing = {"answer": "", "start": 0, "end": 0, "score": 0.0}
    for row, ours, or_nothing in zip(rows, always, or_none, strict=True):
        windows = windows_of(c, row)
        best, none = best_span(model, windows, row["context"])
        several_windows += len(windows) > 1
        nones += best is None or best["logits"] < none
        c.entities(row["context"], [ours], [best or nothing], "answer")
        c.entities(row["context"], [or_nothing], [best if best and best["logits"] >= none else nothing], "answer")
    c.row["compared"] = {"questions": len(rows), "of them in several windows": several_windows, "without an answer": nones}


def windows_of(c, row):
    """The question with each part of the passage: inputs, which tokens are the passage's, and their characters."""
    asked = len(c.tokenizer(row["question"], add_special_tokens=False)["input_ids"])
    room = c.longest - asked - c.tokenizer.num_special_tokens_to_add(pair=True)
    encoded = c.tokenizer(
        row["question"], row["context"], truncation="only_second", max_length=c.longest,
        stride=min(STRIDE, room // 2), return_overflowing_tokens=True, return_offsets_mapping=True,
    )
    names = [name for name in encoded if name not in ("offset_mapping", "overflow_to_sample_mapping")]
    return [
        (
            {name: torch.tensor([encoded[name][i]]) for name in names},
            [t for t, which in enumerate(encoded.sequence_ids(i)) if which == 1],
            encoded["offset_mapping"][i],
        )
        for i in range(len(encoded["input_ids"]))
    ]


def best_span(model, windows, context):
    """The best span, if the passage has tokens, and the sum of the first token's two logits."""
    best, none = None, float("inf")
    for inputs, place, offsets in windows:
        with torch.no_grad():
            out = model(**inputs)
        starts, ends = out.start_logits[0], out.end_logits[0]
        none = min(none, float(starts[0] + ends[0]))
        if not place:
            continue
        sums = starts[place][:, None] + ends[place][None, :]
        allowed = torch.ones_like(sums, dtype=torch.bool).triu().tril(LONGEST_ANSWER - 1)
        a, b = divmod(int(sums.masked_fill(~allowed, -torch.inf).argmax()), len(place))
        if best is None or float(sums[a, b]) > best["logits"]:
            among = [0, *place]
            score = starts[among].double().softmax(-1)[1 + a] * ends[among].double().softmax(-1)[1 + b]
            start, end = stripped(context, offsets[place[a]][0], offsets[place[b]][1])
            best = {"answer": context[start:end], "start": start, "end": end, "score": float(score)}
            best["logits"] = float(sums[a, b])
    return best, none


def choices(c, model):
    """The probability of each choice of all rows."""
    file = c.work / "choice.csv"
    with file.open(encoding="utf-8", newline="") as opened:
        rows = list(csv.DictReader(opened))
    lines = c.polyseme("predict", c.folder, file, "--choices", "a,b", "--text", "text").splitlines()
    for row, line in zip(rows, lines, strict=True):
        ours = json.loads(line)
        encoded = c.tokenizer(
            [row["text"]] * 2, [row["a"], row["b"]], truncation=True, max_length=c.longest, padding=True, return_tensors="pt"
        )
        with torch.no_grad():
            theirs = model(**{name: value[None] for name, value in encoded.items()}).logits[0].double().softmax(-1)
        c.score(ours["scores"], theirs)
        best = "ab"[int(theirs.argmax())]
        c.same(row["text"], [ours["choice"], ours["answer"]], [best, row[best]])
    c.row["compared"] = {"rows": len(rows)}
