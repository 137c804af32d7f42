//! `polyseme predict`: labels or numbers of texts, as JSON lines on stdout.

use crate::args::PredictArgs;
use crate::commands::Context;
use crate::commands::stream::TextStream;
use polyseme_infer::{Prediction, TextPair};
use polyseme_models::HeadKind;
use polyseme_text::table::TextRow;
use serde::{Serialize, Serializer};
use std::io::{BufWriter, Write};

/// One line of the answer.
#[derive(Serialize)]
struct Line<'a> {
    text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pair: Option<&'a str>,
    label: &'a str,
    score: f32,
    scores: Scores<'a>,
}

/// One line of a regression's answer.
#[derive(Serialize)]
struct NumberLine<'a> {
    text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pair: Option<&'a str>,
    value: f32,
}

/// A probability for each label, in label order.
struct Scores<'a> {
    labels: &'a [String],
    scores: &'a [f32],
}

impl Serialize for Scores<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.labels.iter().zip(self.scores))
    }
}

/// Streams texts through the model.
pub fn run(args: &PredictArgs, context: &Context) -> anyhow::Result<()> {
    let encoder = context.open(&args.model)?;
    let regress = encoder.model.head() == HeadKind::Regress;
    let labels = if regress { Vec::new() } else { encoder.labels()? };
    let mut stream = TextStream::open(&args.file, args.text.as_deref(), args.pair.as_deref(), "predict", context)?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    while let Some(rows) = stream.next_piece()? {
        let pairs: Vec<TextPair> = rows.iter().map(|r| (r.text.clone(), r.pair.clone())).collect();
        let encodings = encoder.encode(&pairs, args.max_length)?;
        if regress {
            for (row, value) in rows.iter().zip(encoder.predict_numbers_encoded(&encodings)?) {
                let line = NumberLine { text: &row.text, pair: row.pair.as_deref(), value };
                serde_json::to_writer(&mut out, &line)?;
                out.write_all(b"\n")?;
            }
        } else {
            for (row, prediction) in rows.iter().zip(&encoder.predict_encoded(&encodings)?) {
                serde_json::to_writer(&mut out, &line(row, prediction, &labels))?;
                out.write_all(b"\n")?;
            }
        }
        out.flush()?; // a reader at the other end of a pipe sees whole pieces
        stream.wrote(rows.len(), encodings.iter().filter(|e| e.truncated > 0).count());
    }
    stream.finish();
    Ok(())
}

fn line<'a>(row: &'a TextRow, prediction: &'a Prediction, labels: &'a [String]) -> Line<'a> {
    Line {
        text: &row.text,
        pair: row.pair.as_deref(),
        label: &prediction.label,
        score: prediction.score,
        scores: Scores { labels, scores: &prediction.scores },
    }
}
