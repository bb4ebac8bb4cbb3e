"""Figures 3 and 4 and the mean-shift numbers against their formulas written out, and the commands' files and lines.

``data/figures/attention_*.npz``: weights, images and ``get_last_selfattention`` of facebookresearch/dino (with class
token) and ISL-CV/FLSL @ acb5d6f (after ``make_vit_noclass``), run on a random ViT of 2 blocks.
"""

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.backbones import HouseViT
from benchmarks.checkpoints.card import DINO_RESIZE, Architecture, Card
from benchmarks.controls import write_random_control
from benchmarks.errors import InputError
from benchmarks.figures.attention import last_attention, query_maps, write_figure4a
from benchmarks.figures.embedding import write_figure4b
from benchmarks.figures.separability import bound, mean_shift_segments, separability, silhouette
from benchmarks.figures.similarity import aggregated_similarity, write_figure3
from benchmarks.figures.sources import layers, read_names, read_picture

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(__file__).parent / "data" / "figures"


def network(**changes):
    torch.manual_seed(0)
    facts = {"class_token": True, "position_prefix_rows": 1, **changes}
    architecture = Architecture(24, 2, 3, patch_size=8, image_size=32, **facts)
    module = HouseViT(architecture, DINO_RESIZE).eval()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return module, Card("test", architecture, DINO_RESIZE)


@pytest.fixture
def control(tmp_path):
    write_random_control(tmp_path / "random.safetensors", seed=0)
    return tmp_path / "random.safetensors"


@pytest.fixture
def scene(tmp_path):
    """A picture of 120x80 whose left half is one segment and whose right half is another, with its label map."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 90, (80, 120, 3), np.uint8)
    pixels[:, 60:] += 140
    labels = np.full((80, 120), 3, np.uint8)
    labels[:, 60:] = 7
    labels[:10] = 255
    Image.fromarray(pixels).save(tmp_path / "scene.png")
    Image.fromarray(labels).save(tmp_path / "labels.png")
    return tmp_path / "scene.png", tmp_path / "labels.png"


@pytest.mark.parametrize("published", ["dino", "flsl"])
def test_attention_is_that_of_the_published_programs(published):
    recorded = np.load(DATA / f"attention_{published}.npz")
    prefix = int(published == "dino")
    module, _ = network(class_token=bool(prefix), position_prefix_rows=prefix)
    weights = {k.removeprefix("weights."): torch.from_numpy(recorded[k]) for k in recorded if k.startswith("weights.")}
    module.load_state_dict(weights, strict=True)
    ours = last_attention(module, torch.from_numpy(recorded["images"]))
    assert ours.shape == (2, 3, 20 + prefix, 20 + prefix)
    assert np.abs(ours.numpy() - recorded["attention"]).max() < 1e-6


@pytest.mark.parametrize(
    "changes", [{"qk_norm": True}, {"position": "rope", "position_prefix_rows": 0, "registers": 2}]
)
@torch.inference_mode()
def test_attention_with_normed_or_rotated_keys_is_what_the_block_uses(changes):
    module, _ = network(**changes)
    block = module.blocks[-1].attn
    seen = {}
    block.register_forward_hook(lambda _, inputs, output: seen.update(x=inputs[0], y=output))
    weights = last_attention(module, torch.randn(1, 3, 32, 40))
    value = block.qkv(seen["x"]).view(1, -1, 3, 3, 8).permute(2, 0, 3, 1, 4)[2]
    rebuilt = block.proj((weights @ value).transpose(1, 2).flatten(2))
    assert (rebuilt - seen["y"]).abs().max() < 1e-5


def test_query_maps_leave_out_the_prefix_and_point_to_the_query():
    module, card = network(registers=2)
    pixels = np.random.default_rng(0).integers(0, 256, (32, 40, 3), np.uint8)
    soft = query_maps(module, card, pixels, [(17, 9)], "softmax")
    images = (torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255 - torch.tensor(card.mean).view(3, 1, 1)) / (
        torch.tensor(card.std).view(3, 1, 1)
    )
    whole = last_attention(module, images)[0, :, 3 + 1 * 5 + 2]
    assert soft.shape == (1, 3, 4, 5)
    assert np.abs(soft[0].reshape(3, -1) - whole[:, 3:].numpy()).max() < 1e-6
    assert soft.sum() < 3  # the prefix took its share, and the rest was not scaled up
    cosine = query_maps(module, card, pixels, [(17, 9)], "cosine")[0, 0]
    z = module.patch_tokens(images)[0].detach().double()
    dense = torch.stack([torch.cosine_similarity(z[7], z[j], dim=0) for j in range(20)])
    assert np.abs(cosine.ravel() - dense.numpy()).max() < 1e-6
    assert np.unravel_index(cosine.argmax(), cosine.shape) == (1, 2)


def test_layers_are_projection_blocks_and_features():
    module, card = network()
    pixels = np.random.default_rng(0).integers(0, 256, (32, 40, 3), np.uint8)
    found = layers(module, card, pixels)
    assert [layer.name for layer in found] == ["0", "1", "2"]
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (card.mean, card.std))
    images = (torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255 - mean) / std
    with torch.inference_mode():
        projected = module.patch_embed.proj(images).flatten(2).transpose(1, 2)[0]
        first = module.blocks[0](module._pos_embed(module.patch_embed(images)))[0, 1:]
    for layer, expected in zip(found, (projected, first, module.patch_tokens(images)[0]), strict=True):
        assert layer.grid == (4, 5)
        assert (layer.tokens - expected).abs().max() < 1e-5


def test_the_score_is_the_sum_of_all_cosines():
    tokens = torch.randn(30, 8) + 0.5
    similar = torch.stack([torch.stack([torch.cosine_similarity(a, b, dim=0) for b in tokens]) for a in tokens])
    dense = similar.sum(0) / similar.sum(0).max()
    assert (aggregated_similarity(tokens) - dense).abs().max() < 1e-6


def test_eq_7_and_the_numbers_against_loops():
    torch.manual_seed(1)
    z = torch.nn.functional.normalize(torch.randn(14, 5).double(), dim=1)
    c, tau = np.array([4, 4, 4, 9, 9, 9, 9, 2, 2, 2, 2, 2, 4, 9]), 3.0
    delta, p, rhs, intra, inter = [], [], [], [], []
    for i in range(14):
        inside, outside = [k for k in range(14) if c[k] == c[i]], [k for k in range(14) if c[k] != c[i]]
        total = sum(np.exp(tau * float(z[i] @ z[k])) for k in range(14))
        inter += [float(z[i] @ z[k]) for k in outside]
        for j in inside:
            d = float(z[i] @ z[j]) - max(float(z[i] @ z[k]) for k in outside)
            delta.append(d)
            p.append(np.exp(tau * float(z[i] @ z[j])) / total)
            own = sum(np.exp(tau * float(z[i] @ z[k] - z[i] @ z[j])) for k in inside)
            rhs.append(1 / (own + (14 - len(inside)) * np.exp(-d * tau)))
            intra += [float(z[i] @ z[j])] if i != j else []
    found = separability(z.float() * 7, c, tau)
    for key, values in (("delta", delta), ("p", p), ("bound", rhs), ("intra", intra), ("inter", inter)):
        assert found[key] == pytest.approx(np.mean(values), abs=1e-6)
    assert found["separated"] == pytest.approx(np.mean(np.array(delta) > 0))
    assert found["segments"] == 3
    own = torch.from_numpy(c[:, None] == c[None])
    assert (bound(z @ z.T, own, tau) <= (tau * z @ z.T).softmax(1) + 1e-12)[own].all()
    assert separability(z, np.zeros(14), tau) is None


def test_the_silhouette_against_loops():
    torch.manual_seed(2)
    z = torch.nn.functional.normalize(torch.randn(12, 4).double(), dim=1)
    c = torch.tensor([0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3])
    for i in range(12):
        distance = [1 - float(z[i] @ z[k]) for k in range(12)]
        means = {int(s): np.mean([distance[k] for k in range(12) if c[k] == s and k != i]) for s in c.unique() if
                 any(c[k] == s and k != i for k in range(12))}  # fmt: skip
        a = means.pop(int(c[i]), None)
        expected = 0.0 if a is None else (min(means.values()) - a) / max(a, min(means.values()))
        assert silhouette(z, c)[i].item() == pytest.approx(expected, abs=1e-6)


def test_mean_shift_finds_what_is_apart():
    torch.manual_seed(0)
    centres = torch.eye(6)[:3].repeat_interleave(20, 0)
    found = mean_shift_segments(centres + 0.05 * torch.randn(60, 6))
    assert [len(np.unique(found[k : k + 20])) for k in (0, 20, 40)] == [1, 1, 1]
    assert len(np.unique(found)) == 3


def test_names_of_labels_are_read_from_both_kinds_of_lists(tmp_path):
    (tmp_path / "ade.txt").write_text("Idx\tRatio\tName\n1\t0.15\twall\n2\t0.11\tbuilding, edifice\n")
    (tmp_path / "plain.txt").write_text("7 traffic light\n")
    (tmp_path / "none.txt").write_text("wall\n")
    assert read_names(tmp_path / "ade.txt") == {1: "wall", 2: "building"}
    assert read_names(tmp_path / "plain.txt") == {7: "traffic light"}
    with pytest.raises(InputError, match="names no label"):
        read_names(tmp_path / "none.txt")


def test_click_coordinates_go_into_the_square(scene):
    picture = read_picture(scene[0], 40, scene[1])
    assert picture.pixels.shape == (40, 40, 3)
    assert picture.locate(60, 40) == (20, 20)
    assert set(np.unique(picture.labels)) == {3, 7, 255}
    with pytest.raises(InputError, match="outside the central square of scene"):
        picture.locate(5, 40)


def test_figures_3_and_4a_from_python(control, scene, tmp_path):
    written = write_figure3(tmp_path / "out", {"a": control, "b": control}, [scene[0]], size=64, chosen=[0, 4])
    assert [path.suffix for path in written] == [".png", ".svg", ".npz"]
    arrays = np.load(written[2])
    assert arrays["a/4"].shape == (8, 8)
    assert arrays["a/4"].max() == 1
    written = write_figure4a(
        tmp_path / "out", {"a": control}, [scene[0]], queries=[(60, 40)], size=64, single_heads=True
    )
    arrays = np.load(written[2])
    assert arrays["a/softmax, head 3"].shape == (1, 8, 8)
    assert np.allclose(arrays["a/softmax, head mean"].sum(), 1, atol=1e-5)  # no class token, so nothing was left out


def test_figure_4b_is_a_function_of_its_seed(control, scene, tmp_path):
    pytest.importorskip("sklearn", reason="needs scikit-learn")
    arrays = []
    for out in ("one", "two"):
        paths, numbers = write_figure4b(
            tmp_path / out, {"a": control}, [scene[0]], [scene[1]], chosen=[4], tokens=40, perplexity=8, size=64,
            progress=False,
        )  # fmt: skip
        arrays.append(np.load(paths[2]))
    assert arrays[0]["a/4/points"].shape == (40, 2)
    assert np.array_equal(arrays[0]["a/4/points"], arrays[1]["a/4/points"])
    from sklearn.metrics import silhouette_score

    assert -1 < numbers["a"][0]["silhouette"] < 1
    z = torch.nn.functional.normalize(torch.randn(20, 4), dim=1)
    c = torch.arange(20) % 3
    assert silhouette(z.double(), c).mean().item() == pytest.approx(silhouette_score(z, c, metric="cosine"), abs=1e-6)


def run_tool(monkeypatch, capsys, name, *arguments):
    monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(ROOT / "tools" / name), run_name="__main__")
    return stop.value.code, capsys.readouterr()


def test_the_separability_command_prints_and_records(control, scene, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    code, said = run_tool(
        monkeypatch, capsys, "separability.py", "--checkpoint", f"a={control}", "--images", scene[0],
        "--labels", scene[1], "--size", 64, "--out", out, "--json", tmp_path / "n.json",
    )  # fmt: skip
    assert code == 0, said.err
    assert "mass: mean probability" in said.out
    rows = json.loads((tmp_path / "n.json").read_text())["a"]
    assert [row["layer"] for row in rows] == ["0", "1", "2", "3", "4"]
    assert rows[0]["intra"] > rows[0]["inter"]  # a dark and a bright half: the projection alone tells them apart
    assert rows[0]["bound"] <= rows[0]["p"]
    (record,) = (json.loads(path.read_text()) for path in (out / "records").glob("*.json"))
    assert record["metrics"]["layers"] == rows
    assert record["scale"] == "mini"  # no row of the paper's tables
    assert (out / "separability.svg").is_file()


@pytest.mark.parametrize(
    ("tool", "arguments", "line"),
    [
        ("figure3.py", ("--images", "{}/no.jpg"), "no.jpg does not exist"),
        ("figure3.py", ("--images", "{}/scene.png", "--size", "63"), "no multiple of the patch size 8"),
        ("figure3.py", ("--images", "{}/scene.png", "--layers", "9"), "layers 0 to 4, not 9"),
        ("figure4.py", ("--images", "{}/scene.png", "--part", "a", "--queries", "ten"), "ten is not X,Y"),
        ("figure4.py", ("--images", "{}/scene.png", "--part", "a", "--queries", "900,9"), "outside the central square"),
        (
            "separability.py",
            ("--images", "{}/scene.png", "--labels", "{}/l.png", "{}/l.png"),
            "1 images and 2 label maps",
        ),
        ("separability.py", ("--images", "{}/scene.png", "--labels", "{}/scene.png"), "holds RGB colours"),
        ("separability.py", ("--images", "{}/scene.png", "--labels", "{}/small.png"), "is 5x5, its image"),
        ("separability.py", ("--images", "{}/scene.png", "--tau", "-1"), "--tau is -1"),
    ],
)
def test_unusable_input_is_one_line(control, scene, tmp_path, monkeypatch, capsys, tool, arguments, line):
    Image.new("L", (5, 5)).save(tmp_path / "small.png")
    filled = [argument.format(tmp_path) for argument in arguments]
    out = tmp_path / "out"
    code, said = run_tool(monkeypatch, capsys, tool, "--checkpoint", f"a={control}", "--out", out, *filled)
    assert code == 2
    (error,) = [each for each in said.err.splitlines() if each.startswith("error: ")]
    assert line in error
    assert not out.exists()


def test_a_missing_scikit_learn_says_what_to_install(control, scene, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    code, said = run_tool(
        monkeypatch,
        capsys,
        "figure4.py",
        "--checkpoint",
        f"a={control}",
        "--images",
        scene[0],
        "--out",
        tmp_path / "out",
    )
    assert code == 2
    assert "pip install scikit-learn==1.9.1" in said.err
