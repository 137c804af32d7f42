"""Half of the layers of a fine-tuned all-MiniLM-L6-v2, and a tenth of it, that learn from the whole: what is kept, how
much smaller and faster they are.

    scripts/fetch-data.sh minilm 20news r52
    cargo build --release
    python benches/shrink/distil.py --set 20news           # all that is not done yet, then the record
    python benches/shrink/distil.py --set r52 --ways tiny  # this way only; the record has all that is done
    python benches/shrink/distil.py --set stsb --ways half --augment 1   # few rows: with copies whose words are exchanged
    python benches/shrink/distil.py --set r52 --race       # their speed, on a quiet machine
    python benches/shrink/distil.py --quick                # does it work? one epoch of a hundred rows, of a teacher that saw them twelve times

For each seed a teacher is fine-tuned; then each way goes from it. `half` keeps every other layer and learns the task from
the whole. `tiny` leaves out the pieces that the training texts never use, keeps two layers, half of their heads and a
half of their feed-forward units, learns from the whole, also from copies of the rows with words exchanged, and is
written in 8 bits. Test rows choose nothing.
"""

import json
import statistics

from parts import Parts, arguments, encoder_parameters, race, settled, teacher, told, weights
import record  # found by what parts.py adds to the path

# Promises that each way is held to: share of the metric, times smaller on disk, times faster.
PROMISES = {"half": (0.97, None, 1.6), "tiny": (0.96, 7.5, 9.0)}


def texts(parts):
    """The training texts as a corpus, a text a line."""
    import csv

    path = parts.place.work / f"{parts.given.set}-texts.txt"
    with open(parts.files["train"], newline="", encoding="utf-8") as source:
        rows = list(csv.DictReader(source))
    columns = [c for c in ("text", "one", "two") if c in rows[0]]
    path.write_text("".join(" ".join(row[c].split()) + "\n" for row in rows for c in columns), encoding="utf-8")
    return path


def half(parts, whole, seed, out):
    given = parts.given
    learning = parts.learning(seed, given.epochs, given.learning_rate)
    more = ["--augment", given.augment] if given.augment else []
    said, run = parts.place.ours("shrink", "distil", whole, "--preset", given.preset, *more, "--out", out, *learning)
    return json.loads(said), [run]


def tiny(parts, whole, seed, out):
    given = parts.given
    fewer, small = parts.fresh(f"fewer-{given.set}-{seed}"), parts.fresh(f"small-{given.set}-{seed}")
    _, first = parts.place.ours("shrink", "vocab", whole, "--corpus", texts(parts), "--out", fewer, "--json", "--quiet")
    learning = parts.learning(seed, given.tiny_epochs, given.tiny_learning_rate)
    more = ["--augment", given.tiny_augment] if given.tiny_augment else []
    narrow = ["--keep-layers", "0,5", "--keep-heads", 0.5, "--keep-units", 0.5]
    said, second = parts.place.ours("shrink", "distil", fewer, *narrow, "--preset", given.preset, *more, "--out", small, *learning)
    _, third = parts.place.ours("shrink", "quantize", small, "--out", out, "--no-timing", "--json", "--quiet")
    parts.fresh(fewer.name)
    parts.fresh(small.name)
    return json.loads(said), [first, second, third]


WAYS = {"half": half, "tiny": tiny}


def shrunk(parts, way, seed):
    """What a way makes of a teacher, beside it."""
    given = parts.given
    whole, _ = teacher(parts, seed)

    def make():
        out = parts.fresh(parts.made(way, seed).name)
        outcome, runs = WAYS[way](parts, whole, seed, out)
        test, _ = parts.tested(out)
        # In few bits a file's shapes are those of packed numbers.
        parameters = {name: encoder_parameters(folder) for name, folder in (("whole", whole), ("smaller", out))} if way == "half" else None
        return {"test": test, "epoch": outcome["results"][0]["epoch"], "bytes": {"whole": weights(whole), "smaller": weights(out)},
                "encoder_parameters": parameters, "runs": runs}

    keys = ["preset", *(("epochs", "learning_rate", "augment") if way == "half" else ("tiny_epochs", "tiny_learning_rate", "tiny_augment"))]
    return parts.part(way, seed, {key: getattr(given, key) for key in keys}, make)


def write(parts):
    """The record of all that is done."""
    given = parts.given
    wholes = parts.done("teacher")
    lines, facts = [], {"teacher": wholes}
    for way, (share, smaller, faster) in PROMISES.items():
        found = parts.done(way)
        if not found:
            continue
        rows, kept, sizes = [], [], []
        for seed, part in found.items():
            before, after = wholes[seed]["test"][parts.measure], part["test"][parts.measure]
            kept.append(after / before)
            sizes.append(part["bytes"]["whole"] / part["bytes"]["smaller"])
            counts = part["encoder_parameters"]
            fewer = f"{100 * (1 - counts['smaller'] / counts['whole']):.1f} %" if counts else "–"
            rows.append([seed, f"{100 * before:.2f}", f"{100 * after:.2f}", f"{100 * kept[-1]:.1f} %", f"{sizes[-1]:.2f}", fewer])
        wanted = f"at least {100 * share:.0f} % kept" + (f", {smaller} times smaller" if smaller else ", 40 % fewer") + f", {faster} times faster"
        lines += ["", f"## {way}", "", *record.table(
            ["seed", f"test {parts.measure} × 100, whole", "smaller", "kept", "times smaller on disk", "fewer in the encoder"], rows),
            "", f"Medians over {len(rows)} seed(s): {100 * statistics.median(kept):.1f} % kept, {statistics.median(sizes):.2f} times smaller; "
            f"{told(parts, way)}. Wanted: {wanted}."]
        facts[way] = found
        facts[f"race-{way}"] = parts.done(f"race-{way}")
    facts |= record.facts(parts.place.binary) | {"threads": given.threads, "trial": given.quick, "set": given.set, "sizes": parts.sizes}
    head = [f"# Smaller models that learn from a whole one: {given.set}", "", *record.header(facts), "",
            f"{parts.sizes['train']} rows to learn from, {parts.sizes['valid']} that choose the epoch, {parts.sizes['test']} to test."]
    record.write(record.run_folder(f"distil-{given.set}", given.record), facts, head + lines)


def main():
    p = arguments(__doc__, "distil", "20news")
    p.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    p.add_argument("--preset", default="hinton")
    p.add_argument("--epochs", type=int, default=4)
    p.add_argument("--learning-rate", type=float, default=2e-4)
    p.add_argument("--augment", type=int, default=0, help="copies of each row with words exchanged")
    p.add_argument("--tiny-epochs", type=int, default=6)
    p.add_argument("--tiny-learning-rate", type=float, default=4e-4)
    p.add_argument("--tiny-augment", type=int, default=2, help="likewise, for tiny")
    given = settled(p.parse_args(), "distil")
    if given.quick:
        given.epochs, given.tiny_epochs = 1, 1
    parts = Parts(given)
    for way in given.ways:
        if given.race:
            race(parts, way)
        for seed in () if given.race else given.seeds:
            shrunk(parts, way, seed)
    write(parts)


if __name__ == "__main__":
    main()
