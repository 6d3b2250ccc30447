//! Tests of LFW and its lists.

use super::*;
use crate::formats::list::tests::{paths, touch, write};

#[test]
fn images_of_lfw_bear_the_name_of_their_folder() {
    let root = tempfile::tempdir().unwrap();
    touch(
        root.path(),
        ["A_B/A_B_0001.jpg", "A_B/A_B_0012.jpg", "C/C_0001.jpg"],
    );
    let survey = read(root.path()).unwrap();
    assert_eq!((survey.counts[0].found, survey.counts[1].found), (3, 2));
    assert_eq!(survey.manifest.entries[1].label, "A_B");
    touch(root.path(), ["C/D_0001.jpg"]);
    assert!(
        read(root.path())
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
        touch(&root, images);
    }
    root
}

#[test]
fn view_1_chooses_on_one_list_tests_on_another_and_trains_on_people() {
    let around = tempfile::tempdir().unwrap();
    let around = around.path();
    let root = three_people(around);
    let view = || {
        let mut survey = read(&root).unwrap();
        let pairs = view1(&root, &mut survey).map_err(|e| e.to_string());
        (survey, pairs)
    };
    write(around, "pairsDevTrain.txt", "1\nA 1 2\nA 1 B 2\n");
    let message = view().1.unwrap_err();
    assert!(message.contains("found no pairsDevTest.txt"), "{message}");
    write(around, "pairsDevTest.txt", "1\nC 1 2\nC 1 B 1\n");
    let (survey, pairs) = view();
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
    let (survey, _) = view();
    let learnt = ["A/A_0001.jpg", "A/A_0002.jpg", "A/A_0003.jpg"];
    assert_eq!(paths(&survey, Split::Train), learnt);
    assert_eq!(paths(&survey, Split::Test), asked);
    for (text, part) in [
        ("3\nA 3\n", "the number of the 1 people"),
        ("1\nA x\n", "line 2"),
        ("", "line 1"),
    ] {
        write(around, "peopleDevTrain.txt", text);
        let message = view().1.unwrap_err();
        assert!(message.contains("peopleDevTrain.txt"), "{message}");
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn view_2_asks_for_images_by_their_names_without_endings() {
    let around = tempfile::tempdir().unwrap();
    let root = three_people(around.path());
    touch(&root, ["D/D_0001.png"]);
    let mut survey = read(&root).unwrap();
    assert_eq!(view2(&root, &mut survey).unwrap(), None);
    assert_eq!(survey.manifest.entries.len(), 10);
    // The list in the folder itself comes before the one around it.
    write(around.path(), "pairs.txt", "broken");
    write(&root, "pairs.txt", "1 1\nA 1 3\nA 1 D 1\n");
    // A list of the other view is no part of it.
    write(around.path(), "pairsDevTrain.txt", "broken");
    let pairs = view2(&root, &mut survey).unwrap().unwrap();
    assert_eq!(survey.counts[2], list::count("pairs of view 2", 6_000, 2));
    let paths = paths(&survey);
    assert_eq!(paths, ["A/A_0001.jpg", "A/A_0003.jpg", "D/D_0001.png"]);
    assert_eq!(pairs[1].stems()[1], stem("D/D_0001.png"));
    assert!(
        inspect(&root)
            .unwrap_err()
            .to_string()
            .contains("pairsDevTrain.txt")
    );
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
