"""The state dicts of published detectors and segmenters, and the house's names for every tensor in them.

Sources: alinlab/SelfPatch @ 81aef14 (``detection/backbone/vit_SelfPatch.py`` and ``configs``, mmdet 2;
``segmentation/backbones/vit_SelfPatch.py`` and ``configs``, mmseg 0), facebookresearch/detectron2 @ 02b5c4e2
(``projects/ViTDet``). A file is of a layout or it is refused: every tensor has its place, and every place its tensor.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch

from benchmarks.backbones.pyramid import STRIDES
from benchmarks.checkpoints.card import DINO_RESIZE, SIZE_RESIZE, Architecture, ResizeRule
from benchmarks.engines.detectron2_names import COUNTED, PLAIN
from benchmarks.errors import InputError


@dataclass(frozen=True)
class Layout:
    """One program's names.

    ``mark`` is the patch projection's name, which with ``also`` tells a file of this layout. ``house`` gives the
    house's name of a tensor, for a patch size; "" for one that is no weight. ``heads``: of the program's config, by
    width; ``taps``: of the config as well.
    """

    name: str
    detector: str
    mark: str
    also: str
    house: Callable[[str, int], str]
    network: str  # how the house's names of the backbone begin
    heads: Mapping[int, int]
    resize: ResizeRule
    taps: tuple[int, ...] = ()

    def fits(self, names: Iterable[str]) -> bool:
        """Whether a file with tensors of these names is meant to be of this layout."""
        known = set(names)
        return self.mark in known and any(name.startswith(self.also) for name in known)


def _selfpatch_detector(name: str, patch: int) -> str:
    level = re.fullmatch(r"backbone\.fpn([1-4])\.(\d+)\.(.+)", name)
    if level:
        number = int(level[1]) - 1
        alone = round(math.log2(patch / STRIDES[number])) == 1  # the house has no sequence of one
        return f"backbone.pyramid.levels.{number}.{level[3] if alone else f'{level[2]}.{level[3]}'}"
    return re.sub(r"^backbone\.", "backbone.vit.", name)


_MMSEG = (
    (r"^backbone\.", "backbone.network."),
    (r"\.patch_embed\.projection\.", ".patch_embed.proj."),
    (r"\.layers\.(\d+)\.ln([12])\.", r".blocks.\1.norm\2."),
    (r"\.layers\.(\d+)\.attn\.attn\.in_proj_", r".blocks.\1.attn.qkv."),
    (r"\.layers\.(\d+)\.attn\.attn\.out_proj\.", r".blocks.\1.attn.proj."),
    (r"\.layers\.(\d+)\.ffn\.layers\.0\.0\.", r".blocks.\1.mlp.fc1."),
    (r"\.layers\.(\d+)\.ffn\.layers\.1\.", r".blocks.\1.mlp.fc2."),
)


def _selfpatch_segmenter(name: str, patch: int) -> str:
    if not name.startswith("backbone."):
        return name
    for theirs, ours in _MMSEG:
        name = re.sub(theirs, ours, name)
    return name


def _vitdet(name: str, patch: int) -> str:
    if name in ("pixel_mean", "pixel_std") or ".cell_anchors." in name:
        return ""  # of older files; the same in every one
    for ours, theirs in PLAIN:
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    for ours, theirs, first in COUNTED:
        counted = re.fullmatch(re.escape(theirs) + r"(\d+)\.(norm\.)?(\w+)", name)
        if counted:
            part = "ln" if counted[2] else "conv"
            return f"{ours}{int(counted[1]) - first}.{part}.{counted[3]}"
    return name


LAYOUTS = (
    Layout(
        "mmdet 2, SelfPatch's Mask R-CNN FPN", "mask-rcnn-fpn", "backbone.patch_embed.proj.weight", "roi_head.",
        _selfpatch_detector, "backbone.vit.", {384: 8}, DINO_RESIZE, (3, 5, 7, 11),
    ),
    Layout(
        "mmseg 0, SelfPatch's Semantic FPN", "semantic-fpn", "backbone.patch_embed.projection.weight", "decode_head.",
        _selfpatch_segmenter, "backbone.network.", {384: 6}, SIZE_RESIZE, (2, 5, 8, 11),
    ),
    Layout(
        "detectron2's ViTDet", "vitdet", "backbone.net.patch_embed.proj.weight", "roi_heads.",
        _vitdet, "backbone.vit.", {768: 12, 1024: 16, 1280: 16}, SIZE_RESIZE,
    ),
)  # fmt: skip


def layout_of(tensors: Mapping[str, torch.Tensor], where: str) -> Layout:
    """The layout of a file's tensors; :class:`InputError` where it is none of those known."""
    for layout in LAYOUTS:
        if layout.fits(tensors):
            return layout
    shown = ", ".join(list(tensors)[:3])
    raise InputError(
        f"{where} is none of the layouts known here ({'; '.join(layout.name for layout in LAYOUTS)}): it holds "
        f"{len(tensors)} tensors, such as {shown}"
    )


def house_names(layout: Layout, tensors: Mapping[str, torch.Tensor], where: str) -> dict[str, str]:
    """House's name -> the file's, of every weight."""
    found: dict[str, str] = {}
    patch = int(tensors[layout.mark].shape[-1])
    for name in tensors:
        ours = layout.house(name, patch)
        if ours in found:
            raise InputError(f"{where}: {name} and {found[ours]} are one tensor of the detector: which is it?")
        if ours:
            found[ours] = name
    return found


def architecture_of(layout: Layout, backbone: Mapping[str, torch.Tensor], heads: int, where: str) -> Architecture:
    """The ViT of a file's backbone, by the house's names; :class:`InputError` where its tensors make none."""
    kernel, table = backbone.get("patch_embed.proj.weight"), backbone.get("pos_embed")
    hidden = backbone.get("blocks.0.mlp.fc1.weight")
    if kernel is None or kernel.ndim != 4 or hidden is None or hidden.ndim != 2:
        raise InputError(f"{where}: its backbone has no patch projection or no block, so it is no {layout.name}")
    if table is None or table.ndim != 3:
        raise InputError(f"{where}: its backbone has no table of positions, so it is no {layout.name}")
    rows, patch = int(table.shape[1]), int(kernel.shape[-1])
    grid = math.isqrt(rows)
    if rows - grid**2 not in (0, 1):
        raise InputError(f"{where}: {rows} positions are no square, with or without a class token's")
    depth = len({name.split(".")[1] for name in backbone if name.startswith("blocks.")})
    return Architecture(
        int(table.shape[2]), depth, heads, patch, grid * patch, mlp_hidden=int(hidden.shape[0]), final_norm=False,
        position_prefix_rows=rows - grid**2,
    )  # fmt: skip
