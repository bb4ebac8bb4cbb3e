"""COCO files as people have them: what is refused, what is completed, and pycocotools' score of the clean file."""

import json
import math
import os
import re

import pytest
from coco_files import HEIGHT, WIDTH, content, official_scores, truth_as_detections, write
from in_process import run_tool

from benchmarks.coco import reading
from benchmarks.coco.dataset import open_coco
from benchmarks.coco.task import open_whole
from benchmarks.data_check import survey
from benchmarks.errors import InputError


def every(key, value):
    """A change of one key of all annotations; a function is called with the annotation."""

    def change(data):
        for annotation in data["annotations"]:
            annotation[key] = value(annotation) if callable(value) else value

    return change


def without(*keys):
    def change(data):
        for annotation in data["annotations"]:
            for key in keys:
                annotation.pop(key)

    return change


def one(**keys):
    """A change of the keys of the second annotation."""
    return lambda data: data["annotations"][1].update(keys)


def images(**keys):
    return lambda data: [image.update(keys) for image in data["images"]]


def rename(kind, new):
    """New ids of images, categories or annotations, wherever they are named."""

    def change(data):
        for entry in data[{"image": "images", "category": "categories", "annotation": "annotations"}[kind]]:
            entry["id"] = new(entry["id"])
        for annotation in data["annotations"] if kind != "annotation" else []:
            annotation[f"{kind}_id"] = new(annotation[f"{kind}_id"])

    return change


def run_lengths(annotation, surplus=0):
    """A box as uncompressed run lengths."""
    x, y, w, h = (int(v) for v in annotation["bbox"])
    counts = [x * HEIGHT + y, *([h, HEIGHT - h] * (w - 1)), h]
    return {"size": [HEIGHT, WIDTH], "counts": [*counts, WIDTH * HEIGHT - sum(counts) + surplus]}


def corners(annotation):
    x, y, w, h = annotation["bbox"]
    return [x, y, x + w, y + h]


def parts(annotation):
    x, y, w, h = annotation["bbox"]
    return [x / WIDTH, y / HEIGHT, w / WIDTH, h / HEIGHT]


#: What cannot be read as anything: a change of a sound file, and what is said about it.
REFUSED = {
    "annotation ids twice": (one(id=10), "1 annotation id there twice"),
    "an id that is a list": (one(id=[1]), r"1 annotation without a usable id .*no. 2"),
    "image ids twice": (lambda d: d["images"].append(d["images"][0]), "1 image id there twice"),
    "image id null": (lambda d: d["images"][0].update(id=None), "1 image without a usable id"),
    "category ids twice": (lambda d: d["categories"][0].update(id=5), "1 category id there twice"),
    "category names twice": (lambda d: d["categories"][0].update(name="dog"), "1 category name there twice"),
    "category without name": (lambda d: d["categories"][0].pop("name"), "1 category without a name"),
    "half of a surrogate pair": (lambda d: d["categories"][0].update(name="\ud83d"), "1 category without a name"),
    "half of a pair in a file name": (images(file_name="\ud83d.png"), "4 images without a usable file_name"),
    "unlisted image": (one(image_id=-5), r"1 annotation of 1 image not listed \(-5\)"),
    "unlisted category": (one(category_id=77), r"1 annotation of 1 category not listed \(77\)"),
    "text and numbers": (one(category_id="5"), "one side writes numbers, the other text"),
    "image_id missing": (without("image_id"), "12 annotations of 1 image not listed"),
    "category_id null": (every("category_id", None), r"12 annotations of 1 category not listed \(None\)"),
    "no size": (lambda d: d["images"][0].pop("height"), "1 image without width and height"),
    "size as text": (images(width="80"), "4 images without width and height"),
    "size beyond floats": (images(width=10**400), "4 images without width and height"),
    "size 0": (images(width=0), "4 images without width and height"),
    "file_name null": (images(file_name=None), "4 images without a usable file_name or coco_url"),
    "file_name a number": (images(file_name=7), "4 images without a usable file_name or coco_url"),
    "iscrowd text": (every("iscrowd", "0"), "12 annotations whose iscrowd is neither 0 nor 1"),
    "iscrowd 2": (one(iscrowd=2), r"1 annotation whose iscrowd is neither 0 nor 1 \(ids 11\)"),
    "area text": (every("area", "12"), "12 annotations whose area is no number of 0 or more"),
    "area NaN": (one(area=math.nan), "1 annotation whose area is no number"),
    "area beyond floats": (one(area=10**400), "1 annotation whose area is no number"),
    "area below 0": (one(area=-1), "1 annotation whose area is no number of 0 or more"),
    "bbox text": (one(bbox="1 2 3 4"), "1 annotation whose bbox is not four finite numbers"),
    "bbox of texts": (one(bbox=["1", "2", "3", "4"]), "1 annotation whose bbox is not four finite numbers"),
    "bbox of three": (one(bbox=[1, 2, 3]), "1 annotation whose bbox is not four finite numbers"),
    "bbox true": (one(bbox=[True, 2, 9, 4]), "1 annotation whose bbox is not four finite numbers"),
    "bbox NaN": (one(bbox=[1, 2, math.nan, 4]), "1 annotation whose bbox is not four finite numbers"),
    "bbox infinite": (one(bbox=[1, 2, math.inf, 4]), "1 annotation whose bbox is not four finite numbers"),
    "bbox beyond floats": (one(bbox=[1, 2, 10**400, 4]), "1 annotation whose bbox is not four finite numbers"),
    "bbox negative": (one(bbox=[9, 9, -3, 4]), "1 annotation with a box of negative width"),
    "bbox outside": (one(bbox=[70, 10, 20, 10]), "1 annotation whose box leaves its image"),
    "corners that leave": (every("bbox", lambda a: [70, 50, 78, 58]), "read as x1, y1, x2, y2"),
    "corners that stay": (every("bbox", corners), "x1, y1, x2, y2"),
    "parts of the image": (every("bbox", parts), "all boxes within 0 to 1"),
    "no box, no mask": (without("bbox", "segmentation"), "12 annotations without bbox and without a mask"),
    "no mask": (without("segmentation"), "12 annotations without a mask"),
    "mask null": (one(segmentation=None), r"1 annotation without a mask \(ids 11\)"),
    "masks of boxes alone": (every("segmentation", []), "12 annotations without a mask"),
    "mask text": (one(segmentation="x"), "1 annotation whose mask is no list of polygons"),
    "points in pairs": (one(segmentation=[[[1, 1], [9, 1], [9, 9]]]), "1 annotation whose mask is no list of polygons"),
    "text in a polygon": (one(segmentation=[[1, 1, 9, "1", 9, 9]]), "1 annotation whose mask is no list of polygons"),
    "true in a polygon": (one(segmentation=[[9, 1, True, 9, 9, 9]]), "1 annotation whose mask is no list of polygons"),
    "NaN in a polygon": (one(segmentation=[[1, 1, 9, math.nan, 9, 9]]), "1 annotation with NaN or infinity"),
    "polygon outside": (one(segmentation=[[0, 0, 500, 0, 500, 9]]), "1 annotation whose mask leaves its image"),
    "run lengths of another size": (
        one(segmentation={"size": [WIDTH, HEIGHT], "counts": [WIDTH * HEIGHT]}),
        "1 annotation whose run lengths are of another size",
    ),
    "run lengths too many": (every("segmentation", lambda a: run_lengths(a, 5)), "12 annotations .* do not add up"),
    "run lengths too few": (every("segmentation", lambda a: run_lengths(a, -1)), "12 annotations .* do not add up"),
    "run lengths below 0": (
        one(segmentation={"size": [HEIGHT, WIDTH], "counts": [-10, 4810]}),
        "1 annotation .* do not add up",
    ),
    "compressed lengths too few": (
        one(segmentation={"size": [HEIGHT, WIDTH], "counts": "PP1"}),
        "1 annotation .* do not add up",
    ),
    "counts null": (one(segmentation={"size": [HEIGHT, WIDTH], "counts": None}), "mask is no list of polygons"),
    "an entry that is null": (lambda d: d["annotations"].append(None), r"1 of 13 entries of annotations .*no. 13"),
    "no categories": (lambda d: d.update(categories=[]), "lists no categories"),
    "no annotations": (lambda d: d.update(annotations=[]), "lists no images or no annotations"),
    "annotations null": (lambda d: d.update(annotations=None), "lacks images, annotations or categories"),
}

#: What no detector would learn from: refused in train, scored in val.
NOTHING_TO_LEARN = {
    "area 0": every("area", 0),
    "all crowd": every("iscrowd", 1),
    "all ignored": every("ignore", 1),
    "empty boxes": lambda d: [a.update(bbox=[*a["bbox"][:2], 0, 0]) for a in d["annotations"]],
    "degenerate masks": every("segmentation", [[1, 1, 2, 2]]),
}

#: What follows from the rest of the file: the score is that of the clean file, which is the sound one unless given.
COMPLETED = {
    "annotation ids from 0": rename("annotation", lambda i: i - 10),
    "annotation ids missing": without("id"),
    "annotation ids text": rename("annotation", lambda i: f"a{i}"),
    "annotation ids huge": rename("annotation", lambda i: i + 10**20),
    "annotation ids of pandas": rename("annotation", float),
    "image ids text": rename("image", lambda i: f"picture {i}"),
    "image ids huge": rename("image", lambda i: i + 10**30),
    "image ids from 0": rename("image", lambda i: i - 1),
    "image ids negative": rename("image", lambda i: -i),
    "category ids text": rename("category", str),
    "category ids from 0": rename("category", lambda i: i - 3),
    "all ids text": lambda d: [rename(kind, str)(d) for kind in ("image", "category", "annotation")],
    "image_id text, image number": every("image_id", lambda a: str(a["image_id"])),
    "iscrowd missing": without("iscrowd"),
    "iscrowd null": every("iscrowd", None),
    "iscrowd false": every("iscrowd", False),
    "area missing": without("area"),
    "area null": every("area", None),
    "bbox missing": without("bbox"),
    "bbox null": every("bbox", None),
    "bbox, area and iscrowd missing": without("bbox", "area", "iscrowd"),
    "a stray part": lambda d: [a["segmentation"].append([4, 4, 5, 5]) for a in d["annotations"]],
    "a stray part first": lambda d: [a["segmentation"].insert(0, [4, 4, 5, 5]) for a in d["annotations"]],
    "an odd part": lambda d: [a["segmentation"].append([1, 2, 3, 4, 5, 6, 7]) for a in d["annotations"]],
    "flat polygons": every("segmentation", lambda a: a["segmentation"][0]),
    "plain run lengths": every("segmentation", run_lengths),
    "sizes as floats": images(width=float(WIDTH), height=float(HEIGHT)),
    "a spare category of a used name": lambda d: d["categories"].insert(0, {"id": 0, "name": "cat"}),
    "NaN where nobody looks": images(license=math.nan),
    "ignore 0": every("ignore", 0),
}


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
