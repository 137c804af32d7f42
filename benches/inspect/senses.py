"""Where the meaning of a word parts: five English polysemes in forty sentences, layer by layer.

    scripts/fetch-data.sh minilm
    cargo build --release
    python benches/inspect/senses.py                                   # all-MiniLM-L6-v2, seconds
    python benches/inspect/senses.py --also-model encoder              # and a model of one's own beside it

`senses.csv` was written for this: eight sentences a word, four a sense. `polyseme inspect senses` groups a word's vectors
without knowing the senses, nor how many there are; the adjusted Rand index says how well its groups agree with them
(1 the same, 0 as by chance). The layer with the best mean over the words is shown; the table of word embeddings, which
knows no sentence, stands beside it. The pages of the words go to the work folder.
"""

import argparse
import csv
import json
import sys
from pathlib import Path
from statistics import fmean

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "benches" / "peers")]
import record
from place import process, short

SENTENCES = Path(__file__).with_name("senses.csv")
WANTED = 0.8


def words():
    with open(SENTENCES, newline="", encoding="utf-8") as file:
        return list(dict.fromkeys(row["word"] for row in csv.DictReader(file)))


def looked_at(given, model):
    """For each word what each layer makes of it."""
    found, commands = {}, []
    for word in words():
        page = given.work / f"{model.name}-{word}.html"
        command = [given.binary, "inspect", "senses", model, word, SENTENCES, "--text", "text", "--label", "sense", "--out", page, "--json", "--quiet"]
        said = json.loads(process(command)[0])
        keys = ("layer", "silhouette", "adjusted_rand_index", "senses")
        found[word] = {"layers": [{key: layer[key] for key in keys} for layer in said["layers"]], "clearest": said["clearest"]}
        commands.append(short(command))
    return found, commands


def name(layer):
    return "words alone" if layer is None else "embeddings" if layer == 0 else f"layer {layer}"


def lines_of(model, found):
    """The table of a model, and what its best layer gives."""
    layers = [layer["layer"] for layer in next(iter(found.values()))["layers"]]
    index = lambda word, i: found[word]["layers"][i]["adjusted_rand_index"]
    means = [fmean(index(word, i) for word in found) for i in range(len(layers))]
    rows = [[name(layer), *(f"{index(word, i):.2f}" for word in found), f"{means[i]:.3f}"] for i, layer in enumerate(layers)]
    best = max(range(len(layers)), key=means.__getitem__)
    chosen = fmean(index(word, found[word]["clearest"]) for word in found)
    text = ["", f"## {model.name}", "", *record.table(["", *found, "mean"], rows), "",
            f"Best: {name(layers[best])}, mean adjusted Rand index {means[best]:.3f} (wanted: {WANTED}); words alone {means[0]:.3f}. At the layer that "
            f"the command itself shows first, chosen by the silhouette: {chosen:.3f}."]
    return text, {"means": means, "best": layers[best], "best_mean": means[best], "at_the_clearest": chosen}


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("--model", type=Path, default=ROOT / ".data/all-MiniLM-L6-v2")
    p.add_argument("--also-model", type=Path, nargs="*", default=[], help="further models")
    p.add_argument("--binary", type=Path, default=ROOT / "target/release/polyseme")
    p.add_argument("--work", type=Path, default=ROOT / ".data/inspect")
    p.add_argument("--record", help="folder for the record instead of benches/runs/<date>-senses")
    given = p.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    facts, body = record.facts(given.binary), []
    for model in [given.model, *given.also_model]:
        found, commands = looked_at(given, model)
        text, summary = lines_of(model, found)
        body += text
        facts[model.name] = {"words": found, "summary": summary, "commands": commands}
    lines = ["# Where the meaning of a word parts", "", *record.header(facts), "",
             "Adjusted Rand index of the groups with the senses, five words in eight sentences each (`benches/inspect/senses.csv`).", *body]
    record.write(record.run_folder("senses", given.record), facts, lines)


if __name__ == "__main__":
    main()
