"""What a command line may set of each segmentation task. What is left out is the protocol's."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.core.settings import option
from benchmarks.segmentation.protocols import KNN, LINEAR, RETRIEVAL, RIDGE


@dataclass(frozen=True)
class DataSettings:
    """Which images: of several data sets under one root, and how many of them train."""

    dataset: str = option("", "folder below the data root; without it segmentation/, camvid/ or the root itself")
    train_list: str = option("", "text file with the names of the training images to use, one a line")
    fraction: int = option(1, "train on one image of so many, drawn by --fraction-seed")
    fraction_seed: int = option(400, "which images --fraction draws (published sets: 400, 1293, 4019, 42, 783)")


@dataclass(frozen=True)
class RidgeSettings(DataSettings):
    """Of segmentation-ridge."""

    protocol: str = option("ridge", "named protocol", tuple(RIDGE))
    short_side: int | None = option(None, "pixels of the images' short side")
    tokens: int | None = option(None, "the short side in patches, in place of pixels")
    penalty: float | None = option(None, "of squared weights")
    balance: float | None = option(None, "how much rare classes count for more: 0 not at all, 1 all classes alike")
    layers: tuple[int, ...] | None = option(None, "blocks to concatenate, such as -1 or 3,5,7,11")
    norm: bool | None = option(None, "features through the network's final norm")


@dataclass(frozen=True)
class KnnSettings(DataSettings):
    """Of segmentation-knn."""

    protocol: str = option("capi", "named protocol", tuple(KNN))
    side: int | None = option(None, "pixels of the square that images are stretched to")
    tokens: int | None = option(None, "that side in patches")
    ks: tuple[int, ...] | None = option(None, "numbers of neighbours to choose from")
    logistic: bool | None = option(None, "logistic regression as well")
    max_iter: int | None = option(None, "of the logistic regression, each")
    norm: bool | None = option(None, "features through the network's final norm")


@dataclass(frozen=True)
class RetrievalSettings(DataSettings):
    """Of segmentation-retrieval."""

    protocol: str = option("hummingbird", "named protocol", tuple(RETRIEVAL))
    side: int | None = option(None, "pixels of the square that images are stretched to")
    tokens: int | None = option(None, "that side in patches")
    memory: int | None = option(None, "patches in the memory; 0: all")
    neighbours: int | None = option(None, "neighbours of each patch")
    epochs: int | None = option(None, "passes over the training images")
    void: str | None = option(None, "void pixels in the memory", ("published", "first", "own", "out"))
    matching: str | None = option(None, "of predicted and true classes", ("hungarian", "none"))
    absent_classes: str | None = option(None, "classes without a pixel in the mean", ("zero", "out"))
    norm: bool | None = option(None, "features through the network's final norm")


@dataclass(frozen=True)
class LinearSettings(DataSettings):
    """Of segmentation-linear."""

    protocol: str = option("dinov3", "named protocol", tuple(LINEAR))
    iterations: int | None = option(None, "training steps")
    batch: int | None = option(None, "images in a step")
    learning_rate: float | None = option(None, "of the linear layer")
    weight_decay: float | None = option(None, "of the linear layer")
    side: int | None = option(None, "pixels of a crop")
    tokens: int | None = option(None, "that side in patches")
    mask_side: int | None = option(None, "square that label maps are shrunk to, in pixels; 0: none")
    layers: tuple[int, ...] | None = option(None, "blocks to concatenate, such as -1 or 3,5,7,11")
    norm: bool | None = option(None, "features through the network's final norm")
    workers: int = option(0, "processes that read images", launch=True)
