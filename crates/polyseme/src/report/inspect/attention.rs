//! What tokens attend to: lines between them, and all maps small.

use super::super::html::{Fact, Page, escape};
use super::super::picture::{heat, stacked};
use super::super::{Made, made_section};
use super::{around, slider, step, text};
use polyseme_inspect::attention::{Attention, LayerAttention};
use std::fmt::Write;

const WIDTH: f64 = 860.0;
/// Height of a token in the view of heads.
const LINE: f64 = 19.0;
/// Where lines begin and end.
const SIDES: [f64; 2] = [250.0, 610.0];
/// Lines of a layer at most, and of a page, which its layers share.
const LINES: usize = 2_500;
const LINES_OF_PAGE: usize = 12_000;
/// Least weight of a line, where that is not below what evenly shared attention would give.
const LEAST: f32 = 0.1;
/// Pixels a side of a small map at most, and of all maps of a page; of longer texts a pixel is the greatest weight of several
/// pairs.
const PIXELS: usize = 160;
const PIXELS_OF_PAGE: usize = 72 * PIXELS * PIXELS;
/// Maps beside each other.
const BESIDE: usize = 6;

/// The page of a text.
pub fn page(found: &Attention, made: &Made) -> String {
    let (layers, heads) = (found.layers.len(), found.layers.iter().map(|l| l.heads.len()).max().unwrap_or(0));
    let lede = format!(
        "What each of {} tokens looks at, in {layers} layer{} of up to {heads} heads. From left to right: a token, and what it attends to.",
        found.tokens.len(),
        if layers == 1 { "" } else { "s" }
    );
    let texts = found.texts.join(" | ");
    let shown = around(&texts, &(0..0), 90).concat();
    let mut page = Page::new("Attention", &shown, &lede);
    page.facts(&[
        Fact::new(found.tokens.len().to_string(), "tokens", "special ones included"),
        Fact::new(layers.to_string(), if layers == 1 { "layer" } else { "layers" }, ""),
        Fact::new(heads.to_string(), "heads a layer", ""),
    ]);
    let most = LINES.min(LINES_OF_PAGE / layers.max(1));
    let mut view = slider("layer", "Layer", layers, 0);
    view += &choice(heads);
    for (i, layer) in found.layers.iter().enumerate() {
        view += &step("layer", i, 0, &format!("<div data-tokens>{}</div>\n", lines(found, layer, most)));
    }
    let text = "A line is as strong as the weight; weak ones are left out. Point at a token, or go there with the tab key, to see its lines alone; \
                heads are shown and hidden above.";
    page.section("Heads", text, &view);
    let count = found.layers.iter().map(|l| l.heads.len()).sum::<usize>().max(1);
    let side = PIXELS.min((PIXELS_OF_PAGE / count).isqrt()).max(1);
    let mut maps = String::new();
    for layer in &found.layers {
        let _ = write!(maps, "<h3>Layer {}</h3>\n<figure>{}</figure>\n", layer.layer, small_maps(found, layer, side));
    }
    let text =
        "Rows attend to columns; dark is much (the scale is that of the square root, so that little is seen, too).";
    page.section("All maps", text, &maps);
    let names: Vec<String> = found.layers.iter().map(|l| format!("layer {}", l.layer)).collect();
    page.data("layer-names", &names);
    made_section(&mut page, made);
    page.finish()
}

/// The view of heads and the maps of a layer (a place in the list), as one drawing.
pub fn picture(found: &Attention, layer: usize) -> String {
    let of = &found.layers[layer];
    let title = format!("Attention in layer {}", of.layer);
    stacked(
        &title,
        &[(title.clone(), lines(found, of, LINES)), ("Each head's map".to_owned(), small_maps(found, of, PIXELS))],
    )
}

/// Boxes to show and hide heads.
fn choice(heads: usize) -> String {
    let mut out = String::from("<fieldset class=\"heads\"><legend>Heads</legend>");
    for head in 0..heads {
        let _ = write!(
            out,
            "<label><input type=\"checkbox\" data-head=\"{head}\" checked> <i style=\"--of:var(--s{})\"></i>{}</label>",
            head % 8,
            head + 1
        );
    }
    out + "</fieldset>\n"
}

/// Lines between tokens, so many at most.
fn lines(found: &Attention, layer: &LayerAttention, most: usize) -> String {
    let n = found.tokens.len();
    let height = n as f64 * LINE + 20.0;
    let y = |token: usize| 10.0 + (token as f64 + 0.5) * LINE;
    // The strongest ones, so that a page of a long text can be drawn.
    let even = LEAST.min(1.0 / n as f32);
    let mut weights: Vec<f32> = layer.heads.iter().flatten().copied().filter(|&w| w >= even).collect();
    weights.sort_by(|a, b| b.total_cmp(a));
    let least = weights.get(most).copied().unwrap_or(even);
    let label =
        format!("Layer {}: weights above {least:.2} of {} heads over {n} tokens.", layer.layer, layer.heads.len());
    let mut out = format!("<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{}\">\n", escape(&label));
    for from in 0..n {
        let _ = write!(out, "<g data-from=\"{from}\">");
        for (head, map) in layer.heads.iter().enumerate() {
            for (to, &weight) in map[from * n..(from + 1) * n].iter().enumerate().filter(|(_, w)| **w > least) {
                let _ = write!(
                    out,
                    "<path class=\"strand l{}\" data-head=\"{head}\" stroke-width=\"{:.1}\" stroke-opacity=\"{:.2}\" d=\"M{} {:.1}L{} {:.1}\"/>",
                    head % 8,
                    0.5 + 2.5 * weight,
                    weight.sqrt().min(0.9),
                    SIDES[0],
                    y(from),
                    SIDES[1],
                    y(to)
                );
            }
        }
        out.push_str("</g>\n");
    }
    for (token, name) in found.tokens.iter().enumerate() {
        let class = if found.segments[token] == 0 { "word" } else { "word c1" };
        let _ =
            write!(out, "<g data-token=\"{token}\" tabindex=\"0\" role=\"button\" aria-label=\"{}\">", escape(name));
        let _ = write!(
            out,
            "<rect x=\"0\" y=\"{:.1}\" width=\"{}\" height=\"{LINE}\" fill=\"#0000\" stroke=\"none\"/>",
            y(token) - LINE / 2.0,
            SIDES[0]
        );
        text(&mut out, class, (SIDES[0] - 10.0, y(token) + 4.0), "end", name);
        out.push_str("</g>");
        text(&mut out, class, (SIDES[1] + 10.0, y(token) + 4.0), "", name);
    }
    out.push_str("</svg>");
    out
}

/// The maps of all heads of a layer, of so many pixels a side at most.
fn small_maps(found: &Attention, layer: &LayerAttention, most: usize) -> String {
    let n = found.tokens.len();
    let side = n.min(most);
    let size = (WIDTH - 10.0) / BESIDE as f64;
    let rows = layer.heads.len().div_ceil(BESIDE);
    let label = format!("The {} maps of layer {}.", layer.heads.len(), layer.layer);
    let mut out = format!(
        "<svg viewBox=\"0 0 {WIDTH} {:.1}\" role=\"img\" aria-label=\"{}\">\n",
        rows as f64 * (size + 18.0),
        escape(&label)
    );
    for (head, map) in layer.heads.iter().enumerate() {
        let part = |i: usize| i * n / side..(i + 1) * n / side;
        let cell = |i: usize, j: usize| {
            let pairs = part(i).flat_map(|a| part(j).map(move |b| map[a * n + b]));
            (pairs.fold(0.0, f32::max).sqrt() * 255.0).round() as u8
        };
        let cells: Vec<u8> = (0..side * side).map(|k| cell(k / side, k % side)).collect();
        let (x, y) = ((head % BESIDE) as f64 * size + 5.0, (head / BESIDE) as f64 * (size + 18.0));
        text(&mut out, "quiet", (x, y + 12.0), "", &format!("head {}", head + 1));
        let _ = write!(
            out,
            "<image x=\"{x:.1}\" y=\"{:.1}\" width=\"{1:.1}\" height=\"{1:.1}\" preserveAspectRatio=\"none\" image-rendering=\"optimizeSpeed\" \
             style=\"image-rendering:pixelated\" href=\"{2}\"/>",
            y + 16.0,
            size - 8.0,
            heat(&cells, side)
        );
    }
    out.push_str("</svg>");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_of_a_deep_model_is_a_small_page() {
        let (n, count) = (512, 12);
        let mut state = 1_u32;
        let mut weight = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32
        };
        let layers = (1..=count)
            .map(|layer| LayerAttention {
                layer,
                heads: (0..count).map(|_| (0..n * n).map(|_| weight()).collect()).collect(),
            })
            .collect();
        let found = Attention {
            texts: vec!["long".to_owned()],
            tokens: vec!["harbour".to_owned(); n],
            segments: vec![0; n],
            layers,
        };
        let page = page(&found, &crate::report::tests::made());
        assert!(page.len() < 5_000_000, "{} bytes", page.len());
        assert!(page.matches("class=\"strand").count() > LINES_OF_PAGE / 2);
        assert_eq!(page.matches("<image ").count(), count * count);
    }
}
