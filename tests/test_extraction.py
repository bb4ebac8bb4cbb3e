"""Features of pictures as files: the model's own transform, whole tokens, layers, and every form the same numbers."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoint_files import RESNET, VIT, random_tensors
from PIL import Image
from safetensors import safe_open

from benchmarks.backbones import load_backbone
from benchmarks.checkpoints.canonical import write_canonical
from benchmarks.checkpoints.card import SIZE_RESIZE, Card
from benchmarks.core.model import Model
from benchmarks.errors import InputError
from benchmarks.extraction import check_layers, features_of, find_pictures, image_grid, load_picture, write_features

ROOT = Path(__file__).resolve().parents[1]
MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)


@pytest.fixture
def checkpoint(tmp_path):
    card = Card("test", VIT, SIZE_RESIZE, MEAN, STD)
    write_canonical(tmp_path / "v.safetensors", random_tensors(VIT), card)
    return tmp_path / "v.safetensors"


@pytest.fixture
def model(checkpoint):
    module, card = load_backbone(checkpoint)
    return Model("model", card, "", live=module)


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos" / "deep"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name, shape in (("deep/a.png", (60, 100)), ("b.png", (96, 48))):
        Image.fromarray(rng.integers(0, 256, (*shape, 3), dtype=np.uint8)).save(tmp_path / "photos" / name)
    (folder / "notes.md").write_text("no image")
    return tmp_path / "photos"


def test_the_transform_is_the_model_s_own(model, photos):
    image = load_picture(model, photos / "b.png", (96, 48))
    pixels = np.asarray(Image.open(photos / "b.png"))
    expected = (pixels / 255.0 - MEAN) / STD
    assert np.abs(image.permute(1, 2, 0).numpy() - expected).max() < 1e-5


def test_sides_are_whole_tokens_and_the_shape_is_kept(model):
    assert image_grid(model, 60, 100, None) == (48, 80)  # trained at 48
    assert image_grid(model, 100, 60, (96,)) == (160, 96)
    assert image_grid(model, 100, 60, (16, 24)) == (16, 24)
    assert image_grid(model, 1000, 10, (8,)) == (800, 8)
    for size, line in (((20, 24), "multiples of 8"), ((7,), "at least 8")):
        with pytest.raises(InputError, match=line):
            image_grid(model, 60, 100, size)


def test_layers_are_the_blocks_that_were_named(model, photos):
    pictures = find_pictures(photos)
    assert list(pictures) == ["b.png", "deep/a.png"]
    both = dict(features_of(model, pictures, (48,), [0, -1]))
    last = dict(features_of(model, pictures, (48,)))
    assert both["deep/a.png"].shape == (2, 6, 10, 24)
    for name in pictures:
        assert np.abs(both[name][1] - last[name]).max() < 1e-5
        assert np.abs(both[name][0] - last[name]).max() > 0.1
    for layers in ([2], [-3]):
        with pytest.raises(InputError, match="0 to 1"):
            check_layers(model, layers)


def test_every_form_holds_the_same_numbers(model, photos, tmp_path):
    found = dict(features_of(model, find_pictures(photos), (48, 64)))
    for suffix in (".npy", ".npz", ".safetensors"):
        assert write_features(tmp_path / f"f{suffix}", found.items(), model) == 2
    with np.load(tmp_path / "f.npz") as archive:
        assert all(np.array_equal(archive[name], array) for name, array in found.items())
    with safe_open(tmp_path / "f.safetensors", "np") as stream:
        assert all(np.array_equal(stream.get_tensor(name), array) for name, array in found.items())
        assert json.loads(stream.metadata()["card"])["method"] == "test"
    stacked = np.load(tmp_path / "f.npy")
    assert stacked.shape == (2, 48, 24)
    assert np.array_equal(stacked[1].reshape(6, 8, 24), found["deep/a.png"])
    uneven = features_of(model, find_pictures(photos))
    with pytest.raises(InputError, match="--size H W"):
        write_features(tmp_path / "g.npy", uneven, model)
    assert not (tmp_path / "g.npy").exists()


def test_a_list_names_its_pictures(photos):
    listing = photos / "list.txt"
    listing.write_text("deep/a.png\n\nb.png\n")
    assert list(find_pictures(listing)) == ["deep/a.png", "b.png"]
    listing.write_text("deep/a.png\nc.png\nd.png\n")
    with pytest.raises(InputError, match=r"2 of 3 images are missing, first c\.png"):
        find_pictures(listing)
    listing.write_text("b.png\nb.png\n")
    with pytest.raises(InputError, match="listed twice"):
        find_pictures(listing)
    (photos / "empty").mkdir()
    with pytest.raises(InputError, match="no images"):
        find_pictures(photos / "empty")
    assert find_pictures("inputs.npy") is None


def test_a_resnet_gives_its_last_map(photos, tmp_path):
    write_canonical(tmp_path / "r.safetensors", random_tensors(RESNET), Card("test", RESNET, SIZE_RESIZE))
    module, card = load_backbone(tmp_path / "r.safetensors")
    model = Model("model", card, "", live=module)
    assert dict(features_of(model, find_pictures(photos), (64, 96)))["b.png"].shape == (2, 3, 64)
    with pytest.raises(InputError, match="no blocks"):
        check_layers(model, [0])


def test_the_command(checkpoint, photos, tmp_path):
    def run(*arguments):
        command = [sys.executable, ROOT / "tools" / "extract_features.py", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    done = run(checkpoint, photos, "--out", tmp_path / "f.npz", "--size", 48, "--layers", 0, 1)
    assert done.returncode == 0, done.stderr
    assert "2 images from test" in done.stdout
    with np.load(tmp_path / "f.npz") as archive:
        assert archive["deep/a.png"].shape == (2, 6, 10, 24)
    np.save(tmp_path / "x.npy", torch.randn(1, 3, 48, 48).numpy())
    done = run(checkpoint, tmp_path / "x.npy", "--out", tmp_path / "f.npy", "--size", 48)
    assert done.returncode == 2
    assert "--size is for images" in done.stderr
