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
import html
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
LOOKS = [("#1f5fa8", ""), ("#b3541e", "6 3"), ("#2f7d4f", "2 3"), ("#7a4a9e", "8 3 2 3")]


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
    return text, {"layers": layers, "means": means, "best": layers[best], "best_mean": means[best], "at_the_clearest": chosen}


def curve(models):
    """The mean index over the layers, a line a model: names of layers and means by model."""
    longest = max((layers for layers, _ in models.values()), key=len)
    left, top, step, high = 50, 46, 90, 200
    width, height = left + step * (len(longest) - 1) + 60, top + high + 60
    x, y = (lambda i: left + step * i), (lambda value: top + high * (1 - value))
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12" role="img">',
           "<title>How well groups of vectors agree with the senses, by layer</title>", f'<rect width="{width}" height="{height}" fill="#fff"/>',
           '<text x="8" y="20" fill="#555">adjusted Rand index, mean of five words</text>']
    for value in (0, 0.2, 0.4, 0.6, 0.8, 1):
        out.append(f'<line x1="{left}" x2="{x(len(longest) - 1)}" y1="{y(value)}" y2="{y(value)}" stroke="#ddd"/>')
        out.append(f'<text x="{left - 8}" y="{y(value) + 4}" text-anchor="end">{value:.1f}</text>')
    out += [f'<text x="{x(i)}" y="{top + high + 20}" text-anchor="middle">{name(layer)}</text>' for i, layer in enumerate(longest)]
    for i, (model, (_, means)) in enumerate(models.items()):
        color, dash = LOOKS[i % len(LOOKS)]
        points = [(x(k), f"{y(value):.1f}") for k, value in enumerate(means)]
        line = " ".join(f"{at},{value}" for at, value in points)
        out.append(f'<polyline points="{line}" fill="none" stroke="{color}" stroke-width="2" stroke-dasharray="{dash}"/>')
        out += [f'<circle cx="{at}" cy="{value}" r="3" fill="{color}"/>' for at, value in points]
        out.append(f'<text x="{left + 200 * i}" y="{top + high + 48}" fill="{color}">{html.escape(model)}</text>')
    return "\n".join([*out, "</svg>"]) + "\n"


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
    folder = record.run_folder("senses", given.record)
    drawn = {m.name: (facts[m.name]["summary"]["layers"], facts[m.name]["summary"]["means"]) for m in (given.model, *given.also_model)}
    (folder / "curve.svg").write_text(curve(drawn), encoding="utf-8")
    lines = ["# Where the meaning of a word parts", "", *record.header(facts), "",
             "Adjusted Rand index of the groups with the senses, five words in eight sentences each (`benches/inspect/senses.csv`).",
             "", "![mean index by layer](curve.svg)", *body]
    record.write(folder, facts, lines)


if __name__ == "__main__":
    main()
