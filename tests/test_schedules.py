"""What changes during training, against the published rules written out: pretraining's values, both engines' rates."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.engines.detectron2 import lr_multiplier
from benchmarks.engines.mmdet import schedule_changes
from benchmarks.engines.schedule import Schedule as Steps
from pretrain.config import Config, ObjectiveConfig, OptimConfig, PreviousConfig, RunConfig
from pretrain.schedules import Schedule, cosine


def published_cosine(start, end, step, steps, warmup):
    """ISL-CV/FLSL's ``cosine_scheduler`` (DINO's): warm-up by linspace, then the cosine from its first value."""
    if step < warmup:
        return start * step / (warmup - 1)
    return end + 0.5 * (start - end) * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))


def config(**objective):
    return Config(
        objective=ObjectiveConfig(
            intra=0.03, intra_start=0.5, inter=2.0, volume=7.0, teacher_temp_start=0.04, teacher_temp=0.07,
            teacher_temp_warmup_epochs=4, sa_temperature=0.3, sa_temperature_start=0.1, ca_temperature=0.6,
            projected_epochs=2, **objective,
        ),
        optim=OptimConfig(
            lr=1e-3, min_lr=1e-5, warmup_fraction=0.25, weight_decay=0.04, weight_decay_end=0.4,
            momentum_teacher=0.99, clip=3.0, freeze_last_layer_epochs=3,
        ),
        run=RunConfig(epochs=10),
    )  # fmt: skip


def test_every_value_of_every_step_is_the_published_rules():
    made = Schedule(config(), steps_per_epoch=5, global_batch=512)
    assert made.steps == 50
    assert made.warmup_steps == 10  # whole epochs of 0.25 * 10
    for step in range(50):
        at, epoch = made.at(step), step // 5
        assert at.lr == pytest.approx(published_cosine(2e-3, 1e-5, step, 50, 10))
        assert at.weight_decay == pytest.approx(published_cosine(0.04, 0.4, step, 50, 0))
        assert at.momentum_teacher == pytest.approx(published_cosine(0.99, 1, step, 50, 0))
        assert at.teacher_temp == pytest.approx(0.04 + 0.03 * min(epoch, 3) / 3)
        assert at.sa_temperature == pytest.approx(published_cosine(0.1, 0.3, step, 50, 0))
        assert at.ca_temperature == 0.6
        assert at.coefficients == (pytest.approx(published_cosine(0.5, 0.03, step, 50, 0)), 2.0, 7.0)
        # DINO's cancel_gradients_last_layer: nothing is done from epoch freeze_last_layer on.
        assert at.last_layer_frozen == (epoch < 3)
        assert at.in_place == (epoch < 2)
        assert (at.clip, at.own_share, at.centred, at.both_globals) == (3.0, 1.0, False, False)


def test_options_reach_the_step():
    plain = Schedule(config(), 5, 512)
    assert Schedule(config(centred_retrieval=True), 5, 512).at(0).centred
    control = Schedule(config(kind="dino", both_globals=True), 5, 512).at(7)
    assert control.coefficients == (0.0, 1.0, 0.0)
    assert control.both_globals
    staged = dataclasses.replace(config(), previous=PreviousConfig("stage1.safetensors", share_end=0.2))
    shares = [Schedule(staged, 5, 512).at(step).own_share for step in range(50)]
    assert shares == pytest.approx([published_cosine(0, 0.8, step, 50, 0) for step in range(50)])
    longer = dataclasses.replace(config(), optim=dataclasses.replace(config().optim, warmup_steps=7))
    assert Schedule(longer, 5, 512).warmup_steps == 7
    assert plain.at(49).lr > 1e-5


def test_a_run_shorter_than_its_warm_up_only_warms_up():
    assert cosine(2.0, 0.0, 3, 5).tolist() == [0.0, 1.0, 2.0]
    assert cosine(2.0, 0.0, 0).tolist() == []
    short = dataclasses.replace(config(), run=RunConfig(epochs=2))
    assert Schedule(short, 1, 256).teacher_temp.tolist() == pytest.approx([0.04, 0.07])


STEPS = Steps(
    batch=8, devices=1, per_device=2, accumulation=4, updates=40, warm_up=10, drops=(20, 30), learning_rate=0.5,
    precision="fp32",
)  # fmt: skip


def published_rate(update):
    """detectron2's ``WarmupParamScheduler`` over ``MultiStepParamScheduler`` of (1, 0.1, 0.01), factor 0.001."""
    if update < 10:
        return 0.001 + 0.999 * update / 10
    return 1.0 if update < 20 else 0.1 if update < 30 else 0.01


def test_detectron2s_rate_is_the_published_one():
    found = [lr_multiplier(update, STEPS) for update in range(40)]
    assert found == pytest.approx([published_rate(update) for update in range(40)])


def test_mmdets_rates_are_those_of_updates_not_of_passes():
    pytest.importorskip("mmcv.ops", reason="needs mmcv with its operators")
    from mmengine.registry import PARAM_SCHEDULERS, init_default_scope

    import benchmarks.engines.mmdet_backbone  # noqa: F401

    init_default_scope("mmengine")
    changes = schedule_changes(STEPS)
    assert changes["train_cfg.max_iters"] == 160
    assert changes["optim_wrapper.accumulative_counts"] == 4
    assert changes["train_dataloader.batch_size"] == 2
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=changes["optim_wrapper.optimizer.lr"])
    made = [PARAM_SCHEDULERS.build({**each, "optimizer": optimizer}) for each in changes["param_scheduler"]]
    rates = []
    for _ in range(160):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        for each in made:
            each.step()
    rates = np.array(rates).reshape(40, 4) / 0.5
    # mmengine warms up pass by pass, and reaches the whole rate a pass earlier.
    passes = np.arange(40)
    assert rates[:10].ravel() == pytest.approx(0.001 + 0.999 * passes / 39)
    assert np.array_equal(rates[10:], np.repeat(rates[10:, :1], 4, axis=1))
    assert rates[10:, 0] == pytest.approx([published_rate(update) for update in range(10, 40)])


@pytest.mark.parametrize(
    ("precision", "wrapper"), [("fp32", None), ("fp16", "AmpOptimWrapper"), ("bf16", "Bf16OptimWrapper")]
)
def test_precision_reaches_mmdet(precision, wrapper):
    changes = schedule_changes(dataclasses.replace(STEPS, precision=precision))
    assert changes.get("optim_wrapper.type") == wrapper
    assert changes.get("optim_wrapper.dtype") == ("float16" if precision == "fp16" else None)
    assert changes.get("model.rpn_head.type") == (None if precision == "fp32" else "PreciseRPN")


def test_how_a_batch_is_shared_out_decides_no_number():
    other = dataclasses.replace(STEPS, devices=4, accumulation=1, notes=("shared out",))
    assert STEPS.passes == 160
    assert other.passes == 40
    assert STEPS.deciding() == other.deciding()
    for name, value in {"batch": 4, "updates": 41, "warm_up": 9, "drops": (20,), "learning_rate": 1.0}.items():
        assert dataclasses.replace(STEPS, **{name: value}).deciding() != STEPS.deciding(), name
    assert dataclasses.replace(STEPS, precision="bf16").deciding() != STEPS.deciding()
    assert STEPS.as_record()["drops"] == [20, 30]
