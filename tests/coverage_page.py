"""Every family of networks in every benchmark: the page ``docs/coverage.md``, made by asking and trying.

PYTHONPATH=. python tests/coverage_page.py --write docs/coverage.md
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT)]

from benchmarks.checkpoints.card import Architecture, ResNetArchitecture  # noqa: E402
from benchmarks.controls import write_random_control  # noqa: E402
from benchmarks.core.model import Model, load_model  # noqa: E402
from benchmarks.core.task import Task  # noqa: E402
from benchmarks.core.tasks import tasks  # noqa: E402
from benchmarks.errors import InputError  # noqa: E402

PAGE = ROOT / "docs" / "coverage.md"
VIT = Architecture(48, 4, 3, 16, 64, class_token=True, position_prefix_rows=1)
NO_CLASS = dataclasses.replace(VIT, class_token=False, position_prefix_rows=0)
DINOV2 = dataclasses.replace(VIT, patch_size=14, image_size=56, layer_scale=True)
DINOV3 = dataclasses.replace(
    VIT, position="rope", position_prefix_rows=0, registers=4, layer_scale=True, eps=1e-5, image_size=64
)
SWIN = {"embed_dim": 12, "depths": [1, 1, 2, 1], "num_heads": [1, 2, 3, 4], "window_size": 2, "img_size": 64}
CONVNEXT = {"dims": [8, 16, 24, 32], "depths": [1, 1, 2, 1]}
EVA02 = {"depth": 4, "embed_dim": 48, "num_heads": 3, "img_size": 56}

#: Family -> its tiny network: a ViT of the house, a ResNet, or an architecture of timm's with its arguments.
FAMILIES: dict[str, Architecture | ResNetArchitecture | tuple[str, dict[str, Any]]] = {
    "FLSL": NO_CLASS,
    "DINO": VIT,
    "iBOT": VIT,
    "MAE": VIT,
    "MoCo-v3": VIT,
    "DINOv2": DINOV2,
    "DINOv2 with registers": dataclasses.replace(DINOV2, registers=4),
    "DINOv2-g (SwiGLU)": dataclasses.replace(DINOV2, mlp="swiglu", activation="silu", mlp_hidden=96),
    "DINOv3 ViT": DINOV3,
    "DINOv3 ConvNeXt": ("convnext_tiny", CONVNEXT),
    "EVA-02": ("eva02_tiny_patch14_224", EVA02),
    "SigLIP2": dataclasses.replace(NO_CLASS, activation="gelu-tanh"),
    "I-JEPA": NO_CLASS,
    "Swin": ("swin_tiny_patch4_window7_224", SWIN),
    "ResNet": ResNetArchitecture(8, (1, 1, 1, 1), (4, 8, 12, 16), (16, 32, 48, 64)),
}
#: No benchmark of a checkpoint: it pretrains.
LEFT_OUT = ("knn-of-pretraining",)
IMAGES = (1, 3, 64, 128)


def write_network(network: Any, folder: Path) -> Path:
    """A canonical checkpoint with random weights, or a folder as timm writes it."""
    path = folder / "c.safetensors"
    if isinstance(network, Architecture):
        write_random_control(path, 0, network)
        return path
    if isinstance(network, ResNetArchitecture):
        from checkpoint_files import random_tensors

        from benchmarks.checkpoints.canonical import write_canonical
        from benchmarks.checkpoints.card import SIZE_RESIZE, Card

        write_canonical(path, random_tensors(network), Card("unknown", network, SIZE_RESIZE))
        return path
    import timm
    from safetensors.torch import save_file

    from benchmarks.checkpoints.convert import convert

    name, arguments = network
    torch.manual_seed(0)
    made = timm.create_model(name, num_classes=0, **arguments)
    save_file({k: v.contiguous().clone() for k, v in made.state_dict().items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"architecture": name, "model_args": arguments}))
    convert(folder, path)
    return path


@cache
def parsed(config: Any) -> Any:
    """A config with its bases, which take longer to read than the networks to run."""
    from mmengine.config import Config

    return Config.fromfile(str(config))


def engine_maps(config: Path, model: Model, adaptation: Any, registry: str) -> None:
    """Build the backbone and neck of a config for the checkpoint, load the weights, and run both once."""
    import importlib

    from mmengine.registry import init_default_scope

    from benchmarks.engines.mmdet import model_changes

    found = copy.deepcopy(parsed(str(config)))
    init_default_scope(registry)
    models = importlib.import_module(f"{registry}.registry").MODELS
    changes = model_changes(found.model, model.card.architecture, adaptation)
    found.merge_from_dict({"model.backbone.checkpoint": str(model.checkpoint), **changes})
    backbone, neck = models.build(found.model.backbone).eval(), models.build(found.model.neck).eval()
    backbone.init_weights()
    assert backbone.differences() == []
    with torch.inference_mode():
        maps = neck(backbone(torch.randn(IMAGES)))
    assert all(torch.isfinite(one).all() for one in maps)


def try_coco(task: Any, model: Model) -> None:
    settings = task.settings("mini")
    adaptation, _ = task.adapt(model.card, settings, {}, "mini")
    engine_maps(task.config(model, settings, "mini"), model, adaptation, "mmdet")


def try_uavdt(task: Any, model: Model) -> None:
    from benchmarks.uavdt.run import CONFIG

    engine_maps(CONFIG["mini"], model, task.settings("mini").adaptation, "mmdet")


def try_visdrone(task: Any, model: Model) -> None:
    from benchmarks.visdrone.run import CONFIG

    engine_maps(CONFIG["mini"], model, task.settings("mini").adaptation, "mmdet")


def try_ade20k(task: Any, model: Model) -> None:
    from benchmarks.ade20k.run import config_file

    settings = task.settings("mini")
    engine_maps(config_file("mini", settings.recipe), model, settings.adaptation, "mmseg")


def try_davis(task: Any, model: Model) -> None:
    from benchmarks.davis.encoder import backbone_encoder

    encoder = backbone_encoder(model.module, model.card)
    step = encoder.multiple or encoder.patch_size
    sides = [-(-side // step) * step for side in IMAGES[2:]]
    with torch.inference_mode():
        assert torch.isfinite(encoder(torch.randn(1, 3, *sides))).all()


def try_features(task: Any, model: Model) -> None:
    sides = [-(-side // model.patch_size) * model.patch_size for side in IMAGES[2:]]
    (found,) = model.features(torch.randn(1, 3, *sides))
    assert found.shape[1:3] == tuple(side // model.patch_size for side in sides)
    assert torch.isfinite(found).all()


TRIALS: dict[str, Callable[[Any, Model], None]] = {
    "coco-mask-rcnn": try_coco,
    "coco-mask-rcnn-frozen": try_coco,
    "coco-vitdet": try_coco,
    "coco-vitdet-frozen": try_coco,
    "uavdt": try_uavdt,
    "visdrone": try_visdrone,
    "ade20k": try_ade20k,
    "davis": try_davis,
}


def judged() -> dict[str, Task[Any, Any]]:
    return {name: task for name, task in tasks().items() if name not in LEFT_OUT}


def cells(model: Model) -> Iterator[tuple[str, str]]:
    """Task -> an empty text where the network ran, else why it cannot be judged."""
    tried: dict[Any, None] = {}
    for name, task in judged().items():
        try:
            task.suit(model, task.settings("mini"), "mini")
        except InputError as error:
            yield name, str(error).replace(str(model.checkpoint), "the checkpoint")
            continue
        trial = TRIALS.get(task.benchmark, try_features)
        # Tasks of one benchmark differ in protocols, and not in what a network must do.
        key = (trial, task.benchmark if trial is try_coco else trial)
        if key not in tried:
            trial(task, model)
            tried[key] = None
        yield name, ""


def table(folder: Path) -> dict[str, dict[str, str]]:
    """Family -> task -> reason."""
    from benchmarks.engines import mmdet, mmseg

    found: dict[str, dict[str, str]] = {}
    done: dict[str, dict[str, str]] = {}
    with mock.patch.object(mmdet, "read_config", parsed), mock.patch.object(mmseg, "read_config", parsed):
        for number, (family, network) in enumerate(FAMILIES.items()):
            if str(network) not in done:  # several families are the same network
                place = folder / str(number)
                place.mkdir()
                model = load_model(write_network(network, place), name="the checkpoint")
                done[str(network)] = dict(cells(model))
                print(f"{family}: {done[str(network)]}", file=sys.stderr)
            found[family] = done[str(network)]
    return found


def page(found: dict[str, dict[str, str]]) -> str:
    names = list(judged())
    reasons = list(dict.fromkeys(reason for row in found.values() for reason in row.values() if reason))
    lines = ["# Which networks are judged by what", ""]
    lines += ["Made by `python tests/coverage_page.py --write docs/coverage.md`, which builds each benchmark's network"]
    lines += ["with tiny random weights of each family at scale mini and runs it once; a test holds this page to it."]
    lines += ["Patches of 14 pixels run as they are in frozen tasks; detectors and segmenters resample them to 16,"]
    lines += ["or pad images (`--patches pad`).", ""]
    lines += ["| task | " + " | ".join(found) + " |", "| --- |" + " --- |" * len(found)]
    for name in names:
        marks = [f"({reasons.index(row[name]) + 1})" if row[name] else "yes" for row in found.values()]
        lines.append(f"| `{name}` | " + " | ".join(marks) + " |")
    lines += ["", *(f"({number}) {reason}" for number, reason in enumerate(reasons, start=1))]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, default=PAGE)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        args.write.write_text(page(table(Path(folder))), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
