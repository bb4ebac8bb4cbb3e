"""To look at: frames with objects, detections and ignored regions, and precision over recall."""

from __future__ import annotations

import os
from collections.abc import Sequence

import cv2
import numpy as np
from matplotlib.figure import Figure

from benchmarks.errors import InputError
from benchmarks.files import atomic_path
from benchmarks.images import read_bgr
from benchmarks.uavdt.dataset import UavdtRoot
from benchmarks.uavdt.evaluation import read_detections, read_ground
from benchmarks.uavdt.scoring import Curve, match, outside_ignored

WIDTH = 640
HEADER = 20

#: What is drawn, by which colour (BGR): the legend of every sheet.
COLOURS = {
    "object found": (80, 200, 80),
    "object missed": (0, 200, 255),
    "hit": (220, 60, 20),
    "false alarm": (60, 60, 230),
    "ignored region": (170, 170, 170),
}

#: Panels of the curves by attribute.
PANELS = {
    "test set": ("all", "long-term"),
    "light": ("day", "night", "fog"),
    "altitude": ("low", "medium", "high"),
    "view": ("front", "side", "bird"),
}

_MOST_POINTS = 2000


def write_frames(
    path: str | os.PathLike[str],
    data: UavdtRoot,
    detections: str | os.PathLike[str],
    frames: Sequence[tuple[str, int]],
    threshold: float = 0.3,
    columns: int = 2,
) -> None:
    """Write a PNG of frames (sequence, number from 1), each with its objects and its detections above ``threshold``.

    ``detections`` is the folder of text files. A hit is what the official rule calls one at that threshold;
    detections that the rule ignores are drawn in the colour of the regions.
    """
    panels = [_frame(data, detections, name, number, threshold) for name, number in frames]
    height = max(panel.shape[0] for panel in panels)
    panels = [np.pad(panel, ((0, height - len(panel)), (0, 0), (0, 0)), constant_values=255) for panel in panels]
    panels += [np.full_like(panels[0], 255)] * (-len(panels) % columns)
    rows = [np.hstack(panels[start : start + columns]) for start in range(0, len(panels), columns)]
    sheet = np.vstack([_legend(columns * WIDTH, threshold), *rows])
    with atomic_path(path) as temporary:
        temporary.write_bytes(cv2.imencode(".png", sheet)[1].tobytes())


def write_curves(path: str | os.PathLike[str], panels: dict[str, dict[str, Curve]]) -> None:
    """Write a PNG of precision over recall: a panel for each title, a line with its AP for each label."""
    figure = Figure(figsize=(4 * len(panels), 3.6), layout="constrained")
    for axis, (title, curves) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        for label, curve in curves.items():
            points = np.unique(np.linspace(0, max(0, len(curve.recall) - 1), _MOST_POINTS).astype(int))
            recall, precision = curve.recall[points[: len(curve.recall)]], curve.precision[points[: len(curve.recall)]]
            axis.plot(recall, precision, label=f"{label} (AP {curve.ap:.1f})", linewidth=1.4)
        axis.set(title=title, xlabel="recall", xlim=(0, 1), ylim=(0, 1.02))
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    figure.axes[0].set_ylabel("precision at IoU 0.7")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")


def attribute_panels(curves: dict[str, Curve]) -> dict[str, dict[str, Curve]]:
    """What :meth:`Outcomes.curves` gives for one detector, in panels: light, altitude, view."""
    panels = {title: {name: curves[name] for name in names if name in curves} for title, names in PANELS.items()}
    return {title: members for title, members in panels.items() if members}


def _frame(data: UavdtRoot, detections: str | os.PathLike[str], name: str, number: int, threshold: float) -> np.ndarray:
    """One frame as BGR uint8 ``[H, WIDTH, 3]`` under a title."""
    picture = read_bgr(data.frame(name, number))
    if picture is None:
        raise InputError(f"{data.frame(name, number)} is missing or no image: check the data")
    scale = WIDTH / picture.shape[1]
    picture = cv2.resize(picture, (WIDTH, round(scale * picture.shape[0])), interpolation=cv2.INTER_AREA)
    ground = read_ground(data.ground_truth, name)
    boxes, scores = read_detections(detections, ground)
    here = (boxes[:, 0] == number) & (scores > threshold)
    boxes, scores = boxes[here], scores[here]
    truth = ground.truth[ground.truth[:, 0] == number]
    regions = ground.regions[ground.regions[:, 0] == number]
    kept = outside_ignored(boxes, regions)
    outcome = match(truth, boxes[kept], scores[kept])
    ordered = boxes[kept][np.argsort(-scores[kept], kind="stable")]
    for region in regions:
        _hatch(picture, region, scale)
    for box in boxes[~kept]:
        _box(picture, box, scale, COLOURS["ignored region"])
    for box, hit in zip(truth, outcome.found, strict=True):
        _box(picture, box, scale, COLOURS["object found" if hit else "object missed"], 2)
    for box, hit in zip(ordered, outcome.hits, strict=True):
        _box(picture, box, scale, COLOURS["hit" if hit else "false alarm"])
    counts = f"{int(outcome.hits.sum())} of {len(truth)} found, {int((~outcome.hits).sum())} false"
    return np.vstack([_line(WIDTH, [(f"{name}, frame {number}: {counts}", (40, 40, 40))]), picture])


def _corners(box: np.ndarray, scale: float) -> tuple[tuple[int, int], tuple[int, int]]:
    left, top, width, height = scale * box[1:]
    return (round(left), round(top)), (round(left + width), round(top + height))


def _box(picture: np.ndarray, box: np.ndarray, scale: float, colour: tuple[int, int, int], thickness: int = 1) -> None:
    cv2.rectangle(picture, *_corners(box, scale), colour, thickness)


def _hatch(picture: np.ndarray, box: np.ndarray, scale: float) -> None:
    """A region crossed out by slanted lines, so that what is below stays visible."""
    (left, top), (right, bottom) = _corners(box, scale)
    inside = picture[max(0, top) : max(0, bottom), max(0, left) : max(0, right)]
    y, x = np.mgrid[: inside.shape[0], : inside.shape[1]]
    inside[(x + y) % 12 < 2] = COLOURS["ignored region"]
    _box(picture, box, scale, COLOURS["ignored region"], 2)


def _legend(width: int, threshold: float) -> np.ndarray:
    return _line(width, [*COLOURS.items(), (f"detections with a score above {threshold:g}", (40, 40, 40))])


def _line(width: int, texts: Sequence[tuple[str, tuple[int, int, int]]]) -> np.ndarray:
    strip, x = np.full((HEADER, width, 3), 255, np.uint8), 6
    for text, colour in texts:
        cv2.putText(strip, text, (x, HEADER - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.42, colour, 1, cv2.LINE_AA)
        x += cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.42, 1)[0][0] + 18
    return strip
