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
use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::config::{Config, ConfigError};

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
    /// The widest vector instructions the processor has.
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
            isa: instruction_set(),
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

fn instruction_set() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            return "avx512";
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            return "avx2+fma";
        }
    }
    std::env::consts::ARCH
}

impl RunDir {
    /// Makes `out`, or the next free `runs/<recipe>-<loss>-<n>`, and writes the configuration
    /// and the environment into it.
    ///
    /// # Errors
    /// If `out` holds something already, or cannot be written.
    pub fn create(out: Option<&Path>, config: &Config, environment: &Environment) -> Result<Self> {
        let path = claim(out, config)?;
        for folder in ["ckpt", "eval", "plots"] {
            let folder = path.join(folder);
            std::fs::create_dir_all(&folder)
                .with_context(|| format!("making {}", folder.display()))?;
        }
        let run = Self::open(&path)?;
        run.lock()?;
        run.write("config.toml", config.to_text().as_bytes())?;
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
        for folder in ["", "ckpt", "eval", "plots"] {
            let entries = path.join(folder).read_dir().into_iter().flatten();
            for entry in entries.flatten() {
                if entry.file_name().to_string_lossy().ends_with(".unfinished") {
                    drop(std::fs::remove_file(entry.path()));
                }
            }
        }
        for name in ["train.log", "events.jsonl"] {
            let file = path.join(name);
            end_with_a_line(&file).with_context(|| format!("tidying {}", file.display()))?;
        }
        Ok(run)
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

    /// Opens an existing run directory.
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
            log: append("train.log")?,
            events: append("events.jsonl")?,
            path: path.to_path_buf(),
        })
    }

    /// Opens an existing run directory.
    ///
    /// # Errors
    /// [`ConfigError`] if it is none; else as [`open`](Self::open).
    pub fn open_existing(path: &Path) -> Result<Self> {
        if !path.join("config.toml").is_file() {
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
        let path = self.path.join(name);
        nn::checkpoint::write_atomically(&path, |file| file.write_all(content))
            .with_context(|| format!("writing {}", path.display()))
    }

    /// Writes a value as JSON.
    ///
    /// # Errors
    /// If the disk does not take it.
    pub fn write_json(&self, name: &str, value: impl Serialize) -> Result<()> {
        let mut text = serde_json::to_string_pretty(&value)?;
        text.push('\n');
        self.write(name, text.as_bytes())
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

/// Makes `out`, which must be empty, or the next free `runs/<recipe>-<loss>-<n>`.
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
    if path
        .read_dir()
        .is_ok_and(|mut entries| entries.next().is_some())
    {
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
