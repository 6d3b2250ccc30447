"""Figures of merit: scikit-learn, pytorch-metric-learning, and transcriptions of rules that come without a package.

The transcriptions are plain numpy, one query at a time, and follow the codes they name in definition, not in wording:
torchreid (`eval_market1501`, `eval_cuhk03`), the authors' re-ranking, facenet (`calculate_roc`), Oxford5k's `compute_ap`.
"""

import numpy as np
import torch
from common import generator, normal, write
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from pytorch_metric_learning.utils.inference import CustomKNN
from pytorch_metric_learning.distances import CosineSimilarity
from scipy.interpolate import interp1d
from scipy.optimize import brentq
from sklearn import metrics as sk


def crowd(name, people, dim, noise):
    """Features around one random centre for each entry of `people`."""
    rng = generator(name)
    centres = normal(rng, max(people) + 2, dim)
    return (centres[torch.tensor(people)] + noise * normal(rng, len(people), dim)).float()


def integers(name, low, high, n):
    return torch.randint(low, high, (n,), generator=generator(name)).tolist()


def unit(x):
    x = x.double().numpy()
    return x / np.linalg.norm(x, axis=1, keepdims=True)


# --- one ranked list ------------------------------------------------------------------------------------------------


def average_precision(hits):
    """Precision at each hit, as torchreid takes it; `hits` is the ranked list of 0 and 1."""
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return (precision * hits).sum() / hits.sum()


def trapezoid(hits):
    """Oxford5k's compute_ap, which Market-1501 and VeRi-776 took over."""
    ap, old_recall, old_precision, found = 0.0, 0.0, 1.0, 0
    for i, hit in enumerate(hits):
        found += hit
        recall, precision = found / hits.sum(), found / (i + 1)
        ap += (recall - old_recall) * (old_precision + precision) / 2
        old_recall, old_precision = recall, precision
    return ap


def ap_at_r(hits):
    r = hits.sum()
    return (np.cumsum(hits) / np.arange(1, len(hits) + 1) * hits)[:r].sum() / r


def ap_of_found(hits, k):
    top = hits[:k]
    return average_precision(top) if top.any() else 0.0


def inp(hits):
    return hits.sum() / (np.flatnonzero(hits)[-1] + 1)


def table():
    hits = np.zeros(10, int)
    hits[[0, 1, 3, 6]] = 1
    return {
        "table/ranks": torch.tensor([1, 2, 4, 7]),
        "table/values": torch.tensor(
            [average_precision(hits), trapezoid(hits), ap_at_r(hits), ap_of_found(hits, 5), hits[:4].mean(), inp(hits)],
            dtype=torch.float64,
        ),
    }


# --- re-identification ----------------------------------------------------------------------------------------------


def reid():
    query_ids, query_cameras = integers("reid query ids", 1, 13, 40), integers("reid query cameras", 0, 3, 40)
    gallery_ids = integers("reid gallery ids", -1, 12, 160)  # junk, distractors; person 12 is in no gallery
    gallery_cameras = integers("reid gallery cameras", 0, 3, 160)
    query = crowd("reid", [i + 1 for i in query_ids], 12, 1.5)
    gallery = crowd("reid", [i + 1 for i in gallery_ids], 12, 1.7)
    distance = 1 - unit(query) @ unit(gallery).T

    figures, cmc, unmatched = [], [], 0
    for row, person, camera in zip(distance, query_ids, query_cameras):
        order = [g for g in np.argsort(row, kind="stable") if gallery_ids[g] != -1]
        order = [g for g in order if not (gallery_ids[g] == person and gallery_cameras[g] == camera)]
        hits = np.array([int(gallery_ids[g] == person) for g in order])
        if not hits.any():
            unmatched += 1
            continue
        cmc.append(np.minimum(np.cumsum(hits), 1)[:20])
        figures.append([average_precision(hits), trapezoid(hits), inp(hits)])
    assert unmatched > 0
    tensors = {
        "reid/query": query,
        "reid/gallery": gallery,
        "reid/query_ids": torch.tensor(query_ids),
        "reid/gallery_ids": torch.tensor(gallery_ids),
        "reid/query_cameras": torch.tensor(query_cameras),
        "reid/gallery_cameras": torch.tensor(gallery_cameras),
        "reid/cmc": torch.tensor(np.mean(cmc, axis=0)),
        "reid/figures": torch.tensor(np.array(figures)),
        "reid/unmatched": torch.tensor(unmatched),
    }
    tensors["reid/single_shot"] = torch.tensor(
        single_shot(distance, query_ids, query_cameras, gallery_ids, gallery_cameras)
    )
    for k1, k2, weight in [(20, 6, 0.3), (7, 3, 0.5), (5, 1, 0.0)]:
        tensors[f"reid/rerank/{k1},{k2},{weight}"] = torch.tensor(rerank(unit(query), unit(gallery), k1, k2, weight))
    return tensors


def single_shot(distance, query_ids, query_cameras, gallery_ids, gallery_cameras, ranks=10):
    """The exact mean over all drawings of eval_cuhk03: one image of each identity that is left, at random."""
    curves = []
    for row, person, camera in zip(distance, query_ids, query_cameras):
        groups = {}
        for g, (i, c) in enumerate(zip(gallery_ids, gallery_cameras)):
            if (i, c) != (person, camera):
                groups.setdefault(i, []).append(row[g])
        if person not in groups:
            continue
        first = np.zeros(len(groups) + 1)  # first[r]: the probability of rank r + 1
        for own in groups[person]:
            before = np.array([1.0])  # the distribution of the number of identities in front
            for other, distances in groups.items():
                if other != person:
                    p = np.mean(np.array(distances) < own)
                    before = np.convolve(before, [1 - p, p])
            first[: len(before)] += before / len(groups[person])
        curves.append(np.cumsum(first)[:ranks])
    return np.mean(curves, axis=0)


def rerank(query, gallery, k1, k2, weight):
    """The authors' k-reciprocal encoding, with dense matrices."""
    everything = np.concatenate([query, gallery])
    n = len(everything)
    distance = 2 - 2 * everything @ everything.T
    distance = (distance / distance.max(axis=0)).T
    rank = np.argsort(distance, axis=1)

    def reciprocal(i, k):
        return [j for j in rank[i, : k + 1] if i in rank[j, : k + 1]]

    v = np.zeros((n, n))
    for i in range(n):
        own = reciprocal(i, k1)
        members = list(own)
        for candidate in own:
            theirs = reciprocal(candidate, int(np.around(k1 / 2)))
            if len(np.intersect1d(theirs, own)) > 2 / 3 * len(theirs):
                members += theirs
        members = np.unique(members)
        weights = np.exp(-distance[i, members])
        v[i, members] = weights / weights.sum()
    if k2 > 1:
        v = np.stack([v[rank[i, :k2]].mean(axis=0) for i in range(n)])
    q = len(query)
    smaller = np.stack([np.minimum(v[i], v[q:]).sum(axis=1) for i in range(q)])
    return (1 - smaller / (2 - smaller)) * (1 - weight) + distance[:q, q:] * weight


# --- retrieval, verification, clustering, spread ----------------------------------------------------------------------


def retrieval():
    labels = integers("retrieval labels", 0, 15, 200)
    x = crowd("retrieval", labels, 8, 1.4)
    labels = torch.tensor(labels)
    calculator = AccuracyCalculator(
        include=("precision_at_1", "r_precision", "mean_average_precision_at_r", "mean_average_precision"),
        k=199,
        device=torch.device("cpu"),
        knn_func=CustomKNN(CosineSimilarity()),
    )
    found = calculator.get_accuracy(x.double(), labels)
    names = ["precision_at_1", "r_precision", "mean_average_precision_at_r", "mean_average_precision"]
    rows = unit(x)
    cosines, same = rows @ rows.T, labels[:, None] == labels[None]
    upper = np.triu(np.ones((200, 200), bool), 1)
    groups = [cosines[upper & same.numpy()], cosines[upper & ~same.numpy()]]
    singular = np.linalg.svd(x.double().numpy(), compute_uv=False)
    shares = singular / singular.sum()
    return {
        "retrieval/embeddings": x,
        "retrieval/labels": labels,
        "retrieval/pml": torch.tensor([found[name] for name in names], dtype=torch.float64),
        "retrieval/spread": torch.tensor([s for g in groups for s in (g.mean(), g.std())], dtype=torch.float64),
        "retrieval/effective_rank": torch.tensor(np.exp(-(shares * np.log(shares)).sum())),
    }


def verification():
    same = np.arange(1200) % 2 == 0
    scores = (0.3 * normal(generator("verification"), 1200) + torch.tensor(same) * 0.7 - 0.2).float()
    scores = (scores * 512).round() / 512  # some are equal
    s = scores.double().numpy()
    far, tar, _ = sk.roc_curve(same, s, drop_intermediate=False)
    rates = [1e-3, 1e-2, 0.05, 0.5]
    # facenet: squared distances in steps of 0.01, the first best one, nearer than it is the same; folds in a row.
    distance, grid = 2 - 2 * s, np.arange(0, 4, 0.01)
    accuracies = []
    for fold in range(10):
        test = np.arange(1200) // 120 == fold
        right = [((distance < t) == same)[~test].mean() for t in grid]
        accuracies.append(((distance < grid[np.argmax(right)]) == same)[test].mean())
    return {
        "verification/scores": scores,
        "verification/same": torch.tensor(same).long(),
        "verification/roc": torch.tensor(np.stack([far, tar])),
        "verification/auc": torch.tensor(sk.roc_auc_score(same, s), dtype=torch.float64),
        "verification/eer": torch.tensor(
            brentq(lambda x: 1 - x - interp1d(far, tar)(x), 0, 1, xtol=1e-14), dtype=torch.float64
        ),
        "verification/rates": torch.tensor(rates, dtype=torch.float64),
        "verification/tar_at": torch.tensor([tar[far <= rate].max() for rate in rates]),
        "verification/grid": torch.tensor(1 - grid / 2),
        "verification/folds": torch.tensor(np.array(accuracies)),
        "verification/standard_error": torch.tensor(np.std(accuracies, ddof=1) / np.sqrt(10)),
    }


def clustering():
    tensors = {}
    for case, (n, a, b) in enumerate([(300, 10, 8), (200, 100, 90), (50, 1, 6), (60, 60, 5)]):
        first = torch.tensor(integers(f"clusters {case} a", 0, a, n))
        second = (first + torch.tensor(integers(f"clusters {case} b", 0, max(2, a // 3), n))) % b
        tensors |= {
            f"clustering/{case}/a": first,
            f"clustering/{case}/b": second,
            f"clustering/{case}/nmi": torch.tensor(sk.normalized_mutual_info_score(first, second), dtype=torch.float64),
            f"clustering/{case}/ami": torch.tensor(sk.adjusted_mutual_info_score(first, second), dtype=torch.float64),
        }
    return tensors


def classification():
    labels = integers("classification labels", 0, 6, 400)
    logits = crowd("classification", labels, 6, 1.2)
    logits[torch.arange(400), torch.tensor(labels)] += 1.5
    p = torch.softmax(logits.double(), dim=1).numpy()
    confidence, right = p.max(axis=1), p.argmax(axis=1) == labels
    error, bins = 0.0, 15
    for low in np.arange(bins) / bins:
        inside = (confidence > low) & (confidence <= low + 1 / bins)
        if inside.any():
            error += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    return {
        "classification/logits": logits,
        "classification/labels": torch.tensor(labels),
        "classification/top": torch.tensor(
            [sk.top_k_accuracy_score(labels, p, k=k) for k in [1, 2, 3]], dtype=torch.float64
        ),
        "classification/confusion": torch.tensor(sk.confusion_matrix(labels, p.argmax(axis=1))),
        "classification/ece": torch.tensor(error),
    }


write(
    "metrics.safetensors",
    table() | reid() | retrieval() | verification() | clustering() | classification(),
)
