"""What the networks see: the published distributions, query grids, crop boxes, and files of every kind."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter, ImageOps
from torchvision import transforms

from benchmarks.errors import InputError
from pretrain.augment import SMALLEST_BLUR, Augmentation, augment, draw_augmentation
from pretrain.augment_batch import augment_batch, byte_taps, pack
from pretrain.config import Config, DataConfig, ModelConfig, ObjectiveConfig, PreviousConfig, RunConfig, ViewsConfig
from pretrain.data import make_loader, normalise, steps_of
from pretrain.images import open_images
from pretrain.views import ViewMaker, draw_crop, grid_queries, resized_crop


def scene(seed=0, size=(96, 128)):
    """A smooth coloured picture with noise: RGB uint8."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 255, (6, 8, 3), dtype=np.uint8))
    smooth = np.asarray(small.resize(size[::-1], Image.Resampling.BICUBIC)).astype(float)
    return (smooth + rng.normal(0, 12, smooth.shape)).clip(0, 255).astype(np.uint8)


def published_view(image, size, scale, rng):
    """The recipe of protocols section 8 with torchvision's own transforms on PIL images, from one seed."""
    torch.manual_seed(int(rng.integers(2**31)))
    image = transforms.RandomResizedCrop(size, scale=scale, interpolation=transforms.InterpolationMode.BICUBIC)(image)
    jitter = transforms.ColorJitter(0.4, 0.4, 0.2, 0.1)
    image = transforms.RandomGrayscale(0.2)(transforms.RandomApply([jitter], 0.8)(image))

    def blur(image, probability):
        radius = rng.uniform(0.1, 2.0)
        return image.filter(ImageFilter.GaussianBlur(radius)) if rng.random() <= probability else image

    if rng.random() < 0.5:
        return blur(image, 0.5)
    image = blur(image, 0.1)
    return ImageOps.solarize(image) if rng.random() < 0.2 else image


def moments(views):
    """Mean and variance of each channel, mean and variance of horizontal differences (sharpness), mean saturation."""
    x = np.stack(views).astype(np.float64) / 255
    steps = np.diff(x, axis=2)
    per_view = [x.mean((1, 2)), x.var((1, 2)), np.abs(steps).mean((1, 2)), (x.max(3) - x.min(3)).mean((1, 2))[:, None]]
    return np.concatenate(per_view, axis=1)  # [views, statistics]


def test_views_have_the_published_distribution():
    """Means and variances of many views against the PIL pipeline: every statistic within 4 standard errors."""
    config, count = ViewsConfig(), 1000
    images = [scene(seed) for seed in range(5)]
    ours, theirs = [], []
    for index in range(count):
        rng = np.random.default_rng((1, index))
        image = images[index % len(images)]
        crop = resized_crop(image, draw_crop(image.shape, (0.5, 1.0), rng), 32)
        ours.append(augment(crop, draw_augmentation(config, rng)))
        rng = np.random.default_rng((2, index))
        theirs.append(np.asarray(published_view(Image.fromarray(image), 32, (0.5, 1.0), rng)))
    one, other = moments(ours), moments(theirs)
    for power in (1, 2):  # the statistics themselves, and their spread over views
        a, b = one**power, other**power
        error = np.sqrt(a.var(0) / count + b.var(0) / count)
        assert np.all(np.abs(a.mean(0) - b.mean(0)) < 4 * error), power


def test_how_often_and_how_much_of_each_augmentation():
    """BYOL's numbers as FLSL has them, of 20,000 draws, each share within 4 standard errors."""
    rng, count = np.random.default_rng(0), 20_000
    drawn = [draw_augmentation(ViewsConfig(), rng) for _ in range(count)]

    def about(share, of, expected):
        assert abs(share - expected) < 4 * math.sqrt(expected * (1 - expected) / of), (share, expected)

    solarised = [each for each in drawn if each.solarize]
    about(np.mean([len(each.jitter) == 4 for each in drawn]), count, 0.8)
    about(np.mean([each.grey for each in drawn]), count, 0.2)
    about(np.mean([each.blur > 0 for each in drawn]), count, 0.5 * 0.5 + 0.5 * 0.1)
    about(len(solarised) / count, count, 0.5 * 0.2)
    about(np.mean([each.blur > 0 for each in solarised]), len(solarised), 0.1)  # never those that blur often
    amounts = [[a for each in drawn for which, a in each.jitter if which == kind] for kind in range(4)]
    ranges = [(0.6, 1.4), (0.6, 1.4), (0.8, 1.2), (-0.1, 0.1)]
    for found, (low, high) in zip(
        [*amounts, [each.blur for each in drawn if each.blur]], [*ranges, (0.1, 2.0)], strict=True
    ):
        step = (high - low) / 100
        assert low <= min(found) < low + step
        assert high - step < max(found) <= high
        assert abs(np.mean(found) - (low + high) / 2) < 4 * (high - low) / math.sqrt(12 * len(found))
    firsts = [each.jitter[0][0] for each in drawn if each.jitter]
    for kind in range(4):
        about(firsts.count(kind) / len(firsts), len(firsts), 0.25)


def test_each_operation_is_the_pil_one_up_to_rounding():
    image = scene()
    pil = Image.fromarray(image)
    tv = transforms.functional
    cases = {
        0: tv.adjust_brightness(pil, 1.3),
        1: tv.adjust_contrast(pil, 0.7),
        2: tv.adjust_saturation(pil, 1.2),
        3: tv.adjust_hue(pil, -0.08),
    }
    for which, expected in cases.items():
        amount = (1.3, 0.7, 1.2, -0.08)[which]
        got = augment(image, Augmentation(((which, amount),), False, 0.0, False)).astype(int)
        difference = np.abs(got - np.asarray(expected).astype(int))
        assert difference.mean() < 1.0, which
        assert np.percentile(difference, 99) <= 8, which  # both round the hue to 8 bits, each in its own way
    grey = augment(image, Augmentation((), True, 0.0, False))
    assert np.abs(grey.astype(int) - np.asarray(pil.convert("L").convert("RGB"))).max() <= 1
    solarized = augment(image, Augmentation((), False, 0.0, True))
    assert np.array_equal(solarized, np.asarray(ImageOps.solarize(pil)))
    blurred = augment(image, Augmentation((), False, 1.5, False)).astype(int)
    assert np.abs(blurred - np.asarray(pil.filter(ImageFilter.GaussianBlur(1.5))).astype(int)).mean() < 1.5


def both_ways(images, drawn):
    """Grey levels between images augmented at once and one by one, ``[N, H, W, 3]``."""
    at_once = augment_batch(torch.from_numpy(images), pack(drawn)).numpy()
    one_by_one = np.stack([augment(*each) for each in zip(images, drawn, strict=True)])
    assert at_once.dtype == np.uint8
    return np.abs(at_once.astype(int) - one_by_one)


def test_a_batch_augmented_at_once_is_its_images_one_by_one():
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (40, 24, 33, 3), dtype=np.uint8)
    images = np.concatenate([noise, np.stack([scene(seed, (24, 33)) for seed in range(40)])])
    for which in range(4):
        amounts = rng.uniform(-0.1, 0.1, len(images)) if which == 3 else rng.uniform(0.6, 1.4, len(images))
        off = both_ways(images, [Augmentation(((which, x),), False, 0.0, False) for x in amounts])
        assert off.max() <= 1
        assert (off > 0).mean() < 1e-3
    for grey, solarize in ((True, False), (False, True)):
        assert not both_ways(images, [Augmentation((), grey, 0.0, solarize)] * len(images)).any()
    sigmas = np.linspace(SMALLEST_BLUR, 2.0, len(images))
    assert not both_ways(images, [Augmentation((), False, float(sigma), False) for sigma in sigmas]).any()
    off = both_ways(images, [draw_augmentation(ViewsConfig(), rng) for _ in images])
    assert (off > 1).mean() < 5e-4  # a level at the hue's grey axis turns a colour: rare, and several levels then
    assert off.mean() < 2e-3


def test_blur_kernels_are_symmetric_whole_numbers():
    taps = byte_taps(torch.linspace(SMALLEST_BLUR, 2.0, 50, dtype=torch.float64))
    assert torch.equal(taps, taps.flip(1))
    assert torch.equal(taps, taps.round())
    assert (taps.sum(1) == 256).all()


def test_views_augmented_on_the_device_are_the_loaders(tmp_path):
    for index in range(8):
        Image.fromarray(scene(index)).save(tmp_path / f"{index}.png")
    batches = {}
    for where in ("cpu", "device", "auto"):
        config = Config(
            ModelConfig(image_size=32, patch_size=8, depth=2),
            DataConfig(str(tmp_path), workers=0, augment_on=where),
            ViewsConfig(local_size=16, global_window=2, local_window=1),
            previous=PreviousConfig("stage1.safetensors"),
            run=RunConfig(batch=8),
        )
        loader, sampler = make_loader(config, 0, 1, torch.device("cpu"))
        sampler.start(0, 0)
        (loaded,) = loader
        assert bool(loaded.batch.drawn) == (where == "device")
        batches[where] = loaded.batch.to(torch.device("cpu"))
    for name, ours in batches["cpu"]._asdict().items():
        for where in ("device", "auto"):
            theirs = getattr(batches[where], name)
            pairs = [(ours, theirs)] if torch.is_tensor(ours) else list(zip(ours, theirs, strict=True))
            for one, other in pairs:
                if where == "auto" or name not in ("teacher", "views"):
                    assert torch.equal(one, other), name
                else:  # a grey level is 0.018 here, and few values are one off
                    assert (one != other).float().mean() < 0.01
                    assert (one - other).abs().mean() < 1e-3


def test_the_resized_crop_is_pils():
    image = scene()
    expected = Image.fromarray(image).crop((10, 5, 110, 85)).resize((48, 48), Image.Resampling.BICUBIC)
    got = resized_crop(image, (10, 5, 100, 80), 48)
    assert np.abs(got.astype(int) - np.asarray(expected)).max() <= 1


def test_views_are_a_function_of_the_generator_alone():
    model = ModelConfig(image_size=32, patch_size=8, depth=2)
    maker = ViewMaker(model, ViewsConfig(local_size=16, global_window=2, local_window=1), keep_plain=True)
    one, other = (maker(scene(), np.random.default_rng((0, 3, 7))) for _ in range(2))
    different = maker(scene(), np.random.default_rng((0, 4, 7)))
    assert all(np.array_equal(a, b) for a, b in zip(one.student, other.student, strict=True))
    assert np.array_equal(one.draws, other.draws)
    assert not np.array_equal(one.teacher, different.teacher)
    assert one.draws.shape == (3, 2, 2)
    assert [view.shape[0] for view in one.plain] == [32, 32, 16, 16]
    # A box says where the crop was cut from the teacher's crop before augmentation.
    left, top, right, bottom = np.round(one.boxes[1] * 32).astype(int)
    again = resized_crop(one.plain[0], (left, top, right - left, bottom - top), 16)
    assert np.array_equal(again, one.plain[2])


@pytest.mark.parametrize(("side", "window"), [(14, 3), (6, 2), (12, 5), (4, 4)])
@pytest.mark.parametrize("random_token", [False, True])
def test_every_window_gives_one_query(side, window, random_token):
    corners = set()
    for seed in range(60):
        queries = grid_queries(side, window, np.random.default_rng(seed), random_token)
        cells = side // window
        assert len(np.unique(queries)) == cells**2
        assert 0 <= queries.min() <= queries.max() < side**2
        rows, columns = queries // side, queries % side
        if not random_token:
            corners.add((rows.min(), columns.min()))
            assert set(np.diff(np.unique(rows))) <= {window}
    if not random_token:
        spare = side % window
        assert corners == ({(r, c) for r in (0, spare) for c in (0, spare)} if spare else {(0, 0)})


def test_a_random_token_is_anywhere_in_its_window_and_each_window_draws_for_itself():
    seen = np.concatenate([grid_queries(6, 3, np.random.default_rng(seed), True)[None] for seed in range(300)])
    places = np.stack([seen // 6 % 3, seen % 6 % 3])  # [row or column, seed, window]
    counts = np.bincount((places[0] * 3 + places[1]).ravel(), minlength=9)
    assert np.all(abs(counts - 1200 / 9) < 4 * math.sqrt(1200 / 9 * 8 / 9))
    for axis in places:  # two windows agree as often as chance has it
        assert 0.2 < (axis[:, :1] == axis[:, 1:]).mean() < 0.47


def test_a_maker_keeps_and_postpones_nothing_where_it_is_not_told():
    image = scene()
    made = ViewMaker(
        ModelConfig(image_size=32, patch_size=8, depth=2), ViewsConfig(local_size=16, global_window=2, local_window=1)
    )(image, np.random.default_rng(0))
    assert (made.plain, made.drawn) == ([], [])
    assert len(made.draws) == len(made.student)


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (400, 3), (224, 224)])
def test_a_crop_fits_into_any_image(shape):
    for seed in range(20):
        left, top, width, height = draw_crop((*shape, 3), (0.05, 0.4), np.random.default_rng(seed))
        assert 0 <= left < left + width <= shape[1]
        assert 0 <= top < top + height <= shape[0]
        image = np.zeros((*shape, 3), np.uint8)
        assert resized_crop(image, (left, top, width, height), 8).shape == (8, 8, 3)


class Told:
    """A generator that gives what it is told, and keeps what it was asked: of places it gives the last."""

    def __init__(self, *values):
        self.values, self.asked = list(values), []

    def uniform(self, low, high):
        self.asked.append((low, high))
        return self.values.pop(0)

    def integers(self, places):
        self.asked.append(places)
        return places - 1


def test_a_crop_by_hand():
    ratios = (math.log(3 / 4), math.log(4 / 3))
    rng = Told(0.25, math.log(4 / 3))  # a quarter of 200 x 100, four to three: 81.6 x 61.2
    assert draw_crop((100, 200, 3), (0.2, 0.5), rng) == (118, 39, 82, 61)
    assert rng.asked == [(0.2, 0.5), ratios, 119, 40]
    # The second try, as the first is too high; it fills the image.
    assert draw_crop((60, 80, 3), (1.0, 1.0), Told(1.0, math.log(3 / 4), 1.0, math.log(4 / 3))) == (0, 0, 80, 60)


@pytest.mark.parametrize(
    ("shape", "box"),
    [((10, 400), (193, 0, 13, 10)), ((400, 10), (0, 193, 10, 13)), ((1, 50), (24, 0, 1, 1)), ((50, 1), (0, 24, 1, 1))],
)
def test_an_image_out_of_the_aspect_range_gives_its_middle_after_ten_tries(shape, box):
    rng = Told(*[1.0, 0.0] * 10)  # all of it, as a square
    assert draw_crop((*shape, 3), (1.0, 1.0), rng) == box  # torchvision's rule: 4 / 3 of the short side
    assert not rng.values


def pictures_and_config(root, count, local_views=1, **options):
    """So many pictures in ``root``, and a config of tiny views of them."""
    for index in range(count):
        Image.fromarray(scene(index)).save(root / f"{index}.png")
    return Config(
        ModelConfig(image_size=32, patch_size=8, depth=2),
        DataConfig(str(root), workers=0),
        ViewsConfig(local_size=16, global_window=2, local_window=1, local_views=local_views),
        **options,
    )


def test_what_a_batch_holds(tmp_path):
    config = pictures_and_config(tmp_path, 2, local_views=3, run=RunConfig(batch=2))
    loader, sampler = make_loader(config, 0, 1, torch.device("cpu"))
    sampler.start(0, 0)
    ((batch, broken),) = loader
    assert broken == {}
    assert batch.query_count == 2 * (2 * 2) + 2 * 3 * (2 * 2)
    assert len(list(batch.tensors())) == 1 + 4 * 2
    assert [tuple(stack.shape[:2]) for stack in batch.draws] == [(2, 2), (6, 2)]
    config = dataclasses.replace(config, run=RunConfig(batch=1, accumulate=3))
    line = r"holds 2 images, fewer than one step of 6 \(2 processes x 3 parts x 1\): lower run.batch"
    with pytest.raises(InputError, match=line):
        make_loader(config, 0, 2, torch.device("cpu"))


def test_one_image_is_a_batch_too_and_a_teacher_that_is_seen_twice_is_drawn_for_twice(tmp_path):
    config = pictures_and_config(tmp_path, 2, objective=ObjectiveConfig(both_globals=True), run=RunConfig(batch=1))
    loader, sampler = make_loader(config, 0, 1, torch.device("cpu"))
    sampler.start(0, 0)
    first, _ = loader
    assert [tuple(stack.shape[:2]) for stack in first.batch.draws] == [(2, 2), (1, 2)]
    assert [len(stack) for stack in first.batch.views] == [1, 1]


def test_steps_go_on_from_any_step_to_any_step(tmp_path):
    config = pictures_and_config(tmp_path, 5, run=RunConfig(batch=1, accumulate=2))

    def teachers(step, end):
        loader, _ = make_loader(config, 0, 1, torch.device("cpu"))
        return [[loaded.batch.teacher for loaded in pieces] for pieces in steps_of(loader, step, end)]

    whole = teachers(0, 6)  # three epochs of two steps of two parts
    assert [len(pieces) for pieces in whole] == [2] * 6
    torch.testing.assert_close(teachers(3, 6), whole[3:], rtol=0, atol=0)
    assert not torch.equal(whole[0][0], whole[2][0])
    assert teachers(6, 6) == []


def test_normalisation_is_torchvisions():
    image = scene()
    usual = transforms.functional.normalize(
        transforms.functional.to_tensor(image), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    )
    torch.testing.assert_close(normalise(torch.from_numpy(image)[None])[0], usual, rtol=1e-5, atol=1e-5)


def test_too_few_images_are_refused(tmp_path):
    with pytest.raises(InputError, match="holds no images"):
        open_images(tmp_path)
    Image.fromarray(scene()).save(tmp_path / "one.png")
    with pytest.raises(InputError, match="one image only"):
        open_images(tmp_path)


def test_the_list_of_images_is_sorted_whole_and_independent_of_its_place(tmp_path):
    for root in ("a", "b"):
        for name in ("z/2.JPG", "z/10.jpg", "é.png", "y/notes.txt", "top.webp"):
            (tmp_path / root / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / root / name).write_bytes(b"")
    (tmp_path / "a" / "link").symlink_to(tmp_path / "b" / "z")
    found = open_images(tmp_path / "b")
    assert [str(found[i].relative_to(tmp_path / "b")) for i in range(len(found))] == sorted(
        ["z/2.JPG", "z/10.jpg", "é.png", "top.webp"]
    )
    assert len(open_images(tmp_path / "a")) == 6
    assert open_images(tmp_path / "a").fingerprint() != found.fingerprint()
    (tmp_path / "a" / "link").unlink()
    assert open_images(tmp_path / "a").fingerprint() == found.fingerprint()
