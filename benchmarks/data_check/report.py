"""What a look at a data set on disk found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.core.data import fingerprint


@dataclass
class Report:
    """Facts, gaps and faults of one data set, in the order in which they were found."""

    dataset: str
    folder: str
    #: What is there: a name and a count or a word.
    found: dict[str, Any] = field(default_factory=dict)
    #: What is not there: one line each, with the official file name and where to get it.
    missing: list[str] = field(default_factory=list)
    #: What a run takes but one should know: official totals that are not met, what can never be hit, ...
    subset: list[str] = field(default_factory=list)
    #: What is wrong: files that do not decode, boxes outside of their images, ...
    problems: list[str] = field(default_factory=list)

    def count(self, what: str, number: int, official: int | None = None) -> None:
        """Note how many of something there are, and whether the official set has another number."""
        self.found[what] = number
        if official is not None and number and number != official:
            self.subset.append(f"{what}: {number} of {official}")

    def identify(self, root: Path, annotations: Iterable[Path]) -> None:
        """Note the fingerprint that the records of runs on this data carry."""
        facts = fingerprint(root, [path for path in annotations if path.is_file()], ())
        self.found["annotations sha256"] = facts.annotations_sha256

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON data."""
        return dict(vars(self))

    def lines(self) -> list[str]:
        """The report for people."""
        out = [f"{self.dataset} in {self.folder}"]
        out += [f"  {name}: {value}" for name, value in self.found.items()]
        for title, entries in (("missing", self.missing), ("subset", self.subset), ("problem", self.problems)):
            out += [f"  {title}: {entry}" for entry in entries]
        return out
