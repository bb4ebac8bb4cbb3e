"""One checkpoint under ViTDet in mmdet and in detectron2: the same maps, learning rates and recomputed gradients."""

import dataclasses
from pathlib import Path

import pytest
import torch

from benchmarks.checkpoints.card import Architecture
from benchmarks.controls import write_random_control
from benchmarks.engines.adaptation import Adaptation
from benchmarks.errors import InputError

pytest.importorskip("detectron2.modeling", reason="needs detectron2")
pytest.importorskip("mmcv.ops", reason="needs mmcv with its operators")

CONFIGS = Path(__file__).resolve().parents[1] / "third_party_configs"
CONFIG = "mask_rcnn_vitdet_b16_100ep_coco.py"
#: Positions lie on the grid of the pictures below: the engines resize tables by different rules (docs/coco.md).
PLAIN = Architecture(48, 4, 3, 16, 128, class_token=True, position_prefix_rows=1)
REGISTERS = dataclasses.replace(PLAIN, registers=4, layer_scale=True)
FAMILIES = {
    "plain": (PLAIN, "HouseNet|ViT"),
    "scaled": (dataclasses.replace(PLAIN, layer_scale=True), "ViT"),
    "registers, patch 14": (dataclasses.replace(REGISTERS, patch_size=14, image_size=112), "HouseNet"),
    "rotary": (dataclasses.replace(REGISTERS, position="rope", position_prefix_rows=0), "HouseNet"),
    "gated, normed": (dataclasses.replace(PLAIN, mlp="swiglu", activation="silu", qk_norm=True), "HouseNet"),
}


def detectors(checkpoint, adaptation):
    """Both engines' detectors of Table 2, small heads, the first's weights in both."""
    from mmdet.registry import MODELS
    from mmengine.config import Config
    from mmengine.registry import init_default_scope

    from benchmarks.checkpoints.canonical import read_canonical
    from benchmarks.engines import detectron2
    from benchmarks.engines.mmdet import model_changes

    found = Config.fromfile(str(CONFIGS / "mmdet" / CONFIG))
    init_default_scope("mmdet")
    architecture = read_canonical(checkpoint)[1].architecture
    found.merge_from_dict(
        {
            "model.backbone.checkpoint": str(checkpoint),
            "model.roi_head.bbox_head.fc_out_channels": 32,
            **model_changes(found.model, architecture, adaptation),
        }
    )
    ours = MODELS.build(found.model)
    ours.init_weights()
    lazy = detectron2.read_config(CONFIGS / "detectron2" / CONFIG)
    lazy.model.roi_heads.box_head.fc_dims = [32]
    lazy.model.roi_heads.box_predictor.input_shape.channels = 32
    theirs = detectron2.build(lazy, checkpoint, 80, adaptation)
    pyramid = {n.replace("neck.", "backbone."): t for n, t in ours.state_dict().items() if n.startswith("neck.")}
    assert theirs.load_state_dict(pyramid, strict=False).unexpected_keys == []
    return ours, theirs, lazy, found


@pytest.mark.parametrize("patches", ["resample", "pad"])
@pytest.mark.parametrize("family", FAMILIES)
def test_both_engines_have_the_same_maps(tmp_path, family, patches):
    architecture, net = FAMILIES[family]
    if patches == "pad" and architecture.patch_size == 16:
        pytest.skip("patch 16 needs neither")
    checkpoint = tmp_path / "c.safetensors"
    write_random_control(checkpoint, seed=0, architecture=architecture)
    ours, theirs, _, _ = detectors(checkpoint, Adaptation(patches, window=3))
    assert type(theirs.backbone.net).__name__ in net.split("|")
    images = torch.randn(1, 3, 128, 128)
    with torch.inference_mode():
        maps, others = ours.eval().extract_feat(images), theirs.eval().backbone(images)
    for mine, other in zip(maps, others.values(), strict=True):
        assert ((mine - other).norm() / other.norm()).item() < 1e-4


@pytest.mark.parametrize("family", ["registers, patch 14", "rotary"])
def test_a_house_network_has_the_learning_rates_of_the_other_engine(tmp_path, family):
    from mmengine.optim import build_optim_wrapper

    from benchmarks.engines import detectron2

    checkpoint = tmp_path / "c.safetensors"
    write_random_control(checkpoint, seed=0, architecture=FAMILIES[family][0])
    ours, theirs, lazy, found = detectors(checkpoint, Adaptation())

    def settings(network, optimizer, holder):
        names = {id(p): n.removeprefix(holder) for n, p in network.named_parameters() if n.startswith(holder)}
        groups = [(p, g) for g in optimizer.param_groups for p in g["params"] if id(p) in names]
        return {names[id(p)]: (pytest.approx(g["lr"]), g["weight_decay"]) for p, g in groups}

    mine = settings(ours, build_optim_wrapper(ours, found.optim_wrapper).optimizer, "backbone.vit.")
    other = settings(theirs, detectron2.make_optimizer(lazy, theirs, 1e-4), "backbone.net.")
    assert len(mine) > 30
    assert mine == other


@pytest.mark.parametrize("family", ["plain", "rotary"])
def test_recomputed_activations_change_no_gradient(tmp_path, family):
    from benchmarks.engines.detectron2_network import set_recomputing

    checkpoint = tmp_path / "c.safetensors"
    write_random_control(checkpoint, seed=0, architecture=FAMILIES[family][0])
    _, theirs, _, _ = detectors(checkpoint, Adaptation(window=3, drop_path=0.0))
    found = []
    for again in (False, True):
        if again:
            set_recomputing(theirs)
        theirs.zero_grad()
        theirs.backbone.train()(torch.ones(1, 3, 128, 128))["p4"].square().mean().backward()
        found.append({n: p.grad.clone() for n, p in theirs.named_parameters() if p.grad is not None})
    assert found[0].keys() == found[1].keys()
    assert all(torch.allclose(found[0][name], found[1][name], rtol=1e-4, atol=1e-9) for name in found[0])


def test_patches_of_8_are_refused_there(tmp_path):
    """detectron2's pyramid knows the stride 16 alone; mmdet's here takes them."""
    from benchmarks.core.model import load_model
    from benchmarks.core.tasks import task_named

    checkpoint = tmp_path / "c.safetensors"
    write_random_control(checkpoint, seed=0, architecture=dataclasses.replace(PLAIN, patch_size=8, image_size=64))
    task, model = task_named("coco-vitdet"), load_model(checkpoint)
    task.suit(model, task.settings("paper"), "paper")
    with pytest.raises(InputError, match=r"has patch size 8, but .* is for 14 or 16"):
        task.suit(model, dataclasses.replace(task.settings("paper"), engine="detectron2"), "paper")
