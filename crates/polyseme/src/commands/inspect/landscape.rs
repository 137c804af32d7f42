//! `polyseme inspect landscape`: losses between weights.

use super::Outs;
use crate::args::LandscapeArgs;
use crate::commands::{Context, Interrupted};
use crate::render::table::table;
use crate::report::inspect as pages;
use polyseme_inspect::landscape::{Landscape, LandscapeOptions, landscape};
use polyseme_train::{Columns, EvaluateSettings};

/// Computes losses along lines and over the plane.
pub fn run(args: &LandscapeArgs, context: &Context) -> anyhow::Result<()> {
    let outs = Outs::new(&args.out)?;
    let columns =
        Columns { text: args.text.clone(), pair: args.pair.clone(), label: args.label.clone(), ..Columns::default() };
    let options = LandscapeOptions {
        pretrained: args.pretrained.clone(),
        finetuned: args.finetuned.clone(),
        scratch: args.scratch.clone(),
        data: args.data.clone(),
        reading: EvaluateSettings { columns, max_length: args.max_length, ..EvaluateSettings::default() },
        points: args.points as usize,
        grid: args.grid as usize,
        seed: context.seed.unwrap_or(0),
    };
    let mut progress = context.progress();
    progress.begin("landscape");
    let found = landscape(&options, &context.device, &mut |done, total| progress.update(done, total), &context.stop)?;
    progress.finish();
    let Some(found) = found else { return Err(Interrupted.into()) };
    let title = args.finetuned.display().to_string();
    let page = || pages::landscape(&found, &title, &context.made());
    outs.write(context, &found, page, || pages::landscape_picture(&found))?;
    context.result(&found, &shown(&found))
}

fn shown(found: &Landscape) -> String {
    let scratch = |i: usize| found.scratch_line.as_ref().map(|line| format!("{:.4}", line[i].loss));
    let row = |(i, place): (usize, &polyseme_inspect::landscape::Place)| {
        let mut row = vec![format!("{:.3}", place.at), format!("{:.4}", place.loss)];
        row.extend(scratch(i));
        row
    };
    let rows: Vec<Vec<String>> = found.line.iter().enumerate().map(row).collect();
    let head: &[&str] = if found.scratch_line.is_some() { &["at", "loss", "from scratch"] } else { &["at", "loss"] };
    table(head, &rows)
}
