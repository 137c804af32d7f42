//! Which layer knows what, as a curve with a control task beside it.

use super::super::chart::{LineChart, Look, Series};
use super::super::html::{Fact, Page};
use super::super::{Made, made_section};
use polyseme_inspect::probe::{LayerProbe, Probe};

/// The page of a probe.
pub fn page(found: &Probe, made: &Made) -> String {
    let best = best(found);
    let lede = format!(
        "A straight cut through each layer's vectors, learned from {} examples and measured on {} others. {} knows most.",
        found.learned,
        found.measured,
        best.layer.map_or("The table of words".to_owned(), |n| format!("Layer {n}"))
    );
    let mut page =
        Page::new("Which layer knows what", &format!("{} of {} labels", found.task, found.labels.len()), &lede);
    page.facts(&[
        Fact::new(format!("{:.1} %", 100.0 * best.accuracy), "right at the best layer", ""),
        Fact::new(format!("{:.1} %", 100.0 * best.control), "right of the control task there", ""),
        Fact::new(format!("{:.1} %", 100.0 * found.majority), "have the most frequent label", ""),
    ]);
    let control = match found.task {
        "tags" => {
            "In the control task each word has a label drawn by lot, the same wherever it stands: what is known of it is known by heart."
        }
        _ => {
            "In the control task each text has a label drawn by lot, so that nothing can be known but how frequent labels are."
        }
    };
    let caption = "Vectors with mean 0 and deviation 1 in each direction; multinomial logistic regression.";
    page.section("Right labels by layer", control, &chart(found).figure(caption));
    made_section(&mut page, made);
    page.finish()
}

/// The curve.
pub fn picture(found: &Probe) -> String {
    chart(found).drawing()
}

/// The layer that knows most; of equal ones the first.
pub fn best(found: &Probe) -> &LayerProbe {
    found.layers.iter().rev().max_by(|a, b| a.accuracy.total_cmp(&b.accuracy)).expect("there are layers")
}

fn chart(found: &Probe) -> LineChart {
    let series = |name: &str, of: fn(&LayerProbe) -> f64| Series {
        name: name.to_owned(),
        points: found.layers.iter().filter_map(|l| Some((l.layer? as f64, 100.0 * of(l)))).collect(),
        look: Look::Marked,
    };
    let alone = found.layers.iter().find(|l| l.layer.is_none()).map_or(f64::NAN, |l| 100.0 * l.accuracy);
    LineChart {
        label: format!("Right {} by layer", found.task),
        x_name: "layer (0: embeddings)".into(),
        y_name: "right (%)".into(),
        series: vec![series("labels", |l| l.accuracy), series("control", |l| l.control)],
        levels: vec![("words alone".into(), alone), ("most frequent".into(), 100.0 * found.majority)],
        ..LineChart::default()
    }
}
