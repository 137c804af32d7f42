"""What cheap ways of tuning cost: time and memory of an epoch on 20 Newsgroups, beside tuning everything.

    scripts/fetch-data.sh minilm 20news
    cargo build --release
    python benches/tasks/cheap.py            # all that is not done yet, on quiet cores, then the record
    python benches/tasks/cheap.py --quick    # does it work? a few hundred rows

Each way is a process of its own on the same rows, at the usual learning rate of its kind: two epochs, five where only the head
learns. The time of an epoch is the median of those after the first, validation included; the first time of all is the
process's less these.
The bar: where only the head learns, and hidden states are computed once, an epoch is ten times faster.
"""

import json
import shutil
import statistics
import sys

from run import TEXTS, Table, arguments

import record
import sets
from place import Refused

EPOCHS = 2
EPOCHS_OF_FEATURES = 5
LONGEST = 64
WAYS = {
    "everything": (),
    "LoRA of rank 8 on query and value": ("--lora", 8),
    "bottleneck adapters of 64": ("--adapter-size", 64),
    "biases and head (BitFit)": ("--tune-only", "*.bias"),
    "the last layer and head": ("--freeze", 5),
    "head only, hidden states computed once": ("--freeze", "encoder"),
}
FEATURES = "head only, hidden states computed once"
FASTER = 10.0


def epochs_of(folder):
    """Seconds of each epoch, from the rows of the run that hold a validation."""
    rows = [json.loads(line) for line in (folder / "run" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    ends = [row["seconds"] for row in rows if row.get("valid")]
    return [end - begin for begin, end in zip([0.0, *ends], ends)]


def measured(table, way, flags):
    """A way's seconds an epoch, peak memory and accuracy on the test; kept once they are there."""
    number = list(WAYS).index(way)
    kept = (table.given.results or table.place.work / "cheap") / f"{number}.json"
    epochs_asked = EPOCHS_OF_FEATURES if way == FEATURES else EPOCHS
    if kept.exists():
        found = json.loads(kept.read_text(encoding="utf-8"))
        if (found["longest"], len(found["epochs"])) != (LONGEST, epochs_asked):
            raise Refused(f"{record.relative(kept)} was made with other settings; remove it")
        return found
    files, _ = sets.files(table.place, "20news", table.given.quick)
    out = table.place.work / f"cheap-{number}"
    shutil.rmtree(out, ignore_errors=True)
    length = ("--max-length", LONGEST)
    said, run = table.place.ours(
        "finetune", table.place.minilm(), "--task", "classify", "--train", files["train"], "--valid", files["valid"], "--out", out,
        *TEXTS, *length, "--epochs", epochs_asked, "--patience", 0, "--seed", 1, *flags, "--json", "--quiet")
    epochs = epochs_of(out)
    trained, _ = table.place.ours("eval", out, "--data", files["test"], *TEXTS, *length, "--json", "--quiet")
    shutil.rmtree(out)
    later = statistics.median(epochs[1:])
    found = {"way": way, "longest": LONGEST, "epoch_seconds": later, "epochs": epochs, "before_seconds": run["wall_seconds"] - sum(epochs[1:]),
             "rate": json.loads(said)["learning_rate"], "accuracy": json.loads(trained)["accuracy"], **run}
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(f"  {way:40} {later:8.2f} s an epoch  {run['peak_bytes'] / 2**20:6.0f} MiB  {found['accuracy']:.4f}", file=sys.stderr, flush=True)
    return found


def main():
    given = arguments()
    given.python = given.python or sys.executable
    table = Table(given)
    try:
        ways = [measured(table, way, flags) for way, flags in WAYS.items()]
    except (Refused, sets.Missing) as why:
        sys.exit(f"failed: {why}")
    of = {way["way"]: way for way in ways}
    all_ = of["everything"]
    faster = all_["epoch_seconds"] / of[FEATURES]["epoch_seconds"]
    found = record.facts(given.binary) | {"threads": given.threads, "trial": given.quick, "ways": ways, "features_faster": faster}
    lines = ["# Cheap ways of tuning, on 20 Newsgroups from all-MiniLM-L6-v2", "", *record.header(found), ""]
    if given.quick:
        lines += ["**A trial of a few rows. The numbers mean nothing.**", ""]
    lines += [f"{given.threads} threads, {EPOCHS} epochs ({EPOCHS_OF_FEATURES} where only the head learns) of batches of 32 texts of at most {LONGEST} tokens; one seed.", ""]
    lines += record.table(
        ["what learns", "an epoch", "beside everything", "all before the second epoch", "peak memory", "test accuracy", "rate"],
        [[w["way"], f"{w['epoch_seconds']:.1f} s", f"{all_['epoch_seconds'] / w['epoch_seconds']:.2f}×", f"{w['before_seconds']:.0f} s",
          f"{w['peak_bytes'] / 2**20:.0f} MiB", f"{100 * w['accuracy']:.1f} %", f"{w['rate']:g}"] for w in ways])
    met = "met" if faster >= FASTER else "**not met**"
    lines += ["", f"Where only the head learns an epoch is {faster:.1f} times faster (bar {FASTER:.0f}: {met})."]
    folder = given.record or (table.place.work / "record-cheap" if given.quick else None)
    record.write(record.run_folder("cheap-tuning", folder), found, lines)


if __name__ == "__main__":
    main()
