"""The losses of pairs and proxies, written out from their formulas: one pair and one triplet at a time.

Writes `losses_pairs_f32.safetensors` and `losses_pairs_f64.safetensors` beside this script, in the layout of
`losses_*.safetensors`; `losses.py` says what is common to all.

    python losses_pairs.py
"""

import math

import torch

from common import generator, normal
from losses_tools import Unfit, clear_of, cosine, cross_entropy, largest, log1p_exp, smallest, stacked, write_cases

# State and draws, which get no gradient.
FIXED = {"margin.negatives", "memory.embeddings", "memory.labels", "memory.next"}


def measure(a, b, kind):
    if kind.startswith("unit"):
        a, b = a / a.norm(), b / b.norm()
    d = (a - b).norm()
    return d**2 if kind.endswith("squared") else d


def everyone(t, labels):
    """Anchors, and who they are compared with: (place, vector, class) of the batch and of past batches."""
    batch = [(i, x, y) for i, (x, y) in enumerate(zip(t["embeddings"], labels.tolist()))]
    past = []
    if "memory.labels" in t:
        for x, y in zip(t["memory.embeddings"], t["memory.labels"].tolist()):
            if y >= 0:
                past.append((None, x, int(y)))
    return batch, batch + past


def split(t, labels, value):
    """For each anchor the values of its positives and of its negatives."""
    anchors, others = everyone(t, labels)
    rows = []
    for i, x, y in anchors:
        positives = [value(x, b) for j, b, z in others if z == y and j != i]
        negatives = [value(x, b) for j, b, z in others if z != y]
        rows.append((positives, negatives))
    return rows


def average(terms):
    if not terms:
        raise Unfit
    return torch.stack(terms).mean(), None


def contrastive(t, labels, margin, distance="euclidean", memory=0):
    """Mean over ordered pairs of d^2 / 2 within and max(m - d, 0)^2 / 2 between classes."""
    terms = []
    for positives, negatives in split(t, labels, lambda a, b: measure(a, b, distance)):
        terms += [d**2 / 2 for d in positives]
        terms += [clear_of(margin - d, 0.0).clamp(min=0) ** 2 / 2 for d in negatives]
    return average(terms)


def triplet(t, labels, mining="hard", margin=0.3, soft=False, distance="euclidean", memory=0):
    """Hinge or softplus of d_ap - d_an over all, the hardest or the semi-hard triplets."""

    def term(gap):
        return log1p_exp(gap) if soft else clear_of(gap + margin, 0.0).clamp(min=0)

    terms = []
    for positives, negatives in split(t, labels, lambda a, b: measure(a, b, distance)):
        if not positives or not negatives:
            continue
        if mining == "all":
            terms += [x for p in positives for n in negatives if (x := term(p - n)) > 0]
        elif mining == "hard":
            terms.append(term(largest(positives) - smallest(negatives)))
        else:
            for p in positives:
                farther = [n for n in negatives if clear_of(n - p, 0.0) > 0]
                terms.append(term(p - (smallest(farther) if farther else largest(negatives))))
    return average(terms)


def lifted(t, labels, margin, distance="euclidean"):
    """1/(2|P|) sum over pairs of a class of max(J, 0)^2, J = d_ij + log(sum e^(m - d_ik) + sum e^(m - d_jl))."""
    rows = split(t, labels, lambda a, b: measure(a, b, distance))
    y = labels.tolist()
    terms = []
    for i, x in enumerate(t["embeddings"]):
        for j, z in enumerate(t["embeddings"]):
            if i != j and y[i] == y[j]:
                spread = torch.logsumexp(torch.stack([margin - d for d in rows[i][1] + rows[j][1]]), 0)
                terms.append(clear_of(measure(x, z, distance) + spread, 0.0).clamp(min=0) ** 2 / 2)
    return average(terms)


def n_pair(t, labels, l2=0.002):
    """Softmax over inner products of the first two samples of each class, plus l2 / 4 of their squared lengths."""
    y = labels.tolist()
    pairs = []
    for k in sorted(set(y)):
        members = [i for i, z in enumerate(y) if z == k]
        if len(members) > 1:
            pairs.append((t["embeddings"][members[0]], t["embeddings"][members[1]]))
    terms = []
    for k, (a, p) in enumerate(pairs):
        others = [a @ q for l, (_, q) in enumerate(pairs) if l != k]
        terms.append(cross_entropy(a @ p, others) + l2 / 4 * (a @ a + p @ p))
    return average(terms)


def multi_similarity(t, labels, alpha, beta, epsilon=0.1, unmined=False, memory=0, **shift):
    """1/alpha log(1 + sum e^(-alpha (s - lambda))) + 1/beta log(1 + sum e^(beta (s - lambda))), mined by epsilon."""
    lam = shift.get("lambda", 0.5)
    terms = []
    for positives, negatives in split(t, labels, cosine):
        if not unmined:
            if positives and negatives:
                low, high = smallest(positives).detach(), largest(negatives).detach()
                positives = [s for s in positives if clear_of(s - (high + epsilon), 0.0) < 0]
                negatives = [s for s in negatives if clear_of(s - (low - epsilon), 0.0) > 0]
            else:
                positives, negatives = [], []
        zero = t["embeddings"].sum() * 0
        within = torch.logsumexp(torch.stack([zero, *(-alpha * (s - lam) for s in positives)]), 0) / alpha
        between = torch.logsumexp(torch.stack([zero, *(beta * (s - lam) for s in negatives)]), 0) / beta
        terms.append(within + between)
    return average(terms)


def circle_pair(t, labels, gamma, m, form="anchor", memory=0):
    """softplus(lse_n gamma alpha_n (s - m) + lse_p -gamma alpha_p (s - 1 + m)), the weights detached."""

    def one(positives, negatives):
        p = torch.stack([-gamma * (1 + m - s).clamp(min=0).detach() * (s - (1 - m)) for s in positives])
        n = torch.stack([gamma * (s + m).clamp(min=0).detach() * (s - m) for s in negatives])
        return log1p_exp(torch.logsumexp(n, 0) + torch.logsumexp(p, 0))

    rows = split(t, labels, cosine)
    if form == "batch":
        return one([s for p, _ in rows for s in p], [s for _, n in rows for s in n]), None
    return average([one(p, n) for p, n in rows if p and n])


def supcon(t, labels, t_, memory=0):
    """-1/|P| sum_p log( e^(s_p/T) / sum over all others e^(s/T) ), anchors with positives."""
    terms = []
    for positives, negatives in split(t, labels, cosine):
        if positives:
            total = torch.logsumexp(torch.stack([s / t_ for s in positives + negatives]), 0)
            terms.append(-torch.stack([s / t_ - total for s in positives]).mean())
    return average(terms)


def nt_xent(t, labels, t_, memory=0):
    """-log( e^(s_p/T) / (e^(s_p/T) + sum over negatives e^(s_n/T)) ) for each pair of a class."""
    terms = []
    for positives, negatives in split(t, labels, cosine):
        if negatives:
            terms += [cross_entropy(p / t_, [n / t_ for n in negatives]) for p in positives]
    return average(terms)


def margin(t, labels, alpha, nu=0.0, boundaries="one", sampling="distance", memory=0):
    """max(alpha +- (d - beta), 0) over pairs within and drawn pairs between classes, by the number that is positive."""
    y = labels.tolist()
    total, count, beta_total = 0.0, 0, 0.0
    for i, x in enumerate(t["embeddings"]):
        beta = t["margin.beta"][y[i] if boundaries == "class" else 0]
        beta_total = beta_total + beta
        for j, z in enumerate(t["embeddings"]):
            if i == j:
                continue
            sign = 1 if y[i] == y[j] else -1
            times = 1 if sign == 1 or sampling == "all" else int(t["margin.negatives"][i, j])
            term = clear_of(alpha + sign * (measure(x, z, "unit") - beta), 0.0)
            if times and term > 0:
                total, count = total + times * term, count + times
    if count == 0:
        raise Unfit
    return total / count + nu * beta_total / len(y), None


def proxy_nca(t, labels, scale, form="paper"):
    """Softmax of minus squared distances on the unit sphere, with or without the target in the denominator."""
    values = []
    for x, y in zip(t["embeddings"], labels.tolist()):
        d = [scale * measure(x, p, "unit-squared") for p in t["weight"]]
        others = torch.stack([-d[j] for j in range(len(d)) if j != y])
        if form == "paper":
            values.append(d[y] + torch.logsumexp(others, 0))
        else:
            values.append(cross_entropy(-d[y], list(others)))
    return stacked(values)


def proxy_anchor(t, labels, alpha, delta):
    """Each proxy with the samples of its class and with the others."""
    y = labels.tolist()
    within, between = [], []
    zero = t["embeddings"].sum() * 0
    for k, p in enumerate(t["weight"]):
        own = [-alpha * (cosine(x, p) - delta) for x, z in zip(t["embeddings"], y) if z == k]
        other = [alpha * (cosine(x, p) + delta) for x, z in zip(t["embeddings"], y) if z != k]
        if own:
            within.append(torch.logsumexp(torch.stack([zero, *own]), 0))
        between.append(torch.logsumexp(torch.stack([zero, *other]), 0))
    return torch.stack(within).mean() + torch.stack(between).mean(), None


def soft_triple(t, labels, gamma, tau, delta, k, **scale):
    """CosFace of S_c = sum_k softmax_k(s_k / gamma) s_k, plus tau times the spread of the proxies of each class."""
    lam, proxies = scale["lambda"], t["soft-triple.weight"]
    values = []
    for x, y in zip(t["embeddings"], labels.tolist()):
        similarity = []
        for centers in proxies:
            s = torch.stack([cosine(x, w) for w in centers])
            similarity.append((torch.softmax(s / gamma, 0) * s).sum())
        others = [lam * similarity[j] for j in range(len(similarity)) if j != y]
        values.append(cross_entropy(lam * (similarity[y] - delta), others))
    classes, each = len(proxies), proxies.shape[1]
    spread = sum(
        measure(centers[a], centers[b], "unit") for centers in proxies for a in range(each) for b in range(a + 1, each)
    )
    return torch.stack(values).mean() + tau * spread / (classes * each * (each - 1)), None


LOSSES = {
    "contrastive": contrastive,
    "triplet": triplet,
    "lifted": lifted,
    "n-pair": n_pair,
    "multi-similarity": multi_similarity,
    "circle-pair": circle_pair,
    "supcon": supcon,
    "nt-xent": nt_xent,
    "margin": margin,
    "proxy-nca": proxy_nca,
    "proxy-anchor": proxy_anchor,
    "soft-triple": soft_triple,
}

CASES = [
    "contrastive:margin=4",
    "contrastive:margin=1.2,distance=unit",
    "contrastive:margin=8,distance=squared",
    "contrastive:margin=1.5,distance=unit,memory=6",
    "triplet:margin=0.3",
    "triplet:margin=0.2,mining=semi-hard,distance=unit-squared",
    "triplet:margin=1,mining=all",
    "triplet:soft=true",
    "triplet:soft=true,mining=all,distance=unit",
    "triplet:margin=0.5,mining=semi-hard",
    "triplet:margin=0.3,memory=6",
    "lifted:margin=1",
    "lifted:margin=0.5,distance=unit",
    "n-pair",
    "n-pair:l2=0.1",
    "multi-similarity:alpha=2,beta=10",
    "multi-similarity:alpha=2,beta=50,unmined=true",
    "multi-similarity:alpha=4,beta=8,lambda=0.2,epsilon=0.3,memory=6",
    "circle-pair:gamma=16,m=0.25",
    "circle-pair:gamma=32,m=0.4,form=batch",
    "supcon:t=0.1",
    "supcon:t=0.5,memory=6",
    "nt-xent:t=0.5",
    "nt-xent:t=0.07",
    "margin:alpha=0.2",
    "margin:alpha=0.3,nu=0.2,boundaries=class",
    "margin:alpha=0.2,sampling=all",
    "proxy-nca:scale=1",
    "proxy-nca:scale=4",
    "proxy-nca:scale=4,form=common",
    "proxy-anchor:alpha=32,delta=0.1",
    "proxy-anchor:alpha=4,delta=0.3",
    "soft-triple:lambda=20,gamma=0.1,tau=0.2,delta=0.01,k=3",
    "soft-triple:lambda=5,gamma=1,tau=1,delta=0.1,k=2",
    "soft-triple:lambda=10,gamma=0.2,tau=0,delta=0.05,k=3",
]

SAMPLES, DIM, CLASSES, PLACES = 9, 5, 4, 6


def draw(name, parameters, key, seed):
    """Samples of four classes, of which the last has one sample, around their class; what the loss owns besides."""
    rng = generator(key, seed)
    labels = torch.tensor([0, 1, 2, 0, 1, 3, 2, 0, 1])[torch.randperm(SAMPLES, generator=rng)]
    classes = normal(rng, CLASSES, DIM)
    inputs = {"embeddings": (classes[labels] + 0.8 * normal(rng, SAMPLES, DIM)).float().double(), "labels": labels}
    if name in ("proxy-nca", "proxy-anchor"):
        inputs["weight"] = normal(rng, CLASSES, DIM)
    if name == "soft-triple":
        inputs["soft-triple.weight"] = normal(rng, CLASSES, int(parameters["k"]), DIM)
    if name == "margin":
        count = CLASSES if parameters.get("boundaries") == "class" else 1
        inputs["margin.beta"] = (1.0 + 0.1 * normal(rng, count)).float().double()
        if parameters.get("sampling") != "all":
            inputs["margin.negatives"] = torch.randint(3, (SAMPLES, SAMPLES), generator=rng).double()
    if "memory" in parameters:
        past = torch.tensor([1, 3, 0, -1, -1, 2])  # two empty places
        inputs["memory.embeddings"] = normal(rng, PLACES, DIM)
        inputs["memory.labels"] = past.double()
        inputs["memory.next"] = torch.tensor([3.0], dtype=torch.float64)
    return inputs


def after(t, labels):
    """The memory after the batch: written from `next` on, round and round."""
    embeddings, classes = t["memory.embeddings"].clone(), t["memory.labels"].clone()
    at = int(t["memory.next"][0])
    for x, y in zip(t["embeddings"].detach(), labels.tolist()):
        embeddings[at], classes[at] = x, y
        at = (at + 1) % PLACES
    return {"memory.embeddings": embeddings, "memory.labels": classes, "memory.next": torch.full_like(t["memory.next"], at)}


def evaluate(name, parameters, inputs, dtype):
    tensors = {key: value.to(dtype, copy=True) for key, value in inputs.items() if key != "labels"}
    leaves = {key: value.requires_grad_() for key, value in tensors.items() if key not in FIXED}
    loss, values = LOSSES[name](tensors, inputs["labels"], **parameters)
    loss.backward()
    out = {"labels": inputs["labels"], "loss": loss.detach()}
    out |= {key: tensor.detach() for key, tensor in tensors.items()}
    out |= {f"grad_{key}": torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for key, leaf in leaves.items()}
    if values is not None:
        out["loss_per_sample"] = values.detach()
    if "memory" in parameters:
        out |= {f"new_{key}": value for key, value in after(tensors, inputs["labels"]).items()}
    return out


def check(out):
    """Most samples have a gradient worth comparing, and so has all else that is learned."""
    rows = out["grad_embeddings"].norm(dim=1)
    if not math.isfinite(rows.sum()) or (rows > 1e-3 * rows.max()).sum() < SAMPLES - 3:
        raise Unfit
    if any(value.abs().max() < 1e-4 for key, value in out.items() if key.startswith("grad_")):
        raise Unfit


if __name__ == "__main__":
    write_cases("losses_pairs", CASES, draw, evaluate, check)
