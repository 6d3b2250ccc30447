"""Holds the f64 results of `losses.py` against pytorch-metric-learning and PyTorch, where these have the same loss.

Prints a table of the largest relative differences and writes nothing; needs `pytorch-metric-learning` besides.

    python compare_losses.py
"""

import math

import torch
import torch.nn.functional as F
from pytorch_metric_learning import distances, losses, miners, reducers

from losses import cases, parse


def with_weight(loss_class, case, **parameters):
    """The library's classification loss (its W is [D, C]) of one case: loss, gradients of embeddings and of weight."""
    classes, dim = case["weight"].shape
    module = loss_class(num_classes=classes, embedding_size=dim, **parameters).double()
    module.W.data = case["weight"].T.clone()
    x = case["embeddings"].clone().requires_grad_()
    loss = module(x, case["labels"])
    loss.backward()
    return loss, x.grad, module.W.grad.T


def softmax(case, smoothing=0.0):
    x, w = case["embeddings"].clone().requires_grad_(), case["weight"].clone().requires_grad_()
    loss = F.cross_entropy(F.linear(x, w, case["bias"]), case["labels"], label_smoothing=smoothing)
    loss.backward()
    return loss, x.grad, w.grad


def pairs(case, kappa):
    """Batch-hard triplets with the soft margin over the samples and the weights of the classes present."""
    x, w = case["embeddings"].clone().requires_grad_(), case["weight"].clone().requires_grad_()
    present = case["labels"].unique()
    points, classes = torch.cat([x, w[present]]), torch.cat([case["labels"], present])
    distance = distances.LpDistance(normalize_embeddings=True)
    triplets = miners.BatchHardMiner(distance=distance)(points, classes)
    # softplus(d+ - d-) of the library has no factor kappa; kappa = 1 only.
    assert kappa == 1
    module = losses.TripletMarginLoss(margin=0, smooth_loss=True, distance=distance, reducer=reducers.MeanReducer())
    loss = module(points, classes, triplets)
    loss.backward()
    return loss, x.grad, w.grad


def reference(name, parameters, case):
    """The library's name for a loss and its results, or None where it has no such loss."""
    if name == "softmax":
        return "torch cross_entropy", softmax(case, **parameters)
    if name == "normface":
        return "NormalizedSoftmaxLoss", with_weight(losses.NormalizedSoftmaxLoss, case, temperature=1 / parameters["s"])
    if name == "cosface":
        return "CosFaceLoss", with_weight(losses.CosFaceLoss, case, scale=parameters["s"], margin=parameters["m"])
    if name == "arcface":
        degrees = math.degrees(parameters["m"])
        return "ArcFaceLoss", with_weight(losses.ArcFaceLoss, case, scale=parameters["s"], margin=degrees)
    if name == "sphereface" and parameters["lambda"] == 0:
        return "SphereFaceLoss", with_weight(losses.SphereFaceLoss, case, scale=1, margin=int(parameters["m"]))
    if name == "sml" and parameters["form"] == "pair" and parameters["kappa"] == 1:
        return "TripletMarginLoss smooth", pairs(case, parameters["kappa"])
    return None


def main():
    print(f"{'case':14} {'against':26} {'loss':>8} {'grad x':>8} {'grad w':>8}")
    for key, spec, _, case, _ in cases():
        found = reference(*parse(spec), case)
        if found is None:
            continue
        against, results = found
        ours = [case["loss"], case["grad_embeddings"], case["grad_weight"]]
        differences = [((a - b).abs().max() / a.abs().max()).item() for a, b in zip(ours, results)]
        print(f"{key:14} {against:26} " + " ".join(f"{d:8.0e}" for d in differences) + f"  {spec}")


if __name__ == "__main__":
    main()
