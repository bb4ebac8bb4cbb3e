"""Pretraining's promises on the device: a killed run goes on, and two processes are one with the double batch."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from device_parts.book import Row, Size
from pretrain.config import config_from_dict
from pretrain.trainer import Trainer

MODEL = {"embed_dim": 64, "depth": 2, "num_heads": 2, "patch_size": 8, "image_size": 48, "clusters": 64}
MODEL |= {"head_hidden_dim": 64, "head_bottleneck_dim": 32}
RUN = {"batch": 4, "log_every": 1, "snapshot_steps": 1, "tensorboard": False, "picture_epochs": 0, "export": "none"}


def resume(size: Size) -> Iterator[Row]:
    """One row: SIGKILL after the second step, then the same command; beside a run that nothing disturbed."""
    images = _images(size.folder)
    epochs = 2 if size.tiny else 10
    _alone(lambda: _train(images, size.folder / "whole", epochs))
    killed = _started(lambda: _train(images, size.folder / "killed", epochs))
    log = size.folder / "killed" / "log.jsonl"
    while killed.is_alive() and (not log.exists() or log.read_bytes().count(b"\n") < 2):
        time.sleep(0.005)
    if killed.is_alive():
        os.kill(killed.pid, signal.SIGKILL)
    killed.join()
    at = log.read_bytes().count(b"\n")
    _alone(lambda: _train(images, size.folder / "killed", epochs))
    one, other = (_outcome(size.folder / name) for name in ("whole", "killed"))
    yield {
        "precision": "bf16",
        "steps_count": len(one[1]),
        "killed_after_count": at,
        "same_to_the_bit": one[1] == other[1] and all(torch.equal(one[0][k], other[0][k]) for k in one[0]),
        "largest_difference_of_a_loss_ratio": _losses_apart(one[1], other[1]),
    }


def two_processes(size: Size) -> Iterator[Row]:
    """One row: two processes, each with a GPU of its own where there are two (NCCL), else both on one (gloo)."""
    images = _images(size.folder)
    _alone(lambda: _train(images, size.folder / "one", 2, batch=8, precision="fp32"))
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    for rank in (pair := [_started(lambda r=r: _rank(r, port, images, size.folder / "two")) for r in (0, 1)]):
        rank.join()
    if codes := [process.exitcode for process in pair if process.exitcode]:
        raise RuntimeError(f"a process of the two ended with exit code {codes[0]}")
    one, other = (_outcome(size.folder / name)[1] for name in ("one", "two"))
    yield {
        "backend": (size.folder / "backend").read_text(),
        "processes_count": 2,
        "steps_count": len(one),
        "largest_difference_of_a_loss_ratio": _losses_apart(one, other),
    }


def _train(images: Path, out: Path, epochs: int, batch: int = 4, precision: str = "bf16") -> None:
    run = {**RUN, "out": str(out), "epochs": epochs, "batch": batch, "precision": precision}
    data = {"root": str(images), "workers": 0}
    Trainer(config_from_dict({"model": MODEL, "views": {"local_size": 24}, "data": data, "run": run}, "device")).run()


def _rank(rank: int, port: int, images: Path, out: Path) -> None:
    import torch.distributed as dist

    devices = torch.cuda.device_count()
    own = str(rank if devices > 1 else 0)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": own, "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    if devices < 2:
        dist.init_process_group("gloo")  # NCCL refuses two processes on one GPU
    _train(images, out, 2, precision="fp32")
    if rank == 0:
        (out.parent / "backend").write_text(dist.get_backend())
    dist.destroy_process_group()


def _images(folder: Path) -> Path:
    """Eight images of noise: two steps of four an epoch."""
    images, rng = folder / "images", np.random.default_rng(0)
    images.mkdir()
    for index in range(8):
        Image.fromarray(rng.integers(0, 255, (60, 80, 3), dtype=np.uint8)).save(images / f"{index}.png")
    return images


def _started(work: Callable[[], None]) -> multiprocessing.Process:
    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    return process


def _alone(work: Callable[[], None]) -> None:
    process = _started(work)
    process.join()
    if process.exitcode:
        raise RuntimeError(f"a run of pretraining ended with exit code {process.exitcode}")


def _outcome(out: Path) -> tuple[dict[str, torch.Tensor], list[dict]]:
    """The student, and the log."""
    state = torch.load(out / "checkpoint.pth", weights_only=True, map_location="cpu")
    return state["student"], [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def _losses_apart(one: list[dict], other: list[dict]) -> float:
    """The largest difference of a step's loss, relative to the loss."""
    pairs = [(a["total"], b["total"]) for a, b in zip(one, other, strict=True)]
    return max(abs(a - b) / abs(a) for a, b in pairs)
