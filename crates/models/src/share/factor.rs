//! Embeddings as the product of narrow ones and a map (Lan et al. 2020), by a truncated singular value decomposition.
//!
//! ALBERT's norm goes over the narrow embeddings, before the map; BERT's over the wide ones. Both are the same where
//! the narrow ones have a mean of zero and the same variance: a norm takes the mean out, so the tables are decomposed
//! without the means of their rows, and the narrow coordinates stand in directions that sum to zero.

use crate::EncoderConfig;
use crate::encoder::EmbeddingValues;

/// Tables, norm and map of ALBERT's embeddings, in the order of its parameters.
pub(super) struct Factored {
    pub values: Vec<Vec<f32>>,
    /// Wide vectors to narrow ones: `(narrow, wide)`; empty where they are as wide.
    narrow: Vec<f64>,
    wide: usize,
}

impl Factored {
    /// The embeddings as they are. Where there is no map, one that changes nothing.
    pub fn as_it_is(embeddings: EmbeddingValues, config: &EncoderConfig) -> Self {
        let (wide, hidden) = (config.embedding_size, config.hidden_size);
        let [word, position, token_type] = tables(&embeddings, config);
        let mut identity = vec![0.0; hidden * hidden];
        identity.iter_mut().step_by(hidden + 1).for_each(|value| *value = 1.0);
        let [map, bias] = embeddings.projection.unwrap_or([identity, vec![0.0; hidden]]);
        let [weight, norm_bias] = embeddings.norm;
        let values = vec![word, position, token_type, weight, norm_bias, map, bias];
        Self { values, narrow: Vec::new(), wide }
    }

    /// Embeddings as wide as layers made `narrow` wide.
    pub fn of(embeddings: EmbeddingValues, config: &EncoderConfig, narrow: usize) -> Self {
        let wide = config.embedding_size;
        let tables = tables(&embeddings, config);
        let main = directions(&tables, wide, narrow - 1);
        let zero_sum = zero_sum_basis(narrow);
        // (narrow, wide): onto the main directions, then into coordinates that sum to zero.
        let mut onto = vec![0.0; narrow * wide];
        for (direction, coordinates) in main.iter().zip(&zero_sum) {
            for (row, along) in onto.chunks_mut(wide).zip(coordinates) {
                row.iter_mut().zip(direction).for_each(|(sum, value)| *sum += along * value);
            }
        }
        let (down, up) = ((narrow as f64 / wide as f64).sqrt(), (wide as f64 / narrow as f64).sqrt());
        let through = |table: &Vec<f32>| -> Vec<f32> {
            table.chunks(wide).flat_map(|row| onto.chunks(wide).map(|o| (down * dot(o, row)) as f32)).collect()
        };
        let [weight, bias] = &embeddings.norm;
        // (wide, narrow): back, as the norm's weight scales it.
        let map = (0..wide).flat_map(|row| {
            let scale = up * f64::from(weight[row]);
            onto.chunks(wide).map(move |o| (scale * o[row]) as f32)
        });
        let [word, position, token_type] = &tables;
        let values = vec![
            through(word),
            through(position),
            through(token_type),
            vec![1.0; narrow],
            vec![0.0; narrow],
            map.collect(),
            bias.clone(),
        ];
        onto.iter_mut().for_each(|value| *value *= up);
        Self { values, narrow: onto, wide }
    }

    /// Narrows a head over the vocabulary whose decoder is the word embeddings, or is as wide as they were: what it says
    /// before its norm is taken along the narrow directions. Not exact, for there is an activation and a norm between.
    pub fn narrow_head(&self, head: &mut [Vec<f32>]) {
        let (wide, narrow) = (self.wide, self.narrow.len() / self.wide);
        let hidden = head[0].len() / wide;
        let column = |values: &[f32], column: usize, columns: usize| -> Vec<f32> {
            (0..wide).map(|row| values[row * columns + column]).collect()
        };
        let taken = |values: &[f32], columns: usize| -> Vec<f32> {
            let columns_of: Vec<Vec<f32>> = (0..columns).map(|c| column(values, c, columns)).collect();
            self.narrow.chunks(wide).flat_map(|n| columns_of.iter().map(|c| dot(n, c) as f32)).collect()
        };
        let [dense, dense_bias] = [taken(&head[0], hidden), taken(&head[1], 1)];
        let mean = head[2].iter().sum::<f32>() / wide as f32;
        let norm_bias = taken(&head[3], 1);
        (head[0], head[1], head[2], head[3]) = (dense, dense_bias, vec![mean; narrow], norm_bias);
        // The decoder's own weight, where it is not the word embeddings.
        if head.len() > 5 {
            let down = narrow as f64 / wide as f64;
            let decoder = head[4]
                .chunks(wide)
                .flat_map(|row| self.narrow.chunks(wide).map(move |n| (down * dot(n, row)) as f32).collect::<Vec<_>>());
            head[4] = decoder.collect();
        }
    }
}

/// Tables of words, of positions without the rows before the first, and of segments; two of zeros where there are none.
fn tables(embeddings: &EmbeddingValues, config: &EncoderConfig) -> [Vec<f32>; 3] {
    let wide = config.embedding_size;
    let position = embeddings.position[config.position_offset * wide..].to_vec();
    let token_type = embeddings.token_type.clone().unwrap_or_else(|| vec![0.0; 2 * wide]);
    [embeddings.word.clone(), position, token_type]
}

fn dot(a: &[f64], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| a * f64::from(b)).sum()
}

/// The `count` directions that hold most of the tables' rows without their means, each table weighing the same.
fn directions(tables: &[Vec<f32>; 3], wide: usize, count: usize) -> Vec<Vec<f64>> {
    let mut products = vec![0.0f64; wide * wide];
    for table in tables {
        let rows = (table.len() / wide) as f64;
        for row in table.chunks(wide) {
            let mean = row.iter().map(|&v| f64::from(v)).sum::<f64>() / wide as f64;
            let centred: Vec<f64> = row.iter().map(|&v| f64::from(v) - mean).collect();
            for (out, &a) in products.chunks_mut(wide).zip(&centred) {
                out.iter_mut().zip(&centred).for_each(|(sum, b)| *sum += a * b / rows);
            }
        }
    }
    let mut rows: Vec<Vec<f64>> = products.chunks(wide).map(<[f64]>::to_vec).collect();
    rotate_apart(&mut rows);
    let length = |row: &[f64]| row.iter().map(|v| v * v).sum::<f64>().sqrt();
    rows.sort_by(|a, b| length(b).total_cmp(&length(a)));
    let greatest = length(&rows[0]);
    rows.truncate(count);
    for i in 0..rows.len() {
        let (before, rest) = rows.split_at_mut(i);
        let row = &mut rest[0];
        let own = length(row);
        let scale = |length: f64, least: f64| if length > least { 1.0 / length } else { 0.0 };
        let first = scale(own, 1e-14 * greatest);
        row.iter_mut().for_each(|value| *value *= first);
        // Short rows are known to a few digits only; what they have of longer ones, or of a mean, would count twice.
        let mean = row.iter().sum::<f64>() / wide as f64;
        row.iter_mut().for_each(|value| *value -= mean);
        for other in before.iter() {
            let along: f64 = row.iter().zip(other).map(|(a, b)| a * b).sum();
            row.iter_mut().zip(other).for_each(|(value, other)| *value -= along * other);
        }
        let second = scale(length(row), 1e-3);
        row.iter_mut().for_each(|value| *value *= second);
    }
    rows
}

/// Turns rows of a matrix in pairs until all are at right angles (Hestenes 1958). Those of a symmetric matrix are then
/// its eigenvectors, each as long as its eigenvalue.
fn rotate_apart(rows: &mut [Vec<f64>]) {
    for _sweep in 0..40 {
        let mut turned = false;
        for i in 1..rows.len() {
            let (before, rest) = rows.split_at_mut(i);
            let a = &mut rest[0];
            for b in before {
                let products = a
                    .iter()
                    .zip(b.iter())
                    .fold([0.0; 3], |[aa, bb, ab], (&a, &b)| [aa + a * a, bb + b * b, ab + a * b]);
                let [aa, bb, ab] = products;
                if ab.abs() <= 1e-13 * (aa * bb).sqrt() || ab == 0.0 {
                    continue;
                }
                turned = true;
                let zeta = (bb - aa) / (2.0 * ab);
                let tangent = zeta.signum() / (zeta.abs() + (1.0 + zeta * zeta).sqrt());
                let cosine = 1.0 / (1.0 + tangent * tangent).sqrt();
                let sine = cosine * tangent;
                for (a, b) in a.iter_mut().zip(b.iter_mut()) {
                    (*a, *b) = (cosine * *a - sine * *b, sine * *a + cosine * *b);
                }
            }
        }
        if !turned {
            return;
        }
    }
}

/// `width - 1` directions at right angles whose coordinates sum to zero (Helmert's).
fn zero_sum_basis(width: usize) -> Vec<Vec<f64>> {
    (1..width)
        .map(|k| {
            let scale = 1.0 / ((k * (k + 1)) as f64).sqrt();
            (0..width)
                .map(|i| {
                    if i < k {
                        scale
                    } else if i == k {
                        -(k as f64) * scale
                    } else {
                        0.0
                    }
                })
                .collect()
        })
        .collect()
}
