"""Do others see the same numbers in what `shrink quantize` and `export` write? Anyone can run it:

    scripts/fetch-data.sh minilm
    python scripts/verify_quantized.py target/release/polyseme WORKDIR

Needs torch, transformers, onnxruntime and, for the first part, compressed-tensors. It

1. opens folders in few bits with `transformers` and compares hidden states with ours;
2. writes the tiny random checkpoints of the tests as ONNX graphs and compares what ONNX Runtime says with what
   `transformers` says, of every family and head that graphs are written of, padded texts included;
3. runs all-MiniLM-L6-v2 in f32 and int8 (ranges fixed, and found as it runs) in ONNX Runtime and compares with ours.

f32 must agree within 1e-4; int8 with fixed ranges to a cosine of 0.999, since sums that lie between two numbers may go
to either; int8 with ranges of a whole batch, which ours does not have, to 0.98.
"""

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent))
import numpy as np
import record
import torch
import transformers

transformers.utils.logging.disable_progress_bar()
ROOT = Path(__file__).resolve().parent.parent
GOLDENS = ROOT / "crates/models/tests/goldens"
CLASSES = {"mlm": transformers.AutoModelForMaskedLM, "classify": transformers.AutoModelForSequenceClassification,
           "regress": transformers.AutoModelForSequenceClassification, "tag": transformers.AutoModelForTokenClassification,
           "multilabel": transformers.AutoModelForSequenceClassification, "qa": transformers.AutoModelForQuestionAnswering}
TEXTS = ["the cat sat on the mat", "eight bits are enough for most of what an encoder knows, and what they are not enough for is measured",
         "rivers have banks", "the harvest was late that year, and the ships waited in the harbour for the grain"]


def session(path):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def run(graph, arrays):
    names = {given.name for given in graph.get_inputs()}
    return graph.run(None, {name: np.asarray(value, np.int64) for name, value in arrays.items() if name in names})[0]


def tiny(polyseme, work):
    """Every golden case with a head that is written, in ONNX Runtime and in transformers."""
    for folder in sorted(p for p in GOLDENS.iterdir() if p.is_dir()):
        family, _, head = folder.name.partition("-")
        kind = CLASSES.get(head.split("-")[0])
        if family == "modernbert" or kind is None:
            continue
        out = work / f"{folder.name}.onnx"
        polyseme("export", folder, "--out", out)
        model = kind.from_pretrained(folder).eval()
        config = model.config
        generator = torch.Generator().manual_seed(1)
        # No padding inside of texts: RoBERTa counts positions by it.
        ids = torch.randint(3, config.vocab_size, (3, 7), generator=generator)
        mask = torch.ones_like(ids)
        mask[1, 4:] = 0
        mask[2, 1:] = 0
        ids = torch.where(mask == 1, ids, torch.full_like(ids, config.pad_token_id or 0))
        arrays = {"input_ids": ids, "attention_mask": mask}
        with torch.no_grad():
            said = model(**arrays)
        expected = torch.stack([said.start_logits, said.end_logits], -1) if head == "qa" else said.logits
        found = torch.from_numpy(run(session(out), {**arrays, "token_type_ids": torch.zeros_like(ids)}))
        if expected.dim() == 3:
            found, expected = found[mask == 1], expected[mask == 1]
        yield folder.name, "greatest difference", float((found - expected).abs().max()), 1e-4


def cosine(a, b):
    return float(((a * b).sum(-1) / (np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1))).mean())


def ours(polyseme, work, model):
    """First and mean token vectors of each text."""
    texts = work / "texts.txt"
    texts.write_text("\n".join(TEXTS) + "\n", encoding="utf-8")
    out = work / "vectors.npy"
    found = []
    for pooling in ("cls", "mean"):
        polyseme("embed", model, texts, "--pooling", pooling, "--normalize=false", "--out", out)
        found.append(np.load(out))
    return np.stack(found, 1)


def real(polyseme, work, model):
    """all-MiniLM-L6-v2."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    batch = tokenizer(TEXTS, padding=True, return_tensors="np")
    texts = work / "calibration.txt"
    texts.write_text("\n".join(TEXTS * 4) + "\n", encoding="utf-8")
    quantize = lambda out, *more: polyseme("shrink", "quantize", model, "--out", out, "--no-timing", "--force", *more)
    quantize(work / "dynamic")
    quantize(work / "fixed", "--calibrate", texts)
    quantize(work / "int4", "--to", "int4")
    pooled = lambda states, mask: np.stack([states[:, 0], (states * mask[..., None]).sum(1) / mask.sum(1)[:, None]], 1)
    for name, folder, least in [("f32", model, None), ("int8, ranges fixed", work / "fixed", 0.999),
                                ("int8, ranges found as it runs", work / "dynamic", 0.98)]:
        out = work / "graph.onnx"
        polyseme("export", folder, "--out", out)
        found = pooled(run(session(out), batch), batch["attention_mask"])
        expected = ours(polyseme, work, folder)
        if least is None:
            yield f"all-MiniLM-L6-v2 in {name}, ONNX Runtime", "greatest difference", float(np.abs(found - expected).max()), 1e-4
        else:
            yield f"all-MiniLM-L6-v2 in {name}, ONNX Runtime", "1 - cosine", 1 - cosine(found, expected), 1 - least
    try:
        import compressed_tensors  # noqa: F401
    except ImportError:
        print("skipped: folders in few bits in transformers, which needs compressed-tensors", file=sys.stderr)
        return
    batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
    for name in ("dynamic", "fixed", "int4"):
        with torch.no_grad():
            states = transformers.AutoModel.from_pretrained(work / name).eval()(**batch).last_hidden_state.numpy()
        found = pooled(states, batch["attention_mask"].numpy())
        yield f"all-MiniLM-L6-v2 in {name}, transformers", "1 - cosine", 1 - cosine(found, ours(polyseme, work, work / name)), 0.01


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("binary", type=Path)
    p.add_argument("work", type=Path)
    p.add_argument("--model", type=Path, default=ROOT / ".data/all-MiniLM-L6-v2")
    p.add_argument("--record", help="folder for the record instead of benches/runs/<date>-quantized-elsewhere")
    given = p.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    polyseme = lambda *words: record.run([given.binary.resolve(), *words, "--quiet", "--threads", "2"])[0]
    rows = list(tiny(polyseme, given.work))
    rows += list(real(polyseme, given.work, given.model))
    for name, what, found, limit in rows:
        print(f"{'ok' if found <= limit else 'WRONG':6s}{name:55s} {what} {found:.2e} (at most {limit:.0e})")
    found = record.facts(given.binary, "torch", "transformers", "onnxruntime", "compressed-tensors")
    found["command"] = "python scripts/verify_quantized.py target/release/polyseme WORKDIR"
    found["rows"] = [{"what": name, what: value, "limit": limit} for name, what, value, limit in rows]
    lines = ["# What is written in few bits, elsewhere", "", *record.header(found), ""]
    lines += record.table(["what", "measure", "found", "at most"], [[n, w, f"{v:.2e}", f"{m:.0e}"] for n, w, v, m in rows])
    record.write(record.run_folder("quantized-elsewhere", given.record), found, lines)
    sys.exit(any(value > limit for _, _, value, limit in rows))


if __name__ == "__main__":
    main()
