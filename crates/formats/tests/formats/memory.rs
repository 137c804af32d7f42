//! What is written a piece at a time takes no more memory than a piece.
//!
//! The work is done by this test program itself, started again as another process, so that its peak
//! is not that of the other tests.
#![cfg(target_os = "linux")]

use crate::common::folder_on_disk;
use polyseme_formats::run::RunFolder;
use polyseme_formats::store::{StoreWriter, TokenStore};
use polyseme_formats::tensors::{DType, TensorInfo};
use std::path::PathBuf;

const FOLDER: &str = "POLYSEME_TEST_FOLDER";

/// The most memory this process ever held, in MB.
fn peak() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

#[test]
#[ignore = "run by the next test in another process"]
fn writes_much() {
    let Some(out) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let before = peak();
    // 64 MB of tensors, 2 MB each.
    let run = RunFolder::create(&out, 0).unwrap();
    let info = |i: usize| TensorInfo { name: format!("w{i}"), dtype: DType::F32, shape: vec![1 << 19] };
    let infos: Vec<_> = (0..32).map(info).collect();
    let mut writer = run.begin_checkpoint(1).unwrap();
    writer.tensors("tensors.safetensors", &infos, &mut |i, out| out.write_all(&vec![i as u8; 1 << 21])).unwrap();
    writer.finish(&std::collections::BTreeMap::from([("step", 1)]), 1).unwrap();
    let saved = peak() - before;
    assert!(saved < 16.0, "saving 64 MB took {saved:.1} MB");
    // 20 million tokens, 2 million documents.
    let path = out.join("tokens");
    let mut store = StoreWriter::create(&path, 1 << 16, "t", "c").unwrap();
    for i in 0..2_000_000u32 {
        store.push(&[i % 65_536; 10]).unwrap();
    }
    store.finish(0).unwrap();
    let stored = peak() - before;
    assert!(stored < 16.0, "a store of 40 MB took {stored:.1} MB");
    assert_eq!(TokenStore::open(&path).unwrap().len(), 2_000_000);
}

#[test]
fn saving_and_storing_take_little_memory() {
    let dir = folder_on_disk();
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["memory::writes_much", "--exact", "--ignored", "--nocapture"])
        .env(FOLDER, dir.path())
        .stdout(std::process::Stdio::null())
        .status();
    assert!(status.unwrap().success());
}
