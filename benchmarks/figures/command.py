"""What the commands for figures share: their arguments, the converted checkpoints, and a record beside the pictures."""

from __future__ import annotations

import argparse
import datetime
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.checkpoints.convert import canonical
from benchmarks.core.command import named
from benchmarks.core.model import load_model
from benchmarks.core.result import free_result
from benchmarks.devices import add_device_argument, say_device, usable_device
from benchmarks.errors import InputError, command_parser
from benchmarks.files import require_file, sha256_of


def figure_parser(doc: str, example: str) -> argparse.ArgumentParser:
    """A parser with the arguments of every figure."""
    parser = command_parser(doc, example)
    parser.add_argument("--checkpoint", action="append", required=True, metavar="NAME=PATH", help="repeat it")
    parser.add_argument("--images", nargs="+", required=True, help="image files")
    parser.add_argument("--out", required=True, help="folder for PNG, SVG, .npz and the record")
    parser.add_argument("--size", type=int, default=224, help="pixels of the central square (default: %(default)s)")
    parser.add_argument("--heads", type=int, help="attention heads, where a foreign checkpoint does not say")
    add_device_argument(parser)
    return parser


def add_labels(parser: argparse._ActionsContainer) -> None:
    """The arguments of those that can use ground truth."""
    parser.add_argument("--labels", nargs="+", help="a label map (PNG, one index a pixel) for each image, in order")
    parser.add_argument(
        "--unlabelled", type=int, nargs="*", default=[0, 255], help="labels that are no segment (default: 0 255)"
    )


def add_layers(parser: argparse._ActionsContainer) -> None:
    """Which layers to draw."""
    parser.add_argument("--layers", type=int, nargs="+", help="0: the patch projection, l: block l; default: all")


def prepared(arguments: argparse.Namespace) -> tuple[dict[str, Path], str]:
    """The canonical checkpoints and the device of a command, both checked; the images are there."""
    for image in arguments.images:
        require_file(image, "image")
    if arguments.size < 1:
        raise InputError(f"--size is {arguments.size}: give a number of pixels above 0")
    device = str(usable_device(arguments.device))
    paths = named(arguments.checkpoint)
    checkpoints = {name: canonical(path, heads=arguments.heads) for name, path in paths.items()}
    say_device(device)
    return checkpoints, device


def write_figure_records(
    figure: str,
    out: str | Path,
    checkpoints: dict[str, Path],
    images: Sequence[str],
    choices: dict[str, Any],
    metrics: dict[str, Any],
    started: datetime.datetime,
    device: str,
    seed: int = 0,
) -> None:
    """A record for each checkpoint in ``out/records``: choices, numbers, images, versions, command.

    Their scale is ``mini``: nothing in them may be held against a number of the paper.
    """
    digest = hashlib.sha256("".join(sha256_of(image) for image in images).encode()).hexdigest()
    data = {
        "name": ", ".join(Path(image).name for image in images),
        "files": len(images),
        "annotations_sha256": digest,
        "images_sha256": "",
    }
    for name, path in checkpoints.items():
        scores = {"layers": metrics[name]} if name in metrics else {}
        model = load_model(path, name=name)
        free_result(model, figure, f"{figure} (qualitative)", scores, choices, data, seed, started, device).write(
            Path(out) / "records"
        )
