"""Tables 5 and 6: pretrain FLSL with every setting, judge each by bbox-aligned k-NN."""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import shapes
from benchmarks.checkpoints.canonical import read_canonical
from benchmarks.checkpoints.convert import convert
from benchmarks.claim import Claim
from benchmarks.errors import InputError
from benchmarks.files import read_json, sha256_of, write_json
from benchmarks.knn.dataset import find_root, read_split
from benchmarks.knn.run import KS, evaluate_checkpoint
from benchmarks.records import fingerprint
from benchmarks.tables import bootstrap
from benchmarks.tables.ablation import Ablation, Setting
from benchmarks.tables.benchmark import Benchmark, Launch
from benchmarks.tables.command import chosen_device
from benchmarks.tables.jobs import Job, config_digest

CONFIGS = Path(__file__).resolve().parents[2] / "pretrain" / "configs"
CONFIG = {"paper": CONFIGS / "vit_small_16.yaml", "mini": CONFIGS / "mini.yaml"}

#: The paper's ablations: ViT-S/16 for 100 epochs; the global batch is the published command's.
EPOCHS = {"paper": 100, "mini": 4}
GLOBAL_BATCH = 512
CLASSES = 1000


class KnnAblation(Benchmark):
    """One of the two tables: a job is a setting with a seed. It pretrains, unless it was given a checkpoint."""

    shared_by = "itself"
    takes_checkpoints = False

    def __init__(self, ablation: Ablation) -> None:
        self.ablation, self.table = ablation, ablation.table

    def flags(self, parser: argparse.ArgumentParser) -> None:
        """Which settings, and for how long."""
        parser.add_argument("--settings", nargs="+", help="run these only; default: all of the table")
        parser.add_argument("--epochs", type=int, help="of pretraining; default: the scale's own (paper: 100)")

    def open(self, args: argparse.Namespace, checkpoints: Mapping[str, Path]) -> list[Job]:
        """A job for each setting and seed."""
        settings = {setting.name: setting for setting in self.ablation.at(args.scale)}
        for name in (*(args.settings or ()), *checkpoints):
            if name not in settings:
                names = ", ".join(settings)
                raise InputError(f"{name} is no setting of Table {self.table.number} at scale {args.scale}: {names}")
        devices = args.gpus if args.launcher != "none" else 1
        if args.scale == "paper" and GLOBAL_BATCH % devices:
            raise InputError(f"a batch of {GLOBAL_BATCH} images does not divide over {devices} GPUs: use 1, 2, 4 or 8")
        self.scale, self.on, self.out = args.scale, chosen_device(args.device), Path(args.out)
        self.epochs = args.epochs or EPOCHS[args.scale]
        self.root = open_data(args.data_root, args.scale)
        facts = fingerprint(self.root, sorted(self.root.rglob("*.xml")))
        jobs = []
        for setting in (settings[name] for name in args.settings or settings):
            given = checkpoints.get(setting.name)
            patch = read_canonical(given)[1].architecture.patch_size if given else 16 if args.scale == "paper" else 8
            # The paper's figures are the published program's, which knows patch 16 only.
            protocol = "official" if patch == 16 else "corrected"
            made_by = {} if given else {"overrides": setting.overrides, "epochs": self.epochs, "batch": GLOBAL_BATCH}
            for seed in dict.fromkeys(args.seeds):
                alone: dict[str, Any] = {"settings": [setting.name], "seeds": [seed]}
                alone["checkpoint"] = [f"{setting.name}={given}"] if given else []
                jobs.append(
                    Job(self.table, protocol, args.scale, setting.name, seed, given, sha256_of(given) if given else "",
                        facts, config_digest(CONFIG[args.scale]), {"table": self.table.number, **made_by}, alone,
                        "ViT-S/16", (f"given: {given}",) if given else ())
                )  # fmt: skip
        self.settings = settings
        return jobs

    def lines(self) -> list[str]:
        """The data and the length."""
        return [f"data: {self.root}", f"pretraining: {CONFIG[self.scale].name}, {self.epochs} epochs a setting"]

    def require(self) -> None:
        """A GPU for scale paper."""
        if self.scale == "paper" and self.on == "cpu":
            raise InputError("pretraining at scale paper needs a GPU: --scale mini and --dry-run do without")

    def run(self, job: Job, folder: Path, launch: Launch) -> dict[str, Any]:
        """Pretrain in ``folder``, or go on with it, and score."""
        setting = self.settings[job.name]
        checkpoint = job.checkpoint or self.pretrain(setting, job.seed, folder, launch)
        # A list of boxes of its own: jobs run side by side.
        cache = folder / "index"
        features = 9 * len(read_split(self.root, "train", cache=cache).images)
        ks = [k for k in KS if k <= features]
        pictures = self.out / "pictures" / job.label
        run = evaluate_checkpoint(checkpoint, self.root, job.protocol, ks, self.on, cache=cache, pictures=pictures)
        metrics = {name: run.pop(name) for name in ("top1", "top5", "single_vote")}
        shares = {f"{name}/{k}": metrics[name][str(k)] for name in ("top1", "single_vote") for k in ks}
        return {
            "metrics": metrics,
            "interval": bootstrap.of_share("images", run["val_images"], shares),
            "run": {**run, "table": self.table.number, "setting": setting.name, "overrides": list(setting.overrides)},
            "checkpoint": checkpoint,
        }

    def pretrain(self, setting: Setting, seed: int, folder: Path, launch: Launch) -> Path:
        """Pretrain and convert, unless that is done; the canonical checkpoint."""
        command = self.pretraining(setting, seed, folder, launch)
        checkpoint, finished = folder / "checkpoint.safetensors", folder / "finished.json"
        if not (finished.is_file() and read_json(finished) == setting.name and checkpoint.is_file()):
            code = _run(command, launch.claim)
            if code:
                raise RuntimeError(f"pretraining ended with exit code {code}: {shlex.join(command)}")
            convert(checkpoint.with_suffix(".pth"), checkpoint)
            write_json(finished, setting.name)
        return checkpoint

    def pretraining(self, setting: Setting, seed: int, folder: Path, launch: Launch) -> list[str]:
        """The command that pretrains ``setting``; started again, it goes on from its last snapshot."""
        values = [f"data.root={self.root / 'train'}", f"run.out={folder}", f"run.seed={seed}"]
        values += [f"run.epochs={self.epochs}", *setting.overrides]
        if self.scale == "paper":
            values.append(f"run.batch={GLOBAL_BATCH // launch.devices}")
        start = [sys.executable]
        if launch.launcher == "torchrun":
            start += ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={launch.gpus}"]
        return [*start, "-m", "pretrain", str(CONFIG[self.scale]), *values]

    def device(self) -> str:
        """What ``--device`` says."""
        return self.on


def _run(command: Sequence[str], claim: Claim | None) -> int:
    """Run ``command`` and give its exit code; SIGTERM goes on to it, and it holds the folder as long as it lives."""
    process = subprocess.Popen(command, **({} if claim is None else claim.for_children()))
    with contextlib.ExitStack() as afterwards:
        with contextlib.suppress(ValueError):  # not the main thread: nothing to pass on
            before = signal.signal(signal.SIGTERM, lambda number, frame: process.send_signal(number))
            afterwards.callback(signal.signal, signal.SIGTERM, before or signal.SIG_DFL)
        return process.wait()


def open_data(data_root: str | os.PathLike[str], scale: str) -> Path:
    """All of ILSVRC for scale ``paper``; for ``mini`` what is there, or else the shapes world's, written there."""
    if scale == "mini" and not any((Path(data_root) / name).is_dir() for name in ("imagenet", "train", "ILSVRC")):
        shapes.write_world(data_root, "demo", sets=("imagenet",))
    root = find_root(data_root)
    if not (root / "train").is_dir():
        raise InputError(
            f"pretraining reads {root / 'train'}, which is not there: put or link the training images there"
        )
    if scale == "paper":
        classes = sum(folder.is_dir() for folder in (root / "train").iterdir())
        if classes != CLASSES:
            raise InputError(
                f"{root / 'train'} has {classes} classes instead of {CLASSES}: complete it, or ask for --scale mini"
            )
    return root
