"""A pretraining as data: a configuration with replacements, what it resolves to, and the process that runs it.

Pretraining is a program beside this one: its configuration goes in, a checkpoint file comes back.
"""

from __future__ import annotations

import contextlib
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.checkpoints.convert import convert
from benchmarks.claim import Claim
from benchmarks.core.task import Place
from benchmarks.files import read_json, write_json
from pretrain.config import as_dict, load_config

CONFIGS = Path(__file__).resolve().parents[2] / "pretrain" / "configs"
CONFIG = {"paper": CONFIGS / "vit_small_16.yaml", "mini": CONFIGS / "mini.yaml"}


@dataclass(frozen=True)
class Pretraining:
    """A configuration of ``pretrain/configs`` by name, epochs, ``section.key=value`` replacements, global batch."""

    config: str = CONFIG["paper"].stem
    epochs: int = 100
    overrides: tuple[str, ...] = ()
    batch: int | None = None  # over all devices; None: the configuration's

    def run(self, images: Path, place: Place) -> Path:
        """Pretrain and convert, unless that is done; the canonical checkpoint. Started again, it goes on."""
        command = self.command(images, place)
        checkpoint, finished = place.folder / "checkpoint.safetensors", place.folder / "finished.json"
        if not (finished.is_file() and read_json(finished) == resolved(self) and checkpoint.is_file()):
            code = _run(command, place.launch.claim)
            if code:
                raise RuntimeError(f"pretraining ended with exit code {code}: {shlex.join(command)}")
            convert(checkpoint.with_suffix(".pth"), checkpoint)
            write_json(finished, resolved(self))
        return checkpoint

    def command(self, images: Path, place: Place) -> list[str]:
        """The command line of the pretraining."""
        values = [f"data.root={images}", f"run.out={place.folder}", f"run.seed={place.seed}"]
        values += [f"run.epochs={self.epochs}", *self.overrides]
        if self.batch:
            values.append(f"run.batch={self.batch // place.launch.devices}")
        start = [sys.executable]
        if place.launch.launcher == "torchrun":
            start += ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={place.launch.gpus}"]
        return [*start, "-m", "pretrain", str(CONFIGS / f"{self.config}.yaml"), *values]


#: What a pretraining's configuration says about the machine and the diary, not about the weights.
UNIMPORTANT = {
    "data": ("root", "workers"),
    "run": (
        "out", "seed", "batch", "accumulate", "device", "checkpointing", "snapshot_steps", "snapshot_minutes", "keep",
        "log_every", "picture_epochs", "tensorboard", "export",
    ),
}  # fmt: skip


def resolved(pretraining: Pretraining) -> dict[str, Any]:
    """All that decides the weights, defaults included, as plain data: two names of one setting are equal."""
    values = [*pretraining.overrides, f"run.epochs={pretraining.epochs}"]
    config = load_config(CONFIGS / f"{pretraining.config}.yaml", values)
    found = as_dict(config)
    batch = pretraining.batch or config.run.batch * config.run.accumulate
    for section, names in UNIMPORTANT.items():
        for name in names:
            del found[section][name]
    return {**found, "global_batch": batch}


def _run(command: Sequence[str], claim: Claim | None) -> int:
    """Run ``command`` and give its exit code; SIGTERM goes on to it, and it holds the folder as long as it lives."""
    process = subprocess.Popen(command, **({} if claim is None else claim.for_children()))
    with contextlib.ExitStack() as afterwards:
        with contextlib.suppress(ValueError):  # not the main thread: nothing to pass on
            before = signal.signal(signal.SIGTERM, lambda number, frame: process.send_signal(number))
            afterwards.callback(signal.signal, signal.SIGTERM, before or signal.SIG_DFL)
        return process.wait()
