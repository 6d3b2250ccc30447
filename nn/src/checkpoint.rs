//! Weights on disk: safetensors files, written atomically, with a checksum.
//!
//! The checksum is the CRC-32C of the whole file, its own eight digits taken as zeros. It stands
//! in the metadata under `crc32c`, so that the file remains one that every reader of safetensors
//! reads; here a file that does not match it is refused. Files without one are taken as they are.
//!
//! Layouts are stored as they are in memory: convolution weights `[kh, kw, in/groups, out]`,
//! linear weights `[out, in]`. The same content gives the same bytes.

mod checksum;

use bytemuck::cast_slice;
use engine::{Float, MAX_RANK, Params, Shape, Tensor};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

const _: () = assert!(
    cfg!(target_endian = "little"),
    "safetensors files are little-endian and written from memory as it is"
);

/// Facts about a checkpoint in words: the model's name, the classes, the step.
pub type Metadata = BTreeMap<String, String>;

/// Named tensors and metadata: what a safetensors file holds.
///
/// ```
/// use engine::{Params, Tensor};
/// use nn::{Checkpoint, Metadata};
/// let folder = tempfile::tempdir()?;
/// let file = folder.path().join("last.safetensors");
/// let mut params = Params::<f32>::new();
/// let w = params.add("w", Tensor::full([2, 3], 0.1));
/// Checkpoint::of(&params, Metadata::from([("epoch".into(), "3".into())])).write(&file)?;
///
/// params.set(w, &Tensor::zeros([2, 3]));
/// let checkpoint = Checkpoint::read(&file)?;
/// checkpoint.load_into(&mut params)?;
/// assert_eq!(params.value(w).data(), [0.1; 6]);
/// assert_eq!(checkpoint.metadata["epoch"], "3");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Checkpoint<T: Float> {
    /// The tensors with their names.
    pub tensors: Vec<(String, Tensor<T>)>,
    /// The metadata.
    pub metadata: Metadata,
    /// The file it was read from, for error messages.
    source: PathBuf,
}

/// Why a checkpoint could not be written, read or loaded.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The operating system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried: `"read"`, `"write"`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The file is damaged or something else.
    #[error("{} is not a valid safetensors file: {reason}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The content is not what was written.
    #[error(
        "{} is damaged: the checksum of its content is {found}, but it was written with {expected}\n  \
         use another copy of it; a program that has changed it on purpose must remove `crc32c` from \
         its metadata", path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The checksum that is written in it.
        expected: String,
        /// That of what is there.
        found: String,
    },
    /// A tensor holds something other than floating-point numbers of 32 or 64 bits.
    #[error("{}: `{key}` holds {found}; expected F32 or F64", path.display())]
    Type {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        key: String,
        /// What it holds.
        found: String,
    },
    /// The file and the model do not have the same tensors.
    #[error(
        "{} does not fit the model.{}{}\n  was it saved from another network?",
        path.display(), list("missing in the file", missing), list("unknown to the model", unexpected)
    )]
    Keys {
        /// The file.
        path: PathBuf,
        /// Names that the model has and the file lacks.
        missing: Vec<String>,
        /// Names that the file has and the model lacks.
        unexpected: Vec<String>,
    },
    /// A tensor has another shape than in the model.
    #[error(
        "{}: `{key}` has shape {found:?}, but the model has {expected:?}\n  \
         was it saved from another network, or with other dimensions?",
        path.display()
    )]
    Shape {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        key: String,
        /// The shape in the model.
        expected: Vec<usize>,
        /// The shape in the file.
        found: Vec<usize>,
    },
}

fn list(title: &str, names: &[String]) -> String {
    match names {
        [] => String::new(),
        names => format!("\n  {title}: {}", names.join(", ")),
    }
}

impl<T: Float> Checkpoint<T> {
    /// The parameters and buffers of a model.
    pub fn of(params: &Params<T>, metadata: Metadata) -> Self {
        let values = params
            .iter()
            .map(|(id, p)| (p.name().to_string(), params.value(id)));
        Self::new(values.chain(params.buffers()).collect(), metadata)
    }

    /// Any tensors, such as the state of an optimizer.
    pub fn new(tensors: Vec<(String, Tensor<T>)>, metadata: Metadata) -> Self {
        Checkpoint {
            tensors,
            metadata,
            source: PathBuf::new(),
        }
    }

    /// Writes the file beside its final place, flushes it to the disk and renames it: whoever
    /// reads `path` finds the old or the new content, never a part.
    ///
    /// # Errors
    /// [`CheckpointError::Io`]; and [`CheckpointError::Format`] if two tensors have one name.
    pub fn write(&self, path: &Path) -> Result<(), CheckpointError> {
        let mut tensors: Vec<_> = self.tensors.iter().collect();
        tensors.sort_by_key(|(name, _)| name);
        if let Some(pair) = tensors.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(CheckpointError::Format {
                path: path.to_path_buf(),
                reason: format!("two tensors are called `{}`", pair[0].0),
            });
        }
        let mut header = header::<T>(&tensors, &self.metadata);
        let length = (header.len() as u64).to_le_bytes();
        let content = tensors.iter().map(|(_, t)| cast_slice(t.data()));
        let sum = checksum::of([&length, header.as_bytes()].into_iter().chain(content));
        let place = checksum::place(header.as_bytes()).expect("the header has a place for it");
        header.replace_range(place, &sum);
        write_atomically(path, |file| {
            file.write_all(&length)?;
            file.write_all(header.as_bytes())?;
            for (_, tensor) in &tensors {
                file.write_all(cast_slice(tensor.data()))?;
            }
            Ok(())
        })
        .map_err(|source| CheckpointError::Io {
            action: "write",
            path: path.to_path_buf(),
            source,
        })
    }

    /// Reads a file; `f32` and `f64` are converted to this type, from `f64` to `f32` by rounding.
    ///
    /// # Errors
    /// [`CheckpointError::Io`], [`Format`](CheckpointError::Format),
    /// [`Damaged`](CheckpointError::Damaged) or [`Type`](CheckpointError::Type).
    pub fn read(path: &Path) -> Result<Self, CheckpointError> {
        Self::read_some(path, |_| true)
    }

    /// Reads the tensors whose names are wanted; the others may hold anything.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_some(
        path: &Path,
        mut wanted: impl FnMut(&str) -> bool,
    ) -> Result<Self, CheckpointError> {
        let bytes = fs::read(path).map_err(|source| CheckpointError::Io {
            action: "read",
            path: path.to_path_buf(),
            source,
        })?;
        let format = |reason: String| CheckpointError::Format {
            path: path.to_path_buf(),
            reason,
        };
        let (size, header) =
            SafeTensors::read_metadata(&bytes).map_err(|e| format(e.to_string()))?;
        let mut metadata: Metadata = header
            .metadata()
            .clone()
            .unwrap_or_default()
            .into_iter()
            .collect();
        if let Some(expected) = metadata.remove(checksum::KEY) {
            let found = checksum::of_file(&bytes, size);
            if found != expected {
                return Err(CheckpointError::Damaged {
                    path: path.to_path_buf(),
                    expected,
                    found,
                });
            }
        }
        let file = SafeTensors::deserialize(&bytes).map_err(|e| format(e.to_string()))?;
        let mut tensors = Vec::new();
        for (key, view) in file.iter() {
            if !wanted(key) {
                continue;
            }
            if view.shape().len() > MAX_RANK {
                let rank = view.shape().len();
                return Err(format(format!(
                    "`{key}` has {rank} axes, at most {MAX_RANK} are known"
                )));
            }
            let tensor = decoded(&view).ok_or_else(|| CheckpointError::Type {
                path: path.to_path_buf(),
                key: key.to_string(),
                found: format!("{:?}", view.dtype()),
            })?;
            tensors.push((key.to_string(), tensor));
        }
        tensors.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(Checkpoint {
            tensors,
            metadata,
            source: path.to_path_buf(),
        })
    }

    /// Overwrites the model's parameters and buffers. On an error the model is unchanged.
    ///
    /// # Errors
    /// [`CheckpointError::Keys`] if the names are not exactly the model's,
    /// [`CheckpointError::Shape`] if a shape is another.
    pub fn load_into(&self, params: &mut Params<T>) -> Result<(), CheckpointError> {
        let mut wanted: BTreeMap<String, Shape> = params
            .iter()
            .map(|(_, p)| (p.name().to_string(), p.shape()))
            .collect();
        wanted.extend(params.buffers().into_iter().map(|(n, b)| (n, b.shape())));
        let mut unexpected = Vec::new();
        for (key, tensor) in &self.tensors {
            match wanted.remove(key) {
                None => unexpected.push(key.clone()),
                Some(expected) if expected != tensor.shape() => {
                    return Err(CheckpointError::Shape {
                        path: self.source.clone(),
                        key: key.clone(),
                        expected: expected.to_vec(),
                        found: tensor.shape().to_vec(),
                    });
                }
                Some(_) => {}
            }
        }
        if !wanted.is_empty() || !unexpected.is_empty() {
            return Err(CheckpointError::Keys {
                path: self.source.clone(),
                missing: wanted.into_keys().collect(),
                unexpected,
            });
        }
        for (key, tensor) in &self.tensors {
            match (params.find(key), params.find_buffer(key)) {
                (Ok(id), _) => params.set(id, tensor),
                (_, Ok(id)) => params.set_buffer(id, tensor.clone()),
                _ => unreachable!("every name was found above"),
            }
        }
        Ok(())
    }
}

/// The JSON at the head of a file: sorted, so that the bytes depend on the content alone, with
/// zeros in the place of the checksum.
fn header<T: Float>(tensors: &[&(String, Tensor<T>)], metadata: &Metadata) -> String {
    let mut offset = 0;
    let mut entries = BTreeMap::new();
    for (name, tensor) in tensors {
        let end = offset + size_of_val(tensor.data());
        let entry = serde_json::json!({
            "dtype": T::NAME.to_uppercase(),
            "shape": &*tensor.shape(),
            "data_offsets": [offset, end],
        });
        entries.insert(name.as_str(), entry);
        offset = end;
    }
    let mut metadata = metadata.clone();
    metadata.insert(checksum::KEY.into(), checksum::ZEROS.into());
    entries.insert("__metadata__", serde_json::json!(metadata));
    let mut text = serde_json::json!(entries).to_string();
    // Padded, so that the numbers begin on a multiple of eight bytes.
    let missing = text.len().next_multiple_of(8) - text.len();
    text.extend(std::iter::repeat_n(' ', missing));
    text
}

/// Writes a file beside its final place, flushes it to the disk and renames it: whoever reads
/// `path` finds the old or the new content, never a part.
///
/// # Errors
/// The system's, or those of `content`; nothing is left behind then.
pub fn write_atomically(
    path: &Path,
    content: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    let beside = beside(path);
    let write = || {
        let mut file = BufWriter::new(File::create(&beside)?);
        content(&mut file)?;
        file.into_inner()?.sync_all()?;
        fs::rename(&beside, path)
    };
    write().inspect_err(|_| {
        // The failure that counts is the first one.
        drop(fs::remove_file(&beside));
    })?;
    flush_folder(path);
    Ok(())
}

/// A name for the unfinished file, in the same folder, since a rename cannot cross file systems.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.unfinished", std::process::id()));
    path.with_file_name(name)
}

/// Makes the rename itself survive a power cut where the system can do that; elsewhere the
/// file is complete all the same.
fn flush_folder(path: &Path) {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
    if let Ok(folder) = File::open(folder.unwrap_or(Path::new("."))) {
        drop(folder.sync_all());
    }
}

/// The numbers of a tensor whose size the safetensors crate has checked against its bytes.
fn decoded<T: Float>(view: &TensorView<'_>) -> Option<Tensor<T>> {
    let (shape, bytes) = (Shape::from(view.shape()), view.data());
    let number: fn(&[u8]) -> T = match view.dtype() {
        Dtype::F32 => |b| T::of(f64::from(bytemuck::pod_read_unaligned::<f32>(b))),
        Dtype::F64 => |b| T::of(bytemuck::pod_read_unaligned::<f64>(b)),
        _ => return None,
    };
    let size = bytes.len().checked_div(shape.elements()).unwrap_or(1);
    Some(Tensor::from_fn(shape, |i| {
        number(&bytes[i * size..(i + 1) * size])
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::rng::Key;

    fn model(widths: [usize; 2]) -> Params<f32> {
        let mut params = Params::new();
        let mut rng = Key::new(3).rng();
        params.add(
            "conv.weight",
            Tensor::from_fn([3, 3, 1, widths[0]], |_| rng.normal() as f32),
        );
        params.add(
            "fc.weight",
            Tensor::from_fn([widths[1], 4], |_| rng.normal() as f32),
        );
        params.add_buffer("bn.running_mean", Tensor::full([widths[0]], 0.25));
        params
    }

    fn metadata() -> Metadata {
        let pairs = ["model=vgg", "classes=zero, \"one\"", "step=7", "a=b"];
        let pair = |s: &&str| {
            s.split_once('=')
                .map(|(k, v)| (k.to_string(), v.to_string()))
        };
        pairs.iter().filter_map(pair).collect()
    }

    #[test]
    fn what_is_written_is_read_again_bit_for_bit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("last.safetensors");
        let params = model([8, 5]);
        Checkpoint::of(&params, metadata()).write(&path).unwrap();
        let mut other = model([8, 5]);
        other.values_mut().fill(0.0);
        other.set_buffer(
            other.find_buffer("bn.running_mean").unwrap(),
            Tensor::zeros([8]),
        );
        let checkpoint = Checkpoint::read(&path).unwrap();
        checkpoint.load_into(&mut other).unwrap();
        assert_eq!(other.values(), params.values());
        assert_eq!(other.buffers()[0].1.data(), [0.25; 8]);
        assert_eq!(checkpoint.metadata, metadata());

        let first = fs::read(&path).unwrap();
        checkpoint.write(&path).unwrap();
        assert_eq!(
            fs::read(&path).unwrap(),
            first,
            "the same content, the same bytes"
        );
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "nothing is left beside the file: {left:?}");
    }

    /// Wherever a bit falls over in what the file holds, and whatever the crate of the format
    /// says to it.
    #[test]
    fn a_single_wrong_bit_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("last.state");
        let tensors = vec![("w".to_string(), Tensor::new([3], &[1.0_f32, -2.0, 0.5]))];
        let mut file = Checkpoint::new(tensors, metadata());
        file.metadata
            .insert("quoted".into(), "\"crc32c\":\"".into());
        file.write(&path).unwrap();
        assert_eq!(
            Checkpoint::<f32>::read(&path).unwrap().metadata,
            file.metadata
        );
        let good = fs::read(&path).unwrap();
        // The one place where it cannot be: the name of the checksum itself.
        let name = checksum::place(&good[8..]).unwrap().start + 8;
        let name = name - "\"crc32c\":\"".len()..name;
        let mut damaged = 0;
        for at in (0..good.len()).filter(|at| !name.contains(at)) {
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 7);
            fs::write(&path, &bad).unwrap();
            let error = Checkpoint::<f32>::read(&path).err();
            let error = error.unwrap_or_else(|| panic!("byte {at} of {}", good.len()));
            assert!(error.to_string().contains("last.state"), "{error}");
            damaged += usize::from(matches!(error, CheckpointError::Damaged { .. }));
        }
        assert!(
            damaged > 50,
            "the checksum found {damaged} of {}",
            good.len()
        );
    }

    /// A network of a hundred layers has a header of more than 65,535 bytes.
    #[test]
    fn many_tensors_fit_in_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep.safetensors");
        let tensors = (0..1_200).map(|i| (format!("layer.{i:04}"), Tensor::full([1], i as f32)));
        let file = Checkpoint::new(tensors.collect(), Metadata::new());
        file.write(&path).unwrap();
        let bytes = fs::read(&path).unwrap();
        let header = u64::from_le_bytes(bytes[..8].try_into().unwrap());
        assert!(header > u64::from(u16::MAX) && header % 8 == 0, "{header}");
        let found = Checkpoint::<f32>::read(&path).unwrap().tensors;
        assert_eq!(found.len(), 1_200);
        assert_eq!(found[1_199].1.data(), [1_199.0]);
    }

    #[test]
    fn types_are_converted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.safetensors");
        let tensor = Tensor::new([2], &[0.1_f32, -7.0]);
        let file = Checkpoint::new(vec![("w".into(), tensor.clone())], Metadata::new());
        file.write(&path).unwrap();
        let wide = Checkpoint::<f64>::read(&path).unwrap();
        assert_eq!(wide.tensors[0].1.data(), tensor.cast::<f64>().data());
        wide.write(&path).unwrap();
        let narrow = Checkpoint::<f32>::read(&path).unwrap();
        assert_eq!(narrow.tensors[0].1.data(), tensor.data());
    }

    #[test]
    fn a_checkpoint_of_another_model_is_refused_with_names_and_shapes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.safetensors");
        Checkpoint::of(&model([8, 5]), Metadata::new())
            .write(&path)
            .unwrap();
        let checkpoint = Checkpoint::<f32>::read(&path).unwrap();

        let mut wider = model([8, 6]);
        let before = wider.values().to_vec();
        let error = checkpoint.load_into(&mut wider).unwrap_err().to_string();
        let expected = "`fc.weight` has shape [5, 4], but the model has [6, 4]";
        assert!(
            error.contains(expected) && error.contains("w.safetensors"),
            "{error}"
        );
        assert_eq!(wider.values(), before, "unchanged");

        let mut renamed = Params::<f32>::new();
        renamed.add("conv.weight", Tensor::zeros([3, 3, 1, 8]));
        renamed.add("head.weight", Tensor::zeros([5, 4]));
        let error = checkpoint.load_into(&mut renamed).unwrap_err().to_string();
        assert!(
            error.contains("missing in the file: head.weight"),
            "{error}"
        );
        assert!(
            error.contains("unknown to the model: bn.running_mean, fc.weight"),
            "{error}"
        );
    }

    #[test]
    fn damaged_files_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.safetensors");
        Checkpoint::of(&model([8, 5]), metadata())
            .write(&path)
            .unwrap();
        let good = fs::read(&path).unwrap();
        let refused = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            let error = Checkpoint::<f32>::read(&path).unwrap_err().to_string();
            assert!(error.contains("w.safetensors"), "{error}");
            error
        };
        for length in [0, 4, 8, 40, good.len() - 1] {
            refused(&good[..length]);
        }
        let mut huge = good.clone();
        huge[..8].copy_from_slice(&u64::MAX.to_le_bytes());
        refused(&huge);
        let with_header = |header: &str, data: usize| {
            let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
            bytes.extend(header.bytes());
            bytes.resize(bytes.len() + data, 0);
            bytes
        };
        let integers = r#"{"w":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}}"#;
        let error = refused(&with_header(integers, 8));
        assert!(
            error.contains("`w` holds I64; expected F32 or F64"),
            "{error}"
        );
        let deep = r#"{"w":{"dtype":"F32","shape":[1,1,1,1,1,1,1],"data_offsets":[0,4]}}"#;
        assert!(refused(&with_header(deep, 4)).contains("7 axes"));
        let lying = r#"{"w":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]}}"#;
        refused(&with_header(lying, 4));

        let nowhere = folder.path().join("no/such/folder.safetensors");
        let error = Checkpoint::<f32>::read(&nowhere).unwrap_err().to_string();
        assert!(error.starts_with("cannot read"), "{error}");
        let error = Checkpoint::of(&model([8, 5]), metadata())
            .write(&nowhere)
            .unwrap_err();
        assert!(error.to_string().starts_with("cannot write"), "{error}");
        let twice = vec![("w".to_string(), Tensor::<f32>::zeros([1])); 2];
        assert!(Checkpoint::new(twice, metadata()).write(&path).is_err());
    }
}
