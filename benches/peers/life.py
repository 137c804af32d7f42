"""Speed to start from: `pretrain` tokens and `embed` documents per second and peak memory, beside PyTorch.

    scripts/fetch-data.sh 20news minilm
    python benches/peers/life.py                            # on a quiet machine, about half an hour
    python benches/peers/life.py --rounds 2 --steps 10 --documents 100 --record /tmp/x      # does it work

The same model (4 layers of 256), the same token sequences, the same two threads, the contenders taking
turns in the same minutes; medians over the rounds. Pre-training beside `transformers`, twice: texts
padded to the longest of their batch, and texts joined to full blocks, which wastes nothing. The
vocabulary projection runs over all positions there, as `BertForMaskedLM` does it. Embedding beside
`sentence-transformers`, vectors compared before anything is timed.

Every contender is a process of its own; peak memory is what the system saw. Our seconds of embedding
count the whole process, the peer's the encoding alone (its start is shown apart).
"""

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
import record

BATCH = 32  # sequences of a step
LENGTH = 128  # tokens of a sequence at most


# ---- the peers, each in a process of its own --------------------------------------------------


def child_threads(threads):
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(1)
    return torch


def texts_of(path):
    with open(path, newline="", encoding="utf-8") as source:
        return [row["text"] for row in csv.DictReader(source)]


def sequences(tokenizer, texts, blocks):
    """Token sequences of at most LENGTH: each text cut into pieces, or all texts joined and cut into full blocks."""
    documents = tokenizer(texts, add_special_tokens=False)["input_ids"]
    room = LENGTH - 2
    if blocks:
        documents = [[token for document in documents for token in document]]
    pieces = [d[i : i + room] for d in documents for i in range(0, len(d), room)]
    pieces = [p for p in pieces if len(p) == room or (p and not blocks)]
    return [[tokenizer.cls_token_id, *p, tokenizer.sep_token_id] for p in pieces]


def child_mlm(given):
    """A step as `run_mlm.py` takes it, timed after a warm-up."""
    torch = child_threads(given.threads)
    from transformers import AutoModelForMaskedLM, AutoTokenizer, DataCollatorForLanguageModeling

    tokenizer = AutoTokenizer.from_pretrained(given.model)
    from transformers import AutoConfig

    model = AutoModelForMaskedLM.from_config(AutoConfig.from_pretrained(given.model)).train()
    ids = sequences(tokenizer, texts_of(given.texts), given.blocks)
    order = torch.randperm(len(ids)).tolist()
    collate = DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15)
    decay = [p for p in model.parameters() if p.dim() > 1]
    plain = [p for p in model.parameters() if p.dim() <= 1]
    groups = [{"params": decay, "weight_decay": 0.01}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.98), eps=1e-6, fused=True)
    tokens, positions, began = 0, 0, 0.0
    for step in range(given.warmup + given.steps):
        if step == given.warmup:
            tokens, positions, began = 0, 0, time.monotonic()
        chosen = [order[(step * BATCH + i) % len(order)] for i in range(BATCH)]
        batch = collate([{"input_ids": ids[i]} for i in chosen])
        loss = model(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        tokens += sum(len(ids[i]) for i in chosen)
        positions += batch["input_ids"].numel()
    seconds = time.monotonic() - began
    print(json.dumps({"tokens": tokens, "positions": positions, "seconds": seconds, "loss": float(loss.detach())}))


def child_embed(given):
    """sentence-transformers, timed after a warm-up; vectors are kept to be compared."""
    began = time.monotonic()
    child_threads(given.threads)
    import numpy as np
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(given.model, device="cpu")
    texts = [json.loads(line)["text"] for line in Path(given.texts).read_text(encoding="utf-8").splitlines()]
    model.encode(texts[:BATCH], batch_size=BATCH)
    started = time.monotonic()
    vectors = model.encode(texts, batch_size=BATCH, show_progress_bar=False)
    seconds = time.monotonic() - started
    np.save(given.out, vectors)
    print(json.dumps({"documents": len(texts), "seconds": seconds, "start_seconds": started - began}))


# ---- taking turns -----------------------------------------------------------------------------


def process(command, **more):
    """Runs a contender; gives its stdout, wall seconds and peak memory."""
    began = time.monotonic()
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        child = subprocess.Popen([str(c) for c in command], stdout=out, stderr=err, **more)
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.monotonic() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        if child.returncode != 0:
            sys.exit(f"failed with {child.returncode}: {' '.join(str(c) for c in command)}\n{err.read()}")
        return out.read(), wall, usage.ru_maxrss * 1024


class Race:
    """The contenders and their files."""

    def __init__(self, given):
        self.given = given
        self.work = given.work.resolve()
        self.texts = given.data / "20newsgroups-train.csv"
        if not self.texts.exists():
            sys.exit(f"{self.texts} is missing: run `scripts/fetch-data.sh 20news`")
        self.work.mkdir(parents=True, exist_ok=True)
        self.threads = ["--threads", str(given.threads)]
        self.peer_environment = {**os.environ, "OMP_NUM_THREADS": str(given.threads), "TOKENIZERS_PARALLELISM": "true",
                                 "TRANSFORMERS_VERBOSITY": "error", "HF_HUB_OFFLINE": "1"}

    def flags(self, steps):
        """Settings of our pre-training that make it the peers' work."""
        same = {
            "data.seq_len": LENGTH, "data.short_share": 0, "data.tokens_per_step": BATCH * LENGTH,
            "data.tokens_per_batch": BATCH * LENGTH, "data.valid_documents": 1, "data.valid_every": 0, "data.log_every": 1,
            "data.save_every_seconds": 1e6, "document.words": 0, "model.config.max_position_embeddings": LENGTH,
        }
        return ["--recipe", "mini", "--steps", steps, "--seed", "1", *(w for k, v in same.items() for w in ("--set", f"{k}={v}"))]

    def pretrain(self):
        """Ours: tokens over seconds of the steps after the warm-up, from the log of the run."""
        given, out = self.given, self.work / "ours"
        shutil.rmtree(out, ignore_errors=True)
        steps = str(given.warmup + given.steps)
        command = [given.binary, "pretrain", self.texts, "--text", "text", "--out", out, *self.flags(steps), *self.threads, "--quiet"]
        _, wall, peak = process(command)
        rows = [json.loads(line) for line in (out / "run" / "metrics.jsonl").read_text().splitlines()]
        first = next(r for r in rows if r["step"] == given.warmup)
        last = rows[-1]
        tokens, seconds = last["tokens"] - first["tokens"], last["seconds"] - first["seconds"]
        return {"tokens": tokens, "seconds": seconds, "tokens_per_second": tokens / seconds, "peak_bytes": peak, "wall_seconds": wall}

    def peer(self, kind, model, texts, *more):
        given = self.given
        command = [sys.executable, __file__, "--child", kind, "--model", model, "--texts", texts, "--threads", str(given.threads),
                   "--steps", str(given.steps), "--warmup", str(given.warmup), *more]
        said, wall, peak = process(command, env=self.peer_environment)
        return {**json.loads(said.splitlines()[-1]), "peak_bytes": peak, "wall_seconds": wall}

    def transformers(self, *more):
        row = self.peer("mlm", self.work / "ours", self.texts, *more)
        return {**row, "tokens_per_second": row["tokens"] / row["seconds"]}

    def documents(self):
        path = self.work / "documents.jsonl"
        texts = texts_of(self.given.data / "20newsgroups-train.csv")[: self.given.documents]
        path.write_text("".join(json.dumps({"text": t}) + "\n" for t in texts), encoding="utf-8")
        return path

    def embed(self, model, documents):
        out = self.work / "ours.npy"
        out.unlink(missing_ok=True)
        _, wall, peak = process([self.given.binary, "embed", model, documents, "--out", out, *self.threads, "--quiet"])
        return {"documents": self.given.documents, "seconds": wall, "documents_per_second": self.given.documents / wall, "peak_bytes": peak}

    def sentence_transformers(self, model, documents):
        row = self.peer("embed", model, documents, "--out", self.work / "theirs.npy")
        return {**row, "documents_per_second": row["documents"] / row["seconds"]}

    def same_vectors(self):
        """Largest difference of the two sides' vectors; timing is worth nothing if they differ."""
        import numpy as np

        ours, theirs = np.load(self.work / "ours.npy"), np.load(self.work / "theirs.npy")
        difference = float(np.abs(ours - theirs).max())
        if ours.shape != theirs.shape or not difference < 1e-4:
            sys.exit(f"vectors differ: {ours.shape} and {theirs.shape}, by {difference}")
        return difference

    def run(self):
        """All contenders in turns, round after round."""
        given = self.given
        contenders = {
            ("pretrain", "polyseme"): self.pretrain,
            ("pretrain", "transformers, padded batches"): self.transformers,
            ("pretrain", "transformers, full blocks"): lambda: self.transformers("--blocks"),
        }
        models = {"all-MiniLM-L6-v2": given.data / "all-MiniLM-L6-v2"}
        documents = self.documents()
        for name, folder in models.items():
            if not folder.exists():
                print(f"{folder} is missing, so embedding is left out: run `scripts/fetch-data.sh minilm`", file=sys.stderr)
                continue
            contenders["embed", "polyseme"] = lambda f=folder: self.embed(f, documents)
            contenders["embed", "sentence-transformers"] = lambda f=folder: self.sentence_transformers(f, documents)
        rows, difference = {key: [] for key in contenders}, None
        for turn in range(given.rounds):
            for (task, name), contend in contenders.items():
                row = contend()
                rows[task, name].append(row)
                speed = row.get("tokens_per_second") or row["documents_per_second"]
                print(f"  round {turn + 1}: {task:9} {name:30} {speed:9.1f}/s {row['peak_bytes'] / 2**20:7.0f} MiB", file=sys.stderr, flush=True)
            if ("embed", "polyseme") in contenders:
                difference = self.same_vectors()
        return rows, difference


def summarize(given, rows, difference):
    found = record.facts(given.binary, "torch", "transformers", "sentence-transformers", "tokenizers", "numpy")
    found |= {
        "threads": given.threads, "rounds": given.rounds, "steps": given.steps, "batch": BATCH, "length": LENGTH,
        "largest_difference_of_vectors": difference,
        "runs": [{"task": task, "contender": name, "rounds": values} for (task, name), values in rows.items()],
    }
    lines = ["# A life's speed, to start from", "", *record.header(found), ""]
    lines += [
        f"{given.threads} threads, {given.rounds} rounds of all contenders in turns; median (lowest – highest). Pre-training: 4 layers of 256,",
        f"8,000 pieces, steps of {BATCH} sequences of at most {LENGTH} tokens of 20 Newsgroups, {given.steps} steps after {given.warmup}; tokens are real",
        "ones, padding never counted. Embedding: all-MiniLM-L6-v2 over the first "
        f"{given.documents} of these texts" + (f"; vectors differ by {difference:.1e} at most." if difference is not None else "."),
        "",
    ]
    table = []
    for (task, name), values in rows.items():
        key = "tokens_per_second" if task == "pretrain" else "documents_per_second"
        speed, peak = record.spread([v[key] for v in values]), record.spread([v["peak_bytes"] / 2**20 for v in values])
        unit = key.split("_")[0] + "/s"
        table.append([task, name, f"{speed['median']:.1f} {unit} ({speed['min']:.1f} – {speed['max']:.1f})", f"{peak['median']:.0f} MiB"])
    lines += record.table(["", "contender", "speed", "peak memory"], table)
    record.write(record.run_folder("life-speed", given.record), found, lines)


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    p.add_argument("--binary", type=Path, default=ROOT / "target/release/polyseme")
    p.add_argument("--data", type=Path, default=ROOT / ".data")
    p.add_argument("--work", type=Path, default=ROOT / ".data/life-speed")
    p.add_argument("--record", help="folder for the record instead of benches/runs/<date>-life-speed")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--steps", type=int, default=60, help="steps that are timed")
    p.add_argument("--warmup", type=int, default=5, help="steps before them")
    p.add_argument("--documents", type=int, default=1000)
    for hidden in ("--child", "--model", "--texts", "--out"):
        p.add_argument(hidden, help=argparse.SUPPRESS)
    p.add_argument("--blocks", action="store_true", help=argparse.SUPPRESS)
    given = p.parse_args()
    if given.child:
        return {"mlm": child_mlm, "embed": child_embed}[given.child](given)
    given.binary = given.binary.resolve()
    rows, difference = Race(given).run()
    summarize(given, rows, difference)


if __name__ == "__main__":
    main()
