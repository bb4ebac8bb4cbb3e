"""The world as UAVDT: ``UAV-benchmark-M/Mxxxx/img%06d.jpg`` and ``UAV-benchmark-MOTD_v1.0/GT``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from benchmarks.shapes.aerial import AerialClip, render_aerial
from benchmarks.shapes.writers.files import progress, save_jpeg, write_set

#: Names from UAVDT's own lists: the first three are training sequences, the others test sequences.
UAVDT_SEQUENCES: tuple[str, ...] = ("M0101", "M0201", "M0301", "M0203", "M0208", "M1001")


def ground_truth_files(clip: AerialClip) -> dict[str, str]:
    """The three text files of a sequence by suffix; rows are sorted by target, then by frame, as in UAVDT.

    ``_gt_whole``: every vehicle, with out-of-view, occlusion and category. ``_gt``: those that nothing
    hides, in the columns of MOT. ``_gt_ignore``: rectangles without annotation.
    """
    vehicles = sorted(clip.vehicles, key=lambda box: (box.target, box.frame))
    places = {box: f"{box.frame},{box.target},{box.left},{box.top},{box.width},{box.height}" for box in vehicles}
    whole = [f"{places[box]},{box.out_of_view},{box.occlusion},{box.category}\n" for box in vehicles]
    tracked = [f"{places[box]},1,1,-1\n" for box in vehicles if box.occlusion == 1]
    ignored = [f"{b.frame},{b.target},{b.left},{b.top},{b.width},{b.height},1,-1,-1\n" for b in clip.ignored]
    return {"_gt_whole": "".join(whole), "_gt": "".join(tracked), "_gt_ignore": "".join(ignored)}


def write_uavdt(
    root: str | os.PathLike[str],
    sequences: Sequence[str] = UAVDT_SEQUENCES,
    frames: int = 30,
    height: int = 288,
    width: int = 512,
    seed: int = 0,
) -> Path:
    """Write ``root/uavdt`` in UAVDT's layout; returns the folder. A name decides what its sequence shows."""

    def fill(folder: Path) -> None:
        truth = folder / "UAV-benchmark-MOTD_v1.0" / "GT"
        truth.mkdir(parents=True)
        for name in progress(sequences, "uavdt"):
            clip = render_aerial(seed, int(name[1:]), frames, height, width)
            for t in range(frames):
                save_jpeg(folder / "UAV-benchmark-M" / name / f"img{t + 1:06d}.jpg", clip.frames[t])
            for suffix, text in ground_truth_files(clip).items():
                (truth / f"{name}{suffix}.txt").write_text(text)

    parameters = {
        "set": "uavdt",
        "sequences": list(sequences),
        "frames": frames,
        "height": height,
        "width": width,
        "seed": seed,
    }
    return write_set(Path(root) / "uavdt", parameters, fill)
