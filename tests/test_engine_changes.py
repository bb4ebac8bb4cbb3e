"""What an engine's config is told for a checkpoint, by its kind, widths, patches and prefix."""

import dataclasses

import pytest

from benchmarks.checkpoints.card import Architecture, Card, ResizeRule, ResNetArchitecture, TimmArchitecture
from benchmarks.engines import adaptation
from benchmarks.engines.adaptation import Adaptation
from benchmarks.errors import InputError

VIT = Architecture(384, 12, 6, 16, 224, class_token=True, position_prefix_rows=1)
RESIZE = ResizeRule()
REGISTERS = dataclasses.replace(VIT, registers=4)
BARE = dataclasses.replace(VIT, class_token=False, position_prefix_rows=0)
RESNET = ResNetArchitecture(64, (3, 4, 6, 3), (64, 128, 256, 512), (256, 512, 1024, 2048))
SWIN = TimmArchitecture("swin", {}, 768, 12, (96, 192, 384, 768), (4, 8, 16, 32), fixed_size=True)
EVA = TimmArchitecture("eva02", {}, 192, 12, (192,), (14,), prefix=1)


def test_what_was_decided_is_recorded_and_memory_decides_nothing():
    assert Adaptation().as_record() == {"patches": "resample", "checkpointing": False}
    told = Adaptation("pad", True, 14, False, 0.0, 0.7, False, False)
    assert told.as_record() == dataclasses.asdict(told)
    assert set(told.as_record()) - set(told.deciding()) == {"checkpointing"}


def test_the_widths_of_stages_and_of_taps():
    assert [adaptation.has_stages(a) for a in (VIT, RESNET, SWIN, EVA)] == [False, True, True, False]
    assert adaptation.widths_of(VIT) == [384] * 4
    assert adaptation.widths_of(RESNET) == [256, 512, 1024, 2048]
    assert adaptation.widths_of(SWIN) == [96, 192, 384, 768]
    assert adaptation.widths_of(EVA) == [192] * 4


def test_tables_of_one_size_are_for_frozen_tasks():
    for architecture, frozen in ((VIT, False), (RESNET, False), (EVA, False), (SWIN, True)):
        adaptation.require_any_size(architecture, frozen, "here")
    with pytest.raises(InputError, match=r"^here: the tables of swin belong to one image size: frozen tasks take it$"):
        adaptation.require_any_size(SWIN, False, "here")


def test_registers_stay_and_a_class_token_alone_goes():
    asked = [(VIT, None), (VIT, True), (REGISTERS, None), (REGISTERS, False), (BARE, None), (BARE, False)]
    assert [adaptation.keeps_prefix(*each) for each in asked] == [False, True, True, False, False, False]
    with pytest.raises(InputError, match="has neither class token nor registers"):
        adaptation.keeps_prefix(BARE, True)


def test_vitdets_network_of_a_card():
    card = Card("x", REGISTERS, RESIZE)
    made = adaptation.vitdet_options(card, 1024, True, 0.1, 14, None, "here")
    assert made == {
        "architecture": REGISTERS, "resize": card.resize, "drop_path_rate": 0.1, "window": 14, "whole": None,
        "relative": 64, "prefix": True,
    }  # fmt: skip
    other = adaptation.vitdet_options(card, 1024, False, 0.1, 14, False, "here", global_attention=False)
    assert (other["whole"], other["relative"], other["prefix"]) == ((), None, False)
    # Patches of 14 go by steps of 16, and the last row of them is not whole.
    fourteen = Card("x", dataclasses.replace(VIT, patch_size=14), RESIZE)
    assert adaptation.vitdet_options(fourteen, 1024, True, 0.1, 14, None, "here")["relative"] == 74
    with pytest.raises(InputError, match="images of 1030 pixels are no whole number of steps of 16: here"):
        adaptation.vitdet_options(card, 1030, True, 0.1, 14, None, "here")
    with pytest.raises(InputError, match="here is a resnet, but ViTDet's windows are for a ViT of the house"):
        adaptation.vitdet_options(Card("x", RESNET, RESIZE), 1024, True, 0.1, 14, None, "here")


@pytest.fixture
def mmdet():
    pytest.importorskip("mmengine", reason="needs mmengine")
    from benchmarks.engines import mmdet

    return mmdet


def test_the_backbone_and_neck_of_a_pyramid(mmdet):
    model = {"backbone": {"type": "CanonicalViT"}}
    plain = {"model.backbone.patches": "resample", "model.neck.in_channels": [384] * 4}
    assert mmdet.model_changes(model, VIT) == plain
    told = Adaptation("pad", checkpointing=True)
    assert mmdet.model_changes(model, VIT, told) == {
        **plain, "model.backbone.patches": "pad", "model.backbone.checkpointing": True,
    }  # fmt: skip
    stages = {"model.backbone.type": "CanonicalStages", "model.neck.in_channels": [96, 192, 384, 768]}
    assert mmdet.model_changes(model, SWIN) == {**plain, **stages}
    resnet = mmdet.model_changes({"backbone": {"type": "CanonicalResNet"}}, RESNET)
    assert resnet == {**plain, "model.neck.in_channels": [256, 512, 1024, 2048]}


def test_the_backbone_and_neck_of_vitdet(mmdet):
    model = {"backbone": {"type": "CanonicalViTDet"}}
    plain = {"model.backbone.patches": "resample", "model.neck.in_channels": 384, "model.neck.patch": 16}
    assert mmdet.model_changes(model, VIT) == plain
    told = Adaptation("pad", False, 7, True, 0.0, 0.7, False, False)
    assert mmdet.model_changes(model, dataclasses.replace(VIT, patch_size=14), told) == {
        **plain,
        "model.backbone.patches": "pad",
        "model.backbone.window": 7,
        "model.backbone.prefix_tokens": True,
        "model.backbone.drop_path_rate": 0.0,
        "model.backbone.global_attention": False,
        "optim_wrapper.paramwise_cfg.rate": 0.7,
        "optim_wrapper.paramwise_cfg.all_decay": False,
    }


def test_options_of_transforms_are_set_by_their_type(mmdet):
    pipeline = [{"type": "LoadWholeImage"}, {"type": "Resize"}, {"type": "Pack"}]
    config = {"loader": {"dataset": {"pipeline": pipeline}}}
    told = {"Resize": {"scale": (1000, 600), "keep_ratio": True}, "Pack": {}}
    assert mmdet.transform_changes(config, "loader", told) == {
        "loader.dataset.pipeline.1.scale": (1000, 600),
        "loader.dataset.pipeline.1.keep_ratio": True,
    }
    for wrong in ([], [{"type": "Resize"}] * 2):
        with pytest.raises(ValueError, match="unpack"):
            mmdet.transform_changes({"loader": {"dataset": {"pipeline": wrong}}}, "loader", told)
