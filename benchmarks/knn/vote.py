"""The vote of nearest neighbours, block by block over the memory bank.

Source of the rule: ISL-CV/FLSL @ acb5d6f, ``eval_bbox_aligned_knn.py``, ``knn_classifier``. Each of an image's
nine features asks its k nearest of all nine-times-N training features; a neighbour's vote for its class weighs
exp(cosine / 0.07). The image counts as right when *any* of the nine ranks the true class first. This
lifts the chance level, so the figures compare with none of ordinary k-NN.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from benchmarks.errors import InputError

TEMPERATURE = 0.07

#: Elements of one block of similarities: 64 Mi fp32 are 256 MiB. Without blocks, ImageNet needs 88 GB.
BLOCK = 1 << 26

#: Queries in one block.
QUERIES = 4096


def nearest(queries: torch.Tensor, bank: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The ``k`` largest dot products of each query ``[Q, D]`` with the bank ``[M, D]``.

    Returns similarities and indices into the bank, each ``[Q, k]``, largest first. Exact; holds one block of
    similarities at a time.
    """
    if k > len(bank):
        raise InputError(f"k={k} neighbours, but the training set has {len(bank)} features: ask for a smaller k")
    step = max(k, BLOCK // max(len(queries), 1))
    best = queries.new_empty(len(queries), 0)
    where = torch.empty(len(queries), 0, dtype=torch.long, device=queries.device)
    for start in range(0, len(bank), step):
        block = queries @ bank[start : start + step].T
        values, indices = block.topk(min(k, block.shape[1]), dim=1)
        best = torch.cat([best, values], dim=1)
        where = torch.cat([where, indices + start], dim=1)
        best, order = best.topk(min(k, best.shape[1]), dim=1)
        where = where.gather(1, order)
    return best, where


def class_votes(similarities: torch.Tensor, labels: torch.Tensor, num_classes: int) -> torch.Tensor:
    """Votes ``[Q, num_classes]`` of neighbours with ``similarities`` and ``labels``, each ``[Q, k]``."""
    votes = similarities.new_zeros(len(similarities), num_classes)
    return votes.scatter_add_(1, labels, (similarities / TEMPERATURE).exp())


def vote(
    train_features: torch.Tensor,
    train_labels: torch.Tensor,
    test_features: torch.Tensor,
    test_labels: torch.Tensor,
    ks: Sequence[int],
) -> dict[str, dict[str, Any]]:
    """Accuracies in percent for each k, from one search with the largest.

    Args:
        train_features, test_features: L2-normalised ``[N, 9, D]`` and ``[M, 9, D]``.
        train_labels, test_labels: class indices ``[N]`` and ``[M]``.
        ks: numbers of neighbours.

    Returns:
        ``{name: {str(k): percent}}`` with the names

        ``top1``            any of the nine features ranks the true class first;
        ``top5_official``   as published: for each of the ranks 1-5 add the images of which any feature has the
                            class there. An image can count five times, so this passes 100, and where fewer than five
                            classes got a vote, others fill the ranks;
        ``top5_corrected``  any of the nine features has the class in its first five, each image counted once; a
                            class without a vote has no rank;
        ``single_vote``     not a figure of the paper, and stricter: the nine features' votes are added and the
                            image has one answer.
    """
    ks = sorted(set(ks))
    if not ks or ks[0] < 1:
        raise InputError("the numbers of neighbours must be 1 or more: ask for instance for k = 10 20 100 200")
    patches, dim = test_features.shape[1:]
    bank = train_features.reshape(-1, dim)
    bank_labels = train_labels.repeat_interleave(train_features.shape[1])
    num_classes = int(max(train_labels.max(), test_labels.max())) + 1
    names = ("top1", "top5_official", "top5_corrected", "single_vote")
    right = {name: dict.fromkeys(map(str, ks), 0) for name in names}
    images = max(QUERIES // patches, 1)
    for start in range(0, len(test_features), images):
        queries = test_features[start : start + images].reshape(-1, dim)
        targets = test_labels[start : start + images, None]
        similarities, where = nearest(queries, bank, ks[-1])
        labels = bank_labels[where]
        for k in ks:
            votes = class_votes(similarities[:, :k], labels[:, :k], num_classes).view(-1, patches, num_classes)
            # Sorted as published, which also decides the order of the classes that got no vote.
            ranked = votes.sort(dim=2, descending=True)
            hits = ranked.indices[:, :, :5] == targets[:, :, None]
            voted = ranked.values[:, :, :5] > 0
            single = votes.sum(1).argmax(1, keepdim=True) == targets
            right["top1"][str(k)] += hits[:, :, 0].any(1).sum().item()
            right["top5_official"][str(k)] += hits[:, :, :k].any(1).sum().item()
            right["top5_corrected"][str(k)] += (hits & voted).any(2).any(1).sum().item()
            right["single_vote"][str(k)] += single.sum().item()
    return {
        name: {k: 100 * count / len(test_features) for k, count in counts.items()} for name, counts in right.items()
    }
