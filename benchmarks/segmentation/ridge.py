"""Ridge regression from patch features to class fractions, in closed form: no seed, no schedule, seconds.

Ours, for regression tests and quick comparisons; no paper's protocol. Features are standardised by the training half;
the target of a patch is the fraction of its pixels that each class covers, and void pixels count for nothing. Patches
of rare classes count for more: without that no pole or cyclist is ever predicted, by any network. Sums
are kept in fp64, so memory is a few D x D matrices for any number of images, and the result does not depend on the
order.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch


class Moments:
    """The sums that the solution needs: of weights, features, targets and their products."""

    def __init__(self, width: int, classes: int, device: torch.device | str = "cpu") -> None:
        self.weight = 0.0
        self.rows = 0
        self.x, self.y = (torch.zeros(n, dtype=torch.float64, device=device) for n in (width, classes))
        self.xx, self.xy = (torch.zeros(width, n, dtype=torch.float64, device=device) for n in (width, classes))

    def add(self, features: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor) -> None:
        """Patches: features ``[N, D]``, class fractions ``[N, C]``, and how much each counts ``[N]``."""
        where = self.x.device
        keep = weights.to(where) > 0
        x, y, w = (part.to(where)[keep].double() for part in (features, targets, weights))
        weighted = x * w[:, None]
        self.weight += float(w.sum())
        self.rows += len(x)
        self.x += weighted.sum(0)
        self.y += (y * w[:, None]).sum(0)
        self.xx += weighted.T @ x
        self.xy += weighted.T @ y

    def solve(self, penalty: float) -> Linear:
        """The minimum of mean squared error plus ``penalty`` times the squared weights of standardised features."""
        mean_x, mean_y, xx, xy = (part.cpu() / self.weight for part in (self.x, self.y, self.xx, self.xy))
        covariance, shared = xx - torch.outer(mean_x, mean_x), xy - torch.outer(mean_x, mean_y)
        # A feature that never changes has a variance of 0: it gets no weight.
        scale = covariance.diagonal().clamp(min=0.0).sqrt()
        scale = torch.where(scale > 1e-12, scale, torch.inf)
        correlation = covariance / torch.outer(scale, scale)
        correlation += penalty * torch.eye(len(scale), dtype=torch.float64)
        weights = torch.linalg.solve(correlation, shared / scale[:, None]) / scale[:, None]
        return Linear(weights.float(), (mean_y - mean_x @ weights).float())


class Linear:
    """``features @ weights + bias``: weights fp32 ``[D, C]``, bias ``[C]``."""

    def __init__(self, weights: torch.Tensor, bias: torch.Tensor) -> None:
        self.weights, self.bias = weights, bias

    def __call__(self, features: torch.Tensor) -> torch.Tensor:
        """Features ``[..., D]`` -> a score for each class ``[..., C]``."""
        return features @ self.weights.to(features.device) + self.bias.to(features.device)


def fit(parts: Iterable[tuple[torch.Tensor, torch.Tensor, torch.Tensor]], penalty: float) -> tuple[Linear, int]:
    """The solution for ``(features, fractions, weights)`` part by part, and how many patches took part."""
    moments: Moments | None = None
    for features, targets, weights in parts:
        moments = moments or Moments(features.shape[1], targets.shape[1], features.device)
        moments.add(features, targets, weights)
    if moments is None or not moments.weight:
        raise ValueError("no patch with a pixel that is not void")
    return moments.solve(penalty), moments.rows
