"""mmdet as an engine: a canonical checkpoint, a config and COCO-format data in; detections out."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from tqdm import tqdm

from benchmarks.errors import InputError
from benchmarks.files import require_file

if TYPE_CHECKING:
    from benchmarks.coco.recipe import Schedule

#: What the commands call a launcher -> what mmengine calls it.
LAUNCHERS = {"none": "none", "torchrun": "pytorch", "slurm": "slurm"}


def require_mmdet() -> None:
    """:class:`InputError` where mmdet or mmcv's compiled operators are missing, beside a GPU also those for CUDA."""
    try:
        import mmcv.ops
        import mmdet  # noqa: F401
    except ImportError as error:
        raise InputError(f"mmdet cannot be used ({error}): install requirements.txt as the Makefile does") from error
    if torch.cuda.is_available() and mmcv.ops.get_compiling_cuda_version() == "not available":
        raise InputError(
            "mmcv was built without its CUDA operators, but torch finds a GPU: build it again here with nvcc "
            "(or FORCE_CUDA=1), or hide the GPU with CUDA_VISIBLE_DEVICES="
        )


def device_name() -> str:
    """What mmengine trains on here: the first GPU's name, or ``cpu``."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"


def read_config(config_file: str | os.PathLike[str]) -> dict[str, Any]:
    """A config of COCO as plain data; ``recipe``, ``expects`` and ``model`` are there in each."""
    require_mmdet()
    from mmengine.config import Config

    return Config.fromfile(str(require_file(config_file, "config"))).to_dict()


def train(
    config_file: str | os.PathLike[str],
    checkpoint: str | os.PathLike[str],
    out: str | os.PathLike[str],
    changes: dict[str, Any],
    seed: int,
    resume: bool = True,
    progress: bool = True,
    launcher: str = "none",
):
    """Train a detector with verified loading; return mmengine's runner after its last iteration.

    ``changes`` are dotted config keys. A run that finds its own snapshot in ``out`` goes on from it. The
    data must have been checked before: mmdet reads it lazily. ``launcher`` is who started this process: none,
    torchrun or slurm.
    """
    require_mmdet()
    from mmengine.config import Config
    from mmengine.runner import Runner

    config = Config.fromfile(str(require_file(config_file, "config")))
    out = Path(out)
    snapshot = out / "last.pth"
    config.merge_from_dict(
        {
            "work_dir": str(out),
            "launcher": LAUNCHERS[launcher],
            "model.backbone.checkpoint": str(checkpoint),
            # On a GPU it would end the run: bicubic resizing, which learned positions need, has no such backward.
            "randomness": {"seed": seed, "deterministic": not torch.cuda.is_available()},
            "resume": resume and snapshot.exists(),
            "load_from": str(snapshot) if resume and snapshot.exists() else None,
            **changes,
        }
    )
    for hook in config.custom_hooks:
        if hook["type"] in ("LossLog", "TestBar"):
            hook["progress"] = progress
        if hook["type"] == "ReplayedSteps":
            hook["seed"] = seed
    if config.train_dataloader.dataset.type == "ReplayedCoco":
        config.train_dataloader.dataset.seed = seed
    if launcher == "torchrun" and not torch.cuda.is_available():
        # mmengine takes it for granted that every process has a GPU.
        wrapper = {"type": "MMDistributedDataParallel", "broadcast_buffers": False, "device_ids": None}
        config.model_wrapper_cfg = wrapper
        if not torch.distributed.is_initialized():
            torch.distributed.init_process_group("gloo")
    try:
        # Standard output is for results; pycocotools, inside mmdet, talks there.
        with contextlib.redirect_stdout(sys.stderr):
            runner = Runner.from_cfg(config)
            runner.train()
    except InputError as error:
        raise InputError(_own_line(error)) from None
    return runner


def schedule_changes(schedule: Schedule) -> dict[str, Any]:
    """Config keys of a :class:`benchmarks.coco.recipe.Schedule`. mmengine counts passes, not updates.

    Snapshots are taken between updates: accumulated gradients are in no snapshot.
    """
    passes = schedule.accumulation
    changes: dict[str, Any] = {
        "train_dataloader.batch_size": schedule.per_device,
        "train_cfg.max_iters": schedule.passes,
        "optim_wrapper.accumulative_counts": passes,
        "optim_wrapper.optimizer.lr": schedule.learning_rate,
        "param_scheduler": [
            {
                "type": "LinearLR",
                "start_factor": 0.001,
                "by_epoch": False,
                "begin": 0,
                "end": schedule.warm_up * passes,
            },
            {
                "type": "MultiStepLR",
                "by_epoch": False,
                "milestones": [d * passes for d in schedule.drops],
                "gamma": 0.1,
            },
        ],
    }
    if schedule.precision != "fp32":
        changes["optim_wrapper.type"] = "AmpOptimWrapper"
        changes["optim_wrapper.dtype"] = {"fp16": "float16", "bf16": "bfloat16"}[schedule.precision]
        changes["optim_wrapper.loss_scale"] = "dynamic" if schedule.precision == "fp16" else 1.0
    return changes


def test(runner) -> dict[str, float]:
    """The metrics of a trained runner by its config's own evaluator on its config's test data."""
    try:
        return runner.test()
    except InputError as error:
        raise InputError(_own_line(error)) from None


def detect(runner, dataloader_config: dict[str, Any], progress: bool = True) -> list[dict[str, Any]]:
    """Detections of a trained runner on a data set, in COCO's result format, image by image in the data set's order.

    Several processes share the images; the first gets all detections, the others none. Each is ``image_id``,
    ``category_id`` (the annotation file's own), ``bbox`` [x, y, w, h] in pixels of the original image, ``score`` and,
    from a detector with masks, ``segmentation`` (RLE).
    """
    from mmengine.dist import collect_results
    from pycocotools import mask as rle

    with contextlib.redirect_stdout(sys.stderr):
        loader = runner.build_dataloader(dataloader_config)
    categories = loader.dataset.cat_ids
    model = runner.model.eval()
    found = []
    for batch in tqdm(_without_worker_traceback(loader), desc="detections", unit="batch", disable=not progress):
        with torch.inference_mode():
            samples = model.test_step(batch)
        for sample in samples:
            found.append([])
            instances = sample.pred_instances.cpu().numpy()
            masks = instances.masks if "masks" in instances else [None] * len(instances)
            for box, score, label, mask in zip(
                instances.bboxes, instances.scores, instances.labels, masks, strict=True
            ):
                left, top, right, bottom = map(float, box)
                detection = {
                    "image_id": int(sample.img_id),
                    "category_id": int(categories[label]),
                    "bbox": [left, top, right - left, bottom - top],
                    "score": float(score),
                }
                if mask is not None:
                    encoded = rle.encode(np.asfortranarray(mask, dtype=np.uint8))
                    detection["segmentation"] = {"size": encoded["size"], "counts": encoded["counts"].decode()}
                found[-1].append(detection)
    images = collect_results(found, len(loader.dataset)) or []
    return [detection for image in images for detection in image]


def _without_worker_traceback(loader: Iterable) -> Iterable:
    try:
        yield from loader
    except InputError as error:
        raise InputError(_own_line(error)) from None


def _own_line(error: InputError) -> str:
    """A loader process wraps an error into its traceback; the line that matters is the last."""
    return re.split(r"\bInputError: ", str(error).strip())[-1]
