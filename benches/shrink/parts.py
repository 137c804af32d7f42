"""What the measurements of shrinking share: rows to learn from, parts that are kept, medians over paired seeds."""

import argparse
import json
import shutil
import statistics
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(ROOT / "scripts"), str(HERE.parent / "peers"), str(HERE.parent / "tasks")]
import record
import sets
from place import Place

TEXTS = ("--text", "text", "--label", "label")

# Task, words that name the columns, what is measured, and the longest input of each set.
SETS = {
    "20news": ("classify", TEXTS, "accuracy", 96),
    "r8": ("classify", TEXTS, "accuracy", 96),
    "r52": ("classify", TEXTS, "accuracy", 96),
    "stsb": ("regress", ("--text", "one", "--pair", "two", "--label", "score"), "spearman", 96),
}


class Parts:
    """Rows, folders, and results that are made once."""

    def __init__(self, given):
        self.given = given
        self.place = Place(given)
        self.place.shared = given.shared.resolve()
        self.results = self.place.work / "results"
        self.results.mkdir(parents=True, exist_ok=True)
        self.task, self.columns, self.measure, self.longest = SETS[given.set]
        self.files, self.sizes = sets.files(self.place, given.set, given.quick)

    def learning(self, seed, epochs, learning_rate):
        """The words that every arm is given alike."""
        return ["--train", self.files["train"], "--valid", self.files["valid"], *self.columns, "--max-length", self.longest,
                "--epochs", epochs, "--patience", 0, "--learning-rate", learning_rate, "--seed", seed, "--json", "--quiet"]

    def part(self, arm, seed, settings, make):
        """The result of an arm and a seed: kept if it was made with these settings and rows, else made."""
        settings = json.loads(json.dumps(settings | {"sha256": self.sizes["sha256"]}, default=str))
        path = self.results / f"{self.given.set}-{arm}-{seed}.json"
        if path.exists():
            kept = json.loads(path.read_text(encoding="utf-8"))
            if kept["settings"] == settings:
                return kept
            sys.exit(f"{record.relative(path)} was made with other settings or rows; remove it, or take another --work")
        found = make()
        found = {"set": self.given.set, "arm": arm, "seed": seed, "settings": settings, **found}
        found |= {"commit": record.output_of("git", "rev-parse", "--short=12", "HEAD"), "threads": self.given.threads}
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        temporary.rename(path)
        print(f"  {self.given.set} {arm:10} seed {seed}: {self.measure} {found['test'][self.measure]:.4f}", file=sys.stderr, flush=True)
        return found

    def fresh(self, name):
        """A folder that is not there."""
        out = self.place.work / name
        shutil.rmtree(out, ignore_errors=True)
        return out

    def tested(self, model):
        """The metrics of a model on the test rows, on which nothing was chosen."""
        said, run = self.place.ours("eval", model, "--data", self.files["test"], *self.columns, "--max-length", self.longest, "--json", "--quiet")
        found = json.loads(said)
        return {key: value for key, value in found.items() if isinstance(value, (int, float))}, run

    def done(self, arm, seeds):
        """The results of an arm that are there, by seed."""
        paths = {seed: self.results / f"{self.given.set}-{arm}-{seed}.json" for seed in seeds}
        return {seed: json.loads(path.read_text(encoding="utf-8")) for seed, path in paths.items() if path.exists()}


def paired(better, worse):
    """Differences of two arms over the seeds that both have, with their median and how far it may be off."""
    seeds = sorted(better.keys() & worse.keys())
    differences = [better[seed] - worse[seed] for seed in seeds]
    if not differences:
        return None
    error = statistics.stdev(differences) / len(differences) ** 0.5 if len(differences) > 1 else None
    return {"seeds": seeds, "differences": differences, "median": statistics.median(differences),
            "mean": statistics.fmean(differences), "standard_error": error}


def arguments(doc, work, chosen):
    """The words of a measurement, before its own."""
    p = argparse.ArgumentParser(description=doc.split("\n\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    p.add_argument("--set", choices=list(SETS), default=chosen, help="rows")
    p.add_argument("--seeds", nargs="*", type=int, default=[1, 2, 3, 4, 5], help="seeds to run; none: only the record")
    p.add_argument("--quick", action="store_true", help="does it work? seed 1, one epoch, a hundred rows, a record in the work folder")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--shared", type=Path, default=ROOT.parent / "shared", help="folder with data/stsb-en-*.csv")
    p.add_argument("--binary", type=Path, default=ROOT / "target/release/polyseme")
    p.add_argument("--data", type=Path, default=ROOT / ".data")
    p.add_argument("--work", type=Path, help=f"instead of .data/shrink/{work}")
    p.add_argument("--record", help=f"folder for the record instead of benches/runs/<date>-{work}")
    p.set_defaults(python=Path(sys.executable))
    return p


def settled(given, work):
    """The words with the work folder; of a trial one seed, and the record beside its parts."""
    given.work = given.work or ROOT / ".data/shrink" / work / ("quick" if given.quick else "")
    if given.quick:
        given.seeds = given.seeds[:1]
        given.record = given.record or given.work / "record"
    if not given.binary.exists():
        sys.exit(f"{given.binary} is missing: run `cargo build --release`")
    return given
