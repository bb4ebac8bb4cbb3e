"""How often a host waits for its device, counted with tensors that pretend to be elsewhere."""

import sys

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
