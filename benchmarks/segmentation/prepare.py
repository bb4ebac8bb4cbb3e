"""Brings a published set, or one's own folder, into the layout that the tasks read. Images are linked, not copied."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.errors import InputError
from benchmarks.files import require_folder, write_json, write_text
from benchmarks.images import read_labels
from benchmarks.progress import Progress
from benchmarks.segmentation.faults import Faults
from benchmarks.segmentation.sources import LAYOUTS, Source, Triple


def prepare(
    layout: str, source: str | os.PathLike[str], root: str | os.PathLike[str], name: str = "segmentation"
) -> dict[str, Any]:
    """Write ``root/name`` from the set at ``source``; facts of it. Whole or not at all.

    :class:`InputError` for a ``layout`` that there is not, for a target that is there already, and, all at once, for
    images and label maps that are missing or broken and labels that the set does not have.
    """
    if layout not in LAYOUTS:
        raise InputError(f"--layout {layout}: choose one of {', '.join(LAYOUTS)}")
    target = Path(root) / name
    if target.exists():
        raise InputError(f"{target} is there already: remove it, or give --name for a folder beside it")
    found = LAYOUTS[layout](require_folder(source, f"{layout} folder"))
    temporary = target.with_name(f".{target.name}.part")
    shutil.rmtree(temporary, ignore_errors=True)
    faults = Faults(Path(source))
    try:
        for split, triples in found.splits.items():
            if not triples:
                raise InputError(f"{source} has no {split} images where {layout} has them: is it unpacked there?")
            _write_split(found, triples, temporary, split, faults)
        faults.end()
        write_text(temporary / "classes.txt", "\n".join(found.classes) + "\n")
        write_json(temporary / "dataset.json", {"name": found.name, "official": found.official})
        temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    counts = {split: len(triples) for split, triples in found.splits.items()}
    facts = {"folder": str(target), **counts, "classes": len(found.classes), "remark": found.remark}
    short = [
        f"{split} {n} of {found.official[split]}" for split, n in counts.items() if n < found.official.get(split, 0)
    ]
    return facts | ({"incomplete": ", ".join(short)} if short else {})


def _write_split(found: Source, triples: list[Triple], target: Path, split: str, faults: Faults) -> None:
    def one(triple: Triple) -> tuple[str, Path | str, Any] | None:
        name, image, mask = triple
        if not image.is_file():
            return f"{split} images that are missing", image, None
        if not mask.is_file():
            return f"{split} images without a label map", image, None
        try:
            labels = read_labels(mask)
        except InputError as error:
            return "files that cannot be read", str(error), None
        own = found.table[np.minimum(labels, len(found.table) - 1)]
        if (own < 0).any() or labels.max() >= len(found.table):
            strange = np.unique(labels[(own < 0) | (labels >= len(found.table))]).tolist()
            return f"label maps with labels that {found.name or 'the class list'} does not have", mask, strange
        placed = target / "images" / split / f"{name}{image.suffix}"
        placed.parent.mkdir(parents=True, exist_ok=True)
        placed.symlink_to(image.resolve())
        drawn = target / "masks" / split / f"{name}.png"
        drawn.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(own.astype(np.uint8)).save(drawn)
        return None

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for fault in Progress(pool.map(one, triples), split, len(triples), unit="image", leave=False):
            if fault:
                faults.add(*fault)
