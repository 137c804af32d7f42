//! The report of a recipe: what each candidate is worth, as pictures and as a table.

use super::html::{Cell, Fact, Page, table};
use super::measured::{score, title};
use super::scatter::{Scatter, Spot};
use super::{Made, bytes, made_section, settings_section};
use polyseme_shrink::recipe::{Candidate, Measured, RecipeOutcome, RecipeSettings, share};
use polyseme_train::metrics::is_error;

/// Where a candidate stands along x, and how far it varies.
type Along = (f64, Option<(f64, f64)>);

/// Titles of [`row`], without the metric's.
pub const TITLES: [&str; 9] =
    ["candidate", "from", "score", "lost", "weights", "of the whole", "times as fast", "memory", "made in"];

/// What is said of a candidate in a table.
pub fn row(o: &RecipeOutcome, settings: &RecipeSettings, c: &Candidate) -> Vec<String> {
    let mark = if o.front.contains(&c.number) { " *" } else { "" };
    let best = if c.number == o.best { " (best)" } else { "" };
    let name = format!("{} {}{best}{mark}", c.number, c.way);
    let from = c.from.map(|from| from.to_string()).unwrap_or_default();
    let (Some(found), Some(whole)) = (&c.measured, &o.candidates[0].measured) else {
        return [name, from, "failed".to_owned()].into_iter().chain(std::iter::repeat_n(String::new(), 6)).collect();
    };
    let outside = if c.within { "" } else { " !" };
    let speed = &found.speed;
    vec![
        name,
        from,
        format!("{:.4}", found.score),
        format!("{:.1} %{outside}", 100.0 * settings.gate.lost(whole.score, found.score)),
        bytes(found.weights_bytes),
        format!("{:.1} %", 100.0 * share(found, whole)),
        match c.number {
            0 => "1".to_owned(),
            _ => format!("{:.2} ({:.2} to {:.2})", speed.median, speed.low, speed.high),
        },
        found.peak_memory_bytes.map_or_else(|| "–".to_owned(), bytes),
        if c.number == 0 { String::new() } else { format!("{:.0} s", c.seconds) },
    ]
}

/// What the marks of [`row`] mean.
pub fn marks(o: &RecipeOutcome) -> String {
    let outside = o.candidates.iter().any(|c| c.measured.is_some() && !c.within);
    let outside = if outside { "; ! outside of the gate of its step" } else { "" };
    format!("* beaten by no other one in score, size and speed together{outside}")
}

/// What a recipe came to, in a sentence.
pub fn verdict(o: &RecipeOutcome, settings: &RecipeSettings) -> String {
    let (gate, found) = (&settings.gate, came_to(o, settings));
    let percent = |size: f64| format!("at most {:.1} % of the bytes", 100.0 * size);
    let wanted = match (gate.size, gate.speed) {
        (None, None) => return found,
        (Some(size), None) => percent(size),
        (None, Some(speed)) => format!("{speed:.2} times the speed"),
        (Some(size), Some(speed)) => format!("{} at {speed:.2} times the speed", percent(size)),
    };
    let reached = if o.wanted || o.interrupted { "" } else { ", which nothing within the gate has" };
    format!("{found}; wanted was {wanted}{reached}")
}

fn came_to(o: &RecipeOutcome, settings: &RecipeSettings) -> String {
    if o.best == 0 {
        let (metric, limit, model) = (&o.metric, o.limit, settings.model.display());
        let how = if is_error(metric) { "or less" } else { "or more" };
        return format!(
            "nothing smaller or faster is within the gate ({metric} {limit:.4} {how}): the model is a copy of {model}"
        );
    }
    let (best, whole) = ends(o);
    format!(
        "the best is candidate {}: {:.1} % of the bytes, {:.2} times as fast, {} {:.4} where the whole model has {:.4}",
        o.best,
        100.0 * share(best, whole),
        best.speed.median,
        o.metric,
        best.score,
        whole.score
    )
}

/// What the best and the whole model are worth.
fn ends(o: &RecipeOutcome) -> (&Measured, &Measured) {
    let of = |number: u64| o.candidates[number as usize].measured.as_ref().expect("it is within the gate");
    (of(o.best), of(0))
}

/// The page as one string of HTML.
pub fn page(settings: &RecipeSettings, outcome: &RecipeOutcome, made: &Made) -> String {
    let sentence = verdict(outcome, settings);
    let sentence = sentence[..1].to_uppercase() + &sentence[1..] + ".";
    let mut page = Page::new("Polyseme · recipe", "A smaller model within its gate", &sentence);
    page.facts(&facts(outcome));
    let caption = "Each point is a candidate, with the number of the table. Full points are beaten by no other one in \
                   score, size and speed together; the line joins those that none beats in this picture; crosses are \
                   outside of the gate of their step; the ring is what was chosen.";
    let whole = ends(outcome).1;
    let size =
        scatter(settings, outcome, "share of the whole model's bytes, %", true, &|m| (100.0 * share(m, whole), None));
    page.section(
        "Size",
        "Further left is smaller, and the validation rows measure what it costs.",
        &size.figure(caption),
    );
    let speed = scatter(settings, outcome, "times the whole model's rows per second", false, &|m| {
        (m.speed.median, Some((m.speed.low, m.speed.high)))
    });
    let text = "Further right is faster. Each candidate and the whole model went through the validation rows in turn; \
                points are medians, lines go from the lower to the upper quartile.";
    page.section("Speed", text, &speed.figure(caption));
    candidates(&mut page, settings, outcome);
    if let Some(test) = &outcome.test {
        let text = format!(
            "On {}, which decided nothing, the best has {} {}; the whole model has {}.",
            settings.data.test.as_deref().unwrap_or("".as_ref()).display(),
            outcome.metric.replace('_', " "),
            score(&outcome.metric, test.best),
            score(&outcome.metric, test.whole)
        );
        page.section("Test rows", &text, "");
    }
    settings_section(&mut page, settings);
    made_section(&mut page, made);
    page.finish()
}

fn facts(o: &RecipeOutcome) -> Vec<Fact> {
    let (best, whole) = ends(o);
    let made = o.candidates.iter().filter(|c| c.measured.is_some()).count();
    let failed = o.candidates.len() - made;
    let of_whole = |value: String| format!("the whole model: {value}");
    let memory = |m: &Measured| m.peak_memory_bytes.map_or_else(|| "–".to_owned(), bytes);
    vec![
        Fact::new(score(&o.metric, best.score), &title(&o.metric), of_whole(score(&o.metric, whole.score))),
        Fact::new(bytes(best.weights_bytes), "weights", of_whole(bytes(whole.weights_bytes))),
        Fact::new(
            format!("{:.2} ×", best.speed.median),
            "as fast",
            format!("{:.0} rows per second", best.rows_per_second),
        ),
        Fact::new(memory(best), "peak memory", of_whole(memory(whole))),
        Fact::new(made.to_string(), "candidates", if failed > 0 { format!("{failed} failed") } else { String::new() }),
    ]
}

fn scatter(
    settings: &RecipeSettings,
    o: &RecipeOutcome,
    x_name: &str,
    less_x: bool,
    x: &dyn Fn(&Measured) -> Along,
) -> Scatter {
    let spot = |c: &Candidate| {
        let found = c.measured.as_ref()?;
        let (at, spread) = x(found);
        Some(Spot {
            name: format!("{} {}", c.number, c.way),
            at: (at, found.score),
            spread,
            front: o.front.contains(&c.number),
            within: c.within,
            best: c.number == o.best,
        })
    };
    let y_name = o.metric.replace('_', " ");
    Scatter {
        label: format!("{} by {x_name}", title(&o.metric)),
        x_name: x_name.to_owned(),
        y_name,
        spots: o.candidates.iter().filter_map(spot).collect(),
        limit: ("gate".to_owned(), o.limit),
        less_x,
        less_y: is_error(&settings.gate.metric),
    }
}

/// All candidates, what they were told, and what was decided.
fn candidates(page: &mut Page, settings: &RecipeSettings, o: &RecipeOutcome) {
    let rows = o.candidates.iter().map(|c| {
        let mut row = row(o, settings, c).into_iter();
        row.next().map(Cell::Text).into_iter().chain(row.map(Cell::Number)).collect()
    });
    let rows: Vec<Vec<Cell>> = rows.collect();
    let mut titles = TITLES.map(|title| title[..1].to_uppercase() + &title[1..]);
    titles[2] = title(&o.metric);
    let titles: Vec<&str> = titles.iter().map(String::as_str).collect();
    page.section("All candidates", &format!("{}.", marks(o)), &table("Candidates", &titles, &rows));
    let told = |c: &Candidate| {
        let why = c.failed.as_ref().map(|why| format!("could not be made: {why}"));
        let text = why.unwrap_or_else(|| c.words.join(" "));
        vec![
            Cell::Text(format!("{} {}", c.number, c.way)),
            Cell::Text(c.folder.display().to_string()),
            Cell::Text(text),
        ]
    };
    let rows: Vec<Vec<Cell>> = o.candidates.iter().map(told).collect();
    page.section("What they were told", "", &table("Words", &["Candidate", "Folder", "Words"], &rows));
    let said: Vec<Vec<Cell>> = o.said.iter().map(|said| vec![Cell::Text(said.clone())]).collect();
    if !said.is_empty() {
        page.section("What was decided", "", &table("", &[], &said));
    }
}

#[cfg(test)]
#[path = "recipe_tests.rs"]
mod tests;
