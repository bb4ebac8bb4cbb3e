"""ImageNet as people have it: links, layouts, strays, turned pictures; what the check passes is what runs."""

import json
import os
import re
import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from in_process import run_tool
from PIL import Image
from small_imagenet import COLOURS, write_box, write_imagenet

from benchmarks.checkpoints.card import Architecture
from benchmarks.controls import write_random_control
from benchmarks.core.model import load_model
from benchmarks.errors import InputError
from benchmarks.knn import dataset, index, marks
from benchmarks.knn.dataset import find_root, pair, read_split
from benchmarks.knn.run import evaluate, open_image
from benchmarks.knn.task import Knn, open_imagenet


@pytest.fixture
def imagenet(tmp_path):
    return write_imagenet(tmp_path / "imagenet")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    write_random_control(path, 0, Architecture(embed_dim=32, depth=1, num_heads=2, patch_size=16, image_size=224))
    return path


def score(checkpoint, root):
    return evaluate(load_model(checkpoint), root, ks=(3,), progress=False)


def check(root):
    return run_tool("prepare_data.py", "imagenet", "--root", root, "--check")


def linked(root):
    """Class folders, of images and of boxes, are links to a store elsewhere."""
    for place in ("train", "val", "Annotations/CLS-LOC/train"):
        for folder in sorted((root / place).iterdir()):
            store = root.parent / "store" / place / folder.name
            store.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(folder, store)
            folder.symlink_to(store, target_is_directory=True)


def flat(root):
    """Validation images lie flat, as in the official archive."""
    for path in list((root / "val").glob("*/*")):
        path.rename(root / "val" / path.name)
    for folder in list((root / "val").iterdir()):
        if folder.is_dir():
            folder.rmdir()


def kaggle(root):
    """Kaggle's folders."""
    flat(root)
    for part, target in (("train", "Data/CLS-LOC"), ("val", "Data/CLS-LOC"), ("Annotations", "")):
        (root / "ILSVRC" / target).mkdir(parents=True, exist_ok=True)
        shutil.move(root / part, root / "ILSVRC" / target / part)


def strays(root):
    """What macOS and notebooks leave behind."""
    for path in [*(root / "train").glob("*/*"), *(root / "Annotations").rglob("*.xml")]:
        path.with_name(f"._{path.name}").write_bytes(b"\0\5\26\7")
    for folder in (root / "train").iterdir():
        shutil.copytree(folder, folder / ".ipynb_checkpoints")
    (root / "train" / "__MACOSX").mkdir()
    (root / "train" / "__MACOSX" / "x.JPEG").write_bytes(b"")


def named_alike(root):
    """Every class has its 0.png, 1.png, ...: the folder says whose box file it is."""
    for split in ("train", "val"):
        for wnid in COLOURS:
            for number, path in enumerate(sorted((root / split / wnid).iterdir())):
                folder = root / "Annotations/CLS-LOC" / split / wnid
                folder.mkdir(exist_ok=True)
                old = folder / f"{path.stem}.xml" if split == "train" else folder.parent / f"{path.stem}.xml"
                old.rename(folder / f"{number}.xml")
                with Image.open(path) as image:
                    image.save(path.with_name(f"{number}.PNG"))
                path.unlink()


def umlauts(root):
    """Images composed, box files decomposed."""
    for split in ("train", "val"):
        for path in list((root / split).glob("*/*")):
            path.rename(path.with_name(unicodedata.normalize("NFC", f"ü {path.name}")))
        for path in list((root / "Annotations/CLS-LOC" / split).rglob("*.xml")):
            path.rename(path.with_name(unicodedata.normalize("NFD", f"ü {path.name}")))


def lying(root):
    """Pictures whose stored pixels lie on their side, with boxes drawn on these; and with boxes of the upright one."""
    exif = Image.Exif()
    exif[0x0112] = 6
    for number, path in enumerate(sorted((root / "train").glob("*/*"))):
        with Image.open(path) as image:
            image.rotate(90, expand=True).save(path, exif=exif, quality=95)
        if number % 2:
            box = root / "Annotations/CLS-LOC/train" / path.parent.name / f"{path.stem}.xml"
            write_box(box, path.parent.name, (120, 160), (30, 50, 90, 110))


def without_a_picture(root):
    """An image that has no box is never read, however broken."""
    (root / "train" / "n00000001" / "n00000001_99.JPEG").write_bytes(b"broken")


VARIANTS = [linked, flat, kaggle, strays, named_alike, umlauts, lying, without_a_picture]


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_is_no_fault_passes_and_scores_all_images(imagenet, checkpoint, variant):
    variant(imagenet)
    done = check(imagenet)
    assert done.returncode == 0, done.stdout
    assert f"train images: {16 if variant is without_a_picture else 15}" in done.stdout
    assert {name: len(split.images) for name, split in open_imagenet(imagenet, "paper").splits.items()} == {
        "train": 15,
        "val": 6,
    }
    scores = score(checkpoint, imagenet)
    assert (scores["train_images"], scores["val_images"], scores["classes"]) == (15, 6, 3)
    assert scores["top1"]["3"] == 100.0


def first(root, pattern):
    return sorted(root.glob(pattern))[0]


FAULTS = {
    "a class folder linked to nowhere": (
        lambda root: (root / "train/n00000009").symlink_to(root / "gone"), "n00000009 is a link to",
    ),
    "an image linked to nowhere": (
        lambda root: (root / "train/n00000001/x.JPEG").symlink_to(root / "gone.JPEG"), "x.JPEG is a link to",
    ),
    "a cut image": (
        lambda root: first(root, "train/*/*").write_bytes(first(root, "train/*/*").read_bytes()[:700]), "not a whole",
    ),
    "an empty image": (lambda root: first(root, "val/*/*").write_bytes(b""), "is empty"),
    "a cut box file": (
        lambda root: first(root, "Annotations/CLS-LOC/val/*.xml").write_text("<annotation>"), "is not a box file",
    ),
    "an image twice": (
        lambda root: shutil.copy(first(root, "val/*/*"), first(root, "val/*/*").with_suffix(".png")), "share the box",
    ),
    "no class in common": (
        lambda root: [write_box(p, "else", (160, 120), (50, 30, 110, 90)) for p in root.glob("Annotations/*/val/*")],
        "1 of 1 validation classes have no training image",
    ),
    "no boxes of val": (lambda root: shutil.rmtree(root / "Annotations/CLS-LOC/val"), "no box files"),
    "no images of train": (lambda root: [shutil.rmtree(path) for path in (root / "train").iterdir()], "no images in"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_check_and_run_refuse_for_the_same_reason(imagenet, checkpoint, fault):
    change, said = FAULTS[fault]
    change(imagenet)
    done = check(imagenet)
    assert done.returncode == 2
    # What is not there at all is told with where it is to be had.
    assert ("unpack ILSVRC2012" if said.startswith("no ") else said) in done.stdout
    with pytest.raises(InputError, match=said):
        score(checkpoint, imagenet)


def test_classes_that_cannot_be_hit_are_said_by_check_dry_run_and_run(imagenet, checkpoint, capsys):
    shutil.rmtree(imagenet / "train/n00000002")
    shutil.rmtree(imagenet / "train/n00000003")
    said = "2 of 3 validation classes have no training image and cannot be hit: n00000002, n00000003"
    assert said in check(imagenet).stdout
    data = open_imagenet(imagenet, "paper")
    assert said in Knn().describe(data, Knn().settings("paper"))
    scores = score(checkpoint, imagenet)
    assert f"note: {said}" in capsys.readouterr().err
    assert scores["top1"]["3"] == pytest.approx(100 / 3)


def test_sixteen_bits_are_not_white(imagenet, checkpoint):
    for path in sorted((imagenet / "val").glob("*/*")):
        with Image.open(path) as image:
            grey = np.asarray(image.convert("L")).astype(np.uint16) * 257
        Image.fromarray(grey).save(path.with_suffix(".png"))
        path.unlink()
    assert check(imagenet).returncode == 0
    assert Image.open(sorted((imagenet / "val").glob("*/*"))[0]).mode.startswith("I")
    pixels = np.asarray(open_image(sorted((imagenet / "val").glob("*/*"))[0]))
    assert 60 < pixels.mean() < 180


def test_boxes_that_are_no_corners_are_said(imagenet, checkpoint, capsys):
    for path in (imagenet / "Annotations/CLS-LOC/val").glob("*.xml"):
        write_box(path, path.stem.split("_")[1], (160, 120), (100, 70, 60, 60))
    said = "6 of 6 val boxes have no area, such as (100.0, 70.0, 60.0, 60.0): boxes are xmin, ymin, xmax, ymax"
    assert said in check(imagenet).stdout
    with pytest.raises(InputError, match="none of the 6 val images has a box inside the crop"):
        score(checkpoint, imagenet)
    assert said in capsys.readouterr().err


def test_a_box_file_belongs_to_the_image_of_its_folder_or_to_the_only_one_of_its_name():
    assert pair(["a/1.jpg", "b/1.jpg"], ["a/1.xml", "b/1.xml"]) == {"a/1.jpg": "a/1.xml", "b/1.jpg": "b/1.xml"}
    assert pair(["a/1.jpg", "b/1.jpg"], ["a/1.xml"]) == {"a/1.jpg": "a/1.xml"}
    assert pair(["a/1.jpg", "b/2.jpg"], ["1.xml", "2.xml", "3.xml"]) == {"a/1.jpg": "1.xml", "b/2.jpg": "2.xml"}
    for images, boxes, said in (
        (["a/1.jpg", "b/1.jpg"], ["1.xml"], "share the box file"),
        (["a/1.jpg", "a/1.png"], ["a/1.xml"], "share the box file"),
        (["1.jpg"], ["a/1.xml", "b/1.xml"], "may have the box file"),
    ):
        with pytest.raises(InputError, match=said):
            pair(images, boxes)


def test_the_index_of_boxes_is_the_same_through_links(imagenet, tmp_path):
    root = find_root(imagenet)
    before = read_split(root, "train")
    linked(imagenet)
    after = read_split(root, "train", cache=tmp_path / "index")
    assert [Path(image.path).relative_to(root) for image in before.images] == [
        Path(image.path).relative_to(root) for image in after.images
    ]
    assert read_split(root, "train", cache=tmp_path / "index") == after


def drop_image(root):
    first(root, "train/n00000001/*").unlink()


def drop_box(root):
    first(root, "Annotations/CLS-LOC/train/**/*.xml").unlink()


def rename_image(root):
    path = first(root, "train/n00000001/*")
    path.rename(path.with_name(f"other{path.suffix}"))


def add_class(root):
    shutil.copytree(root / "train/n00000001", root / "train/n00000077")


def rewrite_box(root):
    path = first(root, "Annotations/CLS-LOC/train/**/*.xml")
    path.write_text(path.read_text().replace("<xmin>", "<xmin> "))


@pytest.mark.parametrize("change", [drop_image, drop_box, rename_image, add_class, rewrite_box])
def test_a_kept_list_is_the_data_of_now(imagenet, tmp_path, monkeypatch, change):
    monkeypatch.setattr(index, "SETTLED", -(10**12))  # as if the data had been there for long
    before = read_split(imagenet, "train", cache=tmp_path)
    with monkeypatch.context() as second:
        for costly in ("list_images", "list_files", "read_boxes"):
            second.setattr(dataset, costly, lambda *_, **__: pytest.fail("done again, though nothing changed"))
        again = read_split(imagenet, "train", cache=tmp_path)
        assert (again, again.images) == (before, before.images)
    change(imagenet)
    after, fresh = read_split(imagenet, "train", cache=tmp_path), read_split(imagenet, "train")
    assert (after, after.images) == (fresh, fresh.images)
    assert after.fingerprint != before.fingerprint


def test_a_plan_reads_no_boxes_and_a_list_that_was_replaced_is_not_taken(imagenet, tmp_path, monkeypatch):
    monkeypatch.setattr(index, "SETTLED", -(10**12))
    first_time = {name: read_split(imagenet, name, cache=tmp_path) for name in ("train", "val")}
    with monkeypatch.context() as planning:
        planning.setattr(index.Index, "images", lambda *_: pytest.fail("boxes were read"))
        splits = {name: read_split(imagenet, name, cache=tmp_path) for name in ("train", "val")}
        assert dataset.remarks(splits) == dataset.remarks(first_time)
    one, other = (sorted(tmp_path.glob(f"boxes-{name}-*.json")) for name in ("train", "val"))
    one[0].write_text(other[0].read_text())  # as if the folders had become those of other data meanwhile
    assert splits["train"].images == first_time["train"].images


def test_a_folder_that_changed_just_now_is_listed_again(imagenet, tmp_path):
    """Of two changes within a tick of a file system's clock nobody sees the second."""
    read_split(imagenet, "train", cache=tmp_path)
    (kept,) = tmp_path.glob("boxes-train-*.json")
    assert json.loads(kept.read_text().splitlines()[0])["folders"] is None


def test_a_mark_is_the_same_by_one_process_and_by_several(tmp_path, monkeypatch):
    names = [f"ä {number}\n.xml" for number in range(7)]
    for name in names:
        (tmp_path / name).write_text(name)
    monkeypatch.setattr(marks, "PIECE", 3)
    by_several = marks.files_mark(tmp_path, names)
    monkeypatch.setattr(marks, "_in_a_process", marks.piece_mark)
    assert marks.files_mark(tmp_path, names) == by_several
    os.utime(tmp_path / names[5], ns=(1, 1))
    assert marks.files_mark(tmp_path, names) != by_several


@pytest.mark.parametrize("piece", [3, 100])
def test_a_file_that_went_away_is_named(tmp_path, monkeypatch, piece):
    monkeypatch.setattr(marks, "PIECE", piece)
    names = [f"{number}.xml" for number in range(5)]
    for name in names[:4]:
        (tmp_path / name).touch()
    with pytest.raises(FileNotFoundError) as error:
        marks.files_mark(tmp_path, names)
    assert error.value.filename == str(tmp_path / "4.xml")


def test_a_link_that_leads_nowhere_since_is_one_line(imagenet, tmp_path, monkeypatch):
    box = first(imagenet, "Annotations/CLS-LOC/train/**/*.xml")
    real = tmp_path / "elsewhere.xml"
    box.rename(real)
    box.symlink_to(real)
    monkeypatch.setattr(index, "SETTLED", -(10**12))
    read_split(imagenet, "train", cache=tmp_path / "index")
    real.unlink()
    with pytest.raises(InputError, match=re.escape(f"{box} cannot be read (No such file")):
        read_split(imagenet, "train", cache=tmp_path / "index")
