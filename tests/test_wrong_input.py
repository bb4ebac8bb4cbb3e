"""Unusable input to each command: exit code 2, one line that says what, where and what to do, nothing written."""

from pathlib import Path

import numpy as np
import pytest
from in_process import run_tool

from benchmarks import shapes
from benchmarks.controls import write_random_control

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    root = tmp_path_factory.mktemp("world")
    shapes.write_world(root, "tiny", 0, ("coco", "davis", "imagenet"))
    return root


@pytest.fixture
def good(tmp_path):
    write_random_control(tmp_path / "good.safetensors", seed=0)
    np.save(tmp_path / "inputs.npy", np.zeros((1, 3, 32, 32), np.float32))
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.pth").write_text("this is no checkpoint\n")
    return tmp_path


def line_of(program, *arguments):
    """Run a command; it must end with code 2 and one line. Returns that line."""
    done = run_tool("../pretrain/__main__.py" if program == "pretrain" else program, *arguments)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, done.stderr
    return lines[0]


CASES = {
    "convert text": ("convert.py", "{good}/text.pth", "--out", "{good}/out.safetensors", "text.pth is no checkpoint"),
    "convert missing": ("convert.py", "{good}/no.pth", "--out", "{good}/out.safetensors", "no.pth does not exist"),
    "convert folder": (
        "convert.py", "{good}/empty", "--out", "{good}/out.safetensors", "empty is a folder without config.json",
    ),
    "features text": (
        "extract_features.py", "{good}/text.pth", "{good}/inputs.npy", "--out", "{good}/out.npy",
        "text.pth is no checkpoint but text",
    ),
    "features inputs": (
        "extract_features.py", "{good}/good.safetensors", "{good}/text.pth", "--out", "{good}/out.npy",
        "text.pth is not a .npy array",
    ),
    "davis missing": (
        "propagate_davis.py", "--checkpoint", "{good}/good.safetensors", "--davis-root", "{good}/no",
        "--out", "{good}/out", "no does not exist",
    ),
    "davis empty": (
        "propagate_davis.py", "--checkpoint", "{good}/good.safetensors", "--davis-root", "{good}/empty",
        "--out", "{good}/out", "no DAVIS under",
    ),
    "davis text": (
        "propagate_davis.py", "--checkpoint", "{good}/text.pth", "--davis-root", "{world}",
        "--out", "{good}/out", "text.pth is no checkpoint but text",
    ),
    "davis scores": (
        "evaluate_davis.py", "--davis-root", "{world}", "--predictions", "{good}/empty",
        "--json", "{good}/out", "empty/shapes-01 does not exist",
    ),
    "knn empty": (
        "evaluate_knn.py", "--checkpoint", "{good}/good.safetensors", "--imagenet-root", "{good}/empty",
        "--json", "{good}/out", "no ImageNet under",
    ),
    "knn text": (
        "evaluate_knn.py", "--checkpoint", "{good}/text.pth", "--imagenet-root", "{world}",
        "--json", "{good}/out", "text.pth is no checkpoint but text",
    ),
    "data missing": ("prepare_data.py", "coco", "--root", "{good}/no", "--check", "no does not exist"),
    "demo missing": ("quickstart.py", "--data-root", "{good}/no", "--out", "{good}/out", "no does not exist"),
    "demo empty": ("quickstart.py", "--data-root", "{good}/empty", "--out", "{good}/out", "no DAVIS under"),
    "demo seeds": ("quickstart.py", "--seeds", "-1", "--out", "{good}/out", "--seeds must be 0 or more"),
    "pretrain missing": (
        "pretrain", str(ROOT / "pretrain/configs/mini.yaml"), "data.root={good}/no", "run.out={good}/out",
        "no does not exist",
    ),
    "pretrain empty": (
        "pretrain", str(ROOT / "pretrain/configs/mini.yaml"), "data.root={good}/empty", "run.out={good}/out",
        "holds no images",
    ),
    "pretrain text": ("pretrain", "{good}/text.pth", "text.pth holds no sections"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_one_line_and_exit_code_2(case, good, world):
    program, *arguments, expected = (part.format(good=good, world=world) for part in CASES[case])
    if program == "quickstart.py":
        pytest.importorskip("mmcv.ops", reason="needs mmcv with its operators")
    assert " " in expected  # a name alone stands in the command: any line could have it
    before = sorted(good.rglob("*"))
    line = line_of(program, *arguments)
    assert expected in line, line
    assert sorted(good.rglob("*")) == before  # neither a file nor a folder, whatever its name


def test_annotations_without_their_images_stop_the_demo_before_it_trains(good):
    pytest.importorskip("mmcv.ops", reason="needs mmcv with its operators")
    shapes.write_world(good / "data", "tiny", 0, ("coco", "davis", "imagenet"))
    for picture in (good / "data/coco/val2017").iterdir():
        picture.unlink()
    line = line_of("quickstart.py", "--data-root", good / "data", "--out", good / "demo")
    assert "8 of 8 images of" in line
    assert not (good / "demo").exists()


@pytest.mark.parametrize("victim", ["imagenet/val", "davis/DAVIS/JPEGImages"])
def test_a_truncated_jpeg_is_named(victim, good):
    shapes.write_world(good / "data", "tiny", 0, ("davis", "imagenet"))
    picture = sorted(p for p in (good / "data" / victim).rglob("*") if p.suffix.lower() in (".jpg", ".jpeg"))[-1]
    picture.write_bytes(picture.read_bytes()[:500])
    checkpoint = ("--checkpoint", good / "good.safetensors")
    if victim.startswith("imagenet"):
        command = ("evaluate_knn.py", *checkpoint, "--imagenet-root", good / "data", "--json", good / "out.json")
    else:
        root = ("--davis-root", good / "data", "--out", good / "out", "--short-side", 96, "--size-multiple", 32)
        command = ("propagate_davis.py", *checkpoint, *root, "--sequences", picture.parent.name)
    assert picture.name in line_of(*command)
    assert not (good / "out.json").exists()
