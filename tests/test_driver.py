"""The tables' driver: jobs and their states, failures that stay alone, one process a job, torchrun and SLURM."""

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
from benchmarks.coco.table import Coco
from benchmarks.controls import write_random_control
from benchmarks.errors import InputError
from benchmarks.records import read_records
from benchmarks.tables import table1
from benchmarks.tables.benchmark import Launch
from benchmarks.tables.command import arguments_for, table_parser
from benchmarks.tables.jobs import DIGITS, Job, config_digest
from benchmarks.tables.launchers import failure, process_command

ROOT = Path(__file__).resolve().parents[1]
TOOL = "../tests/cheap_table.py"


@pytest.fixture
def weights(tmp_path):
    write_random_control(tmp_path / "weights.safetensors", 0)
    return tmp_path / "weights.safetensors"


def arguments(weights, *names):
    out = weights.parent / "out"
    checkpoints = [part for name in names for part in ("--checkpoint", f"{name}={weights}")]
    return [*checkpoints, "--data-root", weights.parent, "--out", out, "--scale", "mini"]


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
        assert sum(f" {name}-seed0-" in f" {one[8:]}" and line in one for one in failed) == 1, failed
    assert "3 of 4 jobs failed; the same command runs them again" in done.stderr
    (record,) = read_records(tmp_path / "out" / "records")
    assert (record["name"], record["metrics"]) == ("good", {"score": 40.0})
    assert len(json.loads((tmp_path / "all.json").read_text())) == 1
    assert "good" in (tmp_path / "out" / "table9.txt").read_text()
    found, _ = states(*words)
    assert [(name, state) for _, name, _, state in found] == [
        ("good", "done"), ("raises", "missing"), ("refuses", "missing"), ("crashes", "missing"),
    ]  # fmt: skip
    before = record
    half = tmp_path / "out" / "records" / f".cheap-good-seed0-{record['job']}.x.json"
    half.write_text("{")  # what a kill leaves
    done = run_tool(TOOL, *arguments(weights, "good"), "--format", "csv")
    assert done.returncode == 0
    assert ",good," in done.stdout
    assert "[1/" not in done.stderr  # nothing ran
    assert not half.exists()
    assert read_records(tmp_path / "out" / "records") == [before]


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
    assert command.count("--checkpoint") == 1
    assert command[command.index("--seeds") + 1] == "3"
    done = run_tool(TOOL, *command[2:])
    assert done.returncode == 0, done.stderr
    (record,) = read_records(tmp_path / "out" / "records")
    assert (record["seed"], record["job"]) == (3, found[1][0])
    assert record["artefacts"] == f"good-seed3-{found[1][0]}"
    assert (tmp_path / "out" / record["artefacts"] / "job.json").is_file()
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


def test_what_a_job_is_known_by():
    def job(**changes):
        usual = {"table": table1.TABLE, "protocol": "p", "scale": "mini", "name": "a", "seed": 0, "checkpoint": None}
        usual |= {"checkpoint_sha256": "0", "data": {"files": 1}, "config": "c", "options": {"updates": None}}
        return Job(**(usual | changes))

    one = job()
    assert one.hash == job().hash
    assert len(one.hash) == DIGITS
    changes = [{"protocol": "q"}, {"scale": "paper"}, {"name": "b"}, {"seed": 1}, {"checkpoint_sha256": "1"},
               {"data": {"files": 2}}, {"config": "d"}, {"options": {"updates": 3}}]  # fmt: skip
    assert len({job(**change).hash for change in changes} | {one.hash}) == len(changes) + 1
    assert job(seed=1).study == one.study != job(name="b").study
    # How it is started does not matter.
    assert job(arguments={"seeds": [0]}, details=("x",)).hash == one.hash


def test_a_configs_digest_sees_its_bases(tmp_path):
    (tmp_path / "base.py").write_text("x = 1")
    (tmp_path / "own.py").write_text('_base_ = "./base.py"')
    before = config_digest(tmp_path / "own.py")
    (tmp_path / "base.py").write_text("x = 2")
    assert config_digest(tmp_path / "own.py") != before


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
    words = process_command(["tool.py", "--out", "x"], Launch("torchrun", 4), None, "abc")
    assert words[1:] == [
        "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=4", "tool.py", "--out", "x",
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
    assert not list((weights.parent / "out").glob("records/*"))


def test_torchrun_shares_a_job_between_two_processes(weights, tmp_path):
    done = run_tool(TOOL, *arguments(weights, "sums"), "--launcher", "torchrun", "--gpus", 2)
    assert done.returncode == 0, done.stderr
    (record,) = read_records(tmp_path / "out" / "records")
    assert (record["metrics"]["score"], record["run"]["devices"]) == (3.0, 2)
    assert "--launcher torchrun --gpus 2" in " ".join(record["command"])


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
    monkeypatch.setattr("benchmarks.tables.launchers.time.sleep", after_a_snapshot)
    done = run_tool(TOOL, *arguments(weights, "long", "raises"), "--launcher", "slurm")
    assert done.returncode == 1, done.stderr
    assert "ValueError: this job is no good" in done.stderr
    (record,) = read_records(out / "records")
    first, second = record["run"]["steps"]
    assert first == 0
    assert 0 < second < 60
    assert list((out / "logs" / "slurm").glob("*_log.out"))


def task_of(job):
    """The process that does a local job: its controller has no other child."""
    (task,) = Path(f"/proc/{job.job_id}/task/{job.job_id}/children").read_text().split()
    return int(task)


def test_a_command_line_is_written_down_as_it_was_meant():
    parser = table_parser(Coco(table1.TABLE), "doc", "example")
    words = ["--checkpoint", "a=x y.pth", "--data-root", "d", "--out", "o", "--seeds", "1", "2", "--as-released",
             "--per-device", "2", "--learning-rate", "0.001", "--launcher", "torchrun", "--gpus", "8"]  # fmt: skip
    args = parser.parse_args(words)
    again = arguments_for(parser, args, {"seeds": [2], "launcher": "none", "gpus": 1})
    assert vars(parser.parse_args(again)) == vars(args) | {"seeds": [2], "launcher": "none", "gpus": 1}
