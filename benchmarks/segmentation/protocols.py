"""The protocols by name, every constant said. They are recorded as resolved, so that no two differ in silence.

What is the same in all: images are normalised by the checkpoint's card, and void pixels (255) are not scored. Sources:
facebookresearch/dinov3 @ 6876159 ``dinov3/eval/segmentation`` and ``config-ade20k-linear-training.yaml``; DINOv2's
published mmseg configs as Jiawei-Yang/Denoising-ViT @ 2d08bd8 carries them; vpariza/NeCo @ 3932160
``linear_finetune.py``; bytedance/ibot @ da316d8 ``evaluation/semantic_segmentation/configs/linear``;
facebookresearch/capi @ 98b4fa1
``eval_segmentation.py``; vpariza/open-hummingbird-eval @ 5e79da2.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

P = TypeVar("P")


@dataclass(frozen=True)
class Ridge:
    """Closed form; ours. Scored at the label maps' own size."""

    name: str
    short_side: int  # pixels, the long one in proportion, both at the nearest multiple of the patch
    tokens: int = 0  # where not 0: the short side in patches instead
    penalty: float = 1e-3  # of squared weights, for standardised features
    balance: float = 1.0  # a patch counts by its classes' share of the training pixels to minus this power
    norm: bool = True
    layers: tuple[int, ...] = (-1,)


@dataclass(frozen=True)
class Knn:
    """k-NN and, where asked for, logistic regression over patches. Scored at the network's input size."""

    name: str
    side: int  # pixels of the square that images (bicubic) and label maps (nearest) are stretched to
    tokens: int = 0  # where not 0: that side in patches instead
    ks: tuple[int, ...] = (1, 3, 10, 30)
    metrics: tuple[str, ...] = ("cosine", "L2")
    held_out: float = 0.1  # of the training images, to choose k and the distance by
    logistic: bool = True
    cs: tuple[float, ...] = tuple(10.0 ** (-6.0 + 11.0 * step / 7.0) for step in range(8))
    max_iter: int = 1000
    tolerance: float = 1e-12
    history: int = 5  # of L-BFGS
    norm: bool = True
    absent_classes: str = "out"  # of the mean
    void_predicted: str = "class"  # a predicted void counts as a class with IoU 0


@dataclass(frozen=True)
class Retrieval:
    """In-context segmentation by retrieved patches. Scored at the network's input size."""

    name: str
    side: int
    tokens: int = 0
    memory: int = 1024 * 10_000  # patches; 0: all
    neighbours: int = 30
    temperature: float = 0.02
    epochs: int = 2  # passes over the training images, each with other random views
    jitter: float = 0.1  # brightness, contrast, saturation, hue, each applied with probability 0.5
    crop_scale: tuple[float, ...] = (0.5, 2.0)  # of the image's area
    #: Void pixels in the memory: "first" (as class 0), "own" (as one more class), "out" (not at all), or "published":
    #: "own" on ADE20K, "first" on Pascal VOC, Cityscapes and COCO, and on any other data "out".
    void: str = "published"
    matching: str = "hungarian"
    absent_classes: str = "zero"
    norm: bool = True


@dataclass(frozen=True)
class Linear:
    """One linear layer on frozen features, trained by gradient descent."""

    name: str
    iterations: int
    batch: int
    optimizer: str  # AdamW (betas .9, .999) or SGD (momentum .9)
    learning_rate: float
    weight_decay: float
    schedule: str  # "cosine" or "poly" (power 1), after a linear warm-up; or "step": by .1 at four fifths
    warmup: int
    dropout: float  # of whole channels, before the head's batch norm
    batch_norm: bool
    views: (
        str  # "crops": scaled .5 to 2, cropped, flipped, distorted; "resized": crops of 80 to 100 % stretched, flipped
    )
    hue: str  # distortion: "dinov3" (torchvision, any hue) or "mmseg" (HSV, 18 of 180); "" for none
    side: int  # pixels of crops, and of the short side of whole images
    tokens: int  # where not 0: that side in patches instead
    window: str  # prediction: "slide" by two thirds of the side, or "whole" (stretched to the side's square)
    mask_side: int  # the square that label maps are shrunk to for training and scoring; 0: crops as they are, own size
    layers: tuple[int, ...]  # blocks whose features are concatenated; with negative numbers from the end
    norm: bool  # through the network's final norm
    pad: bool = False  # crops are padded to a multiple of the patch; otherwise the patch must divide them
    absent_classes: str = "out"
    #: The published learning rate of each width, where it changes with the network.
    rates: tuple[tuple[int, float], ...] = ()


RIDGE = {"ridge": Ridge("ridge", 512)}
KNN = {"capi": Knn("capi", 224)}
RETRIEVAL = {
    "hummingbird": Retrieval("hummingbird", 512),
    "hummingbird-1e3": Retrieval("hummingbird-1e3", 512, memory=1024 * 1000),
    "hummingbird-1e2": Retrieval("hummingbird-1e2", 512, memory=1024 * 100),
}
LINEAR = {
    "dinov3": Linear(
        "dinov3", 40_000, 16, "AdamW", 1e-3, 1e-3, "cosine", 1500, 0.1, True,
        "crops", "dinov3", 512, 32, "slide", 0, (-1,), True,
    ),
    "dinov2": Linear(
        "dinov2", 40_000, 16, "AdamW", 1e-3, 1e-4, "poly", 1500, 0.0, True,
        "crops", "mmseg", 512, 0, "slide", 0, (-1,), True, pad=True,
    ),
    "neco": Linear(
        "neco", 0, 128, "SGD", 0.01, 1e-4, "step", 0, 0.0, False,
        "resized", "", 448, 0, "whole", 100, (-1,), True, absent_classes="zero",
    ),
    "ibot": Linear(
        "ibot", 160_000, 16, "AdamW", 7e-4, 0.05, "poly", 1500, 0.0, False,
        "crops", "mmseg", 512, 0, "slide", 0, (3, 5, 7, 11), False,
        rates=((384, 3e-5), (768, 7e-4), (1024, 2e-5)),
    ),
}  # fmt: skip

#: NeCo trains for epochs: 25 of them.
NECO_EPOCHS = 25


def resolve(protocols: Mapping[str, P], settings: Any) -> P:
    """The protocol that ``settings`` names, with the fields that they set otherwise."""
    base = protocols[settings.protocol]
    names = {field.name for field in dataclasses.fields(base)}  # type: ignore[arg-type]
    own = {field.name: getattr(settings, field.name) for field in dataclasses.fields(settings)}
    return dataclasses.replace(base, **{n: v for n, v in own.items() if n in names and v is not None})  # type: ignore[type-var]


def side_in_pixels(protocol: Any, patch: int) -> int:
    """The side that a protocol wants of a network with patches of ``patch`` pixels."""
    return protocol.tokens * patch if protocol.tokens else getattr(protocol, "side", None) or protocol.short_side
