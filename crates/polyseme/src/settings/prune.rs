//! Resolves the plan of a pruning: of one that cuts and lets learn again, and of one that zeroes single weights while
//! the model learns.

use super::distil::{Told, put, taught_by_preset};
use super::layers::typed;
use super::pretrain::stored;
use super::{Error, Plan, Result, resolve_finetune};
use crate::args::{FinetuneArgs, PruneArgs};
use polyseme_shrink::distil::Known;
use polyseme_shrink::prune::{By as Parts, PruneSettings};
use polyseme_train::FinetuneSettings;
use polyseme_train::sparse::{Across, By, SparseSettings};
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
    let mut finetune = taught(args, model, &known)?;
    if args.show && finetune.out.is_none() {
        // Nothing is written there.
        finetune.out = Some(model.join("run").join("importance"));
    }
    let settings = PruneSettings {
        keep_layers: args.keep_layers.clone().unwrap_or_default(),
        keep_heads: args.keep_heads.unwrap_or(1.0),
        keep_units: args.keep_units.unwrap_or(1.0),
        keep_width: args.keep_width.unwrap_or(0),
        by: one_of("--by", args.by.as_deref(), &[("taylor", Parts::Taylor), ("l0", Parts::L0)])?,
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

/// The words of fine-tuning with the whole model as teacher.
fn taught(args: &PruneArgs, model: &Path, known: &Known) -> Result<FinetuneArgs> {
    let mut finetune = known.told(&args.finetune)?;
    taught_by_preset(&mut finetune, &args.preset, model)?;
    Ok(finetune)
}

/// Whether single weights are to become zero: asked for, or by the settings of the run that goes on.
pub fn is_sparse(args: &PruneArgs) -> Result<bool> {
    match (&args.finetune.out, args.finetune.resume) {
        (Some(out), true) => Ok(stored(out)?.1.contains_key("sparse")),
        _ => Ok(args.sparsity.is_some()),
    }
}

/// The plan of zeroing single weights: fine-tuning, in which they become zero.
pub fn resolve_sparse(
    args: &PruneArgs,
    seed: Option<u64>,
    look: impl FnOnce(&Path) -> anyhow::Result<Known>,
) -> anyhow::Result<Plan<FinetuneSettings>> {
    if args.finetune.resume {
        return Ok(resolve_finetune(&args.finetune, seed)?);
    }
    let Some(model) = args.finetune.model.as_deref() else {
        return Err(Error::Missing { what: "MODEL", hint: "name the model folder whose weights become zero" }.into());
    };
    let known = look(model)?;
    let mut finetune = taught(args, model, &known)?;
    let usual = SparseSettings::default();
    let by = one_of("--by", args.by.as_deref(), &[("movement", By::Movement), ("magnitude", By::Magnitude)])?;
    let across = one_of("--across", args.across.as_deref(), &[("matrix", Across::Matrix), ("model", Across::Model)])?;
    let settings = SparseSettings {
        sparsity: args.sparsity.unwrap_or(0.0),
        by,
        across,
        warmup: args.sparsity_warmup.unwrap_or(usual.warmup),
        cooldown: args.sparsity_cooldown.unwrap_or(usual.cooldown),
        score_rate: args.score_rate.unwrap_or(usual.score_rate),
        ..usual
    };
    put(&mut finetune.set, "sparse", &settings)?;
    Ok(resolve_finetune(&finetune, seed)?)
}

/// The value of a name; the first one if none is given.
fn one_of<T: Copy>(what: &'static str, given: Option<&str>, known: &[(&str, T)]) -> Result<T> {
    let Some(given) = given else { return Ok(known[0].1) };
    known.iter().find(|(name, _)| *name == given).map(|(_, value)| *value).ok_or_else(|| Error::UnknownValue {
        what,
        found: given.to_owned(),
        expected: known.iter().map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(" or "),
    })
}
