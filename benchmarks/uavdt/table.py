"""Table 3: several checkpoints and seeds, a record each, pictures, and the paper's numbers beside ours."""

from __future__ import annotations

import datetime
import os
from collections.abc import Sequence
from pathlib import Path

from benchmarks import shapes
from benchmarks.claim import claim
from benchmarks.engines import mmdet as engine
from benchmarks.engines.mmdet_launch import is_first_process
from benchmarks.errors import InputError
from benchmarks.files import sha256_of
from benchmarks.records import fingerprint, make_record, read_records, write_record
from benchmarks.tables import paper
from benchmarks.tables.table3 import TABLE
from benchmarks.uavdt.dataset import UavdtRoot, open_uavdt
from benchmarks.uavdt.evaluation import PROTOCOL, evaluate
from benchmarks.uavdt.options import Options
from benchmarks.uavdt.pictures import attribute_panels, write_curves, write_frames
from benchmarks.uavdt.run import CONFIG, run


def open_data(data_root: str | os.PathLike[str], scale: str) -> UavdtRoot:
    """All of UAVDT for scale ``paper``; for ``mini`` what is there, or else the shapes world's, written there."""
    if scale == "mini" and not any((Path(data_root) / name).is_dir() for name in ("uavdt", "UAV-benchmark-M")):
        shapes.write_uavdt(data_root)
    return open_uavdt(data_root, whole=scale == "paper")


def plan(checkpoints: dict[str, Path], data: UavdtRoot, scale: str, options: Options, seeds: Sequence[int]) -> str:
    """What :func:`judge` would do, in words."""
    frames = {"training": sum(data.train.values()), "test": sum(data.test.values())}
    lines = [f"data: {data.path}, {frames['training']} training frames, {frames['test']} test frames"]
    lines.append(f"config: {CONFIG[scale].name}, scale {scale}")
    for name, entry in options.as_record().items():
        instead = f" (scale paper: {entry['paper_scale']})" if entry["value"] != entry["paper_scale"] else ""
        lines.append(f"  {name} = {entry['value']}{instead}: {entry['reason']}")
    lines += [f"run: {name} ({path}), seed {seed}" for name, path in checkpoints.items() for seed in seeds]
    return "\n".join(lines)


def judge(
    checkpoints: dict[str, Path],
    data: UavdtRoot,
    out: Path,
    scale: str,
    options: Options,
    seeds: Sequence[int],
    launcher: str = "none",
    devices: int = 1,
) -> None:
    """Train, detect and score every checkpoint with every seed; ``out/records`` gets a record each.

    Detections stay in ``out/<name>-seed<seed>/detections``, where an interrupted run also goes on.
    """
    if scale == "paper" and engine.device_name() == "cpu":
        raise InputError("scale paper needs a GPU and torch finds none here: --scale mini and --dry-run do without")
    first = is_first_process()
    facts = fingerprint(data.path, data.text_files())
    for name, checkpoint in checkpoints.items():
        for seed in seeds:
            started = datetime.datetime.now(datetime.timezone.utc)
            folder = out / f"{name}-seed{seed}"
            identity = {"checkpoint": sha256_of(checkpoint), "data": facts, "scale": scale, "seed": seed}
            claim(folder, {**identity, "options": options.as_record()})
            result = run(checkpoint, data, folder, scale, options, seed, launcher, devices, progress=first)
            if first:
                device = engine.device_name()
                record = make_record("uavdt", PROTOCOL, scale, name, checkpoint, facts, result, seed, started, device)
                write_record(out / "records", record)


def report(checkpoints: dict[str, Path], data: UavdtRoot, out: Path, seed: int) -> str:
    """Draw frames and curves into ``out/pictures`` from the runs with ``seed``; return the table of all records."""
    frames = [(name, number) for name, length in data.test.items() for number in (1 + length // 3, 1 + 2 * length // 3)]
    curves = {}
    for name in checkpoints:
        detections = out / f"{name}-seed{seed}" / "detections"
        found = evaluate(data.ground_truth, detections, list(data.test)).curves()
        curves[name] = found["all"]
        write_curves(out / "pictures" / f"curves-{name}.png", attribute_panels(found))
        write_frames(out / "pictures" / f"frames-{name}.png", data, detections, frames[:8])
    write_curves(out / "pictures" / "curves.png", {"test set": curves})
    return paper.text(TABLE, read_records(out / "records"))
