"""Non-parametric mean-shift: attention whose projections are identities (Eq. 4 and Eq. 12)."""

from __future__ import annotations

import torch
import torch.nn.functional as F


def select_queries(tokens: torch.Tensor, queries: torch.Tensor) -> torch.Tensor:
    """Pick tokens ``[B, N, D]`` at indices ``[B, Q]`` (row-major positions) -> ``[B, Q, D]``."""
    return tokens.gather(1, queries.unsqueeze(-1).expand(-1, -1, tokens.shape[-1]))


def mean_shift(queries: torch.Tensor, points: torch.Tensor, temperature: float) -> torch.Tensor:
    """One mean-shift step of ``queries`` ``[B, Q, D]`` among ``points`` ``[B, N, D]`` -> modes ``[B, Q, D]``.

    ``modes = softmax(temperature * queries @ points^T) @ points``. With the queries' own view as
    points this is the self-attention of Eq. 4; with the teacher's view it retrieves the positive
    samples of Eq. 12. ``temperature`` multiplies raw dot products (the features are layer-normed,
    not unit length): the published default is ``0.1 / sqrt(384)``.
    The ``[Q, N]`` attention is never materialised.
    """
    modes = F.scaled_dot_product_attention(
        queries.unsqueeze(1), points.unsqueeze(1), points.unsqueeze(1), scale=temperature
    )
    return modes.squeeze(1)


def retrieve_positives(queries: torch.Tensor, teacher_tokens: torch.Tensor, temperature: float) -> torch.Tensor:
    """Positives (Eq. 12) of ``V`` equally sized student views.

    ``queries`` ``[V*B, Q, D]`` and ``teacher_tokens`` ``[B, N, D]`` give ``[V*B, Q, D]``. The views are
    stacked view by view: row ``v * B + b`` belongs to image ``b``. All views of an image look into the
    same teacher tokens, so their queries go side by side instead of the tokens being copied.
    """
    batch = teacher_tokens.shape[0]
    views, per_view, width = queries.shape[0] // batch, queries.shape[1], queries.shape[2]
    side_by_side = queries.view(views, batch, per_view, width).transpose(0, 1).reshape(batch, views * per_view, width)
    modes = mean_shift(side_by_side, teacher_tokens, temperature)
    return modes.view(batch, views, per_view, width).transpose(0, 1).reshape(views * batch, per_view, width)
