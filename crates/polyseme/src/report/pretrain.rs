//! The report of a pre-training run.

use super::chart::{LineChart, Look, Series};
use super::html::{Fact, Page};
use super::scale::{duration, grouped, percent, short};
use super::{Made, made_section, settings_section};
use polyseme_formats::run::StepRow;
use polyseme_train::{PretrainOutcome, PretrainSettings};

/// The page as one string of HTML.
pub fn page(rows: &[StepRow], settings: &PretrainSettings, outcome: &PretrainOutcome, made: &Made) -> String {
    let shape = &settings.model.config;
    // The shape of a model that is begun with is its folder's, not the recipe's.
    let what = match &settings.from {
        Some(from) => format!("An encoder from {}", from.display()),
        None => format!("An encoder of {} layers\u{a0}×\u{a0}{}", shape.num_hidden_layers, shape.hidden_size),
    };
    let title = format!("{what}, pre-trained for {}", duration(outcome.seconds));
    let mut page = Page::new("Polyseme · pre-training", &title, &verdict(outcome));
    page.facts(&facts(rows, settings, outcome));
    curves(&mut page, rows, outcome);
    settings_section(&mut page, settings);
    made_section(&mut page, made);
    page.finish()
}

/// What the result means, in a sentence or two.
pub fn verdict(outcome: &PretrainOutcome) -> String {
    let gap = outcome.unigram_entropy - outcome.valid_loss;
    let mut text = if outcome.predicts_nothing() {
        format!(
            "It was asked for nothing but what is inside its teacher: on text it has not seen it is {} away from it.",
            short(outcome.valid_loss)
        )
    } else if !gap.is_finite() {
        "The validation loss was not measured.".to_owned()
    } else if gap > 0.05 {
        format!(
            "On text it has not seen, its loss for hidden words is {}: {} nats under the {} that knowing only word \
             frequencies would give. It has learned from context.",
            short(outcome.valid_loss),
            short(gap),
            short(outcome.unigram_entropy)
        )
    } else {
        format!(
            "On text it has not seen, its loss for hidden words is {}, and knowing only word frequencies would give {}: \
             it has not learned from context yet. Train longer, or with fewer tokens a step, or at a higher learning rate.",
            short(outcome.valid_loss),
            short(outcome.unigram_entropy)
        )
    };
    if outcome.interrupted {
        text.push_str(" The run was stopped before its end; --resume goes on with it.");
    }
    text
}

fn facts(rows: &[StepRow], settings: &PretrainSettings, outcome: &PretrainOutcome) -> Vec<Fact> {
    let speed = outcome.tokens as f64 / outcome.seconds.max(1e-9);
    let sources = settings.corpus.len();
    let corpus = match settings.corpus.first() {
        Some(first) if sources == 1 => first.display().to_string(),
        Some(first) => format!("{} and {} more", first.display(), sources - 1),
        None => String::new(),
    };
    let steps = rows.last().map_or(outcome.steps, |r| r.step.max(outcome.steps));
    let entropy = format!("unigram entropy {}", short(outcome.unigram_entropy));
    let mut facts = match outcome.predicts_nothing() {
        true => vec![Fact::new(short(outcome.valid_loss), "distance from the teacher", "on held-out documents")],
        false => vec![
            Fact::new(short(outcome.valid_loss), "validation loss, nats", entropy),
            Fact::new(percent(outcome.valid_accuracy), "of hidden words guessed right", "on held-out documents"),
        ],
    };
    facts.extend([
        Fact::new(short(outcome.tokens as f64), "tokens seen", format!("in {} steps, from {corpus}", grouped(steps))),
        Fact::new(short(speed), "tokens a second", format!("over {}", duration(outcome.seconds))),
    ]);
    if settings.from.is_none() && settings.distil.teacher.is_none() {
        facts.push(Fact::new(
            short(parameters(settings)),
            "parameters",
            format!("{} pieces in the vocabulary", grouped(settings.model.config.vocab_size as u64)),
        ));
    }
    facts
}

/// Parameters of the encoder by its shape: embeddings, layers, norms; heads are not counted.
fn parameters(settings: &PretrainSettings) -> f64 {
    let c = &settings.model.config;
    let (h, e, i) = (c.hidden_size, c.embedding_size, c.intermediate_size);
    let vocab = if c.vocab_size > 0 { c.vocab_size } else { settings.tokenizer.vocab_size };
    let project = if e == h { 0 } else { e * h + h };
    let embeddings = (vocab + c.max_position_embeddings + c.type_vocab_size) * e + 2 * e + project;
    let layer = 4 * (h * h + h) + 2 * h * i + h + i + 4 * h;
    (embeddings + c.num_hidden_layers * layer) as f64
}

/// Loss, learning rate, gradient norm and speed over the run; the tour's report shows the same.
pub fn curves(page: &mut Page, rows: &[StepRow], outcome: &PretrainOutcome) {
    let over = |f: &dyn Fn(&StepRow) -> f64| rows.iter().map(|r| (r.step as f64, f(r))).collect::<Vec<_>>();
    let valid = |name: &str| -> Vec<(f64, f64)> {
        rows.iter().filter_map(|r| r.valid.get(name).map(|v| (r.step as f64, *v))).collect()
    };
    let mut series = vec![Series { name: "training".into(), points: over(&|r| r.loss), look: Look::Smoothed }];
    let held_out = valid("loss");
    if !held_out.is_empty() {
        series.push(Series { name: "validation".into(), points: held_out, look: Look::Marked });
    }
    let silent = outcome.predicts_nothing();
    let loss = LineChart {
        label: if silent { "Distance from the teacher" } else { "Loss for hidden words" }.into(),
        x_name: "step".into(),
        y_name: if silent { "distance" } else { "loss, nats" }.into(),
        series,
        levels: if silent { Vec::new() } else { vec![("frequencies".into(), outcome.unigram_entropy)] },
        ..LineChart::default()
    };
    let (lead, caption) = match silent {
        true => (
            "How far the hidden states of the student are from those of its teacher, by the losses of the settings.",
            "The faint line is each logged step, the strong one its running mean.",
        ),
        false => (
            "The dotted line is the entropy of single words: what a model reaches that knows how often each word occurs \
             and nothing else. Below it, a model has learned from context.",
            "The faint line is each logged step, the strong one its running mean. Where the first token learns words of \
             its document, the training line counts these too, and they are harder; validation is hidden words alone.",
        ),
    };
    page.section("Loss", lead, &loss.figure(caption));
    let accuracy = valid("accuracy");
    let mut course = String::new();
    if accuracy.len() > 1 {
        course += &one(
            "Hidden words guessed right on held-out documents",
            "share",
            "validation",
            accuracy,
            Look::Marked,
            false,
        );
    }
    course += &one("Learning rate", "learning rate", "learning rate", over(&|r| r.learning_rate), Look::Plain, false);
    course += &one(
        "Gradient norm before clipping",
        "gradient norm",
        "gradient norm",
        over(&|r| r.grad_norm),
        Look::Smoothed,
        true,
    );
    course +=
        &one("Tokens a second", "tokens a second", "tokens/s", over(&|r| r.tokens_per_second), Look::Smoothed, false);
    page.section("The course of the run", "", &course);
}

/// A low chart of one series over steps.
fn one(label: &str, y_name: &str, name: &str, points: Vec<(f64, f64)>, look: Look, log_y: bool) -> String {
    let chart = LineChart {
        label: label.into(),
        x_name: "step".into(),
        y_name: y_name.into(),
        series: vec![Series { name: name.into(), points, look }],
        log_y,
        low: true,
        ..LineChart::default()
    };
    chart.figure(label)
}
