"""bbox-aligned k-NN on ImageNet from a checkpoint to accuracies (the metric of the paper's Tables 5 and 6)."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch.utils.data import DataLoader, Dataset, default_collate

from benchmarks.checkpoints.card import IMAGENET_MEAN, IMAGENET_STD, Card
from benchmarks.core.model import Model
from benchmarks.devices import resolve, say_device, usable_device
from benchmarks.errors import InputError, say
from benchmarks.images import read_rgb
from benchmarks.knn import processes
from benchmarks.knn.bank import DTYPES, Bank, BankWriter, DiskBank
from benchmarks.knn.dataset import Box, BoxedImage, find_root, read_split, remarks, upright
from benchmarks.knn.geometry import CROP, GRID, RESIZE, check_protocol, partition
from benchmarks.knn.pictures import draw_patches, write_picture
from benchmarks.knn.search import nearest
from benchmarks.knn.vote import check_ks, class_votes, vote_with_bank
from benchmarks.progress import Progress

KS = (10, 20, 100, 200)

IMAGENET_CLASSES = 1000

#: How many validation images are drawn, spread over the whole set.
PICTURES = 8

#: Processes that read images where the caller does not say: at most so many, and none below so many images.
MOST_WORKERS = 8
FEW_IMAGES = 512

Item = tuple[torch.Tensor, torch.Tensor, int]


def open_image(path: str | os.PathLike[str]) -> Image.Image:
    """An image as RGB, fully decoded, upright; see :mod:`benchmarks.images`."""
    return Image.fromarray(read_rgb(path))


def crop(image: Image.Image) -> Image.Image:
    """What the network sees: ``Resize(256, bicubic)``, ``CenterCrop(224)``."""
    from torchvision.transforms import v2  # here, for it takes seconds and a plan does without

    return v2.Compose([v2.Resize(RESIZE, v2.InterpolationMode.BICUBIC), v2.CenterCrop(CROP)])(image)


def place(entry: BoxedImage, size: tuple[int, int], protocol: str, patch: int) -> tuple[int, torch.Tensor] | None:
    """The box and the nine token ids for an image file of ``size``; see :func:`benchmarks.knn.geometry.partition`.

    The published program knows the size in the annotation only. ``corrected`` first carries the boxes over to
    the file's own size, where the two differ.
    """
    width, height = entry.size
    boxes: Sequence[Box] = entry.boxes
    if protocol == "corrected" and size != entry.size:
        across, down = size[0] / width, size[1] / height
        boxes = [(left * across, top * down, right * across, bottom * down) for left, top, right, bottom in boxes]
        width, height = size
    found = partition(protocol, width, height, boxes, patch)
    return found and (found[0], torch.from_numpy(found[1]))


class BoxedImages(Dataset):
    """Items: image fp32 ``[3, 224, 224]``, token ids ``[9]``, class index; -1 where no box is in the crop.

    An unusable file gives its :class:`InputError` as the item: raised in a worker process it would
    reach the user wrapped in a traceback.
    """

    def __init__(self, entries: Sequence[BoxedImage], class_index: dict[str, int], card: Card, protocol: str) -> None:
        from torchvision.transforms import v2

        self.entries, self.class_index, self.protocol = entries, class_index, protocol
        self.patch = card.architecture.patch_size
        mean, std = (IMAGENET_MEAN, IMAGENET_STD) if protocol == "official" else (card.mean, card.std)
        to_tensor = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean, std)]
        self.to_tensor = v2.Compose(to_tensor)

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> Item | InputError:
        entry = self.entries[index]
        try:
            image = open_image(entry.path)
            entry = upright(entry, image.size)
        except InputError as error:
            return error
        placed = place(entry, image.size, self.protocol, self.patch)
        box, ids = placed or (None, torch.zeros(GRID * GRID, dtype=torch.long))
        return self.to_tensor(crop(image)), ids, -1 if box is None else self.class_index[entry.names[box]]


def collate(items: list[Item | InputError]) -> list[torch.Tensor] | InputError:
    """A batch, or the first error in it."""
    return next((item for item in items if isinstance(item, InputError)), None) or default_collate(items)


def reading_workers(images: int) -> int:
    """How many processes read ``images`` files beside this one: its share of the machine's cores, but few.

    None for so few files that starting them takes longer, and none in a daemon, which may not have children. They are
    of the platform's default kind and get pictures to decode only: nothing of CUDA or of another thread's.
    """
    if images < FEW_IMAGES or multiprocessing.current_process().daemon:
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(max(cores // int(os.environ.get("LOCAL_WORLD_SIZE", "1")), 1), MOST_WORKERS)


@dataclass(frozen=True)
class Extractor:
    """A network and everything that decides what comes out of it for an image."""

    tokens: Callable[[torch.Tensor], torch.Tensor]
    card: Card
    protocol: str
    class_index: dict[str, int]
    device: torch.device
    batch_size: int
    workers: int | None
    progress: bool

    def dataset(self, entries: Sequence[BoxedImage]) -> BoxedImages:
        """The images of ``entries`` as this network sees them."""
        return BoxedImages(entries, self.class_index, self.card, self.protocol)

    @torch.inference_mode()
    def bank(self, entries: Sequence[BoxedImage], name: str, dtype: str = "fp32", path: Path | None = None) -> Bank:
        """The nine L2-normalised features of every usable image of ``entries``, nine rows with its class each."""
        with BankWriter(len(entries) * GRID * GRID, self.card.architecture.embed_dim, dtype, path) as writer:
            workers = reading_workers(len(entries)) if self.workers is None else self.workers
            loader = DataLoader(self.dataset(entries), self.batch_size, num_workers=workers, collate_fn=collate)
            for batch in Progress(loader, desc=f"features of {name}", unit="batch", disable=not self.progress):
                if isinstance(batch, InputError):
                    raise batch
                images, ids, classes = batch
                found = self.tokens(images.to(self.device))
                found = found.gather(1, ids.to(self.device)[:, :, None].expand(-1, -1, found.shape[2]))
                usable = classes >= 0
                found = F.normalize(found.float(), dim=2).cpu()[usable]
                writer.append(found.flatten(0, 1), classes[usable].repeat_interleave(found.shape[1]))
        return writer.bank()


def draw_votes(folder: str | os.PathLike[str], extractor: Extractor, entries: Sequence[BoxedImage], bank: Bank, k: int):
    """Write ``folder/<image>.png`` for every usable image of ``entries``, with what its patches vote for at ``k``."""
    names = {index: wnid for wnid, index in extractor.class_index.items()}
    seen: Any = extractor.dataset(entries)  # iterated by its indices
    items = []
    for entry, found in zip(entries, seen, strict=True):
        if isinstance(found, InputError):
            raise found
        _, ids, truth = found
        if truth >= 0:
            items.append((entry, ids, truth))
    features = extractor.bank([entry for entry, *_ in items], "pictures").whole().to(extractor.device)
    first = class_votes(*nearest(features, bank, k), len(names)).argmax(1).tolist()
    for number, (entry, ids, truth) in enumerate(items):
        votes = [names[vote] for vote in first[number * GRID * GRID : (number + 1) * GRID * GRID]]
        image = crop(open_image(entry.path))
        picture = draw_patches(image, ids.numpy(), extractor.card.architecture.patch_size, votes, names[truth])
        if processes.rank() == 0:
            write_picture(Path(folder) / f"{Path(entry.path).stem}.png", picture)


def evaluate(
    model: Model,
    imagenet_root: str | os.PathLike[str],
    protocol: str = "corrected",
    ks: Sequence[int] = KS,
    device: str = "auto",
    batch_size: int = 64,
    workers: int | None = None,
    progress: bool = True,
    bank_folder: str | os.PathLike[str] | None = None,
    dtype: str = "fp32",
    cache: str | os.PathLike[str] | None = None,
    pictures: str | os.PathLike[str] | None = None,
) -> dict[str, Any]:
    """Accuracies of a model, in percent. Under ``torchrun`` every process does its share.

    Args:
        workers: processes that read images; None: see :func:`reading_workers`.
        bank_folder: keep the training features in a file there instead of in memory, and reuse it when everything
            that it depends on is unchanged.
        dtype: what the training features are kept in, ``fp32`` or ``fp16``.
        cache: folder for the list of boxes, see :func:`benchmarks.knn.dataset.read_split`.
        pictures: draw :data:`PICTURES` validation images with their nine patches and votes there.

    Returns a dict: ``protocol``; ``top1`` and ``top5``, by k as a string, ``top5`` by the protocol's own rule (the
    official one passes 100); ``single_vote``, not a figure of the paper (see :mod:`benchmarks.knn.vote`);
    ``train_images`` and ``val_images`` that took part; ``left_out``, for each split the images without
    boxes and those without a box in the crop; ``classes``, ``patch_size``, ``bank``, ``processes``, ``seconds``.
    """
    start = time.monotonic()
    processes.join(resolve(device))
    progress = progress and processes.rank() == 0
    where = usable_device(processes.own_device(resolve(device)))
    if dtype not in DTYPES:
        raise InputError(f"features cannot be kept as {dtype!r}: choose {' or '.join(DTYPES)}")
    module: Any = model.module
    card = model.card
    check_protocol(protocol, card.architecture.patch_size)
    root = find_root(imagenet_root)
    splits = processes.together(lambda: {name: read_split(root, name, progress, cache) for name in ("train", "val")})
    for line in processes.together(lambda: remarks(splits)):
        if processes.rank() == 0:
            say(line)
    check_ks(ks, splits["train"].facts.images * GRID * GRID)
    classes = sorted({wnid for split in splits.values() for wnid in split.facts.classes})
    class_index = {wnid: index for index, wnid in enumerate(classes)}
    say_device(device)
    tokens = module.to(where).patch_tokens
    extractor = Extractor(tokens, card, protocol, class_index, where, batch_size, workers, progress)

    def train_bank() -> Bank:
        share = processes.share(splits["train"].images)
        if bank_folder is None:
            return extractor.bank(share, "train", dtype)
        made_of = (model.sha256, splits["train"].fingerprint, *classes, protocol, dtype)
        made_of += (str(processes.rank()), str(processes.world()))
        path = Path(bank_folder) / f"{hashlib.sha256(' '.join(made_of).encode()).hexdigest()[:16]}.features"
        return DiskBank(path) if DiskBank.exists(path) else extractor.bank(share, "train", dtype, path)

    bank = processes.together(train_bank)
    tests = processes.together(lambda: extractor.bank(processes.share(splits["val"].images), "val"))
    queries, targets = (torch.cat(processes.gather_rows(rows.to(where))) for rows in (tests.whole(), tests.labels))
    del tests  # the queries are a copy: 1.4 GB each at ImageNet's size
    rows = {"train": sum(processes.gather_counts(len(bank))), "val": len(targets)}
    used = {name: count // (GRID * GRID) for name, count in rows.items()}
    for name, images in used.items():
        if not images:
            raise InputError(
                f"none of the {splits[name].facts.images} {name} images has a box inside the crop: check the box files"
            )
    if pictures is not None:
        shown = splits["val"].images[:: max(len(splits["val"].images) // PICTURES, 1)][:PICTURES]
        draw_votes(pictures, extractor, shown, bank, min(ks))
    # The published program always ranks 1000 classes; which of those without a vote fill its top-5 depends on it.
    ranked = max(len(classes), IMAGENET_CLASSES if protocol == "official" else 0)
    found = vote_with_bank(bank, queries.unflatten(0, (-1, GRID * GRID)), targets[:: GRID * GRID], ks, ranked)
    return {
        "protocol": protocol,
        "top1": found["top1"],
        "top5": found[f"top5_{protocol}"],
        "single_vote": found["single_vote"],
        "train_images": used["train"],
        "val_images": used["val"],
        "left_out": {
            name: {"no_box": split.without_boxes, "no_box_in_crop": split.facts.images - used[name]}
            for name, split in splits.items()
        },
        "classes": len(classes),
        "patch_size": card.architecture.patch_size,
        "bank": {"dtype": dtype, "on_disk": bank_folder is not None},
        "processes": processes.world(),
        "seconds": round(time.monotonic() - start, 3),
    }
