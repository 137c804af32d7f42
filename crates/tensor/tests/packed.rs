//! Packed batches: order, runs and rows.

use polyseme_tensor::{PackedBatch, Sequence, device};

/// A sequence of `length` tokens whose ids tell where they came from.
fn sequence(number: u32, length: usize) -> Sequence {
    Sequence { ids: (0..length as u32).map(|t| 100 * number + t).collect(), type_ids: vec![number % 2; length] }
}

#[test]
fn sequences_lie_by_length_and_rows_lead_back() {
    let lengths = [4, 2, 4, 1, 2];
    let sequences: Vec<_> = lengths.iter().enumerate().map(|(i, &n)| sequence(i as u32, n)).collect();
    let batch = PackedBatch::new(&sequences);
    assert_eq!(batch.order, [3, 1, 4, 0, 2], "stable among equal lengths");
    assert_eq!(batch.starts, [0, 1, 3, 5, 9, 13]);
    assert_eq!(batch.runs, [(0, 1, 1), (1, 2, 2), (3, 2, 4)]);
    assert_eq!((batch.tokens(), batch.sequences()), (13, 5));
    for (i, sequence) in sequences.iter().enumerate() {
        assert_eq!(batch.rows(i).len(), sequence.ids.len());
        for t in 0..sequence.ids.len() {
            let row = batch.row(i, t);
            assert_eq!(batch.ids[row], sequence.ids[t]);
            assert_eq!(batch.type_ids[row], sequence.type_ids[t]);
            assert_eq!(batch.positions[row], t as u32);
        }
    }
}

#[test]
fn equal_lengths_are_one_run() {
    let batch = PackedBatch::new(&[sequence(0, 3), sequence(1, 3)]);
    assert_eq!(batch.runs, [(0, 2, 3)]);
}

#[test]
fn unknown_devices_are_named_with_what_there_is() {
    let message = device::parse("abacus:0").unwrap_err().to_string();
    assert!(message.contains("abacus:0") && message.contains("`cpu`"), "{message}");
    assert!(device::parse("auto").is_ok());
}
