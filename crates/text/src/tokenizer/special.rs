//! Finds the special tokens of a tokenizer in its settings files, else by their well-known names.

use super::SpecialTokens;
use crate::{Error, Result};
use serde_json::{Map, Value};
use std::path::Path;

/// Role, whether an encoder needs it, other keys that may name it, well-known names.
const ROLES: [(&str, bool, &[&str], &[&str]); 5] = [
    ("pad", true, &["pad_token"], &["[PAD]", "<pad>"]),
    ("unk", false, &["unk_token"], &["[UNK]", "<unk>"]),
    ("cls", true, &["cls_token", "bos_token"], &["[CLS]", "<s>"]),
    ("sep", true, &["sep_token", "eos_token"], &["[SEP]", "</s>"]),
    ("mask", false, &["mask_token"], &["[MASK]", "<mask>"]),
];

/// The text of a special token: a string, or an object with `content`.
pub(super) fn content(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| value.get("content")?.as_str())
}

/// Finds every role. `id` looks a token up in the vocabulary. An error names which one is missing and
/// where it was looked for.
pub(super) fn find(
    folder: &Path,
    special_tokens_map: &Map<String, Value>,
    tokenizer_config: &Map<String, Value>,
    id: &dyn Fn(&str) -> Option<u32>,
) -> Result<SpecialTokens> {
    let mut found = [None; 5];
    for (slot, (role, needed, keys, names)) in found.iter_mut().zip(ROLES) {
        let mut looked = Vec::new();
        let places = [("special_tokens_map.json", special_tokens_map), ("tokenizer_config.json", tokenizer_config)];
        for (key, (file, map)) in keys.iter().flat_map(|k| places.iter().map(move |p| (k, p))) {
            match map.get(*key).and_then(content) {
                Some(token) => {
                    *slot = slot.or_else(|| id(token));
                    looked.push(format!("{key} of {file} (`{token}`, not in the vocabulary)"));
                }
                None => looked.push(format!("{key} of {file} (not there)")),
            }
        }
        *slot = slot.or_else(|| names.iter().find_map(|n| id(n)));
        if slot.is_none() && needed {
            looked.push(format!("{} in the vocabulary", names.join(" and ")));
            return Err(Error::NoSpecialToken { folder: folder.to_owned(), role, looked: looked.join(", ") });
        }
    }
    let needed = |i: usize| found[i].unwrap_or_default();
    Ok(SpecialTokens { pad: needed(0), unk: found[1], cls: needed(2), sep: needed(3), mask: found[4] })
}
