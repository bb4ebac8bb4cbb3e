"""What a conversion proves before anything is written: names, shapes, types and values."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import torch

from benchmarks.checkpoints.formats.family import Family, Finder, Taken
from benchmarks.checkpoints.names import Tensors
from benchmarks.errors import InputError

#: A batch norm's count of training batches: the only tensor that is no weight.
COUNTER = ".num_batches_tracked"


def check(tensors: Tensors, expected: Mapping[str, tuple[int, ...]], taken: Taken, family: Family) -> None:
    """Every tensor of the network is there once with its shape, a floating type and finite values."""
    if missing := sorted(expected.keys() - tensors.keys()):
        raise InputError(f"{missing[0]} is missing ({len(missing)} tensors in all): the file is cut or mixed up")
    if extra := sorted(tensors.keys() - expected.keys()):
        source = next(iter(tensors.parts(extra[0])), extra[0])
        raise InputError(
            f"{taken.source_names.get(source, source)} does not fit a {family.method} network as the other tensors "
            f"describe it ({len(extra)} such)"
        )
    for name, shape in expected.items():
        tensor = tensors[name]
        if tensor.ndim == 2 and min(tensor.shape) > 1 and tensor.stride() == (1, tensor.shape[0]):
            raise InputError(f"{name} is stored transposed, as no training program does: save a contiguous copy")
        if tuple(tensor.shape) != shape:
            raise InputError(f"{name} has shape {list(tensor.shape)}, but the other tensors ask for {list(shape)}")
        if name.endswith(COUNTER):
            if tensor.dtype != torch.int64:
                raise InputError(f"{name} holds {tensor.dtype}, not a count")
            continue
        if not tensor.is_floating_point() or tensor.dtype.itemsize < 2:
            raise InputError(f"{name} holds {tensor.dtype}, not weights in floating point")
        if not is_finite(tensor):
            raise InputError(f"{name} holds NaN or infinite values: the training had failed, or the file is damaged")
        if name.endswith("running_var") and (tensor < 0).any():
            raise InputError(f"{name} holds negative variances: the file is damaged")


def is_finite(tensor: torch.Tensor) -> bool:
    """Whether every value is finite; one pass without a temporary, where ``torch.isfinite`` takes several."""
    low, high = torch.aminmax(tensor)
    return math.isfinite(low) and math.isfinite(high)


def compare_depths(family: Family, taken: Taken, finder: Finder, depth: int) -> None:
    """:class:`InputError` when another branch of the file has another number of blocks, or there is one alone."""
    if depth < 2:
        raise InputError("this ViT has a single block, which no method publishes: the file is cut")
    for place in family.places:
        if place.branch == taken.place.branch or (other := finder.take(place, family.layout)) is None:
            continue
        blocks = {int(m[1]) for n in other.tensors if (m := re.match(r"(?:blocks|layers)\.(?:\d+\.)?(\d+)\.", n))}
        if blocks and max(blocks) + 1 != depth:
            raise InputError(
                f"the branch {place.branch} has {max(blocks) + 1} blocks, {taken.place.branch} has {depth}: "
                "the file is cut"
            )
