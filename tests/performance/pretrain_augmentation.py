"""How fast are the views made, against the published recipe with torchvision on PIL images? Images a second and core.

Both sides start from decoded images and end with what their loaders hand over: normalised fp32 tensors there, uint8
arrays here (the training process normalises whole batches; that cost is counted here as well). One thread. They take
turns, and the ratio of the medians is printed; decoding, which is the same for both, is printed apart.

Ours once more with ``data.augment_on=device``: crops by the loader, the rest on whole batches. ``--device cuda`` does
that part on a GPU, and tells how long the GPU is busy with an image; on a CPU it only shows what it costs there.

    python tests/performance/pretrain_augmentation.py --images 48 --repeats 5
"""

from __future__ import annotations

import argparse
import io
import random
import statistics
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image, ImageFilter, ImageOps
from torchvision import transforms

from benchmarks.images import read_rgb
from pretrain.config import ModelConfig, ViewsConfig
from pretrain.data import Batch, collate, normalise
from pretrain.views import ViewMaker

MODE = transforms.InterpolationMode.BICUBIC


class PublishedRecipe:
    """Protocols section 8 with torchvision's transforms: teacher crop, student crops cut from it, augmentation."""

    def __init__(self) -> None:
        self.teacher = transforms.RandomResizedCrop(224, scale=(0.8, 1.0), interpolation=MODE)
        self.student = transforms.RandomResizedCrop(224, scale=(0.5, 1.0), interpolation=MODE)
        self.local = transforms.RandomResizedCrop(96, scale=(0.05, 0.4), interpolation=MODE)
        jitter = transforms.ColorJitter(0.4, 0.4, 0.2, 0.1)
        self.colour = transforms.Compose([transforms.RandomApply([jitter], p=0.8), transforms.RandomGrayscale(p=0.2)])
        self.tensor = transforms.Compose(
            [transforms.ToTensor(), transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))]
        )

    def __call__(self, image: Image.Image) -> list[torch.Tensor]:
        crop = self.teacher(image)
        crops = [crop, self.student(crop), self.local(crop), self.local(crop)]
        return [self.tensor(self.augment(crop)) for crop in crops]

    def augment(self, image: Image.Image) -> Image.Image:
        image = self.colour(image)
        if random.random() < 0.5:
            return self.blur(image, 0.5)
        image = self.blur(image, 0.1)
        return ImageOps.solarize(image) if random.random() < 0.2 else image

    def blur(self, image: Image.Image, probability: float) -> Image.Image:
        if random.random() > probability:
            return image
        return image.filter(ImageFilter.GaussianBlur(random.uniform(0.1, 2.0)))


def pictures(count: int) -> list[bytes]:
    """JPEGs of ImageNet's usual size (500 x 375) with smooth content and noise."""
    rng, found = np.random.default_rng(0), []
    for _ in range(count):
        small = rng.integers(0, 255, (12, 16, 3), dtype=np.uint8)
        image = cv2.resize(small, (500, 375), interpolation=cv2.INTER_CUBIC).astype(float) + rng.normal(
            0, 8, (375, 500, 3)
        )
        stream = io.BytesIO()
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(stream, "JPEG", quality=90)
        found.append(stream.getvalue())
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=48)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cpu", help="cpu or cuda, of the batches (default: %(default)s)")
    args = parser.parse_args()
    device = torch.device(args.device)
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    maker, published = ViewMaker(ModelConfig(), ViewsConfig()), PublishedRecipe()
    cutter = ViewMaker(ModelConfig(), ViewsConfig(), augment_later=True)
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{index}.jpg" for index in range(args.images)]
        for path, content in zip(paths, pictures(args.images), strict=True):
            path.write_bytes(content)
        began = time.process_time()
        arrays = [read_rgb(path) for path in paths]
        decoding = (time.process_time() - began) / args.images
    images = [Image.fromarray(array) for array in arrays]

    def ours() -> None:
        views = [maker(array, np.random.default_rng((0, index))) for index, array in enumerate(arrays)]
        for begin in range(0, len(views), 16):
            part = views[begin : begin + 16]
            for group in (
                [v.teacher for v in part],
                [v.student[0] for v in part],
                [x for v in part for x in v.student[1:]],
            ):
                normalise(torch.from_numpy(np.stack(group)))

    def crops() -> list[Batch]:
        views = [cutter(array, np.random.default_rng((0, index))) for index, array in enumerate(arrays)]
        return [collate(views[begin : begin + 16]).batch for begin in range(0, len(views), 16)]

    def on_device(batches: list[Batch]) -> None:
        for batch in batches:
            batch.to(device)
        if device.type == "cuda":
            torch.cuda.synchronize()

    def theirs() -> None:
        for image in images:
            published(image)

    seconds: dict[str, list[float]] = {"ours": [], "published": [], "crops alone": [], "batches": []}
    cut = crops()
    on_device(cut)  # the first time on a GPU is another matter
    for _ in range(args.repeats):
        for name, side, clock in (
            ("ours", ours, time.process_time),
            ("published", theirs, time.process_time),
            ("crops alone", crops, time.process_time),
            ("batches", lambda: on_device(cut), time.perf_counter if device.type == "cuda" else time.process_time),
        ):
            began = clock()
            side()
            seconds[name].append((clock() - began) / args.images)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    for name in ("ours", "published"):
        value = medians[name]
        print(
            f"{name}: {1 / value:.0f} images a second and core from decoded images, "
            f"{1 / (value + decoding):.0f} from JPEG"
        )
    print(f"decoding alone (the same for both): {1 / decoding:.0f} images a second")
    print(f"published / ours = {medians['published'] / medians['ours']:.2f} in augmentation")
    there = 1e3 * medians["batches"]
    print(
        f"augment_on=device: the loader makes crops of {1 / medians['crops alone']:.0f} images a second and core; "
        f"the rest takes {there:.2f} ms an image on {device} ({medians['ours'] / medians['crops alone']:.2f} times the "
        f"loader's speed; all on one core {1 / (medians['crops alone'] + medians['batches']):.0f} images a second)"
    )


if __name__ == "__main__":
    main()
