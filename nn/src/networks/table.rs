//! The table of networks.

use super::resnet::{Block, ResNet, Stem};
use super::{Architecture, Model, airbench, audio, iresnet, lenet, mobile, osnet, vgg, wide};
use crate::layers::Shortcut;

/// Every network there is.
pub static MODELS: &[Model] = &[
    Model {
        name: "vgg-light",
        description: "five 3x3 convolutions of 24 to 96 channels, for MNIST in minutes on a CPU",
        source: "vgg-mnist reduced to a twentieth of its work, by this project",
        embedding_dim: 64,
        smallest: 12,
        architecture: Architecture::VggLight(vgg::Light { width: 24 }),
    },
    Model {
        name: "vgg-mnist",
        description: "ten 3x3 convolutions of 64 to 256 channels",
        source: "the MNIST network released with Liu et al. 2016, Large-Margin Softmax Loss",
        embedding_dim: 512,
        smallest: 8,
        architecture: vgg(3, [64, 128, 256]),
    },
    Model {
        name: "vgg-mnist-64",
        description: "ten 3x3 convolutions of 64 channels",
        source: "Liu et al. 2016, Large-Margin Softmax Loss, table 1, MNIST",
        embedding_dim: 256,
        smallest: 8,
        architecture: vgg(3, [64; 3]),
    },
    Model {
        name: "vgg-cifar10",
        description: "thirteen 3x3 convolutions of 64 to 256 channels",
        source: "the CIFAR-10 network released with Liu et al. 2016, Large-Margin Softmax Loss",
        embedding_dim: 512,
        smallest: 8,
        architecture: vgg(4, [64, 128, 256]),
    },
    Model {
        name: "vgg-cifar100",
        description: "thirteen 3x3 convolutions of 96 to 384 channels",
        source: "Liu et al. 2016, Large-Margin Softmax Loss, table 1, CIFAR-100",
        embedding_dim: 512,
        smallest: 8,
        architecture: vgg(4, [96, 192, 384]),
    },
    Model {
        name: "lenet++",
        description: "six 5x5 convolutions with PReLU, for embeddings that can be drawn",
        source: "Wen et al. 2016, A Discriminative Feature Learning Approach (center loss), table 1",
        embedding_dim: 2,
        smallest: 8,
        architecture: Architecture::LeNetPlusPlus(lenet::LeNetPlusPlus { width: 32 }),
    },
    Model {
        name: "lenet++-light",
        description: "lenet++ with half the channels: a quarter of the work",
        source: "lenet++, reduced by this project",
        embedding_dim: 2,
        smallest: 8,
        architecture: Architecture::LeNetPlusPlus(lenet::LeNetPlusPlus { width: 16 }),
    },
    cifar_resnet("resnet20", Shortcut::Pad, &[3; 3]),
    cifar_resnet("resnet32", Shortcut::Pad, &[5; 3]),
    cifar_resnet("resnet44", Shortcut::Pad, &[7; 3]),
    cifar_resnet("resnet56", Shortcut::Pad, &[9; 3]),
    cifar_resnet("resnet110", Shortcut::Pad, &[18; 3]),
    cifar_resnet("resnet20-b", Shortcut::Projection, &[3; 3]),
    cifar_resnet("resnet32-b", Shortcut::Projection, &[5; 3]),
    cifar_resnet("resnet44-b", Shortcut::Projection, &[7; 3]),
    cifar_resnet("resnet56-b", Shortcut::Projection, &[9; 3]),
    resnet("resnet18", Stem::ImageNet, BASIC, &[2, 2, 2, 2]),
    resnet("resnet34", Stem::ImageNet, BASIC, &[3, 4, 6, 3]),
    resnet("resnet50", Stem::ImageNet, Block::Bottleneck, &[3, 4, 6, 3]),
    resnet("resnet18-cifar", Stem::Cifar, BASIC, &[2, 2, 2, 2]),
    resnet("resnet34-cifar", Stem::Cifar, BASIC, &[3, 4, 6, 3]),
    resnet(
        "resnet50-cifar",
        Stem::Cifar,
        Block::Bottleneck,
        &[3, 4, 6, 3],
    ),
    wide_resnet("wrn-16-4", 16, 4),
    wide_resnet("wrn-28-10", 28, 10),
    airbench("airbench94", &[64, 256, 256], false),
    airbench("airbench95", &[128, 384, 384], false),
    airbench("airbench96", &[128, 512, 512], true),
    iresnet("iresnet18", &[2, 2, 2, 2]),
    iresnet("iresnet34", &[3, 4, 6, 3]),
    iresnet("iresnet50", &[3, 4, 14, 3]),
    iresnet("iresnet100", &[3, 13, 30, 3]),
    Model {
        name: "mobilefacenet",
        description: "inverted bottlenecks of 64 and 128 channels with PReLU, for faces of 112x112",
        source: "Chen et al. 2018, MobileFaceNets, table 1",
        embedding_dim: 128,
        smallest: 16,
        architecture: Architecture::MobileFaceNet(mobile::MobileFaceNet::PUBLISHED),
    },
    osnet("osnet", &[64, 256, 384, 512]),
    osnet("osnet-x0.25", &[16, 64, 96, 128]),
    audio("audio-cnn6", 64, 1, 5),
    audio("audio-cnn10", 64, 2, 3),
    audio("audio-cnn10-light", 16, 2, 3),
];

const BASIC: Block = Block::Basic(Shortcut::Projection);

const fn vgg(convolutions: usize, widths: [usize; 3]) -> Architecture {
    Architecture::Vgg(vgg::Vgg {
        convolutions,
        widths,
    })
}

/// The networks of section 4.2, of 6n + 2 layers.
const fn cifar_resnet(
    name: &'static str,
    shortcut: Shortcut,
    blocks: &'static [usize; 3],
) -> Model {
    Model {
        name,
        description: match shortcut {
            Shortcut::Pad => "basic blocks of 16 to 64 channels, shortcuts without parameters",
            Shortcut::Projection => "basic blocks of 16 to 64 channels, projection shortcuts",
        },
        source: match shortcut {
            Shortcut::Pad => "He et al. 2016, Deep Residual Learning, section 4.2 (option A)",
            Shortcut::Projection => "He et al. 2016, Deep Residual Learning, section 4.2, option B",
        },
        embedding_dim: 64,
        smallest: 8,
        architecture: Architecture::ResNet(ResNet {
            stem: Stem::Cifar,
            block: Block::Basic(shortcut),
            width: 16,
            blocks,
        }),
    }
}

/// The networks of table 1.
const fn resnet(
    name: &'static str,
    stem: Stem,
    block: Block,
    blocks: &'static [usize; 4],
) -> Model {
    let (kind, embedding_dim) = match block {
        Block::Basic(_) => ("basic blocks of 64 to 512 channels", 512),
        Block::Bottleneck => (
            "bottleneck blocks of 64 to 512 channels, 2048 behind them",
            2048,
        ),
    };
    Model {
        name,
        description: kind,
        source: match stem {
            Stem::ImageNet => "He et al. 2016, Deep Residual Learning, table 1, as in torchvision",
            Stem::Cifar => "He et al. 2016, table 1, with a 3x3 stem for images of 32x32",
        },
        embedding_dim,
        smallest: match stem {
            Stem::ImageNet => 16,
            Stem::Cifar => 8,
        },
        architecture: Architecture::ResNet(ResNet {
            stem,
            block,
            width: 64,
            blocks,
        }),
    }
}

const fn airbench(name: &'static str, widths: &'static [usize; 3], residual: bool) -> Model {
    Model {
        name,
        description: match residual {
            false => "seven convolutions with GELU, for CIFAR in minutes on a CPU",
            true => "ten convolutions with GELU and shortcuts, for CIFAR",
        },
        source: "Jordan 2024, 94% on CIFAR-10 in 3.29 Seconds, without its fixed first layer",
        embedding_dim: widths[2],
        smallest: 9,
        architecture: Architecture::AirBench(airbench::AirBench { widths, residual }),
    }
}

const fn wide_resnet(name: &'static str, depth: usize, factor: usize) -> Model {
    Model {
        name,
        description: "wide residual blocks, normalised first, for CIFAR",
        source: "Zagoruyko and Komodakis 2016, Wide Residual Networks, table 1",
        embedding_dim: 64 * factor,
        smallest: 8,
        architecture: Architecture::WideResNet(wide::WideResNet {
            width: 16,
            factor,
            blocks: (depth - 4) / 6,
        }),
    }
}

const fn iresnet(name: &'static str, blocks: &'static [usize; 4]) -> Model {
    Model {
        name,
        description: "residual blocks with PReLU, normalised first, for faces of 112x112",
        source: "Deng et al. 2019, ArcFace, section 3.1, as in insightface",
        embedding_dim: 512,
        smallest: 16,
        architecture: Architecture::IResNet(iresnet::IResNet { width: 64, blocks }),
    }
}

const fn osnet(name: &'static str, widths: &'static [usize; 4]) -> Model {
    Model {
        name,
        description: "blocks that see several scales, for persons of 256x128",
        source: "Zhou et al. 2019, Omni-Scale Feature Learning for Person Re-Identification",
        embedding_dim: 512,
        smallest: 16,
        architecture: Architecture::OsNet(osnet::OsNet::of(widths)),
    }
}

/// Tables 1 and 2 of the paper.
const fn audio(name: &'static str, width: usize, convolutions: usize, kernel: usize) -> Model {
    Model {
        name,
        description: "convolutions of log-mel spectrograms",
        source: match width {
            64 => "Kong et al. 2020, PANNs",
            _ => "Kong et al. 2020, PANNs, with a quarter of the channels, by this project",
        },
        embedding_dim: 8 * width,
        smallest: 16,
        architecture: Architecture::AudioCnn(audio::AudioCnn {
            width,
            convolutions,
            kernel,
            stages: 4,
        }),
    }
}
