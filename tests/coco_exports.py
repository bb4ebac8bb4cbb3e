"""What annotation tools export, written by hand from their documented formats: the same three objects each.

``{tool: (content, folder and name of the picture within the data set)}``; every picture is 80 x 60, and the objects are
a cat and two dogs. Compare with :func:`expected`.
"""

from __future__ import annotations

from typing import Any

from coco_files import HEIGHT, WIDTH, rectangle

BOXES = ([4.0, 6.0, 20.0, 15.0], [30.0, 10.0, 24.0, 30.0], [8.0, 30.0, 18.0, 22.0])
CLASSES = ("cat", "dog", "dog")
SIZE = {"width": WIDTH, "height": HEIGHT}


def expected() -> dict[str, Any]:
    """The same as COCO writes it, with ids of our own."""
    objects = [
        {"id": i + 1, "image_id": 1, "category_id": ("cat", "dog").index(CLASSES[i]) + 1, **_object(i)}
        for i in range(3)
    ]
    categories = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    return {"images": [{"id": 1, **SIZE}], "annotations": objects, "categories": categories}


def _object(number: int) -> dict[str, Any]:
    x, y, w, h = BOXES[number]
    return {"segmentation": [rectangle(x, y, w, h)], "bbox": [x, y, w, h], "area": w * h, "iscrowd": 0}


def _objects(first: int, categories: tuple[int, int], image: Any, **more: Any) -> list[dict[str, Any]]:
    numbers = {"cat": categories[0], "dog": categories[1]}
    return [
        {"id": first + i, "image_id": image, "category_id": numbers[CLASSES[i]], **_object(i), **more} for i in range(3)
    ]


CVAT = {
    "licenses": [{"name": "", "id": 0, "url": ""}],
    "info": {"contributor": "", "date_created": "", "description": "", "url": "", "version": "", "year": ""},
    "categories": [{"id": 1, "name": "cat", "supercategory": ""}, {"id": 2, "name": "dog", "supercategory": ""}],
    "images": [
        {"id": 1, **SIZE, "file_name": "a.png", "license": 0, "flickr_url": "", "coco_url": "", "date_captured": 0}
    ],
    "annotations": _objects(0, (1, 2), 1, attributes={"occluded": False}),
}
ROBOFLOW = {
    "info": {"year": "2024", "version": "1", "description": "Exported", "contributor": "", "url": ""},
    "licenses": [{"id": 1, "url": "https://creativecommons.org/licenses/by/4.0/", "name": "CC BY 4.0"}],
    "categories": [
        {"id": 0, "name": "dog", "supercategory": "none"},  # the project is called like one of its classes
        {"id": 1, "name": "cat", "supercategory": "dog"},
        {"id": 2, "name": "dog", "supercategory": "dog"},
    ],
    "images": [{"id": 0, "license": 1, "file_name": "a_png.rf.0f3c.png", **SIZE, "date_captured": "2024-01-01"}],
    "annotations": _objects(0, (1, 2), 0),
}
LABEL_STUDIO = {
    "images": [{**SIZE, "id": 0, "file_name": "images\\0f3c-a.png"}],
    "categories": [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}],
    "annotations": _objects(0, (0, 1), 0, ignore=0),
    "info": {"year": 2024, "version": "1.0", "description": "", "contributor": "Label Studio", "url": ""},
}
LABELME = {
    "info": {"description": None, "url": None, "version": None, "year": 2024, "contributor": None},
    "licenses": [{"url": None, "id": 0, "name": None}],
    "images": [{"license": 0, "url": None, "file_name": "JPEGImages/a.png", **SIZE, "date_captured": None, "id": 0}],
    "type": "instances",
    "annotations": _objects(0, (1, 2), 0),
    "categories": [
        {"supercategory": None, "id": 0, "name": "_background_"},
        {"supercategory": None, "id": 1, "name": "cat"},
        {"supercategory": None, "id": 2, "name": "dog"},
    ],
}
VIA = {
    "info": {"year": 2024, "version": "1", "description": "Exported using VGG Image Annotator", "contributor": ""},
    "images": [{"id": 1, **SIZE, "file_name": "a.png", "license": 1, "flickr_url": "a.png", "coco_url": "a.png"}],
    "annotations": [
        {**o, "segmentation": o["segmentation"][0], "image_id": str(o["image_id"])} for o in _objects(1, (1, 2), 1)
    ],
    "licenses": [{"id": 1, "name": "Unknown", "url": ""}],
    "categories": [
        {"supercategory": "type", "id": 1, "name": "cat"},
        {"supercategory": "type", "id": 2, "name": "dog"},
    ],
}
LVIS = {
    "info": {"description": "LVIS v1 dataset"},
    "licenses": [],
    "images": [
        {
            "id": 391895,
            **SIZE,
            "license": 3,
            "coco_url": "http://images.cocodataset.org/train2017/000000391895.jpg",
            "neg_category_ids": [],
            "not_exhaustive_category_ids": [7],
        }
    ],
    "annotations": [{k: v for k, v in o.items() if k != "iscrowd"} for o in _objects(1, (7, 9), 391895)],
    "categories": [
        {"id": 7, "name": "cat", "synset": "cat.n.01", "frequency": "f", "image_count": 1, "instance_count": 1},
        {"id": 9, "name": "dog", "synset": "dog.n.01", "frequency": "f", "image_count": 1, "instance_count": 2},
    ],
}

EXPORTS = {
    "CVAT": (CVAT, "val2017/a.png"),
    "Roboflow": (ROBOFLOW, "val2017/a_png.rf.0f3c.png"),
    "Label Studio": (LABEL_STUDIO, "images/0f3c-a.png"),
    "LabelMe": (LABELME, "val2017/JPEGImages/a.png"),
    "VIA": (VIA, "val2017/a.png"),
    "LVIS": (LVIS, "train2017/000000391895.jpg"),
}
