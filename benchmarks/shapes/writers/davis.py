"""The world as DAVIS 2017: ``DAVIS/{JPEGImages,Annotations}/480p`` and ``ImageSets/2017``."""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks.shapes.video import render_video
from benchmarks.shapes.writers.files import progress, save_jpeg, save_labels, write_set


def write_davis(
    root: str | os.PathLike[str],
    train_sequences: int = 2,
    val_sequences: int = 4,
    frames: int = 24,
    height: int = 480,
    width: int = 854,
    seed: int = 0,
    every: int = 1,
) -> Path:
    """Write ``root/davis/DAVIS`` in the layout of DAVIS 2017 at 480p; returns ``root/davis``.

    The folder is called 480p as in DAVIS, also when the frames are smaller. ``every`` above 1 makes all that moves
    faster by so much.
    """

    def fill(folder: Path) -> None:
        davis = folder / "DAVIS"
        total = train_sequences + val_sequences
        names = [f"shapes-{index:02d}" for index in range(total)]
        for index, name in enumerate(progress(names, "davis")):
            video = render_video(seed, index, frames, height, width, every)
            for t in range(frames):
                save_jpeg(davis / "JPEGImages" / "480p" / name / f"{t:05d}.jpg", video.frames[t])
                save_labels(davis / "Annotations" / "480p" / name / f"{t:05d}.png", video.ids[t], palette=True)
        sets = davis / "ImageSets" / "2017"
        sets.mkdir(parents=True)
        (sets / "train.txt").write_text("".join(f"{name}\n" for name in names[:train_sequences]))
        (sets / "val.txt").write_text("".join(f"{name}\n" for name in names[train_sequences:]))

    parameters = {
        "set": "davis",
        "train_sequences": train_sequences,
        "val_sequences": val_sequences,
        "frames": frames,
        "height": height,
        "width": width,
        "seed": seed,
    }
    if every > 1:  # not named where it changes nothing: worlds written before it are still known
        parameters["every"] = every
    return write_set(Path(root) / "davis", parameters, fill)
