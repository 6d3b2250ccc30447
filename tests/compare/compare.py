"""Holds the program against PyTorch through safetensors files: losses and whole networks, in f32 and f64.

    python compare.py [PROGRAM] [--only NAME]...

PROGRAM is the `hypersphere` binary (default: target/release/hypersphere). For each loss and network, inputs are written
to a file, `hypersphere loss eval` or `hypersphere model eval --grad` computes from it, and PyTorch computes the same with
autograd. The table has the worst difference, relative to the largest element of that tensor in PyTorch: of losses in the
same type; of networks from PyTorch in f64, with what PyTorch itself is off by in f32 beside it. Exit code 1 if one is
beyond its bound.

The gradient of a network jumps where an input of a ReLU is 0, and rounding decides on which side a close one falls. So each
network is held against PyTorch on the images, of DRAWS drawn, that keep all those inputs farthest from 0 (`distance` in
the table, in shares of the layer's root mean square): there the gradient is well-conditioned, and its bound can be tight.

Needs torch, torchvision and safetensors. To compare an implementation of your own, add it to LOSSES or to NETWORKS.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
import torch.nn.functional as F
import torchvision
from safetensors.torch import load_file, save_file
from torch.utils._python_dispatch import TorchDispatchMode

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "tests/golden"))
from architectures import MobileFaceNet, OsNet  # noqa: E402
from imported import CifarResNet, value  # noqa: E402

SAMPLES, CLASSES, DIM = 24, 10, 32

DRAWS = 64

# Beyond these a difference counts as a failure.
BOUNDS = {
    ("loss and gradients", torch.float64): 1e-11,
    ("loss and gradients", torch.float32): 2e-5,
    ("output", torch.float64): 1e-10,
    ("output", torch.float32): 1e-3,
    ("gradients", torch.float64): 1e-9,
    ("gradients", torch.float32): 1e-3,
}
# Where normalisation over sixteen values amplifies rounding until PyTorch's own f32 crosses a kink on every draw: twice
# what PyTorch is off by.
ILL_CONDITIONED = {("resnet50", "training: gradients")}

# Losses: from the tensors `t` and the labels to the mean, written as in the papers.


def cosines(t):
    return F.normalize(t["embeddings"]) @ F.normalize(t["weight"]).T


def replaced(c, y, target):
    """The similarities with those of the target replaced."""
    return c.scatter(1, y[:, None], target[:, None])


def own(c, y):
    return c.gather(1, y[:, None])[:, 0]


def softplus(z):
    """ln(1 + e^z). `F.softplus` returns z itself from z = 20 on, 2e-9 too little."""
    return torch.logaddexp(z, torch.zeros_like(z))


def softmax(t, y):
    return F.cross_entropy(t["embeddings"] @ t["weight"].T + t["bias"], y)


def cosface(t, y, s, m):
    c = cosines(t)
    return F.cross_entropy(s * replaced(c, y, own(c, y) - m), y)


def arcface(t, y, s, m):
    c = cosines(t)
    theta = torch.acos(own(c, y))
    return F.cross_entropy(s * replaced(c, y, torch.cos(theta + m)), y)


def so_softmax(t, y, lambda_p, lambda_n, m):
    c = cosines(t)
    positive = lambda_p * (m**2 - (1 - own(c, y)) ** 2)
    return F.cross_entropy(replaced(lambda_n * (c**2 - m**2), y, positive), y)


def cs_softmax(t, y, s, m, factor):
    c = cosines(t)
    return F.cross_entropy(replaced(factor * s * c, y, s * (own(c, y) - m)), y)


def sml(t, y):
    """Each class of the batch: its farthest sample against the nearest of the others."""
    d = torch.sqrt(2 - 2 * cosines(t))
    terms = [softplus(d[y == k, k].max() - d[y != k, k].min()) for k in y.unique()]
    return torch.stack(terms).mean()


def d_softmax(t, y, s, d):
    c = cosines(t)
    others = replaced(s * c, y, torch.full_like(c[:, 0], -torch.inf))
    return (softplus(s * (d - own(c, y))) + softplus(torch.logsumexp(others, 1))).mean()


def proxy_anchor(t, y, alpha, delta):
    c = cosines(t)
    is_own = F.one_hot(y, CLASSES).bool()
    lse = lambda z, keep: torch.logsumexp(torch.where(keep, z, -torch.inf), 0)
    positive = softplus(lse(-alpha * (c - delta), is_own))
    negative = softplus(lse(alpha * (c + delta), ~is_own))
    return positive[y.unique()].mean() + negative.mean()


def triplet(t, y, margin):
    """Batch-hard, over the anchors that have a positive and a negative."""
    x = t["embeddings"]
    d = ((x[:, None] - x[None]) ** 2).sum(2)
    d = torch.where(d > 0, d, 1).sqrt() * (d > 0)
    same = y[:, None] == y[None]
    positive = same & ~torch.eye(len(y), dtype=torch.bool)
    keep = positive.any(1) & (~same).any(1)
    hardest = torch.where(positive, d, -torch.inf).max(1).values - torch.where(same, torch.inf, d).min(1).values
    return F.relu(hardest[keep] + margin).mean()


def supcon(t, y, temperature):
    z = F.normalize(t["embeddings"])
    s = z @ z.T / temperature
    others = ~torch.eye(len(y), dtype=torch.bool)
    log_p = s - torch.logsumexp(torch.where(others, s, -torch.inf), 1, keepdim=True)
    positive = (y[:, None] == y[None]) & others
    count = positive.sum(1)
    return -((log_p * positive).sum(1)[count > 0] / count[count > 0]).mean()


CLASS = {"weight": (CLASSES, DIM)}
LOSSES = {
    "softmax": (softmax, {**CLASS, "bias": (CLASSES,)}),
    "cosface:s=30,m=0.35": (lambda t, y: cosface(t, y, 30, 0.35), CLASS),
    "arcface:s=30,m=0.5": (lambda t, y: arcface(t, y, 30, 0.5), CLASS),
    "so-softmax:lambda_p=32,lambda_n=32,m=0.3": (lambda t, y: so_softmax(t, y, 32, 32, 0.3), CLASS),
    "cs-softmax:s=16,m=0.35,lambda=1.1": (lambda t, y: cs_softmax(t, y, 16, 0.35, 1.1), CLASS),
    "sml": (sml, CLASS),
    "d-softmax:s=30,d=0.9": (lambda t, y: d_softmax(t, y, 30, 0.9), CLASS),
    "proxy-anchor:alpha=32,delta=0.1": (lambda t, y: proxy_anchor(t, y, 32, 0.1), CLASS),
    "triplet:margin=0.3": (lambda t, y: triplet(t, y, 0.3), {}),
    "supcon:t=0.1": (lambda t, y: supcon(t, y, 0.1), {}),
}

# Networks: how to build one, its images [N, H, W, C], and whether its parameters have this program's names and layouts
# in the file (True), or PyTorch's (False).

NETWORKS = {
    "resnet18": (lambda: torchvision.models.resnet18(num_classes=CLASSES), (4, 32, 32, 3), False),
    "resnet50": (lambda: torchvision.models.resnet50(num_classes=CLASSES), (4, 48, 48, 3), False),
    "resnet20": (lambda: CifarResNet(3), (4, 16, 16, 3), False),
    "mobilefacenet": (lambda: MobileFaceNet(3, 4), (4, 48, 64, 3), True),
    "osnet-x0.25": (lambda: OsNet([16, 64, 96, 128]), (4, 64, 32, 3), True),
}


def run(program, *arguments):
    result = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True)
    if result.returncode != 0:
        sys.exit(f"hypersphere {' '.join(map(str, arguments))}\n{result.stderr}")


def worst(ours, theirs):
    """The name and the size of the worst relative difference. Both must have the same names."""
    missing = theirs.keys() - ours.keys()
    if missing:
        return f"{sorted(missing)[0]} is missing", float("inf")
    gaps = {}
    for name, tensor in theirs.items():
        if ours[name].numel() != tensor.numel():
            return f"{name}: {list(ours[name].shape)}", float("inf")
        gap = (ours[name].double().reshape(tensor.shape) - tensor.double()).abs().max().item()
        gaps[name] = gap / max(tensor.abs().max().item(), 1e-30)
    return max(gaps.items(), key=lambda item: item[1])


def compare_loss(program, folder, spec, dtype):
    formula, shapes = LOSSES[spec]
    rng = torch.Generator().manual_seed(1)
    shapes = {"embeddings": (SAMPLES, DIM), **shapes}
    draw = lambda shape: torch.randn(shape, generator=rng, dtype=torch.float64).to(dtype)
    t = {name: draw(shape).requires_grad_() for name, shape in shapes.items()}
    y = torch.arange(SAMPLES) % CLASSES
    save_file({**{name: x.detach() for name, x in t.items()}, "labels": y}, folder / "in.safetensors")
    run(program, "loss", "eval", spec, "--input", folder / "in.safetensors", "--output", folder / "out.safetensors")
    loss = formula(t, y)
    loss.backward()
    theirs = {"loss": loss.detach(), **{f"grad_{name}": x.grad for name, x in t.items()}}
    ours = load_file(folder / "out.safetensors")
    return [("loss and gradients", *worst(ours, theirs), None, None)]


class Kinks(TorchDispatchMode):
    """How close the inputs of all ReLUs come to 0, in shares of their layer's root mean square."""

    NAMES = {"aten.relu.default", "aten.relu_.default", "aten._prelu_kernel.default"}

    def __init__(self):
        super().__init__()
        self.distance = float("inf")

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if str(function) in self.NAMES:
            size = args[0].abs()
            self.distance = min(self.distance, (size.min() / size.square().mean().sqrt()).item())
        return function(*args, **(kwargs or {}))


def well_conditioned(network, shape, training):
    """Of DRAWS drawn batches of images, the one that stays farthest from all kinks, and how far that is."""
    network = network.double().train(training)
    best = (-1.0, None)
    for seed in range(DRAWS):
        x = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
        with torch.no_grad(), Kinks() as kinks:
            network(x.double().permute(0, 3, 1, 2))
        best = max(best, (kinks.distance, x), key=lambda draw: draw[0])
    return best


def hwio(tensor):
    return tensor.permute(2, 3, 1, 0).contiguous() if tensor.ndim == 4 else tensor


def pytorch(name, state, x, y, training):
    """Output, loss and gradients in the type of x, the gradients of parameters as in the weights file."""
    build, _, own_layout = NETWORKS[name]
    network = build()
    network.load_state_dict(state)
    network = network.to(x.dtype).train(training)
    images = x.clone().requires_grad_()
    output = network(images.permute(0, 3, 1, 2))
    loss = F.cross_entropy(output, y)
    loss.backward()
    there = hwio if own_layout else lambda tensor: tensor
    gradients = {key: there(p.grad) for key, p in network.named_parameters()}
    # A shift that the normalisation behind it cancels has gradient 0: nothing to be relative to.
    largest = max(g.abs().max() for g in gradients.values())
    gradients = {key: g for key, g in gradients.items() if g.abs().max() > 1e-6 * largest}
    return {"output": output.detach(), "loss": loss.detach()}, {**gradients, "grad_input": images.grad}


def compare_network(program, folder, name, dtype):
    """Against PyTorch in f64, whatever the type is; in f32, PyTorch's own f32 is held against that, too."""
    build, shape, own_layout = NETWORKS[name]
    state = {key: value(key, list(x.shape)) if x.is_floating_point() else x for key, x in build().state_dict().items()}
    there = hwio if own_layout else lambda tensor: tensor
    weights = {key: there(x).to(dtype).contiguous() for key, x in state.items() if x.is_floating_point()}
    save_file(weights, folder / "weights.safetensors")
    y = torch.arange(shape[0]) % CLASSES

    rows = []
    for training in [False, True]:
        network = build()
        network.load_state_dict(state)
        distance, x = well_conditioned(network, shape, training)
        x = x.to(dtype)
        save_file({"input": x, "labels": y}, folder / "in.safetensors")
        mode = ["--train"] if training else []
        files = ["--input", folder / "in.safetensors", "--output", folder / "out.safetensors"]
        run(program, "model", "eval", name, "--weights", folder / "weights.safetensors", *files, "--grad", *mode)
        ours = load_file(folder / "out.safetensors")
        exact = pytorch(name, state, x.double(), y, training)
        same = pytorch(name, state, x, y, training) if dtype == torch.float32 else exact
        title = "training" if training else "evaluation"
        for what, expected, found in zip(["output", "gradients"], exact, same):
            found = {key: found.get(key, tensor) for key, tensor in expected.items()}
            rows.append((f"{title}: {what}", *worst(ours, expected), worst(found, expected)[1], distance))
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", nargs="?", default=ROOT / "target/release/hypersphere")
    parser.add_argument("--only", action="append", help="the name of a loss or network")
    options = parser.parse_args()
    kinds = [("loss", LOSSES, compare_loss), ("network", NETWORKS, compare_network)]
    failed = 0
    print(f"{'':7} {'':42} {'type':8} {'what':22} {'worst':>8} {'PyTorch':>8} {'distance':>8}  of")
    with tempfile.TemporaryDirectory() as folder:
        for kind, entries, compare in kinds:
            for name in entries:
                if options.only and name.split(":")[0] not in options.only:
                    continue
                for dtype in [torch.float64, torch.float32]:
                    for what, tensor, gap, *beside in compare(options.program, Path(folder), name, dtype):
                        bound = BOUNDS[what.split(": ")[-1], dtype]
                        if (name, what) in ILL_CONDITIONED and dtype == torch.float32:
                            bound = 2 * beside[0]
                        good = gap <= bound
                        failed += not good
                        verdict = "" if good else "  FAILED"
                        short = str(dtype).removeprefix("torch.")
                        more = " ".join(8 * " " if x is None else f"{x:8.1e}" for x in beside)
                        row = f"{kind:7} {name:42} {short:8} {what:22} {gap:8.1e} {more}  {tensor}{verdict}"
                        print(row, flush=True)
    print(f"{failed} beyond their bounds")
    sys.exit(failed > 0)


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
