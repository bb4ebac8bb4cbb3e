"""ViTDet: windows, relative positions, pyramid and layer decay, alone, in mmdet, and against detectron2's own code."""

import dataclasses
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks import shapes
from benchmarks.backbones.global_blocks import global_blocks
from benchmarks.backbones.simple_pyramid import SimplePyramid
from benchmarks.backbones.vit import HouseViT
from benchmarks.backbones.windowed import Grid, WindowedAttention, WindowedViT, relative_rows
from benchmarks.checkpoints.card import SIZE_RESIZE, Architecture
from benchmarks.checkpoints.folding import fold_layer_scale
from benchmarks.coco.dataset import open_coco
from benchmarks.coco.recipe import Options, resolve
from benchmarks.coco.run import data_changes
from benchmarks.controls import SMALL_VIT, write_random_control
from benchmarks.errors import InputError

CONFIGS = Path(__file__).resolve().parents[1] / "third_party_configs"
TINY = Architecture(48, 4, 3, 16, 64, class_token=True, position_prefix_rows=1)


def randomised(module):
    """Every parameter away from what it is initialised with."""
    torch.manual_seed(0)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3 if parameter.ndim > 1 else 0.5)
    return module.eval()


def test_global_blocks_are_vitdets():
    assert global_blocks(12) == (2, 5, 8, 11)
    assert global_blocks(24) == (5, 11, 17, 23)


@pytest.mark.parametrize("window", [0, 3])
def test_attention_is_the_written_out_formula(window):
    attention = randomised(WindowedAttention(12, 2, window, relative=window or 4, qkv_bias=True))
    x = torch.randn(2, 5, 4, 12)
    side = window or 5
    # Written out: every window of the map padded with zeros, every pair of places.
    padded = torch.zeros(2, 6, 6, 12) if window else x
    padded[:, :5, :4] = x
    expected = torch.zeros_like(padded)
    for b in range(2):
        for top in range(0, padded.shape[1], side):
            for left in range(0, padded.shape[2], side):
                part = padded[b, top : top + side, left : left + side]
                height, width = part.shape[:2]
                q, k, v = attention.qkv(part.reshape(-1, 12)).reshape(height * width, 3, 2, 6).permute(1, 2, 0, 3)
                logits = q @ k.transpose(1, 2) * 6**-0.5
                rows, columns = (relative_rows(t, s) for t, s in
                                 ((attention.rel_pos_h, height), (attention.rel_pos_w, width)))  # fmt: skip
                for i in range(height * width):
                    for j in range(height * width):
                        (y, z), (r, c) = divmod(i, width), divmod(j, width)
                        logits[:, i, j] += q[:, i] @ rows[y, r] + q[:, i] @ columns[z, c]
                mixed = (logits.softmax(-1) @ v).transpose(0, 1).reshape(height * width, 12)
                expected[b, top : top + side, left : left + side] = attention.proj(mixed).view(height, width, 12)
    with torch.inference_mode():
        found = attention(x.flatten(1, 2), Grid(5, 4)).unflatten(1, (5, 4))
        assert torch.allclose(found, expected[:, :5, :4], atol=2e-5)


def test_without_windows_it_is_the_house_vit():
    plain = dataclasses.replace(TINY, class_token=False, position_prefix_rows=0, layer_scale=True)
    house = randomised(HouseViT(plain, SIZE_RESIZE))
    windowed = WindowedViT(plain, SIZE_RESIZE, window=0).eval()
    windowed.load_state_dict(house.state_dict())
    images = torch.randn(2, 3, 96, 64)
    with torch.inference_mode():
        (expected,) = house.forward_intermediates(images, indices=[3], norm=False, intermediates_only=True)
        assert torch.allclose(windowed(images), expected, atol=1e-5)


@pytest.mark.parametrize("patch", [8, 16])
def test_the_simple_pyramid_has_strides_4_to_64(patch):
    maps = SimplePyramid(16, patch, out=8)(torch.randn(1, 16, 128 // patch, 96 // patch))
    assert [tuple(m.shape) for m in maps] == [(1, 8, -(-128 // s), -(-96 // s)) for s in (4, 8, 16, 32, 64)]
    with pytest.raises(InputError, match="not 14"):
        SimplePyramid(16, 14)


def write_tiny(folder, **changes):
    path = folder / "tiny.safetensors"
    write_random_control(path, seed=0, architecture=dataclasses.replace(TINY, **changes))
    return path


def mmdet_model(config, checkpoint, **changes):
    """The detector of a paper config at the checkpoint's width, small heads, without data."""
    pytest.importorskip("mmcv.ops", reason="needs mmcv with its operators")
    from mmdet.registry import MODELS
    from mmengine.config import Config
    from mmengine.registry import init_default_scope

    from benchmarks.checkpoints.canonical import read_canonical
    from benchmarks.engines.mmdet import model_changes

    found = Config.fromfile(str(CONFIGS / "mmdet" / f"{config}.py"))
    init_default_scope("mmdet")
    architecture = read_canonical(checkpoint)[1].architecture
    changes = {f"model.{key}": value for key, value in changes.items()}
    found.merge_from_dict({"model.backbone.checkpoint": str(checkpoint), **model_changes(found.model, architecture)})
    found.merge_from_dict({"model.roi_head.bbox_head.fc_out_channels": 32, **changes})
    model = MODELS.build(found.model)
    model.init_weights()
    return model, found


@pytest.mark.parametrize(
    ("config", "patch", "heads"),
    [
        ("mask_rcnn_vit_fpn_1x_coco", 14, 3),
        ("mask_rcnn_vit_s16_fpn_1x_coco", 16, 6),
        ("mask_rcnn_vit_s16_8heads_fpn_1x_coco", 16, 8),
        ("mask_rcnn_vit_s8_fpn_1x_coco", 8, 6),
    ],
)
def test_table_1s_configs_build_at_tiny_width(tmp_path, config, patch, heads):
    checkpoint = write_tiny(tmp_path, patch_size=patch, image_size=4 * patch, registers=2, layer_scale=True)
    model, found = mmdet_model(config, checkpoint)
    assert model.backbone.differences() == []
    assert model.backbone.vit.blocks[0].attn.num_heads == heads
    assert model.roi_head.bbox_roi_extractor.featmap_strides == [4, 8, 16, 32]
    with torch.inference_mode():
        maps = model.eval().extract_feat(torch.randn(1, 3, 96, 64))
    assert [tuple(m.shape[2:]) for m in maps] == [(96 // s, 64 // s) for s in (4, 8, 16, 32)] + [(2, 1)]
    # The published exceptions: these names do not decay, all others do, the norm in the pyramid among them.
    from mmengine.optim import build_optim_wrapper

    groups = build_optim_wrapper(model, found.optim_wrapper).optimizer.param_groups
    decays = {id(group["params"][0]): group["weight_decay"] for group in groups}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            free = any(part in name for part in ("pos_embed", "cls_token", "norm"))
            assert decays[id(parameter)] == (0.0 if free else 0.05), name


VITDETS = ["mask_rcnn_vitdet_b16_100ep_coco", "mask_rcnn_vitdet_b16_relpos_100ep_coco"]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("config", ["mask_rcnn_vit_fpn_1x_coco", *VITDETS])
def test_the_heads_see_what_the_boxes_hold(tmp_path, config, layout):
    from torchvision.ops import roi_align

    model, _ = mmdet_model(config, write_tiny(tmp_path, image_size=128))
    boxes = torch.tensor([[0.0, 8, 8, 30, 40], [1, 50, 20, 100, 90], [1, 60, 60, 64, 66]])  # all of the finest level
    with torch.inference_mode():
        maps = model.eval().extract_feat(torch.randn(2, 3, 128, 128))
        regions = model.roi_head.mask_roi_extractor([m.contiguous(memory_format=layout) for m in maps[:4]], boxes)
        assert torch.allclose(regions, roi_align(maps[0], boxes, 14, 1 / 4, 0, True), atol=1e-5)
        # As the detector calls it, with whatever layout its own neck made.
        regions = model.roi_head.bbox_roi_extractor(maps[:4], boxes)
        assert torch.allclose(regions, roi_align(maps[0], boxes, 7, 1 / 4, 0, True), atol=1e-5)


@pytest.mark.parametrize("config", sorted(path.stem for path in (CONFIGS / "mmdet").glob("*_rcnn_*.py")))
def test_every_detector_has_the_safe_extractor(config):
    pytest.importorskip("mmdet", reason="needs mmdet")
    from mmengine.config import Config

    head = Config.fromfile(str(CONFIGS / "mmdet" / f"{config}.py")).model.roi_head
    assert {value.type for name, value in head.items() if name.endswith("roi_extractor")} == {"Regions"}


@pytest.mark.parametrize("config", VITDETS)
def test_vitdets_configs_build_and_decay_by_layer(tmp_path, config):
    model, found = mmdet_model(config, write_tiny(tmp_path))
    from mmengine.optim import build_optim_wrapper

    assert model.backbone.differences() == []
    groups = build_optim_wrapper(model, found.optim_wrapper).optimizer.param_groups
    settings = {id(p): (g["lr"] / 1e-4, g["weight_decay"]) for g in groups for p in g["params"]}
    named = {name: settings[id(p)] for name, p in model.named_parameters() if p.requires_grad}
    assert named["backbone.vit.pos_embed"] == (pytest.approx(0.7**5), 0.0)
    assert named["backbone.vit.patch_embed.proj.weight"] == (pytest.approx(0.7**5), 0.1)
    assert named["backbone.vit.blocks.3.norm1.weight"] == (pytest.approx(0.7), 0.0)
    assert named["backbone.vit.blocks.0.attn.qkv.bias"] == (pytest.approx(0.7**4), 0.1)
    assert named["neck.simfp_2.1.weight"] == (1.0, 0.1)
    assert named["roi_head.bbox_head.shared_convs.0.ln.weight"] == (1.0, 0.1)
    assert ("backbone.vit.blocks.1.attn.rel_pos_h" in named) == ("relpos" in config)


def test_vitdet_refuses_what_does_not_fit(tmp_path):
    for patch, size in ((16, 1000), (64, 1024)):
        checkpoint = write_tiny(tmp_path, patch_size=patch, image_size=4 * patch)
        with pytest.raises(InputError, match=r"no whole number of steps of 16|too far from any stride"):
            mmdet_model("mask_rcnn_vitdet_b16_100ep_coco", checkpoint, **{"backbone.image_size": size})


def test_a_killed_run_ends_as_the_unbroken_one(tmp_path):
    pytest.importorskip("mmcv.ops", reason="needs mmcv with its operators")
    from benchmarks.engines import mmdet as engine
    from benchmarks.engines import mmengine_hooks

    shapes.write_coco(tmp_path, train_images=4, val_images=1, size=64, seed=0)
    write_random_control(tmp_path / "c.safetensors", seed=0, architecture=dataclasses.replace(SMALL_VIT, num_heads=2))
    config, data = CONFIGS / "mmdet" / "mask_rcnn_vitdet_mini.py", open_coco(tmp_path)
    schedule = resolve(engine.read_config(config)["recipe"], 4, 1, Options(2, 1, updates=2), gpu=False)
    assert schedule.accumulation == 2
    changes = {**data_changes(data, tmp_path), **engine.schedule_changes(schedule), "model.backbone.frozen": False}

    def train(out):
        engine.train(config, tmp_path / "c.safetensors", out, changes, seed=3, progress=False)
        return torch.load(out / "last.pth", map_location="cpu", weights_only=False)["state_dict"]

    unbroken = train(tmp_path / "whole")
    write = mmengine_hooks.LossLog.after_train_iter

    def stop(self, runner, *args, **kwargs):
        if runner.iter == 3:  # the last pass of the second update; the snapshot is after the first
            raise KeyboardInterrupt
        return write(self, runner, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mmengine_hooks.AtomicSnapshot, "__init__", lambda self, interval: setattr(self, "interval", 1))
        patch.setattr(mmengine_hooks.LossLog, "after_train_iter", stop)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "killed")
    resumed = train(tmp_path / "killed")
    assert len((tmp_path / "killed/losses.jsonl").read_text().splitlines()) == 4
    assert unbroken.keys() == resumed.keys()
    assert [name for name in unbroken if not torch.equal(unbroken[name], resumed[name])] == []


# --- against detectron2's own code --------------------------------------------------------------------------------


def detectron2_vit(architecture, relative):
    modeling = pytest.importorskip("detectron2.modeling", reason="needs detectron2")
    a = architecture
    return modeling.ViT(
        img_size=1024, pretrain_img_size=a.image_size, patch_size=a.patch_size, embed_dim=a.embed_dim, depth=a.depth,
        num_heads=a.num_heads, window_size=14, norm_layer=partial(nn.LayerNorm, eps=1e-6),
        window_block_indexes=[i for i in range(a.depth) if i not in global_blocks(a.depth)],
        use_rel_pos=relative, out_feature="last_feat", pretrain_use_cls_token=bool(a.position_prefix_rows),
    ).eval()  # fmt: skip


def difference(ours, theirs):
    return ((ours - theirs).norm() / theirs.norm()).item()


@pytest.mark.parametrize("size", [(512, 512), (800, 1344), (1024, 1024)])
@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("layer_scale", [False, True])
def test_features_are_detectron2s(size, relative, layer_scale):
    architecture = dataclasses.replace(TINY, layer_scale=layer_scale)
    theirs = detectron2_vit(architecture, relative)
    ours = WindowedViT(architecture, SIZE_RESIZE, relative=64 if relative else None)
    randomised(ours)
    state = fold_layer_scale(ours.state_dict())
    missing = theirs.load_state_dict(state, strict=False).missing_keys
    assert missing == []
    images = torch.randn(1, 3, *size)
    with torch.inference_mode():
        assert difference(ours(images), theirs(images)["last_feat"]) < 1e-4


def test_the_pyramid_is_detectron2s():
    net = detectron2_vit(TINY, False)
    from detectron2.modeling import SimpleFeaturePyramid
    from detectron2.modeling.backbone.fpn import LastLevelMaxPool

    theirs = SimpleFeaturePyramid(net, "last_feat", 32, (4.0, 2.0, 1.0, 0.5), LastLevelMaxPool(), "LN", 1024).eval()
    ours = SimplePyramid(TINY.embed_dim, 16, out=32)
    state = theirs.state_dict()
    ours.load_state_dict({name: value for name, value in state.items() if not name.startswith("net.")})
    images = torch.randn(1, 3, 128, 128)
    with torch.inference_mode():
        for mine, other in zip(ours(net(images)["last_feat"]), theirs(images).values(), strict=True):
            assert difference(mine, other) < 1e-4


@pytest.mark.parametrize("config", VITDETS)
def test_the_detectors_of_both_engines_are_one(tmp_path, config):
    pytest.importorskip("detectron2.modeling", reason="needs detectron2")
    from detectron2.structures import Boxes

    from benchmarks.backbones.layer_decay import parameter_settings
    from benchmarks.engines import detectron2 as engine
    from benchmarks.engines.detectron2_names import to_detectron2, to_mmdet

    # Positions on the grid of the images below: the engines resize them by different rules, which docs/coco.md says.
    checkpoint = write_tiny(tmp_path, image_size=128)
    ours, _ = mmdet_model(config, checkpoint)
    lazy = engine.read_config(CONFIGS / "detectron2" / f"{config}.py")
    lazy.model.roi_heads.box_head.fc_dims = [32]
    lazy.model.roi_heads.box_predictor.input_shape.channels = 32
    theirs = engine.build(lazy, checkpoint, 80)

    # Parameters: the same under other names, there and back.
    state = to_detectron2(ours.state_dict())
    buffers = {"pixel_mean", "pixel_std", "proposal_generator.anchor_generator"}
    own = {n: t.shape for n, t in theirs.state_dict().items() if not n.startswith(tuple(buffers))}
    assert own == {name: tensor.shape for name, tensor in state.items()}
    back = to_mmdet(state, ours.state_dict())
    assert all(torch.equal(back[name], tensor) for name, tensor in ours.state_dict().items())

    # Learning rates and decay.
    optimizer = engine.make_optimizer(lazy, theirs, 1e-4)
    names = {id(parameter): name for name, parameter in theirs.named_parameters()}
    expected = {names[id(p)]: (g["lr"], g["weight_decay"]) for g in optimizer.param_groups for p in g["params"]}
    depth, found = len(ours.backbone.vit.blocks), {}
    for name, parameter, factor, decays in parameter_settings(ours, depth, 0.7):
        (there,) = to_detectron2({name: parameter})
        found[there] = (pytest.approx(1e-4 * factor), 0.1 if decays else 0.0)
    assert expected == found

    # What they compute: pyramid, proposals' logits, regions, and both heads on the same regions.
    theirs.load_state_dict(state, strict=False)
    images = torch.randn(1, 3, 128, 128)
    with torch.inference_mode():
        maps, others = ours.eval().extract_feat(images), theirs.eval().backbone(images)
        assert all(difference(m, o) < 1e-4 for m, o in zip(maps, others.values(), strict=True))
        mine = ours.rpn_head(maps)
        logits, deltas = theirs.proposal_generator.rpn_head(list(others.values()))
        assert all(difference(m, o) < 1e-4 for m, o in zip(mine[0], logits, strict=True))
        assert all(difference(m, o) < 1e-4 for m, o in zip(mine[1], deltas, strict=True))
        # Through all of the pyramid's levels, one region across the border.
        sides = [[8, 8, 30, 40], [10, 20, 120, 110], [-20, 5, 90, 300], [60, 60, 64, 66], [0, 0, 500, 400]]
        sides = torch.tensor(sides, dtype=torch.float32)
        heads = theirs.roi_heads
        for extractor, pooler in (
            (ours.roi_head.bbox_roi_extractor, heads.box_pooler),
            (ours.roi_head.mask_roi_extractor, heads.mask_pooler),
        ):
            mine = extractor(maps[:4], torch.cat([torch.zeros(5, 1), sides], 1))
            assert difference(mine, pooler(list(others.values())[:4], [Boxes(sides)])) < 1e-4
        regions = torch.randn(3, 256, 7, 7)
        for m, o in zip(ours.roi_head.bbox_head(regions), heads.box_predictor(heads.box_head(regions)), strict=True):
            assert difference(m, o) < 1e-4
        regions = torch.randn(3, 256, 14, 14)
        assert difference(ours.roi_head.mask_head(regions), heads.mask_head.layers(regions)) < 1e-4


def test_detectron2_trains_and_is_scored(tmp_path):
    pytest.importorskip("detectron2.modeling", reason="needs detectron2")
    from benchmarks.coco.run_detectron2 import run

    shapes.write_coco(tmp_path, train_images=4, val_images=2, size=64, seed=0)
    config = CONFIGS / "detectron2" / "mask_rcnn_vitdet_mini.py"
    options = Options(per_device=2, updates=2)
    found = run(
        write_tiny(tmp_path), open_coco(tmp_path / "coco"), tmp_path / "out", config, options=options, progress=False
    )
    assert found["run"]["schedule"]["accumulation"] == 2
    assert 0 <= found["metrics"]["segm/AP"] <= 100
