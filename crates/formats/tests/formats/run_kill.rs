//! A run killed at any moment, or on a full disk, loses nothing that was whole.
//!
//! The work is done by this test program itself, started again as another process.

use crate::common::{Random, folder_on_disk, names};
use polyseme_formats::Error;
use polyseme_formats::run::{RunFolder, StepRow};
use polyseme_formats::tensors::{TensorFile, TensorOut};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

type State = BTreeMap<String, u64>;

const FOLDER: &str = "POLYSEME_TEST_FOLDER";

fn state(step: u64) -> State {
    BTreeMap::from([("step".to_owned(), step)])
}

fn tensors(step: u64, values: usize) -> Vec<TensorOut> {
    vec![TensorOut::f32("w", vec![values], &vec![step as f32; values])]
}

/// Resumes and checks that state, tensors and rows belong together; gives the step.
fn check(run: &mut RunFolder) -> u64 {
    let (found, warnings) = run.latest_checkpoint::<State>().unwrap();
    assert_eq!(warnings, Vec::<String>::new(), "a kill alone damages nothing");
    let step = match found {
        None => 0,
        Some((state, path)) => {
            let step = state["step"];
            let values = TensorFile::open(&path).unwrap().get("w").unwrap().to_f32().unwrap();
            assert!(values.iter().all(|&v| v == step as f32));
            step
        }
    };
    let steps = |run: &RunFolder| run.rows().unwrap().iter().map(|r| r.step).collect::<Vec<_>>();
    assert!(steps(run).len() as u64 >= step, "rows up to the checkpoint are there");
    run.truncate_log(step).unwrap();
    assert_eq!(steps(run), (1..=step).collect::<Vec<_>>());
    step
}

/// The folder that the parent gave, when this process is a child.
fn given() -> Option<PathBuf> {
    std::env::var_os(FOLDER).map(PathBuf::from)
}

/// This program, running one test, with a folder.
fn child(test: &str, wrapper: &[&str], folder: &Path) -> Command {
    let exe = std::env::current_exe().unwrap();
    let mut words: Vec<std::ffi::OsString> = wrapper.iter().map(Into::into).collect();
    words.push(exe.into());
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).args([test, "--exact", "--ignored", "--nocapture"]).env(FOLDER, folder);
    command.stdout(Stdio::null());
    command
}

#[test]
#[ignore = "run by the next test in another process"]
fn trains_until_it_is_killed() {
    let Some(out) = given() else { return };
    let mut run = match out.join("run/settings.toml").exists() {
        true => RunFolder::resume(&out).unwrap(),
        false => {
            let run = RunFolder::create(&out, 0).unwrap();
            run.write_settings(&state(0)).unwrap();
            run
        }
    };
    let begun = check(&mut run);
    for step in begun + 1.. {
        run.log(&StepRow { step, loss: 1.0, ..Default::default() }).unwrap();
        if step % 2 == 0 {
            run.save_checkpoint(step, &state(step), &tensors(step, 30_000), 2).unwrap();
        }
    }
}

#[test]
fn a_kill_at_any_moment_loses_at_most_the_steps_since_the_last_checkpoint() {
    let dir = folder_on_disk();
    let mut random = Random(9);
    let mut last = 0;
    for round in 0..16 {
        let mut child = child("run_kill::trains_until_it_is_killed", &[], dir.path()).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(5_000 + random.next() % 120_000));
        child.kill().unwrap();
        let status = child.wait().unwrap();
        assert_eq!(status.code(), None, "round {round}: it ended by itself");
        if !dir.path().join("run/settings.toml").exists() {
            continue;
        }
        let mut run = RunFolder::resume(dir.path()).unwrap();
        let step = check(&mut run);
        assert!(step >= last, "round {round}: {step} after {last}");
        last = step;
        let left = names(&run.path().join("checkpoints"));
        assert!(left.iter().all(|n| n.starts_with("step-")), "{left:?}");
    }
    assert!(last > 4, "something was trained: {last}");
    // Kills between saving and removing may leave more than two; the next save removes them.
    let run = RunFolder::resume(dir.path()).unwrap();
    run.save_checkpoint(last + 1, &state(last + 1), &tensors(last + 1, 1), 2).unwrap();
    assert_eq!(names(&run.path().join("checkpoints")).len(), 2);
}

/// With a whole checkpoint of step 1, tries to save one that does not fit.
fn fills_the_disk(out: &Path) {
    let mut run = RunFolder::resume(out).unwrap();
    assert_eq!(check(&mut run), 1);
    let error = run.save_checkpoint(2, &state(2), &tensors(2, 1_000_000), 1).unwrap_err();
    assert!(matches!(error, Error::DiskFull { .. }), "{error}");
    assert!(error.hint().unwrap().contains("what was saved before is untouched"));
    assert_eq!(names(&run.path().join("checkpoints")), ["step-1"]);
    assert_eq!(check(&mut run), 1);
    // With room again it goes on.
    run.save_checkpoint(2, &state(2), &tensors(2, 10), 1).unwrap();
}

fn with_one_checkpoint(out: &Path) {
    let mut run = RunFolder::create(out, 0).unwrap();
    run.write_settings(&state(0)).unwrap();
    run.log(&StepRow { step: 1, ..Default::default() }).unwrap();
    run.save_checkpoint(1, &state(1), &tensors(1, 10), 1).unwrap();
}

#[test]
#[ignore = "run by the next test under a limit on file sizes"]
fn saves_under_a_limit() {
    if let Some(out) = given() {
        fills_the_disk(&out);
    }
}

#[cfg(unix)]
#[test]
fn a_file_that_may_grow_no_more_loses_no_earlier_checkpoint() {
    let dir = folder_on_disk();
    with_one_checkpoint(dir.path());
    // 2,000 blocks of 512 bytes; the signal that would end the process is ignored.
    let limit = ["sh", "-c", "trap '' XFSZ; ulimit -f 2000; exec \"$@\"", "sh"];
    let status = child("run_kill::saves_under_a_limit", &limit, dir.path()).status().unwrap();
    assert!(status.success());
    let run = RunFolder::resume(dir.path()).unwrap();
    assert_eq!(run.latest_checkpoint::<State>().unwrap().0.unwrap().0, state(2));
}

#[test]
#[ignore = "run by the next test on a small disk of its own"]
fn saves_on_a_small_disk() {
    let Some(out) = given() else { return };
    with_one_checkpoint(&out);
    fills_the_disk(&out);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_loses_no_earlier_checkpoint() {
    let dir = folder_on_disk();
    // A disk of 1 MB in a mount namespace of its own; it goes away with the process.
    let script = "mount -t tmpfs -o size=1m none \"$POLYSEME_TEST_FOLDER\" || exit 77; exec \"$@\"";
    let disk = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"];
    match child("run_kill::saves_on_a_small_disk", &disk, dir.path()).stderr(Stdio::inherit()).status() {
        Ok(status) if status.success() => {}
        Ok(status) if status.code() == Some(101) => panic!("the child failed"),
        other => println!("skipped: no disk of 1 MB can be made here ({other:?})"),
    }
}
