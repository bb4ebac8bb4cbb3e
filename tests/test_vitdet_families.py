"""ViTDet beyond DINO's ViT-B/16: recipes by size, layer decay, registers and rotary positions in windows, patch 14."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.backbones.fine_tuning import fitted, recompute
from benchmarks.backbones.layer_decay import lr_factor
from benchmarks.backbones.patches import KERNEL, on_padded, resampled, with_patches
from benchmarks.backbones.rotary import rotate
from benchmarks.backbones.vit import HouseViT
from benchmarks.backbones.windowed import Grid, WindowedAttention, WindowedViT, windows
from benchmarks.checkpoints.card import SIZE_RESIZE, Architecture, Card
from benchmarks.coco.vitdet import adapted, frozen, recipe_of
from benchmarks.engines.adaptation import Adaptation, keeps_prefix
from benchmarks.errors import InputError

TINY = Architecture(48, 4, 3, 16, 64, class_token=True, position_prefix_rows=1)
ALL = dataclasses.replace(TINY, registers=2, layer_scale=True, qk_norm=True, mlp="swiglu", activation="silu")
ROTARY = dataclasses.replace(ALL, position="rope", position_prefix_rows=0)
BASE = {"batch": 64, "updates": 184_375, "drops": (163_889, 177_546), "warm_up": 250, "learning_rate": 1e-4}


def card(width, depth, method="DINO", **more):
    return Card(method, Architecture(width, depth, width // 64, 16, 64, **more), SIZE_RESIZE)


def randomised(module):
    torch.manual_seed(0)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.2)
    return module.eval()


def test_recipes_are_the_published_ones():
    found = {}
    for width, depth, method in ((384, 12, ""), (768, 12, ""), (1024, 24, ""), (1024, 24, "DINOv2"), (1280, 32, ""),
                                 (1536, 40, "DINOv2")):  # fmt: skip
        r = recipe_of(card(width, depth, method))
        found[r.name] = (r.learning_rate, r.epochs, r.drop_path, r.layer_decay, r.window)
    assert found == {
        "S": (1e-4, 100, 0.1, 0.7, 14),
        "B": (1e-4, 100, 0.1, 0.7, 14),
        "L": (1e-4, 100, 0.4, 0.8, 14),
        "DINOv2-L": (1e-4, 100, 0.4, 0.8, 32),
        "H": (1e-4, 75, 0.5, 0.9, 14),
        "g": (5e-5, 36, 0.5, 0.9, 14),
    }
    # detectron2's own arithmetic for 75 epochs.
    assert recipe_of(card(1280, 32)).schedule(BASE)["drops"] == (122_916, 133_159)
    assert recipe_of(card(1280, 32)).schedule(BASE)["updates"] == 138_281
    told, schedule = adapted(card(1536, 40), Adaptation(window=16), BASE, mini=False)
    assert (told.window, told.drop_path, told.layer_decay, told.all_decay) == (16, 0.5, 0.9, True)
    assert (schedule["updates"], schedule["learning_rate"], schedule["batch"]) == (66_375, 5e-5, 64)
    other = recipe_of(card(512, 12))
    assert (other.name, other.source) == ("S", "none is published for width 512 and depth 12: S's")


def test_the_frozen_probe_is_pes():
    told, schedule = frozen(Adaptation(), BASE, mini=False)
    assert (told.window, told.drop_path, told.global_attention) == (32, 0.0, False)
    assert (schedule["updates"], schedule["drops"]) == (27_656, (24_583, 26_631))
    assert frozen(Adaptation(), BASE, mini=True)[1] == BASE
    network = WindowedViT(TINY, SIZE_RESIZE, whole=())
    assert {block.attn.window for block in network.blocks} == {14}


NAMES = ("pos_embed", "patch_embed.proj.weight", "blocks.0.norm1.weight", "blocks.3.attn.rel_pos_h", "norm.weight")


def test_learning_rates_fall_by_layer():
    powers = {name: round(-(lr_factor(f"backbone.net.{name}", 4, 0.5) ** -1)) for name in NAMES[:4]}
    assert powers == {NAMES[0]: -32, NAMES[1]: -32, NAMES[2]: -16, NAMES[3]: -2}
    assert lr_factor("backbone.net.cls_token", 4, 0.5) == lr_factor("backbone.vit.reg_token", 4, 0.5) == 0.5**5
    assert lr_factor("backbone.simfp_2.0.weight", 4, 0.5) == lr_factor("roi_heads.blocks.0.weight", 4, 0.5) == 1


def test_learning_rates_are_detectron2s():
    vit = pytest.importorskip("detectron2.modeling.backbone.vit", reason="needs detectron2")
    for name in (*(f"backbone.net.{name}" for name in NAMES), "backbone.simfp_2.0.weight", "proposal_generator.x"):
        assert lr_factor(name, 4, 0.7) == vit.get_vit_lr_decay_rate(name, 0.7, 4), name


@pytest.mark.parametrize("architecture", [ALL, ROTARY], ids=["table", "rotary"])
def test_without_windows_everything_is_as_in_the_network_itself(architecture):
    house = randomised(HouseViT(architecture, SIZE_RESIZE))
    ours = WindowedViT(architecture, SIZE_RESIZE, window=0, prefix=True).eval()
    ours.load_state_dict(house.state_dict())
    images = torch.randn(2, 3, 96, 64)
    with torch.inference_mode():
        (expected,) = house.forward_intermediates(images, indices=[3], norm=False, intermediates_only=True)
        assert torch.allclose(ours(images), expected, atol=1e-4)


@pytest.mark.parametrize("rotary", [False, True])
def test_prefix_tokens_see_the_map_and_windows_see_them(rotary):
    side, height, width, prefix = 3, 5, 4, 2
    attention = randomised(WindowedAttention(12, 1, side, qkv_bias=True))
    grid = Grid(height, width)
    if rotary:
        grid = grid._replace(angles=torch.randn(2, height * width, 12), window_angles=torch.randn(2, side**2, 12))
    x = torch.randn(1, prefix + height * width, 12)
    # Written out: the projections of all tokens, and of each window padded with zeros.
    q, k, v = attention.qkv(x).unflatten(2, (3, 1, 12)).permute(2, 0, 3, 1, 4)
    turned = rotate(k, grid.angles) if rotary else k
    first = ((q[:, :, :prefix] @ turned.transpose(2, 3)) * 12**-0.5).softmax(-1) @ v
    places = F.pad(x[:, prefix:].unflatten(1, (height, width)), (0, 0, 0, -width % side, 0, -height % side))
    found = []
    for window in windows(places, side).flatten(1, 2):
        wq, wk, wv = attention.qkv(window).unflatten(1, (3, 12)).permute(1, 0, 2)[:, None, None]
        if rotary:
            wq, wk = rotate(wq, grid.window_angles), rotate(wk, grid.window_angles)
        keys, values = torch.cat((k[:, :, :prefix], wk), 2), torch.cat((v[:, :, :prefix], wv), 2)
        found.append((((wq @ keys.transpose(2, 3)) * 12**-0.5).softmax(-1) @ values)[0, 0].unflatten(0, (side, side)))
    rows = [torch.cat(found[at : at + 2], 1) for at in (0, 2)]
    expected = torch.cat((first[0, 0], torch.cat(rows, 0)[:height, :width].flatten(0, 1)))
    with torch.inference_mode():
        assert torch.allclose(attention(x, grid)[0], attention.proj(expected), atol=1e-5)


def test_who_keeps_class_token_and_registers():
    assert [keeps_prefix(a, None) for a in (TINY, ALL, ROTARY)] == [False, True, True]
    assert not keeps_prefix(ALL, False)
    with pytest.raises(InputError, match="neither class token nor registers"):
        keeps_prefix(dataclasses.replace(TINY, class_token=False, position_prefix_rows=0), True)
    with pytest.raises(InputError, match="relative positions are not for"):
        WindowedViT(ROTARY, SIZE_RESIZE, relative=4)


def test_recomputed_gradients_are_the_same():
    found = []
    for again in (False, True):
        network = randomised(WindowedViT(ROTARY, SIZE_RESIZE, window=3, whole=(1, 3), prefix=True)).train()
        if again:
            recompute(network)
        network(torch.ones(1, 3, 64, 96)).square().mean().backward()
        found.append([p.grad for p in network.parameters() if p.grad is not None])
    assert len(found[0]) == len(found[1]) > 10
    assert all(torch.allclose(a, b, rtol=1e-5) for a, b in zip(*found, strict=True))


def test_a_resampled_kernel_gives_an_enlarged_image_the_same_tokens():
    kernel = torch.randn(8, 3, 14, 14)
    wider = resampled({KERNEL: kernel}, 16)[KERNEL]
    patch = torch.rand(1, 3, 14, 14)
    enlarged = F.interpolate(patch, size=(16, 16), mode="bicubic", antialias=True)
    assert torch.allclose((kernel * patch).sum((1, 2, 3)), (wider * enlarged).sum((1, 2, 3)), atol=1e-3)
    fourteen = dataclasses.replace(TINY, patch_size=14, image_size=56)
    assert with_patches(fourteen, 16).grid == fourteen.grid == 4
    assert fitted(fourteen, "resample", "x").patch_size == 16
    assert fitted(fourteen, "pad", "x") is fourteen


def test_maps_of_padded_images_lie_where_the_image_does():
    # A map whose value is the pixel coordinate of its cell's centre: so must the resampled one's be.
    def run(images):
        centres = (torch.arange(images.shape[3] // 14) + 0.5) * 14
        return [centres.expand(1, 1, images.shape[2] // 14, -1).contiguous()]

    (found,) = on_padded(run, torch.zeros(1, 3, 96, 224), 14)
    assert found.shape == (1, 1, 6, 14)
    expected = (torch.arange(14) + 0.5) * 16
    assert found[0, 0, 0, 1:-1].tolist() == pytest.approx(expected[1:-1].tolist(), abs=1e-3)
