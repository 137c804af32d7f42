//! Resolves the plan of sharing weights with learning again.

use super::distil::{Told, taught_by_preset};
use super::layers::typed;
use super::pretrain::stored;
use super::{Error, Plan, resolve_finetune};
use crate::args::ShareArgs;
use polyseme_shrink::distil::Known;
use polyseme_shrink::share::ShareSettings;
use std::path::Path;

/// The plan that the words come to. With `--resume` it is the run's own. `look` tells what a folder holds.
pub fn resolve_share(
    args: &ShareArgs,
    seed: Option<u64>,
    look: impl FnOnce(&Path) -> anyhow::Result<Known>,
) -> anyhow::Result<Plan<ShareSettings>> {
    if args.finetune.resume {
        let hint = "name the folder of the run";
        let out = args.finetune.out.as_deref().ok_or(Error::Missing { what: "--out", hint })?;
        let (path, table) = stored(out)?;
        let mut settings: ShareSettings = typed(&path.display().to_string(), &table)?;
        settings.finetune.out = out.into();
        return Ok(Plan { settings, resume: true });
    }
    let Some(model) = args.finetune.model.as_deref() else {
        return Err(Error::Missing { what: "MODEL", hint: "name the model folder to begin with" }.into());
    };
    let mut finetune = look(model)?.told(&args.finetune)?;
    taught_by_preset(&mut finetune, &args.preset, model)?;
    let settings = ShareSettings {
        groups: args.groups.unwrap_or(1),
        embedding_size: args.embedding_size.unwrap_or(0),
        layers: args.layers.clone(),
        finetune: resolve_finetune(&finetune, seed)?.settings,
    };
    Ok(Plan { settings, resume: false })
}
