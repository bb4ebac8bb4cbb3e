"""``tools/prepare_data.py``: sound data passes, a fault is named in one line."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import shapes

TOOL = Path(__file__).resolve().parents[1] / "tools" / "prepare_data.py"


@pytest.fixture
def coco(tmp_path):
    shapes.write_coco(tmp_path, train_images=4, val_images=2, size=96, seed=0)
    return tmp_path


def check(root):
    command = [sys.executable, str(TOOL), "coco", "--root", str(root), "--check"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_sound_data_set_passes(coco):
    done = check(coco)
    assert done.returncode == 0, done.stderr
    assert "no faults" in done.stdout
    assert "train2017 images: 4" in done.stdout


@pytest.mark.parametrize("fault", ["removed", "truncated"])
def test_an_image_that_is_missing_or_broken_is_named(coco, fault):
    victim = sorted((coco / "coco/train2017").glob("*.jpg"))[1]
    content = victim.read_bytes()
    victim.unlink()
    if fault == "truncated":
        victim.write_bytes(content[: len(content) // 2])
    done = check(coco)
    assert done.returncode == 2
    assert victim.name in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
