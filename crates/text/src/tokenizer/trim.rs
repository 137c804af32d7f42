//! A tokenizer without the pieces that nobody uses, exact on what is kept: a text whose pieces all stay is cut into
//! the same pieces as before.
//!
//! Why it is exact. *WordPiece* takes the longest piece that fits: it stays, and no other piece became longer.
//! *Merges* are tried best first: those that made a piece that stays all stay, in their order, and none is new. *Unigram*
//! takes the best path: its pieces stay with their scores, and no other path became better, as long as the lowest score
//! of all stays, by which unknown characters are counted.

use super::Tokenizer;
use crate::{Error, Result};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// What stays of a vocabulary. Special and added tokens stay anyhow, bytes too, and what pieces that stay are made of.
pub struct Keep<'a> {
    /// Whether a piece is wanted.
    pub wanted: &'a dyn Fn(u32) -> bool,
    /// Whether all pieces of a single character stay, not only those of characters in pieces that stay.
    pub characters: bool,
    /// Ids below this one stay.
    pub first: u32,
}

/// A smaller tokenizer.
#[derive(Clone, Debug)]
pub struct Trimmed {
    /// It.
    pub tokenizer: Tokenizer,
    /// For each of its ids the one that the piece had, ascending.
    pub kept: Vec<u32>,
}

impl Tokenizer {
    /// A tokenizer of the pieces that stay, numbered anew in their order. `folder` is named in errors.
    ///
    /// # Errors
    /// A definition with a part that is not known, whose ids would stay behind.
    pub fn trim(&self, folder: &Path, keep: &Keep<'_>) -> Result<Trimmed> {
        let path = folder.join("tokenizer.json");
        let bad = |what: String| Error::BadTokenizer { path: path.clone(), what };
        let mut definition: Value =
            serde_json::from_slice(&self.inner.files["tokenizer.json"]).map_err(|e| bad(e.to_string()))?;
        let vocabulary = Vocabulary::of(&definition);
        let mut kept: BTreeSet<u32> = vocabulary.ids().filter(|&id| id < keep.first || (keep.wanted)(id)).collect();
        kept.extend(vocabulary.added.iter());
        kept.extend((0..self.vocab_size() as u32).filter(|&id| self.is_special(id)));
        for_each_id(&mut definition, &mut |id| {
            kept.insert(*id);
        })
        .map_err(|found| Error::UnsupportedTokenizer {
            path: path.clone(),
            key: "post_processor.type",
            found,
        })?;
        vocabulary.add_needed(&definition, keep.characters, &mut kept);
        let kept: Vec<u32> = kept.into_iter().filter(|&id| self.token(id).is_some()).collect();

        let numbers: BTreeMap<u32, u32> = kept.iter().zip(0..).map(|(&old, new)| (old, new)).collect();
        renumber(&mut definition, &numbers);
        let tokenizer = Self::from_files(folder, self.trimmed_files(&definition, &numbers, &bad)?)?;
        match (0..).zip(&kept).find(|&(new, &old)| tokenizer.token(new) != self.token(old)) {
            None => Ok(Trimmed { tokenizer, kept }),
            Some((new, &old)) => {
                let token = self.token(old).unwrap_or_default();
                Err(bad(format!("`{token}` cannot get the id {new}: added tokens stand between others")))
            }
        }
    }

    /// The files of the folder with other ids. What holds the vocabulary in a form of its own is left out:
    /// `tokenizer.json` says the same.
    fn trimmed_files(
        &self,
        definition: &Value,
        numbers: &BTreeMap<u32, u32>,
        bad: &dyn Fn(String) -> Error,
    ) -> Result<BTreeMap<String, Vec<u8>>> {
        let pretty = |value: &Value| serde_json::to_vec_pretty(value).map_err(|e| bad(e.to_string()));
        let mut files = BTreeMap::new();
        for (name, bytes) in &self.inner.files {
            let new = match name.as_str() {
                "tokenizer.json" => pretty(definition)?,
                "vocab.json" => pretty(&definition["model"]["vocab"])?,
                "merges.txt" => {
                    let merges = definition["model"]["merges"].as_array().into_iter().flatten();
                    let lines = merges.filter_map(pair).map(|[a, b]| format!("{a} {b}\n"));
                    ["#version: 0.2\n".to_owned()].into_iter().chain(lines).collect::<String>().into_bytes()
                }
                "added_tokens.json" => {
                    let mut tokens: Map<String, Value> =
                        serde_json::from_slice(bytes).map_err(|e| bad(e.to_string()))?;
                    tokens.retain(|_, id| renumbered(id, numbers));
                    pretty(&Value::Object(tokens))?
                }
                "tokenizer_config.json" => {
                    let mut config: Value = serde_json::from_slice(bytes).map_err(|e| bad(e.to_string()))?;
                    if let Some(decoder) = config.get_mut("added_tokens_decoder").and_then(Value::as_object_mut) {
                        let old = std::mem::take(decoder);
                        decoder.extend(
                            old.into_iter()
                                .filter_map(|(id, token)| Some((numbers.get(&id.parse().ok()?)?.to_string(), token))),
                        );
                    }
                    pretty(&config)?
                }
                "special_tokens_map.json" => bytes.clone(),
                // Made anew from the definition, or a binary form of it.
                _ => continue,
            };
            files.insert(name.clone(), new);
        }
        Ok(files)
    }
}

/// The pieces of a definition.
struct Vocabulary {
    pieces: BTreeMap<String, u32>,
    added: BTreeSet<u32>,
}

impl Vocabulary {
    fn of(definition: &Value) -> Self {
        let id = |value: &Value| value.as_u64().map(|id| id as u32);
        let pieces = match &definition["model"]["vocab"] {
            Value::Object(vocab) => vocab.iter().filter_map(|(piece, v)| Some((piece.clone(), id(v)?))).collect(),
            // Pieces with their scores, numbered as they stand.
            Value::Array(list) => {
                (0..).zip(list).filter_map(|(i, entry)| Some((entry[0].as_str()?.to_owned(), i))).collect()
            }
            _ => BTreeMap::new(),
        };
        let added = definition["added_tokens"].as_array().into_iter().flatten();
        Self { pieces, added: added.filter_map(|token| id(&token["id"])).collect() }
    }

    fn ids(&self) -> impl Iterator<Item = u32> {
        self.pieces.values().copied()
    }

    /// Adds what is needed beside the pieces that stay.
    fn add_needed(&self, definition: &Value, characters: bool, kept: &mut BTreeSet<u32>) {
        let model = &definition["model"];
        let string = |key: &str| model[key].as_str().unwrap_or_default();
        kept.extend(self.pieces.get(string("unk_token")));
        if model["byte_fallback"] == true {
            let is_byte = |piece: &str| piece.len() == 6 && piece.starts_with("<0x") && piece.ends_with('>');
            kept.extend(self.pieces.iter().filter(|(piece, _)| is_byte(piece)).map(|(_, id)| id));
        }
        if let Some(list) = model["vocab"].as_array() {
            let scores = (0..).zip(list).filter_map(|(id, entry)| Some((entry[1].as_f64()?, id)));
            kept.extend(scores.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, id)| id));
        }
        let (prefix, suffix) = (string("continuing_subword_prefix"), string("end_of_word_suffix"));
        let inner = |piece: &str| {
            let piece = piece.strip_prefix(prefix).filter(|rest| !rest.is_empty()).unwrap_or(piece);
            piece.strip_suffix(suffix).filter(|rest| !rest.is_empty()).unwrap_or(piece).to_owned()
        };
        let byte_level = definition["pre_tokenizer"].to_string().contains("\"type\":\"ByteLevel\"");
        let made_of: BTreeSet<char> = self
            .pieces
            .iter()
            .filter(|(_, id)| characters || byte_level || kept.contains(id) && !self.added.contains(id))
            .flat_map(|(piece, _)| inner(piece).chars().collect::<Vec<_>>())
            .collect();
        let single = |piece: &str| {
            let mut all = piece.chars();
            all.next().is_some_and(|c| made_of.contains(&c)) && all.next().is_none()
        };
        kept.extend(self.pieces.iter().filter(|(piece, _)| single(&inner(piece))).map(|(_, id)| id));
        self.add_parts(&model["merges"], prefix, kept);
    }

    /// Adds the parts that pieces that stay are merged from, and theirs.
    fn add_parts(&self, merges: &Value, prefix: &str, kept: &mut BTreeSet<u32>) {
        let mut parts: BTreeMap<u32, Vec<[u32; 2]>> = BTreeMap::new();
        for [a, b] in merges.as_array().into_iter().flatten().filter_map(pair) {
            let whole = merged(a, b, prefix);
            if let (Some(&a), Some(&b), Some(&whole)) =
                (self.pieces.get(a), self.pieces.get(b), self.pieces.get(&whole))
            {
                parts.entry(whole).or_default().push([a, b]);
            }
        }
        let mut open: Vec<u32> = kept.iter().copied().collect();
        while let Some(id) = open.pop() {
            for part in parts.get(&id).into_iter().flatten().flatten() {
                if kept.insert(*part) {
                    open.push(*part);
                }
            }
        }
    }
}

/// Both sides of a merge, in the old form of one string or the new one of two.
fn pair(merge: &Value) -> Option<[&str; 2]> {
    match merge {
        Value::String(both) => both.split_once(' ').map(|(a, b)| [a, b]),
        _ => Some([merge[0].as_str()?, merge[1].as_str()?]),
    }
}

/// What two pieces are merged to.
fn merged(a: &str, b: &str, prefix: &str) -> String {
    format!("{a}{}", b.strip_prefix(prefix).unwrap_or(b))
}

/// Changes an id to its new one; `false` where the piece does not stay.
fn renumbered(id: &mut Value, numbers: &BTreeMap<u32, u32>) -> bool {
    let new = id.as_u64().and_then(|old| numbers.get(&(old as u32)));
    if let Some(new) = new {
        *id = json!(new);
    }
    new.is_some()
}

/// Gives a definition the new ids, without the pieces and merges that do not stay.
fn renumber(definition: &mut Value, numbers: &BTreeMap<u32, u32>) {
    let number = |old: &mut u32| *old = numbers[old];
    for_each_id(definition, &mut { number }).expect("looked at before");
    if let Some(added) = definition["added_tokens"].as_array_mut() {
        added.iter_mut().for_each(|token| _ = renumbered(&mut token["id"], numbers));
    }
    let model = &mut definition["model"];
    match &mut model["vocab"] {
        Value::Object(vocab) => {
            let mut old: Vec<(String, Value)> = std::mem::take(vocab).into_iter().collect();
            old.retain_mut(|(_, id)| renumbered(id, numbers));
            old.sort_by_key(|(_, id)| id.as_u64());
            vocab.extend(old);
        }
        Value::Array(list) => {
            let mut ids = 0..;
            list.retain(|_| ids.next().is_some_and(|id| numbers.contains_key(&id)));
        }
        _ => {}
    }
    if !model["unk_id"].is_null() {
        renumbered(&mut model["unk_id"], numbers);
    }
    let prefix = model["continuing_subword_prefix"].as_str().unwrap_or_default().to_owned();
    if let Some(vocab) = model["vocab"].as_object().cloned()
        && let Some(merges) = model["merges"].as_array_mut()
    {
        let stays = |[a, b]: [&str; 2]| [a, b, &merged(a, b, &prefix)].iter().all(|piece| vocab.contains_key(*piece));
        merges.retain(|merge| pair(merge).is_some_and(stays));
    }
}

/// Calls `f` with the ids that a definition names outside its vocabulary, but for added tokens; they are changed as it
/// changes them. Gives the name of a post-processor that is not known.
fn for_each_id(definition: &mut Value, f: &mut dyn FnMut(&mut u32)) -> std::result::Result<(), String> {
    let mut at = |id: &mut Value| {
        if let Some(old) = id.as_u64() {
            let mut number = old as u32;
            f(&mut number);
            *id = json!(number);
        }
    };
    if let Some(id) = definition.get_mut("padding").and_then(|padding| padding.get_mut("pad_id")) {
        at(id);
    }
    match definition.get_mut("post_processor") {
        Some(processor) => of_processor(processor, &mut at),
        None => Ok(()),
    }
}

fn of_processor(processor: &mut Value, at: &mut dyn FnMut(&mut Value)) -> std::result::Result<(), String> {
    if processor.is_null() {
        return Ok(());
    }
    match processor["type"].as_str().unwrap_or_default() {
        "ByteLevel" => {}
        "BertProcessing" | "RobertaProcessing" => ["sep", "cls"].iter().for_each(|key| at(&mut processor[*key][1])),
        "TemplateProcessing" => {
            let tokens = processor["special_tokens"].as_object_mut().into_iter().flat_map(Map::values_mut);
            let ids = tokens.filter_map(|token| token["ids"].as_array_mut());
            ids.flatten().for_each(at);
        }
        "Sequence" => {
            for inner in processor["processors"].as_array_mut().into_iter().flatten() {
                of_processor(inner, at)?;
            }
        }
        other => return Err(other.to_owned()),
    }
    Ok(())
}
