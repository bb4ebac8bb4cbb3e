"""The step of a tiny network, for tests of what it computes."""

from __future__ import annotations

import torch

from pretrain.config import ModelConfig
from pretrain.data import Batch
from pretrain.networks import Network
from pretrain.step import StepValues

MODEL = ModelConfig(
    embed_dim=16,
    depth=3,
    num_heads=2,
    patch_size=4,
    image_size=16,
    clusters=12,
    head_hidden_dim=16,
    head_bottleneck_dim=8,
)
VALUES = StepValues(
    lr=1e-3,
    weight_decay=0.04,
    momentum_teacher=0.9,
    teacher_temp=0.05,
    sa_temperature=0.1,
    ca_temperature=0.2,
    coefficients=(0.1, 1.0, 5.0),
    clip=3.0,
    last_layer_frozen=False,
)


def networks(drop_path=0.0, checkpointing=False):
    torch.manual_seed(0)
    student, teacher = Network(MODEL, drop_path, checkpointing), Network(MODEL).requires_grad_(False)
    for parameter in student.head.mlp.parameters():
        parameter.data.mul_(10)  # away from the start, where all assignments are alike
    return student, teacher


def batch(images, seed=0):
    """``images`` images with one global and two local student views."""
    g = torch.Generator().manual_seed(seed)
    return Batch(
        teacher=torch.randn(images, 3, 16, 16, generator=g),
        views=[torch.randn(n * images, 3, s, s, generator=g) for n, s in ((1, 16), (2, 8))],
        queries=[torch.tensor([[0, 2, 8, 10]]).repeat(images, 1), torch.tensor([[0, 3]]).repeat(2 * images, 1)],
        boxes=[torch.tensor([[0.0, 0.0, 1.0, 1.0]]).repeat(n * images, 1) for n in (1, 2)],
        draws=[torch.rand(n * images, 3, 2, generator=g) for n in (1, 2)],
    )


def take(whole, begin, end):
    """Images ``begin`` to ``end`` of a batch: rows are stacked view by view."""

    def rows(x):
        return x.unflatten(0, (-1, len(whole.teacher)))[:, begin:end].flatten(0, 1)

    lists = {name: [rows(x) for x in getattr(whole, name)] for name in ("views", "queries", "boxes", "draws")}
    return Batch(teacher=whole.teacher[begin:end], **lists)


def gradients(step, parts, weights, values=VALUES):
    losses, statistics = step.backward(parts, values, weights)
    found = {name: p.grad.clone() for name, p in step.student.named_parameters() if p.grad is not None}
    return losses, statistics, found
