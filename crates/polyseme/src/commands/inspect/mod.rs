//! `polyseme inspect`: one file for each thing to look at.

mod attention;
mod facts;
mod landscape;
mod neighbours;
mod probe;
mod said;
mod senses;

use crate::args::{InspectArgs, InspectWhat};
use crate::commands::Context;
use crate::report::picture;
use crate::settings::Error;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Looks at what was asked for.
pub fn run(args: &InspectArgs, context: &Context) -> anyhow::Result<()> {
    match &args.what {
        InspectWhat::Senses(args) => senses::run(args, context),
        InspectWhat::Attention(args) => attention::run(args, context),
        InspectWhat::Fill(args) => said::run(args, context),
        InspectWhat::Neighbours(args) => neighbours::run(args, context),
        InspectWhat::Probe(args) => probe::run(args, context),
        InspectWhat::Landscape(args) => landscape::run(args, context),
        InspectWhat::Model(args) => facts::run(args, context),
    }
}

/// What a file is to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Page,
    Svg,
    Png,
    Json,
}

/// Files with what each is to hold. Errors on an ending that says nothing, before anything is computed.
struct Outs<'a>(Vec<(&'a Path, Kind)>);

impl<'a> Outs<'a> {
    fn new(paths: &'a [PathBuf]) -> anyhow::Result<Self> {
        let kind = |path: &'a PathBuf| {
            let ending = path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
            let kind = match ending.as_deref() {
                Some("html" | "htm") => Kind::Page,
                Some("svg") => Kind::Svg,
                Some("png") => Kind::Png,
                Some("json") => Kind::Json,
                _ => return Err(Error::PictureEnding { path: path.clone() }),
            };
            Ok((path.as_path(), kind))
        };
        Ok(Self(paths.iter().map(kind).collect::<Result<_, Error>>()?))
    }

    /// Writes them all, each whole or not at all.
    fn write(
        &self,
        context: &Context,
        numbers: &impl Serialize,
        page: impl Fn() -> String,
        drawing: impl Fn() -> String,
    ) -> anyhow::Result<()> {
        for &(path, kind) in &self.0 {
            let bytes = match kind {
                Kind::Page => page().into_bytes(),
                Kind::Svg => picture::standalone(&drawing()).into_bytes(),
                Kind::Png => {
                    picture::png(&drawing()).map_err(|why| anyhow::anyhow!("cannot draw {}: {why}", path.display()))?
                }
                Kind::Json => serde_json::to_vec(numbers)?,
            };
            polyseme_formats::atomic::write(path, |out| out.write_all(&bytes))?;
            context.note(&format!("wrote {}", path.display()));
        }
        Ok(())
    }
}
