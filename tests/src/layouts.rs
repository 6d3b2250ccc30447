//! Tiny data sets in the layouts of the real ones, written for a test.

use crate::mat;
use std::fs;
use std::path::{Path, PathBuf};

/// A picture of 16 x 16 that belongs to `class` by its stripes and to nobody else by its noise.
/// The content is told from the first bytes, so any name will do.
pub fn picture(path: &Path, class: usize, number: usize, channels: usize) {
    let kind = if channels == 1 { "P5" } else { "P6" };
    let mut bytes = format!("{kind} 16 16 255\n").into_bytes();
    let noise = |i: usize| (i * 7919 + class * 104_729 + number * 1_299_709) % 61;
    for i in 0..256 * channels {
        let (x, y, c) = (i / channels % 16, i / channels / 16, i % channels);
        let stripe = ((x * (1 + class % 4) + y * (class / 4) + 5 * c) % 16) * 12;
        bytes.push((stripe + noise(i)) as u8);
    }
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// A file with its folders.
pub fn write(path: PathBuf, text: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// `classes` folders with `each` images.
pub fn folder(root: &Path, part: &str, classes: usize, each: usize) {
    for class in 0..classes {
        for i in 0..each {
            picture(
                &root.join(part).join(format!("class{class}/{i}.ppm")),
                class,
                i,
                3,
            );
        }
    }
}

/// Omniglot: eight characters to train on, four to test on, two one-shot runs.
pub fn omniglot(root: &Path) {
    for (part, classes) in [("images_background", 0..8), ("images_evaluation", 8..12)] {
        for class in classes {
            for i in 0..6 {
                let name = format!("{part}/Greek/character{class:02}/{class:04}_{i:02}.png");
                picture(&root.join(name), class, i, 1);
            }
        }
    }
    for run in ["run01", "run02"] {
        let mut list = String::new();
        for item in 1..4 {
            let [test, training] =
                [("test/item", 7), ("training/class", 8)].map(|(stem, number)| {
                    let name = format!("{run}/{stem}{item:02}.png");
                    picture(&root.join("all_runs").join(&name), item + 8, number, 1);
                    name
                });
            list += &format!("{test} {training}\n");
        }
        write(root.join(format!("all_runs/{run}/class_labels.txt")), list);
    }
}

/// ORL: 34 people, three pictures each.
pub fn orl(root: &Path) {
    for person in 1..=34 {
        for i in 1..=3 {
            picture(&root.join(format!("s{person}/{i}.pgm")), person, i, 1);
        }
    }
}

/// LFW: seven people. Of the first four eight pairs of view 2 in two folds; view 1 chooses by pairs
/// of the first three, who may be trained on, and tests on the others.
pub fn lfw(root: &Path) {
    for person in 0..7 {
        for i in 1..=3 {
            let name = format!("Name_{person}/Name_{person}_{i:04}.jpg");
            picture(&root.join(name), 20 + person, i, 3);
        }
    }
    let mut pairs = String::from("2\t2\n");
    for fold in 0..2 {
        pairs += &format!("Name_{fold}\t1\t2\nName_{fold}\t1\t3\n");
        pairs += "Name_0\t1\tName_2\t1\nName_1\t2\tName_3\t3\n";
    }
    write(root.join("pairs.txt"), pairs);
    for (list, [a, b, c]) in [("Train", [0, 1, 2]), ("Test", [3, 4, 5])] {
        let same = format!("Name_{a}\t1\t2\nName_{b}\t1\t3\n");
        let different = format!("Name_{a}\t1\tName_{c}\t1\nName_{b}\t2\tName_{c}\t3\n");
        let text = format!("2\n{same}{different}");
        write(root.join(format!("pairsDev{list}.txt")), text);
    }
    let people = "3\nName_0\t3\nName_1\t3\nName_2\t3\n";
    write(root.join("peopleDevTrain.txt"), people);
}

/// A pack of insightface: 20 pairs, every other of one person, as python 3 pickles it.
pub fn pack(path: &Path) {
    let mut pickle = b"\x80\x03](".to_vec();
    for image in 0..40 {
        let (pair, second) = (image / 2, image % 2);
        let person = if pair % 2 == 0 {
            pair
        } else {
            pair + 7 * second
        };
        let file = path.with_extension("ppm");
        picture(&file, person, image, 3);
        let bytes = fs::read(&file).unwrap();
        fs::remove_file(file).unwrap();
        pickle.push(b'B');
        pickle.extend((bytes.len() as u32).to_le_bytes());
        pickle.extend(bytes);
    }
    pickle.extend(b"e](");
    pickle.extend((0..20).map(|pair| if pair % 2 == 0 { 0x88 } else { 0x89 }));
    pickle.extend(b"e\x86.");
    write(path.into(), pickle);
}

/// Identities seen by two cameras, three times each; `name` spells (identity, camera, number).
fn reid(root: &Path, folders: [&str; 3], name: fn(usize, usize, usize) -> String) {
    for id in 1..=12 {
        let train = id <= 8;
        for camera in 1..=2 {
            for i in 0..3 {
                let folder = match (train, i) {
                    (true, _) => folders[0],
                    (false, 0) => folders[1],
                    (false, _) => folders[2],
                };
                let path = root.join(folder).join(name(id, camera, i));
                picture(&path, id, camera * 8 + i, 3);
            }
        }
    }
}

fn market_folders() -> [&'static str; 3] {
    ["bounding_box_train", "query", "bounding_box_test"]
}

/// Market-1501: twelve people under two cameras, a junk picture and a distractor.
pub fn market(root: &Path) {
    reid(root, market_folders(), |id, camera, i| {
        format!("{id:04}_c{camera}s1_{i:06}_01.jpg")
    });
    // Junk and a distractor.
    picture(
        &root.join("bounding_box_test/-1_c1s1_000009_01.jpg"),
        9,
        50,
        3,
    );
    picture(
        &root.join("bounding_box_test/0000_c2s1_000009_01.jpg"),
        3,
        51,
        3,
    );
}

/// DukeMTMC-reID.
pub fn duke(root: &Path) {
    reid(root, market_folders(), |id, camera, i| {
        format!("{id:04}_c{camera}_f{i:07}.jpg")
    });
}

/// CUHK03 in the new protocol.
pub fn cuhk03(root: &Path) {
    reid(root, market_folders(), |id, camera, i| {
        format!("{id:04}_c{camera}_1_{i:06}.png")
    });
}

/// CUHK03 with names of its own: twelve people of two pairs of cameras, three images by each view.
fn cuhk03_images(root: &Path) -> Vec<(usize, String)> {
    let mut names = Vec::new();
    for id in 1..=12 {
        for view in 1..=2 {
            for i in 0..3 {
                let (pair, number) = (1 + id % 2, 5 * (view - 1) + i + 1);
                let name = format!("{pair}_{id:03}_{view}_{number:02}.png");
                let path = root.join("images_labeled").join(&name);
                picture(&path, id, view * 8 + i, 3);
                names.push((id, name));
            }
        }
    }
    names
}

/// CUHK03 in the new protocol, from its own file: the first eight people are for training.
pub fn cuhk03_protocol(root: &Path) {
    let images = cuhk03_images(root);
    let texts: Vec<_> = images.iter().map(|(_, name)| mat::text(name)).collect();
    let of = |number: fn(usize, usize) -> f64| -> Vec<f64> {
        let numbers = images.iter().enumerate().map(|(i, &(id, _))| number(i, id));
        numbers.collect()
    };
    let part = |wanted: fn(usize, usize) -> bool| -> Vec<f64> {
        let indices = (0..images.len()).filter(|&i| wanted(i, images[i].0));
        indices.map(|i| (i + 1) as f64).collect()
    };
    let variables = [
        mat::cells("filelist", &texts),
        mat::numbers("labels", &of(|_, id| id as f64)),
        mat::numbers("camId", &of(|i, _| (1 + i / 3 % 2) as f64)),
        mat::numbers("train_idx", &part(|_, id| id <= 8)),
        mat::numbers("query_idx", &part(|i, id| id > 8 && i % 3 == 0)),
        mat::numbers("gallery_idx", &part(|i, id| id > 8 && i % 3 > 0)),
    ];
    let name = "cuhk03_new_protocol_config_labeled.mat";
    write(root.join(name), mat::file(&variables));
}

/// CUHK03 in three classic splits, of three people each for the test.
pub fn cuhk03_classic(root: &Path) {
    cuhk03_images(root);
    let split = |first: usize| {
        let people = first..first + 3;
        let pairs = people.clone().map(|id| (1 + id % 2) as f64);
        let columns: Vec<f64> = pairs.chain(people.clone().map(|id| id as f64)).collect();
        mat::numbers("", &columns)
    };
    let splits = mat::cells("testsets", &[1, 4, 10].map(split));
    write(root.join("testsets.mat"), mat::file(&[splits]));
}

/// VeRi-776.
pub fn veri(root: &Path) {
    let folders = ["image_train", "image_query", "image_test"];
    reid(root, folders, |id, camera, i| {
        format!("{id:04}_c{camera:03}_{i:08}_0.jpg")
    });
}

/// VehicleID: twelve vehicles, four pictures each.
pub fn vehicle_id(root: &Path) {
    let (mut train, mut test) = (String::new(), String::new());
    for id in 0..12 {
        for i in 0..4 {
            let image = 4 * id + i;
            picture(&root.join(format!("image/{image:07}.jpg")), id, i, 3);
            *(if id < 8 { &mut train } else { &mut test }) += &format!("{image:07} {id}\n");
        }
    }
    write(root.join("train_test_split/train_list.txt"), train);
    write(root.join("train_test_split/test_list_800.txt"), test);
}

/// CUB-200-2011: eight classes of the first half, four of the second.
pub fn cub(root: &Path) {
    let (mut images, mut labels) = (String::new(), String::new());
    let mut number = 0;
    for class in (1..=8).chain(101..=104) {
        for i in 0..5 {
            number += 1;
            let path = format!("{class:03}.Bird/{i}.jpg");
            picture(&root.join("images").join(&path), class, i, 3);
            images += &format!("{number} {path}\n");
            labels += &format!("{number} {class}\n");
        }
    }
    write(root.join("images.txt"), images);
    write(root.join("image_class_labels.txt"), labels);
}

/// Stanford Online Products.
pub fn sop(root: &Path) {
    for (list, classes) in [("Ebay_train.txt", 1..=8), ("Ebay_test.txt", 9..=12)] {
        let mut text = String::from("image_id class_id super_class_id path\n");
        for class in classes {
            for i in 0..5 {
                let path = format!("bicycle_final/{class}_{i}.JPG");
                picture(&root.join(&path), class, i, 3);
                text += &format!("{i} {class} 1 {path}\n");
            }
        }
        write(root.join(list), text);
    }
}

/// In-shop.
pub fn in_shop(root: &Path) {
    let mut lines = Vec::new();
    for item in 1..=12 {
        for i in 0..5 {
            let path = format!("img/WOMEN/id_{item:08}/{i}.jpg");
            picture(&root.join(&path), item, i, 3);
            let role = match (item <= 8, i) {
                (true, _) => "train",
                (false, 0) => "query",
                (false, _) => "gallery",
            };
            lines.push(format!("{path} id_{item:08} {role}\n"));
        }
    }
    let head = format!("{}\nimage_name item_id evaluation_status\n", lines.len());
    write(
        root.join("Eval/list_eval_partition.txt"),
        head + &lines.concat(),
    );
}

/// A manifest of four labels with all three splits.
pub fn manifest(root: &Path) {
    let mut text = String::from("path,label,split\n");
    for class in 0..4 {
        for i in 0..10 {
            let path = format!("all/{class}_{i}.ppm");
            picture(&root.join(&path), class, i, 3);
            let split = ["train", "train", "train", "validation", "test"][i % 5];
            text += &format!("{path},label {class},{split}\n");
        }
    }
    write(root.join("manifest.csv"), text);
}

/// CIFAR-10 in its binary version: 110 and 20 pictures.
pub fn cifar10(root: &Path) {
    for (file, count) in [
        ("data_batch_1.bin", 40),
        ("data_batch_2.bin", 40),
        ("data_batch_3.bin", 10),
        ("data_batch_4.bin", 10),
        ("data_batch_5.bin", 10),
        ("test_batch.bin", 20),
    ] {
        let record = |i: usize| {
            let class = i % 10;
            let pixel = move |p: usize| (p * (1 + class) % 199 + i % 50) as u8;
            std::iter::once(class as u8).chain((0..3072).map(pixel))
        };
        write(
            root.join(file),
            (0..count).flat_map(record).collect::<Vec<u8>>(),
        );
    }
}
