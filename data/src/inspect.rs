//! What a data set really holds, looked at before anything is trained on it.
//!
//! Every file is opened once: damaged ones, copies across the splits, identities on both sides and
//! those that are seen once come to light here and not in a figure that is too good.

use crate::decode::{self, Picture};
use crate::error::{Error, Result};
use crate::files::Unreadable;
use crate::formats::pack::Pack;
use crate::formats::{Content, Task};
use crate::manifest::{Count, Entry, Manifest, Split, Survey};
use crate::metrics::retrieval::Rule;
use crate::set::ImageSet;
use crate::sheet::tiled;
use crate::split::Official;
use engine::par;
use image::RgbImage;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// There can be no training, or it would stop.
    Breaks,
    /// There would be a figure, and it would be wrong.
    Misleads,
    /// Worth knowing.
    Note,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// What it is, with the number of cases.
    pub what: String,
    /// A few of the cases.
    pub examples: Vec<String>,
}

/// What is in one part of a data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartCount {
    /// `train`, `validation`, `test`, or `query` and `gallery`; of pairs, `same` and `different`.
    pub part: &'static str,
    /// Files, or parts of files.
    pub images: usize,
    /// Different labels.
    pub identities: usize,
    /// Different cameras; 0 where none is known.
    pub cameras: usize,
}

/// The sizes of pictures in pixels, `[width, height]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// That of the fewest pixels.
    pub smallest: [usize; 2],
    /// That of the middle number of pixels.
    pub median: [usize; 2],
    /// That of the most pixels.
    pub largest: [usize; 2],
    /// How many different ones there are.
    pub different: usize,
}

/// The colours of all readable pictures, 1 being white.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Colours {
    /// Mean of red, green and blue over all pixels.
    pub mean: [f64; 3],
    /// Their standard deviation.
    pub deviation: [f64; 3],
    /// Pictures in which all pixels are grey.
    pub grey: usize,
}

/// What was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Inspection {
    /// What the data set is called.
    pub name: String,
    /// Its parts that are not empty.
    pub parts: Vec<PartCount>,
    /// The official table, as far as there is one.
    pub counts: Vec<Count>,
    /// Files passed over, because they are no images.
    pub ignored: usize,
    /// Files that could be read.
    pub readable: usize,
    /// Nothing if there is no picture.
    pub sizes: Option<Sizes>,
    /// Nothing if there is no picture.
    pub colours: Option<Colours>,
    /// The worst first.
    pub problems: Vec<Problem>,
}

impl Inspection {
    /// Whether something breaks training.
    pub fn is_broken(&self) -> bool {
        self.problems.iter().any(|p| p.severity == Severity::Breaks)
    }
}

/// Looks at everything. Files that cannot be read break training, or with [`Unreadable::Skip`] are
/// counted and left out of everything else.
///
/// `task` says whether test identities should be those of training (classification) or others.
pub fn inspect(content: &Content, task: Task, unreadable: Unreadable) -> Inspection {
    match content {
        Content::Files(survey) => files(survey, task, unreadable),
        Content::Pictures { official, counts } => pictures(official, counts),
        Content::Pairs(pack) => pairs(pack, unreadable),
    }
}

/// What one picture adds up to.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    size: [usize; 2],
    sum: [u64; 3],
    squares: [u64; 3],
    is_grey: bool,
}

impl Tally {
    fn of(pixels: &[u8], [height, width, channels]: [usize; 3]) -> Self {
        let mut tally = Tally {
            size: [width, height],
            is_grey: true,
            ..Tally::default()
        };
        for pixel in pixels.chunks_exact(channels) {
            let colour = match *pixel {
                [red, green, blue] => [red, green, blue],
                _ => [pixel[0]; 3],
            };
            tally.is_grey &= colour[0] == colour[1] && colour[1] == colour[2];
            for (c, level) in colour.into_iter().enumerate() {
                tally.sum[c] += u64::from(level);
                tally.squares[c] += u64::from(level) * u64::from(level);
            }
        }
        tally
    }
}

fn sizes(tallies: &[Tally]) -> Option<Sizes> {
    let mut sizes: Vec<[usize; 2]> = tallies.iter().map(|t| t.size).collect();
    sizes.sort_by_key(|&[width, height]| (width * height, width));
    Some(Sizes {
        smallest: *sizes.first()?,
        median: sizes[sizes.len() / 2],
        largest: *sizes.last()?,
        different: sizes.iter().collect::<BTreeSet<_>>().len(),
    })
}

fn colours(tallies: &[Tally]) -> Option<Colours> {
    let pixels: usize = tallies.iter().map(|t| t.size[0] * t.size[1]).sum();
    let total = |of: fn(&Tally) -> [u64; 3]| {
        let add = |a: [f64; 3], b: [u64; 3]| std::array::from_fn(|c| a[c] + b[c] as f64);
        tallies.iter().map(of).fold([0.0; 3], add)
    };
    let mean = total(|t| t.sum).map(|sum| sum / pixels as f64);
    let square = total(|t| t.squares).map(|sum| sum / pixels as f64);
    let deviation = |c: usize| (square[c] - mean[c] * mean[c]).max(0.0).sqrt() / 255.0;
    (pixels > 0).then(|| Colours {
        deviation: std::array::from_fn(deviation),
        mean: mean.map(|m| m / 255.0),
        grey: tallies.iter().filter(|t| t.is_grey).count(),
    })
}

/// The content of a file: its hash, and what it shows if it is a picture.
struct Scanned {
    hash: [u8; 32],
    tally: Option<Tally>,
}

fn scan(path: &Path) -> Result<Scanned> {
    let io = |e| Error::io(path, e);
    let file = File::open(path).map_err(io)?;
    let mut bytes = Vec::new();
    file.take(decode::LARGEST + 1)
        .read_to_end(&mut bytes)
        .map_err(io)?;
    if bytes.len() as u64 > decode::LARGEST {
        return Err(Error::Picture {
            file: path.display().to_string(),
            reason: format!("it has more than {} MB", decode::LARGEST >> 20),
            hint: "replace the file, or choose to skip unreadable ones".into(),
        });
    }
    let is_recording = path
        .extension()
        .is_some_and(|kind| kind.eq_ignore_ascii_case("wav"));
    let tally = match is_recording {
        true => None,
        false => {
            let name = path.display().to_string();
            let picture = decode::read(Cursor::new(&bytes), &name, 3)?;
            Some(Tally::of(picture.pixels(), picture.shape()))
        }
    };
    Ok(Scanned {
        hash: Sha256::digest(&bytes).into(),
        tally,
    })
}

fn files(survey: &Survey, task: Task, unreadable: Unreadable) -> Inspection {
    let manifest = &survey.manifest;
    // Several entries may be parts of one file.
    let paths: BTreeSet<&str> = manifest.entries.iter().map(|e| e.path.as_str()).collect();
    let paths: Vec<&str> = paths.into_iter().collect();
    let scans = par::map(paths.len(), |i| scan(&manifest.root.join(paths[i])));
    let mut problems = Problems::default();
    let (mut hashes, mut tallies, mut bad) = (HashMap::new(), Vec::new(), Vec::new());
    for (path, scanned) in paths.into_iter().zip(scans) {
        match scanned {
            Ok(scanned) => {
                hashes.insert(path, scanned.hash);
                tallies.extend(scanned.tally);
            }
            Err(error) => bad.push(error.to_string()),
        }
    }
    problems.add(severity(unreadable), "files that cannot be read", bad);
    let readable = Manifest {
        name: manifest.name.clone(),
        root: manifest.root.clone(),
        entries: (manifest.entries.iter())
            .filter(|e| hashes.contains_key(e.path.as_str()))
            .cloned()
            .collect(),
    };
    labels(&readable, task, &mut problems);
    copies(&readable, &hashes, &mut problems);
    test(&readable, &mut problems);
    Inspection {
        name: manifest.name.clone(),
        parts: parts(manifest),
        counts: survey.counts.clone(),
        ignored: survey.ignored,
        readable: hashes.len(),
        sizes: sizes(&tallies),
        colours: colours(&tallies),
        problems: problems.sorted(),
    }
}

fn severity(unreadable: Unreadable) -> Severity {
    match unreadable {
        Unreadable::Refuse => Severity::Breaks,
        Unreadable::Skip => Severity::Note,
    }
}

fn parts(manifest: &Manifest) -> Vec<PartCount> {
    let part = |part, wanted: &dyn Fn(&Entry) -> bool| {
        let entries: Vec<&Entry> = manifest.entries.iter().filter(|e| wanted(e)).collect();
        let labels: BTreeSet<&String> = entries.iter().map(|e| &e.label).collect();
        let cameras: BTreeSet<u32> = entries.iter().filter_map(|e| e.camera).collect();
        PartCount {
            part,
            images: entries.len(),
            identities: labels.len(),
            cameras: cameras.len(),
        }
    };
    let plain = |e: &Entry, split| e.split == split && !e.is_query && !e.is_gallery;
    let all = [
        part("train", &|e| plain(e, Split::Train)),
        part("validation", &|e| plain(e, Split::Validation)),
        part("test", &|e| plain(e, Split::Test)),
        part("query", &|e| e.is_query),
        part("gallery", &|e| e.is_gallery),
    ];
    all.into_iter().filter(|p| p.images > 0).collect()
}

/// Problems, those without a case left out.
#[derive(Default)]
struct Problems(Vec<Problem>);

/// Cases shown of each problem.
const EXAMPLES: usize = 5;

impl Problems {
    fn add(&mut self, severity: Severity, what: &str, cases: Vec<String>) {
        if !cases.is_empty() {
            self.0.push(Problem {
                severity,
                what: format!("{} {what}", cases.len()),
                examples: cases.into_iter().take(EXAMPLES).collect(),
            });
        }
    }

    fn state(&mut self, severity: Severity, what: &str) {
        self.0.push(Problem {
            severity,
            what: what.into(),
            examples: Vec::new(),
        });
    }

    fn sorted(mut self) -> Vec<Problem> {
        self.0.sort_by_key(|p| p.severity);
        self.0
    }
}

/// What is wrong with classes and identities.
fn labels(manifest: &Manifest, task: Task, problems: &mut Problems) {
    let of = |split| manifest.classes(&manifest.split(split));
    let (train, test) = (of(Split::Train), of(Split::Test));
    match (train.len(), task) {
        // Views for verification come without a training part.
        (0, Task::Verification) => {}
        (0, _) => problems.state(Severity::Breaks, "nothing to train on"),
        (1, _) => problems.state(Severity::Breaks, "a single class to train on"),
        _ => {}
    }
    let shared = |label: &&String| train.binary_search(label).is_ok();
    if task == Task::Classification {
        let unseen = test
            .iter()
            .filter(|label| !shared(label))
            .cloned()
            .collect();
        let severity = if train.is_empty() {
            Severity::Note
        } else {
            Severity::Breaks
        };
        problems.add(
            severity,
            "classes of the test that training has not",
            unseen,
        );
    } else {
        let shared = test.iter().filter(shared).cloned().collect();
        let what = "identities in training and in the test";
        problems.add(Severity::Misleads, what, shared);
    }
    let mut images: BTreeMap<&str, usize> = BTreeMap::new();
    for &i in &manifest.split(Split::Train) {
        *images.entry(&manifest.entries[i].label).or_default() += 1;
    }
    let single = images
        .iter()
        .filter(|(_, n)| **n == 1)
        .map(|(label, _)| label.to_string());
    let what = "identities with a single training image: batches of P x K repeat it";
    problems.add(Severity::Note, what, single.collect());
}

/// Files with the same content.
fn copies(manifest: &Manifest, hashes: &HashMap<&str, [u8; 32]>, problems: &mut Problems) {
    let mut by_content: BTreeMap<[u8; 32], Vec<&Entry>> = BTreeMap::new();
    for entry in &manifest.entries {
        by_content
            .entry(hashes[entry.path.as_str()])
            .or_default()
            .push(entry);
    }
    let (mut across, mut differing, mut within) = (Vec::new(), Vec::new(), Vec::new());
    for entries in by_content.values() {
        let paths: BTreeSet<&str> = entries.iter().map(|e| e.path.as_str()).collect();
        let other = |e: &&Entry| e.split != entries[0].split;
        let case = paths.iter().copied().collect::<Vec<_>>().join(" = ");
        match () {
            () if entries.iter().any(other) => across.push(case),
            () if paths.len() < 2 => {}
            () if entries.iter().any(|e| e.label != entries[0].label) => differing.push(case),
            () => within.push(case),
        }
    }
    // By name, not by hash.
    for cases in [&mut across, &mut differing, &mut within] {
        cases.sort_unstable();
    }
    problems.add(Severity::Misleads, "files in more than one split", across);
    problems.add(
        Severity::Misleads,
        "files with more than one label",
        differing,
    );
    problems.add(
        Severity::Note,
        "files that are there more than once",
        within,
    );
}

/// Whether the test can be passed at all.
fn test(manifest: &Manifest, problems: &mut Problems) {
    let marked = manifest.entries.iter().any(|e| e.is_query || e.is_gallery);
    if !marked {
        return;
    }
    let test = match manifest.evaluation() {
        Ok(test) => test,
        Err(error) => return problems.state(Severity::Misleads, &error.to_string()),
    };
    let mut seen: HashMap<i64, BTreeSet<u32>> = HashMap::new();
    let camera = |i: usize| test.cameras.get(i).copied().unwrap_or(0);
    for &g in &test.gallery {
        seen.entry(test.ids[g]).or_default().insert(camera(g));
    }
    let lost = |&&q: &&usize| match seen.get(&test.ids[q]) {
        None => true,
        Some(cameras) => test.rule == Rule::CrossCamera && cameras.iter().all(|&c| c == camera(q)),
    };
    let lost = test.queries.iter().filter(lost);
    let paths = lost.map(|&q| manifest.entries[q].path.clone()).collect();
    let what = "queries without anything to find, which count in no figure";
    problems.add(Severity::Note, what, paths);
}

fn pictures(official: &Official, counts: &[Count]) -> Inspection {
    let sets = [("train", &official.train), ("test", &official.test)];
    let mut problems = Problems::default();
    let mut hashes: HashMap<[u8; 32], (usize, String)> = HashMap::new();
    let (mut across, mut within, mut tallies) = (Vec::new(), Vec::new(), Vec::new());
    for (s, (name, set)) in sets.into_iter().enumerate() {
        let scans = par::map(set.len(), |i| {
            let hash: [u8; 32] = Sha256::digest(set.image(i)).into();
            let shape = set.shape();
            // Only grey and colour have a colour.
            let tally = matches!(shape[2], 1 | 3).then(|| Tally::of(set.image(i), shape));
            (hash, tally)
        });
        for (i, (hash, tally)) in scans.into_iter().enumerate() {
            tallies.extend(tally);
            let this = format!("{name} {i}");
            match hashes.get(&hash) {
                Some((first, other)) if *first != s => across.push(format!("{other} = {this}")),
                Some((_, other)) => within.push(format!("{other} = {this}")),
                None => drop(hashes.insert(hash, (s, this))),
            }
        }
        let counts = set.class_counts();
        let empty = counts.iter().zip(set.classes()).filter(|(n, _)| **n == 0);
        let empty = empty.map(|(_, class)| class.clone()).collect();
        let severity = if s == 0 {
            Severity::Breaks
        } else {
            Severity::Note
        };
        problems.add(
            severity,
            &format!("classes without an image in {name}"),
            empty,
        );
    }
    problems.add(Severity::Misleads, "images in more than one split", across);
    problems.add(
        Severity::Note,
        "images that are there more than once",
        within,
    );
    let part = |(part, set): (&'static str, &ImageSet)| PartCount {
        part,
        images: set.len(),
        identities: set.class_counts().iter().filter(|n| **n > 0).count(),
        cameras: 0,
    };
    Inspection {
        name: official.train.name().into(),
        parts: sets.map(part).to_vec(),
        counts: counts.to_vec(),
        ignored: 0,
        readable: official.train.len() + official.test.len(),
        sizes: sizes(&tallies),
        colours: colours(&tallies),
        problems: problems.sorted(),
    }
}

fn pairs(pack: &Pack, unreadable: Unreadable) -> Inspection {
    let scans = par::map(pack.images.len(), |i| {
        let picture = pack.decode(i, 3)?;
        Ok(Tally::of(picture.pixels(), picture.shape()))
    });
    let (mut tallies, mut bad) = (Vec::new(), Vec::new());
    for scanned in scans {
        match scanned {
            Ok(tally) => tallies.push(tally),
            Err(error) => bad.push(Error::to_string(&error)),
        }
    }
    let mut problems = Problems::default();
    problems.add(severity(unreadable), "images that cannot be read", bad);
    let same = pack.same.iter().filter(|same| **same).count();
    if same == 0 || same == pack.len() {
        let what = format!(
            "{same} of {} pairs show one person: nothing to tell apart",
            pack.len()
        );
        problems.state(Severity::Misleads, &what);
    }
    let part = |(part, images)| PartCount {
        part,
        images,
        identities: 0,
        cameras: 0,
    };
    Inspection {
        name: pack.name.clone(),
        parts: [("same", 2 * same), ("different", 2 * (pack.len() - same))]
            .map(part)
            .to_vec(),
        counts: Vec::new(),
        ignored: 0,
        readable: tallies.len(),
        sizes: sizes(&tallies),
        colours: colours(&tallies),
        problems: problems.sorted(),
    }
}

/// The longer side of a cell of a contact sheet.
const CELL: f32 = 112.0;

/// A contact sheet: `rows` identities from all over the set, up to `columns` pictures of each.
/// What cannot be read, or is no picture, stays black.
pub fn sheet(content: &Content, rows: usize, columns: usize) -> RgbImage {
    let shown: Vec<Picture> = match content {
        Content::Files(survey) => {
            let manifest = &survey.manifest;
            let labels: Vec<&str> = manifest.entries.iter().map(|e| e.label.as_str()).collect();
            cells(&labels, rows, columns, |i| {
                let picture = decode::open(&manifest.path(i), 3).ok()?;
                let area = manifest.entries[i].area.unwrap_or(picture.area());
                let scale = CELL / area.height.max(area.width).max(1.0);
                let side = |length: f32| ((scale * length) as usize).max(1);
                Some(picture.resized(area, [side(area.height), side(area.width)]))
            })
        }
        Content::Pictures { official, .. } => {
            let set = &official.train;
            let shape = [set.shape()[0], set.shape()[1], set.shape()[2]];
            cells(set.labels(), rows, columns, |i| {
                let drawable = matches!(shape[2], 1 | 3);
                drawable.then(|| Picture::new(set.image(i).to_vec(), shape))
            })
        }
        Content::Pairs(pack) => {
            // An even number in a row keeps pairs together.
            let number = (rows * columns).min(pack.images.len());
            let black = || Picture::new(vec![0; 3], [1, 1, 3]);
            par::map(number, |i| pack.decode(i, 3).unwrap_or_else(|_| black()))
        }
    };
    tiled(&shown, columns)
}

fn cells<L: Ord + Copy>(
    labels: &[L],
    rows: usize,
    columns: usize,
    picture: impl Fn(usize) -> Option<Picture> + Sync,
) -> Vec<Picture> {
    let mut members: BTreeMap<L, Vec<usize>> = BTreeMap::new();
    for (i, &label) in labels.iter().enumerate() {
        members.entry(label).or_default().push(i);
    }
    let groups: Vec<Vec<usize>> = members.into_values().collect();
    let spread = |n: usize, wanted: usize| {
        let wanted = wanted.min(n);
        (0..wanted).map(move |i| i * n / wanted)
    };
    let chosen: Vec<Option<usize>> = spread(groups.len(), rows)
        .flat_map(|g| {
            let group = &groups[g];
            let shown = spread(group.len(), columns).map(|i| Some(group[i]));
            shown.chain(std::iter::repeat(None)).take(columns)
        })
        .collect();
    let black = || Picture::new(vec![0; 3], [1, 1, 3]);
    par::map(chosen.len(), |i| {
        chosen[i].and_then(&picture).unwrap_or_else(black)
    })
}

#[cfg(test)]
#[path = "inspect_tests.rs"]
mod tests;
