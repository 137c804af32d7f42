"""Makes the reference values of this folder with the `transformers` library.

    python make.py   (torch and transformers as in golden.json; CPU, one thread, double precision)

For a model of each family (`../goldens`) what the first three sequences of its golden file attend to, each sequence
alone: `attention.S.L` is that of sequence S in layer L, from 0. `(heads, length, length)`
"""

import json
import pathlib

import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoModel

CASES = ["bert-mlm", "roberta-mlm", "distilbert-mlm", "electra-mlm", "modernbert-mlm", "albert-mlm"]
SEQUENCES = 3
HERE = pathlib.Path(__file__).resolve().parent


def main():
    torch.set_num_threads(1)
    values = {}
    for case in CASES:
        folder = HERE.parent / "goldens" / case
        model = AutoModel.from_pretrained(folder, attn_implementation="eager").double().eval()
        golden = load_file(folder / "golden.safetensors")
        start = 0
        for sequence, length in enumerate(golden["lengths"][:SEQUENCES].tolist()):
            batch = {"input_ids": golden["ids"][start : start + length].long()[None]}
            if getattr(model.config, "type_vocab_size", 1) > 1:
                batch["token_type_ids"] = golden["type_ids"][start : start + length].long()[None]
            with torch.no_grad():
                maps = model(**batch, output_attentions=True).attentions
            for layer, found in enumerate(maps):
                values[f"{case}.{sequence}.{layer}"] = found[0].float().contiguous()
            start += length
    save_file(values, HERE / "golden.safetensors")
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    (HERE / "golden.json").write_text(json.dumps(versions) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
