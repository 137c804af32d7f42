//! What must hold without any reference: alone = in a batch, order does not matter, a document
//! never sees its neighbour, dropout works at its rate, gradients are slopes, training learns, and
//! the same run gives the same bits.

mod common;

use common::{caller_rows, cpu, pick, sequences, three_labels, tiny_model, tiny_of};
use polyseme_models::{Bf16, EncoderConfig, Family, Grown, HeadKind, Model, ParamGroup};
use polyseme_tensor::closeness::{Level, assert_close, values};
use polyseme_tensor::ops::cross_entropy;
use polyseme_tensor::ops::optimizer::{AdamWState, AdamWStep, ParamRates, adamw_step, global_norm};
use polyseme_tensor::packed::int_tensor;
use polyseme_tensor::{Mode, PackedBatch, Sequence, Stream, Tensor, View};

const LENGTHS: [usize; 6] = [5, 9, 1, 5, 13, 2];

/// Hidden states in the caller's order.
fn hidden(model: &Model, sequences: &[Sequence]) -> Vec<f32> {
    let batch = PackedBatch::new(sequences);
    pick(&values(&model.hidden(&batch, Mode::Eval)), model.config().hidden_size, &caller_rows(&batch))
}

#[test]
fn a_sequence_alone_is_as_in_a_batch() {
    for family in Family::ALL {
        let model = tiny_model(family, HeadKind::None, &cpu());
        let sequences = sequences(&LENGTHS, Stream::new(3));
        let together = hidden(&model, &sequences);
        let alone: Vec<f32> =
            sequences.iter().flat_map(|sequence| hidden(&model, std::slice::from_ref(sequence))).collect();
        assert_close(model.family().model_type(), &alone, &together, Level::Rounding);
    }
}

#[test]
fn what_a_model_says_is_rounded_to_bfloat16_where_that_is_asked_for_and_nowhere_else() {
    for family in Family::ALL {
        let mut model = tiny_model(family, HeadKind::None, &cpu());
        let sequences = sequences(&LENGTHS, Stream::new(3));
        let mut said = |when: Bf16| {
            model.set_bf16(when);
            hidden(&model, &sequences)
        };
        let whole = said(Bf16::Never);
        let rounded = said(Bf16::Always);
        assert_ne!(rounded, whole, "{}: from products that are kept", family.model_type());
        let apart = rounded.iter().zip(&whole).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(apart < 0.1, "{}: {apart}", family.model_type());
        assert_eq!(said(Bf16::Learning), whole, "{}: it does not learn now", family.model_type());
    }
}

#[test]
fn a_mask_says_the_same_whether_the_rest_of_the_target_is_there_or_not() {
    for family in Family::ALL {
        let model = tiny_model(family, HeadKind::MaskedLm, &cpu());
        let (source, known) = (6, 4);
        let whole = sequences(&[source + known], Stream::new(3)).remove(0);
        // What is behind so many tokens of the whole: masks.
        let sequence = |tokens: usize, masks: usize| Sequence {
            ids: whole.ids[..tokens].iter().copied().chain(vec![2; masks]).collect(),
            type_ids: vec![0; tokens + masks],
        };
        let logits = |sequences: &[Sequence], views: &[View], rows: &[(usize, usize)]| {
            let batch = PackedBatch::with_views(sequences, views);
            let rows: Vec<usize> = rows.iter().map(|&(i, t)| batch.row(i, t)).collect();
            values(&model.masked_lm_logits(&batch, &rows))
        };
        let masks: Vec<(usize, usize)> = (0..=known).map(|t| (0, source + known + t)).collect();
        let view = View::of_target(source, known, 0..=known);
        let together = logits(&[sequence(source + known, known + 1)], &[view], &masks);
        let sequences: Vec<Sequence> = (0..=known).map(|t| sequence(source + t, 1)).collect();
        let views: Vec<View> = (0..=known).map(|t| View::of_target(source, t, [t])).collect();
        let rows: Vec<(usize, usize)> = (0..=known).map(|t| (t, source + t)).collect();
        let alone = logits(&sequences, &views, &rows);
        assert_close(model.family().model_type(), &together, &alone, Level::Rounding);

        // Token by token, two sequences of different lengths beside each other: only what is new is computed.
        let (mut grown, mut before, mut said) = (Grown::default(), None::<PackedBatch>, Vec::new());
        for t in 0..=known {
            let other = Sequence { ids: vec![5; 3 + t], type_ids: vec![0; 3 + t] };
            let both = [sequences[t].clone(), other];
            let batch = PackedBatch::with_views(&both, &[views[t].clone(), View::of_target(2, t, [t])]);
            let mut from = vec![None; batch.tokens()];
            for (i, sequence) in both.iter().enumerate() {
                for token in 0..sequence.ids.len() - 2 {
                    from[batch.row(i, token)] = before.as_ref().map(|before| before.row(i, token));
                }
            }
            let mut rows: Vec<usize> = (0..2).map(|i| batch.row(i, both[i].ids.len() - 1)).collect();
            let first = rows[0];
            rows.sort_unstable();
            let found = values(&model.masked_lm_logits_grown(&batch, &from, &mut grown, &rows));
            let width = found.len() / 2;
            let place = rows.iter().position(|&row| row == first).unwrap();
            said.extend_from_slice(&found[place * width..(place + 1) * width]);
            before = Some(batch);
        }
        assert_close(model.family().model_type(), &said, &alone, Level::Rounding);
    }
}

#[test]
fn another_order_gives_the_other_order() {
    let model = tiny_model(Family::Bert, three_labels(), &cpu());
    let given = sequences(&LENGTHS, Stream::new(3));
    let order = [4, 0, 5, 3, 1, 2];
    let permuted: Vec<_> = order.iter().map(|&i| given[i].clone()).collect();
    let logits = |sequences: &[Sequence]| values(&model.sequence_outputs(&PackedBatch::new(sequences), Mode::Eval));
    let expected = pick(&logits(&given), 3, &order);
    assert_close("permuted", &logits(&permuted), &expected, Level::Rounding);
}

#[test]
fn a_document_never_sees_its_neighbour() {
    for family in Family::ALL {
        let model = tiny_model(family, HeadKind::None, &cpu());
        // Neighbours of the same length, which attention computes together, and of others.
        let mut sequences = sequences(&[6, 6, 6, 9, 3], Stream::new(3));
        let before = hidden(&model, &sequences);
        sequences[1].ids.iter_mut().for_each(|id| *id = 2 + (*id + 7) % 39);
        let after = hidden(&model, &sequences);
        let width = model.config().hidden_size;
        let changed = 6 * width..12 * width;
        assert_ne!(before[changed.clone()], after[changed.clone()], "the changed one is another one");
        assert_close("before it", &after[..changed.start], &before[..changed.start], Level::Bits);
        assert_close("after it", &after[changed.end..], &before[changed.end..], Level::Bits);
    }
}

#[test]
fn a_gradient_does_not_reach_a_neighbour() {
    let device = cpu().autodiff();
    let model = tiny_model(Family::Bert, HeadKind::None, &device);
    // Ids that each sequence has for itself, so that rows of the word table tell them apart.
    let sequence = |low: u32| Sequence { ids: (low..low + 5).collect(), type_ids: vec![0; 5] };
    let batch = PackedBatch::new(&[sequence(2), sequence(10), sequence(20)]);
    let hidden = model.hidden(&batch, Mode::Train(Stream::new(0)));
    let row = batch.row(1, 2);
    let mut grads = hidden.narrow(0, row, 1).powf_scalar(2.0).sum().backward();
    let word = values(&model.gradients(&mut grads)[0]);
    let width = model.config().hidden_size;
    for id in 0..41 {
        let of_row = &word[id * width..(id + 1) * width];
        let own = (10..15).contains(&id);
        assert_eq!(own, of_row.iter().any(|&value| value != 0.0), "id {id}");
    }
}

/// Settings without dropout but in one place.
fn with_dropout(change: impl Fn(&mut EncoderConfig)) -> Model {
    let mut config = tiny_of(Family::Bert);
    change(&mut config);
    Model::new(Family::Bert, config, three_labels(), Stream::new(1), &cpu()).expect("possible settings")
}

#[test]
fn each_dropout_works_in_training_only_and_by_its_own_setting() {
    let batch = PackedBatch::new(&sequences(&LENGTHS, Stream::new(3)));
    let train = |seed| Mode::Train(Stream::new(seed));
    let plain = with_dropout(|_| ());
    let run = |model: &Model, mode| values(&model.sequence_outputs(&batch, mode));
    assert_close("no dropout", &run(&plain, train(1)), &run(&plain, Mode::Eval), Level::Rounding);
    let changes: [fn(&mut EncoderConfig); 3] = [
        |config| config.hidden_dropout_prob = 0.3,
        |config| config.attention_probs_dropout_prob = 0.3,
        |config| config.classifier_dropout = 0.3,
    ];
    for change in changes {
        let model = with_dropout(change);
        assert_close("in inference", &run(&model, Mode::Eval), &run(&plain, Mode::Eval), Level::Bits);
        assert_ne!(run(&model, train(1)), run(&model, Mode::Eval));
        assert_ne!(run(&model, train(1)), run(&model, train(2)), "another step, another mask");
        assert_close("the same step", &run(&model, train(1)), &run(&model, train(1)), Level::Bits);
    }
}

#[test]
fn hidden_dropout_has_its_rate_in_the_embeddings() {
    let mut config = tiny_of(Family::Bert);
    config.hidden_dropout_prob = 0.3;
    let model = Model::new(Family::Bert, config, HeadKind::None, Stream::new(1), &cpu()).expect("possible settings");
    let batch = PackedBatch::new(&sequences(&[16; 400], Stream::new(3)));
    let mut zeros = 0;
    model.hidden_layers_in(&batch, Mode::Train(Stream::new(8)), |layer, state| {
        if layer == 0 {
            zeros = values(state).iter().filter(|&&value| value == 0.0).count();
        }
    });
    // 76,800 elements; one deviation is 0.17 %.
    let rate = zeros as f64 / (400.0 * 16.0 * 12.0);
    assert!((rate - 0.3).abs() < 0.008, "{rate}");
}

/// A loss that every parameter of the head and the encoder takes part in.
fn loss(model: &Model, sequences: &[Sequence], mode: Mode) -> Tensor<1> {
    let batch = PackedBatch::new(sequences);
    match model.head() {
        HeadKind::MaskedLm => {
            let rows: Vec<usize> = (0..sequences.len()).map(|i| batch.row(i, sequences[i].ids.len() / 2)).collect();
            let labels: Vec<u32> = (0..sequences.len() as u32).map(|i| 3 + 5 * i).collect();
            model.masked_lm_loss(&batch, &rows, &labels, mode).0
        }
        _ => {
            let labels: Vec<u32> = (0..sequences.len() as u32).map(|i| i % 3).collect();
            cross_entropy(model.sequence_outputs(&batch, mode), int_tensor(&labels, model.device()))
        }
    }
}

#[test]
fn gradients_are_slopes() {
    const STEP: f32 = 4e-3;
    let device = cpu().autodiff();
    let sequences = sequences(&[4, 7, 4], Stream::new(3));
    for (family, head) in [(Family::Bert, HeadKind::MaskedLm), (Family::Electra, three_labels())] {
        let mut model = tiny_model(family, head, &device);
        // Dropout too: its mask is the same at both points.
        let mode = Mode::Train(Stream::new(5));
        let gradients = model.gradients(&mut loss(&model, &sequences, mode).backward());
        let start = model.take();
        let infos = model.parameters();
        for (p, info) in infos.iter().enumerate() {
            let gradient = values(&gradients[p]);
            let greatest = (0..gradient.len()).max_by(|&a, &b| gradient[a].abs().total_cmp(&gradient[b].abs()));
            let at = greatest.expect("no parameter is empty");
            let mut at_offset = |offset: f32| {
                let mut moved = start.clone();
                let mut numbers = values(&moved[p]);
                numbers[at] += offset;
                moved[p] = Tensor::from_floats(numbers.as_slice(), &cpu());
                model.put(moved);
                let value = values(&loss(&model, &sequences, mode))[0];
                model.take();
                f64::from(value)
            };
            let slope = (at_offset(STEP) - at_offset(-STEP)) / (2.0 * f64::from(STEP));
            let found = f64::from(gradient[at]);
            let allowed = 0.02 * found.abs() + 4e-4;
            assert!((slope - found).abs() < allowed, "{family:?} {}: slope {slope}, gradient {found}", info.name);
        }
    }
}

/// Trains on one batch and gives the losses and the norms of the gradients.
fn train(model: &mut Model, sequences: &[Sequence], steps: u64, rate: f64) -> (Vec<f32>, Vec<f64>) {
    let each: Vec<ParamRates> =
        model.parameters().iter().filter(|p| p.trainable).map(|info| info.decay.into()).collect();
    let step = AdamWStep {
        learning_rate: rate,
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        weight_decay: 0.01,
        gradient_scale: 1.0,
    };
    let mut state = AdamWState::default();
    let (mut losses, mut norms) = (Vec::new(), Vec::new());
    for i in 0..steps {
        let loss = loss(model, sequences, Mode::Train(Stream::new(9).at(i)));
        losses.extend(values(&loss));
        let gradients = model.gradients(&mut loss.backward());
        norms.push(global_norm(&gradients));
        let taken = model.take();
        model.put(adamw_step(taken, gradients, &each, &mut state, step));
    }
    (losses, norms)
}

#[test]
fn one_batch_can_be_overfitted() {
    for (family, head) in [(Family::Bert, HeadKind::MaskedLm), (Family::Roberta, three_labels())] {
        let mut model = tiny_model(family, head, &cpu().autodiff());
        let (losses, _) = train(&mut model, &sequences(&LENGTHS, Stream::new(3)), 120, 5e-3);
        assert!(losses[119] < 0.05, "{family:?}: from {} to {}", losses[0], losses[119]);
    }
}

#[test]
fn the_same_run_gives_the_same_bits() {
    // Large enough that every kernel works on several threads.
    let config = EncoderConfig {
        vocab_size: 3000,
        hidden_size: 128,
        num_attention_heads: 4,
        embedding_size: 128,
        intermediate_size: 256,
        max_position_embeddings: 64,
        hidden_dropout_prob: 0.1,
        attention_probs_dropout_prob: 0.1,
        initializer_range: 0.02,
        ..tiny_of(Family::Bert)
    };
    let sequences = sequences(&[64, 33, 64, 12, 64, 33, 64, 64], Stream::new(3));
    let run = || {
        let stream = Stream::new(1);
        let mut model = Model::new(Family::Bert, config.clone(), HeadKind::MaskedLm, stream, &cpu().autodiff())
            .expect("possible settings");
        let (losses, norms) = train(&mut model, &sequences, 3, 1e-3);
        let bytes: Vec<u8> = model.to_tensors().into_iter().flat_map(|tensor| tensor.bytes).collect();
        (losses, norms, bytes)
    };
    let first = run();
    for _ in 0..3 {
        assert!(run() == first, "another run, other bits");
    }
}

#[test]
fn what_is_frozen_stays() {
    let mut model = tiny_model(Family::Bert, three_labels(), &cpu().autodiff());
    model.set_trainable(&|info| info.group == ParamGroup::Head || info.group == ParamGroup::Layer(1));
    let before = model.to_tensors();
    assert_eq!(model.take().len(), model.parameters().iter().filter(|info| info.trainable).count());
    let mut model = tiny_model(Family::Bert, three_labels(), &cpu().autodiff());
    model.set_trainable(&|info| info.group == ParamGroup::Head || info.group == ParamGroup::Layer(1));
    train(&mut model, &sequences(&LENGTHS, Stream::new(3)), 2, 1e-2);
    for ((info, old), new) in model.parameters().iter().zip(before).zip(model.to_tensors()) {
        assert_eq!(info.trainable, old.bytes != new.bytes, "{}", info.name);
    }
}

#[test]
fn gradients_are_zero_where_the_loss_did_not_look() {
    let model = tiny_model(Family::Bert, HeadKind::MaskedLm, &cpu().autodiff());
    let batch = PackedBatch::new(&sequences(&[4], Stream::new(3)));
    let mut grads = model.hidden(&batch, Mode::Train(Stream::new(0))).sum().backward();
    let gradients = model.gradients(&mut grads);
    for (info, gradient) in model.parameters().iter().zip(gradients) {
        assert_eq!(gradient.dims(), [info.elements()]);
        if info.group == ParamGroup::Head {
            assert!(values(&gradient).iter().all(|&value| value == 0.0), "{}", info.name);
        }
    }
}
