//! What a run survives: `kill -9` at any moment, and files that were damaged later.

use crate::training::{read, train, workplace};
use crate::{fail, hypersphere, run, succeed};
use engine::rng::Key;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Two epochs of four steps with everything that a state must hold, saved after every step, so
/// that a kill often meets the writing of a file.
const TINY: &[&str] = &[
    "--epochs",
    "2",
    "--set",
    "data.limit=80",
    "--set",
    "batch=20",
    "--set",
    "save_minutes=0",
    "--set",
    "ema=0.9",
    "--loss",
    "sphereface + 0.01*center",
];

const RESULTS: [&str; 3] = [
    "ckpt/last.safetensors",
    "ckpt/best.safetensors",
    "eval/test.json",
];

fn results(run: &Path) -> Vec<Vec<u8>> {
    let file = |name| std::fs::read(run.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
    RESULTS.into_iter().map(file).collect()
}

/// No file that bears its final name is half a file.
fn assert_whole(run: &Path) {
    let files = run.join("ckpt").read_dir().into_iter().flatten().flatten();
    for path in files.map(|file| file.path()) {
        let name = path.file_name().unwrap().to_str().unwrap();
        if name.ends_with(".safetensors") || name.ends_with(".state") {
            nn::Checkpoint::<f32>::read(&path).unwrap();
        }
    }
}

#[test]
fn fifty_kills_at_random_moments_change_no_bit_of_the_result() {
    const KILLS: usize = 50;
    let folder = workplace();
    let started = Instant::now();
    succeed(folder.path(), &train("whole", TINY));
    let length = started.elapsed();
    let expected = results(&folder.path().join("whole"));
    let mut rng = Key::new(50).rng();
    let (mut kills, mut in_training, mut runs) = (0, 0, 0);
    while kills < KILLS {
        runs += 1;
        let name = format!("run{runs}");
        let out = folder.path().join(&name);
        let resume = ["train", "--resume", &name];
        loop {
            let begun = out.join("config.toml").exists();
            let arguments = match begun {
                true => resume.to_vec(),
                false => train(&name, TINY),
            };
            let mut child = hypersphere(folder.path(), &arguments)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            if kills < KILLS {
                std::thread::sleep(length.mul_f64(0.5 * rng.uniform()));
            }
            if kills == KILLS || child.try_wait().unwrap().is_some() {
                let status = child.wait().unwrap();
                assert!(status.success(), "{arguments:?}: {status}");
                break;
            }
            child.kill().unwrap();
            child.wait().unwrap();
            kills += 1;
            let has_state = out.join("ckpt/last.state").exists();
            in_training += usize::from(has_state && !out.join("eval/test.json").exists());
            assert_whole(&out);
        }
        assert!(
            results(&out) == expected,
            "{name} has other bytes after its kills"
        );
        let rows = read(out.join("metrics.csv"));
        assert_eq!(rows.lines().count(), 3, "{rows}");
        for line in read(out.join("events.jsonl")).lines() {
            serde_json::from_str::<serde_json::Value>(line).unwrap();
        }
        let left = out.join("ckpt").read_dir().unwrap().flatten();
        let left: Vec<_> = left.map(|file| file.file_name()).collect();
        assert!(
            left.iter()
                .all(|name| !name.to_string_lossy().ends_with(".unfinished")),
            "{left:?}"
        );
    }
    assert!(
        in_training >= 10,
        "{in_training} of {KILLS} kills met the training itself"
    );
}

#[test]
fn two_trainings_do_not_meet_in_one_directory() {
    let folder = workplace();
    let long = ["--epochs", "10000"];
    let mut child = hypersphere(folder.path(), &train("run", &long))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let started = Instant::now();
    while !folder.path().join("run/ckpt/last.state").exists() {
        assert!(child.try_wait().unwrap().is_none(), "it has ended");
        assert!(started.elapsed() < Duration::from_secs(60), "no epoch ends");
        std::thread::sleep(Duration::from_millis(20));
    }
    // Should it be let in after all, it ends soon and with another code.
    let resume = ["train", "--resume", "run", "--max-time", "1s"];
    let outcome = run(folder.path(), &resume);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(outcome.code, Some(2), "{}", outcome.stderr);
    let part = "another process is training in run";
    assert!(outcome.stderr.contains(part), "{}", outcome.stderr);
}

#[test]
fn damaged_files_are_named_and_an_earlier_state_is_taken() {
    let folder = workplace();
    let short = ["--epochs", "2"];
    succeed(folder.path(), &train("run", &short));
    let expected = results(&folder.path().join("run"));
    let damage = |name: &str| {
        let path = folder.path().join("run/ckpt").join(name);
        let mut bytes = std::fs::read(&path).unwrap();
        let at = bytes.len() - 30;
        bytes[at] ^= 0x10;
        std::fs::write(&path, bytes).unwrap();
    };
    damage("last.safetensors");
    let parts = ["last.safetensors is damaged", "checksum", "another copy"];
    fail(folder.path(), &["eval", "run"], 1, &parts);

    damage("last.state");
    let resume = ["train", "--resume", "run"];
    let outcome = run(folder.path(), &resume);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    for part in [
        "last.state is damaged",
        "going on from run/ckpt/previous.state, step 8",
    ] {
        assert!(outcome.stderr.contains(part), "{}", outcome.stderr);
    }
    assert!(results(&folder.path().join("run")) == expected);

    damage("last.state");
    damage("previous.state");
    let parts = [
        "last.state is damaged",
        "no earlier state",
        "train -c run/config.toml",
    ];
    fail(folder.path(), &resume, 1, &parts);
}
