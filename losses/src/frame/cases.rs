//! The similarities that margins are checked on.

use engine::Tensor;
use engine::gradcheck::Gen;
use std::fmt::Debug;

/// A setting of a margin to check its derivatives with.
pub struct Probe<M> {
    /// The margin.
    pub margin: M,
    /// The largest slope of its functions, which sets the step of the finite differences.
    pub steepness: f64,
    /// Between which the number of a sample is drawn, for a
    /// [`SampleMargin`](super::SampleMargin).
    pub range: [f64; 2],
}

impl<M> Probe<M> {
    /// A setting of a [`Margin`](super::Margin).
    pub fn new(margin: M, steepness: f64) -> Self {
        Self::within(margin, steepness, [0.0, 0.0])
    }

    /// A setting of a [`SampleMargin`](super::SampleMargin) with the range of its number.
    pub fn within(margin: M, steepness: f64, range: [f64; 2]) -> Self {
        Probe {
            margin,
            steepness,
            range,
        }
    }
}

/// Similarities `[N, C]` in (−1, 1) with labels and a number for each sample, and the step for
/// their finite differences.
pub(super) struct Similarities {
    pub name: String,
    pub c: Tensor<f64>,
    pub numbers: Tensor<f64>,
    pub labels: Vec<usize>,
    pub step: f64,
}

/// Shapes to check on: an ordinary one, two classes, one sample, and one that splits unevenly.
const SHAPES: [[usize; 2]; 4] = [[4, 5], [3, 2], [1, 6], [7, 17]];
/// How far random similarities keep away from a kink.
const CLEARANCE: f64 = 0.02;

/// Random similarities away from the kinks and from the boundary of hard negatives; then targets
/// and negatives just off each kink, and negatives just off the boundary.
pub(super) fn similarities<M: Debug>(
    g: &mut Gen,
    probe: &Probe<M>,
    kinks: impl Fn(f64) -> Vec<f64>,
    boundary: impl Fn(f64) -> Option<f64>,
) -> Vec<Similarities> {
    let Probe {
        margin,
        steepness,
        range: [low, high],
    } = probe;
    let step = (4e-3 / steepness).min(1e-3);
    // A pole at the distance 2e-3 bends the function within that distance.
    let near_step = step.min(3e-6);
    let mut all = Vec::new();
    for shape in SHAPES {
        let (mut c, mut numbers) = (Tensor::zeros(shape), Tensor::zeros([shape[0]]));
        let labels = g.labels(shape[0], shape[1]);
        for (i, &y) in labels.iter().enumerate() {
            let number = g.rng().range(*low, *high);
            numbers.data_mut()[i] = number;
            let mut draw = |more: Option<f64>| {
                let avoided: Vec<f64> = kinks(number).into_iter().chain(more).collect();
                loop {
                    let c = g.rng().range(-0.95, 0.95);
                    if avoided.iter().all(|k| (c - k).abs() > CLEARANCE) {
                        return c;
                    }
                }
            };
            let row = &mut c.data_mut()[i * shape[1]..][..shape[1]];
            row[y] = draw(None);
            let hard = boundary(row[y]);
            for j in (0..shape[1]).filter(|&j| j != y) {
                row[j] = draw(hard);
            }
        }
        all.push(Similarities {
            name: format!("{margin:?} {shape:?}"),
            c,
            numbers,
            labels,
            step,
        });
    }
    let middle = 0.5 * (low + high);
    let near = kinks(middle).into_iter().chain(boundary(0.31));
    for place in near.flat_map(|kink| [kink - 2e-3, kink + 2e-3]) {
        if place.abs() < 1.0 {
            // The same similarity once as the target and once as a negative.
            let c = [place, 0.31, -0.27, -0.13, place, 0.31];
            all.push(Similarities {
                name: format!("{margin:?} at {place:.4}"),
                c: Tensor::new([2, 3], &c),
                numbers: Tensor::full([2], middle),
                labels: vec![0, 2],
                step: near_step,
            });
        }
    }
    all
}
