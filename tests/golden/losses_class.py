"""The class-level losses beyond the first ten, and ring loss: values written out from their formulas.

Each takes the tensors `t` by name, the labels and its own parameters, and returns the mean, the values per sample (None
where the loss is a sum of means) and the state after the step. `losses.py` draws the inputs and writes the files.
"""

import math

import torch

from common import normal
from losses_tools import clear_of, cosine, cross_entropy, log1p_exp, stacked

# What belongs to a loss besides embeddings and class weights, drawn by (rng, shape).
# The names of state and of draws, which get no gradient, are in FIXED.
FIXED = {"adacos.s", "curricularface.t", "adaface.mean", "adaface.deviation", "elasticface.margins", "ring.start"}


def number(value):
    return torch.tensor([value], dtype=torch.float64)


EXTRA = {
    "focal": lambda rng, shape: {"bias": 0.5 * normal(rng, shape.classes)},
    "sphereface2": lambda rng, shape: {"sphereface2.b": number(-1.5)},
    "normface": lambda rng, shape: {"normface.s": number(12.5)},
    "adacos": lambda rng, shape: {"adacos.s": number(9.0)},
    "curricularface": lambda rng, shape: {"curricularface.t": number(0.25)},
    "adaface": lambda rng, shape: {"adaface.mean": number(2.0), "adaface.deviation": number(1.5)},
    "elasticface": lambda rng, shape: {"elasticface.margins": (0.4 + 0.1 * normal(rng, shape.samples)).float().double()},
    "subcenter-arcface": lambda rng, shape: {"subcenter-arcface.weight": normal(rng, shape.classes, 3, shape.dim)},
    "gaussian": lambda rng, shape: {
        "gaussian.means": normal(rng, shape.classes, shape.dim),
        "gaussian.log_variances": (0.3 * normal(rng, shape.classes, shape.dim)).float().double(),
    },
    "ring": lambda rng, shape: {"ring.start": number(2.0), "ring.offset": number(0.25)},
}
# Losses whose weights are among the above, or that have none.
WEIGHTLESS = {"subcenter-arcface", "gaussian", "ring"}


def rows(t, labels, one, weight="weight"):
    """The mean of `one(x_i, w_y, [w_j for j != y], i)` over the batch, and its values."""
    w = t[weight]
    return stacked(
        [
            one(x_i, w[y], [w[j] for j in range(len(w)) if j != y], i)
            for i, (x_i, y) in enumerate(zip(t["embeddings"], labels.tolist()))
        ]
    )


def cosines_of(t, labels, one, weight="weight"):
    """The same with the cosines c_y and [c_j] in place of the vectors."""
    return rows(t, labels, lambda x, w_y, others, i: one(cosine(x, w_y), [cosine(x, w) for w in others], i), weight)


def turned(c, m):
    """cos(theta + m); past theta = pi - m, c - m sin m."""
    theta = clear_of(torch.acos(c), math.pi - m)
    return torch.cos(theta + m) if theta.item() < math.pi - m else c - m * math.sin(m)


def psi(theta, m):
    """(-1)^k cos(m theta) - 2k for theta in [k pi/m, (k+1) pi/m]."""
    k = int(m * theta.item() / math.pi)
    clear_of(m * theta / math.pi, k)
    clear_of(m * theta / math.pi, k + 1)
    return (-1) ** k * torch.cos(m * theta) - 2 * k


def smoothed_others(t, labels, smoothing, spread):
    """Softmax with the target 1 - a for the class and a / (C - 1) for each of the others."""
    assert spread == "others"
    values = []
    for x, y in zip(t["embeddings"], labels.tolist()):
        z = t["weight"] @ x + t["bias"]
        log_p = z - torch.logsumexp(z, 0)
        q = [1 - smoothing if j == y else smoothing / (len(z) - 1) for j in range(len(z))]
        values.append(-sum(q_j * l for q_j, l in zip(q, log_p)))
    return stacked(values)


def focal(t, labels, gamma, alpha=1.0):
    """-alpha (1 - p)^gamma log p with p the softmax probability of the class."""
    values = []
    for x, y in zip(t["embeddings"], labels.tolist()):
        p = torch.softmax(t["weight"] @ x + t["bias"], 0)[y]
        values.append(-alpha * (1 - p) ** gamma * torch.log(p))
    return stacked(values)


def virtual_softmax(t, labels):
    """Softmax of <w_j, x> with one more class of logit |w_y| |x|."""
    return rows(
        t, labels, lambda x, w_y, others, i: cross_entropy(w_y @ x, [*(w @ x for w in others), w_y.norm() * x.norm()])
    )


def l_softmax(t, labels, m, **annealing):
    """Cross-entropy of |w_y| |x| (lambda c_y + psi(theta_y)) / (1 + lambda) and <w_j, x>."""
    lam = annealing["lambda"]

    def one(x, w_y, others, i):
        c = cosine(x, w_y)
        f = (lam * c + psi(torch.acos(c), m)) / (1 + lam)
        return cross_entropy(w_y.norm() * x.norm() * f, [w @ x for w in others])

    return rows(t, labels, one)


def sphereface2(t, labels, r, m, t_, **factor):
    """lambda/r softplus(-(r (g(c_y) - m) + b)) + (1 - lambda)/r sum_j softplus(r (g(c_j) + m) + b)."""
    lam, b = factor["lambda"], t["sphereface2.b"][0]

    def g(c):
        return 2 * ((c + 1) / 2) ** t_ - 1

    def one(c_y, others, i):
        positive = log1p_exp(-(r * (g(c_y) - m) + b))
        return lam / r * positive + (1 - lam) / r * sum(log1p_exp(r * (g(c) + m) + b) for c in others)

    return cosines_of(t, labels, one)


def normface_learned(t, labels, learned, s=None):
    """Cross-entropy of s c_j with s a leaf."""
    s = t["normface.s"][0]
    return cosines_of(t, labels, lambda c_y, others, i: cross_entropy(s * c_y, [s * c for c in others]))


def arcface_straight(t, labels, s, m, gradient):
    """insightface: the angle is taken and brought back without recording gradients."""
    assert gradient == "straight"

    def one(c_y, others, i):
        with torch.no_grad():
            moved = torch.cos(torch.acos(c_y) + m)
        return cross_entropy(s * (c_y + (moved - c_y).detach()), [s * c for c in others])

    return cosines_of(t, labels, one)


def combined(t, labels, s, m1, m2, m3):
    """Cross-entropy of s (psi(m1 theta_y + m2) - m3) and s c_j, psi continued past pi so that it keeps falling."""

    def one(c_y, others, i):
        phi = m1 * torch.acos(c_y) + m2
        return cross_entropy(s * (psi(phi, 1) - m3), [s * c for c in others])

    return cosines_of(t, labels, one)


def subcenter_arcface(t, labels, s, m):
    """ArcFace with c_j = max_k cos(x, w_jk)."""
    values = []
    for x, y in zip(t["embeddings"], labels.tolist()):
        c = []
        for centers in t["subcenter-arcface.weight"]:
            near = torch.stack([cosine(x, w) for w in centers])
            first, second = near.topk(2).values
            clear_of(first - second, 0.0)
            c.append(near.max())
        values.append(cross_entropy(s * turned(c[y], m), [s * c[j] for j in range(len(c)) if j != y]))
    return stacked(values)


def adacos(t, labels, form):
    """NormFace with s = sqrt2 log(C - 1), or s updated from the batch before use."""
    classes = len(t["weight"])
    new = None
    if form == "fixed":
        s = math.sqrt(2) * math.log(classes - 1)
    else:
        with torch.no_grad():
            old = t["adacos.s"][0]
            c = torch.stack([torch.stack([cosine(x, w) for w in t["weight"]]) for x in t["embeddings"]])
            total = sum(torch.exp(old * c[i, j]) for i, y in enumerate(labels.tolist()) for j in range(classes) if j != y)
            median = torch.median(torch.acos(c[torch.arange(len(c)), labels]))
            s = torch.log(total / len(c)) / torch.cos(torch.clamp(median, max=math.pi / 4))
            s = torch.clamp(s, min=1.0)
            new = {"adacos.s": s.reshape(1)}
    mean, values = cosines_of(t, labels, lambda c_y, others, i: cross_entropy(s * c_y, [s * c for c in others]))
    return mean, values, new


def mv_softmax(t, labels, s, m, t_=0.2, target="cosine", form="adaptive"):
    """Hard negatives (c_j above the target with its margin) become (t + 1) c_j + t, or c_j + t."""

    def one(c_y, others, i):
        f = turned(c_y, m) if target == "angle" else c_y - m

        def raised(c):
            clear_of(c - f, 0.0)
            if c <= f:
                return c
            return (t_ + 1) * c + t_ if form == "adaptive" else c + t_

        return cross_entropy(s * f, [s * raised(c) for c in others])

    return cosines_of(t, labels, one)


def curricularface(t, labels, s, m, rate):
    """Hard negatives (c_j > cos(theta_y + m)) become c_j (t + c_j); t is a running mean of c_y, updated before use."""
    with torch.no_grad():
        targets = torch.stack([cosine(x, t["weight"][y]) for x, y in zip(t["embeddings"], labels.tolist())])
        stage = rate * targets.mean() + (1 - rate) * t["curricularface.t"]

    def one(c_y, others, i):
        threshold = torch.cos(torch.acos(c_y) + m)
        hard = [clear_of(c - threshold, 0.0) > 0 for c in others]
        return cross_entropy(
            s * turned(c_y, m), [s * (c * (stage[0] + c) if is_hard else c) for c, is_hard in zip(others, hard)]
        )

    return *cosines_of(t, labels, one), {"curricularface.t": stage}


def adaface(t, labels, s, m, h, rate):
    """s (cos(theta_y - m z) - m - m z), z = clip(h (|x| - mean) / (deviation + 1e-3), -1, 1) detached."""
    eps = 1e-3
    with torch.no_grad():
        lengths = torch.stack([x.norm().clamp(1e-3, 100) for x in t["embeddings"]])
        mean = (1 - rate) * t["adaface.mean"] + rate * lengths.mean()
        deviation = (1 - rate) * t["adaface.deviation"] + rate * lengths.std()
        z = (h * (lengths - mean) / (deviation + eps)).clamp(-1, 1)

    def one(c_y, others, i):
        phi = torch.acos(c_y) - m * z[i]
        clear_of(phi, eps)
        clear_of(phi, math.pi - eps)
        target = torch.cos(phi.clamp(eps, math.pi - eps)) - m - m * z[i]
        return cross_entropy(s * target, [s * c for c in others])

    return *cosines_of(t, labels, one), {"adaface.mean": mean, "adaface.deviation": deviation}


def magface(t, labels, s, l_a, u_a, l_m, u_m, **factor):
    """ArcFace with the margin m(|x|), plus lambda (a / u_a^2 + 1 / a) with a = clip(|x|, l_a, u_a)."""

    def one(x, w_y, others, i):
        a = x.norm()
        clear_of(a, l_a)
        clear_of(a, u_a)
        a = a.clamp(l_a, u_a)
        m = l_m + (u_m - l_m) * (a - l_a) / (u_a - l_a)
        theta = torch.acos(cosine(x, w_y))
        clear_of(theta + m, math.pi)
        target = torch.cos(theta + m) if theta + m < math.pi else torch.cos(theta) - m * torch.sin(m)
        softmax = cross_entropy(s * target, [s * cosine(x, w) for w in others])
        return softmax + factor["lambda"] * (a / u_a**2 + 1 / a)

    return rows(t, labels, one)


def elasticface(t, labels, s, form="arc"):
    """ArcFace or CosFace with a given margin for each sample."""

    def one(c_y, others, i):
        m = t["elasticface.margins"][i].item()
        return cross_entropy(s * (turned(c_y, m) if form == "arc" else c_y - m), [s * c for c in others])

    return cosines_of(t, labels, one)


def circle(t, labels, gamma, m):
    """Cross-entropy of gamma alpha (c_y - 1 + m) and gamma alpha (c_j - m), the weights alpha detached."""

    def one(c_y, others, i):
        positive = gamma * (1 + m - c_y).clamp(min=0).detach() * (c_y - (1 - m))
        return cross_entropy(positive, [gamma * (c + m).clamp(min=0).detach() * (c - m) for c in others])

    return cosines_of(t, labels, one)


def d_softmax(t, labels, s, d):
    """log(1 + e^(s (d - c_y))) + log(1 + sum_j e^(s c_j))."""
    return cosines_of(
        t,
        labels,
        lambda c_y, others, i: torch.log1p(torch.exp(s * (d - c_y))) + torch.log1p(sum(torch.exp(s * c) for c in others)),
    )


def p2sgrad(t, labels):
    """1/2 sum_j (c_j - [j = y])^2."""
    return cosines_of(t, labels, lambda c_y, others, i: ((c_y - 1) ** 2 + sum(c**2 for c in others)) / 2)


def gaussian(t, labels, alpha, **factor):
    """Log density of normal distributions as logits, with (1 + alpha) d_y for the class, plus lambda times the likelihood."""
    values = []
    for x, y in zip(t["embeddings"], labels.tolist()):
        d = [
            ((x - mu) ** 2 / torch.exp(v)).sum() / 2
            for mu, v in zip(t["gaussian.means"], t["gaussian.log_variances"])
        ]
        h = [v.sum() / 2 for v in t["gaussian.log_variances"]]
        softmax = cross_entropy(-(1 + alpha) * d[y] - h[y], [-d[j] - h[j] for j in range(len(d)) if j != y])
        values.append(softmax + factor["lambda"] * (d[y] + h[y]))
    return stacked(values)


def ring(t, labels):
    """(|x| - R)^2 / 2 with R = start + offset."""
    radius = t["ring.start"][0] + t["ring.offset"][0]
    mean, values = stacked([(x.norm() - radius) ** 2 / 2 for x in t["embeddings"]])
    return mean, values, {"ring.start": t["ring.start"]}


LOSSES = {
    "softmax": smoothed_others,
    "focal": focal,
    "virtual-softmax": virtual_softmax,
    "l-softmax": l_softmax,
    "sphereface2": sphereface2,
    "normface": normface_learned,
    "arcface": arcface_straight,
    "combined": combined,
    "subcenter-arcface": subcenter_arcface,
    "adacos": adacos,
    "mv-softmax": mv_softmax,
    "curricularface": curricularface,
    "adaface": adaface,
    "magface": magface,
    "elasticface": elasticface,
    "circle": circle,
    "d-softmax": d_softmax,
    "p2sgrad": p2sgrad,
    "gaussian": gaussian,
    "ring": ring,
}

CASES = [
    ("softmax:smoothing=0.2,spread=others", "wide"),
    ("focal:gamma=2", "tiny"),
    ("focal:gamma=0.5,alpha=0.25", "wide"),
    ("virtual-softmax", "tiny"),
    ("virtual-softmax", "wide"),
    ("l-softmax:m=2,lambda=0", "tiny"),
    ("l-softmax:m=4,lambda=0", "wide"),
    ("l-softmax:m=3,lambda=5", "long"),
    ("sphereface2:r=40,m=0.4,t=3,lambda=0.7", "tiny"),
    ("sphereface2:r=8,m=0.2,t=1,lambda=0.5", "wide"),
    ("normface:learned=true", "wide"),
    ("arcface:s=16,m=0.5,gradient=straight", "tiny"),
    ("arcface:s=30,m=0.3,gradient=straight", "wide"),
    ("combined:s=30,m1=1,m2=0.3,m3=0.2", "tiny"),
    ("combined:s=16,m1=1.35,m2=0.2,m3=0.1", "wide"),
    ("combined:s=8,m1=3,m2=0,m3=0", "long"),
    ("subcenter-arcface:s=30,m=0.5", "tiny"),
    ("subcenter-arcface:s=16,m=0.3", "wide"),
    ("adacos:form=dynamic", "tiny"),
    ("adacos:form=dynamic", "wide"),
    ("adacos:form=fixed", "wide"),
    ("mv-softmax:s=32,m=0.35", "tiny"),
    ("mv-softmax:s=16,m=0.35,form=fixed", "wide"),
    ("mv-softmax:s=16,m=0.5,t=0.3,target=angle", "wide"),
    ("mv-softmax:s=16,m=0.3,target=angle,form=fixed", "long"),
    ("curricularface:s=16,m=0.5,rate=0.01", "tiny"),
    ("curricularface:s=30,m=0.3,rate=0.5", "wide"),
    ("adaface:s=30,m=0.4,h=0.333,rate=0.01", "tiny"),
    ("adaface:s=16,m=0.4,h=1,rate=0.5", "wide"),
    ("magface:s=30,l_a=1,u_a=8,l_m=0.45,u_m=0.8,lambda=1", "tiny"),
    ("magface:s=16,l_a=4,u_a=12,l_m=0.2,u_m=0.5,lambda=0.5", "long"),
    ("elasticface:s=30", "tiny"),
    ("elasticface:s=16,form=cos", "wide"),
    ("circle:gamma=16,m=0.25", "tiny"),
    ("circle:gamma=64,m=0.35", "wide"),
    ("d-softmax:s=30,d=0.9", "tiny"),
    ("d-softmax:s=10,d=0.5", "wide"),
    ("p2sgrad", "tiny"),
    ("p2sgrad", "wide"),
    ("gaussian:alpha=0.1,lambda=0.1", "tiny"),
    ("gaussian:alpha=0.5,lambda=1", "wide"),
    ("ring", "tiny"),
    ("ring", "long"),
]
