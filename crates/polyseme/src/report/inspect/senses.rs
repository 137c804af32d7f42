//! A word in its sentences: the map of its vectors and the matrix of their likeness, layer by layer.

use super::super::chart::{LineChart, Look, Series};
use super::super::html::{Cell, Fact, Page, details, escape, figure, table};
use super::super::picture::{encoded, heat, stacked};
use super::super::{Made, made_section};
use super::{around, plane, slider, step, text};
use polyseme_inspect::senses::{LayerSenses, Senses};
use serde::Serialize;
use std::fmt::Write;

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 430.0;
const EDGE: f64 = 26.0;
/// Sentences whose numbers stand beside their points.
const NUMBERED: usize = 60;
/// Sentences that stand beside the matrix.
const NAMED: usize = 44;
/// Cells a side of the matrix at most; a cell is then the mean of several pairs.
const CELLS: usize = 240;
/// Width of what stands left of the matrix.
const NAMES: f64 = 380.0;
/// Height of what stands above it.
const ABOVE: f64 = 190.0;
const LETTERS: [&str; 8] = ["A", "B", "C", "D", "E", "F", "G", "H"];

/// What a layer is called.
fn name(layer: Option<usize>) -> String {
    match layer {
        None => "words alone".to_owned(),
        Some(0) => "embeddings".to_owned(),
        Some(n) => format!("layer {n}"),
    }
}

fn letter(sense: usize) -> &'static str {
    LETTERS[sense % LETTERS.len()]
}

/// The matrix as the script reads it.
#[derive(Serialize)]
struct Heat {
    low: f32,
    high: f32,
    side: usize,
    values: String,
    order: Vec<usize>,
}

/// The page of a word.
pub fn page(found: &Senses, made: &Made) -> String {
    let clearest = &found.layers[found.clearest];
    let count = found.sentences.len();
    let lede = format!(
        "{} of its {} occurrences, compared by their vectors at each layer. They part best at {}, into {}.",
        count,
        found.total,
        name(clearest.layer),
        if clearest.about.len() == 1 { "one sense".to_owned() } else { format!("{} senses", clearest.about.len()) }
    );
    let mut page = Page::new("Senses of a word", &found.word, &lede);
    page.facts(&facts(found));
    let mut parts = slider("layer", "Layer", found.layers.len(), found.clearest);
    let mut heats = Vec::new();
    for (i, layer) in found.layers.iter().enumerate() {
        let (matrix, heat) = matrix(found, layer, i);
        heats.push(heat);
        let mut markup = figure(&points(found, layer), &map_caption(layer), "");
        markup += &senses(found, layer);
        markup += &figure(&matrix, &matrix_caption(&heats[i], count), "");
        parts += &step("layer", i, found.clearest, &markup);
    }
    let text = "Each point is the word in one sentence. Like stands by like; the slider goes through the layers, by the arrow keys, too.";
    page.section("Where its vectors lie", text, &parts);
    let curve = "Silhouette: how much nearer a vector is to those of its own sense than to others, 0 where there is one sense. \
                 Agreement: adjusted Rand index with the senses of the file, 1 the same, 0 as by chance.";
    page.section("Where the meaning parts", "", &by_layer(found).figure(curve));
    page.section("The sentences", "", &sentences(found));
    let names: Vec<String> = found.layers.iter().map(|l| name(l.layer)).collect();
    page.data("layer-names", &names);
    page.data("tips", &found.sentences.iter().map(|s| s.text.as_str()).collect::<Vec<_>>());
    page.data("heats", &heats);
    made_section(&mut page, made);
    page.finish()
}

/// Map and matrix of a layer (a place in the list), as one drawing.
pub fn picture(found: &Senses, layer: usize) -> String {
    let of = &found.layers[layer];
    let title = format!("“{}” in {} sentences, {}", found.word, found.sentences.len(), name(of.layer));
    let parts = [(title.clone(), points(found, of)), ("Cosine of each two".to_owned(), matrix(found, of, 0).0)];
    stacked(&title, &parts)
}

fn facts(found: &Senses) -> Vec<Fact> {
    let clearest = &found.layers[found.clearest];
    let mut facts = vec![
        Fact::new(
            found.sentences.len().to_string(),
            "sentences",
            match found.cut {
                0 => String::new(),
                cut => format!("{cut} more had the word behind what the model reads"),
            },
        ),
        Fact::new(clearest.about.len().to_string(), "senses", format!("at {}", name(clearest.layer))),
        Fact::new(format!("{:.2}", clearest.silhouette), "silhouette there", "from −1 to 1"),
    ];
    if let Some(agreement) = clearest.adjusted_rand_index {
        facts.push(Fact::new(format!("{agreement:.2}"), "agreement there", "adjusted Rand index with the true senses"));
    }
    facts
}

fn map_caption(layer: &LayerSenses) -> String {
    match layer.shown {
        Some(share) => {
            format!("The two directions along which the vectors vary most: {:.0} % of all variance.", 100.0 * share)
        }
        None => {
            "t-SNE of the cosine distances: who is near whom can be trusted, how far clouds are apart cannot.".into()
        }
    }
}

fn matrix_caption(heat: &Heat, count: usize) -> String {
    let cell = if count > heat.side { "A cell is the mean of several pairs. " } else { "" };
    format!(
        "Cosine of each two sentences' vectors, from {:.2} (light) to {:.2} (dark), in the order of their tree. {cell}",
        heat.low, heat.high
    )
}

/// The points of a layer.
fn points(found: &Senses, layer: &LayerSenses) -> String {
    let places = plane(&layer.points, (WIDTH, HEIGHT), EDGE);
    let label = format!(
        "{} sentences with “{}” at {}, in {} senses of {} sentences.",
        found.sentences.len(),
        found.word,
        name(layer.layer),
        layer.about.len(),
        layer.about.iter().map(|s| s.count.to_string()).collect::<Vec<_>>().join(", ")
    );
    let mut out = format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">\n", escape(&label));
    let radius = if found.sentences.len() > 400 { 3.5 } else { 6.0 };
    for (i, ((px, py), sense)) in places.into_iter().zip(&layer.senses).enumerate() {
        let _ = write!(
            out,
            "<circle class=\"mark s{}\" cx=\"{px:.1}\" cy=\"{py:.1}\" r=\"{radius}\" data-i=\"{i}\"/>",
            sense % 8
        );
        if found.sentences.len() <= NUMBERED {
            text(&mut out, "number", (px + 8.0, py + 3.5), "", &(i + 1).to_string());
        }
    }
    out.push_str("</svg>");
    out
}

/// What each sense of a layer is.
fn senses(found: &Senses, layer: &LayerSenses) -> String {
    let mut out = String::from("<div class=\"senses\">\n");
    for (i, sense) in layer.about.iter().enumerate() {
        let example = &found.sentences[sense.example];
        let [before, word, after] = around(&example.text, &example.bytes, 140);
        let _ = write!(
            out,
            "<div class=\"sense\" style=\"border-left-color:var(--s{})\"><blockquote data-i=\"{}\" tabindex=\"0\">{}<mark>{}</mark>{}</blockquote><cite>\
             <i class=\"swatch\" style=\"--of:var(--s{})\"></i>Sense {}: {} of {} sentences",
            i % 8,
            sense.example,
            escape(&before),
            escape(&word),
            escape(&after),
            i % 8,
            letter(i),
            sense.count,
            found.sentences.len()
        );
        if !sense.telling.is_empty() {
            let _ = write!(out, "; around it: {}", escape(&sense.telling.join(", ")));
        }
        out.push_str("</cite></div>\n");
    }
    out.push_str("</div>\n");
    out
}

/// The matrix of a layer, as a drawing and for the script.
fn matrix(found: &Senses, layer: &LayerSenses, number: usize) -> (String, Heat) {
    let (n, similar) = (found.sentences.len(), &layer.similarities);
    let side = n.min(CELLS);
    let part = |i: usize| i * n / side..(i + 1) * n / side;
    let mut cells = vec![0f32; side * side];
    for i in 0..side {
        for j in 0..side {
            let pairs = part(i).flat_map(|a| part(j).map(move |b| (a, b)));
            let (sum, count) = pairs.fold((0f64, 0u32), |(sum, count), (a, b)| {
                (sum + f64::from(similar.at(layer.order[a], layer.order[b])), count + 1)
            });
            cells[i * side + j] = (sum / f64::from(count)) as f32;
        }
    }
    let (low, high) = cells.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(l, h), &v| (l.min(v), h.max(v)));
    // Rounding is no likeness.
    let wide = (high - low).max(1e-3);
    let bytes: Vec<u8> = cells.iter().map(|&v| ((v - low) / wide * 255.0).round() as u8).collect();
    let named = n <= NAMED;
    let (left, top) = if named { (NAMES, ABOVE) } else { (EDGE, EDGE) };
    let square = if named { (n as f64 * 17.0).clamp(240.0, WIDTH - NAMES - 8.0) } else { 620.0 };
    let height = top + square + 16.0;
    let label =
        format!("Cosines of {n} sentences with “{}” at {}, from {low:.2} to {high:.2}.", found.word, name(layer.layer));
    let mut out = format!("<svg viewBox=\"0 0 {WIDTH} {height:.1}\" role=\"img\" aria-label=\"{}\">\n", escape(&label));
    let _ = write!(
        out,
        "<image x=\"{left}\" y=\"{top}\" width=\"{square:.1}\" height=\"{square:.1}\" preserveAspectRatio=\"none\" \
         image-rendering=\"optimizeSpeed\" style=\"image-rendering:pixelated\" data-heat=\"{number}\" href=\"{}\"/>",
        heat(&bytes, side)
    );
    if named {
        let cell = square / n as f64;
        for (row, &i) in layer.order.iter().enumerate() {
            let sentence = &found.sentences[i];
            let middle = (row as f64 + 0.5) * cell;
            let said = |most: usize| around(&sentence.text, &sentence.bytes, most).concat();
            let _ = write!(out, "<g data-i=\"{i}\">");
            text(&mut out, "quiet", (left - 22.0, top + middle + 4.0), "end", &said(25));
            let _ = write!(
                out,
                "<circle class=\"s{}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"4\"/>",
                layer.senses[i] % 8,
                left - 12.0,
                top + middle
            );
            let _ = write!(out, "<g transform=\"translate({:.1} {:.1}) rotate(-60)\">", left + middle + 3.0, top - 6.0);
            text(&mut out, "quiet", (0.0, 0.0), "", &said(13));
            out.push_str("</g></g>");
        }
    }
    out.push_str("</svg>");
    (out, Heat { low, high: low + wide, side, values: encoded(&bytes), order: layer.order.clone() })
}

/// Silhouette and agreement over the layers.
fn by_layer(found: &Senses) -> LineChart {
    let at = |value: fn(&LayerSenses) -> Option<f64>| -> Vec<(f64, f64)> {
        let layers = found.layers.iter().filter_map(|l| Some((l.layer? as f64, value(l)?)));
        layers.collect()
    };
    let series = |name: &str, points| Series { name: name.to_owned(), points, look: Look::Marked };
    let mut chart = LineChart {
        label: format!("How well the senses of “{}” part, by layer", found.word),
        x_name: "layer".into(),
        y_name: "silhouette, agreement".into(),
        series: vec![series("silhouette", at(|l| Some(l.silhouette)))],
        ..LineChart::default()
    };
    let agreement = at(|l| l.adjusted_rand_index);
    if !agreement.is_empty() {
        chart.series.push(series("agreement", agreement));
        if let Some(alone) = found.layers[0].adjusted_rand_index {
            chart.levels.push(("words alone".into(), alone));
        }
    }
    chart
}

/// All sentences, by their numbers.
fn sentences(found: &Senses) -> String {
    let clearest = &found.layers[found.clearest];
    let mut out = String::from("<ul class=\"sentences\" tabindex=\"0\" aria-label=\"Sentences\">\n");
    for (i, sentence) in found.sentences.iter().enumerate() {
        let [before, word, after] = around(&sentence.text, &sentence.bytes, usize::MAX / 2);
        let truth = sentence.label.map_or(String::new(), |l| format!(" · {}", found.labels[l]));
        let _ = writeln!(
            out,
            "<li data-i=\"{i}\"><b><i class=\"swatch\" style=\"--of:var(--s{})\"></i>{} {}{}</b>{}<mark>{}</mark>{}</li>",
            clearest.senses[i] % 8,
            i + 1,
            letter(clearest.senses[i]),
            escape(&truth),
            escape(&before),
            escape(&word),
            escape(&after)
        );
    }
    out.push_str("</ul>\n");
    let rows: Vec<Vec<Cell>> = found
        .layers
        .iter()
        .map(|l| {
            let agreement = l.adjusted_rand_index.map_or("–".to_owned(), |a| format!("{a:.3}"));
            vec![
                Cell::Text(name(l.layer)),
                Cell::Number(l.about.len().to_string()),
                Cell::Number(format!("{:.3}", l.silhouette)),
                Cell::Number(agreement),
            ]
        })
        .collect();
    out + &details("Numbers of the layers", &table("By layer", &["Layer", "Senses", "Silhouette", "Agreement"], &rows))
}
