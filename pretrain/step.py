"""One training step, from views to updated student and teacher. The trainer and the replay test share it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from pretrain.networks import Network, update_teacher
from pretrain.objective import Losses, Objective


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


def parameter_groups(network: nn.Module) -> list[dict]:
    """AdamW groups: weight decay for matrices, none for biases and one-dimensional parameters (norms)."""
    trained = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
    plain = [p for name, p in trained if name.endswith(".bias") or p.ndim == 1]
    decayed = [p for name, p in trained if not (name.endswith(".bias") or p.ndim == 1)]
    return [{"params": decayed}, {"params": plain, "weight_decay": 0.0}]


def compute_losses(
    student: nn.Module,
    teacher: Network,
    objective: Objective,
    teacher_view: torch.Tensor,
    views: list[torch.Tensor],
    queries: list[torch.Tensor],
    values: StepValues,
) -> Losses:
    """Forward both networks and evaluate Eq. 13. ``student`` may be wrapped for distributed training.

    ``teacher_view`` ``[B, 3, S, S]``; ``views`` and ``queries`` as :class:`pretrain.networks.Network` takes them.
    """
    found = student(views, queries, values.sa_temperature)
    teacher_logits = teacher.answer(teacher_view, found.groups, values.ca_temperature)
    return objective(found.tokens, found.modes, found.logits, teacher_logits, values.teacher_temp, values.coefficients)


@torch.no_grad()
def clip_each_gradient(network: nn.Module, limit: float) -> None:
    """Scale each parameter's gradient to a norm of at most ``limit``: per parameter, not over all (as published)."""
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    norms = torch._foreach_norm(gradients)
    for gradient, norm in zip(gradients, norms, strict=True):
        gradient.mul_(torch.clamp(limit / (norm + 1e-6), max=1.0))


def update(network: Network, teacher: Network, optimizer: torch.optim.Optimizer, values: StepValues) -> None:
    """Clip, freeze the last layer, step AdamW and move the teacher. Gradients are in ``network`` already."""
    if values.clip:
        clip_each_gradient(network, values.clip)
    if values.last_layer_frozen:
        for name, parameter in network.named_parameters():
            if "last_layer" in name:
                parameter.grad = None
    for index, group in enumerate(optimizer.param_groups):
        group["lr"] = values.lr
        if index == 0:
            group["weight_decay"] = values.weight_decay
    optimizer.step()
    update_teacher(teacher, network, values.momentum_teacher)
