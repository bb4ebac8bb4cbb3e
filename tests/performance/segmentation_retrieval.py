"""Retrieval beside open-hummingbird's way of computing it, and its cost as the bank grows: time and peak memory.

    python tests/performance/segmentation_retrieval.py --json FILE [--train 256 --val 128 --classes 151 --memory 10240]
    python tests/performance/segmentation_retrieval.py --bank --json FILE [--rows 50000 100000 200000 --width 1024]

Both ways read the same random features and label maps from files; the network takes no part. Open-hummingbird's is
rebuilt from its description: one-hot labels of every pixel of a batch of 64 images, a memory of fp32 features and class
fractions, and for each batch the similarities with the whole memory, the neighbours' features and fractions gathered,
and a softmax over cosines that are computed again. Its approximate search (ScaNN) is a matrix product here, as exact
as ours, so that both must give the same answers. Each way runs in a process of its own.

With --bank a bank on disk is searched with the same queries at several sizes: time should grow with the rows, memory
not. What 10 million rows take follows from the slope.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment

from benchmarks.files import write_json
from benchmarks.segmentation import bank as banks
from benchmarks.segmentation import geometry, retrieval
from benchmarks.segmentation.scoring import Score
from benchmarks.segmentation.search import nearest_rows

PATCH, GRID, BATCH, NEIGHBOURS, TEMPERATURE = 16, 14, 64, 30, 0.02
TOKENS, SIDE = GRID * GRID, GRID * PATCH


def images(first: int, count: int, width: int, classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Features fp32 ``[n, tokens, D]`` and label maps uint8 ``[n, side, side]`` of images ``first`` and on."""
    features, labels = [], []
    centres = torch.randn(classes, width, generator=torch.Generator().manual_seed(0))
    for number in range(first, first + count):
        rng = torch.Generator().manual_seed(1000 + number)
        coarse = torch.randint(0, classes, (1, 1, 5, 5), generator=rng).float()
        maps = F.interpolate(coarse, size=(SIDE, SIDE), mode="nearest")[0, 0].byte()
        middle = maps[PATCH // 2 :: PATCH, PATCH // 2 :: PATCH].reshape(-1).long()
        features.append(centres[middle] + torch.randn(TOKENS, width, generator=rng))
        labels.append(maps)
    return torch.stack(features), torch.stack(labels)


def write_images(folder: Path, a: argparse.Namespace) -> None:
    """Both splits as files."""
    for split, first, count in (("train", 0, a.train), ("val", 10**6, a.val)):
        for name, tensor in zip(("x", "y"), images(first, count, a.width, a.classes), strict=True):
            np.save(folder / f"{split}-{name}.npy", tensor.numpy())


def read_images(folder: Path, split: str, first: int, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Some images of a split."""
    parts = (np.load(folder / f"{split}-{name}.npy", mmap_mode="r")[first : first + count] for name in ("x", "y"))
    x, y = (torch.from_numpy(np.array(part)) for part in parts)
    return x, y


def rebuilt(a: argparse.Namespace, folder: Path, seed: int) -> np.ndarray:
    """Open-hummingbird's way: the label maps of the validation images."""
    each = a.memory // a.train
    features = torch.zeros(each * a.train, a.width)
    labels = torch.zeros(each * a.train, a.classes)
    at, numbers = 0, torch.Generator().manual_seed(seed)
    for first in range(0, a.train, BATCH):
        x, y = read_images(folder, "train", first, min(BATCH, a.train - first))
        cells = geometry.patches(y.long(), PATCH)
        fractions = F.one_hot(cells, a.classes).float().mean(dim=2)
        for one, own in zip(x, fractions, strict=True):
            index = retrieval.drawn(own > 0, each, numbers)
            features[at : at + each] = one[index] / one[index].norm(dim=1, keepdim=True)
            labels[at : at + each] = own[index]
            at += each
    said, truth = [], []
    for first in range(0, a.val, BATCH):
        x, y = read_images(folder, "val", first, min(BATCH, a.val - first))
        flat = x.flatten(0, 1)
        index = (flat @ features.T).topk(NEIGHBOURS, dim=1).indices
        keys = features.index_select(0, index.flatten()).view(len(flat), NEIGHBOURS, -1)
        values = labels.index_select(0, index.flatten()).view(len(flat), NEIGHBOURS, -1)
        query, keys = F.normalize(flat, dim=-1), F.normalize(keys, dim=-1)
        weights = (torch.bmm(query[:, None], keys.transpose(1, 2))[:, 0] / TEMPERATURE).softmax(dim=-1)
        answers = torch.bmm(weights[:, None], values)[:, 0]
        maps = answers.view(len(x), GRID, GRID, -1).permute(0, 3, 1, 2)
        said.append(F.interpolate(maps, size=(SIDE, SIDE), mode="bilinear").argmax(dim=1))
        truth.append(y.long())
    everything, right = torch.cat(said), torch.cat(truth)
    counts = torch.bincount((right * a.classes + everything).flatten(), minlength=a.classes**2)
    both = counts.view(a.classes, a.classes).double()
    linear_sum_assignment(1 - both / (both.sum(1, keepdim=True) + both.sum(0, keepdim=True) - both).clamp(min=1e-8))
    everything.flatten().tolist()  # the program returns every pixel's answer as a Python list
    return everything.byte().numpy()


def ours(a: argparse.Namespace, folder: Path, seed: int) -> np.ndarray:
    """The suite's way, image by image as its task goes."""
    each, numbers = a.memory // a.train, torch.Generator().manual_seed(seed)

    def parts():
        for number in range(a.train):
            x, y = read_images(folder, "train", number, 1)
            cells = geometry.patches(y, PATCH)[0]
            index = retrieval.drawn(geometry.fractions(cells, a.classes, "first") > 0, each, numbers)
            yield F.normalize(x[0][index], dim=1), cells[index]

    memory = banks.build(parts(), each * a.train, a.width, PATCH * PATCH)
    score, said = Score(tuple(map(str, range(a.classes)))), []
    for first in range(0, a.val, BATCH):
        x, y = read_images(folder, "val", first, min(BATCH, a.val - first))
        answers = retrieval.answer(x.flatten(0, 1), memory, NEIGHBOURS, TEMPERATURE, a.classes, "first")
        for own, truth in zip(answers.split(TOKENS), y, strict=True):
            said.append(retrieval.label_map(own, (GRID, GRID), (SIDE, SIDE)).byte().numpy())
            score.add(truth.numpy(), said[-1])
    score.result("zero", "out", "hungarian")
    return np.stack(said)


def measured(way, *arguments) -> tuple[dict[str, float], object]:
    """Processor seconds and peak memory (MiB, above what was there before) of ``way`` in a fresh process."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_inside, (way, arguments))


def _inside(way, arguments):
    torch.set_num_threads(1)
    before, start, wall = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time(), time.monotonic()
    found = way(*arguments)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    cost = {"seconds": time.process_time() - start, "wall": time.monotonic() - wall, "MiB": peak / 1024}
    return {name: round(value, 2) for name, value in cost.items()}, found


def write_bank(folder: Path, rows: int, width: int) -> int:
    """A bank of random rows on disk."""
    torch.set_num_threads(1)

    def parts():
        rng = torch.Generator().manual_seed(0)
        for start in range(0, rows, 10_000):
            count = min(10_000, rows - start)
            yield torch.randn(count, width, generator=rng), torch.zeros(count, 1, dtype=torch.uint8)

    return len(banks.build(parts(), rows, width, 1, folder))


def search(folder: Path, queries: int) -> int:
    """Search it."""
    opened = banks.opened(folder)
    asked = torch.randn(queries, opened.features.width, generator=torch.Generator().manual_seed(1))
    return int(nearest_rows(asked, opened, NEIGHBOURS, "cosine")[1].sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("train", 256), ("val", 128), ("classes", 151), ("width", 384), ("memory", 10_240)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--bank", action="store_true")
    parser.add_argument("--rows", type=int, nargs="+", default=[50_000, 100_000, 200_000])
    parser.add_argument("--queries", type=int, default=1024)
    parser.add_argument("--json")
    a = parser.parse_args()
    if a.bank:
        found = {}
        for rows in a.rows:
            with tempfile.TemporaryDirectory() as folder:
                wrote, _ = measured(write_bank, Path(folder), rows, a.width)
                found[rows] = {"write": wrote, "search": measured(search, Path(folder), a.queries)[0]}
            print(rows, json.dumps(found[rows]), flush=True)
    else:
        with tempfile.TemporaryDirectory() as folder:
            measured(write_images, Path(folder), a)
            (slow, one), (fast, other) = (measured(way, a, Path(folder), 0) for way in (rebuilt, ours))
        found = {
            "rebuilt": slow, "ours": fast, "speed": round(slow["seconds"] / fast["seconds"], 2),
            "memory": round(slow["MiB"] / fast["MiB"], 2), "pixels_equal": float((one == other).mean()),
        }  # fmt: skip
        print(json.dumps(found, indent=2))
    if a.json:
        write_json(a.json, found)


if __name__ == "__main__":
    main()
