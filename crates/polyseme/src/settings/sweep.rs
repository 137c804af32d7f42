//! Resolves the plan of a search.

use super::layers::{read, typed};
use super::pretrain::stored;
use super::{Error, Plan, Result, resolve_finetune};
use crate::args::{FinetuneArgs, SweepArgs};
use polyseme_train::SweepSettings;
use polyseme_train::sweep::space::Space;
use toml::Value;

/// The plan that the words come to. With `--resume` it is the search's own.
pub fn resolve_sweep(args: &SweepArgs, seed: Option<u64>) -> Result<Plan<SweepSettings>> {
    if args.finetune.resume {
        let hint = "name the folder of the search";
        let out = args.finetune.out.as_deref().ok_or(Error::Missing { what: "--out", hint })?;
        let (path, table) = stored(out)?;
        let mut settings: SweepSettings = typed(&path.display().to_string(), &table)?;
        settings.finetune.out = out.into();
        return Ok(Plan { settings, resume: true });
    }
    let file = args.space.as_deref().ok_or(Error::Missing { what: "--space", hint: "name the file with the space" })?;
    let mut table = read(file)?;
    let place = file.display().to_string();
    let shape = |what: &str| Error::Shape { place: place.clone(), what: what.into() };
    let space = table.remove("space").ok_or_else(|| shape("there is no table [space]"))?;
    if let Some(key) = table.keys().next() {
        return Err(shape(&format!("`{key}` stands beside [space], where nothing else may")));
    }
    let Value::Table(space) = space else { return Err(shape("`space` is no table")) };
    let space: Space = typed(&format!("{place}, [space]"), &space)?;
    let finetune = resolve_finetune(&FinetuneArgs { dry_run: false, ..args.finetune.clone() }, seed)?.settings;
    let (method, trials, keep_one_of) = (args.method.clone(), args.trials, args.keep_one_of);
    let settings = SweepSettings { method, trials, keep_one_of, space, finetune };
    settings.check()?;
    Ok(Plan { settings, resume: false })
}
