//! `hypersphere config`, `completions` and `man`.

use crate::{fail, run, succeed};

#[test]
fn a_configuration_is_begun_shown_compared_and_checked() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    succeed(at, &["config", "init", "mnist-2d", "-o", "my.toml"]);
    let text = std::fs::read_to_string(at.join("my.toml")).unwrap();
    assert!(
        text.contains("base = \"mnist-2d\"")
            && text.contains("# Train: hypersphere train -c my.toml")
    );
    // What was begun is the recipe.
    let shown = succeed(at, &["config", "show", "my.toml"]);
    assert_eq!(shown, succeed(at, &["config", "show", "mnist-2d"]));
    assert_eq!(succeed(at, &["config", "diff", "my.toml", "mnist-2d"]), "");
    fail(
        at,
        &["config", "init", "-o", "my.toml"],
        2,
        &["my.toml is there already"],
    );
    assert_eq!(std::fs::read_to_string(at.join("my.toml")).unwrap(), text);
    // What is shown is a file that says the same.
    std::fs::write(at.join("shown.toml"), &shown).unwrap();
    assert_eq!(
        succeed(at, &["config", "diff", "my.toml", "shown.toml"]),
        ""
    );
    let other = succeed(at, &["config", "show", "my.toml", "--set", "lr=0.025"]);
    std::fs::write(at.join("other.toml"), other).unwrap();
    let outcome = run(at, &["config", "diff", "my.toml", "other.toml"]);
    assert_eq!(outcome.code, Some(1), "{}", outcome.stderr);
    assert_eq!(outcome.stdout.lines().count(), 1, "{}", outcome.stdout);
    assert_eq!(outcome.stderr, "1 key differs\n");
    assert!(outcome.stdout.starts_with("lr: ") && outcome.stdout.ends_with("-> 0.025\n"));

    assert_eq!(
        succeed(at, &["config", "validate", "my.toml", "shown.toml"])
            .lines()
            .count(),
        2
    );
    std::fs::write(at.join("typo.toml"), "base = \"mnist\"\nepoch = 3\n").unwrap();
    std::fs::write(
        at.join("loss.toml"),
        "base = \"mnist\"\nloss = \"arcfac\"\n",
    )
    .unwrap();
    let parts = [
        "typo.toml",
        "line 2",
        "`epochs`",
        "loss.toml: ",
        "`arcface`",
        "2 of 3 files",
    ];
    fail(
        at,
        &["config", "validate", "typo.toml", "my.toml", "loss.toml"],
        2,
        &parts,
    );
    fail(
        at,
        &["config", "show", "none.toml"],
        2,
        &["none.toml: there is no such file"],
    );
    fail(at, &["config", "show", "."], 2, &["no run"]);
    fail(
        at,
        &["config", "show", "mnits"],
        2,
        &["did you mean `mnist`"],
    );
}

#[test]
fn shells_and_readers_are_told_every_command() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = succeed(folder.path(), &["completions", shell]);
        for word in ["hypersphere", "gradcheck", "max-time"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    let page = succeed(folder.path(), &["man"]);
    assert!(
        page.contains(".TH") && page.contains("Exit codes"),
        "{page}"
    );
    succeed(folder.path(), &["man", "-o", "man1"]);
    let train = std::fs::read_to_string(folder.path().join("man1/hypersphere-train.1")).unwrap();
    assert!(train.contains("max\\-time"), "{train}");
    assert!(folder.path().join("man1/hypersphere-loss-plot.1").is_file());
}

/// The arguments of a dry run of `mnist` with a loss and a setting.
fn dry<'a>(loss: &'a str, setting: &'a str) -> [&'a str; 7] {
    let train = ["train", "mnist", "--dry-run"];
    [
        train[0], train[1], train[2], "--loss", loss, "--set", setting,
    ]
}

/// The first loss that a dry run says to expect.
fn expected_loss(text: &str) -> f64 {
    let rest = text.split("first loss to expect: about ").nth(1);
    let number = rest.and_then(|rest| rest.split_whitespace().next());
    number.unwrap().parse().unwrap()
}

#[test]
fn margins_rise_only_where_there_are_any() {
    let folder = tempfile::tempdir().unwrap();
    let text = succeed(
        folder.path(),
        &dry("arcface:s=64,m=0.5", "margin_warmup=0.1"),
    );
    assert!(
        text.contains("margins rise from none over the first 10 %"),
        "{text}"
    );
    // Without its margin it begins near ln 10 and a few for the scale, not above 30.
    assert!((2.0..20.0).contains(&expected_loss(&text)), "{text}");
    let parts = ["`softmax` has no margin", "arcface", "anneal"];
    fail(
        folder.path(),
        &dry("softmax", "margin_warmup=0.1"),
        2,
        &parts,
    );
    let parts = ["`margin_warmup` must be a share", "margin_warmup=2"];
    fail(folder.path(), &dry("arcface", "margin_warmup=2"), 2, &parts);
}

#[test]
fn classes_are_sampled_only_where_they_can_be() {
    let folder = tempfile::tempdir().unwrap();
    let run = |share| succeed(folder.path(), &dry("normface:s=16", share));
    let [some, all] = ["sampled_classes=0.45", "sampled_classes=1"].map(run);
    let line = "each step compares with 5 of the 10 classes, drawn at random";
    assert!(some.contains(line) && !all.contains("each step compares"));
    // Chance among five is ln 5, among ten ln 10.
    assert!(
        expected_loss(&some) < expected_loss(&all) - 0.4,
        "{some}{all}"
    );
    for (loss, share, parts) in [
        (
            "softmax + center",
            "sampled_classes=0.5",
            ["`center` keeps", "arcface"],
        ),
        (
            "subcenter-arcface",
            "sampled_classes=0.5",
            ["`subcenter-arcface` keeps", "for every class"],
        ),
        (
            "arcface",
            "sampled_classes=0",
            ["`sampled_classes` must be", "above 0"],
        ),
    ] {
        fail(folder.path(), &dry(loss, share), 2, &parts);
    }
}
