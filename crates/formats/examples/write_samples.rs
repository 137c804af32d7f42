//! Writes one of each kind of file into a folder, for `tests/fixtures/check.py` to read with the
//! reference libraries: `cargo run --release -p polyseme-formats --example write_samples -- FOLDER`.

use polyseme_formats::folder::{Pooling, SentenceModules, write_sentence_modules};
use polyseme_formats::run::{RunFolder, StepRow};
use polyseme_formats::tensors::{DType, TensorOut, hf_metadata, write_safetensors};
use std::path::PathBuf;

fn main() -> polyseme_formats::Result<()> {
    let out = PathBuf::from(std::env::args_os().nth(1).expect("the folder to write into"));
    let mut run = RunFolder::create(&out, 1 << 20)?;
    for step in 1..=200u64 {
        let mut row = StepRow { step, loss: 10.0 / step as f64, seconds: step as f64, ..Default::default() };
        if step % 50 == 0 {
            row.valid.insert("accuracy".into(), step as f64 / 200.0);
        }
        run.log(&row)?;
    }
    let tensors: Vec<TensorOut> = DType::ALL
        .into_iter()
        .map(|dtype| TensorOut {
            name: dtype.name().into(),
            dtype,
            shape: vec![2, 3],
            bytes: vec![1; 6 * dtype.size()],
        })
        .chain([TensorOut::f32("odd \"name\" 文", vec![3], &[1.0, -2.5, 3e-8])])
        .collect();
    write_safetensors(&out.join("sample.safetensors"), &tensors, &hf_metadata())?;
    let modules = SentenceModules { pooling: Pooling::Cls, normalize: true, max_seq_length: Some(17) };
    write_sentence_modules(&out, &modules, 32)
}
