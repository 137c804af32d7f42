"""Half of the heads and half of the feed-forward units cut out of a fine-tuned all-MiniLM-L6-v2: what is lost, what is won.

    scripts/fetch-data.sh minilm
    cargo build --release
    python benches/shrink/prune.py                     # all that is not done yet, then the record
    python benches/shrink/prune.py --seeds 1           # this seed; the record has all that is done
    python benches/shrink/prune.py --race              # how much faster one of them is, on a quiet machine
    python benches/shrink/prune.py --quick             # does it work? one epoch of a hundred rows

For each seed a teacher is fine-tuned, then cut in rounds, after each of which what is left learns from it again. Both
are measured on the test rows. Finished parts are kept in the work folder and skipped; teachers stay there, too.
"""

import json
import statistics

from parts import Parts, arguments, race, settled, teacher, told, weights
import record  # found by what parts.py adds to the path


def pruned(parts, seed):
    """What is left of a teacher, beside it."""
    given = parts.given
    whole, _ = teacher(parts, seed)

    def make():
        out = parts.fresh(parts.made("pruned", seed).name)
        cut = ["--keep-heads", given.keep, "--keep-units", given.keep, "--rounds", given.rounds, "--preset", given.preset]
        learning = parts.learning(seed, given.epochs, given.learning_rate)
        said, run = parts.place.ours("shrink", "prune", whole, "--out", out, *cut, *learning)
        outcome = json.loads(said)
        test, _ = parts.tested(out)
        return {"test": test, "rounds": outcome["rounds"], "parameters_before": outcome["parameters_before"],
                "bytes": {"whole": weights(whole), "smaller": weights(out)}, **run}

    keys = ("keep", "rounds", "preset", "epochs", "learning_rate")
    return parts.part("pruned", seed, {key: getattr(given, key) for key in keys}, make)


def write(parts):
    """The record of all that is done."""
    given = parts.given
    wholes, smaller = parts.done("teacher"), parts.done("pruned")
    rows, kept = [], []
    for seed, found in smaller.items():
        before, after = wholes[seed]["test"][parts.measure], found["test"][parts.measure]
        kept.append(after / before)
        last = found["rounds"][-1]
        rows.append([seed, f"{100 * before:.2f}", f"{100 * after:.2f}", f"{100 * kept[-1]:.1f} %",
                     " ".join(map(str, last["heads"])), " ".join(map(str, last["units"])), f"{last['parameters'] / found['parameters_before']:.3f}"])
    facts = record.facts(parts.place.binary) | {"threads": given.threads, "trial": given.quick, "set": given.set, "sizes": parts.sizes}
    facts |= {"measure": parts.measure, "kept": kept, "teacher": wholes, "pruned": smaller, "race-pruned": parts.done("race-pruned")}
    columns = ["seed", f"test {parts.measure} × 100, whole", "pruned", "kept", "heads of each layer", "units of each layer", "parameters left"]
    lines = ["# Half of the heads and half of the feed-forward units", "", *record.header(facts), "",
             f"{given.set}, {parts.sizes['train']} rows to learn from, {parts.sizes['valid']} that choose the epoch, {parts.sizes['test']} to test. Cut to "
             f"{given.keep} in {given.rounds} round(s), {given.epochs} epochs each, taught by the whole ({given.preset}).", "",
             *record.table(columns, rows)]
    if rows:
        lines += ["", f"Medians over {len(rows)} seed(s): {100 * statistics.median(kept):.1f} % kept (wanted 97); {told(parts, 'pruned')} (wanted 1.7)."]
    record.write(record.run_folder("prune", given.record), facts, lines)


def main():
    p = arguments(__doc__, "prune", "stsb")
    p.add_argument("--keep", type=float, default=0.5, help="share of heads and of units that stays")
    p.add_argument("--rounds", type=int, default=2)
    p.add_argument("--preset", default="hinton")
    p.add_argument("--epochs", type=int, default=3, help="of each round")
    p.add_argument("--learning-rate", type=float, default=2e-4)
    given = settled(p.parse_args(), "prune")
    if given.quick:
        given.epochs = 1
    parts = Parts(given)
    if given.race:
        race(parts, "pruned")
    for seed in () if given.race else given.seeds:
        pruned(parts, seed)
    write(parts)


if __name__ == "__main__":
    main()
