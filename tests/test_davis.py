"""DAVIS label propagation and J&F, held against the published programs.

``tests/data/davis_pred_dino_p16`` are the label maps that DINO's script gives with
``tests/data/tiny_dino_p16.pth``; ``tests/data/davis_jf.json`` are the official evaluator's numbers.
"""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from in_process import run_tool
from PIL import Image

from benchmarks.checkpoints.convert import convert
from benchmarks.controls import write_random_control
from benchmarks.davis.beside import Writer, read_ahead
from benchmarks.davis.dataset import read_mask
from benchmarks.davis.protocol import Protocol
from benchmarks.davis.run import evaluate_checkpoint, propagate_checkpoint
from benchmarks.davis.scoring import (
    boundary_accuracy,
    boundary_radius,
    disk,
    evaluate,
    object_scores,
    region_similarity,
)
from benchmarks.errors import InputError

DATA = Path(__file__).parent / "data"


def test_every_pixel_is_the_published_scripts(sample_data, tmp_path):
    convert(DATA / "tiny_dino_p16.pth", tmp_path / "tiny.safetensors", heads=3)
    propagate_checkpoint(tmp_path / "tiny.safetensors", sample_data / "davis", tmp_path / "pred", ["blackswan"], 10)
    expected = sorted((DATA / "davis_pred_dino_p16" / "blackswan").glob("*.png"))
    assert len(expected) == 10
    for path in expected:
        ours = np.array(Image.open(tmp_path / "pred" / "blackswan" / path.name))
        assert np.array_equal(ours, np.array(Image.open(path))), path.name


@pytest.mark.parametrize("result", ["osvos", "firstframe"])
def test_scores_are_the_official_evaluators(sample_data, result):
    official = json.loads((DATA / "davis_jf.json").read_text())[f"{result}/blackswan"]["1"]
    ours = evaluate(sample_data / "davis", sample_data / "davis/results/semi-supervised" / result, ["blackswan"])
    for letter in "JF":
        names = [f"{letter}-{what}" for what in ("Mean", "Recall", "Decay")]
        assert [ours[name] for name in names] == pytest.approx(official[f"{letter}_stats"], abs=1e-12)
    assert ours["J&F-Mean"] == pytest.approx((ours["J-Mean"] + ours["F-Mean"]) / 2, abs=1e-15)


def test_empty_masks_score_as_the_official_rules_say():
    empty, full = np.zeros((40, 60), bool), np.zeros((40, 60), bool)
    full[10:30, 20:50] = True
    assert region_similarity(empty, empty) == 1
    assert boundary_accuracy(empty, empty) == 1
    assert region_similarity(full, empty) == boundary_accuracy(full, empty) == boundary_accuracy(empty, full) == 0
    assert object_scores(empty, empty) == (1, 1)
    assert object_scores(full, empty) == object_scores(empty, full) == (0, 0)
    assert boundary_accuracy(full, full) == 1


def test_contours_meet_as_under_a_disk_on_the_whole_frame():
    rng = np.random.default_rng(0)
    for height, width in [(480, 854), (90, 60), (7, 9)]:
        for _ in range(6):
            noise = cv2.GaussianBlur(rng.standard_normal((2, height, width)).transpose(1, 2, 0), (0, 0), height / 16)
            truth, prediction = (np.ascontiguousarray(noise[..., i]) > noise[..., i].std() / 2 for i in (0, 1))
            contours = [np.zeros((height, width), np.uint8), np.zeros((height, width), np.uint8)]
            for contour, mask in zip(contours, (truth, prediction), strict=True):
                contour[:-1, :-1] = (mask[:-1, :-1] != mask[:-1, 1:]) | (mask[:-1, :-1] != mask[1:, :-1])
                contour[:-1, :-1] |= mask[:-1, :-1] != mask[1:, 1:]
                contour[-1, :-1], contour[:-1, -1] = mask[-1, :-1] != mask[-1, 1:], mask[:-1, -1] != mask[1:, -1]
            near = [cv2.dilate(contour, disk(boundary_radius(height, width))) for contour in contours]
            recall, precision = (contours[i][near[1 - i] > 0].sum() / max(contours[i].sum(), 1) for i in (0, 1))
            expected = 2 * precision * recall / (precision + recall) if precision + recall else 0
            assert boundary_accuracy(truth, prediction) == pytest.approx(expected, abs=1e-15)
            ours = object_scores(truth, prediction)
            assert ours == (region_similarity(truth, prediction), pytest.approx(expected, abs=1e-15))


def write_video(root, frames=4, height=96, width=160, name="square"):
    """A square that moves over a striped ground, in the DAVIS layout."""
    video, masks = root / "DAVIS/JPEGImages/480p" / name, root / "DAVIS/Annotations/480p" / name
    for folder in (video, masks, root / "DAVIS/ImageSets/2017"):
        folder.mkdir(parents=True, exist_ok=True)
    (root / "DAVIS/ImageSets/2017/val.txt").write_text(f"{name}\n")
    for index in range(frames):
        frame = np.full((height, width, 3), 90, np.uint8)
        frame[:, ::8] = 160
        mask = np.zeros((height, width), np.uint8)
        mask[30:70, 20 + 6 * index : 60 + 6 * index] = 1
        frame[mask == 1] = (40, 60, 220)
        cv2.imwrite(str(video / f"{index:05}.jpg"), frame)
        Image.fromarray(mask).save(masks / f"{index:05}.png")


def test_the_commands_from_checkpoint_to_score(tmp_path):
    write_video(tmp_path)
    write_random_control(tmp_path / "random.safetensors", seed=0)
    out, report = tmp_path / "pred", tmp_path / "scores.json"
    common = ("--davis-root", tmp_path)
    short = ("--short-side", 96, "--size-multiple", 32)
    checkpoint = ("--checkpoint", tmp_path / "random.safetensors")
    done = run_tool("propagate_davis.py", *checkpoint, *common, "--out", out, *short, "--pictures", tmp_path / "seen")
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "seen").iterdir()} == {"square.png", "square.webp"}
    done = run_tool("evaluate_davis.py", *common, "--predictions", out, "--json", report)
    assert done.returncode == 0, done.stderr
    scores = json.loads(report.read_text())
    assert set(scores["per_object"]) == {"square_1"}
    assert scores["J-Mean"] > 0.5


def test_what_cannot_be_propagated_is_named(tmp_path):
    write_video(tmp_path)
    write_random_control(tmp_path / "random.safetensors", seed=0)
    frames, masks = (tmp_path / "DAVIS" / kind / "480p/square" for kind in ("JPEGImages", "Annotations"))
    (tmp_path / "empty").mkdir()

    def refused(message, root=tmp_path, **options):
        options = {"protocol": Protocol(short_side=96, size_multiple=32), "progress": False, **options}
        with pytest.raises(InputError, match=message):
            propagate_checkpoint(tmp_path / "random.safetensors", root, **options)

    refused("nowhere does not exist", tmp_path / "nowhere")
    refused("no DAVIS under", tmp_path / "empty")
    refused("leave nothing to propagate", frames=1)
    refused("each must be 1 or more", scratch=0)
    refused("larger short side", protocol=Protocol(short_side=4))
    mask = masks / "00000.png"
    whole = mask.read_bytes()
    Image.new("L", (80, 48)).save(mask)
    refused("00000.jpg is 160x96, but .*00000.png is 80x48")
    mask.write_bytes(whole)
    moved = frames / "00002.jpg"
    whole = moved.read_bytes()
    moved.unlink()
    refused("frame 00002.jpg is missing")  # its mask is there
    (masks / "00002.png").rename(tmp_path / "00002.png")
    refused("frame 00002.jpg is missing")  # its number is
    moved.write_bytes(whole[:300])
    refused("00002.jpg is not a whole image", at_once=2)


def test_a_video_of_one_frame_is_its_mask_and_of_two_is_not_scored(tmp_path):
    write_video(tmp_path, frames=2)
    write_random_control(tmp_path / "random.safetensors", seed=0)
    options = {"protocol": Protocol(short_side=96, size_multiple=32), "progress": False}
    kept, _ = propagate_checkpoint(tmp_path / "random.safetensors", tmp_path, **options)
    assert len(kept["square"]) == 2
    with pytest.raises(InputError, match="square has 2 ground-truth"):
        evaluate(tmp_path, kept)
    (tmp_path / "DAVIS/JPEGImages/480p/square/00001.jpg").unlink()
    (tmp_path / "DAVIS/Annotations/480p/square/00001.png").unlink()
    kept, _ = propagate_checkpoint(tmp_path / "random.safetensors", tmp_path, **options)
    assert kept["square"][0].max() == 1


def test_from_memory_and_side_by_side_equals_files_one_by_one(tmp_path):
    for name, size in {"a": (96, 160), "b": (160, 96), "c": (96, 160)}.items():  # one stands upright
        write_video(tmp_path, 4, *size, name=name)
    (tmp_path / "DAVIS/ImageSets/2017/val.txt").write_text("a\nb\nc\n")
    write_random_control(tmp_path / "random.safetensors", seed=0)
    options = {"protocol": Protocol(short_side=96, size_multiple=32), "progress": False}
    one = evaluate_checkpoint(tmp_path / "random.safetensors", tmp_path, tmp_path / "pred", **options)
    two = evaluate_checkpoint(tmp_path / "random.safetensors", tmp_path, at_once=3, batch_size=3, **options)
    assert one["metrics"] == two["metrics"]
    assert len(list((tmp_path / "pred").rglob("*.png"))) == 12
    beside = propagate_checkpoint(tmp_path / "random.safetensors", tmp_path, tmp_path / "b", beside=True, **options)[1]
    half, facts = propagate_checkpoint(tmp_path / "random.safetensors", tmp_path, precision="bf16", **options)
    assert (beside["precision"], facts["precision"]) == ("fp32", "bf16")
    for path in (tmp_path / "pred").rglob("*.png"):
        labels = read_mask(path)
        assert (labels == read_mask(tmp_path / "b" / path.relative_to(tmp_path / "pred"))).all()
        assert (labels == half[path.parent.name][int(path.stem)]).mean() > 0.98


def test_what_fails_in_a_thread_beside_is_raised_where_it_belongs(tmp_path):
    found = read_ahead([1, 2, 0, 3], lambda number: 6 // number)
    assert [next(found), next(found)] == [6, 3]
    with pytest.raises(ZeroDivisionError):
        next(found)

    def write(number):
        if number == 1:
            raise OSError("no room")

    def write_all():
        with Writer(write) as writer:
            for number in range(3):
                writer(number)

    with pytest.raises(OSError, match="no room"):
        write_all()


def test_unusable_input_is_one_line_and_exit_2(tmp_path):
    done = run_tool("evaluate_davis.py", "--davis-root", tmp_path, "--predictions", tmp_path, "--json", "x.json")
    assert done.returncode == 2
    assert done.stderr.startswith("error: no DAVIS under")
    assert len(done.stderr.splitlines()) == 1
