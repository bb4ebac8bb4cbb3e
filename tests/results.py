"""Results out of nothing, for tests of what is rendered from them."""

from __future__ import annotations

from benchmarks.core.result import Result


def result(benchmark, metrics, method="", epochs=None, data="", source="file", width=384, depth=12, patch=16, **fields):
    """A result whose weights are ``method``'s on ``source``'s word; a ViT of that width, depth and patch."""
    architecture = {"kind": "vit", "embed_dim": width, "depth": depth, "num_heads": 6, "patch_size": patch}
    name = fields.get("name", "mine")
    usual = {
        "protocol": "p",
        "scale": "paper",
        "name": name,
        "run": {},
        "seed": 0,
        "checkpoint": {"sha256": name, "card": {"method": method or "unknown", "architecture": architecture}},
        "data": {"name": "d", "files": 1, "annotations_sha256": "0" * 64, "images_sha256": ""},
        "attribution": {"method": method, "epochs": epochs, "data": data, "source": source if method else ""},
        "started": "2026-11-24T00:00:00",
        "seconds": 1.0,
        "libraries": {},
        "code": {"version": "0", "commit": None, "dirty": None},
        "command": ["x"],
    }
    return Result(benchmark=benchmark, metrics=metrics, **{**usual, **fields})
