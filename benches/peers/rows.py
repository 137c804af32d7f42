"""The rows of the table: for each, the work, its contenders and the bars.

A row's `prepare` makes files that all its contenders share, before the first round and never timed. Each
contender is a function from the place and what was prepared to a dict with the row's measure.
"""

import csv
import json
import random
import shutil
from dataclasses import dataclass, field
from typing import Callable

from place import Refused

OURS = "polyseme"
BEST = "the best peer"
BATCH = 32  # sequences of a step
LENGTH = 128  # tokens of a sequence when pre-training
LONG = 256  # tokens of a text otherwise, at most


@dataclass
class Bar:
    """What is asked of us: so many times as quick as a peer, or so many times less memory."""

    against: str
    at_least: float
    of: str = "speed"  # or memory


@dataclass
class Row:
    """One kind of work that all contenders do."""

    about: str
    measure: str  # tokens_per_second, texts_per_second, p50_seconds
    contenders: dict
    bars: list = field(default_factory=list)
    at_most_seconds: float | None = None  # a bar without a peer
    prepare: Callable = lambda place: None


# ---- pre-training on random tokens ------------------------------------------------------------

SHAPES = {
    "mini": {"layers": 4, "hidden": 256, "heads": 4, "inner": 1024, "vocabulary": 30522},
    "base": {"layers": 12, "hidden": 768, "heads": 12, "inner": 3072, "vocabulary": 30522},
}
DENSE = "transformers"
BY_HAND = "PyTorch by hand"


def mlm_row(about, shape, batch, dropout, usual, peers, bars, bf16=False):
    def ours(place, _):
        steps = str(place.counts(**usual).steps)
        rates = [f"model.config.{which}_dropout_prob={dropout}" for which in ("hidden", "attention_probs")]
        said, run = place.ours("bench", "--train", shape, "--batch", str(batch), "--seq-len", str(LENGTH),
                               "--vocab-size", str(SHAPES[shape]["vocabulary"]), "--set", rates[0], "--set", rates[1],
                               "--set", f"optimizer.bf16={str(bf16).lower()}", "--steps", steps, "--json", "--quiet")
        return {**json.loads(said), **run}

    def peer(dense):
        return lambda place, _: place.peer("torch_peers.py", "mlm", shape=SHAPES[shape], batch=batch, length=LENGTH,
                                           dropout=dropout, dense=dense, bf16=bf16, **vars(place.counts(**usual)))

    contenders = {OURS: ours} | {name: peer(name == DENSE) for name in peers}
    return Row(about, "tokens_per_second", contenders, bars)


# ---- pre-training on documents ----------------------------------------------------------------

DOCUMENT_STEPS = {"steps": 30, "warmup": 5}


def pretrain(place, out, steps, tokens):
    """Our pre-training with settings that make it the peers' work."""
    shutil.rmtree(out, ignore_errors=True)
    same = {
        "data.seq_len": LENGTH, "data.short_share": 0, "data.tokens_per_step": tokens, "data.tokens_per_batch": BATCH * LENGTH,
        "data.valid_documents": 1, "data.valid_every": 0, "data.log_every": 1, "data.save_every_seconds": 1e6,
        "document.words": 0, "model.config.max_position_embeddings": LENGTH,
    }
    sets = [word for key, value in same.items() for word in ("--set", f"{key}={value}")]
    _, run = place.ours("pretrain", place.news(), "--text", "text", "--out", out, "--recipe", "mini", "--steps", str(steps),
                        "--seed", "1", *sets, "--quiet")
    return run


def prepare_documents(place):
    """A model folder for the peers, with the tokenizer we train, and the mean length of 32 sequences."""
    model = place.work / "documents"
    pretrain(place, model, 1, BATCH * LENGTH)
    found = place.peer("torch_peers.py", "lengths", model=model, texts=place.news(), length=LENGTH)
    return {"model": str(model), "tokens_per_step": round(BATCH * found["mean_tokens"]), "sequences": found["sequences"]}


def logged_speed(out, warmup):
    """Tokens and seconds of the steps after the warm-up from a run's log, but for rows that a validation is part of."""
    rows = [json.loads(line) for line in (out / "run" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    rows = [r for r in rows if r["step"] >= warmup and not r.get("valid")]
    if len(rows) < 2:
        raise Refused(f"the run logged {len(rows)} rows after step {warmup}, and two are needed: give it more --steps")
    tokens, seconds = (rows[-1][key] - rows[0][key] for key in ("tokens", "seconds"))
    return {"tokens": tokens, "seconds": seconds, "tokens_per_second": tokens / seconds, "steps": rows[-1]["step"] - rows[0]["step"]}


def documents_ours(place, prepared):
    count, out = place.counts(**DOCUMENT_STEPS), place.work / "documents-ours"
    # One step more: the last one is logged with its validation, so it is not counted.
    run = pretrain(place, out, count.warmup + count.steps + 1, prepared["tokens_per_step"])
    return {**logged_speed(out, count.warmup), **run}


def documents_peer(dense):
    return lambda place, prepared: place.peer(
        "torch_peers.py", "documents", model=prepared["model"], texts=place.news(), length=LENGTH, batch=BATCH, dense=dense,
        **vars(place.counts(**DOCUMENT_STEPS)))


# ---- fine-tuning ------------------------------------------------------------------------------

PADDED = "Trainer, dynamic padding"
GROUPED = "Trainer, grouped by length"


def write_csv(path, columns, rows):
    with open(path, "w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
    return str(path)


def news_rows(place):
    """Texts and labels of 20 Newsgroups, in an order by chance."""
    with open(place.news(), newline="", encoding="utf-8") as source:
        rows = [(row["text"], row["label"]) for row in csv.DictReader(source) if row["text"].strip()]
    random.Random(1).shuffle(rows)
    return rows


def stsb_rows(place):
    """Sentence, sentence, score."""
    with open(place.stsb(), newline="", encoding="utf-8") as source:
        return list(csv.reader(source))


def shuffled(rows):
    random.Random(1).shuffle(rows)
    return rows


def finetune_row(about, name, task, rows_of, columns, usual, bar, bf16=False):
    def prepare(place):
        count, rows = place.counts(**usual), rows_of(place)
        wanted = (count.warmup + count.steps + 1) * BATCH
        if len(rows) < wanted:
            raise Refused(f"{name}: {wanted} rows are needed, there are {len(rows)}: give it fewer --steps")
        train = write_csv(place.work / f"{name}-train.csv", [*columns, "label"], rows[:wanted])
        return {"train": train, "valid": write_csv(place.work / f"{name}-valid.csv", [*columns, "label"], rows[:BATCH])}

    def ours(place, prepared):
        out = place.work / f"{name}-ours"
        shutil.rmtree(out, ignore_errors=True)
        names = [word for flag, column in zip(("--text", "--pair"), columns) for word in (flag, column)]
        _, run = place.ours("finetune", place.minilm(), "--task", task, "--train", prepared["train"], "--valid",
                            prepared["valid"], "--out", out, *names, "--label", "label", "--epochs", "1", "--batch-size",
                            str(BATCH), "--max-length", str(LONG), "--seed", "1", "--set", "probe_first=false",
                            *(["--bf16"] if bf16 else []), "--quiet")
        return {**logged_speed(out, place.counts(**usual).warmup), **run}

    def peer(sampling):
        return lambda place, prepared: place.peer(
            "torch_peers.py", "trainer", model=place.minilm(), task=task, train=prepared["train"], columns=columns, length=LONG,
            batch=BATCH, sampling=sampling, bf16=bf16, scratch=place.work / "trainer", **vars(place.counts(**usual)))

    contenders = {OURS: ours, PADDED: peer("random"), GROUPED: peer("group_by_length")}
    return Row(about, "tokens_per_second", contenders, [Bar(PADDED, bar)] if bar else [], prepare=prepare)


# ---- vectors ----------------------------------------------------------------------------------


def graph(place):
    """The model as an ONNX graph, made once."""
    path = place.work / "all-MiniLM-L6-v2.onnx"
    if not path.exists():
        place.peer("embed_peers.py", "export", model=place.minilm(), out=path)
    return str(path)


def embed(place, texts, out):
    said, run = place.ours("embed", place.minilm(), texts, "--text", "text", "--max-length", str(LONG), "--out", out, "--json", "--quiet")
    return json.loads(said), run


def embed_row(about, name, texts_of, bar):
    def prepare(place):
        texts = texts_of(place)
        path, reference = place.work / f"{name}.jsonl", place.work / f"{name}.npy"
        path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
        embed(place, path, reference)
        return {"texts": str(path), "reference": str(reference), "graph": graph(place), "candle": place.built_candle()}

    def ours(place, prepared):
        found, run = embed(place, prepared["texts"], place.work / f"{name}-ours.npy")
        count = found["texts"]
        # Without `seconds` of its own the whole process counts, which is against us.
        seconds = found.get("seconds", run["wall_seconds"])
        return {"texts": count, "seconds": seconds, "texts_per_second": count / seconds,
                "texts_per_second_of_the_whole_process": count / run["wall_seconds"], **run}

    def peer(kind):
        return lambda place, prepared: place.peer("embed_peers.py", kind, model=place.minilm(), length=LONG, **prepared)

    def candle(place, prepared):
        return place.program(prepared["candle"], place.minilm(), prepared["texts"], prepared["reference"], LONG)

    contenders = {OURS: ours, "sentence-transformers": peer("sentence-transformers"), "onnxruntime": peer("onnxruntime"),
                  "candle": candle}
    return Row(about, "texts_per_second", contenders, [Bar(BEST, bar)], prepare=prepare)


def news_texts(place):
    return [text for text, _ in news_rows(place)][: place.counts(texts=1000).texts]


def stsb_texts(place):
    texts = [sentence for one, other, _ in stsb_rows(place) for sentence in (one, other)]
    return texts[: place.counts(texts=len(texts)).texts]


# ---- one text ---------------------------------------------------------------------------------


CALLS = {"calls": 500}


def latency_ours(place, _):
    calls = str(place.counts(**CALLS).calls)
    said, run = place.ours("bench", place.minilm(), "--latency", "--seq-len", "16", "--steps", calls, "--json", "--quiet")
    return {**json.loads(said), **run}


def latency_onnxruntime(place, prepared):
    return place.peer("embed_peers.py", "latency", model=place.minilm(), graph=prepared, length=LONG, **vars(place.counts(**CALLS)))


def start_ours(place, _):
    """Twenty starts, one after the other; the median of the seconds to the first vector."""
    seconds, peaks = [], []
    for _ in range(place.counts(starts=20).starts):
        said, run = place.ours("embed", place.minilm(), "-", "--quiet", until_line="The bank of the river.\n")
        if '"embedding"' not in said:
            raise Refused(f"`{run['command']}` gave no vector")
        seconds.append(run["wall_seconds"])
        peaks.append(run["peak_bytes"])
    return {**run, "p50_seconds": sorted(seconds)[len(seconds) // 2], "each_seconds": seconds, "peak_bytes": max(peaks)}


# ---- the table --------------------------------------------------------------------------------

MINI_STEPS = {"steps": 12, "warmup": 3}
BASE_STEPS = {"steps": 8, "warmup": 2}

ROWS = {
    "mlm-mini": mlm_row(
        "A step of masked language modelling, 4 layers of 256, vocabulary 30,522, 32 × 128 random tokens, dropout 0.1",
        "mini", BATCH, 0.1, MINI_STEPS, (DENSE, BY_HAND), [Bar(DENSE, 6.0), Bar(BY_HAND, 2.2), Bar(DENSE, 2.0, "memory")]),
    "mlm-mini-0": mlm_row(
        "The same without dropout", "mini", BATCH, 0.0, MINI_STEPS, (BY_HAND,), [Bar(BY_HAND, 1.5)]),
    "mlm-base": mlm_row(
        "The same for BERT-base, 12 layers of 768, 4 × 128 random tokens, dropout 0.1",
        "base", 4, 0.1, BASE_STEPS, (BY_HAND,), [Bar(BY_HAND, 1.6)]),
    "mlm-mini-bf16": mlm_row(
        "The same as the first with products in bfloat16 on all sides", "mini", BATCH, 0.1, MINI_STEPS, (DENSE, BY_HAND), [], bf16=True),
    "mlm-base-bf16": mlm_row(
        "BERT-base with products in bfloat16 on both sides", "base", 4, 0.1, BASE_STEPS, (BY_HAND,), [], bf16=True),
    "mlm-documents": Row(
        "Pre-training, 4 layers of 256, 8,000 pieces, no dropout (the recipe's), on 20 Newsgroups cut at 128 tokens and not joined; "
        "`transformers` pads random batches of 32, by hand they are sorted by length. Ours takes as many tokens a step as they do",
        "tokens_per_second", {OURS: documents_ours, DENSE: documents_peer(True), BY_HAND: documents_peer(False)},
        [Bar(DENSE, 6.0), Bar(BY_HAND, 2.5)], prepare=prepare_documents),
    "finetune-20news": finetune_row(
        "Fine-tuning all-MiniLM-L6-v2, 20 labels, texts of at most 256 tokens, batches of 32",
        "finetune-20news", "classify", news_rows, ["text"], {"steps": 20, "warmup": 3}, 2.5),
    "finetune-20news-bf16": finetune_row(
        "The same with products in bfloat16 on all sides",
        "finetune-20news-bf16", "classify", news_rows, ["text"], {"steps": 20, "warmup": 3}, None, bf16=True),
    "finetune-stsb": finetune_row(
        "The same on short pairs of sentences, whose score is a number",
        "finetune-stsb", "regress", lambda place: shuffled(stsb_rows(place)), ["sentence1", "sentence2"], {"steps": 60, "warmup": 5}, 3.0),
    "embed-20news": embed_row("Vectors of newsgroup texts of at most 256 tokens, all-MiniLM-L6-v2", "embed-20news", news_texts, 1.4),
    "embed-stsb": embed_row("Vectors of all sentences of the pairs, all-MiniLM-L6-v2", "embed-stsb", stsb_texts, 2.0),
    "latency-16": Row(
        "One text of 16 tokens, from token ids to its vector, all-MiniLM-L6-v2, median of the calls; the peer with two threads or one, whichever is quicker", "p50_seconds",
        {OURS: latency_ours, "onnxruntime": latency_onnxruntime}, [Bar("onnxruntime", 2.0)], prepare=graph),
    "start": Row(
        "From the start of the process to the first vector, all-MiniLM-L6-v2, median of the starts", "p50_seconds",
        {OURS: start_ours}, at_most_seconds=0.150),
}
