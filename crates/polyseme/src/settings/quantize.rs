//! Resolves the settings of writing a model in fewer bits.

use super::{Error, Result};
use crate::args::QuantizeArgs;
use polyseme_shrink::quantize::{QuantizeSettings, To};
use polyseme_train::Columns;

/// The settings that the words come to.
pub fn resolve_quantize(args: &QuantizeArgs, seed: Option<u64>) -> Result<QuantizeSettings> {
    let to = To::ALL.into_iter().find(|(name, _)| *name == args.to).map(|(_, to)| to);
    let to = to.ok_or_else(|| Error::UnknownValue {
        what: "kind",
        found: args.to.clone(),
        expected: To::ALL.map(|(name, _)| format!("`{name}`")).join(", "),
    })?;
    Ok(QuantizeSettings {
        model: args.model.clone(),
        out: args.out.clone(),
        to,
        data: args.data.clone(),
        columns: Columns {
            text: args.text.clone(),
            pair: args.pair.clone(),
            label: args.label.clone(),
            choices: args.choices.clone(),
        },
        calibrate: args.calibrate.clone(),
        keep: args.keep.clone(),
        cosine: args.cosine.unwrap_or(if to == To::Int4 { 0.95 } else { 0.99 }),
        group: args.group,
        timing: !args.no_timing,
        seed: seed.unwrap_or(0),
    })
}
