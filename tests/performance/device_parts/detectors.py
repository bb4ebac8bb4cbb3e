"""Our detectors' training step at the paper's sizes beside mmdet's own Mask R-CNN with ResNet-50, in turns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks.checkpoints.card import Architecture
from benchmarks.configs import third_party_configs
from benchmarks.controls import write_random_control
from benchmarks.engines.mmdet import model_changes, require_mmdet
from device_parts.book import Row, Size
from device_parts.turns import device, host_waits, in_turns, peak_gib, ratio

CONFIGS = third_party_configs("mmdet")
R50 = "mmdet::_base_/models/mask-rcnn_r50_fpn.py"


class Case(NamedTuple):
    """A detector and the pictures it sees: images, height and width in pixels."""

    config: str
    architecture: Architecture
    images: int
    height: int
    width: int


CASES = {
    "Mask R-CNN ViT-S/16": Case("mask_rcnn_vit_s16_fpn_1x_coco.py", Architecture(384, 12, 6, 16, 224), 8, 800, 1216),
    "Mask R-CNN ViT-S/8": Case("mask_rcnn_vit_s8_fpn_1x_coco.py", Architecture(384, 12, 6, 8, 224), 2, 800, 1216),
    "ViTDet ViT-B/16": Case("mask_rcnn_vitdet_b16_100ep_coco.py", Architecture(768, 12, 12, 16, 224), 4, 1024, 1024),
}
_SMALL = Architecture(128, 4, 4, 8, 96)
TINY = {
    "Mask R-CNN tiny": Case("mask_rcnn_vit_fpn_mini.py", _SMALL, 1, 96, 96),
    "ViTDet tiny": Case("mask_rcnn_vitdet_mini.py", _SMALL, 1, 160, 160),
}


def steps(size: Size) -> Iterator[Row]:
    """A row a detector; the ratio is the ResNet's time over ours, on the same pictures and in the same precision."""
    require_mmdet()
    where, repeats = device(), 2 if size.tiny else 10
    for name, case in (TINY if size.tiny else CASES).items():
        batch = _batch(case)
        ours = _step(_ours(case, size.folder), batch, where)
        waits = host_waits(ours, where)
        ours()
        own_gib = peak_gib(ours, where)
        other = _step(_resnet(size), batch, where)
        other()
        both_gib = peak_gib(other, where)
        medians = in_turns({"ours": ours, "other": other}, repeats, where)
        yield {
            "detector": name,
            "other": "mmdet's Mask R-CNN R50-FPN",
            "precision": "bf16" if where.type == "cuda" else "fp32",
            "batch_images": case.images,
            "height_px": case.height,
            "width_px": case.width,
            "repeats_count": repeats,
            "other_over_ours_ratio": ratio(medians["other"], medians["ours"]),
            "ours_step_ms": medians["ours"],
            "other_step_ms": medians["other"],
            "ours_images_per_s": round(1000 * case.images / medians["ours"], 3),
            "other_images_per_s": round(1000 * case.images / medians["other"], 3),
            "ours_peak_gib": own_gib,
            "other_beside_ours_peak_gib": both_gib,
            "ours_host_waits_count": waits,
        }
        del ours, other


def _ours(case: Case, folder: Path) -> torch.nn.Module:
    from mmengine.config import Config

    checkpoint = folder / f"{case.config}.safetensors"
    write_random_control(checkpoint, 0, case.architecture)
    config = Config.fromfile(str(CONFIGS / case.config))
    changes: dict[str, Any] = {"model.backbone.checkpoint": str(checkpoint), "model.rpn_head.type": "PreciseRPN"}
    if config.model.backbone.type == "CanonicalViT":
        changes["model.backbone.norm"] = "BN"  # there is one process, whose statistics these are
    config.merge_from_dict(changes | model_changes(config.model, case.architecture))
    return _built(config)


def _resnet(size: Size) -> torch.nn.Module:
    from mmengine.config import Config

    file = size.folder / "r50.py"
    file.write_text(f"_base_ = [{R50!r}]\n")  # names of other packages are looked up for bases alone
    config = Config.fromfile(str(file))
    if size.tiny:
        # At full size its mask head alone takes 20 s of a core.
        small = {"backbone.depth": 18, "neck.in_channels": [64, 128, 256, 512], "train_cfg.rcnn.sampler.num": 8}
        small |= {"train_cfg.rpn_proposal.nms_pre": 100, "train_cfg.rpn_proposal.max_per_img": 20}
        config.merge_from_dict({f"model.{name}": value for name, value in small.items()})
    return _built(config)


def _built(config) -> torch.nn.Module:
    from mmdet.registry import MODELS
    from mmengine.registry import init_default_scope

    torch.manual_seed(0)
    init_default_scope("mmdet")
    return MODELS.build(config.model)


def _step(model: torch.nn.Module, batch: dict[str, list], where: torch.device) -> Callable[[], None]:
    """Loss, gradients and AdamW of one batch, as a function."""
    model.to(where).train()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-5, fused=True)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(where.type, torch.bfloat16, enabled=where.type == "cuda"):  # a CPU may take minutes in bf16
            data = model.data_preprocessor({"inputs": list(batch["inputs"]), "data_samples": _copies(batch)}, True)
            losses = model(**data, mode="loss")
        total, _ = model.parse_losses(losses)
        total.backward()
        optimizer.step()

    return step


def _copies(batch: dict[str, list]) -> list:
    return [sample.clone() for sample in batch["data_samples"]]


def _batch(case: Case) -> dict[str, list]:
    """Noise with seven objects an image, COCO's mean, each a rectangle with its mask."""
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks
    from mmengine.structures import InstanceData

    rng = np.random.default_rng(0)
    height, width, count = case.height, case.width, 7
    inputs, samples = [], []
    for _ in range(case.images):
        inputs.append(torch.from_numpy(rng.integers(0, 255, (3, height, width), np.uint8)))
        low, extent = rng.uniform(0, 0.5, (count, 2)), rng.uniform(0.1, 0.5, (count, 2))
        boxes = np.concatenate([low, low + extent], 1) * [width, height, width, height]
        masks = np.zeros((count, height, width), np.uint8)
        for mask, (left, top, right, bottom) in zip(masks, boxes.astype(int), strict=True):
            mask[top:bottom, left:right] = 1
        sample = DetDataSample(metainfo={"img_shape": (height, width), "ori_shape": (height, width)})
        sample.gt_instances = InstanceData(
            bboxes=torch.from_numpy(boxes).float(),
            labels=torch.from_numpy(rng.integers(0, 80, count)),
            masks=BitmapMasks(masks, height, width),
        )
        samples.append(sample)
    return {"inputs": inputs, "data_samples": samples}
