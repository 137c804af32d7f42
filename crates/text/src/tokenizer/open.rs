//! Opens the tokenizer of a model folder.

use super::encode::{Slot, layout};
use super::stretches::{Cut, Memory};
use super::{Inner, SpecialTokens, Tokenizer, definition, hash_of, special};
use crate::{Error, Result};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// Files of a tokenizer, which are kept and written again by `save`.
const FILES: [&str; 9] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "sentencepiece.bpe.model",
    "spiece.model",
];

/// Tokenizer classes whose `vocab.txt` is BERT's WordPiece, without `Tokenizer` and `Fast`.
const BERT_LIKE: [&str; 9] =
    ["Bert", "DistilBert", "Electra", "MobileBert", "ConvBert", "SqueezeBert", "Retribert", "LayoutLM", "Lxmert"];

/// No tokenizer has more ids; a file that says so is damaged, and must not take all the memory.
const MOST_IDS: u32 = 1 << 24;

type Files = BTreeMap<String, Vec<u8>>;

pub(super) fn open(folder: &Path) -> Result<Tokenizer> {
    let mut files = Files::new();
    for name in FILES {
        let path = folder.join(name);
        match std::fs::read(&path) {
            Ok(bytes) => {
                files.insert(name.to_owned(), bytes);
            }
            Err(e) if matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {}
            Err(source) => return Err(Error::Unreadable { path, source }),
        }
    }
    if files.is_empty() && !folder.exists() {
        return Err(Error::NotFound { path: folder.to_owned() });
    }
    from_files(folder, files)
}

pub(super) fn from_files(folder: &Path, mut files: Files) -> Result<Tokenizer> {
    let config = object(folder, &files, "tokenizer_config.json")?;
    let map = object(folder, &files, "special_tokens_map.json")?;
    let settings = Settings { folder, config: &config, map: &map };

    let definition = if let Some(bytes) = files.get("tokenizer.json") {
        parse_definition(&settings, bytes)?
    } else if let Some(vocab) = files.get("vocab.txt") {
        from_vocab_txt(&settings, vocab, &files)?
    } else if let (Some(vocab), Some(merges)) = (files.get("vocab.json"), files.get("merges.txt")) {
        from_vocab_json(&settings, vocab, merges)?
    } else {
        return Err(Error::NoTokenizer { folder: folder.to_owned() });
    };
    let source = source_name(&files);
    let bad = |what: String| Error::BadTokenizer { path: folder.join(source), what };
    let text = serde_json::to_vec(&definition).map_err(|e| bad(e.to_string()))?;
    let mut tokenizer = tokenizers::Tokenizer::from_bytes(&text).map_err(|e| bad(e.to_string()))?;
    // We pack and truncate ourselves.
    tokenizer.with_padding(None);
    tokenizer.with_truncation(None).map_err(|e| bad(e.to_string()))?;

    let highest = tokenizer.get_vocab(true).into_values().max().unwrap_or(0);
    if highest >= MOST_IDS {
        return Err(bad(format!("it has the id {highest}; at most {MOST_IDS} ids are supported")));
    }

    let special = special::find(folder, &map, &config, &|t| tokenizer.token_to_id(t))?;
    let name = |id: u32| tokenizer.id_to_token(id).unwrap_or_default();
    let single = layout(&tokenizer, false).map_err(&bad)?.unwrap_or_else(|| usual_layout(&special, &name, false));
    let pair = layout(&tokenizer, true).map_err(&bad)?.unwrap_or_else(|| usual_layout(&special, &name, true));
    let hash = hash_of(&tokenizer, &special, [&single, &pair])?;
    let (vocab_size, is_special, continues_word) = per_id(&tokenizer, &special, &definition);

    if !files.contains_key("tokenizer.json") {
        let pretty = tokenizer.to_string(true).map_err(|e| bad(e.to_string()))?;
        files.insert("tokenizer.json".into(), pretty.into_bytes());
    }
    complete_settings(&mut files, &special, &name, &definition);
    Ok(Tokenizer {
        inner: Arc::new(Inner {
            plain: OnceLock::new(),
            memory: Cut::of(&definition).map(Memory::new),
            model_max_length: max_length(&config),
            tokenizer,
            special,
            vocab_size,
            is_special,
            continues_word,
            single,
            pair,
            hash,
            files,
        }),
    })
}

/// The settings files beside a tokenizer.
struct Settings<'a> {
    folder: &'a Path,
    config: &'a Map<String, Value>,
    map: &'a Map<String, Value>,
}

impl Settings<'_> {
    fn flag(&self, key: &str) -> Option<bool> {
        self.config.get(key).and_then(Value::as_bool)
    }

    /// A special token as the settings name it, or `usual`; and whether it takes the space before it.
    fn token(&self, key: &str, usual: &str) -> (String, Option<bool>) {
        let named = self.map.get(key).filter(|v| !v.is_null()).or_else(|| self.config.get(key));
        let text = named.and_then(special::content).unwrap_or(usual).to_owned();
        (text, named.and_then(|v| v.get("lstrip")).and_then(Value::as_bool))
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.join(name)
    }
}

fn object(folder: &Path, files: &Files, name: &str) -> Result<Map<String, Value>> {
    let Some(bytes) = files.get(name) else { return Ok(Map::new()) };
    let bad = |what: String| Error::BadTokenizerConfig { path: folder.join(name), what };
    match serde_json::from_slice(bytes).map_err(|e| bad(e.to_string()))? {
        Value::Object(map) => Ok(map),
        _ => Err(bad("another kind of JSON value".into())),
    }
}

fn source_name(files: &Files) -> &'static str {
    ["tokenizer.json", "vocab.txt"].into_iter().find(|n| files.contains_key(*n)).unwrap_or("vocab.json")
}

/// `tokenizer.json`, with BERT's normalizer set as the settings say.
fn parse_definition(settings: &Settings, bytes: &[u8]) -> Result<Value> {
    let path = settings.path("tokenizer.json");
    let bad = |what: String| Error::BadTokenizer { path: path.clone(), what };
    let mut definition: Value = serde_json::from_slice(bytes).map_err(|e| bad(e.to_string()))?;
    if !definition.is_object() || !definition["model"].is_object() {
        return Err(bad("it has no `model`".into()));
    }
    if let Some(kind) = definition["model"]["type"].as_str()
        && !["BPE", "WordPiece", "WordLevel", "Unigram"].contains(&kind)
    {
        let found = kind.to_owned();
        return Err(Error::UnsupportedTokenizer { path, key: "model.type", found });
    }
    if definition["normalizer"]["type"] == "BertNormalizer" {
        let keys = [
            ("do_lower_case", "lowercase"),
            ("strip_accents", "strip_accents"),
            ("tokenize_chinese_chars", "handle_chinese_chars"),
        ];
        for (ours, theirs) in keys {
            if let Some(value) = settings.config.get(ours).filter(|v| v.is_boolean()) {
                definition["normalizer"][theirs] = value.clone();
            }
        }
    }
    Ok(definition)
}

/// BERT's `vocab.txt`: a token a line, its id the number of the line.
fn from_vocab_txt(settings: &Settings, bytes: &[u8], files: &Files) -> Result<Value> {
    refuse_other_classes(settings)?;
    let path = settings.path("vocab.txt");
    let bad = |line: usize, what: &'static str| Error::BadVocabulary { path: path.clone(), line: line + 1, what };
    let text = std::str::from_utf8(bytes).map_err(|e| {
        let line = bytes[..e.valid_up_to()].iter().filter(|b| **b == b'\n').count();
        bad(line, "bytes that are not UTF-8")
    })?;
    if text.trim().is_empty() {
        return Err(Error::EmptyFile { path });
    }
    let mut vocab = Map::new();
    let mut next = 0;
    for (i, line) in text.lines().enumerate() {
        vocab.insert(line.to_owned(), json!(i));
        next = i + 1;
    }
    // Tokens added later have ids behind those of the file.
    for (token, id) in added_later(settings, files) {
        if !vocab.contains_key(&token) && id == next {
            vocab.insert(token, json!(id));
            next += 1;
        }
    }
    let token = |key, usual| settings.token(key, usual).0;
    let (unk, cls, sep) = (token("unk_token", "[UNK]"), token("cls_token", "[CLS]"), token("sep_token", "[SEP]"));
    let id = |t: &str| vocab.get(t).and_then(Value::as_u64).unwrap_or_default() as u32;
    if !vocab.contains_key(&unk) {
        return Err(bad(0, "the unknown token, [UNK] where the settings name no other, is on no line"));
    }
    let template = definition::bert_template((&cls, id(&cls)), (&sep, id(&sep)));
    let names = [token("pad_token", "[PAD]"), unk.clone(), cls.clone(), sep.clone(), token("mask_token", "[MASK]")];
    let added = added_tokens(names.iter().map(|n| (n.as_str(), false)), &id, &|t| vocab.contains_key(t));
    Ok(definition::tokenizer(
        added,
        definition::bert_normalizer(
            settings.flag("do_lower_case").unwrap_or(true),
            settings.flag("strip_accents"),
            settings.flag("tokenize_chinese_chars").unwrap_or(true),
        ),
        json!({"type": "BertPreTokenizer"}),
        template,
        json!({"type": "WordPiece", "prefix": "##", "cleanup": true}),
        definition::wordpiece_model(Value::Object(vocab), &unk),
    ))
}

/// A `vocab.txt` of another kind of tokenizer would be read wrongly without a word.
fn refuse_other_classes(settings: &Settings) -> Result<()> {
    let path = settings.path("tokenizer_config.json");
    if let Some(class) = settings.config.get("tokenizer_class").and_then(Value::as_str) {
        let base = class.trim_end_matches("Fast").trim_end_matches("Tokenizer");
        if !BERT_LIKE.contains(&base) && !["PreTrained", "TokenizersBackend"].contains(&base) {
            return Err(Error::UnsupportedTokenizer { path, key: "tokenizer_class", found: class.to_owned() });
        }
    }
    if settings.flag("do_basic_tokenize") == Some(false) {
        return Err(Error::UnsupportedTokenizer { path, key: "do_basic_tokenize", found: "false".into() });
    }
    Ok(())
}

/// Tokens of `added_tokens.json` and of `added_tokens_decoder`, by id.
fn added_later(settings: &Settings, files: &Files) -> Vec<(String, usize)> {
    let mut tokens = Vec::new();
    let listed = object(settings.folder, files, "added_tokens.json").unwrap_or_default();
    tokens.extend(listed.iter().filter_map(|(t, id)| Some((t.clone(), id.as_u64()? as usize))));
    let decoder = settings.config.get("added_tokens_decoder").and_then(Value::as_object);
    let named = decoder.into_iter().flatten();
    tokens.extend(named.filter_map(|(id, t)| Some((special::content(t)?.to_owned(), id.parse().ok()?))));
    tokens.sort_by(|a, b| (a.1, &a.0).cmp(&(b.1, &b.0)));
    tokens.dedup();
    tokens
}

/// RoBERTa's `vocab.json` and `merges.txt`.
fn from_vocab_json(settings: &Settings, vocab: &[u8], merges: &[u8]) -> Result<Value> {
    let path = settings.path("vocab.json");
    let bad = |what: String| Error::BadTokenizer { path: path.clone(), what };
    let vocab: Map<String, Value> = serde_json::from_slice(vocab).map_err(|e| bad(e.to_string()))?;
    let merges = std::str::from_utf8(merges).map_err(|e| bad(format!("merges.txt: {e}")))?;
    let merges: Vec<&str> = merges.lines().filter(|l| !l.starts_with("#version") && !l.trim().is_empty()).collect();
    let prefix = settings.flag("add_prefix_space").unwrap_or(false);
    let (cls, sep) = (settings.token("cls_token", "<s>").0, settings.token("sep_token", "</s>").0);
    let id = |t: &str| vocab.get(t).and_then(Value::as_u64).unwrap_or_default() as u32;
    // Where the settings do not say, the mask takes the space before it: RoBERTa learned with it so,
    // and transformers did so up to version 4.
    let (mask, lstrip) = settings.token("mask_token", "<mask>");
    let names = [
        (cls.clone(), false),
        (settings.token("pad_token", "<pad>").0, false),
        (sep.clone(), false),
        (settings.token("unk_token", "<unk>").0, false),
        (mask, lstrip.unwrap_or(true)),
    ];
    let added = added_tokens(names.iter().map(|(n, l)| (n.as_str(), *l)), &id, &|t| vocab.contains_key(t));
    Ok(definition::tokenizer(
        added,
        Value::Null,
        definition::byte_level(prefix),
        definition::roberta_processing((&cls, id(&cls)), (&sep, id(&sep)), prefix),
        definition::byte_level(true),
        definition::bpe_model(Value::Object(vocab.clone()), json!(merges)),
    ))
}

/// Entries of `added_tokens` for the special tokens that are in the vocabulary, by id.
fn added_tokens<'a>(
    tokens: impl Iterator<Item = (&'a str, bool)>,
    id: &dyn Fn(&str) -> u32,
    known: &dyn Fn(&str) -> bool,
) -> Vec<Value> {
    let mut list: Vec<(u32, &str, bool)> = tokens.filter(|(t, _)| known(t)).map(|(t, l)| (id(t), t, l)).collect();
    list.sort_unstable();
    list.dedup();
    list.into_iter().map(|(id, t, l)| definition::added_token(id, t, l, true)).collect()
}

/// BERT's layout, or RoBERTa's where sequences begin with `<s>`, for a tokenizer that has none.
fn usual_layout(special: &SpecialTokens, name: &dyn Fn(u32) -> String, pair: bool) -> Vec<Slot> {
    let (cls, sep) = (special.cls, special.sep);
    match (pair, name(cls) == "<s>") {
        (false, _) => vec![Slot::Special(cls, 0), Slot::First(0), Slot::Special(sep, 0)],
        (true, false) => {
            vec![Slot::Special(cls, 0), Slot::First(0), Slot::Special(sep, 0), Slot::Second(1), Slot::Special(sep, 1)]
        }
        (true, true) => vec![
            Slot::Special(cls, 0),
            Slot::First(0),
            Slot::Special(sep, 0),
            Slot::Special(sep, 0),
            Slot::Second(0),
            Slot::Special(sep, 0),
        ],
    }
}

/// Number of ids; for each id whether it is special and whether it continues a word.
fn per_id(
    tokenizer: &tokenizers::Tokenizer,
    special: &SpecialTokens,
    definition: &Value,
) -> (usize, Vec<bool>, Vec<bool>) {
    let vocab = tokenizer.get_vocab(true);
    let vocab_size = vocab.values().max().map_or(0, |m| *m as usize + 1);
    let mut is_special = vec![false; vocab_size];
    let named = [Some(special.pad), special.unk, Some(special.cls), Some(special.sep), special.mask];
    let added = tokenizer.get_added_tokens_decoder();
    let marked = added.iter().filter(|(_, t)| t.special).map(|(id, _)| *id);
    for id in named.into_iter().flatten().chain(marked) {
        is_special[id as usize] = true;
    }
    let continues = continuation(definition);
    let mut continues_word = vec![false; vocab_size];
    for (token, id) in &vocab {
        continues_word[*id as usize] = !is_special[*id as usize] && continues(token);
    }
    (vocab_size, is_special, continues_word)
}

/// How a piece that continues a word is told from one that begins one.
fn continuation(definition: &Value) -> Box<dyn Fn(&str) -> bool> {
    let model = &definition["model"];
    let kind = model["type"].as_str().unwrap_or_default();
    let prefix = model["continuing_subword_prefix"].as_str().unwrap_or_default().to_owned();
    if !prefix.is_empty() {
        return Box::new(move |t| t.starts_with(&prefix));
    }
    let parts = [&definition["pre_tokenizer"], &definition["normalizer"], &definition["decoder"]];
    let uses = |name: &str| parts.iter().any(|p| p.to_string().contains(&format!("\"type\":\"{name}\"")));
    if uses("ByteLevel") {
        // Space, line feed, tab and carriage return in the byte alphabet.
        return Box::new(|t| !t.starts_with(['Ġ', 'Ċ', 'ĉ', 'č']));
    }
    if uses("Metaspace") || kind == "Unigram" {
        return Box::new(|t| !t.starts_with('▁'));
    }
    Box::new(|_| false)
}

fn max_length(config: &Map<String, Value>) -> Option<usize> {
    // Tools write 1e30 for "no limit".
    config.get("model_max_length")?.as_u64().filter(|n| (1..=1 << 24).contains(n)).map(|n| n as usize)
}

/// Adds the settings files and the `vocab.txt` that the folder did not have, so that a folder written
/// from these files opens in `transformers`.
fn complete_settings(files: &mut Files, special: &SpecialTokens, name: &dyn Fn(u32) -> String, definition: &Value) {
    let wordpiece = definition["model"]["type"] == "WordPiece";
    let mut tokens = Map::new();
    let mut put = |key: &str, id: Option<u32>| {
        if let Some(id) = id {
            tokens.insert(key.into(), json!(name(id)));
        }
    };
    put("unk_token", special.unk);
    put("sep_token", Some(special.sep));
    put("pad_token", Some(special.pad));
    put("cls_token", Some(special.cls));
    put("mask_token", special.mask);
    let pretty = |v: &Map<String, Value>| serde_json::to_vec_pretty(v).unwrap_or_default();
    files.entry("special_tokens_map.json".into()).or_insert_with(|| pretty(&tokens));
    files.entry("tokenizer_config.json".into()).or_insert_with(|| {
        let class = if wordpiece && definition["normalizer"]["type"] == "BertNormalizer" {
            "BertTokenizer"
        } else {
            "PreTrainedTokenizerFast"
        };
        let mut config = Map::new();
        config.insert("tokenizer_class".into(), json!(class));
        if class == "BertTokenizer" {
            config.insert("do_lower_case".into(), definition["normalizer"]["lowercase"].clone());
            config.insert("strip_accents".into(), definition["normalizer"]["strip_accents"].clone());
            config.insert("tokenize_chinese_chars".into(), definition["normalizer"]["handle_chinese_chars"].clone());
        }
        config.extend(tokens.clone());
        pretty(&config)
    });
    if wordpiece && !files.contains_key("vocab.txt") {
        files.insert("vocab.txt".into(), vocab_txt(definition));
    }
}

/// The vocabulary, a token a line in the order of ids; a hole gets an empty line.
fn vocab_txt(definition: &Value) -> Vec<u8> {
    let mut lines: Vec<&str> = Vec::new();
    for (token, id) in definition["model"]["vocab"].as_object().into_iter().flatten() {
        let id = id.as_u64().unwrap_or_default() as usize;
        if lines.len() <= id {
            lines.resize(id + 1, "");
        }
        lines[id] = token;
    }
    let mut text = lines.join("\n");
    text.push('\n');
    text.into_bytes()
}
