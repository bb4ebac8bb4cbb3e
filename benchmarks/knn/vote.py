"""The vote of nearest neighbours.

Source of the rule: ISL-CV/FLSL @ acb5d6f, ``eval_bbox_aligned_knn.py``, ``knn_classifier``. Each of an image's
nine features asks its k nearest of all nine-times-N training features; a neighbour's vote for its class weighs
exp(cosine / 0.07). The image counts as right when *any* of the nine ranks the true class first. This
lifts the chance level, so the figures compare with none of ordinary k-NN.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from benchmarks.errors import InputError
from benchmarks.knn.bank import Bank, MemoryBank
from benchmarks.knn.search import nearest

TEMPERATURE = 0.07

#: Images whose votes are counted at a time.
IMAGES = 455

MEASURES = ("top1", "top5_official", "top5_corrected", "single_vote")


def class_votes(similarities: torch.Tensor, labels: torch.Tensor, num_classes: int) -> torch.Tensor:
    """Votes ``[Q, num_classes]`` of neighbours with ``similarities`` and ``labels``, each ``[Q, k]``."""
    votes = similarities.new_zeros(len(similarities), num_classes)
    return votes.scatter_add_(1, labels.long(), (similarities / TEMPERATURE).exp())


def vote(
    train_features: torch.Tensor,
    train_labels: torch.Tensor,
    test_features: torch.Tensor,
    test_labels: torch.Tensor,
    ks: Sequence[int],
) -> dict[str, dict[str, float]]:
    """:func:`vote_with_bank` for L2-normalised training features ``[N, 9, D]`` with class indices ``[N]``."""
    bank = MemoryBank(train_features.flatten(0, 1), train_labels.repeat_interleave(train_features.shape[1]))
    return vote_with_bank(bank, test_features, test_labels, ks)


def vote_with_bank(
    bank: Bank, test_features: torch.Tensor, test_labels: torch.Tensor, ks: Sequence[int], num_classes: int = 0
) -> dict[str, dict[str, float]]:
    """Accuracies in percent for each k, from one search with the largest.

    Args:
        bank: L2-normalised training features, nine to an image.
        test_features: L2-normalised ``[M, 9, D]``.
        test_labels: class indices ``[M]``.
        ks: numbers of neighbours.
        num_classes: to rank; 0 for as many as there are labels here.

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
    patches = test_features.shape[1]
    similarities, labels = (
        found.unflatten(0, (-1, patches)) for found in nearest(test_features.flatten(0, 1), bank, ks[-1])
    )
    num_classes = max(num_classes, int(labels.max()) + 1, int(test_labels.max()) + 1)
    right = {name: dict.fromkeys(ks, 0) for name in MEASURES}
    for start in range(0, len(test_labels), IMAGES):
        images = slice(start, start + IMAGES)
        for k in ks:
            votes = class_votes(
                similarities[images, :, :k].flatten(0, 1), labels[images, :, :k].flatten(0, 1), num_classes
            ).unflatten(0, (-1, patches))
            for name, count in count_right(votes, test_labels[images], k).items():
                right[name][k] += count
    return {
        name: {str(k): 100 * count / len(test_labels) for k, count in counts.items()} for name, counts in right.items()
    }


def count_right(votes: torch.Tensor, targets: torch.Tensor, k: int) -> dict[str, int]:
    """How many images are right by each of :data:`MEASURES`, from votes ``[M, 9, classes]`` and classes ``[M]``."""
    # Sorted as published, which also decides the order of the classes that got no vote.
    ranked = votes.sort(dim=2, descending=True)
    hits = ranked.indices[:, :, :5] == targets[:, None, None]
    voted = ranked.values[:, :, :5] > 0
    found = {
        "top1": hits[:, :, 0].any(1),
        "top5_official": hits[:, :, :k].any(1),
        "top5_corrected": (hits & voted).any(2).any(1),
        "single_vote": votes.sum(1).argmax(1) == targets,
    }
    return {name: int(image.sum()) for name, image in found.items()}
