//! `hypersphere report` and `compare`: what is in the HTML is what the run and its data say.

use crate::training::train;
use crate::{digits, fail, run, succeed};
use roxmltree::{Document, Node, ParsingOptions};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

/// A run of two epochs on 200 + 100 digits in `digits/`, tested on 200.
fn trained(folder: &Path, out: &str, more: &[&str]) {
    digits(folder, 300, 200);
    let more = [&["--epochs", "2"], more].concat();
    succeed(folder, &train(out, &more));
}

fn parse(html: &str) -> Document<'_> {
    let options = ParsingOptions {
        allow_dtd: true,
        ..Default::default()
    };
    Document::parse_with_options(html, options).expect("well-formed")
}

/// What must hold for every page.
fn check(document: &Document, html: &str) {
    for node in document.descendants() {
        for name in ["src", "href", "action", "data", "srcset", "poster"] {
            let address = node.attribute(name).unwrap_or("#");
            assert!(
                address.starts_with(['#']) || address.starts_with("data:"),
                "{address}"
            );
        }
    }
    let numbers = document.descendants().flat_map(|n| n.attributes());
    let mut numbers = numbers.filter(|a| !a.value().starts_with("data:"));
    assert!(numbers.all(|a| !a.value().contains("NaN")));
    let styles = html.split("url(").skip(1);
    styles.for_each(|address| assert!(address.starts_with("data:image/"), "{:.40}", address));
    assert!(
        !html.contains("://") && !html.contains("@import"),
        "an address of another place"
    );
    assert!(html.contains("default-src 'none'"));
    let ids = document.descendants().filter_map(|n| n.attribute("id"));
    let mut seen = BTreeSet::new();
    assert!(ids.into_iter().all(|id| seen.insert(id)), "an id twice");
}

fn section<'a>(document: &'a Document, id: &str) -> Node<'a, 'a> {
    let found = document
        .descendants()
        .find(|n| n.attribute("id") == Some(id));
    found.unwrap_or_else(|| panic!("no section {id}"))
}

fn with_class<'a>(node: Node<'a, 'a>, class: &'a str) -> Vec<Node<'a, 'a>> {
    let has = move |n: &Node| {
        n.attribute("class")
            .is_some_and(|all| all.split(' ').any(|c| c == class))
    };
    node.descendants().filter(has).collect()
}

fn text(node: Node) -> String {
    node.descendants()
        .filter(|n| n.is_text())
        .filter_map(|n| n.text())
        .collect()
}

fn titles(node: Node) -> Vec<String> {
    let headings = node.descendants().filter(|n| n.has_tag_name("text"));
    headings
        .filter(|n| n.attribute("font-weight").is_some())
        .map(text)
        .collect()
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The bytes behind `;base64,` at the end of a text's first address after `start`.
fn picture_after(html: &str, start: &str) -> image::DynamicImage {
    let rest = &html[html.find(start).expect("a rule")..];
    let data = rest.split_once(";base64,").unwrap().1;
    let data = data.split([')', '"']).next().unwrap();
    let digit = |c: u8| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<u8> = data.bytes().filter(|&c| c != b'=').map(digit).collect();
    let bytes = digits.chunks(4).flat_map(|four| {
        let bits = four.iter().fold(0u32, |bits, &d| bits << 6 | u32::from(d));
        let bits = bits << (6 * (4 - four.len()));
        bits.to_be_bytes()[1..four.len()].to_vec()
    });
    image::load_from_memory(&bytes.collect::<Vec<u8>>()).unwrap()
}

#[test]
fn a_report_shows_what_the_network_made_of_the_test_images() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    trained(folder, "run", &[]);
    assert_eq!(
        succeed(folder, &["report", "run"]).trim(),
        "run/report.html"
    );
    let html = std::fs::read_to_string(folder.join("run/report.html")).unwrap();
    let document = parse(&html);
    check(&document, &html);

    // The headline is the run's own figure, and says what it was selected on.
    let judged = json(&folder.join("run/eval/test.json"));
    let accuracy = judged["figures"]["accuracy"].as_f64().unwrap();
    let figures = section(&document, "figures");
    let main = with_class(figures, "main")[0];
    assert_eq!(
        text(main),
        format!("{:.2} %test accuracy", 100.0 * accuracy)
    );
    let words = text(figures);
    for part in [
        "selected on: nothing",
        "ckpt/best.safetensors was selected on",
        "all 200 test images",
    ] {
        assert!(words.contains(part), "{part} is missing in: {words}");
    }
    assert!(with_class(figures, "warning").is_empty());

    let curves = titles(section(&document, "curves"));
    for part in ["loss", "accuracy without margins / %", "learning rate"] {
        assert!(
            curves.iter().any(|title| title == part),
            "{part}: {curves:?}"
        );
    }
    assert_eq!(
        titles(section(&document, "cosines")),
        ["Between examples", "To the class weights"]
    );

    // Every test image is counted once, and the diagonal is the accuracy.
    let confusion = section(&document, "confusion");
    let sum = |class| -> u64 {
        let cells = with_class(confusion, class).into_iter();
        cells.map(|cell| text(cell).parse::<u64>().unwrap()).sum()
    };
    let (hits, misses) = (sum("hit"), sum("miss"));
    assert_eq!(hits + misses, 200);
    assert_eq!(hits as f64 / 200.0, accuracy);
    assert!(misses > 0, "nothing to see");

    // The worst cases are mistakes, the surest first.
    let worst = section(&document, "worst");
    let cases: Vec<String> = with_class(worst, "case").into_iter().map(text).collect();
    assert_eq!(cases.len() as u64, misses.min(24));
    let sure = |case: &String| -> f64 {
        let rest = case.split("sure ").nth(1).unwrap();
        rest.split(' ').next().unwrap().parse().unwrap()
    };
    assert!(
        cases
            .windows(2)
            .all(|pair| sure(&pair[0]) >= sure(&pair[1])),
        "{cases:?}"
    );
    assert!(cases.iter().all(|case| case.contains(", taken for ")));

    // Each point of the map stands for an image, whose picture is that image.
    let mnist = ::data::mnist::embedded().test;
    let sheet = picture_after(&html, ".point{").to_luma8();
    let circles = section(&document, "map")
        .descendants()
        .filter(|n| n.has_tag_name("circle"));
    let circles: Vec<Node> = circles.collect();
    assert_eq!(circles.len(), 200);
    let missed = circles
        .iter()
        .filter(|c| c.attribute("class") == Some("miss"));
    assert_eq!(missed.count() as u64, misses);
    let mut seen = BTreeSet::new();
    for circle in circles {
        let number = |name: &str| circle.attribute(name).unwrap().parse::<u32>().unwrap();
        let text = circle.attribute("data-t").unwrap();
        let example: usize = text[text.find('#').unwrap() + 1..text.len() - 1]
            .parse()
            .unwrap();
        assert!(seen.insert(example));
        assert!(
            text.starts_with(&mnist.labels()[example].to_string()),
            "{text}"
        );
        let (left, top) = (28 * number("data-c"), 28 * number("data-r"));
        let pixel = |i: u32| sheet.get_pixel(left + i % 28, top + i / 28).0[0];
        assert_eq!(
            (0..784).map(pixel).collect::<Vec<u8>>(),
            mnist.image(example),
            "{text}"
        );
    }

    // The same bytes on one thread; a sample says that it is one.
    succeed(folder, &["report", "run", "-o", "again.html", "-j", "1"]);
    assert!(std::fs::read_to_string(folder.join("again.html")).unwrap() == html);
    succeed(
        folder,
        &["report", "run", "-o", "some.html", "--samples", "50"],
    );
    let some = std::fs::read_to_string(folder.join("some.html")).unwrap();
    assert!(some.contains("50 of the 200 test images, evenly spread"));
    assert_eq!(some.matches("<circle").count(), 50);
}

#[test]
fn a_report_without_data_or_weights_has_the_rest_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    trained(folder, "run", &["--set", "loss=softmax"]);
    std::fs::rename(folder.join("digits"), folder.join("elsewhere")).unwrap();
    let found = run(folder, &["report", "run"]);
    assert_eq!(found.code, Some(0), "{}", found.stderr);
    assert!(
        found
            .stderr
            .contains("without charts and pictures of the test part: digits is no folder")
    );
    let html = std::fs::read_to_string(folder.join("run/report.html")).unwrap();
    let document = parse(&html);
    check(&document, &html);
    assert!(text(with_class(document.root(), "warning")[0]).contains("digits is no folder"));
    let ids = document.descendants().filter(|n| n.has_tag_name("section"));
    let ids: Vec<&str> = ids.filter_map(|n| n.attribute("id")).collect();
    assert_eq!(ids, ["figures", "curves", "settings"]);

    succeed(folder, &["report", "run", "--data", "elsewhere"]);
    let html = std::fs::read_to_string(folder.join("run/report.html")).unwrap();
    assert_eq!(html.matches("<circle").count(), 200);
    fail(
        folder,
        &["report", "run", "--data", "nowhere"],
        3,
        &["nowhere is no folder"],
    );
    fail(folder, &["report", "elsewhere"], 2, &["no run directory"]);

    // Weights that are not those that the run has judged.
    trained(folder, "other", &["--set", "loss=softmax", "--seed", "9"]);
    let last = "ckpt/last.safetensors";
    std::fs::copy(
        folder.join("other").join(last),
        folder.join("run").join(last),
    )
    .unwrap();
    succeed(
        folder,
        &["report", "run", "--data", "elsewhere", "-o", "wrong.html"],
    );
    let html = std::fs::read_to_string(folder.join("wrong.html")).unwrap();
    assert!(html.contains("no longer what they were"));
    std::fs::remove_file(folder.join("run").join(last)).unwrap();
    fail(
        folder,
        &["report", "run", "--data", "elsewhere"],
        3,
        &["last.safetensors is missing"],
    );
}

/// Eight classes of six pictures of 16 x 16: stripes of their own width, shifted and dirty.
fn stripes(folder: &Path) {
    for class in 0..8 {
        let of_class = folder.join(format!("class {class}"));
        std::fs::create_dir_all(&of_class).unwrap();
        for i in 0..6 {
            let mut bytes = b"P6 16 16 255\n".to_vec();
            for p in 0..256 {
                let (x, y) = (p % 16, p / 16);
                let along = if class % 2 == 0 { x } else { y };
                let light = (along + i) / (1 + class / 2) % 2 * 150 + (p * 31 + i * 57) % 90;
                bytes.extend([light as u8, (light / 2) as u8, 200 - light as u8 / 2]);
            }
            std::fs::write(of_class.join(format!("{i}.ppm")), bytes).unwrap();
        }
    }
}

#[test]
fn galleries_and_pairs_are_of_the_classes_that_they_are_said_to_be() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    stripes(&folder.join("stripes"));
    for protocol in ["retrieve", "verify"] {
        let train = [
            "train",
            "stripes/",
            "--protocol",
            protocol,
            "--set",
            "data.validation=2",
            "--epochs",
            "2",
            "--batch",
            "8",
            "--out",
            protocol,
        ];
        succeed(folder, &train);
        succeed(folder, &["report", protocol]);
        let html = std::fs::read_to_string(folder.join(protocol).join("report.html")).unwrap();
        let document = parse(&html);
        check(&document, &html);
        let label = |node: &Node| node.attribute("aria-label").unwrap().to_string();
        if protocol == "retrieve" {
            let ranks = section(&document, "ranks");
            assert!(titles(ranks)[0].starts_with("CMC"));
            let rankings = with_class(ranks, "ranking");
            assert!(rankings.len() >= 8);
            let mut kinds = BTreeSet::new();
            for ranking in rankings {
                let pictures = with_class(ranking, "pic");
                let query = label(&pictures[0]);
                assert_eq!(pictures.len(), 1 + 10, "ten neighbours");
                for picture in &pictures[1..] {
                    let (kind, class) = label(picture)
                        .split_once(": ")
                        .map(|(a, b)| (a.to_string(), b.to_string()))
                        .unwrap();
                    assert_eq!(
                        kind == "right",
                        class == query,
                        "{kind}: {class} for {query}"
                    );
                    assert!(picture.attribute("class").unwrap().contains(&kind));
                    kinds.insert(kind);
                }
            }
            assert_eq!(kinds.into_iter().collect::<Vec<_>>(), ["right", "wrong"]);
            continue;
        }
        let curves = titles(section(&document, "cosines"));
        assert!(
            ["ROC", "DET"]
                .iter()
                .all(|name| curves.iter().any(|t| t == name)),
            "{curves:?}"
        );
        for case in with_class(section(&document, "pairs"), "case") {
            let pictures: Vec<String> = with_class(case, "pic").iter().map(label).collect();
            let [a, b] = pictures.as_slice() else {
                panic!("a pair")
            };
            assert_eq!(text(case).contains(" | "), a != b, "{}", text(case));
        }
        // What is accepted by mistake comes before what is refused by mistake.
        let cases = with_class(section(&document, "pairs"), "case");
        assert_eq!(cases.len(), 16);
        assert!(cases[..8].iter().all(|case| text(*case).contains(" | ")));
    }
}

#[test]
fn junk_and_the_same_camera_are_grey_and_take_no_rank() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let synth = [
        "data",
        "synth",
        "reid",
        "--identities",
        "16",
        "--cameras",
        "2",
        "-o",
        "reid",
    ];
    succeed(folder, &synth);
    let train = [
        "train",
        "reid-synth",
        "--data",
        "reid",
        "--epochs",
        "1",
        "--set",
        "sampler.p=4",
        "--set",
        "sampler.k=4",
        "--set",
        "data.validation=2",
        "--out",
        "run",
    ];
    succeed(folder, &train);
    succeed(folder, &["report", "run"]);
    let html = std::fs::read_to_string(folder.join("run/report.html")).unwrap();
    let document = parse(&html);
    check(&document, &html);
    let ranks = section(&document, "ranks");
    assert!(text(ranks).contains("left out by the rule"));
    let mut junk = 0;
    for ranking in with_class(ranks, "ranking") {
        let mut rank = 0;
        let figures = ranking.children().filter(|n| n.has_tag_name("figure"));
        for figure in figures.skip(1) {
            let class = with_class(figure, "pic")[0].attribute("class").unwrap();
            // The rank stands above the cosine.
            let shown = figure.descendants().find(|n| n.is_text()).unwrap();
            let shown = shown.text().unwrap();
            match class.contains("junk") {
                true => {
                    junk += 1;
                    assert_eq!(shown, "–");
                }
                false => {
                    rank += 1;
                    assert_eq!(shown, rank.to_string());
                }
            }
        }
    }
    assert!(junk > 0, "nothing was left out");

    // Pairs are of persons: junk is not one person, however many pictures there are of it.
    let mut sightings = std::collections::BTreeMap::new();
    for part in ["query", "bounding_box_test"] {
        for file in folder.join("reid").join(part).read_dir().unwrap() {
            let name = file.unwrap().file_name().into_string().unwrap();
            let person = name.split('_').next().unwrap().to_string();
            *sightings.entry(person).or_insert(0) += 1;
        }
    }
    let junk = sightings.remove("-1").expect("junk");
    assert!(junk > 1);
    sightings.remove("0000");
    let same: usize = sightings.values().map(|n| n * (n - 1) / 2).sum();
    let words = text(section(&document, "cosines"));
    assert!(
        words.contains(&format!("{same} same and")),
        "{same}: {words}"
    );
}

#[test]
fn runs_are_put_side_by_side() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for (out, seed, loss) in [
        ("a1", "1", "softmax"),
        ("a2", "2", "softmax"),
        ("b1", "1", "cosface"),
    ] {
        trained(folder, out, &["--seed", seed, "--loss", loss]);
    }
    let printed = succeed(folder, &["compare", "a1", "a2", "b1", "-o", "t.md"]);
    assert_eq!(
        std::fs::read_to_string(folder.join("t.md")).unwrap(),
        printed
    );
    let figure = |run: &str| {
        let judged = json(&folder.join(run).join("eval/test.json"));
        100.0 * judged["figures"]["accuracy"].as_f64().unwrap()
    };
    for run in ["a1", "a2", "b1"] {
        let row = printed
            .lines()
            .find(|line| line.starts_with(&format!("| {run} ")));
        let row = row.unwrap_or_else(|| panic!("{run}: {printed}"));
        assert!(row.contains(&format!(" {:.2} ", figure(run))), "{row}");
    }
    let mean = (figure("a1") + figure("a2")) / 2.0;
    let deviation = (figure("a1") - figure("a2")).abs() / 2f64.sqrt();
    for part in [
        format!("{mean:.2} ± {deviation:.2}"),
        "| seed | 1 ".into(),
        "One seed has no deviation".into(),
    ] {
        assert!(printed.contains(&part), "{part} is missing in: {printed}");
    }
    let is_key = |key: &str| {
        printed
            .lines()
            .any(|line| line.starts_with(&format!("| {key} ")))
    };
    assert!(
        is_key("loss") && !is_key("epochs"),
        "what differs, and only that"
    );

    succeed(folder, &["compare", "a1", "b1", "-o", "t.html"]);
    let html = std::fs::read_to_string(folder.join("t.html")).unwrap();
    let document = parse(&html);
    check(&document, &html);
    let curves = section(&document, "curves");
    assert!(
        titles(curves)
            .iter()
            .any(|title| title == "validation accuracy / %")
    );
    assert!(
        text(curves).matches("b1").count() >= 4,
        "each chart names each run"
    );
    fail(
        folder,
        &["compare", "a1", "b1", "-o", "t.txt"],
        2,
        &[".md or .html"],
    );
    fail(
        folder,
        &["compare", "a1", "digits"],
        2,
        &["no run directory"],
    );
    fail(folder, &["compare", "a1"], 2, &["2"]);
}
