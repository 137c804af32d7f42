"""Which way of tuning wins with little data: 8, 16 and 64 labels of each class, on three sets, five seeds, as a plot.

    scripts/fetch-data.sh minilm 20news r8 spam
    cargo build --release
    python benches/tasks/little.py                              # all that is not done yet, then record and plot
    python benches/tasks/little.py --only r8 --seeds 1 2        # these; the record has all that is done
    python benches/tasks/little.py --quick                      # does it work? two labels a class

A seed draws its own rows; all ways learn from the same ones, with the settings `finetune` has for whoever says nothing
but the way. A thousand rows of the test measure, or all where
there are fewer, the same ones for all ways. Parts that are done are kept in the work
folder. Test rows choose nothing.
"""

import csv
import html
import json
import random
import shutil
import statistics
import sys

from run import TEXTS, Table, arguments

import record
import sets
from place import Refused, short

COUNTS = (8, 16, 64)
ROWS = 1_000
LONGEST = 32
WAYS = {
    "everything": (),
    "R-Drop": ("--r-drop", 1),
    "layers at falling rates": ("--layer-decay", 0.7),
    "LoRA of rank 8": ("--lora", 8),
    "head only": ("--freeze", "encoder"),
}
NAMES = {"20news": "20 Newsgroups", "r8": "Reuters R8", "spam": "SpamAssassin"}


def read(path):
    with open(path, newline="", encoding="utf-8") as source:
        return [(row["text"], row["label"]) for row in csv.DictReader(source)]


def write(path, rows):
    with open(path, "w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerows([("text", "label"), *rows])
    return path


class Little:
    def __init__(self, given):
        self.table, self.given = Table(given), given
        self.work = self.table.place.work / "little"
        self.results = given.results or self.work / "results"
        self.results.mkdir(parents=True, exist_ok=True)

    def files(self, name, count, seed):
        """Rows to learn from, `count` of each class, and the thousand that measure."""
        files, _ = sets.files(self.table.place, name, False)
        rng = random.Random(f"{name} {seed}")
        classes = {}
        for text, label in read(files["train"]):
            classes.setdefault(label, []).append((text, label))
        drawn = [row for label in sorted(classes) for row in rng.sample(classes[label], min(count, len(classes[label])))]
        rng.shuffle(drawn)
        test = read(files["test"])
        test = random.Random(f"{name} test").sample(test, min(ROWS, len(test)))
        # A folder a seed: processes of several seeds may run beside each other.
        folder = self.work / str(seed)
        folder.mkdir(parents=True, exist_ok=True)
        return write(folder / "train.csv", drawn), write(folder / "test.csv", test)

    def part(self, name, count, way, seed):
        path = self.results / f"{name}-{count}-{list(WAYS).index(way)}-{seed}.json"
        if path.exists():
            if json.loads(path.read_text(encoding="utf-8"))["longest"] != LONGEST:
                raise Refused(f"{record.relative(path)} was made of longer or shorter texts; remove it")
            return
        train, test = self.files(name, count, seed)
        out = self.work / str(seed) / "tuned"
        shutil.rmtree(out, ignore_errors=True)
        place = self.table.place
        _, run = place.ours("finetune", place.minilm(), "--task", "classify", "--train", train, "--out", out, *TEXTS, "--max-length", LONGEST,
                            "--seed", seed, *WAYS[way], "--json", "--quiet")
        said, _ = place.ours("eval", out, "--data", test, *TEXTS, "--max-length", LONGEST, "--json", "--quiet")
        shutil.rmtree(out)
        accuracy = json.loads(said)["accuracy"]
        found = {"set": name, "labels": count, "way": way, "seed": seed, "longest": LONGEST, "accuracy": accuracy, **run}
        record.keep(path, found, self.given.threads)
        print(f"  {name:7} {count:3} labels  {way:24} seed {seed}: {100 * accuracy:.1f} %  {run['wall_seconds']:.0f} s", file=sys.stderr, flush=True)

    def run(self, names, counts):
        for seed in self.given.seeds:
            for name in names:
                for count in counts:
                    for way in WAYS:
                        self.part(name, count, way, seed)

    def parts(self):
        order = {way: i for i, way in enumerate(WAYS)}
        found = [json.loads(p.read_text(encoding="utf-8")) for p in self.results.glob("*-*-*.json")]
        return sorted(found, key=lambda p: (list(NAMES).index(p["set"]), p["labels"], order[p["way"]], p["seed"]))


def grouped(parts):
    """Accuracies by set, labels and way."""
    found = {}
    for p in parts:
        found.setdefault((p["set"], p["labels"], p["way"]), []).append(p["accuracy"])
    return found


def plot(groups):
    """A panel a set: labels of a class from left to right, a line a way, from the lowest to the highest seed a bar."""
    names = [name for name in NAMES if any(key[0] == name for key in groups)]
    counts = sorted({key[1] for key in groups})
    wide, high, left, top = 270, 240, 44, 40
    dashes = ["", "6 3", "2 3", "8 3 2 3", "1 2"]
    colors = ["#1f5fa8", "#b3541e", "#2f7d4f", "#7a4a9e", "#8a6d1b"]
    width, height = left + len(names) * (wide + left), top + high + 80
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12" role="img">',
           "<title>Test accuracy with few labels, by way of tuning</title>", f'<rect width="{width}" height="{height}" fill="#fff"/>']
    for panel, name in enumerate(names):
        x0 = left + panel * (wide + left)
        values = [v for key, vs in groups.items() if key[0] == name for v in vs]
        low = min(values) // 0.05 * 0.05
        top_value = min(1.0, (max(values) // 0.05 + 1) * 0.05)
        x = lambda count: x0 + 20 + (wide - 40) * counts.index(count) / max(1, len(counts) - 1)
        y = lambda value: top + high * (top_value - value) / (top_value - low)
        out.append(f'<text x="{x0 + wide / 2}" y="22" text-anchor="middle" font-size="14">{html.escape(NAMES[name])}</text>')
        for value in (i / 10 for i in range(11) if low <= i / 10 <= top_value):
            out.append(f'<line x1="{x0}" x2="{x0 + wide}" y1="{y(value):.1f}" y2="{y(value):.1f}" stroke="#ddd"/>')
            out.append(f'<text x="{x0 - 5}" y="{y(value) + 4:.1f}" text-anchor="end">{100 * value:.0f}</text>')
        for count in counts:
            out.append(f'<text x="{x(count):.1f}" y="{top + high + 18}" text-anchor="middle">{count}</text>')
        out.append(f'<text x="{x0 + wide / 2}" y="{top + high + 34}" text-anchor="middle" fill="#555">labels of each class</text>')
        for i, way in enumerate(WAYS):
            points = [(count, groups[name, count, way]) for count in counts if (name, count, way) in groups]
            if not points:
                continue
            shift = 4 * (i - (len(WAYS) - 1) / 2)
            line = " ".join(f"{x(count) + shift:.1f},{y(statistics.median(values)):.1f}" for count, values in points)
            out.append(f'<polyline points="{line}" fill="none" stroke="{colors[i]}" stroke-width="2" stroke-dasharray="{dashes[i]}"/>')
            for count, values in points:
                at = x(count) + shift
                out.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{y(min(values)):.1f}" y2="{y(max(values)):.1f}" stroke="{colors[i]}"/>')
                out.append(f'<circle cx="{at:.1f}" cy="{y(statistics.median(values)):.1f}" r="3" fill="{colors[i]}"/>')
    out.append(f'<text x="8" y="{top - 8}" fill="#555">accuracy, %</text>')
    for i, way in enumerate(WAYS):
        at = left + i * (width - left) / len(WAYS)
        out.append(f'<line x1="{at:.0f}" x2="{at + 26:.0f}" y1="{height - 18}" y2="{height - 18}" stroke="{colors[i]}" stroke-width="2" stroke-dasharray="{dashes[i]}"/>')
        out.append(f'<text x="{at + 32:.0f}" y="{height - 14}">{html.escape(way)}</text>')
    return "\n".join([*out, "</svg>"]) + "\n"


def lines(found, groups):
    text = ["# Little data: which way of tuning wins, from all-MiniLM-L6-v2", "", *record.header(found), ""]
    if found["trial"]:
        text += ["**A trial of two labels a class. The numbers mean nothing.**", ""]
    text += ["Accuracy in percent on a thousand test rows, or all where there are fewer, median of the seeds (lowest – highest); bold the best median of a line.",
             f"Labels are of each class. Settings are the shipped ones, texts of at most {LONGEST} tokens.", "", "![accuracy](plot.svg)", ""]
    cells = []
    for name, count in dict.fromkeys(key[:2] for key in groups):
        medians = {way: statistics.median(groups[name, count, way]) for way in WAYS if (name, count, way) in groups}
        row = [NAMES[name], count]
        for way in WAYS:
            values = groups.get((name, count, way))
            cell = "–" if not values else f"{100 * medians[way]:.1f} ({100 * min(values):.1f} – {100 * max(values):.1f})"
            row.append(f"**{cell}**" if values and medians[way] == max(medians.values()) else cell)
        row.append(max((len(groups[key]) for key in groups if key[:2] == (name, count)), default=0))
        cells.append(row)
    text += record.table(["set", "labels", *WAYS, "seeds"], cells)
    example = next(iter(found["parts"]), None)
    return text + (["", "One of the commands:", "", "```", example["command"], "```"] if example else [])


def main():
    given = arguments()
    given.python = given.python or sys.executable
    little = Little(given)
    names = [name for name in given.only if name in NAMES]
    try:
        little.run(names[:1] if given.quick else names, (2,) if given.quick else COUNTS)
    except (Refused, sets.Missing) as why:
        sys.exit(f"failed: {why}")
    except KeyboardInterrupt:
        pass
    parts = little.parts()
    groups = grouped(parts)
    found = record.facts(given.binary) | {"threads": given.threads, "trial": given.quick, "parts": parts}
    folder = record.run_folder("little-data", given.record or (little.work / "record" if given.quick else None))
    (folder / "plot.svg").write_text(plot(groups), encoding="utf-8")
    text = [line.replace(short([given.binary]), "polyseme") for line in lines(found, groups)]
    record.write(folder, found, text)


if __name__ == "__main__":
    main()
