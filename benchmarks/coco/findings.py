"""What the rules find in an annotation file: faults, which end it all together, and remarks, which are said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.errors import InputError

#: Of the entries with a fault so many are named; all are counted.
NAMED = 3


class Findings:
    """Collects, so that one look at a file reports everything that is wrong with it."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.faults: list[str] = []
        self.notes: list[str] = []

    def refuse(self, entries: Sequence[Any], noun: str, what: str, remedy: str, names: str = "ids") -> None:
        """A fault of ``entries`` (their ids), if there are any: count, the first three, what to do."""
        if len(entries):
            self.faults.append(f"{count(len(entries), noun)} {what} ({names} {first(entries)}): {remedy}")

    def say(self, entries: Sequence[Any], noun: str, what: str, names: str = "ids") -> None:
        """A remark about ``entries``, if there are any."""
        if len(entries):
            self.notes.append(f"{count(len(entries), noun)} {what} ({names} {first(entries)})")

    def end_on_faults(self) -> None:
        """:class:`InputError` with all faults in one line, if there are any."""
        if len(self.faults) == 1:
            raise InputError(f"{self.where}: {self.faults[0]}")
        if self.faults:
            numbered = "; ".join(f"({number}) {fault}" for number, fault in enumerate(self.faults, 1))
            raise InputError(f"{self.where} has {len(self.faults)} kinds of faults: {numbered}")


def count(number: int, noun: str) -> str:
    """``1 image``, ``3 images``, ``2 categories``."""
    if number == 1:
        return f"1 {noun}"
    return f"{number:,} {noun[:-1]}ies" if noun.endswith("y") else f"{number:,} {noun}s"


def first(entries: Sequence[Any]) -> str:
    """The first three, as text that is short and of one line."""
    shown = [" ".join(str(entry).split())[:60] for entry in entries[:NAMED]]
    return ", ".join(shown) + (", ..." if len(entries) > NAMED else "")
