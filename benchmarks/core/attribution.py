"""Whose weights these are, as far as anybody knows: what decides which published row they are held against."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.checkpoints.card import Card
from benchmarks.errors import InputError


@dataclass(frozen=True)
class Attribution:
    """Method, epochs and pretraining data; ``source`` is who says so: ``user``, ``file``, ``table``, "" for nobody."""

    method: str = ""
    epochs: int | None = None
    data: str = ""
    source: str = ""

    @staticmethod
    def said(method: str | None, epochs: int | None, data: str | None) -> Attribution | None:
        """The user's word; None where there is none. :class:`InputError` for epochs or data of no method."""
        if method is None:
            if epochs is not None or data is not None:
                raise InputError("epochs and data say more about a method: name it as well (method=...)")
            return None
        if epochs is not None and epochs < 1:
            raise InputError(f"epochs={epochs}: give 1 or more")
        return Attribution(method, epochs, data or "", "user")

    @staticmethod
    def of_card(card: Card) -> Attribution:
        """What the file itself says, or the built-in list of its address; nothing where its method is its layout's."""
        source = card.provenance.get("method", "")
        if source not in ("file", "table"):
            return Attribution()
        return Attribution(card.method, card.epochs, card.data, source)

    @staticmethod
    def of(record: Mapping[str, Any]) -> Attribution:
        """From a record's ``attribution``."""
        return Attribution(**record) if record else Attribution()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return asdict(self)

    def is_of(self, method: str, epochs: int | None, data: str) -> bool:
        """Whether a published row of ``method`` is about such weights.

        Facts that the row prints must not differ. Where nobody told an epoch count or the data, the user's naming of
        the method is enough; a file's own is not. ImageNet-1k, IN1k and IN-1k are one.
        """
        if not self.method or self.method.lower() != method.lower():
            return False
        pairs = [(self.epochs, epochs), (_data_set(self.data), _data_set(data))]
        return all(not row or own == row or (not own and self.source == "user") for own, row in pairs)


def _data_set(name: str) -> str:
    """A data set's name without its spellings."""
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    return re.sub(r"^(?:imagenet|ilsvrc2012|ilsvrc|in)(?=\d|$)", "in", plain).replace("in22k", "in21k")
