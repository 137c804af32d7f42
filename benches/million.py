"""Does `embed` keep its memory and its rate over a million short texts?

    scripts/fetch-data.sh minilm
    cargo build --release
    python benches/million.py                                   # about an hour: all-MiniLM-L6-v2, two threads
    python benches/million.py --model FOLDER --texts 1000000    # another model

Texts are of one kind, three to nine common words by chance, so that any part of them is like the rest. Ten
thousand, all, and ten thousand again, each by a process of its own. The bars: the rate over all of them within
5 % of that over ten thousand, and no more memory but for a few megabytes of the allocator.
"""

import argparse
import json
import random
import shutil
import sys
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
sys.path.insert(0, str(ROOT / "benches" / "peers"))
import record
from place import Refused, process, short

WORDS = ("the a this every small large old new red dark river bank house tree stone road word page book light wind "
         "rain fish bird horse boat garden winter summer morning evening walks runs sings falls grows near behind "
         "under over between without into from of and but never always slowly quickly").split()
FEW = 10_000
MORE_BYTES = 32 * 2**20
WITHIN = 0.05


def write_texts(path, count):
    rng = random.Random(3)
    with open(path, "w", encoding="utf-8") as out:
        for _ in range(count):
            out.write(" ".join(rng.choices(WORDS, k=rng.randint(3, 9))) + "\n")


def embed(given, count):
    """Embeds so many texts; the program's own seconds, without its start."""
    texts, out = given.work / f"{count}.txt", given.work / "vectors.npy"
    if not texts.exists():
        write_texts(texts, count)
    command = [given.binary, "embed", given.model, texts, "--out", out, "--threads", str(given.threads), "--json", "--quiet"]
    said, wall, peak = process(command)
    found = json.loads(said)
    out.unlink()
    seconds = found.get("seconds", wall)
    found = {"texts": count, "seconds": seconds, "texts_per_second": count / seconds, "wall_seconds": wall,
             "peak_bytes": peak, "command": short(command)}
    print(f"  {count:>9,} texts  {found['texts_per_second']:8,.0f} a second  {peak / 2**20:6.0f} MiB", file=sys.stderr, flush=True)
    return found


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    p.add_argument("--binary", type=Path, default=ROOT / "target/release/polyseme")
    p.add_argument("--model", type=Path, default=ROOT / ".data/all-MiniLM-L6-v2")
    p.add_argument("--texts", type=int, default=1_000_000)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--work", type=Path, default=ROOT / ".data/million")
    p.add_argument("--record", help="folder for the record instead of benches/runs/<date>-million")
    given = p.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    try:
        runs = [embed(given, count) for count in (FEW, given.texts, FEW)]
    except Refused as why:
        sys.exit(f"failed: {why}")
    finally:
        shutil.rmtree(given.work)
    few = {key: median(run[key] for run in runs if run["texts"] == FEW) for key in ("texts_per_second", "peak_bytes")}
    all_ = runs[1]
    rate = all_["texts_per_second"] / few["texts_per_second"]
    more = all_["peak_bytes"] - few["peak_bytes"]
    found = record.facts(given.binary) | {"threads": given.threads, "runs": runs, "rate_beside_few": rate, "more_bytes": more}
    lines = ["# A million short texts", "", *record.header(found), ""]
    lines += record.table(
        ["texts", "texts a second", "seconds", "peak memory"],
        [[f"{r['texts']:,}", f"{r['texts_per_second']:,.0f}", f"{r['seconds']:.0f}", f"{r['peak_bytes'] / 2**20:.0f} MiB"] for r in runs],
    )
    yes = {True: "met", False: "**not met**"}
    lines += ["", f"The rate over all is {100 * rate:.1f} % of that over {FEW:,} (within 5 %: {yes[abs(1 - rate) <= WITHIN]}); "
              f"memory is {more / 2**20:+.0f} MiB (at most +32: {yes[more <= MORE_BYTES]})."]
    record.write(record.run_folder("million", given.record), found, lines)


if __name__ == "__main__":
    main()
