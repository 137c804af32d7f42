//! Damaged checkpoints are skipped, and what is wrong with them is said.

use crate::common::{Random, folder, names};
use polyseme_formats::run::RunFolder;
use polyseme_formats::tensors::TensorOut;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

type State = BTreeMap<String, u64>;

fn state(step: u64) -> State {
    BTreeMap::from([("step".to_owned(), step)])
}

/// A run with checkpoints of steps 1, 2 and 3; the folder of each is returned.
fn three(out: &Path) -> (RunFolder, Vec<PathBuf>) {
    let run = RunFolder::create(out, 0).unwrap();
    run.write_settings(&state(0)).unwrap();
    let mut random = Random(1);
    let folders = (1..=3).map(|step| {
        let tensor = TensorOut { bytes: random.bytes(400), ..TensorOut::f32("w", vec![100], &[]) };
        run.save_checkpoint(step, &state(step), &[tensor], 3).unwrap()
    });
    let folders = folders.collect();
    (run, folders)
}

/// Damages the newest checkpoint; step 2 must be found, with a warning that has these words.
fn damaged(damage: impl FnOnce(&Path), words: &[&str]) {
    let dir = folder();
    let (run, folders) = three(dir.path());
    damage(&folders[2]);
    let (found, warnings) = run.latest_checkpoint::<State>().unwrap();
    let (found, tensors) = found.unwrap();
    assert_eq!((found, tensors.parent().unwrap()), (state(2), folders[1].as_path()));
    assert_eq!(warnings.len(), 1);
    for word in words.iter().chain(&["skipped the damaged checkpoint", "step-3"]) {
        assert!(warnings[0].contains(word), "`{word}` is not in: {}", warnings[0]);
    }
}

#[test]
fn the_warning_names_what_is_wrong() {
    damaged(|p| fs::remove_file(p.join("complete")).unwrap(), &["the file `complete` is missing"]);
    damaged(|p| fs::write(p.join("complete"), "{").unwrap(), &["the file `complete` is garbled"]);
    damaged(
        |p| {
            let text = fs::read_to_string(p.join("complete")).unwrap().replace("\"step\": 3", "\"step\": 7");
            fs::write(p.join("complete"), text).unwrap();
        },
        &["it is of step 7, not of step 3"],
    );
    damaged(
        |p| fs::write(p.join("complete"), "{\"step\": 3, \"files\": {}}").unwrap(),
        &["does not list `state.toml`"],
    );
    damaged(|p| fs::remove_file(p.join("tensors.safetensors")).unwrap(), &["`tensors.safetensors` is missing"]);
    damaged(|p| fs::write(p.join("state.toml"), "").unwrap(), &["`state.toml` has 0 bytes, expected 9"]);
    damaged(
        |p| {
            let path = p.join("tensors.safetensors");
            let mut bytes = fs::read(&path).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            fs::write(&path, bytes).unwrap();
        },
        &["`tensors.safetensors` has the checksum"],
    );
    damaged(
        |p| {
            fs::remove_file(p.join("tensors.safetensors")).unwrap();
            fs::create_dir(p.join("tensors.safetensors")).unwrap();
        },
        &["`tensors.safetensors` cannot be read"],
    );
}

#[test]
fn any_change_of_any_file_is_noticed() {
    let dir = folder();
    let (run, folders) = three(dir.path());
    let mut random = Random(2);
    for round in 0..300 {
        let files = names(&folders[2]);
        let path = folders[2].join(&files[random.below(files.len())]);
        let whole = fs::read(&path).unwrap();
        let mut bytes = whole.clone();
        match random.below(3) {
            0 => bytes.truncate(random.below(whole.len())),
            1 => bytes.push(0),
            _ => bytes[random.below(whole.len())] ^= 1 << random.below(8),
        }
        fs::write(&path, &bytes).unwrap();
        let (found, warnings) = run.latest_checkpoint::<State>().unwrap();
        let step = found.unwrap().0["step"];
        // White space of `complete`, or a flip that makes no difference to JSON, may change freely.
        let harmless = path.ends_with("complete") && step == 3;
        assert!(harmless || step == 2 && warnings.len() == 1, "round {round}: {}", path.display());
        fs::write(&path, whole).unwrap();
    }
    assert_eq!(run.latest_checkpoint::<State>().unwrap().0.unwrap().0, state(3));
}

#[test]
fn with_all_damaged_there_is_none_and_a_warning_for_each() {
    let dir = folder();
    let (run, folders) = three(dir.path());
    for folder in &folders {
        fs::remove_file(folder.join("state.toml")).unwrap();
    }
    let (found, warnings) = run.latest_checkpoint::<State>().unwrap();
    assert!(found.is_none());
    assert_eq!(warnings.len(), 3);
    assert!(warnings[0].contains("step-3") && warnings[2].contains("step-1"));
}

/// The run went on from step 2; what is left of step 3 must not be taken for its future.
#[test]
fn a_damaged_future_goes_when_the_run_goes_on_before_it() {
    let dir = folder();
    let (run, folders) = three(dir.path());
    fs::remove_file(folders[2].join("complete")).unwrap();
    drop(run);
    let run = RunFolder::resume(dir.path()).unwrap();
    assert_eq!(run.latest_checkpoint::<State>().unwrap().0.unwrap().0, state(2));
    run.save_checkpoint(2, &state(22), &[], 3).unwrap();
    assert_eq!(names(&run.path().join("checkpoints")), ["step-1", "step-2"]);
    let (found, warnings) = run.latest_checkpoint::<State>().unwrap();
    assert_eq!((found.unwrap().0, warnings), (state(22), vec![]));
}
