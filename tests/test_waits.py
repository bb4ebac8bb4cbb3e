"""How often a host waits for its device, counted with tensors that pretend to be elsewhere."""

import json
import sys
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from waits import DEVICE, counted_waits, move

from benchmarks.davis.encoder import Encoder
from benchmarks.davis.frames import FirstMask
from benchmarks.davis.propagation import propagate_video
from benchmarks.davis.protocol import CRW, DINO, DINOV3_M
from pretrain.ahead import Ahead
from pretrain.build import make_objective
from pretrain.config import config_from_dict
from pretrain.data import collate
from pretrain.networks import Network
from pretrain.schedules import Schedule
from pretrain.step import Step
from pretrain.views import ViewMaker

MODEL = {"embed_dim": 32, "depth": 2, "num_heads": 2, "patch_size": 8, "image_size": 48, "clusters": 16}
MODEL |= {"head_hidden_dim": 32, "head_bottleneck_dim": 16}


@pytest.mark.parametrize(
    "objective",
    [{}, {"centering": True}, {"sinkhorn": True}, {"projected_epochs": 1}, {"centred_retrieval": True}],
    ids=str,
)
def test_a_step_of_flsl_waits_once(objective, monkeypatch):
    monkeypatch.setattr(sys.modules["torch.optim.adam"], "_device_dtype_check_for_fused", lambda parameter: None)
    config = config_from_dict({"model": MODEL, "views": {"local_size": 24}, "objective": objective}, "test")
    maker = ViewMaker(config.model, config.views, augment_later=True)
    pixels = np.random.default_rng(0).integers(0, 255, (6, 60, 70, 3), np.uint8)
    loaded = collate([maker(image, np.random.default_rng(i)) for i, image in enumerate(pixels)])
    student, teacher = Network(config.model, 0.1), Network(config.model).requires_grad_(False)
    values = Schedule(config, 10, 6).at(400 if objective.get("projected_epochs") is None else 0)
    with counted_waits() as counts:
        step = Step(move(student), move(teacher), move(make_objective(config)))
        for _ in range(2):  # the first one makes what is kept
            counts.clear()
            taken = Ahead(iter([[loaded]]), DEVICE).take()
            losses, statistics = step.backward(taken.parts, values, [1.0])
            norms = step.gradient_norms()
            numbers = torch.cat([losses.total[None], norms]).tolist()
            step.update(values, statistics, norms)
    assert counts == {"tolist": 1}
    assert np.isfinite(numbers).all()


@pytest.mark.parametrize("protocol", [DINO, DINOV3_M, CRW], ids=lambda protocol: protocol.name)
def test_a_frame_of_davis_waits_once_at_most(protocol, monkeypatch):
    monkeypatch.setattr(torch, "inference_mode", torch.no_grad)  # whose tensors take no pretence
    encoder = Encoder(lambda images: images[:, :, ::8, ::8].flatten(2).transpose(1, 2), 8)
    frames = torch.rand(6, 3, 48, 64, generator=torch.Generator().manual_seed(0))
    mask = FirstMask(np.array([0, 1], np.uint8), torch.eye(2)[torch.arange(48).view(6, 8) % 2].permute(2, 0, 1))
    wanted = list(propagate_video(encoder, frames, mask, (48, 64), protocol))
    with counted_waits() as counts:
        there = (frame.to(DEVICE, non_blocking=True) for frame in frames)
        maps = propagate_video(encoder, there, FirstMask(mask.indices, mask.labels.to(DEVICE)), (48, 64), protocol)
        found = [next(maps)]  # what is made once a video is made
        counts.clear()
        found += list(maps)
    assert counts.total() <= 4, counts
    for one, other in zip(found, wanted, strict=True):
        assert (one == other).all()


def test_the_hooks_of_a_detectors_step_wait_once(tmp_path):
    """Ours and mmengine's own, in the order of their priorities, with the losses of Mask R-CNN."""
    pytest.importorskip("mmengine")
    from mmengine.hooks import RuntimeInfoHook
    from mmengine.logging import MessageHub
    from mmengine.runner import get_priority

    from benchmarks.engines.mmengine_hooks import AtomicSnapshot, LossLog

    names = ("loss", "loss_rpn_cls", "loss_rpn_bbox", "loss_cls", "acc", "loss_bbox", "loss_mask")
    values = [float(i) / 8 for i in range(7)]
    runner = SimpleNamespace(
        work_dir=tmp_path, iter=0, max_iters=9, message_hub=MessageHub("waits"), optim_wrapper=None
    )
    hooks = [RuntimeInfoHook(), LossLog(progress=False), AtomicSnapshot(interval=100)]
    hooks[1].path, hooks[1].bar = tmp_path / "losses.jsonl", Mock()
    hooks[2].asked_to_stop, hooks[2].control = False, None
    with counted_waits() as counts:
        outputs = {
            name: torch.tensor(value).to(DEVICE, non_blocking=True) for name, value in zip(names, values, strict=True)
        }
        for hook in sorted(hooks, key=lambda hook: get_priority(hook.priority)):
            hook.after_train_iter(runner, 0, None, outputs)
    assert counts == {"tolist": 1}
    assert json.loads(hooks[1].path.read_text()) == {"iteration": 1, **dict(zip(names, values, strict=True))}
    assert runner.message_hub.get_scalar("train/loss_mask").current() == 0.75
