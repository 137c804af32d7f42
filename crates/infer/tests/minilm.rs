//! all-MiniLM-L6-v2 against vectors computed by `transformers` and `sentence-transformers`.
//!
//! Needs `.data/all-MiniLM-L6-v2` (`scripts/fetch-data.sh minilm`) and the reference vectors in
//! `../shared/data` beside the checkout; skipped with a line of text where one is missing.

use polyseme_formats::folder::Pooling;
use polyseme_infer::{EmbedOptions, Encoder};
use polyseme_tensor::{Mode, PackedBatch, Sequence};
use std::path::{Path, PathBuf};

const TOLERANCE: f32 = 1e-5;

#[derive(serde::Deserialize)]
struct Golden {
    text: String,
    ids: Vec<u32>,
    cls_hidden_first8: Vec<f32>,
    mean_pooled_l2: Vec<f32>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The model, unless it is not there.
fn model() -> Option<Encoder> {
    let folder = root().join(".data/all-MiniLM-L6-v2");
    if !folder.join("config.json").exists() {
        println!("skipped: no {}; get it with scripts/fetch-data.sh", folder.display());
        return None;
    }
    Some(Encoder::open(folder).expect("a published model opens"))
}

fn model_and_golden() -> Option<(Encoder, Vec<Golden>)> {
    let file = root().join("../shared/data/golden-all-MiniLM-L6-v2.json");
    let Ok(text) = std::fs::read_to_string(&file) else {
        println!("skipped: no {}", file.display());
        return None;
    };
    Some((model()?, serde_json::from_str(&text).expect("the reference vectors are JSON")))
}

/// Largest difference of two vectors.
fn difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max)
}

#[test]
fn vectors_are_those_of_the_reference() {
    let Some((encoder, golden)) = model_and_golden() else { return };
    assert_eq!(golden.len(), 11);
    let texts: Vec<&str> = golden.iter().map(|g| g.text.as_str()).collect();
    let vectors = encoder.embed(&texts, &EmbedOptions::default()).unwrap(); // as modules.json says
    for (g, vector) in golden.iter().zip(&vectors) {
        let worst = difference(vector, &g.mean_pooled_l2);
        assert!(worst < TOLERANCE, "{:?} differs by {worst}", g.text);
    }
}

#[test]
fn ids_and_hidden_states_are_those_of_the_reference() {
    let Some((encoder, golden)) = model_and_golden() else { return };
    for g in &golden {
        let encoding = &encoder.encode(&[(g.text.clone(), None)], None).unwrap()[0];
        assert_eq!(encoding.ids, g.ids, "{:?}", g.text);
        let sequence = Sequence { ids: encoding.ids.clone(), type_ids: encoding.type_ids.clone() };
        let batch = PackedBatch::new(&[sequence]);
        let hidden = encoder.model.hidden(&batch, Mode::Eval).into_data().try_into_vec::<f32>().unwrap();
        let worst = difference(&hidden[..8], &g.cls_hidden_first8);
        assert!(worst < TOLERANCE, "{:?} differs by {worst}", g.text);
    }
}

const WORDS: [&str; 9] = ["river", "the", "bank", "of", "unbelievably", "money", "good", "interest", "a"];

/// Texts of very different lengths, the longest in the middle.
fn mixed() -> Vec<String> {
    let text = |i: usize| (0..1 + (i * 37) % 90).map(|k| WORDS[(i * 5 + k * k) % 9]).collect::<Vec<_>>().join(" ");
    (0..150).map(text).collect()
}

#[test]
fn a_text_in_a_batch_equals_the_text_alone_and_order_is_kept() {
    let Some(encoder) = model() else { return };
    let texts = mixed();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let together = encoder.embed(&texts, &EmbedOptions::default()).unwrap();
    for i in [0, 1, 42, 77, 149] {
        let alone = &encoder.embed(&texts[i..=i], &EmbedOptions::default()).unwrap()[0];
        let worst = difference(alone, &together[i]);
        assert!(worst < TOLERANCE, "text {i} differs by {worst}");
    }
    let mut backwards = texts.clone();
    backwards.reverse();
    let mut again = encoder.embed(&backwards, &EmbedOptions::default()).unwrap();
    again.reverse();
    let worst = again.iter().zip(&together).map(|(a, b)| difference(a, b)).fold(0.0, f32::max);
    assert!(worst < TOLERANCE, "the order of the texts changes vectors by {worst}");
}

#[test]
fn pooling_layer_and_length_do_what_they_say() {
    let Some(encoder) = model() else { return };
    let text = ["The bank of the river."];
    let embed = |options: &EmbedOptions| encoder.embed(&text, options).unwrap().remove(0);
    let plain = EmbedOptions { normalize: Some(false), ..Default::default() };
    let norm = |v: &[f32]| v.iter().map(|x| x * x).sum::<f32>().sqrt();
    assert!((norm(&embed(&EmbedOptions::default())) - 1.0).abs() < 1e-5, "modules.json asks for unit length");
    assert!((norm(&embed(&plain)) - 1.0).abs() > 0.1);

    let last = EmbedOptions { layer: Some(6), ..plain.clone() };
    assert_eq!(embed(&last), embed(&plain));
    let fifth = EmbedOptions { layer: Some(5), ..plain.clone() };
    assert!(difference(&embed(&fifth), &embed(&plain)) > 0.01);
    assert!(encoder.embed(&text, &EmbedOptions { layer: Some(7), ..plain.clone() }).is_err());

    // Cut to [CLS] The bank [SEP], a text is that text.
    let cut = EmbedOptions { max_length: Some(4), ..plain.clone() };
    let short = encoder.embed(&["The bank"], &plain).unwrap().remove(0);
    assert!(difference(&embed(&cut), &short) < TOLERANCE);
    for length in [2, 513] {
        assert!(encoder.embed(&text, &EmbedOptions { max_length: Some(length), ..plain.clone() }).is_err());
    }

    let cls = embed(&EmbedOptions { pooling: Some(Pooling::Cls), ..plain.clone() });
    let max = embed(&EmbedOptions { pooling: Some(Pooling::Max), ..plain.clone() });
    assert!(max.iter().zip(&cls).all(|(m, c)| m >= c));
}

#[test]
fn a_words_vector_is_the_mean_of_its_pieces() {
    let Some(encoder) = model() else { return };
    let text = "An unbelievably polysemous 银行, isn't it?";
    let options = EmbedOptions::default();
    let found = encoder.embed_tokens(&[text], &options).unwrap().remove(0);
    let expected = ["An", "unbelievably", "polysemous", "银", "行", ",", "isn", "'", "t", "it", "?"];
    assert_eq!(found.words, expected);
    for (word, range) in found.words.iter().zip(&found.ranges) {
        assert_eq!(&text[range.clone()], word);
    }
    let encoding = &encoder.encode(&[(text.into(), None)], None).unwrap()[0];
    let pieces: Vec<usize> = (0..encoding.ids.len()).filter(|&t| encoding.words[t] == Some(2)).collect();
    assert!(pieces.len() > 1, "`polysemous` is one piece; the test needs another word");
    let sequence = Sequence { ids: encoding.ids.clone(), type_ids: encoding.type_ids.clone() };
    let batch = PackedBatch::new(&[sequence]);
    let hidden = encoder.model.hidden(&batch, Mode::Eval).into_data().try_into_vec::<f32>().unwrap();
    let width = found.vectors[2].len();
    for d in 0..width {
        let mean = pieces.iter().map(|t| hidden[t * width + d]).sum::<f32>() / pieces.len() as f32;
        assert!((mean - found.vectors[2][d]).abs() < TOLERANCE);
    }
}

#[test]
fn one_word_has_two_meanings() {
    let Some(encoder) = model() else { return };
    let texts = [
        "She sat on the bank of the river.",
        "The boat lay on the muddy bank of the stream.",
        "He took a loan from the bank to pay his debts.",
    ];
    let found = encoder.embed_tokens(&texts, &EmbedOptions::default()).unwrap();
    let banks: Vec<&Vec<f32>> =
        found.iter().map(|f| &f.vectors[f.words.iter().position(|w| w == "bank").unwrap()]).collect();
    let cosine = |a: &[f32], b: &[f32]| {
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>();
        dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
    };
    let (same, other) = (cosine(banks[0], banks[1]), cosine(banks[0], banks[2]));
    assert!(same > other + 0.05, "two rivers {same}, a river and money {other}");
}

#[test]
fn what_this_model_cannot_do_is_said_with_what_to_do() {
    let Some(encoder) = model() else { return };
    let e = encoder.fill("The [MASK] sat.", 5).unwrap_err();
    assert!(e.to_string().contains("masked-language-modelling head"), "{e}");
    assert!(e.hint().is_some());
    let e = encoder.predict(&[("x".into(), None)]).unwrap_err();
    assert!(e.to_string().contains("classification head"), "{e}");
    assert_eq!(e.fault(), polyseme_formats::Fault::Input);
}
