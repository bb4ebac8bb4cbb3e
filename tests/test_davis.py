"""DAVIS label propagation and J&F, held against the published programs.

``tests/data/davis_pred_dino_p16`` are the label maps that DINO's script gives with
``tests/data/tiny_dino_p16.pth``; ``tests/data/davis_jf.json`` are the official evaluator's numbers.
"""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.checkpoints.convert import convert
from benchmarks.controls import write_random_control
from benchmarks.davis.propagation import Protocol, propagate_labels
from benchmarks.davis.run import propagate_checkpoint
from benchmarks.davis.scoring import boundary_accuracy, evaluate, region_similarity

DATA = Path(__file__).parent / "data"
TOOLS = Path(__file__).resolve().parents[1] / "tools"


def run_tool(name, *arguments):
    command = [sys.executable, TOOLS / name, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_every_pixel_is_the_published_scripts(sample_data, tmp_path):
    convert(DATA / "tiny_dino_p16.pth", tmp_path / "tiny.safetensors", heads=3)
    propagate_checkpoint(tmp_path / "tiny.safetensors", sample_data / "davis", tmp_path / "pred", ["blackswan"], 10)
    expected = sorted((DATA / "davis_pred_dino_p16" / "blackswan").glob("*.png"))
    assert len(expected) == 10
    for path in expected:
        ours = np.array(Image.open(tmp_path / "pred" / "blackswan" / path.name))
        assert np.array_equal(ours, np.array(Image.open(path))), path.name


@pytest.mark.parametrize("result", ["osvos", "firstframe"])
def test_scores_are_the_official_evaluators(sample_data, result):
    official = json.loads((DATA / "davis_jf.json").read_text())[f"{result}/blackswan"]["1"]
    ours = evaluate(sample_data / "davis", sample_data / "davis/results/semi-supervised" / result, ["blackswan"])
    for letter in "JF":
        names = [f"{letter}-{what}" for what in ("Mean", "Recall", "Decay")]
        assert [ours[name] for name in names] == pytest.approx(official[f"{letter}_stats"], abs=1e-12)
    assert ours["J&F-Mean"] == pytest.approx((ours["J-Mean"] + ours["F-Mean"]) / 2, abs=1e-15)


def test_empty_masks_score_as_the_official_rules_say():
    empty, full = np.zeros((40, 60), bool), np.zeros((40, 60), bool)
    full[10:30, 20:50] = True
    assert region_similarity(empty, empty) == 1
    assert boundary_accuracy(empty, empty) == 1
    assert region_similarity(full, empty) == boundary_accuracy(full, empty) == boundary_accuracy(empty, full) == 0
    assert boundary_accuracy(full, full) == 1


def dense_propagation(target, keys, labels, grid, protocol):
    """The published formula with every matrix in full: keys [T, N, D], labels [T, C, h, w]."""
    height, width = grid
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    rows, columns = rows.flatten(), columns.flatten()
    near = ((rows[:, None] - rows).abs() <= protocol.radius) & ((columns[:, None] - columns).abs() <= protocol.radius)
    affinity = torch.exp(torch.einsum("tnd,md->tnm", keys, target) / protocol.temperature) * near
    affinity = affinity.flatten(0, 1)
    affinity[affinity < affinity.topk(protocol.topk, dim=0).values[-1]] = 0
    affinity /= affinity.sum(dim=0, keepdim=True)
    flat = labels.flatten(2).transpose(0, 1).flatten(1)  # [C, T * N]
    return (flat @ affinity).view(-1, height, width)


def test_windowed_propagation_equals_the_dense_formula():
    torch.manual_seed(0)
    grid, protocol = (30, 41), Protocol()
    tokens = torch.nn.functional.normalize(torch.randn(4, grid[0] * grid[1], 16), dim=-1)
    labels = torch.rand(3, 3, *grid)
    expected = dense_propagation(tokens[0], tokens[1:], labels, grid, protocol)
    maps = tokens.unflatten(1, grid)
    ours = propagate_labels(maps[0], maps[1:], labels, protocol)
    assert (ours - expected).abs().max() < 1e-5


def write_video(root, frames=4, height=96, width=160):
    """A square that moves over a striped ground, in the DAVIS layout."""
    video, masks = root / "DAVIS/JPEGImages/480p/square", root / "DAVIS/Annotations/480p/square"
    for folder in (video, masks, root / "DAVIS/ImageSets/2017"):
        folder.mkdir(parents=True)
    (root / "DAVIS/ImageSets/2017/val.txt").write_text("square\n")
    for index in range(frames):
        frame = np.full((height, width, 3), 90, np.uint8)
        frame[:, ::8] = 160
        mask = np.zeros((height, width), np.uint8)
        mask[30:70, 20 + 6 * index : 60 + 6 * index] = 1
        frame[mask == 1] = (40, 60, 220)
        cv2.imwrite(str(video / f"{index:05}.jpg"), frame)
        Image.fromarray(mask).save(masks / f"{index:05}.png")


def test_the_commands_from_checkpoint_to_score(tmp_path):
    write_video(tmp_path)
    write_random_control(tmp_path / "random.safetensors", seed=0)
    out, report = tmp_path / "pred", tmp_path / "scores.json"
    common = ("--davis-root", tmp_path)
    short = ("--short-side", 96, "--size-multiple", 32)
    checkpoint = ("--checkpoint", tmp_path / "random.safetensors")
    done = run_tool("propagate_davis.py", *checkpoint, *common, "--out", out, *short)
    assert done.returncode == 0, done.stderr
    done = run_tool("evaluate_davis.py", *common, "--predictions", out, "--json", report)
    assert done.returncode == 0, done.stderr
    scores = json.loads(report.read_text())
    assert set(scores["per_object"]) == {"square_1"}
    assert scores["J-Mean"] > 0.5


def test_missing_and_broken_data_is_one_line_and_exit_2(tmp_path):
    write_video(tmp_path)
    write_random_control(tmp_path / "random.safetensors", seed=0)
    checkpoint = ("--checkpoint", tmp_path / "random.safetensors", "--out", tmp_path / "pred")
    frame = tmp_path / "DAVIS/JPEGImages/480p/square/00001.jpg"
    frame.write_bytes(frame.read_bytes()[:300])
    (tmp_path / "empty").mkdir()
    failures = [
        run_tool("propagate_davis.py", *checkpoint, "--davis-root", tmp_path / "nowhere"),
        run_tool("propagate_davis.py", *checkpoint, "--davis-root", tmp_path / "empty"),
        run_tool("propagate_davis.py", *checkpoint, "--davis-root", tmp_path),
        run_tool(
            "evaluate_davis.py", "--davis-root", tmp_path, "--predictions", tmp_path / "empty", "--json", "x.json"
        ),
    ]
    for done in failures:
        assert done.returncode == 2, done.stderr
        assert "Traceback" not in done.stderr
        assert sum("error:" in line for line in done.stderr.splitlines()) == 1
    assert "00001.jpg" in failures[2].stderr
