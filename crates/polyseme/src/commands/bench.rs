//! `polyseme bench`: speed and memory on this machine.

use crate::args::{BenchArgs, PretrainArgs};
use crate::bench::{self, Inference, Kernels, Latency, TrainSpeed};
use crate::commands::{Context, Interrupted};
use crate::render::numbers::group;
use crate::render::table::table;
use crate::settings::{Error, recipe, resolve_pretrain};

/// Sequences of a batch where nothing says it.
const BATCH: usize = 32;
/// Tokens of a sequence where nothing says it.
const SEQ_LEN: usize = 128;
/// Tokens of a single text where nothing says it.
const SHORT: usize = 16;
/// Batches or steps that are timed where nothing says it.
const STEPS: u32 = 20;
/// Calls with a single text likewise.
const CALLS: u32 = 500;

/// Measures what the words ask for.
pub fn run(args: &BenchArgs, context: &Context) -> anyhow::Result<()> {
    for (flag, value) in [("--batch", args.batch), ("--seq-len", args.seq_len)] {
        if value == Some(0) {
            return Err(Error::UnknownValue { what: flag, found: "0".into(), expected: "at least 1".into() }.into());
        }
    }
    if args.compare {
        return compare(context);
    }
    let peak = if args.latency { 0.0 } else { polyseme_tensor::fma_limit() };
    match (&args.model, &args.train) {
        (Some(_), _) => inference(args, peak, context),
        (None, Some(name)) => training(args, name, peak, context),
        (None, None) => {
            let (bert, modern) = (recipe("mini")?.model.config, recipe("modern")?.model.config);
            let steps = args.steps.unwrap_or(STEPS);
            let found = bench::kernels(&bert, &modern, steps, peak, &context.device, &context.stop);
            let found = found.ok_or(Interrupted)?;
            context.result(&found, &show_kernels(&found))
        }
    }
}

fn training(args: &BenchArgs, name: &str, peak: f64, context: &Context) -> anyhow::Result<()> {
    let plan = PretrainArgs {
        recipe: Some(name.to_owned()),
        vocab_size: args.vocab_size,
        seq_len: args.seq_len.map(|n| n as u64),
        set: args.set.clone(),
        dry_run: true,
        ..PretrainArgs::default()
    };
    let settings = resolve_pretrain(&plan, context.seed)?.settings;
    let seq_len = settings.data.seq_len;
    let batch = args.batch.unwrap_or_else(|| (settings.data.tokens_per_step / seq_len).max(1));
    let steps = args.steps.unwrap_or(STEPS);
    let found = bench::training(&settings, (batch, seq_len), steps, peak, &context.device, &context.stop)?;
    let found = found.ok_or(Interrupted)?;
    context.result(&found, &show_training(&found))
}

fn inference(args: &BenchArgs, peak: f64, context: &Context) -> anyhow::Result<()> {
    let encoder = context.open(args.model.as_deref().expect("called with a model"))?;
    let limit = encoder.limit();
    let seq_len = args.seq_len.unwrap_or(if args.latency { SHORT } else { SEQ_LEN }.min(limit));
    if seq_len > limit {
        return Err(polyseme_infer::Error::MaxLength { asked: seq_len, limit }.into());
    }
    if args.latency {
        let found = bench::latency(&encoder, seq_len, args.steps.unwrap_or(CALLS), &context.stop)?;
        let found = found.ok_or(Interrupted)?;
        return context.result(&found, &show_latency(&found));
    }
    let size = (args.batch.unwrap_or(BATCH), seq_len);
    let found =
        bench::inference(&encoder, size, args.steps.unwrap_or(STEPS), peak, &context.stop).ok_or(Interrupted)?;
    context.result(&found, &show_inference(&found))
}

fn compare(context: &Context) -> anyhow::Result<()> {
    let found = bench::compare(&context.device, &context.stop)?.ok_or(Interrupted)?;
    let rows: Vec<Vec<String>> = found
        .iter()
        .map(|c| {
            let (first, last) =
                (c.losses.first().copied().unwrap_or(f32::NAN), c.losses.last().copied().unwrap_or(f32::NAN));
            vec![
                c.model_type.to_owned(),
                format!("{:.1e}", c.hidden_difference),
                format!("{first:.4} to {last:.4}"),
                format!("{:.1e}", c.loss_difference),
            ]
        })
        .collect();
    let title = format!("{} beside the CPU", context.device_name);
    context
        .result(&found, &table(&[&title, "hidden states differ by", "loss of ten steps", "losses differ by"], &rows))?;
    match found.iter().find(|c| !c.agrees()) {
        None => Ok(()),
        Some(c) => anyhow::bail!(
            "{} and the CPU do not agree on {}: hidden states differ by {:.1e} (1e-4 is allowed), losses by {:.1e} (1e-3)",
            context.device_name,
            c.model_type,
            c.hidden_difference,
            c.loss_difference
        ),
    }
}

fn show_training(s: &TrainSpeed) -> String {
    let what = format!("training, {} × {} tokens a step", s.batch, s.seq_len);
    speed_table(&what, s.tokens_per_second, s.share_of_peak, s.peak_operations_per_second, s.peak_memory_bytes)
}

fn show_inference(s: &Inference) -> String {
    let what = format!("inference, {} × {} tokens a batch", s.batch, s.seq_len);
    speed_table(&what, s.tokens_per_second, s.share_of_peak, s.peak_operations_per_second, s.peak_memory_bytes)
}

fn speed_table(what: &str, tokens: f64, share: f64, peak: f64, memory: Option<u64>) -> String {
    let memory = memory.map_or("unknown".to_owned(), |bytes| format!("{} MiB", group(bytes >> 20)));
    let rows = [
        ("tokens per second", group(tokens.round() as u64)),
        ("share of the processor's best", format!("{:.0} %", 100.0 * share)),
        (
            "the processor's best",
            format!("{:.0} GFLOP/s on {} threads", peak / 1e9, polyseme_tensor::device::threads()),
        ),
        ("peak memory", memory),
    ];
    let rows: Vec<Vec<String>> = rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
    table(&[what, ""], &rows)
}

fn show_latency(l: &Latency) -> String {
    let line = |name: &str, seconds: f64| vec![name.to_owned(), format!("{:.2} ms", 1e3 * seconds)];
    let title = format!("one text of {} tokens, {} calls", l.seq_len, group(l.calls.into()));
    table(&[&title, ""], &[line("median", l.p50_seconds), line("95th percentile", l.p95_seconds)])
}

fn show_kernels(k: &Kernels) -> String {
    let rows: Vec<Vec<String>> = k
        .layers
        .iter()
        .map(|r| {
            vec![
                format!("{}: {} × {} tokens, width {}", r.name, r.batch, r.seq_len, r.hidden_size),
                format!("{:.1} ms", 1e3 * r.seconds),
                format!("{:.0} %", 100.0 * r.share_of_peak),
                format!("{:.1} ms", 1e3 * r.plain_seconds),
                format!("{:.1e}", r.largest_difference),
            ]
        })
        .collect();
    let titles = ["one layer, forward and backward", "ours", "share of best", "plain twin", "largest difference"];
    let peak = k.peak_operations_per_second / 1e9;
    let threads = polyseme_tensor::device::threads();
    table(&titles, &rows) + &format!("\nthe processor's best: {peak:.0} GFLOP/s on {threads} threads\n")
}
