"""Fetching and unpacking against a server of our own: cut connections, wrong content, full disks."""

import hashlib
import http.server
import io
import threading
import zipfile
from pathlib import Path

import pytest
from in_process import run_tool

from benchmarks.data_check import archives, download
from benchmarks.data_check.archives import Archive
from benchmarks.errors import InputError

CUT = 40_000


class Server(http.server.BaseHTTPRequestHandler):
    """Serves ``content`` with ranges; the first ``cuts`` answers end after :data:`CUT` bytes."""

    content = b""
    cuts = 0
    ranges = True
    asked: list

    def do_GET(self):
        self.asked.append(self.headers.get("Range"))
        start = 0
        if self.headers.get("Range") and self.ranges:
            start = int(self.headers["Range"].removeprefix("bytes=").rstrip("-"))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(self.content) - 1}/{len(self.content)}")
        else:
            self.send_response(200)
        body = self.content[start:]
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if type(self).cuts:
            type(self).cuts -= 1
            body = body[:CUT]
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(download, "SECONDS_BETWEEN", 0.0)
    handler = type("Handler", (Server,), {"content": zipped(), "asked": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        handler.address = f"http://127.0.0.1:{running.server_port}/set.zip"
        yield handler
        running.shutdown()
        thread.join()


def zipped() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        file.writestr("val2017/a.jpg", bytes(range(256)) * 400)
        file.writestr("annotations/b.json", "{}")
    return stream.getvalue()


def archive(server, **changes):
    facts = {
        "url": server.address,
        "size": len(server.content),
        "sha256": hashlib.sha256(server.content).hexdigest(),
        "gives": ("val2017", "annotations/b.json"),
    }
    return Archive(**{**facts, **changes})


def test_a_download_is_unpacked_and_leaves_nothing_else(server, tmp_path):
    (tmp_path / "coco/.unpacking-set/half").mkdir(parents=True)  # of a run that was killed
    download.bring(archive(server), tmp_path / "coco")
    assert (tmp_path / "coco/val2017/a.jpg").read_bytes() == bytes(range(256)) * 400
    assert sorted(path.name for path in (tmp_path / "coco").iterdir()) == ["annotations", "val2017"]
    download.bring(archive(server), tmp_path / "coco")
    assert len(server.asked) == 1  # what is there is not fetched again


@pytest.mark.parametrize("ranges", [True, False])
def test_a_connection_that_is_cut_twice_goes_on(server, ranges, tmp_path):
    server.cuts, server.ranges = 2, ranges
    path = download.fetch(archive(server), tmp_path)
    assert path.read_bytes() == server.content
    assert server.asked == [None, f"bytes={CUT}-", f"bytes={2 * CUT if ranges else CUT}-"]


def test_a_later_call_asks_for_the_rest_only(server, monkeypatch, tmp_path):
    monkeypatch.setattr(download, "TRIES", 1)
    server.cuts, stopped = 1, server.content[:CUT]
    (tmp_path / "set.zip.part").write_bytes(stopped)
    download.fetch(archive(server), tmp_path)
    assert server.asked[0] == f"bytes={CUT}-"
    assert not list(tmp_path.glob("*.part"))


def test_a_server_that_never_sends_anything_is_given_up(server, tmp_path):
    server.content, known = b"", archive(server)
    with pytest.raises(download.DownloadError, match="goes on from there"):
        download.fetch(archive(server, size=10, sha256=known.sha256), tmp_path)
    assert len(server.asked) == download.TRIES


def test_a_wrong_checksum_leaves_nothing(server, tmp_path):
    with pytest.raises(InputError, match="SHA-256"):
        download.bring(archive(server, sha256="0" * 64), tmp_path)
    assert not list(tmp_path.iterdir())


def test_without_a_known_checksum_a_broken_zip_is_still_found(server, tmp_path):
    broken = bytearray(server.content)
    broken[5000] ^= 1
    server.content = bytes(broken)
    with pytest.raises(InputError, match="no sound zip"):
        download.bring(archive(server, sha256=None), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["set.zip"]


def test_an_archive_put_there_by_hand_is_checked_used_and_left(server, tmp_path):
    (tmp_path / "set.zip").write_bytes(server.content)
    download.bring(archive(server), tmp_path)
    assert server.asked == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["annotations", "set.zip", "val2017"]


def test_files_go_into_a_folder_that_is_there(server, tmp_path):
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations/mine.json").write_text("[]")
    download.bring(archive(server), tmp_path)
    assert sorted(path.name for path in (tmp_path / "annotations").iterdir()) == ["b.json", "mine.json"]


def test_a_full_disk_is_one_line(server, monkeypatch, tmp_path):
    monkeypatch.setattr(download.shutil, "disk_usage", lambda path: download.shutil._ntuple_diskusage(9, 0, 9))
    with pytest.raises(InputError, match="9 are free"):
        download.bring(archive(server), tmp_path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_disk_that_fills_up_on_the_way_is_one_line(server, tmp_path):
    (tmp_path / "set.zip.part").symlink_to("/dev/full")
    with pytest.raises(InputError, match="disk is full"):
        download.bring(archive(server), tmp_path)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder in which nobody can write")
def test_a_folder_that_cannot_be_written_is_one_line(server):
    with pytest.raises(InputError, match="cannot be written to"):
        download.bring(archive(server), Path("/proc/coco"))


def test_the_command_fetches_checks_and_says_when_the_server_has_nothing(server, monkeypatch, tmp_path):
    known = archive(server)
    monkeypatch.setitem(archives.ARCHIVES, "coco", (known,))
    done = run_tool("prepare_data.py", "coco", "--root", tmp_path / "data", "--download")
    assert done.returncode == 0, done.stderr
    assert "val2017 images: 1" in done.stdout
    assert "missing: train2017/" in done.stdout
    monkeypatch.setitem(archives.ARCHIVES, "coco", (archive(server, url="http://127.0.0.1:1/set.zip"),))
    done = run_tool("prepare_data.py", "coco", "--root", tmp_path / "other", "--download")
    assert done.returncode == 1
    assert "failed: http://127.0.0.1:1/set.zip" in done.stderr


def test_every_archive_has_a_checksum_from_the_named_source():
    found = [archive for entries in archives.ARCHIVES.values() for archive in entries]
    assert len(found) == 5
    assert all(len(archive.sha256) == 64 and archive.size > 10**8 for archive in found)
