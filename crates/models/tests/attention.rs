//! What tokens attend to: the same as the reference library says, for all families (`attention/make.py`), and what the
//! layers of a model with virtual tokens see.

mod common;

use common::{Golden, cpu};
use polyseme_formats::tensors::TensorFile;
use polyseme_tensor::closeness::{Level, assert_close, values};
use polyseme_tensor::{PackedBatch, Stream};
use std::path::Path;

const CASES: [&str; 6] = ["bert-mlm", "roberta-mlm", "distilbert-mlm", "electra-mlm", "modernbert-mlm", "albert-mlm"];

#[test]
fn maps_are_those_of_the_reference() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/attention/golden.safetensors");
    let expected = TensorFile::open(&path).expect("golden values");
    let mut compared = 0;
    for case in CASES {
        let golden = Golden::open(case);
        let model = golden.model(&cpu());
        // Whatever else is in the batch.
        let batch = PackedBatch::new(&golden.sequences);
        let layers: Vec<usize> = (0..model.config().num_hidden_layers).collect();
        for (layer, maps) in model.attention(&batch, &layers).iter().enumerate() {
            assert_eq!(maps.len(), golden.sequences.len());
            for (sequence, map) in maps.iter().enumerate().take(3) {
                let name = format!("{case}.{sequence}.{layer}");
                let wanted = expected.require(&name).expect("a map");
                assert_eq!(map.dims().to_vec(), wanted.shape, "{name}");
                assert_close(&name, &values(map), &wanted.to_f32().expect("floats"), Level::Output);
                compared += 1;
            }
        }
    }
    assert_eq!(compared, expected.len(), "every map of the reference");
}

#[test]
fn some_layers_are_those_of_all() {
    let golden = Golden::open("albert-mlm");
    let model = golden.model(&cpu());
    let batch = PackedBatch::new(&golden.sequences);
    let (all, last) = (model.attention(&batch, &[0, 1, 2]), model.attention(&batch, &[2]));
    for (one, other) in all[2].iter().zip(&last[0]) {
        assert_close("the last layer", &values(one), &values(other), Level::Bits);
    }
}

#[test]
fn virtual_tokens_stand_first_and_rows_sum_to_one() {
    let golden = Golden::open("bert-mlm");
    let mut model = golden.model(&cpu());
    model.add_prefix(3, Stream::new(7)).expect("room for a prefix");
    let batch = PackedBatch::new(&golden.sequences[..2]);
    for (sequence, map) in golden.sequences.iter().zip(&model.attention(&batch, &[1])[0]) {
        let [heads, rows, columns] = map.dims();
        let length = sequence.ids.len() + 3;
        assert_eq!([heads, rows, columns], [4, length, length]);
        let found = values(map);
        for row in found.chunks_exact(length) {
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5 && row.iter().all(|&w| w > 0.0), "{row:?}");
        }
    }
}
