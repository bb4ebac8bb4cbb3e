"""The control: DINO's instance-level objective in the terms of FLSL's step, where a view has one query, itself.

FLSL is judged against what it is built on: the same views, networks and optimiser, with a view's class token (or the
mean of its tokens) in the place of modes. Rows of the objective are pairs of views; its inter-view term is then DINO's
loss, with DINO's centring and without the terms that DINO has not. Source: facebookresearch/dino, ``main_dino.py``.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from pretrain.data import Batch
from pretrain.networks import Clustered, Network


class InstanceNetwork(Network):
    """A ViT with DINO's head on its class token, or on the mean of its patch tokens where it has none."""

    def pool(self, images: torch.Tensor, draws: torch.Tensor | None = None) -> torch.Tensor:
        """Images ``[R, 3, H, W]`` -> one vector each, ``[R, D]``."""
        tokens = self.encode_all(images, draws)
        return tokens[:, 0] if self.backbone.num_prefix_tokens else tokens.mean(dim=1)

    def forward(
        self,
        views: list[torch.Tensor],
        queries: list[torch.Tensor],
        sa_temperature: float,
        draws: Sequence[torch.Tensor | None] | None = None,
    ) -> Clustered:
        """Views as :class:`pretrain.data.Batch` has them -> vectors and logits of all, view by view."""
        groups = [self.pool(*each) for each in zip(views, draws or [None] * len(views), strict=True)]
        pooled = torch.cat(groups)
        return Clustered(pooled, pooled, self.logits(pooled), groups)

    @torch.no_grad()
    def answer_views(self, images: torch.Tensor) -> torch.Tensor:
        """The teacher's part: its views ``[T*B, 3, S, S]`` -> logits ``[T*B, K]``."""
        return self.logits(self.pool(images))


def with_both_globals(batch: Batch) -> Batch:
    """DINO's two global views: the teacher's view goes through the student as well, the student's through the teacher.

    The first two student views are then the teacher's two. ``draws`` have a row for the added view already.
    """
    both = torch.cat([batch.teacher, batch.views[0]])
    return batch._replace(teacher=both, views=[both, *batch.views[1:]])


def pair_views(
    found: Clustered, teacher_logits: torch.Tensor, images: int, shared: bool
) -> tuple[Clustered, torch.Tensor]:
    """Each student view beside each teacher view: rows ``[P*B, ..]`` of ``P`` pairs, and the teacher's ``[P*B, K]``.

    ``found`` holds ``V*B`` rows, ``teacher_logits`` ``T*B``, ``B = images``, view by view. With ``shared`` the first
    ``T`` student views are the teacher's own, and no view is paired with itself.
    """
    student, teacher = found.logits.shape[0] // images, teacher_logits.shape[0] // images
    pairs = [(t, v) for t in range(teacher) for v in range(student) if not (shared and t == v)]
    device = teacher_logits.device
    row = torch.arange(images, device=device)
    of_teacher = torch.cat([t * images + row for t, _ in pairs])
    of_student = torch.cat([v * images + row for _, v in pairs])
    paired = found._replace(
        tokens=found.tokens[of_student], modes=found.modes[of_student], logits=found.logits[of_student]
    )
    return paired, teacher_logits[of_teacher]
