//! The program as a user meets it: arguments in; files, two streams and an exit code out.

mod accidents;
mod benchmarks;
mod configs;
mod daily;
mod data;
mod doctor;
mod exporting;
mod folders;
mod harness;
mod loss_eval;
mod reporting;
mod series;
mod training;
mod usage;

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// The program with these arguments, at work in `folder`.
pub fn hypersphere(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hypersphere"));
    command
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null());
    command
}

/// What came of it.
pub struct Outcome {
    /// The exit code.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl From<Output> for Outcome {
    fn from(output: Output) -> Self {
        Outcome {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// Runs the program to its end, whatever that is.
pub fn run(folder: &Path, arguments: &[&str]) -> Outcome {
    hypersphere(folder, arguments).output().unwrap().into()
}

/// Runs the program, which must succeed, and returns its standard output.
#[track_caller]
pub fn succeed(folder: &Path, arguments: &[&str]) -> String {
    let outcome = run(folder, arguments);
    assert_eq!(outcome.code, Some(0), "{arguments:?}: {}", outcome.stderr);
    outcome.stdout
}

/// Runs the program, which must end with this code and a message that has all of `parts`.
#[track_caller]
pub fn fail(folder: &Path, arguments: &[&str], code: i32, parts: &[&str]) {
    let outcome = run(folder, arguments);
    let stderr = &outcome.stderr;
    assert_eq!(outcome.code, Some(code), "{arguments:?}: {stderr}");
    assert!(!stderr.contains("panicked"), "{arguments:?}: {stderr}");
    assert_has(stderr, parts);
}

/// A text must have all of `parts`.
#[track_caller]
pub fn assert_has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "`{part}` is missing in:\n{text}");
    }
}

/// `digits/` in a folder, with so many training and test images, unless it is there.
pub fn digits(folder: &Path, train: usize, test: usize) {
    let digits = folder.join("digits");
    if !digits.is_dir() {
        std::fs::create_dir(&digits).unwrap();
        small_mnist(&digits, train, test);
    }
}

/// A folder of four IDX files: the first of MNIST's training images and of its test images.
pub fn small_mnist(folder: &Path, train: usize, test: usize) {
    let mnist = ::data::mnist::embedded();
    for (prefix, set, count) in [("train", &mnist.train, train), ("t10k", &mnist.test, test)] {
        let mut images = vec![0, 0, 8, 3];
        let mut labels = vec![0, 0, 8, 1];
        for size in [count, 28, 28] {
            images.extend((size as u32).to_be_bytes());
        }
        labels.extend((count as u32).to_be_bytes());
        for i in 0..count {
            images.extend_from_slice(set.image(i));
            labels.push(set.labels()[i] as u8);
        }
        let write = |kind: &str, content: &[u8]| {
            std::fs::write(folder.join(format!("{prefix}-{kind}-ubyte")), content).unwrap();
        };
        write("images-idx3", &images);
        write("labels-idx1", &labels);
    }
}
