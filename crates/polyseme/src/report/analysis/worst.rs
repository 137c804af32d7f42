//! The worst errors, each with its texts, what is true and what was said.

use super::super::html::{Page, details, escape};
use super::super::scale::{grouped, percent, short};
use polyseme_train::analysis::{Analysis, JudgedLabel, Mistake, Piece, What};
use std::fmt::Write;

/// Errors that are shown at once; the others are folded.
const OPEN: usize = 8;
/// Characters of a label.
const LABEL: usize = 80;

pub fn section(page: &mut Page, analysis: &Analysis, rows: &str) {
    let (shown, all) = (analysis.worst.len() as u64, grouped(analysis.rows));
    let kind = analysis.worst.first().map(|m| &m.what);
    let Some(what) = kind else {
        if analysis.wrong == Some(0) {
            page.section("The worst errors", "", &format!("<p class=\"none\">All {all} {rows} rows are right.</p>\n"));
        }
        return;
    };
    let (noun, wrongly, order) = of_kind(what);
    let text =
        match analysis.wrong.map(|wrong| (wrong, format!("{wrongly}: {} of {all} {rows} {noun}", grouped(wrong)))) {
            Some((wrong, text)) if wrong > shown => format!("{text}. Here are {shown} of them, {order} first."),
            Some((_, text)) => format!("{text}, {order} first."),
            None => format!("{shown} of {all} {rows} {noun}, {order} first."),
        };
    let list = |part: &[Mistake], first: usize| {
        let items: String = part.iter().map(mistake).collect();
        format!("<ol class=\"worst\" start=\"{first}\">\n{items}</ol>\n")
    };
    let (open, folded) = analysis.worst.split_at(analysis.worst.len().min(OPEN));
    let mut markup = legend(kind) + &list(open, 1);
    if !folded.is_empty() {
        markup += &details(&format!("{} more", folded.len()), &list(folded, OPEN + 1));
    }
    page.section("The worst errors", &text, &markup);
}

/// What rows are, how they are wrong, and which of them come first.
fn of_kind(what: &What) -> (&'static str, &'static str, &'static str) {
    match what {
        What::Label { .. } => ("rows", "Wrong", "those with the greatest loss"),
        What::Labels { .. } => ("rows", "Not all labels right", "those with the greatest loss"),
        What::Number { texts, .. } => {
            (if texts.len() > 1 { "pairs" } else { "rows" }, "Wrong", "those that are farthest off")
        }
        What::Tags { .. } => ("sentences", "Not wholly right", "those with the greatest loss"),
        What::Answer { .. } => {
            ("questions", "Not right to the letter", "those that share fewest words with a right answer")
        }
        What::Choice { .. } => ("rows", "Wrong", "those with the greatest loss"),
        What::Text { .. } => ("texts", "Not the wanted one to the letter", "those that share fewest words with it"),
        What::Partner { .. } => ("pairs", "Another text came before the partner", "those whose partner comes last"),
    }
}

/// What the marks in a passage mean.
fn legend(kind: Option<&What>) -> String {
    match kind {
        Some(What::Tags { .. }) => "<p class=\"legend\"><mark class=\"right\">found<small>✓ kind</small></mark> \
             <mark class=\"missed\">not found<small>missed kind</small></mark> \
             <mark class=\"spurious\">found wrongly<small>said kind</small></mark> \
             <mark class=\"differs\">of another kind or extent<small>is kind, said kind</small></mark></p>\n"
            .to_owned(),
        Some(What::Answer { .. }) => {
            "<p class=\"legend\"><mark class=\"missed\">a right answer<small>right</small></mark> \
             <mark class=\"spurious\">what was said<small>said</small></mark> \
             <mark class=\"right\">what both share<small>both</small></mark></p>\n"
                .to_owned()
        }
        _ => String::new(),
    }
}

fn mistake(found: &Mistake) -> String {
    let mut head = format!("<li><p class=\"place\">{} · loss {}</p>\n", escape(&clip(&found.place)), short(found.loss));
    head += &match &found.what {
        What::Label { texts, truth, said } => {
            let of = |what: &str, s: &polyseme_train::analysis::Scored| {
                verdict(what, what, &s.label, &percent(s.probability))
            };
            line(&[of("is", truth), of("said", said)]) + &quotes(texts)
        }
        What::Labels { texts, labels } => labels_of(labels) + &quotes(texts),
        What::Number { texts, truth, said } => number(*truth, *said) + &quotes(texts),
        What::Tags { passage, wrong, right } => {
            format!("<p class=\"verdict\">{wrong} wrong, {right} right</p>\n{}", quoted(passage, &tag_mark))
        }
        What::Answer { question, passage, answers, said, .. } => answer(question, passage, answers, said),
        What::Choice { text, choices, truth, said } => {
            let mut out = asked(text) + "<ul class=\"choices\">";
            for (i, choice) in choices.iter().enumerate() {
                let what = [("is right", i == *truth), ("said", i == *said)];
                let what: Vec<&str> = what.iter().filter(|w| w.1).map(|w| w.0).collect();
                let class = if i == *truth {
                    "is"
                } else if i == *said {
                    "said"
                } else {
                    ""
                };
                let _ = write!(
                    out,
                    "<li class=\"{class}\"><b>{}</b> <i>{} {}</i> <span dir=\"auto\">{}</span></li>",
                    escape(&clip(&choice.name)),
                    percent(choice.probability),
                    what.join(", "),
                    escape(&choice.text)
                );
            }
            out + "</ul>\n"
        }
        What::Text { texts, wanted, said, rouge_l } => {
            let said = if said.is_empty() { "nothing" } else { said };
            let note = format!("ROUGE-L {}", percent(*rouge_l));
            line(&[verdict("is", "wanted", wanted, "")])
                + &line(&[verdict("said", "said", said, &note)])
                + &quotes(texts)
        }
        What::Partner { text, partner, first } => {
            let of = |what: &str, name: &str, found: &polyseme_train::analysis::Ranked| {
                let note = format!("rank {}, cosine {:.3}", grouped(found.rank), found.cosine);
                line(&[verdict(what, "", name, &note)]) + &quotes(std::slice::from_ref(&found.text))
            };
            asked(text) + &of("is", "its partner", partner) + &of("said", "came first", first)
        }
    };
    head + "</li>\n"
}

/// A few words of what is true (`is`) or was `said`.
fn verdict(class: &str, word: &str, name: &str, note: &str) -> String {
    let (name, note) = (escape(&clip(name)), escape(note));
    let note = if note.is_empty() { note } else { format!(" <i>{note}</i>") };
    format!("<span class=\"{class}\">{word} <b>{name}</b>{note}</span>")
}

fn line(parts: &[String]) -> String {
    format!("<p class=\"verdict\">{}</p>\n", parts.join(" "))
}

fn labels_of(labels: &[JudgedLabel]) -> String {
    let of = |label: &JudgedLabel| {
        let (class, word) = match (label.truth, label.said) {
            (true, true) => ("fits", "✓"),
            (true, false) => ("is", "missed"),
            _ => ("said", "wrongly said"),
        };
        verdict(class, word, &label.label, &percent(label.probability))
    };
    line(&labels.iter().map(of).collect::<Vec<_>>())
}

fn number(truth: f32, said: f32) -> String {
    let off = f64::from(said) - f64::from(truth);
    let way = if off > 0.0 { "too high" } else { "too low" };
    let note = format!("{} {way}", short(off.abs()));
    let of = |class: &str, value: f32, note: &str| verdict(class, class, &short(f64::from(value)), note);
    line(&[of("is", truth, ""), of("said", said, &note)])
}

/// What a model was asked.
fn asked(text: &str) -> String {
    format!("<p class=\"asked\" dir=\"auto\">{}</p>\n", escape(text))
}

fn answer(question: &str, passage: &[Piece], answers: &[String], said: &str) -> String {
    let of = |class: &str, text: &str| verdict(class, class, if text.is_empty() { "no answer" } else { text }, "");
    let mark = |piece: &Piece| match (&piece.truth, &piece.said) {
        (Some(_), Some(_)) => Some(("right", "both".to_owned())),
        (Some(_), None) => Some(("missed", "right".to_owned())),
        (None, Some(_)) => Some(("spurious", "said".to_owned())),
        (None, None) => None,
    };
    asked(question) + &line(&[of("is", &answers.join(" · ")), of("said", said)]) + &quoted(passage, &mark)
}

/// How a piece of a sentence is marked, and in which words.
fn tag_mark(piece: &Piece) -> Option<(&'static str, String)> {
    match (&piece.truth, &piece.said) {
        (Some(truth), _) if piece.right => Some(("right", format!("✓ {truth}"))),
        (Some(truth), Some(said)) if truth == said => Some(("differs", format!("{truth} of another extent"))),
        (Some(truth), Some(said)) => Some(("differs", format!("is {truth}, said {said}"))),
        (Some(truth), None) => Some(("missed", format!("missed {truth}"))),
        (None, Some(said)) => Some(("spurious", format!("said {said}"))),
        (None, None) => None,
    }
}

fn quoted(passage: &[Piece], mark: &dyn Fn(&Piece) -> Option<(&'static str, String)>) -> String {
    let mut out = "<blockquote class=\"marked\" dir=\"auto\">".to_owned();
    for piece in passage {
        let text = escape(&piece.text);
        let _ = match mark(piece) {
            Some((class, words)) => {
                write!(out, "<mark class=\"{class}\">{text}<small>{}</small></mark>", escape(&clip(&words)))
            }
            None => write!(out, "{text}"),
        };
    }
    out + "</blockquote>\n"
}

fn quotes(texts: &[String]) -> String {
    texts.iter().map(|text| format!("<blockquote dir=\"auto\">{}</blockquote>\n", escape(text))).collect()
}

fn clip(text: &str) -> String {
    if text.chars().count() <= LABEL { text.to_owned() } else { text.chars().take(LABEL - 1).chain(['…']).collect() }
}
