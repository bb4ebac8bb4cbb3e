"""One training step, from views to updated student and teacher. The trainer and the replay test share it."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from pretrain.data import Batch
from pretrain.instance import InstanceNetwork, pair_views, with_both_globals
from pretrain.meanshift import select_queries
from pretrain.networks import Clustered, Network, update_teacher
from pretrain.objective import Losses, Objective, Statistics, over_processes
from pretrain.previous_stage import PreviousStage


@dataclass(frozen=True)
class StepValues:
    """Every scheduled value of one step."""

    lr: float
    weight_decay: float
    momentum_teacher: float
    teacher_temp: float
    sa_temperature: float
    ca_temperature: float
    coefficients: tuple[float, float, float]
    clip: float
    last_layer_frozen: bool
    own_share: float = 1.0  # of the attention of Eq. 12; the previous stage has the rest
    in_place: bool = False  # positives at the projected positions
    centred: bool = False  # retrieval without the tokens' places
    both_globals: bool = False  # of the control: both networks see both global views


class Step:
    """Student, teacher and everything else that a step needs, as one thing.

    ``wrapped`` is the student inside DistributedDataParallel, where there are several processes. ``scaler`` scales
    the loss for fp16.
    """

    wrapped: Any  # only DistributedDataParallel has no_sync, and only it is asked

    def __init__(
        self,
        student: Network,
        teacher: Network,
        objective: Objective,
        wrapped: nn.Module | None = None,
        previous: PreviousStage | None = None,
        autocast: contextlib.AbstractContextManager | None = None,
        scaler: torch.amp.GradScaler | None = None,
    ) -> None:
        self.student, self.teacher, self.objective = student, teacher, objective
        self.wrapped, self.previous, self.scaler = wrapped or student, previous, scaler
        self.autocast = autocast or contextlib.nullcontext()
        self.optimizer = torch.optim.AdamW(parameter_groups(student), lr=0.0, fused=True)

    def backward(self, parts: list[Batch], values: StepValues, weights: list[float]) -> tuple[Losses, Statistics]:
        """Put the gradient of Eq. 13 over all ``parts`` into the student; return this process's share of the losses.

        ``weights`` are the parts' numbers of queries over the mean number a process: their mean over the processes
        sums to one, and so does that of the losses. With one part, one forward; with more, and an objective that
        couples queries, the forwards run once more beforehand without gradients, for the statistics.
        """
        self.student.train()
        self.teacher.eval()
        self.optimizer.zero_grad(set_to_none=True)
        statistics, seen = None, []
        if len(parts) > 1 and self.objective.couples_queries:
            with torch.no_grad(), self.autocast:
                for part, weight in zip(parts, weights, strict=True):
                    student, teacher_logits = self._forward(self.student, part, values)
                    seen.append(self.objective.statistics(student.logits, teacher_logits, values.teacher_temp, weight))
            statistics = over_processes(seen)
        sums: list[torch.Tensor] = []
        for index, (part, weight) in enumerate(zip(parts, weights, strict=True)):
            last = index == len(parts) - 1
            with contextlib.nullcontext() if last or self.wrapped is self.student else self.wrapped.no_sync():
                with self.autocast:
                    student, teacher_logits = self._forward(self.wrapped, part, values)
                losses, found = self.objective(
                    student.tokens,
                    student.modes,
                    student.logits,
                    teacher_logits,
                    values.teacher_temp,
                    values.coefficients,
                    weight,
                    statistics,
                )
                (losses.total if self.scaler is None else self.scaler.scale(losses.total)).backward()
            sums.append(weight * torch.stack([losses.intra.detach(), losses.inter.detach()]))
            seen.append(found)
        intra, inter = torch.stack(sums).sum(dim=0)
        volume = losses.volume.detach()
        v, eta, gamma = values.coefficients
        statistics = seen[-1] if self.objective.couples_queries else over_processes(seen)
        return Losses(v * intra + eta * inter + gamma * volume, intra, inter, volume), statistics

    def _forward(self, student: nn.Module, batch: Batch, values: StepValues) -> tuple[Clustered, torch.Tensor]:
        """Both networks on one batch: what the student found, and the teacher's logits ``[M, K]`` for it."""
        if isinstance(self.teacher, InstanceNetwork):
            images = len(batch.teacher)
            batch = with_both_globals(batch) if values.both_globals else batch
            found = student(batch.views, batch.queries, values.sa_temperature, batch.draws)
            return pair_views(found, self.teacher.answer_views(batch.teacher), images, values.both_globals)
        found = student(batch.views, batch.queries, values.sa_temperature, batch.draws)
        if values.in_place:
            return found, self.teacher.answer_in_place(batch.teacher, batch.views, batch.queries, batch.boxes)
        groups = found.groups
        if values.centred:
            groups = [
                group - select_queries(self.student.places(view.shape[-1]).expand(len(chosen), -1, -1), chosen)
                for group, view, chosen in zip(groups, batch.views, batch.queries, strict=True)
            ]
        attention = self.previous.attention(batch.plain, batch.queries) if self.previous else None
        return found, self.teacher.answer(
            batch.teacher, groups, values.ca_temperature, attention, values.own_share, values.centred
        )

    @torch.no_grad()
    def gradient_norms(self) -> torch.Tensor:
        """Norm of each parameter's gradient ``[P]``, before clipping; loss scaling undone. Stays on the device."""
        if self.scaler is not None:
            self.scaler.unscale_(self.optimizer)
        return torch.stack(torch._foreach_norm(self._gradients()))

    def _gradients(self) -> list[torch.Tensor]:
        return [p.grad for p in self.student.parameters() if p.grad is not None]

    @torch.no_grad()
    def update(self, values: StepValues, statistics: Statistics, norms: torch.Tensor) -> None:
        """Clip each gradient by its norm, freeze the last layer, step AdamW, move teacher and centre.

        Only queues work: the host never waits in here.
        """
        if values.clip:
            clip_each_gradient(self._gradients(), norms, values.clip)
        if values.last_layer_frozen:
            for name, parameter in self.student.named_parameters():
                if "last_layer" in name:
                    parameter.grad = None
        for index, group in enumerate(self.optimizer.param_groups):
            group["lr"] = values.lr
            if index == 0:
                group["weight_decay"] = values.weight_decay
        if self.scaler is None:
            self.optimizer.step()
        else:
            self.scaler.step(self.optimizer)
            self.scaler.update()
        update_teacher(self.teacher, self.student, values.momentum_teacher)
        self.objective.move_center(statistics)


def parameter_groups(network: nn.Module) -> list[dict]:
    """AdamW groups: weight decay for matrices, none for biases and one-dimensional parameters (norms)."""
    trained = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
    plain = [p for name, p in trained if name.endswith(".bias") or p.ndim == 1]
    decayed = [p for name, p in trained if not (name.endswith(".bias") or p.ndim == 1)]
    return [{"params": decayed}, {"params": plain, "weight_decay": 0.0}]


def clip_each_gradient(gradients: list[torch.Tensor], norms: torch.Tensor, limit: float) -> None:
    """Scale each parameter's gradient to a norm of at most ``limit``: per parameter, not over all (as published).

    ``norms`` ``[P]`` stay where they are, in fp32 as in the published program; a factor of 1 changes no bit.
    """
    factors = (limit / (norms + 1e-6)).clamp(max=1.0)
    torch._foreach_mul_(gradients, list(factors.unbind()))
