"""ViTDet's recipes by the size of the network, as data; a checkpoint gets that of its method, or of its size.

Sources: ViTDet (arXiv 2203.16527) and facebookresearch/detectron2 @ 02b5c4e2, ``projects/ViTDet``, for B, L and H; PE
(arXiv 2504.13181), Table 24, for DINOv2-L and g. The batch is 64, the images are 1024 x 1024 in all of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.backbones.global_blocks import global_blocks
from benchmarks.checkpoints.card import Architecture, Card
from benchmarks.engines.adaptation import Adaptation, keeps_prefix

#: 100 epochs of 118,000 images in batches of 64, and the two drops of the learning rate.
UPDATES, DROPS, EPOCHS = 184_375, (163_889, 177_546), 100

_NONE_PUBLISHED = "none is published for this size: B's"


@dataclass(frozen=True)
class Recipe:
    """What a size has of its own. ``window`` in tokens; ``all_decay``: norms and positions decay, too."""

    name: str
    source: str
    learning_rate: float = 1e-4
    epochs: int = 100
    drop_path: float = 0.1
    layer_decay: float = 0.7
    window: int = 14
    all_decay: bool = False

    def schedule(self, base: Mapping[str, Any]) -> dict[str, Any]:
        """A config's ``recipe`` with this size's length and learning rate."""
        updates, *drops = (step * self.epochs // EPOCHS for step in (UPDATES, *DROPS))
        return {**base, "updates": updates, "drops": tuple(drops), "learning_rate": self.learning_rate}


#: (width, depth) -> the recipe.
BY_SIZE = {
    (192, 12): Recipe("Ti", _NONE_PUBLISHED),
    (384, 12): Recipe("S", _NONE_PUBLISHED),
    (768, 12): Recipe("B", "ViTDet"),
    (1024, 24): Recipe("L", "ViTDet", drop_path=0.4, layer_decay=0.8),
    (1280, 32): Recipe("H", "ViTDet", epochs=75, drop_path=0.5, layer_decay=0.9, all_decay=True),
    (1408, 40): Recipe("g", "PE, Table 24", 5e-5, 36, 0.5, 0.9, all_decay=True),
    (1536, 40): Recipe("g", "PE, Table 24", 5e-5, 36, 0.5, 0.9, all_decay=True),
    (1664, 48): Recipe("G", "PE, Table 24", 5e-5, 36, 0.5, 0.9, all_decay=True),
}
#: (method, width, depth) -> the recipe that was published for it.
BY_METHOD = {
    ("DINOv2", 1024, 24): Recipe("DINOv2-L", "PE, Table 24", drop_path=0.4, layer_decay=0.8, window=32),
}

#: Detection by a frozen network, PE (arXiv 2504.13181), B.3.3: 15 epochs with a step decay, no drop path, all blocks
#: in tiles of 32 tokens at 1024 pixels and none global, patches interpolated to 16; pyramid and heads are trained. Not
#: verified, and ViTDet's here: the batch of 64, the rate of 1e-4, where the rate steps (8/9 and 26/27 of the run), and
#: that the pyramid is ViTDet's.
FROZEN = Recipe("frozen", "PE, B.3.3; batch, rate and steps are ViTDet's", epochs=15, drop_path=0.0, window=32)


def recipe_of(card: Card) -> Recipe:
    """The recipe of a checkpoint: its method's, else its size's, else that of the published size just below its own."""
    a = card.architecture
    size = (a.embed_dim, getattr(a, "depth", 12))
    if found := BY_METHOD.get((card.method, *size)) or BY_SIZE.get(size):
        return found
    smaller = [known for known in BY_SIZE if known[0] * known[1] <= size[0] * size[1]] or [min(BY_SIZE)]
    near = BY_SIZE[max(smaller, key=lambda known: (known[0] * known[1], known))]
    source = f"none is published for width {size[0]} and depth {size[1]}: {near.name}'s"
    return dataclasses.replace(near, source=source)


def adapted(card: Card, asked: Adaptation, base: Mapping[str, Any], mini: bool) -> tuple[Adaptation, dict[str, Any]]:
    """What a checkpoint's ViTDet is told and its schedule; what was ``asked`` for replaces the recipe's.

    ``base`` is the config's ``recipe``. A miniature keeps its config's own, whatever the size.
    """
    if mini:
        return asked, dict(base)
    own = recipe_of(card)
    values = {name: getattr(own, name) for name in ("window", "drop_path", "layer_decay", "all_decay")}
    given = {name: getattr(asked, name) for name in values if getattr(asked, name) is not None}
    return dataclasses.replace(asked, **{**values, **given}), own.schedule(base)


def frozen(asked: Adaptation, base: Mapping[str, Any], mini: bool) -> tuple[Adaptation, dict[str, Any]]:
    """:func:`adapted` for the protocol of a frozen network, one for all sizes, in a miniature as well."""
    told = dataclasses.replace(asked, global_attention=False)
    if mini:
        return told, dict(base)
    window = FROZEN.window if asked.window is None else asked.window
    drop_path = FROZEN.drop_path if asked.drop_path is None else asked.drop_path
    return dataclasses.replace(told, window=window, drop_path=drop_path), FROZEN.schedule(base)


def lines(card: Card, adaptation: Adaptation, mini: bool) -> list[str]:
    """For people: the recipe, the attention, and what becomes of patches and tokens that ViTDet does not know."""
    a = card.architecture
    if not isinstance(a, Architecture):
        return []
    probe = adaptation.global_attention is False
    own = FROZEN if probe else recipe_of(card)
    said = [] if mini else [f"ViTDet's recipe: {own.name} ({own.source})"]
    if not mini and probe:
        said.append(f"windows of {adaptation.window} tokens in every block; the network is frozen")
    elif not mini:
        blocks = ", ".join(map(str, global_blocks(a.depth)))
        said.append(
            f"windows of {adaptation.window} tokens, global attention in blocks {blocks}; "
            f"drop path {adaptation.drop_path:g}, layer decay {adaptation.layer_decay:g}"
        )
    if a.class_token or a.registers:
        kept = keeps_prefix(a, adaptation.prefix_tokens)
        said.append(
            "class token and registers: "
            + ("kept; they see the whole map in every block, and every window sees them" if kept else "left out")
        )
    return said
