"""Compares our tokenizers with transformers' on a few hundred sentences, and makes the fixtures.

    python crates/text/tests/check_tokenizers.py [--write]

Needs transformers and a release build of the examples (CARGO_TARGET_DIR is honoured). For every folder
of tests/fixtures/tokenizers, and for tokenizers that our own trainer makes, the folder is opened by
AutoTokenizer and by us; ids, type ids, offsets, word numbers and truncated pairs must be equal. Each
folder is also saved by us and opened by AutoTokenizer again. With --write the folders and expected.json
are made anew; without, expected.json must say the same. The tests in Rust read expected.json, so that
they need no Python.
"""

import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "false"
import tokenizers
import transformers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
FIXTURES = HERE / "fixtures" / "tokenizers"
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "examples"
MAX_LEN = 24

PLAIN = """The cat sat on the mat, and the dog lay under the table.
A word has many meanings; the words around it tell which one is meant.
She couldn't have known; they'd said it'd rain, but it didn't.
Prices rose by 3.5% to $1,234.56 in 2023/24 (see p. 17).
E-mail: someone@example.org, http://example.org/a?b=c&d=e#f
naïve café, Ångström, über, coöperate, El Niño, Zażółć gęślą jaźń
Ελληνικά, русский язык, עברית, العربية, हिन्दी, ไทย, 한국어, Tiếng Việt
河边的银行今天不开门。
他在银行工作,每天从河岸走到办公室。
我喜欢 machine learning 和自然语言处理 NLP。
東京は日本の首都です。カタカナとひらがな。
emoji 😀 and 👩‍👩‍👧 and flags 🇨🇳 🇩🇪 in a row 😀😀😀
unbelievably antidisestablishmentarianism reinitialization misunderstandings
ALL CAPITALS and MiXeD CaSe and camelCaseWords and snake_case_words
   leading spaces, trailing spaces   
tabs\tand  double  spaces   and\u00a0no-break\u3000wide spaces
"quotes", ‘curly’ “ones”, «guillemets», 「brackets」, — dashes – of -- kinds…
x = f(a[i], b->c) * (1 << 8) != 0xFF && !done || y ^ z; // comment
the [MASK] sat on the mat and [SEP] is not a word, nor [CLS], nor <mask>
<s> and </s> and <pad> and [PAD] and [UNK] written in a text
ﬁne ligatures, ½ fractions, x² powers, ① circles, ｆｕｌｌ ｗｉｄｔｈ
zero\u200bwidth joiner\u200d and soft\u00adhyphen and \ufeffmark
combining: e\u0301 a\u0308 n\u0303 o\u0302\u0301
a
.
!?

Running runner runs ran; walking walker walks walked; talking talker talks talked
the bank of the river, the bank on the corner, a bank of clouds, to bank on it
"""


def sentences():
    """A list of texts: the plain ones and mixtures of them, the same every time."""
    plain = PLAIN.replace("\\t", "\t").split("\n")[:-1]
    chance = random.Random(7)
    words = " ".join(plain).split(" ")
    mixed = [" ".join(chance.choice(words) for _ in range(chance.randint(1, 40))) for _ in range(170)]
    glued = ["".join(chance.choice(plain)[:20] for _ in range(3)) for _ in range(30)]
    return plain + mixed + glued + ["Supercalifragilistic" * 8, "天" * 60, "a\nb\r\nc\n\nd", "\n", " "]


def pairs(texts):
    chance = random.Random(8)
    return [(chance.choice(texts), chance.choice(texts)) for _ in range(60)]


# --- Folders made by the reference library -----------------------------------------------------


def write_json(path, value):
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def wordpiece_vocab(texts, size, **normalizer):
    tok = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tok.normalizer = normalizers.BertNormalizer(**normalizer)
    tok.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tok.train_from_iterator(texts, trainers.WordPieceTrainer(vocab_size=size, special_tokens=specials))
    vocab = tok.get_vocab()
    return sorted(vocab, key=vocab.get)


def bert_folder(folder, texts, size, config, **normalizer):
    folder.mkdir(parents=True)
    (folder / "vocab.txt").write_text("\n".join(wordpiece_vocab(texts, size, **normalizer)) + "\n", encoding="utf-8")
    write_json(folder / "tokenizer_config.json", config)


def byte_bpe(texts, size, add_prefix_space):
    tok = tokenizers.Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    tok.decoder = decoders.ByteLevel()
    specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tok.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=size, special_tokens=specials, initial_alphabet=alphabet)
    )
    tok.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), True, add_prefix_space)
    return tok


def make_folders(texts):
    """Small tokenizers of every kind, with settings that are not the usual ones."""
    bert_folder(FIXTURES / "bert-vocab", texts, 900, {"tokenizer_class": "BertTokenizer", "do_lower_case": True})
    cased = {"tokenizer_class": "BertTokenizer", "do_lower_case": False, "tokenize_chinese_chars": False,
             "strip_accents": True, "model_max_length": 77, "unk_token": {"content": "[UNK]", "__type": "AddedToken"}}
    bert_folder(FIXTURES / "bert-cased", texts, 900, cased, lowercase=False, handle_chinese_chars=False)
    bert_folder(FIXTURES / "distilbert", texts, 700, {"tokenizer_class": "DistilBertTokenizer", "strip_accents": False})

    # A tokenizer.json with truncation, padding and another case than its settings, which win.
    electra = FIXTURES / "electra"
    electra.mkdir()
    vocab = {t: i for i, t in enumerate(wordpiece_vocab(texts, 800, lowercase=False))}
    tok = tokenizers.Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    tok.normalizer = normalizers.BertNormalizer(lowercase=True)
    tok.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tok.decoder = decoders.WordPiece()
    tok.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    tok.post_processor = processors.BertProcessing(("[SEP]", vocab["[SEP]"]), ("[CLS]", vocab["[CLS]"]))
    tok.save(str(electra / "tokenizer.json"), pretty=False)
    write_json(electra / "tokenizer_config.json", {"tokenizer_class": "ElectraTokenizer", "do_lower_case": False,
                                                   "a_key_nobody_knows": [1, 2]})

    roberta = FIXTURES / "roberta-merges"
    roberta.mkdir()
    byte_bpe(texts, 700, False).model.save(str(roberta))
    mask = {"content": "<mask>", "lstrip": True, "rstrip": False, "normalized": False, "single_word": False,
            "special": True, "__type": "AddedToken"}
    write_json(roberta / "tokenizer_config.json",
               {"tokenizer_class": "RobertaTokenizer", "model_max_length": 1e30, "mask_token": mask})

    prefix = FIXTURES / "roberta-json"
    prefix.mkdir()
    tok = byte_bpe(texts, 600, True)
    tok.add_special_tokens([tokenizers.AddedToken("<mask>", lstrip=True, special=True)])
    tok.enable_truncation(5)
    tok.enable_padding(length=9)
    tok.save(str(prefix / "tokenizer.json"), pretty=False)
    names = {"bos_token": "<s>", "eos_token": "</s>", "cls_token": "<s>", "sep_token": "</s>", "unk_token": "<unk>",
             "pad_token": "<pad>", "mask_token": {"content": "<mask>", "lstrip": True, "__type": "AddedToken"}}
    write_json(prefix / "tokenizer_config.json",
               {"tokenizer_class": "PreTrainedTokenizerFast", "add_prefix_space": True, **names})

    unigram = FIXTURES / "unigram"
    unigram.mkdir()
    tok = tokenizers.Tokenizer(models.Unigram())
    tok.normalizer = normalizers.NFKC()
    tok.pre_tokenizer = pre_tokenizers.Metaspace()
    tok.decoder = decoders.Metaspace()
    specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tok.train_from_iterator(texts, trainers.UnigramTrainer(vocab_size=700, special_tokens=specials, unk_token="<unk>"))
    tok.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    tok.save(str(unigram / "tokenizer.json"), pretty=False)
    write_json(unigram / "special_tokens_map.json", names)
    albert_folder(texts)


def albert_folder(texts):
    """As SentencePiece models of ALBERT are converted, without their map of characters: lower case, no accents."""
    albert = FIXTURES / "albert"
    albert.mkdir()
    tok = tokenizers.Tokenizer(models.Unigram())
    tok.normalizer = normalizers.Sequence([
        normalizers.Replace("``", '"'), normalizers.Replace("''", '"'), normalizers.NFKD(), normalizers.StripAccents(),
        normalizers.Lowercase(),
    ])
    spaces = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    tok.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), spaces])
    tok.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    specials = ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"]
    tok.train_from_iterator(texts, trainers.UnigramTrainer(vocab_size=700, special_tokens=specials, unk_token="<unk>"))
    tok.add_special_tokens([tokenizers.AddedToken("[MASK]", lstrip=True, normalized=False, special=True)])
    tok.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0", pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    tok.save(str(albert / "tokenizer.json"), pretty=False)
    mask = {"content": "[MASK]", "lstrip": True, "rstrip": False, "normalized": False, "single_word": False,
            "special": True, "__type": "AddedToken"}
    write_json(albert / "tokenizer_config.json", {
        "tokenizer_class": "AlbertTokenizer", "do_lower_case": True, "keep_accents": False, "cls_token": "[CLS]",
        "sep_token": "[SEP]", "pad_token": "<pad>", "unk_token": "<unk>", "bos_token": "[CLS]", "eos_token": "[SEP]",
        "mask_token": mask, "model_max_length": 512,
    })


def train_ours(texts, into):
    """Tokenizers of our own trainer: folders by name."""
    corpus = into / "corpus.jsonl"
    corpus.write_text("".join(json.dumps({"text": t}) + "\n" for t in texts * 3), encoding="utf-8")
    folders = {}
    for kind, size in (("word-piece", 900), ("byte-bpe", 700), ("unigram", 700)):
        for case in ([], ["--lowercase"]):
            name = "trained-" + kind + ("-lowercase" if case else "")
            folders[name] = into / name
            run("build_store", into / name, corpus, "--kind", kind, "--vocab-size", str(size), *case)
    return folders


# --- The comparison ------------------------------------------------------------------------------


def run(example, *args, rows=None):
    lines = "".join(json.dumps(r) + "\n" for r in rows or [])
    done = subprocess.run([TARGET / example, *map(str, args)], input=lines, capture_output=True, text=True,
                          encoding="utf-8")
    if done.returncode:
        sys.exit(f"{example} {args}: {done.stderr}")
    return done.stdout


def ours(folder, rows, max_len, save_to=None):
    args = [folder, max_len] + ([save_to] if save_to else [])
    return [json.loads(line) for line in run("encode", *args, rows=rows).split("\n")[:-1]]


def byte_offsets(text, offsets):
    """Character offsets as byte offsets."""
    return [[len(text[:a].encode()), len(text[:b].encode())] for a, b in offsets]


def theirs(tok, rows, max_len):
    out = []
    for text, pair in rows:
        e = tok(text, pair, truncation="longest_first", max_length=max_len, padding=False,
                return_token_type_ids=True, return_offsets_mapping=True)
        sides = e.sequence_ids()
        offsets = [[0, 0] if side is None else byte_offsets([text, pair][side], [o])[0]
                   for side, o in zip(sides, e["offset_mapping"])]
        out.append({"ids": e["input_ids"], "type_ids": e["token_type_ids"], "offsets": offsets,
                    "words": e.word_ids(), "decoded": tok.decode(e["input_ids"], skip_special_tokens=True)})
    return out


def compare(name, a, b, keys):
    for key in keys:
        bad = [i for i, (x, y) in enumerate(zip(a, b, strict=True)) if x[key] != y[key]]
        if bad:
            i = bad[0]
            sys.exit(f"{name}: {key} differ in {len(bad)} rows, the first {i}:\n ours   {a[i]}\n theirs {b[i]}")


def check(name, folder, texts, scratch):
    saved = scratch / f"saved-{name}"
    singles = [(t, None) for t in texts]
    both = pairs(texts)
    keys = ("ids", "type_ids", "offsets", "words", "decoded")
    tok = AutoTokenizer.from_pretrained(folder)
    for where, reference in ((folder, tok), (saved, None)):
        long = ours(where, singles, 512, saved if where == folder else None)
        cut = ours(where, both, MAX_LEN)
        if where == saved:
            # As in a model folder that we write: AutoTokenizer looks at the model's type, too.
            kinds = [kind for kind in ("roberta", "albert") if kind in name]
            write_json(saved / "config.json", {"model_type": (kinds + ["bert"])[0]})
        reference = reference or AutoTokenizer.from_pretrained(saved)
        compare(f"{name} of {where}", long, theirs(reference, singles, 512), keys)
        compare(f"{name} pairs of {where}", cut, theirs(reference, both, MAX_LEN), keys)
    print(f"{name}: {len(texts)} texts and {len(both)} pairs equal, {type(tok).__name__}, {len(tok)} ids")
    digest = lambda rows, key: hashlib.sha256(json.dumps([r[key] for r in rows], separators=(",", ":")).encode()).hexdigest()
    first = theirs(tok, singles, 512)
    return {
        "vocab_size": len(tok),
        "singles": [r["ids"] for r in first[:20]],
        "offsets": [r["offsets"] for r in first[:12]],
        "words": [r["words"] for r in first[:12]],
        "pairs": [{"ids": r["ids"], "type_ids": r["type_ids"]} for r in theirs(tok, both, MAX_LEN)[:12]],
        "sha256_of_all_ids": digest(first, "ids"),
    }


def main():
    write = "--write" in sys.argv
    texts = sentences()
    if write:
        for path in sorted(FIXTURES.glob("*/*")):
            path.unlink()
        for path in sorted(FIXTURES.glob("*/")):
            path.rmdir()
        FIXTURES.mkdir(parents=True, exist_ok=True)
        make_folders(texts)
        write_json(FIXTURES / "sentences.json", {"singles": texts, "pairs": pairs(texts)[:12], "max_len": MAX_LEN})
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        folders = {f.name: f for f in sorted(FIXTURES.glob("*/"))} | train_ours(texts, scratch)
        real = ROOT / ".data" / "all-MiniLM-L6-v2"
        if real.exists():
            folders[real.name] = real
        else:
            print("skipped: all-MiniLM-L6-v2 is not downloaded")
        versions = {"transformers": transformers.__version__, "tokenizers": tokenizers.__version__}
        expected = {name: check(name, folder, texts, scratch) for name, folder in folders.items()}
    result = {"made_by": "check_tokenizers.py --write", "versions": versions, "tokenizers": expected}
    path = FIXTURES / "expected.json"
    if write:
        path.write_text(json.dumps(result, separators=(",", ":")) + "\n")
        print("written:", path)
    elif (json.loads(path.read_text())["tokenizers"] | expected) != json.loads(path.read_text())["tokenizers"]:
        sys.exit(f"{path} says something else; run with --write if that is meant")


if __name__ == "__main__":
    main()
