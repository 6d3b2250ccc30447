//! Each layout is trained on, and judged by its usual protocol.

use crate::{SMALL, config};
use hypersphere::cli::Eval;
use hypersphere::progress::Style;
use hypersphere::protocol::Protocol;
use hypersphere::trainer::Part;
use hypersphere_tests::layouts;
use hypersphere_tests::runs::{judged, options, start, turn};
use std::fs;
use std::path::Path;

/// A layout, how it is written, and what is asked of it.
struct Case {
    format: &'static str,
    write: fn(&Path),
    settings: &'static [&'static str],
    protocol: Protocol,
    /// Images in train, validation and test.
    images: [usize; 3],
    /// Figures that must have been found.
    figures: &'static [&'static str],
}

const REID: &[&str] = &[
    "map",
    "map_trapezoid",
    "rank_1",
    "minp",
    "dropped",
    "unmatched",
];
const RETRIEVE: &[&str] = &["recall_at_1", "map_at_r", "r_precision", "nmi", "queries"];

const CASES: &[Case] = &[
    Case {
        format: "folder",
        write: |root| {
            layouts::folder(root, "train", 4, 10);
            layouts::folder(root, "test", 4, 3);
        },
        settings: &["data.size=[16]", "data.validation=8"],
        protocol: Protocol::Classify,
        images: [32, 8, 12],
        figures: &["accuracy", "loss", "calibration_error", "cosine_own"],
    },
    Case {
        format: "cifar10",
        write: layouts::cifar10,
        settings: &["data.validation=20"],
        protocol: Protocol::Classify,
        images: [90, 20, 20],
        figures: &["accuracy", "top_5"],
    },
    Case {
        format: "manifest",
        write: layouts::manifest,
        settings: SMALL,
        protocol: Protocol::Classify,
        images: [24, 8, 8],
        figures: &["accuracy"],
    },
    Case {
        format: "omniglot",
        write: layouts::omniglot,
        settings: SMALL,
        protocol: Protocol::Retrieve,
        // Twelve of the test images belong to the one-shot runs.
        images: [36, 12, 36],
        figures: &["recall_at_1", "map_at_r", "one_shot_error"],
    },
    Case {
        format: "orl",
        write: layouts::orl,
        settings: SMALL,
        protocol: Protocol::Verify,
        images: [84, 6, 12],
        figures: &["accuracy", "auc", "eer", "tar_at_far_0.1", "pairs"],
    },
    Case {
        format: "market1501",
        write: layouts::market,
        settings: SMALL,
        protocol: Protocol::Reid,
        images: [36, 12, 26],
        figures: REID,
    },
    Case {
        format: "duke",
        write: layouts::duke,
        settings: SMALL,
        protocol: Protocol::Reid,
        images: [36, 12, 24],
        figures: REID,
    },
    Case {
        format: "cuhk03-labeled",
        write: layouts::cuhk03,
        settings: SMALL,
        protocol: Protocol::Reid,
        images: [36, 12, 24],
        figures: REID,
    },
    Case {
        format: "cuhk03-labeled",
        write: layouts::cuhk03_protocol,
        settings: SMALL,
        protocol: Protocol::Reid,
        images: [36, 12, 24],
        figures: REID,
    },
    Case {
        format: "veri776",
        write: layouts::veri,
        settings: SMALL,
        protocol: Protocol::Reid,
        images: [36, 12, 24],
        figures: REID,
    },
    Case {
        format: "vehicleid",
        write: layouts::vehicle_id,
        settings: SMALL,
        protocol: Protocol::Reid,
        images: [24, 8, 16],
        figures: &["rank_1", "rank_5"],
    },
    Case {
        format: "cub",
        write: layouts::cub,
        settings: SMALL,
        protocol: Protocol::Retrieve,
        images: [30, 10, 20],
        figures: RETRIEVE,
    },
    Case {
        format: "sop",
        write: layouts::sop,
        settings: SMALL,
        protocol: Protocol::Retrieve,
        images: [30, 10, 20],
        figures: RETRIEVE,
    },
    Case {
        format: "in-shop",
        write: layouts::in_shop,
        settings: SMALL,
        protocol: Protocol::Retrieve,
        images: [30, 10, 20],
        figures: RETRIEVE,
    },
];

#[test]
fn every_layout_trains_and_its_protocol_judges_it() {
    let _turn = turn();
    for case in CASES {
        let folder = tempfile::tempdir().unwrap();
        let (data, out) = (folder.path().join("data"), folder.path().join("run"));
        (case.write)(&data);
        let config = config(&data, case.format, case.settings);
        let (mut run, mut trainer) = start(&out, &config);
        let loaders = trainer.loaders();
        assert_eq!(loaders.protocol, case.protocol, "{}", case.format);
        let validation = loaders.validation.as_ref().map_or(0, |v| v.len());
        let train = loaders.train.examples().labels().len();
        let images = [train, validation, loaders.test.len()];
        assert_eq!(images, case.images, "{}", case.format);

        let rows = trainer.train(&mut run, Style::None).unwrap();
        let watched = rows[0].validation.as_ref().unwrap();
        let (headline, value) = case.protocol.headline(watched).unwrap();
        assert!(
            (0.0..=1.0).contains(&value),
            "{}: {headline} {value}",
            case.format
        );
        let table = fs::read_to_string(out.join("metrics.csv")).unwrap();
        assert!(table.contains(&format!("validation_{headline}")), "{table}");

        let test = trainer.judge(Part::Test).unwrap().unwrap();
        for figure in case.figures {
            let value = test.figures.get(figure);
            assert!(
                value.is_some_and(f64::is_finite),
                "{}: {figure} {value:?}",
                case.format
            );
        }
        // The weights in the file, on data read anew, find the same to the last bit.
        let again = judged(options(out.clone()));
        assert_eq!(
            again,
            serde_json::to_value(&test.figures).unwrap(),
            "{}",
            case.format
        );
        // And so does the file without its run, on a folder whose layout it has to recognise.
        let lonely = folder.path().join("lonely.safetensors");
        fs::copy(run.last_weights(), &lonely).unwrap();
        let again = judged(Eval {
            data: Some(data),
            protocol: Some(case.protocol),
            format: (case.format == "folder").then(|| case.format.into()),
            ..options(lonely)
        });
        assert_eq!(
            again,
            serde_json::to_value(&test.figures).unwrap(),
            "{}",
            case.format
        );
    }
}
