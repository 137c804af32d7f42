"""Makes the reference values of this folder with the `transformers` library.

    python make.py  (torch and transformers as in a case's golden.json; CPU, one thread)

As `../goldens/make.py`, for the two classes that learn hidden tokens and the order of two parts at once. golden.safetensors
holds ids, type_ids, lengths, mask_rows, mask_labels, orders (0 or 1 for each sequence), logits of the hidden tokens,
order_logits, the loss (the sum of both means), gradient.NAME of each tensor, and the losses of ten steps.
"""

import json
import pathlib
import shutil
import sys

import numpy as np
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoModelForPreTraining

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "goldens"))
import make as goldens

ORDERS = [1, 0, 0, 1, 1, 0]
# Of each case the settings, the argument for the orders, and the names of the outputs.
CASES = {
    "albert": (goldens.ALBERT, "sentence_order_label", "prediction_logits", "sop_logits"),
    "bert": (goldens.BERT, "next_sentence_label", "prediction_logits", "seq_relationship_logits"),
}


def main():
    torch.set_num_threads(1)
    goldens.HEADS["pretraining"] = (AutoModelForPreTraining, {})
    for number, (model_type, (settings, argument, of_tokens, of_orders)) in enumerate(CASES.items()):
        seed = goldens.SEED + 1000 + number
        torch.manual_seed(seed)
        generator = torch.Generator().manual_seed(seed)
        folder = HERE / model_type
        shutil.rmtree(folder, ignore_errors=True)
        model = goldens.build(model_type, "pretraining", settings, generator).eval()
        model.save_pretrained(folder)
        saved = load_file(folder / "model.safetensors")
        model = model.double()
        names = goldens.file_names(model, saved)
        ids, types, batch = goldens.inputs(model.config, generator)
        targets, golden = goldens.labelled("mlm", batch["attention_mask"], generator)
        targets[argument] = torch.tensor(ORDERS)
        golden |= {"ids": torch.cat(ids), "type_ids": torch.cat(types), "orders": torch.tensor(ORDERS)}
        golden["lengths"] = torch.tensor(goldens.LENGTHS)
        out = model(**batch, **targets)
        golden["logits"] = goldens.packed(out[of_tokens], batch["attention_mask"])[golden["mask_rows"]]
        golden["order_logits"] = out[of_orders]
        golden["loss"] = out.loss.reshape(1)
        out.loss.backward()
        for name, value in model.named_parameters():
            golden["gradient." + names[name]] = value.grad
        # Ten steps of what this class calls its loss.
        goldens.whole = lambda model, head, batch, targets: model(**batch, **targets)
        golden["losses"] = goldens.ten_steps(model, "mlm", batch, targets)
        kept = {k: (v.detach().float() if v.is_floating_point() else v).contiguous() for k, v in golden.items()}
        save_file(kept, folder / "golden.safetensors")
        versions = {m.__name__: m.__version__ for m in (torch, transformers, np)}
        record = {"script": "crates/models/tests/order/make.py", "seed": seed, "adamw": goldens.ADAMW, "versions": versions}
        (folder / "golden.json").write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
