//! What is left of a model says what the whole one says without the rest.

mod common;

use common::{cpu, put, sequences, three_labels, tiny_model, tiny_of};
use polyseme_formats::ModelFolder;
use polyseme_models::{Cut, EncoderConfig, Family, HeadKind, LayerSize, Model, ParamGroup, Sharing};
use polyseme_tensor::closeness::{Level, assert_close, values};
use polyseme_tensor::{Mode, PackedBatch, Stream};
use std::collections::BTreeMap;

fn batch() -> PackedBatch {
    PackedBatch::new(&sequences(&[5, 9, 1, 7], Stream::new(3)))
}

fn hidden(model: &Model) -> Vec<f32> {
    values(&model.hidden(&batch(), Mode::Eval))
}

/// Ends of the names of the maps behind the heads and behind the units.
fn maps(family: Family) -> [&'static str; 2] {
    match family {
        Family::DistilBert => ["out_lin.weight", "ffn.lin2.weight"],
        Family::ModernBert => ["attn.Wo.weight", "mlp.Wo.weight"],
        _ => ["attention.output.dense.weight", ".output.dense.weight"],
    }
}

/// Lets the columns of a matrix that `stays` refuses be zero.
fn without(model: &mut Model, end: &str, but: Option<&str>, layer: usize, stays: &dyn Fn(usize) -> bool) {
    let shapes: BTreeMap<String, usize> =
        model.parameters().into_iter().filter_map(|p| Some((p.name, *p.shape.get(1)?))).collect();
    let tensors: BTreeMap<String, Vec<f32>> = model
        .to_tensors()
        .into_iter()
        .map(|t| {
            let values = t.bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
            (t.name, values)
        })
        .collect();
    let name = shapes
        .keys()
        .find(|n| n.ends_with(end) && but.is_none_or(|but| !n.ends_with(but)) && n.contains(&format!(".{layer}.")))
        .unwrap_or_else(|| panic!("a map {end} of layer {layer}"))
        .clone();
    let columns = shapes[&name];
    put(model, &|asked| {
        let mut values = tensors.get(asked)?.clone();
        if asked == name {
            values.iter_mut().enumerate().filter(|(i, _)| !stays(i % columns)).for_each(|(_, v)| *v = 0.0);
        }
        Some(values)
    });
}

#[test]
fn heads_and_units_that_are_cut_are_those_that_say_nothing() {
    for family in Family::ALL.into_iter().filter(|&family| family != Family::Albert) {
        let mut whole = tiny_model(family, HeadKind::None, &cpu());
        let config = whole.config().clone();
        let (heads, units) = (config.num_attention_heads, config.intermediate_size);
        let cut = Cut {
            layers: None,
            heads: Some(vec![vec![heads - 1], (0..heads).collect()]),
            units: Some(vec![(0..units).collect(), vec![0, 2, units - 1]]),
            width: None,
        };
        let smaller = whole.cut(&cut).unwrap();
        let size = config.head_size();
        let [attention, output] = maps(family);
        without(&mut whole, attention, None, 0, &|c| c / size == heads - 1);
        without(&mut whole, output, Some(attention), 1, &|c| [0, 2, units - 1].contains(&c));
        assert_close(family.model_type(), &hidden(&smaller), &hidden(&whole), Level::Rounding);
        let size = |num_attention_heads, intermediate_size| LayerSize { num_attention_heads, intermediate_size };
        assert_eq!(smaller.config().layer_sizes, [size(1, units), size(heads, 3)]);

        // As it is read back, and cut again.
        let folder = tempfile::tempdir().unwrap();
        smaller.save(folder.path()).unwrap();
        let source = ModelFolder::open(folder.path()).unwrap();
        let (again, report) = Model::open(&source, HeadKind::AsFound, Stream::new(0), &cpu()).unwrap();
        assert!(report.missing.is_empty() && report.unused.is_empty(), "{report:?}");
        assert_eq!(hidden(&again), hidden(&smaller));
        let again = again.cut(&Cut { units: Some(vec![vec![1], vec![2]]), ..Cut::default() }).unwrap();
        assert_eq!(again.config().layer_sizes, [size(1, 1), size(heads, 1)]);
    }
}

/// Lets every channel say what the one beside it says, and nobody listen to every second one.
fn in_pairs(model: &mut Model, family: Family) {
    let (hidden, narrow) = (model.config().hidden_size, model.config().embedding_size);
    let infos: BTreeMap<String, (Vec<usize>, bool)> = model
        .parameters()
        .into_iter()
        .map(|p| {
            let table = p.group == ParamGroup::Embeddings && !p.name.contains("project");
            (p.name, (p.shape, table))
        })
        .collect();
    let tensors: BTreeMap<String, Vec<f32>> = model
        .to_tensors()
        .into_iter()
        .map(|t| (t.name, t.bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()))
        .collect();
    put(model, &|name| {
        let (shape, embeds) = &infos[name];
        let mut values = tensors[name].clone();
        let writes = maps(family).iter().any(|end| name.ends_with(end));
        match shape[..] {
            // What is not as wide as the hidden states has no channels.
            _ if *embeds && narrow != hidden => (),
            [rows, columns] => {
                for (row, column) in (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column))) {
                    let at = row * columns + column;
                    if *embeds {
                        values[at] = values[at - column % 2];
                    } else if writes || name.contains("project") {
                        values[at] = values[at - row % 2 * columns];
                    } else if column % 2 == 1 {
                        values[at] = 0.0;
                    }
                }
            }
            [length] if length == hidden => (0..length).for_each(|at| values[at] = values[at - at % 2]),
            _ => (),
        }
        Some(values)
    });
}

#[test]
fn channels_that_are_cut_are_those_that_say_what_others_say() {
    for family in Family::ALL.into_iter().filter(|&family| family != Family::Albert) {
        let tiny = tiny_of(family);
        let embedding_size = if family == Family::Electra { 8 } else { 32 };
        let config = EncoderConfig { hidden_size: 32, num_attention_heads: 4, embedding_size, ..tiny };
        let stream = Stream::new(1).named("init");
        let mut whole = Model::new(family, config.clone(), three_labels(), stream, &cpu()).unwrap();
        in_pairs(&mut whole, family);
        let (heads, size) = (config.num_attention_heads, config.head_size());
        let width: Vec<usize> = (0..config.hidden_size).step_by(2).collect();
        let smaller = whole.cut(&Cut { width: Some(width.clone()), ..Cut::default() }).unwrap();
        let all = hidden(&whole);
        let every_other: Vec<f32> = all.iter().copied().step_by(2).collect();
        assert_close(family.model_type(), &hidden(&smaller), &every_other, Level::Twin);
        assert_eq!(smaller.config().head_size(), size);
        assert!((0..config.num_hidden_layers).all(|i| smaller.config().layer_size(i).num_attention_heads == heads));

        let folder = tempfile::tempdir().unwrap();
        smaller.save(folder.path()).unwrap();
        let source = ModelFolder::open(folder.path()).unwrap();
        let (again, report) = Model::open(&source, HeadKind::AsFound, Stream::new(0), &cpu()).unwrap();
        assert!(report.missing.is_empty() && report.unused.is_empty(), "{report:?}");
        assert_eq!(hidden(&again), hidden(&smaller));
        let said = |model: &Model| values(&model.sequence_outputs(&batch(), Mode::Eval));
        assert_eq!(said(&again), said(&smaller));
        // With as many heads as the width has, it is one of its family as any other.
        let kept = Cut {
            heads: Some(vec![(0..width.len() / size).collect(); config.num_hidden_layers]),
            width: Some(width),
            ..Cut::default()
        };
        assert!(whole.cut(&kept).unwrap().config().layer_sizes.is_empty());
    }
    // The head over the vocabulary goes with it.
    let whole = tiny_model(Family::Bert, HeadKind::MaskedLm, &cpu());
    whole.cut(&Cut { width: Some((0..whole.config().head_size()).collect()), ..Cut::default() }).unwrap();
}

#[test]
fn layers_that_are_cut_are_not_gone_through() {
    for family in Family::ALL {
        let whole = tiny_model(family, three_labels(), &cpu());
        let smaller = whole.cut(&Cut { layers: Some(vec![0]), ..Cut::default() }).unwrap();
        assert_eq!(smaller.config().num_hidden_layers, 1);
        assert_eq!(smaller.head(), whole.head());
        // ModernBERT has a norm behind its last layer.
        if family != Family::ModernBert {
            let states = whole.hidden_layers(&batch());
            assert_close(family.model_type(), &hidden(&smaller), &values(&states[1]), Level::Rounding);
        }
        let folder = tempfile::tempdir().unwrap();
        smaller.save(folder.path()).unwrap();
        let source = ModelFolder::open(folder.path()).unwrap();
        let (again, _) = Model::open(&source, HeadKind::AsFound, Stream::new(0), &cpu()).unwrap();
        let said = |model: &Model| values(&model.sequence_outputs(&batch(), Mode::Eval));
        assert_eq!(said(&again), said(&smaller));
    }
}

#[test]
fn as_many_units_in_all_layers_are_a_model_as_any_other() {
    let whole = tiny_model(Family::Bert, HeadKind::MaskedLm, &cpu());
    let smaller = whole.cut(&Cut { units: Some(vec![vec![1, 4]; 2]), ..Cut::default() }).unwrap();
    assert!(smaller.config().layer_sizes.is_empty());
    assert_eq!(smaller.config().intermediate_size, 2);
}

#[test]
fn what_is_not_there_cannot_stay() {
    let model = tiny_model(Family::Bert, HeadKind::None, &cpu());
    let says = |cut: Cut, parts: &[&str]| {
        let Err(error) = model.cut(&cut) else { panic!("an error was expected for {cut:?}") };
        let text = error.to_string();
        assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    };
    says(Cut { layers: Some(vec![0, 2]), ..Cut::default() }, &["layers is [0, 2]", "0 to 1"]);
    says(Cut { layers: Some(vec![1, 0]), ..Cut::default() }, &["ascending"]);
    says(Cut { layers: Some(vec![]), ..Cut::default() }, &["at least one"]);
    says(Cut { width: Some(vec![0]), ..Cut::default() }, &["hidden_size is 1", "a multiple of"]);
    says(Cut { width: Some(vec![900]), ..Cut::default() }, &["channels is [900]"]);
    says(Cut { heads: Some(vec![vec![0]]), ..Cut::default() }, &["heads of layer 1 is not given"]);
    says(Cut { units: Some(vec![vec![0], vec![99]]), ..Cut::default() }, &["units of layer 1 is [99]"]);
    let modern = tiny_model(Family::ModernBert, HeadKind::None, &cpu());
    let error = modern.cut(&Cut { layers: Some(vec![1]), ..Cut::default() }).err().unwrap();
    assert!(error.to_string().contains("such that the first stays"), "{error}");
    assert_eq!(tiny_of(Family::Bert).num_hidden_layers, 2);
    // Layers that share their weights have no heads of their own; of groups no layer can go.
    let shared = tiny_model(Family::Albert, HeadKind::None, &cpu());
    let heads = Cut { heads: Some(vec![vec![0]; 2]), ..Cut::default() };
    let error = shared.cut(&heads).err().unwrap();
    assert!(error.to_string().contains("share their weights"), "{error}");
    let sharing = Sharing { num_hidden_groups: 2, inner_group_num: 1 };
    let config = EncoderConfig { sharing, ..tiny_of(Family::Albert) };
    let grouped = Model::new(Family::Albert, config, HeadKind::None, Stream::new(1), &cpu()).unwrap();
    let error = grouped.cut(&Cut { layers: Some(vec![1]), ..Cut::default() }).err().unwrap();
    assert!(error.to_string().contains("others do not"), "{error}");
}
