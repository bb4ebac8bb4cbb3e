"""Faults of COCO files, each as a change of a sound one: what is refused, and what follows from the rest."""

import math

from coco_files import HEIGHT, WIDTH


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
