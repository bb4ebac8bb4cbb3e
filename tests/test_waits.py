"""How often a host waits for its device, counted with tensors that pretend to be elsewhere."""

import sys

import numpy as np
import pytest
import torch
from waits import DEVICE, counted_waits, move

from pretrain.ahead import Ahead
from pretrain.build import make_objective
from pretrain.config import config_from_dict
from pretrain.data import ViewsDataset, collate
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
