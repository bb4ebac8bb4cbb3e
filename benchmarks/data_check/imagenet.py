"""ILSVRC CLS-LOC on disk: ``{train,val}/nXXXXXXXX/*.JPEG`` and ``Annotations/CLS-LOC/{train,val}``."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

from benchmarks.data_check.pictures import decode_size, read_all
from benchmarks.data_check.report import Report

MARKS = ("train", "val", "Annotations")
WHERE = "https://image-net.org/download-images (ILSVRC2012, account needed)"
#: Images of the official splits.
TOTALS = {"train": 1_281_167, "val": 50_000}
CLASSES = 1000
_ARCHIVES = {"train": "ILSVRC2012_img_train.tar (138 GB)", "val": "ILSVRC2012_img_val.tar (6.3 GB)"}
_BOXES = {"train": "ILSVRC2012_bbox_train_v2.tar.gz", "val": "ILSVRC2012_bbox_val_v3.tgz"}


def survey(folder: Path, check: bool) -> Report:
    """What is in ``folder``; with ``check`` every image is decoded and every box compared with its image."""
    report = Report("ImageNet (ILSVRC 2012)", str(folder))
    for split, total in TOTALS.items():
        images = {path.stem: path for path in sorted((folder / split).glob("n*/*.JPEG"))}
        boxes = folder / "Annotations" / "CLS-LOC" / split
        # Official archives: training has a folder a class, validation is flat.
        annotations = {path.stem: path for path in sorted(boxes.rglob("*.xml"))}
        report.count(f"{split} images", len(images), total)
        report.count(f"{split} classes", len({path.parent.name for path in images.values()}), CLASSES)
        report.found[f"{split} images with boxes"] = len(images.keys() & annotations.keys())
        if not images:
            hint = "" if split == "train" else ", sorted into one folder a class"
            report.missing.append(f"{split}/nXXXXXXXX/*.JPEG: unpack {_ARCHIVES[split]}{hint}, from {WHERE}")
        if not annotations:
            report.missing.append(f"Annotations/CLS-LOC/{split}/: unpack {_BOXES[split]} from {WHERE}")
        if check and images:
            _check_split(report, split, images, annotations)
    if check:
        report.identify(folder, folder.rglob("*.xml"))
    return report


def _check_split(report: Report, split: str, images: dict[str, Path], annotations: dict[str, Path]) -> None:
    alone = annotations.keys() - images.keys()
    if alone:
        report.problems.append(f"{split}: {len(alone)} annotations have no image, e.g. {min(alone)}.xml")
    sizes = read_all(images.values(), decode_size, report.problems, f"decoding {split}")
    parsed = read_all(annotations.values(), _read_xml, report.problems, f"{split} boxes")
    for path, (size, boxes) in parsed.items():
        image = images.get(path.stem)
        if image in sizes and sizes[image] != size:
            report.problems.append(f"{path} is for {size[0]}x{size[1]} pixels, {image.name} has {sizes[image]}")
        if not boxes:
            report.problems.append(f"{path} has no box")
        height, width = size
        for left, top, right, bottom in boxes:
            if not (0 <= left < right <= width and 0 <= top < bottom <= height):
                report.problems.append(f"{path}: box {(left, top, right, bottom)} leaves its {width}x{height} image")


def _read_xml(path: Path) -> tuple[tuple[int, int], list[tuple[int, int, int, int]]]:
    """(height, width) and the boxes of an annotation; ValueError when it is not one."""
    try:
        tree = ElementTree.parse(path).getroot()
        size = int(tree.findtext("size/height", "")), int(tree.findtext("size/width", ""))
        corners = ("xmin", "ymin", "xmax", "ymax")
        boxes = [tuple(int(node.findtext(c, "")) for c in corners) for node in tree.iterfind("object/bndbox")]
    except ElementTree.ParseError as error:
        raise ValueError(f"broken XML: {error}") from error
    return size, boxes
