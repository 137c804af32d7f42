//! Random tensors written, read by us and by the reference crate, and written again.

use crate::common::{Random, folder};
use polyseme_formats::tensors::{DType, TensorFile, TensorOut, hf_metadata, stream_safetensors, write_safetensors};
use safetensors::SafeTensors;
use std::collections::BTreeMap;

fn some_tensors(random: &mut Random) -> Vec<TensorOut> {
    let odd = ["", " ", "文字", "a\"b\\c", "layer.0.weight", "layer.10.weight", "layer.2.weight", "\u{1}"];
    (0..random.below(12))
        .map(|i| {
            let dtype = DType::ALL[random.below(DType::ALL.len())];
            let shape: Vec<usize> = (0..random.below(4)).map(|_| random.below(5)).collect();
            let elements: usize = shape.iter().product();
            let name = format!("{}{i}", odd[random.below(odd.len())]);
            TensorOut { name, dtype, shape, bytes: random.bytes(elements * dtype.size()) }
        })
        .collect()
}

#[test]
fn random_tensors_survive_and_the_reference_agrees() {
    let dir = folder();
    let path = dir.path().join("x.safetensors");
    for seed in 0..60 {
        let mut random = Random(seed);
        let mut tensors = some_tensors(&mut random);
        let metadata = if seed % 2 == 0 { hf_metadata() } else { BTreeMap::new() };
        write_safetensors(&path, &tensors, &metadata).unwrap();
        let bytes = std::fs::read(&path).unwrap();

        let reference = SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(reference.len(), tensors.len());
        let file = TensorFile::open(&path).unwrap();
        assert_eq!(file.metadata(), metadata);
        for t in &tensors {
            let theirs = reference.tensor(&t.name).unwrap();
            assert_eq!((theirs.shape(), theirs.data()), (&t.shape[..], &t.bytes[..]), "seed {seed}");
            let ours = file.get(&t.name).unwrap();
            assert_eq!((ours.dtype, &ours.shape, ours.bytes.as_ref()), (t.dtype, &t.shape, &t.bytes[..]));
        }
        // The order in which tensors are given does not matter.
        tensors.reverse();
        write_safetensors(&path, &tensors, &metadata).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), bytes, "seed {seed}");
        // Reading then writing gives the same bytes, and so does streaming.
        let again: Vec<TensorOut> = file.names().iter().map(|n| file.get(n).unwrap().to_out()).collect();
        write_safetensors(&path, &again, &metadata).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), bytes, "seed {seed}");
        let infos: Vec<_> = again.iter().map(TensorOut::info).collect();
        let mut fill = |i: usize, out: &mut dyn std::io::Write| {
            again[i].bytes.chunks(3).try_for_each(|piece| out.write_all(piece))
        };
        stream_safetensors(&path, &infos, &metadata, &mut fill).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), bytes, "seed {seed}");
    }
}

#[test]
fn the_reference_writes_the_same_bytes() {
    use safetensors::tensor::{Dtype, TensorView, serialize};
    let dir = folder();
    let path = dir.path().join("x.safetensors");
    let values = [1.0f32, -2.5, 3.25, 0.0];
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let ids: Vec<u8> = [5i64, -6].iter().flat_map(|v| v.to_le_bytes()).collect();
    let theirs = serialize(
        [
            ("b", TensorView::new(Dtype::F32, vec![2, 2], &bytes).unwrap()),
            ("a", TensorView::new(Dtype::F32, vec![4], &bytes).unwrap()),
            ("ids", TensorView::new(Dtype::I64, vec![2], &ids).unwrap()),
        ],
        Some([("format".to_owned(), "pt".to_owned())].into()),
    );
    let ours = [
        TensorOut::f32("a", vec![4], &values),
        TensorOut { name: "ids".into(), dtype: DType::I64, shape: vec![2], bytes: ids.clone() },
        TensorOut::f32("b", vec![2, 2], &values),
    ];
    write_safetensors(&path, &ours, &hf_metadata()).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), theirs.unwrap());
}

/// No flip of a byte may panic, and whatever the reference crate refuses we refuse too.
#[test]
fn damaged_headers_never_panic_and_are_never_more_welcome_than_at_the_reference() {
    let dir = folder();
    let path = dir.path().join("x.safetensors");
    let whole = std::fs::read(crate::common::fixture("all.safetensors")).unwrap();
    let header = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    let mut random = Random(1);
    for _ in 0..1000 {
        let mut bytes = whole.clone();
        for _ in 0..=random.below(2) {
            bytes[random.below(header)] = random.next() as u8;
        }
        std::fs::write(&path, &bytes).unwrap();
        if let Ok(file) = TensorFile::open(&path) {
            let reference = SafeTensors::deserialize(&bytes).expect("the reference reads it too");
            assert_eq!(reference.len(), file.len());
            for name in file.names() {
                assert_eq!(file.get(&name).unwrap().bytes.as_ref(), reference.tensor(&name).unwrap().data());
            }
        }
    }
}

#[test]
fn halves_are_converted_exactly() {
    let dir = folder();
    let path = dir.path().join("x.safetensors");
    for (dtype, to_f32) in
        [(DType::F16, f16 as fn(u16) -> f32), (DType::BF16, |bits| f32::from_bits(u32::from(bits) << 16))]
    {
        let bytes = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
        let tensor = TensorOut { name: "x".into(), dtype, shape: vec![1 << 16], bytes };
        write_safetensors(&path, &[tensor], &BTreeMap::new()).unwrap();
        let values = TensorFile::open(&path).unwrap().get("x").unwrap().to_f32().unwrap();
        for (bits, value) in (0..=u16::MAX).zip(values) {
            assert!(value == to_f32(bits) || value.is_nan() && to_f32(bits).is_nan(), "{bits:04x}");
        }
    }
}

/// IEEE 754 binary16 by its definition: 1 bit sign, 5 bits exponent, 10 bits fraction.
fn f16(bits: u16) -> f32 {
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f32::from(bits & 1023));
    let size = match exponent {
        0 => fraction * 2f32.powi(-24),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        _ => (1024.0 + fraction) * 2f32.powi(exponent - 25),
    };
    if bits >> 15 == 1 { -size } else { size }
}
