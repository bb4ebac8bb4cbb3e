"""What detectron2 trains on and is tested on: its own mapper, with images, order and chance by the house's rules."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import Dataset, Sampler

from benchmarks.engines.chance import seed_all
from benchmarks.images import read_rgb

if TYPE_CHECKING:
    from benchmarks.coco.dataset import CocoRoot


class Draws(Dataset):
    """The training images that have an object, augmented by detectron2's mapper as a function of seed and draw."""

    def __init__(self, data: CocoRoot, out: Path, augmentations: list, seed: int) -> None:
        from detectron2.data.build import filter_images_with_only_crowd_annotations
        from detectron2.data.datasets import load_coco_json

        with contextlib.redirect_stdout(None):
            entries = load_coco_json(str(data.engine_file("train", out)), str(data.path / "train2017"), "house_train")
            self.entries = filter_images_with_only_crowd_annotations(entries)
        self.map, self.seed = mapper(augmentations, training=True), seed

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, number: int) -> dict[str, Any]:
        draw, index = divmod(number, len(self))
        seed_all(self.seed, 1, draw)
        return self.map(self.entries[index])


class Numbered(Sampler):
    """An endless shuffle from draw ``first`` on, this process's share: ``draw * size + index``."""

    def __init__(self, size: int, seed: int, first: int, rank: int, world: int) -> None:
        self.size, self.seed, self.first, self.rank, self.world = size, seed, first, rank, world

    def __iter__(self) -> Iterator[int]:
        generator, draw = torch.Generator().manual_seed(self.seed), 0
        while True:
            for index in torch.randperm(self.size, generator=generator).tolist():
                if draw >= self.first and draw % self.world == self.rank:
                    yield draw * self.size + index
                draw += 1


def mapper(augmentations: Any, training: bool):
    """detectron2's mapper of a config's augmentations: RGB, masks as polygons or bitmaps, boxes from cropped masks."""
    from detectron2.config import instantiate
    from detectron2.data import DatasetMapper, detection_utils

    # Its own reader makes 16-bit grey white and knows nothing of the other rules of benchmarks.images.
    detection_utils.read_image = lambda path, format: read_rgb(path)
    made = [instantiate(augmentation) for augmentation in augmentations]
    kind = {"use_instance_mask": True, "recompute_boxes": True, "instance_mask_format": "bitmask"} if training else {}
    return DatasetMapper(is_train=training, augmentations=made, image_format="RGB", **kind)
