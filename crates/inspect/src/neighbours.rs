//! What is near an entry of an index, and where it lies among the others.

use crate::index::{Entry, Hit, Index};
use crate::map::{MapKind, map};
use crate::{Error, Result};
use serde::Serialize;

/// Neighbours, and a map with them.
#[derive(Clone, Debug, Serialize)]
pub struct Neighbours {
    /// What neighbours are of.
    pub of: Entry,
    /// Entries of the index.
    pub count: usize,
    /// The nearest first.
    pub hits: Vec<Hit>,
    /// The map: first what neighbours are of, then they, then an even part of all others.
    pub points: Vec<Point>,
    /// Share of the variance that the map shows, where it is one of variances.
    pub shown: Option<f64>,
}

/// An entry on the map.
#[derive(Clone, Debug, Serialize)]
pub struct Point {
    /// Where.
    pub at: [f32; 2],
    /// What it is.
    #[serde(flatten)]
    pub entry: Entry,
}

/// What neighbours are looked for of.
pub enum Of {
    /// A text with its vector.
    Query(String, Vec<f32>),
    /// An entry of the index, from 1.
    Row(usize),
}

/// The nearest `top` of an index, and a map with at most `most` points.
///
/// # Errors
/// A row that is not there, an index that is damaged.
pub fn neighbours(
    index: &Index,
    of: Of,
    top: usize,
    (kind, most): (MapKind, usize),
    path: &std::path::Path,
) -> Result<Neighbours> {
    let (of, vector, skip) = match of {
        Of::Query(text, vector) => (Entry { text, word: None }, vector, None),
        Of::Row(asked) if asked == 0 || asked > index.len() => {
            return Err(Error::NoRow { asked, count: index.len(), path: path.to_owned() });
        }
        Of::Row(row) => (index.entry(row - 1)?, index.vector(row - 1), Some(row - 1)),
    };
    let hits = index.nearest(&vector, top, skip)?;
    let near: Vec<usize> = hits.iter().map(|hit| hit.row).collect();
    let others = index.len().saturating_sub(near.len() + 1);
    let room = most.saturating_sub(near.len() + 1).max(1);
    let every = others.div_ceil(room).max(1);
    let rest = (0..index.len()).filter(|row| !near.contains(row) && Some(*row) != skip).step_by(every);
    let rows: Vec<usize> = near.iter().copied().chain(rest).collect();
    let mut vectors = vec![vector];
    vectors.extend(rows.iter().map(|&row| index.vector(row)));
    let vectors: Vec<&[f32]> = vectors.iter().map(Vec::as_slice).collect();
    let (places, shown) = map(kind, &vectors);
    let mut entries = vec![of.clone()];
    for row in rows {
        entries.push(index.entry(row)?);
    }
    let points = places.into_iter().zip(entries).map(|(at, entry)| Point { at, entry }).collect();
    Ok(Neighbours { of, count: index.len(), hits, points, shown })
}
