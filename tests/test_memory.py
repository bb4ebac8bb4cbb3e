"""Predicted memory: within a tenth of what the allocator reports of real training steps, on a CPU in fp32."""

import dataclasses
from pathlib import Path

import pytest
import torch

from benchmarks.controls import SMALL_VIT, write_random_control
from benchmarks.engines.adaptation import Adaptation

pytest.importorskip("mmcv.ops", reason="needs mmcv with its operators")
pytest.importorskip("mmseg.registry", reason="needs mmseg")

CONFIGS = Path(__file__).resolve().parents[1] / "third_party_configs"
OBJECTS = 20


def experiment(folder, config, frozen, checkpointing, **architecture):
    """A config as it is read, and its changes for a small random ViT/16."""
    from benchmarks.checkpoints.canonical import read_card
    from benchmarks.engines.mmdet import model_changes, read_config

    path = folder / "c.safetensors"
    small = dataclasses.replace(SMALL_VIT, patch_size=16, image_size=192)
    write_random_control(path, 0, dataclasses.replace(small, **architecture))
    found = read_config(CONFIGS / config)
    changes = model_changes(found["model"], read_card(path).architecture, Adaptation(checkpointing=checkpointing))
    changes |= {"model.backbone.checkpoint": str(path), "model.backbone.frozen": frozen}
    return found, {key: value for key, value in changes.items() if key.startswith("model.")}


def built(scope, config, changes):
    import importlib

    from mmengine.config import Config
    from mmengine.model import revert_sync_batchnorm
    from mmengine.registry import DefaultScope

    whole = Config(config)
    whole.merge_from_dict(changes)
    with DefaultScope.overwrite_default_scope(scope):
        model = revert_sync_batchnorm(importlib.import_module(f"{scope}.registry").MODELS.build(whole.model))
    model.init_weights()
    return model.train()


def detection_samples(side, images, masks):
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks
    from mmengine.structures import InstanceData

    samples = []
    for _ in range(images):
        corners = torch.rand(OBJECTS, 2) * (side - 70)
        boxes = torch.cat([corners, corners + 20 + torch.rand(OBJECTS, 2) * 50], 1)
        sample = DetDataSample(metainfo=dict.fromkeys(("img_shape", "pad_shape", "batch_input_shape"), (side, side)))
        sample.gt_instances = InstanceData(bboxes=boxes, labels=torch.zeros(OBJECTS, dtype=torch.long))
        if masks:
            whole = (torch.rand(side, side) > 0.5).byte().numpy()
            sample.gt_instances.masks = BitmapMasks([whole] * OBJECTS, side, side)
        samples.append(sample)
    return samples


def segmentation_samples(side, images):
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    label = torch.randint(0, 8, (1, side, side))
    return [
        SegDataSample(gt_sem_seg=PixelData(data=label), metainfo={"img_shape": (side, side)}) for _ in range(images)
    ]


def measured(model, side, images, samples, accumulated=False):
    """The most that the allocator had given out in the second of two updates, in bytes."""
    trained = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained)
    pixels = torch.randn(images, 3, side, side)

    def backward():
        losses = model.loss(pixels, samples)
        parts = [part for name, value in losses.items() if "loss" in name for part in
                 (value if isinstance(value, list) else [value])]  # fmt: skip
        sum(parts).backward()

    backward()
    optimiser.step()
    if not accumulated:
        optimiser.zero_grad(set_to_none=True)
    held = {t.untyped_storage()._cdata: t.nbytes for t in (*model.parameters(), *model.buffers(), pixels)}
    before = sum(held.values()) + sum(
        t.nbytes for state in optimiser.state.values() for t in state.values()
    ) + sum(p.grad.nbytes for p in trained if p.grad is not None)  # fmt: skip
    with torch.profiler.profile(profile_memory=True) as profile:
        backward()
        optimiser.step()
    now = peak = 0
    events, found = list(profile.profiler.kineto_results.experimental_event_tree()), []
    while events:
        event = events.pop()
        events += event.children
        if event.tag == torch._C._profiler._EventType.Allocation:
            found.append((event.start_time_ns, event.extra_fields.alloc_size))
    for _, size in sorted(found, key=lambda one: one[0]):
        now += size
        peak = max(peak, now)
    return before + peak


CASES = {
    "Mask R-CNN": ("mmdet/mask_rcnn_vit_fpn_mini.py", {}),
    "ViTDet": ("mmdet/mask_rcnn_vitdet_mini.py", {}),
    "ViTDet, recomputed": ("mmdet/mask_rcnn_vitdet_mini.py", {"checkpointing": True, "depth": 8}),
    "ViTDet, frozen, accumulated": ("mmdet/mask_rcnn_vitdet_mini.py", {"frozen": True, "accumulated": True}),
    "Faster R-CNN": ("mmdet/faster_rcnn_vit_fpn_mini.py", {}),
    "Semantic FPN": ("mmseg/semantic_fpn_released_mini.py", {}),
}


@pytest.mark.parametrize("case", CASES)
def test_training_takes_what_was_predicted(tmp_path, case):
    from benchmarks.engines.memory import Pass, detector_peak, segmenter_peak

    config, more = CASES[case]
    more = {"frozen": False, "checkpointing": False, **more}
    accumulated = more.pop("accumulated", False)
    found, changes = experiment(tmp_path, config, **more)
    scope, side, images = config.partition("/")[0], 192, 2
    told = Pass(images, (side, side), "fp32", accumulated, objects=OBJECTS)
    torch.use_deterministic_algorithms(True)  # as a run on a CPU leaves its process behind
    try:
        predicted = (detector_peak if scope == "mmdet" else segmenter_peak)(found, changes, told)
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.use_deterministic_algorithms(False)
    torch.manual_seed(0)
    model = built(scope, found, changes)
    if scope == "mmdet":
        samples = detection_samples(side, images, masks=model.roi_head.with_mask)
    else:
        samples = segmentation_samples(side, images)
    real = measured(model, side, images, samples, accumulated)
    assert predicted.total == pytest.approx(real, rel=0.1)
