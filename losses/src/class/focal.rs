//! Focal loss: cross-entropy with less weight on samples that are already recognised.

use super::HEAD_LR_MULT;
use super::softmax::Identity;
use crate::batch::Batch;
use crate::error::Result;
use crate::frame::Softmax;
use crate::info::{Family, Head, LossInfo, Parameter, Range, Status};
use crate::loss::{Loss, Part};
use crate::values::Values;
use engine::gradcheck::{Case, Gen};
use engine::{Float, Op, Tensor, apply};

/// y = α (1 − e^−x)^γ x;  dx = α (1 − e^−x)^(γ−1) ((1 − e^−x) + γ x e^−x) dy
///
/// x is a cross-entropy `[N]`, so e^−x is the probability p of the target.
#[derive(Clone, Debug)]
pub struct Focus {
    /// γ.
    pub gamma: f64,
    /// α.
    pub alpha: f64,
}

impl Op<1> for Focus {
    const NAME: &'static str = "focal";
    type Saved<T: Float> = Tensor<T>;

    fn forward<T: Float>(&self, [x]: [&Tensor<T>; 1]) -> engine::Result<(Tensor<T>, Tensor<T>)> {
        let [gamma, alpha] = [self.gamma, self.alpha].map(T::of);
        let y = x.map(|x| alpha * miss(x).powf(gamma) * x);
        Ok((y, x.clone()))
    }

    fn backward<T: Float>(
        &self,
        x: Tensor<T>,
        mut dy: Tensor<T>,
        _: [bool; 1],
    ) -> [Option<Tensor<T>>; 1] {
        let [gamma, alpha] = [self.gamma, self.alpha].map(T::of);
        dy.zip_assign(&x, |dy, x| {
            let miss = miss(x);
            // x / miss tends to 1 where both vanish, so nothing is divided by 0.
            let ratio = if miss > T::ZERO { x / miss } else { T::ONE };
            dy * alpha * miss.powf(gamma) * (T::ONE + gamma * ratio * (-x).exp())
        });
        [Some(dy)]
    }

    fn cases(g: &mut Gen) -> Vec<Case<Self, 1>> {
        let settings = [(2.0, 1.0), (0.5, 0.25), (0.0, 1.0)];
        let case = |(gamma, alpha)| {
            let x = g.uniform([7], 0.05, 4.0);
            Case::new(format!("gamma {gamma}"), Focus { gamma, alpha }, [x])
        };
        settings.map(case).into()
    }
}

/// 1 − p of a cross-entropy.
fn miss<T: Float>(x: T) -> T {
    (-(-x).exp_m1()).max(T::ZERO)
}

/// Focal loss on a softmax.
#[derive(Debug)]
pub struct FocalLoss {
    focus: Focus,
}

impl Loss for FocalLoss {
    const INFO: LossInfo = LossInfo {
        name: "focal",
        family: Family::Class,
        about: "cross-entropy that fades for samples already recognised",
        formula: "z_j = <w_j, x> + b_j,   p = softmax(z)_y\n\
                  L = -alpha (1 - p)^gamma ln p",
        parameters: &[
            Parameter::number("gamma", 2.0, Range::from(0.0), "how fast the weight fades"),
            Parameter::number("alpha", 1.0, Range::above(0.0), "factor"),
            HEAD_LR_MULT,
        ],
        presets: &[],
        head: Head::Linear,
        remarks: "The paper's loss is binary, with alpha = 0.25 for the foreground of a detector (fvcore,\n\
                  torchvision); this is its form for one of many classes, as in fast-reid. gamma = 0,\n\
                  alpha = 1 is softmax.",
        source: "Lin et al. 2017, Focal loss for dense object detection, ICCV, arXiv 1708.02002",
        status: Status::Known,
    };

    fn new(values: &Values) -> Self {
        FocalLoss {
            focus: Focus {
                gamma: values.number("gamma"),
                alpha: values.number("alpha"),
            },
        }
    }

    fn forward<T: Float>(&self, batch: &Batch<'_, T>) -> Result<Vec<Part<T>>> {
        let entropy = batch.class_loss(&batch.linear_logits()?, Identity, Softmax::default())?;
        Ok(Part::only(
            Self::INFO.name,
            apply(self.focus.clone(), [&entropy])?,
        ))
    }
}
