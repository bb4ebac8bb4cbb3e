"""Segmentation data: own folders and published layouts, and every fault told at once."""

import json
import shutil

import numpy as np
import pytest
from in_process import run_tool
from PIL import Image

from benchmarks import shapes
from benchmarks.errors import InputError
from benchmarks.segmentation.dataset import open_segmentation
from benchmarks.segmentation.prepare import prepare
from benchmarks.segmentation.settings import DataSettings
from benchmarks.segmentation.subsets import subset
from benchmarks.shapes.writers.segmentation import write_segmentation


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FLSL_CACHE", str(tmp_path / "cache"))


def write(folder, name, labels, image_size=None):
    """A pair below ``folder``, which ends in the split."""
    height, width = labels.shape
    for kind, suffix in (("images", "jpg"), ("masks", "png")):
        (folder / kind / name).parent.mkdir(parents=True, exist_ok=True)
        picture = np.zeros((*(image_size or (height, width)), 3), np.uint8) if kind == "images" else labels
        Image.fromarray(picture).save(folder / kind / f"{name}.{suffix}")


@pytest.fixture
def data(tmp_path):
    """Three pairs to train on and one to test, two classes and void."""
    labels = np.array([[0, 1, 255, 0]] * 3, np.uint8)
    for name in ("train/a", "train/b", "train/deep/c", "val/d"):
        write(tmp_path / "segmentation", name, labels)
    (tmp_path / "segmentation" / "classes.txt").write_text("road\nsky\n")
    return tmp_path


def test_own_data_is_read_wherever_it_lies(data):
    for root in (data, data / "segmentation"):
        found = open_segmentation(root)
        assert [pair.name for pair in found.train] == ["a", "b", "deep/c"]
        assert found.classes == ("road", "sky")
        assert found.remarks() == []
        assert found.frequencies().tolist() == pytest.approx([2 / 3, 1 / 3])
    identity = found.fingerprint().identity
    (data / "segmentation").rename(data / "mine")
    assert open_segmentation(data, dataset="mine").fingerprint().identity == identity


def test_every_fault_is_told_at_once_with_its_count(data):
    root = data / "segmentation"
    (root / "masks" / "train" / "a.png").unlink()
    write(root, "train/e", np.array([[0, 2]], np.uint8))
    write(root, "train/f", np.array([[0, 7]], np.uint8))
    write(root, "train/g", np.array([[0, 1]], np.uint8), image_size=(5, 6))
    (root / "images" / "val" / "d.jpg").rename(root / "images" / "val" / "x.jpg")
    write(root, "val/h", np.array([[0, 1]], np.uint8))
    (root / "masks" / "val" / "h.png").write_bytes(b"no picture")
    Image.fromarray(np.zeros((3, 4, 3), np.uint8)).save(root / "masks" / "train" / "b.png")
    with pytest.raises(InputError) as error:
        open_segmentation(data)
    text = str(error.value)
    for part in (
        "1 train images without a label map (first: images/train/a.jpg)",
        "1 val images without a label map (first: images/val/x.jpg)",
        "1 val label maps without an image (first: masks/val/d.png)",
        "2 files that cannot be read",
        "1 label maps of another size than their image (first: masks/train/g.png: 2x1, the image 6x5)",
        "none of the 2 classes (labels count from 0) (first: masks/train/e.png: [2])",
        "none of the 2 classes (first: masks/train/f.png: [7])",
    ):
        assert part in text, text
    assert "\n" not in text


def test_16_bit_labels_beyond_the_classes_are_told(data):
    Image.fromarray(np.full((3, 4), 300, np.uint16)).save(data / "segmentation" / "masks" / "val" / "d.png")
    with pytest.raises(InputError, match="300"):
        open_segmentation(data)


def test_a_changed_mask_is_looked_at_again(data):
    open_segmentation(data)
    write(data / "segmentation", "train/a", np.array([[0, 9, 255, 255]] * 3, np.uint8))
    with pytest.raises(InputError, match=r"train/a\.png"):
        open_segmentation(data)


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "lists no class"), ("a\n\nb\n", "empty line 2"), ("a\nb\na\n", "names a twice"), ("\n", "lists no class"),
     ("# mine\nroad\nsky\n", "comment in line 1, which would be the name of label 0"),
     ("1: road\n2: sky\n", "numbers its lines from 1 to 2")],
)  # fmt: skip
def test_a_class_list_that_is_wrong_says_so(data, text, message):
    (data / "segmentation" / "classes.txt").write_text(text)
    with pytest.raises(InputError, match=message):
        open_segmentation(data)


@pytest.mark.parametrize("text", ["\ufeffStraße, naß\r\nsky\r\n\r\n", "0 road\n1 sky\n", "3rd road\n2nd sky"])
def test_class_lists_of_other_editors_are_read(data, text):
    (data / "segmentation" / "classes.txt").write_bytes(text.encode())
    found = open_segmentation(data).classes
    assert found == tuple(text.strip("\ufeff\r\n").replace("\r", "").split("\n"))


def test_prepare_does_not_skip_an_empty_line_of_the_class_list(tmp_path):
    for name in ("a", "b"):
        write(tmp_path / "raw", name, np.array([[0, 1]], np.uint8))
    (tmp_path / "raw" / "classes.txt").write_text("left\n\nright\n")
    with pytest.raises(InputError, match="empty line 2"):
        prepare("folder", tmp_path / "raw", tmp_path)


def test_masks_of_0_and_255_are_refused_and_255_explained(data):
    for name in ("a", "b", "deep/c"):
        write(data / "segmentation", f"train/{name}", np.array([[0, 255, 255, 0]] * 3, np.uint8))
    with pytest.raises(InputError, match=r"nothing to tell apart: 255 is void; write what is to be found as 1"):
        open_segmentation(data)
    write(data / "segmentation", "train/a", np.array([[0, 1, 1, 0]] * 3, np.uint8))
    assert len(open_segmentation(data).train) == 3


def test_classes_that_are_absent_are_said(data):
    (data / "segmentation" / "classes.txt").write_text("road\nsky\ntram\n")
    write(data / "segmentation", "val/d", np.zeros((3, 4), np.uint8))
    remarks = open_segmentation(data).remarks()
    assert remarks[0].startswith("1 of 3 classes are in no training image")
    assert "tram" in remarks[0]
    assert "sky, tram" in remarks[1]


def test_without_a_class_list_labels_are_counted_and_camvid_is_known(data):
    root = data / "segmentation"
    (root / "classes.txt").unlink()
    assert open_segmentation(data).classes == ("0", "1")
    assert "no classes.txt" in open_segmentation(data).remarks()[0]
    shutil.rmtree(root)
    for name in ("train/0001TP_006690", "val/Seq05VD_f00030"):
        write(data / "camvid", name, np.array([[0, 3]], np.uint8))
    assert open_segmentation(data).classes[3] == "Road"


def test_mini_makes_the_shapes_world_where_there_is_nothing_and_only_there(tmp_path, data):
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="no segmentation data"):
        open_segmentation(tmp_path / "none")
    (data / "segmentation" / "masks").rename(data / "segmentation" / "labels")
    with pytest.raises(InputError, match="must hold images"):
        open_segmentation(data, "mini")
    folder = write_segmentation(tmp_path / "world", 2, 1, size=64)
    found = open_segmentation(folder)
    assert len(found.classes) == 14
    assert len(found.train) == 2


def test_empty_and_void_splits(data):
    write(data / "segmentation", "val/d", np.full((3, 4), 255, np.uint8))
    with pytest.raises(InputError, match="every pixel is void"):
        open_segmentation(data)
    shutil.rmtree(data / "segmentation" / "images" / "val")
    with pytest.raises(InputError, match="images/val"):
        open_segmentation(data)


def test_parts_of_the_training_images(data, tmp_path):
    whole = open_segmentation(data)
    (tmp_path / "list.txt").write_text("c\na.jpg\n")
    assert [p.name for p in subset(whole, DataSettings(train_list=str(tmp_path / "list.txt"))).train] == ["deep/c", "a"]
    assert len(subset(whole, DataSettings(fraction=2)).train) == 1
    again = [subset(whole, DataSettings(fraction=3, fraction_seed=seed)).train[0].name for seed in range(9)]
    assert len(set(again)) > 1
    (tmp_path / "list.txt").write_text("a\nnot there\n")
    with pytest.raises(InputError, match="names 1 of 2 images"):
        subset(whole, DataSettings(train_list=str(tmp_path / "list.txt")))


def test_ade20k_is_prepared_with_0_as_void(tmp_path):
    shapes.write_ade20k(tmp_path / "raw", train_images=2, val_images=2, size=64)
    facts = prepare("ade20k", tmp_path / "raw" / "ade20k", tmp_path)
    assert facts["incomplete"] == "train 2 of 20210, val 2 of 2000"
    data = open_segmentation(tmp_path, "mini")
    assert data.name == "ade20k"
    assert len(data.classes) == 14
    raw = np.array(Image.open(tmp_path / "raw/ade20k/ADEChallengeData2016/annotations/training/ADE_train_00000001.png"))
    own = np.array(Image.open(data.train[0].mask))
    assert (own == np.where(raw == 0, 255, raw.astype(int) - 1)).all()
    with pytest.raises(InputError, match="2 train images instead of ade20k's 20210"):
        open_segmentation(tmp_path)


def test_cityscapes_camvid_voc_and_coco_labels(tmp_path):
    def png(path, values):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.array([values], np.uint8)).save(path)

    for split, city in (("train", "aachen"), ("val", "bonn")):
        png(tmp_path / f"c/leftImg8bit/{split}/{city}/{city}_1_leftImg8bit.png", [0, 0, 0])
        png(tmp_path / f"c/gtFine/{split}/{city}/{city}_1_gtFine_labelIds.png", [7, 33, 4])
        png(tmp_path / f"v/CamVid/{split}/0001TP_1.png", [0, 0])
        png(tmp_path / f"v/CamVid/{split}annot/0001TP_1.png", [10, 11])
        png(tmp_path / f"p/VOC2012/JPEGImages/{split}1.jpg", [0, 0])
        png(tmp_path / f"p/VOC2012/SegmentationClass/{split}1.png", [20, 255])
        (tmp_path / "p/VOC2012/ImageSets/Segmentation").mkdir(parents=True, exist_ok=True)
        (tmp_path / f"p/VOC2012/ImageSets/Segmentation/{split}.txt").write_text(f"{split}1\n")
        png(tmp_path / f"o/images/{split}2017/1.jpg", [0, 0, 0])
        png(tmp_path / f"o/annotations/stuff_annotations/stuff_{split}2017_pixelmaps/1.png", [0, 92, 183])
        png(tmp_path / f"o/annotations/{split}2017/1.png", [1, 0, 5])
    stuff = [{"id": 92, "supercategory": "textile"}, {"id": 183, "supercategory": "other"}]
    things = [{"id": 1, "supercategory": "person", "isthing": 1}, {"id": 5, "supercategory": "vehicle", "isthing": 1}]
    for name, categories in (("stuff_annotations/stuff", stuff), ("panoptic_annotations/panoptic", things)):
        path = tmp_path / f"o/annotations/{name}_val2017.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"categories": categories}))
    expected = {
        "cityscapes": ("c", [0, 18, 255]), "camvid": ("v", [10, 255]), "voc": ("p", [20, 255]),
        "coco-stuff": ("o", [255, 0, 255]), "coco-things": ("o", [0, 255, 1]),
    }  # fmt: skip
    for layout, (folder, values) in expected.items():
        prepare(layout, tmp_path / folder, tmp_path / "out", layout)
        data = open_segmentation(tmp_path / "out", "mini", layout)
        assert np.array(Image.open(data.val[0].mask)).tolist() == [values], layout


def test_own_images_in_three_commands(tmp_path):
    for number in range(6):
        write(tmp_path / "raw", f"{number}", np.full((4, 4), number % 2, np.uint8))
    (tmp_path / "raw" / "classes.txt").write_text("left\nright\n")
    command = ("--layout", "folder", "--source", tmp_path / "raw", "--root", tmp_path / "data", "--check")
    done = run_tool("prepare_data.py", "segmentation", *command)
    assert done.returncode == 0, done.stderr
    assert "checked: no faults" in done.stdout
    assert [pair.name for pair in open_segmentation(tmp_path / "data").val] == ["4"]
    write(tmp_path / "raw", "6", np.full((4, 4), 5, np.uint8))
    shutil.rmtree(tmp_path / "data")
    done = run_tool("prepare_data.py", "segmentation", *command)
    assert done.returncode == 2
    assert "does not have (first: masks/6.png: [5])" in done.stderr
    assert not (tmp_path / "data" / "segmentation").exists()
