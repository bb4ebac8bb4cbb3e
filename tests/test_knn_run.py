"""bbox-aligned k-NN from files to figures: a tiny ImageNet in the ILSVRC layout, and what its users get wrong."""

import json
import multiprocessing
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from in_process import run_tool
from PIL import Image

from benchmarks.backbones.vit import HouseViT
from benchmarks.checkpoints.card import DINO_RESIZE, Architecture
from benchmarks.controls import write_control, write_random_control
from benchmarks.core.model import load_model
from benchmarks.errors import InputError
from benchmarks.knn import run
from benchmarks.knn.dataset import BoxedImage, find_root, read_split
from benchmarks.knn.pictures import draw_patches, write_picture
from benchmarks.knn.run import MOST_WORKERS, crop, evaluate, open_image, place, reading_workers
from benchmarks.knn.vote import vote, vote_with_bank

COLOURS = {"n00000001": (220, 40, 40), "n00000002": (40, 200, 60), "n00000003": (50, 60, 220)}
SMALL = Architecture(embed_dim=32, depth=1, num_heads=2, patch_size=16, image_size=224)


def write_box(path, wnid, size, box):
    path.parent.mkdir(parents=True, exist_ok=True)
    sides = "".join(f"<{n}>{v}</{n}>" for n, v in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True))
    path.write_text(
        f"<annotation><size><width>{size[0]}</width><height>{size[1]}</height></size>"
        f"<object><name>{wnid}</name><bndbox>{sides}</bndbox></object></annotation>"
    )


@pytest.fixture
def imagenet(tmp_path):
    """Three colours as classes, 5 + 2 images of each on noise; val boxes lie flat, as in the official archive."""
    root, random = tmp_path / "imagenet", np.random.default_rng(0)
    for split, count in (("train", 5), ("val", 2)):
        for wnid, colour in COLOURS.items():
            for index in range(count):
                name = f"{split}_{wnid}_{index}"
                pixels = random.integers(0, 255, (120, 160, 3), dtype=np.uint8)
                pixels[30:90, 50:110] = colour
                image = root / split / wnid / f"{name}.JPEG"
                image.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(image, quality=95)
                boxes = root / "Annotations/CLS-LOC" / split / (wnid if split == "train" else "")
                write_box(boxes / f"{name}.xml", wnid, (160, 120), (50, 30, 110, 90))
    return root


@pytest.fixture
def checkpoint(tmp_path):
    write_random_control(tmp_path / "small.safetensors", 0, SMALL)
    return tmp_path / "small.safetensors"


def test_images_are_read_by_this_processs_share_of_the_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(6)))
    assert reading_workers(500_000) == 6
    assert reading_workers(6) == 0  # starting a process takes longer
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert reading_workers(500_000) == 1
    monkeypatch.delenv("LOCAL_WORLD_SIZE")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)))
    assert reading_workers(500_000) == MOST_WORKERS
    with multiprocessing.get_context("fork").Pool(1) as pool:  # its processes are daemons
        assert pool.apply(reading_workers, (500_000,)) == 0


def test_workers_are_used_where_nobody_says_how_many(imagenet, checkpoint, monkeypatch):
    monkeypatch.setattr("benchmarks.knn.run.FEW_IMAGES", 10)
    asked = []

    class Loader(run.DataLoader):
        def __init__(self, images, batch_size, num_workers, collate_fn):
            asked.append((len(images), num_workers))
            super().__init__(images, batch_size, num_workers=num_workers, collate_fn=collate_fn)

    monkeypatch.setattr(run, "DataLoader", Loader)
    scores = evaluate(load_model(checkpoint), imagenet, ks=(3,), batch_size=4, progress=False)
    assert asked == [(15, reading_workers(15)), (6, 0)]
    assert scores["top1"]["3"] == 100.0


@pytest.mark.parametrize("workers", [0, 2])
def test_colours_are_told_apart(imagenet, checkpoint, workers):
    scores = evaluate(load_model(checkpoint), imagenet, ks=(5, 3), batch_size=4, workers=workers, progress=False)
    assert scores["top1"] == {"3": 100.0, "5": 100.0}
    assert scores["single_vote"]["3"] == 100.0
    assert (scores["train_images"], scores["val_images"], scores["classes"]) == (15, 6, 3)


def test_images_without_a_box_are_counted_not_used(imagenet, checkpoint):
    boxes = imagenet / "Annotations/CLS-LOC/train/n00000001"
    (boxes / "train_n00000001_0.xml").unlink()
    (boxes / "train_n00000001_1.xml").write_text("<annotation><size/></annotation>")
    # Resize(256) makes the image 341 wide; the crop takes 58 off its left, 27 pixels of the original.
    write_box(boxes / "train_n00000001_2.xml", "n00000001", (160, 120), (0, 0, 20, 120))
    scores = evaluate(load_model(checkpoint), imagenet.parent, ks=(3,), progress=False)
    assert scores["left_out"]["train"] == {"no_box": 2, "no_box_in_crop": 1}
    assert scores["train_images"] == 12


def test_the_command_writes_what_it_prints(imagenet, checkpoint, tmp_path):
    common = ("--checkpoint", checkpoint, "--imagenet-root", imagenet, "--json", tmp_path / "scores.json")
    seen = ("--pictures", tmp_path / "seen", "--cache", tmp_path / "index")
    done = run_tool("evaluate_knn.py", *common, *seen, "--protocol", "official", "--k", 10, 20)
    assert done.returncode == 0, done.stderr
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["protocol"] == "official"
    assert set(scores["top1"]) == set(scores["top5"]) == {"10", "20"}
    assert "15 train and 6 val images" in done.stdout
    assert len(list((tmp_path / "seen").glob("*.png"))) == 6


def test_the_bank_on_disk_gives_the_same_and_is_reused(imagenet, checkpoint, tmp_path, monkeypatch):
    options = {"ks": (3, 10), "progress": False}
    memory = evaluate(load_model(checkpoint), imagenet, **options)
    disk = {**options, "bank_folder": tmp_path / "bank", "cache": tmp_path / "index"}
    first = evaluate(load_model(checkpoint), imagenet, **disk)
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "bank").iterdir()}
    assert len(written) == 3
    calls = []
    monkeypatch.setattr("benchmarks.knn.dataset.read_boxes", lambda path: calls.append(path))
    second = evaluate(load_model(checkpoint), imagenet, **disk)
    assert not calls  # the list of boxes came from the cache
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "bank").iterdir()} == written
    for name in ("top1", "top5", "single_vote", "train_images"):
        assert memory[name] == first[name] == second[name]
    monkeypatch.undo()
    half = evaluate(load_model(checkpoint), imagenet, **options, dtype="fp16")
    assert half["top1"] == memory["top1"]


def test_a_changed_box_file_makes_a_new_list(imagenet, tmp_path):
    before = read_split(imagenet, "val", cache=tmp_path / "index")
    assert read_split(imagenet, "val", cache=tmp_path / "index") == before == read_split(imagenet, "val")
    box = imagenet / "Annotations/CLS-LOC/val/val_n00000003_1.xml"
    write_box(box, "n00000003", (160, 120), (5, 5, 10, 10))
    after = read_split(imagenet, "val", cache=tmp_path / "index")
    assert after.fingerprint != before.fingerprint
    assert after.images[-1].boxes == ((5.0, 5.0, 10.0, 10.0),)
    for kept in (tmp_path / "index").iterdir():
        kept.write_text(kept.read_text()[:100])
    again = read_split(imagenet, "val", cache=tmp_path / "index")
    assert (again, again.images) == (after, after.images)


@pytest.mark.parametrize("protocol", ["official", "corrected"])
def test_a_box_outside_of_its_image_is_clipped_or_left_out(imagenet, checkpoint, protocol):
    boxes = imagenet / "Annotations/CLS-LOC/train/n00000001"
    write_box(boxes / "train_n00000001_0.xml", "n00000001", (160, 120), (-40, -20, 500, 400))
    write_box(boxes / "train_n00000001_1.xml", "n00000001", (160, 120), (200, 130, 300, 160))
    scores = evaluate(load_model(checkpoint), imagenet, protocol, ks=(3,), progress=False)
    # The published program gives a box without any part in the image the last patch.
    assert scores["train_images"] == (15 if protocol == "official" else 14)
    write_box(boxes / "train_n00000001_1.xml", "n00000001", (160, 120), ("nan", 0, 10, 10))
    with pytest.raises(InputError, match=r"train_n00000001_1\.xml is not a box"):
        evaluate(load_model(checkpoint), imagenet, protocol, ks=(3,), progress=False)


TWO = """
import json, sys
from pathlib import Path
import torch.distributed as dist
from benchmarks.errors import InputError
from benchmarks.knn import processes
from benchmarks.processes import leave
from benchmarks.core.model import load_model
from benchmarks.knn.run import evaluate
checkpoint, imagenet, picture, folder = sys.argv[1:]
found = evaluate(load_model(checkpoint), imagenet, ks=(3, 10), progress=False, bank_folder=folder)
dist.barrier()
Path(picture).write_bytes(b"broken")
try:
    evaluate(load_model(checkpoint), imagenet, ks=(3, 10), progress=False)
except InputError as error:
    Path(folder, f"rank{processes.rank()}.json").write_text(json.dumps([found, str(error)]))
leave()
"""


def test_two_processes_equal_one_and_fail_as_one(imagenet, checkpoint, tmp_path):
    one = evaluate(load_model(checkpoint), imagenet, ks=(3, 10), progress=False)
    (tmp_path / "two.py").write_text(TWO)
    picture = imagenet / "val/n00000003/val_n00000003_1.JPEG"  # of the second process's share
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", tmp_path / "two.py"]
    command += [checkpoint, imagenet, picture, tmp_path / "bank"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    for rank in range(2):
        two, error = json.loads((tmp_path / "bank" / f"rank{rank}.json").read_text())
        assert two["processes"] == 2
        assert {**two, "processes": 1, "seconds": 0, "bank": 0} == {**one, "seconds": 0, "bank": 0}
        assert picture.name in error
    assert len(list((tmp_path / "bank").glob("*.features"))) == 2


def test_unusable_input_is_named(imagenet, checkpoint, tmp_path):
    (tmp_path / "empty").mkdir()
    picture = imagenet / "val/n00000002/val_n00000002_1.JPEG"
    box = imagenet / "Annotations/CLS-LOC/val/val_n00000003_1.xml"
    whole, box_text = picture.read_bytes(), box.read_text()

    def refused(message, root=imagenet, **options):
        with pytest.raises(InputError, match=message):
            evaluate(load_model(checkpoint), root, **{"ks": (3,), "progress": False, **options})

    refused("nowhere does not exist", tmp_path / "nowhere")
    refused("no ImageNet under", tmp_path / "empty")
    refused("k=200 neighbours, but the training set has 135", ks=(10, 200))
    refused("1 or more", ks=(0,))
    refused("protocol 'other'", protocol="other")
    picture.write_bytes(whole[:900])
    refused(picture.name)
    refused(picture.name, workers=2)
    picture.write_bytes(whole)
    box.write_text(box_text[:60])
    refused(box.name)
    box.write_text(box_text)
    (imagenet / "Annotations").rename(imagenet / "elsewhere")
    refused("no box files")


def test_the_command_says_so_in_one_line_and_exits_2(imagenet, checkpoint):
    picture = imagenet / "val/n00000002/val_n00000002_1.JPEG"
    picture.write_bytes(picture.read_bytes()[:900])
    done = run_tool(
        "evaluate_knn.py",
        "--checkpoint",
        checkpoint,
        "--imagenet-root",
        imagenet,
        "--k",
        3,
        "--cache",
        imagenet / "index",
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert sum("error:" in line and picture.name in line for line in done.stderr.splitlines()) == 1


def test_boxes_follow_a_file_that_is_not_of_the_annotated_size():
    boxes = ((20.0, 10.0, 60.0, 40.0),)
    entry = BoxedImage("a.JPEG", (100, 50), boxes, ("n1",))
    larger = BoxedImage("a.JPEG", (300, 300), ((60.0, 60.0, 180.0, 240.0),), ("n1",))
    assert torch.equal(place(entry, (300, 300), "corrected", 16)[1], place(larger, (300, 300), "corrected", 16)[1])
    assert not torch.equal(place(entry, (100, 50), "corrected", 16)[1], place(larger, (300, 300), "corrected", 16)[1])


def test_registers_and_class_token_are_not_patches(imagenet, tmp_path):
    architecture = Architecture(32, 1, 2, 14, 224, class_token=True, registers=4, position_prefix_rows=1)
    torch.manual_seed(0)
    write_control(tmp_path / "registers.safetensors", HouseViT(architecture, DINO_RESIZE), "random weights", 0)
    scores = evaluate(load_model(tmp_path / "registers.safetensors"), imagenet, ks=(3,), progress=False)
    assert scores["top1"]["3"] == 100.0


def test_a_class_without_a_vote_has_a_rank_in_the_official_top5_only():
    train, test = torch.ones(3, 9, 2) / 2**0.5, torch.ones(2, 9, 2) / 2**0.5
    found = vote(train, torch.tensor([4, 4, 4]), test, torch.tensor([0, 4]), [10])
    assert found["top5_corrected"]["10"] == found["top1"]["10"] == 50.0
    assert found["top5_official"]["10"] == 100.0


def test_the_official_protocol_ranks_a_thousand_classes(imagenet, checkpoint, monkeypatch):
    asked = []

    def counted(bank, features, labels, ks, num_classes):
        asked.append(num_classes)
        return vote_with_bank(bank, features, labels, ks, num_classes)

    monkeypatch.setattr("benchmarks.knn.run.vote_with_bank", counted)
    for protocol in ("official", "corrected"):
        evaluate(load_model(checkpoint), imagenet, protocol, ks=(3,), progress=False)
    assert asked == [1000, 3]


def test_real_images_with_real_boxes(sample_data, tmp_path):
    root = find_root(sample_data)
    split = read_split(root, "val")
    assert (len(split.images), split.without_boxes) == (100, 0)
    entry = split.images[3]
    image = open_image(entry.path)
    box, ids = place(entry, image.size, "corrected", 16)
    write_picture(tmp_path / "patches.png", draw_patches(crop(image), ids.numpy(), 16, ["a"] * 9, entry.names[box]))
    assert Image.open(tmp_path / "patches.png").size == (678, 448)
