//! Groups among vectors: average linkage on cosine distances, the number of groups by their silhouette.

use kodama::{Method, linkage};

/// Most groups that are looked for.
pub const MOST: usize = 8;
/// Mean silhouette (Rousseeuw 1987) below which there is one group: 0.25 is where he speaks of structure.
pub const LEAST: f64 = 0.25;

/// Cosine similarities of vectors, all with all.
#[derive(Clone, Debug, PartialEq)]
pub struct Similarities {
    /// How many vectors there are.
    pub count: usize,
    /// `(count × count)`
    pub values: Vec<f32>,
}

impl Similarities {
    /// Of vectors of one length. A vector of zeros is like itself and nothing else.
    pub fn new(vectors: &[&[f32]]) -> Self {
        let count = vectors.len();
        let unit: Vec<Vec<f64>> = vectors.iter().map(|v| unit(v)).collect();
        let mut values = vec![1.0; count * count];
        for i in 0..count {
            for j in 0..i {
                let cosine = unit[i].iter().zip(&unit[j]).map(|(a, b)| a * b).sum::<f64>() as f32;
                values[i * count + j] = cosine;
                values[j * count + i] = cosine;
            }
        }
        Self { count, values }
    }

    /// Of the `i`-th and the `j`-th.
    pub fn at(&self, i: usize, j: usize) -> f32 {
        self.values[i * self.count + j]
    }

    /// One less the similarity.
    pub fn distance(&self, i: usize, j: usize) -> f64 {
        (1.0 - f64::from(self.at(i, j))).max(0.0)
    }
}

/// A vector scaled to length 1; zeros stay.
pub(crate) fn unit(vector: &[f32]) -> Vec<f64> {
    let length = vector.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
    let scale = if length > 0.0 { 1.0 / length } else { 0.0 };
    vector.iter().map(|&x| f64::from(x) * scale).collect()
}

/// Groups of vectors.
#[derive(Clone, Debug, PartialEq)]
pub struct Groups {
    /// Of each vector its group; the largest is 0.
    pub of: Vec<usize>,
    /// How many there are.
    pub count: usize,
    /// Mean silhouette of that many groups (−1 to 1); 0 of one group.
    pub silhouette: f64,
    /// The vectors in the order of the tree, so that like stands beside like.
    pub order: Vec<usize>,
}

/// Groups by average linkage: `wanted` of them, or as many, up to [`MOST`], as the silhouette is best of.
pub fn groups(similar: &Similarities, wanted: Option<usize>) -> Groups {
    let n = similar.count;
    if n < 2 {
        return Groups { of: vec![0; n], count: n, silhouette: 0.0, order: (0..n).collect() };
    }
    let pairs = (0..n).flat_map(|i| (i + 1..n).map(move |j| (i, j)));
    let mut condensed: Vec<f64> = pairs.map(|(i, j)| similar.distance(i, j)).collect();
    let tree = linkage(&mut condensed, n, Method::Average);
    let joins: Vec<[usize; 2]> = tree.steps().iter().map(|step| [step.cluster1, step.cluster2]).collect();
    let order = order(&joins, n);
    let cut = |count: usize| {
        let of = cut(&joins, n, count);
        let silhouette = silhouette(similar, &of, count);
        Groups { of, count, silhouette, order: order.clone() }
    };
    if let Some(wanted) = wanted {
        return cut(wanted.clamp(1, n));
    }
    // Of equal ones the one with fewer groups.
    let best = (2..=MOST.min(n - 1)).map(cut).reduce(|a, b| if b.silhouette > a.silhouette { b } else { a });
    best.filter(|found| found.silhouette >= LEAST).unwrap_or_else(|| cut(1))
}

/// The leaves of a tree from left to right. Join `i` makes node `n + i`.
fn order(joins: &[[usize; 2]], n: usize) -> Vec<usize> {
    let (mut order, mut open) = (Vec::with_capacity(n), vec![n + joins.len() - 1]);
    while let Some(node) = open.pop() {
        match node.checked_sub(n) {
            None => order.push(node),
            Some(join) => open.extend(joins[join].iter().rev()),
        }
    }
    order
}

/// The groups that are left when the last joins are undone, numbered by size, equal ones by their first vector.
fn cut(joins: &[[usize; 2]], n: usize, count: usize) -> Vec<usize> {
    let mut parent: Vec<usize> = (0..n + joins.len()).collect();
    for (i, join) in joins[..n - count].iter().enumerate() {
        join.iter().for_each(|&node| parent[node] = n + i);
    }
    let root = |mut node: usize| {
        while parent[node] != node {
            node = parent[node];
        }
        node
    };
    let roots: Vec<usize> = (0..n).map(root).collect();
    let mut names: Vec<usize> = Vec::new();
    roots.iter().for_each(|r| {
        if !names.contains(r) {
            names.push(*r)
        }
    });
    let size = |name: &usize| roots.iter().filter(|r| *r == name).count();
    names.sort_by_key(|name| std::cmp::Reverse(size(name)));
    roots.iter().map(|r| names.iter().position(|name| name == r).expect("named")).collect()
}

/// Mean silhouette of groups: how much nearer each vector is to its own group than to the nearest other one, −1 to 1.
fn silhouette(similar: &Similarities, of: &[usize], count: usize) -> f64 {
    if count < 2 {
        return 0.0;
    }
    let n = of.len();
    let mut sizes = vec![0usize; count];
    of.iter().for_each(|&g| sizes[g] += 1);
    let mut sums = vec![0.0; count];
    let one = |i: usize, sums: &mut Vec<f64>| {
        if sizes[of[i]] == 1 {
            return 0.0;
        }
        sums.fill(0.0);
        (0..n).for_each(|j| sums[of[j]] += similar.distance(i, j));
        let own = sums[of[i]] / (sizes[of[i]] - 1) as f64;
        let others = (0..count).filter(|&g| g != of[i]).map(|g| sums[g] / sizes[g] as f64);
        let other = others.fold(f64::INFINITY, f64::min);
        let greater = own.max(other);
        // Distances of identical vectors differ from zero by rounding only.
        if greater > 1e-6 { (other - own) / greater } else { 0.0 }
    };
    (0..n).map(|i| one(i, &mut sums)).sum::<f64>() / n as f64
}

/// How well two partitions agree: 1 the same, 0 as by chance (adjusted Rand index, Hubert & Arabie 1985; scikit-learn's
/// `adjusted_rand_score`).
pub fn adjusted_rand_index(a: &[usize], b: &[usize]) -> f64 {
    assert_eq!(a.len(), b.len(), "two groups for each");
    let both = |i: usize, j: usize| (a[i] == a[j], b[i] == b[j]);
    let [mut together, mut first, mut second, mut pairs] = [0.0f64; 4];
    for i in 0..a.len() {
        for j in 0..i {
            let (in_a, in_b) = both(i, j);
            pairs += 1.0;
            together += f64::from(u8::from(in_a && in_b));
            first += f64::from(u8::from(in_a));
            second += f64::from(u8::from(in_b));
        }
    }
    let expected = if pairs > 0.0 { first * second / pairs } else { 0.0 };
    let most = (first + second) / 2.0;
    // Both all in one, or both all apart.
    if most == expected { 1.0 } else { (together - expected) / (most - expected) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(vectors: &[[f32; 2]]) -> Similarities {
        Similarities::new(&vectors.iter().map(|v| &v[..]).collect::<Vec<_>>())
    }

    #[test]
    fn two_directions_are_two_groups_and_stand_apart_in_the_order() {
        let found = groups(&of(&[[1.0, 0.0], [0.0, 1.0], [1.0, 0.1], [0.1, 1.0], [1.0, 0.2]]), None);
        assert_eq!((found.of, found.count), (vec![0, 1, 0, 1, 0], 2));
        assert!(found.silhouette > 0.9);
        let side: Vec<usize> = found.order.iter().map(|i| i % 2).collect();
        assert!(side == [0, 0, 0, 1, 1] || side == [1, 1, 0, 0, 0], "{side:?}");
    }

    #[test]
    fn the_same_vector_again_and_again_is_one_group() {
        let found = groups(&of(&[[0.3, 0.7]; 6]), None);
        assert_eq!((found.of, found.count), (vec![0; 6], 1));
        assert_eq!(groups(&of(&[[0.3, 0.7]; 6]), Some(2)).count, 2, "unless two are asked for");
        assert_eq!(
            groups(&of(&[[0.0, 0.0], [1.0, 0.0]]), None).order.len(),
            2,
            "a vector of zeros is no reason to fail"
        );
    }

    /// Numbers of `sklearn.metrics.adjusted_rand_score`.
    #[test]
    fn the_adjusted_rand_index_is_that_of_scikit_learn() {
        let close = |a: &[usize], b: &[usize], wanted: f64| {
            let found = adjusted_rand_index(a, b);
            assert!((found - wanted).abs() < 1e-12, "{found} for {wanted}");
        };
        close(&[0, 0, 1, 1], &[1, 1, 0, 0], 1.0);
        close(&[0, 0, 1, 2], &[0, 0, 1, 1], 0.571_428_571_428_571_4);
        close(&[0, 0, 0, 0], &[0, 1, 0, 1], 0.0);
        close(&[0, 0, 1, 1], &[0, 1, 0, 1], -0.5);
        close(&[0, 0, 0, 1, 1, 2, 2, 2], &[0, 0, 1, 1, 1, 2, 2, 0], 0.238_095_238_095_238_1);
    }
}
