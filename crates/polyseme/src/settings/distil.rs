//! Resolves the plan of a distillation: fine-tuning with a teacher.

use super::{Error, Plan, Result, resolve_finetune, resolve_pretrain};
use crate::args::{DistilArgs, FinetuneArgs, PretrainArgs};
use polyseme_shrink::distil::Known;
use polyseme_train::distil::DistilSettings;
use polyseme_train::{FinetuneSettings, PretrainSettings};
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
    if args.steps.is_some() || args.budget.is_some() {
        let hint = "--steps and --budget are for texts without labels; with --train, say how many --epochs";
        return Err(Error::Missing { what: "--corpus", hint }.into());
    }
    let Some(teacher) = args.finetune.model.as_deref() else {
        return Err(Error::Missing { what: "TEACHER", hint: "name the folder of a model that knows the task" }.into());
    };
    let known = look(teacher)?;
    let mut finetune = known.told(&args.finetune)?;
    finetune.model = Some(args.student.clone().unwrap_or_else(|| teacher.to_owned()));
    taught_by(&mut finetune.set, &asked(args, teacher, &known)?)?;
    Ok(resolve_finetune(&finetune, seed)?)
}

/// The plan of a distillation on texts without labels: pre-training with a teacher.
pub fn resolve_general_distil(
    args: &DistilArgs,
    seed: Option<u64>,
    look: impl FnOnce(&Path) -> anyhow::Result<Known>,
) -> anyhow::Result<Plan<PretrainSettings>> {
    let given = &args.finetune;
    let mut pretrain = PretrainArgs {
        corpus: args.corpus.clone(),
        out: given.out.clone(),
        text: given.text.clone(),
        budget: args.budget.clone(),
        steps: args.steps,
        epochs: given.epochs.map(|n| n as f64),
        seq_len: given.max_length,
        learning_rate: given.learning_rate,
        bf16: given.bf16,
        set: given.set.clone(),
        resume: given.resume,
        dry_run: given.dry_run,
        ..PretrainArgs::default()
    };
    if given.resume {
        return Ok(resolve_pretrain(&pretrain, seed)?);
    }
    let hint = "name the folder of a pre-trained model";
    let Some(teacher) = given.model.as_deref() else { return Err(Error::Missing { what: "TEACHER", hint }.into()) };
    let known = look(teacher)?;
    let mut settings = asked(args, teacher, &known)?;
    if !known.speaks {
        settings.soft = args.soft.unwrap_or(0.0);
        settings.hard = args.hard.unwrap_or(0.0);
        if settings.soft + settings.hard == 0.0 && !settings.looks_inside() {
            return Err(Error::Contradiction {
                first: format!("--preset {}", args.preset),
                second: teacher.display().to_string(),
                why: "this teacher predicts no hidden tokens, and the preset looks at nothing else; tinybert, minilm and \
                      mobilebert look inside"
                    .into(),
            }
            .into());
        }
    }
    match &args.student {
        Some(student) if student.is_dir() => pretrain.from = Some(student.clone()),
        Some(recipe) => pretrain.recipe = Some(recipe.to_string_lossy().into_owned()),
        None => pretrain.from = Some(teacher.to_owned()),
    }
    if pretrain.from.is_some() {
        // What has learned already bears smaller steps only.
        pretrain.learning_rate = pretrain.learning_rate.or(Some(GENERAL_RATE));
    }
    if (pretrain.steps, &pretrain.budget, pretrain.epochs) == (None, &None, None) {
        pretrain.epochs = Some(1.0);
    }
    taught_by(&mut pretrain.set, &settings)?;
    Ok(resolve_pretrain(&pretrain, seed)?)
}

/// Peak rate of a student that is a part of a trained model, as DistilBERT has it.
const GENERAL_RATE: f64 = 5e-4;

/// What was asked of the student.
fn asked(args: &DistilArgs, teacher: &Path, known: &Known) -> Result<DistilSettings> {
    let narrow = args.preset == "mobilebert";
    let keep_layers = match (&args.keep_layers, &args.student) {
        (Some(layers), _) => layers.clone(),
        (None, None) if !narrow => known.every_other_layer(),
        (None, _) => Vec::new(),
    };
    let share = if narrow && args.student.is_none() { NARROW } else { 1.0 };
    let (keep_heads, keep_units) = (args.keep_heads.unwrap_or(share), args.keep_units.unwrap_or(share));
    let weights = weights(args)?;
    Ok(DistilSettings {
        teacher: Some(teacher.to_owned()),
        keep_layers,
        keep_heads,
        keep_units,
        unlabelled: args.unlabelled.clone(),
        augment: args.augment.unwrap_or(0),
        augment_share: args.augment_share.unwrap_or(weights.augment_share),
        augment_with: args.augment_with.clone(),
        ..weights
    })
}

/// Share of heads and units inside narrow layers: MobileBERT's are 128 wide between 512 (Sun et al. 2020).
const NARROW: f64 = 0.25;

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

/// Puts a teacher into the words that set something, behind which those of the user stand.
pub(super) fn taught_by(set: &mut Vec<String>, settings: &DistilSettings) -> Result<()> {
    put(set, "distil", settings)
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
    taught_by(&mut finetune.set, &DistilSettings { teacher: Some(model.to_owned()), ..weights })
}

/// Puts settings under a key into the words that set something, behind which those of the user stand.
pub(super) fn put(set: &mut Vec<String>, under: &str, settings: &impl serde::Serialize) -> Result<()> {
    // A path that is no UTF-8 cannot stand in a settings file.
    let shape = |e: toml::ser::Error| Error::Shape { place: under.into(), what: e.to_string() };
    let Value::Table(table) = Value::try_from(settings).map_err(shape)? else { unreachable!("settings are a table") };
    let own = std::mem::take(set);
    *set = table.into_iter().map(|(key, value)| format!("{under}.{key}={value}")).chain(own).collect();
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
