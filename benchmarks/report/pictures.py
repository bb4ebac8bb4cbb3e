"""Pictures inside the page: scaled to what a screen shows, as PNG or JPEG, whichever is smaller, within a budget."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from benchmarks.report.markup import Markup, tag

WIDTH, HEIGHT = 1100, 1600
QUALITY = 80

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
    """The pictures under their headings, and the bytes they take; those beyond ``budget`` bytes are listed by name."""
    kinds: dict[str, list[Markup]] = {}
    widest: dict[str, int] = {}
    beyond, unreadable, spent = [], [], 0
    for label, path in pictures:
        if path.stem.startswith(LEFT_OUT):
            continue
        try:
            uri, size = _embedded(path)
        except (OSError, ValueError) as error:
            unreadable.append(f"{label} ({error})")
            continue
        if spent + len(uri) > budget:
            beyond.append(label)
            continue
        spent += len(uri)
        image = tag("img", src=uri, alt=label, width=size[0], height=size[1], loading="lazy")
        figure = tag("figure", tag("div", image, class_="scroll"), tag("figcaption", label))
        kinds.setdefault(kind := _kind(path), []).append(figure)
        widest[kind] = max(widest.get(kind, 0), size[0])
    blocks = []
    for kind, figures in sorted(kinds.items()):
        side_by_side = "pictures beside" if widest[kind] <= WIDTH * 2 / 3 else "pictures"
        blocks.append(tag("h3", kind) + tag("div", *figures, class_=side_by_side))
    for text, names in (("Not embedded, the page would be too large", beyond), ("Not readable", unreadable)):
        if names:
            blocks.append(tag("p", f"{text}: {', '.join(names)}", class_="note"))
    return (Markup("".join(blocks)) if blocks else None), spent


def _kind(path: Path) -> str:
    for start, heading in KINDS:
        if path.stem.startswith(start):
            return heading
    if (path.parent / f"{path.stem}.webp").is_file():  # Table 4 draws a strip and an animation of a video
        return "DAVIS strips"
    return "Other pictures"


def _embedded(path: Path) -> tuple[str, tuple[int, int]]:
    """A data URI and (width, height)."""
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
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}", picture.size
