//! `polyseme shrink quantize`: a model in fewer bits, and what that cost.

use crate::args::QuantizeArgs;
use crate::commands::{Context, Interrupted};
use crate::render::table::table;
use crate::settings::resolve_quantize;
use polyseme_shrink::quantize::{Form, QuantizeOutcome, quantize};

/// Quantizes, and shows what became of each matrix.
pub fn run(args: &QuantizeArgs, context: &Context) -> anyhow::Result<()> {
    let settings = resolve_quantize(args, context.seed)?;
    super::check_out(&args.out, args.force)?;
    let mut progress = context.progress();
    let outcome = quantize(&settings, &context.device, &mut progress, &context.stop)?;
    progress.finish();
    drop(progress);
    let outcome = outcome.ok_or(Interrupted)?;
    context.result(&outcome, &summary(&outcome))
}

fn summary(o: &QuantizeOutcome) -> String {
    let mut text = matrices(o);
    let rows: Vec<Vec<String>> = o
        .timings
        .iter()
        .zip(0..)
        .map(|(t, at)| {
            let slowest = o.speed.iter().map(|layer| layer.times[at]).fold(f64::INFINITY, f64::min);
            let times = |times: f64| format!("{times:.2}");
            let ms = |ms: f64| format!("{ms:.1}");
            let batch = format!("{} x {}", t.texts, t.tokens);
            vec![batch, ms(t.whole_ms), ms(t.few_ms), times(t.whole_ms / t.few_ms), times(slowest)]
        })
        .collect();
    if !rows.is_empty() {
        let titles = ["texts x tokens", "f32 ms", "int8 ms", "times as fast", "the slowest layer"];
        text += &format!("{}\n", table(&titles, &rows));
    }
    let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
    let smaller = o.bytes_before as f64 / o.bytes_after as f64;
    let mut rows = vec![
        vec!["weights".to_owned(), mib(o.bytes_before), mib(o.bytes_after), format!("{smaller:.2} times smaller")],
        vec![
            "token vectors".to_owned(),
            String::new(),
            String::new(),
            format!("cosine {:.5} ({}, {} tokens)", o.cosine, o.measured_on, o.tokens),
        ],
    ];
    if let Some(metric) = &o.metric {
        let kept = 100.0 * metric.after / metric.before;
        let number = |value: f64| format!("{value:.4}");
        rows.push(vec![metric.name.clone(), number(metric.before), number(metric.after), format!("{kept:.2} % kept")]);
    }
    text += &table(&["", "before", "after", ""], &rows);
    text + &format!("\nmodel  {}\n", o.model.display())
}

/// A line for each kind of matrix, and one for each that did not take the form asked for.
fn matrices(o: &QuantizeOutcome) -> String {
    if o.matrices.is_empty() {
        return String::new();
    }
    let forms = [
        (Form::Int4, "4 bits, products in f32"),
        (Form::Int8, "8 bits, products of 8 bits"),
        (Form::Int8Weights, "8 bits, products in f32"),
        (Form::F32, "f32"),
    ];
    let rows: Vec<Vec<String>> = forms
        .iter()
        .map(|&(form, name)| {
            let of_form = || o.matrices.iter().filter(move |matrix| matrix.form == form);
            let costliest = of_form().filter_map(|matrix| matrix.cost).fold(0.0, f64::max);
            vec![name.to_owned(), of_form().count().to_string(), format!("{costliest:.1e}")]
        })
        .filter(|row| row[1] != "0")
        .collect();
    let mut text = table(&["form", "matrices", "the costliest alone"], &rows);
    for matrix in o.matrices.iter().filter(|matrix| !matrix.why.is_empty()) {
        let form = forms.iter().find(|(form, _)| *form == matrix.form).map_or("", |(_, name)| name);
        text += &format!("{}: {form}: {}\n", matrix.name, matrix.why);
    }
    text + "\n"
}
