"""Videos as people have them: what runs is what the check passes, and a zero explains itself."""

import shutil

import cv2
import numpy as np
import pytest
from dry_run import dry_run
from in_process import run_tool
from PIL import Image
from test_davis import write_video

from benchmarks.controls import write_random_control
from benchmarks.davis.dataset import find_root, in_order, open_video, read_frame, sequence_names
from benchmarks.davis.protocol import Protocol
from benchmarks.davis.run import evaluate_checkpoint, propagate_checkpoint
from benchmarks.davis.scoring import evaluate
from benchmarks.errors import InputError

SMALL = {"protocol": Protocol(short_side=96, size_multiple=32), "progress": False}


@pytest.fixture(scope="module")
def random(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    write_random_control(path, seed=0)
    return path


@pytest.fixture
def davis(tmp_path):
    write_video(tmp_path, frames=5)
    return tmp_path


def masks_of(root, kind="Annotations"):
    return sorted((root / "DAVIS" / kind / "480p/square").iterdir())


def rewrite(change, paths):
    for path in paths:
        Image.fromarray(change(np.array(Image.open(path)))).save(path)


def cut(path, length=60):
    path.write_bytes(path.read_bytes()[:length])


def times(factor):
    return lambda mask: mask * np.uint8(factor)


FAULTS = {
    "truth 0 and 255": (lambda root: rewrite(times(255), masks_of(root)), "255 is void, not an object"),
    "first mask empty": (lambda root: rewrite(times(0), masks_of(root)[:1]), "shows no object"),
    "16-bit indices": (
        lambda root: rewrite(lambda mask: mask.astype(np.uint16) * 300, masks_of(root)), "index 300: objects are 1",
    ),
    "colours": (lambda root: rewrite(lambda mask: np.stack([mask] * 3, -1), masks_of(root)), "RGB colours, not label"),
    "another size": (lambda root: rewrite(lambda mask: mask[::2], masks_of(root)), "is 160x96, but"),
    "a frame of another size": (
        lambda root: rewrite(lambda frame: frame[::2], masks_of(root, "JPEGImages")[2:3]), "is 160x48, but",
    ),
    "a cut frame": (lambda root: cut(masks_of(root, "JPEGImages")[3], 400), "00003.jpg is not a whole image"),
    "a cut mask": (lambda root: cut(masks_of(root)[2]), "00002.png is not a whole label map"),
    "a cut last mask": (lambda root: cut(masks_of(root)[-1]), "00004.png is not a whole label map"),
    "a missing frame": (lambda root: masks_of(root, "JPEGImages")[2].unlink(), "frame 00002.jpg is missing"),
    "an empty frame": (lambda root: masks_of(root, "JPEGImages")[1].write_bytes(b""), "is empty"),
    "masks missing": (lambda root: [path.unlink() for path in masks_of(root)[1:]], "scoring needs at least 3"),
    "no list": (lambda root: shutil.rmtree(root / "DAVIS/ImageSets"), "val.txt does not exist"),
    "a name that is not there": (
        lambda root: (root / "DAVIS/ImageSets/2017/val.txt").write_text("square\ncircle\n"), "circle",
    ),
    "a path in the list": (
        lambda root: (root / "DAVIS/ImageSets/2017/val.txt").write_text("square\nsquare/\n"), "not paths (1 such)",
    ),
    "a list in UTF-16": (
        lambda root: (root / "DAVIS/ImageSets/2017/val.txt").write_text("square", encoding="utf-16"), "is not UTF-8",
    ),
    "two frames of one name": (
        lambda root: shutil.copy(masks_of(root)[0], masks_of(root, "JPEGImages")[0].with_suffix(".png")), "share the",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_check_and_run_refuse_for_the_same_reason(davis, random, fault):
    change, said = FAULTS[fault]
    change(davis)
    done = run_tool("prepare_data.py", "davis", "--root", davis, "--check")
    assert done.returncode == 2
    assert said in done.stdout
    with pytest.raises(InputError) as refusal:
        evaluate_checkpoint(random, davis, **SMALL)
    assert said in str(refusal.value)


#: What no dry run sees: it opens no frame and no mask but the first.
ONLY_DECODED = {
    "a frame of another size", "a cut frame", "a cut mask", "a cut last mask", "an empty frame",
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_dry_run_refuses_for_the_same_reason(davis, tmp_path_factory, fault):
    change, said = FAULTS[fault]
    change(davis)
    done = dry_run("davis", davis, tmp_path_factory.mktemp("out"))
    if fault in ONLY_DECODED:
        assert done.returncode == 0, done.stderr
    else:
        assert done.returncode == 2, done.stdout
        assert said in done.stderr


def strays(root):
    for path in (*masks_of(root), *masks_of(root, "JPEGImages")):
        path.with_name(f"._{path.name}").write_bytes(b"\0\5\26\7")
        (path.parent / ".ipynb_checkpoints").mkdir(exist_ok=True)
        shutil.copy(path, path.parent / ".ipynb_checkpoints" / path.name)


def linked(root):
    for kind in ("Annotations", "JPEGImages"):
        folder = root / "DAVIS" / kind / "480p/square"
        (root / "store").mkdir(exist_ok=True)
        shutil.move(folder, root / "store" / kind)
        folder.symlink_to(root / "store" / kind, target_is_directory=True)


def as_png(root):
    for path in masks_of(root, "JPEGImages"):
        cv2.imwrite(str(path.with_suffix(".PNG")), cv2.imread(str(path)))
        path.unlink()


def marked(root):
    (root / "DAVIS/ImageSets/2017/val.txt").write_bytes(b"\xef\xbb\xbfsquare\r\n")


def without_training_list(root):
    assert not (root / "DAVIS/ImageSets/2017/train.txt").exists()


@pytest.mark.parametrize("variant", [strays, linked, as_png, marked, without_training_list])
def test_what_is_no_fault_passes_and_scores_the_same(davis, random, variant):
    expected = evaluate_checkpoint(random, davis, **SMALL)["metrics"]
    variant(davis)
    done = run_tool("prepare_data.py", "davis", "--root", davis, "--check")
    assert done.returncode == 0, done.stdout
    assert evaluate_checkpoint(random, davis, **SMALL)["metrics"] == expected


def predictions(root, change):
    for path in masks_of(root):
        target = root / "pred/square" / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(change(np.array(Image.open(path)))).save(target)
    return root / "pred"


def test_predictions_of_0_and_255_are_refused_as_by_the_official_program(davis):
    assert evaluate(davis, predictions(davis, times(1)))["J&F-Mean"] == 1
    with pytest.raises(InputError, match=r"index 255, but the sequence has 1 object\(s\): write 0 for background"):
        evaluate(davis, predictions(davis, times(255)))
    rewrite(lambda mask: np.where(np.arange(160) < 5, 255, mask).astype(np.uint8), masks_of(davis)[:1])
    scores = evaluate(davis, predictions(davis, times(255)))  # void in the first mask may be carried on
    assert scores["J-Mean"] == 0


def test_a_zero_explains_itself(davis, capsys):
    evaluate(davis, predictions(davis, times(0)))
    assert "note: square: J is 0 in every frame for object 1 of 1..1" in capsys.readouterr().err
    rewrite(times(2), masks_of(davis))
    evaluate(davis, predictions(davis, times(1)))
    assert "note: square: the first mask lacks object 1 of 1..2" in capsys.readouterr().err


def test_an_object_that_appears_later_is_said(davis, capsys):
    rewrite(lambda mask: np.where(np.arange(160) > 150, 4, mask).astype(np.uint8), masks_of(davis)[3:])
    evaluate(davis, predictions(davis, lambda mask: (mask == 1).astype(np.uint8)))
    assert "object 4 appears after the first mask: it is neither followed nor scored" in capsys.readouterr().err


def test_numbers_in_names_are_numbers(tmp_path):
    names = ["frame10.jpg", "frame2.jpg", "frame1.jpg"]
    assert [path.name for path in in_order(tmp_path / name for name in names)] == names[::-1]


def youtube(davis, root):
    """The same video in the layout of YouTube-VOS: no 480p, no list."""
    for kind in ("Annotations", "JPEGImages"):
        shutil.copytree(davis / "DAVIS" / kind / "480p", root / kind)
    return root


def test_the_layout_of_youtube_vos_gives_the_same_maps(davis, random, tmp_path):
    root = youtube(davis, tmp_path / "train")
    maps = {place: propagate_checkpoint(random, place, **SMALL)[0]["square"] for place in (davis, root)}
    assert np.array_equal(maps[davis], maps[root])
    assert run_tool("prepare_data.py", "davis", "--root", root, "--check").returncode == 0


def test_a_film_stands_for_its_frames(davis, random, tmp_path):
    root = youtube(davis, tmp_path / "films")
    folder, film = root / "JPEGImages/square", root / "JPEGImages/square.mp4"
    writer = cv2.VideoWriter(str(film), cv2.VideoWriter_fourcc(*"mp4v"), 25, (160, 96))
    originals = [cv2.imread(str(path)) for path in sorted(folder.iterdir())]
    for frame in originals:
        writer.write(frame)
    writer.release()
    shutil.rmtree(folder)
    video = open_video(find_root(root), "square")
    assert sequence_names(root) == ["square"]
    assert [path.name for path in video.frames] == ["00000", "00001", "00002", "00003", "00004"]
    assert video.files == (film,)
    for order in ([0, 1, 2, 3, 4], [4, 1, 1, 3]):
        for number in order:
            apart = np.abs(read_frame(video.frames[number]).astype(int) - originals[number])
            assert apart.mean() < 12, (order, number, apart.mean())
    assert run_tool("prepare_data.py", "davis", "--root", root, "--check").returncode == 0
    facts = propagate_checkpoint(random, root, tmp_path / "pred", **SMALL)[1]
    assert facts["sequences"] == {"square": 5}
    assert evaluate(root, tmp_path / "pred")["J-Mean"] > 0.3
    film.write_bytes(film.read_bytes()[:300])
    assert (
        "square.mp4 has no frame that OpenCV can decode" in run_tool("prepare_data.py", "davis", "--root", root).stdout
    )
    with pytest.raises(InputError, match="no frame that OpenCV"):
        propagate_checkpoint(random, root, **SMALL)
