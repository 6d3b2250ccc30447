//! The gradient checks of layers and networks.
//!
//! Each is built from its description with random parameters in `f64`, run as in training, and
//! compared with finite differences with respect to its input and to every parameter. Kinks are
//! avoided by the choice of inputs, never forgiven.

use crate::layers::{
    Activation, AvgPool2d, BasicBlock, BatchNorm, Bottleneck, ChannelGate, Conv2d, Dropout,
    Flatten, GemPool, GlobalAvgPool, GlobalMaxPool, Linear, MaxPool2d, MeanMaxPool, PRelu,
    Sequential, Shortcut,
};
use crate::module::{Build, Module, Pass, Scope};
use crate::networks::{Model, ModelOptions, Pieces};
use engine::gradcheck::{Gen, Report, check_params};
use engine::rng::Key;
use engine::{Params, Tensor, Var};

/// A layer or network with its gradient check.
#[derive(Clone, Copy)]
pub struct LayerCheck {
    /// The name.
    pub name: &'static str,
    check: fn(&'static str, u64) -> Report,
}

impl LayerCheck {
    /// Compares the gradients with finite differences, at a place that depends on `seed`.
    pub fn check(&self, seed: u64) -> Report {
        (self.check)(self.name, seed)
    }
}

/// A check of each layer. The functions of single numbers (`Activation`) are operations of the
/// engine and checked there.
pub static LAYERS: &[LayerCheck] = &[
    LayerCheck {
        name: "linear",
        check: |name, seed| layer(name, seed, Linear::new(5, 4), |g| g.normal([3, 5])),
    },
    LayerCheck {
        name: "conv2d",
        check: |name, seed| {
            let conv = Conv2d::new(4, 6, [3, 2]).stride([2, 1]).padding(1);
            layer(name, seed, conv.groups(2), |g| g.normal([2, 5, 4, 4]))
        },
    },
    LayerCheck {
        name: "batch-norm-1d",
        check: |name, seed| layer(name, seed, BatchNorm::new(3), |g| g.normal([6, 3])),
    },
    LayerCheck {
        name: "batch-norm-2d",
        check: |name, seed| layer(name, seed, BatchNorm::new(3), |g| g.normal([3, 2, 4, 3])),
    },
    LayerCheck {
        name: "batch-norm-relu",
        check: |name, seed| {
            let mut check = Check::new(name, seed, BatchNorm::new(2).relu());
            // Before the ReLU every element must be away from its kink.
            let linear = Check::new(name, seed, BatchNorm::new(2));
            let away = |x: &Tensor<f64>| {
                let y = linear.forward(&linear.params, &Var::constant(x.clone()));
                y.value().data().iter().all(|y| y.abs() > 0.05)
            };
            let candidates = std::iter::repeat_with(|| check.g.normal([3, 2, 1, 2]));
            let x = candidates.take(10_000).find(away);
            check.run(x.expect("one of many random inputs is away from the kink"))
        },
    },
    LayerCheck {
        name: "prelu",
        check: |name, seed| {
            let input = |g: &mut Gen| g.away_from(&[0.0], 0.1, [3, 2, 2, 4]);
            layer(name, seed, PRelu::new(4), input)
        },
    },
    LayerCheck {
        name: "prelu-shared",
        check: |name, seed| {
            let input = |g: &mut Gen| g.away_from(&[0.0], 0.1, [5, 4]);
            layer(name, seed, PRelu::shared(), input)
        },
    },
    LayerCheck {
        name: "max-pool2d",
        check: |name, seed| {
            let pool = MaxPool2d::new(3).stride(2).padding(1);
            layer(name, seed, pool, |g| g.distinct([2, 5, 4, 3]))
        },
    },
    LayerCheck {
        name: "avg-pool2d",
        check: |name, seed| {
            let pool = AvgPool2d::new(3).stride(2).padding(1);
            layer(name, seed, pool.count_padding(false), |g| {
                g.normal([2, 5, 4, 3])
            })
        },
    },
    LayerCheck {
        name: "global-avg-pool",
        check: |name, seed| layer(name, seed, GlobalAvgPool, |g| g.normal([2, 3, 4, 5])),
    },
    LayerCheck {
        name: "global-max-pool",
        check: |name, seed| layer(name, seed, GlobalMaxPool, |g| g.distinct([2, 3, 4, 5])),
    },
    LayerCheck {
        name: "mean-max-pool",
        check: |name, seed| layer(name, seed, MeanMaxPool, |g| g.distinct([2, 3, 4, 5])),
    },
    LayerCheck {
        name: "gem-pool",
        check: |name, seed| layer(name, seed, GemPool, |g| g.uniform([2, 3, 4, 5], 0.3, 2.0)),
    },
    LayerCheck {
        name: "batch-norm-fixed",
        check: |name, seed| {
            let norm = BatchNorm::new(3).fixed_scale().fixed_shift();
            layer(name, seed, norm.activation(Activation::Tanh), |g| {
                g.normal([6, 3])
            })
        },
    },
    LayerCheck {
        name: "channel-gate",
        check: |name, seed| {
            let gate = ChannelGate::new(4, 3).activation(Activation::Gelu);
            layer(name, seed, gate, |g| g.normal([3, 2, 4, 4]))
        },
    },
    LayerCheck {
        name: "dropout",
        check: |name, seed| layer(name, seed, Dropout::new(0.4), |g| g.normal([6, 5])),
    },
    LayerCheck {
        name: "flatten",
        check: |name, seed| layer(name, seed, Flatten, |g| g.normal([2, 3, 2, 2])),
    },
    LayerCheck {
        name: "sequential",
        check: |name, seed| {
            let net = Sequential::new()
                .add("fc1", Linear::new(4, 6))
                .add("act1", Activation::Tanh)
                .add("fc2", Linear::new(6, 3).bias(false))
                .add("act2", Activation::Softplus);
            layer(name, seed, net, |g| g.normal([3, 4]))
        },
    },
    LayerCheck {
        name: "basic-block",
        check: |name, seed| {
            // With a smooth activation: of some hundred ReLUs one is always too near its kink.
            let block = BasicBlock::new(3, 3).activation(Activation::Gelu);
            layer(name, seed, block, |g| g.normal([12, 4, 3, 3]))
        },
    },
    LayerCheck {
        name: "basic-block-strided",
        check: |name, seed| {
            let block = BasicBlock::new(2, 4).stride(2).activation(Activation::Gelu);
            layer(name, seed, block, |g| g.normal([12, 5, 4, 2]))
        },
    },
    LayerCheck {
        name: "basic-block-padded",
        check: |name, seed| {
            let block = BasicBlock::new(2, 5).stride(2).shortcut(Shortcut::Pad);
            let block = block.activation(Activation::Gelu);
            layer(name, seed, block, |g| g.normal([12, 5, 4, 2]))
        },
    },
    LayerCheck {
        name: "bottleneck",
        check: |name, seed| {
            let block = Bottleneck::new(3, 2).stride(2).activation(Activation::Gelu);
            layer(name, seed, block, |g| g.normal([12, 5, 4, 3]))
        },
    },
];

/// A check of each network, narrow, shallow and with smooth pieces in place of those with kinks:
/// among thousands of activations some always lie too near a kink for a finite difference.
/// Networks that differ in depth and width alone are the same then, and one of them stands for
/// all.
pub static NETWORKS: &[LayerCheck] = &[
    network("vgg-light"),
    network("vgg-mnist"),
    network("lenet++"),
    network("resnet20"),
    network("resnet20-b"),
    network("resnet18"),
    network("resnet50"),
    network("resnet50-cifar"),
    network("wrn-16-4"),
    network("airbench94"),
    network("airbench96"),
    network("iresnet18"),
    network("mobilefacenet"),
    network("osnet"),
    network("audio-cnn6"),
    network("audio-cnn10"),
];

const fn network(name: &'static str) -> LayerCheck {
    LayerCheck {
        name,
        check: check_network,
    }
}

/// A module with parameters at a random place.
struct Check<M> {
    name: &'static str,
    module: M,
    params: Params<f64>,
    seed: u64,
    g: Gen,
}

fn layer(
    name: &'static str,
    seed: u64,
    description: impl Build<f64>,
    input: impl Fn(&mut Gen) -> Tensor<f64>,
) -> Report {
    let mut check = Check::new(name, seed, description);
    let x = input(&mut check.g);
    check.run(x)
}

fn check_network(name: &'static str, seed: u64) -> Report {
    let model = Model::find(name).expect("the table names networks that there are");
    let mut params = Params::new();
    let size = [model.smallest, model.smallest, 1];
    let scope = &mut Scope::root(&mut params, seed);
    let options = ModelOptions {
        embedding_dim: Some(3),
        ..ModelOptions::default()
    };
    let net = model.build_of(Pieces::Smooth, scope, size, &options);
    let module = net.expect("the smallest size is large enough");
    let mut check = Check::of(name, seed, module, params);
    // Enough images for well-conditioned statistics of every channel.
    let x = check.g.normal([24, size[0], size[1], 1]);
    check.run(x)
}

impl<M: Module<f64>> Check<M> {
    fn new(name: &'static str, seed: u64, description: impl Build<f64, Module = M>) -> Self {
        let mut params = Params::new();
        let module = description.build(&mut Scope::root(&mut params, seed));
        Self::of(name, seed, module, params)
    }

    /// Moves the parameters off their initial values: zeros and ones hide mistakes.
    ///
    /// A weight without a bias has a normalisation behind it, which cancels its scale. Such
    /// weights are enlarged, so that the finite step is small beside them: the error of the
    /// difference is of the fourth order in that ratio.
    fn of(name: &'static str, seed: u64, module: M, mut params: Params<f64>) -> Self {
        let mut g = Gen::new(seed, name);
        let has_statistics = !params.buffers().is_empty();
        let ids: Vec<_> = params.iter().map(|(id, _)| id).collect();
        for id in ids {
            let mut value = params.value(id);
            let bias = params.param(id).name().replace("weight", "bias");
            let normalised =
                has_statistics && value.shape().rank() > 1 && params.find(&bias).is_err();
            let scale = if normalised { 16.0 } else { 1.0 };
            let noise = g.normal(value.shape());
            value.zip_assign(&noise, |p, n| scale * (p + 0.1 * n));
            params.set(id, &value);
        }
        Check {
            name,
            module,
            params,
            seed,
            g,
        }
    }

    fn forward(&self, params: &Params<f64>, x: &Var<f64>) -> Var<f64> {
        forward(&self.module, self.seed, params, x)
    }

    fn run(self, x: Tensor<f64>) -> Report {
        let Check {
            module,
            mut params,
            seed,
            ..
        } = self;
        check_params(self.name, &mut params, &[x], &|params, x| {
            forward(&module, seed, params, &x[0])
        })
    }
}

/// Each pass takes the same random numbers.
fn forward(module: &impl Module<f64>, seed: u64, params: &Params<f64>, x: &Var<f64>) -> Var<f64> {
    module.forward(&mut Pass::train(params, Key::new(seed)), x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::networks::MODELS;

    fn assert_all_pass(table: &[LayerCheck], seeds: std::ops::Range<u64>) {
        let mut failed = Vec::new();
        for check in table {
            for seed in seeds.clone() {
                let report = check.check(seed);
                println!("seed {seed}: {report}, {:.1?}", report.time);
                if !report.passed() {
                    failed.push(check.name);
                }
            }
        }
        assert!(failed.is_empty(), "{failed:?}");
    }

    #[test]
    fn layers_pass() {
        assert_all_pass(LAYERS, 0..4);
    }

    #[test]
    fn networks_pass() {
        assert_all_pass(NETWORKS, 0..1);
    }

    #[test]
    fn every_network_is_checked_by_one_of_the_table() {
        let checked: Vec<_> = NETWORKS.iter().map(|c| Model::find(c.name)).collect();
        for model in MODELS {
            let stands_for =
                |c: &&Result<&Model, _>| c.as_ref().is_ok_and(|c| c.has_the_same_check(model));
            let checks = checked.iter().filter(stands_for).count();
            assert_eq!(checks, 1, "{}", model.name);
        }
    }

    /// A layer whose backward forgets that its input is used twice is noticed.
    #[test]
    fn a_wrong_gradient_is_noticed() {
        struct Forgetful;
        impl Module<f64> for Forgetful {
            fn forward(&self, _: &mut Pass<'_, f64>, x: &Var<f64>) -> Var<f64> {
                x * &x.detach()
            }
        }
        let check = Check::of("forgetful", 0, Forgetful, Params::new());
        let report = check.run(Tensor::new([2], &[0.5, -1.5]));
        assert!(!report.passed());
    }
}
