"""90 % zeros by movement beside 90 % by magnitude: the same epochs, rates and seeds from all-MiniLM-L6-v2.

    scripts/fetch-data.sh minilm entities
    cargo build --release
    python benches/shrink/sparse.py                       # all that is not done yet, then the record
    python benches/shrink/sparse.py --seeds 1 2           # these seeds; the record has all that is done
    python benches/shrink/sparse.py --try score --more "--score-rate 0.03"   # seed 0, validation rows only, no record
    python benches/shrink/sparse.py --quick               # does it work? one epoch of a hundred rows

As in the paper (Sanh et al. 2020), weights become zero while the pre-trained model learns the task, without a teacher;
`dense` is the same fine-tuning with all weights. Recipes are chosen on validation rows, which choose the epoch too;
the test rows are looked at once. Finished parts are kept in the work folder and skipped.
"""

import json
import shlex
import sys

from parts import Parts, arguments, paired, settled
import record  # found by what parts.py adds to the path

SPARSITY = 0.9
RATE = 2e-4
ARMS = {
    "movement": ("--sparsity", SPARSITY, "--by", "movement"),
    "magnitude": ("--sparsity", SPARSITY, "--by", "magnitude"),
    "dense": None,
}


def words(parts, arm, seed, more=()):
    """The command of an arm."""
    given = parts.given
    learning = [*parts.learning(seed, given.epochs, given.learning_rate), "--batch-size", given.batch_size, *more]
    model = parts.place.minilm()
    if ARMS[arm] is None:
        return ["finetune", model, "--task", parts.recipe.task, *learning]
    return ["shrink", "prune", model, "--task", parts.recipe.task, "--preset", "none", *ARMS[arm], *learning]


def learned(parts, arm, seed, more=()):
    """Lets an arm learn; gives its folder and what the record keeps."""
    out = parts.fresh(f"model-{parts.given.set}-{arm}-{seed}")
    said, run = parts.place.ours(*words(parts, arm, seed, more), "--out", out)
    said = json.loads(said)
    best = said["results"][0]
    zeros = said["zeros"]["share"] if "zeros" in said else 0.0
    valid = {key: value for key, value in best["valid"].items() if isinstance(value, float)}
    return out, {"epoch": best["epoch"], "valid": valid, "zeros": zeros, **run}


def part(parts, arm, seed):
    def make():
        out, found = learned(parts, arm, seed)
        test, run = parts.tested(out)
        parts.fresh(out.name)
        return {**found, "test": test, "test_command": run["command"]}

    given = parts.given
    keys = ("epochs", "learning_rate", "batch_size")
    return parts.part(arm, seed, {key: getattr(given, key) for key in keys} | {"words": ARMS[arm]}, make)


def tried(parts):
    """One way for each arm with zeros on the validation rows."""
    for arm in parts.given.arms:
        out, found = learned(parts, arm, 0, shlex.split(parts.given.more) if ARMS[arm] else ())
        parts.fresh(out.name)
        print(f"{parts.given.try_} {arm}: {json.dumps(found)}", flush=True)


def write(parts):
    """The record of all that is done."""
    given = parts.given
    found = {arm: parts.done(arm) for arm in ARMS}
    values = {arm: {seed: part["test"][parts.measure] for seed, part in done.items()} for arm, done in found.items()}
    compared = paired(values["movement"], values["magnitude"])
    facts = record.facts(parts.place.binary) | {"threads": given.threads, "trial": given.quick, "set": given.set, "sizes": parts.sizes}
    facts |= {"measure": parts.measure, "movement_less_magnitude": compared, "parts": found}
    rows = []
    for arm, by_seed in values.items():
        if by_seed:
            s, zeros = record.spread(list(by_seed.values())), {round(p["zeros"], 4) for p in found[arm].values()}
            each = " ".join(f"{100 * value:.1f}" for value in by_seed.values())
            rows.append([arm, ", ".join(f"{100 * z:.1f} %" for z in sorted(zeros)), f"{100 * s['median']:.1f}", f"{100 * s['min']:.1f} – {100 * s['max']:.1f}", each])
    lines = ["# 90 % zeros by movement and by magnitude", "", *record.header(facts), "",
             f"{given.set}, {parts.sizes['train']} rows to learn from, {parts.sizes['valid']} that choose the epoch, {parts.sizes['test']} to test; "
             f"{given.epochs} epochs of batches of {given.batch_size}, rate {given.learning_rate}; {given.threads} threads.", "",
             *record.table(["", "zeros", f"test {parts.measure} × 100, median", "from – to", "each seed"], rows)]
    if compared:
        error = compared["standard_error"]
        lines += ["", f"Movement less magnitude over {len(compared['seeds'])} paired seeds: median {100 * compared['median']:+.1f} points, mean "
                  f"{100 * compared['mean']:+.1f}" + (f" ± {100 * error:.1f} (standard error)." if error is not None else ".")]
    record.write(record.run_folder("sparse", given.record), facts, lines)


def main():
    p = arguments(__doc__, "sparse", "wnut")
    p.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    p.add_argument("--epochs", type=int, default=10)
    p.add_argument("--batch-size", type=int, default=16)
    p.add_argument("--learning-rate", type=float, default=RATE)
    p.add_argument("--try", dest="try_", metavar="NAME", help="only validation rows, seed 0, and no part is kept")
    p.add_argument("--more", default="", help="further words of the arms with zeros, in a try")
    given = settled(p.parse_args(), "sparse")
    if given.more and not given.try_:
        sys.exit("--more is for --try: a record has one recipe")
    if given.quick:
        given.epochs = 1
    parts = Parts(given)
    if given.try_:
        tried(parts)
        return
    for seed in given.seeds:
        for arm in given.arms:
            part(parts, arm, seed)
    write(parts)


if __name__ == "__main__":
    main()
