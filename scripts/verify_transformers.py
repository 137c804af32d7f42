"""Does `transformers` open what Polyseme writes, and see the same numbers? Anyone can run it:

    cargo build --release --workspace --bins --examples
    python scripts/verify_transformers.py target/release/polyseme WORKDIR

Needs torch, transformers, sentence-transformers and peft; no network and no data. It

1. pre-trains a tiny model with each kind of tokenizer and fine-tunes it, with the binary;
2. makes a tiny random checkpoint of each of the six families with transformers, odd in every
   setting, and lets the binary go on pre-training it and fine-tune it for each task; verify_shrunk.py makes smaller models
   of one of them;
3. opens every folder with AutoTokenizer and the AutoModelFor... of its head, and compares keys, token
   ids, hidden states, and what the head says. verify_tasks.py holds the tasks' rows and says what is
   compared of several labels, tags, answers and choices, verify_more.py what of sentence vectors, adapters and
   generated texts.

Everything must agree: no missing, unexpected or mismatched key, equal ids, labels, entities and
answers, and hidden states, logits (up to the constant that probabilities do not show), probabilities
and scores within 1e-5. The table goes to `benches/runs/<date>-transformers-opens-it/`.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import record

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
import numpy as np
import torch
import transformers
import verify_more
import verify_shrunk
import verify_tasks

transformers.utils.logging.disable_progress_bar()
torch.set_num_threads(1)  # the models are tiny
TOLERANCE = 1e-5

# What a head says: the class that opens it, and the comparison.
HEADS = {
    "masked": (transformers.AutoModelForMaskedLM, lambda c, model: c.masked(model)),
    "classify": (transformers.AutoModelForSequenceClassification, lambda c, model: c.classes(model)),
    "regress": (transformers.AutoModelForSequenceClassification, lambda c, model: c.numbers(model)),
    "multilabel": (transformers.AutoModelForSequenceClassification, verify_tasks.several),
    "tag": (transformers.AutoModelForTokenClassification, verify_tasks.tags),
    "qa": (transformers.AutoModelForQuestionAnswering, verify_tasks.answers),
    "choice": (transformers.AutoModelForMultipleChoice, verify_tasks.choices),
    "similarity": (verify_more.WithoutPooler, verify_more.vectors),
    "adapter": (verify_more.WithAdapter, lambda c, model: c.classes(model)),
    "generate": (transformers.AutoModelForMaskedLM, verify_more.generated),
}
ENDINGS = {"tag": ".conll", "qa": ".json"}  # of rows that are no .csv


class Polyseme:
    """The binary."""

    def __init__(self, binary):
        self.binary = Path(binary).resolve()

    def __call__(self, *arguments):
        return record.run([self.binary, *arguments, "--quiet", "--threads", "2"])[0]

    def pretrain(self, work, out, *more):
        self("pretrain", work / "corpus.txt", "--out", out, "--steps", "8", "--seed", "3", *more)

    def finetune(self, work, model, out, task):
        train, valid = (work / f"{task}-{name}{ENDINGS.get(task, '.csv')}" for name in ("train", "valid"))
        if task in ("classify", "regress"):
            more = ("--epochs", "1", "--max-length", "32")
        else:  # enough for answers that are not always the same
            more = ("--epochs", "15" if task == "qa" else "4", "--batch-size", "8", "--max-length", "64")
        own = {"choice": ("--choices", "a,b"), "similarity": ("--pair", "pair"), "generate": ("--max-new-tokens", "16")}
        files = ("--train", train, "--valid", valid, "--out", out)
        self("finetune", model, "--task", task, *files, *more, *own.get(task, ()), "--seed", "3")


    def adapt(self, work, model, out):
        """Low-rank changes of all maps."""
        files = ("--train", work / "classify-train.csv", "--valid", work / "classify-valid.csv", "--out", out)
        self("finetune", model, "--task", "classify", *files, "--lora", "3", "--lora-targets", "all-linear",
             "--epochs", "2", "--max-length", "32", "--seed", "3")


def make_reference(family, tokenizer_of, folder):
    """A tiny random checkpoint by transformers, with no setting at its default and no parameter at zero or one."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(tokenizer_of)
    vocab = len(tokenizer)
    plain = dict(vocab_size=vocab, pad_token_id=tokenizer.pad_token_id, initializer_range=0.03)
    bert = dict(
        plain, hidden_size=24, num_hidden_layers=3, num_attention_heads=3, intermediate_size=37, max_position_embeddings=71,
        layer_norm_eps=1e-6, hidden_dropout_prob=0.07, attention_probs_dropout_prob=0.05, classifier_dropout=0.02,
    )
    if family == "bert":
        model = transformers.BertForMaskedLM(transformers.BertConfig(**bert, type_vocab_size=3, hidden_act="gelu_new"))
    elif family == "roberta":
        model = transformers.RobertaForMaskedLM(
            transformers.RobertaConfig(
                **bert, type_vocab_size=1, bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id
            )
        )
    elif family == "modernbert":
        model = transformers.ModernBertForMaskedLM(
            transformers.ModernBertConfig(
                **plain, hidden_size=24, num_hidden_layers=4, num_attention_heads=3, intermediate_size=37,
                max_position_embeddings=71, norm_eps=1e-6, embedding_dropout=0.07, mlp_dropout=0.07, attention_dropout=0.05,
                classifier_dropout=0.02, norm_bias=True, classifier_bias=True, global_attn_every_n_layers=2,
                local_attention=12, classifier_pooling="mean", global_rope_theta=900.0, local_rope_theta=70.0,
            )
        )
    elif family == "electra":
        model = transformers.ElectraForMaskedLM(
            transformers.ElectraConfig(**bert, embedding_size=15, type_vocab_size=2, summary_last_dropout=0.06)
        )
    elif family == "albert":
        model = transformers.AlbertForMaskedLM(
            transformers.AlbertConfig(
                **{key: value for key, value in bert.items() if key != "classifier_dropout"}, classifier_dropout_prob=0.02,
                embedding_size=15, type_vocab_size=2, num_hidden_groups=1, inner_group_num=1, hidden_act="gelu_new",
            )
        )
    else:
        model = transformers.DistilBertForMaskedLM(
            transformers.DistilBertConfig(
                **plain, dim=24, n_layers=3, n_heads=3, hidden_dim=37, max_position_embeddings=71, dropout=0.07,
                attention_dropout=0.05, seq_classif_dropout=0.02, qa_dropout=0.03, activation="relu",
            )
        )
    generator = torch.Generator().manual_seed(11)
    # The same random layer three times over: at 0.2 the reference's own logits in f32 are 1.4e-5 from those in f64, beyond
    # what is compared here.
    spread = 0.1 if family == "albert" else 0.2
    with torch.no_grad():
        for name, value in model.named_parameters():
            one = 1.0 if value.dim() == 1 and "norm" in name.lower() and name.endswith("weight") else 0.0
            value.copy_(one + spread * torch.randn(value.shape, generator=generator))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


class Comparison:
    """One folder beside what transformers makes of it."""

    def __init__(self, polyseme, folder, work, texts):
        self.polyseme, self.folder, self.work, self.texts = polyseme, folder, work, texts
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        config = transformers.AutoConfig.from_pretrained(folder)
        offset = 2 if config.model_type == "roberta" else 0
        self.longest = config.max_position_embeddings - offset
        self.row = {"folder": folder.name, "family": config.model_type, "tokenizer": type(self.tokenizer._tokenizer.model).__name__}

    def open(self, auto):
        model, info = auto.from_pretrained(self.folder, output_loading_info=True)
        keys = {kind: sorted(str(k) for k in info[kind]) for kind in ("missing_keys", "unexpected_keys", "mismatched_keys")}
        self.row["class"] = type(model).__name__
        self.row["wrong_keys"] = [f"{kind}: {key}" for kind, found in keys.items() for key in found]
        return model.eval()

    def encode(self, text):
        return self.tokenizer(text, truncation=True, max_length=self.longest, return_tensors="pt")

    def ids(self, example):
        """Token ids of all texts."""
        done = subprocess.run(
            [*example, str(self.folder)], input=(self.work / "texts.txt").read_text(encoding="utf-8"), capture_output=True,
            text=True, encoding="utf-8", check=True, cwd=record.ROOT,
        )
        ours = [json.loads(line) for line in done.stdout.splitlines()]
        theirs = [self.tokenizer(text)["input_ids"] for text in self.texts]
        different = [t for t, a, b in zip(self.texts, ours, theirs, strict=True) if a != b]
        self.row["texts"] = len(self.texts)
        self.row["texts_with_other_ids"] = [t[:60] for t in different]

    def hidden(self, model):
        """Mean last hidden state of all texts."""
        out = self.work / "vectors.npy"
        self.polyseme("embed", self.folder, self.work / "texts.jsonl", "--out", out, "--pooling", "mean", "--normalize=false",
                      "--max-length", str(self.longest))
        with torch.no_grad():
            theirs = [model.base_model(**self.encode(t)).last_hidden_state[0].mean(0).numpy() for t in self.texts]
        self.row["hidden_difference"] = float(np.abs(np.load(out) - np.stack(theirs)).max())

    def masked(self, model, count=20):
        """All probabilities at the masks of some texts, by `fill --json`."""
        mask, rng = self.tokenizer.mask_token, random.Random(5)
        self.row["compared"] = {"masks": count}
        for text in self.texts[-count:]:
            words = text.split(" ")
            words[rng.randrange(len(words))] = mask
            text = " ".join(words)
            ours = json.loads(self.polyseme("fill", self.folder, text, "--top", str(len(self.tokenizer)), "--json"))["masks"]
            encoded = self.encode(text)
            with torch.no_grad():
                theirs = model(**encoded).logits[0]
            places = (encoded["input_ids"][0] == self.tokenizer.mask_token_id).nonzero().flatten().tolist()
            assert [m["position"] for m in ours] == places, f"masks at {[m['position'] for m in ours]}, expected {places}: {text}"
            for answer in ours:
                scores = {c["token"]: c["score"] for c in answer["candidates"]}
                row = theirs[answer["position"]]
                named = self.tokenizer.convert_ids_to_tokens(range(len(row)))
                if all(n in scores for n in named):
                    self.measure([scores[n] for n in named], row)
                else:  # pieces of bytes are shown as text, which is not theirs alone: compare by rank
                    self.measure([c["score"] for c in answer["candidates"]], row.sort(descending=True).values)

    def classes(self, model):
        """All probabilities of all texts, by `predict`."""
        self.row["compared"] = {"texts": len(self.texts)}
        lines = self.polyseme("predict", self.folder, self.work / "texts.jsonl").splitlines()
        for text, line in zip(self.texts, lines, strict=True):
            ours = json.loads(line)
            with torch.no_grad():
                theirs = model(**self.encode(text)).logits[0]
            self.measure([ours["scores"][model.config.id2label[i]] for i in range(len(theirs))], theirs)
            best = int(theirs.argmax())
            assert ours["label"] == model.config.id2label[best], f"{text!r}: {ours['label']}, expected {model.config.id2label[best]}"

    def numbers(self, model):
        """The number of all texts, by `predict`."""
        self.row["compared"] = {"texts": len(self.texts)}
        lines = self.polyseme("predict", self.folder, self.work / "texts.jsonl").splitlines()
        assert model.config.problem_type == "regression", model.config.problem_type
        for text, line in zip(self.texts, lines, strict=True):
            with torch.no_grad():
                theirs = model(**self.encode(text)).logits[0, 0].item()
            self.keep("logit", abs(json.loads(line)["value"] - theirs) / max(1.0, abs(theirs)))

    def measure(self, ours, logits):
        """Keeps the largest difference of probabilities, and of logits around their mean: where the greatest of them
        is above 1, as a share of it (f32 has seven digits, and the logits of a sure classifier are tens)."""
        ours = torch.tensor(ours, dtype=torch.float64)
        logits = logits.double()
        probability = (ours - logits.softmax(-1)).abs().max().item()
        shown = ours.clamp_min(1e-300).log()
        centred = logits - logits.mean()
        logit = ((shown - shown.mean()) - centred).abs().max().item() / max(1.0, centred.abs().max().item())
        self.keep("probability", probability)
        self.keep("logit", logit)

    def score(self, ours, theirs):
        """Keeps the largest difference of scores alone."""
        for a, b in zip(ours, theirs, strict=True):
            self.keep("probability", abs(float(a) - float(b)))

    def keep(self, what, difference):
        """Keeps the larger one; what is no number stays."""
        self.row[f"{what}_difference"] = float(np.maximum(self.row.get(f"{what}_difference", 0.0), difference))

    def same(self, text, ours, theirs):
        """Keeps the first answers that are not equal."""
        if ours != theirs:
            self.row["other_answers"] = self.row.get("other_answers", 0) + 1
            self.row.setdefault("first_other_answers", [])
            if len(self.row["first_other_answers"]) < 3:
                self.row["first_other_answers"].append({"text": text[:60], "ours": ours, "theirs": theirs})

    def entities(self, text, ours, theirs, name="label"):
        """Equal stretches of a text under equal names, and their scores."""
        plain = lambda found: [[each[name], each["start"], each["end"]] for each in found]
        self.same(text, plain(ours), plain(theirs))
        if plain(ours) == plain(theirs) and ours:
            self.score([each["score"] for each in ours], [each["score"] for each in theirs])

    def wrong(self):
        """What does not agree, in words."""
        row, found = self.row, list(self.row["wrong_keys"])
        if row["texts_with_other_ids"]:
            found.append(f"{len(row['texts_with_other_ids'])} texts get other ids, for example {row['texts_with_other_ids'][0]!r}")
        if row.get("other_answers"):
            found.append(f"{row['other_answers']} other answers, for example {row['first_other_answers'][0]}")
        for what in ("hidden", "probability", "logit"):
            if not row.get(f"{what}_difference", 0.0) <= TOLERANCE:
                found.append(f"{what} difference {row[f'{what}_difference']:.2g}")
        return found


def make_folders(polyseme, work):
    """Everything that is to be opened: (folder, the name of its head)."""
    kinds = {
        "wordpiece": ("--recipe", "tiny", "--vocab-size", "300"),
        "byte-bpe": ("--recipe", "tiny", "--vocab-size", "400", "--set", "tokenizer.kind=byte-bpe"),
        "modern": (
            "--recipe", "modern", "--vocab-size", "300", "--set", "model.config.hidden_size=64",
            "--set", "model.config.intermediate_size=48", "--set", "model.config.variant.local_attention=8",
        ),
        "unigram": ("--recipe", "tiny", "--vocab-size", "300", "--set", "tokenizer.kind=unigram"),
    }
    made = []
    for name, flags in kinds.items():
        polyseme.pretrain(work, work / f"new-{name}", *flags)
        made.append((work / f"new-{name}", "masked"))
        for task in ("classify", *(("tag", "qa") if name == "unigram" else ())):
            polyseme.finetune(work, work / f"new-{name}", work / f"new-{name}-{task}", task)
            made.append((work / f"new-{name}-{task}", task))
        print(f"  pre-trained and fine-tuned: new-{name}", file=sys.stderr)
    for family in ("bert", "roberta", "distilbert", "electra", "modernbert", "albert"):
        reference = work / f"reference-{family}"
        make_reference(family, work / ("new-byte-bpe" if family == "roberta" else "new-wordpiece"), reference)
        polyseme.pretrain(work, work / f"{family}-on", "--from", reference, "--seq-len", "64", "--recipe", "tiny")
        made += [(reference, "masked"), (work / f"{family}-on", "masked")]
        for task in ("classify", "regress", "multilabel", "tag", "qa", "choice", "similarity"):
            # One begins with another head: nothing of that may be left in the folder.
            begin = "multilabel" if task == "qa" else "on"
            polyseme.finetune(work, work / f"{family}-{begin}", work / f"{family}-{task}", task)
            made.append((work / f"{family}-{task}", task))
        if family != "albert":
            polyseme.adapt(work, work / f"{family}-on", work / f"{family}-adapter")
            made.append((work / f"{family}-adapter", "adapter"))
        print(f"  gone on with and fine-tuned: {family}", file=sys.stderr)
    made += verify_shrunk.folders(polyseme, work, "bert")
    print("  made smaller: bert", file=sys.stderr)
    polyseme.finetune(work, work / "bert-on", work / "bert-generate", "generate")
    made.append((work / "bert-generate", "generate"))
    return made


def compare(polyseme, made, work, texts):
    """A row a folder."""
    example = [Path(polyseme.binary).resolve().parent / "examples/token_ids"]
    rows = []
    for folder, head in made:
        comparison = Comparison(polyseme, folder, work, texts)
        auto, say = HEADS[head]
        model = comparison.open(auto)
        comparison.ids(example)
        comparison.hidden(model)
        say(comparison, model)
        comparison.row["wrong"] = comparison.wrong()
        rows.append(comparison.row)
        print(f"  {folder.name:24} {'; '.join(comparison.row['wrong']) or 'agrees'}", file=sys.stderr)
    return rows


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    arguments.add_argument("binary")
    arguments.add_argument("workdir", type=Path, help="made anew; what is in it is lost")
    arguments.add_argument("--record", help="folder for the record instead of benches/runs/<date>-transformers-opens-it")
    given = arguments.parse_args()
    work = given.workdir.resolve()
    if work.exists() and any(work.iterdir()) and not (work / "corpus.txt").exists():
        sys.exit(f"{work} is not empty and not a folder of this script")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    polyseme = Polyseme(given.binary)
    texts = verify_tasks.make_texts(work)
    rows = compare(polyseme, make_folders(polyseme, work), work, texts)
    found = record.facts(polyseme.binary, "torch", "transformers", "sentence-transformers", "peft", "tokenizers", "safetensors", "numpy")
    found["command"] = "python scripts/verify_transformers.py target/release/polyseme WORKDIR"
    found |= {"tolerance": TOLERANCE, "rows": rows, "agrees": not any(row["wrong"] for row in rows)}
    lines = ["# transformers opens what Polyseme writes", "", *record.header(found), ""]
    lines += [
        f"{len(texts)} texts, hard ones among them, and rows of each task; largest differences (of logits above 1 as a share), at",
        f"most {TOLERANCE:g} allowed. `reference-*` was written by transformers and read by Polyseme; `*-on` went on from it; `new-*`",
        "began from nothing; all others are fine-tuned. Other answers are labels, lists of labels or entities, spans or choices",
        "that are not the same.",
        "",
    ]
    differences = ("hidden", "probability", "logit")
    columns = ["folder", "opened as", "tokenizer", "wrong keys", "other ids", "other answers"]
    columns += ["hidden", "probabilities", "logits", "compared"]
    cells = []
    for r in rows:
        counts = [len(r["wrong_keys"]), len(r["texts_with_other_ids"]), r.get("other_answers", 0)]
        measured = [f"{r[f'{what}_difference']:.1e}" if f"{what}_difference" in r else "–" for what in differences]
        compared = ", ".join(f"{number} {what}" for what, number in r["compared"].items())
        cells.append([r["folder"], r["class"], r["tokenizer"], *counts, *measured, compared])
    lines += record.table(columns, cells)
    record.write(record.run_folder("transformers-opens-it", given.record), found, lines)
    if not found["agrees"]:
        sys.exit("some of it does not agree; see the record")


if __name__ == "__main__":
    main()
