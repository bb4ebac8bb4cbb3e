"""Whose weights these are, as far as anybody knows: what decides which published row they are held against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.checkpoints.card import Card
from benchmarks.errors import InputError


@dataclass(frozen=True)
class Attribution:
    """Method, epochs and pretraining data; ``source`` is who says so: ``user``, ``file``, or "" for nobody."""

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
        """What the file itself says; nothing where its method is only its layout's."""
        if card.provenance.get("method") != "file":
            return Attribution()
        return Attribution(card.method, getattr(card, "epochs", None), getattr(card, "data", "") or "", "file")

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
        the method is enough; a file's own is not.
        """
        if not self.method or self.method.lower() != method.lower():
            return False
        pairs = [(self.epochs, epochs), (self.data.lower(), data.lower())]
        return all(not row or own == row or (not own and self.source == "user") for own, row in pairs)
