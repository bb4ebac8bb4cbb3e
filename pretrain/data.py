"""Images from a folder tree, in an order and with views that depend on (seed, epoch, image) alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch.utils.data import DataLoader, Dataset

from benchmarks.errors import InputError
from benchmarks.files import require_folder
from pretrain.config import Config
from pretrain.views import ViewMaker, Views

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm"}


class Batch(NamedTuple):
    """A step's input. ``views[s]``/``queries[s]`` stack the student's views of one size, view by view."""

    teacher: torch.Tensor  # [B, 3, S, S]
    views: list[torch.Tensor]  # [V*B, 3, s, s] for each size
    queries: list[torch.Tensor]  # [V*B, Q] for each size
    broken: list[str]  # images that could not be decoded and were left out


def list_images(root: str | Path) -> list[Path]:
    """Every image file under ``root``, sorted; :class:`InputError` when there is none."""
    root = require_folder(root, "image folder (data.root)")
    paths = sorted(path for path in root.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not paths:
        raise InputError(f"{root} holds no images ({', '.join(sorted(SUFFIXES))}): point data.root at an image folder")
    return paths


def open_rgb(path: Path) -> Image.Image:
    """Decode an image of any mode, upright by its EXIF tag, as RGB. Raises OSError when it is broken."""
    try:
        with Image.open(path) as image:
            return ImageOps.exif_transpose(image).convert("RGB")
    except (UnidentifiedImageError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise OSError(str(error)) from error


class ViewsDataset(Dataset):
    """``(epoch, index)`` -> :class:`Views`, or the path of the image when it cannot be decoded."""

    def __init__(self, config: Config) -> None:
        self.paths = list_images(config.data.root)
        self.seed = config.run.seed
        self.maker = ViewMaker(config.model, config.views)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, item: tuple[int, int]) -> Views | str:
        epoch, index = item
        try:
            image = open_rgb(self.paths[index])
        except OSError:
            return str(self.paths[index])
        return self.maker(image, np.random.default_rng((self.seed, epoch, index)))


def collate(items: list[Views | str]) -> Batch:
    """Stack the views of one step; broken images are named, not replaced."""
    broken = [item for item in items if isinstance(item, str)]
    views = [item for item in items if not isinstance(item, str)]
    if not views:
        raise InputError(f"no image of a batch could be decoded, {broken[0]} among them: check data.root")
    count = len(views[0].student)
    groups = [[0], list(range(1, count))] if count > 1 else [[0]]
    return Batch(
        teacher=torch.stack([view.teacher for view in views]),
        views=[torch.stack([view.student[i] for i in group for view in views]) for group in groups],
        queries=[torch.stack([view.queries[i] for i in group for view in views]) for group in groups],
        broken=broken,
    )


class EpochBatches:
    """Batch sampler: the same global batches for any number of processes, startable at any step.

    With ``W`` processes and ``B`` images each, a step's ``W * B`` images are those that one process
    with ``W * B`` would take. The last, incomplete batch of an epoch is left out.
    """

    def __init__(self, images: int, config: Config, rank: int, world: int) -> None:
        self.images, self.rank, self.world = images, rank, world
        self.batch, self.seed = config.run.batch, config.run.seed
        self.epoch, self.first = 0, 0

    def __len__(self) -> int:
        return self.images // (self.batch * self.world)

    def start(self, epoch: int, first_step: int) -> None:
        """Say which epoch comes next, and which of its steps is the first to be made."""
        self.epoch, self.first = epoch, first_step

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.images)
        for step in range(self.first, len(self)):
            begin = (step * self.world + self.rank) * self.batch
            yield [(self.epoch, int(index)) for index in order[begin : begin + self.batch]]


def make_loader(config: Config, rank: int, world: int, pin_memory: bool) -> tuple[DataLoader, EpochBatches]:
    """The loader of one process and its sampler; :class:`InputError` when the folder holds less than a batch."""
    dataset = ViewsDataset(config)
    batches = EpochBatches(len(dataset), config, rank, world)
    if len(batches) == 0:
        raise InputError(
            f"{config.data.root} holds {len(dataset)} images, fewer than one global batch of "
            f"{config.run.batch * world}: lower run.batch"
        )
    loader = DataLoader(
        dataset,
        batch_sampler=batches,
        collate_fn=collate,
        num_workers=config.data.workers,
        pin_memory=pin_memory,
    )
    return loader, batches
