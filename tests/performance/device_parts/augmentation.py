"""The trainer's loop with views augmented on the device: a step ahead in a stream of their own, or before it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

import numpy as np
import torch
from pretrain_step import OurStep
from torch.utils.data import DataLoader

from device_parts.book import Row, Size
from device_parts.flsl import BATCH, MODELS, TINY
from device_parts.turns import device, ratio, wait
from pretrain.ahead import Ahead
from pretrain.config import Config
from pretrain.data import Loaded, collate
from pretrain.views import ViewMaker


def augmentation(size: Size) -> Iterator[Row]:
    """One row. The same cropped views come again and again, pinned, so that no loader is measured."""
    where = device()
    config = TINY if size.tiny else Config(model=MODELS["S/16"])
    images, count = (2, 3) if size.tiny else (BATCH, 22)
    maker = ViewMaker(config.model, config.views, augment_later=True)
    pixels = np.random.default_rng(0).integers(0, 255, (4, 320, 400, 3), np.uint8)
    views = [maker(pixels[i % 4], np.random.default_rng(i)) for i in range(images)]
    (loaded,) = DataLoader(views, images, collate_fn=collate, pin_memory=where.type == "cuda")
    ours = OurStep(config, "bf16", False, where)
    taken = {False: [], True: []}
    for _ in range(2):
        for beside in taken:
            taken[beside] += _loop(ours, loaded, count, beside, where)
    before, beside = (round(statistics.median(taken[kind]), 4) for kind in (False, True))
    yield {
        "model": "tiny" if size.tiny else "S/16",
        "batch_images": images,
        "steps_count": len(taken[True]),
        "before_over_beside_ratio": ratio(before, beside),
        "augmented_before_step_ms": before,
        "augmented_beside_step_ms": beside,
    }


def _loop(ours: OurStep, loaded: Loaded, count: int, beside: bool, where: torch.device) -> list[float]:
    """Each step's ms, without the first and the last, which have less to do or more."""
    ahead, taken_ms = Ahead(iter([[loaded]] * count), where), []
    wait(where)
    for _ in range(count):
        start = time.perf_counter()
        (batch,) = ahead.take().parts
        losses, found = ours.work.backward([batch], ours.values, [1.0])
        norms = ours.work.gradient_norms()
        if beside:
            ahead.prepare()
        torch.cat([losses.total[None].float(), norms.float()]).tolist()
        ours.work.update(ours.values, found, norms)
        taken_ms.append(1000 * (time.perf_counter() - start))
    wait(where)
    return taken_ms[1:-1]
