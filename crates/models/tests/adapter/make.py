"""Makes the reference values of this folder with the `peft` library.

    python make.py  (torch, transformers and peft as in golden.json; CPU, one thread)

The base is `../goldens/bert-classify`. The adapter changes query, value and the second map of the feed-forward half,
and holds a head of its own; all of it is random. The reference computes in double precision. golden.safetensors holds
ids, type_ids, lengths, class_labels, logits, loss, gradient.NAME for each tensor of the adapter (named as in the
adapter's file without `base_model.model.`) and losses before each of ten AdamW steps.
"""

import json
import pathlib

import peft
import torch
import transformers
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification

HERE = pathlib.Path(__file__).parent
BASE = HERE.parent / "goldens" / "bert-classify"
ADAMW = {"lr": 3e-3, "betas": (0.85, 0.97), "eps": 1e-7, "weight_decay": 0.3}
PREFIX = "base_model.model."


def main():
    torch.set_num_threads(1)
    torch.manual_seed(5)
    golden = load_file(BASE / "golden.safetensors")
    lengths = golden["lengths"].tolist()
    model = AutoModelForSequenceClassification.from_pretrained(BASE, attn_implementation="eager")
    config = LoraConfig(
        task_type="SEQ_CLS", r=3, lora_alpha=7, lora_dropout=0.0, target_modules=["query", "value", "output.dense"],
        exclude_modules=".*attention.output.dense", modules_to_save=["classifier", "pooler"],
    )
    model = get_peft_model(model, config)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if value.requires_grad:
                value.copy_(0.3 * torch.randn(value.shape))
    model.save_pretrained(HERE)
    for extra in ("README.md",):
        (HERE / extra).unlink(missing_ok=True)
    settings = json.loads((HERE / "adapter_config.json").read_text())
    settings["base_model_name_or_path"] = "../goldens/bert-classify"
    (HERE / "adapter_config.json").write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n")
    (HERE / "config.json").write_text((BASE / "config.json").read_text())

    model = model.double().eval()
    shape = (len(lengths), max(lengths))
    batch = {key: torch.zeros(shape, dtype=torch.long) for key in ("input_ids", "attention_mask", "token_type_ids")}
    start = 0
    for i, n in enumerate(lengths):
        batch["input_ids"][i, :n] = golden["ids"][start : start + n]
        batch["token_type_ids"][i, :n] = golden["type_ids"][start : start + n]
        batch["attention_mask"][i, :n] = 1
        start += n
    labels = golden["class_labels"]
    bare = lambda name: name.removeprefix(PREFIX).replace(".default", "").replace(".modules_to_save", "")
    trained = {bare(name): value for name, value in model.named_parameters() if value.requires_grad}

    out = model(**batch, labels=labels)
    out.loss.backward()
    values = {key: golden[key] for key in ("ids", "type_ids", "lengths", "class_labels")}
    values |= {"logits": out.logits, "loss": out.loss.reshape(1)}
    values |= {f"gradient.{name}": value.grad for name, value in trained.items()}
    groups = [
        {"params": [p for n, p in trained.items() if n.endswith("weight")]},
        {"params": [p for n, p in trained.items() if not n.endswith("weight")], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, **ADAMW)
    losses = []
    for _ in range(10):
        optimizer.zero_grad()
        loss = model(**batch, labels=labels).loss
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    values["losses"] = torch.tensor(losses)
    values = {k: (v.detach().float() if v.is_floating_point() else v).contiguous().clone() for k, v in values.items()}
    save_file(values, HERE / "golden.safetensors")
    versions = {"torch": torch.__version__.split("+")[0], "transformers": transformers.__version__, "peft": peft.__version__}
    (HERE / "golden.json").write_text(json.dumps({"versions": versions, "adamw": ADAMW}, indent=1) + "\n")


main()
