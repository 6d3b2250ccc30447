//! Element by element over two operands, one or both of which may be repeated to fit.

use crate::float::Float;
use crate::par;
use crate::shape::Shape;
use crate::tensor::Tensor;

/// How two operands are walked to fill an output: axes that both walk evenly are merged, so that
/// the innermost loop is as long as possible.
struct Walk {
    /// Length and the two operands' strides of each merged axis, outermost first.
    outer: Vec<[usize; 3]>,
    inner: [usize; 3],
}

impl Walk {
    fn new(out: Shape, a: Shape, b: Shape) -> Self {
        // The stride of an axis of `s` aligned with axis `i` of the output; 0 if it is repeated.
        let stride = |s: &Shape, i: usize| match (i + s.rank()).checked_sub(out.rank()) {
            Some(j) if s[j] != 1 => s[j + 1..].iter().product(),
            _ => 0,
        };
        let mut axes: Vec<[usize; 3]> = Vec::new();
        for i in 0..out.rank() {
            let axis @ [n, sa, sb] = [out[i], stride(&a, i), stride(&b, i)];
            match axes.last_mut() {
                _ if n == 1 => {}
                Some([len, la, lb]) if *la == n * sa && *lb == n * sb => {
                    [*len, *la, *lb] = [*len * n, sa, sb];
                }
                _ => axes.push(axis),
            }
        }
        let inner = axes.pop().unwrap_or([1, 0, 0]);
        Walk { outer: axes, inner }
    }

    /// Where row `r` of the output begins in the two operands.
    fn offsets(&self, mut r: usize) -> [usize; 2] {
        let mut at = [0, 0];
        for &[n, sa, sb] in self.outer.iter().rev() {
            let i = r % n;
            r /= n;
            at = [at[0] + i * sa, at[1] + i * sb];
        }
        at
    }
}

/// `out[i] = f(out[i], a[i], b[i])` with both operands repeated to the shape of `out`.
///
/// `f` may ignore the old value of `out`, so that one walk serves forward and backward.
pub fn zip_into<T: Float>(
    out: &mut Tensor<T>,
    a: &Tensor<T>,
    b: &Tensor<T>,
    f: impl Fn(T, T, T) -> T + Sync + Send,
) {
    let walk = Walk::new(out.shape(), a.shape(), b.shape());
    let (a, b) = (a.data(), b.data());
    let [row, sa, sb] = walk.inner;
    let size = par::task_size(par::CHEAP, row);
    par::chunks(out.data_mut(), size, |start, piece| {
        for (r, o) in piece.chunks_mut(row).enumerate() {
            let [ia, ib] = walk.offsets(start / row + r);
            // One loop for each way of being repeated, so that each is vectorised.
            match (sa, sb) {
                (1, 1) => {
                    let (a, b) = (&a[ia..ia + row], &b[ib..ib + row]);
                    for ((o, &a), &b) in o.iter_mut().zip(a).zip(b) {
                        *o = f(*o, a, b);
                    }
                }
                (1, 0) => {
                    let b = b[ib];
                    for (o, &a) in o.iter_mut().zip(&a[ia..ia + row]) {
                        *o = f(*o, a, b);
                    }
                }
                (0, 1) => {
                    let a = a[ia];
                    for (o, &b) in o.iter_mut().zip(&b[ib..ib + row]) {
                        *o = f(*o, a, b);
                    }
                }
                _ => {
                    let (a, b) = (a[ia], b[ib]);
                    for o in o {
                        *o = f(*o, a, b);
                    }
                }
            }
        }
    });
}

/// The gradient of an operand that was repeated: the sum over all its copies.
pub fn sum_to<T: Float>(full: Tensor<T>, shape: Shape) -> Tensor<T> {
    if full.shape() == shape {
        return full;
    }
    let mut x = full;
    let missing = x.shape().rank() - shape.rank();
    // Neighbouring repeated axes are summed as one.
    let repeated = |i: usize| i < missing || shape[i - missing] == 1;
    let lengths = x.shape();
    let mut axis = lengths.rank();
    while axis > 0 {
        let end = axis;
        while axis > 0 && repeated(axis - 1) {
            axis -= 1;
        }
        if axis < end {
            let outer: usize = lengths[..axis].iter().product();
            let n: usize = lengths[axis..end].iter().product();
            let inner = x.elements() / (outer * n).max(1);
            x = crate::kernels::reduce::sum(&x, [outer, n, inner]);
        }
        axis = axis.saturating_sub(1);
    }
    x.reshape(shape)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(s: &[usize]) -> Shape {
        s.into()
    }

    /// Index by index, the slow way.
    fn naive(out: Shape, s: Shape, i: usize) -> usize {
        let (mut rest, mut at, mut stride) = (i, 0, 1);
        for axis in (0..out.rank()).rev() {
            let index = rest % out[axis];
            rest /= out[axis];
            if let Some(j) = (axis + s.rank()).checked_sub(out.rank()) {
                at += if s[j] == 1 { 0 } else { index * stride };
                stride *= s[j];
            }
        }
        at
    }

    #[test]
    fn every_way_of_repeating_agrees_with_indexing() {
        let cases: [[&[usize]; 2]; 9] = [
            [&[2, 3, 4], &[2, 3, 4]],
            [&[2, 3, 4], &[4]],
            [&[2, 3, 4], &[3, 1]],
            [&[2, 3, 4], &[2, 1, 4]],
            [&[2, 1, 4], &[3, 1]],
            [&[], &[2, 3]],
            [&[1], &[5]],
            [&[2, 1, 3, 1, 2], &[1, 4, 1, 5, 1]],
            [&[1, 1], &[1]],
        ];
        for [a, b] in cases {
            let (sa, sb) = (shape(a), shape(b));
            let so = sa.broadcast(&sb).unwrap();
            let a = Tensor::from_fn(sa, |i| i as f64);
            let b = Tensor::from_fn(sb, |i| 100.0 * i as f64);
            let mut out = Tensor::zeros(so);
            par::with_smallest_tasks(|| zip_into(&mut out, &a, &b, |_, a, b| a + b));
            for i in 0..so.elements() {
                let expected = a.data()[naive(so, sa, i)] + b.data()[naive(so, sb, i)];
                assert_eq!(out.data()[i], expected, "{sa} {sb} at {i}");
            }
            for (s, x) in [(sa, &a), (sb, &b)] {
                let mut expected = vec![0.0; x.elements()];
                for i in 0..so.elements() {
                    expected[naive(so, s, i)] += out.data()[i];
                }
                let summed = sum_to(out.clone(), s);
                assert_eq!((summed.shape(), summed.data()), (s, &expected[..]));
            }
        }
    }
}
