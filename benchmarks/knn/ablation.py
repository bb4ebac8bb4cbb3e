"""Tables 5 and 6: pretrain FLSL with every setting, judge each by bbox-aligned k-NN, a record each."""

from __future__ import annotations

import datetime
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import shapes
from benchmarks.checkpoints.canonical import read_canonical
from benchmarks.checkpoints.convert import canonical, convert
from benchmarks.errors import InputError
from benchmarks.files import sha256_of
from benchmarks.knn.dataset import find_root, read_split
from benchmarks.knn.run import KS, evaluate_checkpoint
from benchmarks.records import fingerprint, make_record, read_records, write_record
from benchmarks.tables.ablation import Ablation, Setting

CONFIGS = Path(__file__).resolve().parents[2] / "pretrain" / "configs"

#: The paper's ablations: ViT-S/16 for 100 epochs; the global batch is the published command's.
EPOCHS = {"paper": 100, "mini": 10}
GLOBAL_BATCH = 512
CLASSES = 1000


@dataclass(frozen=True)
class Plan:
    """What to run and where. ``epochs`` replaces the scale's own."""

    scale: str
    root: Path  # the folder with train/, val/ and the boxes
    out: Path
    launcher: str = "none"
    gpus: int = 1
    device: str = "cpu"
    epochs: int | None = None

    def folder(self, setting: Setting, seed: int) -> Path:
        """Where the pretraining of ``setting`` and ``seed`` is."""
        return self.out / f"{setting.name}-seed{seed}"

    def pretraining(self, setting: Setting, seed: int) -> list[str]:
        """The command that pretrains ``setting``; started again, it goes on from its last snapshot."""
        epochs = self.epochs or EPOCHS[self.scale]
        config = CONFIGS / ("vit_small_16.yaml" if self.scale == "paper" else "mini.yaml")
        values = [f"data.root={self.root / 'train'}", f"run.out={self.folder(setting, seed)}", f"run.seed={seed}"]
        values += [f"run.epochs={epochs}", *setting.overrides]
        if self.scale == "paper":
            values.append(f"run.batch={GLOBAL_BATCH // self.gpus}")
        start = [sys.executable]
        if self.launcher != "none":
            start += ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={self.gpus}"]
        if self.launcher == "slurm":
            start = ["srun", "--nodes=1", "--ntasks=1", f"--gpus-per-task={self.gpus}", *start]
        return [*start, "-m", "pretrain", str(config), *values]


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


def check(plan: Plan, ablation: Ablation, given: Mapping[str, str]) -> None:
    """:class:`InputError` where the plan cannot be carried out."""
    names = [setting.name for setting in ablation.at(plan.scale)]
    for name in given:
        if name not in names:
            raise InputError(f"--checkpoint {name}=... is no setting of Table {ablation.number}: {', '.join(names)}")
    if plan.gpus < 1 or (plan.launcher == "none" and plan.gpus > 1):
        raise InputError(f"{plan.gpus} GPUs with launcher {plan.launcher}: ask for --launcher torchrun, or for one GPU")
    if plan.scale == "paper" and GLOBAL_BATCH % plan.gpus:
        raise InputError(f"a batch of {GLOBAL_BATCH} images does not divide over {plan.gpus} GPUs: use 1, 2, 4 or 8")
    if plan.scale == "paper" and plan.device == "cpu" and len(given) < len(names):
        raise InputError("pretraining at scale paper needs a GPU: --scale mini and --dry-run do without")


def describe(plan: Plan, settings: Sequence[Setting], seeds: Sequence[int], given: Mapping[str, str]) -> str:
    """What :func:`judge` would do, in words and commands."""
    lines = [f"data: {plan.root}"]
    for setting in settings:
        for seed in seeds:
            made = given.get(setting.name) or shlex.join(plan.pretraining(setting, seed))
            lines.append(f"{setting.name}, seed {seed}: {made}")
    return "\n".join(lines)


def judge(
    plan: Plan, settings: Sequence[Setting], seeds: Sequence[int], given: Mapping[str, str], heads: int | None
) -> int:
    """Pretrain what is not ``given`` (setting -> checkpoint) and score; what is done already is not done again.

    Returns the exit code of the first pretraining that failed, or 0.
    """
    boxes = sorted(path for path in plan.root.rglob("*.xml"))
    data = fingerprint(plan.root, boxes)
    for setting in settings:
        for seed in seeds:
            started = datetime.datetime.now(datetime.timezone.utc)
            if setting.name in given:
                checkpoint = canonical(given[setting.name], heads=heads)
            else:
                done = subprocess.run(plan.pretraining(setting, seed), check=False)
                if done.returncode:
                    return done.returncode
                checkpoint = plan.folder(setting, seed) / "checkpoint.safetensors"
                convert(checkpoint.with_suffix(".pth"), checkpoint)
            if not _is_recorded(plan, setting, seed, checkpoint, data):
                _score(plan, setting, seed, checkpoint, data, started)
    return 0


def _is_recorded(plan: Plan, setting: Setting, seed: int, checkpoint: Path, data: dict) -> bool:
    own = (setting.name, seed, sha256_of(checkpoint), data)
    found = read_records(plan.out / "records")
    return own in [(r["run"].get("setting"), r["seed"], r["checkpoint"]["sha256"], r["data"]) for r in found]


def _score(plan: Plan, setting: Setting, seed: int, checkpoint: Path, data: dict, started: datetime.datetime) -> None:
    # The paper's figures are the published program's, which knows patch 16 only.
    protocol = "official" if read_canonical(checkpoint)[1].architecture.patch_size == 16 else "corrected"
    features = 9 * len(read_split(plan.root, "train", cache=plan.out / "index").images)
    ks = [k for k in KS if k <= features]
    pictures = plan.out / "pictures" / f"{setting.name}-seed{seed}"
    run = evaluate_checkpoint(
        checkpoint, plan.root, protocol, ks, plan.device, cache=plan.out / "index", pictures=pictures
    )
    metrics = {name: run.pop(name) for name in ("top1", "top5", "single_vote")}
    result = {"metrics": metrics, "run": {**run, "setting": setting.name, "overrides": list(setting.overrides)}}
    record = make_record(
        "knn", protocol, plan.scale, setting.name, checkpoint, data, result, seed, started, plan.device
    )
    write_record(plan.out / "records", record)
