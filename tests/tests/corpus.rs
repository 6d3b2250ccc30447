//! Files from others are hostile: every reader of every format against files that are not what they
//! say.
//!
//! `corpus/<format>/` has small files by hand. Those called `good…` can be read; each of the others
//! stands for a way to be wrong, and `corpus/expected.tsv` says what the error must tell of it (nothing
//! where either an error or a value will do). Then every good file is broken in all the ways below, a
//! few thousand times, always the same. A reader may refuse or read what comes of it; it must not panic,
//! and not use memory by the word of a header.

use hypersphere::config::Config;
use hypersphere::features::{Features, gallery::Gallery};
use hypersphere::weights::Trained;
use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// Counts the bytes in use, and the most there were.
struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every request goes to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = IN_USE.fetch_add(layout.size(), Relaxed) + layout.size();
        MOST.fetch_max(now, Relaxed);
        // SAFETY: that of the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: that of the caller.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The counters belong to the process, so the tests of this file take turns.
static TURN: Mutex<()> = Mutex::new(());

/// What a reader may use whatever the file: buffers of decoders, an image or two.
const BUFFERS: usize = 16 << 20;
/// What it may use for each byte of the file: an unpacked one has at most about a thousand times its
/// size, a parsed one a value with its name for every few bytes.
const FOR_A_BYTE: usize = 1 << 12;

/// A kind of file and who reads it.
struct Format {
    /// Its folder in the corpus.
    name: &'static str,
    /// Where the file stands in the folder that is read.
    place: &'static str,
    /// Reads what is in a folder.
    read: fn(&Path) -> Result<(), String>,
}

/// The outcome without its value.
fn told<T, E: std::fmt::Display>(outcome: Result<T, E>) -> Result<(), String> {
    outcome.map(drop).map_err(|e| format!("{e:#}"))
}

const FORMATS: &[Format] = &[
    Format {
        name: "idx-images",
        place: "images.idx",
        read: |folder| {
            let source = data::idx::Source::open(&folder.join("images.idx"));
            told(source.and_then(data::idx::Source::images))
        },
    },
    Format {
        name: "idx-labels",
        place: "labels.idx",
        read: |folder| {
            let source = data::idx::Source::open(&folder.join("labels.idx"));
            told(source.and_then(|source| source.labels(10)))
        },
    },
    Format {
        name: "cifar-binary",
        place: "test_batch.bin",
        read: |folder| told(data::formats::cifar::ten(folder)),
    },
    Format {
        name: "cifar-pickle",
        place: "test_batch",
        read: |folder| told(data::formats::cifar::ten(folder)),
    },
    Format {
        name: "mat",
        place: "cars_annos.mat",
        read: |folder| told(data::formats::retrieval::cars(folder, true)),
    },
    Format {
        name: "pack",
        place: "lfw.bin",
        read: |folder| {
            let pack = data::formats::pack::read(folder.join("lfw.bin"));
            told(pack.map(|pack| (0..pack.images.len()).for_each(|i| drop(pack.decode(i, 3)))))
        },
    },
    Format {
        name: "wav",
        place: "a.wav",
        read: |folder| told(data::audio::wave::open(&folder.join("a.wav"))),
    },
    Format {
        name: "manifest",
        place: "manifest.csv",
        read: |folder| {
            let manifest = data::Manifest::read(folder.join("manifest.csv"));
            told(manifest.map(|manifest| drop(manifest.evaluation())))
        },
    },
    Format {
        name: "pairs",
        place: "pairs.txt",
        read: |folder| told(data::formats::faces::pairs(folder.join("pairs.txt"))),
    },
    Format {
        name: "list",
        place: "train_test_split/train_list.txt",
        read: |folder| told(data::formats::reid::vehicle_id(folder, 800)),
    },
    Format {
        name: "checkpoint",
        place: "last.safetensors",
        read: |folder| {
            told(nn::Checkpoint::<f32>::read(
                &folder.join("last.safetensors"),
            ))
        },
    },
    Format {
        name: "description",
        place: "last.safetensors",
        read: |folder| told(Trained::read(&folder.join("last.safetensors"))),
    },
    Format {
        name: "features",
        place: "f.safetensors",
        read: |folder| told(Features::read(&folder.join("f.safetensors"))),
    },
    Format {
        name: "npy",
        place: "f.npy",
        read: |folder| told(Features::read(&folder.join("f.npy"))),
    },
    Format {
        name: "table",
        place: "f.csv",
        read: |folder| told(Features::read(&folder.join("f.csv"))),
    },
    Format {
        name: "gallery",
        place: "gallery.idx",
        read: |folder| told(Gallery::read(&folder.join("gallery.idx"))),
    },
    Format {
        name: "config",
        place: "its-own-base.toml",
        read: |folder| told(Config::read(&folder.join("its-own-base.toml"))),
    },
];

/// A folder in which one file is still to be written.
struct Place<'a> {
    format: &'a Format,
    folder: tempfile::TempDir,
}

impl<'a> Place<'a> {
    fn new(format: &'a Format) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        };
        match format.name {
            "cifar-binary" => {
                (1..=5).for_each(|i| write(&format!("data_batch_{i}.bin"), &record(i)))
            }
            "cifar-pickle" => (1..=5).for_each(|i| write(&format!("data_batch_{i}"), &pickled(i))),
            "list" => write("train_test_split/test_list_800.txt", b"0000007 3\n"),
            _ => {}
        }
        Place { format, folder }
    }

    /// What comes of such a file; fails if it is a panic, or took too much memory.
    fn read(&self, bytes: &[u8], what: &str) -> Result<(), String> {
        let (path, read) = (self.folder.path().join(self.format.place), self.format.read);
        fs::write(&path, bytes).unwrap();
        let before = IN_USE.load(Relaxed);
        MOST.store(before, Relaxed);
        let outcome = catch_unwind(AssertUnwindSafe(|| read(self.folder.path())));
        let used = MOST.load(Relaxed).saturating_sub(before);
        let name = self.format.name;
        let outcome = outcome.unwrap_or_else(|_| panic!("{name}: a panic at {what}: {bytes:?}"));
        let most = BUFFERS + FOR_A_BYTE * bytes.len();
        assert!(
            used <= most,
            "{name}: {used} bytes for {} at {what}: {bytes:?}",
            bytes.len()
        );
        if let Err(message) = &outcome {
            let file = path.file_name().unwrap().to_str().unwrap();
            assert!(
                message.contains(file),
                "{name}: {what}: no file in: {message}"
            );
        }
        outcome
    }
}

/// CIFAR's label and image.
fn record(label: u8) -> Vec<u8> {
    [vec![label], vec![label; 3072]].concat()
}

/// The same as Python 2 pickled it.
fn pickled(label: u8) -> Vec<u8> {
    let mut out = b"\x80\x02}(U\x06labels](K".to_vec();
    out.extend([label, b'e']);
    out.extend(
        b"U\x04datacnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R",
    );
    out.extend(b"(K\x01K\x01M\x00\x0c\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R");
    out.extend(b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T\x00\x0c\x00\x00");
    out.extend([label; 3072]);
    out.extend(b"tbu.");
    out
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

/// The files of a format in the corpus, by name.
fn files(format: &Format) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(corpus().join(format.name)).unwrap();
    let file = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().unwrap();
        (name, fs::read(entry.path()).unwrap())
    };
    entries.map(|entry| file(entry.unwrap())).collect()
}

/// The files that can be read.
fn good(format: &Format) -> BTreeMap<String, Vec<u8>> {
    match format.name {
        "cifar-binary" => BTreeMap::from([("made".into(), record(9))]),
        "cifar-pickle" => BTreeMap::from([("made".into(), pickled(9))]),
        _ => {
            let files = files(format).into_iter();
            files.filter(|(name, _)| name.starts_with("good")).collect()
        }
    }
}

/// A file broken in many ways, with the name of each.
fn broken(good: &[u8]) -> impl Iterator<Item = (String, Vec<u8>)> {
    /// Places that are tried in each way: all of a small file, the head, the end and some of what is
    /// between in a larger one.
    fn places(length: usize) -> impl Iterator<Item = usize> {
        let stride = (length / 200).max(1);
        (0..length).filter(move |i| *i < 200 || *i + 40 >= length || i % stride == 0)
    }
    let length = good.len();
    let cut = places(length).map(|at| (format!("cut at {at}"), good[..at].to_vec()));
    let bytes = [0x00, 0xff, 0x80, b'9', b'\n', b'"', b'['];
    let set = places(length).flat_map(move |at| {
        bytes.map(|byte| {
            let mut bad = good.to_vec();
            bad[at] = byte;
            (format!("{byte:#04x} at {at}"), bad)
        })
    });
    let flipped = places(length).map(|at| {
        let mut bad = good.to_vec();
        bad[at] ^= 1 << (at % 8);
        (format!("a bit at {at}"), bad)
    });
    // Numbers that are sizes somewhere, in both orders of bytes.
    let sizes: [&[u8]; 6] = [
        &[0xff; 4],
        &[0x7f, 0xff, 0xff, 0xff],
        &[0xff, 0xff, 0xff, 0x7f],
        &[0, 0, 0, 0x40],
        &[0xff; 8],
        &[0, 0, 0, 0, 0, 1, 0, 0],
    ];
    let oversized = places(length).flat_map(move |at| {
        sizes.map(|size| {
            let mut bad = good.to_vec();
            let end = length.min(at + size.len());
            bad[at..end].copy_from_slice(&size[..end - at]);
            (format!("{size:02x?} at {at}"), bad)
        })
    });
    let twice = [("twice".to_string(), good.repeat(2))];
    let removed = places(length).map(|at| {
        let mut bad = good.to_vec();
        bad.remove(at);
        (format!("without byte {at}"), bad)
    });
    cut.chain(set)
        .chain(flipped)
        .chain(oversized)
        .chain(removed)
        .chain(twice)
}

#[test]
fn files_by_hand_are_refused_for_what_is_wrong_with_them() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let text = fs::read_to_string(corpus().join("expected.tsv")).unwrap();
    let mut expected: BTreeMap<&str, &str> =
        text.lines().filter_map(|l| l.split_once('\t')).collect();
    let mut wrong = Vec::new();
    for format in FORMATS {
        let place = Place::new(format);
        for (file, bytes) in files(format) {
            let key = format!("{}/{file}", format.name);
            let outcome = place.read(&bytes, &file);
            let part = expected.remove(key.as_str());
            let is_right = match (&outcome, part) {
                (Ok(()), None) => file.starts_with("good"),
                (_, Some("")) => true,
                (Err(message), Some(part)) => message.contains(part),
                _ => false,
            };
            if !is_right {
                wrong.push(format!("{key}: {part:?} expected, found {outcome:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(expected.is_empty(), "not in the corpus: {expected:?}");
}

#[test]
fn no_broken_file_makes_a_reader_panic_or_believe_a_size() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    for format in FORMATS {
        let place = Place::new(format);
        for (file, bytes) in good(format) {
            assert_eq!(place.read(&bytes, &file), Ok(()), "{}/{file}", format.name);
            let outcomes =
                broken(&bytes).map(|(what, bad)| place.read(&bad, &format!("{file}, {what}")));
            let refused = outcomes.filter(Result::is_err).count();
            assert!(
                refused > bytes.len().min(100) / 2,
                "{}/{file}: {refused} refused",
                format.name
            );
        }
    }
}
