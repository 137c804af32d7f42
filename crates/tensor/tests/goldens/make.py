"""Makes ops.json with PyTorch: each operation on a small input, with the gradients of a weighted sum.

    python make.py

PyTorch computes in double precision, so that what a test sees is our rounding and not its own.
"""

import json
import pathlib

import torch
import torch.nn.functional as F

SEED = 7


def case(function, *inputs):
    """Inputs, output, the weights of the sum, and the gradient of each input."""
    inputs = [x.double().requires_grad_() for x in inputs]
    out = function(*inputs)
    weights = torch.randn(out.shape, generator=generator).double()
    (out * weights).sum().backward()
    flat = lambda x: [float(f"{v:.9g}") for v in x.detach().flatten().tolist()]
    return {
        "shapes": [list(x.shape) for x in inputs],
        "inputs": [flat(x) for x in inputs],
        "output": flat(out),
        "weights": flat(weights),
        "gradients": [flat(x.grad) for x in inputs],
    }


def adamw(steps):
    """Three parameters through some steps of AdamW; the last without decay."""
    settings = dict(lr=0.02, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.4)
    params = [torch.randn(n, generator=generator).double().requires_grad_() for n in (5, 3, 4)]
    optimizer = torch.optim.AdamW([{"params": params[:2]}, {"params": params[2:], "weight_decay": 0.0}], **settings)
    start, trace = [p.tolist() for p in params], []
    for _ in range(steps):
        grads = [torch.randn(p.shape, generator=generator) for p in params]
        for p, g in zip(params, grads):
            p.grad = g.double()
        optimizer.step()
        trace.append({"gradients": [g.tolist() for g in grads], "params": [p.tolist() for p in params]})
    return {"start": start, "steps": trace}


generator = torch.Generator().manual_seed(SEED)
# Where activations bend, where they saturate, and the points between.
line = torch.cat([torch.linspace(-9, 9, 73), torch.linspace(-0.1, 0.1, 11)]).reshape(-1, 4)
rand = lambda *shape: torch.randn(shape, generator=generator)
labels = torch.tensor([4, 0, 2])
ops = {
    "gelu": case(F.gelu, line),
    "gelu_tanh": case(lambda x: F.gelu(x, approximate="tanh"), line),
    "relu": case(F.relu, line),
    "silu": case(F.silu, line),
    "tanh": case(torch.tanh, line),
    "linear": case(F.linear, rand(3, 5), rand(4, 5), rand(4)),
    "layer_norm": case(lambda x, w, b: F.layer_norm(x, (7,), w, b, 1e-3), 3 * rand(4, 7), rand(7), rand(7)),
    "cross_entropy": case(lambda x: F.cross_entropy(x, labels).reshape(1), 30 * rand(3, 6)),
    "adamw": adamw(4),
    "labels": labels.tolist(),
    "versions": {"torch": torch.__version__},
    "seed": SEED,
}
text = json.dumps(ops, separators=(",", ":")).replace('},"', '},\n"')
(pathlib.Path(__file__).parent / "ops.json").write_text(text + "\n")
