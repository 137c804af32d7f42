"""The peers that turn texts into vectors: `sentence-transformers` on PyTorch, and ONNX Runtime.

ONNX Runtime gets the graph that its own optimizer for transformers makes (attention, normalization and
activation fused), with pooling inside, and batches sorted by length. Each peer's vectors are compared
with ours before its time is taken, and all of them after it.
"""

import sys
import time
from pathlib import Path

from child import main, rate, texts_of, torch_with

BATCH = 32  # texts of a batch
FIRST = 64  # texts that are compared before timing
ALIKE = 1e-4  # largest difference of two vectors' values
# Sixteen tokens with the two special ones: each word is one piece.
SENTENCE = "the quick brown fox jumps over the lazy dog and runs into the forest"


def difference(vectors, reference):
    """Largest difference of vectors from ours; timing is worth nothing if they differ."""
    import numpy as np

    found = float(np.abs(np.asarray(vectors) - reference).max())
    if vectors.shape != reference.shape or not found < ALIKE:
        sys.exit(f"vectors differ: {vectors.shape} and {reference.shape}, by {found} at most")
    return found


def compared(given, encode, start_seconds):
    """Speed of `encode` over all texts, after its vectors were compared."""
    import numpy as np

    texts, reference = texts_of(given.texts), np.load(given.reference)
    difference(encode(texts[:FIRST]), reference[: len(texts[:FIRST])])
    began = time.monotonic()
    vectors = encode(texts)
    found = rate(len(texts), time.monotonic() - began, "texts")
    return {**found, "start_seconds": start_seconds, "largest_difference": difference(vectors, reference)}


def sentence_transformers(given):
    """`SentenceTransformer.encode`, which sorts by length by itself."""
    began = time.monotonic()
    torch_with(given)
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(given.model, device="cpu")
    start_seconds = time.monotonic() - began
    return compared(given, lambda texts: model.encode(texts, batch_size=BATCH, show_progress_bar=False), start_seconds)


# ---- ONNX Runtime -----------------------------------------------------------------------------


def export(given):
    """Writes the model with pooling as an ONNX graph, optimized."""
    torch = torch_with(given)
    from onnxruntime.transformers import optimizer
    from transformers import AutoModel

    # The pattern that ONNX Runtime's optimizer fuses is that of eager attention.
    model = AutoModel.from_pretrained(given.model, attn_implementation="eager").eval()

    class Vectors(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, input_ids, attention_mask, token_type_ids):
            # The exporter gets the model's own position ids wrong: they are a buffer that is cut.
            positions = torch.arange(input_ids.shape[1]).unsqueeze(0)
            hidden = self.model(input_ids, attention_mask, token_type_ids, positions).last_hidden_state  # (B, T, H)
            real = attention_mask.unsqueeze(-1).to(hidden.dtype)  # (B, T, 1)
            return torch.nn.functional.normalize((hidden * real).sum(1) / real.sum(1), dim=1)

    ids = torch.randint(1000, 2000, (3, 11))
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    names = ["input_ids", "attention_mask", "token_type_ids"]
    axes = {name: {0: "texts", 1: "tokens"} for name in names}
    plain = Path(given.out).with_suffix(".plain.onnx")
    torch.onnx.export(Vectors().eval(), (ids, mask, torch.zeros_like(ids)), plain, input_names=names, output_names=["vectors"],
                      dynamic_axes={**axes, "vectors": {0: "texts"}}, opset_version=17, dynamo=False)
    config = model.config
    fused = optimizer.optimize_model(str(plain), model_type="bert", num_heads=config.num_attention_heads,
                                     hidden_size=config.hidden_size, opt_level=0)
    fused.save_model_to_file(given.out)
    plain.unlink()
    return {"fused": {name: count for name, count in fused.get_fused_operator_statistics().items() if count}}


def opened(given, threads):
    """The graph in a session of so many threads, and the tokenizer."""
    import onnxruntime
    from tokenizers import Tokenizer

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(given.graph, options, providers=["CPUExecutionProvider"])
    tokenizer = Tokenizer.from_file(str(Path(given.model) / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(given.length)
    return session, tokenizer


def inputs(encodings):
    """A batch for the graph, padded to its longest text."""
    import numpy as np

    shape = (len(encodings), max(len(e.ids) for e in encodings))
    ids, mask = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    for row, encoding in enumerate(encodings):
        ids[row, : len(encoding.ids)] = encoding.ids
        mask[row, : len(encoding.ids)] = 1
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros(shape, np.int64)}


def onnxruntime(given):
    """ONNX Runtime over batches sorted by length."""
    began = time.monotonic()
    import numpy as np

    session, tokenizer = opened(given, given.threads)
    start_seconds = time.monotonic() - began

    def encode(texts):
        encodings = tokenizer.encode_batch(texts)
        order = sorted(range(len(texts)), key=lambda i: -len(encodings[i].ids))
        vectors = None
        for at in range(0, len(order), BATCH):
            rows = order[at : at + BATCH]
            found = session.run(None, inputs([encodings[i] for i in rows]))[0]
            if vectors is None:
                vectors = np.empty((len(texts), found.shape[1]), np.float32)
            vectors[rows] = found
        return vectors

    return compared(given, encode, start_seconds)


def p50(calls, call):
    """Median seconds of a call, after a tenth of them to warm up."""
    import statistics

    taken = []
    for number in range(calls + calls // 10):
        began = time.perf_counter()
        call()
        if number >= calls // 10:
            taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def latency(given):
    """One text of 16 tokens after the other; with all threads and with one, the quicker counts.

    Ours is timed from token ids to the vector, so this is as well, with the arrays ready.
    """
    found = {}
    for threads in sorted({1, given.threads}):
        session, tokenizer = opened(given, threads)
        arrays = inputs([tokenizer.encode(SENTENCE)])
        if arrays["input_ids"].shape != (1, 16):
            sys.exit(f"the sentence has {arrays['input_ids'].shape[1]} tokens and not 16")
        found[threads] = {
            "p50_seconds": p50(given.calls, lambda: session.run(None, arrays)),
            "p50_seconds_from_text": p50(given.calls, lambda: session.run(None, inputs([tokenizer.encode(SENTENCE)]))),
        }
    best = min(found, key=lambda threads: found[threads]["p50_seconds"])
    return {**found[best], "quicker_with_threads": best, "by_threads": found}


if __name__ == "__main__":
    main({"sentence-transformers": sentence_transformers, "export": export, "onnxruntime": onnxruntime, "latency": latency})
