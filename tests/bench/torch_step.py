"""The six networks of `hypersphere bench step` in PyTorch: the same layers, batches, loss and optimizer.

    python tests/bench/torch_step.py NETWORK [--mode f32|bf16] [--threads N] [--seconds S]

prints one line of JSON: the median, least and 90 % time of a step in seconds, and the most memory the process held. A
step is forward, backward and update, with the data in memory. Weights and images are channels-last, which is PyTorch's
faster layout here; bf16 is autocast.
"""

import argparse
import json
import resource
import time

import torch
import torch.nn.functional as F
from torch import nn


def conv_bn_relu(inputs, outputs, stride=1):
    conv = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU())


class BasicBlock(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.first = conv_bn_relu(inputs, outputs, stride)
        self.conv = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            projection = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.shortcut = nn.Sequential(projection, nn.BatchNorm2d(outputs))

    def forward(self, x):
        return F.relu(self.bn(self.conv(self.first(x))) + self.shortcut(x))


def cifar_resnet(width, blocks, classes=10):
    layers, inputs = [conv_bn_relu(3, width)], width
    for stage, count in enumerate(blocks):
        outputs = width << stage
        for block in range(count):
            layers.append(BasicBlock(inputs, outputs, 2 if stage > 0 and block == 0 else 1))
            inputs = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, classes))


def vgg():
    stages = [[1, 64, 64, 64], [64, 64, 64], [64, 64, 64]]
    layers = []
    for stage, widths in enumerate(stages):
        inputs = widths[0] if stage == 0 else 64
        count = 4 if stage == 0 else 3
        for _ in range(count):
            layers.append(conv_bn_relu(inputs, 64))
            inputs = 64
        layers.append(nn.MaxPool2d(2))
    head = [nn.Flatten(), nn.Linear(64 * 9, 256), nn.BatchNorm1d(256), nn.ReLU(), nn.Linear(256, 10)]
    return nn.Sequential(*layers, *head)


def lenet():
    layers, inputs = [], 1
    for outputs in (32, 64, 128):
        for _ in range(2):
            layers += [nn.Conv2d(inputs, outputs, 5, padding=2), nn.PReLU()]
            inputs = outputs
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(128 * 9, 2), nn.Linear(2, 10))


def airbench():
    layers, inputs = [nn.Conv2d(3, 24, 2), nn.GELU()], 24
    for outputs in (64, 256, 256):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.MaxPool2d(2), nn.BatchNorm2d(outputs), nn.GELU()]
        layers += [nn.Conv2d(outputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.GELU()]
        inputs = outputs
    return nn.Sequential(*layers, nn.MaxPool2d(3), nn.Flatten(), nn.Linear(256, 10))


def resnet50():
    import torchvision

    return torchvision.models.resnet50(num_classes=751)


# Name: network, images per step, channels, height, width.
NETWORKS = {
    "lenet": (lenet, 128, 1, 28, 28),
    "vgg": (vgg, 128, 1, 28, 28),
    "resnet20": (lambda: cifar_resnet(16, (3, 3, 3)), 128, 3, 32, 32),
    "airbench": (airbench, 256, 3, 32, 32),
    "resnet18": (lambda: cifar_resnet(64, (2, 2, 2, 2)), 64, 3, 32, 32),
    "resnet50": (resnet50, 16, 3, 256, 128),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", choices=NETWORKS)
    parser.add_argument("--mode", choices=("f32", "bf16"), default="f32")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=4.0)
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    build, batch, channels, height, width = NETWORKS[options.network]
    net = build().train().to(memory_format=torch.channels_last)
    x = torch.randn(batch, channels, height, width).to(memory_format=torch.channels_last)
    labels = torch.arange(batch) % 10
    optimizer = torch.optim.SGD(net.parameters(), 0.01, momentum=0.9, weight_decay=5e-4)

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=options.mode == "bf16"):
            loss = F.cross_entropy(net(x), labels)
        loss.backward()
        optimizer.step()

    for _ in range(3):
        step()
    times, started = [], time.perf_counter()
    while len(times) < 5 or time.perf_counter() - started < options.seconds:
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    times.sort()
    at = lambda share: times[round((len(times) - 1) * share)]
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"min": at(0), "median": at(0.5), "p90": at(0.9), "runs": len(times), "process_bytes": peak}))


if __name__ == "__main__":
    main()
