"""The published ways of carrying a first mask through a video, as data."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.errors import InputError

#: Field -> what it may be.
CHOICES = {
    "long_side": ("down", "up"),
    "resample": ("opencv", "opencv-float", "pillow-bicubic"),
    "first_mask": ("nearest", "nearest-exact", "bilinear"),
    "window": ("square", "disk", "closed disk"),
    "ties_of": ("weights", "similarities"),
    "upsampling": ("input", "bilinear", "nearest"),
}


@dataclass(frozen=True)
class Protocol:
    """The constants of the evaluation. The defaults are those of DINO's script, which FLSL uses unchanged.

    Sizes: ``short_side`` in pixels, the long side goes to a multiple of ``size_multiple`` as ``long_side`` says;
    ``short_side=0`` keeps the video's own size. ``radius`` is in tokens; 0 means no window. ``name`` is recorded with
    the scores.
    """

    name: str = "davis2017-480p"
    short_side: int = 480
    #: 0: both sides go to multiples of the patch, the short one to the next above.
    size_multiple: int = 64
    long_side: str = "down"
    #: Short sides for some patch sizes (patch, pixels), where the number of tokens is what is kept.
    short_sides: tuple[tuple[int, int], ...] = ()
    #: Height and width of every input, whatever the video's shape, instead of all of the above.
    fixed_size: tuple[int, int] | None = None
    #: How frames are resized: bilinearly by OpenCV, on 8-bit or on float pixels, or by Pillow with antialiasing.
    resample: str = "opencv"
    n_last_frames: int = 7
    radius: int = 12
    topk: int = 5
    temperature: float = 0.1
    #: square: up to ``radius`` rows and columns away, 25x25 tokens (the paper's text says 12x12); disk: nearer than it;
    #: closed disk: not farther than it.
    window: str = "square"
    window_on_first: bool = True
    #: The context always has ``n_last_frames``: before the video's start there are copies of its first frame.
    padded_context: bool = False
    #: Tokens as similar as the last of the ``topk`` count too; without it exactly ``topk`` do, by a softmax.
    keep_ties: bool = True
    #: What is compared for ties: exp(similarity / temperature), in which rounding makes some, or the similarity.
    ties_of: str = "weights"
    #: How the first mask is reduced to tokens. bilinear: by OpenCV, and it stays soft.
    first_mask: str = "nearest"
    #: Each label is stretched to [0, 1] before the largest wins.
    stretch: bool = True
    #: Where the largest label wins. input: at the network's input size, bilinear up to it, and nearest from there to
    #: the video's; bilinear, nearest: at the video's own size, enlarged in that way.
    upsampling: str = "input"
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    #: DINO's script has .228 for red where ImageNet's deviation is .229.
    std: tuple[float, float, float] = (0.228, 0.224, 0.225)

    def __post_init__(self) -> None:
        if self.topk < 1 or min(self.size_multiple, self.short_side, self.n_last_frames, self.radius) < 0:
            raise InputError(
                f"short side {self.short_side}, size multiple {self.size_multiple}, radius {self.radius} and "
                f"{self.n_last_frames} last frames must be 0 or more, and top {self.topk} 1 or more"
            )
        if not (self.window_on_first or self.n_last_frames):
            raise InputError("a first frame without window needs last frames beside it: ask for 1 or more")
        for field, known in CHOICES.items():
            if getattr(self, field) not in known:
                name, value = field.replace("_", " "), getattr(self, field)
                raise InputError(f"{name} {value!r} is not known: choose {', '.join(known[:-1])} or {known[-1]}")
        if self.upsampling == "nearest" and not self.stretch:
            raise InputError("labels that are enlarged by the nearest token and not stretched are in no protocol")

    def variant(self, quietly: Mapping[str, Any] | None = None, **changes: Any) -> Protocol:
        """The protocol with some constants changed, and a name that says so; None leaves one as it is.

        ``quietly``: what follows from the changes and needs no word in the name.
        """
        changes = {name: value for name, value in changes.items() if value not in (None, getattr(self, name))}
        words = [f"{name.replace('_', '-')}={value}" for name, value in changes.items()]
        return dataclasses.replace(self, **{**changes, **(quietly or {}), "name": " ".join([self.name, *words])})


IMAGENET_STD = (0.229, 0.224, 0.225)

DINO = Protocol()

#: Contrastive random walks (ajabri/videowalk, ``code/test.py`` with its README's options ``--topk 10 --videoLen 20
#: --radius 12 --temperature 0.05 --cropSize -1``). The FLSL paper cites it and DINO's as one; they are not.
CRW = Protocol(
    name="crw-native",
    short_side=0,
    size_multiple=1,
    n_last_frames=20,
    topk=10,
    temperature=0.05,
    window="disk",
    window_on_first=False,
    padded_context=True,
    keep_ties=False,
    first_mask="bilinear",
    stretch=False,
    upsampling="bilinear",
    std=IMAGENET_STD,
)

#: DINOv3 (facebookresearch/dinov3 at 6876159, ``notebooks/segmentation_tracking.ipynb``; sizes S, M and L: arXiv
#: 2508.10104, D.5). The notebook enlarges the labels by the nearest token and takes the long side up to a multiple of
#: the patch; the paper enlarges bilinearly and prints 966x1708 for patch 14, which is the long side taken down:
#: ``upsampling`` and ``long_side`` are the options.
DINOV3_M = Protocol(
    name="dinov3-m",
    short_side=960,
    size_multiple=0,
    long_side="up",
    short_sides=((14, 840),),
    resample="pillow-bicubic",
    temperature=0.2,
    window="closed disk",
    ties_of="similarities",
    first_mask="nearest-exact",
    upsampling="nearest",
    std=IMAGENET_STD,
)
DINOV3_S = dataclasses.replace(DINOV3_M, name="dinov3-s", short_side=480, short_sides=((14, 420),))
DINOV3_L = dataclasses.replace(DINOV3_M, name="dinov3-l", short_side=1440, short_sides=((14, 1260),))

#: SiamMAE's line (CropMAE, RSP, ToBo): videowalk's code with constants of its own, at one size for all videos.
#: Source: alexandre-eymael/CropMAE at 5d0dab2, ``downstreams/propagation``.
SIAMMAE = dataclasses.replace(
    CRW,
    name="siammae",
    fixed_size=(480, 880),
    resample="opencv-float",
    radius=20,
    topk=7,
    temperature=0.7,
    upsampling="input",
)

#: DAVIS at 192 pixels instead of 480: the shapes world's videos are that high, and two cores do it in seconds.
MINI = Protocol(name="davis2017-192p (mini)", short_side=192)

PROTOCOLS = {
    "dino": DINO,
    "crw": CRW,
    "dinov3-s": DINOV3_S,
    "dinov3-m": DINOV3_M,
    "dinov3-l": DINOV3_L,
    "siammae": SIAMMAE,
}


def chosen_protocols(name: str) -> dict[str, Protocol]:
    """The protocols that ``name`` stands for: one, or ``all``."""
    if name != "all" and name not in PROTOCOLS:
        raise InputError(f"protocol {name!r} is not known: choose {', '.join(PROTOCOLS)} or all")
    return dict(PROTOCOLS) if name == "all" else {name: PROTOCOLS[name]}
