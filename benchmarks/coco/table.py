"""Tables 1 and 2: Mask R-CNN on COCO for several checkpoints and seeds, in either engine."""

from __future__ import annotations

import argparse
import dataclasses
import os
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import shapes
from benchmarks.checkpoints.card import Architecture, Card, ResNetArchitecture
from benchmarks.coco.check import require_pictures
from benchmarks.coco.dataset import CocoRoot, open_coco
from benchmarks.coco.engines import Engine, choose
from benchmarks.coco.pictures import write_detections, write_losses
from benchmarks.coco.recipe import Options, resolve
from benchmarks.coco.run import check_fit
from benchmarks.coco.scoring import BOX_SCORERS, NAMES, box_scorer
from benchmarks.errors import InputError
from benchmarks.files import read_json
from benchmarks.processes import is_first_process
from benchmarks.records import fingerprint
from benchmarks.tables import table1, table2
from benchmarks.tables.benchmark import Benchmark, Launch
from benchmarks.tables.jobs import Job, Setup, config_digest, expand
from benchmarks.tables.overview import cell
from benchmarks.tables.paper import Table
from benchmarks.tables.render import Sheet, plain

#: How much of the shapes world scale mini renders where there is no data: images and their longer side.
MINI_WORLD = {"train_images": 200, "val_images": 40, "size": 160}


class Coco(Benchmark):
    """One of the two tables; what differs between them is which experiment a checkpoint gets."""

    engines = ("mmdet", "detectron2")

    def __init__(self, table: Table) -> None:
        self.table = table

    def flags(self, parser: argparse.ArgumentParser) -> None:
        """A flag for each of :class:`Options`, the table's variant, and who scores the boxes."""
        if self.table is table1.TABLE:
            text = "ViT-S/16 with the 8 heads of the released config; a row of its own"
            parser.add_argument("--as-released", dest="variant", action="store_true", help=text)
        else:
            text = "with them, as detectron2's published config; a row of its own"
            parser.add_argument("--relative-positions", dest="variant", action="store_true", help=text)
        group = parser.add_argument_group("changes of the recipe (default: the config's)")
        kinds = typing.get_type_hints(Options)
        for field in dataclasses.fields(Options):
            kind = next(kind for kind in typing.get_args(kinds[field.name]) if kind is not type(None))
            group.add_argument(f"--{field.name.replace('_', '-')}", type=kind, help=field.metadata["help"])
        parser.add_argument("--boxes-by", choices=BOX_SCORERS, default=BOX_SCORERS[0], help="default: %(default)s")

    def open(self, args: argparse.Namespace, checkpoints: Mapping[str, Path]) -> list[Job]:
        """A job for each checkpoint and seed, its schedule resolved."""
        options = Options(**{field.name: getattr(args, field.name) for field in dataclasses.fields(Options)})
        if args.scale == "mini" and args.variant:
            raise InputError("the variants of the paper's tables are for --scale paper: leave the flag out for mini")
        self.scale, self.options, self.boxes_by = args.scale, options, args.boxes_by
        self.engine: Engine = choose(args.engine)
        box_scorer(args.boxes_by)
        self.data = open_data(args.data_root, args.scale)
        self.engine.require()
        facts = fingerprint(self.data.path, [self.data.annotations("train"), self.data.annotations("val")])
        variant = "" if not args.variant else "-8heads" if self.table is table1.TABLE else "-relpos"
        protocol = f"{self.table.benchmark}{variant}, {args.engine}{' (mini)' if args.scale == 'mini' else ''}"
        devices = args.gpus * args.nodes if args.launcher != "none" else 1
        # A plan for GPUs can be made anywhere.
        gpu = args.scale == "paper" or self.engine.device_name() != "cpu"

        def setup(checkpoint: Path, card: Card) -> Setup:
            config = self.engine.config(_experiment(self.table, args.scale, args.variant, card.architecture))
            experiment = self.engine.read_config(config)
            check_fit(experiment["expects"], card.architecture, checkpoint, config.name)
            schedule = resolve(experiment["recipe"], self.data.annotated_images, devices, options, gpu)
            chosen = {"config": config.name, "boxes_by": args.boxes_by, **dataclasses.asdict(options)}
            return Setup(protocol, config_digest(config), chosen, variant, (config.name, *schedule.lines()))

        return expand(self.table, args, checkpoints, facts, setup)

    def lines(self) -> list[str]:
        """The data."""
        d = self.data
        return [f"data: {d.path}, {d.train_images} training images, {d.val_images} validation images", *d.notes]

    def require(self) -> None:
        """The engine, and for scale paper a GPU."""
        self.engine.require()
        if self.scale == "paper" and self.engine.device_name() == "cpu":
            raise InputError("scale paper needs a GPU and torch finds none here: --scale mini and --dry-run do without")

    def run(self, job: Job, folder: Path, launch: Launch) -> dict[str, Any]:
        """Train, detect, score; detections stay in ``folder``."""
        return self.engine.run(
            job.checkpoint,
            self.data.path,
            folder,
            self.engine.config(Path(job.options["config"]).stem),
            seed=job.seed,
            progress=is_first_process(),
            options=self.options,
            launcher=launch.launcher,
            devices=launch.devices,
            boxes_by=self.boxes_by,
        )

    def device(self) -> str:
        """The engine's."""
        return self.engine.device_name()

    def draw(self, folders: Mapping[Job, Path], pictures: Path) -> None:
        """Detections and losses."""
        for job, folder in folders.items():
            found = read_json(folder / "detections.json")
            picture = pictures / f"detections-{job.label}.png"
            write_detections(picture, self.data.annotations("val"), self.data.path / "val2017", found)
        losses = {f"{job.name}, seed {job.seed}": folder / "losses.jsonl" for job, folder in folders.items()}
        write_losses(pictures / "losses.png", losses)

    def sheets(self, records: Sequence[Mapping[str, Any]]) -> list[Sheet]:
        """The paper's table, then all twelve numbers."""
        return [*super().sheets(records), twelve(self.table, records)]


def _experiment(table: Table, scale: str, variant: bool, a: Architecture | ResNetArchitecture) -> str:
    if table is table2.TABLE:
        return "mask_rcnn_vitdet_mini" if scale == "mini" else f"mask_rcnn_vitdet_b16{'_relpos' * variant}_100ep_coco"
    if isinstance(a, ResNetArchitecture):
        if scale == "mini" or variant:
            raise InputError("a ResNet has Table 1's own config at scale paper, and neither a miniature nor heads")
        return "mask_rcnn_r50_fpn_1x_coco"
    if scale == "mini":
        return "mask_rcnn_vit_fpn_mini"
    if variant:
        return "mask_rcnn_vit_s16_8heads_fpn_1x_coco"
    if (a.embed_dim, a.depth, a.num_heads) == (384, 12, 6) and a.patch_size in (8, 16):
        return f"mask_rcnn_vit_s{a.patch_size}_fpn_1x_coco"
    return "mask_rcnn_vit_fpn_1x_coco"


def open_data(data_root: str | os.PathLike[str], scale: str) -> CocoRoot:
    """All of COCO 2017 for scale ``paper``; for ``mini`` what is there, or else the shapes world's, written there."""
    root = Path(data_root)
    if scale == "mini" and not any((folder / "annotations").is_dir() for folder in (root, root / "coco")):
        shapes.write_coco(root, **MINI_WORLD)
    data = open_coco(root)
    if scale == "paper":
        data.require_whole()
    require_pictures(data)
    return data


def twelve(table: Table, records: Sequence[Mapping[str, Any]]) -> Sheet:
    """All six box and all six mask numbers of our runs, in percent; over seeds with their standard deviation.

    A dash stands where the data has no object of a size. Of a seed that was run again the newest record counts.
    """
    found: dict[tuple[str, ...], dict[int, Mapping[str, Any]]] = {}
    for record in records:
        if record["benchmark"] == table.benchmark:
            key = (record["name"], record["scale"], record.get("study", ""))
            found.setdefault(key, {})[record["seed"]] = record["metrics"]
    rows = []
    for (name, scale, _), seeds in found.items():
        for what, kind in (("box", "bbox"), ("mask", "segm")):
            values = [cell([metrics[f"{kind}/{measure}"] for metrics in seeds.values()]) for measure in NAMES]
            rows.append([name, scale, what, *values, str(len(seeds))])
    header = ["run", "scale", "", *NAMES, "seeds"]
    return plain(f"{table.stem}_twelve", "All twelve numbers, in percent", header, rows, left=3)
