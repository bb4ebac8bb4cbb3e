"""Chance as a function of the seed and the step: a run that was killed and goes on draws what it would have drawn.

Importing this module imports mmdet; configs name it in their ``custom_imports``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mmdet.datasets import CocoDataset
from mmdet.registry import DATA_SAMPLERS, DATASETS, HOOKS
from mmengine.dataset import InfiniteSampler
from mmengine.dist import get_rank
from mmengine.hooks import Hook

from benchmarks.engines.chance import seed_all


@DATA_SAMPLERS.register_module()
class NumberedSampler(InfiniteSampler):
    """mmengine's infinite shuffle, each index with the number of its draw: ``draw * len(dataset) + index``.

    The draws of all processes are counted together, so that no two share their chance.
    """

    def _infinite_indices(self) -> Iterator[int]:
        for draw, index in enumerate(super()._infinite_indices()):
            yield draw * self.size + index


@DATASETS.register_module()
class ReplayedCoco(CocoDataset):
    """COCO for :class:`NumberedSampler`: the augmentation of a draw is a function of ``seed`` and the draw's number."""

    def __init__(self, *args: Any, seed: int = 0, **kwargs: Any) -> None:
        self.seed = seed
        super().__init__(*args, **kwargs)

    def __getitem__(self, number: int) -> dict:
        draw, index = divmod(number, len(self))
        seed_all(self.seed, 1, draw)
        return super().__getitem__(index)


@HOOKS.register_module()
class ReplayedSteps(Hook):
    """The chance inside the model (drop path, samples of regions) is a function of seed, step and process."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        seed_all(self.seed, 2, runner.iter, get_rank())
