"""The two published ways of carrying a first mask through a video, as data."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.errors import InputError


@dataclass(frozen=True)
class Protocol:
    """The constants of the evaluation. The defaults are those of DINO's script, which FLSL uses unchanged.

    Sizes: ``short_side`` in pixels, the long side is floored to a multiple of ``size_multiple``; ``short_side=0``
    keeps the video's own size. ``radius`` is in tokens; 0 means no window. ``name`` is recorded with the scores.
    """

    name: str = "davis2017-480p"
    short_side: int = 480
    size_multiple: int = 64
    n_last_frames: int = 7
    radius: int = 12
    topk: int = 5
    temperature: float = 0.1
    #: square: up to ``radius`` rows and columns away, 25x25 tokens (the paper's text says 12x12); disk: nearer than it.
    window: str = "square"
    window_on_first: bool = True
    #: The context always has ``n_last_frames``: before the video's start there are copies of its first frame.
    padded_context: bool = False
    #: Tokens as similar as the last of the ``topk`` count too, and weights are plain exponentials; else a softmax.
    keep_ties: bool = True
    #: The first mask is reduced to tokens bilinearly, and stays soft, instead of by the nearest pixel.
    soft_mask: bool = False
    #: Each label is stretched to [0, 1] at the network's input size before the largest wins.
    stretch: bool = True
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    #: DINO's script has .228 for red where ImageNet's deviation is .229.
    std: tuple[float, float, float] = (0.228, 0.224, 0.225)

    def __post_init__(self) -> None:
        if min(self.size_multiple, self.topk) < 1 or min(self.short_side, self.n_last_frames, self.radius) < 0:
            raise InputError(
                f"short side {self.short_side}, radius {self.radius} and {self.n_last_frames} last frames must be 0 or "
                f"more, size multiple {self.size_multiple} and top {self.topk} 1 or more"
            )
        if not (self.window_on_first or self.n_last_frames):
            raise InputError("a first frame without window needs last frames beside it: ask for 1 or more")
        if self.window not in ("square", "disk"):
            raise InputError(f"window {self.window!r} is not known: choose square or disk")


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
    soft_mask=True,
    stretch=False,
    std=(0.229, 0.224, 0.225),
)

#: DAVIS at 192 pixels instead of 480: the shapes world's videos are that high, and two cores do it in seconds.
MINI = Protocol(name="davis2017-192p (mini)", short_side=192)

PROTOCOLS = {"dino": DINO, "crw": CRW}
