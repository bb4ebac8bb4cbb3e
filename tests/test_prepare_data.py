"""``tools/prepare_data.py``: sound data passes, a fault is named in one line."""

import json

import pytest
from in_process import run_tool

from benchmarks import shapes
from benchmarks.core.data import fingerprint
from benchmarks.data_check import mini_coco


@pytest.fixture
def coco(tmp_path):
    shapes.write_coco(tmp_path, train_images=4, val_images=2, size=96, seed=0)
    return tmp_path


def check(root):
    return run_tool("prepare_data.py", "coco", "--root", root, "--check")


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


def test_the_fingerprint_is_that_of_the_records(coco):
    folder = coco / "coco"
    files = [folder / f"annotations/instances_{split}2017.json" for split in ("train", "val")]
    assert f"annotations sha256: {fingerprint(folder, files, ()).annotations_sha256}" in check(coco).stdout


@pytest.mark.parametrize("name", ["uavdt", "imagenet"])
def test_what_has_no_direct_link_is_named_with_where_to_get_it(name, tmp_path):
    done = run_tool("prepare_data.py", name, "--root", tmp_path, "--download")
    assert done.returncode == 2
    assert "by hand from https://" in done.stderr


def facts(number, images):
    """An annotation file in which image i shows category i % number; every tenth image only a crowd."""
    return {
        "annotations": [
            {"id": i, "image_id": i, "category_id": i % number, "iscrowd": int(i % 10 == 9)} for i in range(images)
        ]
    }


def test_the_miniature_covers_the_categories_and_does_not_depend_on_the_order_of_the_file():
    content = facts(number=7, images=200)
    chosen = mini_coco.choose(content, 20)
    assert len(chosen) == len(set(chosen)) == 20
    assert {image % 7 for image in chosen} == set(range(7))
    assert not any(image % 10 == 9 for image in chosen)
    assert chosen != list(range(20))
    content["annotations"].reverse()
    assert mini_coco.choose(content, 20) == chosen
    # Kept here, so that a change of the rule is seen: miniatures of other people would no longer be this one.
    assert mini_coco.choose(facts(number=3, images=40), 6) == EXPECTED


EXPECTED = [3, 4, 8, 10, 13, 17]


def test_a_miniature_is_a_sound_coco_that_table_1_takes(tmp_path, monkeypatch):
    shapes.write_coco(tmp_path, train_images=12, val_images=6, size=96, seed=0)
    monkeypatch.setattr(mini_coco, "IMAGES", {"train": 5, "val": 3})
    command = ("prepare_data.py", "coco", "--root", tmp_path, "--mini", "--json", tmp_path / "facts.json", "--out")
    done = run_tool(*command, tmp_path / "mini")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "facts.json").read_text())["val"]["images"] == 3
    assert "no faults" in check(tmp_path / "mini").stdout
    run_tool(*command, tmp_path / "again")
    for split in ("train", "val"):
        name = f"coco/annotations/instances_{split}2017.json"
        assert (tmp_path / "mini" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    again = run_tool(*command, tmp_path / "mini")
    assert again.returncode == 2
    assert "is there already" in again.stderr


def test_a_file_name_that_leaves_its_folder_is_refused(tmp_path):
    shapes.write_coco(tmp_path, train_images=3, val_images=2, size=96, seed=0)
    path = tmp_path / "coco/annotations/instances_val2017.json"
    content = json.loads(path.read_text())
    content["images"][0]["file_name"] = "../train2017/" + sorted((tmp_path / "coco/train2017").iterdir())[0].name
    path.write_text(json.dumps(content))
    done = run_tool("prepare_data.py", "coco", "--root", tmp_path, "--mini", "--out", tmp_path / "mini")
    assert done.returncode == 2
    assert "a plain name is needed" in done.stderr
    assert not any((tmp_path / "mini").iterdir())
