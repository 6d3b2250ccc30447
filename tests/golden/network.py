"""A small convolutional network: one forward and backward pass, then ten SGD steps, in f32 and f64.

Writes `network_f32.safetensors` and `network_f64.safetensors` beside this script; keys are in README.md.

    python network.py

Layers: conv1 3x3 2->6 pad 1, bn1, ReLU, conv2 3x3 6->8 stride 2 pad 1 with bias, PReLU per channel, depthwise dw 3x3
pad 1, bn2, ReLU, max-pool 2x2, flatten in NHWC order, fc1 72->7, bn3, ReLU, fc2 7->5; cross-entropy with label
smoothing 0.1; SGD with lr 0.1, momentum 0.9 and weight decay 5e-4 on every parameter.
"""

import torch
import torch.nn.functional as F
from torch import nn

from common import generator, hwio, nchw, nhwc, normal, uniform, write

CLASSES, STEPS, SMOOTHING = 5, 10, 0.1
SGD = dict(lr=0.1, momentum=0.9, weight_decay=5e-4)

# No ReLU or PReLU input and no gap between the two largest values of a pooling window may be smaller than this:
# beyond it the f32 and f64 runs, or two implementations, could take different branches.
FIRST_STEP_CLEARANCE, LATER_CLEARANCE = 1e-4, 1e-5


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(2, 6, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(6)
        self.conv2 = nn.Conv2d(6, 8, 3, stride=2, padding=1)
        self.prelu = nn.PReLU(8)
        self.dw = nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False)
        self.bn2 = nn.BatchNorm2d(8)
        self.fc1 = nn.Linear(3 * 3 * 8, 7)
        self.bn3 = nn.BatchNorm1d(7)
        self.fc2 = nn.Linear(7, CLASSES)
        self.clearance = float("inf")

    def forward(self, images):
        x = F.relu(self.away_from_zero(self.bn1(self.conv1(nchw(images)))))
        x = self.prelu(self.away_from_zero(self.conv2(x)))
        x = F.relu(self.away_from_zero(self.bn2(self.dw(x))))
        x = F.max_pool2d(self.away_from_ties(x), 2)
        x = nhwc(x).flatten(1)
        x = F.relu(self.away_from_zero(self.bn3(self.fc1(x))))
        return self.fc2(x)

    def away_from_zero(self, x):
        self.clearance = min(self.clearance, x.abs().min().item())
        return x

    def away_from_ties(self, x):
        windows = F.unfold(x.flatten(0, 1).unsqueeze(1), 2, stride=2)
        first, second = windows.topk(2, dim=1).values.unbind(1)
        # Zeros come out of the ReLU and hand no gradient on: a tie between them does not matter.
        self.clearance = min(self.clearance, (first - second)[first > 0].min().item())
        return x


def initialise(network, rng):
    """Random parameters and BN buffers: no value is left at the 0 or 1 that would hide a mistake."""
    for name, tensor in network.state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue
        layer, kind = name.split(".")
        if kind == "running_var" or (layer.startswith("bn") and kind == "weight"):
            value = uniform(rng, 0.6, 1.4, *tensor.shape)
        elif layer == "prelu":
            value = uniform(rng, 0.1, 0.4, *tensor.shape)
        elif tensor.dim() == 1:
            value = 0.1 * normal(rng, *tensor.shape)
        else:
            value = (2.0 / tensor[0].numel()) ** 0.5 * normal(rng, *tensor.shape)
        tensor.copy_(value.float())


def in_file_layout(tensors, prefix):
    """The named tensors under `prefix/`, convolution weights as [kh, kw, in/groups, out], without PyTorch's counters."""
    return {
        f"{prefix}/{name}": hwio(tensor) if tensor.dim() == 4 else tensor.detach().clone()
        for name, tensor in tensors
        if not name.endswith("num_batches_tracked")
    }


def run(seed, dtype):
    """Everything one file holds, and the smallest clearance in the first step and in all."""
    rng = generator("network", seed)
    network = Network()
    initialise(network, rng)
    network.to(dtype)
    images = normal(rng, 8, 12, 12, 2).to(dtype).requires_grad_()
    labels = torch.randint(CLASSES, (8,), generator=rng)
    out = {"input": images.detach().clone(), "labels": labels}
    out |= in_file_layout(network.named_parameters(), "param")
    out |= in_file_layout(network.named_buffers(), "buffer")

    optimiser = torch.optim.SGD(network.parameters(), **SGD)
    losses = []
    for step in range(STEPS):
        optimiser.zero_grad()
        images.grad = None
        logits = network(images)
        loss = F.cross_entropy(logits, labels, label_smoothing=SMOOTHING)
        loss.backward()
        losses.append(loss.item())
        if step == 0:
            first_clearance = network.clearance
            out |= {"logits": logits, "loss": loss, "grad/input": images.grad.clone()}
            out |= in_file_layout(((name, p.grad) for name, p in network.named_parameters()), "grad")
            out |= in_file_layout(network.named_buffers(), "buffer_after")
        optimiser.step()
    out["losses"] = torch.tensor(losses, dtype=dtype)
    out |= in_file_layout(network.named_parameters(), "final")
    out |= in_file_layout(network.named_buffers(), "final")
    all_clearance = network.clearance
    network.eval()
    with torch.no_grad():
        out["eval_logits"] = network(images)
    return out, first_clearance, min(all_clearance, network.clearance)


def main():
    seed = 0
    while True:
        wide, first, later = run(seed, torch.float64)
        if first > FIRST_STEP_CLEARANCE and later > LATER_CLEARANCE:
            break
        seed += 1
    narrow, _, _ = run(seed, torch.float32)
    print(f"seed {seed}, clearance {first:.1e} in the first step, {later:.1e} in all")

    for key in ["logits", "loss", "losses", "grad/conv1.weight", "grad/input", "final/conv1.weight", "eval_logits"]:
        error = (wide[key] - narrow[key]).abs().max() / wide[key].abs().max()
        print(f"  {key:20} largest {wide[key].abs().max():9.3e}  f32 against f64 {error:.1e}")
    print("  losses", " ".join(f"{loss:.6f}" for loss in wide["losses"]))

    about = dict(seed=seed, smoothing=SMOOTHING, steps=STEPS, bn_momentum=0.1, bn_eps=1e-5, **SGD)
    write("network_f32.safetensors", narrow, network=about)
    write("network_f64.safetensors", wide, network=about)


if __name__ == "__main__":
    main()
