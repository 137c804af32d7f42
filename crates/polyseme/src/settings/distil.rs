//! Resolves the plan of a distillation: fine-tuning with a teacher.

use super::{Error, Plan, Result, resolve_finetune};
use crate::args::{DistilArgs, FinetuneArgs};
use polyseme_shrink::distil::Known;
use polyseme_train::FinetuneSettings;
use polyseme_train::distil::DistilSettings;
use std::path::Path;
use toml::Value;

/// The plan that the words come to. `look` tells what a teacher's folder holds; it is not asked of a run that goes on.
pub fn resolve_distil(
    args: &DistilArgs,
    seed: Option<u64>,
    look: impl FnOnce(&Path) -> anyhow::Result<Known>,
) -> anyhow::Result<Plan<FinetuneSettings>> {
    if args.finetune.resume {
        return Ok(resolve_finetune(&args.finetune, seed)?);
    }
    let Some(teacher) = args.finetune.model.as_deref() else {
        return Err(Error::Missing { what: "TEACHER", hint: "name the folder of a model that knows the task" }.into());
    };
    let known = look(teacher)?;
    let mut finetune = known.told(&args.finetune)?;
    finetune.model = Some(args.student.clone().unwrap_or_else(|| teacher.to_owned()));
    let keep_layers = match (&args.keep_layers, &args.student) {
        (Some(layers), _) => layers.clone(),
        (None, None) => known.every_other_layer(),
        (None, Some(_)) => Vec::new(),
    };
    taught_by(&mut finetune, &DistilSettings { teacher: Some(teacher.to_owned()), keep_layers, ..weights(args)? })?;
    Ok(resolve_finetune(&finetune, seed)?)
}

impl Told for Known {
    fn told(&self, given: &FinetuneArgs) -> Result<FinetuneArgs> {
        let mut finetune = given.clone();
        if finetune.task.is_none() {
            let hint = "this folder has no head of a task: fine-tune it first, or name the task";
            finetune.task = Some(self.task.ok_or(Error::Missing { what: "--task", hint })?.to_owned());
        }
        Ok(finetune)
    }
}

/// What a folder tells of how to go on with it.
pub(super) trait Told {
    /// The words of fine-tuning with the task that the folder has learned, if none was named.
    fn told(&self, given: &FinetuneArgs) -> Result<FinetuneArgs>;
}

/// Puts a teacher into the words of fine-tuning, behind which those of the user stand.
pub(super) fn taught_by(finetune: &mut FinetuneArgs, settings: &DistilSettings) -> Result<()> {
    put(finetune, "distil", settings)
}

/// Lets the whole model teach what is left of it, with the weights of a preset; nobody teaches where that is `none`.
pub(super) fn taught_by_preset(finetune: &mut FinetuneArgs, preset: &str, model: &Path) -> Result<()> {
    if preset == "none" {
        return Ok(());
    }
    let weights = DistilSettings::preset(preset).ok_or_else(|| Error::UnknownValue {
        what: "preset",
        found: preset.to_owned(),
        expected: "`hinton`, `distilbert`, `tinybert`, `minilm` or `none`".into(),
    })?;
    taught_by(finetune, &DistilSettings { teacher: Some(model.to_owned()), ..weights })
}

/// Puts settings under a key into the words of fine-tuning, behind which those of the user stand.
pub(super) fn put(finetune: &mut FinetuneArgs, under: &str, settings: &impl serde::Serialize) -> Result<()> {
    // A path that is no UTF-8 cannot stand in a settings file.
    let shape = |e: toml::ser::Error| Error::Shape { place: under.into(), what: e.to_string() };
    let Value::Table(table) = Value::try_from(settings).map_err(shape)? else { unreachable!("settings are a table") };
    let own = std::mem::take(&mut finetune.set);
    finetune.set = table.into_iter().map(|(key, value)| format!("{under}.{key}={value}")).chain(own).collect();
    Ok(())
}

/// The weights of the preset, with those that were given.
fn weights(args: &DistilArgs) -> Result<DistilSettings> {
    let mut settings = DistilSettings::preset(&args.preset).ok_or_else(|| Error::UnknownValue {
        what: "preset",
        found: args.preset.clone(),
        expected: DistilSettings::presets().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "),
    })?;
    for (given, to) in [
        (args.temperature, &mut settings.temperature),
        (args.soft, &mut settings.soft),
        (args.hard, &mut settings.hard),
        (args.hidden, &mut settings.hidden),
        (args.embeddings, &mut settings.embeddings),
        (args.cosine, &mut settings.cosine),
        (args.attention, &mut settings.attention),
        (args.relations, &mut settings.relations),
    ] {
        *to = given.unwrap_or(*to);
    }
    settings.relation_heads = args.relation_heads.unwrap_or(0);
    Ok(settings)
}
