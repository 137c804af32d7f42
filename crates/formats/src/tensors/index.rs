//! The index of a model in shards: `*.safetensors.index.json`, `pytorch_model.bin.index.json`.

use super::error::TensorsError;
use super::write::wrong;
use crate::Result;
use crate::config::read_json;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Which shard holds which tensor.
pub(super) struct Index {
    /// Shards by file name, sorted, with their paths.
    pub shards: BTreeMap<String, PathBuf>,
    /// Tensor name to shard name.
    pub weights: BTreeMap<String, String>,
}

/// Reads an index and checks that all shards are there.
pub(super) fn read(path: &Path) -> Result<Index> {
    let json = read_json(path)?;
    let bad = |message: &str| wrong(path, TensorsError::Index { message: message.into() });
    let map = json.get("weight_map").ok_or_else(|| bad("there is no `weight_map`"))?;
    let map = map.as_object().ok_or_else(|| bad("`weight_map` should be an object"))?;
    if map.is_empty() {
        return Err(bad("`weight_map` is empty"));
    }
    let folder = crate::atomic::parent(path);
    let mut index = Index { shards: BTreeMap::new(), weights: BTreeMap::new() };
    for (name, shard) in map {
        let Value::String(shard) = shard else {
            return Err(bad(&format!("the shard of `{name}` should be a string")));
        };
        // A name with folders in it could read any file of the user.
        if Path::new(shard).file_name() != Some(shard.as_ref()) {
            return Err(wrong(path, TensorsError::ShardPath { shard: shard.clone() }));
        }
        index.shards.entry(shard.clone()).or_insert_with(|| folder.join(shard));
        index.weights.insert(name.clone(), shard.clone());
    }
    let missing: Vec<String> = index.shards.iter().filter(|(_, p)| !p.exists()).map(|(n, _)| n.clone()).collect();
    match missing.is_empty() {
        true => Ok(index),
        false => Err(wrong(path, TensorsError::MissingShard { missing, of: index.shards.len() })),
    }
}
