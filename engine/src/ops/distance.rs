//! Lengths, directions and distances of rows: of vectors of `D` numbers along the last axis.

use super::matmul::product;
use crate::error::{BadOperands, Error, Result};
use crate::float::Float;
use crate::gradcheck::{Case, Gen, SIZES};
use crate::kernels::reduce::{dot, sum_pairs};
use crate::op::Op;
use crate::par;
use crate::shape::Shape;
use crate::tensor::Tensor;

/// What a shorter row is divided by when it is normalised, so that a zero row stays zero. Such a
/// row has no direction to speak of, and no gradient passes through it.
const SHORTEST: f64 = 1e-12;

/// |x| of every row, of the shape without the last axis.
fn lengths<T: Float>(x: &Tensor<T>) -> Tensor<T> {
    let (shape, d, data) = (x.shape(), x.shape().last(), x.data());
    let kept = shape.rank().saturating_sub(1);
    let mut out = Tensor::stale(Shape::from(&shape[..kept]));
    let rows = par::task_size(par::CHEAP.div_ceil(d.max(1)), 1);
    par::chunks(out.data_mut(), rows, |start, out| {
        for (r, out) in out.iter_mut().enumerate() {
            let x = &data[(start + r) * d..][..d];
            *out = dot(x, x).sqrt();
        }
    });
    out
}

/// Calls `f(row of out, |x| of that row, row index)` for every row.
fn rows<T: Float>(
    out: &mut Tensor<T>,
    lengths: &Tensor<T>,
    f: impl Fn(&mut [T], T, usize) + Sync + Send,
) {
    let (d, lengths) = (out.shape().last(), lengths.data());
    par::chunks(
        out.data_mut(),
        par::task_size(par::CHEAP, d),
        |start, piece| {
            for (r, row) in piece.chunks_mut(d).enumerate() {
                let i = start / d + r;
                f(row, lengths[i], i);
            }
        },
    );
}

/// x / max(|x|, 1e-12), and |x|.
fn normalise<T: Float>(x: &Tensor<T>) -> [Tensor<T>; 2] {
    let lengths = lengths(x);
    let (mut unit, d, x) = (Tensor::stale(x.shape()), x.shape().last(), x.data());
    rows(&mut unit, &lengths, |unit, length, i| {
        let length = length.max(T::of(SHORTEST));
        for (unit, &x) in unit.iter_mut().zip(&x[i * d..]) {
            *unit = x / length;
        }
    });
    [unit, lengths]
}

/// The gradient of [`normalise`]: `(dy − x̂ ⟨x̂, dy⟩) / |x|`, in place, and 0 for a row shorter than
/// the limit.
fn normalise_backward<T: Float>(
    unit: &Tensor<T>,
    lengths: &Tensor<T>,
    mut dy: Tensor<T>,
) -> Tensor<T> {
    let shortest = T::of(SHORTEST);
    let (d, unit) = (unit.shape().last(), unit.data());
    rows(&mut dy, lengths, |dy, length, i| {
        let unit = &unit[i * d..][..d];
        if length < shortest {
            return dy.fill(T::ZERO);
        }
        let along = dot(unit, dy);
        for (dy, &unit) in dy.iter_mut().zip(unit) {
            *dy = (*dy - unit * along) / length;
        }
    });
    dy
}

/// y = x / max(|x|, 1e-12) for every row;  dx = (dy − y ⟨y, dy⟩) / |x|
///
/// A row shorter than 1e-12 has no direction. It stays as good as zero, and its gradient is 0, as
/// that of a length is at its kink. PyTorch passes on `dy / 1e-12` there, the slope of the quotient:
/// a single embedding that a ReLU has emptied then sends gradients of 1e12 through all layers, and
/// one step destroys the network.
#[derive(Clone, Debug)]
pub struct L2Normalize;
impl Op<1> for L2Normalize {
    const NAME: &'static str = "l2_normalize";
    /// The normalised rows and their former lengths.
    type Saved<T: Float> = [Tensor<T>; 2];

    fn forward<T: Float>(&self, [x]: [&Tensor<T>; 1]) -> Result<(Tensor<T>, Self::Saved<T>)> {
        let [unit, lengths] = normalise(x);
        Ok((unit.clone(), [unit, lengths]))
    }

    fn backward<T: Float>(
        &self,
        [unit, lengths]: Self::Saved<T>,
        dy: Tensor<T>,
        _: [bool; 1],
    ) -> [Option<Tensor<T>>; 1] {
        [Some(normalise_backward(&unit, &lengths, dy))]
    }

    fn cases(g: &mut Gen) -> Vec<Case<Self, 1>> {
        row_cases(g, L2Normalize)
    }
}

/// y = |x| of every row;  dx = dy x / |x|, and 0 where x = 0
#[derive(Clone, Debug)]
pub struct RowNorms;
impl Op<1> for RowNorms {
    const NAME: &'static str = "row_norms";
    /// The rows and their lengths.
    type Saved<T: Float> = [Tensor<T>; 2];

    fn forward<T: Float>(&self, [x]: [&Tensor<T>; 1]) -> Result<(Tensor<T>, Self::Saved<T>)> {
        let lengths = lengths(x);
        Ok((lengths.clone(), [x.clone(), lengths]))
    }

    fn backward<T: Float>(
        &self,
        [x, lengths]: Self::Saved<T>,
        dy: Tensor<T>,
        _: [bool; 1],
    ) -> [Option<Tensor<T>>; 1] {
        let (mut dx, d) = (Tensor::stale(x.shape()), x.shape().last());
        let (x, dy) = (x.data(), dy.data());
        rows(&mut dx, &lengths, |dx, length, i| {
            let scale = if length > T::ZERO {
                dy[i] / length
            } else {
                T::ZERO
            };
            for (dx, &x) in dx.iter_mut().zip(&x[i * d..]) {
                *dx = x * scale;
            }
        });
        [Some(dx)]
    }

    fn cases(g: &mut Gen) -> Vec<Case<Self, 1>> {
        row_cases(g, RowNorms)
    }
}

/// Rows away from zero, where a length has a kink.
fn row_cases<O: Clone>(g: &mut Gen, op: O) -> Vec<Case<O, 1>> {
    let mut cases = g.shapes(
        op.clone(),
        &[&[5], &[3, 17], &[2, 3, 4], &[3, 1]],
        |g, s| g.away_from(&[0.0], 0.4, s),
    );
    for d in SIZES {
        let x = g.away_from(&[0.0], 0.4, [2, d]);
        cases.push(Case::new(format!("[2, {d}]"), op.clone(), [x]));
    }
    cases
}

/// Two sets of rows of one length, as `[N, C, D]`.
fn pairwise(op: &'static str, x: Shape, w: Shape) -> Result<[usize; 3]> {
    match (&*x, &*w) {
        (&[n, d], &[c, also_d]) if d == also_d => Ok([n, c, d]),
        _ => Err(Error::from(
            BadOperands::new(op, "two matrices with rows of one length are needed")
                .operand("left", "[N, D]", x)
                .operand("right", "[C, D]", w),
        )),
    }
}

/// c\[i, j\] = ⟨x̂ᵢ, ŵⱼ⟩ of the rows of `[N, D]` and `[C, D]`;
/// dxᵢ = Σⱼ dc\[i, j\] (ŵⱼ − c\[i, j\] x̂ᵢ) / |xᵢ|, and likewise for w
///
/// x̂ is x / max(|x|, 1e-12): a row of zeros has cosine 0 with everything, and gradient 0.
#[derive(Clone, Debug)]
pub struct PairwiseCosine;
impl Op<2> for PairwiseCosine {
    const NAME: &'static str = "pairwise_cosine";
    /// The normalised rows and their former lengths, of both operands.
    type Saved<T: Float> = [[Tensor<T>; 2]; 2];

    fn forward<T: Float>(&self, [x, w]: [&Tensor<T>; 2]) -> Result<(Tensor<T>, Self::Saved<T>)> {
        pairwise(Self::NAME, x.shape(), w.shape())?;
        let (x, w) = (normalise(x), normalise(w));
        Ok((product(&x[0], false, &w[0], true), [x, w]))
    }

    fn backward<T: Float>(
        &self,
        [[x, x_lengths], [w, w_lengths]]: Self::Saved<T>,
        dc: Tensor<T>,
        need: [bool; 2],
    ) -> [Option<Tensor<T>>; 2] {
        // Σⱼ dc ŵⱼ is the gradient with respect to x̂; its part along x̂ is Σⱼ dc c x̂.
        let dx = || normalise_backward(&x, &x_lengths, product(&dc, false, &w, false));
        let dw = || normalise_backward(&w, &w_lengths, product(&dc, true, &x, false));
        [need[0].then(dx), need[1].then(dw)]
    }

    fn cases(g: &mut Gen) -> Vec<Case<Self, 2>> {
        let mut case = |[n, c, d]: [usize; 3]| {
            let mut rows = |n| g.away_from(&[0.0], 0.4, [n, d]);
            let inputs = [rows(n), rows(c)];
            Case::new(format!("{n}x{c}x{d}"), PairwiseCosine, inputs)
        };
        PAIRWISE_SIZES.map(&mut case).into()
    }
}

/// N, C, D.
const PAIRWISE_SIZES: [[usize; 3]; 5] =
    [[3, 4, 5], [1, 1, 2], [17, 3, 16], [2, 33, 15], [5, 4, 31]];

/// y\[i, j\] = |xᵢ − wⱼ|, or its square, of the rows of `[N, D]` and `[C, D]`;
/// dxᵢ = Σⱼ dy\[i, j\] (xᵢ − wⱼ) / y\[i, j\], and 2 (xᵢ − wⱼ) for the square;  dw likewise
///
/// Differences are taken element by element, not by |x|² + |w|² − 2⟨x, w⟩: in `f32` that form
/// loses a distance below some 1e-3 |x| altogether, and small distances are what metric learning
/// is about. Hence equal rows are at distance exactly 0, through which no gradient flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PairwiseDistance {
    /// Whether to leave out the square root.
    pub squared: bool,
}
impl Op<2> for PairwiseDistance {
    const NAME: &'static str = "pairwise_distance";
    /// The operands and the distances.
    type Saved<T: Float> = [Tensor<T>; 3];

    fn forward<T: Float>(&self, [x, w]: [&Tensor<T>; 2]) -> Result<(Tensor<T>, Self::Saved<T>)> {
        let [n, c, d] = pairwise(Self::NAME, x.shape(), w.shape())?;
        let mut y = Tensor::stale([n, c]);
        let (xs, ws) = (x.data(), w.data());
        let rows = par::task_size((par::CHEAP / (c * d).max(1)).max(ROWS), 1);
        par::chunks(y.data_mut(), rows * c, |start, piece| {
            let first = start / c;
            for (b, y) in piece.chunks_mut(ROWS * c).enumerate() {
                for j in 0..c {
                    let w = &ws[j * d..][..d];
                    for (r, y) in y.chunks_exact_mut(c).enumerate() {
                        let x = &xs[(first + b * ROWS + r) * d..][..d];
                        let square = sum_pairs(x, w, |x, w| (x - w) * (x - w));
                        y[j] = if self.squared { square } else { square.sqrt() };
                    }
                }
            }
        });
        Ok((y.clone(), [x.clone(), w.clone(), y]))
    }

    fn backward<T: Float>(
        &self,
        [x, w, y]: Self::Saved<T>,
        mut dy: Tensor<T>,
        need: [bool; 2],
    ) -> [Option<Tensor<T>>; 2] {
        if self.squared {
            let two = T::of(2.0);
            dy = dy.map(|dy| two * dy);
        } else {
            dy.zip_assign(&y, |dy, y| if y > T::ZERO { dy / y } else { T::ZERO });
        }
        let c = w.shape()[0];
        let dx = || pulls(&x, &w, dy.data(), [c, 1]);
        let dw = || pulls(&w, &x, dy.data(), [1, c]);
        [need[0].then(dx), need[1].then(dw)]
    }

    fn cases(g: &mut Gen) -> Vec<Case<Self, 2>> {
        let mut cases = Vec::new();
        for [n, c, d] in PAIRWISE_SIZES {
            for squared in [false, true] {
                // Far enough apart to keep clear of the kink at distance 0.
                let x = g.uniform([n, d], 0.5, 1.5);
                let w = g.uniform([c, d], -1.5, -0.5);
                let op = PairwiseDistance { squared };
                cases.push(Case::new(format!("{n}x{c}x{d} {op:?}"), op, [x, w]));
            }
        }
        cases
    }
}

/// Rows of the left operand that meet a row of the right one while it is in the cache.
const ROWS: usize = 8;

/// `outᵢ = Σⱼ g[i, j] (aᵢ − bⱼ)`, for `g` with the two given strides.
fn pulls<T: Float>(a: &Tensor<T>, b: &Tensor<T>, g: &[T], [gi, gj]: [usize; 2]) -> Tensor<T> {
    let mut out = Tensor::zeros(a.shape());
    let (count, d) = (b.shape()[0], a.shape()[1]);
    let (a, b) = (a.data(), b.data());
    let rows = par::task_size((par::CHEAP / (count * d).max(1)).max(ROWS), 1);
    par::chunks(out.data_mut(), rows * d, |start, piece| {
        let first = start / d;
        for (block, out) in piece.chunks_mut(ROWS * d).enumerate() {
            for j in 0..count {
                let b = &b[j * d..][..d];
                for (r, out) in out.chunks_exact_mut(d).enumerate() {
                    let i = first + block * ROWS + r;
                    let g = g[i * gi + j * gj];
                    for ((out, &a), &b) in out.iter_mut().zip(&a[i * d..][..d]).zip(b) {
                        *out += g * (a - b);
                    }
                }
            }
        }
    });
    out
}

#[cfg(test)]
mod tests {
    use crate::{Tensor, Var};

    fn leaf(rows: usize, elements: &[f32]) -> Var<f32> {
        Var::leaf(Tensor::new([rows, elements.len() / rows], elements))
    }

    /// A network with one dead embedding goes on learning from the others.
    #[test]
    fn a_zero_row_stays_zero_and_has_no_gradient() {
        let x = leaf(2, &[3.0, 4.0, 0.0, 0.0]);
        let y = x.l2_normalize();
        assert_eq!(y.value().data(), &[0.6, 0.8, 0.0, 0.0]);
        let dx = y.sum().backward();
        let dx = dx.of(&x).unwrap().data();
        assert!(dx[0] > 0.0 && dx[1] < 0.0, "{dx:?}");
        assert_eq!(dx[2..], [0.0, 0.0]);

        // Also one so short that its square is zero in f32.
        let short = leaf(2, &[1e-30, 0.0]);
        let dx = short.l2_normalize().sum().backward();
        assert_eq!(dx.of(&short).unwrap().data(), &[0.0, 0.0]);

        let norms = x.row_norms();
        assert_eq!(norms.value().data(), &[5.0, 0.0]);
        let dx = norms.sum().backward();
        assert_eq!(dx.of(&x).unwrap().data(), &[0.6, 0.8, 0.0, 0.0]);

        let w = leaf(2, &[0.0, 0.0, 1.0, 0.0]);
        let cosines = x.pairwise_cosine(&w);
        assert_eq!(cosines.value().data(), &[0.0, 0.6, 0.0, 0.0]);
        let gradients = cosines.sum().backward();
        // x[0] is pulled by w[1] alone; w[0], a zero row, by nothing.
        let (dx, dw) = (gradients.of(&x).unwrap(), gradients.of(&w).unwrap());
        assert!(dx.data()[0] > 0.0 && dx.data()[2..] == [0.0, 0.0], "{dx:?}");
        assert!(dw.data()[..2] == [0.0, 0.0] && dw.data()[3] > 0.0, "{dw:?}");
    }

    #[test]
    fn equal_rows_are_at_distance_zero_and_pull_nothing() {
        // Numbers whose squares round: the product form would not give 0.
        let x = leaf(2, &[0.1, 1234.567, -0.7, 3.0, 4.0, 0.0]);
        let w = leaf(2, &[0.1, 1234.567, -0.7, 0.0, 0.0, 0.0]);
        let y = x.pairwise_distance(&w);
        assert_eq!((y.value().data()[0], y.value().data()[3]), (0.0, 5.0));
        let dy = Tensor::new([2, 2], &[1.0, 0.0, 0.0, 1.0]);
        let gradients = y.backward_from(dy).unwrap();
        let expected = [0.0, 0.0, 0.0, 0.6, 0.8, 0.0];
        assert_eq!(gradients.of(&x).unwrap().data(), &expected);
        assert_eq!(gradients.of(&w).unwrap().data(), &expected.map(|g| -g));
    }

    #[test]
    fn a_row_against_itself_sends_its_gradients_to_one_place() {
        let x = leaf(3, &[0.0, 0.0, 3.0, 4.0, 6.0, 8.0]);
        let y = x.pairwise_squared_distance(&x);
        let expected = [0.0, 25.0, 100.0, 25.0, 0.0, 25.0, 100.0, 25.0, 0.0];
        assert_eq!(y.value().data(), &expected);
        let dx = y.sum().backward();
        let expected = [-36.0, -48.0, 0.0, 0.0, 36.0, 48.0];
        assert_eq!(dx.of(&x).unwrap().data(), &expected);
    }

    #[test]
    fn rows_of_different_lengths_are_an_error() {
        let (x, w) = (leaf(1, &[0.0; 3]), leaf(1, &[0.0; 4]));
        for e in [x.try_pairwise_cosine(&w), x.try_pairwise_distance(&w)] {
            let e = e.unwrap_err().to_string();
            assert!(e.contains("[1, 3]") && e.contains("[1, 4]"), "{e}");
        }
    }
}
