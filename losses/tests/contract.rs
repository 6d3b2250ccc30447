//! Every operation and every loss has the gradient it says it has.

use engine::gradcheck::Kind;
use losses::{CHECKS, LOSSES, OPERATIONS, SURROGATE_CHECKS, SURROGATES};
use std::collections::BTreeSet;

#[test]
fn every_operation_passes_every_check() {
    for op in OPERATIONS {
        let report = op.check(0);
        assert!(report.passed(), "{report}");
    }
}

#[test]
fn every_broken_backward_is_noticed() {
    let survivors: Vec<_> = OPERATIONS
        .iter()
        .flat_map(|op| op.surviving_mutants(0))
        .collect();
    assert!(survivors.is_empty(), "unnoticed: {survivors:#?}");
}

/// What stops a gradient on purpose fails the comparison with finite differences, and nothing else.
#[test]
fn surrogates_fail_the_derivative_and_only_that() {
    for op in SURROGATES {
        let report = op.check(0);
        assert!(!report.failures.is_empty(), "{} is exact", op.name);
        let kinds: Vec<_> = report.failures.iter().map(|f| f.kind).collect();
        assert!(kinds.iter().all(|&k| k == Kind::Derivative), "{report}");
    }
}

#[test]
fn every_loss_has_the_gradient_of_its_value() {
    for check in CHECKS {
        for seed in 0..3 {
            let report = check.run(seed);
            println!("{report}"); // the table, with `--nocapture`
            assert!(report.passed(), "seed {seed}: {report}");
        }
    }
}

#[test]
fn surrogate_losses_do_not() {
    for check in SURROGATE_CHECKS {
        let report = check.run(0);
        assert!(!report.passed(), "{} is exact", check.spec);
    }
}

/// Parameters that do not enter the gradient, or whose words others of the table show.
const EXEMPT: [(&str, &str); 5] = [
    ("center", "rule"),    // moves the centres
    ("sml-joint", "form"), // that of the term it contains
    ("normface", "spread"),
    ("cosface", "spread"),
    ("arcface", "spread"),
];

#[test]
fn no_loss_and_no_form_goes_unchecked() {
    let checks = || CHECKS.iter().chain(SURROGATE_CHECKS);
    let checked: BTreeSet<_> = checks()
        .flat_map(|check| check.spec.parse::<losses::Spec>().unwrap().terms().to_vec())
        .map(|term| term.info().name)
        .collect();
    let all: BTreeSet<_> = LOSSES.iter().map(|info| info.name).collect();
    assert_eq!(checked, all);
    for info in LOSSES {
        for parameter in info.parameters {
            let losses::Kind::Word(words) = parameter.kind else {
                continue;
            };
            if EXEMPT.contains(&(info.name, parameter.key)) {
                continue;
            }
            for word in words {
                let shows = |check: &losses::Check| {
                    let spec: losses::Spec = check.spec.parse().unwrap();
                    let terms = spec.terms().iter();
                    let mut terms = terms.filter(|term| term.info().name == info.name);
                    terms.any(|term| term.values().word(parameter.key) == *word)
                };
                let found = checks().any(shows);
                assert!(
                    found,
                    "{}:{}={word} is not checked",
                    info.name, parameter.key
                );
            }
        }
    }
}
