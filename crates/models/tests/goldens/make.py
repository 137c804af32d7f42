"""Makes the reference values of this folder with the `transformers` library.

    python make.py [CASE...]  (torch and transformers as in a case's golden.json; CPU, one thread)

Each case is a tiny random model whose configuration has no default value: odd sizes, its own
epsilon, random norms and biases, no dropout. The reference computes in double precision, so that
what a test sees is our rounding and not its own. A case folder holds

  config.json, model.safetensors   as `save_pretrained` writes them (f32); one has a
                                   pytorch_model.bin besides
  golden.json                      versions, seed, settings of AdamW
  golden.safetensors
    ids, type_ids, lengths         sequences laid end to end, in the caller's order
    hidden.padded.N, hidden.alone.N
                                   hidden states after N layers, rows as in `ids`, from one padded
                                   batch with an attention mask, and from each sequence alone
    mask_rows, mask_labels         rows of `ids` with a label (MLM cases)
    logits                         at those rows; or of the classes or the number, one row a sequence
    class_labels                   (classification cases)
    numbers                        (regression cases)
    loss                           mean cross-entropy, or mean squared error
    gradient.NAME                  of the loss, for each tensor of model.safetensors
    losses                         before each of ten AdamW steps
"""

import json
import pathlib
import shutil
import sys
from types import SimpleNamespace

import numpy as np
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForMaskedLM, AutoModelForSequenceClassification

SEED = 20261123
LENGTHS = [5, 9, 1, 5, 13, 2]
CLASSES = [1, 0, 2, 2, 1, 0]
NUMBERS = [0.3, -1.2, 2.5, 0.0, 1.1, -0.4]
ADAMW = {"lr": 3e-3, "betas": [0.85, 0.97], "eps": 1e-7, "weight_decay": 0.3}
LABELS = {0: "sad", 1: "merry", 2: "so-so"}

BERT = dict(
    vocab_size=71, hidden_size=20, num_hidden_layers=2, num_attention_heads=4, intermediate_size=37,
    hidden_act="gelu", max_position_embeddings=19, type_vocab_size=3, layer_norm_eps=1e-5,
    hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, classifier_dropout=0.0,
    initializer_range=0.05, pad_token_id=3,
)
DISTILBERT = dict(
    vocab_size=71, dim=20, n_layers=2, n_heads=4, hidden_dim=37, activation="relu",
    max_position_embeddings=19, sinusoidal_pos_embds=True, dropout=0.0, attention_dropout=0.0,
    seq_classif_dropout=0.0, qa_dropout=0.0, initializer_range=0.05, pad_token_id=3,
)
ROBERTA = BERT | dict(pad_token_id=2, layer_norm_eps=1e-7, max_position_embeddings=20, num_attention_heads=5)
ELECTRA = BERT | dict(embedding_size=12, layer_norm_eps=1e-4, num_attention_heads=2)
# A window of three on either side, so that the longest sequences do not fit into it.
MODERNBERT = dict(
    vocab_size=71, hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=17,
    hidden_activation="gelu", max_position_embeddings=19, norm_eps=1e-4, pad_token_id=3, bos_token_id=1,
    eos_token_id=2, cls_token_id=1, sep_token_id=2, global_attn_every_n_layers=2, local_attention=6,
    global_rope_theta=700.0, local_rope_theta=60.0, initializer_range=0.05,
)

CASES = {
    "bert-mlm": ("bert", "mlm", BERT),
    "bert-mlm-untied": ("bert", "mlm", BERT | dict(hidden_act="silu", tie_word_embeddings=False)),
    "bert-classify": ("bert", "classify", BERT | dict(hidden_act="gelu_new", layer_norm_eps=1e-7)),
    "roberta-mlm": ("roberta", "mlm", ROBERTA | dict(hidden_act="gelu_pytorch_tanh")),
    "roberta-classify": ("roberta", "classify", ROBERTA | dict(hidden_act="relu")),
    "distilbert-mlm": ("distilbert", "mlm", DISTILBERT),
    "distilbert-classify": ("distilbert", "classify", DISTILBERT | dict(activation="gelu")),
    "electra-mlm": ("electra", "mlm", ELECTRA | dict(hidden_act="swish")),
    "electra-classify": ("electra", "classify", ELECTRA),
    "modernbert-mlm": ("modernbert", "mlm", MODERNBERT),
    "modernbert-classify": (
        "modernbert", "classify",
        MODERNBERT | dict(
            hidden_activation="silu", attention_bias=True, mlp_bias=True, norm_bias=True, classifier_bias=True,
            classifier_pooling="mean",
        ),
    ),
    "bert-regress": ("bert", "regress", BERT | dict(hidden_act="relu")),
}


def build(model_type, head, settings, generator):
    """A model whose every parameter is random; norms around 1, all else around 0."""
    if head == "classify":
        settings = settings | dict(id2label=LABELS, label2id={name: i for i, name in LABELS.items()})
    if head == "regress":
        settings = settings | dict(num_labels=1, problem_type="regression")
    config = AutoConfig.for_model(model_type, **settings)
    config._attn_implementation = "eager"
    auto = AutoModelForMaskedLM if head == "mlm" else AutoModelForSequenceClassification
    model = auto.from_config(config)
    with torch.no_grad():
        for name, value in model.named_parameters():
            noise = torch.randn(value.shape, generator=generator)
            norm = "norm" in name.lower() and name.endswith("weight")
            value.copy_(1 + 0.2 * noise if norm else 0.3 * noise)
    return model


def inputs(config, generator):
    """Sequences without the padding token, as lists, and the padded batch."""
    low = config.pad_token_id + 1
    segments = getattr(config, "type_vocab_size", 1)
    ids = [torch.randint(low, config.vocab_size, (n,), generator=generator) for n in LENGTHS]
    types = [torch.randint(0, segments, (n,), generator=generator) for n in LENGTHS]
    shape = (len(LENGTHS), max(LENGTHS))
    batch = {"input_ids": torch.full(shape, config.pad_token_id), "attention_mask": torch.zeros(shape, dtype=torch.long)}
    if segments > 1:
        batch["token_type_ids"] = torch.zeros(shape, dtype=torch.long)
    for i, n in enumerate(LENGTHS):
        batch["input_ids"][i, :n] = ids[i]
        batch["attention_mask"][i, :n] = 1
        if segments > 1:
            batch["token_type_ids"][i, :n] = types[i]
    return ids, types, batch


def packed(states, mask):
    """Rows of a padded tensor that are not padding, end to end."""
    return states[mask.bool()]


def labelled(head, ids, generator):
    """Labels as the reference wants them, and what the golden file says of them."""
    if head == "classify":
        return torch.tensor(CLASSES), {"class_labels": torch.tensor(CLASSES)}
    if head == "regress":
        return torch.tensor(NUMBERS).double(), {"numbers": torch.tensor(NUMBERS)}
    labels = torch.full((len(LENGTHS), max(LENGTHS)), -100)
    rows, row = [], 0
    for i, n in enumerate(LENGTHS):
        chosen = torch.randperm(n, generator=generator)[: (n + 2) // 3]
        labels[i, chosen] = torch.randint(4, 71, (len(chosen),), generator=generator)
        rows += sorted((row + chosen).tolist())
        row += n
    mask = torch.zeros_like(labels)
    for i, n in enumerate(LENGTHS):
        mask[i, :n] = 1
    true = packed(labels, mask)
    return labels, {"mask_rows": torch.tensor(rows), "mask_labels": true[true != -100]}


def file_names(model, saved):
    """Name in the file of each parameter; tied ones have one name there."""
    by_place = {value.data_ptr(): name for name, value in model.state_dict().items() if name in saved}
    return {name: by_place[value.data_ptr()] for name, value in model.named_parameters()}


def whole(model, batch, labels, **more):
    """The model's output with its loss. ModernBERT's padding may see nothing at all inside its window, which gives
    no number and spoils the means and gradients of the padded batch; there each sequence is computed alone."""
    if model.config.model_type != "modernbert":
        return model(**batch, labels=labels, **more)
    lengths = batch["attention_mask"].sum(1).tolist()
    outs = [model(input_ids=batch["input_ids"][i : i + 1, :n]) for i, n in enumerate(lengths)]
    if labels.dim() == 1:
        logits = torch.cat([out.logits for out in outs])
        loss = torch.nn.functional.cross_entropy(logits, labels)
    else:
        logits = torch.full((*labels.shape, outs[0].logits.shape[-1]), 0.0, dtype=outs[0].logits.dtype)
        for i, n in enumerate(lengths):
            logits[i, :n] = outs[i].logits[0]
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())
    hidden = model(**batch, **more).hidden_states if more else None
    return SimpleNamespace(logits=logits, loss=loss, hidden_states=hidden)


def ten_steps(model, batch, labels):
    decays = lambda name: name.endswith("weight") and "norm" not in name.lower()
    groups = [
        {"params": [p for n, p in model.named_parameters() if decays(n)]},
        {"params": [p for n, p in model.named_parameters() if not decays(n)], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, **{k: tuple(v) if k == "betas" else v for k, v in ADAMW.items()})
    losses = []
    for _ in range(10):
        optimizer.zero_grad()
        loss = whole(model, batch, labels).loss
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return torch.tensor(losses)


def make(folder, number, model_type, head, settings):
    torch.manual_seed(SEED + number)
    generator = torch.Generator().manual_seed(SEED + number)
    shutil.rmtree(folder, ignore_errors=True)
    model = build(model_type, head, settings, generator).eval()
    model.save_pretrained(folder)
    if folder.name == "bert-mlm":
        # As before safetensors, tied tensors under both names.
        torch.save(model.state_dict(), folder / "pytorch_model.bin")
    saved = load_file(folder / "model.safetensors")
    model = model.double()
    names = file_names(model, saved)
    ids, types, batch = inputs(model.config, generator)
    labels, golden = labelled(head, ids, generator)
    golden |= {"ids": torch.cat(ids), "type_ids": torch.cat(types), "lengths": torch.tensor(LENGTHS)}

    out = whole(model, batch, labels, output_hidden_states=True)
    mask = batch["attention_mask"]
    alone = []
    for i, n in enumerate(LENGTHS):
        one = {key: value[i : i + 1, :n] for key, value in batch.items() if key != "attention_mask"}
        alone.append(model(**one, output_hidden_states=True).hidden_states)
    for n, states in enumerate(out.hidden_states):
        golden[f"hidden.padded.{n}"] = packed(states, mask)
        golden[f"hidden.alone.{n}"] = torch.cat([states[n][0] for states in alone])
    golden["logits"] = out.logits if head != "mlm" else packed(out.logits, mask)[golden["mask_rows"]]
    golden["loss"] = out.loss.reshape(1)
    out.loss.backward()
    for name, value in model.named_parameters():
        if value.grad is not None:
            golden["gradient." + names[name]] = value.grad
    golden["losses"] = ten_steps(model, batch, labels)
    golden = {k: (v.detach().float() if v.is_floating_point() else v).contiguous() for k, v in golden.items()}
    save_file(golden, folder / "golden.safetensors")
    record = {
        "script": "crates/models/tests/goldens/make.py", "seed": SEED + number, "adamw": ADAMW,
        "versions": {m.__name__: m.__version__ for m in (torch, transformers, np)},
    }
    (folder / "golden.json").write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    torch.set_num_threads(1)
    here = pathlib.Path(__file__).parent
    for number, (name, (model_type, head, settings)) in enumerate(CASES.items()):
        if len(sys.argv) > 1 and name not in sys.argv[1:]:
            continue
        make(here / name, number, model_type, head, settings)
        size = sum(file.stat().st_size for file in (here / name).iterdir())
        print(f"{name}: {size} bytes")
