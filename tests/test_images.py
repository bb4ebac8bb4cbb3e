"""The one decoder: each kind of file has one answer, and every reader gives it."""

import warnings

import cv2
import numpy as np
import pytest
from picture_files import png_of_16_bits, scene, tag, write_faulty, write_kinds
from PIL import Image, ImageOps

from benchmarks import images
from benchmarks.errors import InputError
from benchmarks.images import image_size, orientation, read_bgr, read_labels, read_rgb


@pytest.fixture(scope="module")
def kinds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kinds")
    return folder, write_kinds(folder)


@pytest.fixture(scope="module")
def faulty(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faulty")
    return folder, write_faulty(folder)


def test_every_kind_is_read_as_what_it_shows(kinds):
    folder, expected = kinds
    for name, pixels in expected.items():
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")  # as the decoder asks
            found = read_rgb(folder / name)
        assert (found.dtype, found.shape) == (np.uint8, pixels.shape), name
        apart = np.abs(found.astype(int) - pixels)
        assert apart.mean() < 4 if name.endswith(("jpg", "jpeg")) else apart.max() == 0, (name, apart.max())
        assert image_size(folder / name) == pixels.shape[:2], name


def test_opencvs_order_has_the_same_answers_and_opencvs_pixels(kinds):
    folder, expected = kinds
    for name, pixels in expected.items():
        found = read_bgr(folder / name)
        assert found.shape == pixels.shape, name
        assert np.abs(found[:, :, ::-1].astype(int) - read_rgb(folder / name)).max() <= 3, name
    for name in ("plain.jpg", "progressive.jpeg", "grey.jpg", "turned6.jpg", "turned3.jpg"):
        assert np.array_equal(read_bgr(folder / name), cv2.imread(str(folder / name))), name


def test_ordinary_files_are_pillows_to_the_bit(kinds):
    folder, _ = kinds
    for name in ("plain.jpg", "plain.png", "grey.jpg", "cmyk.jpg", "alpha.png", "palette.png", "turned5.jpg"):
        with Image.open(folder / name) as image:
            assert np.array_equal(read_rgb(folder / name), np.asarray(ImageOps.exif_transpose(image).convert("RGB")))


def test_sixteen_bits_are_opencvs(kinds):
    folder, _ = kinds
    for name in ("sixteen_grey.png", "sixteen_rgb.png", "sixteen_rgba.png", "sixteen_dark.png"):
        assert np.array_equal(read_rgb(folder / name), cv2.imread(str(folder / name))[:, :, ::-1]), name


@pytest.mark.parametrize("reader", [read_rgb, read_bgr, image_size, read_labels])
def test_what_cannot_be_used_is_refused_in_one_line(faulty, reader):
    folder, faults = faulty
    for name, said in faults.items():
        if reader is read_labels and name in ("float.tif", "int32.tif", "planes.tif"):
            said = "not label indices"
        if reader is image_size and name in ("cut.jpg", "float.tif", "int32.tif", "planes.tif"):
            continue  # a header says nothing of these
        with pytest.raises(InputError) as refusal:
            reader(folder / name)
        assert said in str(refusal.value), (name, str(refusal.value))
        assert str(folder / name) in str(refusal.value)
        assert "\n" not in str(refusal.value)


def test_big_pictures_are_read_up_to_a_bound_that_is_said(tmp_path, monkeypatch):
    big = tmp_path / "big.png"
    Image.new("1", (20_000, 10_000)).save(big)  # more than Pillow's own 179 megapixels
    assert image_size(big) == (10_000, 20_000)
    monkeypatch.setattr(images, "MOST_PIXELS", 1_000_000)
    with pytest.raises(InputError, match="20000x10000 pixels, the most that is read are 1,000,000"):
        read_rgb(big)


def test_label_maps_keep_their_indices_and_are_turned_like_pictures(tmp_path):
    indices = np.arange(48 * 64).reshape(48, 64) % 150
    for mode in ("L", "P"):
        image = Image.fromarray(indices.astype(np.uint8), "L")
        if mode == "P":
            image.putpalette(bytes(range(256)) * 3)
        image.save(tmp_path / f"{mode}.png", **({"transparency": 0} if mode == "P" else {}))
        assert np.array_equal(read_labels(tmp_path / f"{mode}.png"), indices)
    Image.fromarray(indices > 70).save(tmp_path / "bit.png")
    assert np.array_equal(read_labels(tmp_path / "bit.png"), indices > 70)
    assert read_labels(tmp_path / "bit.png").dtype == np.uint8
    png_of_16_bits(tmp_path / "sixteen.png", (indices * 20).astype(np.uint16))
    assert np.array_equal(read_labels(tmp_path / "sixteen.png"), indices * 20)
    Image.fromarray(np.rot90(indices.astype(np.uint8))).save(tmp_path / "turned.png", exif=tag(6))
    assert orientation(tmp_path / "turned.png") == 6
    assert np.array_equal(read_labels(tmp_path / "turned.png"), indices)
    Image.fromarray(scene()).save(tmp_path / "colours.png")
    with pytest.raises(InputError, match="RGB colours, not label indices"):
        read_labels(tmp_path / "colours.png")
