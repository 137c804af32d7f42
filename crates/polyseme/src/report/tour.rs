//! The report of a tour: the whole life of one small encoder on a page.

use super::classes::{class_table, heat_table};
use super::dots::{Arm, dot_chart};
use super::html::{Cell, Fact, Page, details, escape, figure, table};
use super::scale::{bytes, duration, grouped, percent, short};
use super::{Made, made_section, pretrain, settings_section};
use crate::tour::outcome::{ArmOutcome, Sense, TaskOutcome, TourOutcome, WordSenses};
use polyseme_formats::run::StepRow;
use std::fmt::Write;

/// The page as one string of HTML.
pub fn page(rows: &[StepRow], tour: &TourOutcome, made: &Made) -> String {
    let shape = &tour.pretrain_settings.model.config;
    let title = format!("{} in the life of an encoder", spoken(tour.seconds));
    let lede = format!(
        "A BERT of {} layers × {} read {} of {}, in {} of pre-training{}",
        shape.num_hidden_layers,
        shape.hidden_size,
        bytes(tour.corpus.bytes),
        tour.corpus.source,
        duration(tour.pretrain.seconds),
        result_sentence(tour)
    );
    let mut page = Page::new("Polyseme · tour", &title, &lede);
    page.facts(&facts(tour));
    if let Ok(task) = &tour.task {
        comparison(&mut page, task);
    } else if let Err(why) = &tour.task {
        page.section("Does pre-training pay?", why, "");
    }
    senses(&mut page, &tour.senses);
    page.section("What it learned to expect", &pretrain::verdict(&tour.pretrain), "");
    pretrain::curves(&mut page, rows, &tour.pretrain);
    corpus(&mut page, tour);
    settings_section(&mut page, &tour.pretrain_settings);
    made_section(&mut page, made);
    page.finish()
}

fn spoken(seconds: f64) -> String {
    const WORDS: [&str; 13] =
        ["No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten", "Eleven", "Twelve"];
    match (seconds / 60.0).round() as usize {
        0 => "Less than a minute".to_owned(),
        1 => "A minute".to_owned(),
        n if n < WORDS.len() => format!("{} minutes", WORDS[n]),
        _ => duration(seconds),
    }
}

fn result_sentence(tour: &TourOutcome) -> String {
    match &tour.task {
        Ok(TaskOutcome { arms, .. }) if arms.len() == 2 => format!(
            ". Then it learned a task from a few labels, beside its twin that had read nothing: {} right against {}.",
            percent(arms[0].median),
            percent(arms[1].median)
        ),
        _ => ".".to_owned(),
    }
}

fn facts(tour: &TourOutcome) -> Vec<Fact> {
    let mut facts = Vec::new();
    if let Ok(TaskOutcome { arms, labels, .. }) = &tour.task {
        let seeds = arms.first().map_or(0, |a| a.seeds.len());
        for arm in arms {
            let note = format!("{} to {}", percent(arm.spread.0), percent(arm.spread.1));
            facts.push(Fact::new(percent(arm.median), &format!("right, {}", arm.name), note));
        }
        facts.push(Fact::new(
            percent(1.0 / labels.len().max(1) as f64),
            "right by guessing",
            format!("{} classes, {seeds} seeds", labels.len()),
        ));
    }
    let p = &tour.pretrain;
    facts.push(Fact::new(
        short(p.valid_loss),
        "validation loss, nats",
        format!("unigram entropy {}", short(p.unigram_entropy)),
    ));
    facts.push(Fact::new(
        short(p.tokens as f64 / p.seconds.max(1e-9)),
        "tokens a second",
        format!("{} in {}", short(p.tokens as f64), duration(p.seconds)),
    ));
    facts
}

fn comparison(page: &mut Page, task: &TaskOutcome) {
    let arms: Vec<Arm> = task
        .arms
        .iter()
        .map(|a| Arm { name: a.name.clone(), results: a.seeds.iter().map(|s| (s.0, s.1)).collect() })
        .collect();
    let (train, valid, test) = task.rows;
    let text = format!(
        "{} There are {} labels. Both models have the same shape, learn from the same {train} rows and choose their learning \
         rate on the same {valid} validation rows; {test} other rows measure them. No test row was in the pre-training text.",
        task.question,
        task.labels.len()
    );
    let chart = dot_chart("accuracy", &arms, Some(1.0 / task.labels.len().max(1) as f64));
    let caption =
        "A dot is a seed: other random numbers for the new weights and the order of the rows. The bar is the median.";
    let markup = figure(&chart, caption, "")
        + &arm_table(&task.arms)
        + &details("The learning rates that were tried", &tried_table(&task.arms));
    page.section("Does pre-training pay?", &text, &markup);
    let examples: Vec<Vec<Cell>> =
        task.examples.iter().map(|(t, l)| vec![Cell::Text(l.clone()), Cell::Text(clip(t, 260))]).collect();
    let markup = details("A few test rows", &table("", &["Label", "Text"], &examples))
        + &heat_table(&task.metrics)
        + &details("Scores of each class", &class_table(&task.metrics.classes, None));
    page.section("Where it errs", "The test rows as the pre-trained model's median seed answered them.", &markup);
}

fn clip(text: &str, most: usize) -> String {
    let mut out: String = text.chars().take(most).collect();
    if out.len() < text.len() {
        out.push('…');
    }
    out
}

fn arm_table(arms: &[ArmOutcome]) -> String {
    let seeds: Vec<u64> = arms.first().map_or(Vec::new(), |a| a.seeds.iter().map(|s| s.0).collect());
    let names: Vec<String> = seeds.iter().map(|s| format!("Seed {s}")).collect();
    let mut head = vec!["Accuracy", "Median", "Lowest", "Highest"];
    head.extend(names.iter().map(String::as_str));
    let rows: Vec<Vec<Cell>> = arms
        .iter()
        .map(|a| {
            let mut row = vec![Cell::Text(a.name.clone())];
            row.extend([a.median, a.spread.0, a.spread.1].map(|v| Cell::Number(percent(v))));
            row.extend(a.seeds.iter().map(|s| Cell::Number(percent(s.1))));
            row
        })
        .collect();
    table("Accuracy on the test rows", &head, &rows)
}

fn tried_table(arms: &[ArmOutcome]) -> String {
    let rows: Vec<Vec<Cell>> = arms
        .iter()
        .flat_map(|a| {
            a.tried.iter().map(|&(rate, accuracy)| {
                let taken = if rate == a.learning_rate { "taken" } else { "" };
                vec![
                    Cell::Text(a.name.clone()),
                    Cell::Number(short(rate)),
                    Cell::Number(percent(accuracy)),
                    Cell::Text(taken.to_owned()),
                ]
            })
        })
        .collect();
    table("Accuracy on the validation rows by learning rate, one seed", &["", "Learning rate", "Accuracy", ""], &rows)
}

fn senses(page: &mut Page, words: &[WordSenses]) {
    if words.is_empty() {
        return;
    }
    let mut markup = String::new();
    for word in words {
        let _ = write!(
            markup,
            "<h3>{} <small class=\"none\">cosine of the two: {:.2}</small></h3><div class=\"senses\">",
            escape(&word.word),
            word.similarity
        );
        for sense in &word.senses {
            markup.push_str(&one_sense(sense));
        }
        markup.push_str("</div>\n");
    }
    let text = "The same word has another vector in another sentence. Under each sentence stand the words of the corpus whose \
                vectors, in their own sentences, lie nearest to it.";
    page.section("One word, two meanings", text, &markup);
}

fn one_sense(sense: &Sense) -> String {
    let mut out = format!(
        "<div class=\"sense\"><blockquote>…{}<mark>{}</mark>{}… <cite>{}</cite></blockquote><ol class=\"near\">",
        escape(&sense.before),
        escape(&sense.word),
        escape(&sense.after),
        escape(&sense.source)
    );
    for near in &sense.nearest {
        let _ = write!(
            out,
            "<li><b>{}</b><i>{:.2}</i><span title=\"{}\">{}</span></li>",
            escape(&near.word),
            near.similarity,
            escape(&near.context),
            escape(&near.context)
        );
    }
    out.push_str("</ol></div>");
    out
}

fn corpus(page: &mut Page, tour: &TourOutcome) {
    let c = &tour.corpus;
    let mut text = format!(
        "{} documents, {}, from {} {}s; {} repeats were left out.",
        grouped(c.documents as u64),
        bytes(c.bytes),
        c.parts,
        c.unit,
        grouped(c.duplicates as u64)
    );
    if c.absent > 0 {
        let _ = write!(text, " {} more are for other systems and not on this machine.", c.absent);
    }
    let rows: Vec<Vec<Cell>> = tour
        .stages
        .iter()
        .map(|(name, seconds)| vec![Cell::Text(name.clone()), Cell::Number(duration(*seconds))])
        .chain([vec![Cell::Text("in all".to_owned()), Cell::Number(duration(tour.seconds))]])
        .collect();
    page.section("The text, and where the time went", &text, &table("Time", &["Stage", "Time"], &rows));
}
