//! `Tensor<T>`: numbers with a shape. It knows nothing of differentiation; that is [`Var`].
//!
//! [`Var`]: crate::Var

use crate::error::{Error, Result};
use crate::float::Float;
use crate::par;
use crate::pool::Buffer;
use crate::shape::Shape;
use std::fmt;
use std::sync::Arc;

/// A contiguous, row-major block of numbers.
///
/// Cloning and reshaping share the buffer; writing through [`data_mut`](Tensor::data_mut) copies
/// it first if somebody else holds it too. Images are `[N, H, W, C]`.
///
/// ```
/// use engine::Tensor;
/// let a = Tensor::new([2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0_f32]);
/// let mut b = a.reshape([3, 2]);
/// b.data_mut()[0] = 10.0;
/// assert_eq!((a.data()[0], b.data()[0]), (1.0, 10.0));
/// ```
#[derive(Clone)]
pub struct Tensor<T: Float> {
    storage: Arc<Buffer<T>>,
    /// Where this tensor begins in the buffer: 0 but for parameters, which share an arena.
    offset: usize,
    shape: Shape,
}

impl<T: Float> Tensor<T> {
    /// A tensor of these elements.
    ///
    /// # Panics
    /// If their number is not that of the shape.
    #[track_caller]
    pub fn new(shape: impl Into<Shape>, elements: &[T]) -> Self {
        Self::try_new(shape, elements).unwrap_or_else(|e| panic!("{e}"))
    }

    /// A tensor of these elements.
    ///
    /// # Errors
    /// [`Error::Elements`] if their number is not that of the shape.
    pub fn try_new(shape: impl Into<Shape>, elements: &[T]) -> Result<Self> {
        let shape = shape.into();
        if shape.elements() != elements.len() {
            return Err(Error::Elements {
                shape,
                found: elements.len(),
            });
        }
        Ok(Self::from_buffer(shape, Buffer::copied(elements)))
    }

    /// A single number.
    pub fn scalar(value: T) -> Self {
        Self::full(Shape::SCALAR, value)
    }

    /// Every element the same.
    pub fn full(shape: impl Into<Shape>, value: T) -> Self {
        let shape = shape.into();
        Self::from_buffer(shape, Buffer::filled(shape.elements(), value))
    }

    /// All zeros.
    pub fn zeros(shape: impl Into<Shape>) -> Self {
        Self::full(shape, T::ZERO)
    }

    /// Contents left over from some earlier tensor: for a kernel that overwrites every element.
    pub fn stale(shape: impl Into<Shape>) -> Self {
        let shape = shape.into();
        Self::from_buffer(shape, Buffer::stale(shape.elements()))
    }

    /// Element `i`, in row-major order, is `f(i)`.
    pub fn from_fn(shape: impl Into<Shape>, mut f: impl FnMut(usize) -> T) -> Self {
        let mut tensor = Self::stale(shape);
        for (i, x) in tensor.data_mut().iter_mut().enumerate() {
            *x = f(i);
        }
        tensor
    }

    /// Takes over a buffer.
    ///
    /// # Panics
    /// If the buffer does not have the number of elements of the shape.
    pub fn from_buffer(shape: impl Into<Shape>, buffer: Buffer<T>) -> Self {
        Self::view(Arc::new(buffer), 0, shape.into())
    }

    /// A part of a shared buffer.
    pub(crate) fn view(storage: Arc<Buffer<T>>, offset: usize, shape: Shape) -> Self {
        assert!(offset + shape.elements() <= storage.len());
        Tensor {
            storage,
            offset,
            shape,
        }
    }

    /// The shape.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The number of elements.
    pub fn elements(&self) -> usize {
        self.shape.elements()
    }

    /// The elements in row-major order.
    pub fn data(&self) -> &[T] {
        &self.storage[self.offset..self.offset + self.shape.elements()]
    }

    /// The elements, for writing. Copies them first if the buffer is shared.
    pub fn data_mut(&mut self) -> &mut [T] {
        let elements = self.shape.elements();
        if Arc::get_mut(&mut self.storage).is_none() {
            self.storage = Arc::new(Buffer::copied(self.data()));
            self.offset = 0;
        }
        let buffer = Arc::get_mut(&mut self.storage).expect("just made unique");
        &mut buffer[self.offset..self.offset + elements]
    }

    /// The one element of a tensor that has one.
    ///
    /// # Panics
    /// If it has more or none.
    #[track_caller]
    pub fn item(&self) -> T {
        match self.data() {
            [x] => *x,
            _ => panic!("item() on a tensor of shape {}", self.shape),
        }
    }

    /// The same elements under another shape, without a copy.
    ///
    /// # Panics
    /// If the number of elements differs.
    #[track_caller]
    pub fn reshape(&self, shape: impl Into<Shape>) -> Self {
        let shape = shape.into();
        assert_eq!(
            shape.elements(),
            self.elements(),
            "reshape of {} to {shape}",
            self.shape
        );
        Tensor {
            shape,
            ..self.clone()
        }
    }

    /// `f` of every element.
    pub fn map(&self, f: impl Fn(T) -> T + Sync + Send) -> Self {
        let mut out = Self::stale(self.shape);
        let x = self.data();
        par::chunks(
            out.data_mut(),
            par::task_size(par::CHEAP, 1),
            |start, out| {
                for (o, &x) in out.iter_mut().zip(&x[start..]) {
                    *o = f(x);
                }
            },
        );
        out
    }

    /// `self[i] = f(self[i], other[i])`, in place unless the buffer is shared.
    ///
    /// # Panics
    /// If the shapes differ.
    pub fn zip_assign(&mut self, other: &Self, f: impl Fn(T, T) -> T + Sync + Send) {
        assert_eq!(self.shape, other.shape, "two tensors of different shapes");
        let y = other.data();
        par::chunks(
            self.data_mut(),
            par::task_size(par::CHEAP, 1),
            |start, x| {
                for (x, &y) in x.iter_mut().zip(&y[start..]) {
                    *x = f(*x, y);
                }
            },
        );
    }

    /// Adds another tensor of the same shape, in place.
    pub fn add_assign(&mut self, other: &Self) {
        self.zip_assign(other, |x, y| x + y);
    }

    /// The same numbers in another type.
    pub fn cast<U: Float>(&self) -> Tensor<U> {
        let x = self.data();
        Tensor::from_fn(self.shape, |i| U::of(x[i].to_f64()))
    }

    /// The bits of every element, for comparisons that mean "exactly the same".
    pub fn bits(&self) -> Vec<u64> {
        self.data().iter().map(|x| x.to_bits64()).collect()
    }
}

impl<T: Float> fmt::Debug for Tensor<T> {
    /// The shape and the first few elements.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 8;
        write!(f, "Tensor<{}>{} ", T::NAME, self.shape)?;
        let shown = &self.data()[..self.elements().min(SHOWN)];
        f.debug_list().entries(shown).finish()?;
        if self.elements() > SHOWN {
            write!(f, " …")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writing_copies_a_shared_buffer_and_only_a_shared_one() {
        let mut a = Tensor::<f32>::zeros([4]);
        let before = a.data().as_ptr();
        a.data_mut()[1] = 1.0;
        assert_eq!(a.data().as_ptr(), before, "unshared: in place");
        let b = a.clone();
        a.data_mut()[1] = 2.0;
        assert_eq!((a.data()[1], b.data()[1]), (2.0, 1.0));
    }

    #[test]
    fn a_wrong_number_of_elements_is_an_error() {
        let e = Tensor::try_new([2, 2], &[1.0, 2.0, 3.0_f64]).unwrap_err();
        assert_eq!(
            e.to_string(),
            "a tensor of shape [2, 2] has 4 elements, but 3 were given"
        );
    }

    #[test]
    fn map_and_zip_reach_every_element() {
        par::with_smallest_tasks(|| {
            let x = Tensor::from_fn([1001], |i| i as f64);
            let mut y = x.map(|v| 2.0 * v);
            y.add_assign(&x);
            assert!(
                y.data()
                    .iter()
                    .enumerate()
                    .all(|(i, &v)| v == 3.0 * i as f64)
            );
        });
    }
}
