"""Half of our own `small`, at the scale of pre-training: it learns language from the whole, then tasks; what is kept.

    scripts/fetch-data.sh 20news r52 spam
    cargo build --release
    python benches/shrink/small.py                       # all that is not done yet, then the record
    python benches/shrink/small.py --tasks r52 --seeds 1  # this task and seed; the record has all that is done
    python benches/shrink/small.py --tasks --seeds 1 2    # language only
    python benches/shrink/small.py --race                 # their speed, on a quiet machine
    python benches/shrink/small.py --quick                # does it work? few steps of `tiny`, a hundred rows

The recipe `small` (4 layers of 512) is pre-trained once, on the training texts of 20 Newsgroups, R52 and SpamAssassin
without their labels. For each seed every other layer of it learns from the whole on these texts with the losses of
DistilBERT. Both say the hidden tokens of the test texts, which neither has seen. Then the whole is fine-tuned on a task,
and the half learns the task from that. The score of two sentences (STS-B) is the cosine of their vectors: a head on the pair
has more to learn than a model of an hour's pre-training can. Test rows choose nothing.
"""

import copy
import csv
import json
import statistics
from dataclasses import replace
from functools import partial
from pathlib import Path

from parts import Parts, arguments, encoder_parameters, kept, race, settled, teacher, told
import record  # found by what parts.py adds to the path
from distil import PROMISES
from place import flags

CORPUS, UNSEEN = (tuple(f"{name}-{part}.csv" for name in ("20newsgroups", "reuters-r52", "spam")) for part in ("train", "test"))
EVERY = 20  # of these texts one is read
PRETRAIN = {"recipe": "small", "steps": 3000, "seed": 1}
GENERAL = {"preset": "distilbert", "steps": 400}
# Epochs in which a half learns a task from the whole; the whole's own recipes are those of benches/tasks/run.py but for OF_WHOLE,
# and both learn at one rate.
TASKS = {"r52": 4, "cosine": 4, "20news": 2}
OF_WHOLE = {"cosine": {"epochs": 4, "more": ("--similarity-loss", "cosine")}}  # with R-Drop it would take four times as long
LEARNING_RATE = 2e-4


class Small:
    """The whole model, its halves, and what they know of language."""

    def __init__(self, given):
        self.given = given
        self.parts = {}
        for name in TASKS:
            of_task = copy.copy(given)
            of_task.set = name
            self.parts[name] = partial(Parts, of_task, given.work / "small")
        self.any = self.of("r52")
        self.place, self.results = self.any.place, self.any.results

    def of(self, name):
        """The parts of a task, whose rows are read when they are wanted."""
        if isinstance(self.parts[name], partial):
            parts = self.parts[name] = self.parts[name]()
            parts.recipe = replace(parts.recipe, learning_rate=LEARNING_RATE, **OF_WHOLE.get(name, {}))
        return self.parts[name]

    def texts(self, names):
        names = names[1:2] if self.given.quick else names
        return [self.place.needs(name, "run `scripts/fetch-data.sh 20news r52 spam`") for name in names]

    def unseen(self):
        """One in `EVERY` of the test texts, without their labels."""
        texts = []
        for path in self.texts(UNSEEN):
            with open(path, newline="", encoding="utf-8") as source:
                texts += [row["text"] for row in csv.DictReader(source)][::EVERY]
        out = self.given.work / "unseen.jsonl"
        out.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
        return out

    def corpus(self):
        """The texts to learn from, and how."""
        return [*self.texts(CORPUS), "--text", "text", *(["--bf16"] if self.given.bf16 else [])]

    def kept(self, arm, seed, settings, make):
        """A model's folder, made with these settings or there already; and its parts of learning and of hidden tokens are kept."""
        settings, what = settings | {"bf16": self.given.bf16}, {"arm": arm, "seed": seed}
        out = self.given.work / ("small" if arm == "whole" else f"{arm}-{seed}")
        kept(self.results / f"language-{arm}-{seed}.json", what, settings, self.given.threads, lambda: make(out))
        found, new = kept(self.results / f"hidden-{arm}-{seed}.json", what, settings | {"every": EVERY}, self.given.threads, lambda: self.language(out))
        if new:
            print(f"  language {arm} seed {seed}: {100 * found['test']['accuracy']:.2f} % of hidden tokens", flush=True)
        return out

    def learns(self, out, *command):
        """A run on the training texts."""
        said, run = self.place.ours(*command, "--out", out, "--json", "--quiet")
        run["seconds"] = json.loads(said)["seconds"]
        return {"parameters": encoder_parameters(out), "run": run}

    def language(self, model):
        """What it says of hidden tokens of test texts."""
        said, run = self.place.ours("eval", model, "--data", self.unseen(), "--text", "text", "--max-length", 128, "--seed", 1, "--json", "--quiet")
        return {"test": json.loads(said), "run": run}

    def whole(self):
        """`small`, pre-trained."""

        def make(out):
            # What was begun and killed goes on, to the same bytes.
            begun = (out / "run/settings.toml").exists()
            return self.learns(out, "pretrain", *(["--resume"] if begun else [*self.corpus(), *flags(PRETRAIN)]))

        return self.kept("whole", PRETRAIN["seed"], PRETRAIN, make)

    def half(self, seed):
        """Every other layer of it, which has learned language from it."""
        whole = self.whole()

        def make(out):
            self.any.fresh(out.name)
            return self.learns(out, "shrink", "distil", whole, "--corpus", *self.corpus(), *flags(GENERAL), "--seed", seed)

        return self.kept("half", seed, GENERAL, make)

    def task(self, name, seed):
        """The half that learns a task from the whole."""
        parts, student = self.of(name), self.half(seed)
        whole, _ = teacher(parts, seed)
        settings = {"epochs": 1 if self.given.quick else TASKS[name], "learning_rate": LEARNING_RATE}

        def make():
            out = parts.fresh(parts.made("half", seed).name)
            said, run = parts.place.ours("shrink", "distil", whole, "--student", student, "--out", out, *parts.learning(seed, settings["epochs"]))
            return {"test": parts.tested(out)[0], "epoch": json.loads(said)["results"][0]["epoch"], "run": run}

        return parts.part("half", seed, settings, make)

    def done(self, arm):
        """The results in language that are there: of learning, and of hidden tokens."""
        read = lambda path: json.loads(path.read_text(encoding="utf-8"))
        learned = sorted(self.results.glob(f"language-{arm}-*.json"))
        pairs = [(path, path.with_name(path.name.replace("language", "hidden"))) for path in learned]
        return [read(path) | {"hidden": read(hidden)} for path, hidden in pairs if hidden.exists()]


def of_language(whole, halves):
    """What was learned of language, in lines."""
    accuracy = lambda part: 100 * part["hidden"]["test"]["accuracy"]
    kept_of = [100 * accuracy(half) / accuracy(whole) for half in halves]
    row = lambda name, part, share: [name, f"{part['hidden']['test']['loss']:.3f}", f"{accuracy(part):.2f} %", share, f"{part['run']['seconds']:.0f}"]
    rows = [row("the whole", whole, ""), *(row(f"half, seed {p['seed']}", p, f"{share:.1f} %") for p, share in zip(halves, kept_of))]
    lines = ["", "## Language", "", f"Hidden tokens of test texts; the entropy of single tokens is {whole['hidden']['test']['unigram_entropy']:.3f}.", "",
             *record.table(["", "loss", "said rightly", "kept", "seconds to learn"], rows)]
    if halves:
        fewer = 100 * (1 - halves[0]["parameters"] / whole["parameters"])
        lines += ["", f"Median over {len(halves)} seed(s): {statistics.median(kept_of):.1f} % kept, {fewer:.1f} % fewer in the encoder."]
    return lines


def of_task(parts):
    """What was learned of a task, in lines, and as it is kept."""
    wholes, halves = parts.done("teacher"), parts.done("half")
    if not halves:
        return [], {}
    measured = lambda part: 100 * part["test"][parts.measure]
    kept_of = {seed: 100 * measured(half) / measured(wholes[seed]) for seed, half in halves.items()}
    rows = [[seed, f"{measured(wholes[seed]):.2f}", f"{measured(half):.2f}", f"{kept_of[seed]:.1f} %"] for seed, half in halves.items()]
    lines = ["", f"## {parts.given.set}", "", *record.table(["seed", f"test {parts.measure} × 100, whole", "half", "kept"], rows), "",
             f"Median over {len(rows)} seed(s): {statistics.median(kept_of.values()):.1f} % kept; {told(parts, 'half')}."]
    return lines, {"teacher": wholes, "half": halves, "race": parts.done("race-half")}


def write(small):
    """The record of all that is done."""
    share, _, faster = PROMISES["half"]
    facts = record.facts(small.place.binary) | {"threads": small.given.threads, "trial": small.given.quick}
    lines = ["# Half of our own `small`", "", *record.header(facts), "",
             f"`small`: {PRETRAIN['steps']} steps; a half: {GENERAL['steps']} steps with the losses of {GENERAL['preset']}. "
             f"Wanted: at least {100 * share:.0f} % kept, 40 % fewer in the encoder, {faster} times faster."]
    facts |= {arm: small.done(arm) for arm in ("whole", "half")}
    lines += of_language(facts["whole"][0], facts["half"]) if facts["whole"] else []
    for name in TASKS:
        more, facts[name] = of_task(small.of(name))
        lines += more
    record.write(record.run_folder("distil-small", small.given.record), facts, lines)


def main():
    p = arguments(__doc__, "small")
    p.add_argument("--tasks", nargs="*", choices=list(TASKS), default=list(TASKS))
    given = settled(p.parse_args(), "small")
    given.work = Path(given.work).resolve()
    given.teachers = given.work / "teachers"
    if given.quick:
        PRETRAIN.update(recipe="tiny", steps=300)
        GENERAL.update({"steps": 20, "max-length": 128})
        given.tasks = [name for name in given.tasks if name != "20news"]  # a hundred rows of twenty labels teach nobody
    small = Small(given)
    for name in given.tasks if given.race else ():
        race(small.of(name), "half")
    for seed in () if given.race else given.seeds:
        small.half(seed)
        for name in given.tasks:
            small.task(name, seed)
    write(small)


if __name__ == "__main__":
    main()
