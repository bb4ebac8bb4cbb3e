"""Semantic FPN of the appendix: several checkpoints and seeds, a record each, pictures, and one table."""

from __future__ import annotations

import dataclasses
import datetime
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import shapes
from benchmarks.ade20k.dataset import Ade20kRoot, open_ade20k
from benchmarks.ade20k.pictures import write_predictions
from benchmarks.ade20k.run import Options, config_file, run
from benchmarks.claim import claim
from benchmarks.engines import mmseg as engine
from benchmarks.engines.mmdet_launch import is_first_process
from benchmarks.errors import InputError
from benchmarks.files import sha256_of
from benchmarks.records import fingerprint, make_record, read_records, write_record
from benchmarks.tables.overview import cell

#: mIoU that others report for the released recipe. FLSL's own number is in its appendix, which could not be read.
ANCHORS = (("DINO", "ViT-S/16", 38.3), ("SelfPatch", "ViT-S/16", 41.2))
SOURCE = "README of alinlab/SelfPatch, released recipe"


def open_data(data_root: str | os.PathLike[str], scale: str) -> Ade20kRoot:
    """What is under ``data_root``; for scale ``mini`` the shapes world's, written there, if there is no ADE20K."""
    if scale == "mini" and not any((Path(data_root) / name).is_dir() for name in ("ade20k", "ADEChallengeData2016")):
        shapes.write_world(data_root, "demo", 0, ("ade20k",))
    return open_ade20k(data_root)


def plan(
    checkpoints: dict[str, Path], data: Ade20kRoot, scale: str, recipe: str, options: Options, seeds: Sequence[int]
) -> str:
    """What :func:`judge` would do, in words."""
    counts = ", ".join(f"{len(stems)} {split} images" for split, stems in data.stems.items())
    lines = [f"data: {data.path}, {counts}, {len(data.classes)} classes"]
    lines.append(f"config: {config_file(scale, recipe).name}, scale {scale}, recipe {recipe}")
    lines += [f"  {name} = {value}" for name, value in dataclasses.asdict(options).items()]
    lines += [f"run: {name} ({path}), seed {seed}" for name, path in checkpoints.items() for seed in seeds]
    return "\n".join(lines)


def judge(
    checkpoints: dict[str, Path],
    data: Ade20kRoot,
    out: Path,
    scale: str,
    recipe: str,
    options: Options,
    seeds: Sequence[int],
    launcher: str = "none",
    devices: int = 1,
) -> None:
    """Train, predict and score every checkpoint with every seed; ``out/records`` gets a record each."""
    if scale == "paper" and engine.device_name() == "cpu":
        raise InputError("scale paper needs a GPU and torch finds none here: --scale mini and --dry-run do without")
    facts = fingerprint(data.path, data.annotation_files())
    first = is_first_process()
    for name, checkpoint in checkpoints.items():
        for seed in seeds:
            started = datetime.datetime.now(datetime.timezone.utc)
            folder = out / f"{name}-{recipe}-seed{seed}"
            identity = {"checkpoint": sha256_of(checkpoint), "data": facts, "scale": scale, "seed": seed}
            claim(folder, {**identity, "recipe": recipe, "options": dataclasses.asdict(options)})
            result = run(checkpoint, data, folder, scale, recipe, options, seed, launcher, devices, progress=first)
            if first:
                protocol = f"semantic-fpn-{options.iterations} ({recipe})"
                device = engine.device_name()
                record = make_record("ade20k", protocol, scale, name, checkpoint, facts, result, seed, started, device)
                write_record(out / "records", record)


def report(checkpoints: dict[str, Path], data: Ade20kRoot, out: Path, recipe: str, seed: int) -> str:
    """Draw ``out/pictures/predictions-RECIPE.png`` from the runs with ``seed``; return the table of all records."""
    folders = {name: out / f"{name}-{recipe}-seed{seed}" / "predictions" for name in checkpoints}
    write_predictions(out / "pictures" / f"predictions-{recipe}.png", data, folders, engine.ade20k_palette())
    return text(read_records(out / "records"))


def text(records: list[dict[str, Any]]) -> str:
    """A line for each checkpoint, recipe and scale; of a seed that was run again the newest record counts."""
    groups: dict[tuple[str, str, str], dict[int, dict[str, Any]]] = {}
    for record in records:
        if record["benchmark"] == "ade20k":
            key = (record["name"], record["protocol"], record["scale"])
            groups.setdefault(key, {})[record["seed"]] = record
    rows = [["checkpoint", "protocol", "scale", "seeds", "mIoU", "mAcc", "aAcc"]]
    for key, by_seed in groups.items():
        metrics = [record["metrics"] for record in by_seed.values()]
        rows.append([*key, str(len(by_seed)), *(cell([m[name] for m in metrics]) for name in rows[0][4:])])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines.insert(1, "-" * max(map(len, lines)))
    lines += [f"reported by others: {method} {backbone} {value} mIoU ({SOURCE})" for method, backbone, value in ANCHORS]
    if any(record["scale"] == "mini" for record in records):
        lines.append("scale mini is not a reproduction of the paper")
    return "\n".join(lines)
