"""The rules of the DAVIS protocols, one by one, where a small mistake would go unseen in the scores."""

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.backbones.vit import HouseViT
from benchmarks.checkpoints.card import DINO_RESIZE, Architecture, Card
from benchmarks.davis.pictures import write_strip
from benchmarks.davis.predictions import voc_palette, write_prediction
from benchmarks.davis.propagation import Protocol, harden, input_size, prepare_mask, propagate_labels, propagate_video
from benchmarks.davis.run import normalisation
from benchmarks.davis.scoring import evaluate, score_video, statistics, summarise
from benchmarks.errors import InputError

PROTOCOL = Protocol()


@pytest.mark.parametrize(
    ("frame", "patch", "expected"),
    [
        ((480, 854), 16, (480, 832)),
        ((480, 854), 8, (480, 832)),
        ((854, 480), 16, (832, 480)),
        ((480, 854), 14, (476, 826)),
    ],
)
def test_input_sizes(frame, patch, expected):
    assert input_size(*frame, patch, PROTOCOL) == expected


def test_a_frame_that_vanishes_is_refused():
    with pytest.raises(InputError, match="larger short side"):
        input_size(480, 854, 16, Protocol(short_side=8))


def test_the_window_is_25_by_25_and_reaches_the_first_frame_too():
    grid = (40, 60)
    features = torch.ones(2, *grid, 1)  # every token is as similar as every other: all in the window tie
    labels = torch.zeros(2, 1, *grid)
    labels[0, 0, 20, 30] = 1
    reached = propagate_labels(features[0], features, labels, PROTOCOL)[0] > 0
    rows, columns = np.nonzero(reached.numpy())
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (8, 32, 18, 42)
    assert reached.sum() == 25 * 25


def test_the_five_nearest_are_of_all_frames_together_and_ties_count():
    target = torch.tensor([1.0, 0.0]).expand(1, 1, 2)
    cosines = [0.9, 0.8, 0.7, 0.6, 0.5, 0.5, 0.4]
    features = torch.tensor([[c, (1 - c * c) ** 0.5] for c in cosines]).view(7, 1, 1, 2)
    labels = torch.eye(7).view(7, 7, 1, 1)
    weights = np.exp(np.array(cosines) / 0.1) * (np.array(cosines) >= 0.5)
    ours = propagate_labels(target, features, labels, PROTOCOL).flatten()
    assert ours.tolist() == pytest.approx(weights / weights.sum(), abs=1e-6)


def test_every_channel_is_stretched_before_the_largest_wins():
    soft = torch.zeros(2, 2, 4)
    soft[0], soft[1, 0, 0] = 0.8, 0.2
    soft[0, 0, 0] = 0.6  # background is still larger here, until both channels are stretched to [0, 1]
    labels = harden(soft, 8, (16, 32))
    assert labels[0, 0] == 1
    assert labels[-1, -1] == 0


def test_void_is_background_and_a_lost_object_has_no_channel():
    mask = np.zeros((480, 832), np.uint8)
    mask[:240] = 1
    mask[300:460] = 255
    mask[100, 100] = 2  # one pixel does not survive the reduction
    assert prepare_mask(mask, 16, PROTOCOL).shape == (2, 30, 52)


def test_a_still_video_keeps_its_mask_with_class_token_and_registers():
    torch.manual_seed(0)
    architecture = Architecture(32, 1, 2, 14, 224, class_token=True, registers=4, position_prefix_rows=1)
    module = HouseViT(architecture, DINO_RESIZE).eval()
    protocol = Protocol(short_side=112, size_multiple=14)
    mask = np.zeros((112, 140), np.uint8)
    mask[28:84, 42:98] = 1
    frames = [torch.randn(3, 112, 140)] * 4
    first = prepare_mask(mask, 14, protocol)
    for labels in propagate_video(module.patch_tokens, frames, first, mask.shape, 14, protocol):
        assert labels.shape == mask.shape
        assert (labels == mask).mean() > 0.95


def test_a_checkpoint_with_its_own_normalisation_keeps_it():
    card = Card("x", Architecture(32, 1, 2, 16, 224), DINO_RESIZE)
    assert normalisation(card)[1] == (0.228, 0.224, 0.225)
    half = (0.5, 0.5, 0.5)
    assert normalisation(Card("x", Architecture(32, 1, 2, 16, 224), DINO_RESIZE, mean=half, std=half)) == (half, half)


def test_decay_is_the_first_quarter_less_the_last():
    assert statistics(np.array([1, 1, 0.5, 0.5, 0.5, 0.5, 0, 0]))[2] == pytest.approx((1 + 1 + 0.5) / 3 - 0.5 / 3)
    assert statistics(np.array([0.7])) == (0.7, 1.0, 0.0)
    assert np.isnan(statistics(np.linspace(0, 1, 300))[2])  # the official 8-bit bounds have wrapped


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
    third = tmp_path / "pred/toy/00003.png"
    write_prediction(third, truth[3] + np.uint8(1))
    with pytest.raises(InputError, match=r"index 3, but the sequence has 2 object"):
        evaluate(tmp_path, tmp_path / "pred")
    write_prediction(third, truth[3, ::2])
    with pytest.raises(InputError, match="different sizes, 60x40 and 60x20"):
        evaluate(tmp_path, tmp_path / "pred")
    Image.new("RGB", (60, 40)).save(third)
    with pytest.raises(InputError, match="3 channels"):
        evaluate(tmp_path, tmp_path / "pred")
    third.write_bytes(third.read_bytes()[:60])
    with pytest.raises(InputError, match="not a whole PNG"):
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
    reddish = (pixels[:, :, 0] > pixels[:, :, 1] + 15).nonzero()
    assert len(np.unique(reddish[1] // 164)) >= 3
    assert reddish[0].max() < 22 + 90  # nothing is predicted in the second row
