//! Adapters: what learns in place of the encoder's weights.

use super::settings::FinetuneSettings;
use super::{Freeze, Result};
use crate::pretrain::settings::{positive, setting};
use polyseme_models::{Model, ParamGroup, adapters};
use polyseme_tensor::Stream;

/// Key of the settings, its value, what it stands for, and the multiple of the usual learning rate that it wants.
type Kind = (&'static str, usize, &'static str, f64);

/// The kinds of adapters. Low-rank changes want about ten times the rate of whole matrices (Biderman et al. 2024;
/// Schulman et al. 2025), bottlenecks five times (1e-4 to 3e-4 where 2e-5 to 5e-5 is usual: Houlsby et al. 2019;
/// Pfeiffer et al. 2021), virtual tokens ten times, too: at a hundred times (Liu et al. 2022, for keys and values
/// themselves) heads of small models were stuck.
fn kinds(settings: &FinetuneSettings) -> [Kind; 3] {
    [
        ("lora.rank", settings.lora.rank, "low-rank changes", 10.0),
        ("adapter_size", settings.adapter_size, "bottlenecks", 5.0),
        ("prefix_length", settings.prefix_length, "virtual tokens", 10.0),
    ]
}

/// What is learned for and how many times the usual rate: of an adapter, or `None`.
pub(super) fn rate(settings: &FinetuneSettings) -> Option<(&'static str, f64)> {
    kinds(settings).into_iter().find(|kind| kind.1 > 0).map(|(_, _, name, rate)| (name, rate))
}

/// Errors on two kinds at once, and on what cannot be beside an adapter.
pub(super) fn check(settings: &FinetuneSettings) -> Result<()> {
    positive("lora.alpha", settings.lora.alpha)?;
    let mut given = kinds(settings).into_iter().filter(|kind| kind.1 > 0);
    let Some((key, ..)) = given.next() else { return Ok(()) };
    if let Some((other, found, ..)) = given.next() {
        return Err(setting(other, found, format!("0 beside `{key}`: a model learns one kind of adapter at a time")));
    }
    if settings.freeze != Freeze::Nothing {
        return Err(setting("freeze", "given", format!("nothing: with `{key}` the weights stay as they are")));
    }
    if settings.from_scratch {
        return Err(setting("from_scratch", true, format!("false: with `{key}` a model that has learned changes")));
    }
    Ok(())
}

/// Errors where the folder to begin with holds an adapter itself.
pub(super) fn check_folder(settings: &FinetuneSettings) -> Result<()> {
    if adapters::is_adapter(&settings.model) {
        let found = settings.model.display();
        let expected = "a whole model: `polyseme merge` makes one of low-rank changes and their base; other adapters \
                        stay beside theirs";
        return Err(setting("model", found, expected));
    }
    Ok(())
}

/// Longest input of a model with the adapter that is asked for.
///
/// # Errors
/// A prefix that the model cannot have.
pub(super) fn longest(settings: &FinetuneSettings, model: &Model) -> Result<usize> {
    if settings.prefix_length > 0 {
        model.check_prefix(settings.prefix_length)?;
    }
    Ok(settings.max_length.min(model.max_length() - settings.prefix_length))
}

/// Adds the adapter that is asked for, and trains it and the head alone; `false` if none is.
pub(super) fn add(settings: &FinetuneSettings, model: &mut Model, stream: Stream) -> Result<bool> {
    if settings.lora.rank > 0 {
        model.add_lora(&settings.lora, stream)?;
    } else if settings.adapter_size > 0 {
        model.add_bottlenecks(settings.adapter_size, stream)?;
    } else if settings.prefix_length > 0 {
        model.add_prefix(settings.prefix_length, stream)?;
    } else {
        return Ok(false);
    }
    model.set_trainable(&|p| p.group == ParamGroup::Head || p.is_adapter());
    Ok(true)
}
