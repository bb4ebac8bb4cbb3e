"""``tools/evaluate_coco.py``: any program's detections, pycocotools' numbers, and a line where one cannot be meant."""

import copy
import json
import math

import pytest
from coco_exports import EXPORTS, expected
from coco_files import HEIGHT, WIDTH, content, official, official_scores, rectangle, truth_as_detections, write
from in_process import run_tool
from PIL import Image

from benchmarks.coco import check
from benchmarks.coco.dataset import open_coco
from benchmarks.coco.evaluation import evaluate_files
from benchmarks.data_check import survey
from benchmarks.errors import InputError


@pytest.fixture
def files(tmp_path):
    """Evaluate ``detections`` on ``data``, by files."""

    def evaluate(data, detections, **options):
        for name, value in (("truth.json", data), ("found.json", detections)):
            (tmp_path / name).write_text(value if isinstance(value, str) else json.dumps(value))
        return evaluate_files(tmp_path / "truth.json", tmp_path / "found.json", **options)

    return evaluate


def both(data, detections):
    return {kind: official_scores(data, detections, kind) for kind in ("bbox", "segm")}


def scores(found):
    return {kind: found[kind] for kind in ("bbox", "segm") if kind in found}


def test_twelve_numbers_are_pycocotools_to_the_bit(files, tmp_path):
    data = content(20)
    detections = truth_as_detections(data)
    wanted = both(data, detections)
    assert 5 < wanted["bbox"]["AP"] < 95
    assert scores(files(data, detections)) == wanted
    done = run_tool(
        "evaluate_coco.py", "--annotations", tmp_path / "truth.json", "--detections", tmp_path / "found.json",
        "--json", tmp_path / "scores.json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    written = json.loads((tmp_path / "scores.json").read_text())
    assert scores(written) == wanted
    assert written["notes"] == []
    assert f"bbox AP      {wanted['bbox']['AP']:.3f}" in done.stdout
    assert scores(files(data, detections, boxes_only=True)) == {"bbox": wanted["bbox"]}


def test_real_annotations_with_crowds(files, sample_data):
    data = json.loads((sample_data / "coco/annotations/instances_val2017.json").read_text())
    crowds = {a["image_id"] for a in data["annotations"] if a["iscrowd"]}
    chosen = sorted(data["images"], key=lambda image: image["id"] not in crowds)[: len(crowds) + 2]
    kept = [a for a in data["annotations"] if a["image_id"] in {i["id"] for i in chosen}]
    data = {"images": chosen, "annotations": kept, "categories": data["categories"][:30]}
    listed = {c["id"] for c in data["categories"]}
    data["annotations"] = [a for a in kept if a["category_id"] in listed]
    truth = official(data)
    detections = []
    for number, a in enumerate(data["annotations"]):
        mask = truth.annToRLE(a)
        mask = {
            "size": mask["size"],
            "counts": mask["counts"] if isinstance(mask["counts"], str) else mask["counts"].decode(),
        }
        box = [v + (number % 3) for v in a["bbox"][:2]] + a["bbox"][2:]
        keys = {"image_id": a["image_id"], "category_id": a["category_id"], "score": (number * 37 % 100) / 100}
        detections.append({**keys, "bbox": box, "segmentation": mask})
    assert any(a["iscrowd"] for a in data["annotations"])
    assert scores(files(data, detections)) == both(data, detections)


def test_masks_as_polygons_or_plain_run_lengths_and_without_boxes(files):
    data = content()
    detections = truth_as_detections(data)
    polygons = [{**d, "segmentation": [rectangle(*d["bbox"])]} for d in detections]
    wanted = both(data, detections)
    assert scores(files(data, polygons)) == wanted
    bare = [{k: v for k, v in d.items() if k != "bbox"} for d in detections]
    found = files(data, bare)
    assert found["segm"] == wanted["segm"]
    assert found["bbox"] == official_scores(data, [{**d, "bbox": d["bbox"]} for d in detections], "bbox")


def test_boxes_alone_are_scored_where_there_are_no_masks(files):
    data = content()
    boxes = [{k: v for k, v in d.items() if k != "segmentation"} for d in truth_as_detections(data)]
    found = files(data, boxes)
    assert scores(found) == {"bbox": official_scores(data, boxes, "bbox")}
    assert any("has no masks: boxes alone are scored" in note for note in found["notes"])
    for annotation in data["annotations"]:
        annotation["segmentation"] = []
    found = files(data, truth_as_detections(content()))
    assert scores(found) == {"bbox": official_scores(content(), boxes, "bbox")}
    data["annotations"][0]["segmentation"] = [rectangle(*data["annotations"][0]["bbox"])]
    with pytest.raises(InputError, match=r"11 of 12 annotations have no mask: .*--boxes-only"):
        files(data, boxes)
    assert files(data, boxes, boxes_only=True)["bbox"] == official_scores(content(), boxes, "bbox")


def test_ids_that_other_programs_write_as_text_or_numbers(files):
    data = content()
    detections = truth_as_detections(data)
    as_text = [{**d, "image_id": str(d["image_id"]), "category_id": str(d["category_id"])} for d in detections]
    assert scores(files(data, as_text)) == both(data, detections)


def set_all(key, value):
    return lambda found: [d.update({key: value}) for d in found]


REFUSED = {
    "unknown image": (lambda f: f[0].update(image_id=99), r"1 detection of 1 image not listed \(99\)"),
    "unknown category": (lambda f: f[0].update(category_id=99), r"1 detection of 1 category not listed \(99\)"),
    "places in the list": (
        lambda f: [d.update(category_id=(3, 5, 8).index(d["category_id"])) for d in f],
        r"12 detections of 3 categories not listed \(0, 1, 2\).* these look like places in the list of classes",
    ),
    "category name": (set_all("category_id", "cat"), r"12 detections of 1 category not listed \(cat\)"),
    "no image": (lambda f: f[0].pop("image_id"), r"1 detection of 1 image not listed \(None\)"),
    "score NaN": (lambda f: f[0].update(score=math.nan), "1 detection whose score is no finite number"),
    "score text": (set_all("score", "0.5"), "12 detections whose score is no finite number"),
    "no score": (lambda f: f[3].pop("score"), "1 detection whose score is no finite number"),
    "score huge": (lambda f: f[3].update(score=10**400), "1 detection whose score is no finite number"),
    "box NaN": (lambda f: f[3].update(bbox=[1, 2, math.nan, 3]), "1 detection whose bbox is not four finite numbers"),
    "box text": (lambda f: f[3].update(bbox="1 2 3 4"), "1 detection whose bbox is not four finite numbers"),
    "box negative": (lambda f: f[3].update(bbox=[5, 5, -2, 3]), "1 detection with a box of negative width"),
    "one without box": (lambda f: f[3].pop("bbox"), "1 detection without bbox, which others have"),
    "one without mask": (lambda f: f[3].pop("segmentation"), "1 detection without segmentation, which others have"),
    "mask of another size": (
        lambda f: f[3].update(segmentation={"size": [9, 9], "counts": [81]}),
        "1 detection whose run lengths are of another size",
    ),
    "mask that does not add up": (
        lambda f: f[3].update(segmentation={"size": [HEIGHT, WIDTH], "counts": "0"}),
        "1 detection whose run lengths do not add up",
    ),
    "mask NaN": (lambda f: f[3].update(segmentation=[[1, 1, math.nan, 2, 3, 3]]), "1 detection with NaN or infinity"),
    "an entry that is null": (lambda f: f.append(None), "1 detection without keys"),
}  # fmt: skip


@pytest.mark.parametrize("fault", REFUSED)
def test_what_pycocotools_cannot_read_or_drops_in_silence_is_refused(files, fault):
    found = truth_as_detections(content())
    change, said = REFUSED[fault]
    change(found)
    with pytest.raises(InputError, match=rf"found.json.*{said}") as raised:
        files(content(), found)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [("{}", "no list of detections"), ("[", "not valid JSON"), (json.dumps(content()), "is an annotation file")],
)
def test_files_that_are_no_results(files, text, said):
    with pytest.raises(InputError, match=said):
        files(content(), text)


def test_a_zero_explains_itself(files):
    data = content(20)
    found = truth_as_detections(data)

    def notes(change):
        changed = copy.deepcopy(found)
        for d in changed:
            change(d)
        answer = files(data, [d for d in changed if "image_id" in d])
        return answer, " | ".join(answer["notes"])

    answer, said = notes(lambda d: d.clear())
    assert answer["bbox"]["AP"] == answer["segm"]["AP"] == 0
    assert "there are no detections" in said
    answer, said = notes(
        lambda d: d.update(bbox=[d["bbox"][0], d["bbox"][1], sum(d["bbox"][::2]), sum(d["bbox"][1::2])])
    )
    assert "read as x1, y1, x2, y2 they would fit" in said
    answer, said = notes(lambda d: d.update(bbox=[v / WIDTH for v in d["bbox"]]))
    assert answer["bbox"]["AP"] == 0
    assert "all boxes lie within 0 to 1" in said
    answer, said = notes(lambda d: d.update(category_id={3: 5, 5: 8, 8: 3}[d["category_id"]]))
    assert answer["bbox"]["AP"] < 5
    assert "are the category ids those of the annotation file?" in said
    answer, said = notes(lambda d: d["category_id"] == 8 and d.clear())
    assert "1 category with objects but no detection, each scores 0: bird" in said
    answer, said = notes(lambda d: d["image_id"] > 10 and d.clear())
    assert "10 of 20 images with objects have no detection" in said
    answer, said = notes(lambda d: None)
    assert said == ""


def test_detections_of_a_category_without_objects_are_said(files):
    data = content()
    data["categories"].append({"id": 9, "name": "cow"})
    found = truth_as_detections(content())
    found[0]["category_id"] = 9
    answer = files(data, found)
    assert scores(answer) == both(data, found)
    assert any("1 detection of 1 category without objects count for nothing: cow" in note for note in answer["notes"])


@pytest.mark.parametrize("tool", EXPORTS)
def test_exports_of_annotation_tools(files, tool, tmp_path):
    data, picture = copy.deepcopy(EXPORTS[tool])
    root = write(tmp_path / "coco", "{}", "{}")
    (root / picture).parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (WIDTH, HEIGHT)).save(root / picture)
    (root / picture).parent.joinpath("._x.png").write_bytes(b"macOS")
    if not (root / "train2017" / picture.removeprefix("val2017/")).exists() and picture.startswith("val2017"):
        (root / "train2017" / picture.removeprefix("val2017/")).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (WIDTH, HEIGHT)).save(root / "train2017" / picture.removeprefix("val2017/"))
    for split in ("train", "val"):
        (root / f"annotations/instances_{split}2017.json").write_text(json.dumps(data))
    opened = open_coco(root)
    check.require_pictures(opened, progress=False)
    assert survey("coco", root, check=True).problems == []
    assert (opened.train_images, opened.annotated_images) == (1, 1)
    assert set(opened.classes) - {"_background_"} == {"cat", "dog"}
    objects = opened.content("val")["annotations"]
    assert [(o["bbox"], o["area"], o["iscrowd"], o["segmentation"]) for o in objects] == [
        (o["bbox"], o["area"], o["iscrowd"], o["segmentation"]) for o in expected()["annotations"]
    ]
    # The truth, named as the file names it, is found whole.
    names = {c["id"]: c["name"] for c in data["categories"]}
    dog = {name: number for number, name in names.items()}["dog"]
    found = [
        {"image_id": data["images"][0]["id"], "category_id": a["category_id"], "bbox": a["bbox"], "score": 0.5}
        for a in data["annotations"]
    ]
    assert found[1]["category_id"] == dog
    assert files(data, found)["bbox"]["AP"] == pytest.approx(100)
    if tool == "LVIS":
        assert any("COCO's score, given here, is not LVIS's own" in note for note in opened.notes)
