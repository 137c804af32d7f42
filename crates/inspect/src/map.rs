//! Vectors as points of a plane.

use crate::cluster::unit;
use bhtsne::tSNE;
use rayon::ThreadPoolBuilder;
use serde::{Deserialize, Serialize};

/// How vectors become points.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MapKind {
    /// The two directions with the most variance, of vectors of length 1: distances far apart can be trusted.
    #[default]
    Pca,
    /// t-SNE (van der Maaten & Hinton 2008) of cosine distances, begun from the above: neighbours can be trusted.
    Tsne,
}

/// Rounds of power iteration at most.
const ROUNDS: usize = 500;

/// Points of vectors of one length, and the share of the variance that they show (of t-SNE none).
pub fn map(kind: MapKind, vectors: &[&[f32]]) -> (Vec<[f32; 2]>, Option<f64>) {
    let (points, share) = principal(vectors);
    // Below that there are no neighbours to speak of.
    if kind == MapKind::Pca || vectors.len() < 8 {
        return (points, Some(share));
    }
    (tsne(&points, vectors), None)
}

/// Principal components of unit vectors, deterministic: the first direction, then the second.
fn principal(vectors: &[&[f32]]) -> (Vec<[f32; 2]>, f64) {
    let mut rows: Vec<Vec<f64>> = vectors.iter().map(|v| unit(v)).collect();
    let width = rows.first().map_or(0, Vec::len);
    let n = rows.len().max(1) as f64;
    let mut mean = vec![0.0; width];
    rows.iter().for_each(|row| mean.iter_mut().zip(row).for_each(|(m, x)| *m += x / n));
    rows.iter_mut().for_each(|row| row.iter_mut().zip(&mean).for_each(|(x, m)| *x -= m));
    let total: f64 = rows.iter().flatten().map(|x| x * x).sum();
    let mut shown = 0.0;
    let mut points = vec![[0.0f32; 2]; rows.len()];
    if total <= 1e-12 * n {
        return (points, 1.0);
    }
    for axis in 0..2 {
        let Some(direction) = strongest(&rows, width) else { break };
        for (row, point) in rows.iter_mut().zip(&mut points) {
            let along: f64 = row.iter().zip(&direction).map(|(x, d)| x * d).sum();
            shown += along * along;
            point[axis] = along as f32;
            row.iter_mut().zip(&direction).for_each(|(x, d)| *x -= along * d);
        }
    }
    (points, (shown / total).min(1.0))
}

/// The direction along which rows vary most, of length 1, begun at the longest row; its greatest entry is positive.
fn strongest(rows: &[Vec<f64>], width: usize) -> Option<Vec<f64>> {
    let square = |row: &[f64]| row.iter().map(|x| x * x).sum::<f64>();
    let mut direction = rows.iter().max_by(|a, b| square(a).total_cmp(&square(b)))?.clone();
    if square(&direction) < 1e-18 {
        return None;
    }
    let scale = |v: &mut Vec<f64>| {
        let length = square(v).sqrt();
        v.iter_mut().for_each(|x| *x /= length);
    };
    scale(&mut direction);
    for _ in 0..ROUNDS {
        let mut next = vec![0.0; width];
        for row in rows {
            let along: f64 = row.iter().zip(&direction).map(|(x, d)| x * d).sum();
            next.iter_mut().zip(row).for_each(|(n, x)| *n += along * x);
        }
        scale(&mut next);
        let moved: f64 = next.iter().zip(&direction).map(|(a, b)| (a - b).powi(2)).sum();
        direction = next;
        if moved < 1e-16 {
            break;
        }
    }
    let greatest = direction.iter().copied().max_by(|a, b| a.abs().total_cmp(&b.abs()))?;
    if greatest < 0.0 {
        direction.iter_mut().for_each(|x| *x = -*x);
    }
    Some(direction)
}

/// t-SNE from points to begin with, so that it has no random numbers.
fn tsne(begin: &[[f32; 2]], vectors: &[&[f32]]) -> Vec<[f32; 2]> {
    let n = begin.len();
    let units: Vec<Vec<f64>> = vectors.iter().map(|v| unit(v)).collect();
    let spread = begin.iter().map(|p| f64::from(p[0]).powi(2)).sum::<f64>() / n as f64;
    let scale = if spread > 0.0 { 1e-4 / spread.sqrt() } else { 0.0 };
    // Points that lie on each other would never part.
    let first = begin.iter().enumerate().flat_map(|(i, p)| {
        let apart = 1e-9 * (i as f64 / n as f64 - 0.5);
        [f64::from(p[0]) * scale + apart, f64::from(p[1]) * scale - apart]
    });
    // On one thread: sums over several depend on who was first, and the map with them.
    let alone = ThreadPoolBuilder::new().num_threads(1).build().expect("a thread");
    alone.install(|| embedded(&units, first.collect()))
}

fn embedded(units: &[Vec<f64>], first: Vec<f64>) -> Vec<[f32; 2]> {
    let cosine = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
    let mut tsne: tSNE<f64, Vec<f64>> = tSNE::new(units);
    tsne.perplexity((units.len() as f64 / 4.0).clamp(2.0, 30.0))
        .epochs(750)
        .initial_embedding(first)
        .exact(|a, b| (1.0 - cosine(a, b)).max(0.0).sqrt());
    tsne.embedding().chunks_exact(2).map(|p| [p[0] as f32, p[1] as f32]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_apart_stays_apart_and_twice_is_the_same() {
        let vectors: Vec<Vec<f32>> = (0..20).map(|i| vec![1.0, (i % 2) as f32, 0.02 * (i / 2) as f32, 0.0]).collect();
        let vectors: Vec<&[f32]> = vectors.iter().map(Vec::as_slice).collect();
        for kind in [MapKind::Pca, MapKind::Tsne] {
            let (points, share) = map(kind, &vectors);
            assert_eq!(map(kind, &vectors), (points.clone(), share));
            assert!(points.iter().flatten().all(|x| x.is_finite()));
            let distance = |i: usize, j: usize| (points[i][0] - points[j][0]).hypot(points[i][1] - points[j][1]);
            let within = (2..20).step_by(2).map(|i| distance(0, i)).fold(0.0, f32::max);
            let between = (1..20).step_by(2).map(|i| distance(0, i)).fold(f32::INFINITY, f32::min);
            assert!(between > within, "{kind:?}: {between} {within}");
            assert_eq!(share.is_some_and(|s| s > 0.95), kind == MapKind::Pca);
        }
    }

    #[test]
    fn one_point_and_equal_points_are_points() {
        for vectors in [vec![[1.0f32, 2.0]], vec![[1.0, 2.0]; 9], vec![[0.0, 0.0]; 9]] {
            let vectors: Vec<&[f32]> = vectors.iter().map(|v| &v[..]).collect();
            for kind in [MapKind::Pca, MapKind::Tsne] {
                let (points, _) = map(kind, &vectors);
                assert!(points.len() == vectors.len() && points.iter().flatten().all(|x| x.is_finite()), "{points:?}");
            }
        }
    }
}
