"""What ``--target timm`` writes as safetensors: timm's names, and the card with what they do not tell."""

from __future__ import annotations

from benchmarks.checkpoints.card import Card, TimmArchitecture
from benchmarks.checkpoints.container import Opened
from benchmarks.checkpoints.formats.bare import is_dinov3_of_timm
from benchmarks.checkpoints.formats.family import WHOLE_FILE, Facts, Place, Taken
from benchmarks.checkpoints.formats.openmmlab import HouseInOpenMMLab
from benchmarks.checkpoints.formats.timm import DINOV3_BASE, SENTINELS, OwnNames
from benchmarks.errors import InputError


class HouseInTimm(HouseInOpenMMLab):
    """The house's ViT under timm's names."""

    rank, places = 6, (Place(WHOLE_FILE),)
    network_kind = "vit"

    def recognises(self, opened: Opened, taken: Taken) -> bool:
        card = self._card(opened)
        architecture = card.get("architecture") if isinstance(card, dict) else None
        return isinstance(architecture, dict) and architecture.get("kind", "vit") == self.network_kind

    def facts(self, opened: Opened, taken: Taken) -> Facts:
        facts = super().facts(opened, taken)
        if is_dinov3_of_timm(taken.tensors):
            facts.learn("file", rope_base=DINOV3_BASE)  # the writer refuses any other
        return facts


class HouseInTimmOwn(HouseInTimm):
    """A network that timm's class runs, under its own names."""

    kind = network_kind = "timm"

    def __init__(self, sentinel: str, axes: int) -> None:
        self.layout = OwnNames("timm names", (), sentinel, axes)

    def _of_network(self, card: Card) -> Facts:
        a = card.architecture
        if not isinstance(a, TimmArchitecture):
            raise InputError("the card in it is of another network: convert the source again")
        return Facts(card.method, card.licence, card.resize, a.eps or self.eps, a.num_heads, network=a)


FAMILIES = (HouseInTimm(), *(HouseInTimmOwn(*sentinel) for sentinel in SENTINELS))
