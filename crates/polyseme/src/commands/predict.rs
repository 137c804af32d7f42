//! `polyseme predict`: what a model says of texts, as JSON lines on stdout.

use crate::args::PredictArgs;
use crate::commands::Context;
use crate::commands::stream::TextStream;
use crate::settings::Error;
use polyseme_infer::{EmbedOptions, Encoder, GenerateOptions, TextPair};
use polyseme_models::HeadKind;
use polyseme_text::Table;
use polyseme_text::table::TextRow;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::io::{BufWriter, Write};
use std::path::Path;

/// Tokens that neighbouring windows of a long passage share.
const STRIDE: usize = 128;

/// Streams texts through the model.
pub fn run(args: &PredictArgs, context: &Context) -> anyhow::Result<()> {
    let encoder = context.open(&args.model)?;
    let head = encoder.model.head();
    let alike = head == HeadKind::None && args.pair.is_some();
    if head.outputs().is_none() && head != HeadKind::Generate && !alike {
        encoder.labels()?; // says which head it has
    }
    check_flags(args, &head)?;
    if head == HeadKind::Choice {
        return choices(args, &encoder, context);
    }
    let mut stream = TextStream::open(&args.file, args.text.as_deref(), args.pair.as_deref(), "predict", context)?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    while let Some(rows) = stream.next_piece()? {
        let (said, truncated) = say(&encoder, &rows, args)?;
        for (row, said) in rows.iter().zip(said) {
            let said = Line { text: &row.text, pair: row.pair.as_deref(), said };
            serde_json::to_writer(&mut out, &said)?;
            out.write_all(b"\n")?;
        }
        out.flush()?; // a reader at the other end of a pipe sees whole pieces
        stream.wrote(rows.len(), truncated);
    }
    stream.finish();
    Ok(())
}

/// Errors on flags that a head needs and that are not there, and on those it has no use for.
fn check_flags(args: &PredictArgs, head: &HeadKind) -> Result<(), Error> {
    let (choice, reader) = (*head == HeadKind::Choice, *head == HeadKind::Answer);
    if reader && args.pair.is_none() {
        return Err(Error::Missing {
            what: "--pair",
            hint: "a reader needs a table of questions and passages: name their columns with --text and --pair",
        });
    }
    if choice && args.choices.len() < 2 {
        let hint = "a model for choices needs a table: name two of its columns or more, as in --choices a,b";
        return Err(Error::Missing { what: "--choices", hint });
    }
    let lone = choice || matches!(head, HeadKind::Tag(_) | HeadKind::Generate);
    let given = [
        ("--pair", args.pair.is_some() && lone),
        ("--choices", !args.choices.is_empty() && !choice),
        ("--or-none", args.or_none && !reader),
        ("--beams", args.beams.is_some() && *head != HeadKind::Generate),
        ("--max-new-tokens", args.max_new_tokens.is_some() && *head != HeadKind::Generate),
    ];
    match given.into_iter().find(|(_, useless)| *useless) {
        Some((flag, _)) => Err(Error::NotOfModel { flag, head: polyseme_infer::head_name(head) }),
        None => Ok(()),
    }
}

/// One line of the answer.
#[derive(Serialize)]
struct Line<'a> {
    text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pair: Option<&'a str>,
    #[serde(flatten)]
    said: Map<String, Value>,
}

/// What the model says of each row, and how many were cut.
fn say(encoder: &Encoder, rows: &[TextRow], args: &PredictArgs) -> anyhow::Result<(Vec<Map<String, Value>>, usize)> {
    let head = encoder.model.head();
    if let HeadKind::Tag(_) = head {
        let texts: Vec<&str> = rows.iter().map(|r| r.text.as_str()).collect();
        let found = encoder.entities(&texts, args.max_length)?;
        return Ok((found.iter().map(|entities| keys(json!({ "entities": entities }))).collect(), 0));
    }
    if head == HeadKind::Generate {
        let texts: Vec<String> = rows.iter().map(|r| r.text.clone()).collect();
        let usual = GenerateOptions::default();
        let options = GenerateOptions {
            beams: args.beams.unwrap_or(4) as usize,
            max_new_tokens: args.max_new_tokens.map_or(usual.max_new_tokens, |n| n as usize),
            max_length: args.max_length,
            ..usual
        };
        let (found, truncated) = encoder.generate(&texts, &options)?;
        let said = found.into_iter().map(|(text, score)| keys(json!({ "generated": text, "score": score })));
        return Ok((said.collect(), truncated));
    }
    if head == HeadKind::None {
        return alike(encoder, rows, args);
    }
    if head == HeadKind::Answer {
        let asked: Vec<_> = rows.iter().map(|r| (r.text.clone(), r.pair.clone().unwrap_or_default())).collect();
        let found = encoder.answer(&asked, args.max_length, STRIDE, args.or_none)?;
        return Ok((found.iter().map(|answer| keys(json!(answer))).collect(), 0));
    }
    let pairs: Vec<TextPair> = rows.iter().map(|r| (r.text.clone(), r.pair.clone())).collect();
    let encodings = encoder.encode(&pairs, args.max_length)?;
    let truncated = encodings.iter().filter(|e| e.truncated > 0).count();
    let each = |labels: &[String], scores: &[f32]| {
        Value::Object(labels.iter().cloned().zip(scores.iter().map(|&s| s.into())).collect())
    };
    let said = match head {
        HeadKind::Regress => encoder
            .predict_numbers_encoded(&encodings)?
            .into_iter()
            .map(|value| keys(json!({ "value": value })))
            .collect(),
        HeadKind::MultiLabel(labels) => {
            let (_, thresholds) = encoder.several_labels()?;
            let of = |scores: Vec<f32>| {
                let true_of = |i: &usize| f64::from(scores[*i]) >= thresholds[*i];
                let said: Vec<&String> = (0..labels.len()).filter(true_of).map(|i| &labels[i]).collect();
                keys(json!({ "labels": said, "scores": each(&labels, &scores) }))
            };
            encoder.predict_several_encoded(&encodings)?.into_iter().map(of).collect()
        }
        _ => {
            let labels = encoder.labels()?;
            let of = |p: polyseme_infer::Prediction| {
                keys(json!({ "label": p.label, "score": p.score, "scores": each(&labels, &p.scores) }))
            };
            encoder.predict_encoded(&encodings)?.into_iter().map(of).collect()
        }
    };
    Ok((said, truncated))
}

/// The cosine of both texts' vectors; of a model that learned from scores (`finetune --task similarity`) the score, too.
fn alike(encoder: &Encoder, rows: &[TextRow], args: &PredictArgs) -> anyhow::Result<(Vec<Map<String, Value>>, usize)> {
    let options = EmbedOptions { max_length: args.max_length, normalize: Some(true), ..EmbedOptions::default() };
    let texts = rows.iter().flat_map(|row| [row.text.as_str(), row.pair.as_deref().unwrap_or_default()]);
    let encodings = encoder.encode_to_embed(&texts.collect::<Vec<_>>(), &options)?;
    let truncated = encodings.chunks(2).filter(|pair| pair.iter().any(|e| e.truncated > 0)).count();
    let vectors = encoder.embed_encoded(&encodings, &options)?;
    let cosines = vectors.chunks(2).map(|pair| pair[0].iter().zip(&pair[1]).map(|(a, b)| a * b).sum::<f32>());
    let said = |cosine| match encoder.model.score_line() {
        Some(line) => keys(json!({ "value": line.score(cosine), "cosine": cosine })),
        None => keys(json!({ "cosine": cosine })),
    };
    Ok((cosines.map(said).collect(), truncated))
}

fn keys(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(keys) => keys,
        _ => Map::new(),
    }
}

/// The best choice of each row of a table.
fn choices(args: &PredictArgs, encoder: &Encoder, context: &Context) -> anyhow::Result<()> {
    if args.file == Path::new("-") {
        return Err(Error::Missing { what: "FILE", hint: "a model for choices reads a table; name one" }.into());
    }
    let table = Table::read(&args.file)?;
    let text = match &args.text {
        Some(name) => table.column(name)?,
        None => table.guess_text(None)?,
    };
    let columns: Vec<_> = args.choices.iter().map(|name| table.column(name)).collect::<Result<_, _>>()?;
    let cell = |values: &[Option<String>], i: usize| values[i].clone().unwrap_or_default();
    let mut out = BufWriter::new(std::io::stdout().lock());
    for from in (0..table.rows()).step_by(512) {
        context.check_stop()?;
        let asked: Vec<(String, Vec<String>)> = (from..table.rows().min(from + 512))
            .map(|i| (cell(&text.values, i), columns.iter().map(|c| cell(&c.values, i)).collect()))
            .collect();
        for ((text, choices), scores) in asked.iter().zip(encoder.choose(&asked, args.max_length)?) {
            let best = polyseme_infer::first_of_best(&scores);
            let line = json!({
                "text": text, "choice": args.choices[best], "answer": choices[best], "score": scores[best],
                "scores": scores,
            });
            serde_json::to_writer(&mut out, &line)?;
            out.write_all(b"\n")?;
        }
    }
    Ok(out.flush()?)
}
