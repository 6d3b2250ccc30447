"""Values and gradients of the losses, written out from their formulas in plain autograd, in f32 and f64.

Writes `losses_f32.safetensors` and `losses_f64.safetensors` beside this script; keys and formulas are in README.md.
The first ten losses are here, `losses_class.py` has the other ones of class level.

    python losses.py

Nothing here is fast or clever, on purpose: one sample and one class at a time, so that each formula can be read.
A formula that comes too near a kink or a tie, where gradients of two sound implementations may differ, raises
`Unfit`; the case is then drawn again from the next seed.
"""

import math
from dataclasses import dataclass

import torch
from torch.nn.functional import normalize, softplus

import losses_class
from common import generator, normal
from losses_tools import Unfit, clear_of, cosine, cross_entropy, distance, largest, parse, smallest, write_cases

def per_sample(x, labels, w, one):
    """The mean of `one(x_i, w_y, [w_j for j != y], y)` over the batch, and its values."""
    values = []
    for x_i, y in zip(x, labels.tolist()):
        values.append(one(x_i, w[y], [w[j] for j in range(len(w)) if j != y], y))
    values = torch.stack(values)
    return values.mean(), values


# Class-level losses. Each takes embeddings x [N, D], labels [N], class weights w [C, D] and its own parameters, and
# returns the mean and the values per sample (None where the loss is no mean over samples).


def softmax(x, labels, w, bias, smoothing=0.0):
    """z_j = <w_j, x> + b_j ; q = (1 - smoothing) onehot(y) + smoothing / C ; L = -sum_j q_j log softmax(z)_j."""
    values = []
    for x_i, y in zip(x, labels.tolist()):
        z = [w_j @ x_i + b_j for w_j, b_j in zip(w, bias)]
        lse = torch.logsumexp(torch.stack(z), 0)
        q = [smoothing / len(z) + (1 - smoothing) * (j == y) for j in range(len(z))]
        values.append(sum(q_j * (lse - z_j) for q_j, z_j in zip(q, z)))
    values = torch.stack(values)
    return values.mean(), values


def normface(x, labels, w, s):
    """Cross-entropy of s c_j."""
    return per_sample(
        x, labels, w, lambda x, w_y, others, y: cross_entropy(s * cosine(x, w_y), [s * cosine(x, w_j) for w_j in others])
    )


def cosface(x, labels, w, s, m):
    """Cross-entropy of s (c_y - m) and s c_j."""
    return per_sample(
        x,
        labels,
        w,
        lambda x, w_y, others, y: cross_entropy(s * (cosine(x, w_y) - m), [s * cosine(x, w_j) for w_j in others]),
    )


def arcface(x, labels, w, s, m):
    """Cross-entropy of s cos(theta_y + m) and s c_j; past theta_y = pi - m the target is s (c_y - m sin m)."""

    def one(x, w_y, others, y):
        c = cosine(x, w_y)
        theta = clear_of(torch.acos(c), math.pi - m)
        target = torch.cos(theta + m) if theta < math.pi - m else c - m * math.sin(m)
        return cross_entropy(s * target, [s * cosine(x, w_j) for w_j in others])

    return per_sample(x, labels, w, one)


def sphereface(x, labels, w, m, **annealing):
    """Cross-entropy of |x| (lambda c_y + psi(theta_y)) / (1 + lambda) and |x| c_j.

    psi(theta) = (-1)^k cos(m theta) - 2k for theta in [k pi/m, (k+1) pi/m]; m an integer.
    """
    lam = annealing.get("lambda", 0.0)

    def one(x, w_y, others, y):
        c = cosine(x, w_y)
        theta = torch.acos(c)
        k = int(m * theta.item() / math.pi)
        clear_of(m * theta / math.pi, k)
        clear_of(m * theta / math.pi, k + 1)
        psi = (-1) ** k * torch.cos(m * theta) - 2 * k
        return cross_entropy(x.norm() * (lam * c + psi) / (1 + lam), [x.norm() * cosine(x, w_j) for w_j in others])

    return per_sample(x, labels, w, one)


def so_softmax(x, labels, w, lambda_p, lambda_n, m, one_sided=False):
    """Cross-entropy of lambda_p (m^2 - (1 - c_y)^2) and lambda_n (c_j^2 - m^2); one-sided: max(c_j, 0) for c_j."""

    def negative(c):
        if one_sided:
            c = clear_of(c, 0.0).clamp(min=0)
        return lambda_n * (c**2 - m**2)

    def one(x, w_y, others, y):
        positive = lambda_p * (m**2 - (1 - cosine(x, w_y)) ** 2)
        return cross_entropy(positive, [negative(cosine(x, w_j)) for w_j in others])

    return per_sample(x, labels, w, one)


def cs_softmax(x, labels, w, s, m, form="a", **factor):
    """The four readings of CS-softmax; `lambda` is the weight-update factor.

    a: cross-entropy of s (c_y - m) and lambda s c_j
    b: softplus(-s (c_y - m)) + lambda log(1 + sum_j e^(s (c_j + m)))
    c: CosFace, with the gradient that reaches w multiplied by lambda
    d: SO-softmax with lambda_p = s and lambda_n = lambda s
    """
    lam = factor["lambda"]

    def form_a(x, w_y, others, y):
        return cross_entropy(s * (cosine(x, w_y) - m), [lam * s * cosine(x, w_j) for w_j in others])

    def form_b(x, w_y, others, y):
        pushed = torch.stack([s * (cosine(x, w_j) + m) for w_j in others])
        return torch.log1p(torch.exp(-s * (cosine(x, w_y) - m))) + lam * torch.log1p(pushed.exp().sum())

    if form == "a":
        return per_sample(x, labels, w, form_a)
    if form == "b":
        return per_sample(x, labels, w, form_b)
    if form == "c":
        same_value_scaled_gradient = w.detach() + lam * (w - w.detach())
        return cosface(x, labels, same_value_scaled_gradient, s, m)
    if form == "d":
        return so_softmax(x, labels, w, lambda_p=s, lambda_n=lam * s, m=m)
    raise ValueError(form)


def soft_margin(positive, negative, kappa):
    return softplus(kappa * (positive - negative), threshold=1000) / kappa


def sml(x, labels, w, form="class", kappa=1.0):
    """softplus(kappa (D+ - D-)) / kappa with D+ the largest distance within and D- the smallest distance between classes.

    class:  per class k of the batch: D+ over its samples to w_k, D- over the other samples to w_k; mean over these classes
    sample: per sample: D+ to w_y, D- the smallest to any other w_j of all C; mean over samples
    pair:   per point, where the points are the samples and the w_k of the classes of the batch: D+ over the other
            points of its class, D- over the points of other classes; mean over the points that have both
    batch:  D+ over all (x_i, w_yi), D- over all (x_i, w_k) with k != y_i a class of the batch; one value
    """
    y = labels.tolist()
    present = sorted(set(y))
    if form == "class":
        terms = []
        for k in present:
            within = [distance(x_i, w[k]) for x_i, y_i in zip(x, y) if y_i == k]
            between = [distance(x_i, w[k]) for x_i, y_i in zip(x, y) if y_i != k]
            terms.append(soft_margin(largest(within), smallest(between), kappa))
        return torch.stack(terms).mean(), None
    if form == "sample":
        return per_sample(
            x,
            labels,
            w,
            lambda x, w_y, others, y: soft_margin(
                distance(x, w_y), smallest([distance(x, w_j) for w_j in others]), kappa
            ),
        )
    if form == "pair":
        points = [*x, *(w[k] for k in present)]
        classes = [*y, *present]
        terms = []
        for a, class_a in enumerate(classes):
            within = [distance(points[a], points[b]) for b, c in enumerate(classes) if c == class_a and b != a]
            between = [distance(points[a], points[b]) for b, c in enumerate(classes) if c != class_a]
            if within and between:
                terms.append(soft_margin(largest(within), smallest(between), kappa))
        return torch.stack(terms).mean(), None
    if form == "batch":
        within = [distance(x_i, w[y_i]) for x_i, y_i in zip(x, y)]
        between = [distance(x_i, w[k]) for x_i, y_i in zip(x, y) for k in present if k != y_i]
        absent = [distance(x_i, w[k]) for x_i in x for k in range(len(w)) if k not in present]
        if absent and min(absent) > min(between):
            raise Unfit  # this batch would not show that absent classes are left out
        return soft_margin(largest(within), smallest(between), kappa), None
    raise ValueError(form)


def sml_joint(x, labels, w, s, alpha=1.0, kappa=1.0):
    """NormFace plus alpha times the class form of the soft-margin loss."""
    return normface(x, labels, w, s)[0] + alpha * sml(x, labels, w, "class", kappa)[0], None


def center(x, labels, centers):
    """|x - c_y|^2 / 2, mean over the batch."""
    values = torch.stack([((x_i - centers[y]) ** 2).sum() / 2 for x_i, y in zip(x, labels.tolist())])
    return values.mean(), values


def center_delta(x, labels, centers):
    """The centre update of Wen et al. 2016: delta_j = sum_i [y_i = j] (c_j - x_i) / (1 + n_j); c_j -= 0.5 delta_j."""
    delta = torch.zeros_like(centers)
    for j in range(len(centers)):
        members = [x_i for x_i, y in zip(x, labels.tolist()) if y == j]
        delta[j] = sum((centers[j] - x_i for x_i in members), torch.zeros_like(centers[j])) / (1 + len(members))
    return delta


LOSSES = {
    "softmax": softmax,
    "normface": normface,
    "cosface": cosface,
    "arcface": arcface,
    "sphereface": sphereface,
    "so-softmax": so_softmax,
    "cs-softmax": cs_softmax,
    "sml": sml,
    "sml-joint": sml_joint,
    "center": center,
}


@dataclass
class Shape:
    samples: int
    dim: int
    classes: int
    x_scale: float = 1.0
    w_scale: float = 1.0


TINY = Shape(7, 5, 4)
WIDE = Shape(16, 8, 10)
LONG = Shape(9, 6, 5, x_scale=3.0, w_scale=2.0)

SHAPES = {"tiny": TINY, "wide": WIDE, "long": LONG}

# Every case with its shape.
SETTINGS = [
    ("softmax", TINY),
    ("softmax", WIDE),
    ("softmax", LONG),
    ("softmax:smoothing=0.1", TINY),
    ("softmax:smoothing=0.1", WIDE),
    ("softmax:smoothing=0.2", LONG),
    ("normface:s=16", TINY),
    ("normface:s=16", WIDE),
    ("normface:s=30", LONG),
    ("cosface:s=30,m=0.35", TINY),
    ("cosface:s=30,m=0.35", WIDE),
    ("cosface:s=64,m=0.4", LONG),
    ("arcface:s=30,m=0.5", TINY),
    ("arcface:s=30,m=0.5", WIDE),
    ("arcface:s=64,m=0.3", LONG),
    ("sphereface:m=2,lambda=0", TINY),
    ("sphereface:m=3,lambda=0", WIDE),
    ("sphereface:m=4,lambda=0", LONG),
    ("sphereface:m=4,lambda=0", WIDE),
    ("sphereface:m=2,lambda=5", WIDE),
    ("sphereface:m=3,lambda=5", LONG),
    ("sphereface:m=4,lambda=5", TINY),
    ("so-softmax:lambda_p=32,lambda_n=32,m=0.3", TINY),
    ("so-softmax:lambda_p=32,lambda_n=32,m=0.3", WIDE),
    ("so-softmax:lambda_p=64,lambda_n=64,m=0.3", LONG),
    ("so-softmax:lambda_p=2,lambda_n=2,m=0.3", WIDE),
    ("so-softmax:lambda_p=16,lambda_n=48,m=0.4", TINY),
    ("so-softmax:lambda_p=40,lambda_n=10,m=0.25", LONG),
    ("so-softmax:lambda_p=32,lambda_n=32,m=0.3,one_sided=true", TINY),
    ("so-softmax:lambda_p=16,lambda_n=48,m=0.4,one_sided=true", WIDE),
    ("cs-softmax:s=30,m=0.35,lambda=1.1", TINY),
    ("cs-softmax:s=30,m=0.35,lambda=1.1", WIDE),
    ("cs-softmax:s=16,m=0.2,lambda=0.8,form=a", LONG),
    ("cs-softmax:s=10,m=0.35,lambda=1.1,form=b", TINY),
    ("cs-softmax:s=16,m=0.2,lambda=0.5,form=b", WIDE),
    ("cs-softmax:s=30,m=0.35,lambda=1.5,form=c", TINY),
    ("cs-softmax:s=16,m=0.2,lambda=0.5,form=c", WIDE),
    ("cs-softmax:s=32,m=0.3,lambda=1.25,form=d", TINY),
    ("cs-softmax:s=16,m=0.4,lambda=0.8,form=d", WIDE),
    ("sml:form=class,kappa=1", TINY),
    ("sml:form=class,kappa=1", WIDE),
    ("sml:form=class,kappa=4", LONG),
    ("sml:form=sample,kappa=1", TINY),
    ("sml:form=sample,kappa=4", WIDE),
    ("sml:form=pair,kappa=1", TINY),
    ("sml:form=pair,kappa=4", WIDE),
    ("sml:form=batch,kappa=1", TINY),
    ("sml:form=batch,kappa=4", WIDE),
    ("sml-joint:s=16,alpha=1,kappa=1", TINY),
    ("sml-joint:s=16,alpha=0.5,kappa=4", WIDE),
    ("sml-joint:s=30,alpha=2,kappa=1", LONG),
    ("center", TINY),
    ("center", WIDE),
    ("center", LONG),
    *((spec, SHAPES[shape]) for spec, shape in losses_class.CASES),
]


CASES = [spec for spec, _ in SETTINGS]


def shape_of(key):
    """The shape of a case; the number in its key is its place among the cases of its loss."""
    name, place = key.split("/")
    return [shape for spec, shape in SETTINGS if parse(spec)[0] == name][int(place)]


def is_further(name, parameters):
    """Whether the loss, with these parameters, is one of `losses_class.py`."""
    later = {"softmax": "spread", "normface": "learned", "arcface": "gradient"}
    return name in losses_class.LOSSES and (name not in later or later[name] in parameters)


def draw(name, parameters, key, seed):
    """Random inputs in f64: samples that lie near, beside and opposite their class, and labels that repeat.

    In WIDE the last class has no sample.
    """
    shape = shape_of(key)
    rng = generator(key, seed)
    labelled = shape.classes - 1 if shape is WIDE else shape.classes
    labels = torch.cat([torch.arange(labelled), torch.randint(labelled, (shape.samples - labelled,), generator=rng)])
    labels = labels[torch.randperm(shape.samples, generator=rng)]
    classes = normal(rng, shape.classes, shape.dim)
    directions = classes / classes.norm(dim=1, keepdim=True)
    pull = torch.tensor([3.0, 1.5, 2.0, -4.0, 1.0, 0.0], dtype=torch.float64)[torch.arange(shape.samples) % 6]
    x = shape.x_scale * (normal(rng, shape.samples, shape.dim) + pull[:, None] * directions[labels])
    inputs = {"embeddings": x.float().double(), "labels": labels}
    if name not in losses_class.WEIGHTLESS:
        inputs["centers" if name == "center" else "weight"] = (shape.w_scale * classes).float().double()
    if name == "softmax":
        inputs["bias"] = 0.5 * normal(rng, shape.classes)
    if is_further(name, parameters) and name in losses_class.EXTRA:
        inputs |= losses_class.EXTRA[name](rng, shape)
    if parameters.get("form") == "fixed":
        inputs.pop("adacos.s", None)
    return inputs


def evaluate(name, parameters, inputs, dtype):
    """The loss of the inputs in `dtype`, its values per sample, every gradient and the state after the step."""
    tensors = {key: value.to(dtype, copy=True) for key, value in inputs.items() if key != "labels"}
    leaves = {key: value.requires_grad_() for key, value in tensors.items() if key not in losses_class.FIXED}
    state = None
    if is_further(name, parameters):
        loss, values, *rest = losses_class.LOSSES[name](tensors, inputs["labels"], **parameters)
        state = rest[0] if rest else None
    else:
        loss, values = LOSSES[name](leaves["embeddings"], inputs["labels"], *list(leaves.values())[1:], **parameters)
    loss.backward()
    out = {"labels": inputs["labels"], "loss": loss.detach()}
    out |= {key: tensor.detach() for key, tensor in tensors.items()}
    out |= {f"grad_{key}": leaf.grad for key, leaf in leaves.items()}
    if values is not None:
        out["loss_per_sample"] = values.detach()
    if name == "center":
        state = {"centers": out["centers"] - 0.5 * center_delta(out["embeddings"], out["labels"], out["centers"])}
    out |= {f"new_{key}": value.detach().clone() for key, value in (state or {}).items()}
    return out


def check(out):
    """Every sample has a gradient, some are neither settled nor hopeless, and no cosine is near 1 or -1."""
    if "weight" not in out:
        return
    cosines = normalize(out["embeddings"]) @ normalize(out["weight"]).T
    if cosines.abs().max() > 0.99:
        raise Unfit
    if "loss_per_sample" in out:
        values = out["loss_per_sample"]
        rows = out["grad_embeddings"].norm(dim=1) * out["embeddings"].norm(dim=1) * len(values)
        if rows.min() < 1e-3 or ((values > 0.02) & (values < 4)).sum() < 2:
            raise Unfit


if __name__ == "__main__":
    write_cases("losses", CASES, draw, evaluate, check)
