"""A table whose jobs take no time and do what their checkpoint's name says: a stand-in for the driver's tests."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import torch

from benchmarks.errors import InputError, run_command
from benchmarks.tables.benchmark import Benchmark
from benchmarks.tables.driver import table_command
from benchmarks.tables.jobs import Setup, expand
from benchmarks.tables.paper import Column, Row, Table


class Cheap(Benchmark):
    table = Table(
        number=9,
        title="nothing",
        benchmark="cheap",
        source="nowhere",
        columns=(Column("score", ("score",)),),
        rows=(Row("DINO", "ViT-S/16", (50.0,)),),
        noise=0.5,
        noise_reason="none",
    )
    engines = ("mmdet",)

    def open(self, args, checkpoints):
        data = {"name": "none", "files": 0, "annotations_sha256": ""}
        return expand(self.table, args, checkpoints, data, lambda path, card: Setup("cheap", ""))

    def run(self, job, folder, launch):
        name = job.name
        if name.startswith("raises"):
            raise ValueError("this job is no good")
        if name.startswith("refuses"):
            raise InputError("the third image is broken")
        if name.startswith("crashes"):
            os.kill(os.getpid(), signal.SIGSEGV)
        if name.startswith("sums"):
            torch.distributed.init_process_group("gloo")
            total = torch.tensor(float(torch.distributed.get_rank() + 1))
            torch.distributed.all_reduce(total)
            return {"metrics": {"score": total.item()}, "run": {"devices": launch.devices}}
        steps = self.steps(folder / "snapshot.json", 60 if name.startswith("long") else 1)
        return {"metrics": {"score": 40.0 + job.seed}, "run": {"steps": steps}}

    def steps(self, snapshot: Path, count: int) -> list[int]:
        """Counts to ``count``, slowly; on SIGTERM stops after a snapshot. Gives where each attempt began."""
        state = json.loads(snapshot.read_text()) if snapshot.exists() else {"step": 0, "began": []}
        state["began"].append(state["step"])
        stop = []
        signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
        while state["step"] < count:
            state["step"] += 1
            time.sleep(0.1 if count > 1 else 0)
            if stop or state["step"] == 1:
                snapshot.write_text(json.dumps(state))
            if stop:
                raise SystemExit(143)
        return state["began"]

    def device(self):
        return "cpu"


if __name__ == "__main__":
    run_command(lambda: table_command(Cheap(), __doc__, "python cheap_table.py"))
