"""mmdet's and mmseg's backbones of a canonical checkpoint: what their options reach."""

import pytest
import torch

from benchmarks.checkpoints.card import Architecture
from benchmarks.controls import write_random_control
from benchmarks.errors import InputError

TINY = Architecture(48, 4, 3, 16, 64, class_token=True, position_prefix_rows=1)


@pytest.fixture
def checkpoint(tmp_path):
    write_random_control(tmp_path / "tiny.safetensors", seed=0, architecture=TINY)
    return str(tmp_path / "tiny.safetensors")


def drop_rates(vit):
    return [getattr(path, "drop_prob", 0.0) for block in vit.blocks for path in (block.drop_path1, block.drop_path2)]


def test_drop_path_rises_linearly_to_the_rate_asked_for(checkpoint):
    pytest.importorskip("mmcv.ops", reason="needs mmcv with its operators")
    from benchmarks.engines.mmdet_backbone import CanonicalViT
    from benchmarks.engines.mmdet_vitdet import CanonicalViTDet

    rising = [0.3 * index / 3 for index in range(4) for _ in range(2)]
    for kind, options in ((CanonicalViT, {"norm": "BN"}), (CanonicalViTDet, {"image_size": 64})):
        assert drop_rates(kind(checkpoint, drop_path_rate=0.3, **options).vit) == pytest.approx(rising), kind
        assert not any(drop_rates(kind(checkpoint, **options).vit))


def test_options_of_the_four_tap_backbone(checkpoint):
    pytest.importorskip("mmcv.ops", reason="needs mmcv with its operators")
    from benchmarks.engines.mmdet_backbone import CanonicalViT

    plain = CanonicalViT(checkpoint, norm="BN")
    assert plain.taps == [0, 1, 2, 3]
    assert plain.vit.blocks[0].attn.num_heads == 3
    assert {n for n, p in plain.vit.named_parameters() if not p.requires_grad} == {"norm.weight", "norm.bias"}
    assert plain.train().vit.training
    assert plain.differences()  # before the weights are loaded
    plain.init_weights()
    assert plain.differences() == []
    with torch.inference_mode():
        maps = plain.eval()(torch.randn(1, 3, 64, 96))
    assert [tuple(each.shape[2:]) for each in maps] == [(64 // s, 96 // s) for s in (4, 8, 16, 32)]

    other = CanonicalViT(checkpoint, taps=[0, 0, 3, 3], num_heads=6, frozen=True)
    assert other.taps == [0, 0, 3, 3]
    assert other.vit.blocks[0].attn.num_heads == 6
    assert not any(parameter.requires_grad for parameter in other.vit.parameters())
    assert all(parameter.requires_grad for parameter in other.pyramid.parameters())
    assert not other.train().vit.training
    assert other.pyramid.training
    assert any(isinstance(module, torch.nn.SyncBatchNorm) for module in other.pyramid.modules())
    for taps in ([0, 1, 2], [0, 1, 2, 4], [-1, 1, 2, 3]):
        with pytest.raises(InputError, match="do not name four of the 4 blocks"):
            CanonicalViT(checkpoint, taps=taps)


def test_table_1_trains_with_the_published_drop_path(checkpoint):
    pytest.importorskip("mmdet", reason="needs mmdet")
    from pathlib import Path

    from mmengine.config import Config

    folder = Path(__file__).resolve().parents[1] / "third_party_configs/mmdet"
    rates = {
        "mask_rcnn_vit_fpn_1x_coco": 0.05,
        "faster_rcnn_vit_fpn_uavdt": 0.05,
        "mask_rcnn_vitdet_b16_100ep_coco": 0.1,
    }
    for config, rate in rates.items():
        assert Config.fromfile(str(folder / f"{config}.py")).model.backbone.drop_path_rate == rate, config
