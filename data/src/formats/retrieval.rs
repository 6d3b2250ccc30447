//! Image retrieval by class: CUB-200-2011, Cars196, Stanford Online Products, In-shop.
//!
//! The first three train on one half of the classes and test on the other, each test image
//! against all others. In-shop has queries and a gallery of their own, without cameras.

use super::list;
use super::mat::{self, Value};
use crate::decode::Area;
use crate::error::{Error, Result};
use crate::manifest::{Entry, Manifest, Split, Survey, stays_inside};
use std::collections::{BTreeSet, HashMap};
use std::path::Path;

/// Reads CUB-200-2011 (C. Wah et al., 2011) from its folder `CUB_200_2011`: classes 1 to 100 for
/// training, 101 to 200 for testing (its own `train_test_split.txt` divides each class and is for
/// another task). Boxes come from `bounding_boxes.txt` if `boxes`; the usual figures are without.
///
/// # Errors
/// [`Error::Io`] if a list cannot be read; [`Error::Line`]
/// for a line that breaks its form.
pub fn cub(root: impl AsRef<Path>, boxes: bool) -> Result<Survey> {
    let root = root.as_ref();
    let classes = numbered(&root.join("image_class_labels.txt"), "1 1", |words| {
        let [class] = words else { return None };
        class.parse::<u32>().ok().filter(|c| (1..=200).contains(c))
    })?;
    let boxes = match boxes {
        true => numbered(
            &root.join("bounding_boxes.txt"),
            "1 60.0 27.0 325.0 304.0",
            area,
        )?,
        false => HashMap::new(),
    };
    let path = root.join("images.txt");
    let mut entries = Vec::new();
    for (number, line) in list::lines(&path)? {
        let bad = || list::bad_line(&path, number, "1 001.Name/file.jpg", &line);
        let (image, file) = line.split_once(' ').ok_or_else(bad)?;
        let (label, _) = file.split_once('/').ok_or_else(bad)?;
        let class = classes.get(image).ok_or_else(bad)?;
        if !stays_inside(file) {
            return Err(bad());
        }
        let split = if *class <= 100 {
            Split::Train
        } else {
            Split::Test
        };
        entries.push(Entry {
            area: boxes.get(image).copied(),
            ..Entry::new(format!("images/{file}"), label, split)
        });
    }
    let official = [[5_864, 100], [5_924, 100]];
    Ok(survey("CUB-200-2011", root, entries, official))
}

fn area(words: &[&str]) -> Option<Area> {
    let numbers: Vec<f32> = words
        .iter()
        .map(|w| w.parse().ok())
        .collect::<Option<_>>()?;
    match numbers[..] {
        [left, top, width, height] if left >= 0.0 && top >= 0.0 && width > 0.0 && height > 0.0 => {
            Some(Area {
                left,
                top,
                width,
                height,
            })
        }
        _ => None,
    }
}

/// Lines of an image's number and something else.
fn numbered<T>(
    path: &Path,
    expected: &str,
    parse: impl Fn(&[&str]) -> Option<T>,
) -> Result<HashMap<String, T>> {
    let mut found = HashMap::new();
    for (number, line) in list::lines(path)? {
        let words: Vec<&str> = line.split_whitespace().collect();
        let value = words.get(1..).and_then(&parse);
        let value = value.ok_or_else(|| list::bad_line(path, number, expected, &line))?;
        found.insert(words[0].to_string(), value);
    }
    Ok(found)
}

/// Reads Cars196 (J. Krause et al., "3D Object Representations for Fine-Grained Categorization",
/// 2013) by `cars_annos.mat` in its folder, whose paths are like `car_ims/000001.jpg`, or where
/// there is none by the tables of the copy at Kaggle: `names.csv`, `anno_train.csv` and
/// `anno_test.csv`, whose images are like `car_data/car_data/train/Class Name/00001.jpg`.
///
/// Classes 1 to 98 are for training, 99 to 196 for testing (what the data set itself calls train
/// and test divides each class and is for another task). Labels are the classes in three digits.
/// Boxes are taken if `boxes`; the usual figures are without.
///
/// # Errors
/// [`Error::Io`] if a file cannot be read; [`Error::Format`] if `cars_annos.mat` is damaged;
/// [`Error::Invalid`] for an annotation that lacks a field or holds something else in it;
/// [`Error::Line`] for a line of a table that breaks its form.
pub fn cars(root: impl AsRef<Path>, boxes: bool) -> Result<Survey> {
    let root = root.as_ref();
    let path = root.join("cars_annos.mat");
    if !path.is_file() && root.join("anno_train.csv").is_file() {
        return cars_by_tables(root, boxes);
    }
    let mut variables = mat::read(&path)?;
    let Some(Value::Structures(annotations)) = variables.remove("annotations") else {
        return Err(bad_annotation(&path, "no structure \"annotations\""));
    };
    let mut entries = Vec::with_capacity(annotations.len());
    for (i, annotation) in annotations.iter().enumerate() {
        let entry = car(annotation, boxes);
        entries.push(entry.ok_or_else(|| bad_annotation(&path, &format!("number {}", i + 1)))?);
    }
    let official = [[8_054, 98], [8_131, 98]];
    Ok(survey("Cars196", root, entries, official))
}

fn car(annotation: &HashMap<String, Value>, boxes: bool) -> Option<Entry> {
    let number = |name: &str| annotation.get(name)?.number();
    let file = annotation.get("relative_im_path")?.text()?;
    let class = number("class").filter(|c| (1.0..=196.0).contains(c) && c.fract() == 0.0)?;
    let split = if class <= 98.0 {
        Split::Train
    } else {
        Split::Test
    };
    let corners = ["bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2"].map(number);
    let area = match corners {
        [Some(x1), Some(y1), Some(x2), Some(y2)] => car_box([x1, y1, x2, y2]),
        _ => None,
    };
    if !stays_inside(file) || (boxes && area.is_none()) {
        return None;
    }
    Some(Entry {
        area: area.filter(|_| boxes),
        ..Entry::new(file, format!("{class:03}"), split)
    })
}

/// A box whose pixels count from 1, the last ones belonging to it.
fn car_box([x1, y1, x2, y2]: [f64; 4]) -> Option<Area> {
    (x1 >= 1.0 && y1 >= 1.0 && x2 >= x1 && y2 >= y1).then_some(Area {
        left: (x1 - 1.0) as f32,
        top: (y1 - 1.0) as f32,
        width: (x2 - x1 + 1.0) as f32,
        height: (y2 - y1 + 1.0) as f32,
    })
}

fn cars_by_tables(root: &Path, boxes: bool) -> Result<Survey> {
    let names = list::lines(&root.join("names.csv"))?;
    // A folder cannot be called "Ram C/V Cargo Van".
    let folder = |class: usize| {
        let (_, name) = names.get(class.checked_sub(1)?)?;
        Some(name.trim_matches('"').replace('/', "-"))
    };
    let mut entries = Vec::new();
    for part in ["train", "test"] {
        let path = root.join(format!("anno_{part}.csv"));
        for (number, line) in list::lines(&path)? {
            let bad = || list::bad_line(&path, number, "00001.jpg,39,116,569,375,14", &line);
            let [file, numbers @ ..] = &line.split(',').map(str::trim).collect::<Vec<_>>()[..]
            else {
                return Err(bad());
            };
            let numbers: Option<Vec<f64>> = numbers.iter().map(|n| n.parse().ok()).collect();
            let Some(&[x1, y1, x2, y2, class]) = numbers.as_deref() else {
                return Err(bad());
            };
            let is_class = class.fract() == 0.0 && (1.0..=196.0).contains(&class);
            let folder = folder(class as usize)
                .filter(|_| is_class)
                .ok_or_else(bad)?;
            let image = format!("car_data/car_data/{part}/{folder}/{file}");
            let area = car_box([x1, y1, x2, y2]);
            if !stays_inside(&image) || (boxes && area.is_none()) {
                return Err(bad());
            }
            let split = if class <= 98.0 {
                Split::Train
            } else {
                Split::Test
            };
            entries.push(Entry {
                area: area.filter(|_| boxes),
                ..Entry::new(image, format!("{class:03}"), split)
            });
        }
    }
    let official = [[8_054, 98], [8_131, 98]];
    Ok(survey("Cars196", root, entries, official))
}

fn bad_annotation(path: &Path, found: &str) -> Error {
    Error::invalid(
        format!("annotations in {}", path.display()),
        "relative_im_path, class and bbox_x1 to bbox_y2 of each image",
        found,
        "use the file as its authors published it",
    )
}

/// Reads Stanford Online Products (H. Oh Song et al., "Deep Metric Learning via Lifted Structured
/// Feature Embedding", CVPR 2016) from its folder `Stanford_Online_Products`, with the lists
/// `Ebay_train.txt` and `Ebay_test.txt`.
///
/// # Errors
/// As [`cub`].
pub fn sop(root: impl AsRef<Path>) -> Result<Survey> {
    let root = root.as_ref();
    let mut entries = Vec::new();
    for (name, split) in [
        ("Ebay_train.txt", Split::Train),
        ("Ebay_test.txt", Split::Test),
    ] {
        let path = root.join(name);
        for (number, line) in list::lines(&path)?.into_iter().skip(1) {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[..] {
                [_, class, _, file] if stays_inside(file) => {
                    entries.push(Entry::new(file, class, split));
                }
                _ => {
                    let expected = "1 1 1 bicycle_final/111085122871_0.JPG";
                    return Err(list::bad_line(&path, number, expected, &line));
                }
            }
        }
    }
    let official = [[59_551, 11_318], [60_502, 11_316]];
    Ok(survey("Stanford Online Products", root, entries, official))
}

/// Reads In-shop Clothes Retrieval of DeepFashion (Z. Liu et al., CVPR 2016) by
/// `Eval/list_eval_partition.txt` (or the list directly below `root`); paths are as it states
/// them, `img/WOMEN/…`.
///
/// # Errors
/// As [`cub`].
pub fn in_shop(root: impl AsRef<Path>) -> Result<Survey> {
    let root = root.as_ref();
    let list = ["Eval/list_eval_partition.txt", "list_eval_partition.txt"];
    let path = list.map(|name| root.join(name));
    let path = path.iter().find(|p| p.is_file()).unwrap_or(&path[0]);
    let mut entries = Vec::new();
    // A line with the number of images and one of headings come first.
    for (number, line) in list::lines(path)?.into_iter().skip(2) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let entry = match words[..] {
            [file, item, role] if stays_inside(file) => {
                let entry = |split| Entry::new(file, item, split);
                match role {
                    "train" => Some(entry(Split::Train)),
                    "query" => Some(Entry {
                        is_query: true,
                        ..entry(Split::Test)
                    }),
                    "gallery" => Some(Entry {
                        is_gallery: true,
                        ..entry(Split::Test)
                    }),
                    _ => None,
                }
            }
            _ => None,
        };
        let expected = "img/WOMEN/Dresses/id_00000002/02_1_front.jpg id_00000002 train";
        entries.push(entry.ok_or_else(|| list::bad_line(path, number, expected, &line))?);
    }
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    let images = |wanted: fn(&Entry) -> bool| entries.iter().filter(|e| wanted(e)).count();
    let items = |wanted: fn(&Entry) -> bool| {
        let wanted = entries.iter().filter(|e| wanted(e));
        wanted.map(|e| &e.label).collect::<BTreeSet<_>>().len()
    };
    let train = |e: &Entry| e.split == Split::Train;
    let counts = vec![
        list::count("training images", 25_882, images(train)),
        list::count("training items", 3_997, items(train)),
        list::count("query images", 14_218, images(|e| e.is_query)),
        list::count("gallery images", 12_612, images(|e| e.is_gallery)),
        list::count("test items", 3_985, items(|e| e.split == Split::Test)),
    ];
    Ok(Survey {
        manifest: Manifest {
            name: "In-shop".into(),
            root: root.into(),
            entries,
        },
        counts,
        ignored: 0,
    })
}

/// A list with `[images, classes]` of training and test.
fn survey(name: &str, root: &Path, mut entries: Vec<Entry>, official: [[usize; 2]; 2]) -> Survey {
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    let mut counts = Vec::new();
    for (part, split, [images, classes]) in [
        ("training", Split::Train, official[0]),
        ("test", Split::Test, official[1]),
    ] {
        let labels: Vec<&String> = entries
            .iter()
            .filter(|e| e.split == split)
            .map(|e| &e.label)
            .collect();
        counts.push(list::count(&format!("{part} images"), images, labels.len()));
        let different = labels.into_iter().collect::<BTreeSet<_>>().len();
        counts.push(list::count(&format!("{part} classes"), classes, different));
    }
    Survey {
        manifest: Manifest {
            name: name.into(),
            root: root.into(),
            entries,
        },
        counts,
        ignored: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::list::tests::write;
    use crate::formats::mat::tests::{numbers, text};
    use crate::metrics::retrieval::Rule;

    fn found(survey: &Survey) -> Vec<usize> {
        survey.counts.iter().map(|c| c.found).collect()
    }

    #[test]
    fn cub_is_cut_by_class() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        write(
            root,
            "images.txt",
            "1 001.Albatross/a.jpg\n2 101.Pelican/b.jpg\n3 100.Brown_Pelican/c.jpg\n",
        );
        write(root, "image_class_labels.txt", "1 1\n2 101\n3 100\n");
        write(
            root,
            "bounding_boxes.txt",
            "1 60.0 27.0 325.0 304.0\n2 1 2 3 4\n3 0 0 9 9\n",
        );
        let survey = cub(root, true).unwrap();
        assert_eq!(found(&survey), [2, 2, 1, 1]);
        let entries = &survey.manifest.entries;
        assert_eq!(
            (entries[0].path.as_str(), entries[0].label.as_str()),
            ("images/001.Albatross/a.jpg", "001.Albatross")
        );
        assert_eq!(
            (entries[1].split, entries[2].split),
            (Split::Train, Split::Test)
        );
        assert_eq!(
            entries[2].area,
            Some(Area {
                left: 1.0,
                top: 2.0,
                width: 3.0,
                height: 4.0
            })
        );
        assert_eq!(cub(root, false).unwrap().manifest.entries[2].area, None);
        assert_eq!(
            survey.manifest.evaluation().unwrap().rule,
            Rule::LeaveOneOut
        );
        for (file, bad, place) in [
            ("images.txt", "1 ../x/a.jpg\n", "images.txt, line 1"),
            (
                "image_class_labels.txt",
                "1 1\n2 201\n",
                "image_class_labels.txt, line 2",
            ),
        ] {
            write(root, file, bad);
            assert!(cub(root, false).unwrap_err().to_string().contains(place));
        }
    }

    #[test]
    fn cars_come_in_tables_too() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        let names: String = (1..=196)
            .map(|c| match c {
                98 => "Ram C/V Cargo Van Minivan 2012\n".to_string(),
                c => format!("Car {c}\n"),
            })
            .collect();
        write(root, "names.csv", &names);
        write(
            root,
            "anno_train.csv",
            "00001.jpg,1,11,30,20,98\n00002.jpg,1,1,2,2,99\n",
        );
        write(root, "anno_test.csv", "00001.jpg,5,6,7,8,98\n");
        let survey = cars(root, true).unwrap();
        assert_eq!(found(&survey), [2, 1, 1, 1]);
        let entries = &survey.manifest.entries;
        let path = "car_data/car_data/test/Ram C-V Cargo Van Minivan 2012/00001.jpg";
        assert_eq!(
            (entries[0].path.as_str(), entries[0].label.as_str()),
            (path, "098")
        );
        assert_eq!(
            entries[0].split,
            Split::Train,
            "by class, whatever the folder is called"
        );
        assert_eq!(
            (entries[1].split, entries[1].path.contains("Car 99/00002")),
            (Split::Test, true)
        );
        assert_eq!(entries[2].area.unwrap().height, 10.0);
        assert_eq!(cars(root, false).unwrap().manifest.entries[2].area, None);
        for bad in [
            "00001.jpg,1,1,2,2,197",
            "00001.jpg,1,1,2,2,0",
            "00001.jpg,1,1,2,9",
            "x",
            "../../../../../x.jpg,1,1,2,2,5",
            "00001.jpg,9,1,2,2,5",
        ] {
            write(
                root,
                "anno_test.csv",
                &format!("00001.jpg,5,6,7,8,98\n{bad}\n"),
            );
            let message = cars(root, true).unwrap_err().to_string();
            assert!(message.contains("anno_test.csv, line 2"), "{message}");
        }
    }

    #[test]
    fn cars_are_cut_by_class() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("cars_annos.mat");
        let annotation = |file: &str, class: f64| {
            let number = |name: &str, x: f64| (name.to_string(), numbers(&[x]));
            HashMap::from([
                ("relative_im_path".to_string(), text(file)),
                number("bbox_x1", 1.0),
                number("bbox_y1", 11.0),
                number("bbox_x2", 30.0),
                number("bbox_y2", 20.0),
                number("class", class),
            ])
        };
        let write = |annotations| {
            let file = mat::tests::file(&[("annotations", Value::Structures(annotations))]);
            std::fs::write(&path, file).unwrap();
        };
        write(vec![
            annotation("car_ims/000002.jpg", 99.0),
            annotation("car_ims/000001.jpg", 98.0),
        ]);
        let survey = cars(root.path(), true).unwrap();
        assert_eq!(found(&survey), [1, 1, 1, 1]);
        let [train, test] = &survey.manifest.entries[..] else {
            panic!("two entries");
        };
        assert_eq!((train.label.as_str(), train.split), ("098", Split::Train));
        assert_eq!(
            (test.path.as_str(), test.split),
            ("car_ims/000002.jpg", Split::Test)
        );
        let area = Area {
            left: 0.0,
            top: 10.0,
            width: 30.0,
            height: 10.0,
        };
        assert_eq!(train.area, Some(area));
        assert_eq!(
            cars(root.path(), false).unwrap().manifest.entries[0].area,
            None
        );
        let mut nameless = annotation("x.jpg", 5.0);
        nameless.insert("relative_im_path".into(), numbers(&[1.0]));
        for bad in [
            annotation("../x.jpg", 5.0),
            annotation("x.jpg", 197.0),
            nameless,
        ] {
            write(vec![annotation("car_ims/000002.jpg", 99.0), bad]);
            let message = cars(root.path(), false).unwrap_err().to_string();
            assert!(message.contains("found number 2"), "{message}");
        }
        let other = mat::tests::file(&[("annotations", numbers(&[1.0]))]);
        std::fs::write(&path, other).unwrap();
        let message = cars(root.path(), false).unwrap_err().to_string();
        assert!(message.contains("no structure"), "{message}");
    }

    #[test]
    fn products_come_from_two_lists_with_headings() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        let heading = "image_id class_id super_class_id path\n";
        write(
            root,
            "Ebay_train.txt",
            &format!("{heading}1 1 1 bicycle_final/b_0.JPG\n2 1 1 bicycle_final/a_1.JPG\n"),
        );
        write(
            root,
            "Ebay_test.txt",
            &format!("{heading}3 11319 1 sofa_final/c_0.JPG\n"),
        );
        let survey = sop(root).unwrap();
        assert_eq!(found(&survey), [2, 1, 1, 1]);
        assert_eq!(survey.counts[2].official, 60_502);
        assert_eq!(survey.manifest.entries[0].path, "bicycle_final/a_1.JPG");
        assert_eq!(survey.manifest.entries[2].label, "11319");
        write(
            root,
            "Ebay_test.txt",
            &format!("{heading}3 11319 sofa_final/c_0.JPG\n"),
        );
        let message = sop(root).unwrap_err().to_string();
        assert!(message.contains("Ebay_test.txt, line 2"), "{message}");
    }

    #[test]
    fn in_shop_has_queries_and_a_gallery() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        let list = "3\nimage_name item_id evaluation_status\nimg/a/1.jpg id_1 train\nimg/b/1.jpg id_2 query\nimg/b/2.jpg  id_2   gallery\n";
        write(root, "list_eval_partition.txt", list);
        let survey = in_shop(root).unwrap();
        assert_eq!(found(&survey), [1, 1, 1, 1, 1]);
        let test = survey.manifest.evaluation().unwrap();
        assert_eq!(
            (test.rule, test.queries, test.gallery),
            (Rule::Everything, vec![1], vec![2])
        );
        write(
            root,
            "Eval/list_eval_partition.txt",
            &list.replace("query", "quarry"),
        );
        let message = in_shop(root).unwrap_err().to_string();
        assert!(message.contains("line 4"), "{message}");
    }
}
