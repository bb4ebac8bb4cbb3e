"""The world as VisDrone-DET: ``VisDrone2019-DET-{train,val}`` with ``images/`` and ``annotations/``."""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks.shapes.aerial import AerialClip, render_aerial
from benchmarks.shapes.writers.files import progress, save_jpeg, write_set

#: Categories of VisDrone by those of the world's vehicles: car, truck, bus.
_CATEGORY = {1: 4, 2: 6, 3: 9}
#: Degree of occlusion (none, up to half, more) by UAVDT's (none, large, medium, small).
_OCCLUSION = {1: 0, 2: 2, 3: 1, 4: 1}


def annotation(clip: AerialClip, frame: int) -> str:
    """The text file of one frame, from 1: its vehicles with score 1, then its ignored regions."""
    vehicles = [box for box in clip.vehicles if box.frame == frame]
    rows = [
        f"{b.left},{b.top},{b.width},{b.height},1,{_CATEGORY[b.category]},{int(b.out_of_view > 1)},"
        f"{_OCCLUSION[b.occlusion]}"
        for b in vehicles
    ]
    rows += [f"{b.left},{b.top},{b.width},{b.height},0,0,0,0" for b in clip.ignored if b.frame == frame]
    return "".join(f"{row}\n" for row in rows)


def write_visdrone(
    root: str | os.PathLike[str],
    train_clips: int = 12,
    val_clips: int = 6,
    frames: int = 8,
    height: int = 288,
    width: int = 512,
    seed: int = 0,
) -> Path:
    """Write ``root/visdrone`` in VisDrone-DET's layout, ``frames`` pictures a clip; returns the folder."""

    def fill(folder: Path) -> None:
        # UAVDT's clips have numbers from 101 on, so that the two sets show different roads.
        for split, clips in (("train", range(1, 1 + train_clips)), ("val", range(51, 51 + val_clips))):
            there = folder / f"VisDrone2019-DET-{split}"
            (there / "annotations").mkdir(parents=True)
            for index in progress(clips, f"visdrone {split}"):
                clip = render_aerial(seed, index, frames, height, width)
                for frame in range(1, frames + 1):
                    name = f"{index:07d}_{frame:05d}_d_{frame:07d}"
                    save_jpeg(there / "images" / f"{name}.jpg", clip.frames[frame - 1])
                    (there / "annotations" / f"{name}.txt").write_text(annotation(clip, frame))

    parameters = {
        "set": "visdrone",
        "clips": [train_clips, val_clips],
        "frames": frames,
        "height": height,
        "width": width,
        "seed": seed,
    }
    return write_set(Path(root) / "visdrone", parameters, fill)
