"""ILSVRC CLS-LOC on disk, as torchvision, the devkit or Kaggle unpack it: images, and box files of their names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from benchmarks.data_check.report import Report
from benchmarks.errors import InputError
from benchmarks.images import read_all, read_rgb
from benchmarks.knn.dataset import Split, box_folder, find_root, image_folder, read_split, remarks
from benchmarks.listing import list_files, list_images

MARKS = ("train", "val", "Annotations", "ILSVRC", "Data")
WHERE = "https://image-net.org/download-images (ILSVRC2012, account needed)"
#: Images of the official splits.
TOTALS = {"train": 1_281_167, "val": 50_000}
CLASSES = 1000
_ARCHIVES = {"train": "ILSVRC2012_img_train.tar (138 GB)", "val": "ILSVRC2012_img_val.tar (6.3 GB)"}
_BOXES = {"train": "ILSVRC2012_bbox_train_v2.tar.gz", "val": "ILSVRC2012_bbox_val_v3.tgz"}


def survey(folder: Path, check: bool) -> Report:
    """What is in ``folder``; with ``check`` the box files are read and every image that has one is decoded."""
    report = Report("ImageNet (ILSVRC 2012)", str(folder))
    try:
        root = find_root(folder)
    except InputError:
        for split in TOTALS:
            report.missing += [_unpack(f"{split}/", _ARCHIVES[split]), _unpack(f"Annotations/{split}/", _BOXES[split])]
        return report
    report.folder = str(root)
    splits: dict[str, Split] = {}
    for split, total in TOTALS.items():
        try:
            whole = _count(report, root, split, total)
            if whole and check:
                splits[split] = read_split(root, split, progress=True)
                report.found[f"{split} images without boxes, not used"] = splits[split].without_boxes
                used = [image.path for image in splits[split].images]
                sizes = read_all(used, lambda path: read_rgb(path).shape[1::-1], report.problems, f"decoding {split}")
                _compare(report, split, splits[split], sizes)
        except InputError as error:
            report.problems.append(str(error))
    if len(splits) == len(TOTALS):
        try:
            report.subset += remarks(splits)
        except InputError as error:
            report.problems.append(str(error))
    if check:
        report.identify(root, (path for split in splits for path in _box_files(root, split)))
    return report


def _count(report: Report, root: Path, split: str, total: int) -> bool:
    """Note what is there of a split; False where images or box files are missing altogether."""
    images: list[str] = []
    boxes: list[str] = []
    # Only a folder that is not there is something to be fetched; one that cannot be listed is a fault.
    if folder := _folder(image_folder, root, split):
        images = list_images(folder)
    if folder := _folder(box_folder, root, split):
        boxes = list_files(folder, {".xml"})
    report.count(f"{split} images", len(images), total)
    classes = {name.partition("/")[0] for name in images if "/" in name}
    if classes:
        report.count(f"{split} folders", len(classes), CLASSES)
    report.found[f"{split} box files"] = len(boxes)
    if not images:
        report.missing.append(_unpack(f"{split}/", _ARCHIVES[split]))
    if not boxes:
        report.missing.append(_unpack(f"Annotations/CLS-LOC/{split}/", _BOXES[split]))
    return bool(images and boxes)


def _folder(find: Callable[[Path, str], Path], root: Path, split: str) -> Path | None:
    try:
        return find(root, split)
    except InputError:
        return None


def _unpack(what: str, archive: str) -> str:
    return f"{what}: unpack {archive} from {WHERE}"


def _box_files(root: Path, split: str) -> list[Path]:
    folder = box_folder(root, split)
    return [folder / name for name in list_files(folder, {".xml"})]


def _compare(report: Report, split: str, found: Split, sizes: dict[str, tuple[int, ...]]) -> None:
    """Say what the run takes but nobody may have meant: boxes are scaled to the picture, and clipped to it."""
    other = [image for image in found.images if image.path in sizes and sizes[image.path] != image.size]
    outside = [image for image in found.images if any(not _inside(box, image.size) for box in image.boxes)]
    for images, what in ((other, "differ in size from their box file"), (outside, "have a box that leaves them")):
        if images:
            report.subset.append(f"{split}: {len(images)} of {len(found.images)} images {what}, e.g. {images[0].path}")


def _inside(box: tuple[float, ...], size: tuple[int, int]) -> bool:
    return 0 <= box[0] <= box[2] <= size[0] and 0 <= box[1] <= box[3] <= size[1]
