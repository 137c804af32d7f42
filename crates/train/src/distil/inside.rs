//! How far a student's hidden states are from its teacher's: their values, their angles, what attends to what.

use super::divergence::of_classes;
use super::settings::DistilSettings;
use polyseme_models::Model;
use polyseme_tensor::{Mode, PackedBatch, Tensor};

/// A model with its hidden states of one batch: the embeddings' first, then each layer's. `(tokens, hidden)` each
pub(super) struct Seen<'a> {
    pub model: &'a Model,
    pub states: &'a [Tensor<2>],
    pub mode: Mode,
}

impl Seen<'_> {
    fn layers(&self) -> usize {
        self.states.len() - 1
    }

    /// Query, key and value of a layer, from 1. `(tokens, width of all heads)` each
    fn query_key_value(&self, layer: usize) -> [Tensor<2>; 3] {
        self.model.query_key_value(layer - 1, self.states[layer - 1].clone(), self.mode)
    }
}

/// The mean over tokens of all losses that compare what is inside, with their weights.
pub(super) fn loss(
    settings: &DistilSettings,
    student: &Seen<'_>,
    teacher: &Seen<'_>,
    batch: &PackedBatch,
) -> Tensor<1> {
    let layers = student.layers();
    // Evenly spread; the last one has the last.
    let of_teacher = |layer: usize| (layer * teacher.layers()).div_ceil(layers);
    let pairs: Vec<(usize, usize)> = (1..=layers).map(|layer| (layer, of_teacher(layer))).collect();
    let mut terms: Vec<Tensor<1>> = Vec::new();
    let mut add = |weight: f64, loss: &dyn Fn() -> Tensor<1>| {
        if weight > 0.0 {
            terms.push(loss() * weight);
        }
    };
    let projected = |layer: usize| student.model.projected(student.states[layer].clone(), student.mode);
    let squared = |(of_student, of_teacher): (usize, usize)| {
        let difference = projected(of_student) - teacher.states[of_teacher].clone();
        (difference.clone() * difference).mean()
    };
    add(settings.embeddings, &|| squared((0, 0)));
    add(settings.hidden, &|| sum(pairs.iter().map(|&pair| squared(pair))));
    add(settings.cosine, &|| {
        let (x, y) = (projected(layers), teacher.states[teacher.layers()].clone());
        let length = |x: Tensor<2>| (x.clone() * x).sum_dim(1).sqrt().clamp_min(1e-12);
        let cosines = (x.clone() * y.clone()).sum_dim(1) / (length(x) * length(y));
        cosines.mean().neg() + 1.0
    });
    add(settings.attention, &|| {
        let heads = student.model.config().num_attention_heads;
        sum(pairs.iter().map(|&(of_student, of_teacher)| {
            let scores = |seen: &Seen<'_>, layer: usize| {
                let [query, key, _] = seen.query_key_value(layer);
                relations(&query, &key, batch, heads)
            };
            let (said, taught) = (scores(student, of_student), scores(teacher, of_teacher));
            let count: usize = said.iter().map(|x| x.dims().iter().product::<usize>()).sum();
            let squares = said.into_iter().zip(taught).map(|(x, y)| ((x.clone() - y.clone()) * (x - y)).sum());
            sum(squares) * (1.0 / count as f64)
        }))
    });
    add(settings.relations, &|| {
        let heads = settings.relation_heads_of(student.model.config());
        let (said, taught) = (student.query_key_value(layers), teacher.query_key_value(teacher.layers()));
        let of = |(x, y): (Tensor<2>, Tensor<2>)| {
            let (said, taught) = (relations(&x, &x, batch, heads), relations(&y, &y, batch, heads));
            let flat = |x: Tensor<4>| {
                let [count, heads, rows, length] = x.dims();
                x.reshape([count * heads * rows, length])
            };
            sum(said.into_iter().zip(taught).map(|(x, y)| of_classes(flat(x), flat(y), 1.0)))
        };
        sum(said.into_iter().zip(taught).map(of)) * (1.0 / (3 * heads * batch.tokens()) as f64)
    });
    sum(terms.into_iter())
}

/// The sum of at least one loss.
fn sum(losses: impl Iterator<Item = Tensor<1>>) -> Tensor<1> {
    losses.reduce(|a, b| a + b).expect("at least one loss")
}

/// `x · yᵀ / √size` inside each sequence and head, for each run of sequences of one length.
///
/// # Shapes
/// - x, y: `(tokens, heads · size)`
/// - output: `(sequences, heads, length, length)` a run
fn relations(x: &Tensor<2>, y: &Tensor<2>, batch: &PackedBatch, heads: usize) -> Vec<Tensor<4>> {
    let size = x.dims()[1] / heads;
    let apart = |x: &Tensor<2>, &(first, count, length): &(usize, usize, usize)| {
        let size = x.dims()[1] / heads;
        let rows = x.clone().narrow(0, batch.starts[first], count * length);
        rows.reshape([count, length, heads, size]).swap_dims(1, 2)
    };
    let of_run = |run| apart(x, run).matmul(apart(y, run).transpose()) * (1.0 / (size as f64).sqrt());
    batch.runs.iter().map(of_run).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyseme_models::{Activation, EncoderConfig, Family, HeadKind};
    use polyseme_tensor::{Device, Sequence, Stream};

    fn model(width: usize, layers: usize, seed: u64) -> Model {
        let config = EncoderConfig {
            vocab_size: 20,
            hidden_size: width,
            num_hidden_layers: layers,
            num_attention_heads: 2,
            intermediate_size: 12,
            hidden_act: Activation::Gelu,
            max_position_embeddings: 16,
            position_offset: 0,
            type_vocab_size: 2,
            embedding_size: width,
            layer_norm_eps: 1e-12,
            hidden_dropout_prob: 0.0,
            attention_probs_dropout_prob: 0.0,
            classifier_dropout: 0.0,
            initializer_range: 0.4,
            pad_token_id: 0,
            tie_word_embeddings: true,
            variant: Default::default(),
            layer_sizes: Vec::new(),
            sharing: Default::default(),
        };
        let device: Device = polyseme_tensor::device::parse("cpu").unwrap();
        Model::new(Family::Bert, config, HeadKind::None, Stream::new(seed), &device).unwrap()
    }

    fn batch() -> PackedBatch {
        let sequence = |length: u32| Sequence {
            ids: (0..length).map(|i| 3 + (i * 7 + length) % 17).collect(),
            type_ids: vec![0; length as usize],
        };
        PackedBatch::new(&[sequence(5), sequence(3), sequence(5)])
    }

    fn of_width(width: usize) -> [(Model, Vec<Tensor<2>>); 2] {
        [model(width, 2, 1), model(8, 4, 2)].map(|model| {
            let states = model.hidden_layers(&batch());
            (model, states)
        })
    }

    fn found(settings: &DistilSettings, models: &[(Model, Vec<Tensor<2>>); 2]) -> f64 {
        let [student, teacher] = models.each_ref().map(|(model, states)| Seen { model, states, mode: Mode::Eval });
        f64::from(loss(settings, &student, &teacher, &batch()).into_scalar::<f32>())
    }

    const NONE: DistilSettings = DistilSettings {
        teacher: None,
        keep_layers: Vec::new(),
        keep_heads: 1.0,
        keep_units: 1.0,
        unlabelled: Vec::new(),
        augment: 0,
        augment_share: 0.3,
        augment_with: None,
        temperature: 1.0,
        soft: 0.0,
        hard: 0.0,
        hidden: 0.0,
        embeddings: 0.0,
        cosine: 0.0,
        attention: 0.0,
        relations: 0.0,
        relation_heads: 0,
    };

    fn wide(x: &Tensor<2>) -> Vec<f64> {
        x.clone().into_data().iter::<f64>().collect()
    }

    /// `x_i · y_j / √size` of a head inside each sequence: a row of numbers for each token.
    fn scores(x: &Tensor<2>, y: &Tensor<2>, heads: usize) -> Vec<Vec<f64>> {
        let width = x.dims()[1];
        let (size, x, y) = (width / heads, wide(x), wide(y));
        let mut rows = Vec::new();
        for bounds in batch().starts.windows(2) {
            for head in 0..heads {
                let at = |values: &[f64], row: usize, c: usize| values[row * width + head * size + c];
                for i in bounds[0]..bounds[1] {
                    let dot = |j| (0..size).map(|c| at(&x, i, c) * at(&y, j, c)).sum::<f64>() / (size as f64).sqrt();
                    rows.push((bounds[0]..bounds[1]).map(dot).collect());
                }
            }
        }
        rows
    }

    fn shares(row: &[f64]) -> Vec<f64> {
        let exps: Vec<f64> = row.iter().map(|x| x.exp()).collect();
        let sum: f64 = exps.iter().sum();
        exps.iter().map(|e| e / sum).collect()
    }

    fn near(found: f64, wanted: f64) {
        assert!((found - wanted).abs() < 1e-4 * wanted.abs().max(1.0) && wanted > 1e-3, "{found} for {wanted}");
    }

    #[test]
    fn states_and_angles_are_compared_by_the_book() {
        let models = of_width(8);
        let [(_, student), (_, teacher)] = &models;
        let squared = |a: &Tensor<2>, b: &Tensor<2>| {
            let (a, b) = (wide(a), wide(b));
            a.iter().zip(&b).map(|(a, b)| (a - b).powi(2)).sum::<f64>() / a.len() as f64
        };
        near(found(&DistilSettings { embeddings: 1.0, ..NONE }, &models), squared(&student[0], &teacher[0]));
        let wanted = squared(&student[1], &teacher[2]) + squared(&student[2], &teacher[4]);
        near(found(&DistilSettings { hidden: 0.5, ..NONE }, &models), 0.5 * wanted);
        let (a, b) = (wide(&student[2]), wide(&teacher[4]));
        let angle = |(a, b): (&[f64], &[f64])| {
            let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            1.0 - dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
        };
        let wanted = a.chunks(8).zip(b.chunks(8)).map(angle).sum::<f64>() / batch().tokens() as f64;
        near(found(&DistilSettings { cosine: 1.0, ..NONE }, &models), wanted);
    }

    #[test]
    fn who_attends_to_whom_is_compared_by_the_book() {
        // Scores do not ask how wide a model is.
        let models = of_width(6);
        let [(student, of_student), (teacher, of_teacher)] = &models;
        let maps = |layer: usize, whose: &Model, states: &[Tensor<2>]| {
            whose.query_key_value(layer - 1, states[layer - 1].clone(), Mode::Eval)
        };
        let mut wanted = 0.0;
        for (a, b) in [(1, 2), (2, 4)] {
            let ([q, k, _], [q2, k2, _]) = (maps(a, student, of_student), maps(b, teacher, of_teacher));
            let (said, taught) = (scores(&q, &k, 2).concat(), scores(&q2, &k2, 2).concat());
            wanted += said.iter().zip(&taught).map(|(a, b)| (a - b).powi(2)).sum::<f64>() / said.len() as f64;
        }
        near(found(&DistilSettings { attention: 1.0, ..NONE }, &models), wanted);

        let (said, taught) = (maps(2, student, of_student), maps(4, teacher, of_teacher));
        let mut wanted = 0.0;
        for (x, y) in said.iter().zip(&taught) {
            for (a, b) in scores(x, x, 2).iter().zip(scores(y, y, 2)) {
                let (q, p) = (shares(a), shares(&b));
                wanted += p.iter().zip(&q).map(|(p, q)| p * (p / q).ln()).sum::<f64>();
            }
        }
        wanted /= 3.0 * 2.0 * batch().tokens() as f64;
        near(found(&DistilSettings { relations: 1.0, ..NONE }, &models), wanted);
    }

    #[test]
    fn a_student_that_is_its_teacher_has_nothing_to_learn() {
        let one = || {
            let model = model(8, 2, 1);
            let states = model.hidden_layers(&batch());
            (model, states)
        };
        let all = DistilSettings { hidden: 1.0, embeddings: 1.0, cosine: 1.0, attention: 1.0, relations: 1.0, ..NONE };
        assert!(found(&all, &[one(), one()]).abs() < 1e-6);
    }
}
