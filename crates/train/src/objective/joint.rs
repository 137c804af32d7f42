//! A loss over all batches of a step at once, with the graph of one batch in memory (GradCache, Gao et al. 2021).
//!
//! What the model says of each batch is computed once without keeping its graph; the loss of all of it gives a
//! gradient for each batch; then each batch is computed again, and what the model says of it times that gradient
//! is a sum whose gradients are those of the whole loss. Dropout masks are named, not drawn, so both passes say
//! the same.

use polyseme_tensor::Tensor;

/// A loss over all batches of a step.
pub struct Joint {
    /// Sum of the losses of all targets of the step.
    pub loss: Tensor<1>,
    /// Its gradient by what the model says of each batch. `(rows, outputs)` each
    pub gradients: Vec<Tensor<2>>,
}

impl Joint {
    /// From what the model says of each batch `(rows, outputs)`, and the loss of all of it, in order.
    pub fn of(parts: Vec<Tensor<2>>, loss: impl FnOnce(Tensor<2>) -> Tensor<1>) -> Self {
        // What is under a graph is taken off it, so that one graph at a time is in memory.
        let rows: Vec<usize> = parts.iter().map(|part| part.dims()[0]).collect();
        let leaf = Tensor::cat(parts.into_iter().map(Tensor::without_autodiff).collect(), 0).autodiff().require_grad();
        let loss = loss(leaf.clone());
        let mut grads = loss.backward();
        let gradient = leaf.grad_remove(&mut grads).expect("the loss depends on what the model says");
        let mut from = 0;
        let narrowed = rows.into_iter().map(|rows| {
            from += rows;
            gradient.clone().narrow(0, from - rows, rows)
        });
        Self { gradients: narrowed.collect(), loss: loss.without_autodiff() }
    }
}

#[cfg(test)]
mod tests {
    use crate::objective::Objective;
    use crate::tasks::rows::{LooksAt, RowBatch, Rows};
    use crate::tasks::similarity::Retrieval;
    use crate::tasks::{Part, Supervised, Task};
    use polyseme_models::{Activation, EncoderConfig, Family, HeadKind, Model};
    use polyseme_tensor::{Mode, Stream, Tensor};
    use polyseme_text::Encoding;

    fn model(dropout: f64) -> Model {
        let config = EncoderConfig {
            vocab_size: 50,
            hidden_size: 16,
            num_hidden_layers: 2,
            num_attention_heads: 2,
            intermediate_size: 32,
            hidden_act: Activation::Gelu,
            max_position_embeddings: 32,
            position_offset: 0,
            type_vocab_size: 2,
            embedding_size: 16,
            layer_norm_eps: 1e-12,
            hidden_dropout_prob: dropout,
            attention_probs_dropout_prob: dropout,
            classifier_dropout: dropout,
            initializer_range: 0.2,
            pad_token_id: 0,
            tie_word_embeddings: true,
            variant: Default::default(),
            layer_sizes: Vec::new(),
            sharing: Default::default(),
        };
        let device = polyseme_tensor::device::parse("cpu").unwrap().autodiff();
        Model::new(Family::Bert, config, HeadKind::None, Stream::new(7), &device).unwrap()
    }

    /// Ten pairs of texts of 3 to 9 tokens.
    fn task() -> Retrieval {
        let mut rows = Rows::new(2, LooksAt::Means);
        for i in 0..20 {
            let len = 3 + (i as usize * 5) % 7;
            let ids = (0..len).map(|t| Stream::new(i).below(t as u64, 50) as u32).collect();
            rows.push(&Encoding { ids, type_ids: vec![0; len], ..Default::default() });
        }
        Retrieval::new(Part { targets: vec![(); rows.len()], rows, shown: Vec::new() }, Part::none())
    }

    fn batches(task: &Retrieval, most: usize) -> Vec<RowBatch> {
        let all: Vec<usize> = (0..task.train().len()).collect();
        let batch = |rows: Vec<usize>| RowBatch { sequences: task.train().sequences(&rows), rows };
        task.train().parts(&all, most).into_iter().map(batch).collect()
    }

    fn modes(count: usize) -> Vec<Mode> {
        (0..count).map(|i| Mode::Train(Stream::new(3).at(i as u64))).collect()
    }

    /// Loss and gradients as the loop adds them up.
    fn by_parts(model: &Model, task: &Retrieval, most: usize) -> (f32, Vec<f32>) {
        let objective = Supervised::new(task, None);
        let batches = batches(task, most);
        let modes = modes(batches.len());
        let joint = objective.joint(model, &batches, &modes);
        assert_eq!(joint.is_some(), batches.len() > 1, "one part needs no second pass");
        let (mut loss, mut sum) = (0.0, Vec::new());
        for (i, (batch, &mode)) in batches.iter().zip(&modes).enumerate() {
            let part = match &joint {
                Some(joint) => objective.surrogate(model, batch, mode, joint.gradients[i].clone()),
                None => objective.loss(model, batch, mode),
            };
            let found = flat(model.gradients(&mut part.backward()));
            loss += part.into_scalar::<f32>();
            sum = if sum.is_empty() { found } else { sum.iter().zip(found).map(|(a, b)| a + b).collect() };
        }
        (joint.map_or(loss, |joint| joint.loss.into_scalar::<f32>()), sum)
    }

    fn flat(gradients: Vec<Tensor<1>>) -> Vec<f32> {
        gradients.into_iter().flat_map(|g| g.into_data().iter::<f32>().collect::<Vec<_>>()).collect()
    }

    fn near((loss, gradients): &(f32, Vec<f32>), (expected, by): &(f32, Vec<f32>)) {
        assert!((loss - expected).abs() < 1e-5 * expected.abs(), "{loss} and {expected}");
        let greatest = by.iter().fold(0.0, |a: f32, b| a.max(b.abs()));
        assert!(greatest > 0.01 && gradients.len() == by.len());
        let far = gradients.iter().zip(by).fold(0.0, |far: f32, (a, b)| far.max((a - b).abs()));
        assert!(far < 1e-5 * greatest.max(1.0), "{far} of {greatest}");
    }

    #[test]
    fn many_parts_have_the_gradients_of_one() {
        let (model, task) = (model(0.0), task());
        let whole = by_parts(&model, &task, 1_000_000);
        for most in [1, 20, 40] {
            near(&by_parts(&model, &task, most), &whole);
        }
    }

    /// With dropout each part has its own masks: the reference is one graph over the same parts.
    #[test]
    fn both_passes_drop_the_same() {
        let (model, task) = (model(0.2), task());
        let objective = Supervised::new(&task, None);
        let batches = batches(&task, 30);
        assert!(batches.len() > 2);
        let parts = batches.iter().zip(modes(batches.len())).map(|(b, mode)| objective.outputs(&model, b, mode));
        let loss = task.loss(Tensor::cat(parts.collect(), 0), &RowBatch::of_all(&batches));
        let gradients = flat(model.gradients(&mut loss.backward()));
        near(&by_parts(&model, &task, 30), &(loss.into_scalar::<f32>(), gradients));
    }
}
