"""Loads exported weights in PyTorch, in networks of others, and compares outputs with this project's forward pass.

    python load_in_pytorch.py [--built DIR] [NETWORK ...]

`resnet18`, `resnet34` and `resnet50` go into those of torchvision, `resnet20` into the usual one for CIFAR, all with
`load_state_dict(strict=True)`, and `vgg-light`, which no other program has, into a `Sequential` under its names here.
"""

import sys
from collections import OrderedDict

import numpy as np
import torch
import torchvision
from safetensors.torch import load_file
from torch import nn

from samples import BOUND, ROOT, Sample, arguments, error, finish

sys.path.append(str(ROOT / "tests" / "golden"))
from imported import CifarResNet  # noqa: E402


def classifier(state, name):
    """A linear layer for the class weights, which losses of cosines have without a bias."""
    classes, dim = state[f"{name}.weight"].shape
    return nn.Linear(dim, classes, bias=f"{name}.bias" in state)


def torchvision_resnet(name):
    def of(state):
        net = getattr(torchvision.models, name)(num_classes=len(state["fc.weight"]))
        net.fc = classifier(state, "fc")
        net.load_state_dict(state, strict=True)
        net.fc = nn.Identity()
        return net

    return of


def cifar_resnet20(state):
    # CIFAR programs differ from torchvision in what they call the classifier.
    state = {key.replace("fc.", "linear."): value for key, value in state.items()}
    net = CifarResNet(3)
    net.linear = classifier(state, "linear")
    net.load_state_dict(state, strict=True)
    net.linear = nn.Identity()
    return net


def vgg_light(state):
    layers = OrderedDict()
    for n, (inputs, outputs) in enumerate([(1, 24), (24, 48), (48, 48), (48, 96), (96, 96)], 1):
        layers[f"conv{n}"] = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        layers[f"bn{n}"] = nn.BatchNorm2d(outputs)
        layers[f"relu{n}"] = nn.ReLU()
        if n in (1, 3):
            layers[f"pool{n}"] = nn.MaxPool2d(2)
    layers["pool5"] = nn.MaxPool2d(3, 2)
    layers["flatten"] = nn.Flatten()
    layers["fc"] = nn.Linear(864, 64, bias=False)
    layers["bn"] = nn.BatchNorm1d(64)
    layers["classifier"] = classifier(state, "classifier")
    net = nn.Sequential(layers)
    net.load_state_dict(state, strict=True)
    return net[:-1]


NETWORKS = {
    "resnet18": torchvision_resnet("resnet18"),
    "resnet34": torchvision_resnet("resnet34"),
    "resnet50": torchvision_resnet("resnet50"),
    "resnet20": cifar_resnet20,
    "vgg-light": vgg_light,
}


def main():
    programs, named = arguments(__doc__)
    torch.set_num_threads(1)
    failed = []
    print("| network | tensors | embedding |")
    print("|---|---|---|")
    for name in named or NETWORKS:
        with Sample(programs, name) as sample:
            state = load_file(sample.export("torch.safetensors"))
            net = NETWORKS[name](state).eval()
            image = (sample.reference["image"] / 255 - sample.mean) / sample.std
            with torch.no_grad():
                found = net(torch.from_numpy(image.transpose(0, 3, 1, 2).astype(np.float32))).numpy()
            worst = error(found, sample.reference["embedding"])
            if not worst < BOUND:
                failed.append(name)
            print(f"| {name} | {len(state)} | {worst:.1e} |", flush=True)
    finish(failed)


main()
