//! L-softmax: a multiple of the target's angle, between vectors of any length.

use super::sphereface::{Annealed, SpherePsi, annealed_parameters};
use crate::batch::Batch;
use crate::error::Result;
use crate::frame::{GivenTarget, Margin, Softmax};
use crate::info::{Family, Head, LossInfo, Status};
use crate::loss::{Loss, Part};
use crate::values::Values;
use engine::gradcheck::{Case, Gen};
use engine::{Float, Op, Tensor, apply};

/// y = f(c) of each cosine, with f = (λ c + ψ(θ)) / (1 + λ) as in [`SpherePsi`];  dc = f'(c) dy
#[derive(Clone, Debug)]
pub struct AngleMultiple(pub SpherePsi);

impl Op<1> for AngleMultiple {
    const NAME: &'static str = "angle multiple";
    type Saved<T: Float> = Tensor<T>;

    fn forward<T: Float>(&self, [c]: [&Tensor<T>; 1]) -> engine::Result<(Tensor<T>, Tensor<T>)> {
        Ok((c.map(|c| self.0.positive(c).0), c.clone()))
    }

    fn backward<T: Float>(
        &self,
        c: Tensor<T>,
        mut dy: Tensor<T>,
        _: [bool; 1],
    ) -> [Option<Tensor<T>>; 1] {
        dy.zip_assign(&c, |dy, c| dy * self.0.positive(c).1);
        [Some(dy)]
    }

    fn cases(g: &mut Gen) -> Vec<Case<Self, 1>> {
        let case = |(m, lambda)| {
            let psi = SpherePsi { m, lambda };
            let c = g.away_from(&psi.kinks(), 0.02, [7]).map(|c| c.tanh());
            let kinks = psi.kinks();
            let c = c.map(|c| {
                let near = kinks.iter().any(|k| (c - k).abs() < 0.02);
                if near { c + 0.05 } else { c }
            });
            Case::new(format!("m {m}, lambda {lambda}"), AngleMultiple(psi), [c]).step(1e-4)
        };
        [(2, 0.0), (3, 5.0), (4, 0.0)].map(case).into()
    }
}

/// L-softmax.
#[derive(Debug)]
pub struct LSoftmax(Annealed);

impl Loss for LSoftmax {
    const INFO: LossInfo = LossInfo {
        name: "l-softmax",
        family: Family::Class,
        about: "a multiple of the target's angle, lengths left as they are",
        formula: "z_j = <w_j, x>,   t = |w_y| |x| f(theta_y)\n\
                  L = -ln( e^t / ( e^t + sum_{j != y} e^z_j ) )\n\
                  f(theta) = (lambda cos(theta) + psi(theta)) / (1 + lambda)\n\
                  psi(theta) = (-1)^k cos(m theta) - 2k   for theta in [k pi/m, (k+1) pi/m]\n\
                  lambda = max(lambda_min, base (1 + gamma step)^-power), unless `lambda` is given",
        parameters: &annealed_parameters([1000.0, 2.5e-5, 35.0, 0.0]),
        presets: &[],
        head: Head::Inner,
        remarks: "The annealing is that of the authors' code for MNIST; theirs for CIFAR10 has gamma=2e-5,\n\
                  power=45, m=2. pytorch-metric-learning agrees without annealing.",
        source: "Liu et al. 2016, Large-margin softmax loss for convolutional neural networks, ICML, \
                 arXiv 1612.02295; annealing as in github wy1iu/LargeMargin_Softmax_Loss",
        status: Status::Known,
    };

    fn new(values: &Values) -> Self {
        LSoftmax(Annealed::new(values))
    }

    fn forward<T: Float>(&self, batch: &Batch<'_, T>) -> Result<Vec<Part<T>>> {
        let psi = self.0.at(batch.step());
        let z = batch.inner_products()?;
        let target = batch.linear_weight().try_rows(batch.columns().clone())?;
        let cosine = batch
            .unit_embeddings()?
            .try_mul(&target.try_l2_normalize()?)?
            .try_sum_over(1)?;
        let lengths = batch.lengths()?.try_mul(&target.try_row_norms()?)?;
        let exponent = apply(AngleMultiple(psi), [&cosine])?.try_mul(&lengths)?;
        let loss = batch.sample_loss(&z, &exponent, GivenTarget, Softmax::default())?;
        Ok(Part::only(Self::INFO.name, loss))
    }
}
