"""Our int8 beside ONNX Runtime's dynamic int8 of the same model: cosine to f32 and speed, in the same run.

    scripts/fetch-data.sh minilm 20newsgroups
    cargo build --release
    .data/peers/venv/bin/python benches/shrink/int8.py           # some minutes: all-MiniLM-L6-v2, two threads

All four (ours and ONNX Runtime's, f32 and int8) go in turn, round by round, each in a process of its own; ratios are of
medians. ONNX Runtime gets the graph that its own optimizer for transformers makes, rounded by its `quantize_dynamic`
with a scale for each channel. Cosines are those of pooled, normalized vectors to the same program's in f32.
"""

import argparse
import csv
import json
import sys
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "benches" / "peers")]
import record
from place import Refused, process, short

TOKENS = 128
CHILD = Path(__file__).with_name("onnx_int8.py")


def child(kind, **settings):
    """What the process with ONNX Runtime says."""
    return json.loads(process([sys.executable, CHILD, kind, json.dumps(settings, default=str)])[0])


def texts(given):
    """Texts of the test rows, from all over the file."""
    csv.field_size_limit(sys.maxsize)
    with open(given.texts, encoding="utf-8", newline="") as file:
        rows = [row["text"] for row in csv.DictReader(file) if row["text"].strip()]
    return rows[:: max(1, len(rows) // given.count)][: given.count]


def prepared(given):
    """The models of all four contenders, and the texts' vectors by each."""
    import numpy as np

    path = given.work / "texts.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts(given)), encoding="utf-8")
    small = given.work / "int8"
    quantize = [given.binary, "shrink", "quantize", given.model, "--out", small, "--force", "--json", "--quiet"]
    said = json.loads(process(quantize)[0])
    graphs = child("export", model=given.model, out=given.work / "graph.onnx", threads=given.threads)
    models = {"polyseme f32": given.model, "polyseme int8": small, **{f"onnxruntime {kind}": p for kind, p in graphs.items()}}
    vectors = {}
    for name, model in models.items():
        out = given.work / f"{name.replace(' ', '-')}.npy"
        if name.startswith("polyseme"):
            process([given.binary, "embed", model, path, "--text", "text", "--max-length", str(TOKENS), "--out", out, "--quiet"])
        else:
            child("embed", model=given.model, graph=model, texts=path, out=out, threads=given.threads, length=TOKENS)
        vectors[name] = np.load(out)
    cosine = lambda a, b: float((vectors[a] * vectors[b]).sum(1).mean())
    found = {name: cosine(name, f"{name.split()[0]} f32") for name in models}
    return models, found, cosine("polyseme f32", "onnxruntime f32"), said, short(quantize)


def tokens_per_second(given, name, model, batch):
    """One process of a contender."""
    steps = max(3, given.tokens // (batch * TOKENS))
    if name.startswith("polyseme"):
        command = [given.binary, "bench", model, "--batch", str(batch), "--seq-len", str(TOKENS), "--steps", str(steps),
                   "--threads", str(given.threads), "--json", "--quiet"]
        return json.loads(process(command)[0])["tokens_per_second"]
    return child("speed", graph=model, batch=batch, length=TOKENS, steps=steps, threads=given.threads)["tokens_per_second"]


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    p.add_argument("--binary", type=Path, default=ROOT / "target/release/polyseme")
    p.add_argument("--model", type=Path, default=ROOT / ".data/all-MiniLM-L6-v2")
    p.add_argument("--texts", type=Path, default=ROOT / ".data/20newsgroups-test.csv")
    p.add_argument("--count", type=int, default=256, help="texts whose vectors are compared")
    p.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32])
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--tokens", type=int, default=16384, help="tokens of a contender in a round")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--work", type=Path, default=ROOT / ".data/int8")
    p.add_argument("--record", help="folder for the record instead of benches/runs/<date>-int8")
    given = p.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    try:
        models, cosines, across, said, command = prepared(given)
        runs = []
        for round_ in range(given.rounds):
            for batch in given.batches:
                for name, model in models.items():
                    speed = tokens_per_second(given, name, model, batch)
                    runs.append({"round": round_, "batch": batch, "contender": name, "tokens_per_second": speed})
                    print(f"  {round_ + 1}  {batch:3d} x {TOKENS}  {name:18s} {speed:9,.0f} tokens a second", file=sys.stderr, flush=True)
    except Refused as why:
        sys.exit(f"failed: {why}")
    speed = {(batch, name): median(r["tokens_per_second"] for r in runs if (r["batch"], r["contender"]) == (batch, name))
             for batch in given.batches for name in models}
    found = record.facts(given.binary, "onnxruntime", "onnx", "torch", "transformers") | {
        "threads": given.threads, "quantize": said, "quantize_command": command, "cosines": cosines,
        "cosine_of_f32_across": across, "runs": runs,
    }
    lines = ["# int8 beside ONNX Runtime's", "", *record.header(found), f"- `{command}`", ""]
    lines += [f"Tokens a second, medians of {given.rounds} rounds, {given.threads} threads:", ""]
    lines += record.table(
        ["texts x tokens", *models, "int8 to f32, ours", "int8 to f32, theirs", "ours to theirs, int8"],
        [[f"{b} x {TOKENS}", *(f"{speed[b, name]:,.0f}" for name in models),
          f"{speed[b, 'polyseme int8'] / speed[b, 'polyseme f32']:.2f}",
          f"{speed[b, 'onnxruntime int8'] / speed[b, 'onnxruntime f32']:.2f}",
          f"{speed[b, 'polyseme int8'] / speed[b, 'onnxruntime int8']:.2f}"] for b in given.batches])
    lines += ["", f"Mean cosine of the vectors of {given.count} texts to those of the same program in f32: ours "
              f"{cosines['polyseme int8']:.5f}, ONNX Runtime's {cosines['onnxruntime int8']:.5f}; between both programs in f32 "
              f"{across:.6f}. Weights: {said['bytes_before'] / said['bytes_after']:.2f} times smaller."]
    record.write(record.run_folder("int8", given.record), found, lines)


if __name__ == "__main__":
    main()
