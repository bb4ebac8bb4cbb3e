"""Two commands of a table at once in one folder, where there are fcntl's locks only: nothing lost, nothing twice."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from in_process import run_tool
from tables_in_process import job_names

from benchmarks.claim import LOCK
from benchmarks.controls import write_random_control
from benchmarks.core.result import read_results

ROOT = Path(__file__).resolve().parents[1]
#: What every process begins with, the jobs' and their pretrainings' too: a file system that knows no flock.
NO_FLOCK = """
import errno, fcntl, os
def refused(*_):
    raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
fcntl.flock = refused
"""
#: An older program in a job's folder, until it reads a line.
LOCKF = (
    "import fcntl, sys; f = open(sys.argv[1], 'a'); fcntl.lockf(f, fcntl.LOCK_EX); print('held', flush=True); input()"
)


TOOL = "../tests/cheap_table.py"


@pytest.fixture
def words(tmp_path, monkeypatch):
    """The table's command for one job, which starts a pretraining in its own folder."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(NO_FLOCK)
    monkeypatch.setenv("FLSL_TASKS", "cheap_task")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, (tmp_path / "site", ROOT, ROOT / "tests"))))
    weights = tmp_path / "trains.safetensors"
    write_random_control(weights, 0)
    found = ["--data-root", tmp_path, "--out", tmp_path / "out", "--checkpoint", f"trains={weights}"]
    return [*map(str, found), "--scale", "mini"]


def start(*command):
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return subprocess.Popen([sys.executable, *map(str, command)], text=True, **pipes)


def test_two_drivers_and_an_older_program_lose_nothing_and_do_nothing_twice(words, tmp_path):
    out = tmp_path / "out"
    (name,) = job_names(TOOL, *words)
    folder = out / f"trains-cheap-seed0-{name}"
    folder.mkdir(parents=True)
    older = start("-c", NO_FLOCK + LOCKF, folder / LOCK)
    assert older.stdout.readline() == "held\n"
    first = start(ROOT / "tests" / "cheap_table.py", *words)
    while not list(out.glob("logs/*.log")) and first.poll() is None:
        time.sleep(0.05)
    assert not (folder / "trained").exists()
    assert older.communicate("\n")[1] == ""
    second = run_tool(TOOL, *words)
    said = first.communicate(timeout=300)[1]
    # Who comes second waits a while, finds the job done, or is told who works in it, and may come again.
    for code, text in ((first.returncode, said), (second.returncode, second.stderr)):
        assert code == 0 or "is being worked in by" in text, text
    assert 0 in (first.returncode, second.returncode)
    (record,) = read_results(out / "records")
    assert (record.name, record.metrics["score"]) == ("trains", 40.0)
    assert (folder / "trained").read_text() == "once\n"
    assert [path.read_text().count("record: ") for path in (out / "logs").glob("*.log")] == [1]
    assert not [path for path in out.rglob(".*") if path.is_file() and path.name != LOCK]
