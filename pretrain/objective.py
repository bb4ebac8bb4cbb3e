"""The FLSL objective, Eq. 13: intra-view mean-shift, inter-view k-means, volume maximisation."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn


class Losses(NamedTuple):
    """Scalars: the weighted total of Eq. 13 and its three terms without their weights."""

    total: torch.Tensor
    intra: torch.Tensor
    inter: torch.Tensor
    volume: torch.Tensor


class _MeanOverProcesses(torch.autograd.Function):
    """Mean of a tensor over all processes; the gradient passes through unchanged.

    That is the exact gradient under DistributedDataParallel, which averages what the processes
    computed: each contributes ``f'(mean)`` for its own part.
    """

    @staticmethod
    def forward(ctx, value):
        value = value / dist.get_world_size()
        dist.all_reduce(value)
        return value

    @staticmethod
    def backward(ctx, gradient):
        return gradient


def mean_over_processes(value: torch.Tensor) -> torch.Tensor:
    """``value`` averaged over the process group, or ``value`` itself where there is only one process."""
    if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
        return _MeanOverProcesses.apply(value)
    return value


def intra_view_loss(tokens: torch.Tensor, modes: torch.Tensor) -> torch.Tensor:
    """Eq. 8 on unit vectors, ``2 - 2 cos(z, z_hat)``, averaged over all queries. Both ``[M, D]``."""
    return 2.0 - 2.0 * F.cosine_similarity(tokens, modes, dim=-1, eps=1e-12).mean()


def inter_view_loss(
    student_logits: torch.Tensor, teacher_logits: torch.Tensor, student_temp: float, teacher_temp: float
) -> torch.Tensor:
    """Eq. 11, ``H(p(z_hat+), p(z_hat))`` averaged over all queries. Both ``[M, K]``; no gradient to the teacher."""
    target = F.softmax(teacher_logits.detach() / teacher_temp, dim=-1)
    return -(target * F.log_softmax(student_logits / student_temp, dim=-1)).sum(dim=-1).mean()


def volume_loss(student_logits: torch.Tensor, student_temp: float, prior: torch.Tensor | None = None) -> torch.Tensor:
    """The last term of Eq. 13, ``KL(mean assignment || prior)``; ``[M, K]`` -> scalar.

    The mean runs over every query of every process. ``prior`` ``[K]`` sums to one; None is uniform.
    """
    mean = mean_over_processes(F.softmax(student_logits / student_temp, dim=-1).mean(dim=0))
    negative_entropy = (mean * mean.log()).sum()
    if prior is None:
        return negative_entropy + math.log(mean.numel())
    return negative_entropy - (mean * prior.log()).sum()


class Objective(nn.Module):
    """Eq. 13 with the options of the published code. Works in fp32 whatever the networks ran in."""

    def __init__(
        self,
        clusters: int,
        student_temp: float = 0.1,
        volume: bool = True,
        centering: bool = False,
        center_momentum: float = 0.9,
    ) -> None:
        super().__init__()
        self.student_temp = student_temp
        self.volume = volume
        self.center_momentum = center_momentum
        self.register_buffer("center", torch.zeros(1, clusters) if centering else None)

    def forward(
        self,
        tokens: torch.Tensor,
        modes: torch.Tensor,
        student_logits: torch.Tensor,
        teacher_logits: torch.Tensor,
        teacher_temp: float,
        coefficients: tuple[float, float, float],
    ) -> Losses:
        """Queries ``tokens`` and their ``modes`` ``[M, D]``, logits ``[M, K]`` -> :class:`Losses`.

        ``coefficients`` are (v, eta, gamma) of Eq. 13.
        """
        student_logits, teacher_logits = student_logits.float(), teacher_logits.float()
        if self.center is not None:
            centred = teacher_logits - self.center
            self._move_center(teacher_logits)
            teacher_logits = centred
        intra = intra_view_loss(tokens.float(), modes.float())
        inter = inter_view_loss(student_logits, teacher_logits, self.student_temp, teacher_temp)
        volume = volume_loss(student_logits, self.student_temp) if self.volume else intra.new_zeros(())
        v, eta, gamma = coefficients
        return Losses(v * intra + eta * inter + gamma * volume, intra, inter, volume)

    @torch.no_grad()
    def _move_center(self, teacher_logits: torch.Tensor) -> None:
        mean = mean_over_processes(teacher_logits.mean(dim=0, keepdim=True))
        self.center.lerp_(mean, 1.0 - self.center_momentum)
