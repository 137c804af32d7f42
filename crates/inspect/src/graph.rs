//! Beyond a million vectors: a graph of near ones (HNSW, Malkov & Yashunin 2018, by `usearch`) beside the index, one file that is
//! mapped. It finds who may be near; the index then compares these exactly.

use crate::{Error, Result};
use std::path::Path;
use usearch::{IndexOptions, MetricKind, ScalarKind};

/// Neighbours of a vector in each layer of the graph but the lowest, which has twice as many.
const LINKS: usize = 16;
/// Vectors looked at while the graph is built, for each.
const BUILD: usize = 64;
/// Vectors looked at while it is searched, at least, and for each one wanted.
const SEARCH: (usize, usize) = (400, 20);

/// A graph.
pub(crate) struct Graph(usearch::Index);

impl Graph {
    /// Makes one and writes it. Vectors are kept in it with half their bits. One at a time, so that the same vectors give
    /// the same graph; embedding the texts took longer.
    ///
    /// # Errors
    /// A file that cannot be written, or a graph too large for the memory.
    pub fn build(path: &Path, width: usize, count: usize, vectors: impl Iterator<Item = Vec<f32>>) -> Result<()> {
        let wrong = |e| wrong(path, e);
        let graph = usearch::new_index(&options(width)).map_err(wrong)?;
        graph.reserve_capacity_and_threads(count, 1).map_err(wrong)?;
        for (row, vector) in vectors.enumerate() {
            graph.add(row as u64, &vector).map_err(wrong)?;
        }
        graph.save(name(path)?).map_err(wrong)
    }

    /// Opens one, which stays on disk.
    ///
    /// # Errors
    /// None there, or one of other vectors.
    pub fn open(path: &Path, width: usize, count: usize) -> Result<Self> {
        let graph = usearch::new_index(&options(width)).map_err(|e| wrong(path, e))?;
        graph.view(name(path)?).map_err(|e| wrong(path, e))?;
        if (graph.dimensions(), graph.size()) != (width, count) {
            let what = format!("it is of {} vectors of {} numbers", graph.size(), graph.dimensions());
            return Err(Error::Graph { path: path.to_owned(), what });
        }
        Ok(Self(graph))
    }

    /// Rows that may be nearest, more than are wanted.
    ///
    /// # Errors
    /// A damaged graph.
    pub fn near(&self, path: &Path, vector: &[f32], top: usize) -> Result<Vec<usize>> {
        let wide = SEARCH.0.max(SEARCH.1 * top).min(self.0.size());
        self.0.change_expansion_search(wide);
        let found = self.0.search(vector, wide).map_err(|e| wrong(path, e))?;
        Ok(found.keys.into_iter().map(|row| row as usize).collect())
    }
}

fn options(dimensions: usize) -> IndexOptions {
    let (metric, quantization) = (MetricKind::Cos, ScalarKind::BF16);
    IndexOptions {
        dimensions,
        metric,
        quantization,
        connectivity: LINKS,
        expansion_add: BUILD,
        ..IndexOptions::default()
    }
}

fn wrong(path: &Path, e: impl std::fmt::Display) -> Error {
    Error::Graph { path: path.to_owned(), what: e.to_string() }
}

/// The library takes names in UTF-8.
fn name(path: &Path) -> Result<&str> {
    path.to_str().ok_or_else(|| wrong(path, "its name is not in UTF-8"))
}
