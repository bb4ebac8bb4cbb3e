"""How much of what tokens and clusters say is their place on the grid, and does retrieval follow it?

The numbers of ``docs/what_flsl_learns.md``. A network with a position code can lower Eq. 11 by agreeing on places
instead of content; these show it while it happens.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch

#: Shuffles whose mean stands for chance.
SHUFFLES = 8


class Shares(NamedTuple):
    """Parts of the variance of tokens, summing to one: by place on the grid, by image, and what neither explains."""

    place: float
    image: float
    rest: float


class Retrieval(NamedTuple):
    """Mean distances in sides of the teacher's view between where a query's best match lies and two other places."""

    from_true: float  # where the query's own patch lies in the teacher's view
    from_own: float  # where its place on its own grid would lie, if the views were the same


def variance_shares(tokens: torch.Tensor) -> Shares:
    """Variance components of tokens ``[B, N, D]`` of one grid, all channels together; nan if there is nothing to part.

    Unbiased for any number of images (two-way analysis of variance without repeats): with few images the plain
    variance of the place means would be mostly chance. Components below zero count as zero.
    """
    tokens = tokens.double()
    images, places, _ = tokens.shape
    if images < 2 or places < 2:
        return Shares(math.nan, math.nan, math.nan)
    whole = tokens.mean(dim=(0, 1))
    of_place, of_image = tokens.mean(dim=0) - whole, tokens.mean(dim=1) - whole
    rest = (tokens - whole - of_place[None] - of_image[:, None]).square().sum() / ((images - 1) * (places - 1))
    place = (of_place.square().sum() / (places - 1) - rest / images).clamp_min(0)
    image = (of_image.square().sum() / (images - 1) - rest / places).clamp_min(0)
    total = place + image + rest
    return Shares(*((part / total).item() for part in (place, image, rest)))


def retrieval(
    tokens: torch.Tensor, queries: torch.Tensor, boxes: torch.Tensor, teacher_tokens: torch.Tensor
) -> Retrieval:
    """Where the queries of student views find their best match (the largest weight of Eq. 12) in the teacher's view.

    ``tokens`` ``[V*B, n, D]`` of a square grid, ``queries`` ``[V*B, Q]``, ``boxes`` ``[V*B, 4]`` and
    ``teacher_tokens`` ``[B, N, D]`` as in :func:`pretrain.meanshift.project_positions`. By chance both distances are
    about 0.5.
    """
    side, grid = round(tokens.shape[1] ** 0.5), round(teacher_tokens.shape[1] ** 0.5)
    asked = tokens.gather(1, queries.unsqueeze(-1).expand(-1, -1, tokens.shape[-1])).float()
    views = tokens.shape[0] // teacher_tokens.shape[0]
    found = (asked @ teacher_tokens.float().transpose(1, 2).repeat(views, 1, 1)).argmax(dim=-1)

    def centres(index: torch.Tensor, size: int) -> torch.Tensor:  # [.., 2] x, y as fractions
        return torch.stack([index % size, index // size], dim=-1).add(0.5).div(size)

    place, own = centres(found, grid), centres(queries, side)
    true = boxes[:, None, :2] + own * (boxes[:, None, 2:] - boxes[:, None, :2])
    return Retrieval(*((place - other).norm(dim=-1).mean().item() for other in (true, own)))


def information(clusters: torch.Tensor, labels: torch.Tensor) -> float:
    """Mutual information in bits of two equally long lists of whole numbers; as counted, so never below zero."""
    _, cluster = clusters.flatten().unique(return_inverse=True)
    _, label = labels.flatten().unique(return_inverse=True)
    joint = torch.zeros(int(cluster.max()) + 1, int(label.max()) + 1, dtype=torch.float64)
    joint.index_put_((cluster.cpu(), label.cpu()), torch.ones(cluster.numel(), dtype=torch.float64), accumulate=True)
    joint /= joint.sum()
    entropy = torch.special.entr
    return ((entropy(joint.sum(0)).sum() + entropy(joint.sum(1)).sum() - entropy(joint).sum()) / math.log(2)).item()


def place_information(clusters: torch.Tensor, seed: int = 0) -> float:
    """Bits that the clusters ``[B, N]`` of tokens tell of their place, above what they tell of shuffled places.

    Counting few tokens in many clusters finds information where there is none; within each image the places are
    therefore dealt out anew by chance, and what that finds is taken off.
    """
    clusters = clusters.cpu()
    images, places = clusters.shape
    place, generator = torch.arange(places).expand(images, -1), torch.Generator().manual_seed(seed)
    by_chance = [
        information(clusters, torch.rand(images, places, generator=generator).argsort(dim=1)) for _ in range(SHUFFLES)
    ]
    return information(clusters, place) - sum(by_chance) / SHUFFLES


def class_information(clusters: torch.Tensor, classes: torch.Tensor, seed: int = 0) -> float:
    """Bits that the clusters ``[B, N]`` of tokens tell of their image's class ``[B]``, above those of shuffled classes.

    Images are shuffled whole: tokens of one image are alike whatever its class.
    """
    clusters, classes, generator = clusters.cpu(), classes.cpu(), torch.Generator().manual_seed(seed)
    by_chance = [
        information(clusters, classes[torch.randperm(len(classes), generator=generator), None].expand_as(clusters))
        for _ in range(SHUFFLES)
    ]
    return information(clusters, classes[:, None].expand_as(clusters)) - sum(by_chance) / SHUFFLES


def retrieval_by_place(found: Retrieval, shares: Shares) -> list[str]:
    """A warning, in words, when positives are found by the position code instead of by content; empty if not."""
    if found.from_own < 0.5 * found.from_true and found.from_own < 0.2 and shares.place > shares.image:
        return [
            f"queries find their own place on the grid ({found.from_own:.2f} of a side away) and not their content "
            f"({found.from_true:.2f} away): give objective.projected_epochs more epochs"
        ]
    return []
