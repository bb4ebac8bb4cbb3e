"""What lies in folders of runs: records, pictures, logged losses, ledgers of conversions."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.checkpoints.card import Card
from benchmarks.core.result import Result, read_results
from benchmarks.errors import InputError
from benchmarks.files import require_folder

LOGS = ("losses.jsonl", "log.jsonl")
PICTURES = (".png", ".jpg", ".jpeg", ".webp")
#: A ledger of a large network has some hundred tensors; larger files are annotations or detections.
LEDGER_BYTES = 2_000_000


@dataclass
class Found:
    """Everything a report shows. Paths have a label: where they lie below the folder that was given."""

    records: list[Result] = field(default_factory=list)  # oldest first
    pictures: list[tuple[str, Path]] = field(default_factory=list)
    logs: list[tuple[str, Path]] = field(default_factory=list)
    ledgers: dict[str, dict[str, Any]] = field(default_factory=dict)  # by the sha256 of the converted source


def collect(folders: Sequence[str | os.PathLike[str]]) -> Found:
    """Read ``folders`` and everything below; :class:`InputError` for a broken record, and when there is none at all."""
    found, seen = Found(), set()
    roots = [require_folder(folder, "folder of runs") for folder in folders]
    for root in roots:
        for place, folders_below, files in os.walk(root):
            folders_below[:] = sorted(name for name in folders_below if not name.startswith("."))
            here = Path(place)
            if here.resolve() in seen:  # one of the roots lies in another
                folders_below.clear()
                continue
            seen.add(here.resolve())
            label = _label(here, root, len(roots) > 1)
            if here.name == "records":
                found.records += read_results(here)
                for record in found.records:
                    card: Any = record.checkpoint.get("card")
                    Card.from_dict(card, f"{here}, record of {record.name}")
                continue
            is_drawn = "pictures" in here.parts or "records" in folders_below
            for name in sorted(files):
                path = here / name
                own = f"{label}/{name}" if label else name
                if is_drawn and path.suffix.lower() in PICTURES:
                    found.pictures.append((own, path))
                elif name in LOGS:
                    found.logs.append((label or root.resolve().name, path))
                elif path.suffix == ".json" and path.stat().st_size <= LEDGER_BYTES:
                    _keep_ledger(found, path)
    if not found.records:
        raise InputError(
            f"no records (records/*.json) in {', '.join(map(str, roots))}: give the --out folder of a table or of the "
            "demo, or a folder above it"
        )
    found.records.sort(key=lambda record: record.started)
    found.pictures = _last_epochs(found.pictures)
    return found


def _label(here: Path, root: Path, several: bool) -> str:
    parts = here.relative_to(root).parts
    return "/".join((root.resolve().name, *parts) if several else parts)


def _keep_ledger(found: Found, path: Path) -> None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return  # a JSON file of somebody else's is no matter of the report's
    if isinstance(content, dict) and {"source_tensors", "target_tensors", "card"} <= content.keys():
        card = content["card"]
        if isinstance(card, dict) and isinstance(card.get("source_sha256"), str):
            found.ledgers[card["source_sha256"]] = content


def _last_epochs(pictures: list[tuple[str, Path]]) -> list[tuple[str, Path]]:
    """Of the pictures that pretraining draws after each epoch, the last of each folder."""
    last: dict[Path, tuple[int, Path]] = {}
    for _, path in pictures:
        match = re.fullmatch(r"epoch-(\d+)", path.stem)
        if match:
            last[path.parent] = max(last.get(path.parent, (-1, path)), (int(match[1]), path))
    keep = {path for _, path in last.values()}
    return [(label, path) for label, path in pictures if not path.stem.startswith("epoch-") or path in keep]
