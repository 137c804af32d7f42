"""Our speed and memory beside the peers', on the same work and threads, in turns; with the bars we set ourselves.

    scripts/fetch-data.sh 20news minilm
    cargo build --release
    python benches/peers/speed.py                               # on a quiet machine, about an hour and a half
    python benches/peers/speed.py --only mlm-mini embed-stsb    # these rows; others of today's record stay
    python benches/peers/speed.py --rounds 1 --steps 4 --warmup 1 --texts 64 --calls 20 --starts 2 --record /tmp/x   # does it work

Everything in f32, but for rows that say otherwise. Every contender is a process of its own; peak memory is what the
system saw. The first call installs the peers (`requirements.txt`, 6 GB) into .data/peers/venv, unless --python names an
interpreter that has them. `rows.py` says what is measured; the peers' own code is in `torch_peers.py`
and `embed_peers.py`. Training counts real tokens, padding never, in the steps after a warm-up; embedding
counts texts, from text to vector, without anybody's start.

A row that cannot be run is left out with a line that says why. The record is written after every round.
"""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from statistics import median

from place import HERE, ROOT, Place, Refused, record
from rows import BEST, OURS, ROWS

PACKAGES = ("torch", "transformers", "accelerate", "tokenizers", "sentence-transformers", "onnxruntime", "numpy")
REQUIREMENTS = HERE / "requirements.txt"


def installed(folder):
    """The interpreter of an environment that has the peers, installed if they are not there yet."""
    python, done = folder / "bin" / "python", folder / "installed.txt"
    if done.exists() and done.read_text() == REQUIREMENTS.read_text():
        return python
    print(f"installing the peers into {record.relative(folder)}", file=sys.stderr, flush=True)
    try:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", REQUIREMENTS], check=True)
    except (OSError, subprocess.CalledProcessError) as e:
        sys.exit(f"the peers could not be installed: {e}\nhint: name an interpreter that has them with --python")
    shutil.copy(REQUIREMENTS, done)
    return python


# ---- taking turns -----------------------------------------------------------------------------


class Race:
    """The rows that are run, what they came to so far, and why some were left out."""

    def __init__(self, place, names):
        self.place = place
        self.rounds = {name: {contender: [] for contender in ROWS[name].contenders} for name in names}
        self.prepared, self.left_out = {}, {}

    def leave_out(self, name, why):
        print(f"  {name} is left out: {why}", file=sys.stderr, flush=True)
        self.left_out[name] = str(why)

    def prepare(self):
        for name in self.rounds:
            try:
                self.prepared[name] = ROWS[name].prepare(self.place)
            except Refused as why:
                self.leave_out(name, why)

    def turn(self, number):
        """All contenders of all rows once; every other round goes backwards, so that none always comes after the same."""
        for name, contenders in self.rounds.items():
            order = list(contenders)[:: -1 if number % 2 else 1]
            for contender in order:
                if name not in self.left_out:
                    self.contend(number, name, contender)

    def contend(self, number, name, contender):
        row = ROWS[name]
        try:
            found = row.contenders[contender](self.place, self.prepared[name])
            value, peak = cell(row.measure, found[row.measure]), found["peak_bytes"] / 2**20
        except (Refused, json.JSONDecodeError, KeyError, IndexError) as why:
            what = why if isinstance(why, Refused) else f"{contender} gave no result that can be read ({why!r})"
            return self.leave_out(name, what)
        self.rounds[name][contender].append(found)
        print(f"  round {number + 1}: {name:16} {contender:26} {value:>18} {peak:7.0f} MiB", file=sys.stderr, flush=True)


# ---- what it came to --------------------------------------------------------------------------


def cell(measure, value):
    """A measure as it is read."""
    if measure == "p50_seconds":
        return f"{1e3 * value:.2f} ms"
    return f"{value:,.0f} tokens/s" if measure == "tokens_per_second" else f"{value:,.1f} texts/s"


def better(measure, ours, theirs):
    """How many times better ours is: more of a rate, or less of seconds and bytes."""
    return ours / theirs if measure.endswith("_per_second") else theirs / ours


def judged(row, rounds):
    """Ours beside each peer by medians, and beside the bars."""
    middle = {who: {key: median(v[key] for v in values) for key in (row.measure, "peak_bytes")} for who, values in rounds.items()}
    ours = middle.pop(OURS)
    keys = {"speed": row.measure, "memory": "peak_bytes"}
    times = {who: {of: better(key, ours[key], theirs[key]) for of, key in keys.items()} for who, theirs in middle.items()}
    found = []
    for who, ratio in times.items():
        for of in keys:
            # The best peer is the one that we lead by least.
            nearest = ratio[of] == min(other[of] for other in times.values())
            bar = next((b for b in row.bars if b.of == of and (b.against == who or b.against == BEST and nearest)), None)
            found.append({"beside": who, "of": of, "times_better": ratio[of], "at_least": bar and bar.at_least,
                          "met": bar and ratio[of] >= bar.at_least})
    if row.at_most_seconds:
        found.append({"beside": None, "of": "seconds", "seconds": ours[row.measure], "at_most": row.at_most_seconds,
                      "met": ours[row.measure] <= row.at_most_seconds})
    return found


def results(race, facts):
    """The rows of this run as the record keeps them."""
    found = {}
    for name, rounds in race.rounds.items():
        kept = {"about": ROWS[name].about, "measure": ROWS[name].measure, "date": facts["date"], "commit": facts["commit"],
                "command": facts["command"]}
        if name in race.left_out:
            kept["left_out"] = race.left_out[name]
        elif all(rounds.values()):
            kept |= {"judged": judged(ROWS[name], rounds), "rounds": rounds}
        else:
            continue
        found[name] = kept
    return found


def verdict_lines(rows):
    """A line for each comparison of speed and each bar."""
    table = []
    for name, row in rows.items():
        for j in row.get("judged", []):
            met = {True: "yes", False: "**no**", None: ""}[j["met"]]
            if j["of"] == "seconds":
                table.append([name, "", f"{1e3 * j['seconds']:.0f} ms", f"at most {1e3 * j['at_most']:.0f} ms", met])
            elif j["of"] == "speed" or j["at_least"]:
                what = "as fast" if j["of"] == "speed" else "less memory"
                bar = f"{j['at_least']:g} ×" if j["at_least"] else ""
                table.append([name, j["beside"], f"{j['times_better']:.2f} × {what}", bar, met])
    return record.table(["row", "beside", "Polyseme is", "bar", "met"], table)


def median_lines(rows):
    """A line for each contender: median, lowest, highest, and peak memory."""
    table = []

    def line(name, who, measure, key, values):
        speed, peak = (record.spread([v[k] for v in values]) for k in (key, "peak_bytes"))
        low, middle, high = (cell(measure, speed[k]) for k in ("min", "median", "max"))
        table.append([name, who, middle, f"{low} – {high}", f"{peak['median'] / 2**20:,.0f} MiB"])

    for name, row in rows.items():
        for who, values in row.get("rounds", {}).items():
            line(name, who, row["measure"], row["measure"], values)
            whole = f"{row['measure']}_of_the_whole_process"
            if whole in values[0]:
                line(name, f"{who}, start and files included", row["measure"], whole, values)
    return record.table(["row", "contender", "median", "lowest – highest", "peak memory"], table)


def write(race, folder):
    """The record: this run's rows, and those that an earlier run left in the same folder."""
    given, facts = race.place.given, race.facts
    before = folder / "record.json"
    rows = (json.loads(before.read_text(encoding="utf-8"))["rows"] if before.exists() else {}) | results(race, facts)
    rows = {name: rows[name] for name in ROWS if name in rows}
    found = facts | {"threads": given.threads, "rounds": given.rounds, "rows": rows}
    lines = ["# Speed and memory beside the peers", "", *record.header(found), ""]
    lines += [f"f32, {given.threads} threads, all contenders in turns, each a process of its own. Ratios are of medians; more is better for us.", ""]
    lines += [*verdict_lines(rows), "", *median_lines(rows), ""]
    lines += [f"- `{name}`: {row['about']}." + (f" **Left out:** {row['left_out']}" if "left_out" in row else "") for name, row in rows.items()]
    earlier = {}
    for name, row in rows.items():
        if row["command"] != facts["command"] or row["commit"] != facts["commit"]:
            earlier.setdefault((row["date"], row["commit"], row["command"]), []).append(f"`{name}`")
    lines += [f"- {', '.join(names)}: measured on {date} at {commit} by `{command}`" for (date, commit, command), names in earlier.items()]
    record.write(folder, found, lines)


def arguments():
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    p.add_argument("--only", nargs="+", choices=list(ROWS), metavar="ROW", default=list(ROWS), help="rows to run")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--python", type=Path, help="interpreter with the peers, instead of an environment of our own")
    p.add_argument("--binary", type=Path, default=ROOT / "target/release/polyseme")
    p.add_argument("--data", type=Path, default=ROOT / ".data")
    p.add_argument("--work", type=Path, default=ROOT / ".data/peers/work")
    p.add_argument("--stsb", type=Path, default=ROOT / ".data/stsb-en-train.csv", help="pairs of sentences with a score, CSV without a header")
    p.add_argument("--record", help="folder for the record instead of benches/runs/<date>-speed")
    for name, what in (("steps", "steps that are timed"), ("warmup", "steps before them"), ("texts", "texts to embed"),
                       ("calls", "calls of the latency row"), ("starts", "starts of the start row")):
        p.add_argument(f"--{name}", type=int, help=f"{what}, instead of each row's own number")
    return p.parse_args()


def main():
    given = arguments()
    if not given.binary.exists():
        sys.exit(f"{given.binary} is missing: run `cargo build --release`")
    given.python = given.python or installed(ROOT / ".data/peers/venv")
    race = Race(Place(given), given.only)
    race.facts = record.facts(given.binary, *PACKAGES, python=given.python)
    race.prepare()
    folder = record.run_folder("speed", given.record)
    for number in range(given.rounds):
        race.turn(number)
        write(race, folder)


if __name__ == "__main__":
    main()
