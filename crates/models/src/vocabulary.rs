//! What is left of a model when pieces are cut out of its vocabulary.

use crate::model::Model;
use crate::{Error, Result};
use polyseme_formats::ConfigJson;
use serde_json::{Map, Value};

/// Keys of `config.json` that name pieces by their ids.
const IDS: [&str; 6] =
    ["bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id", "mask_token_id", "unk_token_id"];

impl Model {
    /// Ids that keep their numbers where others are cut: RoBERTa counts positions from the padding id on.
    pub fn fixed_ids(&self) -> u32 {
        self.config.position_offset as u32
    }

    /// A model that knows the pieces with these ids only, numbered in their order: embeddings, and where there is a head
    /// over the vocabulary its rows. What it says of texts made of them is what the whole model says.
    ///
    /// # Errors
    /// Ids that are not ascending, not there, or without that of padding; an adapter beside the weights.
    pub fn with_vocabulary(&self, kept: &[u32]) -> Result<Self> {
        self.check_whole()?;
        let rows = self.config.vocab_size;
        let ascending = kept.windows(2).all(|pair| pair[0] < pair[1]);
        if !ascending || kept.last().is_none_or(|&last| last as usize >= rows) {
            let expected = format!("at least one of the numbers 0 to {}, ascending", rows - 1);
            return Err(Error::setting("what stays of the vocabulary", format!("{} ids", kept.len()), expected));
        }
        let place = |id: u32| kept.binary_search(&id).ok();
        let fixed = self.fixed_ids();
        if place(self.config.pad_token_id).is_none() || (0..fixed).any(|id| place(id) != Some(id as usize)) {
            let expected = format!("with the padding id, {}, and all ids below {fixed}", self.config.pad_token_id);
            return Err(Error::setting("what stays of the vocabulary", format!("{} ids", kept.len()), expected));
        }

        let mut config = self.config.clone();
        config.vocab_size = kept.len();
        config.pad_token_id = place(config.pad_token_id).expect("it stays") as u32;
        config.check()?;
        let over = self.parts.over_vocabulary();
        let values = self.params.numbered().map(|(id, spec, values)| match over.contains(&id) {
            false => values,
            true => {
                let width = spec.info.elements() / rows;
                kept.iter().flat_map(|&id| &values[id as usize * width..][..width]).copied().collect()
            }
        });
        let json = self.json.as_ref().map(|json| {
            let new = |key: &&str| {
                let old = json.peek(key)?.as_u64()?;
                Some(((*key).to_owned(), place(old as u32).map_or(Value::Null, Value::from)))
            };
            let news: Map<String, Value> = IDS.iter().filter_map(new).collect();
            ConfigJson::from_map(&json.path, json.merged(news))
        });
        let values = values.collect();
        Ok(Self { json, ..self.rebuilt(config, values) })
    }
}
