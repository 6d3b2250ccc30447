//! CS-softmax: a positive and a negative similarity with factors of their own; four readings of it.

use super::cosface::CosFace;
use super::so_softmax::{SoMargin, slack_without_margin};
use super::{HEAD_LR_MULT, cosine_margin, cosine_scale, scale};
use crate::advice::scale_warnings;
use crate::batch::Batch;
use crate::error::Result;
use crate::frame::{Decoupled, Margin, Probe, Softmax};
use crate::info::{Family, Head, LossInfo, Parameter, Range, Status};
use crate::loss::{Loss, Part};
use crate::values::Values;
use engine::gradcheck::{Case, Gen};
use engine::{Float, Op, Tensor, apply};

/// Form a: Fp(c) = s (c − m), Fn(c) = λ s c.
#[derive(Clone, Debug)]
pub struct CsLinear {
    /// The scale.
    pub s: f64,
    /// The margin.
    pub m: f64,
    /// λ, by which the weights of the other classes learn more than that of the target.
    pub lambda: f64,
}

impl Margin for CsLinear {
    const NAME: &'static str = "cs-softmax a";
    fn positive<T: Float>(&self, c: T) -> (T, T) {
        let s = T::of(self.s);
        (s * (c - T::of(self.m)), s)
    }
    fn negative<T: Float>(&self, c: T, _: T) -> (T, T) {
        let s = T::of(self.lambda * self.s);
        (s * c, s)
    }
    fn probes() -> Vec<Probe<Self>> {
        let probe = |(s, m, lambda)| Probe::new(CsLinear { s, m, lambda }, 2.0 * s);
        [(30.0, 0.35, 1.1), (1.0, 0.1, 0.5), (512.0, 0.2, 1.5)]
            .map(probe)
            .into()
    }
}

/// Form b: Fp(c) = s (c − m), Fn(c) = s (c + m), without competition.
#[derive(Clone, Debug)]
pub struct CsDecoupled {
    /// The scale.
    pub s: f64,
    /// The margin.
    pub m: f64,
}

impl Margin for CsDecoupled {
    const NAME: &'static str = "cs-softmax b";
    fn positive<T: Float>(&self, c: T) -> (T, T) {
        let s = T::of(self.s);
        (s * (c - T::of(self.m)), s)
    }
    fn negative<T: Float>(&self, c: T, _: T) -> (T, T) {
        let s = T::of(self.s);
        (s * (c + T::of(self.m)), s)
    }
    fn probes() -> Vec<Probe<Self>> {
        let probe = |(s, m)| Probe::new(CsDecoupled { s, m }, s);
        [(10.0, 0.35), (1.0, 0.1), (512.0, 0.2)].map(probe).into()
    }
}

/// y = x;  dx = factor · dy, which is not the derivative unless the factor is 1
#[derive(Clone, Debug)]
pub struct ScaleGradient {
    /// The factor.
    pub factor: f64,
}

impl Op<1> for ScaleGradient {
    const NAME: &'static str = "scale_gradient";
    type Saved<T: Float> = ();

    fn forward<T: Float>(&self, [x]: [&Tensor<T>; 1]) -> engine::Result<(Tensor<T>, ())> {
        Ok((x.clone(), ()))
    }

    fn backward<T: Float>(&self, (): (), dy: Tensor<T>, _: [bool; 1]) -> [Option<Tensor<T>>; 1] {
        let factor = T::of(self.factor);
        [Some(dy.map(|dy| factor * dy))]
    }

    fn cases(g: &mut Gen) -> Vec<Case<Self, 1>> {
        vec![Case::new(
            "[3, 5]",
            ScaleGradient { factor: 1.5 },
            [g.normal([3, 5])],
        )]
    }
}

/// CS-softmax.
#[derive(Debug)]
pub struct CsSoftmax {
    form: &'static str,
    s: f64,
    m: f64,
    lambda: f64,
}

const RECONSTRUCTED: &str = "\
The formula is not publicly readable. The abstract says: a positive and a negative similarity
between the embedding and the weights of the classification layer are computed separately; a
margin factor, a scale factor and a weight-update factor tune the decision margin of every
class; the network is unchanged. The four forms are readings of that, the likeliest first.
  a  all three factors sit inside the two similarities, which the wording asks for; lambda
     literally multiplies the update of the weights of the other classes; lambda = 1 is
     CosFace, m = 0 as well NormFace; and it is the linear predecessor of the same authors'
     SO-softmax.
  b  fits \"computed separately\", but lambda stands outside the similarity and the competition
     of a softmax is gone.
  c  fits \"weight-update factor\" word for word, but then lambda does not move the decision
     margin. Its gradient is on purpose not the derivative of its value.
  d  quadratic, that is SO-softmax itself; unlikely, since SO-softmax is presented as new in
     the later paper.
The defaults are ours. The published accuracies are those of the paper, not of any of these
forms.";

impl Loss for CsSoftmax {
    const INFO: LossInfo = LossInfo {
        name: "cs-softmax",
        family: Family::Class,
        about: "positive and negative similarities with margin, scale and weight-update factor",
        formula: "a: L = -ln( e^t / ( e^t + sum_{j != y} e^(lambda s c_j) ) ),   t = s (c_y - m)\n\
                  b: L = ln(1 + e^(-s (c_y - m))) + lambda ln(1 + sum_{j != y} e^(s (c_j + m)))\n\
                  c: CosFace, with the gradient of the class weights multiplied by lambda\n\
                  d: SO-softmax with lambda_p = s, lambda_n = lambda s",
        parameters: &[
            Parameter::word("form", &["a", "b", "c", "d"], "which of the four readings"),
            scale(30.0, cosine_scale),
            cosine_margin(0.35).warming_from(|values| match values.word("form") {
                // Form d is SO-softmax.
                "d" => Some(slack_without_margin([1.0, values.given("lambda")?])),
                _ => Some(0.0),
            }),
            Parameter::number("lambda", 1.1, Range::above(0.0), "weight-update factor"),
            HEAD_LR_MULT,
        ],
        presets: &[],
        head: Head::Angular,
        remarks: "",
        source: "Zhang, Yang, Zhang, Cao, Zheng 2022, CS-softmax: a cosine similarity-based softmax \
                 loss function (in Chinese), J. Comput. Res. Dev. 59(4), \
                 936-949, doi 10.7544/issn1000-1239.20200879",
        status: Status::Reconstructed(RECONSTRUCTED),
    };

    fn new(values: &Values) -> Self {
        CsSoftmax {
            form: values.word("form"),
            s: values.number("s"),
            m: values.number("m"),
            lambda: values.number("lambda"),
        }
    }

    fn forward<T: Float>(&self, batch: &Batch<'_, T>) -> Result<Vec<Part<T>>> {
        let Self { s, m, lambda, .. } = *self;
        let loss = match self.form {
            "a" => batch.class_softmax(CsLinear { s, m, lambda }, 0.0)?,
            "b" => {
                let form = Decoupled { weight: lambda };
                batch.class_loss(&batch.cosines()?, CsDecoupled { s, m }, form)?
            }
            "c" => {
                let weight = apply(ScaleGradient { factor: lambda }, [batch.weight()])?;
                let cosines = batch.cosines_with(&weight)?;
                batch.class_loss(&cosines, CosFace { s, m }, Softmax::default())?
            }
            _ => {
                let margin = SoMargin {
                    lambda_p: s,
                    lambda_n: lambda * s,
                    m,
                    one_sided: false,
                };
                batch.class_softmax(margin, 0.0)?
            }
        };
        Ok(Part::only(Self::INFO.name, loss))
    }

    fn warnings(&self, classes: usize, _: usize) -> Vec<String> {
        match self.form {
            "a" | "c" => scale_warnings(classes, 1.0 - self.m, self.s),
            _ => Vec::new(),
        }
    }
}
