//! TensorBoard event files: scalars only, protobuf by hand.
//!
//! A file is a chain of records: length (u64), masked CRC-32C of these 8 bytes, an `Event` message,
//! masked CRC-32C of it. Source: `tensorflow/core/lib/io/record_writer.cc`,
//! `tensorboard/compat/proto/{event,summary}.proto`.

use crate::{Error, Result};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// An event file being written. Every call is one write to the system, so that a reader sees it at
/// once and a killed process loses at most the event it was writing.
pub struct EventWriter {
    path: PathBuf,
    file: File,
}

impl EventWriter {
    /// Begins a new file. `wall_time` is in seconds since 1970. TensorBoard takes a file for its own
    /// if `tfevents` is in its name. Errors: it is there already or cannot be written.
    pub fn create(path: &Path, wall_time: f64) -> Result<Self> {
        let file = File::options().append(true).create_new(true).open(path);
        let file = file.map_err(|e| Error::io("create", path, e))?;
        let mut writer = Self { path: path.to_path_buf(), file };
        let mut event = Message::event(wall_time, 0);
        event.bytes(3, b"brain.Event:2");
        writer.append(&record(&event.0))?;
        Ok(writer)
    }

    /// Appends values of one step by their tags ("train/loss").
    pub fn scalars(&mut self, wall_time: f64, step: u64, values: &[(String, f64)]) -> Result<()> {
        let bytes = scalar_record(wall_time, step, values);
        self.append(&bytes)
    }

    /// Appends values of many steps with one write.
    pub(crate) fn many<'a>(&mut self, steps: impl Iterator<Item = (f64, u64, &'a [(String, f64)])>) -> Result<()> {
        let mut bytes = Vec::new();
        for (wall_time, step, values) in steps {
            bytes.extend(scalar_record(wall_time, step, values));
        }
        self.append(&bytes)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|e| Error::io("write", &self.path, e))
    }
}

fn scalar_record(wall_time: f64, step: u64, values: &[(String, f64)]) -> Vec<u8> {
    let mut summary = Message::default();
    for (tag, value) in values {
        let mut one = Message::default();
        one.bytes(1, tag.as_bytes());
        one.float(2, *value as f32);
        summary.bytes(1, &one.0);
    }
    let mut event = Message::event(wall_time, step);
    event.bytes(5, &summary.0);
    record(&event.0)
}

/// Frames a message.
fn record(message: &[u8]) -> Vec<u8> {
    let length = (message.len() as u64).to_le_bytes();
    let mut out = Vec::with_capacity(message.len() + 16);
    out.extend(length);
    out.extend(masked_crc(&length).to_le_bytes());
    out.extend(message);
    out.extend(masked_crc(message).to_le_bytes());
    out
}

/// CRC-32C, rotated and shifted so that the checksum of data with checksums in it stays good.
fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// A protobuf message being written. Each field: its number and wire type, then the value.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn event(wall_time: f64, step: u64) -> Self {
        let mut event = Self::default();
        event.key(1, 1);
        event.0.extend(wall_time.to_le_bytes());
        event.key(2, 0);
        event.varint(step);
        event
    }

    fn key(&mut self, field: u64, wire_type: u64) {
        self.varint(field << 3 | wire_type);
    }

    fn varint(&mut self, mut n: u64) {
        while n >= 0x80 {
            self.0.push(n as u8 | 0x80);
            n >>= 7;
        }
        self.0.push(n as u8);
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.key(field, 2);
        self.varint(bytes.len() as u64);
        self.0.extend(bytes);
    }

    fn float(&mut self, field: u64, value: f32) {
        self.key(field, 5);
        self.0.extend(value.to_le_bytes());
    }
}
