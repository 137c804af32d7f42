"""Makes the reference values of this folder with the `transformers` library.

    python make.py  (torch and transformers as in golden.json; CPU, one thread)

The base is `../goldens/bert-mlm`. Two rows of source, target and masks, as `polyseme finetune --task generate` sets
them; the reference gets what each token sees as an attention mask of four dimensions, and positions. It computes in
double precision. golden.safetensors holds ids, type_ids, lengths, sources, labels, logits of the masks, loss and
gradient.NAME for each tensor.
"""

import json
import pathlib

import torch
import transformers
from safetensors.torch import save_file
from transformers import AutoModelForMaskedLM

HERE = pathlib.Path(__file__).parent
BASE = HERE.parent / "goldens" / "bert-mlm"
MASK = 2
FIRST = 4  # beyond the padding, whose embedding the reference gives no gradient


def row(source, known, generator, vocabulary):
    """Ids, segments, positions and what is seen of a source, `known` tokens of a target and a mask for each and one
    more."""
    length = source + 2 * known + 1
    ids = torch.randint(FIRST, vocabulary, (length,), generator=generator)
    labels = torch.cat([ids[source : source + known], torch.randint(FIRST, vocabulary, (1,), generator=generator)])
    ids[source + known :] = MASK
    type_ids = torch.tensor([0] * source + [1] * (length - source))
    positions = torch.cat([torch.arange(source + known), torch.arange(source, source + known + 1)])
    sees = torch.eye(length, dtype=torch.bool)
    for i in range(length):
        end = source if i < source else i + 1 if i < source + known else i - known
        sees[i, :end] = True
    return ids, type_ids, positions, sees, labels


def main():
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(7)
    model = AutoModelForMaskedLM.from_pretrained(BASE, attn_implementation="eager").double().eval()
    vocabulary = model.config.vocab_size
    shapes = [(5, 3), (2, 0), (4, 4)]
    rows = [row(source, known, generator, vocabulary) for source, known in shapes]
    values = {key: torch.cat([r[i] for r in rows]) for i, key in ((0, "ids"), (1, "type_ids"), (4, "labels"))}
    values["lengths"] = torch.tensor([len(r[0]) for r in rows])
    values["sources"] = torch.tensor([source for source, _ in shapes])
    logits = []
    for (source, known), (ids, type_ids, positions, sees, _) in zip(shapes, rows):
        mask = torch.zeros(sees.shape, dtype=torch.double).masked_fill(~sees, torch.finfo(torch.double).min)
        given = {"input_ids": ids, "token_type_ids": type_ids, "position_ids": positions, "attention_mask": mask[None]}
        found = model(**{key: value[None] for key, value in given.items()}).logits[0]
        logits.append(found[source + known :])
    logits = torch.cat(logits)
    loss = torch.nn.functional.cross_entropy(logits, values["labels"])
    loss.backward()
    values |= {"logits": logits, "loss": loss.reshape(1)}
    values |= {f"gradient.{name}": value.grad for name, value in model.named_parameters()}
    kept = {k: (v.float() if v.is_floating_point() else v).detach().contiguous() for k, v in values.items()}
    save_file(kept, HERE / "golden.safetensors")
    versions = {"torch": torch.__version__, "transformers": transformers.__version__, "seed": 7}
    (HERE / "config.json").write_text((BASE / "config.json").read_text())
    (HERE / "golden.json").write_text(json.dumps({"adamw": {}, "versions": versions}, indent=2) + "\n")


if __name__ == "__main__":
    main()
