"""What the measurements of shrinking share: sets, teachers, parts that are kept, races, medians over paired seeds."""

import argparse
import json
import math
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
from run import RECIPES

# R52 is learned as R8 is.
SETS = {name: RECIPES[name] for name in ("20news", "r8", "stsb", "cosine", "wnut")} | {"r52": RECIPES["r8"]}


def kept(path, what, settings, threads, make):
    """A result from its file if it was made with these settings, else a new one, written there; and whether it is new."""
    settings = json.loads(json.dumps(settings, default=str))
    if path.exists():
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["settings"] == settings:
            return found, False
        sys.exit(f"{record.relative(path)} was made with other settings or rows; remove it, or take another --work")
    return record.keep(path, what | {"settings": settings, **make()}, threads), True


class Parts:
    """Rows, folders, and results that are made once."""

    def __init__(self, given, start=None):
        self.given = given
        self.start = start
        self.place = Place(given)
        self.place.shared = given.shared.resolve()
        self.results = given.results or self.place.work / "results"
        self.recipe = SETS[given.set]
        self.measure = self.recipe.measure[0]
        self.files, self.sizes = sets.files(self.place, given.set, given.quick)

    def learning(self, seed, epochs, learning_rate=None):
        """The words that every arm is given alike."""
        return ["--train", self.files["train"], "--valid", self.files["valid"], *self.recipe.columns, "--max-length", self.recipe.max_length,
                "--epochs", epochs, "--patience", 0, "--learning-rate", learning_rate or self.recipe.learning_rate, "--seed", seed,
                *self.recipe.more, *(["--bf16"] if self.given.bf16 else []), "--json", "--quiet"]

    def part(self, arm, seed, settings, make):
        """The result of an arm and a seed: kept if it was made with these settings and rows, else made."""
        settings = settings | {"sha256": self.sizes["sha256"], "longest": self.recipe.max_length}
        # A model of `benches/tasks/run.py` learned in its own way.
        settings |= {"bf16": self.given.bf16} if arm != "teacher" else {}
        what = {"set": self.given.set, "arm": arm, "seed": seed}
        found, new = kept(self.path(arm, seed), what, settings, self.given.threads, make)
        if new:
            shown = f"{self.measure} {found['test'][self.measure]:.4f}" if "test" in found else "raced"
            print(f"  {self.given.set} {arm:10} seed {seed}: {shown}", file=sys.stderr, flush=True)
        return found

    def path(self, arm, seed):
        """Where a part is kept: a teacher is the same for all measurements."""
        folder = self.given.teachers / "results" if arm == "teacher" else self.results
        return folder / f"{self.given.set}-{arm}-{seed}.json"

    def fresh(self, name):
        """A folder that is not there."""
        out = self.place.work / name
        shutil.rmtree(out, ignore_errors=True)
        return out

    def tested(self, model):
        """The metrics of a model on the test rows, on which nothing was chosen."""
        said, run = self.place.ours("eval", model, "--data", self.files["test"], *self.recipe.columns, "--max-length", self.recipe.max_length,
                                    "--json", "--quiet")
        found = json.loads(said)
        return {key: value for key, value in found.items() if isinstance(value, (int, float))}, run

    def done(self, arm, seeds=range(100)):
        """The results of an arm that are there, by seed."""
        paths = {seed: self.path(arm, seed) for seed in seeds}
        return {seed: json.loads(path.read_text(encoding="utf-8")) for seed, path in paths.items() if path.exists()}

    def made(self, way, seed):
        """The folder of what a way makes of a teacher."""
        return self.place.work / f"{way}-{self.given.set}-{seed}"


def teacher(parts, seed):
    """A fine-tuned all-MiniLM-L6-v2, and its part: one that `benches/tasks/run.py --keep-models` has left, else a new one of the
    same recipe; or what comes of the model that the parts start from."""
    given, name = parts.given, f"{parts.given.set}-{seed}"
    left, own = ROOT / f".data/tasks/tuned-{parts.given.set}-polyseme-{seed}", given.teachers / name
    of_tasks = not given.quick and not parts.start and (left / "model.safetensors").exists() and not own.exists()
    out = left if of_tasks else own

    def make():
        run = {}
        if not of_tasks:
            shutil.rmtree(own, ignore_errors=True)
            own.parent.mkdir(parents=True, exist_ok=True)
            learning = parts.learning(seed, given.teacher_epochs or parts.recipe.epochs)
            words = ["--metric", parts.measure, "--batch-size", 32, "--set", "probe_first=false"]
            _, run = parts.place.ours("finetune", parts.start or parts.place.minilm(), "--task", parts.recipe.task, "--out", own, *learning, *words)
        test, _ = parts.tested(out)
        return {"test": test, **run}

    return out, parts.part("teacher", seed, {"epochs": given.teacher_epochs or parts.recipe.epochs}, make)


def race(parts, way):
    """A teacher and what a way made of it, in turns: tokens a second of `bench`, and seconds of `eval` on the test rows, which
    reads and cuts texts, too. One seed: what counts is the shape. For a quiet machine."""
    seeds = sorted(seed for seed in parts.done(way) if parts.made(way, seed).exists())
    if not seeds:
        sys.exit(f"no model of {way} is there to race with")
    seed = seeds[0]
    models = {"whole": teacher(parts, seed)[0], "smaller": parts.made(way, seed)}

    def make():
        speeds, seconds = ({name: [] for name in models} for _ in range(2))
        for _ in range(parts.given.repeat):
            for name, model in models.items():
                said, run = parts.place.ours("bench", model, "--batch", 32, "--seq-len", parts.recipe.max_length, "--json", "--quiet")
                speeds[name].append(json.loads(said)["tokens_per_second"])
                seconds[name].append(parts.tested(model)[1]["wall_seconds"])
        return {"tokens_per_second": speeds, "eval_seconds": seconds, "command": run["command"]}

    return parts.part(f"race-{way}", seed, {"repeat": parts.given.repeat}, make)


def raced(parts, way):
    """Times faster by a race: in a model's own time, and from start to end of `eval`; nothing where there was none."""
    found = list(parts.done(f"race-{way}").values())
    if not found:
        return None
    speed, seconds = found[0]["tokens_per_second"], found[0]["eval_seconds"]
    middle = statistics.median
    return middle(speed["smaller"]) / middle(speed["whole"]), middle(seconds["whole"]) / middle(seconds["smaller"])


def told(parts, way):
    """The same in words."""
    found = raced(parts, way)
    if not found:
        return "times not measured yet (--race)"
    said = next(iter(parts.done(f"race-{way}").values()))
    return (f"{found[0]:.2f} times faster (`bench`, 32 texts of {parts.recipe.max_length} tokens; {found[1]:.2f} times by `eval` on the test rows, start, "
            f"reading and cutting included; ratios of medians of {len(said['eval_seconds']['whole'])} turns, {said['threads']} threads)")


def weights(folder):
    """Bytes of a model's weights."""
    return (folder / "model.safetensors").stat().st_size


def encoder_parameters(folder):
    """Numbers in the layers, by the file's own table of shapes (embeddings and head left out)."""
    with open(folder / "model.safetensors", "rb") as file:
        table = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    kept = (t for name, t in table.items() if ".layer." in name and name.rsplit(".", 1)[-1] in ("weight", "bias"))
    return sum(math.prod(t["shape"]) for t in kept)


def paired(better, worse):
    """Differences of two arms over the seeds that both have, with their median and how far it may be off."""
    seeds = sorted(better.keys() & worse.keys())
    differences = [better[seed] - worse[seed] for seed in seeds]
    if not differences:
        return None
    error = statistics.stdev(differences) / len(differences) ** 0.5 if len(differences) > 1 else None
    return {"seeds": seeds, "differences": differences, "median": statistics.median(differences),
            "mean": statistics.fmean(differences), "standard_error": error}


def arguments(doc, work, chosen=None):
    """The words of a measurement, before its own; with `chosen` it is of one set of rows."""
    p = argparse.ArgumentParser(description=doc.split("\n\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    if chosen:
        p.add_argument("--set", choices=list(SETS), default=chosen, help="rows")
    p.add_argument("--seeds", nargs="*", type=int, default=[1, 2, 3, 4, 5], help="seeds to run; none: only the record")
    p.add_argument("--quick", action="store_true", help="does it work? seed 1, one epoch, a hundred rows, a record in the work folder")
    p.add_argument("--race", action="store_true", help="learn nothing, but measure times, on a quiet machine")
    p.add_argument("--repeat", type=int, default=5, help="turns of a race")
    p.add_argument("--teacher-epochs", type=int, help="instead of those of benches/tasks/run.py")
    p.add_argument("--bf16", action="store_true", help="let all that learns multiply in bfloat16")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--shared", type=Path, default=ROOT.parent / "shared", help="folder with data/stsb-en-*.csv")
    p.add_argument("--binary", type=Path, default=ROOT / "target/release/polyseme")
    p.add_argument("--data", type=Path, default=ROOT / ".data")
    p.add_argument("--work", type=Path, help=f"instead of .data/shrink/{work}")
    p.add_argument("--results", type=Path, help="folder of finished parts instead of results in the work folder: of a record, to go on with it")
    p.add_argument("--record", help=f"folder for the record instead of benches/runs/<date>-{work}")
    p.set_defaults(python=Path(sys.executable))
    return p


def settled(given, work):
    """The words with the work folder; of a trial one seed, and the record beside its parts."""
    given.work = given.work or ROOT / ".data/shrink" / work / ("quick" if given.quick else "")
    given.teachers = ROOT / ".data/shrink/teachers"
    if given.quick:
        given.teachers = given.work / "teachers"
        # A teacher that knows nothing would be refused.
        given.teacher_epochs = 12
        given.seeds = given.seeds[:1]
        given.record = given.record or given.work / "record"
    if not given.binary.exists():
        sys.exit(f"{given.binary} is missing: run `cargo build --release`")
    return given
