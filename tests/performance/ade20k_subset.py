"""A few images of ADE20K as a data set of their own, for training and scoring on the same."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from benchmarks.ade20k.dataset import SPLITS, Ade20kRoot, open_ade20k
from benchmarks.ade20k.run import CONFIGS, Options
from benchmarks.errors import InputError

CONFIG = CONFIGS / "semantic_fpn_overfit.py"
OPTIONS = Options(iterations=200, batch=3, learning_rate=1e-3, recipe="corrected")


def write_subset(data: Ade20kRoot, count: int, out: str | os.PathLike[str]) -> Ade20kRoot:
    """Write the first ``count`` images by name, of both splits, as both splits of a folder ``out`` and open it."""
    pairs = sorted((stem, split) for split in SPLITS for stem in data.stems[split])
    if not 0 < count <= len(pairs):
        raise InputError(f"{data.path} has {len(pairs)} images with label maps, {count} are asked for")
    out = Path(out)
    for stem, split in pairs[:count]:
        for target in SPLITS:
            for source, folder in zip(data.pairs[split][stem], ("images", "annotations"), strict=True):
                place = out / folder / target / source.name
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, place)
    shutil.copyfile(data.class_list, out / data.class_list.name)
    return open_ade20k(out)
