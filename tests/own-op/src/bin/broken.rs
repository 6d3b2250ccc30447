//! What the table looks like when a derivative is wrong: the backward of this soft normalisation
//! forgets that the length depends on `x`, too.

use engine::gradcheck::{Case, Gen, Table};
use engine::{Float, Op, Result, Tensor};
use own_op::SoftNormalize;
use std::process::ExitCode;

#[derive(Clone, Debug)]
struct Broken;

impl Op<1> for Broken {
    const NAME: &'static str = "broken";
    type Saved<T: Float> = (Tensor<T>, Vec<T>);

    fn forward<T: Float>(&self, x: [&Tensor<T>; 1]) -> Result<(Tensor<T>, Self::Saved<T>)> {
        SoftNormalize.forward(x)
    }

    fn backward<T: Float>(
        &self,
        (_, roots): Self::Saved<T>,
        dy: Tensor<T>,
        _: [bool; 1],
    ) -> [Option<Tensor<T>>; 1] {
        let (d, dy) = (dy.shape().last(), &dy);
        [Some(Tensor::from_fn(dy.shape(), |i| {
            dy.data()[i] / roots[i / d]
        }))]
    }

    fn cases(g: &mut Gen) -> Vec<Case<Self, 1>> {
        g.shapes(Broken, &[&[3, 5]], |g, shape| g.normal(shape))
    }
}

engine::register! { static OPERATIONS = [Broken[1]]; }

fn main() -> ExitCode {
    Table::new().operations("ops", OPERATIONS).main()
}
