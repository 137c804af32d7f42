"""ONNX Runtime's side of `int8.py`: its graphs, its vectors, its speed; each in a process of its own."""

import json
import logging
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "benches" / "peers"))
import embed_peers
from child import main, texts_of


def export(given):
    """The optimized graph in f32, and the same rounded dynamically with a scale for each channel."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    logging.disable()
    embed_peers.export(given)
    small = str(Path(given.out).with_suffix(".int8.onnx"))
    # Of its own fused operators it cannot tell the types.
    quantize_dynamic(given.out, small, per_channel=True, weight_type=QuantType.QInt8,
                     extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT})
    return {"f32": str(given.out), "int8": small}


def embed(given):
    """Vectors of texts, one at a time: nothing is padded, so that a range belongs to one text."""
    import numpy as np

    session, tokenizer = embed_peers.opened(given, given.threads)
    encodings = tokenizer.encode_batch(texts_of(given.texts))
    np.save(given.out, np.concatenate([session.run(None, embed_peers.inputs([e]))[0] for e in encodings]))
    return {"texts": len(encodings)}


def speed(given):
    """Batches of random tokens, all of one length."""
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = given.threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(given.graph, options, providers=["CPUExecutionProvider"])
    ids = np.random.default_rng(0).integers(1000, 20000, (given.batch, given.length))
    arrays = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    for _ in range(5):
        session.run(None, arrays)
    began = time.monotonic()
    for _ in range(given.steps):
        session.run(None, arrays)
    return {"tokens_per_second": given.steps * ids.size / (time.monotonic() - began)}


if __name__ == "__main__":
    main({"export": export, "embed": embed, "speed": speed})
