"""ResNet-50 in Table 1: torchvision's features, the published settings, a real run; and what other backbones meet."""

import dataclasses
import json

import pytest
import torch
from checkpoint_files import DINOV3, RESNET, random_tensors

from benchmarks import shapes
from benchmarks.backbones.resnet import HouseResNet
from benchmarks.checkpoints.canonical import write_canonical
from benchmarks.checkpoints.card import SIZE_RESIZE, Card, ResNetArchitecture
from benchmarks.coco.dataset import open_coco
from benchmarks.coco.recipe import Options
from benchmarks.coco.run import CONFIGS, check_fit, run
from benchmarks.engines import mmdet as engine
from benchmarks.errors import InputError

RESNET50 = ResNetArchitecture(64, (3, 4, 6, 3), (64, 128, 256, 512), (256, 512, 1024, 2048))
CONFIG = "mask_rcnn_r50_fpn_1x_coco"


def write(path, architecture, **facts):
    write_canonical(path, random_tensors(architecture), Card("test", architecture, SIZE_RESIZE, **facts))
    return path


def test_features_are_torchvisions():
    torchvision = pytest.importorskip("torchvision")
    tensors = random_tensors(RESNET50)
    ours = HouseResNet(RESNET50).eval()
    ours.load_state_dict(tensors)
    theirs = torchvision.models.resnet50().eval()
    theirs.load_state_dict(tensors | {"fc.weight": torch.zeros(1000, 2048), "fc.bias": torch.zeros(1000)})
    images = torch.randn(1, 3, 96, 64)
    with torch.inference_mode():
        x = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(images))))
        for mine, stage in zip(ours.stages(images), ("layer1", "layer2", "layer3", "layer4"), strict=True):
            x = getattr(theirs, stage)(x)
            assert ((mine - x).norm() / x.norm()).item() < 1e-5


def small_config(folder, name=CONFIG, size=64):
    """The config of the paper with images of ``size`` pixels and no loader processes: as a user would change it."""
    path = folder / "small.py"
    steps = 'dict(type="LoadWholeImage"), dict(type="LoadAnnotations", with_bbox=True, with_mask=True)'
    resize = f'dict(type="Resize", scale=({size}, {size}), keep_ratio=True)'
    keys = ("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")
    path.write_text(
        f'_base_ = "{CONFIGS / name}.py"\n'
        f"train_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(filter_cfg=dict(min_size=1), "
        f'pipeline=[{steps}, {resize}, dict(type="PackDetInputs")]))\n'
        f"detect_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict("
        f'pipeline=[dict(type="LoadWholeImage"), {resize}, dict(type="PackDetInputs", meta_keys={keys})]))\n'
    )
    return path


def test_the_config_trains_every_layer_with_synchronised_norms(tmp_path):
    pytest.importorskip("mmcv.ops", reason="needs mmcv with its operators")
    checkpoint = write(tmp_path / "r.safetensors", RESNET, mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3))
    shapes.write_coco(tmp_path, train_images=1, val_images=1, size=64, seed=0)
    config = small_config(tmp_path)
    result = run(
        checkpoint, open_coco(tmp_path), tmp_path / "out", config, progress=False, options=Options(batch=1, updates=2)
    )
    losses = [json.loads(line)["loss"] for line in (tmp_path / "out/losses.jsonl").read_text().splitlines()]
    assert len(losses) == 2
    assert result["run"]["schedule"]["learning_rate"] == pytest.approx(0.02 / 16)
    state = torch.load(tmp_path / "out/last.pth", map_location="cpu", weights_only=False)["state_dict"]
    # Statistics and weights of the first stage moved: nothing is frozen.
    before = random_tensors(RESNET)
    for name in ("conv1.weight", "bn1.running_mean", "layer1.0.bn2.running_var"):
        assert not torch.equal(state[f"backbone.resnet.{name}"], before[name]), name


def test_the_detector_sees_pixels_as_the_card_says(tmp_path):
    pytest.importorskip("mmcv.ops", reason="needs mmcv with its operators")
    from mmdet.registry import MODELS
    from mmengine.config import Config
    from mmengine.registry import init_default_scope
    from mmengine.runner import Runner

    from benchmarks.engines import mmengine_run
    from benchmarks.engines.pixels import pixel_statistics

    imagenet = ([123.675, 116.28, 103.53], [58.395, 57.12, 57.375])
    assert pixel_statistics(Card("test", RESNET, SIZE_RESIZE)) == imagenet
    seen = {}

    class Stop(Exception):
        pass

    def build(config):
        seen.update(config.model.data_preprocessor)
        raise Stop

    checkpoint = write(tmp_path / "r.safetensors", RESNET, mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Runner, "from_cfg", build)
        for config in (CONFIGS / f"{CONFIG}.py", CONFIGS.parent / "mmseg/semantic_fpn_corrected.py"):
            with pytest.raises(Stop):
                mmengine_run.train(config, checkpoint, tmp_path, {}, 0)
            assert (seen["mean"], seen["std"]) == ([127.5, 102.0, 76.5], [51.0, 63.75, 76.5])
            assert seen["bgr_to_rgb"]
    config = Config.fromfile(str(CONFIGS / f"{CONFIG}.py"))
    init_default_scope("mmdet")
    config.model.backbone.checkpoint = str(checkpoint)
    config.model.neck.in_channels = list(RESNET.widths)
    model = MODELS.build(config.model)
    model.init_weights()
    assert model.backbone.differences() == []
    norms = [type(m).__name__ for m in model.modules() if "BatchNorm" in type(m).__name__]
    assert set(norms) == {"SyncBatchNorm"}
    assert all(parameter.requires_grad for parameter in model.backbone.parameters())
    with torch.inference_mode():
        maps = model.eval().backbone(torch.randn(1, 3, 64, 96))
    assert [tuple(m.shape[2:]) for m in maps] == [(64 // s, 96 // s) for s in (4, 8, 16, 32)]


def test_rotary_positions_work_in_tables_1_and_2_and_a_resnet_in_table_1_alone(tmp_path):
    pytest.importorskip("mmcv.ops", reason="needs mmcv with its operators")
    from benchmarks.engines.mmdet import read_config
    from benchmarks.engines.mmdet_backbone import CanonicalViT

    rotary = dataclasses.replace(DINOV3, depth=4)
    checkpoint = write(tmp_path / "v3.safetensors", rotary)
    backbone = CanonicalViT(str(checkpoint), norm="BN").eval()
    backbone.init_weights()
    assert backbone.differences() == []
    with torch.inference_mode():
        assert backbone(torch.randn(1, 3, 64, 96))[0].shape[2:] == (16, 24)
    vitdet = CONFIGS / "mask_rcnn_vitdet_b16_100ep_coco.py"
    expects = read_config(vitdet)["expects"]
    check_fit(expects, rotary, "x.safetensors", vitdet.name)
    with pytest.raises(InputError, match=r"has kind resnet, but .* is for vit"):
        check_fit(expects, RESNET, "x.safetensors", vitdet.name)
    with pytest.raises(InputError, match="is a resnet of stages, but this detector is for a ViT"):
        CanonicalViT(str(write(tmp_path / "r.safetensors", RESNET)))


def test_synchronised_norms_of_several_processes_need_gpus():
    pytest.importorskip("mmcv.ops", reason="needs mmcv with its operators")
    from benchmarks.engines.mmengine_run import refuse_sync_norms

    refuse_sync_norms(torch.nn.Sequential(torch.nn.BatchNorm2d(2)))
    with pytest.raises(InputError, match="between GPUs only and torch finds none"):
        refuse_sync_norms(torch.nn.Sequential(torch.nn.SyncBatchNorm(2)))


def test_basic_blocks_are_refused_by_the_config_of_bottlenecks():
    pytest.importorskip("mmcv.ops", reason="needs mmcv with its operators")
    config = CONFIGS / "mask_rcnn_r50_fpn_1x_coco.py"
    expects = engine.read_config(config)["expects"]
    check_fit(expects, RESNET, "r50.safetensors", config.name)
    with pytest.raises(InputError, match=r"r18\.safetensors has block basic, but .* is for bottleneck"):
        check_fit(
            expects, dataclasses.replace(RESNET, block="basic", inner=RESNET.widths), "r18.safetensors", config.name
        )
