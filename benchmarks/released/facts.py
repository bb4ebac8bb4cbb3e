"""What tensors do not say of a fine-tuned network, with who says it: the file, the user, or the layout's program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.checkpoints.card import Architecture
from benchmarks.errors import InputError
from benchmarks.released.layouts import Layout
from benchmarks.released.reading import FineTuned


@dataclass(frozen=True)
class Fact:
    """A value and its source: ``file``, ``user`` or ``table`` (the layout's own program)."""

    value: Any
    source: str
    remark: str = ""

    def __str__(self) -> str:
        words = {
            "file": "says the file",
            "user": "your word",
            "table": "of the layout's own config; the file is silent",
        }
        return f"{self.value} ({words[self.source]}{f'; {self.remark}' if self.remark else ''})"


def heads_of(file: FineTuned, layout: Layout, asked: int | None) -> Fact:
    """The number of attention heads, which no tensor tells."""
    own = file.backbone.get("num_heads")
    said = own if isinstance(own, int) and not isinstance(own, bool) else None
    if asked is not None:
        remark = "the file says nothing" if said is None else f"the file says {said}"
        return Fact(asked, "user", remark)
    if said is not None:
        return Fact(said, "file")
    width = int(file.tensors[layout.mark].shape[0])
    if width not in layout.heads:
        raise InputError(f"{file.path}: nobody says how many heads a network of width {width} has: give --heads")
    return Fact(layout.heads[width], "table")


def taps_of(file: FineTuned, layout: Layout, usual: tuple[int, ...]) -> Fact:
    """The blocks whose maps make the pyramid; ``usual`` is the house's choice for the depth."""
    own = file.backbone.get("out_indices")
    if isinstance(own, list) and own and all(isinstance(tap, int) for tap in own):
        return Fact(tuple(own), "file")
    return Fact(usual, "table")


def classes_of(file: FineTuned, number: int, data: tuple[str, ...], official: tuple[str, ...], same: bool) -> Fact:
    """Whether the classes of the file are those of the data, in its order; :class:`InputError` where nobody says so.

    ``official``: those of the program's data set, in its order. ``same``: the user says so.
    """
    if number != len(data):
        raise InputError(f"{file.path} knows {number} classes and the data has {len(data)}: score it on its own data")
    if file.classes is not None:
        odd = [f"{a} for {b}" for a, b in zip(file.classes, data, strict=False) if a != b]
        if not odd and len(file.classes) == number:
            return Fact(number, "file")
        if not same:
            raise InputError(
                f"{file.path} names {len(odd)} of its {len(file.classes)} classes otherwise than the data or in "
                f"another order ({', '.join(odd[:3])}): score it on its own data, or say --same-classes"
            )
    if same:
        return Fact(number, "user")
    if data != official:
        raise InputError(
            f"{file.path} does not name its {number} classes and the data's are not the published ones: "
            "--same-classes says that they are the data's, in its order"
        )
    return Fact(number, "table")


def windows_of(backbone: Mapping[str, torch.Tensor], a: Architecture, whole: tuple[int, ...], where: str) -> dict:
    """Of a ViTDet: whether it has relative positions, and for which window (tokens) and image (pixels).

    Their tables tell: one entry for each distance. Empty without them. :class:`InputError` where the blocks with and
    without windows are not ViTDet's.
    """
    lengths = {
        index: int(table.shape[0])
        for index in range(a.depth)
        if (table := backbone.get(f"blocks.{index}.attn.rel_pos_h")) is not None
    }
    if not lengths:
        return {}
    inside = {length for index, length in lengths.items() if index not in whole}
    over = {length for index, length in lengths.items() if index in whole}
    if len(lengths) != a.depth or len(inside) != 1 or len(over) != 1 or not all(n % 2 for n in inside | over):
        raise InputError(
            f"{where}: its relative positions are not those of a ViTDet of {a.depth} blocks whose blocks "
            f"{', '.join(map(str, whole))} see the whole image"
        )
    return {"window": (inside.pop() + 1) // 2, "image_size": (over.pop() + 1) // 2 * a.patch_size}
