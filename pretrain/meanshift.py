"""Non-parametric mean-shift: attention whose projections are identities (Eq. 4 and Eq. 12)."""

from __future__ import annotations

import torch
import torch.nn.functional as F


def select_queries(tokens: torch.Tensor, queries: torch.Tensor) -> torch.Tensor:
    """Pick tokens ``[B, N, D]`` at indices ``[B, Q]`` (row-major positions) -> ``[B, Q, D]``."""
    return tokens.gather(1, queries.unsqueeze(-1).expand(-1, -1, tokens.shape[-1]))


def mean_shift(
    queries: torch.Tensor, points: torch.Tensor, temperature: float, keys: torch.Tensor | None = None
) -> torch.Tensor:
    """One mean-shift step of ``queries`` ``[B, Q, D]`` among ``points`` ``[B, N, D]`` -> modes ``[B, Q, D]``.

    ``modes = softmax(temperature * queries @ points^T) @ points``. With the queries' own view as
    points this is the self-attention of Eq. 4; with the teacher's view it retrieves the positive
    samples of Eq. 12. ``temperature`` multiplies raw dot products (the features are layer-normed,
    not unit length): the published default is ``0.1 / sqrt(384)``.
    The ``[Q, N]`` attention is never materialised. ``keys`` take the points' place in the comparison alone.
    """
    modes = F.scaled_dot_product_attention(
        queries.unsqueeze(1), (points if keys is None else keys).unsqueeze(1), points.unsqueeze(1), scale=temperature
    )
    return modes.squeeze(1)


def retrieve_positives(
    queries: torch.Tensor,
    teacher_tokens: torch.Tensor,
    temperature: float,
    other_attention: torch.Tensor | None = None,
    own_share: float = 1.0,
    keys: torch.Tensor | None = None,
) -> torch.Tensor:
    """Positives (Eq. 12) of ``V`` equally sized student views.

    ``queries`` ``[V*B, Q, D]`` and ``teacher_tokens`` ``[B, N, D]`` give ``[V*B, Q, D]``. The views are
    stacked view by view: row ``v * B + b`` belongs to image ``b``. All views of an image look into the
    same teacher tokens, so their queries go side by side instead of the tokens being copied.

    ``other_attention`` ``[V*B, Q, N]``, rows summing to one, is mixed in with weight ``1 - own_share``
    (multi-stage training, published ``flsl_meanshift``): a mixture of attentions gives the same mixture of modes.
    ``keys`` ``[B, N, D]`` are compared with in the tokens' place, which stay what is averaged.
    """
    batch = teacher_tokens.shape[0]

    def side_by_side(x: torch.Tensor) -> torch.Tensor:  # [V*B, Q, X] -> [B, V*Q, X]
        return x.unflatten(0, (-1, batch)).transpose(0, 1).flatten(1, 2)

    modes = mean_shift(side_by_side(queries), teacher_tokens, temperature, keys)
    if other_attention is not None:
        modes = own_share * modes + (1.0 - own_share) * (side_by_side(other_attention) @ teacher_tokens)
    return modes.unflatten(1, (-1, queries.shape[1])).transpose(0, 1).flatten(0, 1)


def sharp_attention(queries: torch.Tensor, points: torch.Tensor, temperature: float, sharpness: float) -> torch.Tensor:
    """Attention pushed towards equal weights on the above-average points and none on the rest.

    ``queries`` ``[V*B, Q, D]`` (stacked view by view), ``points`` ``[B, N, D]`` -> ``[V*B, Q, N]``, rows sum to one.
    Source: ISL-CV/FLSL, ``attention_map``.
    """
    views = queries.shape[0] // points.shape[0]
    attention = (queries @ points.transpose(1, 2).repeat(views, 1, 1) * temperature).softmax(dim=-1)
    mask = (sharpness * (attention - attention.mean(dim=-1, keepdim=True))).sigmoid()
    return mask / mask.sum(dim=-1, keepdim=True)


def project_positions(queries: torch.Tensor, boxes: torch.Tensor, tokens: torch.Tensor, side: int) -> torch.Tensor:
    """The teacher's tokens at the places where the student's queries lie (section 4.2, early training).

    ``queries`` ``[V*B, Q]`` are indices into a ``side x side`` grid over ``boxes`` ``[V*B, 4]``, which are fractions
    (x0, y0, x1, y1) of the teacher's view; ``tokens`` ``[B, N, D]`` is the teacher's square grid. Centres of the query
    patches are looked up bilinearly -> ``[V*B, Q, D]``.
    """
    within = torch.stack([queries % side, queries // side], dim=-1).add(0.5).div(side)  # [V*B, Q, 2] x, y
    corner, extent = boxes[:, None, :2], boxes[:, None, 2:] - boxes[:, None, :2]
    places = (2.0 * (corner + within * extent) - 1.0).to(tokens.dtype).unsqueeze(2)  # [V*B, Q, 1, 2] in -1..1
    grid = round(tokens.shape[1] ** 0.5)
    maps = tokens.transpose(1, 2).unflatten(2, (grid, grid)).repeat(queries.shape[0] // tokens.shape[0], 1, 1, 1)
    found = F.grid_sample(maps, places, mode="bilinear", padding_mode="border", align_corners=False)
    return found.squeeze(3).transpose(1, 2)
