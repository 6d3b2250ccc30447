//! Activations with a parameter, and the one that ends a residual block.

use crate::error::{BadOperands, Result};
use crate::float::Float;
use crate::gradcheck::{Case, Gen};
use crate::kernels::simd::per_isa;
use crate::op::Op;
use crate::par;
use crate::shape::Shape;
use crate::tensor::Tensor;

/// y = x if x > 0, else slope·x;  ∂y/∂x = 1 or slope, ∂y/∂slope = 0 or x  (He et al. 2015)
///
/// `slope` has an element for each channel (the last axis of x), or one for all.
#[derive(Clone, Debug)]
pub struct PRelu;

impl Op<2> for PRelu {
    const NAME: &'static str = "prelu";
    type Saved<T: Float> = [Tensor<T>; 2];

    fn forward<T: Float>(
        &self,
        [x, slope]: [&Tensor<T>; 2],
    ) -> Result<(Tensor<T>, [Tensor<T>; 2])> {
        let c = x.shape().last();
        if ![c, 1].contains(&slope.elements()) || slope.shape().rank() > 1 {
            let reason = "a slope is needed for each channel (the last axis), or one for all";
            return Err(BadOperands::new(Self::NAME, reason)
                .operand("input", "[…, C]", x.shape())
                .operand("slope", "[C] or [1]", slope.shape())
                .into());
        }
        let mut y = Tensor::stale(x.shape());
        let slopes = repeated(slope, c);
        par::chunks(y.data_mut(), par::task_size(par::CHEAP, c), |start, y| {
            prelu_rows(&x.data()[start..start + y.len()], &slopes, y);
        });
        Ok((y, [x.clone(), slope.clone()]))
    }

    fn backward<T: Float>(
        &self,
        [x, slope]: [Tensor<T>; 2],
        mut dy: Tensor<T>,
        need: [bool; 2],
    ) -> [Option<Tensor<T>>; 2] {
        let c = x.shape().last();
        let slopes = repeated(&slope, c);
        let rows = par::task_size(par::CHEAP, c) / c.max(1);
        let data = x.data();
        let mut sums = Tensor::<T>::zeros([c]);
        let from = dy.data();
        let partial = par::map_ranges(from.len() / c.max(1), rows, |rows| {
            let span = rows.start * c..rows.end * c;
            let mut sum = vec![T::ZERO; c];
            if need[1] {
                add_slope_rows(&data[span.clone()], &from[span], &mut sum);
            }
            sum
        });
        for part in partial {
            for (sum, part) in sums.data_mut().iter_mut().zip(part) {
                *sum += part;
            }
        }
        if need[0] {
            par::chunks(dy.data_mut(), rows * c, |start, dy| {
                prelu_grad_rows(&data[start..start + dy.len()], &slopes, dy);
            });
        }
        let dslope = match slope.elements() {
            n if n == c => sums.reshape(slope.shape()),
            _ => Tensor::full(slope.shape(), sums.data().iter().copied().sum()),
        };
        [need[0].then_some(dy), need[1].then_some(dslope)]
    }

    fn cases(g: &mut Gen) -> Vec<Case<Self, 2>> {
        let shapes: [(&[usize], &[usize]); 5] = [
            (&[5], &[5]),
            (&[3, 17], &[17]),
            (&[3, 5], &[1]),
            (&[2, 3, 2, 5], &[5]),
            (&[4, 3], &[]),
        ];
        let case = |&(x, slope): &(&[usize], &[usize])| {
            let inputs = [g.away_from(&[0.0], 0.1, x), g.normal(slope)];
            let name = format!("{} and {}", Shape::from(x), Shape::from(slope));
            Case::new(name, PRelu, inputs)
        };
        shapes.iter().map(case).collect()
    }
}

/// A slope for each channel.
fn repeated<T: Float>(slope: &Tensor<T>, c: usize) -> Vec<T> {
    slope.data().iter().copied().cycle().take(c).collect()
}

per_isa! {
    fn prelu_rows<T: Float>(x: &[T], slopes: &[T], y: &mut [T]) {
        let c = slopes.len();
        for (y, x) in y.chunks_exact_mut(c).zip(x.chunks_exact(c)) {
            for ((y, &x), &slope) in y.iter_mut().zip(x).zip(slopes) {
                *y = if x > T::ZERO { x } else { slope * x };
            }
        }
    }
}

per_isa! {
    fn prelu_grad_rows<T: Float>(x: &[T], slopes: &[T], dy: &mut [T]) {
        let c = slopes.len();
        for (dy, x) in dy.chunks_exact_mut(c).zip(x.chunks_exact(c)) {
            for ((dy, &x), &slope) in dy.iter_mut().zip(x).zip(slopes) {
                *dy = if x > T::ZERO { *dy } else { slope * *dy };
            }
        }
    }
}

per_isa! {
    fn add_slope_rows<T: Float>(x: &[T], dy: &[T], sums: &mut [T]) {
        let c = sums.len();
        for (dy, x) in dy.chunks_exact(c).zip(x.chunks_exact(c)) {
            for ((sum, &x), &dy) in sums.iter_mut().zip(x).zip(dy) {
                *sum += if x > T::ZERO { T::ZERO } else { x * dy };
            }
        }
    }
}

/// y = max(a + b, 0);  ∂y/∂a = ∂y/∂b = \[y > 0\]: the end of a residual block, in one pass
/// over memory.
#[derive(Clone, Debug)]
pub struct AddRelu;

impl Op<2> for AddRelu {
    const NAME: &'static str = "add_relu";
    /// The output.
    type Saved<T: Float> = Tensor<T>;

    fn forward<T: Float>(&self, [a, b]: [&Tensor<T>; 2]) -> Result<(Tensor<T>, Tensor<T>)> {
        if a.shape() != b.shape() {
            return Err(BadOperands::new(Self::NAME, "the shapes differ")
                .operand("left", "", a.shape())
                .operand("right", "", b.shape())
                .hint("`add`, which repeats an operand, and `relu` do the same")
                .into());
        }
        let mut y = Tensor::stale(a.shape());
        par::chunks(y.data_mut(), par::task_size(par::CHEAP, 1), |start, y| {
            let span = start..start + y.len();
            add_relu(&a.data()[span.clone()], &b.data()[span], y);
        });
        let saved = y.clone();
        Ok((y, saved))
    }

    fn backward<T: Float>(
        &self,
        y: Tensor<T>,
        mut dy: Tensor<T>,
        need: [bool; 2],
    ) -> [Option<Tensor<T>>; 2] {
        par::chunks(dy.data_mut(), par::task_size(par::CHEAP, 1), |start, dy| {
            keep_where_positive(&y.data()[start..start + dy.len()], dy);
        });
        [need[0].then(|| dy.clone()), need[1].then_some(dy)]
    }

    fn cases(g: &mut Gen) -> Vec<Case<Self, 2>> {
        let shapes: [&[usize]; 3] = [&[7], &[3, 17], &[2, 3, 1, 5]];
        let case = |&shape: &&[usize]| {
            let sum = g.away_from(&[0.0], 0.1, shape);
            let a = g.normal(shape);
            let b = Tensor::from_fn(shape, |i| sum.data()[i] - a.data()[i]);
            Case::new(Shape::from(shape).to_string(), AddRelu, [a, b])
        };
        shapes.iter().map(case).collect()
    }
}

per_isa! {
    fn add_relu<T: Float>(a: &[T], b: &[T], y: &mut [T]) {
        for ((y, &a), &b) in y.iter_mut().zip(a).zip(b) {
            *y = (a + b).max(T::ZERO);
        }
    }
}

per_isa! {
    fn keep_where_positive<T: Float>(y: &[T], dy: &mut [T]) {
        for (dy, &y) in dy.iter_mut().zip(y) {
            *dy = if y > T::ZERO { *dy } else { T::ZERO };
        }
    }
}
