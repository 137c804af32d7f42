"""Fine-tuned models of each task in 8 bits: what is lost by rounding them, and by learning with rounding.

    scripts/fetch-data.sh minilm 20news r8 spam entities brown
    cargo build --release
    python benches/shrink/bits.py                               # all that is not done yet, then the record
    python benches/shrink/bits.py --only stsb wnut --seeds 1    # these rows and seeds; the record has all that is done

A model is the one that `benches/tasks/run.py --keep-models` has left, else a teacher that `distil.py` has left, else a new one of
the same recipe (with --bf16 if said), which goes once it is measured. From each two are made. `rounded` is `shrink quantize` with
nothing said but the validation rows. `learned` is one more epoch of `finetune --quantize int8` on the task's own training rows
(of a table 2,000 of them, drawn by the seed), at a tenth of the task's rate; the epoch is the last one, there is nothing to choose.
Test rows are measured once for each of the three. Timing is left out of the choice of forms, so that the models are the same on a
busy machine; speed is measured by `int8.py`.
"""

import csv
import json
import random
import shutil
import statistics
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "tasks")]
from run import BATCH, RECIPES, ROOT, Table, arguments, numbers

import record
import sets
from place import Refused

# Relative loss of the metric that is allowed, for each way.
ALLOWED = {"rounded": 0.01, "learned": 0.005}
SMALLER = 3.5
RATE = 0.1
ROWS = 2_000


def drawn(path, seed, out):
    """A file to learn from: of a table some rows, anything else as it is."""
    if path.suffix != ".csv":
        return path
    with open(path, newline="", encoding="utf-8") as source:
        header, *rows = csv.reader(source)
    with open(out, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([header, *random.Random(seed).sample(rows, min(ROWS, len(rows)))])
    return out


class Bits:
    """Models in 8 bits, and what they measure."""

    def __init__(self, given):
        self.given, self.table = given, Table(given)
        self.place = self.table.place
        self.results = given.results or self.place.work / "bits"
        self.results.mkdir(parents=True, exist_ok=True)

    def tested(self, model, recipe, files):
        said, _ = self.place.ours("eval", model, "--data", files["test"], *recipe.columns, "--max-length", recipe.max_length, "--json", "--quiet")
        return numbers(json.loads(said))

    def part(self, name, seed):
        """Both ways from the model of a row and a seed; kept once it is made."""
        path = self.results / f"{name}-{seed}.json"
        if path.exists():
            return
        recipe = RECIPES[name]
        files, sizes = sets.files(self.place, name, False)
        own, teacher = self.place.work / f"tuned-{name}-polyseme-{seed}", ROOT / f".data/shrink/teachers/{name}-{seed}"
        left = [folder for folder in (own, teacher) if (folder / "model.safetensors").exists()]
        whole, learns = left[0] if left else own, not left
        runs = [self.table.ours(recipe, "polyseme", files, seed, whole)] if learns else []
        length = ["--max-length", recipe.max_length]
        rounded, learned = (self.place.work / f"{way}-{name}-{seed}" for way in ALLOWED)
        for out in (rounded, learned):
            shutil.rmtree(out, ignore_errors=True)
        always = ["--json", "--quiet"]
        quantize = ["shrink", "quantize", "--no-timing"]
        said, first = self.place.ours(*quantize, whole, "--out", rounded, "--data", files["valid"], *recipe.columns, *always)
        train = drawn(files["train"], seed, self.place.work / f"drawn-{name}-{seed}.csv")
        learn = ["finetune", whole, "--task", recipe.task, "--train", train, "--valid", files["valid"], "--out", learned,
                 *recipe.columns, "--quantize", "int8", "--epochs", 1, "--seed", seed, *length, *recipe.more, "--metric", recipe.measure[0],
                 "--batch-size", BATCH, "--learning-rate", RATE * recipe.learning_rate, "--patience", 0, *always]
        _, second = self.place.ours(*learn)
        runs += [first, second]
        measured = {"whole": self.tested(whole, recipe, files), "rounded": self.tested(rounded, recipe, files),
                    "learned": self.tested(learned, recipe, files)}
        size = {key: (folder / "model.safetensors").stat().st_size for key, folder in
                (("whole", whole), ("rounded", rounded), ("learned", learned))}
        found = {"row": name, "seed": seed, "measure": recipe.measure[0], "test": measured, "bytes": size, "rounding": json.loads(said),
                 "commands": [run["command"] for run in runs], "sha256": sizes["sha256"]}
        for out in (rounded, learned, *([whole] if learns and not self.given.keep_models else [])):
            shutil.rmtree(out)
        if train != files["train"]:
            train.unlink()
        record.keep(path, found, self.given.threads)
        shown = ", ".join(f"{way} {values[recipe.measure[0]]:.4f}" for way, values in measured.items())
        print(f"  {name:10} seed {seed}: {shown}", file=sys.stderr, flush=True)

    def record(self):
        """The record of all that is done."""
        rows, facts = [], {}
        for name in RECIPES:
            parts = [json.loads(p.read_text(encoding="utf-8")) for p in sorted(self.results.glob(f"{name}-*.json"))]
            if not parts:
                continue
            facts[name] = parts
            test = {way: [p["test"][way][p["measure"]] for p in parts] for way in ("whole", "rounded", "learned")}
            middle = {way: statistics.median(values) for way, values in test.items()}
            cells = [f"{name} ({len(parts)})", parts[0]["measure"], *(f"{100 * value:.2f}" for value in middle.values())]
            for way, allowed in ALLOWED.items():
                lost = statistics.median(1 - a / b for a, b in zip(test[way], test["whole"]))
                cells.append(f"{100 * lost:+.2f} %" if lost <= allowed else f"**{100 * lost:+.2f} %**")
            cells += [f"{statistics.median(p['bytes']['whole'] / p['bytes'][way] for p in parts):.2f}" for way in ALLOWED]
            rows.append(cells)
        found = record.facts(self.place.binary) | {"parts": facts}
        lines = ["# Models of the tasks in 8 bits", "", *record.header(found), "",
                 "Test measures × 100, medians of the seeds (their number in brackets). Lost: the median over the seeds of the share that is",
                 f"lost, of at most {100 * ALLOWED['rounded']:.1f} % by rounding and {100 * ALLOWED['learned']:.1f} % by learning with rounding (more is bold). "
                 f"Wanted is a file {SMALLER} times smaller.", "",
                 *record.table(["row (seeds)", "measure", "f32", "rounded", "learned", "lost by rounding", "lost by learning",
                                "times smaller, rounded", "times smaller, learned"], rows)]
        record.write(record.run_folder("bits", self.given.record), found, lines)


def main():
    given = arguments()
    given.python = given.python or sys.executable
    bits = Bits(given)
    for seed in given.seeds:
        for name in given.only:
            try:
                bits.part(name, seed)
            except (Refused, sets.Missing) as why:
                sys.exit(f"failed: {why}")
    bits.record()


if __name__ == "__main__":
    main()
