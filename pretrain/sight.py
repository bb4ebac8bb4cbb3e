"""What a run sees of itself: the entries of its log, the warnings in them, and pictures."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.errors import InputError
from benchmarks.images import read_rgb
from pretrain.config import Config
from pretrain.data import Batch, normalise
from pretrain.images import ImageList
from pretrain.networks import Network
from pretrain.objective import Losses, Statistics
from pretrain.places import place_information, retrieval, retrieval_by_place, variance_shares
from pretrain.step import Step, StepValues
from pretrain.views import resized_crop
from pretrain.watch import collapse, perplexity, separation

#: Images of a step that the log's measures of tokens are taken on, and images in a picture.
WATCHED, PICTURED = 8, 4


def measure_tokens(work: Step, batch: Batch, values: StepValues) -> tuple[dict[str, float], list[str]]:
    """The log's numbers about tokens on the first :data:`WATCHED` images of ``batch``, and warnings in words.

    The teacher's tokens, but for ``retrieved_*``: there the student's queries look for theirs, as in Eq. 12, whether
    the objective takes such positives or not.
    """
    count, all_images = min(WATCHED, len(batch.teacher)), len(batch.teacher)
    training = work.student.training
    work.student.eval()
    with work.autocast:
        tokens = Network.encode(work.teacher, batch.teacher[:count])
        clusters = work.teacher.logits(tokens).argmax(dim=-1)
        view, queries, box = (  # the local views, where there are some: their place tells less of their content
            part[-1].unflatten(0, (-1, all_images))[:, :count].flatten(0, 1)
            for part in (batch.views, batch.queries, batch.boxes)
        )
        found = retrieval(Network.encode(work.student, view), queries, box, tokens)
    work.student.train(training)
    separability, similarity = separation(tokens, values.sa_temperature)
    shares = variance_shares(tokens)
    entry = {
        "separability": separability,
        "similarity": similarity,
        "place_share": shares.place,
        "image_share": shares.image,
        "retrieved_from_true": found.from_true,
        "retrieved_from_own": found.from_own,
        "place_bits": place_information(clusters),
    }
    return entry, [] if values.in_place else retrieval_by_place(found, shares)


def describe(
    config: Config,
    work: Step,
    batch: Batch,
    terms: Sequence[float],
    losses: Losses,
    statistics: Statistics,
    norm: float,
    values: StepValues,
) -> tuple[dict[str, Any], list[str]]:
    """One line of the log without its step, and what has collapsed. ``terms``: total, intra, inter over processes."""
    total, intra, inter = terms
    measured, warnings = measure_tokens(work, batch, values)
    entry = {
        "total": total,
        "intra": intra,
        "inter": inter,
        "volume": losses.volume.item(),
        "perplexity": perplexity(statistics.assignment),
        **measured,
        "gradient_norm": norm,
        "lr": values.lr,
        "weight_decay": values.weight_decay,
        "momentum_teacher": values.momentum_teacher,
        "teacher_temp": values.teacher_temp,
        "sa_temperature": values.sa_temperature,
        "ca_temperature": values.ca_temperature,
        "intra_coefficient": values.coefficients[0],
    }
    if work.scaler is not None:
        entry["loss_scale"] = work.scaler.get_scale()
    found = collapse(config.model.clusters, entry["perplexity"], inter, entry["similarity"])
    return entry, found + (warnings if config.objective.kind == "flsl" else [])


def draw(path: Path, work: Step, files: ImageList, side: int, temperature: float, title: str) -> None:
    """A picture of what the teacher sees in the same few images of ``files``; broken ones are left out."""
    from pretrain.pictures import write_pictures  # matplotlib takes a second to import

    images = []
    for index in np.linspace(0, len(files) - 1, PICTURED).astype(int):
        with contextlib.suppress(InputError):
            image = read_rgb(files[index])
            short = min(image.shape[:2])
            box = ((image.shape[1] - short) // 2, (image.shape[0] - short) // 2, short, short)
            images.append(resized_crop(image, box, side))
    if images:
        device = next(work.teacher.parameters()).device
        with work.autocast:
            tokens = Network.encode(work.teacher, normalise(torch.from_numpy(np.stack(images)).to(device)))
        write_pictures(path, images, tokens, temperature, title)
