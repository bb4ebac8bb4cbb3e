"""A detector or segmenter that was trained elsewhere, in mmengine: built for its weights, and nothing is trained."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping
from typing import Any

import torch

from benchmarks.checkpoints.canonical import read_canonical
from benchmarks.devices import say_once
from benchmarks.engines.mmcv_ops import operators
from benchmarks.engines.mmengine_run import run_config
from benchmarks.engines.pixels import pixel_statistics
from benchmarks.errors import InputError

#: Of a difference so many names are shown; all are counted.
NAMED = 3


def build(
    config_file: str | os.PathLike[str],
    checkpoint: str | os.PathLike[str],
    out: str | os.PathLike[str],
    changes: Mapping[str, Any],
    progress: bool = True,
):
    """mmengine's runner of a config's network for the architecture of ``checkpoint`` (canonical), without training.

    Weights are those of the initialisation until :func:`load` puts others in their place.
    """
    from mmengine.runner import Runner

    config = run_config(config_file)
    mean, std = pixel_statistics(read_canonical(checkpoint)[1])
    config.merge_from_dict(
        {
            "work_dir": str(out),
            "model.backbone.checkpoint": str(checkpoint),
            "model.data_preprocessor.mean": mean,
            "model.data_preprocessor.std": std,
            **changes,
        }
    )
    for name in ("train_dataloader", "train_cfg", "optim_wrapper", "param_scheduler"):
        config[name] = None
    config.custom_hooks = [{"type": "TestBar", "progress": progress}] if config.get("test_cfg") else []
    with contextlib.redirect_stdout(sys.stderr):
        runner = Runner.from_cfg(config)
    say_once(f"mmcv's operators: {operators()}")
    runner.model.eval()
    return runner


def load(model: torch.nn.Module, tensors: Mapping[str, torch.Tensor], sources: Mapping[str, str], where: str) -> None:
    """Copy ``tensors`` into ``model``, all of both; :class:`InputError` with every difference, counted, in one line.

    ``sources``: what the file calls each tensor.
    """
    held = model.state_dict()
    odd = [f"{sources[name]} {list(tensors[name].shape)}" for name in tensors if name not in held]
    missing = [name for name in held if name not in tensors]
    shapes = [
        f"{sources[name]} is {list(tensors[name].shape)} and must be {list(held[name].shape)}"
        for name in tensors
        if name in held and tensors[name].shape != held[name].shape
    ]
    broken = [
        sources[name]
        for name, tensor in tensors.items()
        if tensor.is_floating_point() and not torch.isfinite(tensor).all()
    ]
    faults = [
        f"{len(names)} {what} ({', '.join(names[:NAMED])}{', ...' if len(names) > NAMED else ''})"
        for names, what in (
            (missing, "tensors of the network are not in it"), (odd, "of its tensors have no place"),
            (shapes, "have another shape"), (broken, "hold NaN or infinity"),
        )
        if names
    ]  # fmt: skip
    if faults:
        raise InputError(f"{where} does not fit: {'; '.join(faults)}")
    model.load_state_dict(dict(tensors), strict=True)
