//! ONNX graphs: they are written of every family of BERT's kind and every head, and hold what they must. That
//! ONNX Runtime says the same with them is looked at by `scripts/verify_quantized.py`.

mod common;

use common::{cpu, three_labels, tiny_model};
use polyseme_models::{Family, HeadKind, MatrixRole, Model};
use polyseme_tensor::{Input, Quantized};

/// Whether bytes stand somewhere in others.
fn holds(bytes: &[u8], what: &[u8]) -> bool {
    bytes.windows(what.len()).any(|window| window == what)
}

fn says(bytes: &[u8], words: &[&str], but: &[&str]) {
    for word in words {
        assert!(holds(bytes, word.as_bytes()), "{word} is missing");
    }
    for word in but {
        assert!(!holds(bytes, word.as_bytes()), "{word} is there");
    }
}

fn in_eight_bits(model: &mut Model, input: Input) {
    for matrix in model.matrices() {
        let input = if matches!(matrix.role, MatrixRole::Layer(_)) { input } else { Input::Whole };
        let values = model.values(&matrix.name);
        model.quantize(&matrix.name, Quantized::new(&values, matrix.shape[1], 8, None, input));
    }
}

#[test]
fn graphs_have_their_inputs_their_output_and_their_weights() {
    for family in Family::ALL.into_iter().filter(|&family| family != Family::ModernBert) {
        for (head, output) in [
            (HeadKind::None, "last_hidden_state"),
            (HeadKind::MaskedLm, "logits"),
            (three_labels(), "logits"),
            (HeadKind::Answer, "logits"),
        ] {
            let model = tiny_model(family, head, &cpu());
            let bytes = model.to_onnx().expect("a graph");
            says(
                &bytes,
                &["input_ids", "attention_mask", output, "LayerNormalization", "Softmax"],
                &["QuantizeLinear"],
            );
            assert_eq!(holds(&bytes, b"token_type_ids"), model.config().type_vocab_size > 0);
            let bias = model.parameters().into_iter().find(|p| p.name.ends_with(".bias")).expect("a bias");
            let values: Vec<u8> = model.values(&bias.name).iter().flat_map(|v| v.to_le_bytes()).collect();
            assert!(holds(&bytes, &values), "{} is not there as it is", bias.name);
        }
    }
}

#[test]
fn eight_bits_stay_so() {
    let mut model = tiny_model(Family::Bert, HeadKind::None, &cpu());
    in_eight_bits(&mut model, Input::Static { scale: 0.1, zero: 7 });
    let fixed = model.to_onnx().expect("a graph");
    says(&fixed, &["QuantizeLinear", "DequantizeLinear"], &["MatMulInteger"]);
    let table = model.quantized("embeddings.word_embeddings.weight").expect("in eight bits");
    let numbers: Vec<u8> = table.codes().iter().map(|&code| code as u8).collect();
    assert!(holds(&fixed, &numbers), "the numbers stand there as they are");
    in_eight_bits(&mut model, Input::Dynamic);
    says(&model.to_onnx().expect("a graph"), &["DynamicQuantizeLinear", "MatMulInteger"], &[]);
}

#[test]
fn what_graphs_are_not_written_of_is_said() {
    let model = tiny_model(Family::ModernBert, HeadKind::None, &cpu());
    let said = model.to_onnx().expect_err("no graph").to_string();
    assert!(said.contains("ONNX") && said.contains("rotary"), "{said}");
}
