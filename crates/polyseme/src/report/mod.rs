//! Reports: one HTML file each, without network, readable by eye, keyboard and ear.
//!
//! Everything a page shows comes from what the run wrote down; drawings are SVG made here, colours
//! and type are in `style.css`. Texts of the user are escaped where they enter the page.

mod analysis;
mod chart;
mod classes;
mod dots;
mod evaluation;
mod finetune;
mod folds;
mod html;
pub mod inspect;
mod measured;
pub mod picture;
mod pretrain;
mod recipe;
mod scale;
mod scatter;
mod sweep;
#[cfg(test)]
mod tests;
mod tour;
mod zeros;

pub use dots::median;
pub use evaluation::page as evaluation;
pub use finetune::page as finetune;
pub use pretrain::page as pretrain;
pub use recipe::page as recipe;
pub use recipe::{TITLES as RECIPE_TITLES, marks as recipe_marks, row as recipe_row, verdict as recipe_verdict};
pub use scale::bytes;
pub use sweep::page as sweep;
pub use tour::page as tour;
pub use zeros::sentence as sparse_sentence;

use html::{Cell, Page, details, pre, table};
use polyseme_formats::run::StepRow;
use polyseme_shrink::recipe::{RecipeOutcome, RecipeSettings};
use polyseme_train::analysis::{Analysis, FILE};
use polyseme_train::{
    FinetuneOutcome, FinetuneSettings, PretrainOutcome, PretrainSettings, SweepOutcome, SweepSettings,
};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// How a run was made, for the last section of its report.
#[derive(Clone, Debug, Default)]
pub struct Made {
    /// The command as it was typed.
    pub command: String,
    /// Threads used.
    pub threads: usize,
    /// Device used.
    pub device: String,
}

/// Writes `<out>/run/report.html` of a pre-training from what its run folder holds.
pub fn write_pretrain(
    settings: &PretrainSettings,
    outcome: &PretrainOutcome,
    made: &Made,
) -> polyseme_formats::Result<PathBuf> {
    let run = settings.out.join("run");
    let rows = read_rows(&run.join("metrics.jsonl"));
    write(&run.join("report.html"), &pretrain(&rows, settings, outcome, made))
}

/// Writes `<out>/run/report.html` of a fine-tuning from what its run folder holds.
pub fn write_finetune(
    settings: &FinetuneSettings,
    outcome: &FinetuneOutcome,
    made: &Made,
) -> polyseme_formats::Result<PathBuf> {
    let run = settings.out.join("run");
    let rows = read_rows(&run.join("metrics.jsonl"));
    let analysis = Analysis::read(&run.join(FILE));
    write(&run.join("report.html"), &finetune(&rows, settings, outcome, analysis.as_ref(), made))
}

/// Writes `<out>/run/report.html` of a search.
pub fn write_sweep(settings: &SweepSettings, outcome: &SweepOutcome, made: &Made) -> polyseme_formats::Result<PathBuf> {
    write(&settings.finetune.out.join("run").join("report.html"), &sweep(settings, outcome, made))
}

/// Writes `<out>/run/report.html` of a recipe.
pub fn write_recipe(
    settings: &RecipeSettings,
    outcome: &RecipeOutcome,
    made: &Made,
) -> polyseme_formats::Result<PathBuf> {
    write(&settings.out.join("run").join("report.html"), &recipe(settings, outcome, made))
}

/// Writes a page whole or not at all.
pub fn write(path: &Path, page: &str) -> polyseme_formats::Result<PathBuf> {
    polyseme_formats::atomic::write(path, |out| out.write_all(page.as_bytes()))?;
    Ok(path.to_owned())
}

/// The rows of a run's log. A report is no place to fail: lines that cannot be read are left out,
/// and a log that is not there gives none.
pub fn read_rows(log: &Path) -> Vec<StepRow> {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn settings_section<T: Serialize>(page: &mut Page, settings: &T) {
    let text = toml::to_string_pretty(settings).unwrap_or_default();
    page.section("Settings", "All that decides the result.", &details("settings.toml", &pre(&text)));
}

fn made_section(page: &mut Page, made: &Made) {
    let rows: Vec<Vec<Cell>> = [
        ("Program", format!("polyseme {}", env!("CARGO_PKG_VERSION"))),
        ("Device", made.device.clone()),
        ("Threads", made.threads.to_string()),
        ("System", format!("{}, {}", std::env::consts::OS, std::env::consts::ARCH)),
    ]
    .into_iter()
    .map(|(name, value)| vec![Cell::Text(name.to_owned()), Cell::Text(value)])
    .collect();
    page.section("How it was made", "", &(pre(&made.command) + &table("", &[], &rows)));
}
