"""Protocols beside DINO's: equal to their published programs, by label maps that these gave for a small video."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from in_process import run_tool
from PIL import Image

from benchmarks.backbones.vit import HouseViT
from benchmarks.checkpoints.card import DINO_RESIZE, Architecture, Card, ResNetArchitecture
from benchmarks.controls import write_random_control
from benchmarks.davis.encoder import Encoder, backbone_encoder, layers_of
from benchmarks.davis.frames import harden, input_size, prepare_frame, prepare_mask
from benchmarks.davis.predictions import write_prediction
from benchmarks.davis.propagation import propagate_video
from benchmarks.davis.protocol import DINOV3_M, DINOV3_S, PROTOCOLS, Protocol, chosen_protocols
from benchmarks.errors import InputError

DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="module")
def recorded():
    """``frames`` BGR ``[5, 60, 106, 3]``, the first ``mask``, a convolution as network, and the programs' label maps.

    Made with facebookresearch/dinov3 at 6876159 (the notebook; once more with its upsampling set to bilinear) and
    alexandre-eymael/CropMAE at 5d0dab2, on a CPU. SiamMAE's 21 context frames stand on a grid of 12x22 tokens, and its
    own 48x88 video has objects whose edges run through the middle of tokens: their soft mask decides label maps.
    """
    return np.load(DATA / "davis_protocols.npz")


@pytest.mark.parametrize(
    ("name", "changes", "patch"),
    [("dinov3-s", {}, 16), ("dinov3-s", {"upsampling": "bilinear"}, 16), ("siammae", {}, 40)],
)
def test_label_maps_are_the_published_programs(recorded, name, changes, patch):
    weight, mask = torch.from_numpy(recorded["weight"]), recorded.get(f"{name} mask", recorded["mask"])
    encoder = Encoder(lambda images: F.conv2d(images, weight, stride=patch).flatten(2).transpose(1, 2), patch)
    protocol = PROTOCOLS[name].variant(**changes)
    size = input_size(*mask.shape, patch, protocol)
    frames = [
        prepare_frame(frame, size, protocol.mean, protocol.std, protocol.resample)
        for frame in recorded.get(f"{name} frames", recorded["frames"])
    ]
    first = prepare_mask(mask, encoder.grid(size), protocol, size)
    ours = np.stack(list(propagate_video(encoder, frames, first, mask.shape, protocol)))
    theirs = recorded[protocol.name]
    assert ours.shape == theirs.shape == (4, *mask.shape)
    assert set(np.unique(theirs)) == {0, 1, 2}
    assert (ours == theirs).mean() >= 0.9999


def test_what_label_maps_of_a_small_video_do_not_notice_is_as_published():
    of = PROTOCOLS["siammae"]
    assert (of.temperature, of.window_on_first, of.std) == (0.7, False, (0.229, 0.224, 0.225))
    of = PROTOCOLS["dinov3-m"]
    assert (of.temperature, of.topk, of.radius, of.std) == (0.2, 5, 12, (0.229, 0.224, 0.225))


@pytest.mark.parametrize(
    ("name", "patch", "frame", "expected"),
    [
        ("dinov3-s", 16, (480, 854), (480, 864)),
        ("dinov3-m", 16, (480, 854), (960, 1712)),
        ("dinov3-l", 16, (480, 854), (1440, 2576)),
        ("dinov3-m", 16, (854, 480), (1712, 960)),
        ("dinov3-m", 16, (480, 480), (960, 960)),
        ("dinov3-s", 14, (480, 854), (420, 756)),
        ("dinov3-m", 14, (480, 854), (840, 1498)),
        ("dinov3-l", 14, (480, 854), (1260, 2254)),
        ("siammae", 16, (480, 854), (480, 880)),
        ("siammae", 16, (854, 480), (480, 880)),
        ("siammae", 8, (480, 1152), (480, 880)),
    ],
)
def test_inputs_have_the_published_sizes(name, patch, frame, expected):
    assert input_size(*frame, patch, PROTOCOLS[name]) == expected


def test_notebook_and_paper_disagree_on_a_size_and_both_can_be_asked_for():
    wide = DINOV3_M.variant(quietly={"short_sides": ()})
    assert input_size(480, 854, 14, wide) == (966, 1722)
    paper = wide.variant(long_side="down", upsampling="bilinear")
    assert input_size(480, 854, 14, paper) == (966, 1708)
    assert paper.name == "dinov3-m long-side=down upsampling=bilinear"
    assert DINOV3_M.variant(upsampling="nearest", long_side=None) == DINOV3_M


def test_labels_are_stretched_after_they_are_enlarged_and_constant_ones_lose():
    soft = torch.tensor([[[0.5, 0.5], [0.5, 0.5]], [[0.3, 0.1], [0.2, 0.1]]])
    labels = harden(soft, np.array([0, 7], np.uint8), 16, (4, 6), DINOV3_S)
    assert labels.tolist() == [[7, 7, 7, 0, 0, 0]] * 2 + [[7, 7, 7, 0, 0, 0]] * 2
    assert harden(soft * 0, np.array([0, 7], np.uint8), 16, (4, 6), DINOV3_S).max() == 0


def test_a_choice_that_is_none_is_named():
    with pytest.raises(InputError, match="ties of 'ranks' is not known: choose weights or similarities"):
        Protocol(ties_of="ranks")
    with pytest.raises(InputError, match="not stretched"):
        Protocol(upsampling="nearest", stretch=False)
    with pytest.raises(InputError, match="protocol 'dinov3' is not known"):
        chosen_protocols("dinov3")


@torch.no_grad()
def test_a_layer_is_that_blocks_output_after_the_final_norm():
    torch.manual_seed(0)
    architecture = Architecture(16, 3, 2, 8, 32, class_token=True, position_prefix_rows=1)
    module, card = HouseViT(architecture, DINO_RESIZE).eval(), Card("x", architecture, DINO_RESIZE)
    assert list(layers_of(card)) == [1, 2, 3]
    images = torch.randn(1, 3, 16, 24)
    tokens = module.blocks[0](module._pos_embed(module.patch_embed(images)))
    for layer in (1, 2):
        if layer == 2:
            tokens = module.blocks[1](tokens)
        encoder = backbone_encoder(module, card, layer)
        assert encoder.layer == layer
        assert torch.allclose(encoder.tokens(images), module.norm(tokens)[:, 1:], atol=1e-6)
    assert torch.equal(backbone_encoder(module, card, 3)(images), backbone_encoder(module, card)(images))
    for layer in (0, 4):
        with pytest.raises(InputError, match=f"layer {layer} is none of this network's: choose from 1 to 3"):
            backbone_encoder(module, card, layer)
    resnet = ResNetArchitecture(8, (1, 1, 1, 1), (4, 4, 4, 4), (8, 8, 8, 8), block="bottleneck")
    assert list(layers_of(Card("x", resnet, DINO_RESIZE))) == [3]


@pytest.fixture
def world(tmp_path):
    """A video of three small frames and a network of two blocks."""
    for folder, suffix in (("JPEGImages", "jpg"), ("Annotations", "png")):
        (tmp_path / "DAVIS" / folder / "480p/square").mkdir(parents=True)
        for number in range(3):
            mask = np.zeros((48, 80), np.uint8)
            mask[8:32, 8 + 8 * number : 40 + 8 * number] = 1
            path = tmp_path / "DAVIS" / folder / "480p/square" / f"{number:05}.{suffix}"
            write_prediction(path, mask) if suffix == "png" else Image.fromarray(mask * 200).convert("RGB").save(path)
    (tmp_path / "DAVIS/ImageSets/2017").mkdir(parents=True)
    (tmp_path / "DAVIS/ImageSets/2017/val.txt").write_text("square\n")
    architecture = Architecture(32, 2, 2, 16, 224)
    write_random_control(tmp_path / "random.safetensors", 0, architecture)
    return tmp_path


def test_the_commands_take_all_protocols_and_the_best_layer(world):
    words = ("--checkpoint", world / "random.safetensors", "--davis-root", world, "--json", world / "facts.json")
    words += ("--short-side", 64, "--size-multiple", 16)
    done = run_tool("propagate_davis.py", *words, "--protocol", "all", "--out", world / "all")
    assert done.returncode == 0, done.stderr
    facts = json.loads((world / "facts.json").read_text())
    assert list(facts) == list(PROTOCOLS)
    assert facts["dinov3-l"]["protocol"]["name"] == "dinov3-l short-side=64 size-multiple=16"
    assert facts["siammae"]["inputs"] == [[64, 96]]
    assert {one["layer"] for one in facts.values()} == {2}
    words = ("--davis-root", world, "--json", world / "scores.json", "--predictions")
    done = run_tool("evaluate_davis.py", *words, world / "all", "--protocol", "all")
    assert done.returncode == 0, done.stderr
    scores = json.loads((world / "scores.json").read_text())
    assert list(scores) == list(PROTOCOLS)
    assert f"crw       J&F {scores['crw']['J&F-Mean']:.4f}" in done.stdout

    words = ("--checkpoint", world / "random.safetensors", "--davis-root", world, "--short-side", 64)
    done = run_tool("propagate_davis.py", *words, "--layer", "best", "--out", world / "l", "--json", world / "l.json")
    assert done.returncode == 0, done.stderr
    study = json.loads((world / "l.json").read_text())
    values = {layer: one["metrics"]["J&F-Mean"] for layer, one in study["layers"].items()}
    assert values[str(study["best"])] == max(values.values())
    assert study["layers"]["1"]["run"]["layer"] == 1
    assert (world / "l/layer-01/square/00002.png").is_file()
    done = run_tool("propagate_davis.py", *words, "--layer", "first", "--out", world / "l")
    assert done.returncode == 2
    assert "--layer first is not a layer" in done.stderr
