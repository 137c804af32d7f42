//! `polyseme inspect neighbours`: what is near, as text and as a map.

use super::Outs;
use crate::args::NeighboursArgs;
use crate::commands::{Context, search};
use crate::report::inspect as pages;
use polyseme_inspect::index::Index;
use polyseme_inspect::neighbours::{Of, neighbours};

/// Looks for the nearest and draws the map.
pub fn run(args: &NeighboursArgs, context: &Context) -> anyhow::Result<()> {
    let outs = Outs::new(&args.out)?;
    let mut index = Index::open(&args.index)?;
    index.exactly();
    let of = match &args.query {
        Some(query) => {
            let encoder = search::model(&index, args.model.as_deref(), context)?;
            Of::Query(query.clone(), encoder.embed(&[query], &index.head.options)?.remove(0))
        }
        None => Of::Row(args.row.expect("one of the two is there")),
    };
    let found = neighbours(&index, of, args.top, (args.map.into(), args.most as usize), &args.index)?;
    outs.write(context, &found, || pages::neighbours(&found, &context.made()), || pages::neighbours_picture(&found))?;
    context.result(&found, &search::shown(&found.hits))
}
