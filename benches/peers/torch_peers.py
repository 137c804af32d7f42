"""The peers that train with PyTorch: `transformers` as its users run it, and a careful loop by hand.

By hand means the same body by `transformers`, the vocabulary projection over the masked rows only, and
where lengths differ, batches sorted by length. Both have AdamW in one fused pass, gradients set to
nothing instead of zero, and the attention that `transformers` takes by itself.
"""

import csv
import time

from child import main, rate, timed, torch_with

MASKED = 0.15  # share of the tokens that is hidden
ORDINARY = 1000  # ids from here on are no special tokens in BERT's vocabulary
MASK = 103  # [MASK] in BERT's vocabulary


def adamw(torch, model):
    decay = [p for p in model.parameters() if p.dim() > 1]
    plain = [p for p in model.parameters() if p.dim() <= 1]
    groups = [{"params": decay, "weight_decay": 0.01}, {"params": plain, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=1e-4, betas=(0.9, 0.98), eps=1e-6, fused=True)


def stepper(torch, model, loss_of, bf16=False):
    """An optimizer step on a batch, as every loop takes it; products in bfloat16 where that is asked for."""
    optimizer = adamw(torch, model)

    def step(batch):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            loss = loss_of(model, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


# ---- masked language modelling ----------------------------------------------------------------


def dense_loss(model, batch):
    """The head over all positions, as `BertForMaskedLM` has it."""
    return model(**batch).loss


def masked_loss(model, batch):
    """The head over the masked rows only."""
    from torch.nn.functional import cross_entropy

    hidden = model.bert(batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state  # (B, T, H)
    rows = hidden.flatten(0, 1).index_select(0, batch["places"])  # (masked, H)
    return cross_entropy(model.cls(rows), batch["targets"])


def hide(torch, ids, places, mask, ordinary):
    """Hides the tokens at flat places as BERT does, 80 % masked, 10 % random, 10 % kept; gives the true ones."""
    flat = ids.view(-1)
    targets = flat[places]
    fate = torch.rand(len(places))
    flat[places[fate < 0.8]] = mask
    swapped = places[(fate >= 0.8) & (fate < 0.9)]
    flat[swapped] = torch.randint(*ordinary, (len(swapped),))
    return targets


def random_batches(torch, given, vocabulary):
    """Batches of random tokens, the same number masked in each."""
    shape = (given.batch, given.length)
    for _ in range(given.warmup + given.steps):
        ids = torch.randint(ORDINARY, vocabulary, shape)
        places = torch.randperm(ids.numel())[: round(MASKED * ids.numel())].sort().values
        targets = hide(torch, ids, places, MASK, (ORDINARY, vocabulary))
        if given.dense:
            labels = torch.full_like(ids, -100)
            labels.view(-1)[places] = targets
            yield {"input_ids": ids, "labels": labels}
        else:
            yield {"input_ids": ids, "attention_mask": None, "places": places, "targets": targets}


def mlm(given):
    """Steps on random tokens of one length."""
    torch = torch_with(given)
    from transformers import BertConfig, BertForMaskedLM

    s = given.shape
    config = BertConfig(
        vocab_size=s["vocabulary"], hidden_size=s["hidden"], num_hidden_layers=s["layers"], num_attention_heads=s["heads"],
        intermediate_size=s["inner"], hidden_dropout_prob=given.dropout, attention_probs_dropout_prob=given.dropout,
    )
    model = BertForMaskedLM(config).train()
    step = stepper(torch, model, dense_loss if given.dense else masked_loss, given.bf16)
    batches = list(random_batches(torch, given, s["vocabulary"]))

    def take(number):
        step(batches[number])
        return batches[number]["input_ids"].numel()

    return timed(given, take)


# ---- the same on documents --------------------------------------------------------------------


def pieces(given, tokenizer):
    """Every document cut into sequences of at most `length` tokens, the two special ones included."""
    with open(given.texts, newline="", encoding="utf-8") as source:
        texts = [row["text"] for row in csv.DictReader(source)]
    room = given.length - 2
    documents = tokenizer(texts, add_special_tokens=False)["input_ids"]
    cut = (d[i : i + room] for d in documents for i in range(0, len(d), room))
    return [[tokenizer.cls_token_id, *piece, tokenizer.sep_token_id] for piece in cut]


def lengths(given):
    """How many sequences the documents give and how long they are on average."""
    from transformers import AutoTokenizer

    found = [len(p) for p in pieces(given, AutoTokenizer.from_pretrained(given.model))]
    return {"sequences": len(found), "mean_tokens": sum(found) / len(found)}


def collator(torch, tokenizer, dense):
    """Sequences to a batch: by `run_mlm.py`'s collator, or with the masked places by their number."""
    from transformers import DataCollatorForLanguageModeling

    if dense:
        collate = DataCollatorForLanguageModeling(tokenizer, mlm_probability=MASKED)
        return lambda chosen: dict(collate([{"input_ids": ids} for ids in chosen]))
    special = set(tokenizer.all_special_ids)
    ordinary = (max(special) + 1, len(tokenizer))

    def by_hand(chosen):
        length = max(map(len, chosen))
        ids = torch.full((len(chosen), length), tokenizer.pad_token_id)
        for row, sequence in zip(ids, chosen):
            row[: len(sequence)] = torch.tensor(sequence)
        real = torch.tensor([len(c) for c in chosen]).unsqueeze(1) > torch.arange(length)  # (B, T)
        may_hide = real & (ids >= ordinary[0])
        places = ((torch.rand(ids.shape) < MASKED) & may_hide).view(-1).nonzero().squeeze(1)
        targets = hide(torch, ids, places, tokenizer.mask_token_id, ordinary)
        return {"input_ids": ids, "attention_mask": None if real.all() else real.long(), "places": places, "targets": targets}

    return by_hand


def documents(given):
    """Steps on documents: random batches and the dense head, or sorted by length and the masked rows only."""
    torch = torch_with(given)
    from transformers import AutoConfig, AutoModelForMaskedLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(given.model)
    model = AutoModelForMaskedLM.from_config(AutoConfig.from_pretrained(given.model)).train()
    sequences = pieces(given, tokenizer)
    order = torch.randperm(len(sequences)).tolist()
    if not given.dense:
        order.sort(key=lambda i: len(sequences[i]))
    batches = [order[i : i + given.batch] for i in range(0, len(order) - given.batch + 1, given.batch)]
    batches = [batches[i] for i in torch.randperm(len(batches)).tolist()]
    collate = collator(torch, tokenizer, given.dense)
    step = stepper(torch, model, dense_loss if given.dense else masked_loss)

    def take(number):
        chosen = [sequences[i] for i in batches[number % len(batches)]]
        step(collate(chosen))
        return sum(map(len, chosen))

    return timed(given, take)


# ---- fine-tuning ------------------------------------------------------------------------------


def labelled(given, tokenizer):
    """The rows of a table as the Trainer takes them, and how many outputs they want: one for numbers."""
    with open(given.train, newline="", encoding="utf-8") as source:
        rows = list(csv.DictReader(source))
    texts = [[row[column] for row in rows] for column in given.columns]
    encoded = tokenizer(*texts, truncation=True, max_length=given.length)
    keys = list(encoded.keys())
    if given.task == "regress":
        names, labels = ["score"], [float(row["label"]) for row in rows]
    else:
        names = sorted({row["label"] for row in rows})
        labels = [names.index(row["label"]) for row in rows]
    data = [{**{k: encoded[k][i] for k in keys}, "labels": label} for i, label in enumerate(labels)]
    return data, len(names)


def trainer(given):
    """`transformers`' Trainer with dynamic padding; `sampling` says how it chooses its batches."""
    torch_with(given)
    from transformers import (AutoModelForSequenceClassification, AutoTokenizer, DataCollatorWithPadding, Trainer,
                              TrainerCallback, TrainingArguments)

    marks = {}

    class Clock(TrainerCallback):
        def on_step_end(self, args, state, control, **more):
            marks[state.global_step] = (time.monotonic(), int(state.num_input_tokens_seen))

    tokenizer = AutoTokenizer.from_pretrained(given.model)
    data, labels = labelled(given, tokenizer)
    model = AutoModelForSequenceClassification.from_pretrained(given.model, num_labels=labels)
    arguments = TrainingArguments(
        output_dir=given.scratch, max_steps=given.warmup + given.steps, per_device_train_batch_size=given.batch, use_cpu=True,
        train_sampling_strategy=given.sampling, bf16=given.bf16, learning_rate=5e-5, weight_decay=0.01, optim="adamw_torch_fused", seed=1,
        save_strategy="no", logging_strategy="no", report_to="none", disable_tqdm=True, include_num_input_tokens_seen="non_padding",
    )
    collate = DataCollatorWithPadding(tokenizer)
    Trainer(model=model, args=arguments, train_dataset=data, data_collator=collate, callbacks=[Clock()]).train()
    (began, before), (ended, after) = marks[given.warmup], marks[given.warmup + given.steps]
    return rate(after - before, ended - began, "tokens")


if __name__ == "__main__":
    main({"mlm": mlm, "lengths": lengths, "documents": documents, "trainer": trainer})
