//! Pooling of images `[N, H, W, C]`.
//!
//! Forward and backward both *gather*: an output pixel reads its window, an input pixel reads the
//! windows that hold it. So every pixel is written by one thread, in a fixed order. The innermost
//! loop runs over the channels.

use crate::error::{BadOperands, Result};
use crate::float::Float;
use crate::gradcheck::{Case, Gen};
use crate::kernels::simd::per_isa;
use crate::op::Op;
use crate::par;
use crate::pool::Buffer;
use crate::shape::Shape;
use crate::tensor::Tensor;
use std::ops::Range;

/// Which windows of an image are pooled; every pair is `[vertical, horizontal]`.
///
/// The output has `⌊(n + 2·padding − kernel) / stride⌋ + 1` pixels along an axis of `n`: a window
/// that does not fit is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The size of a window.
    pub kernel: [usize; 2],
    /// The way from one window to the next.
    pub stride: [usize; 2],
    /// How far windows reach over the image, on every side; at most half a window.
    pub padding: [usize; 2],
}

impl Window {
    /// The same along both axes.
    pub const fn square(kernel: usize, stride: usize, padding: usize) -> Self {
        Window {
            kernel: [kernel; 2],
            stride: [stride; 2],
            padding: [padding; 2],
        }
    }
}

/// The windows along one axis.
#[derive(Clone, Copy)]
struct Axis {
    input: usize,
    output: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
}

impl Axis {
    /// The input pixels inside window `o`.
    fn pixels(&self, o: usize) -> Range<usize> {
        let start = o * self.stride;
        let end = (start + self.kernel - self.padding).min(self.input);
        start.saturating_sub(self.padding)..end
    }

    /// The windows that hold input pixel `i`.
    fn windows(&self, i: usize) -> Range<usize> {
        let i = i + self.padding;
        let first = (i + 1).saturating_sub(self.kernel).div_ceil(self.stride);
        first..(i / self.stride + 1).min(self.output)
    }

    /// The place of input pixel `i` in window `o`.
    fn place(&self, o: usize, i: usize) -> usize {
        i + self.padding - o * self.stride
    }
}

/// The windows of a batch of images.
#[derive(Clone, Copy)]
struct Grid {
    images: usize,
    axes: [Axis; 2],
    channels: usize,
}

impl Grid {
    fn new(op: &'static str, window: &Window, shape: Shape) -> Result<Grid> {
        let refuse = |reason: String| {
            let bad = BadOperands::new(op, reason).operand("input", "[N, H, W, C]", shape);
            bad.hint(format!("the window is {window:?}")).into()
        };
        let [images, h, w, channels] = *shape else {
            return Err(refuse("images are needed".into()));
        };
        let axis = |a: usize, name: &str, input: usize| {
            let [kernel, stride, padding] =
                [window.kernel, window.stride, window.padding].map(|pair| pair[a]);
            if kernel == 0 || stride == 0 {
                return Err(refuse(format!("the {name} kernel or stride is 0")));
            }
            if padding > kernel / 2 {
                return Err(refuse(format!(
                    "a {name} padding of {padding} is more than half the kernel of {kernel}, \
                     so a window could miss the image"
                )));
            }
            if input == 0 {
                return Err(refuse("the image has no pixels".into()));
            }
            let padded = input + 2 * padding;
            if kernel > padded {
                return Err(refuse(format!(
                    "a {name} kernel of {kernel} is larger than the image with its padding, {padded}"
                )));
            }
            let output = (padded - kernel) / stride + 1;
            Ok(Axis {
                input,
                output,
                kernel,
                stride,
                padding,
            })
        };
        Ok(Grid {
            images,
            axes: [axis(0, "vertical", h)?, axis(1, "horizontal", w)?],
            channels,
        })
    }

    fn input(&self) -> Shape {
        let [h, w] = self.axes;
        [self.images, h.input, w.input, self.channels].into()
    }

    fn output(&self) -> Shape {
        let [h, w] = self.axes;
        [self.images, h.output, w.output, self.channels].into()
    }

    /// Rows of `pixels` pixels that make a task, each pixel costing a whole window.
    fn rows_per_task(&self, pixels: usize) -> usize {
        let [h, w] = self.axes;
        let cost = pixels * self.channels * h.kernel * w.kernel;
        par::task_size(par::CHEAP.div_ceil(cost.max(1)), 1)
    }

    /// Fills the gradient of the input: `f(dx, at, places)` adds to the channels `dx` of an
    /// input pixel what comes from the output pixel that begins at `at`, in whose window the
    /// input pixel has the place `place`.
    fn gather<T: Float>(
        &self,
        f: impl Fn(&mut [T], usize, usize, [usize; 2]) + Sync + Send,
    ) -> Tensor<T> {
        let mut dx = Tensor::stale(self.input());
        let ([h, w], c) = (self.axes, self.channels);
        let row = w.input * c;
        let size = self.rows_per_task(w.input) * row;
        par::chunks(dx.data_mut(), size, |start, piece| {
            for (r, dx) in piece.chunks_mut(row).enumerate() {
                let (n, i) = ((start / row + r) / h.input, (start / row + r) % h.input);
                for (j, dx) in dx.chunks_mut(c).enumerate() {
                    dx.fill(T::ZERO);
                    for oh in h.windows(i) {
                        for ow in w.windows(j) {
                            let at = ((n * h.output + oh) * w.output + ow) * c;
                            let place = h.place(oh, i) * w.kernel + w.place(ow, j);
                            f(dx, at, place, [oh, ow]);
                        }
                    }
                }
            }
        });
        dx
    }
}

/// y = the largest element of each window;  dx = Σ dy of the windows whose maximum it is
///
/// Of equals the first one in row order is the maximum, as in PyTorch. Padding never is. A NaN
/// always is, so that it is not hidden.
#[derive(Clone, Debug)]
pub struct MaxPool2d {
    /// The windows; at most 256 elements each.
    pub window: Window,
}
impl Op<1> for MaxPool2d {
    const NAME: &'static str = "max_pool2d";
    /// The place of every maximum in its window.
    type Saved<T: Float> = (Buffer<u8>, Shape);

    fn forward<T: Float>(&self, [x]: [&Tensor<T>; 1]) -> Result<(Tensor<T>, Self::Saved<T>)> {
        let grid = Grid::new(Self::NAME, &self.window, x.shape())?;
        let ([h, w], c) = (grid.axes, grid.channels);
        let elements = h.kernel.saturating_mul(w.kernel);
        if elements > 256 {
            let reason = format!("a window of {elements} elements is larger than 256");
            return Err(BadOperands::new(Self::NAME, reason)
                .operand("input", "[N, H, W, C]", x.shape())
                .hint("pool twice with smaller windows, or use `max_over` for a whole axis")
                .into());
        }
        let mut y = Tensor::stale(grid.output());
        let mut places = Buffer::stale(y.elements());
        let x_data = x.data();
        let row = w.output * c;
        let size = grid.rows_per_task(w.output) * row;
        par::chunks2(y.data_mut(), size, &mut places, size, |task, y, places| {
            for (r, (y, places)) in y.chunks_mut(row).zip(places.chunks_mut(row)).enumerate() {
                let r = task * (size / row) + r;
                let (n, oh) = (r / h.output, r % h.output);
                for (ow, (y, places)) in y.chunks_mut(c).zip(places.chunks_mut(c)).enumerate() {
                    let mut first = true;
                    for i in h.pixels(oh) {
                        for j in w.pixels(ow) {
                            let x = &x_data[((n * h.input + i) * w.input + j) * c..][..c];
                            let place = (h.place(oh, i) * w.kernel + w.place(ow, j)) as u8;
                            if std::mem::take(&mut first) {
                                y.copy_from_slice(x);
                                places.fill(place);
                                continue;
                            }
                            keep_larger(x, place, y, places);
                        }
                    }
                }
            }
        });
        Ok((y, (places, x.shape())))
    }

    fn backward<T: Float>(
        &self,
        (places, shape): Self::Saved<T>,
        dy: Tensor<T>,
        _: [bool; 1],
    ) -> [Option<Tensor<T>>; 1] {
        let grid = Grid::new(Self::NAME, &self.window, shape).expect("checked by forward");
        let (c, dy) = (grid.channels, dy.data());
        let dx = grid.gather(|dx, at, place, _| {
            let span = at..at + c;
            add_where(&places[span.clone()], place as u8, &dy[span], dx);
        });
        [Some(dx)]
    }

    fn cases(g: &mut Gen) -> Vec<Case<Self, 1>> {
        cases(g, |window| MaxPool2d { window }, |g, s| g.distinct(s))
    }
}

per_isa! {
    /// Takes over the elements of `x` that are larger than those of `y`, and notes their place.
    fn keep_larger<T: Float>(x: &[T], place: u8, y: &mut [T], places: &mut [u8]) {
        for ((y, p), &x) in y.iter_mut().zip(places).zip(x) {
            // No branches, and a mask for the place, let this vectorise.
            let larger = (x > *y) | x.is_nan();
            *y = if larger { x } else { *y };
            let mask = u8::from(larger).wrapping_neg();
            *p = (place & mask) | (*p & !mask);
        }
    }
}

per_isa! {
    /// Adds `dy` to `dx` where `places` says `place`.
    fn add_where<T: Float>(places: &[u8], place: u8, dy: &[T], dx: &mut [T]) {
        for ((dx, &dy), &p) in dx.iter_mut().zip(dy).zip(places) {
            *dx += if p == place { dy } else { T::ZERO };
        }
    }
}

/// y = the mean of each window;  dx = Σ dy / count of the windows that hold it
#[derive(Clone, Debug)]
pub struct AvgPool2d {
    /// The windows.
    pub window: Window,
    /// Whether padding counts, as zeros. If not, a window at the edge is divided by the number of
    /// its pixels inside the image.
    pub count_padding: bool,
}

impl AvgPool2d {
    /// One over the number of pixels that a window is divided by.
    fn scale<T: Float>(&self, [h, w]: [Axis; 2], oh: usize, ow: usize) -> T {
        let count = match self.count_padding {
            true => h.kernel * w.kernel,
            false => h.pixels(oh).len() * w.pixels(ow).len(),
        };
        T::ONE / T::of(count as f64)
    }
}

impl Op<1> for AvgPool2d {
    const NAME: &'static str = "avg_pool2d";
    type Saved<T: Float> = Shape;

    fn forward<T: Float>(&self, [x]: [&Tensor<T>; 1]) -> Result<(Tensor<T>, Shape)> {
        let grid = Grid::new(Self::NAME, &self.window, x.shape())?;
        let (axes @ [h, w], c) = (grid.axes, grid.channels);
        let mut y = Tensor::zeros(grid.output());
        let x_data = x.data();
        let row = w.output * c;
        let size = grid.rows_per_task(w.output) * row;
        par::chunks(y.data_mut(), size, |start, piece| {
            for (r, y) in piece.chunks_mut(row).enumerate() {
                let (n, oh) = ((start / row + r) / h.output, (start / row + r) % h.output);
                for (ow, y) in y.chunks_mut(c).enumerate() {
                    for i in h.pixels(oh) {
                        for j in w.pixels(ow) {
                            let x = &x_data[((n * h.input + i) * w.input + j) * c..][..c];
                            for (y, &x) in y.iter_mut().zip(x) {
                                *y += x;
                            }
                        }
                    }
                    let scale = self.scale::<T>(axes, oh, ow);
                    for y in y {
                        *y *= scale;
                    }
                }
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
        let grid = Grid::new(Self::NAME, &self.window, shape).expect("checked by forward");
        let (c, dy) = (grid.channels, dy.data());
        let dx = grid.gather(|dx, at, _, [oh, ow]| {
            let scale = self.scale::<T>(grid.axes, oh, ow);
            for (dx, &dy) in dx.iter_mut().zip(&dy[at..at + c]) {
                *dx += scale * dy;
            }
        });
        [Some(dx)]
    }

    fn cases(g: &mut Gen) -> Vec<Case<Self, 1>> {
        let mut all = Vec::new();
        for count_padding in [true, false] {
            let op = |window| AvgPool2d {
                window,
                count_padding,
            };
            all.extend(cases(g, op, |g, s| g.normal(s)));
        }
        all
    }
}

/// Windows that touch, overlap, leave gaps, leave out the edge, and differ along the axes.
fn cases<O>(
    g: &mut Gen,
    make: impl Fn(Window) -> O,
    mut input: impl FnMut(&mut Gen, Shape) -> Tensor<f64>,
) -> Vec<Case<O, 1>> {
    let uneven = Window {
        kernel: [3, 2],
        stride: [1, 2],
        padding: [1, 0],
    };
    let cases = [
        ([2, 4, 4, 3], Window::square(2, 2, 0)),
        ([1, 7, 6, 17], Window::square(3, 2, 1)),
        ([2, 5, 4, 1], Window::square(3, 1, 1)),
        ([1, 7, 8, 2], Window::square(2, 3, 0)),
        ([1, 4, 7, 2], uneven),
        ([2, 3, 3, 5], Window::square(3, 1, 0)),
        ([1, 1, 1, 33], Window::square(1, 1, 0)),
    ];
    let case = |&(shape, window): &([usize; 4], Window)| {
        let name = format!("{shape:?} {window:?}");
        Case::new(name, make(window), [input(g, shape.into())])
    };
    cases.iter().map(case).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Var;

    fn image(h: usize, w: usize, elements: &[f32]) -> Var<f32> {
        Var::leaf(Tensor::new([1, h, w, 1], elements))
    }

    #[test]
    fn of_equals_the_first_in_row_order_gets_the_gradient() {
        let x = image(2, 4, &[1.0, 1.0, 0.0, 2.0, 1.0, 1.0, 2.0, 2.0]);
        let y = x.max_pool2d(Window::square(2, 2, 0));
        assert_eq!(y.value().data(), &[1.0, 2.0]);
        let dx = y.sum().backward();
        let expected = [1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0];
        assert_eq!(dx.of(&x).unwrap().data(), &expected);
    }

    #[test]
    fn one_pixel_may_win_several_windows() {
        let x = image(1, 3, &[0.0, 5.0, 0.0]);
        let window = Window {
            kernel: [1, 2],
            stride: [1, 1],
            padding: [0, 0],
        };
        let dx = x.max_pool2d(window).sum().backward();
        assert_eq!(dx.of(&x).unwrap().data(), &[0.0, 2.0, 0.0]);
    }

    #[test]
    fn padding_never_wins_and_nan_always_does() {
        let x = image(2, 2, &[-4.0, -3.0, -2.0, -1.0]);
        let y = x.max_pool2d(Window::square(3, 2, 1));
        assert_eq!(y.value().data(), &[-1.0]);
        let minus = f32::NEG_INFINITY;
        let y = image(2, 2, &[minus; 4]).max_pool2d(Window::square(2, 2, 0));
        assert_eq!(y.value().data(), &[minus]);

        for at in 0..4 {
            let mut elements = [1.0, 2.0, 3.0, 4.0];
            elements[at] = f32::NAN;
            let x = image(2, 2, &elements);
            let y = x.max_pool2d(Window::square(2, 2, 0));
            assert!(y.value().item().is_nan(), "NaN at {at}");
            let mut expected = [0.0; 4];
            expected[at] = 1.0;
            assert_eq!(y.sum().backward().of(&x).unwrap().data(), &expected);
        }
    }

    #[test]
    fn padding_counts_as_zeros_or_not_at_all() {
        let x = image(2, 2, &[2.0, 4.0, 6.0, 8.0]);
        let window = Window::square(3, 2, 1);
        assert_eq!(x.avg_pool2d(window, false).value().data(), &[5.0]);
        assert_eq!(x.avg_pool2d(window, true).value().data(), &[20.0 / 9.0]);
    }

    #[test]
    fn a_global_average_is_one_number_per_channel() {
        let x = Var::leaf(Tensor::from_fn([2, 2, 1, 2], |i| i as f32));
        let y = x.global_avg_pool();
        assert_eq!(
            (y.shape(), y.value().data()),
            ([2, 2].into(), &[1.0, 2.0, 5.0, 6.0][..])
        );
    }

    #[test]
    fn windows_that_cannot_be_are_explained() {
        let x = Var::<f32>::constant(Tensor::zeros([1, 4, 5, 1]));
        let text = |window| x.try_max_pool2d(window).unwrap_err().to_string();
        let e = text(Window::square(6, 1, 0));
        for part in ["max_pool2d", "vertical kernel of 6", "[1, 4, 5, 1]"] {
            assert!(e.contains(part), "{part} is missing in: {e}");
        }
        assert!(text(Window::square(3, 1, 2)).contains("half the kernel"));
        assert!(text(Window::square(2, 0, 0)).contains("stride is 0"));
        let x = Var::<f32>::constant(Tensor::zeros([1, 20, 20, 1]));
        let e = x.try_max_pool2d(Window::square(17, 1, 0)).unwrap_err();
        assert!(e.to_string().contains("289"), "{e}");
    }
}
