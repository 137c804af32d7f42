"""STS-B by a head on the pair that first learns from pairs without scores, which vectors have scored; beside `transformers`.

    scripts/fetch-data.sh minilm brown spam
    cargo build --release
    .data/peers/venv/bin/python benches/tasks/silver.py                          # all that is not done yet, then the record
    .data/peers/venv/bin/python benches/tasks/silver.py --arms polyseme --seeds 1  # this column and seed; the record has all

all-MiniLM-L6-v2 was pre-trained to read one sentence at a time: what it knows of likeness lies in the cosine of two
vectors, where a head on the pair does not see it. So it is told, as in augmented SBERT (Thakur et al. 2021) with the
parts exchanged. Five teachers, one a seed, learn the training pairs by the squared error of the cosine; the mean of
their cosines scores further pairs, near ones and any, of the training sentences, of Brown's and of mails (silver). A first
head on the pair learns these, beginning with a teacher, then the training pairs with their true scores (gold). It errs
elsewhere than vectors do, so that the mean of both is the better score. With that each seed learns the silver pairs,
beginning with its own teacher, then once more those of the training sentences, which are nearest to what is asked. Both
columns have the same silver pairs, begin with the same model, and do these two steps with the same recipe; with `--bf16`
both multiply in bfloat16 while they learn. There is no dropout then: each pair is seen once or twice. Validation rows chose
the recipe and choose the epoch.
"""

import json
import shutil
import statistics
import sys

import numpy as np
import pairs
from run import BATCH, PACKAGES, RECIPES, Table, arguments, interpreter, numbers

import record
import sets
from place import Refused, flags

TEACHERS = (1, 2, 3, 4, 5)
TEACHER = {"epochs": 4, "learning_rate": 5e-5, "r_drop": 5.0}
SILVER = {"epochs": 1, "learning_rate": 1e-4, "r_drop": 0.0}
OWN = {"epochs": 1, "learning_rate": 5e-5, "r_drop": 0.0}
GOLD = {"epochs": 3, "learning_rate": 5e-5, "r_drop": 1.0}
WANTED = 0.86


class Silver:
    """The two columns, and their parts."""

    def __init__(self, given):
        self.table = Table(given)
        self.given, self.place = given, self.table.place
        self.recipe = RECIPES["stsb"]
        self.files, self.sizes = sets.files(self.place, "stsb", given.quick)
        self.results = given.results or self.place.work / "silver"
        self.results.mkdir(parents=True, exist_ok=True)

    def learn(self, model, file, how, seed, out, task):
        """Fine-tunes a model on a file of pairs; the best validation epoch, and what is kept of the run. What was begun with these
        settings goes on, to the same bytes; the run's seconds are then those of its last part."""
        begun = (out / "run/settings.toml").exists()
        if not begun:
            shutil.rmtree(out, ignore_errors=True)
        said, run = self.place.ours(
            "finetune", model, "--task", *task, "--train", file, "--valid", self.files["valid"], "--out", out, *self.recipe.columns,
            "--max-length", self.recipe.max_length, *flags(how), "--metric", "spearman", "--batch-size", BATCH, "--patience", 0,
            "--set", "probe_first=false", "--seed", seed, *(["--bf16"] if self.given.bf16 else []), *(["--resume"] if begun else []),
            "--json", "--quiet")
        best = json.loads(said)["results"][0]
        return {"epoch": best["epoch"], "valid": numbers(best["valid"]), **run} | ({"resumed": True} if begun else {})

    def teacher(self, seed):
        """The model whose vectors score pairs, and with which the head on the pair begins."""
        out = self.place.work / f"silver-teacher-{seed}"
        path = self.results / f"teacher-{seed}.json"
        if not path.exists() or not (out / "model.safetensors").exists():
            found = self.learn(self.place.minilm(), self.files["train"], TEACHER, seed, out, ["similarity", "--similarity-loss", "cosine"])
            record.keep(path, {"teacher": TEACHER, **found}, self.given.threads)
        return out

    def start(self, seed):
        """The teacher as a head on the pair begins with it: without dropout, since it learns a pair once or twice."""
        teacher, out = self.teacher(seed), self.place.work / f"silver-start-{seed}"
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(teacher, out, ignore=shutil.ignore_patterns("run"))
        config = json.loads((teacher / "config.json").read_text(encoding="utf-8"))
        config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
        (out / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        return out

    def vectors(self, texts):
        """One vector a text, whose products are the mean of the teachers' cosines."""
        listed, found = self.place.work / "silver.jsonl", []
        listed.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
        for seed in TEACHERS:
            out = listed.with_suffix(".npy")
            self.place.ours("embed", self.teacher(seed), listed, "--text", "text", "--normalize", "--out", out, "--quiet")
            found.append(np.load(out) / len(TEACHERS) ** 0.5)
            out.unlink()
        listed.unlink()
        return np.hstack(found)

    def pairs(self):
        """A file of pairs without scores, with the mean of the teachers' cosines as the score."""
        out = self.place.work / "silver.csv"
        if not out.exists():
            rows = pairs.read(self.files["train"])
            texts = pairs.sentences(self.place, rows, seed=1)
            if self.given.quick:
                texts = {name: of[:100] for name, of in texts.items()}
            count = pairs.write(out, texts, {name: self.vectors(of) for name, of in texts.items()}, rows, seed=1)
            record.keep(self.results / "pairs.json", {"sentences": {name: len(of) for name, of in texts.items()}, "pairs": count}, self.given.threads)
        return out

    def head(self, model, stages, seed, out):
        """A head on the pair that learns files of pairs in turn, each in its way; its folder, and what is kept of the runs."""
        runs = []
        for name, (file, how) in stages.items():
            learned = self.place.work / f"tuned-{name}-{out}"
            runs.append(self.learn(model, file, how, seed, learned, ["regress"]))
            model = learned
        return model, runs

    def mixed(self):
        """The file of pairs, with the mean of what the teachers and a first head on the pair say."""
        out, silver = self.place.work / "silver-mixed.csv", self.pairs()
        if not out.exists():
            model, path = self.place.work / "tuned-gold-first", self.results / "first.json"
            if not path.exists() or not (model / "model.safetensors").exists():
                model, runs = self.head(self.teacher(1), {"silver": (silver, SILVER), "gold": (self.files["train"], GOLD)}, 1, "first")
                record.keep(path, {"silver": SILVER, "gold": GOLD, "runs": runs}, self.given.threads)
            said, _ = self.place.ours("predict", model, silver, "--text", "one", "--pair", "two", "--max-length", self.recipe.max_length, "--quiet")
            pairs.mix(silver, [json.loads(line)["value"] for line in said.splitlines()], out)
        return out

    def own(self):
        """Those of them that are two sentences of the training pairs."""
        out = self.place.work / "silver-own.csv"
        if not out.exists():
            pairs.among(self.mixed(), pairs.stsb(pairs.read(self.files["train"])), out)
        return out

    def part(self, arm, seed):
        """The result of a column and a seed; kept once it is made."""
        path = self.results / f"{arm}-{seed}.json"
        if path.exists():
            return
        found = {"polyseme": self.ours, "transformers": self.theirs}[arm](seed)
        found = {"arm": arm, "seed": seed, "silver": SILVER, "own": OWN, "sha256": self.sizes["sha256"], **found}
        record.keep(path, found, self.given.threads)
        print(f"  {arm:13} seed {seed}: spearman {found['test']['spearman']:.4f}", file=sys.stderr, flush=True)

    def ours(self, seed):
        model, runs = self.head(self.start(seed), {"silver": (self.mixed(), SILVER), "own": (self.own(), OWN)}, seed, f"polyseme-{seed}")
        tested, _ = self.place.ours("eval", model, "--data", self.files["test"], *self.recipe.columns, "--max-length", self.recipe.max_length,
                                    "--json", "--quiet")
        return {"test": numbers(json.loads(tested)), "runs": runs}

    def theirs(self, seed):
        found, run = self.table.reference(self.recipe, self.start(seed), self.files, [
            "--first", self.mixed(), "--first-epochs", SILVER["epochs"], "--first-learning-rate", SILVER["learning_rate"],
            "--train", self.own(), "--valid", self.files["valid"], "--metric", "spearman", "--epochs", OWN["epochs"],
            "--batch-size", BATCH, "--max-length", self.recipe.max_length, "--learning-rate", OWN["learning_rate"],
            "--r-drop", OWN["r_drop"], "--seed", seed, *(["--bf16"] if self.given.bf16 else [])])
        return {"test": found["test"], "runs": [{"epoch": found["epoch"], "valid": found["valid"], **run}]}

    def record(self):
        """The record of all that is done."""
        found = {what: [json.loads(p.read_text(encoding="utf-8")) for p in sorted(self.results.glob(f"{what}*.json"))]
                 for what in ("teacher", "pairs", "first", "polyseme", "transformers")}
        rows = []
        for arm in ("polyseme", "transformers"):
            of_arm = found[arm]
            if of_arm:
                each = {part: [p[part]["spearman"] if part == "test" else p["runs"][-1]["valid"]["spearman"] for p in of_arm] for part in ("valid", "test")}
                s = record.spread(each["test"])
                rows.append([arm, f"{100 * statistics.median(each['valid']):.1f}", f"{100 * s['median']:.1f}", f"{100 * s['min']:.1f} – {100 * s['max']:.1f}",
                             " ".join(f"{100 * value:.1f}" for value in each["test"])])
        found |= record.facts(self.place.binary, *PACKAGES, python=self.given.python) | {"near": pairs.NEAR}
        lines = ["# STS-B by a head on the pair, with pairs that vectors have scored", "", *record.header(found), "",
                 f"Spearman × 100; wanted are {100 * WANTED:.0f} on the test rows.", "",
                 *record.table(["", "validation, median", "test, median", "from – to", "each seed"], rows)]
        folder = self.given.record or (self.place.work / "record" if self.given.quick else None)
        record.write(record.run_folder("silver", folder), found, lines)


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
