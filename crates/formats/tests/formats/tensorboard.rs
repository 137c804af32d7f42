//! Event files, read back by a parser that shares nothing with the writer.

use crate::common::folder;
use polyseme_formats::run::{RunFolder, StepRow};
use polyseme_formats::tensorboard::EventWriter;
use std::path::Path;

/// CRC-32C bit by bit (polynomial 0x1EDC6F41, reflected).
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, &b| {
        (0..8).fold(crc ^ u32::from(b), |c, _| if c & 1 == 1 { c >> 1 ^ 0x82f6_3b78 } else { c >> 1 })
    })
}

fn masked(bytes: &[u8]) -> u32 {
    let crc = crc32c(bytes);
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// A value of a protobuf message by field number.
#[derive(Debug, PartialEq)]
enum Field {
    Varint(u64),
    Fixed(Vec<u8>),
}

fn fields(mut message: &[u8]) -> Vec<(u64, Field)> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let mut n = 0;
        for shift in (0..64).step_by(7) {
            let (&b, rest) = bytes.split_first().expect("a byte");
            *bytes = rest;
            n |= u64::from(b & 0x7f) << shift;
            if b & 0x80 == 0 {
                break;
            }
        }
        n
    }
    let mut found = Vec::new();
    while !message.is_empty() {
        let key = varint(&mut message);
        let take = |message: &mut &[u8], n: usize| {
            let (head, rest) = message.split_at(n);
            *message = rest;
            Field::Fixed(head.to_vec())
        };
        let field = match key & 7 {
            0 => Field::Varint(varint(&mut message)),
            1 => take(&mut message, 8),
            5 => take(&mut message, 4),
            2 => {
                let n = varint(&mut message) as usize;
                take(&mut message, n)
            }
            other => panic!("wire type {other}"),
        };
        found.push((key >> 3, field));
    }
    found
}

/// Wall time, step and values by tag.
type Event = (f64, u64, Vec<(String, f32)>);

/// Every event after the first, which names the format.
fn events(path: &Path) -> Vec<Event> {
    let bytes = std::fs::read(path).unwrap();
    let mut rest = bytes.as_slice();
    let mut messages = Vec::new();
    while !rest.is_empty() {
        let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
        assert_eq!(rest[8..12], masked(&rest[..8]).to_le_bytes());
        let message = &rest[12..12 + length];
        assert_eq!(rest[12 + length..16 + length], masked(message).to_le_bytes());
        messages.push(fields(message));
        rest = &rest[16 + length..];
    }
    assert!(messages[0].contains(&(3, Field::Fixed(b"brain.Event:2".to_vec()))));
    messages[1..].iter().map(|m| event(m)).collect()
}

fn event(message: &[(u64, Field)]) -> Event {
    let mut out = (0.0, 0, Vec::new());
    for field in message {
        match field {
            (1, Field::Fixed(time)) => out.0 = f64::from_le_bytes(time.as_slice().try_into().unwrap()),
            (2, Field::Varint(step)) => out.1 = *step,
            (5, Field::Fixed(summary)) => out.2 = fields(summary).iter().map(value).collect(),
            other => panic!("{other:?}"),
        }
    }
    out
}

fn value(field: &(u64, Field)) -> (String, f32) {
    let (1, Field::Fixed(value)) = field else { panic!("{field:?}") };
    match fields(value).as_slice() {
        [(1, Field::Fixed(tag)), (2, Field::Fixed(number))] => {
            (String::from_utf8(tag.clone()).unwrap(), f32::from_le_bytes(number.as_slice().try_into().unwrap()))
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_checksum_of_the_parser_is_right() {
    assert_eq!(crc32c(b"123456789"), 0xe306_9283);
}

#[test]
fn values_come_back() {
    let dir = folder();
    let path = dir.path().join("events.out.tfevents.0000000007.polyseme.0");
    let mut writer = EventWriter::create(&path, 7.0).unwrap();
    writer.scalars(8.5, 1, &[("train/loss".into(), 6.75)]).unwrap();
    writer.scalars(9.5, 1 << 40, &[("train/loss".into(), f64::NAN), ("valid/文".into(), -1e300)]).unwrap();
    let found = events(&path);
    assert_eq!(found[0], (8.5, 1, vec![("train/loss".into(), 6.75)]));
    assert_eq!((found[1].0, found[1].1), (9.5, 1 << 40));
    assert!(found[1].2[0].1.is_nan());
    assert_eq!(found[1].2[1], ("valid/文".into(), f32::NEG_INFINITY));
    assert!(EventWriter::create(&path, 7.0).is_err());
}

/// The event file of a run; there is always exactly one.
fn event_file(run: &Path) -> std::path::PathBuf {
    let mut names = crate::common::names(run);
    names.retain(|n| n.starts_with("events.out.tfevents."));
    assert_eq!(names.len(), 1, "{names:?}");
    run.join(&names[0])
}

#[test]
fn a_run_tells_tensorboard_the_same_story_as_its_rows() {
    let dir = folder();
    let mut run = RunFolder::create(dir.path(), 0).unwrap();
    run.write_settings(&std::collections::BTreeMap::from([("seed", 1)])).unwrap();
    for step in 1..=3 {
        let mut row = StepRow { step, loss: step as f64, seconds: step as f64 / 2.0, ..Default::default() };
        if step == 2 {
            row.valid.insert("accuracy".into(), 0.25);
        }
        run.log(&row).unwrap();
    }
    let first = event_file(run.path());
    let began: f64 = first.to_string_lossy().rsplit('.').nth(2).unwrap().parse().unwrap();
    let found = events(&first);
    assert_eq!(found.iter().map(|e| e.1).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(found[1].0, began + 1.0);
    assert!(found[1].2.contains(&("train/loss".into(), 2.0)));
    assert!(found[1].2.contains(&("valid/accuracy".into(), 0.25)));

    drop(run);
    let mut run = RunFolder::resume(dir.path()).unwrap();
    run.truncate_log(2).unwrap();
    run.log(&StepRow { step: 3, loss: 9.0, ..Default::default() }).unwrap();
    let second = event_file(run.path());
    assert_ne!(first, second, "another name, so that an open TensorBoard sees another file");
    let found = events(&second);
    assert_eq!(found.iter().map(|e| e.1).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(found[1].0, began + 1.0, "the run still began when it began");
    assert!(found[2].2.contains(&("train/loss".into(), 9.0)));
}
