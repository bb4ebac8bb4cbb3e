"""bbox-aligned k-NN on ImageNet from a checkpoint to accuracies (the metric of the paper's Tables 5 and 6)."""

from __future__ import annotations

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
from benchmarks.knn.dataset import BoxedImage, find_root, read_split
from benchmarks.knn.geometry import CROP, GRID, RESIZE, check_protocol, partition
from benchmarks.knn.vote import vote

KS = (10, 20, 100, 200)

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
    workers: int = 0,
    name: str = "",
    progress: bool = True,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Nine L2-normalised features of every usable image, ``[N, 9, D]``, and its class ``[N]``, on the CPU."""
    loader = DataLoader(dataset, batch_size, num_workers=workers, collate_fn=collate)
    features, labels, used = None, torch.empty(len(dataset), dtype=torch.long), 0
    for batch in tqdm(loader, desc=f"features of {name}", unit="batch", disable=not progress):
        if isinstance(batch, InputError):
            raise batch
        images, ids, classes = batch
        found = tokens(images.to(device))
        found = found.gather(1, ids.to(device)[:, :, None].expand(-1, -1, found.shape[2]))
        usable = classes >= 0
        found, classes = F.normalize(found.float(), dim=2).cpu()[usable], classes[usable]
        if features is None:
            # Of the final size at once: ImageNet's 7.5 GB should not be held twice.
            features = torch.empty(len(dataset), *found.shape[1:])
        features[used : used + len(found)] = found
        labels[used : used + len(found)] = classes
        used += len(found)
    if not used:
        raise InputError(f"none of the {len(dataset)} {name} images has a box inside the crop: check the box files")
    return features[:used], labels[:used]


def evaluate_checkpoint(
    checkpoint: str | os.PathLike[str],
    imagenet_root: str | os.PathLike[str],
    protocol: str = "corrected",
    ks: Sequence[int] = KS,
    device: str = "cpu",
    batch_size: int = 64,
    workers: int = 0,
    progress: bool = True,
) -> dict[str, Any]:
    """Accuracies of a canonical checkpoint, in percent.

    Returns a dict: ``protocol``; ``top1`` and ``top5``, by k as a string, ``top5`` by the protocol's own rule (the
    official one passes 100); ``single_vote``, not a figure of the paper (see :func:`benchmarks.knn.vote.vote`);
    ``train_images`` and ``val_images`` that took part; ``left_out``, for each split the images without
    boxes and those without a box in the crop; ``classes``, ``patch_size``, ``seconds``.
    """
    start = time.monotonic()
    where = usable_device(device)
    module, card = load_backbone(checkpoint)
    check_protocol(protocol, card.architecture.patch_size)
    root = find_root(imagenet_root)
    splits = {name: read_split(root, name, progress) for name in ("train", "val")}
    classes = sorted({wnid for split in splits.values() for image in split.images for wnid in image.names})
    class_index = {wnid: index for index, wnid in enumerate(classes)}
    module.to(where)
    extracted = {}
    for name, split in splits.items():
        dataset = BoxedImages(split.images, class_index, card, protocol)
        extracted[name] = extract(module.patch_tokens, dataset, where, batch_size, workers, name, progress)
    tensors = (tensor.to(where) for name in ("train", "val") for tensor in extracted[name])
    found = vote(*tensors, ks)
    used = {name: len(labels) for name, (_, labels) in extracted.items()}
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
        "seconds": round(time.monotonic() - start, 3),
    }
