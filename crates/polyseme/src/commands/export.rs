//! `polyseme export`: a model as an ONNX graph.

use crate::args::ExportArgs;
use crate::commands::Context;
use polyseme_formats::{Error, ModelFolder};
use polyseme_models::{HeadKind, Model};
use polyseme_tensor::Stream;
use std::io::Write;

/// Writes the graph.
pub fn run(args: &ExportArgs, context: &Context) -> anyhow::Result<()> {
    let folder = ModelFolder::open(&args.model)?;
    let (model, _) = Model::open(&folder, HeadKind::AsFound, Stream::new(0), &context.device)?;
    let bytes = model.to_onnx()?;
    let mut file = polyseme_formats::atomic::Pending::create(&args.out)?;
    let written = file.file_mut().write_all(&bytes);
    written.map_err(|source| Error::Io { action: "write", path: args.out.clone(), source })?;
    file.commit()?;
    let mib = bytes.len() as f64 / f64::from(1 << 20);
    let result = serde_json::json!({ "out": args.out, "bytes": bytes.len() });
    context.result(&result, &format!("{}  {mib:.1} MiB\n", args.out.display()))
}
