"""Holds the f64 results of `losses.py` and `losses_pairs.py` against pytorch-metric-learning and PyTorch, where these have
the same loss.

Prints a table of the largest relative differences and writes nothing; needs `pytorch-metric-learning` besides.

    python compare_losses.py
"""

import math

import torch
import torch.nn.functional as F
from pytorch_metric_learning import distances, losses, miners, reducers

import losses as class_level
import losses_pairs as pair_level
from losses_tools import cases

UNIT = distances.LpDistance(normalize_embeddings=True)
EUCLIDEAN = distances.LpDistance(normalize_embeddings=False)
UNIT_SQUARED = distances.LpDistance(normalize_embeddings=True, power=2)


def results(module, case, weight, name="weight", points=None):
    """The library's loss of one case, with its gradients of embeddings and of the weight, which is `[rows, D]`."""
    x = case["embeddings"].clone().requires_grad_()
    loss = module(x, case["labels"], points(x.detach()) if points else None)
    loss.backward()
    if weight is None:
        return loss, x.grad, None
    return loss, x.grad, weight.grad if weight.shape[1] == x.shape[1] else weight.grad.T


def with_weight(loss_class, case, key="weight", attribute="W", transposed=True, **parameters):
    """A classification or proxy loss of the library, with the weight of the case."""
    w = case[key].reshape(-1, case["embeddings"].shape[1])
    module = loss_class(num_classes=len(case[key]), embedding_size=w.shape[1], **parameters).double()
    getattr(module, attribute).data = w.T.clone() if transposed else w.clone()
    loss, grad_x, _ = results(module, case, None)
    grad_w = getattr(module, attribute).grad
    return loss, grad_x, (grad_w.T if transposed else grad_w).reshape(case[key].shape)


def softmax(case, smoothing=0.0):
    x, w = case["embeddings"].clone().requires_grad_(), case["weight"].clone().requires_grad_()
    loss = F.cross_entropy(F.linear(x, w, case["bias"]), case["labels"], label_smoothing=smoothing)
    loss.backward()
    return loss, x.grad, w.grad


def sml_pairs(case):
    """Batch-hard triplets with the soft margin over the samples and the weights of the classes present."""
    x, w = case["embeddings"].clone().requires_grad_(), case["weight"].clone().requires_grad_()
    present = case["labels"].unique()
    points, classes = torch.cat([x, w[present]]), torch.cat([case["labels"], present])
    triplets = miners.BatchHardMiner(distance=UNIT)(points, classes)
    module = losses.TripletMarginLoss(margin=0, smooth_loss=True, distance=UNIT, reducer=reducers.MeanReducer())
    loss = module(points, classes, triplets)
    loss.backward()
    return loss, x.grad, w.grad


def triplet(case, margin=0.3, soft=False, mining="hard", distance="euclidean"):
    d = {"euclidean": EUCLIDEAN, "unit": UNIT}[distance]
    mean = mining == "hard" or soft
    module = losses.TripletMarginLoss(
        margin=0 if soft else margin, smooth_loss=soft, distance=d, **({"reducer": reducers.MeanReducer()} if mean else {})
    )
    hard = miners.BatchHardMiner(distance=d)
    points = (lambda x: hard(x, case["labels"])) if mining == "hard" else None
    return results(module, case, None, points=points)


def multi_similarity(case, alpha, beta, epsilon=0.1, unmined=False):
    module = losses.MultiSimilarityLoss(alpha=alpha, beta=beta, base=0.5)
    miner = miners.MultiSimilarityMiner(epsilon=epsilon)
    return results(module, case, None, points=None if unmined else lambda x: miner(x, case["labels"]))


def p2sgrad(case):
    """Twice over C times the loss, and W of length 1."""
    classes, dim = case["weight"].shape
    module = losses.P2SGradLoss(descriptors_dim=dim, num_classes=classes).double()
    module.weight.data = F.normalize(case["weight"], dim=1).T.clone()
    loss, grad_x, _ = results(module, case, None)
    return loss * classes / 2, grad_x * classes / 2, None


def reference(name, p, case):
    """The library's name for a loss and its results, or None where it has no such loss."""
    if "memory" in p:
        return None
    if name == "softmax" and "spread" not in p:
        return "torch cross_entropy", softmax(case, **p)
    if name == "normface" and "s" in p:
        return "NormalizedSoftmaxLoss", with_weight(losses.NormalizedSoftmaxLoss, case, temperature=1 / p["s"])
    if name == "arcface" and "gradient" not in p:
        return "ArcFaceLoss", with_weight(losses.ArcFaceLoss, case, scale=p["s"], margin=math.degrees(p["m"]))
    if name == "sphereface" and p["lambda"] == 0:
        return "SphereFaceLoss", with_weight(losses.SphereFaceLoss, case, scale=1, margin=int(p["m"]))
    if name == "l-softmax" and p["lambda"] == 0:
        return "LargeMarginSoftmaxLoss", with_weight(losses.LargeMarginSoftmaxLoss, case, margin=int(p["m"]))
    if name == "sml" and p["form"] == "pair" and p["kappa"] == 1:
        return "TripletMarginLoss smooth", sml_pairs(case)
    if name == "triplet" and p.get("mining") != "semi-hard":
        return "TripletMarginLoss", triplet(case, **p)
    if name == "multi-similarity" and "lambda" not in p:
        return "MultiSimilarityLoss", multi_similarity(case, **p)
    if name == "circle-pair" and "form" not in p:
        return "CircleLoss", results(losses.CircleLoss(m=p["m"], gamma=p["gamma"]), case, None)
    if name == "proxy-nca" and p.get("form") == "common":
        module = {"softmax_scale": p["scale"], "distance": UNIT_SQUARED}
        return "ProxyNCALoss", with_weight(losses.ProxyNCALoss, case, attribute="proxies", transposed=False, **module)
    if name == "soft-triple" and p["tau"] == 0:
        module = {"centers_per_class": int(p["k"]), "la": p["lambda"], "gamma": p["gamma"], "margin": p["delta"]}
        return "SoftTripleLoss", with_weight(losses.SoftTripleLoss, case, "soft-triple.weight", "fc", **module)
    if name == "margin" and p.get("sampling") == "all" and p.get("boundaries") != "class":
        return "MarginLoss", results(losses.MarginLoss(margin=p["alpha"], beta=case["margin.beta"].item()), case, None)
    if name == "lifted":
        d = {"euclidean": EUCLIDEAN, "unit": UNIT}[p.get("distance", "euclidean")]
        return "LiftedStructureLoss", results(losses.LiftedStructureLoss(neg_margin=p["margin"], distance=d), case, None)
    if name == "contrastive" and p.get("distance") == "unit":
        return "ContrastiveLoss", results(losses.ContrastiveLoss(neg_margin=p["margin"], distance=UNIT), case, None)
    if name == "subcenter-arcface":
        module = {"scale": p["s"], "margin": math.degrees(p["m"]), "sub_centers": 3}
        return "SubCenterArcFaceLoss", with_weight(losses.SubCenterArcFaceLoss, case, "subcenter-arcface.weight", **module)
    if name == "proxy-anchor":
        module = {"margin": p["delta"], "alpha": p["alpha"]}
        return "ProxyAnchorLoss", with_weight(losses.ProxyAnchorLoss, case, attribute="proxies", transposed=False, **module)
    if name == "supcon":
        return "SupConLoss", results(losses.SupConLoss(temperature=p["t_"]), case, None)
    if name == "nt-xent":
        return "NTXentLoss", results(losses.NTXentLoss(temperature=p["t_"]), case, None)
    if name == "cosface":
        return "CosFaceLoss", with_weight(losses.CosFaceLoss, case, scale=p["s"], margin=p["m"])
    if name == "p2sgrad":
        return "P2SGradLoss", p2sgrad(case)
    return None


def main():
    print(f"{'case':20} {'against':26} {'loss':>8} {'grad x':>8} {'grad w':>8}")
    for module in [class_level, pair_level]:
        for key, spec, name, parameters, _, case, _ in cases(module.CASES, module.draw, module.evaluate, module.check):
            found = reference(name, parameters, case)
            if found is None:
                continue
            against, theirs = found
            own = [k for k in case if k.startswith("grad_") and k.endswith("weight")]
            ours = [case["loss"], case["grad_embeddings"], case[own[0]] if own else None]
            pairs = [(a, b) for a, b in zip(ours, theirs) if a is not None and b is not None]
            differences = [((a - b).abs().max() / a.abs().max()).item() for a, b in pairs]
            print(f"{key:20} {against:26} " + " ".join(f"{d:8.0e}" for d in differences) + f"  {spec}")


if __name__ == "__main__":
    main()
