"""Values and gradients of single operations in PyTorch, f64, with the rules that PyTorch fixes by convention.

Writes `ops_f64.safetensors` beside this script; keys are in README.md.

    python ops.py

Every case has a random cotangent `dy`, and `dx`, `dw`, `db` are the gradients of sum(y * dy).
"""

import torch
import torch.nn.functional as F

from common import generator, nchw, nhwc, normal, oihw, uniform, write

TENSORS, ABOUT = {}, []


def case(op, y, x, w=None, b=None, extra=None, **parameters):
    """Record a case: `y` as computed from the leaves `x`, `w` and `b`, all in the layout of the files."""
    number = sum(about["op"] == op for about in ABOUT)
    key = f"{op}/{number}"
    dy = normal(generator(key, "dy"), *y.shape)
    y.backward(dy)
    TENSORS.update({f"{key}/y": y, f"{key}/dy": dy})
    for name, leaf in [("x", x), ("w", w), ("b", b)]:
        if leaf is not None:
            TENSORS.update({f"{key}/{name}": leaf, f"{key}/d{name}": leaf.grad})
    for name, tensor in (extra or {}).items():
        TENSORS[f"{key}/{name}"] = tensor
    ABOUT.append({"key": key, "op": op, **parameters})
    print(f"{key:22} x {tuple(x.shape)!s:16} y {tuple(y.shape)!s:16} largest {y.abs().max():.3f}  {parameters}")


def leaf(rng, *shape):
    return normal(rng, *shape).requires_grad_()


def conv2d():
    shapes = [
        # N, H, W, in, out, kernel, stride, padding, dilation, groups, bias
        (2, 7, 6, 3, 5, (3, 3), (1, 1), (1, 1), (1, 1), 1, True),
        (2, 8, 7, 3, 4, (3, 3), (2, 2), (1, 1), (1, 1), 1, False),
        (2, 6, 7, 4, 6, (1, 1), (2, 2), (0, 0), (1, 1), 1, True),
        (2, 7, 7, 4, 6, (3, 3), (1, 1), (1, 1), (1, 1), 2, True),
        (2, 7, 8, 6, 6, (3, 3), (2, 2), (1, 1), (1, 1), 6, False),
        (2, 7, 6, 3, 6, (5, 5), (1, 1), (2, 2), (1, 1), 3, True),
        (2, 9, 8, 3, 4, (3, 3), (1, 1), (2, 2), (2, 2), 1, True),
        (2, 9, 10, 2, 3, (3, 5), (2, 1), (1, 3), (1, 2), 1, True),
        (1, 5, 4, 2, 3, (7, 7), (2, 2), (3, 3), (1, 1), 1, False),
        (3, 6, 5, 2, 3, (3, 2), (3, 2), (0, 1), (1, 1), 1, True),
    ]
    for number, (n, h, width, cin, cout, kernel, stride, padding, dilation, groups, bias) in enumerate(shapes):
        rng = generator("conv2d", number)
        x, w = leaf(rng, n, h, width, cin), leaf(rng, *kernel, cin // groups, cout)
        b = leaf(rng, cout) if bias else None
        y = F.conv2d(nchw(x), oihw(w), b, stride, padding, dilation, groups)
        case("conv2d", nhwc(y), x, w, b, stride=stride, padding=padding, dilation=dilation, groups=groups)


def pools():
    for h, width, kernel, stride, padding in [(6, 6, 2, 2, 0), (7, 6, 3, 2, 1), (5, 5, 3, 1, 1), (7, 8, 3, 2, 0)]:
        rng = generator("max_pool2d", h, width)
        # Few whole numbers, mostly negative: windows tie, and a padding of zeros would win. The first maximum of a
        # window, row by row, gets the whole gradient; padding never wins.
        x = torch.randint(-3, 1, (2, h, width, 3), generator=rng).double().requires_grad_()
        y = F.max_pool2d(nchw(x), kernel, stride, padding)
        case("max_pool2d", nhwc(y), x, kernel=kernel, stride=stride, padding=padding)
    for h, width, kernel, stride, padding, counted in [
        (6, 6, 2, 2, 0, True),
        (7, 6, 3, 2, 1, True),
        (7, 6, 3, 2, 1, False),
        (5, 8, 3, 1, 1, False),
    ]:
        x = leaf(generator("avg_pool2d", h, width), 2, h, width, 3)
        y = F.avg_pool2d(nchw(x), kernel, stride, padding, count_include_pad=counted)
        case("avg_pool2d", nhwc(y), x, kernel=kernel, stride=stride, padding=padding, count_include_pad=counted)


def batch_norm():
    """Channels last in the files; the running variance takes in the unbiased variance of the batch."""
    for shape, training, momentum in [
        ((3, 4, 5, 6), True, 0.1),
        ((3, 4, 5, 6), False, 0.1),
        ((7, 5), True, 0.1),
        ((7, 5), False, 0.1),
        ((4, 3), True, 0.3),
    ]:
        rng = generator("batch_norm", *shape, training)
        x = (2.0 * normal(rng, *shape) + 0.5).requires_grad_()
        w = uniform(rng, 0.5, 1.5, shape[-1]).requires_grad_()
        b = leaf(rng, shape[-1])
        mean, var = normal(rng, shape[-1]), uniform(rng, 0.5, 2.0, shape[-1])
        buffers = {"running_mean": mean.clone(), "running_var": var.clone()}
        channels_second = nchw(x) if len(shape) == 4 else x
        y = F.batch_norm(channels_second, mean, var, w, b, training, momentum, 1e-5)
        buffers |= {"running_mean_after": mean, "running_var_after": var}
        y = nhwc(y) if len(shape) == 4 else y
        case("batch_norm", y, x, w, b, extra=buffers, training=training, momentum=momentum, eps=1e-5)


def elementwise():
    x = torch.linspace(-6, 6, 49, dtype=torch.float64).requires_grad_()
    case("gelu", F.gelu(x), x)
    # PyTorch replaces softplus by the identity from a threshold (20) on; here it is log(1 + e^x) throughout.
    x = torch.tensor([-700.0, -50, -20, -3, -0.5, 0, 0.5, 3, 20, 25, 40, 700], dtype=torch.float64).requires_grad_()
    case("softplus", F.softplus(x, threshold=1000), x, beta=1)
    for slopes in [4, 1]:
        rng = generator("prelu", slopes)
        x, w = leaf(rng, 2, 3, 5, 4), uniform(rng, 0.1, 0.5, slopes).requires_grad_()
        case("prelu", nhwc(F.prelu(nchw(x), w)), x, w)


def log_softmax():
    for scale, shape in [(1.0, (6, 5)), (200.0, (4, 7))]:
        x = (scale * normal(generator("log_softmax", scale), *shape)).requires_grad_()
        case("log_softmax", F.log_softmax(x, dim=-1), x, axis=-1)


def cross_entropy():
    for smoothing in [0.0, 0.1, 0.3]:
        rng = generator("cross_entropy", smoothing)
        x = (3.0 * normal(rng, 8, 6)).requires_grad_()
        labels = torch.randint(6, (8,), generator=rng)
        values = F.cross_entropy(x.detach(), labels, label_smoothing=smoothing, reduction="none")
        y = F.cross_entropy(x, labels, label_smoothing=smoothing)
        case("cross_entropy", y, x, extra={"labels": labels, "y_per_sample": values}, smoothing=smoothing)


def pairwise():
    rng = generator("cdist")
    x, w = leaf(rng, 6, 4), leaf(rng, 5, 4)
    case("cdist", torch.cdist(x, w, compute_mode="donot_use_mm_for_euclid_dist"), x, w)
    # Row 2 of x lies on row 1 of w: distance 0, and no gradient through it.
    x, w = normal(rng, 4, 3), normal(rng, 3, 3)
    x[2] = w[1]
    x.requires_grad_(), w.requires_grad_()
    case("cdist", torch.cdist(x, w, compute_mode="donot_use_mm_for_euclid_dist"), x, w)
    for scale in [1.0, 30.0]:
        rng = generator("cosine_similarity", scale)
        x, w = (scale * normal(rng, 6, 4)).requires_grad_(), leaf(rng, 5, 4)
        case("cosine_similarity", F.cosine_similarity(x[:, None], w[None], dim=-1), x, w)
    x = (normal(generator("normalize"), 5, 6) * torch.tensor([1e-4, 0.1, 1.0, 10.0, 1e4])[:, None]).requires_grad_()
    case("normalize", F.normalize(x, dim=-1), x, axis=-1, eps=1e-12)


def main():
    conv2d()
    pools()
    batch_norm()
    elementwise()
    log_softmax()
    cross_entropy()
    pairwise()
    write("ops_f64.safetensors", TENSORS, cases=ABOUT)


if __name__ == "__main__":
    main()
