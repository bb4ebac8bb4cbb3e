"""Scene parsing data as people have it, ADE20K's or their own: what the check passes is what runs."""

import shutil

import numpy as np
import pytest
from dry_run import dry_run
from in_process import run_tool
from PIL import Image

from benchmarks import shapes
from benchmarks.ade20k import dataset
from benchmarks.ade20k.dataset import examine, locate, open_ade20k
from benchmarks.ade20k.scoring import count_folder, scores
from benchmarks.errors import InputError
from benchmarks.images import read_labels, read_rgb

ROOT = "ade20k/ADEChallengeData2016"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    root = tmp_path_factory.mktemp("ade20k")
    shapes.write_ade20k(root, train_images=2, val_images=2, size=96, seed=0)
    return root


@pytest.fixture
def root(world, tmp_path):
    shutil.copytree(world, tmp_path / "data")
    return tmp_path / "data"


def images(root, split="training"):
    return sorted((root / ROOT / "images" / split).glob("*.jpg"))


def maps(root, split="training"):
    return sorted((root / ROOT / "annotations" / split).glob("*.png"))


def check(root):
    return run_tool("prepare_data.py", "ade20k", "--root", root, "--check")


def cut(path, length):
    path.write_bytes(path.read_bytes()[:length])


def rewrite(change, paths):
    for path in paths:
        Image.fromarray(change(np.array(Image.open(path)))).save(path)


def lying(root):
    """Stored on its side and turned by its tag, while the label map is of the stored pixels."""
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(images(root)[0]) as image:
        image.crop((0, 0, 96, 64)).save(images(root)[0], exif=exif)
    rewrite(lambda labels: labels[:64], maps(root)[:1])


FAULTS = {
    "an image on its side": (lying, "(upright, by Exif orientation 6; the labels are for the stored pixels)"),
    "another size": (lambda root: rewrite(lambda labels: labels[:64], maps(root)[:1]), "is 96x64, its image"),
    "a cut image": (lambda root: cut(images(root)[1], 700), "is not a whole image"),
    "a cut label map": (lambda root: cut(maps(root)[1], 70), "is not a whole label map"),
    "an empty image": (lambda root: cut(images(root)[0], 0), "is empty"),
    "no label map": (lambda root: maps(root)[0].unlink(), "has no label map (1 such)"),
    "no image": (lambda root: images(root)[0].unlink(), "has no image (1 such)"),
    "label 255": (lambda root: rewrite(lambda x: np.where(x == 0, 255, x).astype(np.uint8), maps(root)), "0 (not 255)"),
    "16 bits": (lambda root: rewrite(lambda x: x.astype(np.uint16) * 256, maps(root)), "labels are 1..14"),
    "colours": (lambda root: rewrite(lambda x: np.stack([x] * 3, -1), maps(root)), "RGB colours, not label indices"),
    "nothing to learn": (lambda root: rewrite(np.zeros_like, maps(root)), "every pixel of the training label maps"),
    "no class list": (lambda root: (root / ROOT / "objectInfo150.txt").unlink(), "nor own data with classes.txt"),
    "two images of one name": (
        lambda root: shutil.copy(maps(root)[0], images(root)[0].with_suffix(".png")), "share the name",
    ),
}  # fmt: skip


def read_as_a_run(root):
    """The check of the pairs, then every image in the engine's loader."""
    data = open_ade20k(root)
    for pairs in data.pairs.values():
        for image, _ in pairs.values():
            read_rgb(image)


@pytest.mark.parametrize("fault", FAULTS)
def test_check_and_run_refuse_for_the_same_reason(root, fault):
    change, said = FAULTS[fault]
    change(root)
    done = check(root)
    assert done.returncode == 2
    assert said in done.stdout
    with pytest.raises(InputError) as refusal:
        read_as_a_run(root)
    assert said in str(refusal.value)


#: What no dry run sees: it reads label maps, and of JPEGs the size.
ONLY_DECODED = {"a cut image"}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_dry_run_refuses_for_the_same_reason(root, tmp_path_factory, fault):
    pytest.importorskip("mmseg")
    change, said = FAULTS[fault]
    change(root)
    done = dry_run("ade20k-fpn", root, tmp_path_factory.mktemp("out"))
    if fault in ONLY_DECODED:
        assert done.returncode == 0, done.stderr
    else:
        assert done.returncode == 2, done.stdout
        assert said in done.stderr


def test_faults_are_counted(root):
    rewrite(lambda labels: labels + np.uint8(200), [*maps(root), *maps(root, "validation")])
    with pytest.raises(InputError, match=r"\(4 faults in .*ADEChallengeData2016\)"):
        open_ade20k(root)


def strays(root):
    for path in (*images(root), *maps(root)):
        path.with_name(f"._{path.name}").write_bytes(b"\0\5")
    shutil.copytree(images(root)[0].parent, images(root)[0].parent / ".ipynb_checkpoints")


def linked(root):
    for folder in (images(root)[0].parent, maps(root)[0].parent):
        shutil.move(folder, root / "store" / folder.parent.name)
        folder.symlink_to(root / "store" / folder.parent.name, target_is_directory=True)


def other_kinds(root):
    first, second = images(root)
    first.rename(first.with_suffix(".JPG"))
    with Image.open(second) as image:
        image.save(second.with_suffix(".png"))
    second.unlink()


@pytest.mark.parametrize("variant", [strays, linked, other_kinds])
def test_what_is_no_fault_passes(root, variant):
    before = open_ade20k(root)
    variant(root)
    done = check(root)
    assert done.returncode == 0, done.stdout
    assert open_ade20k(root).stems == before.stems


def own(world, target, suffix=".jpg"):
    """The same data as somebody's own: other folders, labels from 0, 255 void, a plain class list."""
    data = open_ade20k(world)
    for split, name in (("training", "train"), ("validation", "val")):
        for kind in ("images", "masks"):
            (target / kind / name).mkdir(parents=True)
        for stem, (image, labels) in data.pairs[split].items():
            with Image.open(image) as opened:
                opened.save(
                    target / "images" / name / f"{stem}{suffix}", **({} if suffix == ".png" else {"quality": 95})
                )
            there = read_labels(labels)
            Image.fromarray(np.where(there == 0, 255, there - 1).astype(np.uint8)).save(
                target / "masks" / name / f"{stem}.png"
            )
    (target / "classes.txt").write_text("\n".join(data.classes) + "\n")
    return data


@pytest.mark.parametrize("place", ["", "ade20k"])
def test_own_data_is_the_same_data(world, tmp_path, place):
    ade = own(world, tmp_path / place, ".png")
    data = open_ade20k(tmp_path)
    assert (data.classes, data.stems, data.first_label) == (ade.classes, ade.stems, 0)
    assert check(tmp_path).returncode == 0
    for split, stems in data.stems.items():
        for stem in stems:
            assert np.array_equal(data.truth(split, stem), ade.truth(split, stem))
    found = {}
    for name, each in (("ade", ade), ("own", data)):
        (tmp_path / name).mkdir()
        for stem in each.stems["validation"]:
            guess = (each.truth("validation", stem).astype(int) + 3) // 2 + each.first_label - 1
            Image.fromarray(guess.astype(np.uint8)).save(tmp_path / name / f"{stem}.png")
        found[name] = scores(count_folder(each, tmp_path / name).sum(axis=0), each.classes)
    assert found["ade"] == found["own"]
    assert found["own"]["mIoU"] > 0


OWN_FAULTS = {
    "a label too many": (
        lambda labels: np.where(labels == 255, 14, labels).astype(np.uint8),
        "labels are 0..13, and 255 is",
    ),
    "all void": (lambda labels: np.full_like(labels, 255), "every pixel of the training label maps"),
    "masks of 0 and 255": (
        lambda labels: np.where(labels > 3, 255, 0).astype(np.uint8),
        "alone: any network gets that right: if 255 is an object",
    ),
}


def test_a_class_list_has_lines_alone(world, tmp_path):
    """What splits a line only for ``str.splitlines`` would shift the names of all labels after it."""
    names = own(world, tmp_path).classes
    text = "\r\n".join([f"{names[0]}\u2028\x0cx", *names[1:]])
    (tmp_path / "classes.txt").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert open_ade20k(tmp_path).classes == (f"{names[0]}\u2028\x0cx", *names[1:])


def test_jpegs_are_no_label_maps(world, tmp_path):
    own(world, tmp_path)
    for path in tmp_path.glob("masks/*/*.png"):
        with Image.open(path) as labels:
            labels.save(path.with_suffix(".jpg"))
        path.unlink()
    assert "is a JPEG, whose compression changes labels" in check(tmp_path).stdout
    with pytest.raises(InputError, match="compression changes labels"):
        open_ade20k(tmp_path)


@pytest.mark.parametrize("fault", OWN_FAULTS)
def test_own_label_maps_that_do_not_fit_are_refused(world, tmp_path, fault):
    own(world, tmp_path)
    change, said = OWN_FAULTS[fault]
    rewrite(change, sorted((tmp_path / "masks/train").glob("*.png")))
    assert said in check(tmp_path).stdout
    with pytest.raises(InputError, match=said):
        open_ade20k(tmp_path)


@pytest.mark.parametrize(("text", "said"), [("a\n\nb\n", "empty line"), ("a\na\n", "names a twice"), ("", "lists 0")])
def test_class_lists_that_are_none_are_refused(world, tmp_path, text, said):
    own(world, tmp_path)
    (tmp_path / "classes.txt").write_text(text)
    with pytest.raises(InputError, match=said):
        open_ade20k(tmp_path)


def test_classes_that_cannot_be_learnt_are_said(root):
    data = locate(root)
    learnt = set(np.unique(np.concatenate([data.truth("training", stem).ravel() for stem in data.stems["training"]])))
    judged = set(
        np.unique(np.concatenate([data.truth("validation", stem).ravel() for stem in data.stems["validation"]]))
    )
    gone = min((learnt & judged) - {0})
    rewrite(lambda labels: np.where(labels == gone, 0, labels).astype(np.uint8), maps(root))
    count = len(judged - learnt - {0}) + 1
    assert any(
        line.startswith(f"{count} classes are in no training label map and are never") for line in examine(data)[1]
    )
    assert "are never learnt" in check(root).stdout


def test_the_engine_reads_the_pairs_that_were_checked(world, tmp_path):
    pytest.importorskip("mmcv.ops", reason="needs mmcv with its operators")
    pytest.importorskip("mmseg.registry", reason="needs mmseg")
    from benchmarks.ade20k.run import _write_pairs
    from benchmarks.engines.mmseg_backbone import PairedImages

    own(world, tmp_path, ".png")
    data = open_ade20k(tmp_path)
    file = _write_pairs(data, tmp_path, "training")
    read = PairedImages(ann_file=str(file), metainfo={"classes": list(data.classes)})
    assert [read.get_data_info(i)["img_path"] for i in range(len(read))] == [
        str(data.image("training", stem)) for stem in data.stems["training"]
    ]


def test_label_maps_are_decoded_once(root, monkeypatch, tmp_path):
    """22,000 of them take minutes; one that changed is looked at again, in another process too."""
    monkeypatch.setenv("FLSL_CACHE", str(tmp_path / "cache"))
    seen = []
    monkeypatch.setattr(dataset, "read_labels", lambda path: seen.append(path) or read_labels(path))
    open_ade20k(root)
    count = len(seen)
    open_ade20k(root)
    assert count == len(maps(root)) + len(maps(root, "validation")) == len(seen)
    changed = maps(root)[1]
    lying = read_labels(changed)
    lying[:] = 255
    Image.fromarray(lying).save(changed)
    with pytest.raises(InputError, match=f"{changed.name} has label 255"):
        open_ade20k(root)
    assert seen[count:] == [changed]
