"""The other side: fine-tuning by `transformers` and a plain loop of PyTorch, on the same files.

    python benches/tasks/reference.py classify MODEL --train … --valid … --test … --epochs 4 --learning-rate 1e-4
    python benches/tasks/reference.py tag TUNED --test …          # no --train: measures a folder as it is

AdamW with weight decay 0.01 (not of norms and biases), gradients cut to a norm of 1, a rate that rises over a
tenth of the steps and falls along a line; the weights of the best epoch are measured on the test, once.
Batches are drawn as Polyseme draws them: shuffled, sorted by length within four batches. The result is a
line of JSON.
"""

import argparse
import collections
import csv
import json
import random
import re
import string
import time
from pathlib import Path

import torch
import transformers

WINDOW = 4  # batches within which rows are sorted by length
STRIDE = 128  # tokens that neighbouring windows of a passage share
LONGEST_ANSWER = 30  # tokens
HIGHEST_SCORE = 5.0  # of STS-B, whose lowest is 0
NOTHING = -100  # label of a token that nobody asks for

csv.field_size_limit(1 << 30)


def table(path):
    with open(path, newline="", encoding="utf-8") as source:
        return list(csv.DictReader(source))


# ---- tasks ------------------------------------------------------------------------------------
#
# A task reads a file into examples (what a measure needs) and features (what a model takes: lists of numbers,
# and which example they are of), and measures outputs, one array a feature.


class Classify:
    """One label of several; accuracy."""

    head = "AutoModelForSequenceClassification"

    def __init__(self, tokenizer, given):
        self.tokenizer, self.length = tokenizer, given.max_length
        self.labels = sorted({row["label"] for row in table(given.train)}) if given.train else None

    def read(self, path):
        rows = table(path)
        found = self.tokenizer([r["text"] for r in rows], truncation=True, max_length=self.length)
        truth = [self.labels.index(r["label"]) for r in rows]
        return truth, [{**one(found, i), "labels": label, "of": i} for i, label in enumerate(truth)]

    def measure(self, truth, _, outputs):
        return {"accuracy": mean(int(o.argmax()) == t for o, t in zip(outputs, truth))}


class Regress:
    """A number, learned as it stands in the file; Spearman's correlation."""

    head = "AutoModelForSequenceClassification"
    labels = None

    def __init__(self, tokenizer, given):
        self.tokenizer, self.length = tokenizer, given.max_length

    def read(self, path):
        rows = table(path)
        found = self.tokenizer([r["one"] for r in rows], [r["two"] for r in rows], truncation=True, max_length=self.length)
        truth = [float(r["score"]) for r in rows]
        return truth, [{**one(found, i), "labels": score, "of": i} for i, score in enumerate(truth)]

    def measure(self, truth, _, outputs):
        from scipy.stats import pearsonr, spearmanr

        given = [float(o[0]) for o in outputs]
        return {"spearman": float(spearmanr(truth, given)[0]), "pearson": float(pearsonr(truth, given)[0])}


class Similarity(Regress):
    """The cosine of two sentences' vectors, the means of their tokens; learned by its squared error, or by the order of a
    batch's cosines (CoSENT), both as sentence-transformers does; Spearman's correlation."""

    def read(self, path):
        rows = table(path)
        sides = [self.tokenizer([r[key] for r in rows], truncation=True, max_length=self.length) for key in ("one", "two")]
        truth = [float(r["score"]) for r in rows]
        features = [{**one(sides[0], i), "second": one(sides[1], i), "labels": score, "of": i} for i, score in enumerate(truth)]
        return truth, features

    def measure(self, truth, features, outputs):
        return super().measure(truth, features, [o[None] for o in outputs])


class Sentences(torch.nn.Module):
    """An encoder whose batches are first sentences and, behind all of them, second ones."""

    def __init__(self, folder, loss):
        super().__init__()
        self.encoder, self.loss = transformers.AutoModel.from_pretrained(folder), loss

    def forward(self, labels, **batch):
        states, mask = self.encoder(**batch).last_hidden_state, batch["attention_mask"][..., None]
        first, second = ((states * mask).sum(1) / mask.sum(1)).chunk(2)
        cosines = torch.cosine_similarity(first, second)
        if self.loss == "cosine":
            loss = ((cosines - labels / HIGHEST_SCORE) ** 2).mean()
        else:
            differences = 20 * (cosines[None, :] - cosines[:, None])
            asked = differences[labels[:, None] > labels[None, :]]
            loss = torch.logsumexp(torch.cat([asked.new_zeros(1), asked]), 0)
        return transformers.modeling_outputs.SequenceClassifierOutput(loss=loss, logits=cosines)


class Tag:
    """A label for the first piece of each word; entities as seqeval counts them, and accuracy of words."""

    head = "AutoModelForTokenClassification"

    def __init__(self, tokenizer, given):
        self.tokenizer, self.length = tokenizer, given.max_length
        self.labels = sorted({tag for s in self.sentences(given.train) for _, tag in s}) if given.train else None

    @staticmethod
    def sentences(path):
        blocks = Path(path).read_text(encoding="utf-8").split("\n\n")
        return [[tuple(line.split("\t")) for line in block.split("\n") if line] for block in blocks if block.strip()]

    def read(self, path):
        sentences = self.sentences(path)
        words = [[token for token, _ in s] for s in sentences]
        found = self.tokenizer(words, is_split_into_words=True, truncation=True, max_length=self.length)
        features = []
        for i, sentence in enumerate(sentences):
            labels, before = [], None
            for word in found.word_ids(i):
                first = word is not None and word != before
                labels.append(self.labels.index(sentence[word][1]) if first else NOTHING)
                before = word
            features.append({**one(found, i), "labels": labels, "of": i, "words": found.word_ids(i)})
        return [[tag for _, tag in s] for s in sentences], features

    def measure(self, truth, features, outputs):
        from seqeval.metrics import f1_score

        # A word of which the tokenizer leaves nothing, or that was cut off, is outside of everything.
        outside = "O" if "O" in self.labels else self.labels[0]
        given = [[outside] * len(tags) for tags in truth]
        for feature, output in zip(features, outputs):
            for place, label in enumerate(feature["labels"]):
                if label != NOTHING:
                    given[feature["of"]][feature["words"][place]] = self.labels[int(output[place].argmax())]
        pairs = [pair for t, g in zip(truth, given) for pair in zip(t, g)]
        found = {"accuracy": mean(t == g for t, g in pairs)}
        return found | ({"f1": float(f1_score(truth, given))} if "O" in self.labels else {})


class Answer:
    """A span of a passage, read in windows; F1 of words and exact match as SQuAD's script has them."""

    head = "AutoModelForQuestionAnswering"
    labels = None

    def __init__(self, tokenizer, given):
        self.tokenizer, self.length = tokenizer, given.max_length

    def read(self, path):
        articles = json.loads(Path(path).read_text(encoding="utf-8"))["data"]
        asked = [
            (qa["question"], paragraph["context"], qa["answers"])
            for article in articles for paragraph in article["paragraphs"] for qa in paragraph["qas"]
        ]
        found = self.tokenizer(
            [q for q, _, _ in asked], [c for _, c, _ in asked], truncation="only_second", max_length=self.length,
            stride=STRIDE, return_overflowing_tokens=True, return_offsets_mapping=True,
        )
        features = []
        for i, of in enumerate(found["overflow_to_sample_mapping"]):
            places = [place for place, which in enumerate(found.sequence_ids(i)) if which == 1]
            offsets = found["offset_mapping"][i]
            start, end = self.place(asked[of][2][0], places, offsets)
            target = {"start_positions": start, "end_positions": end}
            features.append({**one(found, i), **target, "of": of, "places": places, "offsets": offsets})
        return asked, features

    @staticmethod
    def place(answer, places, offsets):
        """First and last token of an answer; 0 and 0 where the window has not all of it."""
        begin, end = answer["answer_start"], answer["answer_start"] + len(answer["text"])
        if not places or offsets[places[0]][0] > begin or offsets[places[-1]][1] < end:
            return 0, 0
        return max(p for p in places if offsets[p][0] <= begin), min(p for p in places if offsets[p][1] >= end)

    def measure(self, asked, features, outputs):
        best = [(float("-inf"), "")] * len(asked)
        for feature, output in zip(features, outputs):
            first, last = feature["places"][0], feature["places"][-1] + 1
            start, end = output[first:last, 0], output[first:last, 1]
            scores = start[:, None] + end[None, :]
            allowed = torch.ones_like(scores, dtype=torch.bool).triu().tril(LONGEST_ANSWER - 1)
            scores = scores.masked_fill(~allowed, float("-inf"))
            a, b = divmod(int(scores.argmax()), len(start))
            if float(scores[a, b]) > best[feature["of"]][0]:
                offsets = feature["offsets"]
                text = asked[feature["of"]][1][offsets[first + a][0] : offsets[first + b][1]]
                best[feature["of"]] = float(scores[a, b]), text
        pairs = [([gold["text"] for gold in golds], given) for (_, _, golds), (_, given) in zip(asked, best)]
        f1 = mean(max(shared_words(gold, given) for gold in golds) for golds, given in pairs)
        return {"f1": f1, "exact_match": mean(any(normal(gold) == normal(given) for gold in golds) for golds, given in pairs)}


def normal(text):
    """As SQuAD's script compares answers: without case, punctuation, articles and surplus spaces."""
    text = "".join(c for c in text.lower() if c not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def shared_words(gold, given):
    gold, given = normal(gold).split(), normal(given).split()
    if not gold or not given:
        return float(gold == given)
    same = sum((collections.Counter(gold) & collections.Counter(given)).values())
    return 2 * same / (len(gold) + len(given))


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def one(found, i):
    return {key: found[key][i] for key in ("input_ids", "token_type_ids") if key in found}


TASKS = {"classify": Classify, "regress": Regress, "similarity": Similarity, "tag": Tag, "qa": Answer}


# ---- the loop ---------------------------------------------------------------------------------


def batch_of(features, pad):
    """Features beside each other, as long as the longest; behind them their second sentences, where they have any."""
    labelled = features
    if "second" in features[0]:
        features = features + [f["second"] for f in features]
    longest = max(len(f["input_ids"]) for f in features)
    fill = lambda key, value: torch.tensor([f[key] + [value] * (longest - len(f[key])) for f in features])
    batch = {"input_ids": fill("input_ids", pad)}
    batch["attention_mask"] = torch.tensor([[1] * len(f["input_ids"]) + [0] * (longest - len(f["input_ids"])) for f in features])
    if "token_type_ids" in features[0]:
        batch["token_type_ids"] = fill("token_type_ids", 0)
    for key in ("labels", "start_positions", "end_positions"):
        if key in labelled[0]:
            lists = isinstance(labelled[0][key], list)
            batch[key] = fill(key, NOTHING) if lists else torch.tensor([f[key] for f in labelled])
    return batch


def placed(batch, model):
    """A batch on the device of a model."""
    device = next(model.parameters()).device
    return {key: value.to(device) for key, value in batch.items()}


def epoch_of(features, size, rng):
    """The batches of an epoch."""
    order = rng.sample(range(len(features)), len(features))
    for begin in range(0, len(order), size * WINDOW):
        window = sorted(order[begin : begin + size * WINDOW], key=lambda i: len(features[i]["input_ids"]))
        batches = [window[k : k + size] for k in range(0, len(window), size)]
        rng.shuffle(batches)
        yield from ([features[i] for i in batch] for batch in batches)


def outputs_of(model, features, pad, size=64):
    """The model's outputs for each feature, without padding, and the mean loss over what is asked for."""
    model.eval()
    outputs, loss, weight = [None] * len(features), 0.0, 0
    order = sorted(range(len(features)), key=lambda i: len(features[i]["input_ids"]))
    with torch.inference_mode():
        for begin in range(0, len(order), size):
            chosen = order[begin : begin + size]
            batch = placed(batch_of([features[i] for i in chosen], pad), model)
            found = model(**batch)
            asked = int((batch["labels"] != NOTHING).sum()) if "labels" in batch else len(chosen)
            loss, weight = loss + float(found.loss) * asked, weight + asked
            logits = torch.stack([found.start_logits, found.end_logits], -1) if "start_logits" in found else found.logits
            for i, output in zip(chosen, logits.cpu()):
                outputs[i] = output[: len(features[i]["input_ids"])] if logits.dim() == 3 else output
    return outputs, loss / weight


def measured(model, task, data, pad):
    examples, features = data
    outputs, loss = outputs_of(model, features, pad)
    return {**task.measure(examples, features, outputs), "loss": loss}


def optimizer_of(model, given, steps):
    decays = [p for p in model.parameters() if p.dim() > 1]
    plain = [p for p in model.parameters() if p.dim() <= 1]
    groups = [{"params": decays, "weight_decay": given.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=given.learning_rate, betas=(0.9, 0.999), eps=1e-8)
    return optimizer, transformers.get_linear_schedule_with_warmup(optimizer, round(given.warmup * steps), steps)


def loss_of(model, batch, r_drop):
    """The loss of a batch, or that of two passes and how far their numbers disagree (R-Drop, Liang et al. 2021)."""
    first = model(**batch)
    if not r_drop:
        return first.loss
    second = model(**batch)
    return (first.loss + second.loss) / 2 + r_drop * ((first.logits - second.logits) ** 2).mean()


def train(model, task, given, pad):
    """Trains, and leaves the weights of the best epoch in the model; gives the validation of each epoch."""
    learned, valid = task.read(given.train)[1], task.read(given.valid)
    rng = random.Random(given.seed)
    steps = given.epochs * -(-len(learned) // given.batch_size)
    optimizer, schedule = optimizer_of(model, given, steps)
    epochs, best = [], None
    for epoch in range(1, given.epochs + 1):
        model.train()
        for features in epoch_of(learned, given.batch_size, rng):
            batch = placed(batch_of(features, pad), model)
            with torch.autocast(batch["input_ids"].device.type, torch.bfloat16, enabled=given.bf16):
                loss = loss_of(model, batch, given.r_drop)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad(set_to_none=True)
        found = measured(model, task, valid, pad)
        epochs.append(found)
        score = found[given.metric], -found["loss"]
        if best is None or score > best[0]:
            best = score, epoch, {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(best[2])
    return {"epoch": best[1], "valid": epochs[best[1] - 1], "epochs": epochs}


def stages(given):
    """What is learned from, one after the other."""
    if given.first:
        first = {"train": given.first, "epochs": given.first_epochs, "learning_rate": given.first_learning_rate, "r_drop": 0.0}
        yield argparse.Namespace(**vars(given) | first)
    if given.train:
        yield given


def name_of(device):
    """A device as people know it."""
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else device


def arguments():
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("task", choices=TASKS)
    p.add_argument("model", type=Path)
    for name in ("train", "valid", "test"):
        p.add_argument(f"--{name}", type=Path)
    p.add_argument("--first", type=Path, help="rows to learn from before --train")
    p.add_argument("--first-epochs", type=int, default=1)
    p.add_argument("--first-learning-rate", type=float, default=1e-4)
    p.add_argument("--metric", help="chooses the epoch")
    p.add_argument("--epochs", type=int, default=1)
    p.add_argument("--batch-size", type=int, default=32)
    p.add_argument("--max-length", type=int, default=256)
    p.add_argument("--learning-rate", type=float, default=1e-4)
    p.add_argument("--similarity-loss", choices=("cosine", "cosent"), default="cosine")
    p.add_argument("--r-drop", type=float, default=0.0, help="of numbers and cosines: weight of the disagreement of two passes over --train")
    p.add_argument("--weight-decay", type=float, default=0.01)
    p.add_argument("--warmup", type=float, default=0.1)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--device", default="cpu", help="by torch's name")
    p.add_argument("--bf16", action="store_true", help="learn with products in bfloat16, by autocast; measured in f32")
    return p.parse_args()


def main():
    given = arguments()
    torch.set_num_threads(given.threads)
    torch.manual_seed(given.seed)
    transformers.logging.set_verbosity_error()
    tokenizer = transformers.AutoTokenizer.from_pretrained(given.model)
    task = TASKS[given.task](tokenizer, given)
    kind = getattr(transformers, task.head)
    if given.task == "similarity":
        model = Sentences(given.model, given.similarity_loss)
    elif given.train:
        more = {"num_labels": len(task.labels)} if task.labels else {"num_labels": 1} if given.task == "regress" else {}
        model = kind.from_pretrained(given.model, **more)
    else:
        model = kind.from_pretrained(given.model)
        task.labels = task.labels or [model.config.id2label[i] for i in range(model.config.num_labels)]
    model.to(given.device)
    began = time.monotonic()
    found = {}
    for stage in stages(given):
        found = train(model, task, stage, tokenizer.pad_token_id)
    found["train_seconds"] = time.monotonic() - began
    found["with"] = f"torch {torch.__version__}, transformers {transformers.__version__}, {name_of(given.device)}"
    found["test"] = measured(model, task, task.read(given.test), tokenizer.pad_token_id)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
