"""A part of the training images: a published list of names, or one image of so many."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePosixPath

import numpy as np

from benchmarks.errors import InputError
from benchmarks.files import require_file
from benchmarks.segmentation.dataset import SegmentationData
from benchmarks.segmentation.settings import DataSettings


def subset(data: SegmentationData, settings: DataSettings) -> SegmentationData:
    """``data`` with the training images that ``settings`` choose; :class:`InputError` for names that are not there."""
    train = data.train
    if settings.train_list:
        file = require_file(settings.train_list, "list of training images")
        names = [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
        known = {key: pair for pair in train for key in (pair.name, PurePosixPath(pair.name).name)}
        if absent := [name for name in names if _stem(name) not in known]:
            raise InputError(
                f"{file} names {len(absent)} of {len(names)} images that {data.root}/images/train does not have, for "
                f"instance {absent[0]}"
            )
        train = tuple(known[_stem(name)] for name in dict.fromkeys(names))
    if settings.fraction < 1:
        raise InputError(f"--fraction is {settings.fraction}: train on one image of so many, 1 or more")
    if settings.fraction > 1:
        count = max(1, len(train) // settings.fraction)
        chosen = np.random.default_rng(settings.fraction_seed).permutation(len(train))[:count]
        train = tuple(train[index] for index in sorted(chosen))
    if not train:
        raise InputError(f"{settings.train_list} names no training image: give one a line")
    return replace(data, train=train)


def _stem(name: str) -> str:
    path = PurePosixPath(name)
    return str(path.with_suffix("")) if path.suffix.lower() in (".jpg", ".jpeg", ".png") else name
