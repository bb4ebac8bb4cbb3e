"""The lock of a folder, on a file system that has fcntl's locks only."""

import fcntl
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.claim import LOCK, claim, held, holder
from benchmarks.errors import InputError

#: What every process of these tests begins with: flock is what an NFS mount makes of it, or not there at all.
BEGIN = """
import errno, fcntl, os, sys, time
from pathlib import Path
def no_flock(*_):
    raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
fcntl.flock = no_flock
folder = Path(sys.argv[1])
"""
LOCKF = (
    "file = open(folder / '.lock', 'a'); fcntl.lockf(file, fcntl.LOCK_EX)\nprint('held', flush=True); time.sleep(60)"
)
HELD = "from benchmarks.claim import held\nwith held(folder): print('held', flush=True); time.sleep(60)"


@pytest.fixture
def start():
    """Start a process that runs ``code`` and wait for its first line."""
    running = []

    def begin(code, *arguments, **options):
        command = [sys.executable, "-c", BEGIN + code, *map(str, arguments)]
        running.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options))
        return running[-1], running[-1].stdout.readline().strip()

    yield begin
    for process in running:
        process.kill()
        process.communicate()


@pytest.fixture(autouse=True)
def no_flock(monkeypatch):
    monkeypatch.setattr(fcntl, "flock", None)


def taken_by_lockf(folder):
    """Whether an older program, which takes ``lockf``, would get the folder (asked from another process)."""
    code = "try: fcntl.lockf(open(folder / '.lock', 'r+'), fcntl.LOCK_EX | fcntl.LOCK_NB)\nexcept OSError: sys.exit(3)"
    return subprocess.run([sys.executable, "-c", BEGIN + code, folder], timeout=60).returncode == 0


def test_it_holds_against_lockf_and_lockf_against_it(tmp_path, start):
    process, _ = start(LOCKF, tmp_path)
    assert holder(tmp_path) == "another process"
    with pytest.raises(InputError, match="is being worked in by another process"):
        claim(tmp_path, patience=0)
    process.kill()
    process.wait()
    with held(tmp_path, patience=5):
        assert not taken_by_lockf(tmp_path)
        assert holder(tmp_path) == f"process {os.getpid()} on {os.uname().nodename}"
        # Opening and closing the file again, as holder() does, lets go of a lockf, but not of this.
        assert not taken_by_lockf(tmp_path)
    assert holder(tmp_path) is None
    assert taken_by_lockf(tmp_path)


def test_who_is_refused_leaves_the_holders_note(tmp_path, start):
    _, line = start(HELD, tmp_path)
    assert line == "held"
    note = (tmp_path / LOCK).read_text()
    for _ in range(2):
        with pytest.raises(InputError, match=f"by process {json.loads(note)['pid']} on "):
            claim(tmp_path, patience=0)
    assert (tmp_path / LOCK).read_text() == note


CHILD = """
from benchmarks.claim import held
with held(folder, 0):
    print("in", flush=True)
    sys.stdin.readline()
"""


def test_a_child_works_in_its_parents_folder_and_keeps_it(tmp_path, start):
    with held(tmp_path) as mine:
        note = (tmp_path / LOCK).read_text()
        child, line = start(CHILD, tmp_path, stdin=subprocess.PIPE, **mine.for_children())
        assert line == "in"
        # A grandchild whose file was not handed on, as torchrun's processes.
        options = mine.for_children()
        _, line = start(CHILD, tmp_path, stdin=subprocess.PIPE, env=options["env"])
        assert line == "in"
        _, line = start(CHILD, tmp_path, stdin=subprocess.PIPE)
        assert line == ""
        assert (tmp_path / LOCK).read_text() == note
        mine.file.close()  # as if this process had been killed: its child goes on, and so does the lock
        assert holder(tmp_path) is not None
        child.communicate("\n", timeout=60)
    assert holder(tmp_path) is None


FORKING = """
import multiprocessing
from benchmarks.claim import claim
mine = claim(folder)
multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,)).start()
print("held", flush=True)
time.sleep(60)
"""


def test_workers_of_a_killed_process_hold_nothing(tmp_path, start):
    process, _ = start(FORKING, tmp_path, start_new_session=True)
    process.kill()
    process.wait()
    try:
        end = time.monotonic() + 10  # a worker closes its copy when it first runs
        while holder(tmp_path) and time.monotonic() < end:
            time.sleep(0.05)
        assert holder(tmp_path) is None
    finally:
        os.killpg(process.pid, 9)


WORK = """
from benchmarks.claim import held
for job in range(12):
    with held(folder / str(job), 60):
        if not (folder / str(job) / "done").exists():
            with open(folder / "log", "a") as log:
                log.write(f"{job}\\n")
            time.sleep(0.01)
            (folder / str(job) / "done").touch()
print("end", flush=True)
"""


def test_commands_at_once_lose_nothing_and_do_nothing_twice(tmp_path):
    command = [sys.executable, "-c", BEGIN + WORK, str(tmp_path)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(3)]
    assert [process.communicate(timeout=120)[0] for process in processes] == [b"end\n"] * 3
    assert sorted(map(int, (tmp_path / "log").read_text().split())) == list(range(12))


PRETRAIN = """
from pretrain.snapshot import SnapshotFolder
snapshots = SnapshotFolder(folder, 3)
snapshots.prepare(1)
print("in", flush=True)
time.sleep(60)
"""


def test_pretraining_takes_the_same_lock(tmp_path, start):
    with held(tmp_path) as mine:
        _, line = start(PRETRAIN, tmp_path, **mine.for_children())
        assert line == "in"
        other, line = start(PRETRAIN, tmp_path)
        assert line == ""
        assert "another run is training in" in other.communicate()[1]
        assert holder(tmp_path) == f"process {os.getpid()} on {os.uname().nodename}"
    # The child that works on has been handed the lock.
    with pytest.raises(InputError, match="is being worked in"):
        claim(tmp_path, patience=0)


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    Path(tmp_path, "file").write_text("")
    with pytest.raises(InputError, match="file/sub cannot be written to"):
        claim(tmp_path / "file" / "sub")
