//! Initial values of parameters.

use engine::rng::{Key, Rng};
use engine::{Float, Shape, Tensor};

/// How a parameter begins.
///
/// The variants that scale with the layer read its fans from the shape: a linear weight
/// `[out, in]` has fan-in `in` and fan-out `out`; a convolution weight `[kh, kw, in/groups, out]`
/// has fan-in `kh·kw·in/groups` and fan-out `kh·kw·out`, as in PyTorch.
///
/// ```
/// use engine::{Tensor, rng::Key};
/// use nn::Init;
/// let w: Tensor<f32> = Init::HE.tensor([3, 3, 16, 32].into(), Key::new(1));
/// let variance = w.data().iter().map(|x| x * x).sum::<f32>() / w.elements() as f32;
/// assert!((variance * (3 * 3 * 16) as f32 / 2.0 - 1.0).abs() < 0.1); // 2 / fan-in
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// Every element this number.
    Constant(f64),
    /// Normal with mean 0 and this standard deviation.
    Normal(f64),
    /// Uniform between minus and plus this bound.
    Uniform(f64),
    /// Variance `2 / ((1 + slope²) fan)`, for a layer followed by a leaky ReLU with this slope;
    /// 0 is the ReLU. He et al. 2015, arXiv:1502.01852.
    Kaiming {
        /// Which direction keeps its variance: forward (`In`) or backward (`Out`).
        fan: Fan,
        /// The slope of the activation for negative numbers.
        slope: f64,
        /// The distribution drawn from.
        distribution: Distribution,
    },
    /// Variance `2 gain² / (fan-in + fan-out)`. Glorot and Bengio 2010.
    Xavier {
        /// Factor on the standard deviation, 1 for a linear or tanh layer.
        gain: f64,
        /// The distribution drawn from.
        distribution: Distribution,
    },
    /// Rows (or columns, whichever are fewer) that are orthogonal and of length `gain`, with the
    /// weight read as a matrix of one row per output. Saxe et al. 2014, arXiv:1312.6120.
    Orthogonal {
        /// The length of the rows.
        gain: f64,
    },
}

/// The side of a layer whose size sets the scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fan {
    /// The inputs of one output.
    In,
    /// The outputs of one input.
    Out,
}

/// The distribution of the elements; both have the same variance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distribution {
    /// Normal.
    Normal,
    /// Uniform around 0.
    Uniform,
}

impl Init {
    /// Normal with variance `2 / fan-in`: the usual start of a layer before a ReLU ("MSRA").
    pub const HE: Init = Init::Kaiming {
        fan: Fan::In,
        slope: 0.0,
        distribution: Distribution::Normal,
    };

    /// Normal with variance `2 / fan-out`: what residual networks use for convolutions.
    pub const HE_FAN_OUT: Init = Init::Kaiming {
        fan: Fan::Out,
        slope: 0.0,
        distribution: Distribution::Normal,
    };

    /// Uniform in `±1/√fan-in`: what PyTorch gives the weights of linear layers and convolutions.
    pub const PYTORCH: Init = Init::Kaiming {
        fan: Fan::In,
        slope: SQRT_5,
        distribution: Distribution::Uniform,
    };

    /// The initial tensor, a function of the shape and the key.
    ///
    /// # Panics
    /// If the scale depends on fans and the shape has neither two nor four axes.
    pub fn tensor<T: Float>(self, shape: Shape, key: Key) -> Tensor<T> {
        let mut rng = key.rng();
        let mut drawn = |distribution, std: f64| {
            Tensor::from_fn(shape, |_| {
                T::of(match distribution {
                    Distribution::Normal => std * rng.normal(),
                    Distribution::Uniform => std * 3.0_f64.sqrt() * rng.range(-1.0, 1.0),
                })
            })
        };
        match self {
            Init::Constant(value) => Tensor::full(shape, T::of(value)),
            Init::Normal(std) => drawn(Distribution::Normal, std),
            Init::Uniform(bound) => drawn(Distribution::Uniform, bound / 3.0_f64.sqrt()),
            Init::Kaiming {
                fan,
                slope,
                distribution,
            } => {
                let fans = Fans::of(shape);
                let fan = match fan {
                    Fan::In => fans.fan_in,
                    Fan::Out => fans.fan_out,
                };
                drawn(
                    distribution,
                    (2.0 / ((1.0 + slope * slope) * fan as f64)).sqrt(),
                )
            }
            Init::Xavier { gain, distribution } => {
                let Fans { fan_in, fan_out } = Fans::of(shape);
                drawn(
                    distribution,
                    gain * (2.0 / (fan_in + fan_out) as f64).sqrt(),
                )
            }
            Init::Orthogonal { gain } => orthogonal(shape, gain, &mut rng),
        }
    }
}

const SQRT_5: f64 = 2.236_067_977_499_79;

/// The number of inputs of one output, and of outputs of one input.
struct Fans {
    fan_in: usize,
    fan_out: usize,
}

impl Fans {
    fn of(shape: Shape) -> Self {
        let (fan_in, fan_out) = match *shape {
            [outputs, inputs] => (inputs, outputs),
            [kh, kw, inputs, outputs] => (kh * kw * inputs, kh * kw * outputs),
            _ => panic!(
                "the fans of a parameter of shape {shape}: known for linear weights [out, in] \
                 and convolution weights [kh, kw, in/groups, out]"
            ),
        };
        // An empty layer has no elements to scale.
        Fans {
            fan_in: fan_in.max(1),
            fan_out: fan_out.max(1),
        }
    }
}

/// Gram and Schmidt's process on normal vectors, each one swept twice ("twice is enough"), in f64.
fn orthogonal<T: Float>(shape: Shape, gain: f64, rng: &mut Rng) -> Tensor<T> {
    let fan_in = Fans::of(shape).fan_in;
    let outputs = shape.elements() / fan_in;
    let (count, length) = (outputs.min(fan_in), outputs.max(fan_in));
    let mut basis: Vec<Vec<f64>> = Vec::with_capacity(count);
    while basis.len() < count {
        let mut v: Vec<f64> = (0..length).map(|_| rng.normal()).collect();
        for _ in 0..2 {
            for b in &basis {
                let along = dot(b, &v);
                v.iter_mut().zip(b).for_each(|(v, b)| *v -= along * b);
            }
        }
        let norm = dot(&v, &v).sqrt();
        // A vector that nearly vanished would be made of rounding errors: draw another.
        if norm > 1e-6 {
            v.iter_mut().for_each(|v| *v /= norm);
            basis.push(v);
        }
    }
    let convolution = shape.rank() == 4;
    Tensor::from_fn(shape, |i| {
        let (output, input) = if convolution {
            (i % outputs, i / outputs)
        } else {
            (i / fan_in, i % fan_in)
        };
        T::of(
            gain * if outputs <= fan_in {
                basis[output][input]
            } else {
                basis[input][output]
            },
        )
    })
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mean, variance and largest magnitude.
    fn moments(init: Init, shape: impl Into<Shape>) -> (f64, f64, f64) {
        let t = init.tensor::<f64>(shape.into(), Key::new(5).named("w"));
        let n = t.elements() as f64;
        let mean = t.data().iter().sum::<f64>() / n;
        let variance = t.data().iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
        let largest = t.data().iter().fold(0.0_f64, |m, x| m.max(x.abs()));
        (mean, variance, largest)
    }

    /// The right side is the variance that `torch.nn.init` documents for the same layer.
    #[test]
    fn the_variances_are_those_of_the_formulas() {
        let uniform = Distribution::Uniform;
        let normal = Distribution::Normal;
        let linear = Shape::from([200, 100]);
        let conv = Shape::from([3, 3, 20, 100]);
        let kaiming = |fan, slope, distribution| Init::Kaiming {
            fan,
            slope,
            distribution,
        };
        let xavier = |gain, distribution| Init::Xavier { gain, distribution };
        let cases = [
            (Init::Normal(0.3), linear, 0.09),
            (Init::Uniform(0.3), linear, 0.03),
            (Init::HE, linear, 2.0 / 100.0),
            (Init::HE, conv, 2.0 / 180.0),
            (Init::HE_FAN_OUT, linear, 2.0 / 200.0),
            (Init::HE_FAN_OUT, conv, 2.0 / 900.0),
            (kaiming(Fan::In, 0.5, uniform), conv, 1.6 / 180.0),
            (Init::PYTORCH, linear, 1.0 / 300.0),
            (xavier(1.0, normal), linear, 2.0 / 300.0),
            (xavier(2.0, uniform), conv, 8.0 / 1080.0),
        ];
        for (init, shape, expected) in cases {
            let (mean, variance, _) = moments(init, shape);
            let error = (variance / expected - 1.0).abs();
            assert!(error < 0.04, "{init:?} {shape}: {variance} for {expected}");
            assert!(mean.abs() < 0.03 * expected.sqrt(), "{init:?} mean {mean}");
        }
        assert_eq!(moments(Init::Constant(0.25), [7]), (0.25, 0.0, 0.25));
    }

    #[test]
    fn uniform_draws_stay_inside_and_reach_the_bound() {
        for (init, shape, bound) in [
            (Init::Uniform(0.3), Shape::from([5000]), 0.3),
            (Init::PYTORCH, [50, 100].into(), 0.1),
        ] {
            let (_, _, largest) = moments(init, shape);
            assert!(largest <= bound && largest > 0.99 * bound, "{largest}");
        }
    }

    #[test]
    fn orthogonal_weights_are_orthogonal() {
        let gain = 1.5;
        for shape in [[3, 8].into(), [8, 3].into(), Shape::from([2, 3, 2, 5])] {
            let w = Init::Orthogonal { gain }.tensor::<f64>(shape, Key::new(2));
            let fan_in = Fans::of(shape).fan_in;
            let outputs = shape.elements() / fan_in;
            let at = |o: usize, i: usize| match shape.rank() {
                2 => w.data()[o * fan_in + i],
                _ => w.data()[i * outputs + o],
            };
            let (count, length) = (outputs.min(fan_in), outputs.max(fan_in));
            let entry = |v: usize, k: usize| match outputs <= fan_in {
                true => at(v, k),
                false => at(k, v),
            };
            for a in 0..count {
                for b in 0..count {
                    let product: f64 = (0..length).map(|k| entry(a, k) * entry(b, k)).sum();
                    let expected = if a == b { gain * gain } else { 0.0 };
                    assert!((product - expected).abs() < 1e-12, "{shape} {a} {b}");
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "shape [7]")]
    fn fans_of_a_vector_are_refused() {
        Init::HE.tensor::<f32>([7].into(), Key::new(0));
    }
}
