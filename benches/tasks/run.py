"""Fine-tuning from all-MiniLM-L6-v2 on seven data sets, one of them in three ways, beside `transformers` with the same recipe, five seeds.

    scripts/fetch-data.sh minilm 20news r8 spam entities brown
    cargo build --release
    python benches/tasks/run.py                                 # all that is not done yet, then the record
    python benches/tasks/run.py --only stsb wnut --seeds 1 2    # these rows and seeds; the record has all that is done
    python benches/tasks/run.py --quick                         # does it work? one epoch of a hundred rows

Three columns. `polyseme` and `transformers` follow the recipe of the table below to the letter: the same files,
the same rate, schedule, batches and epochs, a new head with random values, the best epoch by the same measure on
the same validation rows, and one measurement on the test. `as shipped` is `polyseme finetune` with its own
settings and the same number of epochs. `reference.py` is the other side, `sets.py` says how each set is parted.

STS-B and XQuAD are in no package: --shared names the folder that has `data/stsb-en-{train,dev,test}.csv` and
`data/xquad.en.json`; without it four rows are left out. Finished parts are kept in the work folder and skipped.
Texts are cut to 128 tokens and read two or three times where there are many, since most of the half day that all
of it takes on two quiet cores goes to `transformers`.
"""

import argparse
import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(ROOT / "scripts"), str(HERE.parent / "peers")]
import record
import report
import sets
from place import Place, Refused, process, short
from speed import installed

PACKAGES = ("torch", "transformers", "tokenizers", "seqeval", "scipy")
REQUIREMENTS = HERE / "requirements.txt"
BATCH = 32
ARMS = {"polyseme": "polyseme", "transformers": "transformers", "shipped": "polyseme as shipped"}


@dataclass
class Recipe:
    """A row of the table: what is learned, how, and what is measured."""

    about: str
    task: str
    measure: tuple  # on the test; the first one chooses the epoch, on the validation rows
    epochs: int
    max_length: int
    columns: tuple = ()
    learning_rate: float = 2e-4
    more: tuple = ()  # further words: of polyseme, and of `reference.py` where it learns vectors


TEXTS = ("--text", "text", "--label", "label")
PAIRS = ("--text", "one", "--pair", "two", "--label", "score")

RECIPES = {
    "stsb": Recipe(
        "STS-B, the score of two sentences by a head on the pair, official parts", "regress", ("spearman", "pearson"), 4, 128, PAIRS, 1e-4),
    "similarity": Recipe(
        "STS-B, the score of two sentences by the cosine of their vectors (CoSENT), official parts", "similarity", ("spearman", "pearson"), 4, 128,
        PAIRS, 5e-5, ("--similarity-loss", "cosent")),
    "cosine": Recipe(
        "STS-B, the score of two sentences as the cosine of their vectors by its squared error (R-Drop), official parts", "similarity",
        ("spearman", "pearson"), 8, 128, PAIRS, 5e-5, ("--similarity-loss", "cosine", "--r-drop", 3)),
    "20news": Recipe(
        "20 Newsgroups, 20 topics, official test; a tenth of the training texts chooses", "classify", ("accuracy",), 2, 128, TEXTS),
    "r8": Recipe(
        "Reuters R8, 8 topics, official test; a tenth of the training texts chooses", "classify", ("accuracy",), 3, 128, TEXTS),
    "spam": Recipe(
        "SpamAssassin's mails, subject and body, parted by the texts' hashes", "classify", ("accuracy",), 2, 128, TEXTS),
    "brown": Recipe(
        "Brown, part of speech of each word, 60, 15 and 25 of the 500 documents", "tag", ("accuracy",), 3, 256),
    "wnut": Recipe("entities in tweets, 10 types, parted by a fixed seed", "tag", ("f1", "accuracy"), 10, 128),
    "xquad": Recipe("XQuAD in English, 36, 4 and 8 of the 48 articles", "qa", ("f1", "exact_match"), 5, 384),
}


class Table:
    """The rows asked for, and where their parts lie."""

    def __init__(self, given):
        self.given = given
        self.place = Place(given)
        self.place.shared = given.shared.resolve()
        self.results = given.results or self.place.work / "results"
        self.results.mkdir(parents=True, exist_ok=True)
        self.left_out = {}

    def recipe(self, name):
        """The recipe of a row, shortened in a trial."""
        recipe = RECIPES[name]
        return Recipe(**{**vars(recipe), "epochs": 1}) if self.given.quick else recipe

    def part(self, name, arm, seed):
        """The result of a row for an arm and a seed: kept if it was made with these settings, else made."""
        files, sizes = sets.files(self.place, name, self.given.quick)
        recipe = self.recipe(name)
        keys = ("task", "measure", "epochs", "max_length", "learning_rate")
        settings = json.loads(json.dumps({key: getattr(recipe, key) for key in keys} | {"sha256": sizes["sha256"]}))
        path = self.results / f"{name}-{arm}-{seed}.json"
        if path.exists():
            kept = json.loads(path.read_text(encoding="utf-8"))
            if kept["settings"] == settings:
                return
            raise Refused(f"{record.relative(path)} was made with other settings or files; remove it, or take another --work")
        out = self.place.work / f"tuned-{name}-{arm}-{seed}"
        if arm == "transformers":
            shutil.rmtree(out, ignore_errors=True)
        found = (self.theirs if arm == "transformers" else self.ours)(recipe, arm, files, seed, out)
        if not self.given.keep_models:
            shutil.rmtree(out, ignore_errors=True)
        found = {"row": name, "arm": arm, "seed": seed, "settings": settings, **found, "device": self.given.device}
        record.keep(path, found, self.given.threads)
        shown = ", ".join(f"{key} {found['test'][key]:.4f}" for key in recipe.measure)
        shown += f", epoch {found['epoch']}, {found['wall_seconds']:.0f} s"
        print(f"  {name:7} {arm:13} seed {seed}: {shown}", file=sys.stderr, flush=True)

    def ours(self, recipe, arm, files, seed, out):
        """`polyseme finetune`, then `polyseme eval`."""
        words = ["finetune", self.place.minilm(), "--task", recipe.task, "--train", files["train"], "--valid", files["valid"],
                 "--out", out, *recipe.columns, "--epochs", recipe.epochs, "--seed", seed]
        longest = []
        if arm == "polyseme":
            longest = ["--max-length", recipe.max_length]
            words += [*longest, *recipe.more, "--metric", recipe.measure[0], "--batch-size", BATCH, "--learning-rate", recipe.learning_rate,
                      "--patience", 0, "--set", "probe_first=false"]
        words += ["--bf16"] if self.given.bf16 else []
        always = ["--device", self.given.device, "--json", "--quiet"]
        # What was begun and killed goes on, to the same bytes; its seconds are then those of the rest.
        resumes = (out / "run" / "settings.toml").exists()
        if not resumes:
            shutil.rmtree(out, ignore_errors=True)
        said, run = self.place.ours(*words, *always, *(["--resume"] if resumes else []))
        run["resumed"] = resumes
        best = json.loads(said)["results"][0]
        tested, test_run = self.place.ours("eval", out, "--data", files["test"], *recipe.columns, *longest, *always)
        found = {"epoch": best["epoch"], "valid": numbers(best["valid"]), "test": numbers(json.loads(tested)), **run, "test_command": test_run["command"]}
        found["wall_seconds"] += test_run["wall_seconds"]
        if arm == "polyseme" and self.given.check:
            said, _ = self.reference(recipe, out, files, ["--max-length", recipe.max_length])
            found["test_by_transformers"] = said["test"]
        return found

    def theirs(self, recipe, _, files, seed, out):
        found, run = self.reference(recipe, self.place.minilm(), files, [
            "--train", files["train"], "--valid", files["valid"], "--metric", recipe.measure[0], "--epochs", recipe.epochs,
            "--batch-size", BATCH, "--max-length", recipe.max_length, "--learning-rate", recipe.learning_rate, "--seed", seed,
            *(recipe.more if recipe.task == "similarity" else ())])
        return {**found, **run}

    def reference(self, recipe, model, files, words):
        command = [self.place.python, HERE / "reference.py", recipe.task, model, *words, "--test", files["test"],
                   "--threads", self.given.threads, "--device", self.given.device.partition(":")[0]]
        said, wall, peak = process(command, self.place.environment)
        command[0] = "python"
        run = {"wall_seconds": wall, "peak_bytes": peak, "command": short(command)}
        return json.loads(said.splitlines()[-1]), run

    def run(self):
        """Seeds one after the other, so that an early end has all rows; a row that cannot be run is left out. Sets are
        written before anything runs beside anything else."""
        for name in self.given.only:
            try:
                sets.files(self.place, name, self.given.quick)
            except sets.Missing as why:
                self.left_out[name] = str(why)
        parts = [(name, arm, seed) for seed in self.given.seeds for name in self.given.only for arm in self.given.arms]
        with ThreadPoolExecutor(self.given.jobs) as pool:
            list(pool.map(lambda part: self.try_part(*part), parts))

    def try_part(self, name, arm, seed):
        if name in self.left_out:
            return
        try:
            self.part(name, arm, seed)
        except (sets.Missing, Refused, json.JSONDecodeError, KeyError) as why:
            print(f"  {name} is left out: {why}", file=sys.stderr, flush=True)
            self.left_out[name] = str(why) if isinstance(why, (sets.Missing, Refused)) else repr(why)

    def record(self):
        """The record of all that is done in the work folder."""
        facts = record.facts(self.place.binary, *PACKAGES, python=self.place.python)
        recipes = {name: self.recipe(name) for name in RECIPES}
        rows = report.rows(self.place.work, self.results, recipes, ARMS, self.left_out)
        found = facts | {"threads": self.given.threads, "batch_size": BATCH, "trial": self.given.quick, "rows": rows}
        folder = self.given.record or (self.place.work / "record" if self.given.quick else None)
        lines = report.lines(found, recipes, ARMS)
        # Where the binary was built is nobody's concern.
        built = short([self.place.binary]) + " "
        lines = ["polyseme " + line.removeprefix(built) if line.startswith(built) else line for line in lines]
        record.write(record.run_folder("tasks", folder), found, lines)


def numbers(measured):
    """What was measured, without confusions and the numbers of each class."""
    return {key: value for key, value in measured.items() if isinstance(value, (int, float))}


def interpreter(given):
    """The peers' interpreter, with what is needed here besides."""
    python = given.python or installed(ROOT / ".data/peers/venv")
    if record.versions("seqeval", python=python).get("seqeval", "not installed") == "not installed":
        try:
            install = ["install", "--quiet", "--disable-pip-version-check", "--no-deps", "-r", REQUIREMENTS]
            subprocess.run([python, "-m", "pip", *install], check=True)
        except (OSError, subprocess.CalledProcessError) as e:
            sys.exit(f"seqeval could not be installed: {e}\nhint: name an interpreter that has the peers and seqeval with --python")
    return python


def arguments(doc=__doc__):
    p = argparse.ArgumentParser(description=doc.split("\n\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    p.add_argument("--only", nargs="+", choices=list(RECIPES), metavar="ROW", default=list(RECIPES), help="rows to run")
    p.add_argument("--arms", nargs="*", choices=list(ARMS), metavar="COLUMN", default=list(ARMS), help="columns to run; none: only the record")
    p.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3, 4, 5])
    p.add_argument("--quick", action="store_true", help="a trial: seed 1, one epoch, a hundred rows, a record in the work folder")
    p.add_argument("--check", action="store_true", help="let `transformers` open and measure each model of polyseme's, too")
    p.add_argument("--keep-models", action="store_true", help="leave polyseme's models in the work folder, for benches/shrink/bits.py")
    p.add_argument("--threads", type=int, default=2, help="of each run")
    p.add_argument("--jobs", type=int, default=1, help="runs at a time: their measures are the same, their seconds are not")
    p.add_argument("--bf16", action="store_true", help="let polyseme's models multiply in bfloat16 while they learn")
    p.add_argument("--device", default="cpu", help="of both sides, by polyseme's name, as in cuda:0; for each run its part tells it")
    p.add_argument("--shared", type=Path, default=ROOT.parent / "shared", help="folder with data/stsb-en-*.csv and data/xquad.en.json")
    p.add_argument("--python", type=Path, help="interpreter with the peers, instead of an environment of our own")
    p.add_argument("--binary", type=Path, default=ROOT / "target/release/polyseme")
    p.add_argument("--data", type=Path, default=ROOT / ".data")
    p.add_argument("--results", type=Path, help="folder of finished parts instead of results in the work folder: of a record, to go on with it")
    p.add_argument("--work", type=Path, help="instead of .data/tasks, or .data/tasks/quick in a trial")
    p.add_argument("--record", help="folder for the record instead of benches/runs/<date>-tasks")
    given = p.parse_args()
    given.work = given.work or ROOT / ".data/tasks" / ("quick" if given.quick else "")
    if given.quick:
        given.seeds = [1]
    return given


def main():
    given = arguments()
    if not given.binary.exists():
        sys.exit(f"{given.binary} is missing: run `cargo build --release`")
    given.python = interpreter(given)
    table = Table(given)
    table.run()
    table.record()


if __name__ == "__main__":
    main()
