"""The rules of the DAVIS protocols, one by one, where a small mistake would go unseen in the scores."""

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from benchmarks.backbones.resnet import HouseResNet
from benchmarks.backbones.vit import HouseViT
from benchmarks.checkpoints.card import DINO_RESIZE, Architecture, Card, ResNetArchitecture
from benchmarks.davis import propagation
from benchmarks.davis.encoder import Encoder, backbone_encoder
from benchmarks.davis.frames import FirstMask, harden, input_size, prepare_mask
from benchmarks.davis.pictures import write_animation, write_strip
from benchmarks.davis.predictions import voc_palette, write_prediction
from benchmarks.davis.propagation import propagate_video
from benchmarks.davis.protocol import CRW, DINO, Protocol
from benchmarks.davis.scoring import (
    ObjectScores,
    boundary_accuracy,
    boundary_map,
    boundary_radius,
    disk,
    evaluate,
    object_scores,
    region_similarity,
    score_video,
    statistics,
    summarise,
)
from benchmarks.errors import InputError


@pytest.mark.parametrize(
    ("frame", "patch", "expected"),
    [
        ((480, 854), 16, (480, 832)),
        ((480, 854), 8, (480, 832)),
        ((854, 480), 16, (832, 480)),
        ((480, 854), 14, (476, 826)),
        ((480, 480), 16, (480, 448)),
    ],
)
def test_input_sizes(frame, patch, expected):
    assert input_size(*frame, patch, DINO) == expected
    assert input_size(*frame, patch, CRW) == tuple(side // patch * patch for side in frame)


def test_a_frame_that_vanishes_is_refused():
    with pytest.raises(InputError, match="larger short side"):
        input_size(480, 854, 16, Protocol(short_side=8))


def test_every_channel_is_stretched_before_the_largest_wins():
    soft = torch.zeros(2, 2, 4)
    soft[0], soft[1, 0, 0] = 0.8, 0.2
    soft[0, 0, 0] = 0.6  # background is still larger here, until both channels are stretched to [0, 1]
    labels = harden(soft, np.array([0, 1], np.uint8), 8, (16, 32), DINO)
    assert labels[0, 0] == 1
    assert labels[-1, -1] == 0


def test_void_is_a_label_and_a_lost_object_has_no_channel():
    mask = np.zeros((480, 832), np.uint8)
    mask[:240] = 1
    mask[300:460] = 255
    mask[100, 100] = 2  # one pixel does not survive the reduction
    first = prepare_mask(mask, (30, 52), DINO)
    assert first.indices.tolist() == [0, 1, 255]
    assert first.labels.shape == (3, 30, 52)
    assert (first.labels.sum(0) == 1).all()
    assert prepare_mask(mask, (30, 52), CRW).indices.tolist() == [0, 1, 2, 255]


def test_crw_reduces_the_mask_bilinearly_and_stretches_nothing():
    mask = np.zeros((16, 32), np.uint8)
    mask[:, 12:20] = 3
    first = prepare_mask(mask, (2, 4), CRW)
    assert first.labels[1, 0].tolist() == [0, 0.5, 0.5, 0]  # OpenCV samples two pixels around the cell's middle
    soft = torch.tensor([[[0.6, 0.9]], [[0.4, 0.1]]])
    assert harden(soft, np.array([0, 7], np.uint8), 8, (8, 16), CRW).max() == 0
    assert harden(soft, np.array([0, 7], np.uint8), 8, (8, 16), DINO).max() == 7


@pytest.mark.parametrize("protocol", [Protocol(short_side=112, size_multiple=14), CRW])
@pytest.mark.parametrize("shape", [(112, 140), (140, 112)])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_a_still_video_keeps_its_mask_with_class_token_and_registers(protocol, shape, batch_size):
    torch.manual_seed(0)
    architecture = Architecture(32, 1, 2, 14, 224, class_token=True, registers=4, position_prefix_rows=1)
    encoder = backbone_encoder(HouseViT(architecture, DINO_RESIZE).eval(), Card("x", architecture, DINO_RESIZE))
    mask = np.zeros(shape, np.uint8)
    mask[28:84, 42:98] = 1
    frames = [torch.randn(3, *shape)] * 4
    first = prepare_mask(mask, encoder.grid(shape), protocol)
    maps = list(propagate_video(encoder, frames, first, mask.shape, protocol, batch_size))
    assert len(maps) == 3
    for labels in maps:
        assert labels.shape == mask.shape
        assert (labels == mask).mean() > 0.95


@pytest.mark.parametrize(
    ("protocol", "seen"),
    [
        (DINO, [[0, *range(max(1, number - 7), number)] for number in range(1, 11)]),
        (CRW, [[0] * (22 - number) + list(range(1, number)) for number in range(1, 11)]),
    ],
)
def test_which_frames_are_the_context(protocol, seen, monkeypatch):
    """Ten frames: the first and the last seven; or 20, filled up with the first."""
    contexts = []

    def note(target, features, labels, *_):
        contexts.append([int(each[0, 0, 0]) for each in features])
        assert [int(each[0, 0, 0]) for each in labels] == contexts[-1]
        return torch.full((1, 1, 1), float(target[0, 0, 0]))

    monkeypatch.setattr(propagation, "propagate_labels", note)
    monkeypatch.setattr(propagation, "finish", lambda found, *_: found)

    class Pixels:
        patch_size = 1

        def __call__(self, images):
            return images

    frames = [torch.full((1, 1, 1), float(number)) for number in range(len(seen) + 1)]
    first = FirstMask(np.array([0], np.uint8), torch.zeros(1, 1, 1))
    list(propagate_video(Pixels(), frames, first, (1, 1), protocol, 3))
    assert contexts == seen


@pytest.mark.parametrize(("block", "widths"), [("bottleneck", (8, 8, 16, 8)), ("basic", (4, 4, 16, 8))])
def test_a_resnet_gives_its_third_stage_at_stride_8(block, widths):
    torch.manual_seed(0)
    inner = widths if block == "basic" else (4, 4, 4, 4)
    architecture = ResNetArchitecture(8, (1, 1, 1, 1), inner, widths, block=block)
    encoder = backbone_encoder(HouseResNet(architecture).eval(), Card("x", architecture, DINO_RESIZE))
    mask = np.zeros((90, 132), np.uint8)
    mask[24:72, 40:96] = 4
    first = prepare_mask(mask, encoder.grid(mask.shape), CRW)
    frame = torch.randn(3, 90, 132)
    assert encoder(frame[None]).shape == (1, 12, 17, 16)
    (labels,) = propagate_video(encoder, [frame] * 2, first, mask.shape, CRW)
    assert (labels == mask).mean() > 0.95


def test_a_checkpoint_with_its_own_normalisation_keeps_it():
    encoder = Encoder(None, 16)
    assert encoder.normalisation(DINO)[1] == (0.228, 0.224, 0.225)
    assert encoder.normalisation(CRW)[1] == (0.229, 0.224, 0.225)
    half = (0.5, 0.5, 0.5)
    assert dataclasses.replace(encoder, mean=half, std=half).normalisation(DINO) == (half, half)


def test_any_function_of_images_is_an_encoder_and_class_tokens_are_refused():
    def pooled(images):
        return F.avg_pool2d(images, 8).flatten(2).transpose(1, 2)

    image = torch.rand(2, 3, 16, 32)
    features = Encoder(pooled, 8)(image)
    assert features.shape == (2, 2, 4, 3)
    assert torch.equal(features, Encoder(lambda images: pooled(images).unflatten(1, (2, 4)), 8)(image))
    assert torch.allclose(features.norm(dim=-1), torch.ones(2, 2, 4))
    with pytest.raises(InputError, match=r"gives \[2, 8, 3\] for images \[2, 3, 16, 32\].*must be \[2, 1, 2, 3\]"):
        Encoder(pooled, 16)(image)


def test_decay_is_the_first_quarter_less_the_last():
    assert statistics(np.array([1, 1, 0.5, 0.5, 0.5, 0.5, 0, 0]))[2] == pytest.approx((1 + 1 + 0.5) / 3 - 0.5 / 3)
    assert statistics(np.array([0.7])) == (0.7, 1.0, 0.0)
    assert np.isnan(statistics(np.linspace(0, 1, 300))[2])  # the official 8-bit bounds have wrapped


def test_the_official_figures_by_hand():
    scores = {
        "a": [ObjectScores(np.array([1.0, 0.5, 0.6, 0.5]), np.array([0.8, 0.8, 0.4, 0.4]))],
        "b": [ObjectScores(np.array([0.2] * 4), np.array([0.0] * 4)), ObjectScores(np.array([0.9] * 4), np.ones(4))],
    }
    found = summarise(scores)
    # Of four frames the first quarter is the first two and the last the last two: the bounds are 1, 2, 3, 3, 4.
    assert found.pop("per_object") == {
        "a_1": {"J": pytest.approx(0.65), "F": pytest.approx(0.6)},
        "b_1": {"J": pytest.approx(0.2), "F": 0.0},
        "b_2": {"J": pytest.approx(0.9), "F": 1.0},
    }
    assert found == {
        "J&F-Mean": pytest.approx((1.75 / 3 + 1.6 / 3) / 2),
        "J-Mean": pytest.approx(1.75 / 3), "J-Recall": pytest.approx((0.5 + 0 + 1) / 3),
        "J-Decay": pytest.approx((0.75 - 0.55) / 3),
        "F-Mean": pytest.approx(1.6 / 3), "F-Recall": pytest.approx((0.5 + 0 + 1) / 3),
        "F-Decay": pytest.approx((0.8 - 0.4) / 3),
    }  # fmt: skip


def test_regions_and_contours_by_hand():
    truth, found = np.zeros((2, 6, 7), bool)
    truth[1:4, 1:4] = True
    found[2:5, 1:4] = True
    assert region_similarity(truth, found) == 6 / 12
    assert region_similarity(truth & False, found & False) == 1.0
    assert region_similarity(truth, found & False) == 0.0
    edge = np.zeros((6, 7), int)
    edge[0, 0:4], edge[3, 0:4], edge[1:3, 0], edge[1:3, 3] = 1, 1, 1, 1
    assert np.array_equal(boundary_map(truth), edge)
    whole = np.ones((2, 3), bool)
    whole[1, 2] = False  # the last corner never counts itself; its neighbours look at it
    assert boundary_map(whole).tolist() == [[0, 1, 1], [0, 1, 0]]
    assert disk(2).tolist() == [[0, 0, 1, 0, 0], [0, 1, 1, 1, 0], [1] * 5, [0, 1, 1, 1, 0], [0, 0, 1, 0, 0]]
    assert [boundary_radius(*size) for size in ((480, 854), (480, 910), (3, 4), (1080, 1920))] == [8, 9, 1, 18]
    # The contours of a square moved down by one, met exactly: rows 1 to 3 of both sides, a row of each has none.
    assert boundary_accuracy(truth, found, 0) == pytest.approx(6 / 12)
    assert boundary_accuracy(truth, found, 1) == 1.0
    assert [boundary_accuracy(a, b) for a, b in ((truth, found & False), (truth & False, truth & False))] == [0.0, 1.0]
    assert object_scores(truth, found) == (0.5, boundary_accuracy(truth, found, boundary_radius(6, 7)))


def write_truth(root, count=5):
    masks = np.zeros((count, 40, 60), np.uint8)
    masks[:, 10:20, 10:30], masks[:, 25:35, 30:50], masks[:, 0] = 1, 2, 255
    (root / "ImageSets/2017").mkdir(parents=True)
    (root / "ImageSets/2017/val.txt").write_text("toy\n")
    for index, mask in enumerate(masks):
        write_prediction(root / f"Annotations/480p/toy/{index:05}.png", mask)
    return np.where(masks == 255, 0, masks)


def test_first_and_last_frame_do_not_count_and_memory_equals_files(tmp_path):
    truth = write_truth(tmp_path / "DAVIS")
    predictions = truth.copy()
    predictions[[0, -1]] = 9
    predictions[1, 0] = 255  # void in a prediction is background
    predictions[2][predictions[2] == 2] = 0  # an object that is missing is an empty mask
    for index, mask in enumerate(predictions):
        write_prediction(tmp_path / f"pred/toy/{index:05}.png", mask)
    scores = evaluate(tmp_path, {"toy": list(predictions)})
    assert scores == evaluate(tmp_path, tmp_path / "pred")
    assert scores["per_object"]["toy_1"] == {"J": 1.0, "F": 1.0}
    assert scores["per_object"]["toy_2"] == {"J": pytest.approx(2 / 3), "F": pytest.approx(2 / 3)}
    assert scores["J&F-Mean"] == pytest.approx(5 / 6)


def test_predictions_that_do_not_fit_are_refused(tmp_path):
    truth = write_truth(tmp_path / "DAVIS")
    for index, mask in enumerate(truth):
        write_prediction(tmp_path / f"pred/toy/{index:05}.png", mask)
    truth_file, third = tmp_path / "DAVIS/Annotations/480p/toy/00002.png", tmp_path / "pred/toy/00003.png"
    write_prediction(truth_file, np.where(truth[2] == 1, 7, truth[2]).astype(np.uint8))
    assert evaluate(tmp_path, tmp_path / "pred")["per_object"].keys() == {"toy_1", "toy_2"}  # 7 is not in the first
    write_prediction(truth_file, truth[2, :, ::2])
    with pytest.raises(InputError, match="different sizes, 30x40 and 60x40"):
        evaluate(tmp_path, tmp_path / "pred")
    write_prediction(truth_file, truth[2])
    write_prediction(third, truth[3] + np.uint8(1))
    with pytest.raises(InputError, match=r"index 3, but the sequence has 2 object"):
        evaluate(tmp_path, tmp_path / "pred")
    write_prediction(third, truth[3, ::2])
    with pytest.raises(InputError, match="different sizes, 60x40 and 60x20"):
        evaluate(tmp_path, tmp_path / "pred")
    Image.new("RGB", (60, 40)).save(third)
    with pytest.raises(InputError, match="RGB colours, not label indices"):
        evaluate(tmp_path, tmp_path / "pred")
    third.write_bytes(third.read_bytes()[:60])
    with pytest.raises(InputError, match="not a whole label map"):
        evaluate(tmp_path, tmp_path / "pred")
    third.unlink()
    with pytest.raises(InputError, match=r"lacks 00003.png \(1 of 3"):
        evaluate(tmp_path, tmp_path / "pred")
    with pytest.raises(InputError, match="'nope'"):
        evaluate(tmp_path, tmp_path / "pred", ["nope"])


def test_too_short_to_score(tmp_path):
    write_truth(tmp_path / "DAVIS", count=2)
    with pytest.raises(InputError, match="at least 3"):
        evaluate(tmp_path, {"toy": []})
    with pytest.raises(InputError, match="no object"):
        summarise({"toy": score_video([np.zeros((4, 4))], [np.zeros((4, 4))], 0, "toy")})


def test_an_undefined_decay_is_none():
    moving = [np.eye(12, dtype=np.uint8)] * 300
    scores = summarise({"long": score_video(moving, moving, 1, "long")})
    assert scores["J-Decay"] is None
    assert scores["J&F-Mean"] == 1.0


def test_label_maps_are_indexed_pngs_in_voc_colours(tmp_path):
    assert voc_palette()[:4].tolist() == [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0]]
    labels = np.array([[0, 1], [2, 255]], np.uint8)
    write_prediction(tmp_path / "a.png", labels)
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode == "P"
        assert np.array_equal(np.array(image), labels)
        assert image.convert("RGB").getpixel((1, 0)) == (128, 0, 0)


def test_a_strip_shows_every_row_and_frame(tmp_path):
    frame = np.full((90, 160, 3), 120, np.uint8)
    labels = np.zeros((90, 160), np.uint8)
    labels[20:60, 40:90] = 1
    rows = {"ground truth": [labels] * 3, "prediction": [np.zeros_like(labels)] * 3}
    write_strip(tmp_path / "strip.png", [frame] * 3, rows, ["0", "1", "2"], height=90)
    with Image.open(tmp_path / "strip.png") as image:
        pixels = np.array(image).astype(int)
    write_animation(tmp_path / "moving.webp", [frame] * 3, rows, ["0", "1", "2"], height=90)
    with Image.open(tmp_path / "moving.webp") as image:
        assert (image.n_frames, image.size) == (3, (26 + 160 + 4, 22 + 2 * 94))
    reddish = (pixels[:, :, 0] > pixels[:, :, 1] + 15).nonzero()
    assert len(np.unique(reddish[1] // 164)) >= 3
    assert reddish[0].max() < 22 + 90  # nothing is predicted in the second row
