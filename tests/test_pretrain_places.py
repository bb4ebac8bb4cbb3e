"""What tokens and clusters say of their place: the instruments on data whose answers are known, and the options."""

import json
import math

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.backbones.positions import sincos_mae
from benchmarks.errors import InputError
from pretrain.clusters import main
from pretrain.config import Config, ModelConfig, config_from_dict
from pretrain.meanshift import mean_shift, retrieve_positives
from pretrain.networks import Network
from pretrain.places import (
    Retrieval,
    Shares,
    class_information,
    information,
    place_information,
    retrieval,
    retrieval_by_place,
    variance_shares,
)
from pretrain.trainer import Trainer

MODEL = {
    "embed_dim": 16,
    "depth": 2,
    "num_heads": 2,
    "patch_size": 4,
    "image_size": 16,
    "clusters": 12,
    "head_hidden_dim": 16,
    "head_bottleneck_dim": 8,
}


@pytest.mark.parametrize("images", [8, 100])
def test_shares_of_a_known_mixture_whatever_the_number_of_images(images):
    g = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(*shape, 400, generator=g)

    tokens = 5.0 + 3**0.5 * normal(1, 36) + normal(images, 1) + 2**0.5 * normal(images, 36)
    shares = variance_shares(tokens)
    assert sum(shares) == pytest.approx(1.0)
    assert shares.place == pytest.approx(3 / 6, abs=0.05)
    assert shares.image == pytest.approx(1 / 6, abs=0.05)


def test_noise_has_no_share_of_place_even_in_few_images():
    shares = variance_shares(torch.randn(4, 36, 200, generator=torch.Generator().manual_seed(1)))
    assert shares.place < 0.01
    assert shares.image < 0.01
    assert math.isnan(variance_shares(torch.randn(1, 36, 8)).place)


def views_of(content, place, grid=6):
    """Teacher tokens of one image and those of its upper left quarter on as fine a grid: one-hot content, then place.

    Content is a number for each patch of the teacher's; the quarter shows each of its nine patches four times.
    """
    cells = torch.eye(grid * grid)
    teacher = torch.cat([content * cells, place * cells], dim=1)[None]
    row, column = torch.meshgrid(torch.arange(grid), torch.arange(grid), indexing="ij")
    shown = (row // 2 * grid + column // 2).flatten()
    view = torch.cat([content * cells[shown], place * cells], dim=1)[None]
    return teacher, view, torch.tensor([[0.0, 0.0, 0.5, 0.5]])


def test_retrieval_tells_content_from_place():
    queries = torch.arange(36)[None]
    teacher, view, box = views_of(content=1.0, place=0.1)
    found = retrieval(view, queries, box, teacher)
    assert found.from_true < 0.1
    assert found.from_own > 0.3
    warning = retrieval_by_place(found, Shares(0.6, 0.1, 0.3))
    assert warning == []
    teacher, view, box = views_of(content=0.1, place=1.0)
    found = retrieval(view, queries, box, teacher)
    assert found.from_own == pytest.approx(0.0, abs=1e-6)
    assert found.from_true > 0.3
    assert "own place on the grid" in retrieval_by_place(found, Shares(0.6, 0.1, 0.3))[0]


def test_retrieval_looks_into_the_right_image():
    teacher, view, box = views_of(content=1.0, place=0.0)
    other = torch.zeros_like(teacher)
    found = retrieval(
        torch.cat([view, view]), torch.arange(36).repeat(2, 1), box.repeat(2, 1), torch.cat([teacher, other])
    )
    alone = retrieval(view, torch.arange(36)[None], box, teacher)
    # The second image has nothing to find: its best match is its first token.
    far = retrieval(view, torch.arange(36)[None], box, other)
    assert found.from_true == pytest.approx((alone.from_true + far.from_true) / 2)


def test_information_is_counted_in_bits():
    four = torch.arange(4).repeat(5)
    assert information(four, four) == pytest.approx(2.0)
    assert information(four, torch.zeros(20)) == pytest.approx(0.0)
    assert information(four, four // 2) == pytest.approx(1.0)


def test_clusters_that_are_places_and_clusters_that_are_classes():
    places = torch.arange(16).expand(40, -1)
    assert place_information(places) == pytest.approx(4.0, abs=0.4)  # less what shuffled places seem to tell
    classes = torch.arange(40) % 4
    assert place_information(classes[:, None].expand(-1, 16)) == pytest.approx(0.0, abs=1e-9)
    assert class_information(classes[:, None].expand(-1, 16), classes) == pytest.approx(2.0, abs=0.4)
    assert class_information(places, classes) == pytest.approx(0.0, abs=1e-9)  # every image the same clusters
    noise = torch.randint(0, 300, (40, 16), generator=torch.Generator().manual_seed(0))
    assert information(noise, places) > 1.0  # why the shuffle is taken off
    assert abs(place_information(noise)) < 0.3


def test_a_healthy_retrieval_is_not_warned_about():
    assert retrieval_by_place(Retrieval(0.10, 0.25), Shares(0.7, 0.01, 0.29)) == []
    assert retrieval_by_place(Retrieval(0.35, 0.05), Shares(0.1, 0.4, 0.5)) == []


# -- the options that change the position code


def network(**changes):
    torch.manual_seed(0)
    return Network(ModelConfig(**{**MODEL, **changes}))


def test_a_weak_position_code_is_the_table_times_its_factor():
    plain, weak = network(), network(position_scale=0.25)
    torch.testing.assert_close(plain.backbone.pos_embed, sincos_mae(16, 4))
    torch.testing.assert_close(weak.backbone.pos_embed, 0.25 * sincos_mae(16, 4))
    assert all(torch.equal(a, b) for a, b in zip(plain.head.parameters(), weak.head.parameters(), strict=True))


def test_views_that_lose_their_position_code_are_those_of_the_first_number():
    images = torch.randn(3, 3, 16, 16)
    draws = torch.full((3, 2, 2), 0.999)
    draws[1, 0, 0] = 0.2
    some = network(position_dropout=0.5)
    found = some.encode(images, draws)
    torch.testing.assert_close(found[[0, 2]], some.encode(images)[[0, 2]])
    some.backbone.pos_embed.data.zero_()
    torch.testing.assert_close(found[1], some.encode(images)[1])
    # A network that sees no places treats its patches as a set: a shuffled picture gives shuffled tokens.
    blocks = images.unflatten(3, (4, 4))[:, :, :, [2, 0, 3, 1]].flatten(3)
    columns = some.encode(blocks).unflatten(1, (4, 4))
    torch.testing.assert_close(columns, some.encode(images).unflatten(1, (4, 4))[:, :, [2, 0, 3, 1]])


def test_centred_retrieval_compares_without_places_and_averages_with_them():
    teacher = network()
    images = torch.randn(2, 3, 16, 16)
    queries = torch.randn(2, 5, 16)
    tokens = teacher.encode(images)
    keys = tokens - teacher.encode(torch.zeros(1, 3, 16, 16))
    expected = (0.7 * queries @ keys.transpose(1, 2)).softmax(dim=-1) @ tokens
    torch.testing.assert_close(retrieve_positives(queries, tokens, 0.7, keys=keys), expected)
    torch.testing.assert_close(mean_shift(queries, tokens, 0.7, keys), expected)
    answer = teacher.answer(images, [queries], 0.7, centred=True)
    torch.testing.assert_close(answer, teacher.logits(expected.flatten(0, 1)))
    assert not torch.allclose(answer, teacher.answer(images, [queries], 0.7))


def test_all_options_are_off_by_default():
    plain = Config()
    assert plain.objective.kind == "flsl"
    assert not plain.objective.centred_retrieval
    assert (plain.model.position_scale, plain.model.position_dropout) == (1.0, 0.0)
    assert plain.optim.warmup_steps == 0


def test_a_scale_without_a_fixed_table_is_refused():
    with pytest.raises(InputError, match="position_scale is for the fixed table"):
        config_from_dict({"model": {"fixed_positions": False, "position_scale": 0.5}}, "here")


# -- the command


def test_clusters_of_a_snapshot_in_numbers_and_a_picture(tmp_path, monkeypatch, capsys):
    rng = np.random.default_rng(0)
    for index in range(8):
        folder = tmp_path / "images" / f"class{index % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (24, 32, 3), dtype=np.uint8)).save(folder / f"{index}.png")
    config = config_from_dict(
        {
            "model": MODEL,
            "views": {"local_size": 8},
            "data": {"root": str(tmp_path / "images"), "workers": 0},
            "run": {"epochs": 1, "batch": 4, "precision": "fp32", "device": "cpu", "log_every": 1, "export": "none"}
            | {"tensorboard": False, "picture_epochs": 0, "out": str(tmp_path / "run")},
        },
        "here",
    )
    Trainer(config).run()
    line = json.loads((tmp_path / "run" / "log.jsonl").read_text().splitlines()[-1])
    assert 0 <= line["place_share"] + line["image_share"] <= 1
    assert 0 <= line["retrieved_from_true"] <= 2**0.5
    assert {"place_bits", "retrieved_from_own"} <= line.keys()

    def clusters(*arguments):
        monkeypatch.setattr("sys.argv", ["clusters", *map(str, arguments)])
        return main()

    out = tmp_path / "seen"
    assert clusters(tmp_path / "run", "--images", tmp_path / "images", "--out", out) == 0
    numbers = json.loads((out / "clusters.json").read_text())
    assert json.loads(capsys.readouterr().out) == numbers
    assert numbers["images"] == 8
    assert 1 <= numbers["clusters_used"] <= 12
    assert numbers["place_share"] + numbers["image_share"] + numbers["rest_share"] == pytest.approx(1)
    assert (out / "clusters.png").stat().st_size > 1000
    with pytest.raises(InputError, match="has no folders"):
        clusters(tmp_path / "run", "--images", tmp_path / "images" / "class0", "--out", out)
    with pytest.raises(InputError, match=r"snapshot of a run .* does not exist"):
        clusters(tmp_path / "images", "--images", tmp_path / "images", "--out", out)
