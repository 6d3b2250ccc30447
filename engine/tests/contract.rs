//! Every registered operation keeps every promise, and every way of breaking one is noticed.

use engine::OPERATIONS;

#[test]
fn every_operation_passes_every_check() {
    let reports: Vec<_> = OPERATIONS.iter().map(|op| op.check(0)).collect();
    let failed: Vec<_> = reports.iter().filter(|r| !r.passed()).collect();
    for report in &failed {
        println!("{report}");
    }
    assert!(failed.is_empty(), "{} operations fail", failed.len());
}

#[test]
fn every_broken_backward_is_noticed() {
    let survivors: Vec<_> = OPERATIONS
        .iter()
        .flat_map(|op| op.surviving_mutants(0))
        .collect();
    assert!(survivors.is_empty(), "unnoticed: {survivors:#?}");
}

#[test]
fn names_are_unique() {
    let mut names: Vec<_> = OPERATIONS.iter().map(|op| (op.name, op.arity)).collect();
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count, "two operations of one name and arity");
}
