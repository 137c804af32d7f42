"""Folders for verify_transformers.py that other libraries open, or that no class of transformers uses as it is meant:

- similarity: sentence-transformers opens the folder; its vectors of all texts beside `embed`.
- adapter: peft puts the low-rank changes and the head on the base; all probabilities of all texts.
- generate: transformers has no such task. The best token each time from its logits of a mask behind the source and
  what is generated already, where an attention mask of four dimensions says what each token sees; the text and its
  mean log-probability beside `predict --beams 1`.
"""

import json

import numpy as np
import torch
import transformers

NEW_TOKENS = 16


def vectors(c, _):
    """Sentence vectors of all texts."""
    from sentence_transformers import SentenceTransformer

    out = c.work / "sentences.npy"
    c.polyseme("embed", c.folder, c.work / "texts.jsonl", "--out", out)
    theirs = SentenceTransformer(str(c.folder), device="cpu").encode(c.texts, convert_to_numpy=True)
    c.keep("hidden", float(np.abs(np.load(out) - theirs).max()))
    c.row["compared"] = {"texts by sentence-transformers": len(c.texts)}


class WithoutPooler:
    """Opens an encoder alone. Three families have a pooler that a folder of sentence vectors has no use for."""

    @staticmethod
    def from_pretrained(folder, output_loading_info):
        has = transformers.AutoConfig.from_pretrained(folder).model_type in ("bert", "roberta", "albert")
        flags = {"add_pooling_layer": False} if has else {}
        return transformers.AutoModel.from_pretrained(folder, output_loading_info=output_loading_info, **flags)


class WithAdapter:
    """Opens an adapter's folder with peft."""

    @staticmethod
    def from_pretrained(folder, output_loading_info):
        import peft

        settings = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
        config = transformers.AutoConfig.from_pretrained(folder)
        base = settings["base_model_name_or_path"]
        model = transformers.AutoModelForSequenceClassification.from_pretrained(base, config=config)
        model = peft.PeftModel.from_pretrained(model, folder)
        own = {name for name in model.state_dict() if ".lora_" in name or "modules_to_save" in name}
        found = peft.utils.load_peft_weights(folder, device="cpu")
        bare = {name.replace(".default", "").replace(".modules_to_save", "") for name in own}
        keys = {"missing_keys": sorted(bare - set(found)), "unexpected_keys": sorted(set(found) - bare), "mismatched_keys": []}
        return model.merge_and_unload(), keys


def generated(c, model, count=60):
    """Texts generated from some sources."""
    asked = [text for text in c.texts if len(c.tokenizer(text)["input_ids"]) + NEW_TOKENS + 1 < c.longest][-count:]
    file = c.work / "generate.txt"
    file.write_text("".join(text + "\n" for text in asked), encoding="utf-8")
    flags = ("--beams", "1", "--max-new-tokens", str(NEW_TOKENS))
    lines = c.polyseme("predict", c.folder, file, *flags).splitlines()
    forbidden = [i for i in c.tokenizer.all_special_ids if i != c.tokenizer.sep_token_id]
    for text, line in zip(asked, lines, strict=True):
        ours = json.loads(line)
        source = c.tokenizer(text)["input_ids"]
        target, score = [], 0.0
        for _ in range(NEW_TOKENS):
            logits = mask_logits(c, model, source, target).double()
            scores = logits.log_softmax(-1)
            logits[forbidden] = -torch.inf
            best = int(logits.argmax())
            target, score = [*target, best], score + float(scores[best])
            if best == c.tokenizer.sep_token_id:
                break
        c.same(text, ours["generated"], c.tokenizer.decode(target, skip_special_tokens=True, clean_up_tokenization_spaces=True))
        c.keep("logit", abs(ours["score"] - score / len(target)))
    c.row["compared"] = {"texts": len(asked)}


def mask_logits(c, model, source, target):
    """Logits of the mask behind a source and the beginning of a target."""
    ids = torch.tensor([*source, *target, c.tokenizer.mask_token_id])
    length, first = len(ids), len(source)
    sees = torch.ones(length, length, dtype=torch.bool).tril()
    sees[:first, :first] = True
    mask = torch.zeros(length, length).masked_fill(~sees, torch.finfo(torch.float32).min)
    types = torch.tensor([0] * first + [1] * (length - first))
    with torch.no_grad():
        return model(input_ids=ids[None], token_type_ids=types[None], attention_mask=mask[None, None]).logits[0, -1]
