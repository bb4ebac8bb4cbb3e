"""COCO files as people have them: what is refused, what is completed, and pycocotools' score of the clean file."""

import json
import os
import re

import pytest
from coco_faults import COMPLETED, NOTHING_TO_LEARN, REFUSED, every, images, one, rename, without
from coco_files import HEIGHT, WIDTH, content, official_scores, truth_as_detections, write
from in_process import run_tool

from benchmarks.coco import reading
from benchmarks.coco.dataset import open_coco
from benchmarks.coco.task import open_whole
from benchmarks.data_check import survey
from benchmarks.errors import InputError


@pytest.fixture
def folder(tmp_path):
    return write(tmp_path / "coco", content(), content())


def spoil(root, split, change):
    file = root / "annotations" / f"instances_{split}2017.json"
    data = json.loads(file.read_text())
    change(data)
    file.write_text(json.dumps(data))
    return data


def verdicts(root):
    """What the plan of a run (of which a dry run is the end) and the check say: None, or the fault."""
    try:
        open_whole(root, "mini")
        run = None
    except InputError as error:
        run = str(error)
    report = survey("coco", root, check=True)
    return run, "; ".join([*report.problems, *report.missing]) or None


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("fault", REFUSED)
def test_what_cannot_be_read_is_refused_alike_by_run_and_check(folder, fault, split):
    change, said = REFUSED[fault]
    spoil(folder, split, change)
    run, checked = verdicts(folder)
    assert run == checked
    assert "\n" not in run
    assert re.search(rf"instances_{split}2017.json.*{said}", run), run


@pytest.mark.parametrize("fault", NOTHING_TO_LEARN)
def test_a_training_set_without_an_object_to_learn_from_is_refused(folder, fault):
    spoil(folder, "train", NOTHING_TO_LEARN[fault])
    run, checked = verdicts(folder)
    assert run == checked
    assert "none of its 12 objects trains a detector" in run or "of 12 annotations none is left" in run


def test_a_picture_that_is_listed_twice_is_said(folder):
    spoil(folder, "val", lambda d: d["images"][1].update(file_name=d["images"][0]["file_name"]))
    assert verdicts(folder) == (None, None)
    assert any(
        "1 image with the picture of another: it counts more than once (ids 2)" in n for n in open_coco(folder).notes
    )


def test_a_large_share_that_trains_nothing_is_said(folder):
    spoil(folder, "train", lambda d: [a.update(iscrowd=1) for a in d["annotations"][:4]])
    assert any("4 of 12 objects train no detector (4 crowds)" in note for note in open_coco(folder).notes)


@pytest.mark.parametrize("case", COMPLETED)
def test_what_follows_from_the_rest_runs_and_scores_as_the_clean_file(folder, case, tmp_path):
    clean = content()
    for split in ("train", "val"):
        changed = spoil(folder, split, COMPLETED[case])
    assert verdicts(folder) == (None, None)
    data = open_coco(folder)
    assert data.classes == ("cat", "dog", "bird")
    # Detections name images and categories as the user's own file does.
    images = dict(zip([i["id"] for i in clean["images"]], [i["id"] for i in changed["images"]], strict=True))
    names = {c["name"]: c["id"] for c in changed["categories"]}
    categories = {c["id"]: names[c["name"]] for c in clean["categories"]}
    detections = truth_as_detections(clean)
    own = [{**d, "image_id": images[d["image_id"]], "category_id": categories[d["category_id"]]} for d in detections]
    (tmp_path / "detections.json").write_text(json.dumps(own))
    done = run_tool(
        "evaluate_coco.py", "--annotations", data.annotations("val"), "--detections", tmp_path / "detections.json",
        "--json", tmp_path / "scores.json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    scores = json.loads((tmp_path / "scores.json").read_text())
    for kind in ("bbox", "segm"):
        assert scores[kind] == official_scores(clean, detections, kind)
    # What the engines read names the engines' ids, and goes back to the file's own.
    engine = data.content("val")
    assert {type(i["id"]) for i in engine["images"]} == {int}
    assert min(a["id"] for a in engine["annotations"]) > 0
    found = [{"image_id": a["image_id"], "category_id": a["category_id"]} for a in engine["annotations"]]
    back = [(d["image_id"], d["category_id"]) for d in data.own_ids(found)]
    assert back == [(images[a["image_id"]], categories[a["category_id"]]) for a in clean["annotations"]]


def test_sound_files_are_read_by_engines_as_they_are(folder, tmp_path):
    data = open_coco(folder)
    assert data.notes == ()
    assert not data.rewritten
    assert data.engine_file("train", tmp_path) == data.annotations("train")
    assert data.content("val") == content()


def test_a_rewritten_file_is_written_once_and_named_by_its_content(folder, tmp_path):
    spoil(folder, "train", without("iscrowd"))
    data = open_coco(folder)
    first = data.engine_file("train", tmp_path / "out")
    assert json.loads(first.read_text()) == content()
    before = first.stat().st_mtime_ns
    assert open_coco(folder).engine_file("train", tmp_path / "out") == first
    assert first.stat().st_mtime_ns == before
    assert data.engine_file("val", tmp_path / "out") == data.annotations("val")


def test_all_faults_of_both_files_are_in_one_line(folder):
    spoil(
        folder,
        "train",
        lambda d: (REFUSED["bbox NaN"][0](d), d["annotations"][5].update(area="x"), d["images"][0].pop("width")),
    )
    spoil(folder, "val", one(category_id=77))
    run, checked = verdicts(folder)
    assert run == checked
    for text in ("3 kinds of faults", "bbox is not four", "area is no number", "without width", "category not listed"):
        assert text in run


def test_categories_in_another_order_are_matched_by_name(folder, tmp_path):
    def change(data):
        data["categories"].reverse()
        rename("category", lambda i: 10 - i)(data)

    spoil(folder, "val", change)
    data = open_coco(folder)
    assert verdicts(folder) == (None, None)
    assert any("matched by their names" in note for note in data.notes)
    assert data.content("val")["categories"] == content()["categories"]
    assert [a["category_id"] for a in data.content("val")["annotations"]] == [3, 5, 8] * 4
    assert [d["category_id"] for d in data.own_ids([{"image_id": 1, "category_id": c} for c in (3, 5, 8)])] == [
        7,
        5,
        2,
    ]


def test_categories_that_one_split_lacks_are_named(folder):
    spoil(folder, "val", lambda d: d["categories"].append({"id": 9, "name": "cow"}))
    run, checked = verdicts(folder)
    assert run == checked
    assert "only val: cow" in run


def test_a_category_that_is_scored_and_never_trained_is_said(folder):
    spoil(folder, "train", every("category_id", 3))
    assert any("2 categories with objects in val2017 and none in train2017" in n for n in open_coco(folder).notes)


def test_a_byte_order_mark_is_no_fault(folder):
    file = folder / "annotations/instances_val2017.json"
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert verdicts(folder) == (None, None)
    assert "val" in open_coco(folder).rewritten


def test_a_sound_file_is_read_once(folder, monkeypatch):
    for split in ("train", "val"):
        os.utime(folder / f"annotations/instances_{split}2017.json", (1e9, 1e9))
    open_coco(folder)
    calls = []
    monkeypatch.setattr(reading, "read_content", lambda file: calls.append(file))
    assert open_coco(folder).train_images == 4
    assert calls == []


@pytest.mark.parametrize("name", ["sub/folder/a.png", "ü é 1.PNG", "a.jpeg"])
def test_names_in_folders_with_umlauts_and_of_other_kinds(tmp_path, name):
    data = content(1)
    data["images"][0]["file_name"] = name
    root = write(tmp_path, data, data)
    assert verdicts(root) == (None, None)
    assert not open_coco(root).rewritten


def test_windows_paths_and_decomposed_umlauts_are_found(tmp_path):
    train, val = content(1), content(1)
    train["images"][0]["file_name"] = "sub/ü.png"
    root = write(tmp_path, train, val)
    spoil(root, "train", lambda d: d["images"][0].update(file_name="sub\\u\u0308.png"))
    assert verdicts(root) == (None, None)
    assert open_coco(root).content("train")["images"][0]["file_name"] == str(root / "train2017/sub/ü.png")


def save_turned(path, size, orientation):
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", size, (9, 99, 9)).save(path, exif=exif)


def test_pictures_turned_by_exif_are_annotated_upright(folder):
    spoil(folder, "train", images())
    picture = folder / "train2017/000001.jpg"
    save_turned(picture, (HEIGHT, WIDTH), 6)
    spoil(folder, "train", lambda d: d["images"][0].update(file_name=picture.name))
    assert verdicts(folder) == (None, None)
    save_turned(picture, (WIDTH, HEIGHT), 6)
    run, checked = verdicts(folder)
    assert "its Exif tag turns it, so annotate the upright picture" in run
    assert "its Exif tag turns it, so annotate the upright picture" in checked


def test_advice_follows_from_what_is_there(tmp_path):
    root = write(tmp_path, content(), content())
    (root / "annotations/instances_train2017.json").rename(root / "annotations/train.json")
    missing = survey("coco", root, check=True).missing
    assert len(missing) == 1
    assert "there are annotations/instances_val2017.json, annotations/train.json; put the one" in missing[0]
    (root / "train2017/000001.png").unlink()
    (root / "annotations/train.json").rename(root / "annotations/instances_train2017.json")
    run, checked = verdicts(root)
    assert run == checked
    assert "1 of 4 images" in run
    assert "18 GB" not in run
    empty = survey("coco", (tmp_path / "none").mkdir() or tmp_path / "none", check=True)
    assert any("train2017.zip (18 GB)" in line for line in empty.missing)
