//! Curves for TensorBoard: `tensorboard --logdir runs` shows every run below.
//!
//! An event file is a list of records: the length of the message (u64), a masked CRC-32C of these
//! eight bytes (u32), the message, a masked CRC-32C of the message (u32), all little-endian. The
//! message is an `Event` of TensorFlow's `event.proto`, of which only what is used here is
//! declared. A resumed run writes a further file; its first event tells TensorBoard to forget what
//! an earlier file says of the steps that are done again.

use anyhow::{Context, Result};
use prost::Message;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// `tensorflow.Event`
#[derive(Clone, PartialEq, Message)]
struct Event {
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(oneof = "What", tags = "3, 5, 7")]
    what: Option<What>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum What {
    #[prost(string, tag = "3")]
    FileVersion(String),
    #[prost(message, tag = "5")]
    Summary(Summary),
    #[prost(message, tag = "7")]
    Session(Session),
}

/// `tensorflow.Summary`
#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<Value>,
}

/// `tensorflow.Summary.Value`
#[derive(Clone, PartialEq, Message)]
struct Value {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, tag = "2")]
    simple_value: f32,
}

/// `tensorflow.SessionLog`
#[derive(Clone, PartialEq, Message)]
struct Session {
    /// 1 is START.
    #[prost(int32, tag = "1")]
    status: i32,
}

/// An event file that is being written.
pub struct EventFile {
    file: File,
    path: PathBuf,
}

/// Points of a curve over the steps of a whole training, about.
const POINTS: u64 = 1_000;

impl EventFile {
    /// Begins a file in a run directory. `done` steps were done before it.
    ///
    /// # Errors
    /// If the disk does not take it.
    pub fn create(run: &Path, done: u64) -> Result<Self> {
        let time = now();
        let id = std::process::id();
        // TensorBoard reads files in the order of their names.
        let name = format!(
            "events.out.tfevents.{:010}.{:06}.{id}",
            time as u64,
            (time.fract() * 1e6) as u32
        );
        let path = run.join(name);
        let file = File::create(&path).with_context(|| format!("writing {}", path.display()))?;
        let mut events = EventFile { file, path };
        events.write(0, What::FileVersion("brain.Event:2".into()))?;
        if done > 0 {
            events.write(done + 1, What::Session(Session { status: 1 }))?;
        }
        Ok(events)
    }

    /// The loss and the learning rate of a step, if it is among those that are shown.
    ///
    /// # Errors
    /// If the disk does not take it.
    pub fn step(&mut self, step: u64, steps: u64, loss: f64, lr: f64) -> Result<()> {
        match step % steps.div_ceil(POINTS).max(1) {
            0 => self.scalars(step, &[("step/loss".into(), loss), ("step/lr".into(), lr)]),
            _ => Ok(()),
        }
    }

    /// Figures of a step.
    ///
    /// # Errors
    /// If the disk does not take them.
    pub fn scalars(&mut self, step: u64, scalars: &[(String, f64)]) -> Result<()> {
        let value = |(tag, x): &(String, f64)| Value {
            tag: tag.clone(),
            simple_value: *x as f32,
        };
        let value = scalars.iter().map(value).collect();
        self.write(step, What::Summary(Summary { value }))
    }

    fn write(&mut self, step: u64, what: What) -> Result<()> {
        let event = Event {
            wall_time: now(),
            step: step as i64,
            what: Some(what),
        };
        let record = record(&event.encode_to_vec());
        let written = self.file.write_all(&record);
        written.with_context(|| format!("writing {}", self.path.display()))
    }
}

fn now() -> f64 {
    let time = SystemTime::now().duration_since(UNIX_EPOCH);
    time.unwrap_or_default().as_secs_f64()
}

/// A message with its length and the checksums.
fn record(message: &[u8]) -> Vec<u8> {
    let length = (message.len() as u64).to_le_bytes();
    let [of_length, of_message] = [&length, message].map(|bytes| masked(bytes).to_le_bytes());
    [&length, &of_length[..], message, &of_message].concat()
}

/// A CRC-32C as it is stored beside its data: turned and shifted, so that the checksum of a file
/// that holds checksums is a good one, too.
fn masked(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
        .rotate_right(15)
        .wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes that `RecordWriter` of the Python package `tensorboard` 2.21 writes for
    /// `Event(wall_time=0.0, file_version="brain.Event:2")`.
    #[test]
    fn a_record_is_that_of_tensorboard_itself() {
        let event = Event {
            wall_time: 0.0,
            step: 0,
            what: Some(What::FileVersion("brain.Event:2".into())),
        };
        let mut expected = vec![15, 0, 0, 0, 0, 0, 0, 0, 109, 83, 43, 9, 26, 13];
        expected.extend(b"brain.Event:2");
        expected.extend([252, 152, 81, 41]);
        assert_eq!(record(&event.encode_to_vec()), expected);
    }

    /// The records of a file, whose checksums must hold.
    fn events(path: &Path) -> Vec<Event> {
        let mut bytes = &std::fs::read(path).unwrap()[..];
        let mut events = Vec::new();
        while !bytes.is_empty() {
            let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
            let (record, rest) = bytes.split_at(16 + length);
            assert_eq!(record[8..12], masked(&record[..8]).to_le_bytes());
            let message = &record[12..12 + length];
            assert_eq!(record[12 + length..], masked(message).to_le_bytes());
            events.push(Event::decode(message).unwrap());
            bytes = rest;
        }
        events
    }

    #[test]
    fn a_file_holds_what_was_written_and_a_resumed_one_takes_steps_back() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = EventFile::create(folder.path(), 40).unwrap();
        for step in 41..=44 {
            file.step(step, 2_500, 0.5, 0.1).unwrap();
        }
        file.scalars(44, &[("validation/accuracy".into(), 0.75)])
            .unwrap();
        let found = events(&file.path);
        let kinds: Vec<String> = found
            .iter()
            .map(|event| match event.what.as_ref().unwrap() {
                What::FileVersion(version) => version.clone(),
                What::Session(session) => format!("{} from {}", session.status, event.step),
                What::Summary(summary) => {
                    let tags = summary
                        .value
                        .iter()
                        .map(|v| format!(" {}={}", v.tag, v.simple_value));
                    format!("{}{}", event.step, tags.collect::<String>())
                }
            })
            .collect();
        assert_eq!(
            kinds,
            [
                "brain.Event:2",
                "1 from 41",
                "42 step/loss=0.5 step/lr=0.1",
                "44 validation/accuracy=0.75"
            ]
        );
    }
}
