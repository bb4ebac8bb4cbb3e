"""Networks that timm's own class runs: accepted by name and arguments, at any image size, never by resemblance."""

import json

import pytest
import timm
import torch
from checkpoint_files import VIT as PLAIN
from checkpoint_files import random_tensors
from safetensors.torch import save_file
from timm_sweep import arguments, randomised

from benchmarks.backbones import load_backbone
from benchmarks.checkpoints.card import Card, TimmArchitecture
from benchmarks.checkpoints.convert import convert, convert_in_memory
from benchmarks.davis.encoder import backbone_encoder
from benchmarks.errors import InputError

SWIN = {"embed_dim": 12, "depths": [2, 2, 2, 1], "num_heads": [1, 2, 3, 4], "window_size": 2, "img_size": 64}
CONVNEXT = {"dims": [8, 16, 24, 32], "depths": [1, 1, 2, 1]}


def folder(path, name, small, seed=0):
    """A folder as timm saves it, and the network in it."""
    network = randomised(timm.create_model(name, num_classes=3, **small))
    path.mkdir(exist_ok=True)
    save_file(
        {key: value.contiguous().clone() for key, value in network.state_dict().items()}, path / "model.safetensors"
    )
    (path / "config.json").write_text(json.dumps({"architecture": name, "model_args": small}))
    return network


def difference(found, expected):
    return float((found - expected).norm() / expected.norm())


@pytest.mark.parametrize(
    ("name", "small"),
    [("swin_tiny_patch4_window7_224", SWIN), ("convnext_tiny", CONVNEXT), ("convnextv2_tiny", CONVNEXT)],
)
def test_networks_of_stages_give_the_maps_of_timm(name, small, tmp_path):
    network = folder(tmp_path / "x", name, small)
    ours, card = load_backbone(tmp_path / "x")
    images = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        maps = ours.stage_maps(images)
        expected = network.forward_intermediates(images, intermediates_only=True)
        last = network.forward_features(images)
        last = last if name.startswith("swin") else last.permute(0, 2, 3, 1)
        assert difference(ours.patch_tokens(images), last.flatten(1, 2)) < 1e-5
        listed = timm.create_model(name, features_only=True, **small).eval()
    assert [difference(ours, theirs) < 1e-5 for ours, theirs in zip(maps, expected, strict=True)] == [True] * 4
    assert card.architecture.strides == tuple(listed.feature_info.reduction()) == (4, 8, 16, 32)
    assert card.architecture.widths == tuple(listed.feature_info.channels())
    assert ours.patch_tokens(torch.randn(1, 3, 96, 160)).shape == (1, 3 * 5, card.architecture.embed_dim)
    encoder = backbone_encoder(ours, card)
    assert encoder(torch.randn(1, 3, 96, 160)).shape == (1, 6, 10, card.architecture.widths[2])


ORIGINAL_NAMES = {
    "stem.": "downsample_layers.0.",
    ".conv_dw.": ".dwconv.",
    ".mlp.grn.weight": ".grn.gamma",
    ".mlp.grn.bias": ".grn.beta",
    ".mlp.fc": ".pwconv",
    "head.norm.": "norm.",
}


def original_convnext(network):
    """timm's tensors under the names of facebookresearch/ConvNeXt."""
    found = {}
    for name, tensor in network.state_dict().items():
        if name.startswith("head.fc."):
            continue
        for ours, theirs in ORIGINAL_NAMES.items():
            name = name.replace(ours, theirs)
        if "downsample" in name and not name.startswith("downsample_layers"):
            stage, _, rest = name.removeprefix("stages.").partition(".downsample.")
            name = f"downsample_layers.{stage}.{rest}"
        found[name.replace(".blocks.", ".")] = tensor[None, None, None] if ".grn." in name else tensor
    return found


@pytest.mark.parametrize(
    ("name", "dinov3"), [("convnext_tiny", False), ("convnextv2_tiny", False), ("convnext_tiny", True)]
)
def test_a_convnext_in_its_own_names(name, dinov3, tmp_path):
    network = randomised(timm.create_model(name, num_classes=0, **CONVNEXT))
    tensors = original_convnext(network)
    if dinov3:
        tensors |= {f"norms.3.{part}": tensors[f"norm.{part}"] for part in ("weight", "bias")}
    torch.save({"teacher": {f"backbone.{key}": value for key, value in tensors.items()}}, tmp_path / "x.pth")
    ours, card = load_backbone(tmp_path / "x.pth")
    images = torch.randn(2, 3, 64, 96)
    with torch.inference_mode():
        cells = network.forward_features(images)
        cells = network.head.norm(cells) if dinov3 else cells  # DINOv3 norms every cell
        assert difference(ours.patch_tokens(images), cells.flatten(2).transpose(1, 2)) < 1e-5
    assert card.method == ("DINOv3" if dinov3 else "unknown (layout ConvNeXt)")
    assert card.provenance["method"] == ("layout" if dinov3 else "unknown")


@pytest.mark.parametrize("wrap", ["{}", "encoder.{}", "backbone.{}"])
@pytest.mark.parametrize("merging", ["original", "timm"])
def test_a_swin_in_its_own_names(wrap, merging, tmp_path):
    """As EsViT (backbone.), SimMIM and MoBY (encoder.) write it, with merging at the end of a stage."""
    network = randomised(timm.create_model("swin_tiny_patch4_window7_224", num_classes=0, **SWIN))
    tensors = {}
    for name, tensor in network.state_dict().items():
        if merging == "original" and ".downsample." in name:
            stage = int(name.split(".")[1])
            name = name.replace(f"layers.{stage}.", f"layers.{stage - 1}.")
        tensors[wrap.format(name)] = tensor
    tensors[wrap.format("layers.0.blocks.0.attn.relative_position_index")] = torch.zeros(4, 4, dtype=torch.int64)
    torch.save({"model": tensors}, tmp_path / "x.pth")
    ours, card = load_backbone(tmp_path / "x.pth")
    images = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        assert difference(ours.patch_tokens(images), network.forward_features(images).flatten(1, 2)) < 1e-5
    assert card.method == "unknown (layout Swin)"


OTHER_SIZES = [
    "eva02_tiny_patch14_224",
    "beit_base_patch16_224",
    "naflexvit_base_patch16_gap",
    "vit_base_patch16_rpn_224",
]


@pytest.mark.parametrize("name", OTHER_SIZES)
def test_images_of_other_sizes_are_resized_for_as_timm_does(name, tmp_path):
    small, patch, _ = arguments(name)
    network = folder(tmp_path / "x", name, small)
    ours, card = load_backbone(tmp_path / "x")
    assert card.architecture.kind == "timm"
    for rows, columns in ((3, 5), (4, 4), (6, 4)):
        images = torch.randn(1, 3, rows * patch, columns * patch)
        if hasattr(network, "set_input_size"):
            network.set_input_size(img_size=images.shape[2:]) if (rows, columns) == (3, 5) else None
        with torch.inference_mode():
            found = ours.patch_tokens(images)
            assert found.shape == (1, rows * columns, card.architecture.embed_dim)
            if (rows, columns) == (3, 5):
                assert difference(found, network.forward_features(images)[:, network.num_prefix_tokens :]) < 1e-5


def test_a_table_that_is_no_square_keeps_its_sides(tmp_path):
    small = {"depth": 2, "embed_dim": 24, "num_heads": 3, "patch_size": 8, "img_size": [16, 64]}
    network = folder(tmp_path / "x", "vit_small_patch16_224", small)  # 2 x 8 cells: also 4 x 4
    ours, card = load_backbone(tmp_path / "x")
    images = torch.randn(1, 3, 16, 64)
    with torch.inference_mode():
        assert difference(ours.patch_tokens(images), network.forward_features(images)[:, 1:]) < 1e-5
    assert card.architecture.image_size == (16, 64)


def test_heads_of_a_name_are_overruled_and_those_in_the_file_are_not(tmp_path):
    small, _, heads = arguments("eva02_tiny_patch14_224")
    folder(tmp_path / "x", "eva02_tiny_patch14_224", small)
    card = convert_in_memory(tmp_path / "x").card
    assert (card.architecture.num_heads, card.provenance["num_heads"]) == (heads, "table")
    other = convert_in_memory(tmp_path / "x", 2 * heads).card
    assert (other.architecture.num_heads, other.provenance["num_heads"]) == (2 * heads, "user")
    folder(tmp_path / "y", "eva02_tiny_patch14_224", small | {"num_heads": heads})
    assert convert_in_memory(tmp_path / "y").card.provenance["num_heads"] == "file"
    with pytest.raises(InputError, match=rf"the file says {heads} heads, but --heads {2 * heads}"):
        convert_in_memory(tmp_path / "y", 2 * heads)


def test_the_user_can_name_the_network_of_a_bare_file(tmp_path):
    small, patch, _ = arguments("vit_base_patch16_rpn_224")
    network = folder(tmp_path / "x", "vit_base_patch16_rpn_224", small)
    lone = (tmp_path / "x" / "model.safetensors").rename(tmp_path / "lone.safetensors")
    with pytest.raises(InputError, match=r"method unknown.*the place of the norms.*--architecture"):
        load_backbone(lone, heads=12)
    words = ",".join(["timm:vit_base_patch16_rpn_224", *(f"{key}={value}" for key, value in small.items())])
    ours, card = load_backbone(lone, architecture=words)
    images = torch.randn(1, 3, 4 * patch, 4 * patch)
    with torch.inference_mode():
        assert difference(ours.patch_tokens(images), network.forward_features(images)) < 1e-5
    assert card.provenance["architecture"] == "user"
    for wrong, match in (("vit_nothing", "does not know"), ("xcit_nano_12_p8_224", "xcit"), (words + ",a=[", "give")):
        with pytest.raises(InputError, match=match):
            load_backbone(lone, architecture=wrong)


@pytest.mark.parametrize(
    ("config", "match"),
    [
        ({"architecture": "xcit_nano_12_p8_224"}, "timm's xcit, which has not been compared here"),
        ({"architecture": "vit_of_tomorrow"}, "timm does not know it"),
        ({"architecture": "vit_small_patch16_224"}, "not of one net"),
        ({"architecture": "vit_small_patch16_224", "model_args": {"attn_layer": "os.system"}}, "'attn_layer'"),
        ({"architecture": "vit_small_patch16_224", "model_args": {"pretrained": True}}, "'pretrained'"),
        ({"architecture": "vit_small_patch16_224", "model_args": {"embed_dim": 10**9}}, "cannot be used"),
        ({"architecture": "vit_small_patch16_224", "model_args": {"embed_dim": "wide"}}, "cannot make"),
        ({"architecture": "../../etc/passwd"}, "timm does not know it"),
    ],
)
def test_what_is_not_on_the_list_is_refused(config, match, tmp_path):
    save_file(random_tensors(PLAIN), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=match):
        load_backbone(tmp_path)


def test_the_card_says_all_of_it_again(tmp_path):
    network = folder(tmp_path / "x", "convnext_tiny", CONVNEXT)
    ledger = convert(tmp_path / "x", tmp_path / "c.safetensors")
    ours, card = load_backbone(tmp_path / "c.safetensors")
    assert isinstance(card.architecture, TimmArchitecture)
    assert Card.from_dict(json.loads(json.dumps(card.to_dict())), "x") == card
    assert "timm's own class" in ledger.text()
    images = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        expected = network.forward_features(images).flatten(2).transpose(1, 2)
        assert difference(ours.patch_tokens(images), expected) < 1e-5
    with pytest.raises(InputError, match="timm is the only target"):
        convert(tmp_path / "c.safetensors", tmp_path / "d.pth", target="detectron2")
    convert(tmp_path / "c.safetensors", tmp_path / "t.safetensors", target="timm")
    back, again = load_backbone(tmp_path / "t.safetensors")  # the card came with it
    assert again.architecture == card.architecture
    with torch.inference_mode():
        assert torch.equal(back.patch_tokens(images), ours.patch_tokens(images))
