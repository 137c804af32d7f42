//! Files are whole or not there.

use crate::common::{folder, names, refused, refused_by_system};
use polyseme_formats::{Error, atomic};

#[test]
fn a_file_is_replaced_as_a_whole() {
    let dir = folder();
    let path = dir.path().join("a.txt");
    atomic::write(&path, |out| out.write_all(b"first")).unwrap();
    atomic::write(&path, |out| out.write_all(b"second")).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"second");
    assert_eq!(names(dir.path()), ["a.txt"]);
}

#[test]
fn a_failure_in_the_middle_leaves_the_old_file_and_nothing_else() {
    let dir = folder();
    let path = dir.path().join("a.txt");
    atomic::write(&path, |out| out.write_all(b"old")).unwrap();
    let result = atomic::write(&path, |out| {
        out.write_all(b"half of the n")?;
        Err(std::io::Error::from(std::io::ErrorKind::StorageFull))
    });
    let error = refused_by_system(result, &["a.txt", "no room on the disk"]);
    assert!(matches!(error, Error::DiskFull { .. }));
    assert_eq!(std::fs::read(&path).unwrap(), b"old");
    assert_eq!(names(dir.path()), ["a.txt"]);
}

#[test]
fn a_folder_or_nothing_in_the_place_is_said() {
    let dir = folder();
    refused(atomic::write(dir.path(), |_| Ok(())), &["it is a folder, expected a file"]);
    let error = refused(atomic::write(&dir.path().join("no/a.txt"), |_| Ok(())), &["cannot write", "no/a.txt"]);
    assert!(matches!(error, Error::Io { .. }));
    assert!(!error.to_string().contains("polyseme-tmp"), "{error}");
}

#[test]
fn leftovers_of_a_killed_process_are_removed_and_nothing_else_is() {
    let dir = folder();
    std::fs::write(dir.path().join(".polyseme-tmp-a.txt-x1y2"), "half").unwrap();
    std::fs::write(dir.path().join("a.txt"), "whole").unwrap();
    atomic::clean(dir.path()).unwrap();
    assert_eq!(names(dir.path()), ["a.txt"]);
}

#[cfg(unix)]
#[test]
fn others_may_read_what_we_write() {
    use std::os::unix::fs::PermissionsExt;
    let dir = folder();
    let (ours, plain) = (dir.path().join("ours"), dir.path().join("plain"));
    atomic::write(&ours, |out| out.write_all(b"x")).unwrap();
    std::fs::write(&plain, "x").unwrap();
    let mode = |p| std::fs::metadata(p).unwrap().permissions().mode();
    assert_eq!(mode(&ours), mode(&plain));
}
