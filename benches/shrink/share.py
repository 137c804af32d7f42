"""A fine-tuned all-MiniLM-L6-v2 as an ALBERT: its layers share their weights, its embeddings are narrow. What is lost, what is won.

    scripts/fetch-data.sh minilm
    cargo build --release
    python benches/shrink/share.py                     # all that is not done yet, then the record
    python benches/shrink/share.py --set r52           # other rows
    python benches/shrink/share.py --quick             # does it work? one epoch of a hundred rows, of a teacher that saw them twelve times

For each seed a teacher is fine-tuned, its layers come to share their weights, and what is left learns from it again. Both
are measured on the test rows, on which nothing was chosen. Parameters are counted by `polyseme shrink share`; of an
ALBERT as deep and as wide as its teacher at least 70 % of the encoder's are to be gone. Finished parts are kept in the
work folder and skipped.
"""

import json
import statistics

from parts import Parts, arguments, settled, teacher, weights
import record  # found by what parts.py adds to the path

WANTED = 0.7


def shared(parts, seed):
    """What is left of a teacher, beside it."""
    given = parts.given
    whole, _ = teacher(parts, seed)

    def make():
        out = parts.fresh(parts.made("shared", seed).name)
        how = ["--groups", given.groups, "--embedding-size", given.embedding_size, "--preset", given.preset]
        if given.layers:
            how += ["--layers", given.layers]
        learning = parts.learning(seed, given.epochs, given.learning_rate)
        said, run = parts.place.ours("shrink", "share", whole, "--out", out, *how, *learning)
        outcome = json.loads(said)
        test, _ = parts.tested(out)
        counts = {what: outcome[what] for what in ("layers", "embeddings", "parameters")}
        return {"test": test, "valid": outcome["score"], "bytes": {"whole": weights(whole), "shared": weights(out)}, **counts, **run}

    keys = ("groups", "embedding_size", "layers", "preset", "epochs", "learning_rate")
    return parts.part("shared", seed, {key: getattr(given, key) for key in keys}, make)


def gone(both):
    """The share of a number that is gone."""
    return 1 - both["after"] / both["before"]


def write(parts):
    """The record of all that is done."""
    given = parts.given
    wholes, smaller = (parts.done(arm) for arm in ("teacher", "shared"))
    rows, kept = [], []
    for seed, found in smaller.items():
        before, after = wholes[seed]["test"][parts.measure], found["test"][parts.measure]
        kept.append(after / before)
        rows.append([seed, f"{100 * before:.2f}", f"{100 * after:.2f}", f"{100 * kept[-1]:.1f} %",
                     *(f"{100 * gone(found[what]):.1f} %" for what in ("layers", "embeddings", "parameters"))])
    facts = record.facts(parts.place.binary) | {"threads": given.threads, "trial": given.quick, "set": given.set, "sizes": parts.sizes}
    facts |= {"measure": parts.measure, "kept": kept, "teacher": wholes, "shared": smaller}
    columns = ["seed", f"test {parts.measure} × 100, whole", "shared", "kept", "gone of the encoder's layers", "of the embeddings", "of all parameters"]
    lines = ["# An ALBERT of a BERT", "", *record.header(facts), "",
             f"{given.set}, {parts.sizes['train']} rows to learn from, {parts.sizes['valid']} that choose the epoch, {parts.sizes['test']} to test. "
             f"{given.groups} group(s) of layers, embeddings {given.embedding_size} wide, {given.epochs} epochs, taught by the whole ({given.preset}).",
             "", *record.table(columns, rows)]
    if rows:
        least = min(gone(found["layers"]) for found in smaller.values())
        said = "as wanted" if least >= WANTED else f"less than the {100 * WANTED:.0f} % wanted"
        lines += ["", f"Medians over {len(rows)} seed(s): {100 * statistics.median(kept):.1f} % kept; {100 * least:.1f} % of the "
                      f"encoder's parameters gone, {said}."]
    record.write(record.run_folder("share", given.record), facts, lines)


def main():
    p = arguments(__doc__, "share", "stsb")
    p.add_argument("--groups", type=int, default=1)
    p.add_argument("--embedding-size", type=int, default=128)
    p.add_argument("--layers", help="of each group the layer whose weights all take; else their mean")
    p.add_argument("--preset", default="tinybert")
    p.add_argument("--epochs", type=int, default=10)
    p.add_argument("--learning-rate", type=float, default=2e-4)
    given = settled(p.parse_args(), "share")
    if given.quick:
        given.epochs = 1
    parts = Parts(given)
    for seed in given.seeds:
        shared(parts, seed)
    write(parts)


if __name__ == "__main__":
    main()
