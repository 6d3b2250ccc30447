//! Matrix products.

use crate::error::{BadOperands, Result};
use crate::float::Float;
use crate::gradcheck::{Case, Gen, SIZES};
use crate::kernels::gemm::{Matrix, gemm};
use crate::op::Op;
use crate::tensor::Tensor;

/// C = A·B, either operand transposed.
///
/// dA = dC·Bᵀ,  dB = Aᵀ·dC,  and the transposes of these for transposed operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MatMul {
    /// `a` is stored as `[k, m]`.
    pub transpose_a: bool,
    /// `b` is stored as `[n, k]`.
    pub transpose_b: bool,
}

impl MatMul {
    /// `A·B` of `[m, k]` and `[k, n]`.
    pub const NN: MatMul = MatMul::of(false, false);
    /// `A·Bᵀ` of `[m, k]` and `[n, k]`.
    pub const NT: MatMul = MatMul::of(false, true);
    /// `Aᵀ·B` of `[k, m]` and `[k, n]`.
    pub const TN: MatMul = MatMul::of(true, false);
    /// `Aᵀ·Bᵀ` of `[k, m]` and `[n, k]`.
    pub const TT: MatMul = MatMul::of(true, true);

    const fn of(transpose_a: bool, transpose_b: bool) -> Self {
        MatMul {
            transpose_a,
            transpose_b,
        }
    }
}

/// A two-dimensional tensor as an operand.
fn matrix<T: Float>(x: &Tensor<T>, transposed: bool) -> Matrix<'_, T> {
    let shape = x.shape();
    Matrix {
        data: x.data(),
        rows: shape[0],
        cols: shape[1],
        transposed,
    }
}

/// The product as a new tensor `[m, n]`.
pub(crate) fn product<T: Float>(
    a: &Tensor<T>,
    transpose_a: bool,
    b: &Tensor<T>,
    transpose_b: bool,
) -> Tensor<T> {
    let m = a.shape()[usize::from(transpose_a)];
    let n = b.shape()[usize::from(!transpose_b)];
    let mut c = Tensor::stale([m, n]);
    let (a, b) = (matrix(a, transpose_a), matrix(b, transpose_b));
    gemm(a, b, c.data_mut());
    c
}

impl Op<2> for MatMul {
    const NAME: &'static str = "matmul";
    type Saved<T: Float> = [Tensor<T>; 2];

    fn forward<T: Float>(&self, [a, b]: [&Tensor<T>; 2]) -> Result<(Tensor<T>, [Tensor<T>; 2])> {
        let (ta, tb) = (self.transpose_a, self.transpose_b);
        let fits = match (&*a.shape(), &*b.shape()) {
            (a @ [_, _], b @ [_, _]) => a[usize::from(!ta)] == b[usize::from(tb)],
            _ => false,
        };
        if !fits {
            let layout = |t, plain, transposed| if t { transposed } else { plain };
            return Err(
                BadOperands::new(Self::NAME, "two matrices with a common k are needed")
                    .operand("left", layout(ta, "[m, k]", "[k, m]"), a.shape())
                    .operand("right", layout(tb, "[k, n]", "[n, k]"), b.shape())
                    .hint(
                        "`matmul_nt` and `matmul_tn` transpose an operand; `reshape` flattens axes",
                    )
                    .into(),
            );
        }
        Ok((product(a, ta, b, tb), [a.clone(), b.clone()]))
    }

    fn backward<T: Float>(
        &self,
        [a, b]: [Tensor<T>; 2],
        dc: Tensor<T>,
        need: [bool; 2],
    ) -> [Option<Tensor<T>>; 2] {
        let (ta, tb) = (self.transpose_a, self.transpose_b);
        let da = || match ta {
            false => product(&dc, false, &b, !tb),
            true => product(&b, tb, &dc, true),
        };
        let db = || match tb {
            false => product(&a, !ta, &dc, false),
            true => product(&dc, true, &a, ta),
        };
        [need[0].then(da), need[1].then(db)]
    }

    fn cases(g: &mut Gen) -> Vec<Case<Self, 2>> {
        let mut cases = Vec::new();
        for op in [Self::NN, Self::NT, Self::TN, Self::TT] {
            for [m, k, n] in [[3, 4, 5], [1, 1, 1], [17, 2, 33], [1, 31, 1]] {
                let a = if op.transpose_a { [k, m] } else { [m, k] };
                let b = if op.transpose_b { [n, k] } else { [k, n] };
                let name = format!("{m}x{k}x{n} {op:?}");
                cases.push(Case::new(name, op, [g.normal(a), g.normal(b)]));
            }
        }
        for n in SIZES {
            let inputs = [g.normal([n, n]), g.normal([n, n])];
            cases.push(Case::new(format!("{n}x{n}x{n}"), Self::NN, inputs));
        }
        cases
    }
}

#[cfg(test)]
mod tests {
    use crate::{Params, Tensor, Var};

    #[test]
    fn a_shape_error_names_roles_layouts_and_the_parameter() {
        let mut params = Params::<f32>::new();
        let w = params.add("head.weight", Tensor::zeros([10, 32]));
        let x = Var::constant(Tensor::zeros([8, 64]));
        let error = x.try_matmul_nt(&params.var(w)).unwrap_err().to_string();
        for part in [
            "matmul",
            "[8, 64] [m, k]",
            "[10, 32] [n, k] (`head.weight`)",
            "hint",
        ] {
            assert!(error.contains(part), "{part} is missing in: {error}");
        }
    }

    #[test]
    fn an_empty_inner_axis_gives_zeros() {
        let a = Var::<f64>::constant(Tensor::zeros([2, 0]));
        let b = Var::constant(Tensor::zeros([0, 3]));
        assert_eq!(a.matmul(&b).value().data(), &[0.0; 6]);
    }
}
