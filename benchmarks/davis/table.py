"""Table 4: several checkpoints on DAVIS 2017, a record each, pictures, and the paper's numbers beside ours."""

from __future__ import annotations

import datetime
import os
from collections.abc import Mapping
from pathlib import Path

from benchmarks import shapes
from benchmarks.data_check.davis import TOTALS, VAL_FRAMES
from benchmarks.davis.dataset import find_root, open_video, read_mask, sequence_names
from benchmarks.davis.pictures import draw_sequence
from benchmarks.davis.protocol import DINO, MINI
from benchmarks.davis.run import evaluate_checkpoint
from benchmarks.errors import InputError
from benchmarks.records import fingerprint, make_record, write_record

PROTOCOLS = {"paper": DINO, "mini": MINI}

#: Sequences to draw of each checkpoint.
PICTURES = 2


def open_data(data_root: str | os.PathLike[str], scale: str) -> Path:
    """The whole validation set for ``paper``; for ``mini`` what is there, or the shapes world, written there."""
    if scale == "mini" and not any((Path(data_root) / name).is_dir() for name in ("davis", "DAVIS", "Annotations")):
        shapes.write_world(data_root, "demo", sets=("davis",))
    root = find_root(data_root)
    if scale == "paper":
        frames = [len(open_video(root, name).frames) for name in sequence_names(root)]
        if (len(frames), sum(frames)) != (TOTALS["val"], VAL_FRAMES):
            raise InputError(
                f"{root} has {len(frames)} validation sequences with {sum(frames)} frames instead of {TOTALS['val']} "
                f"with {VAL_FRAMES}: complete it (tools/prepare_data.py davis), or ask for --scale mini"
            )
    return root


def plan(checkpoints: Mapping[str, Path], root: Path, scale: str) -> str:
    """What :func:`judge` would do, in words."""
    names = sequence_names(root)
    frames = sum(len(open_video(root, name).frames) for name in names)
    lines = [f"data: {root}, {len(names)} sequences, {frames} frames", f"protocol: {PROTOCOLS[scale]}"]
    return "\n".join([*lines, *(f"run: {name} ({path})" for name, path in checkpoints.items())])


def judge(checkpoints: Mapping[str, Path], root: Path, out: Path, scale: str, device: str) -> None:
    """Propagate and score every checkpoint; a record in ``out/records``, pictures in ``out/pictures``.

    Label maps stay in ``out/<name>``. Nothing here depends on a seed.
    """
    protocol = PROTOCOLS[scale]
    data = fingerprint(root, [path for name in sequence_names(root) for path in open_video(root, name).masks])
    for name, checkpoint in checkpoints.items():
        started = datetime.datetime.now(datetime.timezone.utc)
        result = evaluate_checkpoint(checkpoint, root, out / name, protocol=protocol, device=device)
        record = make_record("davis", protocol.name, scale, name, checkpoint, data, result, 0, started, device)
        write_record(out / "records", record)
        for sequence in sequence_names(root)[:PICTURES]:
            video = open_video(root, sequence)
            maps = [read_mask(out / name / sequence / f"{path.stem}.png") for path in video.frames]
            draw_sequence(out / "pictures" / name, video, maps)
