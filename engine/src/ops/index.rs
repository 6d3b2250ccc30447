//! Selection by index: rows of a tensor, and one element of each row.

use crate::error::{BadOperands, Result};
use crate::float::Float;
use crate::gradcheck::{Case, Gen};
use crate::op::Op;
use crate::par;
use crate::shape::Shape;
use crate::tensor::Tensor;
use std::sync::Arc;

/// Says what is wrong with indices of which there must be `expected`, all below `bound`.
pub(super) fn check_indices(
    indices: &[usize],
    expected: usize,
    what: &str,
    bound: usize,
    things: &str,
) -> std::result::Result<(), String> {
    if indices.len() != expected {
        let found = indices.len();
        return Err(format!("{found} {what}s were given for {expected} rows"));
    }
    match indices.iter().position(|&i| i >= bound) {
        None => Ok(()),
        Some(at) => Err(format!(
            "{what} {} at position {at} is out of range: there are {bound} {things}, counted from 0",
            indices[at]
        )),
    }
}

/// y\[m, …\] = x\[indices\[m\], …\];  dx\[r, …\] = Σ dy\[m, …\] over the m with indices\[m\] = r
#[derive(Clone, Debug)]
pub struct Rows {
    /// Which rows, along axis 0, in which order; a row may come more than once.
    pub indices: Arc<[usize]>,
}
impl Op<1> for Rows {
    const NAME: &'static str = "rows";
    type Saved<T: Float> = Shape;

    fn forward<T: Float>(&self, [x]: [&Tensor<T>; 1]) -> Result<(Tensor<T>, Shape)> {
        let refuse =
            |reason: String| BadOperands::new(Self::NAME, reason).operand("input", "", x.shape());
        let Some(&rows) = x.shape().first() else {
            return Err(refuse("a single number has no rows".into()).into());
        };
        let (indices, count) = (&self.indices, self.indices.len());
        check_indices(indices, count, "index", rows, "rows").map_err(refuse)?;
        let [_, _, width] = x.shape().around(0);
        let mut y = Tensor::stale(x.shape().with(0, count));
        let size = par::task_size(par::CHEAP, width);
        let x_data = x.data();
        par::chunks(y.data_mut(), size, |start, piece| {
            for (y, &i) in piece.chunks_mut(width).zip(&indices[start / width..]) {
                y.copy_from_slice(&x_data[i * width..][..width]);
            }
        });
        Ok((y, x.shape()))
    }

    fn backward<T: Float>(
        &self,
        shape: Shape,
        dy: Tensor<T>,
        _: [bool; 1],
    ) -> [Option<Tensor<T>>; 1] {
        let [_, rows, width] = shape.around(0);
        // The positions that took each row, in order, so that every row sums its own: no two
        // threads write to the same place, and the order of the sum is fixed.
        let mut takers = vec![Vec::new(); rows];
        for (m, &i) in self.indices.iter().enumerate() {
            takers[i].push(m);
        }
        let mut dx = Tensor::stale(shape);
        let dy = dy.data();
        par::chunks(
            dx.data_mut(),
            par::task_size(par::CHEAP, width),
            |start, piece| {
                for (dx, takers) in piece.chunks_mut(width).zip(&takers[start / width..]) {
                    dx.fill(T::ZERO);
                    for &m in takers {
                        for (dx, &dy) in dx.iter_mut().zip(&dy[m * width..][..width]) {
                            *dx += dy;
                        }
                    }
                }
            },
        );
        [Some(dx)]
    }

    fn cases(g: &mut Gen) -> Vec<Case<Self, 1>> {
        let cases: [(&[usize], &[usize]); 5] = [
            (&[5, 3], &[4, 0, 2]),
            (&[3, 17], &[1, 1, 2, 1, 0, 0]),
            (&[4], &[2, 3, 2]),
            (&[2, 3, 2], &[1]),
            (&[1, 33], &[0, 0]),
        ];
        let case = |&(shape, indices): &(&[usize], &[usize])| {
            let op = Rows {
                indices: indices.into(),
            };
            Case::new(format!("{shape:?} at {indices:?}"), op, [g.normal(shape)])
        };
        cases.iter().map(case).collect()
    }
}

/// y\[n\] = x\[n, labels\[n\]\];  dx is dy at these elements, 0 elsewhere
#[derive(Clone, Debug)]
pub struct Pick {
    /// The column to take from every row.
    pub labels: Arc<[usize]>,
}
impl Op<1> for Pick {
    const NAME: &'static str = "pick";
    type Saved<T: Float> = Shape;

    fn forward<T: Float>(&self, [x]: [&Tensor<T>; 1]) -> Result<(Tensor<T>, Shape)> {
        let refuse = |reason: String| {
            BadOperands::new(Self::NAME, reason).operand("input", "[N, C]", x.shape())
        };
        let [n, c] = *x.shape() else {
            return Err(refuse("the input must have two axes".into()).into());
        };
        check_indices(&self.labels, n, "label", c, "columns").map_err(refuse)?;
        let y = Tensor::from_fn([n], |i| x.data()[i * c + self.labels[i]]);
        Ok((y, x.shape()))
    }

    fn backward<T: Float>(
        &self,
        shape: Shape,
        dy: Tensor<T>,
        _: [bool; 1],
    ) -> [Option<Tensor<T>>; 1] {
        let mut dx = Tensor::stale(shape);
        let (c, dy) = (shape[1], dy.data());
        par::chunks(
            dx.data_mut(),
            par::task_size(par::CHEAP, c),
            |start, piece| {
                piece.fill(T::ZERO);
                for (r, dx) in piece.chunks_mut(c).enumerate() {
                    let i = start / c + r;
                    dx[self.labels[i]] = dy[i];
                }
            },
        );
        [Some(dx)]
    }

    fn cases(g: &mut Gen) -> Vec<Case<Self, 1>> {
        let mut case = |[n, c]: [usize; 2]| {
            let labels = g.labels(n, c).into();
            Case::new(format!("{n}x{c}"), Pick { labels }, [g.normal([n, c])])
        };
        [[1, 1], [3, 5], [17, 33]].map(&mut case).into()
    }
}

#[cfg(test)]
mod tests {
    use crate::{Tensor, Var};

    #[test]
    fn a_repeated_row_sums_its_gradients() {
        let x = Var::leaf(Tensor::new([3, 2], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0_f32]));
        let y = x.rows([2, 0, 2]);
        assert_eq!(y.value().data(), &[4.0, 5.0, 0.0, 1.0, 4.0, 5.0]);
        let dy = Tensor::new([3, 2], &[1.0, 2.0, 3.0, 4.0, 10.0, 20.0]);
        let dx = y.backward_from(dy).unwrap();
        let expected = [3.0, 4.0, 0.0, 0.0, 11.0, 22.0];
        assert_eq!(dx.of(&x).unwrap().data(), &expected);
    }

    #[test]
    fn no_rows_are_a_tensor_without_rows() {
        let x = Var::<f32>::leaf(Tensor::zeros([3, 2]));
        let y = x.rows([]);
        assert_eq!(*y.shape(), [0, 2]);
        assert_eq!(y.sum().backward().of(&x).unwrap().data(), &[0.0; 6]);
    }

    #[test]
    fn an_index_out_of_range_is_named_with_its_place() {
        let x = Var::<f32>::constant(Tensor::zeros([3, 2]));
        let e = x.try_rows([0, 1, 3]).unwrap_err().to_string();
        for part in ["rows", "index 3", "position 2", "3 rows"] {
            assert!(e.contains(part), "{part} is missing in: {e}");
        }
        let e = x.try_pick([0, 2, 0]).unwrap_err().to_string();
        for part in ["pick", "label 2", "position 1", "2 columns"] {
            assert!(e.contains(part), "{part} is missing in: {e}");
        }
    }
}
