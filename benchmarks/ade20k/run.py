"""Semantic FPN on ADE20K, from a canonical checkpoint to mIoU."""

from __future__ import annotations

import dataclasses
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.ade20k.dataset import Ade20kRoot
from benchmarks.ade20k.intervals import interval
from benchmarks.ade20k.scoring import count_folder, scores
from benchmarks.backbones.patches import PATCHES
from benchmarks.checkpoints.canonical import read_canonical, read_card
from benchmarks.configs import third_party_configs
from benchmarks.core.forecast import memory_lines
from benchmarks.core.settings import flag, option
from benchmarks.engines import mmseg as engine
from benchmarks.engines.adaptation import Adaptation, widths_of
from benchmarks.engines.schedule import share
from benchmarks.errors import InputError
from benchmarks.files import write_json

CONFIGS = third_party_configs("mmseg")
RECIPES = ("released", "corrected")

SPLIT_OF = {"train_dataloader": "training", "test_dataloader": "validation"}

#: mmseg prints two digits.
ROUNDING = 0.0051


@dataclass(frozen=True)
class Options:
    """What a run may be told. The defaults are those of scale ``paper``; the released comment leaves batch 16 or 32."""

    iterations: int = option(40_000, "updates in all")
    batch: int = option(16, "images an update, over all devices")
    learning_rate: float = option(6e-5, "AdamW's")
    recipe: str = option("released", "as released, or corrected", RECIPES)
    patches: str = option("resample", "patches of 14 pixels: their kernel resampled to 16, or images padded", PATCHES)
    per_device: int | None = option(
        None, "images a device takes at a time; gradients are accumulated to the batch", launch=True
    )
    checkpointing: bool = option(False, "recompute the backbone's activations: less memory, more time", launch=True)

    def __post_init__(self) -> None:
        for name in ("iterations", "batch", "learning_rate", "per_device"):
            if (value := getattr(self, name)) is not None and not value > 0:
                raise InputError(f"{flag(name)} is {value}: give more than 0")

    @property
    def adaptation(self) -> Adaptation:
        """What the backbone is told."""
        return Adaptation(self.patches, self.checkpointing)


SCALES = {"paper": Options(), "mini": Options(iterations=100, batch=4, learning_rate=3e-3)}


def config_file(scale: str, recipe: str) -> Path:
    """The config of a scale and a recipe."""
    return CONFIGS / f"semantic_fpn_{recipe}{'_mini' if scale == 'mini' else ''}.py"


def run(
    checkpoint: str | os.PathLike[str],
    data: Ade20kRoot,
    out: str | os.PathLike[str],
    scale: str,
    options: Options,
    seed: int = 0,
    launcher: str = "none",
    devices: int = 1,
    frozen: bool | None = None,
    progress: bool = True,
    config: str | os.PathLike[str] | None = None,
) -> dict[str, Any]:
    """Train on ``training``, predict ``validation``, score its files; return metrics, interval and what was run.

    ``out`` gets the snapshot, ``losses.jsonl`` and ``predictions/STEM.png``; a run that finds its own snapshot there
    goes on from it. ``config`` replaces the scale's and the recipe's, ``frozen`` the config's. Raises
    :class:`InputError` for data, options or a checkpoint that cannot be used.
    """
    start, out, config = time.monotonic(), Path(out), Path(config or config_file(scale, options.recipe))
    engine.require_mmseg()
    architecture = read_canonical(checkpoint)[1].architecture
    changes = _changes(data, out, options, devices) | _model_changes(options, len(data.classes), architecture)
    if frozen is not None:
        changes["model.backbone.frozen"] = frozen
    runner = engine.train(config, checkpoint, out, changes, seed, progress=progress, launcher=launcher)
    reported = engine.test(runner)
    per_image = count_folder(data, out / "predictions")
    metrics = scores(per_image.sum(axis=0), data.classes)
    for name in ("mIoU", "mAcc", "aAcc"):
        if metrics[name] is not None and abs(reported[name] - metrics[name]) > ROUNDING:
            raise RuntimeError(f"mmseg says {name} {reported[name]}, the files it wrote say {metrics[name]:.4f}")
    return {
        "metrics": metrics,
        "interval": interval(per_image),
        "run": {
            "config": config.name,
            "recipe": options.recipe,
            "options": dataclasses.asdict(options),
            "frozen": runner.cfg.model.backbone.frozen,
            "train_images": len(data.stems["training"]),
            "val_images": len(data.stems["validation"]),
            "devices": devices,
            "seed": seed,
            "seconds": round(time.monotonic() - start, 3),
        },
    }


def memory(checkpoint: Path, scale: str, options: Options, classes: int, devices: int) -> list[str]:
    """What a plan says of the peak memory of a run with these options."""
    from benchmarks.engines.memory import Pass, segmenter_peak

    config = engine.read_config(config_file(scale, options.recipe))
    images = share(options.batch, options.per_device, devices)
    told = Pass(images, tuple(config["crop_size"]), accumulated=options.batch > images * devices, devices=devices)
    changes = {
        **_model_changes(options, classes, read_card(checkpoint).architecture),
        "model.backbone.checkpoint": str(checkpoint),
    }
    asked = {"model": config["model"], "changes": changes, "pass": dataclasses.asdict(told)}
    return memory_lines(checkpoint, asked, lambda: segmenter_peak(config, changes, told).line())


def _model_changes(options: Options, classes: int, architecture: Any) -> dict[str, Any]:
    return {
        "model.backbone.patches": options.patches,
        "model.backbone.checkpointing": options.checkpointing,
        "model.neck.in_channels": widths_of(architecture),
        "model.decode_head.num_classes": classes,
    }


def _changes(data: Ade20kRoot, out: Path, options: Options, devices: int) -> dict[str, Any]:
    """Config keys for the data, its classes and the schedule: poly of power 1 to 0, warm-up from 1e-6."""
    per_device = share(options.batch, options.per_device, devices)
    passes = options.batch // (devices * per_device)
    changes = data_changes(data, out) | {
        "optim_wrapper.accumulative_counts": passes,
        "train_dataloader.batch_size": per_device,
        "train_cfg.max_iters": options.iterations * passes,
        "optim_wrapper.optimizer.lr": options.learning_rate,
    }
    # mmengine counts passes, not updates.
    end, warm_up = options.iterations * passes, min(1500, options.iterations // 10) * passes
    poly = {"type": "PolyLR", "power": 1.0, "eta_min": 0.0, "by_epoch": False, "begin": warm_up, "end": end}
    warming = {"type": "LinearLR", "start_factor": 1e-6, "by_epoch": False, "begin": 0, "end": warm_up}
    changes["param_scheduler"] = [warming, poly] if warm_up else [poly]
    return changes


def data_changes(data: Ade20kRoot, out: Path) -> dict[str, Any]:
    """Config keys that point a config to a data set and its own classes; predictions go to ``out/predictions``."""
    changes: dict[str, Any] = {
        "model.decode_head.num_classes": len(data.classes),
        "test_evaluator.output_dir": str(out / "predictions"),
    }
    for loader in SPLIT_OF:
        changes[f"{loader}.dataset.type"] = "PairedImages"
        changes[f"{loader}.dataset.ann_file"] = str(_write_pairs(data, out, SPLIT_OF[loader]).resolve())
        changes[f"{loader}.dataset.data_root"] = str(data.path)
        changes[f"{loader}.dataset.metainfo"] = {"classes": list(data.classes)}
        changes[f"{loader}.dataset.reduce_zero_label"] = bool(data.first_label)
    return changes


def _write_pairs(data: Ade20kRoot, out: Path, split: str) -> Path:
    """The list of images and label maps that the engine reads: the one that was checked."""
    file = out / f"{split}.json"
    write_json(file, [[str(path) for path in pair] for pair in data.pairs[split].values()])
    return file
