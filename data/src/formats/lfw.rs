//! Labeled Faces in the Wild, with its pairs.

use super::list::{self, Scan};
use crate::error::{Error, Result};
use crate::manifest::{Count, Entry, Manifest, Split, Survey, stays_inside};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Reads the images of LFW (G. Huang et al., "Labeled Faces in the Wild", 2007), the original or
/// the funneled ones: `Name/Name_0001.jpg`. All of them are for testing; the protocols are in
/// [`view1`] and [`view2`].
///
/// # Errors
/// [`Error::Io`] if a folder cannot be read; [`Error::Invalid`] for an image that is not named
/// after its folder.
pub fn read(root: impl AsRef<Path>) -> Result<Survey> {
    let root = root.as_ref();
    let found = list::images(root, "", true)?;
    let mut entries = Vec::new();
    for path in found.images {
        let name = path.split_once('/').map_or("", |(person, _)| person);
        if image_number(&path, name).is_none() {
            return Err(list::bad_name(&path, "Name/Name_0001.jpg"));
        }
        entries.push(Entry::new(&path, name, Split::Test));
    }
    let people: BTreeSet<&String> = entries.iter().map(|e| &e.label).collect();
    Ok(Survey {
        counts: vec![
            list::count("images", 13_233, entries.len()),
            list::count("people", 5_749, people.len()),
        ],
        manifest: Manifest {
            name: "LFW".into(),
            root: root.into(),
            entries,
        },
        ignored: found.ignored,
    })
}

/// Reads the images, and counts the pairs of all lists that are there.
///
/// # Errors
/// As [`read`] and [`pairs`].
pub(super) fn inspect(root: &Path) -> Result<Survey> {
    let mut survey = read(root)?;
    for name in [CHOOSING, CHOSEN, FINAL] {
        if let Some(path) = beside(root, name) {
            survey.counts.push(counted(name, &pairs(path)?));
        }
    }
    Ok(survey)
}

/// The lists of view 1: by the first a threshold is chosen, on the second it is tested.
const CHOOSING: &str = "pairsDevTrain.txt";
const CHOSEN: &str = "pairsDevTest.txt";
/// The people that view 1 may be trained on.
const TRAINING: &str = "peopleDevTrain.txt";
/// The list of view 2.
const FINAL: &str = "pairs.txt";

/// A list in the folder of the images, or in the one around it.
fn beside(root: &Path, name: &str) -> Option<PathBuf> {
    let around = root.parent().unwrap_or(root);
    let places = [root.join(name), around.join(name)];
    places.into_iter().find(|path| path.is_file())
}

/// The pairs of a list against those of the official one.
fn counted(name: &str, pairs: &[Pair]) -> Count {
    let (what, official) = match name {
        CHOOSING => ("pairs of view 1 to choose by", 2_200),
        CHOSEN => ("pairs of view 1 to test on", 1_000),
        _ => ("pairs of view 2", 6_000),
    };
    list::count(what, official, pairs.len())
}

/// View 1 of LFW, for choices: the pairs of `pairsDevTrain.txt` in fold 0, by which a threshold is
/// chosen, and those of `pairsDevTest.txt` in fold 1, on which it is tested. The lists lie in the
/// folder of the images or beside it.
///
/// Of the images that [`read`] has listed, those of the pairs are kept for testing; and where there
/// is `peopleDevTrain.txt`, all those of its people for training ("unrestricted"). In the lists as
/// they were published, none of them is in the pairs of fold 1. The pairs are counted.
///
/// # Errors
/// [`Error::Invalid`] if one of the two lists of pairs is not there; as [`pairs`].
pub fn view1(root: impl AsRef<Path>, survey: &mut Survey) -> Result<Vec<Pair>> {
    let root = root.as_ref();
    let mut all = Vec::new();
    for (fold, name) in [CHOOSING, CHOSEN].into_iter().enumerate() {
        let path = beside(root, name).ok_or_else(|| {
            Error::invalid(
                format!("view 1 of LFW in {}", root.display()),
                format!("{CHOOSING} and {CHOSEN} in the folder of the people or beside it"),
                format!("no {name}"),
                "get both from the page of LFW; view 2 (the format `lfw`) has pairs.txt",
            )
        })?;
        let pairs = pairs(path)?;
        survey.counts.push(counted(name, &pairs));
        all.extend(pairs.into_iter().map(|pair| Pair { fold, ..pair }));
    }
    let learnt = beside(root, TRAINING).map(people).transpose()?;
    let learnt = learnt.unwrap_or_default();
    let manifest = &mut survey.manifest;
    let train = (manifest.entries.iter()).filter(|entry| learnt.contains(&entry.label));
    let train = train.map(|entry| Entry {
        split: Split::Train,
        ..entry.clone()
    });
    let train: Vec<Entry> = train.collect();
    keep(manifest, &all);
    manifest.entries.splice(..0, train);
    Ok(all)
}

/// View 2 of LFW, for the final figure: the pairs of `pairs.txt` in ten folds. The list lies in the
/// folder of the images or beside it; nothing if it does not. Of the images that [`read`] has listed,
/// those of the pairs are kept. The pairs
/// are counted.
///
/// # Errors
/// As [`pairs`].
pub fn view2(root: impl AsRef<Path>, survey: &mut Survey) -> Result<Option<Vec<Pair>>> {
    let Some(path) = beside(root.as_ref(), FINAL) else {
        return Ok(None);
    };
    let pairs = pairs(path)?;
    survey.counts.push(counted(FINAL, &pairs));
    keep(&mut survey.manifest, &pairs);
    Ok(Some(pairs))
}

/// Keeps the images of pairs.
fn keep(manifest: &mut Manifest, pairs: &[Pair]) {
    let named: BTreeSet<String> = pairs.iter().flat_map(Pair::stems).collect();
    let entries = &mut manifest.entries;
    entries.retain(|entry| named.contains(stem(&entry.path)));
}

/// Reads a list of people: their number, then a line for each, with the number of images.
fn people(path: PathBuf) -> Result<BTreeSet<String>> {
    let lines = list::lines(&path)?;
    let count = lines.first().and_then(|(_, line)| line.trim().parse().ok());
    if count != Some(lines.len().saturating_sub(1)) {
        let found = lines.first().map_or("", |(_, line)| line);
        let expected = format!("the number of the {} people below", lines.len().max(1) - 1);
        return Err(list::bad_line(&path, 1, &expected, found));
    }
    let person = |(number, line): &(u64, String)| {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            [name, images] if images.parse::<u32>().is_ok() => Ok(name.to_string()),
            _ => Err(list::bad_line(&path, *number, "Aaron_Eckhart 1", line)),
        }
    };
    lines[1..].iter().map(person).collect()
}

/// The number in `Name/Name_0001.jpg`.
pub(super) fn image_number(path: &str, name: &str) -> Option<u32> {
    let mut scan = Scan(path);
    scan.literal(name)?;
    scan.literal("/")?;
    scan.literal(name)?;
    scan.literal("_")?;
    let number = scan.number(4, 4)?;
    scan.0.starts_with('.').then_some(number)
}

/// Two images, and whether they show one person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The images by person and number: `("Aaron_Peirsol", 1)` is
    /// `Aaron_Peirsol/Aaron_Peirsol_0001.jpg`.
    pub images: [(String, u32); 2],
    /// Whether both show the same person.
    pub same: bool,
    /// The fold, from 0. It belongs to the pair: one that is left out moves no other.
    pub fold: usize,
}

impl Pair {
    /// The paths of both images below the folder of LFW.
    pub fn paths(&self) -> [String; 2] {
        self.stems().map(|stem| stem + ".jpg")
    }

    /// The same without their endings: cut and scaled copies are often PNG.
    pub fn stems(&self) -> [String; 2] {
        let stem = |(name, number): &(String, u32)| format!("{name}/{name}_{number:04}");
        self.images.each_ref().map(stem)
    }
}

/// A path without its ending.
pub fn stem(path: &str) -> &str {
    path.rsplit_once('.').map_or(path, |(stem, _)| stem)
}

/// Reads a list of pairs.
///
/// View 2, `pairs.txt`, begins with the numbers of folds and of pairs of each kind in a fold (10
/// and 300): the final figure, by
/// [`cross_validated`](crate::metrics::verification::cross_validated). View 1,
/// `pairsDevTrain.txt` and `pairsDevTest.txt`, begins with the number of pairs of each kind (1100
/// and 500) and is one fold: for choices. After it come, fold by fold, the same pairs
/// (`name i j`) and the different ones (`name1 i name2 j`).
///
/// # Errors
/// [`Error::Io`] if the file cannot be read; [`Error::Line`] for a line that breaks its form, or
/// if there are more or fewer than announced.
pub fn pairs(path: impl AsRef<Path>) -> Result<Vec<Pair>> {
    let path = path.as_ref();
    let lines = list::lines(path)?;
    let bad = |number: u64, expected: &str, found: &str| {
        Err(list::bad_line(path, number, expected, found))
    };
    let Some((_, first)) = lines.first() else {
        return bad(1, "the number of folds and of pairs", "");
    };
    let numbers: Option<Vec<usize>> = first.split_whitespace().map(|w| w.parse().ok()).collect();
    let (folds, each) = match numbers.as_deref() {
        Some(&[each]) if each > 0 => (1, each),
        Some(&[folds, each]) if folds > 0 && each > 0 => (folds, each),
        _ => return bad(1, "the number of folds and of pairs", first),
    };
    let announced = folds.checked_mul(each).and_then(|n| n.checked_mul(2));
    if announced != Some(lines.len() - 1) {
        let expected = format!("{folds} times {each} same and {each} different pairs");
        let (last, _) = lines[lines.len() - 1];
        return bad(
            last,
            &expected,
            &format!("{} lines after it", lines.len() - 1),
        );
    }
    let mut pairs = Vec::with_capacity(lines.len() - 1);
    for (i, (number, line)) in lines[1..].iter().enumerate() {
        let same = i % (2 * each) < each;
        let words: Vec<&str> = line.split_whitespace().collect();
        let pair = match words[..] {
            [name, a, b] if same => pair([(name, a), (name, b)]),
            [first, a, second, b] if !same => pair([(first, a), (second, b)]),
            _ => None,
        };
        let expected = match same {
            true => "Abel_Pacheco 1 4",
            false => "Abdel_Madi_Shabneh 1 Dean_Barker 1",
        };
        match pair {
            Some(images) => pairs.push(Pair {
                images,
                same,
                fold: i / (2 * each),
            }),
            None => return bad(*number, expected, line),
        }
    }
    Ok(pairs)
}

fn pair(images: [(&str, &str); 2]) -> Option<[(String, u32); 2]> {
    let image = |(name, number): (&str, &str)| {
        let number: u32 = number.parse().ok()?;
        (stays_inside(name) && !name.contains('/')).then_some((name.to_string(), number))
    };
    let [a, b] = images;
    Some([image(a)?, image(b)?])
}

#[cfg(test)]
#[path = "lfw_tests.rs"]
mod tests;
