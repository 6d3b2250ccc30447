//! Tests of manifests: the CSV form both ways, what is refused, and the retrieval test.

use super::*;
use proptest::prelude::*;
use std::fs;

fn parsed(text: &str) -> Result<Manifest> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("list.csv");
    fs::write(&path, text).unwrap();
    Manifest::read(path)
}

fn message(text: &str) -> String {
    parsed(text).unwrap_err().to_string()
}

fn entry(path: &str, label: &str, camera: Option<u32>, role: &str) -> Entry {
    Entry {
        camera,
        is_query: role == "query",
        is_gallery: role == "gallery",
        ..Entry::new(path, label, Split::Test)
    }
}

fn list(entries: Vec<Entry>) -> Manifest {
    Manifest {
        name: "list".into(),
        root: PathBuf::new(),
        entries,
    }
}

#[test]
fn columns_come_in_any_order_and_most_may_be_missing() {
    let read = parsed(
        "label, split,path,camera,x2,x1,y1,y2\n7,train,a/b.png,3,9,1.5,2,4\n\"x,y\",test,c.png,,,,,\n",
    );
    let read = read.unwrap();
    assert!(read.name.ends_with("list.csv"));
    assert!(read.path(0).ends_with("a/b.png") && read.path(0).is_absolute());
    let first = &read.entries[0];
    assert_eq!(
        (first.label.as_str(), first.split, first.camera),
        ("7", Split::Train, Some(3))
    );
    let area = Area {
        left: 1.5,
        top: 2.0,
        width: 7.5,
        height: 2.0,
    };
    assert_eq!(first.area, Some(area));
    assert_eq!(read.entries[1], Entry::new("c.png", "x,y", Split::Test));
}

#[test]
fn what_is_written_is_read_again() {
    let mut manifest = list(vec![
        Entry {
            camera: Some(2),
            fold: Some(9),
            area: Some(Area {
                left: 1.25,
                top: 0.0,
                width: 10.0,
                height: 20.0,
            }),
            clip: Some([0.1, 2.5]),
            ..entry("a, \"b\".png", "Zoë", None, "query")
        },
        entry("c.png", "-1", Some(0), "gallery"),
        Entry::new("d.png", "d", Split::Validation),
    ]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("list.csv");
    manifest.write(&path).unwrap();
    assert_eq!(Manifest::read(&path).unwrap().entries, manifest.entries);
    // Columns nobody uses are not written.
    manifest.entries.truncate(0);
    manifest
        .entries
        .push(Entry::new("d.png", "d", Split::Train));
    manifest.write(&path).unwrap();
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        "path,label,split\nd.png,d,train\n"
    );
}

#[test]
fn messages_name_file_line_and_cure() {
    let cases = [
        ("path,label\n", "line 1: expected a column split"),
        ("path,label,split,kamera\n", "found \"kamera\""),
        ("path,label,split,label\n", "each column once"),
        (
            "path,label,split\na.png,1,train\n\nb.png,1,trian\n",
            "line 4: expected the split",
        ),
        (
            "path,label,split\na.png,,train\n",
            "line 2: expected a label",
        ),
        (
            "path,label,split,camera\na.png,1,train,-2\n",
            "in column camera a whole number",
        ),
        (
            "path,label,split,is_query\na.png,1,test,yes\n",
            "true or false",
        ),
        ("path,label,split\na.png,1\n", "line 2"),
        (
            "path,label,split,x1,y1,x2,y2\na.png,1,test,1,2,3,\n",
            "fill all of them",
        ),
        (
            "path,label,split,x1,y1,x2,y2\na.png,1,test,5,2,3,9\n",
            "0 <= x1 < x2",
        ),
        (
            "path,label,split,x1,y1,x2,y2\na.png,1,test,0,0,NaN,9\n",
            "numbers in x1",
        ),
        (
            "path,label,split,start,duration\na.wav,1,test,1,0\n",
            "duration above 0",
        ),
    ];
    for (text, part) in cases {
        let message = message(text);
        assert!(
            message.contains("list.csv") && message.contains(part),
            "{message}"
        );
    }
    let missing = Manifest::read("no/such.csv").unwrap_err().to_string();
    assert!(
        missing.starts_with("no/such.csv: cannot be read"),
        "{missing}"
    );
}

#[test]
fn paths_cannot_leave_the_folder() {
    for path in [
        "/etc/passwd",
        "../a.png",
        "a/../../b.png",
        "",
        "C:/a.png",
        "..\\a.png",
    ] {
        let message = message(&format!("path,label,split\n{path},1,train\n"));
        assert!(message.contains("a path inside the folder"), "{message}");
    }
    assert!(parsed("path,label,split\n./a..b/c.png,1,train\n").is_ok());
}

#[test]
fn marked_entries_with_cameras_make_a_re_identification_test() {
    let manifest = list(vec![
        Entry::new("t.png", "0003", Split::Train),
        entry("q.png", "0001", Some(1), "query"),
        entry("g.png", "-1", Some(2), "gallery"),
        entry("h.png", "0001", Some(2), "gallery"),
    ]);
    let test = manifest.evaluation().unwrap();
    assert_eq!((test.queries, test.gallery), (vec![1], vec![2, 3]));
    assert_eq!(
        (test.ids, test.cameras),
        (vec![3, 1, -1, 1], vec![0, 1, 2, 2])
    );
    assert_eq!(test.rule, Rule::CrossCamera);
}

#[test]
fn without_cameras_or_marks_other_rules_hold() {
    let mut manifest = list(vec![
        entry("q.png", "cat", None, "query"),
        entry("g.png", "-1", None, "gallery"),
        entry("h.png", "ant", None, "gallery"),
    ]);
    let test = manifest.evaluation().unwrap();
    assert_eq!((test.rule, test.ids), (Rule::Everything, vec![3, -1, 2]));
    assert!(test.cameras.is_empty());
    manifest.entries[0].camera = Some(1);
    let message = manifest.evaluation().unwrap_err().to_string();
    assert!(message.contains("none for 2 of 3"), "{message}");

    let plain = list(vec![
        Entry::new("a", "x", Split::Train),
        Entry::new("b", "y", Split::Test),
        Entry::new("c", "y", Split::Test),
    ]);
    let test = plain.evaluation().unwrap();
    assert_eq!((test.queries, test.gallery), (vec![1, 2], vec![1, 2]));
    assert_eq!(test.rule, Rule::LeaveOneOut);
    let nothing = list(vec![Entry::new("a", "x", Split::Train)]);
    assert!(
        nothing
            .evaluation()
            .unwrap_err()
            .to_string()
            .contains("queries of list")
    );
    let only = list(vec![entry("q", "1", None, "query")]);
    assert!(
        only.evaluation()
            .unwrap_err()
            .to_string()
            .contains("gallery of list")
    );
}

#[test]
fn strictness_is_about_the_official_counts() {
    let count = |found| Count {
        what: "training images".into(),
        official: 2,
        found,
    };
    let survey = |found| Survey {
        manifest: list(Vec::new()),
        counts: vec![count(found)],
        ignored: 0,
    };
    assert!(survey(2).strict().is_ok());
    let message = survey(1).strict().unwrap_err().to_string();
    assert!(
        message.contains("expected 2 training images, found 1 training images"),
        "{message}"
    );
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(lines in "[a-z0-9,\"/.\\n -]{0,80}", header: bool) {
        let header = if header { "path,label,split,camera,x1,y1,x2,y2\n" } else { "" };
        let _ = parsed(&format!("{header}{lines}"));
    }
}
