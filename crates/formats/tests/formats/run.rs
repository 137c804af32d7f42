//! Run folders: begun, locked, logged, resumed.

use crate::common::{folder, names, refused, refused_by_system};
use polyseme_formats::Error;
use polyseme_formats::run::{RunError, RunFolder, StepRow};
use polyseme_formats::tensors::{DType, TensorFile, TensorInfo, TensorOut};
use serde::{Deserialize, Serialize};
use std::fs::{create_dir_all, read_to_string, write};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

#[derive(Serialize, Deserialize, Debug, PartialEq)]
struct State {
    step: u64,
    best: f64,
    seed: u64,
}

fn state(step: u64) -> State {
    State { step, best: f64::NEG_INFINITY, seed: u64::MAX - step }
}

fn tensors(step: u64) -> Vec<TensorOut> {
    vec![TensorOut::f32("w", vec![2], &[step as f32, 0.5])]
}

fn row(step: u64) -> StepRow {
    StepRow { step, tokens: 100 * step, loss: 2.5, learning_rate: 1e-4, seconds: step as f64, ..Default::default() }
}

/// A run with settings.
fn begun(out: &Path) -> RunFolder {
    let run = RunFolder::create(out, 1).unwrap();
    run.write_settings(&state(0)).unwrap();
    run
}

#[test]
fn settings_and_rows_come_back() {
    let dir = folder();
    let out = dir.path().join("deep/er");
    let mut run = begun(&out);
    assert_eq!(run.path(), out.join("run"));
    assert_eq!(run.read_settings::<State>().unwrap(), state(0));
    let mut rows = vec![row(1), row(2)];
    rows[1].valid.insert("accuracy".into(), 0.123456789);
    for r in &rows {
        run.log(r).unwrap();
    }
    assert_eq!(run.rows().unwrap(), rows);
    drop(run);
    assert_eq!(RunFolder::resume(&out).unwrap().rows().unwrap(), rows);
    let text = read_to_string(out.join("run/metrics.jsonl")).unwrap();
    assert!(text.starts_with("{\"step\":1,\"tokens\":100,\"loss\":2.5,\"learning_rate\":0.0001,"), "{text}");
    assert!(!text.lines().next().unwrap().contains("valid"));
}

#[test]
fn numbers_of_the_log_are_short_and_come_back_as_written() {
    let dir = folder();
    let mut run = begun(dir.path());
    let mut random = crate::common::Random(1);
    for step in 1..500 {
        let mut number = || f64::from(random.next() as u32 as f32 * 1e-7);
        run.log(&StepRow { loss: number(), grad_norm: number(), seconds: number(), ..row(step) }).unwrap();
    }
    run.log(&StepRow { loss: f64::NAN, grad_norm: f64::INFINITY, ..row(500) }).unwrap();
    let before = run.rows().unwrap();
    let text = read_to_string(run.path().join("metrics.jsonl")).unwrap();
    assert!(before[499].loss.is_nan() && before[499].grad_norm.is_nan());
    assert!(
        text.ends_with(
            "\"loss\":null,\"learning_rate\":0.0001,\"grad_norm\":null,\"tokens_per_second\":0.0,\"seconds\":500.0}\n"
        ),
        "{text}"
    );
    // Logging what was read gives the same text.
    let again = folder();
    let mut second = begun(again.path());
    for r in &before {
        second.log(r).unwrap();
    }
    assert_eq!(read_to_string(second.path().join("metrics.jsonl")).unwrap(), text);
    // An f32 survives.
    let logged = StepRow { loss: f64::from(0.1f32), ..row(1) };
    second.log(&logged).unwrap();
    assert_eq!(second.rows().unwrap()[500].loss as f32, 0.1f32);
}

#[test]
fn a_line_that_a_kill_cut_is_dropped_and_written_over() {
    for torn in ["{\"step\":3,\"tok", "{\"step\":3,\"tokens\":1}", "\0\0\0\0", "{}\n", "\u{fffd}"] {
        let dir = folder();
        let mut run = begun(dir.path());
        run.log(&row(1)).unwrap();
        run.log(&row(2)).unwrap();
        drop(run);
        let path = dir.path().join("run/metrics.jsonl");
        let whole = read_to_string(&path).unwrap();
        write(&path, format!("{whole}{torn}")).unwrap();
        let mut run = RunFolder::resume(dir.path()).unwrap();
        assert_eq!(run.rows().unwrap(), [row(1), row(2)], "{torn:?}");
        run.log(&row(3)).unwrap();
        assert_eq!(run.rows().unwrap(), [row(1), row(2), row(3)], "{torn:?}");
    }
}

#[test]
fn a_garbled_line_before_the_last_is_an_error() {
    let dir = folder();
    let mut run = begun(dir.path());
    for step in 1..=3 {
        run.log(&row(step)).unwrap();
    }
    let path = run.path().join("metrics.jsonl");
    let text = read_to_string(&path).unwrap().replace("\"step\":2", "\"stop\":2");
    write(&path, text).unwrap();
    refused(run.rows(), &["metrics.jsonl", "line 2 is no row of metrics", "missing field `step`"]);
    drop(run);
    refused(RunFolder::resume(dir.path()).map(|_| ()), &["line 2"]);
}

#[test]
fn rows_after_the_checkpoint_are_cut_and_the_others_keep_their_bytes() {
    let dir = folder();
    let mut run = begun(dir.path());
    for step in 1..=5 {
        run.log(&row(step)).unwrap();
    }
    let path = run.path().join("metrics.jsonl");
    let before = read_to_string(&path).unwrap();
    run.truncate_log(3).unwrap();
    assert_eq!(run.rows().unwrap(), [row(1), row(2), row(3)]);
    assert!(before.starts_with(&read_to_string(&path).unwrap()));
    run.log(&row(4)).unwrap();
    run.truncate_log(0).unwrap();
    assert_eq!(run.rows().unwrap(), []);
}

#[test]
fn checkpoints_come_back_and_old_ones_go() {
    let dir = folder();
    let run = begun(dir.path());
    assert_eq!(run.latest_checkpoint::<State>().unwrap(), (None, vec![]));
    for step in [5, 10, 100] {
        let path = run.save_checkpoint(step, &state(step), &tensors(step), 2).unwrap();
        assert_eq!(path, run.path().join(format!("checkpoints/step-{step}")));
    }
    assert_eq!(names(&run.path().join("checkpoints")), ["step-10", "step-100"]);
    assert_eq!(names(&run.path().join("checkpoints/step-100")), ["complete", "state.toml", "tensors.safetensors"]);
    drop(run);
    let run = RunFolder::resume(dir.path()).unwrap();
    let (found, warnings) = run.latest_checkpoint::<State>().unwrap();
    let (found, path) = found.unwrap();
    assert_eq!((found, warnings), (state(100), vec![]));
    assert_eq!(TensorFile::open(&path).unwrap().get("w").unwrap().to_f32().unwrap(), [100.0, 0.5]);
}

#[test]
fn a_checkpoint_of_the_same_step_replaces_the_old_one() {
    let dir = folder();
    let run = begun(dir.path());
    run.save_checkpoint(5, &state(5), &tensors(5), 0).unwrap();
    run.save_checkpoint(5, &state(6), &tensors(6), 0).unwrap();
    assert_eq!(names(&run.path().join("checkpoints")), ["step-5"], "at least one is kept");
    assert_eq!(run.latest_checkpoint::<State>().unwrap().0.unwrap().0, state(6));
}

#[test]
fn large_states_are_written_a_tensor_at_a_time() {
    let dir = folder();
    let run = begun(dir.path());
    let infos: Vec<_> =
        (0..4).map(|i| TensorInfo { name: format!("m{i}"), dtype: DType::F32, shape: vec![8] }).collect();
    let mut writer = run.begin_checkpoint(1).unwrap();
    let mut called = Vec::new();
    let mut fill = |i: usize, out: &mut dyn std::io::Write| {
        called.push(i);
        (0..8).try_for_each(|k| out.write_all(&(i as f32 * 10.0 + k as f32).to_le_bytes()))
    };
    writer.tensors("tensors.safetensors", &infos, &mut fill).unwrap();
    writer.tensors("optimizer.safetensors", &infos[..1], &mut |_, out| out.write_all(&[0; 32])).unwrap();
    for name in ["state.toml/x", "../x", "complete", "optimizer.safetensors", ".hidden", ""] {
        let result = writer.tensors(name, &infos, &mut |_, out| out.write_all(&[0; 32]));
        refused_by_system(result, &["cannot be the name of a file in a checkpoint"]);
    }
    let path = writer.finish(&state(1), 1).unwrap();
    assert_eq!(called, [0, 1, 2, 3]);
    assert_eq!(names(&path), ["complete", "optimizer.safetensors", "state.toml", "tensors.safetensors"]);
    let (_, tensors) = run.latest_checkpoint::<State>().unwrap().0.unwrap();
    let file = TensorFile::open(&tensors).unwrap();
    assert_eq!(file.get("m2").unwrap().to_f32().unwrap(), [20.0, 21.0, 22.0, 23.0, 24.0, 25.0, 26.0, 27.0]);
}

#[test]
fn a_checkpoint_given_up_leaves_nothing() {
    let dir = folder();
    let run = begun(dir.path());
    let infos = [TensorInfo { name: "m".into(), dtype: DType::F32, shape: vec![8] }];
    let mut writer = run.begin_checkpoint(1).unwrap();
    writer.tensors("tensors.safetensors", &infos, &mut |_, _| Ok(())).unwrap_err();
    drop(writer);
    // State that cannot be said in TOML, and tensors that do not fit their shape.
    refused_by_system(run.save_checkpoint(1, &3, &[], 1), &["state.toml", "cannot be written as TOML"]);
    let short = TensorOut { bytes: vec![], ..tensors(1).remove(0) };
    refused_by_system(run.save_checkpoint(1, &state(1), &[short], 1), &["`w`"]);
    assert_eq!(names(&run.path().join("checkpoints")), Vec::<String>::new());
}

#[test]
fn a_second_writer_is_refused_until_the_first_is_gone() {
    let dir = folder();
    let run = begun(dir.path());
    let pid = format!("another process (number {}) is writing", std::process::id());
    let error = refused_by_system(RunFolder::resume(dir.path()).map(|_| ()), &[&pid]);
    assert!(matches!(error, Error::Run { what: RunError::Locked { .. }, .. }));
    drop(run);
    RunFolder::resume(dir.path()).unwrap();
}

/// Between its birth and its program a child process holds all files of its parent.
#[cfg(unix)]
#[test]
fn a_run_that_was_let_go_is_free_though_children_are_being_born() {
    let dir = folder();
    drop(begun(dir.path()));
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                assert!(Command::new("true").status().unwrap().success());
            }
        });
        let opened: Vec<_> = (0..2_000).map(|_| RunFolder::resume(dir.path()).map(drop)).collect();
        over.store(true, Ordering::Relaxed);
        assert_eq!(opened.iter().filter(|o| o.is_err()).count(), 0);
    });
}

#[test]
fn a_run_is_not_begun_over_another_or_over_a_model() {
    let dir = folder();
    let at = |name: &str| dir.path().join(name);
    drop(begun(&at("run one")));
    let error = refused(RunFolder::create(&at("run one"), 0).map(|_| ()), &["run one/run", "a run here already"]);
    assert!(error.hint().unwrap().contains("--resume"));
    create_dir_all(at("model")).unwrap();
    write(at("model/config.json"), "{}").unwrap();
    refused(RunFolder::create(&at("model"), 0).map(|_| ()), &["a model here already"]);
    write(at("file"), "x").unwrap();
    refused(RunFolder::create(&at("file"), 0).map(|_| ()), &["file: it is a file"]);
    refused(RunFolder::create(&at("file/below"), 0).map(|_| ()), &["file: it is a file"]);
    assert_eq!(names(&at("model")), ["config.json"]);
    // A folder with a lock and nothing else is no run.
    drop(RunFolder::create(&at("killed early"), 0).unwrap());
    RunFolder::create(&at("killed early"), 0).unwrap();
}

#[test]
fn too_little_room_is_said_before_anything_is_made() {
    let dir = folder();
    let out = dir.path().join("new");
    let error =
        refused_by_system(RunFolder::create(&out, u64::MAX / 2).map(|_| ()), &["free on this disk", "9223372.0 TB"]);
    assert!(matches!(error, Error::Run { what: RunError::NotEnoughSpace { .. }, .. }));
    assert!(!out.exists());
}

/// Nobody, not even root, can make a folder there.
#[cfg(target_os = "linux")]
#[test]
fn a_place_that_cannot_be_written_is_said() {
    let result = RunFolder::create(Path::new("/proc/polyseme"), 0).map(|_| ());
    let error = refused_by_system(result, &["/proc/polyseme/run/checkpoints: cannot write to this folder"]);
    assert!(error.hint().unwrap().contains("choose another `--out`"));
}

#[test]
fn there_must_be_a_run_to_resume() {
    let dir = folder();
    refused(RunFolder::resume(dir.path()).map(|_| ()), &["there is no run here to go on with"]);
    refused(RunFolder::resume(&dir.path().join("nowhere")).map(|_| ()), &["no run"]);
    assert_eq!(names(dir.path()), Vec::<String>::new());
    let run = begun(dir.path());
    let path = run.path().join("settings.toml");
    write(&path, "stop = 3\n").unwrap();
    refused(run.read_settings::<State>(), &["settings.toml", "missing field `step`"]);
}

#[test]
fn the_state_of_another_version_is_an_error_not_a_skip() {
    #[derive(Deserialize, Debug)]
    struct Newer {
        #[allow(dead_code)]
        momentum: f64,
    }
    let dir = folder();
    let run = begun(dir.path());
    run.save_checkpoint(1, &state(1), &tensors(1), 1).unwrap();
    let words = ["step-1/state.toml", "of another version", "missing field `momentum`"];
    refused(run.latest_checkpoint::<Newer>().map(|_| ()), &words);
}

#[test]
fn what_a_killed_process_left_is_tidied_up() {
    let dir = folder();
    let run = begun(dir.path());
    run.save_checkpoint(1, &state(1), &tensors(1), 1).unwrap();
    drop(run);
    let checkpoints = dir.path().join("run/checkpoints");
    for name in [".tmp-step-2", ".removed-step-0", ".old-step-1"] {
        create_dir_all(checkpoints.join(name)).unwrap();
        write(checkpoints.join(name).join("x"), "x").unwrap();
    }
    write(dir.path().join("run/.polyseme-tmp-settings.toml-abc"), "x").unwrap();
    let run = RunFolder::resume(dir.path()).unwrap();
    assert_eq!(names(&checkpoints), ["step-1"]);
    assert!(names(run.path()).iter().all(|n| !n.starts_with('.')));
    drop(run);
    // Killed between the two renames of a replacement: the old one comes back.
    std::fs::rename(checkpoints.join("step-1"), checkpoints.join(".old-step-1")).unwrap();
    let run = RunFolder::resume(dir.path()).unwrap();
    assert_eq!(run.latest_checkpoint::<State>().unwrap().0.unwrap().0, state(1));
}
