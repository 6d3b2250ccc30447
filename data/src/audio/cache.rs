//! Spectrograms kept on disk, so that they are computed once.
//!
//! Each recording has a file of its own, in the safetensors format, whose name is a hash of
//! everything that the spectrogram depends on: the path, size and time of change of the WAV file,
//! the part of it, and the settings. So nothing has to be cleared when a file or a setting
//! changes, folds and runs share what they have in common, and a folder may be deleted at any
//! time.

use crate::error::{Error, Result};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

/// To be raised whenever the same settings come to mean other values.
const VERSION: u32 = 1;
const TENSOR: &str = "log_mel";
const CHECKSUM: &str = "sha256";

/// A folder of spectrograms of one shape and one kind.
#[derive(Debug)]
pub(super) struct Cache {
    folder: PathBuf,
    settings: String,
    /// `[mels, frames]`.
    shape: [usize; 2],
}

impl Cache {
    /// A cache in a folder, which is made if it does not exist. `settings` stands for everything
    /// but the recording that the values depend on.
    pub(super) fn new(folder: &Path, settings: String, shape: [usize; 2]) -> Result<Self> {
        fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
        Ok(Cache {
            folder: folder.into(),
            settings,
            shape,
        })
    }

    /// Writes the spectrogram of a part of a WAV file to `out`: the one on disk if it is there
    /// and whole, else the one that `compute` writes, which is then kept.
    pub(super) fn write(
        &self,
        recording: &Path,
        clip: Option<[f64; 2]>,
        out: &mut [f32],
        compute: impl FnOnce(&mut [f32]) -> Result<()>,
    ) -> Result<()> {
        let path = self.path(recording, clip)?;
        if self.read(&path, out).is_none() {
            compute(out)?;
            self.keep(&path, out)?;
        }
        Ok(())
    }

    /// Where the spectrogram of a part of a WAV file is kept.
    fn path(&self, recording: &Path, clip: Option<[f64; 2]>) -> Result<PathBuf> {
        let refuse = |e| Error::io(recording, e);
        let absolute = std::path::absolute(recording).map_err(refuse)?;
        let metadata = fs::metadata(recording).map_err(refuse)?;
        let changed = metadata.modified().map_err(refuse)?;
        let changed = changed.duration_since(UNIX_EPOCH).unwrap_or_default();
        let key = format!(
            "{VERSION}\n{absolute:?}\n{}\n{changed:?}\n{clip:?}\n{}",
            metadata.len(),
            self.settings,
        );
        let name = hex(key.as_bytes());
        // A folder for each first byte: some file systems are slow with many files in one.
        Ok(self
            .folder
            .join(&name[..2])
            .join(format!("{}.safetensors", &name[2..])))
    }

    /// Reads a file into `out`; nothing if it is missing or damaged.
    fn read(&self, path: &Path, out: &mut [f32]) -> Option<()> {
        let bytes = fs::read(path).ok()?;
        let (_, head) = SafeTensors::read_metadata(&bytes).ok()?;
        let file = SafeTensors::deserialize(&bytes).ok()?;
        let tensor = file.tensor(TENSOR).ok()?;
        let checksum = head.metadata().as_ref()?.get(CHECKSUM)?;
        let sound = tensor.dtype() == Dtype::F32
            && tensor.shape() == self.shape
            && *checksum == hex(tensor.data());
        if !sound {
            return None;
        }
        for (value, bytes) in out.iter_mut().zip(tensor.data().chunks_exact(4)) {
            *value = f32::from_le_bytes(bytes.try_into().expect("four bytes"));
        }
        Some(())
    }

    /// Writes a file beside its place and then moves it there, so that whoever reads it, in this
    /// process or in another one, sees all of it or nothing.
    fn keep(&self, path: &Path, values: &[f32]) -> Result<()> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let data: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let tensor = TensorView::new(Dtype::F32, self.shape.to_vec(), &data)
            .expect("the values fill the shape");
        let metadata = HashMap::from([(CHECKSUM.to_string(), hex(&data))]);
        let bytes = safetensors::serialize([(TENSOR, tensor)], Some(metadata))
            .expect("a tensor in memory can be written");
        let folder = path.parent().expect("it lies in a folder");
        fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let draft = path.with_extension(format!("{}-{number}.tmp", std::process::id()));
        let written = fs::File::create(&draft)
            .and_then(|mut file| file.write_all(&bytes))
            .and_then(|()| fs::rename(&draft, path));
        written.map_err(|e| {
            // What is left of it only takes up room.
            let _ = fs::remove_file(&draft);
            Error::io(path, e)
        })
    }
}

fn hex(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|b| format!("{b:02x}")).collect()
}
