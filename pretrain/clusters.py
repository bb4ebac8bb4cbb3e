"""``python -m pretrain.clusters RUN --images ROOT``: what a run's clusters are made of, in numbers and a picture.

Reads one snapshot (the newest, or a file) and an ImageFolder tree, whose folders are the classes here: how many bits
the teacher's clusters tell of a token's place and of its image's class, and a PNG of the clusters of some images, with
Eq. 4's attention of three queries and each token's similarity to all beside them.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from benchmarks.errors import InputError, command_parser, run_command
from benchmarks.files import atomic_path, require_file, require_folder, write_json
from benchmarks.images import read_rgb
from benchmarks.listing import list_folders, list_images
from pretrain.build import make_networks
from pretrain.config import config_from_dict
from pretrain.data import normalise
from pretrain.networks import Network
from pretrain.pictures import QUERIES, aggregated_similarity, query_attention
from pretrain.places import class_information, place_information, variance_shares
from pretrain.snapshot import load_snapshot
from pretrain.views import resized_crop

BATCH, SHOWN = 32, 5


def load_teacher(snapshot: Path) -> tuple[Network, float]:
    """The teacher in a training file, and the temperature of Eq. 4 it was trained with."""
    state = load_snapshot(snapshot)
    config = config_from_dict(state["args"]["config"], where=str(snapshot))
    _, teacher = make_networks(config, torch.device("cpu"))
    teacher.load_state_dict(state["teacher"])
    return teacher.eval(), config.objective.sa_temperature


def read_squares(root: Path, each: int, side: int) -> tuple[np.ndarray, torch.Tensor]:
    """The first ``each`` images of every folder, their central squares uint8 ``[N, S, S, 3]``, and classes ``[N]``."""
    folders = list_folders(require_folder(root, "images (--images)"))
    if not folders:
        raise InputError(f"{root} has no folders: the classes are read from them, ROOT/<class>/<image>")
    squares, classes = [], []
    for number, folder in enumerate(folders):
        for name in list_images(root / folder)[:each]:
            image = read_rgb(root / folder / name)
            short = min(image.shape[:2])
            box = ((image.shape[1] - short) // 2, (image.shape[0] - short) // 2, short, short)
            squares.append(resized_crop(image, box, side))
            classes.append(number)
    return np.stack(squares), torch.tensor(classes)


@torch.no_grad()
def look(teacher: Network, images: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens ``[N, n, D]`` and clusters ``[N, n]`` of images uint8 ``[N, S, S, 3]``."""
    tokens = torch.cat(
        [teacher.encode(normalise(torch.from_numpy(images[i : i + BATCH]))) for i in range(0, len(images), BATCH)]
    )
    return tokens, torch.cat([teacher.logits(part).argmax(dim=-1) for part in tokens.split(BATCH)])


def measure(tokens: torch.Tensor, clusters: torch.Tensor, classes: torch.Tensor) -> dict[str, float]:
    """What ``look`` found, as numbers: see :mod:`pretrain.places`."""
    place, image, rest = variance_shares(tokens)
    return {
        "images": len(classes),
        "clusters_used": int(clusters.unique().numel()),
        "place_bits": place_information(clusters),
        "class_bits": class_information(clusters, classes),
        "place_share": place,
        "image_share": image,
        "rest_share": rest,
    }


def write_clusters(
    path: Path, images: np.ndarray, tokens: torch.Tensor, clusters: torch.Tensor, temperature: float
) -> None:
    """A PNG with a row for each image: itself, its clusters in colours, the queries' attention, the ASS map."""
    side = round(tokens.shape[1] ** 0.5)
    colours = np.random.default_rng(0).uniform(0.1, 1.0, (int(clusters.max()) + 1, 3))
    titles = ("image", "clusters", *(f"attention of {number}" for number in range(1, len(QUERIES) + 1)), "ASS")
    figure = Figure(figsize=(1.5 * len(titles), 1.5 * len(images) + 0.2), layout="constrained")
    axes = figure.subplots(len(images), len(titles), squeeze=False)
    for row, image, features, found in zip(axes, images, tokens, clusters, strict=True):
        row[0].imshow(image)
        row[1].imshow(colours[found.view(side, side).numpy()])
        for axis, place in zip(row[2:], QUERIES, strict=False):
            x, y = (int(share * side) for share in place)
            axis.imshow(query_attention(features, y * side + x, temperature).view(side, side).numpy())
            axis.plot(x, y, "o", color="lime", markeredgecolor="black", markersize=4)
        row[-1].imshow(aggregated_similarity(features).view(side, side).numpy(), cmap="inferno")
        for axis in row:
            axis.set_axis_off()
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=8)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=70, format="png")


def main() -> int:
    parser = command_parser(
        "Say what the clusters of a pretraining run are made of: places, classes, or neither.",
        "python -m pretrain.clusters runs/photos --images imagenette/val --out runs/photos/clusters",
    )
    parser.add_argument("run", type=Path, help="folder of a run, or one of its snapshots")
    parser.add_argument("--images", type=Path, required=True, help="ImageFolder tree; its folders are the classes")
    parser.add_argument("--each", type=int, default=20, help="images of each class (default: %(default)s)")
    parser.add_argument("--out", type=Path, required=True, help="folder for clusters.json and clusters.png")
    arguments = parser.parse_args()
    if arguments.each < 1:
        raise InputError(f"--each {arguments.each}: give 1 or more")
    snapshot = arguments.run / "checkpoint.pth" if arguments.run.is_dir() else arguments.run
    teacher, temperature = load_teacher(require_file(snapshot, "snapshot of a run"))
    images, classes = read_squares(arguments.images, arguments.each, teacher.backbone.architecture.image_size)
    tokens, clusters = look(teacher, images)
    numbers = measure(tokens, clusters, classes)
    arguments.out.mkdir(parents=True, exist_ok=True)
    write_json(arguments.out / "clusters.json", numbers)
    chosen = np.linspace(0, len(images) - 1, min(SHOWN, len(images))).astype(int)
    write_clusters(arguments.out / "clusters.png", images[chosen], tokens[chosen], clusters[chosen], temperature)
    print(json.dumps(numbers, indent=1))
    return 0


if __name__ == "__main__":
    run_command(main)
