//! Resolves the plan of a pruning with learning again.

use super::distil::{Told, taught_by};
use super::layers::typed;
use super::pretrain::stored;
use super::{Error, Plan, resolve_finetune};
use crate::args::PruneArgs;
use polyseme_shrink::distil::Known;
use polyseme_shrink::prune::PruneSettings;
use polyseme_train::distil::DistilSettings;
use std::path::Path;

/// The plan that the words come to. With `--resume` it is the run's own. `look` tells what a folder holds.
pub fn resolve_prune(
    args: &PruneArgs,
    seed: Option<u64>,
    look: impl FnOnce(&Path) -> anyhow::Result<Known>,
) -> anyhow::Result<Plan<PruneSettings>> {
    if args.finetune.resume {
        let hint = "name the folder of the run";
        let out = args.finetune.out.as_deref().ok_or(Error::Missing { what: "--out", hint })?;
        let (path, table) = stored(out)?;
        let mut settings: PruneSettings = typed(&path.display().to_string(), &table)?;
        settings.finetune.out = out.into();
        return Ok(Plan { settings, resume: true });
    }
    let Some(model) = args.finetune.model.as_deref() else {
        return Err(Error::Missing { what: "MODEL", hint: "name the model folder to cut from" }.into());
    };
    let known = look(model)?;
    let mut finetune = known.told(&args.finetune)?;
    if args.preset != "none" {
        let weights = DistilSettings::preset(&args.preset).ok_or_else(|| Error::UnknownValue {
            what: "preset",
            found: args.preset.clone(),
            expected: "`hinton`, `distilbert`, `tinybert`, `minilm` or `none`".into(),
        })?;
        finetune.set = taught_by(&finetune.set, &DistilSettings { teacher: Some(model.to_owned()), ..weights })?;
    }
    if args.show && finetune.out.is_none() {
        // Nothing is written there.
        finetune.out = Some(model.join("run").join("importance"));
    }
    let settings = PruneSettings {
        keep_layers: args.keep_layers.clone().unwrap_or_default(),
        keep_heads: args.keep_heads.unwrap_or(1.0),
        keep_units: args.keep_units.unwrap_or(1.0),
        even: args.even,
        rounds: args.rounds.unwrap_or(1),
        importance_rows: args.importance_rows.unwrap_or(512),
        finetune: resolve_finetune(&finetune, seed)?.settings,
    };
    if !args.show {
        settings.check()?;
    }
    Ok(Plan { settings, resume: false })
}
