"""Where the engines' configs lie: beside the packages, in a checkout as in an installed wheel."""

from __future__ import annotations

from pathlib import Path


def third_party_configs(engine: str) -> Path:
    """The folder ``third_party_configs/ENGINE`` of ``mmdet``, ``mmseg`` or ``detectron2``."""
    return Path(__file__).resolve().parents[1] / "third_party_configs" / engine
