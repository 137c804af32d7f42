"""Does pre-training pay? 20 Newsgroups, 20 labels a class, the official test set, five seeds.

    scripts/fetch-data.sh 20news minilm
    python benches/pays/run.py                      # everything that is not done yet, then the record
    python benches/pays/run.py --only pretrain --seeds 1
    python benches/pays/run.py --only finetune --seeds 1 2 --arms pretrained scratch
    python benches/pays/run.py --only record

For each seed: pre-train on the unlabelled training texts by `recipe.toml`; draw 20 rows a class to
learn from and 20 others to choose by, both from the official training set; fine-tune the pre-trained
model, the same model from scratch and all-MiniLM-L6-v2 with one search over learning rates, chosen
by validation accuracy; measure the chosen one, and no other, on the official test set. TF-IDF with
logistic regression on the same rows is the yardstick, its settings chosen on the same validation.

Finished parts are kept in the work folder and skipped; a pre-training that was stopped is resumed.
Numpy and scikit-learn are needed for the yardstick only.
"""

import argparse
import csv
import json
import random
import shutil
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
import record

PARTS = ("pretrain", "finetune", "tfidf", "record")
ARMS = ("pretrained", "scratch", "minilm")
PER_CLASS = 20
STRENGTHS = (1.0, 10.0, 100.0, 1000.0, 10_000.0)


def read_rows(path):
    """`(text, label)` of a CSV file with that header."""
    with open(path, newline="", encoding="utf-8") as source:
        return [(row["text"], row["label"]) for row in csv.DictReader(source)]


def write_rows(path, rows):
    with open(path, "w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["text", "label"])
        writer.writerows(rows)


def draw(rows, seed):
    """20 rows a class to learn from and 20 others to choose by. Distinct texts only."""
    rng = random.Random(f"pays {seed}")
    by_label = {}
    for text, label in dict.fromkeys(rows):
        if text.strip():
            by_label.setdefault(label, []).append(text)
    train, valid = [], []
    for label in sorted(by_label):
        chosen = rng.sample(by_label[label], 2 * PER_CLASS)
        train += [(text, label) for text in chosen[:PER_CLASS]]
        valid += [(text, label) for text in chosen[PER_CLASS:]]
    rng.shuffle(train)
    return train, valid


def yardsticks(texts, train, valid, words, min_df):
    """A logistic regression for each strength, on TF-IDF with the document frequencies of `texts`.

    The penalty does not see rotations, so the regression is fitted, with the same solution, in the few
    dimensions that the labelled rows span instead of in one for each word.
    """
    import numpy as np
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import accuracy_score, f1_score, log_loss

    vectors = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, words), min_df=min_df).fit([t for t, _ in texts])
    x = vectors.transform([t for t, _ in train])
    values, directions = np.linalg.eigh((x @ x.T).toarray())
    keep = values > 1e-9
    turn = directions[:, keep] / np.sqrt(values[keep])
    project = lambda rows: (vectors.transform([t for t, _ in rows]) @ x.T).toarray() @ turn
    known, chosen_by = project(train), project(valid)
    truth = [label for _, label in valid]
    for strength in STRENGTHS:
        model = LogisticRegression(C=strength, max_iter=5000).fit(known, [label for _, label in train])

        def test(rows, model=model):
            predicted, labels = model.predict(project(rows)), [label for _, label in rows]
            return {"accuracy": accuracy_score(labels, predicted), "macro_f1": f1_score(labels, predicted, average="macro")}

        loss = log_loss(truth, model.predict_proba(chosen_by), labels=model.classes_)
        yield {"C": strength, "valid_accuracy": accuracy_score(truth, model.predict(chosen_by)), "valid_loss": loss}, test


class Study:
    """The settings of a study and where its parts lie."""

    def __init__(self, given):
        self.given = given
        self.work = given.work.resolve()
        self.binary = given.binary.resolve()
        self.train = given.data / "20newsgroups-train.csv"
        self.test = given.data / "20newsgroups-test.csv"
        self.minilm = given.data / "all-MiniLM-L6-v2"
        for path, name in ((self.train, "20news"), (self.test, "20news")):
            if not path.exists():
                sys.exit(f"{path} is missing: run `scripts/fetch-data.sh {name}`")
        if not self.binary.exists():
            sys.exit(f"{self.binary} is missing: run `cargo build --release`")
        (self.work / "results").mkdir(parents=True, exist_ok=True)

    def polyseme(self, *arguments):
        """Runs the binary; gives its JSON result, the seconds, and the command as it may be repeated."""
        command = [self.binary, *arguments, "--threads", str(self.given.threads)]
        out, seconds = record.run([*command, "--json", "--quiet"])
        return json.loads(out), seconds, " ".join(["polyseme", *(record.relative(a) for a in command[1:])])

    def part(self, name, settings, make):
        """The result of a part: kept if it was made with these settings, else made."""
        path = self.work / "results" / f"{name}.json"
        if path.exists():
            kept = json.loads(path.read_text(encoding="utf-8"))
            if kept["settings"] != settings:
                sys.exit(
                    f"{record.relative(path)} was made with {kept['settings']}, now asked for {settings}; "
                    "remove it, or take another --work"
                )
            return kept
        began = time.monotonic()
        result = {"part": name, "settings": settings, **make(), "commit": record.commit()}
        result["wall_seconds"] = round(time.monotonic() - began, 1)
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        temporary.rename(path)
        shown = {k: v for k, v in result.items() if isinstance(v, (int, float)) and k != "wall_seconds"}
        print(f"  {name:34} {result['wall_seconds']:8.1f} s  {shown}", file=sys.stderr, flush=True)
        return result

    def rows(self, seed):
        """Files of the rows of a seed."""
        files = self.work / f"train-{seed}.csv", self.work / f"valid-{seed}.csv"
        if not all(f.exists() for f in files):
            for path, rows in zip(files, draw(read_rows(self.train), seed)):
                write_rows(path, rows)
        return files

    # ---- pre-training ----

    def pretraining_seed(self, seed):
        return self.given.seeds_of_pretraining or seed

    def pretrain(self, seed):
        seed = self.pretraining_seed(seed)
        given, out = self.given, self.work / f"pretrained-{seed}"
        length = ["--steps", str(given.steps)] if given.steps else ["--budget", given.budget] if given.budget else []
        settings = {"recipe": given.recipe.read_text(encoding="utf-8"), "length": length, "seed": seed, "more": given.set}

        def make():
            flags = ["--recipe", given.recipe, "--seed", str(seed), *length, *(w for s in given.set for w in ("--set", s))]
            if (out / "run" / "settings.toml").exists():
                result, seconds, command = self.polyseme("pretrain", "--out", out, "--resume")
            else:
                corpus = [self.train, *given.more_corpus]
                result, seconds, command = self.polyseme("pretrain", *corpus, "--text", "text", "--out", out, *flags)
            keys = ("steps", "tokens", "seconds", "valid_loss", "valid_accuracy", "unigram_entropy")
            return {"command": command, **{k: result[k] for k in keys}}

        return self.part(f"pretrain-{seed}", settings, make)

    # ---- fine-tuning ----

    def model(self, arm, seed):
        """The folder that an arm begins with, and its flags."""
        pretrained = self.work / f"pretrained-{self.pretraining_seed(seed)}"
        return {"pretrained": (pretrained, []), "scratch": (pretrained, ["--from-scratch"]), "minilm": (self.minilm, [])}[arm]

    def finetune(self, arm, seed):
        """The whole search of an arm, then the test of the chosen model."""
        name = f"{arm}-{seed}"
        settings = {"rates": self.given.rates, "epochs": self.given.epochs, "max_length": self.given.max_length}
        if not (self.model(arm, seed)[0] / "config.json").exists():
            sys.exit(f"{arm}: {self.model(arm, seed)[0]} is missing; run `--only pretrain --seeds {seed}`, or fetch minilm")

        def make():
            tried = [self.one(arm, seed, rate) for rate in self.given.rates]
            best = max(tried, key=lambda t: (t["valid_accuracy"], -t["valid_loss"]))
            folder = self.work / f"tuned-{arm}-{seed}-{best['settings']['rate']}"
            test, _, command = self.polyseme("eval", folder, "--data", self.test, "--max-length", str(self.given.max_length))
            for rate in self.given.rates:
                shutil.rmtree(self.work / f"tuned-{arm}-{seed}-{rate}", ignore_errors=True)
            return {
                "command": command, "rate": best["settings"]["rate"], "valid_accuracy": best["valid_accuracy"],
                "test_accuracy": test["accuracy"], "test_macro_f1": test["macro_f1"],
                "tried": [{k: t[k] for k in ("command", "valid_accuracy", "valid_loss", "epoch", "wall_seconds")} for t in tried],
            }

        return self.part(name, settings, make)

    def one(self, arm, seed, rate):
        """One fine-tuning."""
        train, valid = self.rows(seed)
        (model, flags), out = self.model(arm, seed), self.work / f"tuned-{arm}-{seed}-{rate}"
        settings = {"rate": rate, "epochs": self.given.epochs, "max_length": self.given.max_length}

        def make():
            shutil.rmtree(out, ignore_errors=True)
            result, _, command = self.polyseme(
                "finetune", model, *flags, "--task", "classify", "--train", train, "--valid", valid, "--out", out,
                "--learning-rate", str(rate), "--epochs", str(self.given.epochs), "--patience", "0",
                "--max-length", str(self.given.max_length), "--seed", str(seed),
            )
            best = result["results"][0]
            return {
                "command": command, "epoch": best["epoch"],
                "valid_accuracy": best["valid"]["accuracy"], "valid_loss": best["valid"]["loss"],
            }

        return self.part(f"{arm}-{seed}-{rate}", settings, make)

    # ---- the yardstick ----

    def tfidf(self, seed):
        """Logistic regression on TF-IDF of words and pairs of words; document frequencies of the labelled rows or of
        all unlabelled training texts, strength and all chosen by validation accuracy."""

        def make():
            train, valid = (read_rows(path) for path in self.rows(seed))
            test, unlabelled = read_rows(self.test), read_rows(self.train)
            tried, best = [], None
            for frequencies, texts in (("labelled", train), ("unlabelled", unlabelled)):
                for words in (1, 2):
                    for row, model in yardsticks(texts, train, valid, words, 1 if frequencies == "labelled" else 2):
                        tried.append({"frequencies": frequencies, "words": words, **row})
                        score = row["valid_accuracy"], -row["valid_loss"]
                        if best is None or score > best[0]:
                            best = score, tried[-1], model
            _, row, model = best
            return {
                "chosen": {k: row[k] for k in ("frequencies", "words", "C")}, "valid_accuracy": row["valid_accuracy"],
                **{f"test_{k}": v for k, v in model(test).items()}, "tried": tried,
            }

        return self.part(f"tfidf-{seed}", {"strengths": list(STRENGTHS)}, make)

    # ---- the record ----

    def results(self, pattern):
        paths = sorted((self.work / "results").glob(pattern))
        return [json.loads(p.read_text(encoding="utf-8")) for p in paths]

    def record(self):
        """Everything found so far, as `record.json` and `record.md`."""
        found = record.facts(self.binary, "numpy", "scikit-learn")
        found["threads"] = self.given.threads
        found["pretraining"] = self.results("pretrain-*.json")
        arms = {}
        for arm in (*ARMS, "tfidf"):
            parts = [p for seed in self.given.seeds for p in self.results(f"{arm}-{seed}.json")]
            if parts:
                tests = [p["test_accuracy"] for p in parts]
                arms[arm] = {"test_accuracy": record.spread(tests), "seeds": [int(p["part"].rsplit("-", 1)[1]) for p in parts], "parts": parts}
        found["arms"] = arms
        if "pretrained" in arms and "scratch" in arms:
            medians = {arm: arms[arm]["test_accuracy"]["median"] for arm in arms}
            found["points_above_scratch"] = 100 * (medians["pretrained"] - medians["scratch"])
        record.write(record.run_folder("pretraining-pays", self.given.record), found, self.lines(found))

    def lines(self, found):
        lines = ["# Pre-training pays: 20 Newsgroups with 20 labels a class", "", *record.header(found), ""]
        if "points_above_scratch" in found:
            lines += [f"Pre-trained above from scratch, median of test accuracy: **{found['points_above_scratch']:+.1f} points**.", ""]
        percent = lambda x: f"{100 * x:.1f}"
        names = {
            "pretrained": "pre-trained here", "scratch": "same model from scratch", "minilm": "all-MiniLM-L6-v2",
            "tfidf": "TF-IDF + logistic regression",
        }
        rows = []
        for arm, result in found["arms"].items():
            s = result["test_accuracy"]
            each = ", ".join(percent(p["test_accuracy"]) for p in result["parts"])
            chosen = ", ".join(str(p.get("rate") or "C={C:g} of {frequencies}, {words}".format(**p["chosen"])) for p in result["parts"])
            seconds = sum(t.get("wall_seconds", 0) for p in result["parts"] for t in p["tried"]) or sum(p["wall_seconds"] for p in result["parts"])
            rows.append([names[arm], f"**{percent(s['median'])}**", f"{percent(s['min'])} – {percent(s['max'])}", each, chosen, f"{seconds:.0f}"])
        lines += record.table(["", "test accuracy, median", "spread", f"seeds {', '.join(map(str, self.given.seeds))}", "chosen on validation", "seconds"], rows)
        lines += ["", "## Pre-training", ""]
        lines += record.table(
            ["seed", "steps", "tokens", "seconds", "masked loss", "accuracy", "unigram entropy"],
            [
                [p["settings"]["seed"], p["steps"], p["tokens"], f"{p['seconds']:.0f}", f"{p['valid_loss']:.3f}", percent(p["valid_accuracy"]), f"{p['unigram_entropy']:.3f}"]
                for p in found["pretraining"]
            ],
        )
        lines += ["", "## Every fine-tuning", ""]
        tried = [
            [names[arm], p["part"].rsplit("-", 1)[1], rate, percent(t["valid_accuracy"]), f"{t['valid_loss']:.3f}", t["epoch"], f"{t['wall_seconds']:.0f}"]
            for arm, result in found["arms"].items() if arm != "tfidf"
            for p in result["parts"] for rate, t in zip(p["settings"]["rates"], p["tried"])
        ]
        lines += record.table(["", "seed", "learning rate", "validation accuracy", "loss", "epoch", "seconds"], tried)
        return lines


def parse():
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    p.add_argument("--binary", type=Path, default=ROOT / "target/release/polyseme")
    p.add_argument("--data", type=Path, default=ROOT / ".data")
    p.add_argument("--work", type=Path, default=ROOT / ".data/pays")
    p.add_argument("--record", help="folder for the record instead of benches/runs/<date>-pretraining-pays")
    p.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    p.add_argument("--seeds", "--seed", nargs="+", type=int, default=[1, 2, 3, 4, 5])
    p.add_argument("--arms", nargs="+", choices=ARMS, default=ARMS)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--recipe", type=Path, default=HERE / "recipe.toml")
    p.add_argument("--budget", help="pre-train for this long instead of what the recipe says, as 20m")
    p.add_argument("--steps", type=int, help="pre-train for this many steps instead")
    p.add_argument("--set", action="append", default=[], help="KEY=VALUE for pre-training, handed on")
    p.add_argument("--more-corpus", nargs="*", type=Path, default=[], help="files and folders to pre-train on besides")
    p.add_argument("--seeds-of-pretraining", type=int, metavar="SEED", help="use the pre-training of this seed for all seeds")
    p.add_argument("--rates", nargs="+", type=float, default=[1e-4, 3e-4, 1e-3, 3e-3], help="learning rates of the search")
    p.add_argument("--epochs", type=int, default=10)
    p.add_argument("--max-length", type=int, default=128)
    return p.parse_args()


def main():
    given = parse()
    study = Study(given)
    try:
        for seed in given.seeds:
            if "pretrain" in given.only:
                study.pretrain(seed)
            if "finetune" in given.only:
                for arm in given.arms:
                    study.finetune(arm, seed)
            if "tfidf" in given.only:
                study.tfidf(seed)
        if "record" in given.only:
            study.record()
    except record.Failed as failure:
        sys.exit(f"failed: {failure}")


if __name__ == "__main__":
    main()
