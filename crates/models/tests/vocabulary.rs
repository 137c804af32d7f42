//! A model without pieces of its vocabulary says what the whole one says.

mod common;

use common::{cpu, sequences, three_labels, tiny_model, tiny_of};
use polyseme_formats::ModelFolder;
use polyseme_models::{EncoderConfig, Family, HeadKind, Model};
use polyseme_tensor::closeness::{Level, assert_close, values};
use polyseme_tensor::{Mode, PackedBatch, Sequence, Stream};

/// Every id but some of the others than the first four.
fn kept(config: &EncoderConfig) -> Vec<u32> {
    (0..config.vocab_size as u32).filter(|id| *id < 4 || id % 3 > 0).collect()
}

/// Sequences of ids that stay, and the same by their new numbers.
fn both(kept: &[u32]) -> [PackedBatch; 2] {
    let new: Vec<Sequence> = sequences(&[5, 9, 1, 7], Stream::new(3))
        .into_iter()
        .map(|s| Sequence { ids: s.ids.iter().map(|id| id % kept.len() as u32).collect(), ..s })
        .collect();
    let old: Vec<Sequence> = new
        .iter()
        .map(|s| Sequence { ids: s.ids.iter().map(|&id| kept[id as usize]).collect(), type_ids: s.type_ids.clone() })
        .collect();
    [old, new].map(|sequences| PackedBatch::new(&sequences))
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
fn hidden_states_labels_and_logits_stay() {
    for family in Family::ALL {
        let name = family.model_type();
        let kept = kept(&tiny_of(family));
        let [old, new] = both(&kept);
        let whole = tiny_model(family, three_labels(), &cpu());
        let smaller = read_back(&whole.with_vocabulary(&kept).unwrap());
        assert_eq!(smaller.config().vocab_size, kept.len());
        let said = |model: &Model, batch: &PackedBatch| values(&model.sequence_outputs(batch, Mode::Eval));
        assert_close(name, &said(&smaller, &new), &said(&whole, &old), Level::Bits);

        for tied in [true, false] {
            let config = EncoderConfig { tie_word_embeddings: tied, ..tiny_of(family) };
            let whole = Model::new(family, config, HeadKind::MaskedLm, Stream::new(5), &cpu()).unwrap();
            let smaller = read_back(&whole.with_vocabulary(&kept).unwrap());
            let width = whole.config().vocab_size;
            let rows = [0, 3, 11];
            let all = values(&whole.masked_lm_logits(&old, &rows));
            let expected: Vec<f32> =
                all.chunks(width).flat_map(|row| kept.iter().map(|&id| row[id as usize])).collect();
            assert_close(name, &values(&smaller.masked_lm_logits(&new, &rows)), &expected, Level::Rounding);
        }
    }
}

#[test]
fn padding_and_what_positions_are_counted_from_must_stay() {
    let says = |family: Family, kept: &[u32], part: &str| {
        let Err(error) = tiny_model(family, HeadKind::None, &cpu()).with_vocabulary(kept) else { panic!("{kept:?}") };
        assert!(error.to_string().contains(part), "{error}");
    };
    says(Family::Bert, &[], "at least one");
    says(Family::Bert, &[0, 4, 3], "ascending");
    says(Family::Bert, &[0, 4000], "at least one of the numbers 0 to");
    says(Family::Bert, &[3, 4], "with the padding id");
    says(Family::Roberta, &[1, 2, 3], "all ids below 2");
    let roberta = tiny_model(Family::Roberta, HeadKind::None, &cpu());
    assert_eq!(roberta.with_vocabulary(&[0, 1, 7]).unwrap().config().pad_token_id, 1);
}
