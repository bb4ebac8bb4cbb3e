"""Is the clustering alive? Numbers that show a collapse before the benchmarks do."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F


def perplexity(assignment: torch.Tensor) -> float:
    """Effective number of clusters: ``exp(entropy)`` of the mean assignment ``[K]``; between 1 and ``K``."""
    return torch.special.entr(assignment.double()).sum().exp().item()


def separation(tokens: torch.Tensor, temperature: float) -> tuple[float, float]:
    """Mean separability and mean similarity of the tokens ``[B, N, D]`` within an image, as cosines.

    Separability is Eq. 7's ``z_i z_j - max_{k not in c_i} z_i z_k`` averaged over the members ``j`` of the cluster
    ``c_i`` of each token ``i``: the tokens (itself aside) that it attends to more than evenly. Tokens whose cluster is
    empty or everything are left out; nan when that is all of them.
    """
    tokens = tokens.float()
    unit = F.normalize(tokens, dim=-1)
    cosines = unit @ unit.transpose(1, 2)
    itself = torch.eye(tokens.shape[1], dtype=torch.bool, device=tokens.device)
    attention = (temperature * tokens @ tokens.transpose(1, 2)).masked_fill(itself, -torch.inf).softmax(dim=-1)
    members = attention > 1.0 / (tokens.shape[1] - 1)
    others = ~members & ~itself
    counts = members.sum(dim=-1)
    inside = (cosines * members).sum(dim=-1) / counts
    delta = inside - cosines.masked_fill(~others, -torch.inf).amax(dim=-1)
    counted = (counts > 0) & others.any(dim=-1)
    similarity = cosines.masked_select(~itself).mean()
    return delta[counted].mean().item(), similarity.item()


def collapse(clusters: int, used: float, inter: float, similarity: float) -> list[str]:
    """What has collapsed, in words; empty when all is well. Meaningful after the warm-up only.

    ``used``: the perplexity; ``inter``: Eq. 11, which is ``log K`` for assignments that say nothing (confident
    ones that disagree have more).
    """
    found = []
    if used < max(2.0, clusters / 100):
        found.append(f"{used:.1f} of {clusters} clusters are in use: raise objective.volume")
    if used > 0.95 * clusters and abs(inter / math.log(clusters) - 1) < 0.02:
        found.append("assignments are even over all clusters: lower objective.teacher_temp or objective.volume")
    if similarity > 0.99:
        found.append("all tokens of an image are the same: lower objective.intra or the attention temperatures")
    return found
