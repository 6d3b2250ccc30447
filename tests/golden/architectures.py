"""Networks written out from their papers, with the names that this project gives to their parameters.

Writes `architectures_f64.safetensors` beside this script; keys are in README.md, weights as in `imported.py`.

    python architectures.py
"""

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import nn

from common import write
from imported import run


def conv(inputs, outputs, kernel, stride=1, groups=1):
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)


def named(**layers):
    return nn.Sequential(OrderedDict(layers))


class WideBlock(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = conv(inputs, outputs, 3, stride)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.conv2 = conv(outputs, outputs, 3)
        self.shortcut = named(conv=conv(inputs, outputs, 1, stride)) if inputs != outputs else None

    def forward(self, x):
        y = F.relu(self.bn1(x))
        skipped = self.shortcut(y) if self.shortcut else x
        return self.conv2(F.relu(self.bn2(self.conv1(y)))) + skipped


class WideResNet(nn.Module):
    """Zagoruyko and Komodakis 2016."""

    def __init__(self, depth, factor):
        super().__init__()
        self.conv1 = conv(3, 16, 3)
        inputs, stages = 16, []
        for stage in range(3):
            width, blocks = (16 * factor) << stage, []
            for n in range((depth - 4) // 6):
                blocks.append(WideBlock(inputs, width, 2 if stage > 0 and n == 0 else 1))
                inputs = width
            stages.append(nn.Sequential(*blocks))
        self.layer1, self.layer2, self.layer3 = stages
        self.bn1 = nn.BatchNorm2d(inputs)

    def forward(self, x):
        x = self.layer3(self.layer2(self.layer1(self.conv1(x))))
        return F.relu(self.bn1(x)).mean((2, 3))


class InvertedBottleneck(nn.Module):
    def __init__(self, inputs, outputs, expansion, stride):
        super().__init__()
        hidden = expansion * inputs
        self.conv1, self.bn1, self.prelu1 = conv(inputs, hidden, 1), nn.BatchNorm2d(hidden), nn.PReLU(hidden)
        self.dw, self.bn2, self.prelu2 = conv(hidden, hidden, 3, stride, hidden), nn.BatchNorm2d(hidden), nn.PReLU(hidden)
        self.conv2, self.bn3 = conv(hidden, outputs, 1), nn.BatchNorm2d(outputs)
        self.connected = stride == 1 and inputs == outputs

    def forward(self, x):
        y = self.prelu1(self.bn1(self.conv1(x)))
        y = self.prelu2(self.bn2(self.dw(y)))
        y = self.bn3(self.conv2(y))
        return x + y if self.connected else y


class MobileFaceNet(nn.Module):
    """Chen et al. 2018, table 1: expansion, channels, repetitions, stride."""

    TABLE = [(2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1)]

    def __init__(self, height, width):
        super().__init__()
        self.conv1, self.bn1, self.prelu1 = conv(3, 64, 3, 2), nn.BatchNorm2d(64), nn.PReLU(64)
        self.dw1, self.bn2, self.prelu2 = conv(64, 64, 3, 1, 64), nn.BatchNorm2d(64), nn.PReLU(64)
        inputs = 64
        for row, (expansion, channels, blocks, stride) in enumerate(self.TABLE):
            layers = []
            for n in range(blocks):
                layers.append(InvertedBottleneck(inputs, channels, expansion, stride if n == 0 else 1))
                inputs = channels
            setattr(self, f"layer{row + 1}", nn.Sequential(*layers))
        self.conv2, self.bn3, self.prelu3 = conv(128, 512, 1), nn.BatchNorm2d(512), nn.PReLU(512)
        self.gdconv = nn.Conv2d(512, 512, (height, width), groups=512, bias=False)
        self.bn4 = nn.BatchNorm2d(512)
        self.fc = nn.Linear(512, 128, bias=False)
        self.bn5 = nn.BatchNorm1d(128)

    def forward(self, x):
        x = self.prelu2(self.bn2(self.dw1(self.prelu1(self.bn1(self.conv1(x))))))
        x = self.layer5(self.layer4(self.layer3(self.layer2(self.layer1(x)))))
        x = self.bn4(self.gdconv(self.prelu3(self.bn3(self.conv2(x)))))
        return self.bn5(self.fc(x.flatten(1)))


class Gate(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(channels, channels // 16), nn.Linear(channels // 16, channels)

    def forward(self, x):
        return x * torch.sigmoid(self.fc2(F.relu(self.fc1(x.mean((2, 3))))))[:, :, None, None]


class Streams(nn.Module):
    def __init__(self, channels):
        super().__init__()
        for more, stream in enumerate("abcd"):
            layers = {}
            for n in range(1, more + 2):
                layers[f"conv{n}"] = conv(channels, channels, 1)
                layers[f"dw{n}"] = conv(channels, channels, 3, 1, channels)
                layers[f"bn{n}"] = nn.BatchNorm2d(channels)
                layers[f"relu{n}"] = nn.ReLU()
            setattr(self, stream, named(**layers))
        self.gate = Gate(channels)

    def forward(self, x):
        return sum(self.gate(stream(x)) for stream in (self.a, self.b, self.c, self.d))


class OmniScaleBlock(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        channels = outputs // 4
        self.conv1, self.bn1 = conv(inputs, channels, 1), nn.BatchNorm2d(channels)
        self.streams = Streams(channels)
        self.conv3, self.bn3 = conv(channels, outputs, 1), nn.BatchNorm2d(outputs)
        projection = named(conv=conv(inputs, outputs, 1), bn=nn.BatchNorm2d(outputs))
        self.shortcut = projection if inputs != outputs else nn.Identity()

    def forward(self, x):
        y = self.streams(F.relu(self.bn1(self.conv1(x))))
        return F.relu(self.bn3(self.conv3(y)) + self.shortcut(x))


class OsNet(nn.Module):
    """Zhou et al. 2019, without the ReLU behind the embedding."""

    def __init__(self, widths):
        super().__init__()
        stem, *stages = widths
        self.conv1, self.bn1 = nn.Conv2d(3, stem, 7, 2, 3, bias=False), nn.BatchNorm2d(stem)
        inputs = stem
        for stage, width in enumerate(stages):
            blocks = nn.Sequential(OmniScaleBlock(inputs, width), OmniScaleBlock(width, width))
            setattr(self, f"layer{stage + 1}", blocks)
            setattr(self, f"conv{stage + 2}", conv(width, width, 1))
            setattr(self, f"bn{stage + 2}", nn.BatchNorm2d(width))
            inputs = width
        self.fc, self.bn = nn.Linear(inputs, 512, bias=False), nn.BatchNorm1d(512)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        x = F.avg_pool2d(F.relu(self.bn2(self.conv2(self.layer1(x)))), 2)
        x = F.avg_pool2d(F.relu(self.bn3(self.conv3(self.layer2(x)))), 2)
        x = F.relu(self.bn4(self.conv4(self.layer3(x))))
        return self.bn(self.fc(x.mean((2, 3))))


class AirBenchGroup(nn.Module):
    def __init__(self, inputs, outputs, residual):
        super().__init__()
        self.conv1, self.bn1 = conv(inputs, outputs, 3), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = conv(outputs, outputs, 3), nn.BatchNorm2d(outputs)
        if residual:
            self.conv3, self.bn3 = conv(outputs, outputs, 3), nn.BatchNorm2d(outputs)
        self.residual = residual

    def forward(self, x):
        x = F.gelu(self.bn1(F.max_pool2d(self.conv1(x), 2)))
        y = F.gelu(self.bn2(self.conv2(x)))
        return F.gelu(x + self.bn3(self.conv3(y))) if self.residual else y


class AirBench(nn.Module):
    """Jordan 2024, with a learned first layer and the maximum of the whole image."""

    def __init__(self, widths, residual):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 24, 2)
        channels = [24, *widths]
        for group, (inputs, outputs) in enumerate(zip(channels, widths)):
            setattr(self, f"group{group + 1}", AirBenchGroup(inputs, outputs, residual))

    def forward(self, x):
        x = self.group3(self.group2(self.group1(F.gelu(self.conv1(x)))))
        return x.amax((2, 3))


class AudioCnn(nn.Module):
    """Kong et al. 2020, CNN10, without the ReLU behind the embedding."""

    def __init__(self, bands, width):
        super().__init__()
        self.bn0 = nn.BatchNorm2d(bands)
        inputs = 1
        for n in range(8):
            outputs = width << (n // 2)
            setattr(self, f"conv{n + 1}", conv(inputs, outputs, 3))
            setattr(self, f"bn{n + 1}", nn.BatchNorm2d(outputs))
            inputs = outputs
        self.dropout = nn.Dropout(0.2)
        self.fc = nn.Linear(inputs, inputs)

    def forward(self, x):
        x = self.bn0(x.transpose(1, 2)).transpose(1, 2)
        for n in range(8):
            x = F.relu(getattr(self, f"bn{n + 1}")(getattr(self, f"conv{n + 1}")(x)))
            if n % 2 == 1:
                x = self.dropout(F.avg_pool2d(x, 2))
        x = x.mean(2)
        return self.fc(x.amax(2) + x.mean(2))


# Name here, network, no classifier, input [N, H, W, C].
NETWORKS = [
    ("wrn-16-4", lambda: WideResNet(16, 4), None, [4, 16, 24, 3]),
    ("mobilefacenet", lambda: MobileFaceNet(3, 2), None, [6, 48, 32, 3]),
    ("osnet-x0.25", lambda: OsNet([16, 64, 96, 128]), None, [6, 64, 48, 3]),
    ("airbench94", lambda: AirBench([64, 256, 256], False), None, [4, 17, 25, 3]),
    ("airbench96", lambda: AirBench([128, 512, 512], True), None, [3, 9, 17, 3]),
    ("audio-cnn10-light", lambda: AudioCnn(32, 16), None, [3, 32, 40, 1]),
]


def main():
    tensors, networks = {}, []
    for name, build, classifier, shape in NETWORKS:
        out, about = run(name, build, classifier, shape)
        tensors |= out
        networks.append(about)
    write("architectures_f64.safetensors", tensors, networks=networks)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
