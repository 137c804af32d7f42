"""STS-B by a head on the pair that first learns from pairs without scores, which vectors have scored; beside `transformers`.

    scripts/fetch-data.sh minilm
    cargo build --release
    .data/peers/venv/bin/python benches/tasks/silver.py                          # all that is not done yet, then the record
    .data/peers/venv/bin/python benches/tasks/silver.py --arms polyseme --seeds 1  # this column and seed; the record has all

all-MiniLM-L6-v2 was pre-trained to read one sentence at a time: what it knows of likeness lies in the cosine of two
vectors, where a head on the pair does not see it. So it is told, as in augmented SBERT (Thakur et al. 2021) with the
parts exchanged. For each seed: `finetune --task similarity` on the training pairs (the row `similarity` of run.py);
further pairs of the training sentences, near ones and any, scored by the cosine of that model's vectors (silver);
`finetune --task regress` on these, beginning with that model; then on the training pairs with their true scores (gold).
Both columns have the same silver pairs, begin with the same model, and do the last two steps with the same recipe.
Validation rows chose the recipe and choose the epoch; test rows are looked at once.
"""

import csv
import json
import shutil
import statistics
import sys

import numpy as np
from run import BATCH, PACKAGES, RECIPES, Table, arguments, interpreter, numbers

import record
import sets
from place import Refused

# Of each sentence: from which ranks by cosine come how many partners.
NEAR = ((1, 9, 2), (9, 200, 2), (0, None, 1))
SILVER = {"epochs": 2, "learning_rate": 1e-4, "r_drop": 0.0}
GOLD = {"epochs": 4, "learning_rate": 5e-5, "r_drop": 1.0}
WANTED = 0.86


def partners(cosines, seed):
    """Pairs of different sentences, each once, in an order drawn by the seed."""
    rng = np.random.default_rng(seed)
    found = {}
    for i, row in enumerate(cosines):
        order = np.argsort(-row)
        for begin, end, count in NEAR:
            for j in rng.choice(order[begin:end], count, replace=False):
                if i != j:
                    found.setdefault(frozenset((i, int(j))), (i, int(j)))
    pairs = list(found.values())
    rng.shuffle(pairs)
    return pairs


class Silver:
    """The two columns, and their parts."""

    def __init__(self, given):
        self.table = Table(given)
        self.given, self.place = given, self.table.place
        self.recipe = RECIPES["stsb"]
        self.files, self.sizes = sets.files(self.place, "stsb", given.quick)
        self.results = given.results or self.place.work / "silver"
        self.results.mkdir(parents=True, exist_ok=True)

    def whole(self, seed):
        """The model whose vectors score pairs."""
        folder = self.place.work / f"tuned-similarity-polyseme-{seed}"
        if not (folder / "model.safetensors").exists():
            (self.table.results / f"similarity-polyseme-{seed}.json").unlink(missing_ok=True)
            self.table.part("similarity", "polyseme", seed)
        return folder

    def pairs(self, seed):
        """A file of pairs of training sentences that have no score there, with the cosine as the score."""
        out = self.place.work / f"silver-{seed}.csv"
        if out.exists():
            return out
        with open(self.files["train"], newline="", encoding="utf-8") as source:
            rows = list(csv.DictReader(source))
        texts = sorted({row[side] for row in rows for side in ("one", "two")})
        scored = {frozenset((row["one"], row["two"])) for row in rows}
        listed, vectors = out.with_suffix(".jsonl"), out.with_suffix(".npy")
        listed.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
        self.place.ours("embed", self.whole(seed), listed, "--text", "text", "--normalize", "--out", vectors, "--quiet")
        found = np.load(vectors)
        cosines = found @ found.T
        temporary = out.with_suffix(".tmp")
        with open(temporary, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["one", "two", "score"])
            for i, j in partners(cosines, seed):
                if frozenset((texts[i], texts[j])) not in scored:
                    writer.writerow([texts[i], texts[j], round(5 * max(0.0, float(cosines[i, j])), 3)])
        listed.unlink()
        vectors.unlink()
        temporary.rename(out)
        return out

    def part(self, arm, seed):
        """The result of a column and a seed; kept once it is made."""
        path = self.results / f"{arm}-{seed}.json"
        if path.exists():
            return
        found = {"polyseme": self.ours, "transformers": self.theirs}[arm](seed)
        found = {"arm": arm, "seed": seed, "silver": SILVER, "gold": GOLD, "sha256": self.sizes["sha256"], **found}
        found |= {"commit": record.commit(), "threads": self.given.threads}
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        temporary.rename(path)
        print(f"  {arm:13} seed {seed}: spearman {found['test']['spearman']:.4f}", file=sys.stderr, flush=True)

    def ours(self, seed):
        columns, length = self.recipe.columns, ["--max-length", self.recipe.max_length]
        model, runs = self.whole(seed), []
        for name, file, how in (("silver", self.pairs(seed), SILVER), ("gold", self.files["train"], GOLD)):
            out = self.place.work / f"tuned-{name}-polyseme-{seed}"
            shutil.rmtree(out, ignore_errors=True)
            words = ["finetune", model, "--task", "regress", "--train", file, "--valid", self.files["valid"], "--out", out, *columns, *length,
                     *(word for key, value in how.items() for word in (f"--{key.replace('_', '-')}", value)), "--metric", "spearman", "--batch-size", BATCH,
                     "--patience", 0, "--set", "probe_first=false", "--seed", seed, *(["--bf16"] if self.given.bf16 else [])]
            said, run = self.place.ours(*words, "--json", "--quiet")
            best = json.loads(said)["results"][0]
            runs.append({"epoch": best["epoch"], "valid": numbers(best["valid"]), **run})
            model = out
        tested, _ = self.place.ours("eval", model, "--data", self.files["test"], *columns, *length, "--json", "--quiet")
        return {"test": numbers(json.loads(tested)), "runs": runs}

    def theirs(self, seed):
        found, run = self.table.reference(self.recipe, self.whole(seed), self.files, [
            "--first", self.pairs(seed), "--first-epochs", SILVER["epochs"], "--first-learning-rate", SILVER["learning_rate"],
            "--train", self.files["train"], "--valid", self.files["valid"], "--metric", "spearman", "--epochs", GOLD["epochs"],
            "--batch-size", BATCH, "--max-length", self.recipe.max_length, "--learning-rate", GOLD["learning_rate"],
            "--r-drop", GOLD["r_drop"], "--seed", seed])
        return {"test": found["test"], "runs": [{"epoch": found["epoch"], "valid": found["valid"], **run}]}

    def record(self):
        """The record of all that is done."""
        parts = [json.loads(p.read_text(encoding="utf-8")) for p in sorted(self.results.glob("*-*.json"))]
        rows = []
        for arm in ("polyseme", "transformers"):
            of_arm = [p for p in parts if p["arm"] == arm]
            if of_arm:
                each = {part: [p[part]["spearman"] if part == "test" else p["runs"][-1]["valid"]["spearman"] for p in of_arm] for part in ("valid", "test")}
                s = record.spread(each["test"])
                rows.append([arm, f"{100 * statistics.median(each['valid']):.1f}", f"{100 * s['median']:.1f}", f"{100 * s['min']:.1f} – {100 * s['max']:.1f}",
                             " ".join(f"{100 * value:.1f}" for value in each["test"])])
        found = record.facts(self.place.binary, *PACKAGES, python=self.given.python) | {"parts": parts, "near": NEAR}
        lines = ["# STS-B by a head on the pair, with pairs that vectors have scored", "", *record.header(found), "",
                 f"Spearman × 100; wanted are {100 * WANTED:.0f} on the test rows.", "",
                 *record.table(["", "validation, median", "test, median", "from – to", "each seed"], rows)]
        record.write(record.run_folder("silver", self.given.record), found, lines)


def main():
    given = arguments(__doc__)
    given.keep_models = True
    given.python = interpreter(given)
    silver = Silver(given)
    for seed in given.seeds:
        for arm in (arm for arm in ("polyseme", "transformers") if arm in given.arms):
            try:
                silver.part(arm, seed)
            except (Refused, sets.Missing) as why:
                sys.exit(f"failed: {why}")
    silver.record()


if __name__ == "__main__":
    main()
