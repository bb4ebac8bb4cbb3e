"""COCO 2017 on disk: ``train2017/``, ``val2017/``, ``annotations/instances_*.json``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.data_check.pictures import decode_size, read_all
from benchmarks.data_check.report import Report
from benchmarks.errors import InputError
from benchmarks.files import read_json

MARKS = ("annotations", "train2017", "val2017")
WHERE = "https://cocodataset.org/#download"
#: Images of the official splits.
TOTALS = {"train2017": 118_287, "val2017": 5_000}
_ARCHIVES = {"train2017": "train2017.zip (18 GB)", "val2017": "val2017.zip (1 GB)"}
#: Boxes of the official files leave their images by rounding only.
_SLACK = 1.0


def survey(folder: Path, check: bool) -> Report:
    """What is in ``folder``; with ``check`` every image is decoded and every annotation compared."""
    report = Report("COCO 2017", str(folder))
    for split, total in TOTALS.items():
        images = {path.name: path for path in sorted((folder / split).glob("*.jpg"))}
        report.count(f"{split} images", len(images), total)
        if not images:
            report.missing.append(f"{split}/: unpack {_ARCHIVES[split]} from {WHERE}")
        annotations = folder / "annotations" / f"instances_{split}.json"
        if not annotations.is_file():
            report.missing.append(
                f"annotations/{annotations.name}: unpack annotations_trainval2017.zip (241 MB) from {WHERE}"
            )
        elif check:
            _check_split(report, split, images, annotations)
        else:
            report.found[f"annotations/{annotations.name}"] = "there"
    if check:
        report.identify(folder, (folder / "annotations" / f"instances_{split}.json" for split in TOTALS))
    return report


def _check_split(report: Report, split: str, images: dict[str, Path], path: Path) -> None:
    try:
        content = read_json(path, "COCO annotation file")
        records = {image["id"]: image for image in content["images"]}
        annotations = content["annotations"]
        categories = {category["id"] for category in content["categories"]}
    except InputError as error:
        report.problems.append(str(error))
        return
    except (KeyError, TypeError) as error:
        report.problems.append(f"{path} has no usable {error}: is this instances_{split}.json?")
        return
    report.found[f"{split} annotations"] = len(annotations)
    report.found[f"{split} crowds"] = sum(bool(a.get("iscrowd")) for a in annotations)
    report.found[f"{split} categories"] = len(categories)
    listed = {record["file_name"] for record in records.values()}
    _compare_names(report, split, set(images), listed)
    sizes = read_all(images.values(), decode_size, report.problems, f"decoding {split}")
    for record in records.values():
        size = sizes.get(images.get(record["file_name"], Path()))
        if size is not None and size != (record["height"], record["width"]):
            report.problems.append(
                f"{split}/{record['file_name']} is {size[0]}x{size[1]}, {path.name} says "
                f"{record['height']}x{record['width']}"
            )
    for annotation in annotations:
        fault = _fault(annotation, records, categories)
        if fault:
            report.problems.append(f"{path.name}, annotation {annotation.get('id')}: {fault}")


def _compare_names(report: Report, split: str, there: set[str], listed: set[str]) -> None:
    for names, text in ((listed - there, "listed but not on disk"), (there - listed, "on disk but not listed")):
        if names:
            report.problems.append(f"{split}: {len(names)} images are {text}, e.g. {min(names)}")


def _fault(annotation: dict[str, Any], records: dict[int, Any], categories: set[int]) -> str | None:
    record = records.get(annotation["image_id"])
    if record is None:
        return f"image {annotation['image_id']} is not listed"
    if annotation["category_id"] not in categories:
        return f"category {annotation['category_id']} is not listed"
    left, top, width, height = annotation["bbox"]
    inside = left >= -_SLACK and top >= -_SLACK
    inside &= left + width <= record["width"] + _SLACK and top + height <= record["height"] + _SLACK
    if not inside or width < 0 or height < 0:
        return f"box {annotation['bbox']} leaves its {record['width']}x{record['height']} image"
    return None
