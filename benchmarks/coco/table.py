"""Tables 1 and 2: several checkpoints and seeds, a record each, pictures, and the paper's numbers beside ours."""

from __future__ import annotations

import dataclasses
import datetime
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import shapes
from benchmarks.checkpoints.canonical import read_canonical
from benchmarks.checkpoints.card import Architecture, ResNetArchitecture
from benchmarks.claim import claim
from benchmarks.coco.dataset import CocoRoot, open_coco
from benchmarks.coco.engines import Engine, choose
from benchmarks.coco.pictures import write_detections, write_losses
from benchmarks.coco.recipe import Options, resolve
from benchmarks.coco.run import check_fit
from benchmarks.coco.scoring import NAMES
from benchmarks.engines.mmdet_launch import is_first_process
from benchmarks.errors import InputError
from benchmarks.files import read_json, sha256_of
from benchmarks.records import fingerprint, make_record, read_records, write_record
from benchmarks.tables import paper, table1, table2
from benchmarks.tables.overview import cell

#: How much of the shapes world scale mini renders where there is no data: images and their longer side.
MINI_WORLD = {"train_images": 200, "val_images": 40, "size": 160}


@dataclass(frozen=True)
class Study:
    """One of the two tables with everything that a command line chose."""

    table: paper.Table
    scale: str
    engine: Engine
    options: Options
    as_released: bool = False  # Table 1: eight heads over weights that were trained with six
    relative_positions: bool = False  # Table 2
    boxes_by: str = "pycocotools"

    def config(self, architecture: Architecture | ResNetArchitecture) -> Path:
        """The experiment for a checkpoint; :class:`InputError` where there is none."""
        return self.engine.config(_experiment(self, architecture))

    def name(self, checkpoint: str) -> str:
        """What a checkpoint's runs are called; a variant never shares its row with the right one."""
        return checkpoint + ("-8heads" if self.as_released else "") + ("-relpos" if self.relative_positions else "")

    @property
    def protocol(self) -> str:
        variant = "-8heads" if self.as_released else "-relpos" if self.relative_positions else ""
        return f"{self.table.benchmark}{variant}, {self.engine.name}" + (" (mini)" if self.scale == "mini" else "")


def _experiment(study: Study, a: Architecture | ResNetArchitecture) -> str:
    if study.table is table2.TABLE:
        if study.scale == "mini":
            return "mask_rcnn_vitdet_mini"
        return f"mask_rcnn_vitdet_b16{'_relpos' if study.relative_positions else ''}_100ep_coco"
    if isinstance(a, ResNetArchitecture):
        if study.scale == "mini" or study.as_released:
            raise InputError("a ResNet has Table 1's own config at scale paper, and neither a miniature nor heads")
        return "mask_rcnn_r50_fpn_1x_coco"
    if study.scale == "mini":
        return "mask_rcnn_vit_fpn_mini"
    if study.as_released:
        return "mask_rcnn_vit_s16_8heads_fpn_1x_coco"
    if (a.embed_dim, a.depth, a.num_heads) == (384, 12, 6) and a.patch_size in (8, 16):
        return f"mask_rcnn_vit_s{a.patch_size}_fpn_1x_coco"
    return "mask_rcnn_vit_fpn_1x_coco"


def make_study(number: int, scale: str, engine: str, options: Options, **variant: Any) -> Study:
    """The study of Table ``number``; :class:`InputError` for variants that do not exist."""
    table = {1: table1.TABLE, 2: table2.TABLE}[number]
    study = Study(table, scale, choose(engine), options, **variant)
    if scale == "mini" and (study.as_released or study.relative_positions):
        raise InputError("the variants of the paper's tables are for --scale paper: leave the flag out at scale mini")
    return study


def open_data(data_root: str | os.PathLike[str], scale: str) -> CocoRoot:
    """All of COCO 2017 for scale ``paper``; for ``mini`` what is there, or else the shapes world's, written there."""
    root = Path(data_root)
    if scale == "mini" and not any((folder / "annotations").is_dir() for folder in (root, root / "coco")):
        shapes.write_coco(root, **MINI_WORLD)
    data = open_coco(root)
    if scale == "paper":
        data.require_whole()
    return data


def plan(study: Study, checkpoints: dict[str, Path], data: CocoRoot, seeds: Sequence[int], devices: int) -> str:
    """What :func:`judge` would do, in words; every check of it that needs no training is made."""
    lines = [f"data: {data.path}, {data.train_images} training images, {data.val_images} validation images"]
    for name, checkpoint in checkpoints.items():
        architecture = read_canonical(checkpoint)[1].architecture
        config = study.config(architecture)
        experiment = study.engine.read_config(config)
        check_fit(experiment["expects"], architecture, checkpoint, config.name)
        # A plan for GPUs can be made anywhere.
        gpu = study.scale == "paper" or study.engine.device_name() != "cpu"
        schedule = resolve(experiment["recipe"], data.annotated_images, devices, study.options, gpu)
        lines.append(f"{study.name(name)} ({checkpoint}): {study.engine.name}, {config.name}")
        lines += [f"  {line}" for line in schedule.lines()]
        lines += [f"  run: {study.name(name)}, seed {seed}" for seed in seeds]
    return "\n".join(lines)


def judge(
    study: Study,
    checkpoints: dict[str, Path],
    data: CocoRoot,
    out: Path,
    seeds: Sequence[int],
    launcher: str = "none",
    devices: int = 1,
) -> None:
    """Train, detect and score every checkpoint with every seed; ``out/records`` gets a record each.

    Detections stay in ``out/<name>-seed<seed>``, where an interrupted run also goes on.
    """
    if study.scale == "paper" and study.engine.device_name() == "cpu":
        raise InputError("scale paper needs a GPU and torch finds none here: --scale mini and --dry-run do without")
    plan(study, checkpoints, data, seeds, devices)
    first = is_first_process()
    facts = fingerprint(data.path, [data.annotations("train"), data.annotations("val")])
    for name, checkpoint in checkpoints.items():
        config = study.config(read_canonical(checkpoint)[1].architecture)
        for seed in seeds:
            started = datetime.datetime.now(datetime.timezone.utc)
            folder = out / f"{study.name(name)}-seed{seed}"
            identity = {"checkpoint": sha256_of(checkpoint), "data": facts, "config": config.name, "seed": seed}
            if first:
                claim(folder, {**identity, "protocol": study.protocol, "options": dataclasses.asdict(study.options)})
            result = study.engine.run(
                checkpoint,
                data.path,
                folder,
                config,
                seed=seed,
                progress=first,
                options=study.options,
                launcher=launcher,
                devices=devices,
                boxes_by=study.boxes_by,
            )
            if first:
                device, benchmark = study.engine.device_name(), study.table.benchmark
                write_record(
                    out / "records",
                    make_record(
                        benchmark, study.protocol, study.scale, study.name(name), checkpoint, facts, result, seed,
                        started, device,
                    ),
                )  # fmt: skip


def report(study: Study, checkpoints: dict[str, Path], data: CocoRoot, out: Path, seed: int) -> str:
    """Draw detections and losses into ``out/pictures`` from the runs with ``seed``; return all records' tables."""
    losses = {}
    for name in map(study.name, checkpoints):
        folder = out / f"{name}-seed{seed}"
        losses[name] = folder / "losses.jsonl"
        picture = out / "pictures" / f"detections-{name}.png"
        write_detections(picture, data.annotations("val"), data.path / "val2017", read_json(folder / "detections.json"))
    write_losses(out / "pictures" / "losses.png", losses)
    records = read_records(out / "records")
    return f"{paper.text(study.table, records)}\n\n{twelve(study.table.benchmark, records)}"


def twelve(benchmark: str, records: Sequence[dict[str, Any]]) -> str:
    """All six box and all six mask numbers of our runs, in percent; over seeds with their standard deviation.

    A dash stands where the data has no object of a size. Of a seed that was run again the newest record counts.
    """
    found: dict[tuple[str, str], dict[int, dict[str, Any]]] = {}
    for record in records:
        if record["benchmark"] == benchmark:
            found.setdefault((record["scale"], record["name"]), {})[record["seed"]] = record["metrics"]
    rows = [["run", "scale", "seeds", "", *NAMES]]
    for (scale, name), seeds in found.items():
        for what, kind in (("box", "bbox"), ("mask", "segm")):
            values = [cell([metrics[f"{kind}/{measure}"] for metrics in seeds.values()]) for measure in NAMES]
            rows.append([name, scale, str(len(seeds)), what, *values])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
