//! Everything an operation promises, checked on each of its cases.

use super::subject::Subject;
use super::{Kind, Report, difference};
use crate::error::Result;
use crate::par;
use crate::rng::{Key, Rng};
use crate::tensor::Tensor;
use std::time::Instant;

/// Runs all checks on all cases of the operation called `op`.
pub(crate) fn check(op: &str, cases: &[Box<dyn Subject + Sync>], seed: u64) -> Report {
    let started = Instant::now();
    let mut report = Report::new(op);
    for (i, case) in cases.iter().enumerate() {
        report.cases += 1;
        let rng = &mut Key::new(seed).named(op).at(i as u64).rng();
        if let Err(refusal) = check_case(&**case, &mut report, rng) {
            report.fail(Kind::Refused, case.name(), refusal.to_string());
        }
    }
    report.time = started.elapsed();
    report
}

fn check_case(case: &(dyn Subject + Sync), report: &mut Report, rng: &mut Rng) -> Result<()> {
    let before = bits(case.inputs());
    derivative(case, report, rng)?;
    needs(case, report, rng)?;
    linearity(case, report, rng)?;
    if bits(case.inputs()) != before {
        report.fail(Kind::Linearity, case.name(), "an input was changed".into());
    }
    precision(case, report, rng)?;
    threads(case, report, rng)
}

fn bits(tensors: &[Tensor<f64>]) -> Vec<Vec<u64>> {
    tensors.iter().map(Tensor::bits).collect()
}

/// A random cotangent of the case's value.
pub(super) fn cotangent(case: &dyn Subject, rng: &mut Rng) -> Result<Tensor<f64>> {
    let y = case.value(case.inputs())?;
    Ok(Tensor::from_fn(y.shape(), |_| rng.normal()))
}

/// Asks for every gradient.
pub(super) fn all(case: &dyn Subject) -> Vec<bool> {
    vec![true; case.inputs().len()]
}

pub(super) fn derivative(case: &dyn Subject, report: &mut Report, rng: &mut Rng) -> Result<()> {
    let dy = cotangent(case, rng)?;
    let (_, gradients) = case.run(case.inputs(), &dy, &all(case))?;
    let gradients: Vec<_> = gradients.into_iter().flatten().collect();
    let shapes = |tensors: &[Tensor<f64>]| tensors.iter().map(Tensor::shape).collect::<Vec<_>>();
    let (found, expected) = (shapes(&gradients), shapes(case.inputs()));
    if found != expected {
        let found = format!("gradients of shapes {found:?} for inputs of {expected:?}");
        report.fail(Kind::Derivative, case.name(), found);
        return Ok(());
    }
    let forward = |x: &[Tensor<f64>]| case.value(x);
    let worst = difference::compare(&forward, case.inputs(), &dy, &gradients, case.step(), rng)?;
    report.derivative(case.name(), worst);
    Ok(())
}

fn needs(case: &dyn Subject, report: &mut Report, rng: &mut Rng) -> Result<()> {
    let dy = cotangent(case, rng)?;
    let n = case.inputs().len();
    let (_, full) = case.run(case.inputs(), &dy, &all(case))?;
    for mask in 1..(1usize << n) {
        let need: Vec<bool> = (0..n).map(|i| mask >> i & 1 == 1).collect();
        let (_, part) = case.run(case.inputs(), &dy, &need)?;
        for i in 0..n {
            let whole = full[i].as_ref().map(Tensor::bits);
            let found = match (&part[i], need[i]) {
                (None, false) => continue,
                (Some(dx), true) if Some(dx.bits()) == whole => continue,
                (None, true) => "no gradient where one was asked for",
                (Some(_), false) => "a gradient where none was asked for",
                (Some(_), true) => "another gradient than with all asked for",
            };
            let found = format!("input {i}, need {need:?}: {found}");
            report.fail(Kind::Needs, case.name(), found);
        }
    }
    Ok(())
}

fn linearity(case: &dyn Subject, report: &mut Report, rng: &mut Rng) -> Result<()> {
    let (a, b) = (rng.range(0.5, 2.0), rng.range(-2.0, -0.5));
    let (p, q) = (cotangent(case, rng)?, cotangent(case, rng)?);
    let combine = |p: &Tensor<f64>, q: &Tensor<f64>| {
        let mut sum = p.clone();
        sum.zip_assign(q, |p, q| a * p + b * q);
        sum
    };
    let gradients = |dy: &Tensor<f64>| {
        let run = case.run(case.inputs(), dy, &all(case));
        run.map(|(_, dx)| dx)
    };
    let (together, p, q) = (gradients(&combine(&p, &q))?, gradients(&p)?, gradients(&q)?);
    for (i, ((together, p), q)) in together.iter().zip(&p).zip(&q).enumerate() {
        if let (Some(together), Some(p), Some(q)) = (together, p, q) {
            let scale = largest(p) + largest(q);
            let gap = gap(together, &combine(p, q));
            if exceeds(gap, 1e-11 * scale) {
                let found = format!("input {i}: backward is not linear in dy (gap {gap:.1e})");
                report.fail(Kind::Linearity, case.name(), found);
            }
        }
    }
    Ok(())
}

/// Rounding errors of sums grow as the square root of their length; this many times that is
/// forgiven.
const ROUNDINGS: f64 = 16.0;

fn precision(case: &dyn Subject, report: &mut Report, rng: &mut Rng) -> Result<()> {
    let single: Vec<_> = case.inputs().iter().map(Tensor::cast::<f32>).collect();
    let double: Vec<_> = single.iter().map(Tensor::cast::<f64>).collect();
    let dy_single = cotangent(case, rng)?.cast::<f32>();
    let dy_double = dy_single.cast::<f64>();
    let (y, dx) = case.run(&double, &dy_double, &all(case))?;
    let (y_single, dx_single) = case.run_f32(&single, &dy_single, &all(case))?;
    let longest = double.iter().map(Tensor::elements).max().unwrap_or(1);
    let allowed = ROUNDINGS * f64::from(f32::EPSILON) * (longest as f64).sqrt();
    let inputs = double.iter().map(largest).fold(0.0, f64::max);
    let mut compare = |what: String, single: &Tensor<f32>, double: &Tensor<f64>, scale: f64| {
        let gap = gap(&single.cast(), double);
        if exceeds(gap, allowed * scale) {
            let found = format!("{what} in f32 is {gap:.1e} from f64, of {scale:.1e}");
            report.fail(Kind::Precision, case.name(), found);
        }
    };
    compare("value".into(), &y_single, &y, largest(&y).max(inputs));
    for (i, (single, double)) in dx_single.iter().zip(&dx).enumerate() {
        if let (Some(single), Some(double)) = (single, double) {
            let scale = largest(double).max(largest(&dy_double));
            compare(format!("gradient {i}"), single, double, scale);
        }
    }
    Ok(())
}

fn threads(case: &(dyn Subject + Sync), report: &mut Report, rng: &mut Rng) -> Result<()> {
    let inputs: Vec<_> = case.inputs().iter().map(Tensor::cast::<f32>).collect();
    let dy = cotangent(case, rng)?.cast::<f32>();
    let need = all(case);
    // Cases are small, so the work is split as finely as its shape allows.
    let bits = |threads: usize| {
        par::with_threads(threads, || {
            par::with_smallest_tasks(|| {
                let run = case.run_f32(&inputs, &dy, &need);
                run.map(|(y, dx)| {
                    let dx = dx.iter().map(|dx| dx.as_ref().map(Tensor::bits));
                    (y.bits(), dx.collect::<Vec<_>>())
                })
            })
        })
    };
    let reference = bits(1)?;
    for threads in [1, 2, 3, 8] {
        if bits(threads)? != reference {
            let found = format!("other bits on {threads} threads than on one");
            report.fail(Kind::Threads, case.name(), found);
        }
    }
    Ok(())
}

/// Whether an error is too large; a NaN always is.
pub(super) fn exceeds(error: f64, allowed: f64) -> bool {
    error.is_nan() || error > allowed
}

fn largest(x: &Tensor<f64>) -> f64 {
    x.data().iter().fold(0.0, |m, x| m.max(x.abs()))
}

fn gap(a: &Tensor<f64>, b: &Tensor<f64>) -> f64 {
    let gaps = a.data().iter().zip(b.data()).map(|(a, b)| (a - b).abs());
    // A NaN on either side must not look like agreement.
    gaps.fold(0.0, |m, g| {
        if g.is_nan() || m.is_nan() {
            f64::NAN
        } else {
            m.max(g)
        }
    })
}
