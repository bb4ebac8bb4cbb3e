"""mmdet's and mmseg's backbones of a canonical checkpoint: what their options reach."""

import dataclasses

import numpy as np
import pytest
import torch
from checkpoint_files import RESNET, random_tensors

from benchmarks.checkpoints.canonical import write_canonical
from benchmarks.checkpoints.card import SIZE_RESIZE, Architecture, Card, TimmArchitecture
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

    other = CanonicalViT(checkpoint, num_heads=6, frozen=True)
    assert other.vit.blocks[0].attn.num_heads == 6
    assert not any(parameter.requires_grad for parameter in other.vit.parameters())
    assert all(parameter.requires_grad for parameter in other.pyramid.parameters())
    assert not other.train().vit.training
    assert other.pyramid.training
    assert any(isinstance(module, torch.nn.SyncBatchNorm) for module in other.pyramid.modules())
    for taps in ([0, 1, 2], [0, 1, 2, 4], [-1, 1, 2, 3], [0, 0, 3, 3], [3, 2, 1, 0]):
        with pytest.raises(InputError, match=r"do not name four of the 4 blocks .* in their order"):
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


@pytest.fixture
def resnet(tmp_path):
    write_canonical(tmp_path / "r.safetensors", random_tensors(RESNET), Card("test", RESNET, SIZE_RESIZE))
    return str(tmp_path / "r.safetensors")


def norms(module):
    return {type(each).__name__ for each in module.modules() if "BatchNorm" in type(each).__name__}


def of_backbones():
    pytest.importorskip("mmcv.ops", reason="needs mmcv with its operators")
    from benchmarks.engines import mmdet_backbone

    return mmdet_backbone


def test_what_a_wrong_backbone_is_told(checkpoint, resnet):
    there = of_backbones()
    for wrong, file, line in (
        (there.CanonicalViT, resnet, "is a resnet of stages, but this detector is for a ViT"),
        (there.CanonicalStages, checkpoint, "is a vit of one stride, but this detector is for networks of stages"),
    ):
        with pytest.raises(InputError, match=line):
            wrong(file)
    with pytest.raises(InputError, match="is a resnet, whose heads cannot be chosen"):
        there.CanonicalStages(resnet, num_heads=2)
    with pytest.raises(InputError, match="a network with batch norms"):
        there.CanonicalStages(resnet, checkpointing=True)
    there.CanonicalStages(resnet, checkpointing=True, frozen=True)  # nothing to recompute


@pytest.mark.parametrize("kind", ["CanonicalStages", "CanonicalResNet"])
def test_a_resnet_gives_the_maps_of_its_stages(resnet, kind):
    kind = getattr(of_backbones(), kind)
    made = kind(resnet, norm="BN", frozen=True)
    assert made.network is getattr(made, {"CanonicalStages": "stages", "CanonicalResNet": "resnet"}[kind.__name__])
    assert made.differences()
    made.init_weights()
    assert made.differences() == []
    assert (norms(made), norms(kind(resnet))) == ({"BatchNorm2d"}, {"SyncBatchNorm"})
    assert not any(parameter.requires_grad for parameter in made.parameters())
    assert not made.train().network.training
    trained = kind(resnet, norm="BN")
    assert all(parameter.requires_grad for parameter in trained.parameters())
    assert trained.train().network.training
    with torch.inference_mode():
        maps = made(torch.randn(1, 3, 64, 96))
    assert [tuple(each.shape[1:]) for each in maps] == [
        (width, 64 // stride, 96 // stride) for width, stride in zip(RESNET.widths, (4, 8, 16, 32), strict=True)
    ]


def test_the_maps_are_those_of_the_taps(tmp_path):
    there = of_backbones()
    write_random_control(tmp_path / "deep.safetensors", 0, dataclasses.replace(TINY, depth=6))
    images = torch.randn(1, 3, 32, 32)
    found = {}
    for taps in ([0, 1, 2, 3], [0, 1, 2, 5], None):
        made = there.CanonicalViT(str(tmp_path / "deep.safetensors"), taps=taps, norm="BN").eval()
        made.init_weights()
        with torch.inference_mode():
            found[str(taps)] = made._tapped(images)
            every = made.vit.forward_intermediates(images, norm=False, intermediates_only=True)
        for index, tapped in zip(taps or [0, 2, 3, 5], found[str(taps)], strict=True):
            assert torch.equal(tapped, every[index])


@pytest.mark.parametrize(("patches", "side"), [("resample", 16), ("pad", 14)])
def test_patches_that_fit_no_stride(tmp_path, patches, side):
    there = of_backbones()
    write_random_control(tmp_path / "odd.safetensors", 0, dataclasses.replace(TINY, patch_size=14, image_size=56))
    made = there.CanonicalViT(str(tmp_path / "odd.safetensors"), norm="BN", patches=patches)
    made.init_weights()
    assert (made.patch, made.differences()) == (side, [])


def test_timms_networks_of_stages_are_taken_and_its_vits_are_not(monkeypatch):
    there = of_backbones()
    swin = TimmArchitecture("swin", {}, 64, 4, (8, 16, 32, 64), (4, 8, 16, 32))
    monkeypatch.setattr(there, "build", lambda card, rate: torch.nn.Linear(1, 1))
    monkeypatch.setattr(there, "prepared_card", lambda *_: Card("test", swin, SIZE_RESIZE))
    assert there.CanonicalStages("x").card.architecture is swin
    with pytest.raises(InputError, match="is a timm of stages, but this detector is for a ViT"):
        there.CanonicalViT("x")
    with pytest.raises(InputError, match="is a timm, but this detector is for a ResNet"):
        there.CanonicalResNet("x")
    vit = dataclasses.replace(swin, widths=(64,), strides=(16,))
    monkeypatch.setattr(there, "prepared_card", lambda *_: Card("test", vit, SIZE_RESIZE))
    with pytest.raises(InputError, match="is a timm of one stride, but this detector is for networks of stages"):
        there.CanonicalStages("x")


def test_networks_of_stages_get_the_drop_path_asked_for(resnet, monkeypatch):
    there, asked = of_backbones(), []
    right = there.build
    monkeypatch.setattr(there, "build", lambda card, rate: asked.append(rate) or right(card, rate))
    there.CanonicalStages(resnet, drop_path_rate=0.2)
    there.CanonicalStages(resnet)
    assert asked == [0.2, 0.0]


def test_activations_are_recomputed_where_asked_and_where_there_are_any(checkpoint):
    there = of_backbones()
    from benchmarks.engines.mmdet_vitdet import CanonicalViTDet

    for kind, options in ((there.CanonicalViT, {"norm": "BN"}), (CanonicalViTDet, {"image_size": 64})):
        saved = [
            kind(checkpoint, **options, **told).vit.grad_checkpointing
            for told in ({}, {"checkpointing": True}, {"checkpointing": True, "frozen": True})
        ]
        assert saved == [False, True, False], kind


def test_options_of_vitdets_backbone(checkpoint):
    of_backbones()
    from benchmarks.engines.mmdet_vitdet import CanonicalViTDet

    plain = CanonicalViTDet(checkpoint, image_size=64)
    assert [block.attn.window for block in plain.vit.blocks] == [0, 0, 0, 0]  # of four blocks each ends a quarter
    assert {n for n, p in plain.vit.named_parameters() if not p.requires_grad} == {
        "norm.weight", "norm.bias", "cls_token",
    }  # fmt: skip
    assert not [name for name in plain.vit.state_dict() if ".rel_pos_" in name]
    table = CanonicalViTDet(checkpoint, relative_positions=True).vit.blocks[0].attn.rel_pos_h
    assert len(table) == 2 * 1024 // 16 - 1  # ViTDet's images of 1024 pixels, where nothing is said
    windowed = CanonicalViTDet(checkpoint, image_size=64, window=2, global_attention=False)
    assert [block.attn.window for block in windowed.vit.blocks] == [2, 2, 2, 2]
    assert CanonicalViTDet(checkpoint, image_size=64, global_attention=False).vit.blocks[0].attn.window == 14
    kept = CanonicalViTDet(checkpoint, image_size=64, prefix_tokens=True)
    assert kept.vit.cls_token.requires_grad

    frozen = CanonicalViTDet(checkpoint, image_size=64, relative_positions=True, frozen=True)
    relative = {name for name in frozen.vit.state_dict() if ".rel_pos_" in name}
    assert len(relative) == 8
    assert {n for n, p in frozen.vit.named_parameters() if p.requires_grad} == relative
    assert frozen.vit.state_dict()[min(relative)].shape[0] == 2 * 4 - 1
    frozen.init_weights()
    assert frozen.differences() == []
    assert all(frozen.vit.state_dict()[name].count_nonzero() == 0 for name in relative)
    with torch.no_grad():
        frozen.vit.state_dict()[min(relative)].fill_(1)
    assert len(frozen.differences()) == 1
    with torch.inference_mode():
        (found,) = frozen.eval()(torch.randn(1, 3, 64, 96))
    assert found.shape == (1, 48, 4, 6)


def test_layer_decay_groups_parameters_by_rate_and_decay(checkpoint):
    of_backbones()
    from mmdet.registry import OPTIM_WRAPPER_CONSTRUCTORS

    from benchmarks.backbones.layer_decay import parameter_settings
    from benchmarks.engines.mmdet_vitdet import CanonicalViTDet, SimplePyramidNeck

    class Detector(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone = CanonicalViTDet(checkpoint, image_size=64)
            self.neck = SimplePyramidNeck(48, out_channels=8)

    model = Detector()
    maps = model.neck((torch.randn(1, 48, 4, 4),))
    assert [tuple(each.shape[1:]) for each in maps] == [(8, side, side) for side in (16, 8, 4, 2, 1)]
    for told in ({"rate": 0.5}, {"rate": 0.5, "all_decay": True}):
        make = OPTIM_WRAPPER_CONSTRUCTORS.get("LayerDecay")(
            {"type": "OptimWrapper", "optimizer": {"type": "AdamW", "lr": 1e-4, "weight_decay": 0.1}}, told
        )
        groups = make(model).optimizer.param_groups
        found = {id(p): (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]}
        expected = {
            id(parameter): (1e-4 * factor, 0.1 if decays else 0.0)
            for _, parameter, factor, decays in parameter_settings(model, 4, 0.5, told.get("all_decay", False))
        }
        assert found == expected
        assert len(groups) == len(set(expected.values()))


def test_crops_slide_along_the_diagonal():
    of_backbones()
    from mmcv.transforms.utils import cache_random_params
    from mmdet.registry import TRANSFORMS

    from benchmarks.engines.mmdet_vitdet import DiagonalCrop

    assert TRANSFORMS.get("DiagonalCrop") is DiagonalCrop
    np.random.seed(0)
    with cache_random_params(crop := DiagonalCrop((8, 8))):  # the images of a mosaic share a draw
        assert crop._rand_offset((10**6, 10**6)) == crop._rand_offset((10**6, 10**6))
    places = [DiagonalCrop((8, 8))._rand_offset((100, 50)) for _ in range(200)]
    assert all(abs(row - 2 * column) <= 1 for row, column in places)
    rows = [row for row, _ in places]
    assert (min(rows) < 5, max(rows) > 95, len(set(rows)) > 50) == (True, True, True)


def test_options_of_the_segmenters_backbone(checkpoint, resnet):
    pytest.importorskip("mmseg", reason="needs mmseg")
    of_backbones()
    from benchmarks.engines.mmseg_backbone import SegmentationBackbone, segmentation_taps

    assert [segmentation_taps(depth) for depth in (4, 12, 24)] == [(0, 1, 2, 3), (2, 5, 8, 11), (5, 11, 17, 23)]
    with pytest.raises(InputError, match="a ViT of 3 blocks has no four taps"):
        segmentation_taps(3)
    images = torch.randn(1, 3, 64, 96)
    strides = {"real": (4, 8, 16, 32), "declared": (16,) * 4}
    for levels, expected in strides.items():
        made = SegmentationBackbone(checkpoint, levels=levels, norm="BN")
        made.init_weights()
        assert made.differences() == []
        with torch.inference_mode():
            maps = made.eval()(images)
        assert [tuple(each.shape[2:]) for each in maps] == [(64 // s, 96 // s) for s in expected]
    assert drop_rates(SegmentationBackbone(checkpoint, drop_path_rate=0.3).network)[-1] == pytest.approx(0.3)
    assert not any(drop_rates(SegmentationBackbone(checkpoint).network))
    assert norms(SegmentationBackbone(checkpoint)) == {"SyncBatchNorm"}
    saved = [
        SegmentationBackbone(checkpoint, **told).network.grad_checkpointing
        for told in ({}, {"checkpointing": True}, {"checkpointing": True, "frozen": True})
    ]
    assert saved == [False, True, False]
    frozen = SegmentationBackbone(checkpoint, frozen=True)
    assert not any(parameter.requires_grad for parameter in frozen.network.parameters())
    assert not frozen.train().network.training
    assert frozen.pyramid.training
    trained = SegmentationBackbone(checkpoint).train()
    assert {n for n, p in trained.network.named_parameters() if not p.requires_grad} == {"norm.weight", "norm.bias"}
    stages = SegmentationBackbone(resnet, levels="real")
    assert (stages.taps, stages.pyramid) == (None, None)
    stages.init_weights()
    with torch.inference_mode():
        assert [each.shape[2] for each in stages.eval()(images)] == [16, 8, 4, 2]


@pytest.mark.parametrize("patches", ["resample", "pad"])
def test_taps_and_patches_of_the_segmenter(tmp_path, patches):
    pytest.importorskip("mmseg", reason="needs mmseg")
    of_backbones()
    from benchmarks.engines.mmseg_backbone import SegmentationBackbone

    odd = dataclasses.replace(TINY, depth=6, patch_size=14, image_size=56)
    write_random_control(tmp_path / "odd.safetensors", seed=0, architecture=odd)
    made = SegmentationBackbone(str(tmp_path / "odd.safetensors"), norm="BN", patches=patches).eval()
    made.init_weights()
    assert made.differences() == []
    assert (made.patch, made.taps) == ({"resample": 16, "pad": 14}[patches], [0, 2, 3, 5])
    images = torch.randn(1, 3, 2 * made.patch, 2 * made.patch)
    with torch.inference_mode():
        every = made.network.forward_intermediates(images, norm=False, intermediates_only=True)
        for tapped, index in zip(made._tapped(images), made.taps, strict=True):
            assert torch.equal(tapped, every[index])


@pytest.mark.parametrize(
    ("asked", "frozen", "trains"), [(False, False, False), (True, False, True), (True, True, False)]
)
def test_fixed_positions_train_in_the_segmenter_where_the_recipe_says_so(tmp_path, asked, frozen, trains):
    pytest.importorskip("mmseg", reason="needs mmseg")
    of_backbones()
    from benchmarks.engines.mmseg_backbone import SegmentationBackbone

    fixed = dataclasses.replace(TINY, position="sincos-mae", class_token=False, position_prefix_rows=0)
    write_random_control(tmp_path / "fixed.safetensors", seed=0, architecture=fixed)
    made = SegmentationBackbone(str(tmp_path / "fixed.safetensors"), train_positions=asked, frozen=frozen)
    assert made.network.pos_embed.requires_grad == trains
