"""A trained network's tensors put into place, and the network built for them, with a runner that builds nothing."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from benchmarks.controls import write_random_control
from benchmarks.errors import InputError

pytest.importorskip("mmengine", reason="needs mmengine")

from benchmarks.engines import trained

WHERE = "detector.pth"


def network():
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))


def tensors(**changes):
    """Another network's tensors; a name with ``None`` goes."""
    held = {name: value.clone() + 1 for name, value in network().state_dict().items()}
    held |= {name.replace("__", "."): value for name, value in changes.items()}
    return {name: value for name, value in held.items() if value is not None}


def load(held):
    model = network()
    trained.load(model, held, {name: f"theirs.{name}" for name in held}, WHERE)
    return model


def test_every_tensor_is_put_into_place():
    held = tensors()
    found = load(held).state_dict()
    assert set(found) == set(held)
    assert all(torch.equal(found[name], held[name]) for name in held)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"0__bias": None}, "1 tensors of the network are not in it (0.bias)"),
        ({"2__weight": torch.zeros(1, 5)}, "1 of its tensors have no place (theirs.2.weight [1, 5])"),
        ({"0__bias": torch.zeros(4)}, "1 have another shape (theirs.0.bias is [4] and must be [3])"),
        ({"0__bias": torch.tensor([0.0, float("nan"), 0.0])}, "1 hold NaN or infinity (theirs.0.bias)"),
        ({"0__bias": torch.tensor([0.0, 0.0, float("inf")])}, "1 hold NaN or infinity (theirs.0.bias)"),
        (
            dict.fromkeys(("0__bias", "0__weight", "1__weight", "1__bias")),
            "4 tensors of the network are not in it (0.weight, 0.bias, 1.weight, ...)",
        ),
        (
            dict.fromkeys(("0__bias", "0__weight", "1__weight")),
            "3 tensors of the network are not in it (0.weight, 0.bias, 1.weight)",
        ),
        (
            {"0__bias": None, "9": torch.zeros(2), "0__weight": torch.zeros(1), "1__bias": torch.full((3,), torch.nan)},
            "1 tensors of the network are not in it (0.bias); 1 of its tensors have no place (theirs.9 [2]); "
            "1 have another shape (theirs.0.weight is [1] and must be [3, 2]); 1 hold NaN or infinity (theirs.1.bias)",
        ),
    ],
)
def test_all_faults_are_one_line(changes, line):
    with pytest.raises(InputError) as refused:
        load(tensors(**changes))
    assert str(refused.value) == f"{WHERE} does not fit: {line}"


def test_nothing_is_trained_and_the_checkpoint_says_how_pixels_are_normalised(tmp_path, monkeypatch):
    from mmengine.runner import Runner

    write_random_control(tmp_path / "x.safetensors", 0)
    (tmp_path / "config.py").write_text(
        "model = dict(backbone=dict(), data_preprocessor=dict())\n"
        "train_dataloader = train_cfg = optim_wrapper = dict(a=1)\n"
        "param_scheduler = [dict(a=1)]\ncustom_hooks = [dict(type='LossLog')]\ntest_cfg = dict(type='TestLoop')\n"
    )
    monkeypatch.setattr(Runner, "from_cfg", lambda config: SimpleNamespace(cfg=config, model=network().train()))

    def build(changes, **options):
        return trained.build(tmp_path / "config.py", tmp_path / "x.safetensors", tmp_path / "out", changes, **options)

    runner = build({"model.neck": {"b": 1}})
    config = runner.cfg
    assert not runner.model.training
    assert (config.work_dir, config.model.backbone.checkpoint) == (
        str(tmp_path / "out"), str(tmp_path / "x.safetensors"),
    )  # fmt: skip
    assert config.model.data_preprocessor.mean == [123.675, 116.28, 103.53]
    assert config.model.data_preprocessor.std == [58.395, 57.12, 57.375]
    assert config.model.neck == {"b": 1}
    for name in ("train_dataloader", "train_cfg", "optim_wrapper", "param_scheduler"):
        assert config[name] is None, name
    assert config.custom_hooks == [{"type": "TestBar", "progress": True}]
    assert build({}, progress=False).cfg.custom_hooks == [{"type": "TestBar", "progress": False}]
    assert build({"test_cfg": None}).cfg.custom_hooks == []
