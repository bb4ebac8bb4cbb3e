"""Several machines, on one: two nodes of two processes; one is taken away, and the run goes on with others."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pretrain.config import load_config
from pretrain.trainer import Trainer

CONFIG = """
model: {embed_dim: 32, depth: 2, num_heads: 2, patch_size: 8, image_size: 48, drop_path: 0.1, clusters: 16,
        head_hidden_dim: 32, head_bottleneck_dim: 16}
views: {local_size: 24, local_views: 2}
data: {workers: 0}
run: {epochs: 15, precision: fp32, device: cpu, log_every: 1, snapshot_steps: 1, keep: 2, tensorboard: false,
      picture_epochs: 0, export: none}
"""
STEPS = 30
#: Seconds within which what remains of a run must end when a node dies, and a stopped node must have ended its step.
SOON = 120


class Node:
    """One machine: a ``torchrun`` and its workers, which go together when a machine does."""

    def __init__(self, port, nodes, processes, arguments, log):
        command = [sys.executable, "-m", "torch.distributed.run", f"--nnodes={nodes}", f"--nproc_per_node={processes}"]
        command += ["--rdzv_backend=c10d", f"--rdzv_endpoint=localhost:{port}", "--rdzv_id=test", "-m", "pretrain"]
        self.log, environment = log, {**os.environ, "OMP_NUM_THREADS": "1"}
        with open(log, "w") as stream:
            self.process = subprocess.Popen(
                [*command, *arguments], env=environment, stdout=subprocess.DEVNULL, stderr=stream
            )

    def workers(self):
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in children.read_text().split()]

    def vanish(self):
        workers = self.workers()
        self.process.kill()
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def ends(self, workers):
        """Its exit code, soon; ``workers`` that are left behind are a fault."""
        code = self.process.wait(SOON)
        assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]
        return code


def free_port():
    with socket.socket() as found:
        found.bind(("localhost", 0))
        return found.getsockname()[1]


def lines(out):
    log = out / "log.jsonl"
    return log.read_text().count("\n") if log.exists() else 0


def wait_for(out, count, nodes):
    while lines(out) < count:
        assert all(node.process.poll() is None for node in nodes), nodes[0].log.read_text()[-3000:]
        time.sleep(0.005)


@pytest.fixture
def nodes():
    """What was started is ended; one thread meanwhile, as the nodes' processes have."""
    started, threads = [], torch.get_num_threads()
    torch.set_num_threads(1)
    yield started
    torch.set_num_threads(threads)
    for node in started:
        if node.process.poll() is None:
            node.vanish()


def test_a_run_of_two_nodes_goes_on_with_one_and_then_with_one_process(tmp_path, nodes):
    (tmp_path / "images").mkdir()
    rng = np.random.default_rng(0)
    for index in range(8):
        Image.fromarray(rng.integers(0, 255, (60, 80, 3), dtype=np.uint8)).save(tmp_path / "images" / f"{index}.png")
    config, out = tmp_path / "config.yaml", tmp_path / "out"
    config.write_text(CONFIG)
    common = [f"data.root={tmp_path / 'images'}"]

    def start(count, batch):
        port = free_port()
        values = [str(config), *common, f"run.out={out}", f"run.batch={batch}"]
        own = [Node(port, count, 2, values, tmp_path / f"{count}-{index}.log") for index in range(count)]
        nodes.extend(own)
        return own

    # Two nodes of two processes, an image each; one node is gone from one moment to the next.
    stays, goes = start(2, 1)
    wait_for(out, 3, [stays, goes])
    workers = stays.workers()
    assert len(workers) == 2
    goes.vanish()
    assert stays.ends(workers) != 0  # it does not wait for the dead
    reached = lines(out)
    assert 3 <= reached < STEPS

    # One node of two processes, two images each; a scheduler takes it away with notice.
    (alone,) = start(1, 2)
    wait_for(out, reached + 3, [alone])
    workers = alone.workers()
    alone.process.terminate()
    assert alone.ends(workers) != 0
    reached = torch.load(out / "checkpoint.pth", weights_only=True)["step"]
    assert f"stopped at step {reached} of {STEPS}; the same command goes on from there" in alone.log.read_text()
    assert lines(out) == reached

    # One process, four images; beside a run that nothing disturbed.
    whole = tmp_path / "whole"
    for folder in (out, whole):
        Trainer(load_config(config, [*common, f"run.out={folder}", "run.batch=4", "run.snapshot_steps=0"])).run()
    logs = [[json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()] for folder in (whole, out)]
    assert [line["step"] for line in logs[1]] == list(range(1, STEPS + 1))
    for one, other in zip(*logs, strict=True):
        for name in ("total", "intra", "inter", "volume"):
            assert other[name] == pytest.approx(one[name], rel=1e-5, abs=1e-5), (one["step"], name)
