"""The world as ILSVRC CLS-LOC: one folder a class, and boxes as XML."""

from __future__ import annotations

import os
from pathlib import Path
from xml.sax.saxutils import escape

from benchmarks.shapes.classes import OBJECT_CLASSES
from benchmarks.shapes.randomness import generator
from benchmarks.shapes.scene import Scene, render_single
from benchmarks.shapes.writers.files import progress, save_jpeg, write_set

#: Made-up WordNet ids, outside of the real range.
SHAPES_WNIDS: tuple[str, ...] = tuple(f"n9{index:07d}" for index in range(1, len(OBJECT_CLASSES) + 1))

_SIDES = (240, 321)
_GREY_EVERY = 25
_UNBOXED_EVERY = 10
#: Validation pictures are rendered from indices that training never reaches.
_FIRST_VAL_INDEX = 1_000_000


def ilsvrc_xml(scene: Scene, class_index: int, folder: str, name: str) -> str:
    """The annotation of one picture: the boxes of the objects of its class, with inclusive corners."""
    height, width, _ = scene.image.shape
    lines = [
        "<annotation>",
        f"\t<folder>{escape(folder)}</folder>",
        f"\t<filename>{escape(name)}</filename>",
        "\t<source>",
        "\t\t<database>ILSVRC_2012</database>",
        "\t</source>",
        "\t<size>",
        f"\t\t<width>{width}</width>",
        f"\t\t<height>{height}</height>",
        "\t\t<depth>3</depth>",
        "\t</size>",
        "\t<segmented>0</segmented>",
    ]
    for item in scene.objects:
        if item.class_index != class_index:
            continue
        left, top, right, bottom = (round(v) for v in item.visible_box)
        lines += [
            "\t<object>",
            f"\t\t<name>{SHAPES_WNIDS[class_index]}</name>",
            "\t\t<pose>Unspecified</pose>",
            "\t\t<truncated>0</truncated>",
            "\t\t<difficult>0</difficult>",
            "\t\t<bndbox>",
            f"\t\t\t<xmin>{left}</xmin>",
            f"\t\t\t<ymin>{top}</ymin>",
            f"\t\t\t<xmax>{right - 1}</xmax>",
            f"\t\t\t<ymax>{bottom - 1}</ymax>",
            "\t\t</bndbox>",
            "\t</object>",
        ]
    return "\n".join([*lines, "</annotation>", ""])


def _picture(seed: int, index: int, class_index: int) -> Scene:
    height, width = generator(f"imagenet size {class_index}", seed, index).integers(*_SIDES, 2).tolist()
    return render_single(seed, index, class_index, (height, width))


def write_imagenet(root: str | os.PathLike[str], train_per_class: int, val_per_class: int, seed: int = 0) -> Path:
    """Write ``root/imagenet`` in ILSVRC's layout; returns the folder.

    As in ILSVRC, the sides of the pictures differ (240 to 320 pixels), some pictures are grey, some hold
    several boxes, and some training pictures have no annotation (every tenth of a class here). The XML
    files of validation lie in one folder, those of training in one folder a class.
    """

    def fill(folder: Path) -> None:
        boxes = folder / "Annotations" / "CLS-LOC"
        (boxes / "val").mkdir(parents=True)
        for class_index, wnid in enumerate(progress(SHAPES_WNIDS, "imagenet")):
            (boxes / "train" / wnid).mkdir(parents=True)
            for index in range(train_per_class):
                name = f"{wnid}_{index + 1}"
                scene = _picture(seed, index, class_index)
                grey = index % _GREY_EVERY == _GREY_EVERY - 1
                save_jpeg(folder / "train" / wnid / f"{name}.JPEG", scene.image, grey)
                if index % _UNBOXED_EVERY != _UNBOXED_EVERY - 1:
                    xml = ilsvrc_xml(scene, class_index, wnid, name)
                    (boxes / "train" / wnid / f"{name}.xml").write_text(xml)
            for index in range(val_per_class):
                name = f"ILSVRC2012_val_{index * len(SHAPES_WNIDS) + class_index + 1:08d}"
                scene = _picture(seed, _FIRST_VAL_INDEX + index, class_index)
                save_jpeg(folder / "val" / wnid / f"{name}.JPEG", scene.image)
                (boxes / "val" / f"{name}.xml").write_text(ilsvrc_xml(scene, class_index, "val", name))

    parameters = {"set": "imagenet", "train_per_class": train_per_class, "val_per_class": val_per_class, "seed": seed}
    return write_set(Path(root) / "imagenet", parameters, fill)
