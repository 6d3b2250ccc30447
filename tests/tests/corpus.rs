//! Files from others are hostile: every reader of every format against files that are not what they
//! say.
//!
//! `corpus/<format>/` has small files by hand. Those called `good…` can be read; each of the others
//! stands for a way to be wrong, and `corpus/expected.tsv` says what the error must tell of it (nothing
//! where either an error or a value will do). Then every good file is broken in all the ways below, a
//! few thousand times, always the same. A reader may refuse or read what comes of it; it must not panic,
//! and not use memory by the word of a header.

use data::formats::{self, cuhk03::Boxes};
use hypersphere::config::Config;
use hypersphere::features::{Features, gallery::Gallery};
use hypersphere::weights::Trained;
use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
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
    /// Where the file stands in the folder of its data set.
    place: &'static str,
    /// Reads the file at this path.
    read: fn(&Path) -> Result<(), String>,
    /// Other files of the folder, by their places.
    beside: fn() -> Vec<(String, Vec<u8>)>,
}

/// A file that is read alone.
const fn row(
    name: &'static str,
    place: &'static str,
    read: fn(&Path) -> Result<(), String>,
) -> Format {
    Format {
        name,
        place,
        read,
        beside: Vec::new,
    }
}

/// The outcome without its value.
fn told<T, E: std::fmt::Display>(outcome: Result<T, E>) -> Result<(), String> {
    outcome.map(drop).map_err(|e| format!("{e:#}"))
}

/// The folder that a file is in.
fn around(file: &Path) -> &Path {
    file.parent().expect("files are in folders")
}

/// Five files like the sixth, which is tested.
fn batches(kind: &str, bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let batch = |i| (format!("data_batch_{i}{kind}"), bytes.to_vec());
    (1..=5).map(batch).collect()
}

/// Empty files of these names.
fn empty(names: &[&str]) -> Vec<(String, Vec<u8>)> {
    names
        .iter()
        .map(|name| (name.to_string(), Vec::new()))
        .collect()
}

const FORMATS: &[Format] = &[
    row("idx-images", "images.idx", |file| {
        let source = data::idx::Source::open(file);
        told(source.and_then(data::idx::Source::images))
    }),
    row("idx-labels", "labels.idx", |file| {
        let source = data::idx::Source::open(file);
        told(source.and_then(|source| source.labels(10)))
    }),
    Format {
        beside: || batches(".bin", include_bytes!("../corpus/cifar-binary/good.bin")),
        ..row("cifar-binary", "test_batch.bin", |file| {
            told(formats::cifar::ten(around(file)))
        })
    },
    Format {
        beside: || batches("", include_bytes!("../corpus/cifar-pickle/good")),
        ..row("cifar-pickle", "test_batch", |file| {
            told(formats::cifar::ten(around(file)))
        })
    },
    row("mat", "cars_annos.mat", |file| {
        told(formats::retrieval::cars(around(file), true))
    }),
    Format {
        beside: || empty(&["images_labeled/1_001_1_01.png"]),
        ..row(
            "cuhk03-protocol",
            "cuhk03_new_protocol_config_labeled.mat",
            |file| told(formats::cuhk03::new_protocol(Boxes::Labeled, around(file))),
        )
    },
    Format {
        beside: || {
            let person = |i: u32| format!("images_labeled/1_00{i}_1_01.png");
            empty(&[1, 2].map(person).each_ref().map(String::as_str))
        },
        ..row("cuhk03-splits", "testsets.mat", |file| {
            told(formats::cuhk03::classic(Boxes::Labeled, around(file)))
        })
    },
    row("pack", "lfw.bin", |file| {
        let pack = formats::pack::read(file);
        told(pack.map(|pack| (0..pack.images.len().min(100)).for_each(|i| drop(pack.decode(i, 3)))))
    }),
    row("wav", "a.wav", |file| told(data::audio::wave::open(file))),
    row("manifest", "manifest.csv", |file| {
        let manifest = data::Manifest::read(file);
        told(manifest.map(|manifest| drop(manifest.evaluation())))
    }),
    row("pairs", "pairs.txt", |file| told(formats::lfw::pairs(file))),
    Format {
        beside: || {
            let pairs = |name: &str| (name.to_string(), b"1\nA 1 2\nA 1 B 1\n".to_vec());
            let mut files = empty(&["A/A_0001.jpg", "A/A_0002.jpg", "B/B_0001.jpg"]);
            files.extend(["pairsDevTrain.txt", "pairsDevTest.txt"].map(pairs));
            files
        },
        ..row("people", "peopleDevTrain.txt", |file| {
            let survey = formats::lfw::read(around(file));
            told(survey.and_then(|mut survey| formats::lfw::view1(around(file), &mut survey)))
        })
    },
    Format {
        beside: || {
            let path = "train_test_split/test_list_800.txt";
            vec![(path.into(), b"0000007 3\n".to_vec())]
        },
        ..row("list", "train_test_split/train_list.txt", |file| {
            told(formats::reid::vehicle_id(around(around(file)), 800))
        })
    },
    row("in-shop", "Eval/list_eval_partition.txt", |file| {
        told(formats::retrieval::in_shop(around(around(file))))
    }),
    Format {
        beside: || vec![("image_class_labels.txt".into(), b"1 1\n2 150\n".to_vec())],
        ..row("cub", "images.txt", |file| {
            told(formats::retrieval::cub(around(file), false))
        })
    },
    row("one-shot-runs", "run01/class_labels.txt", |file| {
        told(formats::omniglot::one_shot_runs(around(around(file))))
    }),
    row("checkpoint", "last.safetensors", |file| {
        told(nn::Checkpoint::<f32>::read(file))
    }),
    row("description", "last.safetensors", |file| {
        told(Trained::read(file))
    }),
    row("features", "f.safetensors", |file| {
        told(Features::read_with_pairs(file))
    }),
    row("npy", "f.npy", |file| told(Features::read(file))),
    row("table", "f.csv", |file| told(Features::read(file))),
    row("gallery", "gallery.idx", |file| told(Gallery::read(file))),
    row("config", "its-own-base.toml", |file| {
        told(Config::read(file))
    }),
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
        for (name, bytes) in (format.beside)() {
            write(&name, &bytes);
        }
        write(format.place, b"");
        Place { format, folder }
    }

    /// What comes of such a file; fails if it is a panic, or took too much memory.
    fn read(&self, bytes: &[u8], what: &str) -> Result<(), String> {
        let (path, read) = (self.folder.path().join(self.format.place), self.format.read);
        replace(&path, bytes);
        let before = IN_USE.load(Relaxed);
        MOST.store(before, Relaxed);
        let outcome = catch_unwind(AssertUnwindSafe(|| read(&path)));
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

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

/// Gives a file another content. It is not emptied first: some file systems write files to disk at
/// once that are emptied and filled again, and here are thousands.
fn replace(path: &Path, bytes: &[u8]) {
    let mut file = File::options().write(true).open(path).unwrap();
    file.write_all(bytes).unwrap();
    file.set_len(bytes.len() as u64).unwrap();
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
    let mut files = files(format);
    files.retain(|name, _| name.starts_with("good"));
    // A whole description needs a trained network; those of `checkpoint` are read by the same code.
    let is_there = !files.is_empty() || format.name == "description";
    assert!(is_there, "{}: no good file", format.name);
    files
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
