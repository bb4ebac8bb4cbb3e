"""Files and folders that are whole or not there, written from many threads at once."""

import os
import subprocess
import sys
import threading

import pytest

from benchmarks.files import atomic_folder, atomic_path, write_text

MODES = """
import os, stat, sys
from pathlib import Path
from benchmarks.files import atomic_folder, write_text
os.umask(int(sys.argv[2], 8))
write_text(Path(sys.argv[1], "a.txt"), "x")
with atomic_folder(Path(sys.argv[1], "b")) as folder:
    (folder / "c").mkdir()
print(*(oct(stat.S_IMODE(Path(sys.argv[1], name).stat().st_mode)) for name in ("a.txt", "b")))
"""


@pytest.mark.parametrize(("umask", "modes"), [("002", "0o664 0o775"), ("022", "0o644 0o755"), ("077", "0o600 0o700")])
def test_permissions_are_those_of_any_new_file(tmp_path, umask, modes):
    done = subprocess.run([sys.executable, "-c", MODES, tmp_path, umask], capture_output=True, text=True, check=True)
    assert done.stdout.split() == modes.split()


def test_writing_never_touches_the_processs_umask(tmp_path, monkeypatch):
    def refused(mask):
        raise AssertionError("the umask is the process's: no thread may change it, if only to read it")

    monkeypatch.setattr(os, "umask", refused)
    write_text(tmp_path / "a.txt", "x")
    with atomic_folder(tmp_path / "b"):
        pass


def test_many_threads_write_one_file_and_leave_one(tmp_path):
    texts = [str(number) * 10_000 for number in range(8)]
    threads = [threading.Thread(target=write_text, args=(tmp_path / "a.txt", text)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "a.txt").read_text() in texts
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_failure_leaves_what_was_there(tmp_path):
    write_text(tmp_path / "a.txt", "old")
    with pytest.raises(ZeroDivisionError), atomic_path(tmp_path / "a.txt") as path:
        path.write_text(str(1 / 0))
    with pytest.raises(ZeroDivisionError), atomic_folder(tmp_path / "b") as folder:
        (folder / str(1 / 0)).mkdir()
    assert os.listdir(tmp_path) == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"


def test_of_two_who_make_one_folder_the_second_is_told(tmp_path):
    def late():
        with atomic_folder(tmp_path / "b") as folder:
            (folder / "late").mkdir()
            with atomic_folder(tmp_path / "b") as other:
                (other / "early").mkdir()

    with pytest.raises(FileExistsError):
        late()
    assert os.listdir(tmp_path) == ["b"]
    assert os.listdir(tmp_path / "b") == ["early"]
