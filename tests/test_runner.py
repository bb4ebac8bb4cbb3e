"""The runner: jobs and their states, failures that stay alone, one process a job, torchrun and SLURM."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from in_process import run_tool

from benchmarks.claim import held, holder
from benchmarks.controls import write_random_control
from benchmarks.core.launch import failure, process_command
from benchmarks.core.result import read_results
from benchmarks.core.task import Launch
from benchmarks.errors import InputError

ROOT = Path(__file__).resolve().parents[1]
TOOL = "../tests/cheap_table.py"


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """A folder for weights; the task of the tests is brought in as anybody's own is."""
    monkeypatch.setenv("FLSL_TASKS", "cheap_task")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "tests")]))
    return tmp_path


def arguments(weights, *names):
    checkpoints = []
    for number, name in enumerate(names):
        write_random_control(weights / f"{name}.safetensors", number)
        checkpoints += ["--checkpoint", f"{name}={weights / name}.safetensors"]
    return [*checkpoints, "--data-root", weights, "--out", weights / "out", "--scale", "mini"]


def states(*words):
    done = run_tool(TOOL, *words, "--dry-run")
    assert done.returncode == 0, done.stderr
    return re.findall(r"^job (\w+): (\S+), seed (\d): ([^;]+);", done.stdout, re.MULTILINE), done.stdout


def test_a_failed_job_leaves_the_others_alone_and_what_is_done_stays_done(weights, tmp_path):
    words = arguments(weights, "good", "raises", "refuses", "crashes")
    done = run_tool(TOOL, *words, "--gpus", 2, "--json", tmp_path / "all.json")
    assert done.returncode == 1, done.stderr
    failed = [line for line in done.stderr.splitlines() if line.startswith("failed: ")]
    for name, line in zip(
        ("raises", "refuses", "crashes"),
        ("ValueError: this job is no good", "the third image is broken", "killed by SIGSEGV"),
        strict=True,
    ):
        assert sum(f" {name}-cheap-seed0-" in f" {one[8:]}" and line in one for one in failed) == 1, failed
    assert "3 of 4 jobs failed; the same command runs them again" in done.stderr
    (record,) = read_results(tmp_path / "out" / "records")
    assert (record.name, record.metrics) == ("good", {"score": 40.0})
    assert len(json.loads((tmp_path / "all.json").read_text())) == 1
    assert "good" in (tmp_path / "out" / "table9.txt").read_text()
    found, _ = states(*words)
    assert [(name, state) for _, name, _, state in found] == [
        ("good", "done"), ("raises", "missing"), ("refuses", "missing"), ("crashes", "missing"),
    ]  # fmt: skip
    before = record
    half = tmp_path / "out" / "records" / f".cheap-good-seed0-{record.job}.x.json"
    half.write_text("{")  # what a kill leaves
    done = run_tool(TOOL, *arguments(weights, "good"), "--format", "csv")
    assert done.returncode == 0
    assert ",good," in done.stdout
    assert "[1/" not in done.stderr  # nothing ran
    assert not half.exists()
    assert read_results(tmp_path / "out" / "records") == [before]


def test_a_listed_command_does_its_job_alone_once(weights, tmp_path):
    words = arguments(weights, "good", "other")
    found, text = states(*words, "--seeds", 0, 3)
    assert [(name, seed) for _, name, seed, _ in found] == [
        ("good", "0"), ("good", "3"), ("other", "0"), ("other", "3"),
    ]  # fmt: skip
    assert "4 jobs, 0 done, 4 to do" in text
    line = next(line for line in text.splitlines() if line.strip().startswith("python") and found[1][0] in line)
    command = shlex.split(line)
    assert command[1] == "tests/cheap_table.py"
    assert command[-2:] == ["--job", found[1][0]]
    done = run_tool(TOOL, *command[2:])
    assert done.returncode == 0, done.stderr
    (record,) = read_results(tmp_path / "out" / "records")
    assert (record.seed, record.job) == (3, found[1][0])
    assert record.artefacts == f"good-cheap-seed3-{found[1][0]}"
    assert (tmp_path / "out" / record.artefacts / "job.json").is_file()
    assert "done already" in run_tool(TOOL, *command[2:]).stdout
    done = run_tool(TOOL, *words, "--job", "0123456789")
    assert done.returncode == 2
    assert "is none of this command's" in done.stderr


def test_a_job_is_one_processs_and_a_killed_one_leaves_no_claim(tmp_path):
    code = "import sys, time; from pathlib import Path; from benchmarks.claim import held\n"
    code += "with held(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "held\n"
        assert holder(tmp_path).startswith(f"process {process.pid} on ")
        with pytest.raises(InputError, match=f"is being worked in by process {process.pid} on "), held(tmp_path, 0.1):
            pass
    finally:
        process.kill()
        process.wait()
    assert holder(tmp_path) is None
    with held(tmp_path, 0.1):
        assert holder(tmp_path).startswith(f"process {os.getpid()} on ")


@pytest.mark.parametrize(
    ("code", "log", "line"),
    [
        (0, "", None),
        (-9, "", "killed by SIGKILL (out of memory?)"),
        (2, "12%|#  |\r99%|## |\nerror: x is broken\n", "x is broken"),
        (1, "Traceback\n[rank1]: a.b.SomeError: no\ntorch...ChildFailedError: \n", "a.b.SomeError: no"),
        (3, "last words\n\n", "last words"),
        (3, "", "ended with exit code 3 and said nothing"),
    ],
)
def test_why_a_job_failed_in_one_line(tmp_path, code, log, line):
    (tmp_path / "log").write_text("error: of an earlier attempt\n" + log)
    assert failure(code, tmp_path / "log", len("error: of an earlier attempt\n")) == line


def test_the_commands_of_launchers():
    words = process_command(["-m", "x", "job.json"], Launch("torchrun", 4), None, "abc")
    assert words[1:] == [
        "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=4", "-m", "x", "job.json",
    ]  # fmt: skip
    several = process_command(["tool.py"], Launch("torchrun", 8, 2), "host:29500", "abc")
    where = "--nnodes=2 --rdzv_backend=c10d --rdzv_endpoint=host:29500 --rdzv_id=abc"
    assert f"{where} --nproc_per_node=8" in " ".join(several)
    assert process_command(["tool.py"], Launch(), None, "abc")[1:] == ["tool.py"]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--nodes", 2], "--nodes takes --launcher torchrun or slurm"),
        (["--nodes", 2, "--launcher", "torchrun"], "takes --rdzv-endpoint"),
        (["--gpus", 0], "give numbers of 1 or more"),
        (["--launcher", "slurm"], "needs SLURM's sbatch"),
    ],
)
def test_launches_that_make_no_sense(weights, monkeypatch, words, line):
    monkeypatch.setenv("PATH", "")
    done = run_tool(TOOL, *arguments(weights, "good"), *words)
    assert done.returncode == 2
    assert line in done.stderr
    assert not list((weights / "out").glob("records/*"))


def test_torchrun_shares_a_job_between_two_processes(weights, tmp_path):
    done = run_tool(TOOL, *arguments(weights, "sums"), "--launcher", "torchrun", "--gpus", 2)
    assert done.returncode == 0, done.stderr
    (record,) = read_results(tmp_path / "out" / "records")
    assert (record.metrics["score"], record.run["devices"]) == (3.0, 2)
    assert "--launcher torchrun --gpus 2" in " ".join(record.command)


def test_a_slurm_job_that_is_preempted_goes_on_from_its_snapshot(weights, tmp_path, monkeypatch):
    submitit = pytest.importorskip("submitit")
    monkeypatch.setenv("FLSL_SUBMITIT_CLUSTER", "local")
    out, submitted = tmp_path / "out", []
    whole = submitit.AutoExecutor.submit

    def submit(self, *what):
        submitted.append(whole(self, *what))
        return submitted[-1]

    def after_a_snapshot(seconds):
        # The driver sleeps between its looks: a moment to play the cluster that takes the machine away.
        if not interrupted and list(out.glob("long-*/snapshot.json")):
            interrupted.append(True)
            os.kill(task_of(submitted[0]), signal.SIGUSR2)
        assert time.monotonic() < end
        sleep(seconds)

    interrupted, sleep, end = [], time.sleep, time.monotonic() + 240
    monkeypatch.setattr(submitit.AutoExecutor, "submit", submit)
    monkeypatch.setattr("benchmarks.core.launch.time.sleep", after_a_snapshot)
    done = run_tool(TOOL, *arguments(weights, "long", "raises"), "--launcher", "slurm")
    assert done.returncode == 1, done.stderr
    assert "ValueError: this job is no good" in done.stderr
    (record,) = read_results(out / "records")
    first, second = record.run["steps"]
    assert first == 0
    assert 0 < second < 60
    assert list((out / "logs" / "slurm").glob("*_log.out"))


def task_of(job):
    """The process that does a local job: its controller has no other child."""
    (task,) = Path(f"/proc/{job.job_id}/task/{job.job_id}/children").read_text().split()
    return int(task)
