//! A real checkpoint: the vectors of all-MiniLM-L6-v2 for eleven sentences.
//!
//! The checkpoint is fetched by a script into an ignored folder; without it the test says so and
//! passes. The ids are in the golden file, so that this tests the encoder and not a tokenizer.

mod common;

use common::{cpu, goldens};
use polyseme_formats::ModelFolder;
use polyseme_models::{HeadKind, Model};
use polyseme_tensor::closeness::{Level, assert_close, values};
use polyseme_tensor::{Mode, PackedBatch, Sequence, Stream};
use std::path::Path;

#[derive(serde::Deserialize)]
struct Sentence {
    text: String,
    ids: Vec<u32>,
    cls_hidden_first8: Vec<f32>,
    mean_pooled_l2: Vec<f32>,
}

#[test]
fn eleven_sentences_have_the_reference_vectors() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.data/all-MiniLM-L6-v2");
    if !path.exists() {
        eprintln!("skipped: no {}; scripts/fetch-data.sh fetches it", path.display());
        return;
    }
    let golden = std::fs::read_to_string(goldens().join("all-MiniLM-L6-v2.json")).expect("golden values");
    let sentences: Vec<Sentence> = serde_json::from_str(&golden).expect("golden values");
    assert_eq!(sentences.len(), 11);
    let folder = ModelFolder::open(&path).expect("a model folder");
    let (model, report) = Model::open(&folder, HeadKind::AsFound, Stream::new(0), &cpu()).expect("it opens");
    assert_eq!(report.ignored, ["embeddings.position_ids"]);
    assert!(report.missing.is_empty() && report.unused.is_empty(), "{report:?}");
    assert_eq!(model.head(), HeadKind::None);

    let sequences: Vec<_> = sentences
        .iter()
        .map(|sentence| Sequence { ids: sentence.ids.clone(), type_ids: vec![0; sentence.ids.len()] })
        .collect();
    model.check_sequences(&sequences).expect("they fit");
    let batch = PackedBatch::new(&sequences);
    let width = model.config().hidden_size;
    let hidden = values(&model.hidden(&batch, Mode::Eval));
    for (i, sentence) in sentences.iter().enumerate() {
        let rows = batch.rows(i);
        let first = rows.start * width;
        assert_close(&sentence.text, &hidden[first..first + 8], &sentence.cls_hidden_first8, Level::Output);
        let mean = (0..width).map(|column| {
            rows.clone().map(|row| f64::from(hidden[row * width + column])).sum::<f64>() / rows.len() as f64
        });
        let mean: Vec<f64> = mean.collect();
        let norm = mean.iter().map(|x| x * x).sum::<f64>().sqrt();
        let vector: Vec<f32> = mean.iter().map(|x| (x / norm) as f32).collect();
        assert_close(&sentence.text, &vector, &sentence.mean_pooled_l2, Level::Output);
    }
}
