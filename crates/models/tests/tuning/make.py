"""Makes the reference values of this folder: bottleneck adapters, prefixes and mixed layers.

    python make.py  (torch, transformers and peft as in golden.json; CPU, one thread)

The bases are `../goldens/FAMILY-classify`. Adapters are plain PyTorch in a forward hook on each layer of transformers'
models; a prefix is given to `peft`, which hands its keys and values on to transformers (the keys and values are those
that each layer's maps make of the prefix's vectors); a mix is made of transformers' `hidden_states`. All added
parameters are random. The reference computes in double precision. golden.safetensors holds ids, type_ids, lengths,
class_labels, logits, parameter.NAME as they begin, gradient.NAME for each tensor that is trained, losses before each of
ten AdamW steps, and of a prefix what `peft` saves as prompt_embeddings.
"""

import json
import pathlib

import peft
import torch
import torch.nn.functional as F
import transformers
from peft import PrefixTuningConfig, get_peft_model
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoModelForSequenceClassification

HERE = pathlib.Path(__file__).parent
GOLDENS = HERE.parent / "goldens"
ADAMW = {"lr": 3e-3, "betas": (0.85, 0.97), "eps": 1e-7, "weight_decay": 0.3}
HEADS = ("classifier", "pooler", "head.")
LAYERS = {"bert": "bert.encoder.layer", "roberta": "roberta.encoder.layer", "modernbert": "model.layers"}


def random(*shape):
    return nn.Parameter(0.3 * torch.randn(*shape, dtype=torch.float32).double())


def bottleneck(model, family):
    """A map down, a GELU and a map up after each layer."""
    added = {}

    def hook(name):
        def after(module, inputs, output):
            h = output[0] if isinstance(output, tuple) else output
            p = lambda part: added[f"{name}.adapter.{part}"]
            inner = F.gelu(F.linear(h, p("down.weight"), p("down.bias")))
            h = h + F.linear(inner, p("up.weight"), p("up.bias"))
            return (h, *output[1:]) if isinstance(output, tuple) else h
        return after

    for i, layer in enumerate(model.get_submodule(LAYERS[family])):
        name, width = f"{LAYERS[family]}.{i}", model.config.hidden_size
        shapes = {"down.weight": (3, width), "down.bias": (3,), "up.weight": (width, 3), "up.bias": (width,)}
        added |= {f"{name}.adapter.{part}": random(*shape) for part, shape in shapes.items()}
        layer.register_forward_hook(hook(name))
    return added, lambda batch: model(**batch).logits


class Prompt(nn.Module):
    """Keys and values of the prefix's vectors at each layer, in the order of peft's prompt encoder."""

    def __init__(self, layers, prefixes):
        super().__init__()
        self.maps, self.prefixes = [layer.attention.self for layer in layers], prefixes
        self.embedding = nn.Embedding(1, 1)  # says where the parameters are

    def weight(self):
        pairs = [(m.key(p), m.value(p)) for m, p in zip(self.maps, self.prefixes)]
        return torch.cat([part for pair in pairs for part in pair], dim=1)

    def forward(self, tokens):
        return self.weight()[tokens]


def prefix(model, family):
    """Three virtual tokens at each layer, by peft."""
    layers = model.get_submodule(LAYERS[family])
    added = {f"{LAYERS[family]}.{i}.prefix": random(3, model.config.hidden_size) for i in range(len(layers))}
    tuned = get_peft_model(model, PrefixTuningConfig(task_type="SEQ_CLS", num_virtual_tokens=3)).eval()
    prompt = Prompt(layers, list(added.values()))
    tuned.prompt_encoder["default"] = prompt
    added["prompt_embeddings"] = prompt.weight().detach()
    return added, lambda batch: tuned(**batch).logits


def mix(model, family):
    """The head of a model over all layers' states in proportions that are learned."""
    added = {"scalar_mix.weights": random(model.config.num_hidden_layers + 1), "scalar_mix.gamma": random(1)}

    def logits(batch):
        states = torch.stack(model.base_model(**batch, output_hidden_states=True).hidden_states)
        weights = added["scalar_mix.gamma"] * torch.softmax(added["scalar_mix.weights"], 0)
        mixed = (weights[:, None, None, None] * states).sum(0)
        if family == "bert":
            return model.classifier(model.bert.pooler(mixed))
        pooled = mixed.mean(1) if model.config.classifier_pooling == "mean" else mixed[:, 0]
        return model.classifier(model.head(pooled))

    return added, logits


def make(kind, family):
    torch.manual_seed(5)
    base = GOLDENS / f"{family}-classify"
    golden = load_file(base / "golden.safetensors")
    lengths = golden["lengths"].tolist()
    model = AutoModelForSequenceClassification.from_pretrained(base, attn_implementation="eager").double().eval()
    added, of_one = {"bottleneck": bottleneck, "prefix": prefix, "mix": mix}[kind](model, family)
    # Each sequence alone: rows of padding that see nothing at all would not be numbers in ModernBERT.
    batches = []
    for ids, type_ids in zip(golden["ids"].split(lengths), golden["type_ids"].split(lengths)):
        batch = {"input_ids": ids[None], "attention_mask": torch.ones(1, len(ids), dtype=torch.long)}
        batches.append(batch | ({"token_type_ids": type_ids[None]} if family != "modernbert" else {}))
    logits = lambda: torch.cat([of_one(batch) for batch in batches])
    labels = golden["class_labels"]

    bare = lambda name: name.replace(".modules_to_save.default", "").replace(".original_module", "")
    head = {}
    for name, value in model.named_parameters():
        is_head = any(part in name for part in HEADS)
        if is_head and "original_module" not in name:
            value.requires_grad_(True)
            head[("scalar_mix." if kind == "mix" else "") + bare(name)] = value
        else:
            value.requires_grad_(False)
    prompt = added.pop("prompt_embeddings", None)
    trained = added | head

    F.cross_entropy(logits(), labels).backward()
    values = {key: golden[key] for key in ("ids", "type_ids", "lengths", "class_labels")}
    values |= {"logits": logits()} | ({} if prompt is None else {"prompt_embeddings": prompt})
    values |= {f"parameter.{name}": value.detach().clone() for name, value in trained.items()}
    values |= {f"gradient.{name}": value.grad for name, value in trained.items()}
    decays = lambda name: name.endswith(("weight", ".prefix")) and "norm" not in name
    groups = [
        {"params": [p for n, p in trained.items() if decays(n)]},
        {"params": [p for n, p in trained.items() if not decays(n)], "weight_decay": 0.0},
    ]
    values = {k: (v.detach().float() if v.is_floating_point() else v).contiguous().clone() for k, v in values.items()}
    optimizer = torch.optim.AdamW(groups, **ADAMW)
    losses = []
    for _ in range(10):
        optimizer.zero_grad()
        loss = F.cross_entropy(logits(), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    values["losses"] = torch.tensor(losses)
    folder = HERE / f"{kind}-{family}"
    folder.mkdir(exist_ok=True)
    save_file(values, folder / "golden.safetensors")
    (folder / "config.json").write_text((base / "config.json").read_text())
    versions = {"torch": torch.__version__.split("+")[0], "transformers": transformers.__version__}
    versions |= {"peft": peft.__version__} if kind == "prefix" else {}
    (folder / "golden.json").write_text(json.dumps({"versions": versions, "adamw": ADAMW}, indent=1) + "\n")
    print(folder.name, losses)


torch.set_num_threads(1)
for kind, families in {
    "bottleneck": ["bert", "modernbert"], "prefix": ["bert", "roberta"], "mix": ["bert", "modernbert"],
}.items():
    for family in families:
        make(kind, family)
