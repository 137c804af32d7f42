"""Half of the heads and half of the feed-forward units cut out of a fine-tuned all-MiniLM-L6-v2: what is lost, what is won.

    scripts/fetch-data.sh minilm 20news
    cargo build --release
    python benches/shrink/prune.py                     # all that is not done yet, then the record
    python benches/shrink/prune.py --seeds 1           # this seed; the record has all that is done
    python benches/shrink/prune.py --quick             # does it work? one epoch of a hundred rows

For each seed a teacher is fine-tuned, then cut in rounds, after each of which what is left learns from it again. Both
are measured on the test rows. Time is that of `polyseme eval` on the same rows, one model after the other, several
times; the threads are the same. Finished parts are kept in the work folder and skipped; teachers stay there, too.
"""

import json
import statistics

from parts import Parts, arguments, settled
import record  # found by what parts.py adds to the path


def teacher(parts, seed):
    """The fine-tuned model, and its part."""
    given, out = parts.given, parts.place.work / f"teacher-{parts.given.set}-{seed}"

    def make():
        parts.fresh(out.name)
        learning = parts.learning(seed, given.teacher_epochs, given.learning_rate)
        said, run = parts.place.ours("finetune", parts.place.minilm(), "--task", parts.task, "--out", out, *learning)
        best = json.loads(said)["results"][0]
        test, _ = parts.tested(out)
        return {"epoch": best["epoch"], "test": test, **run}

    settings = {"epochs": given.teacher_epochs, "learning_rate": given.learning_rate, "longest": parts.longest}
    return out, parts.part("teacher", seed, settings, make)


def pruned(parts, seed):
    """What is left of a teacher, beside it."""
    given = parts.given
    whole, _ = teacher(parts, seed)

    def make():
        out = parts.fresh(f"pruned-{given.set}-{seed}")
        cut = ["--keep-heads", given.keep, "--keep-units", given.keep, "--rounds", given.rounds, "--preset", given.preset]
        learning = parts.learning(seed, given.epochs, given.learning_rate)
        said, run = parts.place.ours("shrink", "prune", whole, "--out", out, *cut, *learning)
        outcome = json.loads(said)
        test, _ = parts.tested(out)
        seconds = raced(parts, {"whole": whole, "pruned": out})
        sizes = {name: (folder / "model.safetensors").stat().st_size for name, folder in (("whole", whole), ("pruned", out))}
        if not given.keep_models:
            parts.fresh(out.name)
        return {"test": test, "rounds": outcome["rounds"], "parameters_before": outcome["parameters_before"], "bytes": sizes,
                "seconds": seconds, **run}

    keys = ("keep", "rounds", "preset", "epochs", "learning_rate", "repeat")
    return parts.part("pruned", seed, {key: getattr(given, key) for key in keys} | {"longest": parts.longest}, make)


def raced(parts, models):
    """Seconds of `eval` on the test rows, in turns."""
    seconds = {name: [] for name in models}
    for _ in range(parts.given.repeat):
        for name, model in models.items():
            seconds[name].append(parts.tested(model)[1]["wall_seconds"])
    return seconds


def write(parts):
    """The record of all that is done."""
    given = parts.given
    wholes, smaller = (parts.done(arm, range(100)) for arm in ("teacher", "pruned"))
    rows, kept, faster = [], [], []
    for seed, found in smaller.items():
        before, after = wholes[seed]["test"][parts.measure], found["test"][parts.measure]
        ratios = [a / b for a, b in zip(found["seconds"]["whole"], found["seconds"]["pruned"])]
        kept.append(after / before)
        faster.append(statistics.median(ratios))
        last = found["rounds"][-1]
        rows.append([seed, f"{100 * before:.2f}", f"{100 * after:.2f}", f"{100 * kept[-1]:.1f} %", f"{faster[-1]:.2f}",
                     " ".join(map(str, last["heads"])), " ".join(map(str, last["units"])), f"{last['parameters'] / found['parameters_before']:.3f}"])
    facts = record.facts(parts.place.binary) | {"threads": given.threads, "trial": given.quick, "set": given.set, "sizes": parts.sizes}
    facts |= {"measure": parts.measure, "kept": kept, "times_faster": faster, "teacher": wholes, "pruned": smaller}
    columns = ["seed", f"test {parts.measure} × 100, whole", "pruned", "kept", "times faster", "heads of each layer", "units of each layer", "parameters left"]
    lines = ["# Half of the heads and half of the feed-forward units", "", *record.header(facts), "",
             f"{given.set}, {parts.sizes['train']} rows to learn from, {parts.sizes['valid']} that choose the epoch, {parts.sizes['test']} to test. Cut to "
             f"{given.keep} in {given.rounds} round(s), {given.epochs} epochs each, taught by the whole ({given.preset}). Times are of `eval` on the test "
             f"rows, medians of the ratios of {given.repeat} turns, {given.threads} threads.", "", *record.table(columns, rows)]
    if rows:
        lines += ["", f"Medians over {len(rows)} seed(s): {100 * statistics.median(kept):.1f} % kept, {statistics.median(faster):.2f} times faster."]
    record.write(record.run_folder("prune", given.record), facts, lines)


def main():
    p = arguments(__doc__, "prune", "20news")
    p.add_argument("--keep", type=float, default=0.5, help="share of heads and of units that stays")
    p.add_argument("--rounds", type=int, default=2)
    p.add_argument("--preset", default="hinton")
    p.add_argument("--teacher-epochs", type=int, default=3)
    p.add_argument("--epochs", type=int, default=3, help="of each round")
    p.add_argument("--learning-rate", type=float, default=2e-4)
    p.add_argument("--repeat", type=int, default=3, help="turns of the race")
    p.add_argument("--keep-models", action="store_true", help="leave pruned models in the work folder, too")
    given = settled(p.parse_args(), "prune")
    if given.quick:
        given.teacher_epochs = given.epochs = 1
    parts = Parts(given)
    for seed in given.seeds:
        pruned(parts, seed)
    write(parts)


if __name__ == "__main__":
    main()
