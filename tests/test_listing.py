"""The one listing: what is there counts, however it is linked and named; what systems leave behind does not."""

import os
import unicodedata

import pytest

from benchmarks.errors import InputError
from benchmarks.listing import by_stem, list_files, list_folders, list_images, stem_of


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")


def test_names_are_sorted_relative_and_whatever_people_write(tmp_path):
    names = ["b/2.JPG", "b/10.jpeg", "a c/über.png", "a c/Straße 1.JPEG", "top.webp", "b/deep/er.TIFF", "x.heic"]
    touch(tmp_path, *names, "b/notes.txt", "b/no_suffix", "a c/labels.json")
    assert list_images(tmp_path) == sorted(names)
    assert list_images(str(tmp_path), deep=False) == ["top.webp", "x.heic"]
    assert list_files(tmp_path, {".txt", ".json"}) == ["a c/labels.json", "b/notes.txt"]
    assert list_folders(tmp_path) == ["a c", "b"]


def test_what_systems_and_editors_leave_behind_is_left_out(tmp_path):
    touch(tmp_path, "n01/1.jpg", "n01/._1.jpg", "n01/.hidden.jpg", "._n01", ".DS_Store", "n01/Thumbs.db")
    touch(tmp_path, "n01/.ipynb_checkpoints/1-checkpoint.jpg", "__MACOSX/n01/._1.jpg", "__MACOSX/n01/1.jpg")
    touch(tmp_path, "n01/@eaDir/1.jpg", ".git/x.png")
    assert list_images(tmp_path) == ["n01/1.jpg"]
    assert list_folders(tmp_path) == ["n01"]


def test_links_are_followed_and_loops_ended(tmp_path):
    touch(tmp_path / "store", "cats/1.jpg", "cats/2.jpg", "dogs/3.jpg", "single.jpg")
    root = tmp_path / "train"
    root.mkdir()
    for name in ("cats", "dogs"):
        (root / name).symlink_to(tmp_path / "store" / name, target_is_directory=True)
    (root / "one.jpg").symlink_to(tmp_path / "store" / "single.jpg")
    (tmp_path / "store" / "cats" / "up").symlink_to(root, target_is_directory=True)
    (root / "self").symlink_to(root, target_is_directory=True)
    assert list_images(root) == ["cats/1.jpg", "cats/2.jpg", "dogs/3.jpg", "one.jpg"]
    assert list_folders(root) == ["cats", "dogs", "self"]
    (tmp_path / "entry").symlink_to(root, target_is_directory=True)
    assert list_images(tmp_path / "entry") == list_images(root)


@pytest.mark.parametrize("name", ["n02", "2.jpg"])
def test_a_link_that_leads_nowhere_is_named(tmp_path, name):
    touch(tmp_path, "n01/1.jpg")
    (tmp_path / name).symlink_to(tmp_path / "gone")
    with pytest.raises(InputError, match=f"{name} is a link to .*gone, which is not there"):
        list_images(tmp_path)


def test_a_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    touch(tmp_path, "n01/1.jpg")

    def denied(folder):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(InputError, match="cannot be read"):
        list_images(tmp_path)


@pytest.mark.parametrize("name", ["nowhere", "file"])
def test_a_root_that_is_no_folder_is_named(tmp_path, name):
    touch(tmp_path, "file")
    with pytest.raises(InputError, match=name):
        list_images(tmp_path / name)


def test_partners_are_found_across_composed_and_decomposed_umlauts(tmp_path):
    composed, decomposed = (unicodedata.normalize(form, "größe") for form in ("NFC", "NFD"))
    assert stem_of(f"a/{composed}.jpg") == stem_of(f"b/{decomposed}.png")
    assert by_stem(tmp_path, ["a/1.jpg"]) == {"1": tmp_path / "a/1.jpg"}
    with pytest.raises(InputError, match="share the name 1"):
        by_stem(tmp_path, ["a/1.jpg", "a/1.png"])
