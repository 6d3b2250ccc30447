//! What a run leaves behind.
//!
//! ```text
//! runs/<recipe>-<loss>-<n>/
//!   config.toml   the resolved configuration; `train -c` on it repeats the run
//!   env.json      version, CPU, instruction set, threads, seed, fingerprint of the data
//!   train.log     what the terminal showed, as plain lines
//!   metrics.csv   one row per epoch
//!   events.jsonl  the same and more, for machines
//!   events.out.tfevents.*  curves for TensorBoard
//!   ckpt/         last.safetensors, best.safetensors, last.state, previous.state; after a
//!                 divergence diverged.safetensors, the batch it began with
//!   eval/         the final figures
//!   plots/        pictures
//!   report.html   what `hypersphere report` makes of it
//! ```

use anyhow::{Context, Result, bail};
use serde::Serialize;
use std::fs::{DirEntry, File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::config::{Config, ConfigError};
use crate::files;

/// The resolved configuration. Where it is, there is a run.
pub const CONFIG: &str = "config.toml";
/// The final figures. Where they are, the run is finished.
pub const TEST: &str = "eval/test.json";

const FOLDERS: [&str; 3] = ["ckpt", "eval", "plots"];
const LOGS: [&str; 2] = ["train.log", "events.jsonl"];

/// A run directory.
pub struct RunDir {
    path: PathBuf,
    log: File,
    events: File,
}

/// What the run was made with.
#[derive(Clone, Debug, Serialize)]
pub struct Environment {
    /// The program's version.
    pub version: &'static str,
    /// The processor's name, where the system tells it.
    pub cpu: String,
    /// The vector instructions that are used.
    pub isa: &'static str,
    /// Threads that the work was spread over.
    pub threads: usize,
    /// The seed.
    pub seed: u64,
    /// A hash of the training data.
    pub data: String,
    /// The command line.
    pub command: Vec<String>,
}

impl Environment {
    /// The environment of this process.
    pub fn here(seed: u64, data: String) -> Self {
        Environment {
            version: env!("CARGO_PKG_VERSION"),
            cpu: cpu_name(),
            isa: engine::Isa::active().name(),
            threads: engine::par::threads(),
            seed,
            data,
            command: std::iter::once("hypersphere".into())
                .chain(std::env::args().skip(1))
                .collect(),
        }
    }
}

fn cpu_name() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == "model name").then(|| value.trim().to_string())
    });
    name.unwrap_or_else(|| std::env::consts::ARCH.to_string())
}

impl RunDir {
    /// Makes `out`, or the next free `runs/<recipe>-<loss>-<n>`, and writes the configuration
    /// and the environment into it.
    ///
    /// # Errors
    /// If `out` holds something already, or cannot be written.
    pub fn create(out: Option<&Path>, config: &Config, environment: &Environment) -> Result<Self> {
        let path = claim(out, config)?;
        // First of all: from then on the run can be resumed.
        files::write(&path.join(CONFIG), config.to_text())?;
        let run = Self::open(&path)?;
        run.lock()?;
        run.furnish()?;
        run.write_json("env.json", environment)?;
        Ok(run)
    }

    /// Opens a run directory to train on in it, and clears away what a kill has left behind:
    /// unfinished files, and the begun line at the end of a log.
    ///
    /// # Errors
    /// [`ConfigError`] if another process trains in it; else as [`open`](Self::open).
    pub fn resume(path: &Path) -> Result<Self> {
        let run = Self::open(path)?;
        run.lock()?;
        run.furnish()?;
        for name in LOGS {
            let file = path.join(name);
            end_with_a_line(&file).with_context(|| format!("tidying {}", file.display()))?;
        }
        Ok(run)
    }

    /// Makes the folders, as far as they are not there, and clears them of unfinished files.
    fn furnish(&self) -> Result<()> {
        for folder in FOLDERS {
            let folder = self.path.join(folder);
            std::fs::create_dir_all(&folder)
                .with_context(|| format!("making {}", folder.display()))?;
        }
        for folder in FOLDERS.iter().chain(&[""]) {
            let entries = self.path.join(folder).read_dir().into_iter().flatten();
            for entry in entries.flatten().filter(is_unfinished) {
                drop(std::fs::remove_file(entry.path()));
            }
        }
        Ok(())
    }

    /// Two trainings in one directory would write over each other. The system gives the lock back
    /// when the process ends, however it ends.
    fn lock(&self) -> Result<()> {
        match self.log.try_lock() {
            Err(TryLockError::WouldBlock) => bail!(ConfigError(format!(
                "another process is training in {}",
                self.path.display()
            ))),
            // A file system without locks is no reason not to train.
            Ok(()) | Err(TryLockError::Error(_)) => Ok(()),
        }
    }

    /// Opens the logs of a directory, whatever else is in it.
    ///
    /// # Errors
    /// If its logs cannot be appended to.
    pub fn open(path: &Path) -> Result<Self> {
        let append = |name: &str| {
            let file = path.join(name);
            let opened = OpenOptions::new().create(true).append(true).open(&file);
            opened.with_context(|| format!("writing {}", file.display()))
        };
        Ok(RunDir {
            log: append(LOGS[0])?,
            events: append(LOGS[1])?,
            path: path.to_path_buf(),
        })
    }

    /// Opens an existing run directory.
    ///
    /// # Errors
    /// [`ConfigError`] if it is none; else as [`open`](Self::open).
    pub fn open_existing(path: &Path) -> Result<Self> {
        if !path.join(CONFIG).is_file() {
            bail!(ConfigError(format!(
                "{} is no run directory: it has no config.toml",
                path.display()
            )));
        }
        Self::open(path)
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The weights after the last epoch, or at an interruption.
    pub fn last_weights(&self) -> PathBuf {
        self.path.join("ckpt/last.safetensors")
    }

    /// The weights of the epoch with the best validation accuracy.
    pub fn best_weights(&self) -> PathBuf {
        self.path.join("ckpt/best.safetensors")
    }

    /// Everything else that an exact resume needs.
    pub fn last_state(&self) -> PathBuf {
        self.path.join("ckpt/last.state")
    }

    /// The state before the last one, for the case that that is damaged.
    pub fn previous_state(&self) -> PathBuf {
        self.path.join("ckpt/previous.state")
    }

    /// Renames a damaged file, if it is there, so that nothing takes it for a good one.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn set_aside(&self, path: &Path) -> Result<()> {
        let mut name = path.as_os_str().to_os_string();
        name.push(".damaged");
        match std::fs::rename(path, &name) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(e).with_context(|| format!("renaming {}", path.display()))
            }
            _ => Ok(()),
        }
    }

    /// Adds a line to `train.log`.
    ///
    /// # Errors
    /// If the disk does not take it.
    pub fn log(&mut self, line: &str) -> Result<()> {
        let line = format!("{line}\n");
        self.log
            .write_all(line.as_bytes())
            .context("writing train.log")
    }

    /// Adds an event to `events.jsonl`.
    ///
    /// # Errors
    /// If the disk does not take it.
    pub fn event(&mut self, kind: &str, data: impl Serialize) -> Result<()> {
        let event = serde_json::json!({ "event": kind, "data": serde_json::to_value(data)? });
        let line = format!("{event}\n");
        self.events
            .write_all(line.as_bytes())
            .context("writing events.jsonl")
    }

    /// Writes a file of the run as a whole: either the old or the new content is there.
    ///
    /// # Errors
    /// If the disk does not take it.
    pub fn write(&self, name: &str, content: &[u8]) -> Result<()> {
        files::write(&self.path.join(name), content)
    }

    /// Writes a value as JSON.
    ///
    /// # Errors
    /// If the disk does not take it.
    pub fn write_json(&self, name: &str, value: impl Serialize) -> Result<()> {
        files::write_json(&self.path.join(name), value)
    }

    /// Removes a file of the run, if it is there.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn remove(&self, name: &str) -> Result<()> {
        let path = self.path.join(name);
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(e).with_context(|| format!("removing {}", path.display()))
            }
            _ => Ok(()),
        }
    }
}

/// Cuts off what stands behind the last line break.
fn end_with_a_line(path: &Path) -> std::io::Result<()> {
    let content = std::fs::read(path)?;
    let end = content
        .iter()
        .rposition(|&b| b == b'\n')
        .map_or(0, |at| at + 1);
    match end == content.len() {
        true => Ok(()),
        false => OpenOptions::new()
            .write(true)
            .open(path)?
            .set_len(end as u64),
    }
}

/// Whether there is nothing in a folder but what a run that was killed in its first moments leaves:
/// folders and logs without content, and unfinished files.
fn is_bare(path: &Path) -> bool {
    let is_empty = |folder: &Path| {
        let entries = folder.read_dir().into_iter().flatten().flatten();
        entries.into_iter().all(|entry| is_unfinished(&entry))
    };
    let is_nothing = |entry: DirEntry| {
        let named = |names: &[&str]| names.iter().any(|name| entry.file_name() == *name);
        let is_blank = || entry.metadata().is_ok_and(|m| m.is_file() && m.len() == 0);
        is_unfinished(&entry)
            || named(&FOLDERS) && entry.path().is_dir() && is_empty(&entry.path())
            || named(&LOGS) && is_blank()
    };
    let entries = path.read_dir().into_iter().flatten().flatten();
    entries.into_iter().all(is_nothing)
}

/// Whether a kill has left this behind when it was being written.
fn is_unfinished(entry: &DirEntry) -> bool {
    entry.file_name().to_string_lossy().ends_with(".unfinished")
}

/// Makes `out`, which must be bare, or the next free `runs/<recipe>-<loss>-<n>`.
///
/// # Errors
/// If `out` holds something already, or the directory cannot be made.
pub fn claim(out: Option<&Path>, config: &Config) -> Result<PathBuf> {
    let Some(path) = out else {
        let recipe = match config.recipe.as_str() {
            "" => "custom",
            name => name,
        };
        return next_free(
            Path::new("runs"),
            &format!("{recipe}-{}", slug(&config.loss)),
        );
    };
    if !is_bare(path) {
        bail!(ConfigError(format!(
            "{} holds something already; choose another --out, or continue the run there with \
             --resume {0}",
            path.display()
        )));
    }
    std::fs::create_dir_all(path).with_context(|| format!("making {}", path.display()))?;
    Ok(path.to_path_buf())
}

/// The names of a loss's terms, joined: `so-softmax-center`.
pub fn slug(loss: &str) -> String {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let terms = loss.split('+').map(|term| {
        let name = term.rsplit('*').next().unwrap_or(term).trim();
        name.chars().take_while(|&c| is_part(c)).collect::<String>()
    });
    terms.collect::<Vec<_>>().join("-")
}

/// Makes the first `parent/stem-n` that does not exist. Making it is what claims it, so two runs
/// that start together do not meet.
fn next_free(parent: &Path, stem: &str) -> Result<PathBuf> {
    std::fs::create_dir_all(parent).with_context(|| format!("making {}", parent.display()))?;
    for n in 1.. {
        let path = parent.join(format!("{stem}-{n}"));
        match std::fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e).with_context(|| format!("making {}", path.display())),
        }
    }
    unreachable!("there are more numbers than directories")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_numbered_and_nothing_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let first = next_free(folder.path(), "mnist-softmax").unwrap();
        let second = next_free(folder.path(), "mnist-softmax").unwrap();
        assert!(first.ends_with("mnist-softmax-1") && second.ends_with("mnist-softmax-2"));
        std::fs::write(first.join("precious"), "").unwrap();
        let environment = Environment::here(1, String::new());
        let error = RunDir::create(Some(&first), &Config::default(), &environment);
        assert!(error.err().unwrap().to_string().contains("--resume"));
    }

    #[test]
    fn what_a_kill_in_the_first_moments_leaves_can_be_begun_in() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let environment = Environment::here(1, String::new());
        std::fs::create_dir_all(path.join("ckpt")).unwrap();
        std::fs::create_dir_all(path.join("eval")).unwrap();
        std::fs::write(path.join("train.log"), "").unwrap();
        std::fs::write(path.join("config.toml.7.unfinished"), "epo").unwrap();
        for (name, content) in [
            ("train.log", "loss"),
            ("ckpt/last.state", ""),
            ("plots", ""),
        ] {
            std::fs::write(path.join(name), content).unwrap();
            let error = RunDir::create(Some(path), &Config::default(), &environment);
            assert!(error.is_err(), "{name} was taken for nothing");
            std::fs::remove_file(path.join(name)).unwrap();
        }
        drop(RunDir::create(Some(path), &Config::default(), &environment).unwrap());
        assert!(path.join(CONFIG).is_file() && !path.join("config.toml.7.unfinished").exists());
        // From the first file on it is a run, whatever else is there.
        let second = path.join("second");
        std::fs::create_dir(&second).unwrap();
        std::fs::copy(path.join(CONFIG), second.join(CONFIG)).unwrap();
        let error = RunDir::create(Some(&second), &Config::default(), &environment);
        assert!(error.err().unwrap().to_string().contains("--resume"));
        assert!(RunDir::resume(&second).is_ok() && second.join("ckpt").is_dir());
    }

    #[test]
    fn a_run_is_trained_by_one_process_and_tidied_after_a_kill() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("run");
        let environment = Environment::here(1, String::new());
        let mut run = RunDir::create(Some(&out), &Config::default(), &environment).unwrap();
        run.event("epoch", 1).unwrap();
        let error = RunDir::resume(&out).err().unwrap();
        assert!(error.is::<ConfigError>() && error.to_string().contains("another process"));
        drop(run);
        let events = out.join("events.jsonl");
        let whole = std::fs::read_to_string(&events).unwrap();
        std::fs::write(&events, format!("{whole}{{\"event\":\"ep")).unwrap();
        let unfinished = out.join("ckpt/last.state.123.unfinished");
        std::fs::write(&unfinished, "half").unwrap();
        let mut run = RunDir::resume(&out).unwrap();
        assert!(!unfinished.exists());
        run.event("epoch", 2).unwrap();
        let lines = std::fs::read_to_string(&events).unwrap();
        assert!(
            lines.starts_with(&whole) && lines.lines().count() == 2,
            "{lines}"
        );
    }

    #[test]
    fn names_say_what_was_trained() {
        assert_eq!(
            slug("so-softmax:lambda_p=32,m=0.3 + 0.1*center"),
            "so-softmax-center"
        );
        assert_eq!(slug("all"), "all");
    }
}
