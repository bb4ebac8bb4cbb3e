"""Writers: what comes back from another layout is what went in, and other programs compute the same with it."""

import dataclasses
import json

import pytest
import torch
from checkpoint_files import (
    DINOV2,
    DINOV3,
    GATED,
    NO_CLASS,
    RESNET,
    RESNET_BASIC,
    VIT,
    random_tensors,
    without_key_bias,
)

from benchmarks.backbones import load_backbone
from benchmarks.backbones.loading import weight_differences
from benchmarks.checkpoints.canonical import read_canonical, write_canonical
from benchmarks.checkpoints.card import (
    ANTIALIAS_RESIZE,
    DINO_RESIZE,
    SIZE_RESIZE,
    Card,
    ModuleArchitecture,
    ResNetArchitecture,
)
from benchmarks.checkpoints.convert import convert, convert_in_memory
from benchmarks.checkpoints.folding import fold_layer_scale
from benchmarks.errors import InputError

REGISTERS = dataclasses.replace(DINOV2, registers=4)
DINOV3_GATED = dataclasses.replace(DINOV3, mlp="swiglu", activation="silu", mlp_hidden=40)
NETWORKS = {
    "vit": (VIT, SIZE_RESIZE),
    "no class": (NO_CLASS, DINO_RESIZE),
    "dinov2": (DINOV2, SIZE_RESIZE),
    "gated": (GATED, SIZE_RESIZE),
    "registers": (REGISTERS, ANTIALIAS_RESIZE),
    "dinov3": (DINOV3, SIZE_RESIZE),
    "dinov3 gated": (DINOV3_GATED, SIZE_RESIZE),
    "resnet": (RESNET, SIZE_RESIZE),
    "resnet basic": (RESNET_BASIC, SIZE_RESIZE),
}


def canonical_file(name, folder):
    architecture, resize = NETWORKS[name]
    tensors = random_tensors(architecture)
    if "dinov3" in name:
        tensors = without_key_bias(tensors)
    if not isinstance(architecture, ResNetArchitecture):
        architecture = dataclasses.replace(architecture, mlp_hidden=architecture.hidden)
    path = folder / "source.safetensors"
    write_canonical(path, tensors, Card("test", architecture, resize, licence="x", provenance={"num_heads": "file"}))
    return path


def features(source, size=(40, 64), **keywords):
    module, _ = load_backbone(source, **keywords)
    with torch.inference_mode():
        return module.patch_tokens(torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0)))


@pytest.mark.parametrize(
    ("name", "target", "suffix"),
    [
        *(
            (name, target, suffix)
            for name in NETWORKS
            for target in ("mmdet", "mmseg", "timm")
            for suffix in (".safetensors", ".pth")
            if (name, target) != ("registers", "timm")
        ),
        *((name, "hf", "") for name in ("vit", "dinov2", "gated", "registers", "dinov3", "dinov3 gated")),
        ("resnet", "detectron2", ".pth"),
        ("resnet", "detectron2", ".pkl"),
        ("resnet", "detectron2", ".safetensors"),
        ("resnet basic", "detectron2", ".pth"),
    ],
)
def test_round_trips_are_exact(name, target, suffix, tmp_path):
    source, out = canonical_file(name, tmp_path), tmp_path / f"out{suffix}"
    ledger = convert(source, out, target=target)
    assert ledger.target == target
    told = "resnet" in name or target in ("mmdet", "mmseg", "hf") or ("dinov3" in name and target != "timm")
    named = next((note.split()[-1] for note in ledger.target_notes if "--architecture" in note), None)
    assert (named is not None) == (name == "no class" and target == "timm")
    back = convert_in_memory(out, None if told else 6, architecture=named if suffix == ".pth" else None)
    tensors, card = read_canonical(source)
    assert dict(back.tensors).keys() == tensors.keys()
    for key, tensor in tensors.items():
        assert torch.equal(back.tensors[key], tensor), key
    if target in ("mmdet", "mmseg", "hf") and "resnet" not in name:
        assert back.card.architecture == card.architecture
    if target in ("mmdet", "mmseg") and "resnet" not in name:
        assert back.card.resize == card.resize
        assert torch.equal(features(out), features(source))
    # the same bytes every time
    if suffix == ".safetensors":
        first = out.read_bytes()
        convert(source, out, target=target)
        assert out.read_bytes() == first


def test_timm_has_no_class_row_beside_registers(tmp_path):
    source, out = canonical_file("registers", tmp_path), tmp_path / "out.safetensors"
    convert(source, out, target="timm")
    assert convert_in_memory(out, 6).card.architecture.position_prefix_rows == 0
    assert torch.equal(features(out, heads=6), features(source))


@pytest.mark.parametrize("name", ["vit", "dinov2"])
def test_detectron2_gets_a_plain_vit_of_the_same_blocks(name, tmp_path):
    source, out = canonical_file(name, tmp_path), tmp_path / "out.pth"
    convert(source, out, target="detectron2")
    weights = torch.load(out, weights_only=True)["model"]
    assert all(key.startswith("backbone.net.") for key in weights)
    assert not any("ls1" in key or "cls_token" in key or ".norm." in key for key in weights)
    # The network that detectron2 builds: no class token, no final norm, LayerScale in the projections.
    tensors, card = read_canonical(source)
    bare = dataclasses.replace(card.architecture, class_token=False, final_norm=False)
    kept = {key: tensor for key, tensor in tensors.items() if key != "cls_token" and not key.startswith("norm.")}
    write_canonical(tmp_path / "bare.safetensors", kept, dataclasses.replace(card, architecture=bare))
    expected, got = features(tmp_path / "bare.safetensors"), features(out, heads=6)
    assert torch.allclose(got, expected, rtol=1e-5, atol=1e-5)


def test_folding_is_exact_to_rounding():
    tensors = random_tensors(DINOV2)
    folded = fold_layer_scale(tensors)
    assert not any(".ls" in name for name in folded)
    x = torch.randn(5, 24)
    for block in (0, 1):
        for scale, projection in (("ls1", "attn.proj"), ("ls2", "mlp.fc2")):
            weight, bias = (tensors[f"blocks.{block}.{projection}.{p}"] for p in ("weight", "bias"))
            inputs = x if projection == "attn.proj" else torch.randn(5, 96)
            expected = (inputs @ weight.T + bias) * tensors[f"blocks.{block}.{scale}.gamma"]
            got = inputs @ folded[f"blocks.{block}.{projection}.weight"].T + folded[f"blocks.{block}.{projection}.bias"]
            assert torch.allclose(got, expected, rtol=1e-6, atol=1e-6)
    assert torch.equal(folded["blocks.0.attn.qkv.weight"], tensors["blocks.0.attn.qkv.weight"])


@pytest.mark.parametrize(
    ("name", "target", "match"),
    [
        ("registers", "detectron2", "register tokens"),
        ("dinov3", "detectron2", "register tokens"),
        ("gated", "detectron2", "gated MLPs"),
        ("no class", "hf", "class token"),
        ("resnet", "hf", "ResNet"),
    ],
)
def test_what_a_program_cannot_hold_is_refused(name, target, match, tmp_path):
    with pytest.raises(InputError, match=match):
        convert(canonical_file(name, tmp_path), tmp_path / "out.pth", target=target)
    assert not (tmp_path / "out.pth").exists()


def test_another_resize_rule_is_said(tmp_path):
    tensors = random_tensors(DINOV2) | {"mask_token": torch.zeros(1, 24)}
    torch.save(tensors, tmp_path / "dinov2.pth")
    ledger = convert(tmp_path / "dinov2.pth", tmp_path / "hf", heads=6, target="hf")
    assert "resizes positions by another rule" in ledger.text()
    assert json.loads((tmp_path / "hf" / "config.json").read_text())["num_attention_heads"] == 6


def test_bad_outputs_are_refused(tmp_path):
    source = canonical_file("vit", tmp_path)
    with pytest.raises(InputError, match=r"NAME\.safetensors or NAME\.pth"):
        convert(source, tmp_path / "x.txt", target="timm")
    with pytest.raises(InputError, match="says 6 heads"):
        convert(source, tmp_path / "x.pth", heads=3, target="timm")
    with pytest.raises(InputError, match="canonical checkpoint already"):
        convert(source, tmp_path / "x.safetensors")
    with pytest.raises(InputError, match="no target"):
        convert(source, tmp_path / "x.pth", target="caffe")


# --- other programs ------------------------------------------------------------


def timm_vit(**changes):
    timm = pytest.importorskip("timm")
    from timm.models.vision_transformer import VisionTransformer

    norm = torch.nn.LayerNorm
    arguments = {"img_size": 48, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 6, "num_classes": 0}
    arguments |= {"norm_layer": lambda dim, **kw: norm(dim, eps=1e-6), "dynamic_img_size": True}
    assert timm
    return VisionTransformer(**arguments | changes).eval()


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("vit", {}),
        ("dinov2", {"init_values": 1.0}),
        ("registers", {"init_values": 1.0, "reg_tokens": 4, "no_embed_class": True}),
    ],
)
def test_timm_computes_the_same(name, changes, tmp_path):
    source, out = canonical_file(name, tmp_path), tmp_path / "out.pth"
    convert(source, out, target="timm")
    model = timm_vit(**changes)
    model.load_state_dict(torch.load(out, weights_only=True), strict=True)
    images = torch.randn(2, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = model.forward_features(images)[:, model.num_prefix_tokens :]
    assert torch.allclose(features(source, (48, 48)), expected, rtol=1e-5, atol=1e-5)


def test_timm_computes_the_same_with_rotary_positions(tmp_path):
    timm = pytest.importorskip("timm")
    source, out = canonical_file("dinov3", tmp_path), tmp_path / "out.pth"
    convert(source, out, target="timm")
    model = timm.create_model(
        "vit_small_patch16_dinov3_qkvb", embed_dim=24, depth=2, num_heads=6, patch_size=8, img_size=48,
        num_classes=0, dynamic_img_size=True,
    ).eval()  # fmt: skip
    model.load_state_dict(torch.load(out, weights_only=True), strict=True)
    for size in ((48, 48), (40, 64)):
        images = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
        with torch.inference_mode():
            expected = model.forward_features(images)[:, model.num_prefix_tokens :]
        assert torch.allclose(features(source, size), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["vit", "dinov2", "gated", "registers", "dinov3", "dinov3 gated"])
def test_transformers_computes_the_same(name, tmp_path):
    transformers = pytest.importorskip("transformers", reason="transformers is an optional library")
    source = canonical_file(name, tmp_path)
    convert(source, tmp_path / "hf", target="hf")
    extra = {"add_pooling_layer": False} if name == "vit" else {}
    model, report = transformers.AutoModel.from_pretrained(tmp_path / "hf", output_loading_info=True, **extra)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    prefix = 1 + NETWORKS[name][0].registers
    for size in ((48, 48), (40, 64)):
        images = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
        with torch.inference_mode():
            arguments = {"interpolate_pos_encoding": True} if name == "vit" else {}
            expected = model.eval()(images, **arguments).last_hidden_state[:, prefix:]
        assert torch.allclose(features(source, size), expected, rtol=1e-4, atol=1e-5)


def test_torchvision_computes_the_same(tmp_path):
    torchvision = pytest.importorskip("torchvision")
    model = torchvision.models.VisionTransformer(48, 8, 2, 6, 24, 96, num_classes=3).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    torch.save(model.state_dict(), tmp_path / "tv.pth")
    images = torch.randn(2, 3, 48, 48)
    with torch.inference_mode():
        tokens = model._process_input(images)
        expected = model.encoder(torch.cat([model.class_token.expand(2, -1, -1), tokens], dim=1))[:, 1:]
        got = load_backbone(tmp_path / "tv.pth", heads=6)[0].patch_tokens(images)
    assert torch.allclose(got, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("block", "blocks"), [("Bottleneck", [1, 1, 1, 1]), ("BasicBlock", [2, 2, 2, 2])])
def test_torchvision_resnet_computes_the_same(block, blocks, tmp_path):
    resnet = pytest.importorskip("torchvision").models.resnet
    model = resnet.ResNet(getattr(resnet, block), blocks).eval()
    torch.save(model.state_dict(), tmp_path / "r.pth")
    module, card = load_backbone(tmp_path / "r.pth")
    assert card.architecture.depth == (18 if block == "BasicBlock" else 14)
    images = torch.randn(1, 3, 70, 100)
    stem = torch.nn.Sequential(model.conv1, model.bn1, model.relu, model.maxpool)
    with torch.inference_mode():
        expected = model.layer4(model.layer3(model.layer2(model.layer1(stem(images)))))
        assert torch.equal(module(images), expected)
        last, maps = module.forward_intermediates(images, indices=2)
    assert [tuple(each.shape[2:]) for each in maps] == [(5, 7), (3, 4)]
    assert torch.equal(last, maps[1])


def test_the_depth_in_a_resnets_name():
    widths = (64, 128, 256, 512)
    for depth, blocks in ((18, (2, 2, 2, 2)), (34, (3, 4, 6, 3))):
        assert ResNetArchitecture(64, blocks, widths, widths, block="basic").depth == depth
    for depth, blocks in ((50, (3, 4, 6, 3)), (101, (3, 4, 23, 3))):
        assert ResNetArchitecture(64, blocks, widths, (256, 512, 1024, 2048)).depth == depth
    for wrong in ({"block": "wide"}, {"block": "basic", "inner": (1, 1, 1, 1)}):
        with pytest.raises(InputError):
            ResNetArchitecture(**{"stem": 64, "blocks": (2, 2, 2, 2), "inner": widths, "widths": widths, **wrong})


@pytest.mark.parametrize("final_norm", [True, False])
def test_mmseg_computes_the_same(final_norm, tmp_path):
    vit = pytest.importorskip("mmseg.models.backbones.vit", reason="mmseg is an optional library")
    model = vit.VisionTransformer(
        img_size=(48, 48), patch_size=8, embed_dims=24, num_layers=2, num_heads=6, out_indices=-1,
        final_norm=final_norm, interpolate_mode="bicubic",
    )  # fmt: skip
    model.eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    state = {f"backbone.{name}": tensor for name, tensor in model.state_dict().items()}
    torch.save({"state_dict": state, "meta": {}}, tmp_path / "mm.pth")
    images = torch.randn(2, 3, 40, 64)
    module, card = load_backbone(tmp_path / "mm.pth", heads=6)
    with torch.inference_mode():
        expected = model(images)[-1].flatten(2).transpose(1, 2)
        got = module.patch_tokens(images)
    assert card.architecture.eps == 1e-5  # mmseg's default
    assert torch.allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_a_changed_weight_is_seen_after_the_engine_initialised(tmp_path):
    source = canonical_file("dinov2", tmp_path)
    module, _ = load_backbone(source)
    tensors, _ = read_canonical(source)
    assert weight_differences(module, tensors) == []
    torch.nn.init.trunc_normal_(module.blocks[1].attn.proj.weight, std=0.02)  # what a forgotten init_weights does
    assert weight_differences(module, tensors) == ["blocks.1.attn.proj.weight holds other values than the file"]


def test_a_card_gives_the_houses_vit_or_says_what_it_is():
    assert Card("test", VIT, SIZE_RESIZE).vit is VIT
    for architecture, kind in ((RESNET, "resnet"), (ModuleArchitecture(8, 4), "module")):
        with pytest.raises(InputError, match=f"this needs the house's ViT, not a {kind} network"):
            _ = Card("test", architecture, SIZE_RESIZE).vit
