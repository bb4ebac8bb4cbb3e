"""Logistic regression over patches as CAPI fits it: L-BFGS on the most frequent label of each patch.

The objective is cuML's and scikit-learn's: C times the sum of cross-entropies plus half the squared weights, without
the biases. The gradient is summed block by block over the bank, so features need not fit into memory; C is the one
with the highest mIoU on the held-out images. Solver: torch's L-BFGS with strong Wolfe line search.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from benchmarks.segmentation.bank import PatchBank
from benchmarks.segmentation.geometry import from_patches
from benchmarks.segmentation.knn import modal
from benchmarks.segmentation.protocols import Knn
from benchmarks.segmentation.ridge import Linear
from benchmarks.segmentation.scoring import Score

#: Rows of the bank in one part of the gradient.
ROWS = 65536


def fit(bank: PatchBank, classes: int, c: float, protocol: Knn, device: torch.device) -> tuple[Linear, int]:
    """The solution for one C, and how many steps it took; the labels of ``bank`` are not void for the most part."""
    targets = torch.cat([modal(torch.from_numpy(part)) for part in _split(bank.cells, len(bank))]).long()
    features = bank.exact or bank.features
    # Divided by C and the rows, which moves no minimum but keeps the solver's numbers near one.
    decay = 1.0 / (c * len(targets))
    weights = torch.zeros(features.width, classes, device=device, requires_grad=True)
    bias = torch.zeros(classes, device=device, requires_grad=True)
    solver = torch.optim.LBFGS(
        [weights, bias], max_iter=protocol.max_iter, history_size=protocol.history, line_search_fn="strong_wolfe",
        tolerance_grad=1e-7, tolerance_change=protocol.tolerance, max_eval=5 * protocol.max_iter,
    )  # fmt: skip

    def closure() -> torch.Tensor:
        solver.zero_grad()
        loss = 0.5 * decay * weights.pow(2).sum()
        loss.backward()
        start = 0
        for rows, _ in features.blocks(ROWS):
            labels = targets[start : (start := start + len(rows))].to(device)
            part = F.cross_entropy(rows.to(device) @ weights + bias, labels, reduction="sum") / len(targets)
            part.backward()
            loss = loss.detach() + part.detach()
        return loss

    solver.step(closure)
    steps = solver.state[weights].get("n_iter", 0)
    return Linear(weights.detach(), bias.detach()), steps


def choose(
    fitted: PatchBank,
    everything: PatchBank,
    protocol: Knn,
    device: torch.device,
    held: Sequence[tuple[torch.Tensor, np.ndarray]],
    names: tuple[str, ...],
    rule: Mapping[str, str],
) -> tuple[Linear, dict[str, Any]]:
    """The solution on ``everything`` for the C that is best on ``held`` (features, label map), and each C's mIoU."""
    tried: dict[str, float | None] = {}
    for c in protocol.cs:
        head, _ = fit(fitted, len(names), c, protocol, device)
        score = Score(names)
        for features, labels in held:
            said = head(features.to(device)).argmax(1).byte().cpu()
            patch = int((labels.size / len(features)) ** 0.5)
            cells = said[None, :, None].expand(-1, -1, patch * patch)
            score.add(labels, from_patches(cells, labels.shape, patch)[0].numpy())
        tried[f"{c:.3g}"] = score.result(**rule)["metrics"]["mIoU"]
    best = max(range(len(protocol.cs)), key=lambda i: list(tried.values())[i] or -1.0)
    head, steps = fit(everything, len(names), protocol.cs[best], protocol, device)
    return head, {"C": protocol.cs[best], "steps": steps, "held_out": tried}


def _split(cells: np.ndarray, rows: int) -> list[np.ndarray]:
    return [np.asarray(cells[start : min(start + ROWS, rows)]) for start in range(0, rows, ROWS)]
