"""bbox-aligned k-NN on ImageNet from a checkpoint to accuracies (the metric of the paper's Tables 5 and 6)."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch.utils.data import DataLoader, Dataset, default_collate
from torchvision.transforms import v2
from tqdm import tqdm

from benchmarks.backbones import load_backbone
from benchmarks.checkpoints.card import IMAGENET_MEAN, IMAGENET_STD, Card
from benchmarks.devices import usable_device
from benchmarks.errors import InputError
from benchmarks.files import sha256_of
from benchmarks.knn import processes
from benchmarks.knn.bank import DTYPES, Bank, BankWriter, DiskBank
from benchmarks.knn.dataset import BoxedImage, find_root, read_split
from benchmarks.knn.geometry import CROP, GRID, RESIZE, check_protocol, partition
from benchmarks.knn.pictures import draw_patches, write_picture
from benchmarks.knn.search import nearest
from benchmarks.knn.vote import class_votes, vote_with_bank

KS = (10, 20, 100, 200)

IMAGENET_CLASSES = 1000

#: How many validation images are drawn, spread over the whole set.
PICTURES = 8

Item = tuple[torch.Tensor, torch.Tensor, int]


def open_image(path: Path) -> Image.Image:
    """An image as RGB, fully decoded."""
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except (OSError, SyntaxError) as error:
        raise InputError(f"{path} is not a whole image ({error}): copy it again") from error


def crop(image: Image.Image) -> Image.Image:
    """What the network sees: ``Resize(256, bicubic)``, ``CenterCrop(224)``."""
    return v2.Compose([v2.Resize(RESIZE, v2.InterpolationMode.BICUBIC), v2.CenterCrop(CROP)])(image)


def place(entry: BoxedImage, size: tuple[int, int], protocol: str, patch: int) -> tuple[int, torch.Tensor] | None:
    """The box and the nine token ids for an image file of ``size``; see :func:`benchmarks.knn.geometry.partition`.

    The published program knows the size in the annotation only. ``corrected`` first carries the boxes over to
    the file's own size, where the two differ.
    """
    width, height = entry.size
    boxes = entry.boxes
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
        self.entries, self.class_index, self.card, self.protocol = entries, class_index, card, protocol
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
        except InputError as error:
            return error
        placed = place(entry, image.size, self.protocol, self.patch)
        box, ids = placed or (None, torch.zeros(GRID * GRID, dtype=torch.long))
        return self.to_tensor(crop(image)), ids, -1 if box is None else self.class_index[entry.names[box]]


def collate(items: list[Item | InputError]) -> list[torch.Tensor] | InputError:
    """A batch, or the first error in it."""
    return next((item for item in items if isinstance(item, InputError)), None) or default_collate(items)


@torch.inference_mode()
def extract(
    tokens: Callable[[torch.Tensor], torch.Tensor],
    dataset: BoxedImages,
    device: str | torch.device,
    batch_size: int,
    writer: BankWriter,
    workers: int = 0,
    name: str = "",
    progress: bool = True,
) -> None:
    """Append the nine L2-normalised features of every usable image to ``writer``, nine rows with its class each."""
    loader = DataLoader(dataset, batch_size, num_workers=workers, collate_fn=collate)
    for batch in tqdm(loader, desc=f"features of {name}", unit="batch", disable=not progress):
        if isinstance(batch, InputError):
            raise batch
        images, ids, classes = batch
        found = tokens(images.to(device))
        found = found.gather(1, ids.to(device)[:, :, None].expand(-1, -1, found.shape[2]))
        usable = classes >= 0
        found = F.normalize(found.float(), dim=2).cpu()[usable]
        writer.append(found.flatten(0, 1), classes[usable].repeat_interleave(found.shape[1]))


def draw_votes(
    folder: str | os.PathLike[str],
    tokens: Callable[[torch.Tensor], torch.Tensor],
    dataset: BoxedImages,
    bank: Bank,
    k: int,
    device: str | torch.device,
) -> None:
    """Write ``folder/<image>.png`` for every usable image of ``dataset``, with what its patches vote for at ``k``."""
    names = {index: wnid for wnid, index in dataset.class_index.items()}
    usable = [index for index in range(len(dataset)) if dataset[index][2] >= 0]
    dataset = BoxedImages([dataset.entries[i] for i in usable], dataset.class_index, dataset.card, dataset.protocol)
    with BankWriter(len(dataset) * GRID * GRID, bank.width) as writer:
        extract(tokens, dataset, device, 1, writer, progress=False)
    features = writer.bank().features.to(device)
    first = class_votes(*nearest(features, bank, k), len(names)).argmax(1).view(-1, GRID * GRID)
    for entry, votes, (_, ids, truth) in zip(dataset.entries, first.tolist(), dataset, strict=True):
        picture = draw_patches(
            crop(open_image(entry.path)), ids.numpy(), dataset.patch, [names[vote] for vote in votes], names[truth]
        )
        if processes.rank() == 0:
            write_picture(Path(folder) / f"{entry.path.stem}.png", picture)


def evaluate_checkpoint(
    checkpoint: str | os.PathLike[str],
    imagenet_root: str | os.PathLike[str],
    protocol: str = "corrected",
    ks: Sequence[int] = KS,
    device: str = "cpu",
    batch_size: int = 64,
    workers: int = 0,
    progress: bool = True,
    bank_folder: str | os.PathLike[str] | None = None,
    dtype: str = "fp32",
    cache: str | os.PathLike[str] | None = None,
    pictures: str | os.PathLike[str] | None = None,
) -> dict[str, Any]:
    """Accuracies of a canonical checkpoint, in percent. Under ``torchrun`` every process does its share.

    Args:
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
    processes.join(device)
    progress = progress and processes.rank() == 0
    where = usable_device(processes.own_device(device))
    if dtype not in DTYPES:
        raise InputError(f"features cannot be kept as {dtype!r}: choose {' or '.join(DTYPES)}")
    module, card = load_backbone(checkpoint)
    check_protocol(protocol, card.architecture.patch_size)
    root = find_root(imagenet_root)
    splits = processes.together(lambda: {name: read_split(root, name, progress, cache) for name in ("train", "val")})
    classes = sorted({wnid for split in splits.values() for image in split.images for wnid in image.names})
    class_index = {wnid: index for index, wnid in enumerate(classes)}
    tokens = module.to(where).patch_tokens

    def features(name: str, dtype: str, path: Path | None) -> Bank:
        dataset = BoxedImages(processes.share(splits[name].images), class_index, card, protocol)
        with BankWriter(len(dataset) * GRID * GRID, card.architecture.embed_dim, dtype, path) as writer:
            extract(tokens, dataset, where, batch_size, writer, workers, name, progress)
        return writer.bank()

    def train_bank() -> Bank:
        if bank_folder is None:
            return features("train", dtype, None)
        made_of = (sha256_of(checkpoint), splits["train"].fingerprint, *classes, protocol, dtype)
        made_of += (str(processes.rank()), str(processes.world()))
        path = Path(bank_folder) / f"{hashlib.sha256(' '.join(made_of).encode()).hexdigest()[:16]}.features"
        return DiskBank(path) if DiskBank.exists(path) else features("train", dtype, path)

    bank = processes.together(train_bank)
    tests = processes.together(lambda: features("val", "fp32", None))
    test_features, test_labels = (
        torch.cat(processes.gather_rows(rows.to(where))) for rows in (tests.features, tests.labels)
    )
    train_rows = sum(map(len, processes.gather_rows(bank.labels.to(where))))
    used = {"train": train_rows // (GRID * GRID), "val": len(test_labels) // (GRID * GRID)}
    for name, images in used.items():
        if not images:
            raise InputError(
                f"none of the {len(splits[name].images)} {name} images has a box inside the crop: check the box files"
            )
    if pictures is not None:
        shown = splits["val"].images[:: max(len(splits["val"].images) // PICTURES, 1)][:PICTURES]
        draw_votes(pictures, tokens, BoxedImages(shown, class_index, card, protocol), bank, min(ks, default=1), where)
    # The published program always ranks 1000 classes; which of those without a vote fill its top-5 depends on it.
    ranked = max(len(classes), IMAGENET_CLASSES if protocol == "official" else 0)
    test_features, test_labels = test_features.unflatten(0, (-1, GRID * GRID)), test_labels[:: GRID * GRID]
    found = vote_with_bank(bank, test_features, test_labels, ks, ranked)
    return {
        "protocol": protocol,
        "top1": found["top1"],
        "top5": found[f"top5_{protocol}"],
        "single_vote": found["single_vote"],
        "train_images": used["train"],
        "val_images": used["val"],
        "left_out": {
            name: {"no_box": split.without_boxes, "no_box_in_crop": len(split.images) - used[name]}
            for name, split in splits.items()
        },
        "classes": len(classes),
        "patch_size": card.architecture.patch_size,
        "bank": {"dtype": dtype, "on_disk": bank_folder is not None},
        "processes": processes.world(),
        "seconds": round(time.monotonic() - start, 3),
    }
