"""Every family, from files in its layout: the right tensors, facts and reasons, and nothing else."""

import dataclasses
import json
import os

import numpy as np
import pytest
import torch
from checkpoint_files import CASES, DINOV2, DINOV3, GATED, NO_CLASS, RESNET, RESNET_BASIC, VIT, random_tensors, under
from library_files import METHODS_OF_LIBRARIES

from benchmarks.backbones import HouseResNet, HouseViT, load_backbone
from benchmarks.backbones.loading import build
from benchmarks.checkpoints.card import DINO_RESIZE, ResNetArchitecture
from benchmarks.checkpoints.container import open_foreign
from benchmarks.checkpoints.convert import convert, convert_in_memory
from benchmarks.checkpoints.formats import all_formats
from benchmarks.checkpoints.recognition import walk
from benchmarks.checkpoints.shapes import tensor_shapes
from benchmarks.errors import InputError

#: Cases with the number of heads itself in the file; an architecture's name is a row of a table.
SAY_HEADS = ("dinov3", "mmpretrain", "mmseg")


def written(name, tmp_path):
    case = CASES[name]
    tensors = case.values(random_tensors(case.architecture))
    path = tmp_path / f"{name}.pth"
    torch.save(case.write(tensors), path)
    return case, tensors, path


@pytest.mark.parametrize("name", CASES)
def test_a_file_of_each_family_gives_its_network(name, tmp_path):
    case, tensors, path = written(name, tmp_path)
    converted = convert_in_memory(path, case.heads)
    card, ledger = converted.card, converted.ledger
    assert card.method == case.method
    found = card.architecture
    if isinstance(found, ResNetArchitecture):
        assert found == case.architecture
    else:
        # the kind of table and the eps are tested by their values elsewhere
        found = dataclasses.replace(found, position=case.architecture.position, eps=case.architecture.eps)
        assert found == dataclasses.replace(case.architecture, mlp_hidden=case.architecture.hidden)
        assert card.provenance["num_heads"] == ("user" if case.heads else "file" if name in SAY_HEADS else "table")
    assert dict(converted.tensors).keys() == tensors.keys()
    for tensor_name, tensor in tensors.items():
        assert torch.equal(converted.tensors[tensor_name], tensor), tensor_name
    # one fate for every tensor of the dict that was taken, one for every tensor of the network
    assert set(ledger.targets()) == set(tensors)
    assert not set(ledger.loaded) & set(ledger.dropped)
    counted = len(ledger.fates()) + sum(aside.tensors for aside in ledger.asides)
    assert counted == sum(1 for _ in walk(open_foreign(path).content))
    json.dumps(ledger.to_dict(), allow_nan=False)
    assert all(len(line) < 200 for line in ledger.text().splitlines())
    assert len(ledger.text().splitlines()) < 40


def test_every_family_has_a_file_here():
    methods = {case.method for case in CASES.values()} | {"house backbone", *METHODS_OF_LIBRARIES.values()}
    # those of kind timm: tests/test_timm_networks.py
    known = {family.method for family in all_formats() if hasattr(family, "layout") and family.kind != "timm"}
    assert {method for method in known - methods if "transformers" not in method} == set()


@pytest.mark.parametrize(
    ("name", "branch", "zero"),
    [
        ("dino_full", "student", True),
        ("mocov3", "momentum_encoder", True),
        ("msn", "encoder", True),
        ("moby", "encoder_k", True),
        ("resnet_moco", "encoder_k", True),
        ("resnet_scrl", "target_network", True),
        ("dino_full", "teacher", False),
    ],
)
def test_other_branches_can_be_asked_for(name, branch, zero, tmp_path):
    case, _, path = written(name, tmp_path)
    converted = convert_in_memory(path, case.heads, branch)
    assert converted.card.branch == branch
    weights = converted.tensors["conv1.weight" if name.startswith("resnet") else "blocks.0.attn.qkv.weight"]
    assert (weights.abs().sum() == 0) == zero
    assert converted.ledger.other_branches or name == "dino_full"


def test_a_file_name_says_nothing(tmp_path):
    """NeCo's files differ by name alone from DINOv2's and from a bare DINO backbone."""
    for tensors, method in (
        (random_tensors(DINOV2) | {"mask_token": torch.zeros(1, 24)}, "DINOv2"),
        (random_tensors(VIT), "unknown (layout DINO)"),
    ):
        for name in ("neco_on_dinov2_vit14_model.ckpt", "x.ckpt"):
            torch.save(tensors, tmp_path / name)
            card = convert_in_memory(tmp_path / name, 6).card
            assert card.method == method
            assert card.provenance["method"] != "file"


def test_a_branch_can_be_a_path_of_keys(tmp_path):
    torch.save({"a": {"b": random_tensors(VIT)}}, tmp_path / "x.pth")
    assert convert_in_memory(tmp_path / "x.pth", 6, "a.b").card.method == "unknown (layout DINO)"
    with pytest.raises(InputError, match=r"no branch 'a\.c'"):
        convert_in_memory(tmp_path / "x.pth", 6, "a.c")
    assert convert_in_memory(tmp_path / "x.pth", 6).card.branch == "a.b"  # the one network in it


def test_the_same_weights_under_another_method_are_another_network(tmp_path):
    tensors = random_tensors(VIT)
    torch.save(tensors, tmp_path / "dino.pth")
    torch.save({"model": tensors}, tmp_path / "deit.pth")
    images = torch.randn(1, 3, 40, 64)
    a, b = (load_backbone(tmp_path / f"{name}.pth", heads=6)[0] for name in ("dino", "deit"))
    with torch.inference_mode():
        assert not torch.allclose(a.patch_tokens(images), b.patch_tokens(images), rtol=1e-2)
        assert torch.equal(a.patch_tokens(images[..., :40]), a.patch_tokens(images[..., :40]))


QK_NORM = dataclasses.replace(VIT, qk_norm=True)


@pytest.mark.parametrize("architecture", [VIT, NO_CLASS, DINOV2, GATED, DINOV3, QK_NORM, RESNET, RESNET_BASIC])
def test_the_list_of_tensors_is_that_of_the_network(architecture):
    net = HouseResNet(architecture) if architecture.kind == "resnet" else HouseViT(architecture, DINO_RESIZE)
    assert {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()} == tensor_shapes(architecture)


def heads_case(tmp_path, width, heads=None, wrap=lambda t: t, **facts):
    architecture = dataclasses.replace(VIT, embed_dim=width, num_heads=1, **facts)
    tensors = {name: torch.full(shape, 0.1) for name, shape in tensor_shapes(architecture).items()}
    torch.save(wrap(tensors), tmp_path / "w.pth")
    return convert_in_memory(tmp_path / "w.pth", heads).card


def test_heads_are_asked_for_where_methods_differ(tmp_path):
    for width in (384, 1280):
        with pytest.raises(InputError, match="--heads"):
            heads_case(tmp_path, width, depth=2)
    assert heads_case(tmp_path, 384, 6, depth=2).provenance["num_heads"] == "user"
    with pytest.raises(InputError, match=r"method unknown .*--heads"):
        heads_case(tmp_path, 192, depth=12)  # no width and depth is a known network
    with pytest.raises(InputError, match="do not divide"):
        heads_case(tmp_path, 384, 7, depth=2)
    with pytest.raises(InputError, match="positive"):
        heads_case(tmp_path, 384, -6, depth=2)


def test_a_method_that_is_certain_has_its_table(tmp_path):
    def dinov2(tensors):
        return tensors | {"mask_token": torch.zeros(1, 384)}

    assert heads_case(tmp_path, 384, depth=2, wrap=dinov2, layer_scale=True).architecture.num_heads == 6
    mocov3 = heads_case(tmp_path, 384, depth=2, wrap=lambda t: {"state_dict": under("module.base_encoder.", t)})
    assert mocov3.architecture.num_heads == 12


@pytest.mark.parametrize("name", SAY_HEADS)
def test_heads_that_contradict_a_number_in_the_file_are_refused(name, tmp_path):
    _, _, path = written(name, tmp_path)
    with pytest.raises(InputError, match=r"the file says \d+ heads, but --heads 3"):
        convert_in_memory(path, 3)


@pytest.mark.parametrize("name", ["dino_full", "mocov3", "moby", "timm_trainer", "mae_full"])
def test_heads_that_follow_from_a_name_can_be_overruled(name, tmp_path):
    _, _, path = written(name, tmp_path)
    assert convert_in_memory(path).card.provenance["num_heads"] == "table"
    card = convert_in_memory(path, 3).card
    assert (card.architecture.num_heads, card.provenance["num_heads"]) == (3, "user")


def test_a_resnet_has_no_heads(tmp_path):
    _, _, path = written("resnet_moco", tmp_path)
    with pytest.raises(InputError, match="ResNet"):
        convert_in_memory(path, 6)


@pytest.mark.parametrize(
    ("names", "match"),
    [
        (["encoder.blocks.0.residual1.norm.weight", "encoder.patch_embed.weight"], "CAPI"),
        (["modality_encoders.IMAGE.local_encoder.proj.weight", "blocks.0.attn.qkv.weight"], "data2vec 2"),
        (["module.blocks.0.local_mp.conv1.weight", "module.patch_embed.proj.0.0.weight"], "XCiT"),
        (["downsample_layers.0.0.weight", "stages.0.0.dwconv.weight"], "ConvNeXt"),
        (["layers.0.blocks.0.attn.relative_position_bias_table", "layers.0.blocks.0.attn.qkv.weight"], "Swin"),
        (["blocks.0.attn.q_bias", "rel_pos_bias.relative_position_bias_table", "patch_embed.proj.weight"], "BEiT"),
        (["blocks.0.attn.relative_position_bias_table", "patch_embed.proj.weight", "cls_token"], "BEiT"),
        (["module.base_encoder.patch_embed.proj.0.weight", "module.base_encoder.cls_token"], "convolutional stem"),
    ],
)
@pytest.mark.parametrize("container", [None, "model", "teacher", "state_dict"])
def test_layouts_that_cannot_be_held_are_refused_by_name(names, match, container, tmp_path):
    weights = {name: torch.ones(2, 2) for name in names}
    torch.save({container: weights} if container else weights, tmp_path / "x.pth")
    with pytest.raises(InputError, match=match):
        convert_in_memory(tmp_path / "x.pth", 6)


def test_trained_relative_positions_are_refused_and_untrained_ones_dropped(tmp_path):
    case, tensors, _ = written("vitdet", tmp_path)
    content = case.write(tensors)
    tables = {f"backbone.net.blocks.{i}.attn.rel_pos_{axis}": torch.zeros(11, 4) for i in (0, 1) for axis in "hw"}
    content["model"] |= tables
    torch.save(content, tmp_path / "x.pth")
    assert len([why for why in convert_in_memory(tmp_path / "x.pth", 6).ledger.dropped.values() if "zero" in why]) == 4
    content["model"]["backbone.net.blocks.1.attn.rel_pos_h"] = torch.ones(11, 4)
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(InputError, match="relative positions"):
        convert_in_memory(tmp_path / "x.pth", 6)


DAMAGES = {
    "first block missing": lambda t: {n: v for n, v in t.items() if not n.startswith("blocks.0.")},
    "last block missing": lambda t: {n: v for n, v in t.items() if not n.startswith("blocks.1.")},
    "square matrix transposed": lambda t: t | {"blocks.0.attn.proj.weight": t["blocks.0.attn.proj.weight"].T},
    "missing tensor": lambda t: {n: v for n, v in t.items() if n != "blocks.1.mlp.fc2.bias"},
    "cut tensor": lambda t: t | {"blocks.1.mlp.fc1.weight": t["blocks.1.mlp.fc1.weight"][:50]},
    "transposed": lambda t: t | {"blocks.0.mlp.fc1.weight": t["blocks.0.mlp.fc1.weight"].T},
    "transposed everywhere": lambda t: {n: v.T if v.ndim == 2 else v for n, v in t.items()},
    "table cut by its class row": lambda t: t | {"pos_embed": t["pos_embed"][:, 1:]},
    "table cut by a row": lambda t: t | {"pos_embed": t["pos_embed"][:, :-2]},
    "no class token": lambda t: {n: v for n, v in t.items() if n != "cls_token"},
    "no table": lambda t: {n: v for n, v in t.items() if n != "pos_embed"},
    "NaN": lambda t: t | {"blocks.0.norm1.bias": t["blocks.0.norm1.bias"] * float("nan")},
    "infinite": lambda t: t | {"norm.bias": t["norm.bias"] / 0},
    "integers": lambda t: t | {"norm.bias": torch.ones(24, dtype=torch.int64)},
    "stranger": lambda t: t | {"blocks.0.adapter.weight": torch.ones(2)},
    "a norm in two": lambda t: t | {"backbone.norm.weight": t["norm.weight"]},
    "grey images": lambda t: t | {"patch_embed.proj.weight": t["patch_embed.proj.weight"][:, :1]},
    "empty tensor": lambda t: t | {"patch_embed.proj.weight": torch.zeros(0, 3, 8, 8)},
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["dino", "dinov2", "mae", "ibot", "deit"])
def test_a_damaged_file_is_refused(name, damage, tmp_path):
    case, tensors, path = written(name, tmp_path)
    torch.save(case.write(DAMAGES[damage](tensors)), path)
    with pytest.raises(InputError) as caught:
        convert(path, tmp_path / "out.safetensors", 6)
    assert str(path) in str(caught.value)
    assert not (tmp_path / "out.safetensors").exists()


def test_branches_of_different_depth_are_refused(tmp_path):
    case, _, path = written("dino_full", tmp_path)
    shallow, deep = (random_tensors(dataclasses.replace(VIT, depth=depth)) for depth in (2, 3))
    content = case.write(shallow) | {"student": under("module.backbone.", deep)}
    torch.save(content, path)
    with pytest.raises(InputError, match="student has 3 blocks, teacher has 2"):
        convert_in_memory(path)


def test_code_that_a_file_wants_to_run_is_named(tmp_path):
    torch.save({"model": random_tensors(VIT), "args": os.system}, tmp_path / "x.pth")
    text = convert_in_memory(tmp_path / "x.pth", 6).ledger.text()
    assert "posix.system, which runs code when unpickled; it was not run" in text


def test_a_mask_that_is_no_number_is_refused(tmp_path):
    case, tensors, path = written("dinov3", tmp_path)
    content = case.write(tensors)
    content["blocks.0.attn.qkv.bias_mask"] = torch.full((72,), float("nan"))
    torch.save(content, path)
    with pytest.raises(InputError, match="bias_mask is not finite"):
        convert_in_memory(path)


def test_half_precision_is_kept_and_computed_in_full(tmp_path):
    tensors = {name: tensor.half() for name, tensor in random_tensors(VIT).items()}
    torch.save(tensors, tmp_path / "x.pth")
    converted = convert_in_memory(tmp_path / "x.pth", 6)
    assert {tensor.dtype for tensor in converted.tensors.values()} == {torch.float16}
    module, _ = load_backbone(tmp_path / "x.pth", heads=6)
    assert module.patch_tokens(torch.randn(1, 3, 48, 48)).dtype == torch.float32


def test_a_foreign_file_is_the_same_network_as_its_conversion(tmp_path):
    case, _, path = written("mocov3", tmp_path)
    convert(path, tmp_path / "c.safetensors")
    images = torch.randn(1, 3, 40, 64)
    networks = [load_backbone(source)[0] for source in (path, tmp_path / "c.safetensors")]
    with torch.inference_mode():
        first, second = (network.patch_tokens(images) for network in networks)
    assert torch.equal(first, second)
    assert np.isfinite(first.numpy()).all()
    assert build(convert_in_memory(path).card).architecture.num_heads == case.architecture.num_heads
