"""The FLSL objective, Eq. 13: intra-view mean-shift, inter-view k-means, volume maximisation."""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import nn

from pretrain.distributed import logsumexp_over_processes, mean_over_processes


class Losses(NamedTuple):
    """Scalars: the weighted total of Eq. 13 and its three terms without their weights."""

    total: torch.Tensor
    intra: torch.Tensor
    inter: torch.Tensor
    volume: torch.Tensor


class Statistics(NamedTuple):
    """What the objective needs to know of *all* queries of a step, in all parts and processes.

    The volume term and Sinkhorn are no means over queries: a step that is computed in parts needs these first.
    """

    assignment: torch.Tensor  # [K] mean of the student's assignments
    teacher_mean: torch.Tensor | None  # [K] mean of the teacher's logits, where there is a centre to move
    normaliser: torch.Tensor | None  # [K] log of the sum over the batch of exp(teacher logits / temperature): Sinkhorn


def intra_view_loss(tokens: torch.Tensor, modes: torch.Tensor) -> torch.Tensor:
    """Eq. 8 on unit vectors, ``2 - 2 cos(z, z_hat)``, averaged over all queries. Both ``[M, D]``."""
    return 2.0 - 2.0 * F.cosine_similarity(tokens, modes, dim=-1, eps=1e-12).mean()


def inter_view_loss(log_assignment: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Eq. 11, ``H(p(z_hat+), p(z_hat))`` averaged over queries, of ``log p(z_hat)`` and ``p(z_hat+)`` ``[M, K]``."""
    return -(target * log_assignment).sum(dim=-1).mean()


def volume_loss(assignment: torch.Tensor, log_prior: torch.Tensor) -> torch.Tensor:
    """The last term of Eq. 13, ``KL(mean assignment || prior)``; both ``[K]`` -> scalar."""
    # A cluster whose share underflows to zero adds nothing; its logarithm must not make that NaN.
    return (assignment * (assignment.clamp_min(torch.finfo(assignment.dtype).tiny).log() - log_prior)).sum()


class Objective(nn.Module):
    """Eq. 13 with the options of the published code and of the paper. Works in fp32 whatever the networks ran in.

    ``prior`` ``[K]`` holds the clusters' proportions (positive, summing to one); None is the uniform prior.
    With ``volume_term`` off there is no such term; with its coefficient at 0 it is computed but does not count.
    """

    prior: torch.Tensor  # None without the volume term
    center: torch.Tensor | None

    def __init__(
        self,
        clusters: int,
        student_temp: float = 0.1,
        volume_term: bool = True,
        centering: bool = False,
        sinkhorn: bool = False,
        prior: torch.Tensor | None = None,
        center_momentum: float = 0.9,
    ) -> None:
        super().__init__()
        self.student_temp, self.center_momentum = student_temp, center_momentum
        self.volume_term, self.sinkhorn = volume_term, sinkhorn
        prior = torch.full((clusters,), 1.0 / clusters) if prior is None else prior
        self.register_buffer("prior", prior.log().view(1, clusters) if volume_term else None)
        self.register_buffer("center", torch.zeros(1, clusters) if centering else None)

    @property
    def couples_queries(self) -> bool:
        """Whether a query's loss depends on the other queries of the step."""
        return self.sinkhorn or self.volume_term

    def target(self, teacher_logits: torch.Tensor, temperature: float, normaliser: torch.Tensor | None) -> torch.Tensor:
        """The teacher's assignments ``[M, K]``, rows summing to one.

        Sinkhorn is one round of it: softmax over the batch in each cluster, then each row divided by its sum.
        Centring (published ``Centering``) subtracts the moving mean before the softmax.
        """
        if self.center is not None:
            teacher_logits = teacher_logits - self.center
        scaled = teacher_logits / temperature
        return F.softmax(scaled if normaliser is None else scaled - normaliser, dim=-1)

    @torch.no_grad()
    def statistics(
        self, student_logits: torch.Tensor, teacher_logits: torch.Tensor, teacher_temp: float, weight: float
    ) -> Statistics:
        """What one part adds to the step's statistics; ``weight`` as for :meth:`forward`."""
        assignment = weight * F.softmax(student_logits.float() / self.student_temp, dim=-1).mean(dim=0)
        return self._statistics(assignment, teacher_logits.float(), teacher_temp, weight)

    def _statistics(
        self, assignment: torch.Tensor, teacher_logits: torch.Tensor, teacher_temp: float, weight: float
    ) -> Statistics:
        teacher_mean = weight * teacher_logits.mean(dim=0) if self.center is not None else None
        normaliser = (teacher_logits / teacher_temp).logsumexp(dim=0) if self.sinkhorn else None
        return Statistics(assignment, teacher_mean, normaliser)

    def forward(
        self,
        tokens: torch.Tensor,
        modes: torch.Tensor,
        student_logits: torch.Tensor,
        teacher_logits: torch.Tensor,
        teacher_temp: float,
        coefficients: tuple[float, float, float],
        weight: float = 1.0,
        statistics: Statistics | None = None,
    ) -> tuple[Losses, Statistics]:
        """Queries ``tokens`` and their ``modes`` ``[M, D]``, logits ``[M, K]`` -> :class:`Losses`, :class:`Statistics`.

        ``coefficients`` are (v, eta, gamma) of Eq. 13. ``weight`` is this part's number of queries over the mean
        number a process: the sum over parts and mean over processes of (weight x mean over a part) is the mean over
        the step. ``statistics`` of the whole step are needed where a step has several parts and couples queries; the
        statistics that come back are the step's then, and this part's where nothing couples queries.
        """
        log_assignment = F.log_softmax(student_logits.float() / self.student_temp, dim=-1)
        teacher_logits = teacher_logits.detach().float()
        assignment = weight * log_assignment.exp().mean(dim=0)
        if statistics is None:
            statistics = self._statistics(assignment, teacher_logits, teacher_temp, weight)
            if self.couples_queries:
                statistics = over_processes([statistics])
            assignment = statistics.assignment
        else:
            # The value is the whole step's, the gradient this part's: together the parts have the whole gradient.
            assignment = assignment + (statistics.assignment - assignment).detach()
        target = self.target(teacher_logits, teacher_temp, statistics.normaliser)
        intra = intra_view_loss(tokens.float(), modes.float())
        inter = inter_view_loss(log_assignment, target)
        volume = volume_loss(assignment, self.prior[0]) if self.volume_term else intra.new_zeros(())
        v, eta, gamma = coefficients
        total = weight * (v * intra + eta * inter) + gamma * volume
        return Losses(total, intra, inter, volume), statistics._replace(assignment=statistics.assignment.detach())

    @torch.no_grad()
    def move_center(self, statistics: Statistics) -> None:
        """Move the centre towards the mean of the step's teacher logits; it counts from the next step on."""
        if self.center is not None:
            mean = cast(torch.Tensor, statistics.teacher_mean)
            self.center.mul_(self.center_momentum).add_((1.0 - self.center_momentum) * mean)


def over_processes(parts: list[Statistics]) -> Statistics:
    """The step's statistics from those of this process's parts. Differentiable in ``assignment``."""
    assignment, teacher_mean, normaliser = zip(*parts, strict=True)
    return Statistics(
        mean_over_processes(sum(assignment)),
        None if teacher_mean[0] is None else mean_over_processes(sum(teacher_mean)),
        None if normaliser[0] is None else logsumexp_over_processes(torch.stack(normaliser).logsumexp(dim=0)),
    )
