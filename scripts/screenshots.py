"""Makes the pages of `polyseme inspect` from real models and takes a small picture of each for docs/inspect.md.

    scripts/fetch-data.sh minilm 20news
    cargo build --release
    python scripts/screenshots.py --masked ENCODER     # ENCODER: a model with a head over the vocabulary, for `fill`

Needs Chromium and the package pillow. Pictures have few colours, so that they stay small.
"""

import argparse
import csv
import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
SENTENCES = ROOT / "benches/inspect/senses.csv"
WIDTH, SCALE, COLOURS = 1000, 0.6, 64


def rows(given, count=900):
    """Some newsgroup texts with their topics, cut short."""
    csv.field_size_limit(sys.maxsize)
    path = given.work / "news.csv"
    with open(given.data / "20newsgroups-train.csv", newline="", encoding="utf-8") as source:
        found = list(csv.DictReader(source))
    found = found[:: len(found) // count][:count]
    with open(path, "w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(["text", "label"])
        writer.writerows([" ".join(row["text"].split())[:400], row["label"]] for row in found)
    return path


def made(given):
    """Runs the commands: for each page its name, and the height that is shown."""
    # Pages say how they were made: paths that mean something elsewhere, too.
    word = lambda w: os.path.relpath(w, ROOT) if isinstance(w, Path) else str(w)
    run = lambda *words: subprocess.run([given.binary.resolve(), *map(word, words), "--quiet"], check=True, stdout=subprocess.DEVNULL, cwd=ROOT)
    model = given.model
    inspect = lambda what, *words: run("inspect", what, *words, "--out", given.work / f"{what}.html")
    news = rows(given)
    inspect("senses", model, "bank", SENTENCES, "--text", "text", "--label", "sense")
    inspect("attention", model, "The bank of the river was flooded.", "--pair", "He opened an account at the bank.")
    if given.masked:
        inspect("fill", given.masked, "My car does not start, since the engine of the computer is on the moon.")
    index = given.work / "index"
    run("embed", model, news, "--out", index)
    inspect("neighbours", index, "--query", "the engine of my car does not start", "--map", "tsne")
    inspect("probe", model, news)
    tuned, scratch, few = given.work / "tuned", given.work / "scratch", given.work / "few.csv"
    few.write_text("".join(news.read_text(encoding="utf-8").splitlines(keepends=True)[:61]), encoding="utf-8")
    for out, more in ((tuned, ()), (scratch, ("--set", "from_scratch=true"))):
        shutil.rmtree(out, ignore_errors=True)
        run("finetune", model, "--task", "classify", "--train", news, "--epochs", 3, "--max-length", 64, "--out", out, *more)
    inspect("landscape", model, tuned, "--scratch", scratch, "--data", few, "--max-length", 64)
    inspect("model", tuned, "--diff", model)
    return {"senses": 1500, "attention": 1500, **({"fill": 790} if given.masked else {}), "neighbours": 1500, "probe": 900, "landscape": 1500, "model": 1100}


def taken(given, name, height):
    """A picture of a page."""
    shot = given.work / f"{name}.png"
    subprocess.run([given.browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--window-size={WIDTH},{height}",
                    f"--screenshot={shot}", f"file://{(given.work / name).resolve()}.html"], check=True, capture_output=True)
    picture = Image.open(shot).convert("RGB")
    picture = picture.resize((round(WIDTH * SCALE), round(height * SCALE)), Image.LANCZOS).quantize(COLOURS, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    out = io.BytesIO()
    picture.save(out, "PNG", optimize=True)
    (given.out / f"{name}.png").write_bytes(out.getvalue())
    print(f"  {name}: {len(out.getvalue()) / 1000:.0f} kB", file=sys.stderr)


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("--masked", type=Path, help="a model with a head over the vocabulary; without it the picture of `fill` stays as it is")
    p.add_argument("--model", type=Path, default=ROOT / ".data/all-MiniLM-L6-v2")
    p.add_argument("--data", type=Path, default=ROOT / ".data")
    p.add_argument("--binary", type=Path, default=ROOT / "target/release/polyseme")
    p.add_argument("--browser", default="chromium")
    p.add_argument("--work", type=Path, default=ROOT / ".data/inspect")
    p.add_argument("--out", type=Path, default=ROOT / "docs/inspect")
    given = p.parse_args()
    for folder in (given.work, given.out):
        folder.mkdir(parents=True, exist_ok=True)
    for name, height in made(given).items():
        taken(given, name, height)


if __name__ == "__main__":
    main()
