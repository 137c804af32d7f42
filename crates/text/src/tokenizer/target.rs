//! A source text with a target behind it, for encoders that generate one from the other.

use super::encode::{Slot, tokens};
use super::{Inner, Tokenizer};
use crate::{Error, Result};

/// A source and the beginning of a target, set as the two texts of a pair, without the end.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceTarget {
    /// The source between its special tokens, then the pieces of the target.
    pub ids: Vec<u32>,
    /// Segments of these.
    pub type_ids: Vec<u32>,
    /// How many ids are the source's.
    pub source: usize,
    /// Segment of the target.
    pub target_type: u32,
    /// Tokens that were cut off both.
    pub truncated: usize,
}

impl SourceTarget {
    /// The pieces of the target.
    pub fn target(&self) -> &[u32] {
        &self.ids[self.source..]
    }
}

impl Tokenizer {
    /// Encodes a source and a target. The target and its end have at most `max_target` tokens, and both texts
    /// together at most `max_len`: the source is cut the same, however short the target is. In the target
    /// special tokens are plain text.
    /// Error: a `max_len` without room for the source.
    pub fn encode_target(&self, source: &str, target: &str, max_len: usize, max_target: usize) -> Result<SourceTarget> {
        let Inner { tokenizer, pair, .. } = &*self.inner;
        let before = pair.iter().take_while(|slot| !matches!(slot, Slot::Second(_)));
        let specials = before.clone().filter(|slot| matches!(slot, Slot::Special(..))).count();
        if max_len <= specials + max_target || max_target == 0 {
            return Err(Error::LengthTooShort { max_len, least: specials + max_target.max(1) + 1 });
        }
        let source = tokens(tokenizer, source)?.ids;
        let kept = source.len().min(max_len - specials - max_target);
        let mut out = SourceTarget {
            ids: Vec::with_capacity(specials + kept + max_target),
            type_ids: Vec::new(),
            source: specials + kept,
            target_type: 0,
            truncated: source.len() - kept,
        };
        for slot in before {
            match slot {
                Slot::Special(id, type_id) => {
                    out.ids.push(*id);
                    out.type_ids.push(*type_id);
                }
                Slot::First(type_id) | Slot::Second(type_id) => {
                    out.ids.extend_from_slice(&source[..kept]);
                    out.type_ids.resize(out.ids.len(), *type_id);
                }
            }
        }
        let second = pair.iter().find_map(|slot| if let Slot::Second(type_id) = slot { Some(*type_id) } else { None });
        out.target_type = second.unwrap_or(0);
        let target = tokens(self.plain(), target)?.ids;
        let kept = target.len().min(max_target - 1);
        out.ids.extend_from_slice(&target[..kept]);
        out.type_ids.resize(out.ids.len(), out.target_type);
        out.truncated += target.len() - kept;
        Ok(out)
    }
}
