"""One model under a linear protocol: train the head, predict each validation image."""

from __future__ import annotations

from pathlib import Path

from benchmarks.segmentation import geometry, protocols
from benchmarks.segmentation.dataset import SegmentationData
from benchmarks.segmentation.features import read
from benchmarks.segmentation.judge import Frozen, Judged
from benchmarks.segmentation.linear import Probe
from benchmarks.segmentation.pictures import Examples
from benchmarks.segmentation.scoring import Score


def by_linear(
    network: Frozen, data: SegmentationData, protocol: protocols.Linear, folder: Path, seed: int, workers: int = 0
) -> Judged:
    """Train and predict. Without a padding protocol the patch must divide the side."""
    side = protocols.side_in_pixels(protocol, network.model.patch_size)
    if not protocol.pad:
        geometry.require_square(side, network.model.patch_size, "a crop")
    probe = Probe(network.model, len(data.classes), protocol, side, network.device)
    facts = probe.train(data.train, folder, seed, workers, network.progress)
    score, examples = Score(data.classes), Examples.of(data.val, folder)
    for pair in network.shown(data.val, "val"):
        image, labels = read(pair)
        size = (side, side) if protocol.window == "whole" else geometry.short_side(labels.shape, side)
        pixels = network.model.normalise(geometry.resize(image, size)).to(network.device)
        if protocol.mask_side:
            # As published: shrunk to the input first, and from there to the score's square.
            labels = geometry.resize_labels(labels, size)
            labels = geometry.resize_labels(labels, (protocol.mask_side,) * 2, "torch")
        predicted = probe.predict(pixels, labels.shape).cpu().numpy()
        score.add(labels, predicted)
        if pair.name in examples.names:
            whole = geometry.in_patches(size, network.model.patch_size)
            seen = network.model.normalise(geometry.resize(image, whole)).to(network.device)
            examples.keep(pair, predicted, network.model.features(seen[None])[0][0].float())
    return Judged(score, examples, {"side": side, **facts})
