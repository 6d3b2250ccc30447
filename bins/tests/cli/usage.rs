//! The command line without any training: what is listed and shown, and how mistakes are met.

use crate::{assert_has, fail, succeed};

/// A folder where nothing is left behind.
fn nowhere() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn train_without_arguments_lists_the_recipes() {
    let folder = nowhere();
    let text = succeed(folder.path(), &["train"]);
    assert_has(
        &text,
        &[
            "hypersphere train mnist ",
            "hypersphere train mnist-2d",
            "hypersphere train market1501",
            "https://github.com/brendenlake/omniglot",
        ],
    );
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
}

/// With recipes that have no such sampler, and one that has.
#[test]
fn batches_of_classes_can_be_asked_for_in_every_recipe() {
    let folder = nowhere();
    let options = ["train", "mnist", "--pk", "5x4", "--dry-run"];
    let settings = "data.limit=200";
    let text = succeed(
        folder.path(),
        &[&options[..], &["--set", settings]].concat(),
    );
    assert_has(&text, &["kind = \"pk\"", "p = 5", "k = 4"]);
    fail(
        folder.path(),
        &["train", "reid-synth", "--pk", "5x4"],
        3,
        &["reid-synth"],
    );
}

#[test]
fn mistakes_are_met_with_the_nearest_name_and_exit_code_2() {
    let folder = nowhere();
    let cases: [(&[&str], &[&str]); 20] = [
        (&["train", "mnits"], &["mnits", "did you mean `mnist`?"]),
        (
            &["train", "mnist", "--loss", "so-sofmax"],
            &["so-sofmax", "did you mean `so-softmax`?"],
        ),
        (
            &["train", "mnist", "--loss", "arcface:margin=0.5"],
            &["`margin`", "did you mean `m`?"],
        ),
        (
            &["train", "--epochs", "3"],
            &["name it first", "hypersphere train mnist"],
        ),
        // Nothing can be classified with centres alone: said before the training, not after.
        (
            &["train", "mnist", "--loss", "center"],
            &["knows no classes", "softmax + triplet"],
        ),
        (
            &["train", "mnist", "--seed", "18446744073709551615"],
            &["--seed", "9223372036854775807"],
        ),
        (
            &["train", "mnist", "--model", "vgg-lite"],
            &["vgg-lite", "did you mean `vgg-light`?"],
        ),
        (
            &["train", "mnist", "--set", "optimiser.momentum=0.5"],
            &["optimiser", "did you mean `optimizer`?"],
        ),
        (
            &["train", "mnist", "--set", "data.agument=none"],
            &["agument", "did you mean `augment`?"],
        ),
        (
            &["train", "mnist", "--set", "data.augment=afine"],
            &["afine", "did you mean `affine`?"],
        ),
        (
            &["train", "--resume", "run", "--dry-run"],
            &["--resume", "--dry-run", "cannot be used with"],
        ),
        (
            &["train", "mnist", "--epochs", "18446744073709551615"],
            &["`epochs` must be at least 1, and a billion"],
        ),
        (
            &["train", "mnist", "--set", "steps=9000000000000000000"],
            &["`steps` must be 10^15 at most"],
        ),
        (
            &["train", "mnist", "--max-time", "3e15h"],
            &["--max-time", "a year at most"],
        ),
        (
            &[
                "train",
                "mnist",
                "--loss",
                "softmax",
                "--repeat",
                "2",
                "--set",
                "margin_warmup=0.5",
            ],
            &["`softmax` has no margin"],
        ),
        (
            &["train", "mnist", "--lr", "-0.1"],
            &["`lr` must be a positive number"],
        ),
        (
            &["train", "mnist", "--epoch", "3"],
            &["--epoch", "--epochs"],
        ),
        (&["gradcheck", "rellu"], &["rellu", "did you mean `relu`?"]),
        (
            &["loss", "show", "cosfase"],
            &["cosfase", "did you mean `cosface`?"],
        ),
        (
            &["model", "summary", "lenet"],
            &["lenet", "did you mean `lenet++`?"],
        ),
    ];
    for (arguments, parts) in cases {
        fail(folder.path(), arguments, 2, parts);
    }
    // A typing error leaves no run directory behind.
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
}

#[test]
fn a_configuration_file_is_checked_line_by_line() {
    let folder = nowhere();
    let file = folder.path().join("my.toml");
    std::fs::write(&file, "base = \"mnist\"\nepochs = 2\n\n[data]\nlimt = 5\n").unwrap();
    let parts = ["my.toml", "line 5", "did you mean `limit`?"];
    fail(folder.path(), &["train", "-c", "my.toml"], 2, &parts);
    fail(
        folder.path(),
        &["train", "-c", "none.toml"],
        2,
        &["none.toml"],
    );
    fail(
        folder.path(),
        &["train", "--resume", "nothing"],
        2,
        &["nothing", "no run directory"],
    );
}

#[test]
fn data_that_is_missing_or_damaged_is_named() {
    let folder = nowhere();
    let data = folder.path().join("digits");
    let train = |code, parts: &[&str]| {
        fail(
            folder.path(),
            &["train", "mnist", "--data", "digits"],
            code,
            parts,
        );
    };
    train(3, &["digits"]);
    std::fs::create_dir(&data).unwrap();
    train(3, &["digits", "train-images"]);
    crate::small_mnist(&data, 40, 20);
    std::fs::remove_file(data.join("t10k-labels-idx1-ubyte")).unwrap();
    train(3, &["t10k-labels-idx1-ubyte"]);
    crate::small_mnist(&data, 40, 20);
    let images = data.join("train-images-idx3-ubyte");
    let whole = std::fs::read(&images).unwrap();
    std::fs::write(&images, &whole[..whole.len() / 2]).unwrap();
    train(3, &["train-images-idx3-ubyte", "31360", "15672"]);
    // Two data sets mixed up.
    let mut square = vec![0, 0, 8, 3, 0, 0, 0, 20, 0, 0, 0, 20, 0, 0, 0, 20];
    square.resize(16 + 20 * 20 * 20, 0);
    std::fs::write(data.join("t10k-images-idx3-ubyte"), square).unwrap();
    std::fs::write(&images, &whole).unwrap();
    train(3, &["digits test", "[28, 28, 1]", "[20, 20, 1]"]);
    // A header that promises far more than there is must not be believed.
    let mut greedy = whole;
    greedy[4..8].copy_from_slice(&u32::MAX.to_be_bytes());
    std::fs::write(&images, greedy).unwrap();
    train(3, &["train-images-idx3-ubyte"]);
}

#[test]
fn a_dry_run_explains_itself_and_does_nothing() {
    let folder = nowhere();
    let arguments = ["train", "mnist", "--dry-run", "--epochs", "3", "-j", "2"];
    let text = succeed(folder.path(), &arguments);
    assert_has(
        &text,
        &[
            "epochs = 3",
            "[optimizer]",
            "conv1",
            "loss    so-softmax",
            "2 threads",
            "55000 training images",
            "5000 held out, 10000 test",
            "first loss to expect",
        ],
    );
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
    // The configuration that is shown can be used.
    let file = folder.path().join("shown.toml");
    let end = text.find("\n\n\n").unwrap_or(text.len());
    let config: Vec<_> = text[..end]
        .lines()
        .take_while(|line| line.is_empty() || line.starts_with('[') || line.contains(" = "))
        .collect();
    std::fs::write(&file, config.join("\n")).unwrap();
    let again = succeed(
        folder.path(),
        &["train", "-c", "shown.toml", "--dry-run", "-j", "2"],
    );
    // What the steps took is another time.
    let lasting = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| !line.starts_with("time "));
        lines.map(String::from).collect()
    };
    assert_eq!(lasting(&again), lasting(&text));
}

#[test]
fn losses_are_listed_and_explained() {
    let folder = nowhere();
    let list = succeed(folder.path(), &["loss", "list"]);
    for info in losses::LOSSES {
        assert_has(&list, &[info.name, info.source]);
        let row = list
            .lines()
            .find(|line| line.split(' ').next() == Some(info.name));
        let status = match info.status {
            losses::Status::Known => "known",
            losses::Status::Reconstructed(_) => "reconstructed",
        };
        assert_has(row.unwrap(), &[&info.family.to_string(), status]);
    }
    let show = |name| succeed(folder.path(), &["loss", "show", name]);
    assert_has(&show("so-softmax"), &["lambda_p", "lambda_n", "one_sided"]);
    assert_has(&show("cs-softmax"), &["Reconstructed", "form"]);
    let arcface = show("arcface");
    assert_has(&arcface, &["cos(theta_y + m)", "Deng"]);
    assert!(!arcface.contains("Reconstructed"), "{arcface}");
}

/// As `head` does: the pipe is closed before anything is written.
#[cfg(unix)]
#[test]
fn a_reader_who_leaves_ends_the_program_quietly() {
    let folder = nowhere();
    for arguments in [&["loss", "show", "so-softmax"][..], &["train"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = crate::hypersphere(folder.path(), arguments)
            .stdout(writer)
            .output();
        let output = output.unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), stderr.as_str()), (Some(0), ""));
    }
}

#[test]
fn models_are_listed_and_summarised() {
    let folder = nowhere();
    let list = succeed(folder.path(), &["model", "list"]);
    for model in nn::MODELS {
        assert_has(&list, &[model.name]);
    }
    let options = [
        "model",
        "summary",
        "resnet18",
        "--last-stride",
        "1",
        "--pooling",
        "gem",
        "--neck",
    ];
    let text = succeed(folder.path(), &options);
    assert_has(&text, &["224 x 224 x 3", "[14, 14, 512]", "pool", "neck"]);
    let summary = ["model", "summary", "vgg-light", "--embed-dim", "48"];
    let text = succeed(folder.path(), &summary);
    // 3x3x1x24 and 864x48 weights.
    assert_has(&text, &["conv1", "216", "fc", "41,472", "48"]);
}

#[test]
fn gradcheck_of_one_operation() {
    let folder = nowhere();
    let text = succeed(folder.path(), &["gradcheck", "relu"]);
    assert_has(&text, &["relu", "ok", "1 passed, 0 failed"]);
    let json = succeed(
        folder.path(),
        &["gradcheck", "relu", "softmax:smoothing=0.1", "--json"],
    );
    let rows: serde_json::Value = serde_json::from_str(&json).unwrap();
    let rows = rows.as_array().unwrap();
    assert_eq!(rows.len(), 2);
    for row in rows {
        assert_eq!(row["passed"], true);
        assert!(row["cases"].as_u64().unwrap() > 0);
        assert!(row["worst"].as_f64().unwrap() <= engine::gradcheck::TOLERANCE);
    }
}
