"""One checkpoint at every layer: settings side by side, never in one column."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from benchmarks import backbones
from benchmarks.davis.encoder import backbone_encoder, in_bf16, layers_of
from benchmarks.davis.run import evaluate
from benchmarks.devices import usable_device


def layer_study(
    checkpoint: str | os.PathLike[str],
    davis_root: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    device: str = "cpu",
    precision: str = "fp32",
    **options: Any,
) -> dict[str, Any]:
    """J&F of every layer: ``{"best": N, "layers": {"1": {"metrics", "run"}, ...}}``; label maps in ``out/layer-NN``.

    The best layer is chosen by the score that is reported, on the sequences that are reported (as PE's tables of the
    best layer do): it is above what a layer that was chosen elsewhere has, and no row of a table of last layers.
    Blocks below the last are encoded no further than they stand, each on its own.
    """
    where = usable_device(device)
    module, card = backbones.load_backbone(checkpoint)
    module = module.to(where)
    found = {}
    for layer in layers_of(card):
        folder = None if out is None else Path(out) / f"layer-{layer:02d}"
        encoder = backbone_encoder(module, card, layer)
        encoder = encoder if precision == "fp32" else in_bf16(encoder, where)
        found[layer] = evaluate(encoder, davis_root, folder, device=device, **options)
    best = max(found, key=lambda layer: found[layer]["metrics"]["J&F-Mean"])
    return {"best": best, "layers": {str(layer): result for layer, result in found.items()}}
