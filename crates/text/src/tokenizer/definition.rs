//! The parts of a `tokenizer.json` for the kinds of tokenizer that are trained here or opened from
//! vocabulary files.

use serde_json::{Value, json};

/// BERT's normalizer.
pub(crate) fn bert_normalizer(lowercase: bool, strip_accents: Option<bool>, chinese: bool) -> Value {
    json!({
        "type": "BertNormalizer",
        "clean_text": true,
        "handle_chinese_chars": chinese,
        "strip_accents": strip_accents,
        "lowercase": lowercase,
    })
}

/// Lower case without accents, and composed again (Korean syllables would fall apart otherwise).
fn lowercase_steps() -> [Value; 4] {
    [json!({"type": "NFD"}), json!({"type": "StripAccents"}), json!({"type": "Lowercase"}), json!({"type": "NFC"})]
}

/// Normalizer of byte-level tokenizers: none, unless lower case is wanted.
pub(crate) fn byte_level_normalizer(lowercase: bool) -> Value {
    if lowercase { json!({"type": "Sequence", "normalizers": lowercase_steps()}) } else { Value::Null }
}

/// Normalizer of unigram tokenizers, as SentencePiece's `nmt_nfkc`.
pub(crate) fn unigram_normalizer(lowercase: bool) -> Value {
    let mut steps = vec![json!({"type": "Nmt"}), json!({"type": "NFKC"})];
    if lowercase {
        steps.extend(lowercase_steps());
    }
    steps.push(json!({"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}));
    json!({"type": "Sequence", "normalizers": steps})
}

/// Bytes as letters, words by GPT-2's expression.
pub(crate) fn byte_level(add_prefix_space: bool) -> Value {
    json!({"type": "ByteLevel", "add_prefix_space": add_prefix_space, "trim_offsets": true, "use_regex": true})
}

/// `▁` for spaces.
pub(crate) fn metaspace() -> Value {
    json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true})
}

/// An added token of a `tokenizer.json`.
pub(crate) fn added_token(id: u32, content: &str, lstrip: bool, special: bool) -> Value {
    json!({
        "id": id, "content": content, "single_word": false, "lstrip": lstrip, "rstrip": false,
        "normalized": !special, "special": special,
    })
}

/// `[CLS] A [SEP]` and `[CLS] A [SEP] B [SEP]` with type ids 0 and 1.
pub(crate) fn bert_template(cls: (&str, u32), sep: (&str, u32)) -> Value {
    let special = |token: &str, t: u32| json!({"SpecialToken": {"id": token, "type_id": t}});
    let text = |which: &str, t: u32| json!({"Sequence": {"id": which, "type_id": t}});
    json!({
        "type": "TemplateProcessing",
        "single": [special(cls.0, 0), text("A", 0), special(sep.0, 0)],
        "pair": [special(cls.0, 0), text("A", 0), special(sep.0, 0), text("B", 1), special(sep.0, 1)],
        "special_tokens": template_tokens(cls, sep),
    })
}

/// `<s> A </s>` and `<s> A </s> </s> B </s>` with type id 0 throughout.
pub(crate) fn roberta_template(cls: (&str, u32), sep: (&str, u32)) -> Value {
    let special = |token: &str| json!({"SpecialToken": {"id": token, "type_id": 0}});
    let text = |which: &str| json!({"Sequence": {"id": which, "type_id": 0}});
    json!({
        "type": "TemplateProcessing",
        "single": [special(cls.0), text("A"), special(sep.0)],
        "pair": [special(cls.0), text("A"), special(sep.0), special(sep.0), text("B"), special(sep.0)],
        "special_tokens": template_tokens(cls, sep),
    })
}

fn template_tokens(cls: (&str, u32), sep: (&str, u32)) -> Value {
    let token = |(text, id): (&str, u32)| (text.to_owned(), json!({"id": text, "ids": [id], "tokens": [text]}));
    Value::Object([token(cls), token(sep)].into_iter().collect())
}

/// RoBERTa's own post-processor, which also takes the space off the offsets.
pub(crate) fn roberta_processing(cls: (&str, u32), sep: (&str, u32), add_prefix_space: bool) -> Value {
    json!({
        "type": "RobertaProcessing", "sep": [sep.0, sep.1], "cls": [cls.0, cls.1],
        "trim_offsets": true, "add_prefix_space": add_prefix_space,
    })
}

/// A WordPiece model; `vocab` maps tokens to ids.
pub(crate) fn wordpiece_model(vocab: Value, unk: &str) -> Value {
    json!({
        "type": "WordPiece", "unk_token": unk, "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100, "vocab": vocab,
    })
}

/// A byte-pair model; `merges` are pairs of tokens, best first.
pub(crate) fn bpe_model(vocab: Value, merges: Value) -> Value {
    json!({
        "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
        "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
        "vocab": vocab, "merges": merges,
    })
}

/// A whole `tokenizer.json`.
pub(crate) fn tokenizer(
    added_tokens: Vec<Value>,
    normalizer: Value,
    pre_tokenizer: Value,
    post_processor: Value,
    decoder: Value,
    model: Value,
) -> Value {
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added_tokens,
        "normalizer": normalizer, "pre_tokenizer": pre_tokenizer, "post_processor": post_processor,
        "decoder": decoder, "model": model,
    })
}
