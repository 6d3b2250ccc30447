//! Center loss: samples are drawn to the centre of their class, and the centres follow.

use crate::batch::Batch;
use crate::error::Result;
use crate::frame::label_fault;
use crate::info::{Family, Head, LossInfo, Parameter, Range, Status};
use crate::loss::{Loss, Part};
use crate::owned::{Axis, Owned};
use crate::values::Values;
use engine::error::BadOperands;
use engine::gradcheck::{Case, Gen};
use engine::{Float, Op, Tensor, apply};
use std::sync::Arc;

/// y_i = |x_i − c_y|² / 2;  dx_i = dy_i (x_i − c_y),  dc_j = −Σ dx_i over the i of class j
///
/// Inputs are embeddings `[N, D]` and centres `[C, D]`, the output is `[N]`.
#[derive(Clone, Debug)]
pub struct CenterDistance {
    /// The class of each sample.
    pub labels: Arc<[usize]>,
}

impl Op<2> for CenterDistance {
    const NAME: &'static str = "center";
    /// x_i − c_y, `[N, D]`, and the number of classes.
    type Saved<T: Float> = (Tensor<T>, usize);

    fn forward<T: Float>(
        &self,
        [x, centers]: [&Tensor<T>; 2],
    ) -> engine::Result<(Tensor<T>, Self::Saved<T>)> {
        let refuse = |reason: String| {
            BadOperands::new(Self::NAME, reason)
                .operand("embeddings", "[N, D]", x.shape())
                .operand("centers", "[C, D]", centers.shape())
        };
        let (&[samples, dim], &[classes, center_dim]) = (&*x.shape(), &*centers.shape()) else {
            return Err(refuse("two matrices are needed".into()).into());
        };
        if dim != center_dim {
            return Err(refuse("embeddings and centres differ in dimension".into()).into());
        }
        if let Some(fault) = label_fault(&self.labels, samples, classes) {
            return Err(refuse(fault).into());
        }
        let c = centers.data();
        let mut difference = Tensor::new(x.shape(), x.data());
        for (row, &y) in difference
            .data_mut()
            .chunks_mut(dim)
            .zip(self.labels.iter())
        {
            for (d, &c) in row.iter_mut().zip(&c[y * dim..]) {
                *d -= c;
            }
        }
        let half = T::of(0.5);
        let square = |row: &[T]| row.iter().map(|&d| d * d).sum::<T>() * half;
        let d = difference.data();
        let y = Tensor::from_fn([samples], |i| square(&d[i * dim..][..dim]));
        Ok((y, (difference, classes)))
    }

    fn backward<T: Float>(
        &self,
        (mut dx, classes): Self::Saved<T>,
        dy: Tensor<T>,
        need: [bool; 2],
    ) -> [Option<Tensor<T>>; 2] {
        crate::frame::scale_rows(&mut dx, &dy);
        let dim = dx.shape().last();
        let dcenters = need[1].then(|| {
            let mut dcenters = Tensor::zeros([classes, dim]);
            let out = dcenters.data_mut();
            for (row, &y) in dx.data().chunks(dim).zip(self.labels.iter()) {
                for (o, &d) in out[y * dim..].iter_mut().zip(row) {
                    *o -= d;
                }
            }
            dcenters
        });
        [need[0].then_some(dx), dcenters]
    }

    fn cases(g: &mut Gen) -> Vec<Case<Self, 2>> {
        let shapes = [
            (vec![0, 2, 2, 1, 0], 4, 3),
            (vec![1], 2, 17),
            (vec![0, 0, 0], 2, 1),
        ];
        let case = |(labels, classes, dim): (Vec<usize>, usize, usize)| {
            let inputs = [g.normal([labels.len(), dim]), g.normal([classes, dim])];
            let name = format!("{labels:?} of {classes} classes in {dim} dimensions");
            let labels = labels.into();
            Case::new(name, CenterDistance { labels }, inputs)
        };
        shapes.map(case).into()
    }
}

/// How the centres follow the samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Δ_j = Σ (c_j − x_i) / (1 + n_j) over the n_j samples of class j, as in the paper.
    Paper,
    /// Δ_j = Σ (c_j − x_i) / N, the gradient of the mean over the N samples of the batch.
    Gradient,
}

/// The update Δ `[C, D]` of the centres, to be subtracted after multiplication by the rate. Labels
/// must be below the number of centres.
pub fn center_delta<T: Float>(
    rule: Rule,
    x: &Tensor<T>,
    labels: &[usize],
    centers: &Tensor<T>,
) -> Tensor<T> {
    let (shape, c) = (centers.shape(), centers.data());
    let dim = shape.last();
    let mut delta = Tensor::zeros(shape);
    let mut counts = vec![0.0; shape[0]];
    let out = delta.data_mut();
    for (x, &y) in x.data().chunks(dim).zip(labels) {
        counts[y] += 1.0;
        for ((out, &c), &x) in out[y * dim..].iter_mut().zip(&c[y * dim..]).zip(x) {
            *out += c - x;
        }
    }
    for (row, count) in out.chunks_mut(dim).zip(counts) {
        let divisor = T::of(match rule {
            Rule::Paper => 1.0 + count,
            Rule::Gradient => labels.len() as f64,
        });
        row.iter_mut().for_each(|d| *d /= divisor);
    }
    delta
}

/// Center loss.
#[derive(Debug)]
pub struct CenterLoss {
    rule: Rule,
    rate: f64,
}

const CENTERS: &str = "centers";

impl Loss for CenterLoss {
    const INFO: LossInfo = LossInfo {
        name: "center",
        family: Family::Center,
        about: "squared distance to the centre of the class; for use beside another loss",
        formula: "L = |x - c_y|^2 / 2,   after each step c_j <- c_j - rate delta_j\n\
                  rule=paper:    delta_j = sum_{y_i = j} (c_j - x_i) / (1 + n_j), over n_j samples\n\
                  rule=gradient: delta_j = sum_{y_i = j} (c_j - x_i) / N, descent on the mean",
        parameters: &[
            Parameter::word("rule", &["paper", "gradient"], "how the centres follow"),
            Parameter::number("rate", 0.5, Range::closed(0.0, 1.0), "rate of the centres"),
        ],
        presets: &[],
        head: Head::None,
        remarks: "",
        source: "Wen et al. 2016, A discriminative feature learning approach for deep face \
                 recognition, ECCV (its lambda is the weight of this term)",
        status: Status::Known,
    };

    fn new(values: &Values) -> Self {
        CenterLoss {
            rule: match values.word("rule") {
                "gradient" => Rule::Gradient,
                _ => Rule::Paper,
            },
            rate: values.number("rate"),
        }
    }

    fn owns(&self, _: usize, _: usize) -> Vec<Owned> {
        vec![Owned::state(CENTERS, &[Axis::Classes, Axis::Dim], 0.0)]
    }

    fn forward<T: Float>(&self, batch: &Batch<'_, T>) -> Result<Vec<Part<T>>> {
        let labels = batch.labels().clone();
        let centers = batch.owned(CENTERS);
        let loss = apply(CenterDistance { labels }, [batch.embeddings(), centers])?;
        batch.advance(CENTERS, |centers| {
            let x = batch.embeddings().value();
            let delta = center_delta(self.rule, x, batch.labels(), centers);
            let (mut moved, rate) = (centers.clone(), T::of(self.rate));
            moved.zip_assign(&delta, |c, d| c - rate * d);
            moved
        });
        Ok(Part::only(Self::INFO.name, loss))
    }
}
