//! A model whose layers share their weights: exact where nothing is shared, small where all is.

mod common;

use common::{CASES, Golden, cpu, sequences, three_labels, tiny_model, tiny_of};
use polyseme_formats::ModelFolder;
use polyseme_models::{Family, HeadKind, Model, ParamGroup, Share};
use polyseme_tensor::closeness::{Level, assert_close, values};
use polyseme_tensor::{Mode, PackedBatch, Stream};

fn unshared(model: &Model) -> Share {
    Share { groups: model.config().num_hidden_layers, embedding_size: None, layers: None }
}

fn batch() -> PackedBatch {
    PackedBatch::new(&sequences(&[5, 9, 1, 7], Stream::new(3)))
}

/// All that a model says of a batch.
fn says(model: &Model, batch: &PackedBatch) -> Vec<f32> {
    let rows: Vec<usize> = (0..batch.tokens()).collect();
    match model.head() {
        HeadKind::None => values(&model.hidden(batch, Mode::Eval)),
        HeadKind::MaskedLm => values(&model.masked_lm_logits(batch, &rows)),
        HeadKind::Tag(_) | HeadKind::Answer => values(&model.token_outputs(batch, &rows, Mode::Eval)),
        _ => values(&model.sequence_outputs(batch, Mode::Eval)),
    }
}

fn read_back(model: &Model) -> Model {
    let folder = tempfile::tempdir().unwrap();
    model.save(folder.path()).unwrap();
    let source = ModelFolder::open(folder.path()).unwrap();
    let (again, report) = Model::open(&source, HeadKind::AsFound, Stream::new(0), &cpu()).unwrap();
    assert!(report.missing.is_empty() && report.unused.is_empty(), "{report:?}");
    again
}

#[test]
fn without_sharing_every_head_says_the_same() {
    let mut seen = 0;
    for case in CASES.into_iter().filter(|case| case.starts_with("bert") || case.starts_with("roberta")) {
        let golden = Golden::open(case);
        let model = golden.model(&cpu());
        // RoBERTa's head has another activation than its layers in this case.
        if case == "roberta-mlm" {
            continue;
        }
        let shared = read_back(&model.share(&unshared(&model)).unwrap());
        assert_eq!((shared.family(), shared.head()), (Family::Albert, model.head()), "{case}");
        let batch = PackedBatch::new(&golden.sequences);
        assert_close(case, &says(&shared, &batch), &says(&model, &batch), Level::Twin);
        seen += 1;
    }
    assert_eq!(seen, 12);
    for family in [Family::Bert, Family::Roberta, Family::DistilBert, Family::Electra] {
        let model = tiny_model(family, HeadKind::None, &cpu());
        let shared = read_back(&model.share(&unshared(&model)).unwrap());
        assert_close(family.model_type(), &says(&shared, &batch()), &says(&model, &batch()), Level::Twin);
    }
}

#[test]
fn embeddings_of_low_rank_are_factored_exactly() {
    // Of a width of 12 the rows lie in 5 directions, means aside.
    let mut model = tiny_model(Family::Bert, HeadKind::None, &cpu());
    let directions: Vec<Vec<f32>> = (0..5).map(|i| Stream::new(9).at(i).normals(12, 1.0)).collect();
    common::put(&mut model, &|name| {
        let (rows, stream) = match name {
            "embeddings.word_embeddings.weight" => (41, Stream::new(1)),
            "embeddings.position_embeddings.weight" => (16, Stream::new(2)),
            "embeddings.token_type_embeddings.weight" => (2, Stream::new(3)),
            "embeddings.LayerNorm.weight" => return Some(Stream::new(4).normals(12, 1.0)),
            "embeddings.LayerNorm.bias" => return Some(Stream::new(5).normals(12, 1.0)),
            _ => return None,
        };
        let row = |r: u64| {
            let weights = stream.at(r).normals(5, 0.3);
            let value = |c: usize| weights.iter().zip(&directions).map(|(w, d)| w * d[c]).sum::<f32>() + r as f32;
            (0..12).map(value).collect::<Vec<f32>>()
        };
        let rows: Vec<Vec<f32>> = (0..rows).map(row).collect();
        Some(rows.concat())
    });
    for narrow in [6, 9, 11] {
        let how = Share { embedding_size: Some(narrow), ..unshared(&model) };
        let shared = read_back(&model.share(&how).unwrap());
        assert_eq!(shared.config().embedding_size, narrow);
        assert_close(&format!("{narrow} wide"), &says(&shared, &batch()), &says(&model, &batch()), Level::Output);
    }
    let how = Share { embedding_size: Some(3), ..unshared(&model) };
    let far = says(&model.share(&how).unwrap(), &batch());
    assert!(far.iter().zip(says(&model, &batch())).any(|(a, b)| (a - b).abs() > 0.05), "two directions are not five");
}

#[test]
fn layers_of_a_group_take_their_mean_or_the_chosen_one() {
    let config = polyseme_models::EncoderConfig { num_hidden_layers: 4, ..tiny_of(Family::Bert) };
    let model = Model::new(Family::Bert, config, three_labels(), Stream::new(2), &cpu()).unwrap();
    let of = |model: &Model, name: &str| {
        let tensors = model.to_tensors();
        let tensor = tensors.iter().find(|t| t.name == name).unwrap_or_else(|| panic!("{name}"));
        tensor.bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect::<Vec<f32>>()
    };
    let whole = |layer: usize| of(&model, &format!("bert.encoder.layer.{layer}.intermediate.dense.weight"));
    let half = |model: &Model, group: usize| {
        of(model, &format!("albert.encoder.albert_layer_groups.{group}.albert_layers.0.ffn.weight"))
    };
    let how = Share { groups: 2, embedding_size: None, layers: None };
    let shared = model.share(&how).unwrap();
    for group in 0..2 {
        let (a, b) = (whole(2 * group), whole(2 * group + 1));
        let mean: Vec<f32> = a.iter().zip(&b).map(|(a, b)| (a + b) / 2.0).collect();
        assert_close("mean", &half(&shared, group), &mean, Level::Rounding);
    }
    let chosen = model.share(&Share { layers: Some(vec![1, 2]), ..how.clone() }).unwrap();
    assert_eq!((half(&chosen, 0), half(&chosen, 1)), (whole(1), whole(2)));
    assert_eq!(chosen.config().num_hidden_layers, 4);
}

#[test]
fn one_group_of_twelve_layers_has_far_fewer_parameters() {
    let config = polyseme_models::EncoderConfig { num_hidden_layers: 12, ..tiny_of(Family::Bert) };
    let model = Model::new(Family::Bert, config, HeadKind::None, Stream::new(2), &cpu()).unwrap();
    let of_layers = |model: &Model| -> usize {
        let layers = model.parameters().into_iter().filter(|p| matches!(p.group, ParamGroup::Layer(_)));
        layers.map(|p| p.elements()).sum()
    };
    let shared = model.share(&Share { groups: 1, embedding_size: Some(4), layers: None }).unwrap();
    assert_eq!(12 * of_layers(&shared), of_layers(&model));
}

#[test]
fn what_cannot_share_is_told() {
    let model = tiny_model(Family::Bert, HeadKind::MaskedLm, &cpu());
    let says = |model: &Model, how: Share, parts: &[&str]| {
        let Err(error) = model.share(&how) else { panic!("an error was expected for {how:?}") };
        let text = error.to_string();
        assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    };
    let one = Share { groups: 1, embedding_size: None, layers: None };
    says(&model, Share { groups: 3, ..one.clone() }, &["groups is 3", "from 1 to 2"]);
    says(&model, Share { groups: 0, ..one.clone() }, &["groups is 0"]);
    says(&model, Share { embedding_size: Some(13), ..one.clone() }, &["embedding_size is 13", "from 2 to 12"]);
    says(&model, Share { embedding_size: Some(1), ..one.clone() }, &["embedding_size is 1"]);
    says(&model, Share { layers: Some(vec![2]), ..one.clone() }, &["layers is [2]", "begin with [0]"]);
    says(&model, Share { layers: Some(vec![0, 1]), ..one.clone() }, &["a layer of each group"]);
    says(&tiny_model(Family::Albert, HeadKind::None, &cpu()), one.clone(), &["shared ones"]);
    says(&tiny_model(Family::ModernBert, HeadKind::None, &cpu()), one.clone(), &["modernbert", "BERT's layers"]);
    says(
        &tiny_model(Family::Electra, HeadKind::None, &cpu()),
        Share { embedding_size: Some(4), ..one.clone() },
        &["already"],
    );
    says(&tiny_model(Family::DistilBert, three_labels(), &cpu()), one, &["distilbert", "before it is fine-tuned"]);
}
