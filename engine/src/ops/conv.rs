//! Two-dimensional convolution (cross-correlation, as everywhere in this field).

use crate::error::{BadOperands, Result};
use crate::float::Float;
use crate::gradcheck::{Case, Gen};
use crate::kernels::conv::{self, Geometry};
pub use crate::kernels::conv::{Algorithm, Pass};
use crate::kernels::reduce;
use crate::op::Op;
use crate::shape::Shape;
use crate::tensor::Tensor;
use crate::var::{Var, apply};

/// `y[n, i, j, o] = Σ x[n, i·stride + k·dilation − padding, …, c] · w[k, …, c, o] (+ bias[o])`
///
/// for images `[N, H, W, C]` and weights `[KH, KW, C/groups, O]`; outside the image x is zero.
/// Output group `g` sees the input channels of group `g` alone; `groups = C = O` is depthwise.
/// Pairs are `[vertical, horizontal]`.
///
/// dx is the convolution of dy with the kernel turned round, dw the correlation of x and dy,
/// dbias the sum of dy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2d {
    /// Steps between neighbouring outputs.
    pub stride: [usize; 2],
    /// Zeros added before and after each axis.
    pub padding: [usize; 2],
    /// Steps between neighbouring taps.
    pub dilation: [usize; 2],
    /// Groups of channels that do not mix.
    pub groups: usize,
}

impl Default for Conv2d {
    /// Stride 1, no padding, no dilation, one group.
    fn default() -> Self {
        Conv2d {
            stride: [1, 1],
            padding: [0, 0],
            dilation: [1, 1],
            groups: 1,
        }
    }
}

impl Conv2d {
    /// Stride 1 with the padding that keeps the image's size under an odd kernel.
    pub fn same(kernel: usize) -> Self {
        Conv2d {
            padding: [kernel / 2; 2],
            ..Self::default()
        }
    }

    /// The shape of the output for an input `[N, H, W, C]` and weights `[KH, KW, C/groups, O]`.
    ///
    /// # Errors
    /// If they do not fit together.
    pub fn output_shape(&self, x: Shape, w: Shape) -> Result<Shape> {
        let g = self.geometry(x, w, None)?;
        Ok([g.n, g.output[0], g.output[1], g.o].into())
    }

    /// The way that a product of the convolution is computed.
    ///
    /// # Errors
    /// If the shapes do not fit together.
    pub fn algorithm(&self, x: Shape, w: Shape, pass: Pass) -> Result<Algorithm> {
        Ok(self.geometry(x, w, None)?.algorithm(pass))
    }

    fn geometry(&self, x: Shape, w: Shape, bias: Option<Shape>) -> Result<Geometry> {
        let fail = |reason: String| {
            let bad = BadOperands::new("conv2d", reason)
                .operand("input", "[N, H, W, C]", x)
                .operand("weight", "[KH, KW, C/groups, O]", w);
            match bias {
                Some(bias) => bad.operand("bias", "[O]", bias),
                None => bad,
            }
        };
        let (&[n, h, width, c], &[kh, kw, cg, o]) = (&*x, &*w) else {
            return Err(fail("the input and the weights need four axes each".into()).into());
        };
        let Conv2d {
            stride,
            padding,
            dilation,
            groups,
        } = *self;
        if groups == 0 || c % groups != 0 || o % groups != 0 || cg != c / groups {
            let reason = format!(
                "{c} input channels and {o} outputs in {groups} groups need weights for {} input \
                 channels, not {cg}",
                c as f64 / groups as f64
            );
            return Err(fail(reason)
                .hint("images are [N, H, W, C]; weights are stored as [KH, KW, C/groups, O]")
                .into());
        }
        if bias.is_some_and(|b| *b != [o]) {
            return Err(fail(format!("the bias needs one element per output, {o}")).into());
        }
        let (input, kernel) = ([h, width], [kh, kw]);
        let mut output = [0, 0];
        for axis in 0..2 {
            if kernel[axis] == 0 || stride[axis] == 0 || dilation[axis] == 0 {
                return Err(fail("kernel, stride and dilation must be at least 1".into()).into());
            }
            let reach = dilation[axis] * (kernel[axis] - 1) + 1;
            let padded = input[axis] + 2 * padding[axis];
            let Some(room) = padded.checked_sub(reach) else {
                let reason = format!(
                    "a kernel that reaches over {reach} pixels does not fit into {} pixels with \
                     {} of padding on each side",
                    input[axis], padding[axis]
                );
                return Err(fail(reason)
                    .hint("the image is too small for this network, or the padding is missing")
                    .into());
            };
            output[axis] = room / stride[axis] + 1;
        }
        Ok(Geometry {
            n,
            input,
            output,
            c,
            o,
            kernel,
            stride,
            padding,
            dilation,
            groups,
        })
    }

    fn run<T: Float>(
        &self,
        x: &Tensor<T>,
        w: &Tensor<T>,
        bias: Option<&Tensor<T>>,
    ) -> Result<(Tensor<T>, Saved<T>)> {
        let g = self.geometry(x.shape(), w.shape(), bias.map(Tensor::shape))?;
        let mut y = Tensor::stale([g.n, g.output[0], g.output[1], g.o]);
        let bias = bias.map(Tensor::data);
        conv::forward(&g, x.data(), w.data(), bias, y.data_mut());
        Ok((y, (g, x.clone(), w.clone())))
    }

    fn gradients<T: Float>(
        (g, x, w): Saved<T>,
        dy: &Tensor<T>,
        need: [bool; 3],
    ) -> [Option<Tensor<T>>; 3] {
        let dx = need[0].then(|| {
            let mut dx = Tensor::stale(x.shape());
            conv::grad_input(&g, w.data(), dy.data(), dx.data_mut());
            dx
        });
        let dw = need[1].then(|| {
            let mut dw = Tensor::stale(w.shape());
            conv::grad_weight(&g, x.data(), dy.data(), dw.data_mut());
            dw
        });
        let db = need[2].then(|| reduce::sum(dy, [1, dy.shape().rows(), g.o]).reshape([g.o]));
        [dx, dw, db]
    }
}

type Saved<T> = (Geometry, Tensor<T>, Tensor<T>);

/// With a bias.
impl Op<3> for Conv2d {
    const NAME: &'static str = "conv2d_bias";
    type Saved<T: Float> = Saved<T>;

    fn forward<T: Float>(
        &self,
        [x, w, bias]: [&Tensor<T>; 3],
    ) -> Result<(Tensor<T>, Self::Saved<T>)> {
        self.run(x, w, Some(bias))
    }

    fn backward<T: Float>(
        &self,
        saved: Saved<T>,
        dy: Tensor<T>,
        need: [bool; 3],
    ) -> [Option<Tensor<T>>; 3] {
        Self::gradients(saved, &dy, need)
    }

    fn cases(g: &mut Gen) -> Vec<Case<Self, 3>> {
        let settings = settings().into_iter();
        settings
            .map(|(name, op, [x, w])| {
                let (x, w) = (Shape::from(x), Shape::from(w));
                Case::new(name, op, [g.normal(x), g.normal(w), g.normal([w[3]])])
            })
            .collect()
    }
}

/// Without a bias.
impl Op<2> for Conv2d {
    const NAME: &'static str = "conv2d";
    type Saved<T: Float> = Saved<T>;

    fn forward<T: Float>(&self, [x, w]: [&Tensor<T>; 2]) -> Result<(Tensor<T>, Self::Saved<T>)> {
        self.run(x, w, None)
    }

    fn backward<T: Float>(
        &self,
        saved: Saved<T>,
        dy: Tensor<T>,
        [need_x, need_w]: [bool; 2],
    ) -> [Option<Tensor<T>>; 2] {
        let [dx, dw, _] = Self::gradients(saved, &dy, [need_x, need_w, false]);
        [dx, dw]
    }

    fn cases(g: &mut Gen) -> Vec<Case<Self, 2>> {
        let settings = settings().into_iter();
        settings
            .map(|(name, op, [x, w])| Case::new(name, op, [g.normal(x), g.normal(w)]))
            .collect()
    }
}

/// Every feature alone and in combination: 1x1, odd and even kernels, stride, padding, dilation,
/// groups, depthwise, kernels wider than the image, channels off the vector width.
fn settings() -> Vec<(&'static str, Conv2d, [[usize; 4]; 2])> {
    let plain = Conv2d::default();
    let strided = Conv2d {
        stride: [2, 2],
        padding: [1, 1],
        ..plain
    };
    vec![
        ("1x1", plain, [[2, 3, 4, 3], [1, 1, 3, 5]]),
        ("3x3 same", Conv2d::same(3), [[2, 5, 4, 3], [3, 3, 3, 4]]),
        ("5x5 same", Conv2d::same(5), [[1, 6, 7, 1], [5, 5, 1, 3]]),
        ("2x3 valid", plain, [[2, 4, 5, 2], [2, 3, 2, 3]]),
        ("3x3 stride 2", strided, [[2, 5, 6, 2], [3, 3, 2, 3]]),
        (
            "1x1 stride 2",
            Conv2d {
                stride: [2, 2],
                ..plain
            },
            [[2, 5, 4, 3], [1, 1, 3, 2]],
        ),
        (
            "3x2 stride 2x3 dilation 2x1 padding 2x1",
            Conv2d {
                stride: [2, 3],
                padding: [2, 1],
                dilation: [2, 1],
                groups: 1,
            },
            [[1, 7, 8, 2], [3, 2, 2, 3]],
        ),
        (
            "3x3 in 2 groups",
            Conv2d {
                groups: 2,
                ..strided
            },
            [[2, 4, 5, 4], [3, 3, 2, 6]],
        ),
        (
            "1x1 in 2 groups",
            Conv2d { groups: 2, ..plain },
            [[2, 3, 3, 4], [1, 1, 2, 4]],
        ),
        (
            "3x3 depthwise",
            Conv2d {
                groups: 5,
                ..Conv2d::same(3)
            },
            [[2, 4, 5, 5], [3, 3, 1, 5]],
        ),
        (
            "3x3 depthwise stride 2 dilation 2",
            Conv2d {
                stride: [2, 2],
                padding: [2, 2],
                dilation: [2, 2],
                groups: 3,
            },
            [[2, 6, 5, 3], [3, 3, 1, 3]],
        ),
        (
            "3x3 depthwise with two outputs each",
            Conv2d {
                groups: 3,
                ..Conv2d::same(3)
            },
            [[1, 4, 4, 3], [3, 3, 1, 6]],
        ),
        ("7x7 on 3x3", Conv2d::same(7), [[1, 3, 3, 2], [7, 7, 2, 2]]),
        ("33 to 17", Conv2d::same(3), [[1, 3, 3, 33], [3, 3, 33, 17]]),
    ]
}

impl<T: Float> Var<T> {
    /// Convolution of images `[N, H, W, C]` with weights `[KH, KW, C/groups, O]` and an optional
    /// bias `[O]`.
    ///
    /// # Panics
    /// If the operands do not fit together; the message has their shapes.
    #[track_caller]
    pub fn conv2d(&self, weight: &Var<T>, bias: Option<&Var<T>>, settings: Conv2d) -> Var<T> {
        self.try_conv2d(weight, bias, settings)
            .unwrap_or_else(|e| panic!("{e}"))
    }

    /// [`conv2d`](Var::conv2d) that returns its error.
    ///
    /// # Errors
    /// If the operands do not fit together.
    pub fn try_conv2d(
        &self,
        weight: &Var<T>,
        bias: Option<&Var<T>>,
        settings: Conv2d,
    ) -> Result<Var<T>> {
        match bias {
            Some(bias) => apply::<T, Conv2d, 3>(settings, [self, weight, bias]),
            None => apply::<T, Conv2d, 2>(settings, [self, weight]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, index by index.
    fn naive(op: Conv2d, x: &Tensor<f64>, w: &Tensor<f64>) -> Tensor<f64> {
        let g = op.geometry(x.shape(), w.shape(), None).unwrap();
        let (cg, og) = (g.c / g.groups, g.o / g.groups);
        let [oh, ow] = g.output;
        Tensor::from_fn([g.n, oh, ow, g.o], |index| {
            let (o, j) = (index % g.o, index / g.o % ow);
            let (i, n) = (index / (g.o * ow) % oh, index / (g.o * ow * oh));
            let mut sum = 0.0;
            for ky in 0..g.kernel[0] {
                for kx in 0..g.kernel[1] {
                    let y = (i * g.stride[0] + ky * g.dilation[0]).wrapping_sub(g.padding[0]);
                    let z = (j * g.stride[1] + kx * g.dilation[1]).wrapping_sub(g.padding[1]);
                    if y >= g.input[0] || z >= g.input[1] {
                        continue;
                    }
                    for c in 0..cg {
                        let pixel = ((n * g.input[0] + y) * g.input[1] + z) * g.c;
                        let tap = (ky * g.kernel[1] + kx) * cg + c;
                        sum += x.data()[pixel + o / og * cg + c] * w.data()[tap * g.o + o];
                    }
                }
            }
            sum
        })
    }

    #[test]
    fn every_setting_agrees_with_the_definition() {
        for case in <Conv2d as Op<2>>::cases(&mut Gen::new(1, "naive")) {
            let [x, w] = &case.inputs;
            let (y, _) = case.op.run(x, w, None).unwrap();
            let expected = naive(case.op, x, w);
            assert_eq!(y.shape(), expected.shape(), "{}", case.name);
            for (y, e) in y.data().iter().zip(expected.data()) {
                assert!((y - e).abs() < 1e-12, "{}: {y} and {e}", case.name);
            }
        }
    }

    #[test]
    fn images_too_small_and_wrong_channels_are_explained() {
        let zeros = |s: [usize; 4]| Var::<f32>::constant(Tensor::zeros(s));
        let error = |x, w| {
            let error = zeros(x).try_conv2d(&zeros(w), None, Conv2d::default());
            error.unwrap_err().to_string()
        };
        let small = error([1, 2, 9, 3], [3, 3, 3, 8]);
        assert!(small.contains("reaches over 3 pixels"), "{small}");
        let layout = error([1, 3, 9, 9], [3, 3, 3, 8]);
        assert!(
            layout.contains("[N, H, W, C]") && layout.contains("hint"),
            "{layout}"
        );
    }
}
