"""One model under one protocol, from pairs to a score: ridge, k-NN (and logistic regression) and retrieval."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.core.model import Model
from benchmarks.devices import usable_device
from benchmarks.errors import InputError
from benchmarks.progress import Progress
from benchmarks.segmentation import bank as banks
from benchmarks.segmentation import geometry, knn, logistic, protocols, retrieval, ridge, views
from benchmarks.segmentation.bank import PatchBank
from benchmarks.segmentation.dataset import VOID, Pair, SegmentationData
from benchmarks.segmentation.features import Batch, batches
from benchmarks.segmentation.pictures import Examples
from benchmarks.segmentation.scoring import Score
from benchmarks.segmentation.store import IN_MEMORY, QUERIES, Store, query_groups


@dataclass
class Judged:
    """A score with how it was reached."""

    score: Score
    examples: Examples
    facts: dict[str, Any] = field(default_factory=dict)
    more: dict[str, Score] = field(default_factory=dict)  # other classifiers' on the same features


@dataclass(frozen=True)
class Frozen:
    """A network on its device with everything that extracting needs."""

    model: Model
    device: torch.device
    progress: bool
    norm: bool = True
    layers: tuple[int, ...] | None = None

    @staticmethod
    def of(model: Model, device: str, progress: bool, norm: bool, layers: tuple[int, ...] | None = None) -> Frozen:
        """Move ``model`` there."""
        where = usable_device(device)
        return Frozen(model.to(where), where, progress, norm, layers)

    def shown(self, pairs: Sequence[Pair], what: str) -> Iterator[Pair]:
        """``pairs`` one by one, with their progress."""
        yield from Progress(pairs, desc=what, unit="image", disable=not self.progress, leave=False)

    def batches(self, pairs: Sequence[Pair], view: Any, what: str) -> Iterator[Batch]:
        """The features of ``pairs``, see :func:`benchmarks.segmentation.features.batches`."""
        return batches(self.model, pairs, view, what, self.device, self.progress, self.layers, self.norm)


def by_ridge(network: Frozen, data: SegmentationData, protocol: protocols.Ridge, folder: Path, seed: int) -> Judged:
    """Fit in closed form, predict each validation image at its own size."""
    patch, classes = network.model.patch_size, len(data.classes)
    side = protocols.side_in_pixels(protocol, patch)

    def parts() -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        for batch in network.batches(data.train, views.Proportional(side, patch, small_labels=True), "train"):
            cells = geometry.patches(views.stacked(batch.labels), patch).flatten(0, 1)
            covered, targets = (cells != VOID).float().mean(1), geometry.fractions(cells, classes)
            yield batch.features.flatten(0, 2), targets, covered * (targets @ importance)

    frequency = torch.from_numpy(data.frequencies())
    importance = torch.where(frequency > 0, frequency.clamp(min=1e-12) ** -protocol.balance, 0.0).float()
    head, rows = ridge.fit(parts(), protocol.penalty)
    score, examples = Score(data.classes), Examples.of(data.val, folder)
    for batch in network.batches(data.val, views.Proportional(side, patch), "val"):
        maps = head(batch.features).permute(0, 3, 1, 2)
        for index, (pair, labels) in enumerate(zip(batch.pairs, batch.labels, strict=True)):
            enlarged = torch.nn.functional.interpolate(maps[index : index + 1], size=labels.shape, mode="bilinear")
            predicted = enlarged.argmax(1)[0].byte().cpu().numpy()
            score.add(labels, predicted)
            examples.keep(pair, predicted, batch.features[index])
    return Judged(score, examples, {"patches": rows})


def by_knn(network: Frozen, data: SegmentationData, protocol: protocols.Knn, folder: Path, seed: int) -> Judged:
    """Choose k and the distance on held-out training images, then answer the validation set."""
    patch = network.model.patch_size
    side = protocols.side_in_pixels(protocol, patch)
    geometry.require_square(side, patch, "the input")
    if len(data.train) < 2:
        raise InputError(f"{data.root} has one training image, and k is chosen on a part of them: give 2 or more")
    order = np.random.default_rng(seed).permutation(len(data.train)).tolist()
    held, rest = order[: (cut := max(1, int(len(order) * protocol.held_out)))], order[cut:]
    view = views.Stretched(side, "bicubic", "pillow")
    store = Store.of(network.batches(data.train, view, "train"), len(data.train), patch, folder / "bank")
    standard = knn.Standard()
    for image in rest:
        standard.add(store.features(image))
    scaler = standard.scaler()

    def build(images: Sequence[int], name: str) -> PatchBank:
        return banks.build(_kept(store, images, scaler), len(images) * store.tokens, store.bank.width, patch * patch,
                           store.folder and store.folder / name)  # fmt: skip

    fitted = build(sorted(rest), "fitted")
    if not len(fitted):
        raise InputError(f"{data.root}: every patch of the images that train is void for the most part: nothing to ask")
    trial = {(k, metric): Score(data.classes) for k in protocol.ks for metric in protocol.metrics}
    for images in _groups(held, store.tokens):
        queries = torch.cat([scaler(store.features(image)) for image in images]).to(network.device)
        for metric in protocol.metrics:
            for k, cells in knn.predict(queries, fitted, protocol.ks, metric).items():
                _add(trial[k, metric], [store.labels(image) for image in images], cells)
    rule = {"absent": protocol.absent_classes, "void": protocol.void_predicted}
    chosen = {key: one.result(**rule)["metrics"]["mIoU"] for key, one in trial.items()}
    best = max(chosen, key=lambda key: -1.0 if chosen[key] is None else chosen[key])
    facts: dict[str, Any] = {"k": best[0], "metric": best[1], "held_out_images": len(held)}
    facts["held_out"] = {f"k={k} {metric}": value for (k, metric), value in chosen.items()}
    everything = build(range(len(data.train)), "everything")
    facts["patches"] = len(everything)
    more, heads = {}, {}
    if protocol.logistic:
        trials = [(scaler(store.features(image)), store.labels(image)) for image in held]
        head, tried = logistic.choose(fitted, everything, protocol, network.device, trials, data.classes, rule)
        heads["logistic"], more["logistic"] = head, Score(data.classes)
        facts["logistic"] = tried
    score, examples = Score(data.classes), Examples.of(data.val, folder)
    for group in query_groups(network.batches(data.val, view, "val")):
        queries = torch.cat([scaler(batch.features).flatten(0, 2) for batch in group])
        cells = knn.predict(queries, everything, (best[0],), best[1])[best[0]]
        labels = [one for batch in group for one in batch.labels]
        predicted = _add(score, labels, cells)
        for name, linear in heads.items():
            said = linear(queries).argmax(1).byte().cpu()
            _add(more[name], labels, said[:, None].expand(-1, cells.shape[1]))
        features = [one for batch in group for one in batch.features]
        for pair, one, found in zip([p for b in group for p in b.pairs], features, predicted, strict=True):
            examples.keep(pair, found, one)
    store.remove()
    return Judged(score, examples, facts, more)


def by_retrieval(
    network: Frozen, data: SegmentationData, protocol: protocols.Retrieval, folder: Path, seed: int
) -> Judged:
    """Fill the memory, then answer the validation set from it."""
    patch, classes, void = network.model.patch_size, len(data.classes), protocol.void
    side = protocols.side_in_pixels(protocol, patch)
    geometry.require_square(side, patch, "the input")
    tokens = (side // patch) ** 2
    each = min(tokens, max(1, protocol.memory // (len(data.train) * protocol.epochs))) if protocol.memory else tokens
    capacity = each * len(data.train) * protocol.epochs

    def parts() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for epoch in range(protocol.epochs):
            view = views.Disturbed(side, protocol.jitter, protocol.crop_scale, (seed, epoch))
            numbers = torch.Generator().manual_seed(seed * 1000 + epoch)
            for batch in network.batches(data.train, view, f"memory {epoch + 1}/{protocol.epochs}"):
                cells = geometry.patches(views.stacked(batch.labels), patch)
                for features, own in zip(batch.features.flatten(1, 2).cpu(), cells, strict=True):
                    presence = geometry.fractions(own, classes, void) > 0
                    index = retrieval.drawn(presence, each, numbers)
                    if void == "out":
                        index = index[presence[index].any(1)]
                    yield torch.nn.functional.normalize(features[index], dim=1), own[index]

    first = next(iter(network.batches(data.train[:1], views.Stretched(side, "bilinear", "torch"), "width")))
    width = first.features.shape[-1]
    large = capacity * width * 4 > IN_MEMORY
    memory = banks.build(parts(), capacity, width, patch * patch, folder / "bank" if large else None)
    if not len(memory):
        raise InputError(f"{data.root}: every pixel that was drawn for the memory is void: nothing to retrieve")
    score, examples = Score(data.classes), Examples.of(data.val, folder)
    grid = (side // patch, side // patch)
    for group in query_groups(network.batches(data.val, views.Stretched(side, "bilinear", "torch"), "val")):
        queries = torch.cat([batch.features.flatten(0, 2) for batch in group])
        answers = retrieval.answer(queries, memory, protocol.neighbours, protocol.temperature, classes, void)
        pairs, labels = [p for b in group for p in b.pairs], [one for b in group for one in b.labels]
        features = [one for b in group for one in b.features]
        for pair, truth, one, own in zip(pairs, labels, features, answers.split(tokens), strict=True):
            predicted = retrieval.label_map(own, grid, (side, side)).cpu().numpy()
            predicted = np.where(predicted == classes, VOID, predicted).astype(np.uint8)
            score.add(truth, predicted)
            examples.keep(pair, predicted, one)
    shutil.rmtree(folder / "bank", ignore_errors=True)
    return Judged(score, examples, {"patches": len(memory), "patches_of_an_image": each, "void": void})


def _kept(store: Store, images: Sequence[int], scaler: knn.Scaler) -> banks.Parts:
    """Standardised features and labels of the patches that train: those that are not void for the most part."""
    for image in images:
        cells = torch.from_numpy(store.cells[image])
        keep = knn.modal(cells) != VOID
        yield scaler(store.features(image))[keep], cells[keep]


def _groups(images: Sequence[int], tokens: int) -> Iterator[Sequence[int]]:
    size = max(1, QUERIES // tokens)
    for start in range(0, len(images), size):
        yield images[start : start + size]


def _add(score: Score, labels: Sequence[np.ndarray], cells: torch.Tensor) -> list[np.ndarray]:
    """Score images whose patches' labels are ``cells`` ``[images * tokens, pixels]``; the predicted maps."""
    size, patch = labels[0].shape, int(cells.shape[1] ** 0.5)
    maps = geometry.from_patches(cells.reshape(len(labels), -1, cells.shape[1]), size, patch).numpy()
    for truth, predicted in zip(labels, maps, strict=True):
        score.add(truth, predicted)
    return list(maps)
