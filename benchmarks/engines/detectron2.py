"""detectron2 as an engine: its model, optimiser groups, mapper and post-processing under the house's loop.

detectron2 is on no package registry and is optional. Its own trainer is not used: it neither accumulates gradients nor
goes on with the same data, and it deletes snapshots by count.
"""

from __future__ import annotations

import contextlib
import copy
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from benchmarks.backbones.loading import load_exactly
from benchmarks.checkpoints.canonical import read_canonical
from benchmarks.devices import say_device
from benchmarks.engines.adaptation import Adaptation
from benchmarks.engines.chance import seed_all
from benchmarks.engines.detectron2_data import Draws, Numbered, mapper
from benchmarks.engines.pixels import pixel_statistics
from benchmarks.engines.schedule import Schedule
from benchmarks.errors import InputError
from benchmarks.files import atomic_path, require_file
from benchmarks.processes import PATIENCE
from benchmarks.progress import Progress

if TYPE_CHECKING:
    from benchmarks.coco.dataset import CocoRoot

#: Updates between two snapshots.
INTERVAL = 1000


def require_detectron2() -> None:
    """:class:`InputError` where detectron2 is missing."""
    try:
        import detectron2.modeling  # noqa: F401
    except ImportError as error:
        raise InputError(
            f"detectron2 cannot be used ({error}): see https://detectron2.readthedocs.io/tutorials/install.html, or "
            "take --engine mmdet"
        ) from error


def device_name() -> str:
    """The first GPU's name, or ``cpu``."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"


def read_config(config_file: str | os.PathLike[str]) -> Any:
    """A LazyConfig with ``recipe``, ``expects``, ``model``, ``optimizer`` and ``augmentations``."""
    require_detectron2()
    from detectron2.config import LazyConfig

    return LazyConfig.load(str(require_file(config_file, "config")))


def build(
    config: Any, checkpoint: str | os.PathLike[str], classes: int, adaptation: Adaptation | None = None
) -> torch.nn.Module:
    """The detector of ``config`` for a canonical checkpoint, every tensor of which it is proven to hold."""
    from detectron2.config import instantiate

    from benchmarks.engines.detectron2_network import fit, set_recomputing

    adaptation = adaptation or Adaptation()
    wanted = fit(config, checkpoint, adaptation)
    config.model.roi_heads.num_classes = classes
    config.model.pixel_mean, config.model.pixel_std = pixel_statistics(read_canonical(checkpoint)[1])
    model = instantiate(config.model)
    own = {name: value for name, value in model.backbone.net.state_dict().items() if ".rel_pos_" in name}
    load_exactly(model.backbone.net, {**own, **wanted}, where=f"detectron2's backbone, {checkpoint}")
    if adaptation.checkpointing:
        set_recomputing(model)
    return model.to("cuda" if torch.cuda.is_available() else "cpu")


def make_optimizer(
    config: Any, model: torch.nn.Module, learning_rate: float, adaptation: Adaptation | None = None
) -> torch.optim.Optimizer:
    """The config's optimiser with detectron2's own groups: layer decay by the ViT's depth, and its decay exceptions."""
    from detectron2.config import instantiate

    from benchmarks.engines.detectron2_network import layer_decay

    settings, adaptation = copy.deepcopy(config.optimizer), adaptation or Adaptation()
    settings.lr, settings.params.model = learning_rate, model
    rate = config.layer_decay.rate if adaptation.layer_decay is None else adaptation.layer_decay
    settings.params.lr_factor_func = layer_decay(model, rate)
    if adaptation.all_decay:
        settings.params.overrides, settings.params.weight_decay_norm = {}, None
    return instantiate(settings)


def train(
    config_file: str | os.PathLike[str],
    checkpoint: str | os.PathLike[str],
    out: str | os.PathLike[str],
    data: CocoRoot,
    schedule: Schedule,
    seed: int,
    resume: bool = True,
    progress: bool = True,
    launcher: str = "none",
    adaptation: Adaptation | None = None,
) -> tuple[torch.nn.Module, Any]:
    """Train; return the detector and its resolved config. A run that finds its own snapshot in ``out`` goes on."""
    from detectron2.utils.events import EventStorage

    rank, world = _processes(launcher)
    config = read_config(config_file)
    seed_all(seed, 0)
    model = build(config, checkpoint, len(data.classes), adaptation)
    optimizer = make_optimizer(config, model, schedule.learning_rate, adaptation)
    rates = [group["lr"] for group in optimizer.param_groups]
    scaler = torch.amp.GradScaler("cuda", enabled=schedule.precision == "fp16")
    out, snapshot, start = Path(out), Path(out) / "last.pth", 0
    if resume and snapshot.exists():
        state = torch.load(snapshot, map_location="cpu", weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        scaler.load_state_dict(state["scaler"])
        start = state["update"]
    images = Draws(data, out, config.augmentations.train, seed)
    sampler = Numbered(len(images), seed, start * schedule.batch, rank, world)
    workers = 4 if torch.cuda.is_available() else 0
    loader = iter(DataLoader(images, schedule.per_device, sampler=sampler, num_workers=workers, collate_fn=list))
    wrapped = _distributed(model, schedule) if world > 1 else model
    say_device()
    log = _Log(out, start, schedule.updates, progress, rank)
    model.train()
    with EventStorage(start):  # detectron2's heads count into it; nobody reads it here
        for update in range(start, schedule.updates):
            factor = lr_multiplier(update, schedule)
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * factor
            losses = _gradients(wrapped, loader, schedule, scaler, (seed, 2, update, rank))
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad(set_to_none=True)
            log.write(update + 1, losses)
            if rank == 0 and ((update + 1) % INTERVAL == 0 or update + 1 == schedule.updates):
                state = {
                    "model": model.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "scaler": scaler.state_dict(),
                }
                with atomic_path(snapshot) as temporary:
                    torch.save({**state, "update": update + 1}, temporary)
    log.close()
    return model, config


def lr_multiplier(update: int, schedule: Schedule) -> float:
    """The learning rate of the ``update``-th update (from 0), as a part of the whole: warm-up from 0.001, tenths."""
    warm = min(1.0, 0.001 + (1 - 0.001) * update / schedule.warm_up)
    return warm * 0.1 ** sum(update >= drop for drop in schedule.drops)


def _gradients(model, loader, schedule: Schedule, scaler, chance: tuple[int, ...]) -> dict[str, float]:
    """Accumulate the gradients of one update; the mean of each loss over its passes."""
    device = next(model.parameters()).device.type
    kind = {"fp16": torch.float16, "bf16": torch.bfloat16}.get(schedule.precision)
    totals: dict[str, float] = {}
    for number in range(schedule.accumulation):
        batch = next(loader)
        seed_all(*chance, number)
        last = number + 1 == schedule.accumulation
        alone = isinstance(model, DistributedDataParallel) and not last
        with model.no_sync() if alone else contextlib.nullcontext():
            with torch.autocast(device, kind, enabled=kind is not None):
                losses = model(batch)
            scaler.scale(sum(losses.values()) / schedule.accumulation).backward()
        for name, value in losses.items():
            totals[name] = totals.get(name, 0.0) + value.item() / schedule.accumulation
    return {**totals, "loss": sum(totals.values())}


class _Log:
    """A progress bar for people and ``losses.jsonl`` for machines, as in the other engine."""

    def __init__(self, out: Path, start: int, updates: int, progress: bool, rank: int) -> None:
        out.mkdir(parents=True, exist_ok=True)
        self.path, self.rank = out / "losses.jsonl", rank
        if rank == 0:
            kept = self.path.read_text().splitlines()[:start] if start and self.path.exists() else []
            self.path.write_text("".join(line + "\n" for line in kept))
        self.bar = Progress(total=updates, initial=start, desc="detector", unit="step", disable=not progress)

    def write(self, update: int, losses: dict[str, float]) -> None:
        if not abs(losses["loss"]) < float("inf"):
            raise FloatingPointError(f"the loss is {losses['loss']} at update {update}")
        if self.rank == 0:
            with open(self.path, "a", encoding="utf-8") as stream:
                stream.write(json.dumps({"iteration": update, **losses}) + "\n")
        self.bar.update()
        self.bar.set_postfix(loss=f"{losses['loss']:.3f}", refresh=False)

    def close(self) -> None:
        self.bar.close()


def detect(
    model: torch.nn.Module, config: Any, data: CocoRoot, out: str | os.PathLike[str], progress: bool = True
) -> list[dict[str, Any]]:
    """Detections on ``val2017`` in COCO's result format; several processes share the images, the first gets all.

    Where the data's own annotations are not for engines, those written in ``out`` are read, and their ids are given.
    """
    from detectron2.data import MetadataCatalog
    from detectron2.data.datasets import load_coco_json
    from detectron2.evaluation.coco_evaluation import instances_to_coco_json
    from detectron2.utils import comm

    name = f"house_val_{data.path}"
    with contextlib.redirect_stdout(None):
        entries = load_coco_json(str(data.engine_file("val", out)), str(data.path / "val2017"), name)
    ids = getattr(MetadataCatalog.get(name), "thing_dataset_id_to_contiguous_id", None)
    own = {label: category for category, label in ids.items()} if ids else {}
    prepare, mine = mapper(config.augmentations.test, training=False), entries[comm.get_rank() :: comm.get_world_size()]
    model.eval()
    found: list[dict[str, Any]] = []
    for entry in Progress(mine, desc="detections", unit="image", disable=not progress):
        with torch.inference_mode():
            instances = model([prepare(entry)])[0]["instances"].to("cpu")
        for detection in instances_to_coco_json(instances, entry["image_id"]):
            found.append({**detection, "category_id": own.get(detection["category_id"], detection["category_id"])})
    gathered = comm.gather(found)
    return [detection for part in gathered for detection in part] if comm.get_rank() == 0 else []


def _processes(launcher: str) -> tuple[int, int]:
    """This process's number and how many there are; joins them."""
    if launcher == "slurm":
        raise InputError("detectron2 runs under --launcher none or torchrun here: start torchrun inside the allocation")
    if launcher == "none":
        return 0, 1
    gpu = torch.cuda.is_available()
    if gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group("nccl" if gpu else "gloo", timeout=PATIENCE)
    from detectron2.utils import comm

    comm.create_local_process_group(int(os.environ["LOCAL_WORLD_SIZE"]))
    return torch.distributed.get_rank(), torch.distributed.get_world_size()


def _distributed(model: torch.nn.Module, schedule: Schedule) -> DistributedDataParallel:
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else None
    wrapped = DistributedDataParallel(model, device_ids=devices, broadcast_buffers=False)
    if schedule.precision == "fp16":  # ViTDet's own setting
        from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import fp16_compress_hook

        wrapped.register_comm_hook(None, fp16_compress_hook)
    return wrapped
