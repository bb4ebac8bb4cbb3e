"""Pictures inside the page: scaled to what a screen shows, as PNG or JPEG, whichever is smaller, within a budget.

Animations are folded under the still picture of their name. Paper has the still picture alone.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from benchmarks.report.markup import Markup, tag

WIDTH, HEIGHT = 1100, 1600
QUALITY = 80
#: An animation has at most so many frames, of a quality (WebP's) that makes each about 40 kB.
FRAMES, MOVING_QUALITY = 32, 60

#: How a file's name begins -> the heading under which it stands.
KINDS = (
    ("detections", "Detections"),
    ("frames", "UAVDT frames"),
    ("predictions", "ADE20K predictions"),
    ("davis", "DAVIS strips"),
    ("attention", "Attention"),
    ("figure4a", "Attention"),
    ("figure3", "Similarity maps"),
    ("figure4b", "t-SNE"),
    ("separability", "Separability"),
    ("curves", "Precision and recall"),
    ("ILSVRC", "k-NN patches"),
    ("epoch", "Pretraining: attention and similarity"),
)
#: Drawn by the page itself from the logs.
LEFT_OUT = ("losses",)


def section(pictures: Sequence[tuple[str, Path]], budget: int) -> tuple[Markup | None, int]:
    """The pictures under their headings, and the bytes they take; those beyond ``budget`` bytes are listed by name.

    Animations take what the stills leave.
    """
    figures: dict[Path, list[Markup]] = {}  # by the path without its suffix: a still and its animation are one
    widest: dict[str, int] = {}
    beyond, unreadable, spent = [], [], 0
    for label, path in sorted(pictures, key=lambda picture: _moves(picture[1])):
        if path.stem.startswith(LEFT_OUT):
            continue
        try:
            uri, (width, height), frames = _animation(path) if _moves(path) else _still(path)
        except (OSError, ValueError) as error:
            unreadable.append(f"{label} ({error})")
            continue
        if spent + len(uri) > budget:
            beyond.append(label)
            continue
        spent += len(uri)
        image = tag("img", src=uri, alt=label, width=width, height=height, loading="lazy")
        if _moves(path):
            summary = tag("summary", f"moving: {frames} frames, {len(uri) / 1e6:.1f} MB")
            parts = [tag("details", summary, image, class_="moving")]
        else:
            parts = [tag("div", image, class_="scroll"), tag("figcaption", label)]
            widest[_kind(path)] = max(widest.get(_kind(path), 0), width)
        figures.setdefault(path.with_suffix(""), []).extend(parts)
    kinds: dict[str, list[Markup]] = {}
    for path, parts in figures.items():
        kinds.setdefault(_kind(path), []).append(tag("figure", *parts))
    blocks = []
    for kind, found in sorted(kinds.items()):
        side_by_side = "pictures beside" if widest.get(kind, 0) <= WIDTH * 2 / 3 else "pictures"
        blocks.append(tag("h3", kind) + tag("div", *found, class_=side_by_side))
    for text, names in (("Not embedded, the page would be too large", beyond), ("Not readable", unreadable)):
        if names:
            blocks.append(tag("p", f"{text}: {', '.join(names)}", class_="note"))
    return (Markup("".join(blocks)) if blocks else None), spent


def _moves(path: Path) -> bool:
    return path.suffix.lower() == ".webp"


def _kind(path: Path) -> str:
    for start, heading in KINDS:
        if path.stem.startswith(start):
            return heading
    if (path.parent / f"{path.stem}.webp").is_file():  # Table 4 draws a strip and an animation of a video
        return "DAVIS strips"
    return "Other pictures"


def _animation(path: Path) -> tuple[str, tuple[int, int], int]:
    """A data URI, (width, height), the number of frames: of more than :data:`FRAMES` every second, third, ... remains.

    What remains is shown for as long as the whole.
    """
    with Image.open(path, formats=("WEBP",)) as image:
        count = getattr(image, "n_frames", 1)
        step, frames = math.ceil(count / FRAMES), []
        for index in range(0, count, step):
            image.seek(index)
            frames.append(image.convert("RGB"))
        duration = step * image.info.get("duration", 0)
    stream = io.BytesIO()
    options = {"duration": duration, "loop": 0, "quality": MOVING_QUALITY}
    frames[0].save(stream, format="WEBP", save_all=True, append_images=frames[1:], **options)
    return _uri("webp", stream.getvalue()), frames[0].size, len(frames)


def _still(path: Path) -> tuple[str, tuple[int, int], int]:
    """A data URI, (width, height), and 1 frame."""
    with Image.open(path) as image:
        picture = image.convert("RGBA" if "A" in image.getbands() or "transparency" in image.info else "RGB")
    if picture.mode == "RGBA":  # on white, like the figures
        ground = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(ground, picture).convert("RGB")
    picture.thumbnail((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
    choices = []
    for kind, options in (("png", {"optimize": True}), ("jpeg", {"quality": QUALITY, "optimize": True})):
        stream = io.BytesIO()
        picture.save(stream, format=kind, **options)
        choices.append((stream.tell(), kind, stream.getvalue()))
    _, kind, content = min(choices)
    return _uri(kind, content), picture.size, 1


def _uri(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
