//! Faces: ORL, and Labeled Faces in the Wild with its pairs.

use super::list::{self, Scan};
use crate::error::{Error, Result};
use crate::manifest::{Entry, Manifest, Split, Survey, stays_inside};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Reads the ORL faces (AT&T Laboratories Cambridge): `s1/1.pgm` to `s40/10.pgm`, 92 x 112
/// pixels. There is no official split; the first `train_people` people are for training and the
/// others, never seen, for testing.
///
/// # Errors
/// [`Error::Io`] if a folder cannot be read; [`Error::Invalid`] for an image that is not named
/// like `s1/1.pgm`.
pub fn orl(root: impl AsRef<Path>, train_people: u32) -> Result<Survey> {
    let root = root.as_ref();
    let mut entries = Vec::new();
    let mut ignored = 0;
    for folder in list::folders(root, "")? {
        let mut scan = Scan(&folder);
        let person = scan.literal("s").and_then(|()| scan.number(1, 2));
        let Some(person) = person.filter(|_| scan.0.is_empty()) else {
            continue;
        };
        let found = list::images(root, &folder, false)?;
        ignored += found.ignored;
        for path in found.images {
            let mut scan = Scan(list::basename(&path));
            let image = scan.number(1, 2).filter(|_| scan.0.starts_with('.'));
            let image = image.ok_or_else(|| list::bad_name(&path, "s1/1.pgm"))?;
            let split = if person <= train_people {
                Split::Train
            } else {
                Split::Test
            };
            entries.push((person, image, Entry::new(path.clone(), &folder, split)));
        }
    }
    // By number: s2 before s10.
    entries.sort_by_key(|&(person, image, _)| (person, image));
    let entries = entries.into_iter().map(|(_, _, entry)| entry).collect();
    Ok(survey("ORL", root, entries, [400, 40], ignored))
}

/// Reads the images of LFW (G. Huang et al., "Labeled Faces in the Wild", 2007), the original or
/// the funneled ones: `Name/Name_0001.jpg`. All of them are for testing; the protocols are in
/// [`view1`] and [`view2`], whose lists are counted where they are there.
///
/// # Errors
/// [`Error::Io`] if a folder cannot be read; [`Error::Invalid`] for an image that is not named
/// after its folder; as [`pairs`].
pub fn lfw(root: impl AsRef<Path>) -> Result<Survey> {
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
    let mut survey = survey("LFW", root, entries, [13_233, 5_749], found.ignored);
    for (name, what, official) in [
        (CHOOSING, "pairs of view 1 to choose by", 2_200),
        (CHOSEN, "pairs of view 1 to test on", 1_000),
        (FINAL, "pairs of view 2", 6_000),
    ] {
        if let Some(path) = beside(root, name) {
            let found = pairs(path)?.len();
            survey.counts.push(list::count(what, official, found));
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

/// View 1 of LFW, for choices: the pairs of `pairsDevTrain.txt` in fold 0, by which a threshold is
/// chosen, and those of `pairsDevTest.txt` in fold 1, on which it is tested. The lists lie in the
/// folder of the images or beside it.
///
/// Of the images that [`lfw`] has listed, those of the pairs are kept for testing; and where there
/// is `peopleDevTrain.txt`, all those of its people for training ("unrestricted"), none of whom is
/// in the pairs of fold 1.
///
/// # Errors
/// [`Error::Invalid`] if one of the two lists of pairs is not there; as [`pairs`].
pub fn view1(root: impl AsRef<Path>, manifest: &mut Manifest) -> Result<Vec<Pair>> {
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
        all.extend(pairs(path)?.into_iter().map(|pair| Pair { fold, ..pair }));
    }
    let learnt = beside(root, TRAINING).map(people).transpose()?;
    let learnt = learnt.unwrap_or_default();
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
/// folder of the images or beside it; nothing if it does not. Of the images that [`lfw`] has listed,
/// those of the pairs are kept.
///
/// # Errors
/// As [`pairs`].
pub fn view2(root: impl AsRef<Path>, manifest: &mut Manifest) -> Result<Option<Vec<Pair>>> {
    let Some(path) = beside(root.as_ref(), FINAL) else {
        return Ok(None);
    };
    let pairs = pairs(path)?;
    keep(manifest, &pairs);
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

/// A list with the official numbers of images and people.
fn survey(
    name: &str,
    root: &Path,
    entries: Vec<Entry>,
    [images, people]: [usize; 2],
    ignored: usize,
) -> Survey {
    let found: BTreeSet<&String> = entries.iter().map(|e| &e.label).collect();
    Survey {
        counts: vec![
            list::count("images", images, entries.len()),
            list::count("people", people, found.len()),
        ],
        manifest: Manifest {
            name: name.into(),
            root: root.into(),
            entries,
        },
        ignored,
    }
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
mod tests {
    use super::*;
    use crate::formats::list::tests::{touch, write};

    #[test]
    fn people_of_orl_are_in_order_and_apart() {
        let root = tempfile::tempdir().unwrap();
        touch(
            root.path(),
            &["s10/1.pgm", "s2/10.pgm", "s2/9.pgm", "README", "sx/1.pgm"],
        );
        let survey = orl(root.path(), 5).unwrap();
        let found: Vec<_> = survey
            .manifest
            .entries
            .iter()
            .map(|e| (&e.path[..], e.split))
            .collect();
        let (train, test) = (Split::Train, Split::Test);
        assert_eq!(
            found,
            [
                ("s2/9.pgm", train),
                ("s2/10.pgm", train),
                ("s10/1.pgm", test)
            ]
        );
        assert_eq!(survey.counts[1], list::count("people", 40, 2));
        touch(root.path(), &["s3/face.pgm"]);
        assert!(
            orl(root.path(), 5)
                .unwrap_err()
                .to_string()
                .contains("s3/face.pgm")
        );
    }

    #[test]
    fn images_of_lfw_bear_the_name_of_their_folder() {
        let root = tempfile::tempdir().unwrap();
        touch(
            root.path(),
            &["A_B/A_B_0001.jpg", "A_B/A_B_0012.jpg", "C/C_0001.jpg"],
        );
        let survey = lfw(root.path()).unwrap();
        assert_eq!((survey.counts[0].found, survey.counts[1].found), (3, 2));
        assert_eq!(survey.manifest.entries[1].label, "A_B");
        touch(root.path(), &["C/D_0001.jpg"]);
        assert!(
            lfw(root.path())
                .unwrap_err()
                .to_string()
                .contains("C/D_0001.jpg")
        );
    }

    /// Three people; the lists are beside the folder of the images, as torchvision unpacks them.
    fn three_people(around: &Path) -> PathBuf {
        let root = around.join("lfw_funneled");
        for person in ["A", "B", "C"] {
            let images = [1, 2, 3].map(|i| format!("{person}/{person}_{i:04}.jpg"));
            touch(&root, &images.each_ref().map(String::as_str));
        }
        root
    }

    #[test]
    fn view_1_chooses_on_one_list_tests_on_another_and_trains_on_people() {
        let around = tempfile::tempdir().unwrap();
        let around = around.path();
        let root = three_people(around);
        let read = || {
            let mut survey = lfw(&root).unwrap();
            let pairs = view1(&root, &mut survey.manifest).map_err(|e| e.to_string());
            (survey, pairs)
        };
        write(around, "pairsDevTrain.txt", "1\nA 1 2\nA 1 B 2\n");
        let message = read().1.unwrap_err();
        assert!(message.contains("found no pairsDevTest.txt"), "{message}");
        write(around, "pairsDevTest.txt", "1\nC 1 2\nC 1 B 1\n");
        let (survey, pairs) = read();
        let folds: Vec<_> = pairs.unwrap().iter().map(|p| (p.same, p.fold)).collect();
        assert_eq!(folds, [(true, 0), (false, 0), (true, 1), (false, 1)]);
        let paths = |survey: &Survey, split| -> Vec<String> {
            let entries = survey.manifest.split(split).into_iter();
            let path = |i: usize| survey.manifest.entries[i].path.clone();
            entries.map(path).collect()
        };
        let asked = [
            "A/A_0001.jpg",
            "A/A_0002.jpg",
            "B/B_0001.jpg",
            "B/B_0002.jpg",
            "C/C_0001.jpg",
            "C/C_0002.jpg",
        ];
        assert_eq!(paths(&survey, Split::Test), asked);
        assert!(paths(&survey, Split::Train).is_empty());
        let counts: Vec<_> = survey
            .counts
            .iter()
            .map(|c| (c.official, c.found))
            .collect();
        assert_eq!(counts, [(13_233, 9), (5_749, 3), (2_200, 2), (1_000, 2)]);

        write(around, "peopleDevTrain.txt", "2\nA\t3\nNobody\t1\n");
        let (survey, _) = read();
        let learnt = ["A/A_0001.jpg", "A/A_0002.jpg", "A/A_0003.jpg"];
        assert_eq!(paths(&survey, Split::Train), learnt);
        assert_eq!(paths(&survey, Split::Test), asked);
        for (text, part) in [
            ("3\nA 3\n", "the number of the 1 people"),
            ("1\nA x\n", "line 2"),
            ("", "line 1"),
        ] {
            write(around, "peopleDevTrain.txt", text);
            let message = read().1.unwrap_err();
            assert!(message.contains("peopleDevTrain.txt"), "{message}");
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn view_2_asks_for_images_by_their_names_without_endings() {
        let around = tempfile::tempdir().unwrap();
        let root = three_people(around.path());
        touch(&root, &["D/D_0001.png"]);
        let mut manifest = lfw(&root).unwrap().manifest;
        assert_eq!(view2(&root, &mut manifest).unwrap(), None);
        assert_eq!(manifest.entries.len(), 10);
        // The list in the folder itself comes before the one around it.
        write(around.path(), "pairs.txt", "broken");
        write(&root, "pairs.txt", "1 1\nA 1 3\nA 1 D 1\n");
        let pairs = view2(&root, &mut manifest).unwrap().unwrap();
        let paths: Vec<&str> = manifest.entries.iter().map(|e| e.path.as_str()).collect();
        assert_eq!(paths, ["A/A_0001.jpg", "A/A_0003.jpg", "D/D_0001.png"]);
        assert_eq!(pairs[1].stems()[1], stem("D/D_0001.png"));
    }

    fn parsed(text: &str) -> std::result::Result<Vec<Pair>, String> {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "pairs.txt", text);
        pairs(root.path().join("pairs.txt")).map_err(|e| e.to_string())
    }

    #[test]
    fn both_views_of_lfw() {
        let view2 = "2\t1\nA\t1\t4\nA\t2\tB\t3\nC_D\t10\t2\r\nE\t1\tF\t1\n";
        let found = parsed(view2).unwrap();
        let same: Vec<bool> = found.iter().map(|p| p.same).collect();
        let folds: Vec<usize> = found.iter().map(|p| p.fold).collect();
        assert_eq!(
            (same, folds),
            (vec![true, false, true, false], vec![0, 0, 1, 1])
        );
        assert_eq!(found[2].paths(), ["C_D/C_D_0010.jpg", "C_D/C_D_0002.jpg"]);
        assert_eq!(found[1].paths(), ["A/A_0002.jpg", "B/B_0003.jpg"]);
        let view1 = parsed("2\nA\t1\t4\nB\t1\t2\nA\t2\tB\t3\nE\t1\tF\t1\n").unwrap();
        assert_eq!(view1.iter().filter(|p| p.same).count(), 2);
        assert!(view1.iter().all(|p| p.fold == 0));
    }

    #[test]
    fn broken_lists_of_pairs_are_named() {
        for (text, part) in [
            ("", "line 1"),
            ("x y\n", "the number of folds"),
            ("1 1\nA 1 2\n", "1 lines after it"),
            ("1 1\nA 1 2\nA 1 2\n", "line 3"),
            ("1 1\nA 1 x\nA 1 B 2\n", "line 2"),
            ("1 1\nA 1 2\n../A 1 B 2\n", "line 3"),
            ("18446744073709551615 9\nA 1 2\n", "line 2"),
        ] {
            let message = parsed(text).unwrap_err();
            assert!(
                message.contains("pairs.txt") && message.contains(part),
                "{message}"
            );
        }
    }
}
