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
    tag_rows, tag_labels           the same (cases of tags); not every sequence has one
    class_labels                   (classification cases)
    multilabels                    (cases of many labels) 0 or 1 for each label, a row a sequence
    numbers                        (regression cases)
    starts, ends                   (cases of spans: qa) of each sequence's span, both inclusive, counted in the
                                   sequence
    choice_labels                  (cases of choices) of sequences 2i and 2i + 1 the right one, 0 or 1
    logits                         MLM and tags: at the rows with a label; spans: of start and end, at all rows;
                                   choices: one number a sequence; else of the classes, one row a sequence
    loss                           mean cross-entropy, over the labels (of spans: of start and end over the tokens
                                   of the sequence; of choices: over the two); mean squared error of numbers; mean
                                   binary cross-entropy of all multilabels
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
from transformers import (
    AutoConfig, AutoModelForMaskedLM, AutoModelForMultipleChoice, AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification, AutoModelForTokenClassification,
)

SEED = 20261123
LENGTHS = [5, 9, 1, 5, 13, 2]
CLASSES = [1, 0, 2, 2, 1, 0]
NUMBERS = [0.3, -1.2, 2.5, 0.0, 1.1, -0.4]
MULTILABELS = [[1.0, 0.0, 1.0], [0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 1.0, 1.0], [0.0, 0.0, 1.0], [1.0, 1.0, 0.0]]
STARTS = [1, 0, 0, 2, 7, 1]
ENDS = [3, 8, 0, 2, 10, 1]
CHOICES = 2
ANSWERS = [1, 0, 1]
ADAMW = {"lr": 3e-3, "betas": [0.85, 0.97], "eps": 1e-7, "weight_decay": 0.3}
LABELS = {0: "sad", 1: "merry", 2: "so-so"}
TAGS = {0: "O", 1: "B-PER", 2: "I-PER", 3: "B-LOC"}

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

ALBERT = {key: value for key, value in BERT.items() if key != "classifier_dropout"} | dict(
    embedding_size=12, classifier_dropout_prob=0.0, num_hidden_groups=1, inner_group_num=1, num_hidden_layers=3,
    bos_token_id=1, eos_token_id=2,
)

MODERNBERT_BIASED = MODERNBERT | dict(
    hidden_activation="silu", attention_bias=True, mlp_bias=True, norm_bias=True, classifier_bias=True,
)


def named(labels):
    return dict(id2label=labels, label2id={name: i for i, name in labels.items()})


# Of each head the class, and what it adds to the settings.
HEADS = {
    "mlm": (AutoModelForMaskedLM, {}),
    "classify": (AutoModelForSequenceClassification, named(LABELS)),
    "regress": (AutoModelForSequenceClassification, dict(num_labels=1, problem_type="regression")),
    "multilabel": (
        AutoModelForSequenceClassification, named(LABELS) | dict(problem_type="multi_label_classification"),
    ),
    "tag": (AutoModelForTokenClassification, named(TAGS)),
    "qa": (AutoModelForQuestionAnswering, {}),
    "choice": (AutoModelForMultipleChoice, {}),
}

# A case's place in the list seeds it: new ones go to the end.
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
    "modernbert-classify": ("modernbert", "classify", MODERNBERT_BIASED | dict(classifier_pooling="mean")),
    "bert-regress": ("bert", "regress", BERT | dict(hidden_act="relu")),
    "bert-multilabel": ("bert", "multilabel", BERT),
    "bert-tag": ("bert", "tag", BERT | dict(hidden_act="gelu_new")),
    "roberta-tag": ("roberta", "tag", ROBERTA),
    "distilbert-tag": ("distilbert", "tag", DISTILBERT),
    "electra-tag": ("electra", "tag", ELECTRA),
    "modernbert-tag": ("modernbert", "tag", MODERNBERT_BIASED),
    "bert-qa": ("bert", "qa", BERT | dict(layer_norm_eps=1e-7)),
    "roberta-qa": ("roberta", "qa", ROBERTA | dict(hidden_act="relu")),
    "distilbert-qa": ("distilbert", "qa", DISTILBERT | dict(activation="gelu")),
    "electra-qa": ("electra", "qa", ELECTRA | dict(hidden_act="swish")),
    "modernbert-qa": ("modernbert", "qa", MODERNBERT),
    "bert-choice": ("bert", "choice", BERT | dict(hidden_act="silu")),
    "roberta-choice": ("roberta", "choice", ROBERTA),
    "distilbert-choice": ("distilbert", "choice", DISTILBERT | dict(activation="gelu")),
    "electra-choice": (
        "electra", "choice",
        ELECTRA | dict(
            hidden_act="relu", summary_type="first", summary_use_proj=True, summary_activation="gelu",
            summary_last_dropout=0.0,
        ),
    ),
    "modernbert-choice": ("modernbert", "choice", MODERNBERT_BIASED | dict(classifier_pooling="cls")),
    # One layer three times; embeddings as wide as layers; groups of two and of one layers; two layers in turn.
    "albert-mlm": ("albert", "mlm", ALBERT | dict(hidden_act="gelu_new")),
    "albert-mlm-untied": ("albert", "mlm", ALBERT | dict(embedding_size=20, tie_word_embeddings=False)),
    "albert-classify": ("albert", "classify", ALBERT | dict(num_hidden_groups=2)),
    "albert-tag": ("albert", "tag", ALBERT | dict(num_hidden_layers=2, inner_group_num=2)),
    "albert-qa": (
        "albert", "qa", ALBERT | dict(num_hidden_layers=2, num_hidden_groups=2, inner_group_num=2, hidden_act="relu"),
    ),
    "albert-choice": ("albert", "choice", ALBERT | dict(num_hidden_layers=4, num_hidden_groups=3)),
}


def build(model_type, head, settings, generator):
    """A model whose every parameter is random; norms around 1, all else around 0."""
    auto, more = HEADS[head]
    config = AutoConfig.for_model(model_type, **settings, **more)
    config._attn_implementation = "eager"
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


def labelled(head, mask, generator):
    """What the reference wants to be told for a loss, and what the golden file says of it."""
    if head in ("mlm", "tag"):
        key, low, high = ("mask", 4, 71) if head == "mlm" else ("tag", 0, len(TAGS))
        labels = torch.full(mask.shape, -100)
        for i, n in enumerate(LENGTHS):
            count = (n + 2) // 3 if head == "mlm" else n // 2
            chosen = torch.randperm(n, generator=generator)[:count]
            labels[i, chosen] = torch.randint(low, high, (len(chosen),), generator=generator)
        true = packed(labels, mask)
        rows = (true != -100).nonzero().flatten()
        return {"labels": labels}, {f"{key}_rows": rows, f"{key}_labels": true[rows]}
    if head == "qa":
        starts, ends = torch.tensor(STARTS), torch.tensor(ENDS)
        return {"start_positions": starts, "end_positions": ends}, {"starts": starts, "ends": ends}
    key, labels = {
        "classify": ("class_labels", CLASSES),
        "regress": ("numbers", NUMBERS),
        "multilabel": ("multilabels", MULTILABELS),
        "choice": ("choice_labels", ANSWERS),
    }[head]
    labels = torch.tensor(labels)
    return {"labels": labels.double() if labels.is_floating_point() else labels}, {key: labels}


def file_names(model, saved):
    """Name in the file of each parameter; tied ones have one name there."""
    by_place = {value.data_ptr(): name for name, value in model.state_dict().items() if name in saved}
    return {name: by_place[value.data_ptr()] for name, value in model.named_parameters()}


def alone(batch):
    """Each sequence as a batch of its own, without padding and without a mask."""
    for i, n in enumerate(LENGTHS):
        yield {key: value[i : i + 1, :n] for key, value in batch.items() if key != "attention_mask"}


def call(model, head, batch, **more):
    """The model's output; a head of choices wants those of one question together, here also a lone one."""
    if head == "choice":
        choices = min(CHOICES, len(batch["input_ids"]))
        batch = {key: value.unflatten(0, (-1, choices)) for key, value in batch.items()}
    return model(**batch, **more)


def whole(model, head, batch, targets, **more):
    """Logits, a row for each token or each sequence, the loss, and hidden states of the padded batch if wanted.

    The loss is that of the padded batch but for two: ModernBERT's padding may see nothing at all inside its window,
    which gives no number and spoils the means and gradients of the padded batch; and the softmax over a sequence of
    the qa head counts padding too. There each sequence is computed alone."""
    mask, tokens = batch["attention_mask"], head in ("mlm", "tag")
    if model.config.model_type != "modernbert" and head != "qa":
        out = call(model, head, batch, **targets, **more)
        logits = packed(out.logits, mask) if tokens else out.logits.reshape(len(LENGTHS), -1)
        return SimpleNamespace(logits=logits, loss=out.loss, hidden_states=out.hidden_states)
    if head == "qa":
        outs = [
            call(model, head, one, **{key: value[i : i + 1] for key, value in targets.items()})
            for i, one in enumerate(alone(batch))
        ]
        logits = torch.cat([torch.stack([out.start_logits[0], out.end_logits[0]], dim=-1) for out in outs])
        loss = torch.stack([out.loss for out in outs]).mean()
    else:
        logits = torch.cat([call(model, head, one).logits.flatten(0, -2) for one in alone(batch)])
        labels = packed(targets["labels"], mask) if tokens else targets["labels"]
        loss = torch.nn.functional.cross_entropy(logits.reshape(len(labels), -1), labels)
    hidden = call(model, head, batch, **more).hidden_states if more else None
    return SimpleNamespace(logits=logits, loss=loss, hidden_states=hidden)


def ten_steps(model, head, batch, targets):
    decays = lambda name: name.endswith("weight") and "norm" not in name.lower()
    groups = [
        {"params": [p for n, p in model.named_parameters() if decays(n)]},
        {"params": [p for n, p in model.named_parameters() if not decays(n)], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, **{k: tuple(v) if k == "betas" else v for k, v in ADAMW.items()})
    losses = []
    for _ in range(10):
        optimizer.zero_grad()
        loss = whole(model, head, batch, targets).loss
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
    mask = batch["attention_mask"]
    targets, golden = labelled(head, mask, generator)
    golden |= {"ids": torch.cat(ids), "type_ids": torch.cat(types), "lengths": torch.tensor(LENGTHS)}

    out = whole(model, head, batch, targets, output_hidden_states=True)
    each = [call(model, head, one, output_hidden_states=True).hidden_states for one in alone(batch)]
    for n, states in enumerate(out.hidden_states):
        golden[f"hidden.padded.{n}"] = packed(states, mask)
        golden[f"hidden.alone.{n}"] = torch.cat([states[n][0] for states in each])
    rows = {"mlm": "mask_rows", "tag": "tag_rows"}.get(head)
    golden["logits"] = out.logits[golden[rows]] if rows else out.logits
    golden["loss"] = out.loss.reshape(1)
    out.loss.backward()
    for name, value in model.named_parameters():
        if value.grad is not None:
            golden["gradient." + names[name]] = value.grad
    golden["losses"] = ten_steps(model, head, batch, targets)
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
