"""Batches of views, in an order and with content that depend on (seed, epoch, image) alone."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, cast

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from benchmarks.checkpoints.card import IMAGENET_MEAN, IMAGENET_STD
from benchmarks.errors import InputError
from benchmarks.images import read_rgb
from pretrain.augment_batch import augment_batch, pack
from pretrain.config import Config
from pretrain.images import open_images
from pretrain.signals import shield_worker
from pretrain.views import ViewMaker, Views


class Batch(NamedTuple):
    """Input of a step, or of a part of it. Lists have one entry for each size of student view.

    An entry stacks the ``V`` views of its size view by view: row ``v * B + b`` belongs to image ``b``.
    """

    teacher: torch.Tensor  # [B, 3, S, S]
    views: list[torch.Tensor]  # [V*B, 3, s, s]
    queries: list[torch.Tensor]  # [V*B, Q] token indices
    boxes: Sequence[torch.Tensor] = ()  # [V*B, 4] where the view lies in the teacher's; for projected positives
    draws: list[torch.Tensor] | None = None  # [V*B, depth, 2] uniform numbers; None: no drop path
    plain: Sequence[torch.Tensor] = ()  # teacher's and student's crops before augmentation; for multi-stage training
    drawn: Sequence[torch.Tensor] = ()  # what teacher's and student's views still need, see augment_batch; (): nothing

    def to(self, device: torch.device) -> Batch:
        """On ``device``, images that came as uint8 ``[.., H, W, 3]`` as normalised fp32 ``[.., 3, H, W]``.

        What ``drawn`` asks for is done there, on whole batches.
        """

        def move(tensor: torch.Tensor) -> torch.Tensor:
            tensor = tensor.to(device, non_blocking=True)
            return normalise(tensor) if tensor.dtype == torch.uint8 else tensor

        batch = self
        if self.drawn:
            crops = (crop.to(device, non_blocking=True) for crop in (self.teacher, *self.views))
            teacher, *views = (augment_batch(*each) for each in zip(crops, self.drawn, strict=True))
            batch = self._replace(teacher=teacher, views=views, drawn=())
        return Batch._make(move(x) if torch.is_tensor(x) else x and [move(y) for y in x] for x in batch)

    def tensors(self) -> Iterator[torch.Tensor]:
        """Every tensor of the batch."""
        for field in self:
            yield from [field] if torch.is_tensor(field) else field or ()

    @property
    def query_count(self) -> int:
        """Queries of all student views together."""
        return sum(queries.numel() for queries in self.queries)


class Loaded(NamedTuple):
    """What the loader yields: a batch, or None when nothing could be decoded, and the broken files with reasons."""

    batch: Batch | None
    broken: dict[str, str]


def normalise(images: torch.Tensor) -> torch.Tensor:
    """uint8 ``[B, H, W, 3]`` -> fp32 ``[B, 3, H, W]`` with ImageNet's mean and deviation."""
    mean, std = _mean_and_std(images.device)
    planes = images.permute(0, 3, 1, 2).contiguous()  # while they are bytes: a quarter of the traffic
    return (planes - mean).div_(std)


@functools.cache
def _mean_and_std(device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """In grey levels, ``[3, 1, 1]`` each; kept, because a copy of numbers to a GPU makes the host wait."""
    mean, std = (torch.tensor(x, device=device).mul_(255).view(3, 1, 1) for x in (IMAGENET_MEAN, IMAGENET_STD))
    return mean, std


class ViewsDataset(Dataset):
    """``(epoch, index)`` -> :class:`Views`, or (path, reason) when the image cannot be decoded."""

    def __init__(self, config: Config, augment_later: bool) -> None:
        self.images = open_images(config.data.root)
        self.seed = config.run.seed
        self.maker = ViewMaker(
            config.model,
            config.views,
            bool(config.previous.checkpoint),
            augment_later,
            teacher_drawn=config.objective.both_globals,
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, item: tuple[int, int]) -> Views | tuple[str, str]:
        epoch, index = item
        cv2.setNumThreads(0)  # a loader worker is one process on one core
        try:
            image = read_rgb(self.images[index])
        except InputError as error:
            return str(self.images[index]), str(error)
        return self.maker(image, np.random.default_rng((self.seed, epoch, index)))


def collate(items: list[Views | tuple[str, str]]) -> Loaded:
    """Stack the views of a batch; broken images are named, not replaced."""
    views = [item for item in items if isinstance(item, Views)]
    broken = dict(item for item in items if not isinstance(item, Views))
    if not views:
        return Loaded(None, broken)
    count = len(views[0].student)
    groups = [group for group in ([0], list(range(1, count))) if group]
    # A teacher's view that the student sees too is the first of the global ones there.
    drawn_groups = [[count, 0], *groups[1:]] if len(views[0].draws) > count else groups

    def stack(arrays: list[np.ndarray]) -> torch.Tensor:
        return torch.from_numpy(np.stack(arrays))

    def by_size(name: str) -> list[torch.Tensor]:
        return [stack([getattr(view, name)[i] for i in group for view in views]) for group in groups]

    def teacher_and_by_size(name: str, together: Callable[[list], torch.Tensor]) -> list[torch.Tensor]:
        if not getattr(views[0], name):
            return []
        places = [[0], *([1 + i for i in group] for group in groups)]
        return [together([getattr(view, name)[i] for i in group for view in views]) for group in places]

    batch = Batch(
        teacher=stack([view.teacher for view in views]),
        views=by_size("student"),
        queries=by_size("queries"),
        boxes=by_size("boxes"),
        draws=[stack([view.draws[i] for i in group for view in views]) for group in drawn_groups],
        plain=teacher_and_by_size("plain", stack),
        drawn=teacher_and_by_size("drawn", pack),
    )
    return Loaded(batch, broken)


class EpochBatches:
    """Batch sampler: the same steps for any split into processes and parts, startable at any step.

    A step takes ``world * accumulate * batch`` images of a permutation that depends on (seed, epoch). The last,
    incomplete step of an epoch is left out. Each step gives this process ``accumulate`` batches, one after another.
    """

    def __init__(self, images: int, config: Config, rank: int, world: int) -> None:
        self.images, self.rank, self.world = images, rank, world
        self.batch, self.parts, self.seed = config.run.batch, config.run.accumulate, config.run.seed
        self.epoch, self.first = 0, 0

    @property
    def global_batch(self) -> int:
        """Images a step."""
        return self.batch * self.parts * self.world

    @property
    def steps(self) -> int:
        """Steps an epoch."""
        return self.images // self.global_batch

    def __len__(self) -> int:
        return self.steps * self.parts

    def start(self, epoch: int, first_step: int) -> None:
        """Say which epoch comes next, and which of its steps is the first to be made."""
        self.epoch, self.first = epoch, first_step

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.images)
        for step in range(self.first, self.steps):
            for part in range(self.parts):
                begin = step * self.global_batch + (self.rank * self.parts + part) * self.batch
                yield [(self.epoch, int(index)) for index in order[begin : begin + self.batch]]


def make_loader(config: Config, rank: int, world: int, device: torch.device) -> tuple[DataLoader, EpochBatches]:
    """The loader of one process and its sampler; :class:`InputError` when the folder holds less than a step.

    With a GPU as ``device`` the workers cut the crops and :meth:`Batch.to` augments them there, unless
    ``data.augment_on`` says otherwise.
    """
    where = config.data.augment_on
    dataset = ViewsDataset(config, augment_later=where == "device" or (where == "auto" and device.type == "cuda"))
    batches = EpochBatches(len(dataset), config, rank, world)
    if batches.steps == 0:
        raise InputError(
            f"{config.data.root} holds {len(dataset)} images, fewer than one step of {batches.global_batch} "
            f"({world} processes x {config.run.accumulate} parts x {config.run.batch}): lower run.batch"
        )
    loader = DataLoader(
        dataset,
        batch_sampler=batches,
        collate_fn=collate,
        num_workers=config.data.workers,
        pin_memory=device.type == "cuda",
        persistent_workers=config.data.workers > 0,
        worker_init_fn=shield_worker,
    )
    return loader, batches


def steps_of(loader: DataLoader, step: int, end: int) -> Iterator[list[Loaded]]:
    """The pieces of every global step from ``step`` up to ``end``, of a loader that :func:`make_loader` made."""
    batches = cast(EpochBatches, loader.batch_sampler)
    while step < end:
        epoch, first = divmod(step, batches.steps)
        batches.start(epoch, first)
        loaded = iter(loader)
        for _ in range(first, batches.steps):
            yield [next(loaded) for _ in range(batches.parts)]
            step += 1
