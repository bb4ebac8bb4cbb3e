"""A task of one's own that does what the model's name says."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.core.data import Fingerprint
from benchmarks.core.settings import option
from benchmarks.core.task import Outcome, Place, Plan, Task
from benchmarks.errors import InputError
from benchmarks.tables.paper import Column, Row, Table

TABLE = Table(
    number=9,
    title="nothing",
    benchmark="cheap",
    source="nowhere",
    columns=(Column("score", ("score",)),),
    rows=(Row("DINO", "ViT-S/16", (50.0,)),),
    noise=0.5,
    noise_reason="none",
)


@dataclass(frozen=True)
class Settings:
    level: int = option(1, "of nothing")
    side_by_side: int = option(1, "how the work is cut up", launch=True)


class Cheap(Task):
    name = benchmark = "cheap"
    title = "nothing"
    data = "none"
    cost = "nothing"
    shared_by = "processes"
    columns = (("score", "score", 1.0),)

    def settings(self, scale):
        return Settings()

    def open(self, data_root, scale, settings):
        return (data_root / "fingerprint").read_text() if (data_root / "fingerprint").exists() else ""

    def fingerprint(self, data):
        return Fingerprint("none", 0, data)

    def plan(self, model, data, settings, scale, launch):
        return Plan("cheap", {"level": settings.level}, details=("a detail",))

    def run(self, model, data, settings, scale, place):
        name = model.name
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
            return Outcome({"score": total.item()}, {"devices": place.launch.devices})
        if name.startswith("trains"):
            train(place)
        steps = count(place.folder / "snapshot.json", 60 if name.startswith("long") else 1)
        return Outcome({"score": 40.0 + place.seed}, {"steps": steps})

    def device(self, asked):
        return "cpu"


def count(snapshot: Path, whole: int) -> list[int]:
    """Counts to ``whole``, slowly; on SIGTERM stops after a snapshot. Gives where each attempt began."""
    state = json.loads(snapshot.read_text()) if snapshot.exists() else {"step": 0, "began": []}
    state["began"].append(state["step"])
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
    while state["step"] < whole:
        state["step"] += 1
        time.sleep(0.1 if whole > 1 else 0)
        if stop or state["step"] == 1:
            snapshot.write_text(json.dumps(state))
        if stop:
            raise SystemExit(143)
    return state["began"]


#: A pretraining of a job's: it takes the lock of its own folder, which is the job's, and notes that it has run.
TRAINING = """
import sys, time
from pathlib import Path
from pretrain.snapshot import SnapshotFolder
out = Path(sys.argv[1])
SnapshotFolder(out, 3).prepare(1)
with open(out / "trained", "a") as log:
    log.write("once\\n")
time.sleep(1)
"""


def train(place: Place) -> None:
    """Starts a process that works in the job's folder, as Tables 5 and 6 start ``python -m pretrain``."""
    assert place.launch.claim is not None
    subprocess.run([sys.executable, "-c", TRAINING, place.folder], check=True, **place.launch.claim.for_children())


TASKS = (Cheap(),)
