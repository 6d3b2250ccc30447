//! The checks of a crate of one's own: they pass, they have teeth, and the program that runs them
//! says so by its exit code.

use engine::rng::Key;
use engine::{Tensor, Var};
use own_op::{Fading, LOSSES, OPERATIONS, SoftNormalize};
use std::process::{Command, Output};

fn run(program: &str, arguments: &[&str]) -> (Output, String) {
    let output = Command::new(program).args(arguments).output().unwrap();
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    (output, text)
}

#[test]
fn everything_passes_and_every_broken_backward_is_noticed() {
    for entry in OPERATIONS.iter().chain(LOSSES) {
        for seed in 0..3 {
            let report = entry.check(seed);
            assert!(report.passed(), "seed {seed}: {report}");
        }
        let survivors = entry.surviving_mutants(0);
        assert!(survivors.is_empty(), "{survivors:#?}");
    }
}

#[test]
fn the_program_prints_the_table_and_succeeds() {
    let (output, text) = run(env!("CARGO_BIN_EXE_own-op"), &[]);
    assert!(output.status.success(), "{text}");
    assert!(
        text.contains("soft_normalize") && text.contains("fading"),
        "{text}"
    );
    assert!(text.contains("2 passed, 0 failed"), "{text}");

    let (output, text) = run(
        env!("CARGO_BIN_EXE_own-op"),
        &["losses", "--json", "--seed", "4"],
    );
    assert!(output.status.success());
    let rows: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(rows.as_array().unwrap().len(), 1);
    assert_eq!(
        (&rows[0]["name"], &rows[0]["passed"]),
        (&"fading".into(), &true.into())
    );
    assert!(rows[0]["worst"].as_f64().unwrap() < 1e-8);

    let (output, _) = run(env!("CARGO_BIN_EXE_own-op"), &["nothing"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_wrong_backward_is_red() {
    let (output, text) = run(env!("CARGO_BIN_EXE_broken"), &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text.contains("FAILED") && text.contains("0 passed, 1 failed"),
        "{text}"
    );
    assert!(text.contains("backward gives"), "{text}");
    let (output, text) = run(env!("CARGO_BIN_EXE_broken"), &["--json"]);
    assert_eq!(output.status.code(), Some(1));
    let rows: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(rows[0]["passed"], false);
    assert_eq!(rows[0]["failures"][0]["check"], "Derivative");
}

#[test]
fn the_example_learns() {
    let (output, text) = run(env!("CARGO_BIN_EXE_train"), &[]);
    assert!(output.status.success());
    let losses: Vec<f64> = text
        .lines()
        .map(|l| l.rsplit(' ').next().unwrap().parse().unwrap())
        .collect();
    assert!(
        losses.len() == 5 && losses[4] < 0.3 * losses[0],
        "{losses:?}"
    );
}

/// With a large scale on its input it is the unit vector, with a small one the identity.
#[test]
fn soft_normalisation_is_between_the_identity_and_the_direction() {
    let mut rng = Key::new(3).rng();
    let x = Tensor::<f64>::from_fn([4, 5], |_| rng.normal());
    let soft = |x: Tensor<f64>| engine::apply(SoftNormalize, [&Var::constant(x)]).unwrap();
    let close = |a: &Tensor<f64>, b: &Tensor<f64>| {
        a.data()
            .iter()
            .zip(b.data())
            .all(|(a, b)| (a - b).abs() < 1e-5)
    };
    let unit = Var::constant(x.clone()).l2_normalize();
    assert!(close(soft(x.map(|x| 1e4 * x)).value(), unit.value()));
    let small = soft(x.map(|x| 1e-4 * x)).value().map(|y| 1e4 * y);
    assert!(close(&small, &x));
}

#[test]
fn without_a_margin_the_loss_is_the_scaled_softmax() {
    let mut rng = Key::new(4).rng();
    let x = Var::constant(Tensor::<f64>::from_fn([6, 5], |_| rng.normal()));
    let w = Var::constant(Tensor::<f64>::from_fn([3, 5], |_| rng.normal()));
    let labels = [0, 1, 2, 2, 1, 0];
    let ours = own_op::loss(&x, &w, labels, Fading { s: 8.0, m: 0.0 }).unwrap();
    let unit = engine::apply(SoftNormalize, [&x]).unwrap();
    let logits = &unit.matmul_nt(&w.l2_normalize()) * 8.0;
    let softmax = logits.cross_entropy(labels, 0.0).mean();
    assert!((ours.value().item() - softmax.value().item()).abs() < 1e-12);
}
