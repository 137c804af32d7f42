//! Tokenizers that are broken or that do not fit their model.

use crate::check::Case;
use crate::fixture::{Bench, Head, vocabulary};
use serde_json::json;

const EMBED: &[&str] = &["embed", "m", "texts.txt", "--out", "v.npy"];

fn vocab(b: &Bench, content: impl AsRef<[u8]>) {
    b.model("m", Head::MaskedLm);
    b.write("m/vocab.txt", content);
}

fn tokenizer_json(b: &Bench, content: &str) {
    b.model("m", Head::MaskedLm);
    b.write("m/tokenizer.json", content);
}

/// The vocabulary without one of its pieces.
fn without(piece: &str) -> String {
    vocabulary().iter().map(|p| if p == piece { "[unused0]" } else { p }).collect::<Vec<_>>().join("\n") + "\n"
}

pub const CASES: &[Case] = &[
    Case {
        name: "no tokenizer",
        make: |b| {
            b.model("m", Head::MaskedLm);
            b.remove("m/vocab.txt");
        },
        run: EMBED,
        exit: 1,
        says: &["m", "tokenizer.json", "vocab.txt"],
    },
    Case {
        name: "vocab.txt empty",
        make: |b| vocab(b, ""),
        run: EMBED,
        exit: 1,
        says: &["m/vocab.txt", "empty|no piece|[CLS]|[UNK]|[PAD]"],
    },
    Case {
        name: "vocab.txt without its first token of a text",
        make: |b| vocab(b, without("[CLS]")),
        run: EMBED,
        exit: 1,
        says: &["tokenizer in m", "[CLS]", "special_tokens_map.json"],
    },
    Case {
        name: "vocab.txt without a token for unknown words",
        make: |b| vocab(b, without("[UNK]")),
        run: EMBED,
        exit: 1,
        says: &["vocab.txt", "[UNK]"],
    },
    Case {
        name: "vocab.txt without a mask",
        make: |b| vocab(b, without("[MASK]")),
        run: &["fill", "m", "the [MASK] is cold"],
        exit: 1,
        says: &["mask"],
    },
    Case {
        name: "pre-training from a tokenizer without a mask",
        make: |b| vocab(b, without("[MASK]")),
        run: &["pretrain", "corpus.txt", "--from", "m", "--out", "o", "--steps", "2", "--seq-len", "16"],
        exit: 1,
        says: &["mask"],
    },
    Case {
        name: "vocab.txt that is not UTF-8",
        make: |b| vocab(b, b"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nb\xffd\n"),
        run: EMBED,
        exit: 1,
        says: &["m/vocab.txt", "utf-8"],
    },
    Case {
        name: "vocab.txt with more pieces than embeddings",
        make: |b| vocab(b, vocabulary().join("\n") + "\nwarm\nfire\nice\n"),
        run: EMBED,
        exit: 1,
        says: &["65", "62"],
    },
    Case {
        name: "tokenizer.json that is no JSON",
        make: |b| tokenizer_json(b, "{\"version\": \"1.0\","),
        run: EMBED,
        exit: 1,
        says: &["m/tokenizer.json"],
    },
    Case {
        name: "tokenizer.json empty",
        make: |b| tokenizer_json(b, ""),
        run: EMBED,
        exit: 1,
        says: &["m/tokenizer.json"],
    },
    Case {
        name: "tokenizer.json without a model",
        make: |b| tokenizer_json(b, r#"{"version": "1.0", "added_tokens": [], "normalizer": null}"#),
        run: EMBED,
        exit: 1,
        says: &["m/tokenizer.json", "model"],
    },
    Case {
        name: "tokenizer.json with an unknown algorithm",
        make: |b| {
            tokenizer_json(b, r#"{"version": "1.0", "added_tokens": [], "model": {"type": "Telepathy", "vocab": {}}}"#)
        },
        run: EMBED,
        exit: 1,
        says: &["m/tokenizer.json"],
    },
    Case {
        name: "tokenizer.json with more ids than embeddings",
        make: |b| {
            let mut vocab: serde_json::Map<_, _> =
                vocabulary().into_iter().enumerate().map(|(i, p)| (p, json!(i))).collect();
            vocab.insert("warm".into(), json!(62));
            vocab.insert("fire".into(), json!(900));
            let model = json!({"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                "max_input_chars_per_word": 100, "vocab": vocab});
            let whole = json!({"version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
                "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
                    "strip_accents": null, "lowercase": true},
                "pre_tokenizer": {"type": "BertPreTokenizer"},
                "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
                "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true}, "model": model});
            tokenizer_json(b, &whole.to_string());
        },
        run: EMBED,
        exit: 1,
        says: &["62", "900|901|64"],
    },
    Case {
        name: "tokenizer_config.json that is no JSON",
        make: |b| {
            b.model("m", Head::MaskedLm);
            b.write("m/tokenizer_config.json", "do_lower_case: true");
        },
        run: EMBED,
        exit: 1,
        says: &["m/tokenizer_config.json"],
    },
];
