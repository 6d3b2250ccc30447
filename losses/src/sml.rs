//! The soft-margin loss: largest distance within a class against smallest distance between classes.

use crate::advice::scale_warnings;
use crate::batch::Batch;
use crate::class::cosface::CosFace;
use crate::class::{HEAD_LR_MULT, SMOOTHING, cosine_margin, cosine_scale, scale};
use crate::error::Result;
use crate::frame::{label_fault, sigmoid, softplus};
use crate::info::{Family, Head, LossInfo, Parameter, Range, Status};
use crate::loss::{Loss, Part};
use crate::values::Values;
use engine::error::BadOperands;
use engine::gradcheck::{Case, Gen};
use engine::{Float, Op, Shape, Tensor, Var, apply, par};
use std::sync::Arc;

/// Over which sets the largest and the smallest distance are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A term for each class of the batch, between samples and the weight of that class.
    Class,
    /// A term for each sample, between it and the weights of all classes.
    Sample,
    /// A term for each point, between it and all other points, which are the samples and the
    /// weights of the classes of the batch.
    Pair,
    /// One term, over all samples and the weights of the classes of the batch.
    Batch,
}

/// Cosines to the terms `softplus(κ (D⁺ − D⁻)) / κ`, one for each anchor of the form.
///
/// Distances are those of points on the unit sphere, `d = √max(2 − 2c, 1e-12)`, so `∂d/∂c = −1/d`,
/// and 0 at the floor, where the slope would be infinite. D⁺ is the largest distance within the
/// anchor's class, D⁻ the smallest to another class; of equals the first. The gradient reaches
/// these two cosines alone:
///
/// ```text
/// ∂L/∂c⁺ = −σ(κ (D⁺ − D⁻)) / D⁺      ∂L/∂c⁻ = σ(κ (D⁺ − D⁻)) / D⁻
/// ```
///
/// An anchor that lacks one of the two has no term. If none has both, as in a batch of one class,
/// the result is a single 0.
///
/// The input is `[N, C]`, samples and class weights, with a label for each sample; for
/// [`Form::Pair`] it is `[P, P]`, points and points, with a label for each point.
#[derive(Clone, Debug)]
pub struct SoftMargin {
    /// Over which sets.
    pub form: Form,
    /// The class of each row.
    pub labels: Arc<[usize]>,
    /// κ, the sharpness.
    pub kappa: f64,
}

/// The two selected elements of a term with the gradient that each gets.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Selected<T> {
    positive: (usize, T),
    negative: (usize, T),
}

const SMALLEST_SQUARE: f64 = 1e-12;

/// The distance of two points on the unit sphere, and its derivative with respect to their cosine.
fn distance<T: Float>(c: T) -> (T, T) {
    let square = T::of(2.0) - (c + c);
    let floor = T::of(SMALLEST_SQUARE);
    let d = square.max(floor).sqrt();
    (
        d,
        if square > floor {
            -(T::ONE / d)
        } else {
            T::ZERO
        },
    )
}

/// The elements that an anchor has seen so far: the smallest cosine within its class and the
/// largest one between classes.
#[derive(Clone, Copy)]
struct Extremes<T> {
    within: Option<(usize, T)>,
    between: Option<(usize, T)>,
}

impl<T: Float> Extremes<T> {
    fn of(elements: impl Iterator<Item = (usize, bool)>, c: &[T]) -> Self {
        let mut seen = Extremes {
            within: None,
            between: None,
        };
        for (at, is_within) in elements {
            let c = c[at];
            if is_within {
                if seen.within.is_none_or(|(_, least)| c < least) {
                    seen.within = Some((at, c));
                }
            } else if seen.between.is_none_or(|(_, most)| c > most) {
                seen.between = Some((at, c));
            }
        }
        seen
    }
}

impl SoftMargin {
    /// The selection of every anchor.
    fn select<T: Float>(&self, c: &Tensor<T>) -> Vec<Extremes<T>> {
        let (y, columns, c) = (&self.labels, c.shape()[1], c.data());
        let present = present(y);
        match self.form {
            Form::Class => anchors(present.len(), y.len(), |a| {
                let k = present[a];
                Extremes::of(
                    y.iter()
                        .enumerate()
                        .map(|(i, &y)| (i * columns + k, y == k)),
                    c,
                )
            }),
            Form::Sample => anchors(y.len(), columns, |i| {
                Extremes::of((0..columns).map(|j| (i * columns + j, j == y[i])), c)
            }),
            Form::Pair => anchors(y.len(), columns, |a| {
                let others = (0..columns).filter(|&b| b != a);
                Extremes::of(others.map(|b| (a * columns + b, y[b] == y[a])), c)
            }),
            Form::Batch => {
                let elements = y
                    .iter()
                    .enumerate()
                    .flat_map(|(i, &y)| present.iter().map(move |&k| (i * columns + k, k == y)));
                vec![Extremes::of(elements, c)]
            }
        }
    }
}

fn anchors<R: Send>(count: usize, width: usize, f: impl Fn(usize) -> R + Sync + Send) -> Vec<R> {
    let size = par::task_size(par::CHEAP / width.max(1), 1);
    let parts = par::map_ranges(count, size, |range| range.map(&f).collect::<Vec<_>>());
    parts.into_iter().flatten().collect()
}

/// The classes that occur, ascending.
fn present(labels: &[usize]) -> Vec<usize> {
    let mut present = labels.to_vec();
    present.sort_unstable();
    present.dedup();
    present
}

impl Op<1> for SoftMargin {
    const NAME: &'static str = "sml";
    /// The shape of the input, and what each term passes back.
    type Saved<T: Float> = (Shape, Vec<Selected<T>>);

    fn forward<T: Float>(
        &self,
        [c]: [&Tensor<T>; 1],
    ) -> engine::Result<(Tensor<T>, Self::Saved<T>)> {
        let refuse = |reason| {
            let layout = if self.form == Form::Pair {
                "[P, P]"
            } else {
                "[N, C]"
            };
            BadOperands::new(Self::NAME, reason).operand("cosines", layout, c.shape())
        };
        let &[rows, columns] = &*c.shape() else {
            return Err(refuse("a matrix of cosines is needed".into()).into());
        };
        let classes = match self.form {
            Form::Pair if rows != columns => {
                return Err(
                    refuse("the cosines of points with points are a square matrix".into()).into(),
                );
            }
            Form::Pair => usize::MAX,
            _ => columns,
        };
        if let Some(fault) = label_fault(&self.labels, rows, classes) {
            return Err(refuse(fault).into());
        }
        let kappa = T::of(self.kappa);
        let mut terms = Vec::new();
        let mut selected = Vec::new();
        for extremes in self.select(c) {
            let (Some((p, cp)), Some((n, cn))) = (extremes.within, extremes.between) else {
                continue;
            };
            let ((dp, slope_p), (dn, slope_n)) = (distance(cp), distance(cn));
            let z = kappa * (dp - dn);
            terms.push(softplus(z) / kappa);
            selected.push(Selected {
                positive: (p, sigmoid(z) * slope_p),
                negative: (n, -(sigmoid(z) * slope_n)),
            });
        }
        if terms.is_empty() {
            terms.push(T::ZERO);
        }
        Ok((Tensor::new([terms.len()], &terms), (c.shape(), selected)))
    }

    fn backward<T: Float>(
        &self,
        (shape, selected): Self::Saved<T>,
        dy: Tensor<T>,
        _: [bool; 1],
    ) -> [Option<Tensor<T>>; 1] {
        let mut dc = Tensor::zeros(shape);
        let out = dc.data_mut();
        for (term, &dy) in selected.iter().zip(dy.data()) {
            for (at, slope) in [term.positive, term.negative] {
                out[at] += slope * dy;
            }
        }
        [Some(dc)]
    }

    fn cases(g: &mut Gen) -> Vec<Case<Self, 1>> {
        let forms = [Form::Class, Form::Sample, Form::Pair, Form::Batch];
        let mut cases = Vec::new();
        for form in forms {
            for (kappa, labels, classes) in [
                (1.0, vec![0, 2, 1, 2, 0], 4),
                (4.0, vec![1, 0], 2),
                (0.5, vec![2, 2, 2], 3),
            ] {
                let shape = if form == Form::Pair {
                    [labels.len(); 2]
                } else {
                    [labels.len(), classes]
                };
                let largest = 0.1 * (shape[0] * shape[1]) as f64 + 0.1;
                let c = g.distinct(shape).map(|c| 0.95 * c / largest);
                let name = format!("{form:?}, kappa {kappa}, {labels:?}");
                let op = SoftMargin {
                    form,
                    labels: labels.into(),
                    kappa,
                };
                cases.push(Case::new(name, op, [c]));
            }
        }
        cases
    }
}

/// The parameters of the term.
const FORM: Parameter = Parameter::word(
    "form",
    &["class", "sample", "pair", "batch"],
    "over which sets the distances are compared",
);
const KAPPA: Parameter = Parameter::number(
    "kappa",
    1.0,
    Range::above(0.0),
    "sharpness of the soft margin",
);

/// The soft-margin term alone.
#[derive(Debug)]
pub struct Sml {
    form: Form,
    kappa: f64,
}

impl Sml {
    /// The value: `[N]` in the form `sample`, else a single number.
    fn value<T: Float>(&self, batch: &Batch<'_, T>) -> Result<Var<T>> {
        let op = |labels| SoftMargin {
            form: self.form,
            labels,
            kappa: self.kappa,
        };
        Ok(match self.form {
            Form::Sample => apply(op(batch.columns().clone()), [&batch.cosines()?])?,
            Form::Class | Form::Batch => {
                apply(op(batch.columns().clone()), [&batch.cosines()?])?.mean()
            }
            Form::Pair => {
                let present = present(batch.columns());
                let weights = batch.unit_weight()?.try_rows(present.clone())?;
                let points = Var::try_concat([&batch.unit_embeddings()?, &weights], 0)?;
                let columns: Arc<[usize]> =
                    batch.columns().iter().copied().chain(present).collect();
                apply(op(columns), [&points.try_matmul_nt(&points)?])?.mean()
            }
        })
    }
}

const RECONSTRUCTED: &str = "\
The paper could not be read beyond its abstract. That says: features and classification weights
are normalised onto the hypersphere; the loss is built from the maximum intra-class distance
and the minimum inter-class distance; a soft margin is inherent in it; and it is trained
jointly with an improved softmax loss. Softplus of a difference of distances is what Hermans et
al. (2017, In defense of the triplet loss) call the soft margin. Which sets the maximum and the
minimum are taken over is open; the forms are, the likeliest first, class, sample, pair and
batch. In the form sample there is one distance within the class and the maximum is void, but
it needs no batch with several samples of a class. In a batch of one class, class, pair and
batch are 0.";

impl Loss for Sml {
    const INFO: LossInfo = LossInfo {
        name: "sml",
        family: Family::Distance,
        about: "largest distance within a class against smallest between classes, soft margin",
        formula: "L = mean softplus(kappa (D+ - D-)) / kappa,   d(a, b) = sqrt(2 - 2 cos(a, b))\n\
                  class:  for each class k of the batch, D+ = max_{y_i = k} d(x_i, w_k),\n\
                  \x20                                      D- = min_{y_i != k} d(x_i, w_k)\n\
                  sample: for each sample, D+ = d(x_i, w_y), D- = min_{j != y} d(x_i, w_j)\n\
                  pair:   for each sample and each w_k of the batch, the farthest point of\n\
                  \x20       its class and the nearest of another\n\
                  batch:  D+ = max d(x_i, w_y), D- = min d(x_i, w_k), k in the batch",
        parameters: &[FORM, KAPPA, HEAD_LR_MULT],
        presets: &[],
        head: Head::Angular,
        remarks: "",
        source: "A novel soft margin loss function for deep discriminative embedding learning, \
                 IEEE Access 8 (2020), \
                 202785-202794, doi 10.1109/ACCESS.2020.3036185",
        status: Status::Reconstructed(RECONSTRUCTED),
    };

    fn new(values: &Values) -> Self {
        Sml {
            form: match values.word("form") {
                "sample" => Form::Sample,
                "pair" => Form::Pair,
                "batch" => Form::Batch,
                _ => Form::Class,
            },
            kappa: values.number("kappa"),
        }
    }

    fn forward<T: Float>(&self, batch: &Batch<'_, T>) -> Result<Vec<Part<T>>> {
        Ok(Part::only(Self::INFO.name, self.value(batch)?))
    }
}

/// The joint loss of the paper: an improved softmax and α times the soft-margin term, on the same
/// normalised features and weights.
#[derive(Debug)]
pub struct SmlJoint {
    softmax: CosFace,
    smoothing: f64,
    alpha: f64,
    sml: Sml,
}

impl Loss for SmlJoint {
    const INFO: LossInfo = LossInfo {
        name: "sml-joint",
        family: Family::Joint,
        about: "the paper's joint loss: normalised softmax plus alpha times sml",
        formula: "L = normface:s + alpha sml:form,kappa   (cosface:s,m if m > 0)",
        parameters: &[
            scale(16.0, cosine_scale),
            cosine_margin(0.0),
            SMOOTHING,
            Parameter::number(
                "alpha",
                1.0,
                Range::from(0.0),
                "weight of the soft-margin term",
            ),
            FORM,
            KAPPA,
            HEAD_LR_MULT,
        ],
        presets: &[],
        head: Head::Angular,
        remarks: "",
        source: Sml::INFO.source,
        status: Status::Reconstructed(
            "The soft-margin term is that of `sml`, which says what is known of it. The improved\n\
             softmax is taken to be the normalised, scaled softmax of the same features and weights\n\
             (NormFace; in re-identification, SphereReID with s = 14), to which a margin and label\n\
             smoothing can be added.",
        ),
    };

    fn new(values: &Values) -> Self {
        SmlJoint {
            softmax: CosFace {
                s: values.number("s"),
                m: values.number("m"),
            },
            smoothing: values.number("smoothing"),
            alpha: values.number("alpha"),
            sml: Sml::new(values),
        }
    }

    fn forward<T: Float>(&self, batch: &Batch<'_, T>) -> Result<Vec<Part<T>>> {
        let softmax = Part {
            name: "sml-joint/softmax",
            weight: 1.0,
            value: batch.class_softmax(self.softmax.clone(), self.smoothing)?,
        };
        let sml = Part {
            name: "sml-joint/sml",
            weight: self.alpha,
            value: self.sml.value(batch)?,
        };
        Ok(vec![softmax, sml])
    }

    fn warnings(&self, classes: usize, _: usize) -> Vec<String> {
        scale_warnings(classes, 1.0 - self.softmax.m, self.softmax.s)
    }
}
