//! The fast way to the ids of a document: cut it where its tokens cannot depend on what is on the
//! other side, and remember the ids of the stretches already seen.
//!
//! Most of the time of a tokenizer goes into normalizing and splitting the same few thousand words
//! over and over. The plain way is `encode::ids`; a test compares both.

use super::encode;
use crate::Result;
use serde_json::Value;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::RwLock;
use xxhash_rust::xxh3::xxh3_64;

/// Where a text may be cut without changing its tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// BERT's normalizer and pre-tokenizer: at white space, which is dropped, and around Chinese
    /// characters if those are set apart. Only the four white spaces of ASCII text count: BERT
    /// removes some rarer ones as control characters, which joins the words beside them.
    Bert {
        /// Whether Chinese characters are set apart.
        chinese: bool,
    },
    /// GPT-2's expression: before white space that follows something else. No match of it goes over
    /// such a place, and none looks behind itself.
    ByteLevel,
}

impl Cut {
    /// How texts for this tokenizer may be cut; `None` where it cannot be told for sure.
    pub fn of(definition: &Value) -> Option<Self> {
        let (normalizer, pre_tokenizer) = (&definition["normalizer"], &definition["pre_tokenizer"]);
        let model = &definition["model"];
        // An added token may hold white space or take it from beside it; special ones are read as
        // plain text in documents.
        let added = definition["added_tokens"].as_array();
        if added.is_some_and(|a| a.iter().any(|t| t["special"] != true)) {
            return None;
        }
        if model["type"] == "WordPiece"
            && normalizer["type"] == "BertNormalizer"
            && pre_tokenizer["type"] == "BertPreTokenizer"
        {
            return Some(Self::Bert { chinese: normalizer["handle_chinese_chars"] == true });
        }
        let byte_level = pre_tokenizer["type"] == "ByteLevel"
            && pre_tokenizer["add_prefix_space"] == false
            && pre_tokenizer["use_regex"] != false;
        if model["type"] == "BPE" && model["dropout"].is_null() && normalizer.is_null() && byte_level {
            return Some(Self::ByteLevel);
        }
        None
    }

    /// Calls `f` with the byte ranges of the stretches of a text, in order.
    pub fn for_each(self, text: &str, f: Stretch<'_>) -> Result<()> {
        match self {
            Self::Bert { chinese } => bert(text, chinese, f),
            Self::ByteLevel => byte_level(text, f),
        }
    }
}

type Stretch<'a> = &'a mut dyn FnMut(Range<usize>) -> Result<()>;

fn bert(text: &str, chinese: bool, f: Stretch<'_>) -> Result<()> {
    let mut start = 0;
    for (at, c) in text.char_indices() {
        let space = matches!(c, ' ' | '\n' | '\t' | '\r');
        let alone = chinese && is_chinese(c);
        if !space && !alone {
            continue;
        }
        if start < at {
            f(start..at)?;
        }
        start = at + c.len_utf8();
        if alone {
            f(at..start)?;
        }
    }
    if start < text.len() { f(start..text.len()) } else { Ok(()) }
}

/// The blocks that BERT sets apart, as the `tokenizers` crate has them.
fn is_chinese(c: char) -> bool {
    matches!(u32::from(c),
        0x4E00..=0x9FFF | 0x3400..=0x4DBF | 0x20000..=0x2A6DF | 0x2A700..=0x2B73F | 0x2B740..=0x2B81F
        | 0x2B920..=0x2CEAF | 0xF900..=0xFAFF | 0x2F800..=0x2FA1F)
}

fn byte_level(text: &str, f: Stretch<'_>) -> Result<()> {
    let mut start = 0;
    let mut after_space = true;
    for (at, c) in text.char_indices() {
        let space = c.is_whitespace();
        if space && !after_space {
            f(start..at)?;
            start = at;
        }
        after_space = space;
    }
    if start < text.len() { f(start..text.len()) } else { Ok(()) }
}

type Shard = RwLock<HashMap<Box<str>, Box<[u32]>>>;

/// Ids of stretches already seen, shared between threads.
pub(super) struct Memory {
    cut: Cut,
    shards: Vec<Shard>,
    most_per_shard: usize,
}

const SHARDS: usize = 64;
/// About 30 MB when full; what comes later is encoded anew each time.
const MOST_PER_SHARD: usize = 4096;
const LONGEST: usize = 48;

impl Memory {
    pub fn new(cut: Cut) -> Self {
        Self { cut, shards: (0..SHARDS).map(|_| Shard::default()).collect(), most_per_shard: MOST_PER_SHARD }
    }

    /// Ids of a text without special tokens, the same as [`encode::ids`] gives.
    pub fn ids(&self, tokenizer: &tokenizers::Tokenizer, text: &str) -> Result<Vec<u32>> {
        let mut out = Vec::with_capacity(text.len() / 3);
        // Neighbours that will not be remembered are encoded together: a call costs more than a word.
        let mut unknown: Option<Range<usize>> = None;
        let encode = |range: Option<Range<usize>>, out: &mut Vec<u32>| match range {
            Some(range) => encode::ids(tokenizer, &text[range]).map(|ids| out.extend(ids)),
            None => Ok(()),
        };
        self.cut.for_each(text, &mut |range| {
            let stretch = &text[range.clone()];
            let shard = &self.shards[xxh3_64(stretch.as_bytes()) as usize % SHARDS];
            // A lock is poisoned only by a panic elsewhere; then the memory is not used any more.
            let (mut room, mut known) = (false, false);
            if stretch.len() <= LONGEST
                && let Ok(shard) = shard.read()
            {
                room = shard.len() < self.most_per_shard;
                if let Some(ids) = shard.get(stretch) {
                    known = true;
                    encode(unknown.take(), &mut out)?;
                    out.extend_from_slice(ids);
                }
            }
            if known {
                return Ok(());
            }
            if !room {
                unknown = Some(unknown.take().map_or(range.start, |u| u.start)..range.end);
                return Ok(());
            }
            encode(unknown.take(), &mut out)?;
            let ids = encode::ids(tokenizer, stretch)?;
            out.extend_from_slice(&ids);
            if let Ok(mut shard) = shard.write() {
                shard.insert(stretch.into(), ids.into());
            }
            Ok(())
        })?;
        encode(unknown.take(), &mut out)?;
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Tokenizer;
    use super::*;
    use std::path::Path;

    /// Letters, marks, spaces and controls that the tokenizers treat in different ways.
    const ALPHABET: [&str; 34] = [
        "a", "b", "The", "ing", " ", " ", "  ", "\n", "\r\n", "\t", "\u{85}", "\u{b}", "\u{a0}", "\u{3000}",
        "\u{200b}", "\u{ad}", "\u{fffd}", "é", "e\u{301}", "\u{301}", "ß", "İ", "天", "地", "\u{f900}", "か", "한",
        ".", "!?", "'s", "'", "12", "½", "😀",
    ];

    #[test]
    fn the_fast_way_gives_the_ids_of_the_plain_way() {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tokenizers");
        for name in ["bert-vocab", "bert-cased", "electra", "roberta-merges"] {
            let tokenizer = Tokenizer::open(&fixtures.join(name)).unwrap();
            assert!(tokenizer.inner.memory.is_some(), "{name} has no fast way");
            let full = Memory { most_per_shard: 2, ..Memory::new(tokenizer.inner.memory.as_ref().unwrap().cut) };
            let mut state = 1u64;
            let mut chance = |n: usize| {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                (state >> 33) as usize % n
            };
            for _ in 0..3000 {
                let text: String = (0..chance(30)).map(|_| ALPHABET[chance(ALPHABET.len())]).collect();
                let plain = encode::ids(tokenizer.plain(), &text).unwrap();
                assert_eq!(tokenizer.encode_document(&text).unwrap(), plain, "{name}: {text:?}");
                assert_eq!(full.ids(tokenizer.plain(), &text).unwrap(), plain, "{name}, full: {text:?}");
            }
        }
    }

    #[test]
    fn tokenizers_that_cannot_be_cut_for_sure_are_left_alone() {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tokenizers");
        for name in ["unigram", "roberta-json"] {
            assert!(Tokenizer::open(&fixtures.join(name)).unwrap().inner.memory.is_none(), "{name}");
        }
    }
}
