//! What the authors of a data set have laid down for its test: queries, pairs, runs.

use super::pictures::Part;
use super::{DataError, Format, survey};
use anyhow::{Result, bail};
use data::Manifest;
use data::formats::cuhk03::{self, Boxes};
use data::formats::{lfw, omniglot};
use data::manifest::{Entry, Split, Survey};
use std::collections::{BTreeSet, HashMap};
use std::path::Path;

/// What the authors of a data set have laid down for the test, as places among its examples.
#[derive(Clone, Debug, Default)]
pub struct Marks {
    /// What is looked for.
    pub queries: Vec<usize>,
    /// Where it is looked for.
    pub gallery: Vec<usize>,
    /// Pairs that are the same or different.
    pub pairs: Vec<Pair>,
    /// What the folds of the pairs are for.
    pub folding: Folding,
    /// Runs of one-shot classification.
    pub runs: Vec<OneShot>,
    /// Whether galleries are drawn.
    pub drawing: Drawing,
    /// Where each example is, from the folder of the data set; empty if they are in no files.
    pub paths: Vec<String>,
}

/// Two examples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Which.
    pub places: [usize; 2],
    /// Whether they are of one class.
    pub same: bool,
    /// The fold, from 0.
    pub fold: usize,
}

/// What the folds of pairs are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Folding {
    /// Each is tested by the threshold that the others choose: LFW's view 2.
    #[default]
    Crossed,
    /// The first chooses the threshold, the second is tested: LFW's view 1.
    Chosen,
    /// As [`Crossed`](Folding::Crossed), and by insightface's own thresholds beside. Labels tell
    /// pairs apart, not people.
    Packed,
}

/// Whether a gallery has one image of each identity, drawn ten times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Drawing {
    /// It has all that are marked.
    #[default]
    Nothing,
    /// Once for all queries, which are the other images: VehicleID.
    PerIdentity,
    /// Anew for each query, among the images at these places, for each split by its number: the
    /// classic protocol of CUHK03. What is drawn depends on the number.
    PerQuery(Vec<(u32, Vec<usize>)>),
}

/// One run of one-shot classification: which training example is of the class of each test
/// example?
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneShot {
    /// One example of each class.
    pub training: Vec<usize>,
    /// What is asked.
    pub test: Vec<usize>,
    /// For each, the place of the right one in `training`.
    pub answers: Vec<usize>,
}

/// What is asked beside queries and a gallery, before it is known which examples can be read.
pub(super) enum Asked {
    Nothing,
    Runs(Vec<omniglot::Run>),
    OnePerId,
    /// The number of each, from 1, and the labels of those in it.
    Splits(Vec<(u32, BTreeSet<String>)>),
    Pairs(Vec<lfw::Pair>, Folding),
}

impl Asked {
    /// What the files of a data set say, for one of its folds or as usual, and the list of files.
    pub(super) fn of(
        format: Format,
        root: &Path,
        fold: Option<u32>,
        notes: &mut Vec<String>,
    ) -> Result<(Self, Survey)> {
        match format {
            Format::Cuhk03LabeledClassic => return splits(Boxes::Labeled, root, fold, notes),
            Format::Cuhk03DetectedClassic => return splits(Boxes::Detected, root, fold, notes),
            _ => {}
        }
        let mut survey = survey(format, root, fold)?;
        let asked = match format {
            Format::Omniglot => Asked::Runs(add_runs(root, &mut survey.manifest)?),
            Format::Vehicleid | Format::Vehicleid1600 | Format::Vehicleid2400 => Asked::OnePerId,
            Format::LfwView1 => {
                let pairs = lfw::view1(root, &mut survey)?;
                Asked::Pairs(pairs, Folding::Chosen)
            }
            Format::Lfw => match lfw::view2(root, &mut survey)? {
                Some(pairs) => Asked::Pairs(pairs, Folding::Crossed),
                None => {
                    notes.push(
                        "there is no pairs.txt in the folder or beside it: pairs are drawn, and \
                         the figures are not those of LFW"
                            .into(),
                    );
                    Asked::Nothing
                }
            },
            _ => Asked::Nothing,
        };
        match &asked {
            Asked::Pairs(pairs, _) if survey.manifest.split(Split::Test).is_empty() => {
                bail!(without_images(pairs))
            }
            _ => Ok((asked, survey)),
        }
    }

    /// Marks it where it is about examples that could be read.
    pub(super) fn mark(self, part: &mut Part, notes: &mut Vec<String>) -> Result<()> {
        match self {
            Asked::Nothing => {}
            Asked::Runs(runs) => part.mark_runs(&runs, notes),
            Asked::OnePerId => part.marks.drawing = Drawing::PerIdentity,
            Asked::Splits(splits) => part.mark_splits(&splits),
            Asked::Pairs(pairs, folding) => {
                part.mark_pairs(&pairs, notes)?;
                part.marks.folding = folding;
            }
        }
        Ok(())
    }
}

/// Lists of other people, or of a folder around them.
fn without_images(pairs: &[lfw::Pair]) -> DataError {
    let [first, _] = pairs[0].paths();
    DataError(format!(
        "pairs of faces: expected the images that the lists name, such as {first}, found those of \
         none of the {} pairs; name the folder that directly holds the people",
        pairs.len()
    ))
}

/// One of the classic splits of CUHK03, or without one all of them.
fn splits(
    boxes: Boxes,
    root: &Path,
    fold: Option<u32>,
    notes: &mut Vec<String>,
) -> Result<(Asked, Survey)> {
    let classic = cuhk03::classic(boxes, root)?;
    let tests = classic.tests();
    Ok(match fold {
        Some(fold) => {
            let survey = classic.split(fold)?;
            let people = tests[fold as usize - 1].clone();
            (Asked::Splits(vec![(fold, people)]), survey)
        }
        None => {
            notes.push(format!(
                "all {} splits are judged, as suits a network that has learnt from other people",
                tests.len()
            ));
            let tests = (1..).zip(tests.iter().cloned()).collect();
            (Asked::Splits(tests), classic.all())
        }
    })
}

/// Adds the images of Lake's runs to the test part, where they lie beside the data set, and marks
/// those that are no part of them for retrieval.
fn add_runs(root: &Path, manifest: &mut Manifest) -> Result<Vec<omniglot::Run>> {
    let beside = ["all_runs", ""].map(|folder| root.join(folder));
    let Some(folder) = beside.iter().find(|folder| folder.join("run01").is_dir()) else {
        return Ok(Vec::new());
    };
    let runs = omniglot::one_shot_runs(folder)?;
    for entry in manifest
        .entries
        .iter_mut()
        .filter(|e| e.split == Split::Test)
    {
        (entry.is_query, entry.is_gallery) = (true, true);
    }
    for path in runs
        .iter()
        .flat_map(|run| run.training.iter().chain(&run.test))
    {
        let path = relative(path, root);
        manifest
            .entries
            .push(Entry::new(path, "one-shot runs", Split::Test));
    }
    Ok(runs)
}

/// A path below `root`, with `/` between names.
fn relative(path: &Path, root: &Path) -> String {
    let path = path.strip_prefix(root).unwrap_or(path);
    let names = path.iter().map(|name| name.to_string_lossy());
    names.collect::<Vec<_>>().join("/")
}

impl Part {
    /// Where each example is, by a part of its path.
    fn places<'a>(&'a self, name: fn(&'a str) -> &'a str) -> HashMap<&'a str, usize> {
        let paths = self.marks.paths.iter().enumerate();
        paths.map(|(i, path)| (name(path), i)).collect()
    }

    /// Runs whose images could all be read; `notes` are told of the others.
    fn mark_runs(&mut self, runs: &[omniglot::Run], notes: &mut Vec<String>) {
        // Paths of runs end in `runNN/training/class01.png`, which no other path does.
        let of_run: HashMap<String, usize> = (self.places(|path| path).iter())
            .map(|(path, &place)| (last_names(path), place))
            .collect();
        let place = |path: &std::path::PathBuf| {
            of_run
                .get(&last_names(&relative(path, Path::new(""))))
                .copied()
        };
        let run = |run: &omniglot::Run| {
            Some(OneShot {
                training: run.training.iter().map(place).collect::<Option<_>>()?,
                test: run.test.iter().map(place).collect::<Option<_>>()?,
                answers: run.answers.clone(),
            })
        };
        self.marks.runs = runs.iter().filter_map(run).collect();
        let missing = runs.len() - self.marks.runs.len();
        if missing > 0 {
            notes.push(format!(
                "{missing} of {} one-shot runs left out: an image cannot be read",
                runs.len()
            ));
        }
    }

    /// The examples of each split.
    fn mark_splits(&mut self, splits: &[(u32, BTreeSet<String>)]) {
        let labels = self.content.labels();
        let places = |(number, people): &(u32, BTreeSet<String>)| {
            let is_in = |&i: &usize| people.contains(&self.classes[labels[i]]);
            (*number, (0..labels.len()).filter(is_in).collect())
        };
        let places = splits.iter().map(places).collect();
        self.marks.drawing = Drawing::PerQuery(places);
    }

    /// Pairs whose images are both there. A pair that is left out moves no other's fold.
    fn mark_pairs(&mut self, pairs: &[lfw::Pair], notes: &mut Vec<String>) -> Result<()> {
        let places = self.places(lfw::stem);
        let marked = pairs.iter().filter_map(|pair| {
            let [a, b] = pair.stems();
            Some(Pair {
                places: [*places.get(a.as_str())?, *places.get(b.as_str())?],
                same: pair.same,
                fold: pair.fold,
            })
        });
        let marked: Vec<Pair> = marked.collect();
        match pairs.len() - marked.len() {
            0 => {}
            _ if marked.is_empty() => bail!(without_images(pairs)),
            missing => notes.push(format!(
                "{missing} of {} pairs left out: an image is not there or cannot be read",
                pairs.len()
            )),
        }
        self.marks.pairs = marked;
        Ok(())
    }
}

/// The last three names of a path.
fn last_names(path: &str) -> String {
    let names: Vec<&str> = path.rsplit('/').take(3).collect();
    names.join("/")
}
