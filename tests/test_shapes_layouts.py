"""The files of the miniature world: exact masks, the real layouts, and folders that are whole or not there."""

import json
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as masks

from benchmarks import data_check, shapes
from benchmarks.errors import InputError
from benchmarks.shapes.writers.coco import run_lengths, scene_annotations
from benchmarks.shapes.writers.files import MANIFEST


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    root = tmp_path_factory.mktemp("world")
    shapes.write_world(root, "tiny", seed=3)
    return root


@pytest.mark.parametrize("dataset", data_check.DATASETS)
def test_every_set_of_the_world_is_sound_and_called_a_subset(world, dataset):
    report = data_check.survey(dataset, world, check=True)
    assert report.problems == []
    assert report.missing == []
    assert report.subset


def test_polygons_and_run_lengths_give_the_masks_back():
    for index in range(20):
        scene = shapes.render_scene(2, index, (96, 128))
        for number, annotation in enumerate(scene_annotations(scene, image_id=1, first_id=1), start=1):
            segmentation = annotation["segmentation"]
            encoded = masks.frPyObjects(segmentation, 96, 128)
            decoded = masks.decode(masks.merge(encoded) if isinstance(encoded, list) else encoded).astype(bool)
            mask = scene.instances == number
            if annotation["iscrowd"]:
                assert np.array_equal(decoded, mask)
            else:
                # Polygons have no holes: what lies before the middle of an object is inside of its outline.
                assert not (mask & ~decoded).sum() > 0.02 * mask.sum() + 4


@pytest.mark.parametrize("full", [np.zeros((3, 4), bool), np.ones((3, 4), bool), np.eye(3, 4, dtype=bool)])
def test_run_lengths_begin_with_zeros_and_cover_the_image(full):
    code = run_lengths(full)
    assert sum(code["counts"]) == full.size
    assert np.array_equal(masks.decode(masks.frPyObjects(code, *full.shape)).astype(bool), full)


def test_imagenet_boxes_are_those_of_the_class(world):
    folder = world / "imagenet"
    for path in sorted((folder / "Annotations/CLS-LOC/train").glob("*/*.xml")):
        tree = ElementTree.parse(path)
        with Image.open(folder / "train" / path.parent.name / f"{path.stem}.JPEG") as image:
            assert (int(tree.findtext("size/width")), int(tree.findtext("size/height"))) == image.size
        assert {node.findtext("name") for node in tree.iterfind("object")} == {path.parent.name}


def test_ade_labels_are_named(world):
    folder = world / "ade20k/ADEChallengeData2016"
    rows = [line.split("\t") for line in (folder / "objectInfo150.txt").read_text().splitlines()]
    assert rows[0] == ["Idx", "Ratio", "Train", "Val", "Name"]
    assert [row[4] for row in rows[1:]] == [*shapes.OBJECT_CLASSES, *shapes.STUFF_CLASSES]
    for path in (folder / "annotations/training").glob("*.png"):
        with Image.open(path) as labels:
            assert labels.mode == "L"
            assert np.array(labels).max() < len(rows)


def test_a_whole_set_is_reused_and_a_damaged_or_foreign_one_refused(tmp_path):
    folder = shapes.write_coco(tmp_path, train_images=2, val_images=1, size=64)
    written = (folder / MANIFEST).stat().st_mtime_ns
    assert shapes.write_coco(tmp_path, train_images=2, val_images=1, size=64) == folder
    assert (folder / MANIFEST).stat().st_mtime_ns == written
    with pytest.raises(InputError, match="other parameters"):
        shapes.write_coco(tmp_path, train_images=3, val_images=1, size=64)
    victim = next((folder / "val2017").glob("*.jpg"))
    victim.write_bytes(victim.read_bytes()[:100])
    with pytest.raises(InputError, match="damaged"):
        shapes.write_coco(tmp_path, train_images=2, val_images=1, size=64)
    (folder / MANIFEST).unlink()
    with pytest.raises(InputError, match="not written by the shapes world"):
        shapes.write_coco(tmp_path, train_images=2, val_images=1, size=64)


def test_nothing_is_left_when_writing_fails(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.shapes.writers.coco.save_jpeg", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        shapes.write_coco(tmp_path, train_images=1, val_images=1, size=64)
    assert list(tmp_path.iterdir()) == []


def test_faults_of_real_looking_data_are_named(world, tmp_path):
    """One fault in each place, each found."""
    shapes.write_coco(tmp_path, train_images=2, val_images=1, size=64)
    path = tmp_path / "coco/annotations/instances_train2017.json"
    content = json.loads(path.read_text())
    content["annotations"][0]["bbox"][2] = 1000
    content["annotations"][1]["category_id"] = 99
    path.write_text(json.dumps(content))
    (tmp_path / "coco/annotations/instances_val2017.json").write_text("{")
    problems = "\n".join(data_check.survey("coco", tmp_path, check=True).problems)
    assert "leaves its" in problems
    assert "1 annotation of 1 category not listed (99)" in problems
    assert "not valid JSON" in problems


def test_an_empty_root_names_what_to_get(tmp_path):
    for dataset in data_check.DATASETS:
        report = data_check.survey(dataset, tmp_path)
        assert report.missing
        assert all("unpack" in line for line in report.missing)
    with pytest.raises(InputError):
        data_check.survey("coco", tmp_path / "nowhere")


def test_the_real_samples_are_sound(sample_data):
    for dataset in data_check.DATASETS:
        assert data_check.survey(dataset, sample_data, check=True).problems == []
