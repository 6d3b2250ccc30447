"""Networks of other programs, as their weights are imported: outputs and gradients in f64.

Writes `imported_f64.safetensors` beside this script; keys are in README.md.

    python imported.py

The weights are not stored. Each is a function of its name and index that both sides compute, so a file of a few hundred
kilobytes covers networks of millions of parameters.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from common import nchw, write

SAMPLES = 64

# Gradients smaller than this (root of the mean square) count as 0: those of shifts that a later normalisation cancels.
FLOOR = 0.05


def unit(key, count):
    """`count` numbers in [-1, 1): FNV-1a of the key, SplitMix64 of that and the index, the upper 24 bits."""
    seed = 0xCBF29CE484222325
    for byte in key.encode():
        seed = (seed ^ byte) * 0x100000001B3 % 2**64
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + np.uint64(0x9E3779B97F4A7C15) * (np.arange(count, dtype=np.uint64) + np.uint64(1))
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(40)).astype(np.float64) / 2.0**23 - 1.0


def value(key, shape):
    """The initial value of a parameter or buffer, rounded to f32."""
    u = unit(key, math.prod(shape))
    if len(shape) == 4:
        u = math.sqrt(6.0 / math.prod(shape[1:])) * u
    elif len(shape) == 2:
        u = math.sqrt(3.0 / shape[1]) * u
    elif key.endswith(("bias", "running_mean")):
        u = 0.125 * u
    elif "prelu" in key:
        u = 0.25 + 0.125 * u
    else:
        u = 1.0 + 0.25 * u
    return torch.from_numpy(u.astype(np.float32).astype(np.float64)).reshape(shape)


class BasicBlock(nn.Module):
    """Of the CIFAR networks of He et al. 2016, section 4.2, with shortcuts of option A."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.stride, self.more = stride, outputs - inputs

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        skipped = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.more // 2, self.more // 2))
        return F.relu(y + skipped)


class CifarResNet(nn.Module):
    def __init__(self, blocks):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        inputs = 16
        for stage in range(3):
            width = 16 << stage
            layers = []
            for n in range(blocks):
                layers.append(BasicBlock(inputs, width, 2 if stage > 0 and n == 0 else 1))
                inputs = width
            setattr(self, f"layer{stage + 1}", nn.Sequential(*layers))
        self.linear = nn.Linear(64, 10)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean((2, 3)))


class IBasicBlock(nn.Module):
    """Of the networks of Deng et al. 2019 (ArcFace), with the names of insightface."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.prelu = nn.PReLU(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, stride, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride != 1:
            projection = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(projection, nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = self.bn3(self.conv2(self.prelu(self.bn2(self.conv1(self.bn1(x))))))
        return y + (x if self.downsample is None else self.downsample(x))


class IResNet(nn.Module):
    def __init__(self, blocks, pixels):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.prelu = nn.PReLU(64)
        inputs = 64
        for stage, count in enumerate(blocks):
            width = 64 << stage
            layers = []
            for n in range(count):
                layers.append(IBasicBlock(inputs, width, 2 if n == 0 else 1))
                inputs = width
            setattr(self, f"layer{stage + 1}", nn.Sequential(*layers))
        self.bn2 = nn.BatchNorm2d(512)
        self.fc = nn.Linear(512 * pixels, 512)
        self.features = nn.BatchNorm1d(512)
        self.features.weight.requires_grad = False

    def forward(self, x):
        x = self.prelu(self.bn1(self.conv1(x)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.features(self.fc(self.bn2(x).flatten(1)))


# Name here, network, name of the classifier, input [N, H, W, C].
NETWORKS = [
    ("resnet20", lambda: CifarResNet(3), "linear", [4, 16, 24, 3]),
    ("resnet18", lambda: torchvision.models.resnet18(num_classes=10), "fc", [4, 48, 64, 3]),
    ("resnet50", lambda: torchvision.models.resnet50(num_classes=10), "fc", [4, 64, 48, 3]),
    ("iresnet18", lambda: IResNet([2, 2, 2, 2], 3 * 2), None, [6, 48, 32, 3]),
]


def sampled(tensor):
    """At most SAMPLES elements, evenly spread over the flat tensor."""
    flat = tensor.detach().flatten()
    count = min(SAMPLES, len(flat))
    return flat[[i * len(flat) // count for i in range(count)]].clone()


def prefixed(name, tensors):
    return {f"{name}/{key}": tensor for key, tensor in tensors.items()}


def trained(network, images):
    """One backward pass in training mode: embeddings, and the gradients of their product with the cotangent."""
    images = images.clone().requires_grad_()
    embeddings = network.train()(nchw(images))
    cotangent = torch.from_numpy(unit("cotangent", embeddings.numel())).reshape(embeddings.shape).to(images)
    network.zero_grad()
    (embeddings * cotangent).sum().backward()
    learned = [(key, p.grad.clone()) for key, p in network.named_parameters() if p.requires_grad]
    return embeddings, dict([("input", images.grad), *learned])


def worst_in_f32(network, images, expected):
    """The largest error that PyTorch's own f32 makes in a gradient, relative to three times its root mean square."""
    _, found = trained(network.float(), images.float())
    return max(
        (found[key].double() - gradient).abs().max().item() / max(3 * gradient.square().mean().sqrt().item(), FLOOR)
        for key, gradient in expected.items()
    )


def run(name, build, classifier, shape):
    """What the file holds of one network, and what is said about it."""
    network = build().double()
    shapes = {}
    with torch.no_grad():
        for key, tensor in network.state_dict().items():
            if not key.endswith("num_batches_tracked"):
                shapes[key] = list(tensor.shape)
                tensor.copy_(value(key, tensor.shape))
    head = getattr(network, classifier) if classifier else None
    images = torch.from_numpy(unit("input", math.prod(shape))).reshape(shape)
    if classifier:
        setattr(network, classifier, nn.Identity())

    images.requires_grad_()
    embeddings = network.eval()(nchw(images))
    cotangent = torch.from_numpy(unit("cotangent", embeddings.numel())).reshape(embeddings.shape)
    (embeddings * cotangent).sum().backward()
    out = {"eval": embeddings, "grad_eval/input": sampled(images.grad)}
    if head:
        out["logits"] = head(embeddings)
    images = images.detach()
    about = {"name": name, "input": shape, "shapes": shapes, "f32_training": False}
    if any(isinstance(module, nn.Dropout) for module in network.modules()):
        return prefixed(name, out), about  # in training mode it is random

    embeddings, gradients = trained(network, images)
    out["train"] = embeddings
    for key, gradient in gradients.items():
        out[f"grad/{key}"] = sampled(gradient)
        out[f"norm/{key}"] = gradient.norm()
    for key, buffer in network.named_buffers():
        if not key.endswith("num_batches_tracked"):
            out[f"buffer_after/{key}"] = sampled(buffer)
    worst = worst_in_f32(network, images, gradients)
    print(f"{name}: the gradients of PyTorch's f32 are wrong by up to {worst:.1e}")
    about["f32_training"] = worst < 5e-4
    return prefixed(name, out), about


def main():
    tensors, networks = {}, []
    for name, build, classifier, shape in NETWORKS:
        out, about = run(name, build, classifier, shape)
        tensors |= out
        networks.append(about)
    write("imported_f64.safetensors", tensors, networks=networks)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
